"""A picture of Pillow's as a grey page: reduced if it is large, transparent areas filled, upright."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import ceil, log2, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from digit_recognizer.imaging.arrays import to_levels

PAGE_PIXELS = 25_000_000  # of a page, to which larger pictures are reduced
DECODER_BYTES = 220_000_000  # of memory that decoding may take; what would take more is refused
MODE_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2}  # of memory for a pixel of an image; of others 4
FORMAT_BYTES = {"WEBP": 18, "AVIF": 10, "JPEG2000": 19}  # for a pixel, measured in colour
JPEG_FACTORS = (2, 4, 8)  # by which libjpeg can reduce a picture while it decodes it
ROWS_PER_STRIP, BITS_PER_SAMPLE = 278, 258  # tags of a TIFF, whose strips are decoded as a whole
COEFFICIENT_BYTES = 2  # of a JPEG that must be held as a whole before it can be decoded
STRIP_PIXELS = 1_000_000  # converted at a time; copies of a whole picture would take hundreds of megabytes
WHITE = 255
LEVELS = 256
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # how to rotate a picture of each EXIF orientation

SIDEWAYS = (5, 6, 7, 8)  # these exchange width and height

Rows = Callable[[int, int], Image.Image]  # the rows of a picture from a first to a last, exclusively


def reduction_factor(size: tuple[int, int], max_pixels: int = PAGE_PIXELS) -> int:
    """Return by what the sides of a picture are divided, so that it has at most `max_pixels`."""
    return max(1, ceil(sqrt(size[0] * size[1] / max_pixels)))


def reduce_while_decoding(image: Image.Image, factor: int) -> int:
    """Make a decoder reduce a picture where it can, which saves memory and time; return by what it does."""
    width, height = image.size
    if image.format in ("JPEG", "MPO"):
        is_possible = factor in JPEG_FACTORS and min(image.size) >= factor
        reduced = (width // factor, height // factor) if is_possible else None
        image.draft("L", reduced)  # decodes only the grey channel
        return factor if image.width < width else 1
    if isinstance(image, Jpeg2KImageFile) and image.tile:
        too_large = width * height * FORMAT_BYTES["JPEG2000"] / DECODER_BYTES
        levels = ceil(log2(max(factor, sqrt(too_large))))
        image.reduce = levels
        return int(2**levels)
    return 1


def bytes_per_pixel(image: Image.Image, size: tuple[int, int], reduction: int) -> float:
    """Return how much memory decoding takes for each pixel of a picture."""
    if image.format is None:  # it is decoded already
        return 0
    in_all = FORMAT_BYTES.get(image.format, MODE_BYTES.get(image.mode, 4)) / reduction**2
    if isinstance(image, JpegImageFile) and (image.info.get("progressive") or not _has_one_scan(image)):
        most = max(across * down for _, across, down, _ in image.layer)
        in_all += COEFFICIENT_BYTES * sum(across * down for _, across, down, _ in image.layer) / most
    if isinstance(image, TiffImageFile):
        rows = min(image.tag_v2.get(ROWS_PER_STRIP, size[1]), size[1])
        bits = sum(image.tag_v2.get(BITS_PER_SAMPLE, (1,)))
        in_all += rows / size[1] * bits / 8
    return in_all


def _has_one_scan(image: JpegImageFile) -> bool:
    """Return whether all layers of a JPEG are in one scan; Pillow has just read the scan's header."""
    if image.fp is None:
        return True
    place, length = image.fp.tell(), 8 + 2 * len(image.layer)
    image.fp.seek(place - length)
    found = image.fp.read(length)[:2] == b"\xff\xda"
    image.fp.seek(place)
    return found


def to_grey(image: Image.Image, factor: int, name: str) -> NDArray[np.uint8]:
    """Return a loaded picture as a grey page, (H, W), each side divided by `factor` and rounded up."""
    if image.mode.startswith("I") or image.mode == "F":
        extrema: Any = image.getextrema()  # of all rows: they say what white is

        def rows(top: int, bottom: int) -> Image.Image:
            values = np.asarray(image.crop((0, top, image.width, bottom)))
            return Image.fromarray(to_levels(values, extrema, name))
    else:

        def rows(top: int, bottom: int) -> Image.Image:
            return image.crop((0, top, image.width, bottom))

    return rows_to_grey(rows, image.size, factor)


