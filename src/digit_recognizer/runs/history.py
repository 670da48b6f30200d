"""The record of an epoch, the progress within an epoch, and ``history.csv``."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from math import isfinite
from pathlib import Path
from typing import Any

from digit_recognizer.errors import DigitsError


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One epoch.

    Attributes
    ----------
    epoch
        Counted from 1 for each member.
    learning_rate
        That of its first step.
    loss, accuracy
        Mean cross-entropy in nats, and fraction of correct answers, over the training images, computed during
        the epoch with augmentation and dropout, as Keras reports them.
    validation_loss, validation_accuracy, validation_errors
        The same after the epoch on the validation images, without augmentation and dropout, and the number of
        errors; None without validation images.
    seconds
        Duration, validation included.
    images_per_second
        Training images per second, validation excluded.
    member
        Which of the recipe's networks was trained, counted from 1.
    """

    epoch: int
    learning_rate: float
    loss: float
    accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    validation_errors: int | None
    seconds: float
    images_per_second: float
    member: int = 1


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress within an epoch.

    Attributes
    ----------
    epoch, epochs
        The current epoch, counted from 1, and the maximum number of epochs of all members together.
    images, total
        Training images of this epoch so far, and in all.
    loss
        Mean cross-entropy in nats so far.
    images_per_second
        Of this epoch so far.
    """

    epoch: int
    epochs: int
    images: int
    total: int
    loss: float
    images_per_second: float

    @property
    def fraction(self) -> float:
        """The part of the whole training that is done, 0 to 1."""
        return (self.epoch - 1 + self.images / self.total) / self.epochs


def history_to_csv(history: Sequence[EpochRecord]) -> str:
    """Return the history as CSV with a header; a cell is empty where there was no validation."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [field.name for field in fields(EpochRecord)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(record) for record in history)
    return text.getvalue()


def read_history(path: Path) -> list[EpochRecord]:
    """Read a ``history.csv`` back.

    Raises
    ------
    DigitsError
        The file cannot be read or is damaged; the message names the line.
    """
    try:
        rows = list(csv.DictReader(path.read_text("utf-8").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DigitsError(f"{path} is damaged or cannot be read: {error}") from error
    return [_record(row, f"{path}, line {number}") for number, row in enumerate(rows, start=2)]


def _record(row: dict[str, Any], where: str) -> EpochRecord:
    try:
        values: dict[str, Any] = {
            field.name: _value(row[field.name], field.type) for field in fields(EpochRecord)
        }
        return EpochRecord(**values)
    except (KeyError, TypeError, ValueError) as error:
        raise DigitsError(f"{where} is damaged: expected a number in each column, got {row}") from error


def _value(cell: str, kind: Any) -> float | int | None:
    if not cell and "None" in kind:
        return None
    value = int(cell) if "int" in kind else float(cell)
    if not isfinite(value):
        raise ValueError(cell)
    return value
