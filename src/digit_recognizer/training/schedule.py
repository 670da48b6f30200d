"""Learning rate and early stopping, as functions of where the training is.

Both look at nothing but the history and the step, so that a resumed run needs no more than that. What counts
as progress and when patience ends is Keras's: https://keras.io/api/callbacks/reduce_lr_on_plateau/ and
https://keras.io/api/callbacks/early_stopping/
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from digit_recognizer.recipes.schema import Constant, Monitor, OneCycle, Plateau, Stopping
from digit_recognizer.runs.history import EpochRecord


def learning_rate(
    schedule: Constant | OneCycle | Plateau, start: float, history: Sequence[EpochRecord], share: float
) -> float:
    """Return the learning rate of a step.

    Parameters
    ----------
    schedule
        The recipe's.
    start
        The optimizer's learning rate.
    history
        The epochs that are done.
    share
        How much of the training's steps is done in the middle of this one, above 0 and below 1.
    """
    if isinstance(schedule, Constant):
        return start
    if isinstance(schedule, OneCycle):
        rising = share < schedule.warmup
        return start * (share / schedule.warmup if rising else (1 - share) / (1 - schedule.warmup))
    rate, best, waited = start, inf, 0
    for value in _losses(history, schedule.monitor):
        if value < best - schedule.min_delta:
            best, waited = value, 0
            continue
        waited += 1
        if waited >= schedule.patience:
            rate, waited = max(rate * schedule.factor, min(rate, schedule.floor)), 0
    return rate


def has_stopped(stopping: Stopping | None, history: Sequence[EpochRecord]) -> bool:
    """Say whether early stopping ends the training behind `history`."""
    if stopping is None:
        return False
    best, waited = inf, 0
    for value in _losses(history, stopping.monitor):
        if value < best - stopping.min_delta:
            best, waited = value, 0
        else:
            waited += 1
    return waited >= stopping.patience


def _losses(history: Sequence[EpochRecord], monitor: Monitor) -> list[float]:
    """Return the watched column so that less is better."""
    sign = -1 if monitor.endswith("accuracy") else 1
    return [sign * getattr(record, monitor) for record in history]
