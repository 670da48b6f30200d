"""Pictures that the tests make: written numbers, pictures of odd kinds, and files that are no picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache

import numpy as np
from PIL import Image

from digit_recognizer.digits import Digits
from digit_recognizer.recognition import Recognizer
from digit_recognizer.sources import load_digits

PAPER, CONTRAST = 235, 195  # grey levels: of the paper, and by which full ink is darker


def encoded(image: Image.Image | np.ndarray, kind: str, **options: object) -> bytes:
    """Return a picture as the content of a file."""
    stream = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(stream, kind, **options)
    return stream.getvalue()


@cache
def clear_digits() -> Digits:
    """Return those of the bundled digits that the model reads rightly where each stands alone."""
    digits = load_digits("bundled")
    predictions = Recognizer().predict(digits.images)
    return digits[(predictions.labels == digits.labels) & (predictions.confidence > 0.8)]


def strip(text: str, seed: int = 0, height: int = 40, gap: int = 6) -> np.ndarray:
    """Return one line of bundled digits side by side: float (rows, columns), 0 paper to 1 ink."""
    generator = np.random.default_rng(seed)
    tiles = [_tile(letter, generator, height) for letter in text]
    return np.hstack([np.pad(tile, ((0, 0), (gap // 2, gap // 2))) for tile in tiles])


def _tile(letter: str, generator: np.random.Generator, height: int) -> np.ndarray:
    side = height * 28 // 20
    if letter == " ":
        return np.zeros((side, height))
    row = generator.choice(np.flatnonzero(clear_digits().labels == int(letter)))
    enlarged = Image.fromarray(clear_digits().images[row]).resize((side, side), Image.Resampling.BICUBIC)
    ink = np.array(enlarged) / 255
    columns = np.flatnonzero(ink.max(axis=0) > 0.2)
    return ink[:, columns[0] : columns[-1] + 1]


def written(*lines: str, seed: int = 0, height: int = 40, gap: int = 6, margin: int = 40) -> np.ndarray:
    """Return a page with lines of bundled digits, dark on light with a little noise: uint8."""
    strips = [strip(line, seed + number, height, gap) for number, line in enumerate(lines)]
    width = max(ink.shape[1] for ink in strips)
    rows = [np.pad(ink, ((0, height // 2), (0, width - ink.shape[1]))) for ink in strips]
    ink = np.pad(np.vstack(rows), margin)
    grain = np.random.default_rng(seed).normal(0, 3, ink.shape)
    return (PAPER - CONTRAST * ink + grain).clip(0, 255).astype(np.uint8)


def pdf_of(*pages: np.ndarray) -> bytes:
    """Return a PDF with a picture a page, at 100 dots an inch."""
    first, *others = (Image.fromarray(page) for page in pages)
    return encoded(first, "PDF", resolution=100, save_all=True, append_images=others)


def raw_pdf(tree: str, *objects: str, trailer: str = "") -> bytes:
    """Return a PDF written by hand: the entries of its page tree, objects from 3 on, the trailer's."""
    content, places = "%PDF-1.4\n", []
    for number, entries in enumerate(
        ("<</Type/Catalog/Pages 2 0 R>>", f"<</Type/Pages{tree}>>", *objects), start=1
    ):
        places.append(len(content))
        content += f"{number} 0 obj {entries} endobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    size = len(places) + 1
    content += f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer<</Root 1 0 R/Size {size}{trailer}>>\n"
    return f"{content}startxref\n{content.index('xref')}\n%%EOF\n".encode()


