"""Predictions and labels ► numbers; runs and digits ► figures and a page."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from digit_recognizer.reporting.evaluation import Evaluation, evaluate

if TYPE_CHECKING:
    from digit_recognizer.reporting.report import write_comparison, write_report

__all__ = ["Evaluation", "evaluate", "write_comparison", "write_report"]


def __getattr__(name: str) -> Any:
    """Import what draws when it is first used: nobody waits for matplotlib who only evaluates."""
    if name in ("write_comparison", "write_report"):
        return getattr(import_module(f"{__name__}.report"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
