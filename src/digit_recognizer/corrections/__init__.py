"""The SQLite file with the digits and numbers that users corrected: their images and what they really are."""

from __future__ import annotations

from digit_recognizer.corrections.numbers import NumberCorrection, pair_digits
from digit_recognizer.corrections.store import (
    DEFAULT_PATH,
    PATH_VARIABLE,
    Correction,
    CorrectionStore,
    corrections_path,
    load_corrections,
    save_corrections,
)

__all__ = [
    "DEFAULT_PATH",
    "PATH_VARIABLE",
    "Correction",
    "CorrectionStore",
    "NumberCorrection",
    "corrections_path",
    "load_corrections",
    "pair_digits",
    "save_corrections",
]
