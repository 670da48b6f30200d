"""Files that mean no good: bombs, damaged pictures, wrong types, and mutations of good ones."""

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
SIGNATURE = b"\x89PNG\r\n\x1a\n"
STRETCHED = [(1, 65535), (65535, 1), (1, 20_000), (20_000, 1), (2, 65_000), (65_000, 2), (1, 1), (3, 2)]
ENORMOUS = [(65535, 65535), (100_000, 1000), (5001, 5000), (1, 2**31 - 1), (2**31 - 1, 2**31 - 1)]
OTHERS = {
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "svg with entities": b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><svg>&b;</svg>',
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(/etc/passwd) run\nshowpage\n",
    "pdf": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>",
    "html": b"<html><script>alert(1)</script></html>",
    "zip": b"PK\x03\x04" + bytes(100),
    "gzip": b"\x1f\x8b\x08" + bytes(100),
    "elf": b"\x7fELF" + bytes(100),
    "psd": b"8BPS\x00\x01" + bytes(100),
    "ico": b"\x00\x00\x01\x00\x01\x00\x10\x10" + bytes(100),
    "icns": b"icns" + bytes(100),
    "fits": b"SIMPLE  =                    T" + b" " * 3000,
    "ppm": b"P6 99999 99999 255\n",
    "xbm": b"#define x_width 99999\n#define x_height 99999\nstatic char x_bits[] = {0};",
    "avif": b"\x00\x00\x00\x1cftypavif" + bytes(100),
    "jpeg 2000": b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(100),
    "mp4": b"\x00\x00\x00\x18ftypmp42" + bytes(100),
    "text": b"12345\n" * 100,
    "noughts": bytes(1000),
    "ones": b"\xff" * 1000,
    "one byte": b"\x89",
    "a path": b"/etc/passwd",
    "a url": b"http://127.0.0.1/picture.png",
}


@cache
def good(kind: str) -> bytes:
    """Return a picture of a number."""
    return saved(Image.fromarray(written("17 42")), kind)


