"""Learning rate of a step, and early stopping.

Both depend only on the history and the step, so a resumed run needs nothing else. Progress and patience are
defined as in Keras: https://keras.io/api/callbacks/reduce_lr_on_plateau/ and
https://keras.io/api/callbacks/early_stopping/
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from digit_recognizer.recipes.schema import Constant, Monitor, OneCycle, Plateau, Stopping
from digit_recognizer.runs.history import EpochRecord


def learning_rate(
    schedule: Constant | OneCycle | Plateau, base: float, history: Sequence[EpochRecord], fraction: float
) -> float:
    """Return the learning rate of a step.

    Parameters
    ----------
    schedule
        The recipe's.
    base
        The optimizer's learning rate.
    history
        The completed epochs.
    fraction
        The fraction of all steps that is complete in the middle of this step, above 0 and below 1.
    """
    if isinstance(schedule, Constant):
        return base
    if isinstance(schedule, OneCycle):
        if fraction < schedule.warmup:
            return base * (fraction / schedule.warmup)
        return base * ((1 - fraction) / (1 - schedule.warmup))
    rate, best, waited = base, inf, 0
    for value in _losses(history, schedule.monitor):
        if value < best - schedule.min_delta:
            best, waited = value, 0
            continue
        waited += 1
        if waited >= schedule.patience:
            rate, waited = max(rate * schedule.factor, min(rate, schedule.floor)), 0
    return rate


def has_stopped(stopping: Stopping | None, history: Sequence[EpochRecord]) -> bool:
    """Return whether early stopping ends the training after `history`."""
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
    """Return the watched column, with the sign that makes lower values better."""
    sign = -1 if monitor.endswith("accuracy") else 1
    return [sign * getattr(record, monitor) for record in history]