def rows_to_grey(rows: Rows, size: tuple[int, int], factor: int) -> NDArray[np.uint8]:
    """Return a picture whose rows `rows` gives as a grey page, reduced by `factor`.

    Colours become their luminance (ITU-R 601-2).
    """
    width, height = (-(-side // factor) for side in size)
    page = np.empty((height, width), np.uint8)
    opacity: NDArray[np.uint8] | None = None
    ink = np.zeros(LEVELS)  # how much of each level is opaque
    for top, strip in _strips(rows, size, factor):
        grey, alpha = _split(strip)
        if alpha is not None:
            if opacity is None:
                opacity = np.full_like(page, WHITE)
            ink += np.bincount(np.asarray(grey).ravel(), np.asarray(alpha).ravel(), LEVELS)
            grey = ImageChops.multiply(grey, alpha)
            _fill(opacity, top, alpha, factor)
        elif opacity is not None:
            raise AssertionError("all rows must have the same channels")
        _fill(page, top, grey, factor)
    return page if opacity is None else _composite(page, opacity, choose_background(ink))


def make_upright(page: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Return a page rotated, and flipped, as its EXIF orientation says; unknown ones mean upright."""
    if orientation not in UPRIGHT:
        return page
    return np.array(Image.fromarray(page).transpose(UPRIGHT[orientation]))


def choose_background(ink: NDArray[np.float64]) -> int:
    """Return the level, 0 or 255, that makes the opaque pixels of a transparent picture visible.

    Parameters
    ----------
    ink
        Shape (256,): for each level, the opacity of its pixels in all.

    Notes
    -----
    Otsu's threshold parts the opaque levels into a dark and a light half. Between black, the two means and
    white are three gaps. If the widest is beside black or white, the opaque pixels are ink, and the
    background is across that gap. If it is the one in the middle, they are paper with ink on it, and the
    background is the level nearer to them.
    """
    if not ink.any():
        return WHITE
    dark, light = _two_means(ink)
    to_black, between, to_white = dark, light - dark, WHITE - light
    if between > max(to_black, to_white):
        mean = float(ink @ np.arange(LEVELS) / ink.sum())
        return WHITE if mean >= WHITE / 2 else 0
    return 0 if to_black > to_white else WHITE


def _two_means(weights: NDArray[np.float64]) -> tuple[float, float]:
    """Return the means below and above the threshold with the largest variance between them (Otsu 1979)."""
    levels = np.arange(LEVELS)
    below, moment = weights.cumsum(), (weights * levels).cumsum()
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        dark, light = moment / below, (moment[-1] - moment) / above
        variance = np.nan_to_num(below * above * (light - dark) ** 2)
    if not variance.any():  # a single level
        return (level := float(moment[-1] / below[-1])), level
    best = int(variance.argmax())
    return float(dark[best]), float(light[best])


def _strips(rows: Rows, size: tuple[int, int], factor: int) -> Iterator[tuple[int, Image.Image]]:
    """Yield strips of some rows, with the position of each on the reduced page."""
    width, height = size
    step = max(1, STRIP_PIXELS // (width * factor)) * factor
    for top in range(0, height, step):
        yield top // factor, rows(top, min(top + step, height))


def _split(strip: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Return the luminance and the opacity of a strip, None if it is opaque."""
    if not (strip.has_transparency_data or strip.mode in ("La", "RGBa")):
        return strip.convert("L"), None
    straight = {"La": "LA", "RGBa": "RGBA", "LA": "LA"}.get(strip.mode, "RGBA")
    ink = strip if strip.mode == straight else strip.convert(straight)
    return ink.convert("L"), ink.getchannel("A")


def _fill(page: NDArray[np.uint8], top: int, strip: Image.Image, factor: int) -> None:
    reduced = strip if factor == 1 else strip.reduce(factor)
    page[top : top + reduced.height] = np.asarray(reduced)


def _composite(
    premultiplied: NDArray[np.uint8], opacity: NDArray[np.uint8], background: int
) -> NDArray[np.uint8]:
    """Lay a page on a background; both arrays are overwritten, because copies of large pages are costly."""
    if background != 0:
        np.subtract(WHITE, opacity, out=opacity)
        premultiplied += opacity
    return premultiplied
