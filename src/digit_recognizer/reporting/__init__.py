"""Predictions and labels ► numbers."""

from digit_recognizer.reporting.evaluation import Evaluation, evaluate

__all__ = ["Evaluation", "evaluate"]
