"""How large a picture may be, and by what it is reduced."""

from __future__ import annotations

from dataclasses import dataclass

from digit_recognizer.errors import DigitsError
from digit_recognizer.imaging.grey import DECODER_BYTES, JPEG_FACTORS, PAGE_PIXELS, reduction_factor

MAX_PIXELS = 150_000_000  # of a picture; Pillow refuses 179 million as a decompression bomb
MAX_JPEG_PIXELS = 250_000_000  # of a JPEG that may be reduced, as by phones with 200 megapixels
BYTES_PER_PIXEL = 4  # of memory for a pixel within the limit; a picture that is reduced gets no more in all
MAX_SIDE_PX = 65_535  # Pillow needs eight bytes for each row, however short
MEGAPIXEL = 1_000_000
JPEG = ("JPEG", "MPO")  # the second has several pictures


@dataclass(frozen=True, slots=True)
class Limits:
    """What is allowed of a picture, and what error messages call it."""

    name: str
    max_pixels: int
    reduce: bool = False

    def check_size(self, size: tuple[int, int], kind: str | None = None) -> None:
        """Raise `DigitsError` unless a picture has an allowed number of pixels."""
        if size[0] * size[1] > self.most_pixels(kind):
            raise DigitsError(self.too_large(kind))
        if max(size) > MAX_SIDE_PX:
            raise DigitsError(f"{self.name} is longer than {MAX_SIDE_PX:,} pixels: crop it to the numbers")
        if 0 in size:
            raise DigitsError(f"{self.name} has no pixels")

    def check_memory(self, size: tuple[int, int], pixel_bytes: float, kind: str, whole: float = 0) -> None:
        """Raise `DigitsError` if decoding a picture of this size would take too much memory.

        `whole` is how many bytes each pixel takes in its format, if the decoder reduces nothing.
        """
        pixels = size[0] * size[1]
        most: float = DECODER_BYTES
        if pixels > self.max_pixels:
            most = min(most, max(BYTES_PER_PIXEL, whole) * self.max_pixels)
        if pixels * pixel_bytes > most:
            limit = most / pixel_bytes
            if pixels > self.max_pixels:
                limit = max(limit, self.max_pixels)
            raise DigitsError(
                f"{self.name} has {_megapixels(pixels)} megapixels, which is too much for {kind} "
                f"(at most {_megapixels(limit)}): make it smaller, or save it as a JPEG"
            )

    def factor(self, size: tuple[int, int], kind: str | None = None) -> int:
        """Return by what the sides of a picture are divided."""
        if size[0] * size[1] <= self.max_pixels:
            return reduction_factor(size)
        most = min(PAGE_PIXELS, self.max_pixels)
        factor = reduction_factor(size, most)
        while -(-size[0] // factor) * -(-size[1] // factor) > most:  # sides are rounded up
            factor += 1
        return next((each for each in JPEG_FACTORS if each >= factor), factor) if kind in JPEG else factor

    def most_pixels(self, kind: str | None) -> int:
        """Return how many pixels a picture of a format may have."""
        if not self.reduce:
            return self.max_pixels
        return max(self.max_pixels, MAX_JPEG_PIXELS if kind in JPEG else MAX_PIXELS)

    def too_large(self, kind: str | None = None) -> str:
        """Return the error message for a picture with too many pixels."""
        most = self.most_pixels(kind) / MEGAPIXEL
        return f"{self.name} has more than {most:g} megapixels: make it smaller first"


def _megapixels(pixels: float) -> str:
    megapixels = pixels / MEGAPIXEL
    return f"{megapixels:.0f}" if megapixels >= 1 else f"{megapixels:.2g}"
