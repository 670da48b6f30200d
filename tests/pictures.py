"""Pictures that tests make: written numbers, pictures of unusual kinds, and files that are not pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from digit_recognizer.digits import Digits
from digit_recognizer.recognition import Recognizer
from digit_recognizer.sources import load_digits

PAPER_LEVEL = 235
INK_CONTRAST = 195  # grey levels by which full ink is darker than the paper


def encoded(image: Image.Image | np.ndarray, kind: str, **options: object) -> bytes:
    """Return a picture as the content of a file."""
    stream = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(stream, kind, **options)
    return stream.getvalue()


@cache
def clear_digits() -> Digits:
    """Return the bundled digits that the model reads correctly."""
    digits = load_digits("bundled")
    predictions = Recognizer().predict(digits.images)
    return digits[(predictions.labels == digits.labels) & (predictions.confidence > 0.8)]


def written_ink(text: str, seed: int = 0, height: int = 40, gap: int = 6) -> np.ndarray:
    """Return a line of bundled digits side by side: float (rows, columns), 0 paper to 1 ink."""
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
    inks = [written_ink(line, seed + number, height, gap) for number, line in enumerate(lines)]
    width = max(ink.shape[1] for ink in inks)
    rows = [np.pad(ink, ((0, height // 2), (0, width - ink.shape[1]))) for ink in inks]
    ink = np.pad(np.vstack(rows), margin)
    noise = np.random.default_rng(seed).normal(0, 3, ink.shape)
    return (PAPER_LEVEL - INK_CONTRAST * ink + noise).clip(0, 255).astype(np.uint8)


def write_table(
    folder: Path, texts: Sequence[str], parts: Sequence[str], labels: Sequence[str] | None = None
) -> Path:
    """Write pictures of texts, and a table of them with their parts; by default a label is the text."""
    lines = ["file,label,part"]
    for number, (text, label, part) in enumerate(zip(texts, labels or texts, parts, strict=True)):
        Image.fromarray(written(text, seed=number, margin=8)).save(folder / f"{number}.png")
        lines.append(f"{number}.png,{label},{part}")
    path = folder / "labels.csv"
    path.write_text("\n".join(lines), "utf-8")
    return path


def pdf_of(*pages: np.ndarray) -> bytes:
    """Return a PDF with a picture on each page, at 100 dpi."""
    first, *others = (Image.fromarray(page) for page in pages)
    return encoded(first, "PDF", resolution=100, save_all=True, append_images=others)


def raw_pdf(tree: str, *objects: str, trailer: str = "") -> bytes:
    """Return a PDF made of the entries of its page tree, objects from number 3 on, and trailer entries."""
    content, offsets = "%PDF-1.4\n", []
    numbered = ("<</Type/Catalog/Pages 2 0 R>>", f"<</Type/Pages{tree}>>", *objects)
    for number, entries in enumerate(numbered, start=1):
        offsets.append(len(content))
        content += f"{number} 0 obj {entries} endobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(offsets) + 1
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


NOISE = np.random.default_rng(3).integers(0, 256, (90, 90), np.uint8)
EMPTY_PAGE = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 72 72]>>"
LOCK = f"<</Filter/Standard/V 1/R 2/P -4/O<{'41' * 32}>/U<{'42' * 32}>>>"
LOCKED = raw_pdf("/Kids[3 0 R]/Count 1", EMPTY_PAGE, LOCK, trailer="/Encrypt 4 0 R/ID[<00><00>]")

HALVED = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
NO_PICTURES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "expected PNG"),
    "a table": (b"label,pixel0\n1,2\n", "expected PNG"),
    "a web page": (b"<!DOCTYPE html><title>7</title>", "expected PNG"),
    "a vector drawing": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "expected PNG"),
    "an archive": (b"PK\x03\x04" + bytes(60), "expected PNG"),
    "a program": (b"\x7fELF" + bytes(60), "expected PNG"),
    "another format": (encoded(NOISE, "TGA"), "expected PNG"),
    "only a signature": (b"\x89PNG\r\n\x1a\n", "expected PNG"),
    **{f"half a {kind}": (half(encoded(NOISE, kind)), "damaged") for kind in HALVED},
    "broken pixels": (_with_broken_pixels(encoded(NOISE, "PNG")), "damaged"),
    "too many pixels": (encoded(Image.new("1", (12_501, 12_000)), "PNG"), "150 megapixels"),
    "a bomb": (_bitmap_header(13_000), "150 megapixels"),
    "a larger bomb": (_bitmap_header(20_000), "150 megapixels"),
    "floats": (encoded(NOISE.astype(np.float32) - 1, "TIFF"), "values from -1 to 254"),
    "the signature of a PDF": (b"%PDF-1.7", "damaged"),
    "half a PDF": (half(pdf_of(NOISE)), "damaged"),
    "a PDF without pages": (raw_pdf("/Kids[]/Count 0"), "without pages"),
    "a locked PDF": (LOCKED, "password"),
    "a missing page": (raw_pdf("/Kids[9 0 R]/Count 1"), "damaged"),
}  # the content of each file, and what its error must say


def odd_pictures() -> dict[str, bytes]:
    """Return the same written number in files of every unusual kind."""
    page = written("752")
    image = Image.fromarray(page)
    exif = Image.Exif()
    exif[0x0112] = 8  # rotate by 270 degrees clockwise to view
    ink = Image.fromarray(255 - page)
    frames = [Image.new("L", image.size, 255)]
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
        "rotated": encoded(image.rotate(-90, expand=True), "JPEG", exif=exif, quality=95),
        "PDF": pdf_of(page),
    }
