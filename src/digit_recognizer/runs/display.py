"""The history of a run as HTML, for notebooks."""

from __future__ import annotations

from collections.abc import Sequence

from digit_recognizer.formatting import count, loss_in_words, percent, seconds_in_words
from digit_recognizer.notebook import curves, paragraph, table
from digit_recognizer.runs.history import EpochRecord

MAX_EPOCHS_SHOWN = 10  # in the table


def history_to_html(history: Sequence[EpochRecord]) -> str:
    """Return the accuracy of all epochs as curves, and the last epochs as a table, for a notebook."""
    if not history:
        return ""
    accuracies = {
        "validation": [_percent(record.validation_accuracy) for record in history],
        "training, with augmentation and dropout": [_percent(record.accuracy) for record in history],
    }
    shown = history[-MAX_EPOCHS_SHOWN:]
    note = paragraph(f"The last {len(shown)} epochs:") if len(shown) < len(history) else ""
    title = f"Accuracy of {count(len(history), 'epoch')}"
    return curves(title, accuracies, " %") + note + table(*_columns(shown))


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else 100 * fraction


def _columns(history: Sequence[EpochRecord]) -> tuple[list[str], list[list[str]]]:
    """Return the heads and rows of the table of epochs, without columns that say nothing."""
    columns: dict[str, list[str]] = {
        "member": [str(record.member) for record in history],
        "epoch": [str(record.epoch) for record in history],
        "loss": [loss_in_words(record.loss) for record in history],
        "accuracy": [percent(record.accuracy) for record in history],
    }
    if history[-1].member == 1:
        del columns["member"]
    if history[-1].validation_accuracy is not None:
        columns["validation loss"] = [loss_in_words(record.validation_loss or 0.0) for record in history]
        columns["validation accuracy"] = [percent(record.validation_accuracy or 0.0) for record in history]
    columns["time"] = [seconds_in_words(record.seconds) for record in history]
    return list(columns), [list(row) for row in zip(*columns.values(), strict=True)]
