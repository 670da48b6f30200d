"""Decode a picture, in any of several formats, to a grey page; check its format, size and orientation."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from digit_recognizer.errors import DigitsError, did_you_mean_path, first_line
from digit_recognizer.imaging import heif, pdf, tiff
from digit_recognizer.imaging.arrays import array_as_image, as_picture_array
from digit_recognizer.imaging.grey import (
    FORMAT_BYTES,
    SIDEWAYS,
    bytes_per_pixel,
    make_upright,
    reduce_while_decoding,
    rows_to_grey,
    to_grey,
)
from digit_recognizer.imaging.limits import MAX_PIXELS, Limits

Picture = bytes | bytearray | memoryview | str | os.PathLike[str] | IO[bytes] | Image.Image | NDArray[Any]

FORMATS = {
    "PNG": ("PNG",),
    "JPEG": ("JPEG",),
    "WebP": ("WEBP",),
    "BMP": ("BMP",),
    "GIF": ("GIF",),
    "TIFF": ("TIFF",),
    "JPEG 2000": ("JPEG2000",),
    "PNM": ("PPM",),
    "AVIF": ("AVIF",),
    "HEIC": (),
    "PDF": (),
}  # recognised by content, not by file name; and what Pillow calls those that it decodes
JPEG_SIGNATURE = b"\xff\xd8\xff"
EXPECTED = f"expected {', '.join(list(FORMATS)[:-1])} or {list(FORMATS)[-1]}"
MAX_BYTES = 200_000_000  # of a file

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DecodedPage:
    """A grey page.

    Attributes
    ----------
    grey
        uint8, shape (H, W): 0 black to 255 white, with dark or light ink as in the picture.
    width, height
        Of the upright picture in pixels; larger than the page if it was reduced.
    pages
        How many pages the file has, at least 1.
    """

    grey: NDArray[np.uint8]
    width: int
    height: int
    pages: int = 1

    @property
    def scale(self) -> tuple[float, float]:
        """How many pixels of the picture a pixel of the page is wide and high, at least 1."""
        height, width = self.grey.shape
        return self.width / width, self.height / height


def decode(
    picture: Picture, name: str = "the file", *, page: int = 1, max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """Decode a picture to an upright grey page, uint8 of shape (height, width).

    As `decode_page`, without the size of a picture that was reduced.
    """
    return decode_page(picture, name, page=page, max_pixels=max_pixels).grey


def decode_page(
    picture: Picture,
    name: str = "the file",
    *,
    page: int = 1,
    max_pixels: int = MAX_PIXELS,
    reduce: bool = False,
) -> DecodedPage:
    """Decode a picture to an upright grey page of at most 25 megapixels.

    Larger pictures are reduced to a half or a third, and the first frame of an animation is decoded. Colours
    become their luminance (ITU-R 601-2), and 16-bit greys are reduced to their upper eight bits. Transparent
    areas become white, or black if the opaque pixels are light ink.

    Parameters
    ----------
    picture
        A path, the bytes of a file, or a file object open for reading bytes: PNG, JPEG, WebP, BMP, GIF, TIFF,
        JPEG 2000, PNM, AVIF; HEIC with the extra `heic`; or PDF with the extra `pdf`. Or a Pillow image. Or
        an array of shape (height, width), or with a third axis for grey, grey and opacity, red, green and
        blue, or these and opacity. Its largest value says what white is: 1, 255 or 65,535; 0 is black. It may
        have at most `max_pixels`, 65,535 pixels per side, and 200 MB; formats that need much memory have
        lower limits.
    name
        What error messages call a picture that is not a path.
    page
        The page of a PDF or TIFF, from 1.
    max_pixels
        The maximum number of pixels.
    reduce
        Reduce a picture with more pixels, up to 150 megapixels or those of a JPEG of 250, instead of refusing
        it, if decoding it takes no more memory than a picture of its format with `max_pixels` may.

    Raises
    ------
    DigitsError
        The file or page does not exist, is not a picture in one of these formats, or is damaged, empty or too
        large, or a package that its format needs is not installed.
    """
    if isinstance(picture, str | os.PathLike):
        name = os.fspath(picture)
    limits = Limits(name, max_pixels, reduce)
    if hasattr(picture, "__array__") and not isinstance(picture, Image.Image):
        array = as_picture_array(picture, name)
        limits.check_size((array.shape[1], array.shape[0]))
        picture = array_as_image(array, name)
    if isinstance(picture, Image.Image):
        _check_page(page, 1, name)
        with _pillow_errors(limits):
            return _decode_image(picture, limits)
    with _open(picture, name) as stream:
        return _decode_file(stream, page, limits)


def count_pages(picture: Picture, name: str = "the file") -> int | None:
    """Return the number of pages of a PDF, or of a TIFF with several.

    Parameters
    ----------
    picture, name
        As for `decode_page`.

    Returns
    -------
    int | None
        At least 1; None if the file is neither.

    Raises
    ------
    DigitsError
        The file cannot be read, or is a PDF or TIFF that is damaged, or a PDF that is password-protected or
        without pages.
    """
    if isinstance(picture, str | os.PathLike):
        name = os.fspath(picture)
    with _open(picture, name) as stream:
        if pdf.is_pdf(stream):
            return pdf.count_pages(stream, name)
        pages = len(tiff.find_pages(stream, name)) if tiff.is_tiff(stream) else 1
        return pages if pages > 1 else None


@contextmanager
def _open(picture: Any, name: str) -> Iterator[IO[bytes]]:
    """Open a file, or bytes, of at most `MAX_BYTES`."""
    try:
        if isinstance(picture, str | os.PathLike):
            _check_file(picture, name)
            with Path(picture).open("rb") as stream:
                yield stream
        elif isinstance(picture, bytes | bytearray | memoryview):
            _check_bytes(memoryview(picture).nbytes, name)
            yield BytesIO(picture)
        elif hasattr(picture, "read"):
            yield BytesIO(_read(picture, name))
        else:
            kind = "None" if picture is None else f"a {type(picture).__name__}"
            raise DigitsError(
                f"cannot read {kind}: expected a path, the bytes of a file, a file object, "
                "a Pillow image or a NumPy array"
            )
    except OSError as error:
        meant = did_you_mean_path(name) if isinstance(error, FileNotFoundError) else ""
        raise DigitsError(f"cannot read {name}: {error.strerror or error}{meant}") from error
    except ValueError as error:  # of a path with a null character, or a closed stream
        if isinstance(error, DigitsError):
            raise
        raise DigitsError(f"cannot read {name!r}: {error}") from error


def _check_file(path: str | os.PathLike[str], name: str) -> None:
    """Raise `DigitsError` for huge files and for devices and pipes, which may never end."""
    if not name:
        raise DigitsError("the path of the picture is empty")
    status = Path(path).stat()
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


def _check_page(page: int, pages: int, name: str) -> None:
    if not 1 <= page <= pages:
        raise DigitsError(f"{name} has no page {page}: expected {'1' if pages == 1 else f'1 to {pages}'}")


def _decode_file(stream: IO[bytes], page: int, limits: Limits) -> DecodedPage:
    name = limits.name
    if pdf.is_pdf(stream):
        grey, pages = pdf.render_page(stream, page, name)
        return DecodedPage(grey, grey.shape[1], grey.shape[0], pages)
    places = tiff.find_pages(stream, name) if tiff.is_tiff(stream) else [0]
    _check_page(page, len(places), name)
    kind = heif.find_kind(stream)
    if kind == "HEIC":
        return _decode_heic(stream, limits)
    if kind == "AVIF":
        heif.check_avif(name)
    with _pillow_errors(limits), _open_image(stream, limits) as image:
        if len(places) > 1:
            image.seek(places[page - 1])
        elif image.format in ("GIF", "PNG", "WEBP", "AVIF") and getattr(image, "is_animated", False):
            log.info("%s is an animation; only its first frame is read", name)
        return _decode_image(image, limits, len(places))


def _open_image(stream: IO[bytes], limits: Limits) -> Image.Image:
    """Open a picture that Pillow decodes; a JPEG that may be reduced also beyond Pillow's own limit."""
    try:
        return Image.open(stream, formats=_pillow_formats())
    except Image.DecompressionBombError:
        stream.seek(0)
        if not limits.reduce or stream.read(len(JPEG_SIGNATURE)) != JPEG_SIGNATURE:
            raise
        stream.seek(0)
        return JpegImageFile(stream)


