"""Any picture brought to the form that the network knows: 28x28 pixels of ink."""

from __future__ import annotations

from digit_recognizer.imaging.decode import Picture, count_pages, decode
from digit_recognizer.imaging.normalise import normalise
from digit_recognizer.imaging.ink import is_dark_on_light
from digit_recognizer.imaging.single_digit import single_image

__all__ = ["Picture", "count_pages", "decode", "is_dark_on_light", "normalise", "single_image"]
