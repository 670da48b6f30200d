"""Decode a picture, in any of several formats, to a grey page; check its format, size and orientation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from digit_recognizer.digits import INK
from digit_recognizer.errors import DigitsError, first_line
from digit_recognizer.imaging import pdf

Picture = bytes | str | Path | IO[bytes] | Image.Image | NDArray[Any]

FORMATS = ("PNG", "JPEG", "WebP", "BMP", "GIF", "TIFF", "PDF")  # recognised by content, not by file name
MAX_PIXELS = 25_000_000  # a scan of a page at 300 dpi has 9 million, a phone photo 12 million
MAX_BYTES = 200_000_000  # of a file; 25 million uncompressed pixels of four 16-bit channels
MAX_SIDE_PX = 65_535  # Pillow needs eight bytes for each row, however short
WEBP_PIXELS_FRACTION = 0.4  # of the pixels allowed in other formats: the decoder needs four times the memory
WHITE = 255
MAX_16_BIT = 65_535
MEGAPIXEL = 1_000_000


def decode(
    picture: Picture,
    name: str = "the file",
    *,
    page: int = 1,
    formats: Sequence[str] = FORMATS,
    max_pixels: int = MAX_PIXELS,
) -> NDArray[np.uint8]:
    """Decode a picture to an upright grey page.

    The first frame of an animation and the first page of a TIFF are decoded. Transparent areas become white,
    colours become their luminance (ITU-R 601-2), and 16-bit greys are reduced to their upper eight bits.

    Parameters
    ----------
    picture
        A path, the bytes of a file, or a file object open for reading bytes: PNG, JPEG, WebP, BMP, GIF, TIFF,
        or PDF with the extra `pdf`. Or a Pillow image. Or an array of shape (height, width), (height, width,
        3) with red, green and blue, or (height, width, 4) with opacity as well: uint8, bool, or floats from 0
        black to 1 white. It may have at most `max_pixels` (a WebP two fifths of that), 65,535 pixels per
        side, and 200 MB. Larger pages of a PDF are reduced.
    name
        What error messages call a picture that is not a path.
    page
        The page of a PDF, from 1.
    formats
        The allowed file formats, of those in `FORMATS`.
    max_pixels
        The maximum number of pixels.

    Returns
    -------
    NDArray[np.uint8]
        Shape (height, width): 0 black to 255 white, with dark or light ink as in the picture.

    Raises
    ------
    DigitsError
        The file or page does not exist, is not a picture in one of these formats, or is damaged, empty or too
        large.
    """
    if isinstance(picture, str | Path):
        name = str(picture)
    limits = _Limits(name, tuple(formats), max_pixels)
    if isinstance(picture, np.ndarray):
        picture = _from_array(picture, limits)
    if isinstance(picture, Image.Image):
        with _pillow_errors(limits):
            return _decode_image(picture, page, limits)
    with _open(picture, name) as stream:
        if "PDF" in formats and pdf.is_pdf(stream):
            return pdf.render_page(stream, page, name)
        with _pillow_errors(limits), Image.open(stream, formats=limits.pillow_formats) as image:
            image.draft("L", None)  # decodes only the grey channel of a JPEG
            return _decode_image(image, page, limits)


def count_pages(picture: bytes | str | Path | IO[bytes], name: str = "the file") -> int | None:
    """Return the number of pages of a PDF.

    Parameters
    ----------
    picture, name
        As for `decode`.

    Returns
    -------
    int | None
        At least 1; None if the file is not a PDF.

    Raises
    ------
    DigitsError
        The file cannot be read, or is a PDF that is damaged, password-protected or without pages.
    """
    if isinstance(picture, str | Path):
        name = str(picture)
    with _open(picture, name) as stream:
        return pdf.count_pages(stream, name) if pdf.is_pdf(stream) else None


@dataclass(frozen=True, slots=True)
class _Limits:
    """What is allowed of a picture, and what error messages call it."""

    name: str
    formats: tuple[str, ...]
    max_pixels: int

    @property
    def pillow_formats(self) -> list[str]:
        return [each.upper() for each in self.formats if each != "PDF"]

    @property
    def expected_formats(self) -> str:
        *others, last = self.formats
        return f"expected {', '.join(others)} or {last}" if others else f"expected {last}"

    def check_size(self, size: tuple[int, int], fraction: float = 1.0) -> None:
        """Raise `DigitsError` unless a picture has an allowed number of pixels, at most `fraction` of all."""
        if size[0] * size[1] > fraction * self.max_pixels:
            raise DigitsError(self.too_large(fraction))
        if max(size) > MAX_SIDE_PX:
            raise DigitsError(f"{self.name} is longer than {MAX_SIDE_PX:,} pixels: crop it to the numbers")
        if 0 in size:
            raise DigitsError(f"{self.name} has no pixels")

    def too_large(self, fraction: float = 1.0) -> str:
        """Return the error message for a picture with too many pixels."""
        kind = "is a WebP of" if fraction < 1 else "has"
        limit = f"{fraction * self.max_pixels / MEGAPIXEL:g}"
        return f"{self.name} {kind} more than {limit} megapixels: make it smaller first"


@contextmanager
def _open(picture: bytes | str | Path | IO[bytes], name: str) -> Iterator[IO[bytes]]:
    """Open a file, or bytes, of at most `MAX_BYTES`."""
    try:
        if isinstance(picture, str | Path):
            _check_file(Path(picture), name)
            with Path(picture).open("rb") as stream:
                yield stream
        else:
            yield BytesIO(picture if isinstance(picture, bytes) else _read(picture, name))
    except OSError as error:
        raise DigitsError(f"cannot read {name}: {error.strerror or error}") from error


def _check_file(path: Path, name: str) -> None:
    """Raise `DigitsError` for huge files and for devices and pipes, which may never end."""
    status = path.stat()
    if not (S_ISREG(status.st_mode) or S_ISDIR(status.st_mode)):
        raise DigitsError(f"{name} is a pipe or a device: expected a file")
    _check_bytes(status.st_size, name)


def _read(stream: IO[bytes], name: str) -> bytes:
    content = stream.read(MAX_BYTES + 1)
    if not isinstance(content, bytes):
        raise DigitsError(f"{name} is open for reading text: expected a file object of mode 'rb'")
    _check_bytes(len(content), name)
    return content


def _check_bytes(count: int, name: str) -> None:
    if count > MAX_BYTES:
        raise DigitsError(f"{name} has more than {MAX_BYTES // 1_000_000} MB: make it smaller first")


def _from_array(array: NDArray[Any], limits: _Limits) -> Image.Image:
    """Return an array as a Pillow image."""
    name, shape = limits.name, array.shape
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (3, 4)) or 0 in shape:
        raise DigitsError(f"{name} has shape {shape}: expected (height, width), or with 3 or 4 channels")
    limits.check_size((shape[1], shape[0]))
    if array.dtype == bool or array.dtype.kind == "f":
        if not (array.min() >= 0 and array.max() <= 1):  # is false for NaN, too
            raise DigitsError(f"{name} has values beyond 0 to 1: expected 0 black to 1 white, or uint8")
        array = np.rint(array.astype(np.float32) * INK).astype(np.uint8)
    if array.dtype != np.uint8:
        raise DigitsError(f"{name} has values of {array.dtype}: expected uint8, bool, or floats from 0 to 1")
    return Image.fromarray(np.ascontiguousarray(array))


def _decode_image(image: Image.Image, page: int, limits: _Limits) -> NDArray[np.uint8]:
    if page != 1:
        raise DigitsError(f"{limits.name} has no page {page}: expected 1")
    limits.check_size(image.size, WEBP_PIXELS_FRACTION if image.format == "WEBP" else 1.0)
    return _to_grey(image, limits.name)


@contextmanager
def _pillow_errors(limits: _Limits) -> Iterator[None]:
    """Turn any error of Pillow's into a `DigitsError` that says what is wrong with the picture."""
    name = limits.name
    try:
        yield
    except DigitsError:
        raise
    except UnidentifiedImageError as error:
        raise DigitsError(f"{name} is not a picture: {limits.expected_formats}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DigitsError(limits.too_large()) from error
    except Exception as error:  # damaged files make Pillow's decoders raise errors of nearly any type
        if isinstance(error, OSError) and error.strerror:  # an error of the disk, not of the picture
            raise
        raise DigitsError(f"{name} is damaged or incomplete: {first_line(error)}") from error


def _to_grey(image: Image.Image, name: str) -> NDArray[np.uint8]:
    """Return a picture upright and grey; copies of all its channels would take hundreds of megabytes."""
    is_rotated = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
    upright = ImageOps.exif_transpose(image) if is_rotated else image
    if upright.mode.startswith("I") or upright.mode == "F":
        return _upper_bits(np.asarray(upright), name)
    if not upright.has_transparency_data:
        return np.array(upright.convert("L"))
    ink = upright if upright.mode in ("RGBA", "LA") else upright.convert("RGBA")
    return np.array(Image.composite(ink.convert("L"), Image.new("L", ink.size, WHITE), ink.getchannel("A")))


def _upper_bits(page: NDArray[np.generic], name: str) -> NDArray[np.uint8]:
    """Reduce 16-bit greys to 8 bits; Pillow also returns them as 32-bit integers."""
    if page.dtype.kind not in "iu" or page.min() < 0 or page.max() > MAX_16_BIT:
        raise DigitsError(f"{name} has pixels of {page.dtype}: expected 8 or 16 bits each")
    return (page.astype(np.uint16) >> 8).astype(np.uint8)
