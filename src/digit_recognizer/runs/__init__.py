"""A trained model on disk: the run folder, its history, and a run read as a whole."""

from __future__ import annotations

from digit_recognizer.runs.history import EpochRecord, Progress, history_to_csv, read_history

__all__ = ["EpochRecord", "Progress", "history_to_csv", "read_history"]
