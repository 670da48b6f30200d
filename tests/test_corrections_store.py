"""The file of corrections: what was kept is there, whoever else writes, and what is wrong with it is said."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from digit_recognizer import corrections as module
from digit_recognizer.corrections import Corrections
from digit_recognizer.errors import DigitsError

ADDING = """
import sys
import numpy as np
from digit_recognizer.corrections import Corrections
for number in range({times}):
    Corrections(sys.argv[1]).add(np.full((28, 28), number, np.uint8), number % 10, None, sys.argv[2])
"""


def image(value: int = 1) -> np.ndarray:
    return np.full((28, 28), value, np.uint8)


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "runs" / "corrections.sqlite"


@pytest.fixture
def filled(file) -> Corrections:
    """Two digits and one that is none."""
    corrections = Corrections(file)
    corrections.add(image(1), 7, 1, "shipped")
    corrections.add(image(2), None, 4, "shipped")
    corrections.add(image(3), 0, None, "shipped")
    return corrections


def test_what_is_kept_comes_back(file):
    drawn = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    number = Corrections(file).add(drawn, 7, 1, "shipped")
    (kept,) = Corrections(file).all()
    assert (kept.id, kept.label, kept.read_as, kept.model) == (number, 7, 1, "shipped")
    np.testing.assert_array_equal(kept.image, drawn)
    age = datetime.now(UTC) - datetime.fromisoformat(kept.time)
    assert 0 <= age.total_seconds() < 60


def test_an_image_that_does_not_lie_in_order_comes_back_too(file):
    drawn = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    corrections = Corrections(file)
    corrections.add(drawn.T, 7)
    np.testing.assert_array_equal(corrections.all()[0].image, drawn.T)


def test_only_its_writer_may_look_into_the_file(filled):
    assert filled.path.stat().st_mode & 0o077 == 0


def test_digits_and_what_is_none_are_told_apart(filled):
    assert filled.count() == 3
    digits = filled.samples().digits()
    assert digits.labels.tolist() == [7, 0]
    assert digits.images[:, 0, 0].tolist() == [1, 3]
    assert filled.samples().images[:, 0, 0].tolist() == [1, 3, 2]


def test_an_empty_file_holds_no_digits(file):
    corrections = Corrections(file)
    assert corrections.count() == 0
    assert corrections.all() == []
    assert len(corrections.samples()) == 0


def test_the_later_of_two_corrections_of_an_image_counts(filled):
    filled.add(image(1), 9)
    filled.add(image(3), None)
    assert filled.count() == 5
    assert filled.samples().classes.tolist() == [9, 10, 10]
    assert filled.samples().images[:, 0, 0].tolist() == [1, 2, 3]


def test_the_checksum_knows_what_counts_and_not_when_it_was_said(file, tmp_path):
    there, here = Corrections(file), Corrections(tmp_path / "other.sqlite")
    there.add(image(1), 7)
    there.add(image(2), None)
    here.add(image(2), None, 3, "another")
    here.add(image(1), 7)
    assert there.samples().sha256() == here.samples().sha256()
    here.add(image(1), 8)
    assert there.samples().sha256() != here.samples().sha256()


def test_a_correction_is_taken_back_once(filled):
    first = filled.all()[0].id
    assert filled.remove(first)
    assert not filled.remove(first)
    assert not filled.remove(-1)
    assert not filled.remove(2**70)
    assert [each.label for each in filled.all()] == [None, 0]


def test_an_id_never_means_another_correction_later(filled):
    last = filled.all()[-1].id
    filled.remove(last)
    assert filled.add(image(), 5) > last
    filled.clear()
    assert filled.add(image(), 5) > last + 1


def test_clearing_leaves_nothing_of_the_images_on_the_disk(file):
    corrections = Corrections(file)
    for number in range(40):
        corrections.add(np.frombuffer(b"handwriting!" * 66, np.uint8)[:784].reshape(28, 28), number % 10)
    assert corrections.clear() == 40
    assert corrections.clear() == 0
    left = b"".join(path.read_bytes() for path in file.parent.iterdir())
    assert b"handwriting!" not in left


@pytest.mark.parametrize(
    ("picture", "label", "read_as"),
    [
        (image(), 10, None),
        (image(), -1, None),
        (image(), 3, 11),
        (image(), True, None),
        (image(), "7", None),
        (image(), 7.0, None),
        (np.zeros((28, 27), np.uint8), 7, None),
        (np.zeros((28, 28)), 7, None),
        (np.zeros(784, np.uint8), 7, None),
    ],
)
def test_what_is_no_correction_is_not_kept(file, picture, label, read_as):
    corrections = Corrections(file)
    with pytest.raises(DigitsError, match="expected"):
        corrections.add(picture, label, read_as)
    assert corrections.count() == 0


def test_processes_may_make_the_file_and_add_to_it_together(file):
    command = [sys.executable, "-c", ADDING.format(times=25), str(file)]
    processes = [subprocess.Popen([*command, name], stderr=subprocess.PIPE) for name in ("a", "b", "c")]
    failures = [process.communicate(timeout=120)[1] for process in processes]
    assert failures == [b"", b"", b""]
    kept = Corrections(file).all()
    assert len({each.id for each in kept}) == 75
    for name in ("a", "b", "c"):
        assert [each.image[0, 0] for each in kept if each.model == name] == list(range(25))


def test_threads_may_share_one(file):
    corrections = Corrections(file)
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda each: corrections.add(image(each), each % 10), range(80)))
    assert len(set(numbers)) == 80
    assert sorted(each.image[0, 0] for each in corrections.all()) == list(range(80))


def test_what_was_kept_is_there_after_the_process_was_killed(file):
    ending = ADDING.format(times=10) + "\nimport os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    subprocess.run([sys.executable, "-c", ending, str(file), "killed"], check=False)
    assert Corrections(file).count() == 10


def test_reading_waits_for_no_writer(filled):
    with closing(sqlite3.connect(filled.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert filled.count() == 3


def test_a_file_that_another_program_holds_is_said_and_stays_as_it_is(filled, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    with closing(sqlite3.connect(filled.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for change in (lambda: filled.add(image(), 1), lambda: filled.remove(1), filled.clear):
            with pytest.raises(DigitsError, match="in use by another program"):
                change()
    assert filled.count() == 3


def test_adding_waits_a_while_for_another_writer(filled):
    other = sqlite3.connect(filled.path, isolation_level=None, check_same_thread=False)
    with closing(other):
        other.execute("BEGIN IMMEDIATE")
        done = threading.Timer(0.3, other.execute, ["COMMIT"])
        done.start()
        filled.add(image(), 1)
        done.join()
    assert filled.count() == 4


def test_a_file_that_is_emptied_or_deleted_begins_anew(filled):
    filled.path.write_bytes(b"")
    assert filled.count() == 0
    filled.path.unlink()
    assert filled.add(image(), 1) == 1
    assert filled.count() == 1


def test_an_empty_file_is_no_file_of_corrections_to_who_only_reads(file):
    file.parent.mkdir()
    file.touch()
    with pytest.raises(DigitsError, match="is no file of corrections"):
        Corrections(file, create=False)


def test_a_missing_file_is_not_made_by_who_only_reads(file):
    with pytest.raises(DigitsError, match="there are no corrections"):
        Corrections(file, create=False)
    assert not file.parent.exists()


def test_damage_anywhere_is_said_or_harmless(file):
    """Cut the file, or change a block of it: an error of ours, or everything is there."""
    corrections = Corrections(file)
    for number in range(30):
        corrections.add(image(number), number % 10)
    whole = file.read_bytes()
    rng = np.random.default_rng(0)
    for turn in range(60):
        damaged = bytearray(whole)
        at = int(rng.integers(len(whole)))
        if turn % 3:
            damaged[at : at + 40] = rng.integers(0, 256, len(damaged[at : at + 40]), np.uint8).tobytes()
        else:
            del damaged[at:]
        file.write_bytes(bytes(damaged))
        complaint = ""
        try:
            found = Corrections(file, create=False).all()
        except DigitsError as error:
            found, complaint = [], str(error)
        assert all(each.image.shape == (28, 28) for each in found)
        assert found or str(file) in complaint
        for beside in file.parent.glob(f"{file.name}-*"):
            beside.unlink()


def test_a_file_grows_no_further_than_it_may(filled, monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 5 * 4096)
    numbers = iter(range(100))
    with pytest.raises(DigitsError, match="is full"):
        any(filled.add(image(number), 1) == 0 for number in numbers)
    assert 3 < filled.count() < 100
    filled.clear()
    filled.add(image(), 1)


def test_in_a_folder_closed_to_us_corrections_can_be_read(filled, monkeypatch):
    monkeypatch.setattr(module.os, "access", lambda _path, mode: mode != os.W_OK)
    assert Corrections(filled.path, create=False).count() == 3


def test_where_the_log_cannot_be_written_nothing_is_changed(filled):
    log = filled.path.with_name(f"{filled.path.name}-wal")
    log.mkdir()
    with pytest.raises(DigitsError, match="cannot write"):
        filled.add(image(), 1)
    log.rmdir()
    assert filled.count() == 3


def test_a_copy_of_the_file_alone_is_whole(filled, tmp_path):
    copy = shutil.copy(filled.path, tmp_path / "copy.sqlite")
    assert Corrections(copy).count() == 3
