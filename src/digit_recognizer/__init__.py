"""Read handwritten digits: train small convolutional networks, and predict with them.

>>> from digit_recognizer import Recognizer, load_digits, train
>>> for record in train(load_digits("bundled"), "five-layer", "runs/mine"):
...     print(record.epoch, record.validation_accuracy)
>>> Recognizer("runs/mine").predict(images).labels
>>> Recognizer().read("phone-number.jpg").text
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before ONNX Runtime is imported

if TYPE_CHECKING:
    from digit_recognizer.digits import Digits, Predictions
    from digit_recognizer.errors import DigitsError
    from digit_recognizer.evaluation import Evaluation, evaluate
    from digit_recognizer.reading import Reading, SingleDigit
    from digit_recognizer.recipes import Recipe, load_recipe
    from digit_recognizer.recognition import Recognizer
    from digit_recognizer.report import write_comparison, write_report
    from digit_recognizer.runs import EpochRecord
    from digit_recognizer.runs.run import Run, read_run
    from digit_recognizer.sources import load_digits, write_submission
    from digit_recognizer.training import resume, train

__version__ = "0.1.0"

__all__ = [
    "Digits",
    "DigitsError",
    "EpochRecord",
    "Evaluation",
    "Predictions",
    "Reading",
    "Recipe",
    "Recognizer",
    "Run",
    "SingleDigit",
    "evaluate",
    "load_digits",
    "load_recipe",
    "read_run",
    "resume",
    "train",
    "write_comparison",
    "write_report",
    "write_submission",
]

_MODULES = {
    "Digits": "digits",
    "DigitsError": "errors",
    "EpochRecord": "runs",
    "Evaluation": "evaluation",
    "Predictions": "digits",
    "Reading": "reading",
    "Recipe": "recipes",
    "Recognizer": "recognition",
    "Run": "runs.run",
    "SingleDigit": "reading",
    "evaluate": "evaluation",
    "load_digits": "sources",
    "load_recipe": "recipes",
    "read_run": "runs.run",
    "resume": "training",
    "train": "training",
    "write_comparison": "report",
    "write_report": "report",
    "write_submission": "sources",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that reading does not wait for torch."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
