"""The bytes of a picture, from anywhere, to a grey page: formats, sizes and orientation are checked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from digit_recognizer.errors import DigitsError

__all__ = ["FORMATS", "MAX_PIXELS", "decode"]

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")  # by content; a file's name plays no part
MAX_PIXELS = 25_000_000  # a 300 dpi scan of a page has 9 million, a telephone's photo 12 million
WHITE = (255, 255, 255, 255)
SIXTEEN_BITS = 65535


def decode(picture: bytes | str | Path, name: str = "the picture") -> NDArray[np.uint8]:
    """Decode a picture into a grey page, upright, as a viewer would show it.

    Of several frames or pages the first counts. Transparent parts are white, colours become their
    luminance (ITU-R 601-2), 16-bit greys their upper eight bits.

    Parameters
    ----------
    picture
        The file's bytes, or where it lies: PNG, JPEG, WebP, BMP, GIF or TIFF, at most 25 megapixels.
    name
        What errors call a picture given as bytes; a file is called by its path.

    Returns
    -------
    NDArray[np.uint8]
        Shape (height, width): 0 black to 255 white, whatever is ink and whatever paper.

    Raises
    ------
    DigitsError
        There is no such file, it is no picture in these formats, it is damaged, or too large.
    """
    name = name if isinstance(picture, bytes) else str(picture)
    try:
        with _stream(picture) as stream:
            return _decode(stream, name)
    except OSError as error:
        raise DigitsError(f"cannot read {name}: {error.strerror or error}") from error


@contextmanager
def _stream(picture: bytes | str | Path) -> Iterator[IO[bytes]]:
    if isinstance(picture, bytes):
        yield BytesIO(picture)
        return
    with Path(picture).open("rb") as stream:
        yield stream


def _decode(stream: IO[bytes], name: str) -> NDArray[np.uint8]:
    too_large = f"{name} has more than {MAX_PIXELS // 1_000_000} megapixels: make it smaller first"
    try:
        with Image.open(stream, formats=FORMATS) as image:  # reads the header alone
            if image.width * image.height > MAX_PIXELS:
                raise DigitsError(too_large)
            return _grey(image, name)
    except DigitsError:
        raise
    except UnidentifiedImageError as error:
        raise DigitsError(f"{name} is not a picture: expected PNG, JPEG, WebP, BMP, GIF or TIFF") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DigitsError(too_large) from error
    except Exception as error:  # a damaged file can make Pillow's decoders raise nearly anything
        if isinstance(error, OSError) and error.strerror:  # the disk, not the picture
            raise
        raise DigitsError(f"{name} is damaged or incomplete: {error}") from error


def _grey(image: Image.Image, name: str) -> NDArray[np.uint8]:
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I") or upright.mode == "F":
        return _upper_bits(np.asarray(upright), name)
    if upright.has_transparency_data:
        ink = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", ink.size, WHITE), ink)
    return np.array(upright.convert("L"))


def _upper_bits(page: NDArray[np.generic], name: str) -> NDArray[np.uint8]:
    """Bring 16-bit greys, which Pillow also hands out as 32-bit integers, to 0 to 255."""
    if page.dtype.kind not in "iu" or page.min() < 0 or page.max() > SIXTEEN_BITS:
        raise DigitsError(f"{name} has pixels of {page.dtype}: expected 8 or 16 bits each")
    return (page.astype(np.uint16) >> 8).astype(np.uint8)
