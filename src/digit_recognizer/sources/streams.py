"""Open files of digits: as they are stored, unpacked, and as zip archives; errors name the file."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from digit_recognizer.errors import DigitsError

MAX_UNPACKED_BYTES = 2 * 1024**3  # ten times the largest known file of digits
BUFFER_BYTES = 1 << 20
ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")  # with members, and without any
UNPACKERS: dict[bytes, Callable[[Any], Any]] = {  # by the first bytes; names are often wrong
    b"\x1f\x8b": lambda stream: gzip.GzipFile(fileobj=stream),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
}

OnProgress = Callable[[float], None]  # receives the fraction that is done, 0 to 1


@contextmanager
def open_raw(path: Path) -> Iterator[io.BufferedReader]:
    """Open a file as it is on the disk; `DigitsError` if reading it fails, also inside the block."""
    with errors_name(str(path)), path.open("rb") as file:
        yield file


@contextmanager
def unpacked(
    file: Any,
    name: str,
    size: int = 0,
    on_progress: OnProgress | None = None,
    buffer_bytes: int = BUFFER_BYTES,
) -> Iterator[io.BufferedReader]:
    """Read the uncompressed bytes of an open file, `MAX_UNPACKED_BYTES` at most."""
    stream = unpacker(file)(file)

    def report() -> None:
        if on_progress is not None and size:
            on_progress(min(1.0, file.tell() / size))

    yield io.BufferedReader(_Limited(stream, name, report), buffer_bytes)


def unpacker(file: Any) -> Callable[[Any], Any]:
    """Return what unpacks an open file, according to its first bytes."""
    magic = file.peek(8)[:8]
    return next((unpack for start, unpack in UNPACKERS.items() if magic.startswith(start)), lambda same: same)


@contextmanager
def open_zip(file: Any, name: str) -> Iterator[ZipFile]:
    """Open an open file as a zip archive."""
    try:
        archive = ZipFile(file)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise DigitsError(
            f"{name} is not a zip archive, or it is damaged or incomplete: download it again"
        ) from error
    with archive:
        yield archive


@contextmanager
def errors_name(name: str) -> Iterator[None]:
    """Raise `DigitsError` with the file's name for everything that can go wrong while it is read."""
    try:
        yield
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        gzip.BadGzipFile,
    ) as error:
        raise DigitsError(f"{name} is damaged or incomplete ({error}): download it again") from error
    except RuntimeError as error:  # zipfile: the member is encrypted, or its compression is unknown
        raise DigitsError(f"{name} cannot be unpacked ({error}): create the archive again") from error
    except OSError as error:
        raise DigitsError(f"cannot read {name}: {error.strerror or error}") from error


class _Limited(io.RawIOBase):
    """A stream that fails after `MAX_UNPACKED_BYTES`, so that a small file cannot fill the memory."""

    def __init__(self, stream: Any, name: str, on_read: Callable[[], None]) -> None:
        self._stream = stream
        self._name = name
        self._on_read = on_read
        self._bytes_left = MAX_UNPACKED_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count: int = self._stream.readinto(buffer)
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise DigitsError(
                f"{self._name} holds more than {MAX_UNPACKED_BYTES} bytes, too many for a set of digits"
            )
        self._on_read()
        return count
