"""The file of corrections: nothing is lost, other processes may write too, and errors are understood.

`test_damage.py` has the damaged files.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from digit_recognizer.corrections import CorrectionStore, load_corrections, save_corrections
from digit_recognizer.corrections import database as module
from digit_recognizer.digits import NON_DIGIT
from digit_recognizer.errors import DigitsError
from digit_recognizer.sources import load_digits
from helpers import refusal, says

ADDING = """
import sys
import numpy as np
from digit_recognizer.corrections import CorrectionStore
for number in range({times}):
    CorrectionStore(sys.argv[1]).add(np.full((28, 28), number, np.uint8), number % 10, None, sys.argv[2])
"""


def image(value: int = 1) -> np.ndarray:
    return np.full((28, 28), value, np.uint8)


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "runs" / "corrections.sqlite"


@pytest.fixture
def filled(file) -> CorrectionStore:
    """Two digits and a non-digit."""
    store = CorrectionStore(file)
    store.add(image(1), 7, 1, "shipped")
    store.add(image(2), None, 4, "shipped")
    store.add(image(3), 0, None, "shipped")
    return store


@contextmanager
def another_writer(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


@pytest.mark.parametrize("change", [np.asarray, np.transpose])
def test_what_was_added_comes_back(file, change):
    drawn = change(np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8))
    number = CorrectionStore(file).add(drawn, 7, 1, "shipped")
    (kept,) = CorrectionStore(file).all()
    assert (kept.id, kept.label, kept.read_as, kept.model) == (number, 7, 1, "shipped")
    np.testing.assert_array_equal(kept.image, drawn)
    age = datetime.now(UTC) - datetime.fromisoformat(kept.time)
    assert 0 <= age.total_seconds() < 60


def test_only_its_owner_may_read_the_file(filled):
    assert filled.path.stat().st_mode & 0o077 == 0


def test_samples_are_the_digits_then_the_non_digits(filled):
    assert filled.count() == 3
    samples = filled.samples()
    assert samples.classes.tolist() == [7, 0, NON_DIGIT]
    assert samples.images[:, 0, 0].tolist() == [1, 3, 2]
    assert samples.digits().labels.tolist() == [7, 0]


def test_an_empty_file_has_no_samples(file):
    store = CorrectionStore(file)
    assert store.count() == len(store.all()) == len(store.samples()) == 0


def test_of_two_corrections_of_an_image_the_later_counts(filled):
    filled.add(image(1), 9)
    filled.add(image(3), None)
    assert filled.count() == 5
    samples = filled.samples()
    assert samples.classes.tolist() == [9, NON_DIGIT, NON_DIGIT]
    assert samples.images[:, 0, 0].tolist() == [1, 2, 3]


def test_the_archive_of_samples_gives_them_back_and_is_a_source_of_its_digits(filled, tmp_path):
    samples, path = filled.samples(), tmp_path / "corrections.npz"
    save_corrections(path, samples)
    assert load_corrections(path).sha256() == load_corrections(filled.path).sha256() == samples.sha256()
    assert load_digits(path).sha256() == samples.digits().sha256()


def test_a_correction_is_deleted_once(filled):
    first = filled.all()[0].id
    assert filled.delete(first)
    for missing in (first, -1, 2**70):
        assert not filled.delete(missing)
    assert [each.label for each in filled.all()] == [None, 0]


def test_the_id_of_a_deleted_correction_is_never_used_again(filled):
    last = filled.all()[-1].id
    filled.delete(last)
    assert filled.add(image(), 5) > last
    filled.clear()
    assert filled.add(image(), 5) > last + 1


def test_clearing_leaves_nothing_of_the_images_on_the_disk(file):
    store = CorrectionStore(file)
    for number in range(40):
        store.add(np.frombuffer(b"handwriting!" * 66, np.uint8)[:784].reshape(28, 28), number % 10)
    assert store.clear() == 40
    assert store.clear() == 0
    left = b"".join(path.read_bytes() for path in file.parent.iterdir())
    assert b"handwriting!" not in left


@pytest.mark.parametrize(
    ("picture", "label", "read_as", "facts"),
    [
        *((image(), label, None, ("label", "0 to 9", repr(label))) for label in (10, -1, True, "7", 7.0)),
        (image(), 3, 11, ("read_as", "0 to 9", "11")),
        (np.zeros((28, 27), np.uint8), 7, None, ("(N, 28, 28)", "(1, 28, 27)")),
        (np.zeros((28, 28)), 7, None, ("uint8", "float64")),
        (np.zeros(784, np.uint8), 7, None, ("(N, 28, 28)", "(1, 784)")),
    ],
)
def test_a_wrong_image_or_label_is_not_added(file, picture, label, read_as, facts):
    store = CorrectionStore(file)
    assert says(refusal(lambda: store.add(picture, label, read_as)), *facts)
    assert store.count() == 0


def test_processes_may_create_the_file_and_add_to_it_together(file):
    command = [sys.executable, "-c", ADDING.format(times=25), str(file)]
    processes = [subprocess.Popen([*command, name], stderr=subprocess.PIPE) for name in ("a", "b", "c")]
    failures = [process.communicate(timeout=120)[1] for process in processes]
    assert failures == [b"", b"", b""]
    kept = CorrectionStore(file).all()
    assert len({each.id for each in kept}) == 75
    for name in ("a", "b", "c"):
        assert [each.image[0, 0] for each in kept if each.model == name] == list(range(25))


def test_threads_may_share_a_store(file):
    store = CorrectionStore(file)
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda each: store.add(image(each), each % 10), range(80)))
    assert len(set(numbers)) == 80
    assert sorted(each.image[0, 0] for each in store.all()) == list(range(80))


def test_what_was_added_is_there_after_the_process_was_killed(file):
    ending = ADDING.format(times=10) + "\nimport os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    subprocess.run([sys.executable, "-c", ending, str(file), "killed"], check=False)
    assert CorrectionStore(file).count() == 10


def test_while_another_program_writes_reading_works_and_changes_are_refused(filled, monkeypatch):
    monkeypatch.setattr(module, "BUSY_TIMEOUT_SECONDS", 0.05)
    with another_writer(filled.path):
        assert filled.count() == 3
        for change in (lambda: filled.add(image(), 1), lambda: filled.delete(1), filled.clear):
            assert says(refusal(change), filled.path, "another program")
    assert filled.count() == 3


def test_adding_waits_a_while_for_another_writer(filled):
    with another_writer(filled.path) as other:
        done = threading.Timer(0.3, other.execute, ["COMMIT"])
        done.start()
        filled.add(image(), 1)
        done.join()
    assert filled.count() == 4


def test_a_file_that_is_emptied_or_deleted_is_created_again(filled):
    filled.path.write_bytes(b"")
    assert filled.count() == 0
    filled.path.unlink()
    assert filled.add(image(), 1) == 1
    assert filled.count() == 1


def test_a_missing_or_empty_file_stays_so_if_it_is_only_read(file):
    assert says(refusal(lambda: CorrectionStore(file, create=False)), file, "digits serve --corrections")
    assert not file.parent.exists()
    file.parent.mkdir()
    file.touch()
    assert says(refusal(lambda: CorrectionStore(file, create=False)), file, "not a file of corrections")
    assert not file.read_bytes()


def test_damage_anywhere_is_reported_or_harmless(file):
    """Cut the file, or change a block of it: an error of ours, or everything is there."""
    store = CorrectionStore(file)
    for number in range(30):
        store.add(image(number), number % 10)
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
        message = ""
        try:
            found = CorrectionStore(file, create=False).all()
        except DigitsError as error:
            found, message = [], str(error)
        assert all(each.image.shape == (28, 28) for each in found)
        assert found or str(file) in message
        for beside in file.parent.glob(f"{file.name}-*"):
            beside.unlink()


def test_a_file_does_not_grow_beyond_its_limit(filled, monkeypatch):
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 5 * 4096)
    numbers = iter(range(100))
    message = refusal(lambda: any(filled.add(image(number), 1) == 0 for number in numbers))
    assert says(message, filled.path, "full")
    assert 3 < filled.count() < 100
    filled.clear()
    filled.add(image(), 1)


def test_corrections_in_a_folder_that_is_not_writable_can_be_read(filled, monkeypatch):
    monkeypatch.setattr(module.os, "access", lambda _path, mode: mode != os.W_OK)
    assert CorrectionStore(filled.path, create=False).count() == 3


def test_if_the_log_cannot_be_written_nothing_is_changed(filled):
    log = filled.path.with_name(f"{filled.path.name}-wal")
    log.mkdir()
    assert says(refusal(lambda: filled.add(image(), 1)), "cannot write", filled.path)
    log.rmdir()
    assert filled.count() == 3


def test_a_copy_of_the_file_alone_is_complete(filled, tmp_path):
    copy = shutil.copy(filled.path, tmp_path / "copy.sqlite")
    assert CorrectionStore(copy).count() == 3


# Numbers


PICTURE = np.arange(40 * 90, dtype=np.uint32).reshape(40, 90).astype(np.uint8)


def images(count: int) -> np.ndarray:
    return np.array([image(100 + place) for place in range(count)], np.uint8).reshape(-1, 28, 28)


def test_a_number_that_was_added_comes_back(filled):
    number = filled.add_number(PICTURE, "13.50", "18.50", images(5), "shipped")
    (kept,) = CorrectionStore(filled.path).numbers()
    assert (kept.id, kept.text, kept.read_as, kept.model) == (number, "13.50", "18.50", "shipped")
    np.testing.assert_array_equal(kept.picture, PICTURE)
    np.testing.assert_array_equal(kept.images, images(5))
    assert datetime.fromisoformat(kept.time).tzinfo is not None
    assert (filled.count(), len(filled.all())) == (4, 3)


@pytest.mark.parametrize(
    ("text", "read_as", "pairs"),
    [
        ("47", "97", [(0, 4), (1, 7)]),
        ("13.50", "18.50", [(0, 1), (1, 3), (3, 5), (4, 0)]),
        ("13.50", "18150", [(0, 1), (1, 3), (3, 5), (4, 0)]),
        ("13.50", "1350", [(0, 1), (1, 3), (2, 5), (3, 0)]),
        ("1350", "13.50", [(0, 1), (1, 3), (3, 5), (4, 0)]),
        ("-5", "15", [(1, 5)]),
        ("47", "4", []),
        ("4", "47", []),
        ("47", "", []),
    ],
)
def test_single_digits_are_learned_from_a_number_if_it_says_which_is_which(file, text, read_as, pairs):
    store = CorrectionStore(file)
    store.add_number(PICTURE, text, read_as, images(len(read_as)))
    samples = store.samples()
    assert samples.classes.tolist() == [digit for _, digit in pairs]
    assert samples.images[:, 0, 0].tolist() == [100 + place for place, _ in pairs]
    store.clear()
    store.add_number(PICTURE, text, read_as)
    assert len(store.samples()) == 0


def test_digits_of_numbers_and_single_ones_are_samples_together(filled):
    filled.add_number(PICTURE, "47", "41", np.stack([image(9), image(1)]))
    samples = filled.samples()
    assert samples.classes.tolist() == [0, 4, 7, NON_DIGIT]
    assert samples.images[:, 0, 0].tolist() == [3, 9, 1, 2]


def test_a_number_is_deleted_once_and_never_its_namesake_among_the_digits(filled):
    assert not filled.delete_number(1)
    number = filled.add_number(PICTURE, "47")
    assert number == 1
    assert filled.delete_number(number)
    assert not filled.delete_number(number)
    assert [each.id for each in filled.all()] == [1, 2, 3]
    assert filled.add_number(PICTURE, "47") == 2


def test_clearing_leaves_nothing_of_numbers_on_the_disk(filled):
    marks = np.frombuffer(b"handwriting!" * 66, np.uint8)[:784].reshape(1, 28, 28)
    for _ in range(20):
        filled.add_number(PICTURE, "7", "1", marks)
    assert filled.clear() == 23
    assert (filled.count(), filled.numbers()) == (0, [])
    left = b"".join(path.read_bytes() for path in filled.path.parent.iterdir())
    assert b"handwriting!" not in left
    assert b"IHDR" not in left


def test_a_file_without_numbers_stays_readable_by_older_versions(filled):
    def version() -> int:
        with closing(sqlite3.connect(filled.path)) as database:
            return int(database.execute("PRAGMA user_version").fetchone()[0])

    assert (version(), filled.numbers()) == (1, [])
    filled.add_number(PICTURE, "47")
    assert version() == 2
    assert [each.label for each in filled.all()] == [7, None, 0]


@pytest.mark.parametrize(
    ("given", "facts"),
    [
        ((PICTURE, ""), ["text", "1 to 100"]),
        ((PICTURE, "7" * 101), ["text", "1 to 100"]),
        ((PICTURE, "13.50 €"), ["text", "€"]),
        ((PICTURE, None), ["text", "None"]),
        ((PICTURE, "47", "4l"), ["read_as", "4l"]),
        ((PICTURE, "47", "97", images(1)), ["images", "2", "1"]),
        ((PICTURE, "47", "97", images(2)[:, :27]), ["(N, 28, 28)"]),
        ((PICTURE.astype(float), "47"), ["uint8", "float64"]),
        ((PICTURE[0], "47"), ["(height, width)", "(90,)"]),
        ((PICTURE[:0], "47"), ["(0, 90)"]),
        ((np.zeros((1001, 1000), np.uint8), "47"), ["1,000,000", "(1001, 1000)"]),
    ],
)
def test_a_wrong_number_is_not_added(filled, given, facts):
    assert says(refusal(lambda: filled.add_number(*given)), *facts)
    assert filled.count() == 3


@pytest.mark.parametrize(
    ("statement", "facts"),
    [
        ("UPDATE numbers SET picture = x'00'", ["number 1"]),
        ("UPDATE numbers SET text = 'seven'", ["number 1", "seven"]),
        ("UPDATE numbers SET text = 47, read_as = x'0001'", ["number 1"]),
    ],
)
def test_a_damaged_number_is_named(filled, statement, facts):
    filled.add_number(PICTURE, "47", "97", images(2))
    with closing(sqlite3.connect(filled.path)) as database, database:
        database.execute(statement)
    assert says(refusal(filled.numbers), filled.path, "damaged", *facts)
    assert says(refusal(filled.samples), filled.path, "damaged", *facts)
