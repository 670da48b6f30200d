"""Load digits from every supported format, and write the competition's files."""

from __future__ import annotations

from digit_recognizer.sources.common import Part
from digit_recognizer.sources.kaggle import write_probabilities, write_submission, write_training_csv
from digit_recognizer.sources.load import find_source, has_test_csv, load_digits

__all__ = [
    "Part",
    "find_source",
    "has_test_csv",
    "load_digits",
    "write_probabilities",
    "write_submission",
    "write_training_csv",
]
