"""HEIC, as iPhones write it, with libheif; and which of its relatives a file is."""

from __future__ import annotations

from typing import IO, Any, Literal

import numpy as np
from PIL import Image, features

from digit_recognizer.errors import DigitsError, first_line

HEAD_BYTES = 64  # of the box that names the kinds that a file can be read as
HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
AVIF_BRANDS = {b"avif", b"avis"}
BYTES_PER_PIXEL = 6  # of memory that decoding takes, measured


def find_kind(stream: IO[bytes]) -> Literal["HEIC", "AVIF"] | None:
    """Return which of the two a file is, by its first bytes; rewind it."""
    head = stream.read(HEAD_BYTES)
    stream.seek(0)
    if head[4:8] != b"ftyp":
        return None
    length = min(int.from_bytes(head[:4]), len(head))
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, length - 3, 4))}
    if brands & AVIF_BRANDS:
        return "AVIF"
    return "HEIC" if brands & HEIC_BRANDS else None


def check_avif(name: str) -> None:
    """Raise `DigitsError` if this Pillow cannot decode AVIF."""
    if not ("avif" in features.modules and features.check("avif")):
        raise DigitsError(f"{name} is an AVIF, which needs Pillow 11.3 or newer: run pip install -U pillow")


def open_heic(stream: IO[bytes], name: str) -> Any:
    """Return the main picture of a HEIC, not yet decoded; libheif will rotate it upright."""
    try:
        import pillow_heif
    except ImportError as error:
        raise DigitsError(
            f'{name} is a HEIC, which needs the package pillow-heif: run pip install "digit-recognizer[heic]"'
        ) from error
    try:
        file = pillow_heif.open_heif(stream, convert_hdr_to_8bit=True)
        return file[file.primary_index]
    except Exception as error:  # libheif's errors have no common base class
        raise DigitsError(f"{name} is damaged or incomplete: {first_line(error)}") from error


def decoded_rows(picture: Any, name: str) -> Any:
    """Decode a picture of `open_heic`; return a function that gives some of its rows as a Pillow image."""
    try:
        pixels = np.asarray(picture)
    except Exception as error:
        raise DigitsError(f"{name} is damaged or incomplete: {first_line(error)}") from error
    width = picture.size[0]
    return lambda top, bottom: Image.fromarray(np.ascontiguousarray(pixels[top:bottom, :width]))
