"""Write files completely or not at all."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from digit_recognizer.errors import DigitsError

PARTIAL_SUFFIX = ".part"  # of a file that is still being written


def make_directory(folder: Path) -> None:
    """Create a folder and its parents if they are missing; `DigitsError` if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DigitsError(f"cannot create the folder {folder}: {error.strerror or error}") from error


def check_can_create(folder: Path) -> None:
    """Raise `DigitsError` unless a folder can be created, with its missing parents, or written into."""
    try:
        existing = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
        _try_to_write(existing)
    except OSError as error:
        raise DigitsError(f"cannot create the folder {folder}: {error.strerror or error}") from error


def check_can_write(target: Path) -> None:
    """Raise `DigitsError` unless `replacing` can write a file: to refuse before slow work."""
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        _check_has_folder(target)
        if target.is_file() or not target.exists():  # a pipe or a device is opened when there is something
            _try_to_write(target.resolve().parent)
    except OSError as error:
        raise DigitsError(f"cannot write {target}: {error.strerror or error}") from error


def _check_has_folder(target: Path) -> None:
    """Raise `DigitsError` if the folder of a file to write does not exist."""
    folder = target.parent
    if not folder.exists():
        raise DigitsError(f"cannot write {target}: there is no folder {folder}; create it first")


def _try_to_write(folder: Path) -> None:
    """Create something in a folder: permissions alone say nothing about the file system or about root."""
    import tempfile  # with what it imports, a megabyte of memory

    Path(tempfile.mkdtemp(PARTIAL_SUFFIX, ".", folder)).rmdir()


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a temporary file in the folder of `target`, and rename it to `target` after the block.

    Other processes see the old file or the new one, never a part, even if this process or the machine stops
    in between. If the block raises, the temporary file is deleted and `target` stays as it was. A target
    that is not a regular file (``/dev/stdout``, a named pipe) is written directly, which raises
    `BrokenPipeError` if its reader is gone. `DigitsError` if the file cannot be written.
    """
    try:
        if target.exists() and not target.is_file():
            yield target  # not resolved: /dev/stdout may be a link to a pipe, which has no path
            return
        real = target.resolve()
        partial = real.with_name(f".{real.name}.{os.getpid()}{PARTIAL_SUFFIX}")
        try:
            yield partial
            _flush_to_disk(partial)
            os.replace(partial, real)
        except BaseException:
            with suppress(OSError):
                partial.unlink()
            raise
        _flush_name_to_disk(target, real.parent)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise DigitsError(f"cannot write {target}: {error.strerror or error}") from error


def write_text(target: Path, text: str) -> None:
    """Write `text` as UTF-8 to `target`, completely or not at all."""
    with replacing(target) as path:
        path.write_text(text, encoding="utf-8", newline="\n")


def write_json(target: Path, value: Any) -> None:
    """Write `value` as indented JSON to `target`, completely or not at all."""
    write_text(target, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def remove_partial_files(folder: Path) -> None:
    """Delete the temporary files that a killed process left anywhere below `folder`."""
    for path in folder.rglob(f".*{PARTIAL_SUFFIX}"):
        path.unlink(missing_ok=True)


def _flush_name_to_disk(target: Path, folder: Path) -> None:
    """Let the name of a file that is written survive a power failure; `DigitsError` if it might not."""
    try:
        _flush_to_disk(folder)
    except OSError as error:
        reason = error.strerror or error
        raise DigitsError(f"{target} is written, but a power failure might lose it: {reason}") from error


def _flush_to_disk(path: Path) -> None:
    """Wait until a file's content, or the names in a folder, would survive a power failure."""
    if os.name == "nt" and path.is_dir():  # Windows cannot open folders
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
