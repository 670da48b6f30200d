"""Load digits from every supported format, and write the competition's files."""

from __future__ import annotations

from digit_recognizer.sources.common import Part
from digit_recognizer.sources.kaggle import (
    SubmissionForm,
    write_probabilities,
    write_submission,
    write_training_csv,
)
from digit_recognizer.sources.load import TestPart, find_source, has_test_csv, load_digits, load_test
from digit_recognizer.sources.unreadable import kind_of_file

__all__ = [
    "Part",
    "SubmissionForm",
    "TestPart",
    "find_source",
    "has_test_csv",
    "kind_of_file",
    "load_digits",
    "load_test",
    "write_probabilities",
    "write_submission",
    "write_training_csv",
]
