"""Files are written completely or not at all."""

from __future__ import annotations

import errno
import json
import os
import stat
import threading
from pathlib import Path

import pytest

from digit_recognizer import files
from digit_recognizer.files import remove_partial_files, replacing, write_json, write_text
from helpers import files_in, refusal, says


def test_text_and_json_arrive_in_utf_8_with_newlines_on_every_system(tmp_path):
    write_text(tmp_path / "a.txt", "größer\n2\n")
    write_json(tmp_path / "a.json", {"wort": "größer", "n": [1]})
    assert (tmp_path / "a.txt").read_bytes() == "größer\n2\n".encode()
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"wort": "größer", "n": [1]}
    assert (tmp_path / "a.json").read_bytes().endswith(b"}\n")


def test_the_old_file_is_there_until_the_block_ends(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with replacing(target) as path:
        path.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert files_in(tmp_path) == ["a.txt"]


def _write_half(target: Path, failure: type[BaseException]) -> None:
    with replacing(target) as path:
        path.write_text("half")
        raise failure


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_file_and_no_temporary_one(tmp_path, failure):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(failure):
        _write_half(target, failure)
    assert target.read_text() == "old"
    assert files_in(tmp_path) == ["a.txt"]


def test_a_link_stays_a_link_and_what_it_points_at_is_replaced(tmp_path):
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to("real.txt")
    write_text(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"


def test_a_named_pipe_is_written_directly(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()))
    reader.start()
    write_text(pipe, "through")
    reader.join(timeout=10)
    assert received == ["through"]
    assert pipe.is_fifo()


def test_an_open_pipe_without_a_path_is_written_directly():
    reading, writing = os.pipe()
    write_text(Path(f"/dev/fd/{writing}"), "through")
    os.close(writing)
    with open(reading) as pipe:  # noqa: PTH123
        assert pipe.read() == "through"


def test_a_pipe_without_a_reader_raises_its_own_error():
    reading, writing = os.pipe()
    os.close(reading)
    with pytest.raises(BrokenPipeError):
        write_text(Path(f"/dev/fd/{writing}"), "through")
    os.close(writing)


def test_the_null_device_is_written_directly():
    with replacing(Path(os.devnull)) as path:
        path.write_text("gone")
        assert path == Path(os.devnull)
    assert not Path(os.devnull).is_file()


def test_a_full_disk_is_an_error_that_names_the_file_and_leaves_the_old_one(tmp_path, monkeypatch):
    def full(_path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = tmp_path / "a.txt"
    target.write_text("old")
    monkeypatch.setattr(files, "_flush_to_disk", full)
    assert says(
        refusal(lambda: write_text(target, "new")), f"cannot write {target}", "No space left on device"
    )
    assert target.read_text() == "old"
    assert files_in(tmp_path) == ["a.txt"]


def test_a_folder_that_cannot_be_flushed_is_an_error_that_says_that_the_file_is_written(
    tmp_path, monkeypatch
):
    def failing(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    target = tmp_path / "a.txt"
    target.write_text("old")
    monkeypatch.setattr(os, "fsync", failing)
    assert says(refusal(lambda: write_text(target, "new")), f"{target} is written", "Input/output error")
    assert target.read_text() == "new"
    assert files_in(tmp_path) == ["a.txt"]


def test_a_missing_folder_is_an_error_that_names_the_file(tmp_path):
    target = tmp_path / "no" / "a.txt"
    assert says(refusal(lambda: write_text(target, "new")), target, "No such file")


def test_only_the_temporary_files_of_killed_processes_are_deleted(tmp_path):
    (tmp_path / "below").mkdir()
    for name in (".a.txt.123.part", "below/.b.txt.9.part", "a.txt", "below/.hidden", "c.part"):
        (tmp_path / name).write_text("x")
    remove_partial_files(tmp_path)
    assert files_in(tmp_path) == ["a.txt", "below/.hidden", "c.part"]
