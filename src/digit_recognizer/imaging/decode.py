"""The bytes of a picture, from anywhere, to a grey page: formats, sizes and orientation are checked."""

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

FORMATS = ("PNG", "JPEG", "WebP", "BMP", "GIF", "TIFF", "PDF")  # by content; a file's name plays no part
MAX_PIXELS = 25_000_000  # a 300 dpi scan of a page has 9 million, a telephone's photo 12 million
MAX_BYTES = 200_000_000  # of a file; as many pixels of 16 bits and four colours, not compressed
MAX_SIDE = 65_535  # pixels; Pillow takes eight bytes for each row, however short
WEBP_SHARE = 0.4  # of the pixels that others may have: its decoder takes four times the memory
WHITE = 255
SIXTEEN_BITS = 65535
MEGAPIXEL = 1_000_000


def decode(
    picture: Picture,
    name: str = "the file",
    *,
    page: int = 1,
    formats: Sequence[str] = FORMATS,
    max_pixels: int = MAX_PIXELS,
) -> NDArray[np.uint8]:
    """Decode a picture into a grey page, upright, as a viewer would show it.

    Of an animation, and of a TIFF with several pages, the first counts. Transparent parts are white, colours
    become their luminance (ITU-R 601-2), 16-bit greys their upper eight bits.

    Parameters
    ----------
    picture
        Where the file lies, its bytes, or a file object open for reading bytes: PNG, JPEG, WebP, BMP, GIF,
        TIFF, or PDF with the extra `pdf`; or a Pillow image; or an array of shape (height, width), (height,
        width, 3) for red, green and blue, or with a fourth for opacity: uint8, bool, or floats from 0 black
        to 1 white. At most `max_pixels` (a WebP two fifths of them), 65,535 to a side, and 200 MB; larger
        pages of a PDF are drawn smaller.
    name
        What errors call a picture that is no path.
    page
        Which page of a PDF, from 1.
    formats
        Those of `FORMATS` that a file may have.
    max_pixels
        The most that a picture may have.

    Returns
    -------
    NDArray[np.uint8]
        Shape (height, width): 0 black to 255 white, whatever is ink and whatever paper.

    Raises
    ------
    DigitsError
        There is no such file or page, it is no picture in these formats, it is damaged, empty, or too large.
    """
    if isinstance(picture, str | Path):
        name = str(picture)
    rules = _Rules(name, tuple(formats), max_pixels)
    if isinstance(picture, np.ndarray):
        picture = _from_array(picture, rules)
    if isinstance(picture, Image.Image):
        with _described(rules):
            return _decode(picture, page, rules)
    with _opened(picture, name) as stream:
        if "PDF" in formats and pdf.is_pdf(stream):
            return pdf.render_page(stream, page, name)
        with _described(rules), Image.open(stream, formats=rules.of_pillow) as image:  # the header alone
            image.draft("L", None)  # what is grey in a JPEG is decoded alone
            return _decode(image, page, rules)


@dataclass(frozen=True, slots=True)
class _Rules:
    """What a picture must keep to, and what errors call it."""

    name: str
    formats: tuple[str, ...]
    max_pixels: int

    @property
    def of_pillow(self) -> list[str]:
        return [each.upper() for each in self.formats if each != "PDF"]

    @property
    def expected(self) -> str:
        *others, last = self.formats
        return f"expected {', '.join(others)} or {last}" if others else f"expected {last}"

    def too_large(self, share: float = 1.0) -> str:
        kind = "is a WebP of" if share < 1 else "has"
        most = f"{share * self.max_pixels / MEGAPIXEL:g}"
        return f"{self.name} {kind} more than {most} megapixels: make it smaller first"


def count_pages(picture: bytes | str | Path | IO[bytes], name: str = "the file") -> int | None:
    """Return how many pages a PDF has; None for any other file.

    Raises
    ------
    DigitsError
        The file cannot be read, or is a PDF that is damaged, locked by a password or without pages.
    """
    if isinstance(picture, str | Path):
        name = str(picture)
    with _opened(picture, name) as stream:
        return pdf.count_pages(stream, name) if pdf.is_pdf(stream) else None


