"""Any picture brought to the form that the network knows: 28x28 pixels of ink."""

from __future__ import annotations

from digit_recognizer.imaging.decode import decode
from digit_recognizer.imaging.normalise import normalise
from digit_recognizer.imaging.polarity import is_dark_on_light, to_ink

__all__ = ["decode", "is_dark_on_light", "normalise", "to_ink"]
