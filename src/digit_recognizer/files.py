"""Writing files whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from digit_recognizer.errors import DigitsError

PARTIAL = ".part"  # ends the name of a file that is still being written


def make_directory(folder: Path) -> None:
    """Make a folder, and those above it, where it is not there; `DigitsError` if it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DigitsError(f"cannot write the folder {folder}: {error.strerror or error}") from error


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a temporary name beside `target`; put what was written there in its place at the end.

    A reader sees the old file or the new one, never a part, even if the process or the machine dies
    in between. If the block raises, the temporary file is removed and `target` stays as it was. A
    target that is no regular file (``/dev/stdout``, a named pipe) is written directly; `BrokenPipeError`
    where nobody reads it any more.

    Parameters
    ----------
    target
        The file to write; its folder must exist.

    Yields
    ------
    Path
        Where to write.

    Raises
    ------
    DigitsError
        The file cannot be written: no such folder, no permission, no space left.
    """
    try:
        if target.exists() and not target.is_file():
            yield target  # not resolved: a pipe that /dev/stdout leads to has no path
            return
        real = target.resolve()
        partial = real.with_name(f".{real.name}.{os.getpid()}{PARTIAL}")
        try:
            yield partial
            _flush_to_disk(partial)
            os.replace(partial, real)
            _flush_to_disk(real.parent)
        except BaseException:
            with suppress(OSError):
                partial.unlink()
            raise
    except BrokenPipeError:
        raise
    except OSError as error:
        raise DigitsError(f"cannot write {target}: {error.strerror or error}") from error


def write_text(target: Path, text: str) -> None:
    """Write `text` in UTF-8 to `target`, whole or not at all."""
    with replacing(target) as path:
        path.write_text(text, encoding="utf-8", newline="\n")


def write_json(target: Path, value: Any) -> None:
    """Write `value` as indented JSON to `target`, whole or not at all."""
    write_text(target, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def remove_partial_files(folder: Path) -> None:
    """Remove what a killed process left half-written anywhere below `folder`."""
    for path in folder.rglob(f".*{PARTIAL}"):
        path.unlink(missing_ok=True)


def _flush_to_disk(path: Path) -> None:
    """Wait until what was written to a file, or the names in a folder, would survive a power cut."""
    if os.name == "nt" and path.is_dir():  # Windows opens no folders
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
