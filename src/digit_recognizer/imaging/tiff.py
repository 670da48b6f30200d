"""The pages of a TIFF, from its directories alone (TIFF 6.0, section 2; BigTIFF)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from digit_recognizer.errors import DigitsError

MAX_DIRECTORIES = 1_000
MAX_ENTRIES = 1_000  # of a directory; cameras write some hundred
SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
SUBFILE_TYPE = 254  # the tag that tells pages from thumbnails and masks
NO_PAGE = 0b101  # bits of that tag: a smaller copy of another page, or a mask
TYPE_BYTES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)  # of one value of each type


@dataclass(frozen=True, slots=True)
class _Layout:
    """How numbers are written in one file."""

    order: str  # of bytes, "<" or ">"
    is_big: bool

    @property
    def count_format(self) -> str:
        return self.order + ("Q" if self.is_big else "H")

    @property
    def entry_format(self) -> str:
        return self.order + ("HHQQ" if self.is_big else "HHII")

    @property
    def offset_format(self) -> str:
        return self.order + ("Q" if self.is_big else "I")


def is_tiff(stream: IO[bytes]) -> bool:
    """Return whether a file is a TIFF, by its first bytes; rewind it."""
    head = stream.read(4)
    stream.seek(0)
    return head in SIGNATURES


def find_pages(stream: IO[bytes], name: str) -> list[int]:
    """Return the places of the pages among all directories, without thumbnails and masks; rewind the file.

    `DigitsError` is raised if it has too many directories or entries, or if these together claim more values
    than the file has bytes: Pillow would keep them all in memory.
    """
    size = stream.seek(0, 2)
    kinds = list(_subfile_types(stream, size, name))
    stream.seek(0)
    return [place for place, kind in enumerate(kinds) if not kind & NO_PAGE] or [0]


def _subfile_types(stream: IO[bytes], size: int, name: str) -> Iterator[int]:
    """Yield the subfile type of each directory."""
    stream.seek(0)
    head = stream.read(16)
    if len(head) < 8:
        return
    layout = _Layout("<" if head[:1] == b"I" else ">", head[2:3] == b"+" or head[3:4] == b"+")
    if layout.is_big and len(head) < 16:
        return
    place: int = struct.unpack_from(layout.offset_format, head, 8 if layout.is_big else 4)[0]
    seen = set[int]()
    claimed = 0
    while place and place not in seen:
        if len(seen) == MAX_DIRECTORIES:
            raise DigitsError(f"{name} has more than {MAX_DIRECTORIES:,} pages: split it")
        seen.add(place)
        entries, place = _read_directory(stream, place, layout, name)
        claimed += sum(TYPE_BYTES[kind] * count for _, kind, count, _ in entries if kind < len(TYPE_BYTES))
        if claimed > size:
            raise DigitsError(f"{name} is damaged: its directories claim more bytes than it has")
        yield next((_value(kind, field, layout) for tag, kind, _, field in entries if tag == SUBFILE_TYPE), 0)


def _read_directory(
    stream: IO[bytes], place: int, layout: _Layout, name: str
) -> tuple[list[tuple[int, int, int, int]], int]:
    """Return the entries (tag, type, count, value) of a directory, and where the next is; 0 at the end."""
    stream.seek(place)
    try:
        (count,) = struct.unpack(layout.count_format, stream.read(struct.calcsize(layout.count_format)))
        if count > MAX_ENTRIES:
            raise DigitsError(f"{name} is damaged: a directory has {count:,} entries")
        content = stream.read(count * struct.calcsize(layout.entry_format))
        entries = list(struct.iter_unpack(layout.entry_format, content))
        (following,) = struct.unpack(layout.offset_format, stream.read(struct.calcsize(layout.offset_format)))
    except struct.error as error:
        raise DigitsError(f"{name} is damaged or incomplete: a directory of it ends early") from error
    return entries, following


def _value(kind: int, field: int, layout: _Layout) -> int:
    """Return the integer in the field of an entry, whose first bytes hold it."""
    bits = 8 * TYPE_BYTES[kind] if kind < len(TYPE_BYTES) else 0
    field_bits = 64 if layout.is_big else 32
    if not 0 < bits <= field_bits:
        return 0
    return field & ((1 << bits) - 1) if layout.order == "<" else field >> (field_bits - bits)
