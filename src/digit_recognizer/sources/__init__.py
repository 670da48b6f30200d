"""Where digits come from: every format that holds them becomes `Digits`."""

from __future__ import annotations

from digit_recognizer.sources.kaggle import write_probabilities, write_submission, write_training_csv
from digit_recognizer.sources.load import find_source, has_test_csv, load_digits
from digit_recognizer.sources.parts import Part

__all__ = [
    "Part",
    "find_source",
    "has_test_csv",
    "load_digits",
    "write_probabilities",
    "write_submission",
    "write_training_csv",
]