@contextmanager
def _opened(picture: bytes | str | Path | IO[bytes], name: str) -> Iterator[IO[bytes]]:
    """Give a file's bytes, no more than `MAX_BYTES`."""
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
    """Raise `DigitsError` for what may go on for ever, as ``/dev/zero`` or a pipe may, and for huge files."""
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


def _from_array(array: NDArray[Any], rules: _Rules) -> Image.Image:
    """Return an array as a Pillow image."""
    name, shape = rules.name, array.shape
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (3, 4)) or 0 in shape:
        raise DigitsError(f"{name} has shape {shape}: expected (height, width), with 3 or 4 colours or none")
    _check_size((shape[1], shape[0]), rules)
    if array.dtype == bool or array.dtype.kind == "f":
        if not (array.min() >= 0 and array.max() <= 1):  # NaN is neither
            raise DigitsError(f"{name} has values beyond 0 to 1: expected 0 black to 1 white, or uint8")
        array = np.rint(array.astype(np.float32) * INK).astype(np.uint8)
    if array.dtype != np.uint8:
        raise DigitsError(f"{name} has values of {array.dtype}: expected uint8, bool, or floats from 0 to 1")
    return Image.fromarray(np.ascontiguousarray(array))


def _check_size(size: tuple[int, int], rules: _Rules, share: float = 1.0) -> None:
    if size[0] * size[1] > share * rules.max_pixels:
        raise DigitsError(rules.too_large(share))
    if max(size) > MAX_SIDE:
        raise DigitsError(f"{rules.name} is longer than {MAX_SIDE:,} pixels: cut out the part to read")
    if 0 in size:
        raise DigitsError(f"{rules.name} has no pixels")


def _decode(image: Image.Image, page: int, rules: _Rules) -> NDArray[np.uint8]:
    if page != 1:
        raise DigitsError(f"{rules.name} has no page {page}: expected 1")
    _check_size(image.size, rules, WEBP_SHARE if image.format == "WEBP" else 1.0)
    return _grey(image, rules.name)


@contextmanager
def _described(rules: _Rules) -> Iterator[None]:
    """Say in one sentence what is wrong with a picture."""
    name = rules.name
    try:
        yield
    except DigitsError:
        raise
    except UnidentifiedImageError as error:
        raise DigitsError(f"{name} is not a picture: {rules.expected}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DigitsError(rules.too_large()) from error
    except Exception as error:  # a damaged file can make Pillow's decoders raise nearly anything
        if isinstance(error, OSError) and error.strerror:  # the disk, not the picture
            raise
        raise DigitsError(f"{name} is damaged or incomplete: {first_line(error)}") from error


def _grey(image: Image.Image, name: str) -> NDArray[np.uint8]:
    """Return a picture upright and grey, with few copies of all its colours."""
    turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
    upright = ImageOps.exif_transpose(image) if turned else image
    if upright.mode.startswith("I") or upright.mode == "F":
        return _upper_bits(np.asarray(upright), name)
    if not upright.has_transparency_data:
        return np.array(upright.convert("L"))
    ink = upright if upright.mode in ("RGBA", "LA") else upright.convert("RGBA")
    return np.array(Image.composite(ink.convert("L"), Image.new("L", ink.size, WHITE), ink.getchannel("A")))


def _upper_bits(page: NDArray[np.generic], name: str) -> NDArray[np.uint8]:
    """Bring 16-bit greys, which Pillow also hands out as 32-bit integers, to 0 to 255."""
    if page.dtype.kind not in "iu" or page.min() < 0 or page.max() > SIXTEEN_BITS:
        raise DigitsError(f"{name} has pixels of {page.dtype}: expected 8 or 16 bits each")
    return (page.astype(np.uint16) >> 8).astype(np.uint8)
