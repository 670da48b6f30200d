"""What is read in a picture: values that readers of pages make, and everything that is derived from them."""

from __future__ import annotations

from digit_recognizer.reading.allowed import Allowed, Pattern, Values
from digit_recognizer.reading.calibration import Calibration, load_calibration
from digit_recognizer.reading.characters import (
    CHARACTERS,
    DIGITS,
    MIN_READ_CONFIDENCE,
    Box,
    Character,
    ReadDigit,
    SingleDigit,
)
from digit_recognizer.reading.compose import ReadingOptions, interpret, number_of
from digit_recognizer.reading.values import Alternative, Line, Number, Reading, RejectedMark

__all__ = [
    "CHARACTERS",
    "DIGITS",
    "MIN_READ_CONFIDENCE",
    "Allowed",
    "Alternative",
    "Box",
    "Calibration",
    "Character",
    "Line",
    "Number",
    "Pattern",
    "ReadDigit",
    "Reading",
    "ReadingOptions",
    "RejectedMark",
    "SingleDigit",
    "Values",
    "interpret",
    "load_calibration",
    "number_of",
]
