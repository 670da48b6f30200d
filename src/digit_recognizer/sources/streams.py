"""The bytes of a file, or of a zip archive's member, whatever compresses them."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, cast

from digit_recognizer.errors import DigitsError

MAX_BYTES = 2 * 1024**3  # uncompressed; ten times what the largest file of digits takes
BUFFER = 1 << 20  # bytes
GZIP_MAGIC = b"\x1f\x8b"
ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")  # with members, and without any
HIDDEN = ("__MACOSX", ".")  # what macOS adds to archives, and hidden files


@contextmanager
def opened(path: Path, member: str | None = None) -> Iterator[IO[bytes]]:
    """Give the uncompressed bytes of a file, plain or gzip, or of one member of a zip archive.

    Whatever goes wrong while they are read, in the block too, is raised as `DigitsError`: no such
    file, no permission, damaged, incomplete, encrypted, more than 2 GiB.
    """
    name = name_of(path, member)
    try:
        with ExitStack() as files:
            raw = _opened(files, path, member)
            yield files.enter_context(io.BufferedReader(_Limited(raw, name), BUFFER))
    except (zipfile.BadZipFile, zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise DigitsError(f"{name} is damaged or incomplete ({error}): fetch it again") from error
    except (RuntimeError, NotImplementedError) as error:  # zipfile's: encrypted, or packed too cleverly
        raise DigitsError(f"{name} cannot be unpacked ({error}): make the archive anew") from error
    except OSError as error:
        raise DigitsError(f"cannot read {path}: {error.strerror or error}") from error


def read_whole(path: Path) -> bytes:
    """Return all uncompressed bytes of a file, plain or gzip."""
    with opened(path) as stream:
        return stream.read()


def head(path: Path, size: int = 4) -> bytes:
    """Return the first bytes of a file as they lie on the disk."""
    try:
        with path.open("rb") as stream:
            return stream.read(size)
    except OSError as error:
        raise DigitsError(f"cannot read {path}: {error.strerror or error}") from error


def members(path: Path) -> list[str]:
    """Return the names of the files in a zip archive, without hidden ones, the shallowest first."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise DigitsError(f"{path} is no zip archive, or damaged or incomplete: fetch it again") from error
    except OSError as error:
        raise DigitsError(f"cannot read {path}: {error.strerror or error}") from error
    shown = [name for name in names if not any(p.startswith(HIDDEN) for p in PurePosixPath(name).parts)]
    return sorted(shown, key=lambda name: (name.count("/"), name))


def name_of(path: Path, member: str | None = None) -> str:
    """Return what errors call a file or a member of an archive."""
    return str(path) if member is None else f"{path}: {member}"


def _opened(files: ExitStack, path: Path, member: str | None) -> IO[bytes]:
    if member is not None:
        archive = files.enter_context(zipfile.ZipFile(path))
        return files.enter_context(archive.open(member))
    stream = files.enter_context(path.open("rb"))
    if stream.peek(2)[:2] != GZIP_MAGIC:
        return stream
    return cast("IO[bytes]", files.enter_context(gzip.GzipFile(fileobj=stream)))


class _Limited(io.RawIOBase):
    """A stream that ends in an error after `MAX_BYTES`, so that no small file fills the memory."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._stream = stream
        self._name = name
        self._left = MAX_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        chunk = self._stream.read(len(buffer))
        self._left -= len(chunk)
        if self._left < 0:
            raise DigitsError(f"{self._name} holds more than {MAX_BYTES} bytes: that is no set of digits")
        buffer[: len(chunk)] = chunk
        return len(chunk)