@cache
def _pillow_formats() -> tuple[str, ...]:
    """Return those of `FORMATS` that the installed Pillow has."""
    Image.init()
    return tuple(each for names in FORMATS.values() for each in names if each in Image.ID)


def _decode_heic(stream: IO[bytes], limits: Limits) -> DecodedPage:
    picture = heif.open_heic(stream, limits.name)
    limits.check_size(picture.size)
    limits.check_memory(picture.size, heif.BYTES_PER_PIXEL, "a HEIC")
    rows = heif.decoded_rows(picture, limits.name)
    width, height = picture.size  # upright
    return DecodedPage(rows_to_grey(rows, picture.size, limits.factor(picture.size)), width, height)


def _decode_image(image: Image.Image, limits: Limits, pages: int = 1) -> DecodedPage:
    size = image.size
    limits.check_size(size, image.format)
    factor = limits.factor(size, image.format)
    reduction = reduce_while_decoding(image, factor)
    kind = f"a {image.format} of this kind" if image.format else "an image of this kind"
    whole = FORMAT_BYTES.get(image.format or "", 0)
    limits.check_memory(size, bytes_per_pixel(image, size, reduction), kind, whole)
    image.load()
    grey = to_grey(image, factor if reduction == 1 else 1, limits.name)
    width, height = image.size if reduction == 1 else size  # Pillow rotates TIFFs when it loads them
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    if orientation in SIDEWAYS:
        width, height = height, width
    return DecodedPage(make_upright(grey, orientation), width, height, pages)


@contextmanager
def _pillow_errors(limits: Limits) -> Iterator[None]:
    """Turn any error of Pillow's into a `DigitsError` that says what is wrong with the picture."""
    name = limits.name
    try:
        with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):
            yield
    except DigitsError:
        raise
    except UnidentifiedImageError as error:
        raise DigitsError(f"{name} is not a picture: {EXPECTED}") from error
    except Image.DecompressionBombError as error:
        raise DigitsError(limits.too_large()) from error
    except MemoryError as error:
        raise DigitsError(f"{name} needs more memory than this process may have") from error
    except Exception as error:  # damaged files make Pillow's decoders raise errors of nearly any type
        if isinstance(error, OSError) and error.strerror:  # an error of the disk, not of the picture
            raise
        raise DigitsError(f"{name} is damaged or incomplete: {first_line(error)}") from error