def saved(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def corpus() -> Iterator[tuple[str, bytes]]:
    """Give each bad file with what is bad about it."""
    yield from OTHERS.items()
    for kind in KINDS:
        yield from damaged(kind)
    yield from sizes()
    yield from unusual()
    yield from bombs()
    yield from crowded()


def damaged(kind: str) -> Iterator[tuple[str, bytes]]:
    content = good(kind)
    for share in range(0, 100, 7):
        yield f"{kind} cut off at {share} %", content[: 2 + len(content) * share // 100]
    for seed in range(25):
        yield f"{kind} mutated {seed}", mutated(content, np.random.default_rng(seed))
    yield f"{kind} with noughts in the middle", content[:60] + bytes(len(content) // 2) + content[-60:]
    yield f"{kind} backwards", content[::-1]
    yield f"{kind} twice", content * 2
    yield f"{kind} and a megabyte", content + bytes(1_000_000)
    yield f"{kind} behind a byte", b"x" + content
    yield f"{kind} without its first byte", content[1:]


def mutated(content: bytes, random: np.random.Generator) -> bytes:
    """Change bytes, take some away, double some, or put in what decoders count with."""
    changed = bytearray(content)
    for _ in range(random.integers(1, 8)):
        place = int(random.integers(len(changed)))
        what = random.integers(5)
        if what == 0:
            changed[place] = random.integers(256)
        elif what == 1:
            changed[place] ^= 1 << random.integers(8)
        elif what == 2:
            del changed[place : place + int(random.integers(1, 40))]
        elif what == 3:
            changed[place:place] = changed[place : place + int(random.integers(1, 40))]
        else:
            changed[place : place + 4] = bytes(random.choice([0, 127, 128, 255], 4).astype(np.uint8))
        if not changed:
            return b"\x00"
    return bytes(changed)


def sizes() -> Iterator[tuple[str, bytes]]:
    for width, height in STRETCHED:
        for kind in KINDS:
            if kind == "WEBP" and max(width, height) > 16_383:
                continue
            if kind == "JPEG" and max(width, height) > 65_500:
                continue
            yield f"{kind} of {width}x{height}", saved(Image.new("L", (width, height), 255), kind)
    for width, height in ENORMOUS:
        yield f"PNG that says {width}x{height}", png(width, height, zlib.compress(bytes(1000)))
        yield f"BMP that says {width}x{height}", bmp(width, height)
        yield (
            f"GIF that says {width}x{height}",
            b"GIF89a" + struct.pack("<HH", width & 65535, height & 65535) + good("GIF")[10:],
        )
        yield f"JPEG that says {width}x{height}", jpeg_of_size(width & 65535, height & 65535)
    for size in ((0, 0), (0, 5), (5, 0)):
        yield f"PNG that says {size}", png(*size, zlib.compress(b""))
        yield f"BMP that says {size}", bmp(*size)
        yield f"JPEG that says {size}", jpeg_of_size(*size)
    yield "BMP of negative height", bmp(10, -10)
    yield "BMP of negative width", bmp(-10, 10)
    yield "PNG of all pixels there may be", saved(Image.new("1", (5000, 5000), 1), "PNG")
    yield "PNG of one pixel more", saved(Image.new("1", (5000, 5001), 1), "PNG")
    yield "PNG one pixel high", saved(Image.new("1", (25_000_000, 1), 1), "PNG")
    yield "PNG one pixel wide", saved(Image.new("1", (1, 25_000_000), 1), "PNG")


def unusual() -> Iterator[tuple[str, bytes]]:
    page = Image.fromarray(written("17 42"))
    frames = [page.rotate(10 * turn, fillcolor=255) for turn in range(20)]
    for kind in ("GIF", "PNG", "WEBP"):
        yield f"{kind} that moves", saved(page, kind, save_all=True, append_images=frames, duration=20)
    yield "PNG of 16 bits", saved(Image.fromarray(written("17 42").astype(np.uint16) * 257), "PNG")
    yield "JPEG in CMYK", saved(page.convert("CMYK"), "JPEG")
    for orientation in range(12):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield f"JPEG turned {orientation}", saved(page, "JPEG", exif=exif)
    yield "JPEG with EXIF of nonsense", saved(page, "JPEG", exif=b"Exif\x00\x00" + b"\xff" * 500)
    for mode in ("1", "P", "LA", "RGB", "RGBA"):
        yield f"PNG of mode {mode}", saved(page.convert(mode), "PNG")
    yield "JPEG, progressive", saved(page.resize((2000, 1000)), "JPEG", progressive=True)
    yield "WebP, lossless", saved(page.convert("RGBA"), "WEBP", lossless=True)
    yield "PNG without palette", png(10, 10, zlib.compress(bytes(110)), colour=3)
    yield "PNG of unknown colour", png(10, 10, zlib.compress(bytes(110)), colour=7)
    yield "PNG of 3 bits", png(10, 10, zlib.compress(bytes(110)), bits=3)
    yield "PNG without pixels", SIGNATURE + chunk(b"IHDR", header(10, 10, 8, 0)) + chunk(b"IEND", b"")
    yield "PNG without header", SIGNATURE + chunk(b"IDAT", zlib.compress(bytes(110))) + chunk(b"IEND", b"")
    yield "PNG with two headers", SIGNATURE + 2 * chunk(b"IHDR", header(10, 10, 8, 0)) + chunk(b"IEND", b"")


def bombs() -> Iterator[tuple[str, bytes]]:
    """Give what is small in the file and large in memory."""
    squeezed = zlib.compress(bytes(200_000_000), 9)
    pixels = chunk(b"IDAT", zlib.compress(bytes(110)))
    begun, end = SIGNATURE + chunk(b"IHDR", header(10, 10, 8, 0)), chunk(b"IEND", b"")
    yield "PNG with a bomb as its text", begun + chunk(b"zTXt", b"a\x00\x00" + squeezed) + pixels + end
    yield (
        "PNG with a bomb as its other text",
        begun + chunk(b"iTXt", b"a\x00\x01\x00\x00\x00" + squeezed) + pixels + end,
    )
    yield "PNG with a bomb as its colours", begun + chunk(b"iCCP", b"a\x00\x00" + squeezed) + pixels + end
    yield "PNG with a bomb as its pixels", png(10, 10, squeezed)
    yield "PNG of many chunks", begun + chunk(b"tEXt", b"a\x00b") * 100_000 + pixels + end
    yield "PNG that shows a huge chunk", begun + struct.pack(">I", 2**31 - 1) + b"IDAT" + bytes(100)
    yield "PNG of 25 megapixels in four colours", saved(Image.new("RGBA", (5000, 5000)), "PNG")
    wide = png(5000, 5000, zlib.compress(bytes(5000 * (5000 * 8 + 1)), 9), bits=16, colour=6)
    yield "PNG of 25 megapixels in four colours of 16 bits", wide
    yield "JPEG of 25 megapixels", saved(Image.new("RGB", (5000, 5000), (200, 10, 10)), "JPEG")
    yield "WebP of 25 megapixels", saved(Image.new("RGBA", (5000, 5000)), "WEBP")
    yield "GIF of 25 megapixels", saved(Image.new("P", (5000, 5000)), "GIF")
    yield "JPEG, progressive, of 25 megapixels", saved(Image.new("L", (5000, 5000)), "JPEG", progressive=True)


def crowded() -> Iterator[tuple[str, bytes]]:
    """Give pages with so much on them that looking at it might take for ever."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 2, (1600, 1600), np.uint8) * 255
    yield "PNG of noise", saved(Image.fromarray(noise), "PNG")
    yield "PNG of coarse noise", saved(Image.fromarray(noise[:400, :400]).resize((1600, 1600), 0), "PNG")
    board = np.indices((1600, 1600)).sum(axis=0) // 4 % 2 * 255
    yield "PNG of a chessboard", saved(Image.fromarray(board.astype(np.uint8)), "PNG")
    dots = np.full((1600, 1600), 255, np.uint8)
    dots[::8, ::8] = dots[1::8, ::8] = 0
    yield "PNG of dots", saved(Image.fromarray(dots), "PNG")
    bars = np.full((1600, 1600), 255, np.uint8)
    bars[:, ::6] = bars[:, 1::6] = 0
    yield "PNG of bars", saved(Image.fromarray(bars), "PNG")
    yield "PNG of rules", saved(Image.fromarray(bars.T.copy()), "PNG")
    page = np.tile(written("17 42"), (12, 8))
    yield "PNG of many numbers", saved(Image.fromarray(page), "PNG")


def header(width: int, height: int, bits: int, colour: int) -> bytes:
    return struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, pixels: bytes, *, bits: int = 8, colour: int = 0) -> bytes:
    """Return a PNG that says of itself what it likes."""
    begun = SIGNATURE + chunk(b"IHDR", header(width, height, bits, colour))
    return begun + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def bmp(width: int, height: int) -> bytes:
    content = bytearray(good("BMP"))
    low = -(2**31)
    content[18:26] = struct.pack("<ii", max(low, min(width, 2**31 - 1)), max(low, min(height, 2**31 - 1)))
    return bytes(content)


def jpeg_of_size(width: int, height: int) -> bytes:
    content = bytearray(good("JPEG"))
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(content)
