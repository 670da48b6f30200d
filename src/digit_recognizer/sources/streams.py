"""Open files of digits: plain files, gzip files, and members of zip archives."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, cast
from zipfile import ZipFile

from digit_recognizer.errors import DigitsError

MAX_UNPACKED_BYTES = 2 * 1024**3  # ten times the largest known file of digits
BUFFER_BYTES = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"
ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")  # with members, and without any
HIDDEN_PREFIXES = ("__MACOSX", ".")  # what macOS adds to archives, and hidden files


@contextmanager
def open_raw(path: Path) -> Iterator[io.BufferedReader]:
    """Open a file as it is on the disk; `DigitsError` if reading it fails, also inside the block."""
    with _errors_name(str(path)), path.open("rb") as file:
        yield file


@contextmanager
def open_unpacked(path: Path) -> Iterator[IO[bytes]]:
    """Open a plain or gzip file for reading its uncompressed bytes, `MAX_UNPACKED_BYTES` at most."""
    with open_raw(path) as file:
        is_gzip = file.peek(2)[:2] == GZIP_MAGIC
        stream = cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if is_gzip else file
        yield io.BufferedReader(_Limited(stream, str(path)), BUFFER_BYTES)


@contextmanager
def open_zip(file: io.BufferedReader) -> Iterator[ZipFile]:
    """Open an open file as a zip archive."""
    try:
        archive = ZipFile(file)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise DigitsError(
            f"{file.name} is not a zip archive, or it is damaged or incomplete: download it again"
        ) from error
    with archive:
        yield archive


@contextmanager
def open_member(archive: ZipFile, member: str) -> Iterator[IO[bytes]]:
    """Open a member of a zip archive for reading, `MAX_UNPACKED_BYTES` at most."""
    name = member_path(archive, member)
    with _errors_name(name), archive.open(member) as stream:
        yield io.BufferedReader(_Limited(stream, name), BUFFER_BYTES)


def member_names(archive: ZipFile) -> list[str]:
    """Return the names of the files in an archive, without hidden ones, those in the fewest folders first."""
    names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    shown = [
        name for name in names if not any(p.startswith(HIDDEN_PREFIXES) for p in PurePosixPath(name).parts)
    ]
    return sorted(shown, key=lambda name: (name.count("/"), name))


def member_path(archive: ZipFile, member: str) -> str:
    """Return how error messages name a member of an archive."""
    return f"{archive.filename}: {member}"


@contextmanager
def _errors_name(name: str) -> Iterator[None]:
    """Raise `DigitsError` with the file's name for everything that can go wrong while it is read."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise DigitsError(f"{name} is damaged or incomplete ({error}): download it again") from error
    except RuntimeError as error:  # zipfile: the member is encrypted, or its compression is unknown
        raise DigitsError(f"{name} cannot be unpacked ({error}): create the archive again") from error
    except OSError as error:
        raise DigitsError(f"cannot read {name}: {error.strerror or error}") from error


class _Limited(io.RawIOBase):
    """A stream that fails after `MAX_UNPACKED_BYTES`, so that a small file cannot fill the memory."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._stream = stream
        self._name = name
        self._bytes_left = MAX_UNPACKED_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        chunk = self._stream.read(len(buffer))
        self._bytes_left -= len(chunk)
        if self._bytes_left < 0:
            raise DigitsError(
                f"{self._name} holds more than {MAX_UNPACKED_BYTES} bytes, too many for a set of digits"
            )
        buffer[: len(chunk)] = chunk
        return len(chunk)
