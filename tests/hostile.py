"""Hostile files: decompression bombs, damaged pictures, other formats, and mutations of valid pictures."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from functools import cache

import numpy as np
from PIL import Image

from pictures import written

KINDS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
MAX_SIDE = {"WEBP": 16_383, "JPEG": 65_500}  # pixels, of what can be saved
SIGNATURE = b"\x89PNG\r\n\x1a\n"
STRETCHED = [(1, 65535), (65535, 1), (1, 20_000), (20_000, 1), (2, 65_000), (65_000, 2), (1, 1), (3, 2)]
DECLARED = [(65535, 65535), (100_000, 1000), (5001, 5000), (1, 2**31 - 1), (2**31 - 1, 2**31 - 1)]
EMPTY = [(0, 0), (0, 5), (5, 0)]
OTHERS = {
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "svg with entities": b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><svg>&b;</svg>',
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(/etc/passwd) run\nshowpage\n",
    "pdf": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>",
    "psd": b"8BPS\x00\x01" + bytes(100),
    "ico": b"\x00\x00\x01\x00\x01\x00\x10\x10" + bytes(100),
    "icns": b"icns" + bytes(100),
    "fits": b"SIMPLE  =                    T" + b" " * 3000,
    "ppm": b"P6 99999 99999 255\n",
    "xbm": b"#define x_width 99999\n#define x_height 99999\nstatic char x_bits[] = {0};",
    "avif": b"\x00\x00\x00\x1cftypavif" + bytes(100),
    "jpeg 2000": b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(100),
    "mp4": b"\x00\x00\x00\x18ftypmp42" + bytes(100),
    "zeros": bytes(1000),
    "one byte": b"\x89",
}


@cache
def good(kind: str) -> bytes:
    """Return a valid picture of a number."""
    return saved(Image.fromarray(written("17 42")), kind)


def saved(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def corpus() -> Iterator[tuple[str, bytes]]:
    """Yield each hostile file with its name."""
    yield from OTHERS.items()
    for kind in KINDS:
        yield from damaged(kind)
    yield from sizes()
    yield from unusual()
    yield from bombs()
    yield from crowded()


def damaged(kind: str) -> Iterator[tuple[str, bytes]]:
    content = good(kind)
    for percent in range(0, 100, 7):
        yield f"{kind} cut off at {percent} %", content[: 2 + len(content) * percent // 100]
    yield f"{kind} with zeros in the middle", content[:60] + bytes(len(content) // 2) + content[-60:]
    yield f"{kind} backwards", content[::-1]
    yield f"{kind} twice", content * 2
    yield f"{kind} and a megabyte", content + bytes(1_000_000)
    yield f"{kind} after another byte", b"x" + content
    yield f"{kind} without its first byte", content[1:]


def mutated(content: bytes, random: np.random.Generator) -> bytes:
    """Change, delete or repeat a few bytes, or overwrite four, such as a length, with an extreme value."""
    changed = bytearray(content)
    for _ in range(random.integers(1, 8)):
        place = int(random.integers(len(changed)))
        mutation = random.integers(5)
        if mutation == 0:
            changed[place] = random.integers(256)
        elif mutation == 1:
            changed[place] ^= 1 << random.integers(8)
        elif mutation == 2:
            del changed[place : place + int(random.integers(1, 40))]
        elif mutation == 3:
            changed[place:place] = changed[place : place + int(random.integers(1, 40))]
        else:
            changed[place : place + 4] = bytes(random.choice([0, 127, 128, 255], 4).astype(np.uint8))
        if not changed:
            return b"\x00"
    return bytes(changed)


def sizes() -> Iterator[tuple[str, bytes]]:
    for size in STRETCHED:
        for kind in KINDS:
            if max(size) <= MAX_SIDE.get(kind, 65_535):
                yield f"{kind} of {size}", saved(Image.new("L", size, 255), kind)
    for size in DECLARED + EMPTY:
        width, height = (side & 65535 for side in size)
        yield f"PNG that declares {size}", png(*size, zlib.compress(bytes(1000)))
        yield f"BMP that declares {size}", bmp(*size)
        yield f"GIF that declares {size}", b"GIF89a" + struct.pack("<HH", width, height) + good("GIF")[10:]
        yield f"JPEG that declares {size}", jpeg_of_size(width, height)
    yield "BMP of negative height", bmp(10, -10)
    yield "BMP of negative width", bmp(-10, 10)
    for size in ((5000, 5000), (5000, 5001), (25_000_000, 1), (1, 25_000_000)):  # the limit is 25 megapixels
        yield f"PNG of {size}", saved(Image.new("1", size, 1), "PNG")


def unusual() -> Iterator[tuple[str, bytes]]:
    page = Image.fromarray(written("17 42"))
    frames = [page.rotate(10 * turn, fillcolor=255) for turn in range(20)]
    for kind in ("GIF", "PNG", "WEBP"):
        yield f"animated {kind}", saved(page, kind, save_all=True, append_images=frames, duration=20)
    yield "PNG of 16 bits", saved(Image.fromarray(written("17 42").astype(np.uint16) * 257), "PNG")
    yield "JPEG in CMYK", saved(page.convert("CMYK"), "JPEG")
    for orientation in range(12):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield f"JPEG of orientation {orientation}", saved(page, "JPEG", exif=exif)
    yield "JPEG with invalid EXIF", saved(page, "JPEG", exif=b"Exif\x00\x00" + b"\xff" * 500)
    for mode in ("1", "P", "LA", "RGB", "RGBA"):
        yield f"PNG of mode {mode}", saved(page.convert(mode), "PNG")
    yield "JPEG, progressive", saved(page.resize((2000, 1000)), "JPEG", progressive=True)
    yield "WebP, lossless", saved(page.convert("RGBA"), "WEBP", lossless=True)
    pixels = zlib.compress(bytes(110))
    yield "PNG without palette", png(10, 10, pixels, colour=3)
    yield "PNG of unknown colour", png(10, 10, pixels, colour=7)
    yield "PNG of 3 bits", png(10, 10, pixels, bits=3)
    yield "PNG without pixels", PNG_START + PNG_END
    yield "PNG without header", SIGNATURE + chunk(b"IDAT", pixels) + PNG_END
    yield "PNG with two headers", PNG_START + PNG_START.removeprefix(SIGNATURE) + PNG_END


def bombs() -> Iterator[tuple[str, bytes]]:
    """Yield files that are small on disk and large in memory."""
    bomb = zlib.compress(bytes(200_000_000), 9)
    pixels_and_end = chunk(b"IDAT", zlib.compress(bytes(110))) + PNG_END
    for kind, start in (
        (b"zTXt", b"a\x00\x00"),
        (b"iTXt", b"a\x00\x01\x00\x00\x00"),
        (b"iCCP", b"a\x00\x00"),
    ):
        yield f"PNG with a bomb in {kind!r}", PNG_START + chunk(kind, start + bomb) + pixels_and_end
    yield "PNG with a bomb as its pixels", png(10, 10, bomb)
    yield "PNG of many chunks", PNG_START + chunk(b"tEXt", b"a\x00b") * 100_000 + pixels_and_end
    yield "PNG that declares a huge chunk", PNG_START + struct.pack(">I", 2**31 - 1) + b"IDAT" + bytes(100)
    wide = png(5000, 5000, zlib.compress(bytes(5000 * (5000 * 8 + 1)), 9), bits=16, colour=6)
    yield "PNG of 25 megapixels, RGBA of 16 bits", wide
    for form, mode, options in (
        ("PNG", "RGBA", {}),
        ("JPEG", "RGB", {}),
        ("JPEG", "L", {"progressive": True}),
        ("WEBP", "RGBA", {}),
        ("GIF", "P", {}),
    ):
        yield f"{form} of 25 megapixels, {mode}", saved(Image.new(mode, (5000, 5000)), form, **options)


def crowded() -> Iterator[tuple[str, bytes]]:
    """Yield pages with very many marks, for which a slow algorithm would take forever."""
    noise = np.random.default_rng(0).integers(0, 2, (1600, 1600), np.uint8) * 255
    dots, bars = np.full((2, 1600, 1600), 255, np.uint8)
    dots[::8, ::8] = dots[1::8, ::8] = 0
    bars[:, ::6] = bars[:, 1::6] = 0
    pages = {
        "noise": noise,
        "coarse noise": noise[:400, :400].repeat(4, axis=0).repeat(4, axis=1),
        "a chessboard": (np.indices((1600, 1600)).sum(axis=0) // 4 % 2 * 255).astype(np.uint8),
        "dots": dots,
        "bars": bars,
        "rules": bars.T.copy(),
        "many numbers": np.tile(written("17 42"), (12, 8)),
    }
    for name, page in pages.items():
        yield f"PNG of {name}", saved(Image.fromarray(page), "PNG")


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_start(width: int, height: int, bits: int = 8, colour: int = 0) -> bytes:
    return SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))


PNG_START, PNG_END = png_start(10, 10), chunk(b"IEND", b"")


def png(width: int, height: int, pixels: bytes, *, bits: int = 8, colour: int = 0) -> bytes:
    """Return a PNG whose header need not match its pixels."""
    return png_start(width, height, bits, colour) + chunk(b"IDAT", pixels) + PNG_END


def bmp(width: int, height: int) -> bytes:
    content = bytearray(good("BMP"))
    content[18:26] = struct.pack("<ii", width, height)
    return bytes(content)


def jpeg_of_size(width: int, height: int) -> bytes:
    content = bytearray(good("JPEG"))
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(content)