def half(content: bytes) -> bytes:
    """Return the first half of a file."""
    return content[: len(content) // 2]


def _bitmap_header(side: int) -> bytes:
    content = bytearray(encoded(Image.new("1", (8, 8)), "BMP"))
    content[18:26] = side.to_bytes(4, "little") * 2
    return bytes(content)


def _with_broken_pixels(content: bytes) -> bytes:
    damaged = bytearray(content)
    damaged[len(content) // 2] ^= 255
    return bytes(damaged)


GRAIN = np.random.default_rng(3).integers(0, 256, (90, 90), np.uint8)
EMPTY_PAGE = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 72 72]>>"
LOCK = f"<</Filter/Standard/V 1/R 2/P -4/O<{'41' * 32}>/U<{'42' * 32}>>>"

NO_PICTURES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "is not a picture"),
    "a table": (b"label,pixel0\n1,2\n", "is not a picture"),
    "a web page": (b"<!DOCTYPE html><title>7</title>", "is not a picture"),
    "a drawing": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "is not a picture"),
    "an archive": (b"PK\x03\x04" + bytes(60), "is not a picture"),
    "a program": (b"\x7fELF" + bytes(60), "is not a picture"),
    "a format left out": (encoded(GRAIN, "PPM"), "is not a picture"),
    "a signature alone": (b"\x89PNG\r\n\x1a\n", "is not a picture"),
    "half a PNG": (half(encoded(GRAIN, "PNG")), "is damaged or incomplete"),
    "half a JPEG": (half(encoded(GRAIN, "JPEG")), "is damaged or incomplete"),
    "half a WebP": (half(encoded(GRAIN, "WEBP")), "is damaged or incomplete"),
    "half a BMP": (half(encoded(GRAIN, "BMP")), "is damaged or incomplete"),
    "half a GIF": (half(encoded(GRAIN, "GIF")), "is damaged or incomplete"),
    "half a TIFF": (half(encoded(GRAIN, "TIFF")), "is damaged or incomplete"),
    "broken pixels": (_with_broken_pixels(encoded(GRAIN, "PNG")), "is damaged or incomplete"),
    "too many pixels": (encoded(Image.new("1", (5001, 5000)), "PNG"), "has more than 25 megapixels"),
    "a bomb": (_bitmap_header(10_000), "has more than 25 megapixels"),
    "a larger bomb": (_bitmap_header(20_000), "has more than 25 megapixels"),
    "floats": (encoded(GRAIN.astype(np.float32), "TIFF"), "has pixels of float32"),
    "a PDF's mark": (b"%PDF-1.7", "is a damaged or incomplete PDF"),
    "half a PDF": (half(pdf_of(GRAIN)), "is a damaged or incomplete PDF"),
    "a PDF without pages": (raw_pdf("/Kids[]/Count 0"), "is a PDF without pages"),
    "a locked PDF": (
        raw_pdf("/Kids[3 0 R]/Count 1", EMPTY_PAGE, LOCK, trailer="/Encrypt 4 0 R/ID[<00><00>]"),
        "is locked by a password",
    ),
    "a missing page": (raw_pdf("/Kids[9 0 R]/Count 1"), "is damaged"),
}  # by what they are: their content, and what is said of them


def odd_pictures() -> dict[str, bytes]:
    """Return the same written number as a file of every odd kind, by what is odd about it."""
    page = written("752")
    image = Image.fromarray(page)
    exif = Image.Exif()
    exif[0x0112] = 8  # turn by 270 degrees clockwise to view
    ink = Image.fromarray(255 - page)
    frames: Sequence[Image.Image] = [Image.new("L", image.size, 255)]
    return {
        "grey": encoded(image, "PNG"),
        "light on dark": encoded(255 - page, "PNG"),
        "coloured": encoded(np.dstack([page, page // 2 + 100, page]), "PNG"),
        "16 bits": encoded(page.astype(np.uint16) * 257, "PNG"),
        "1 bit": encoded(image.point(lambda level: 255 * (level > 150), "1"), "TIFF", compression="group4"),
        "a palette": encoded(image.convert("P", palette=Image.Palette.ADAPTIVE, colors=16), "GIF"),
        "CMYK": encoded(image.convert("CMYK"), "JPEG", quality=95),
        "transparent": encoded(Image.merge("LA", (Image.new("L", image.size), ink)), "PNG"),
        "animated": encoded(image, "GIF", save_all=True, append_images=frames),
        "turned": encoded(image.rotate(-90, expand=True), "JPEG", exif=exif, quality=95),
        "PDF": pdf_of(page),
    }
