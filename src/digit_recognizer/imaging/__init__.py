"""From any picture to the images that the network reads: 28x28 pixels in the style of MNIST."""

from __future__ import annotations

from digit_recognizer.imaging.decode import DecodedPage, Picture, count_pages, decode, decode_page
from digit_recognizer.imaging.normalise import normalise

__all__ = [
    "DecodedPage",
    "Picture",
    "count_pages",
    "decode",
    "decode_page",
    "normalise",
]
