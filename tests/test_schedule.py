"""Learning rate and early stopping: Keras's callbacks, written again, are the oracle."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digit_recognizer.recipes.recipe import load_recipe
from digit_recognizer.recipes.schema import Constant, OneCycle, Plateau, Stopping
from digit_recognizer.runs.history import EpochRecord
from digit_recognizer.training.schedule import has_stopped, learning_rate

HALVE = load_recipe("five-layer").schedule
TENTH = load_recipe("alexnet28").schedule
EARLY = load_recipe("three-blocks").stopping

MONITORS = ["loss", "accuracy", "validation_loss", "validation_accuracy"]


def history(monitor: str, values: list[float]) -> list[EpochRecord]:
    """Return epochs in which only one column varies."""
    columns = dict.fromkeys(MONITORS, 0.5)
    return [
        EpochRecord(
            number, 1e-3, **(columns | {monitor: value}), validation_errors=1, seconds=1, images_per_second=1
        )
        for number, value in enumerate(values, start=1)
    ]


class KerasCallback:
    """What Keras's two callbacks have in common: a best value, and epochs without a better one."""

    def __init__(self, monitor: str, min_delta: float) -> None:
        self.greater_is_better = monitor.endswith("accuracy")
        self.min_delta = min_delta
        self.best = -float("inf") if self.greater_is_better else float("inf")
        self.wait = 0

    def improves(self, value: float) -> bool:
        if self.greater_is_better:
            return value > self.best + self.min_delta
        return value < self.best - self.min_delta


class ReduceLROnPlateau(KerasCallback):
    """Its ``on_epoch_end``, without the cooldown, which no recipe here has."""

    def __init__(self, schedule: Plateau, rate: float) -> None:
        super().__init__(schedule.monitor, schedule.min_delta)
        self.schedule = schedule
        self.rate = rate

    def on_epoch_end(self, value: float) -> None:
        if self.improves(value):
            self.best, self.wait = value, 0
            return
        self.wait += 1
        if self.wait >= self.schedule.patience:
            if self.rate > self.schedule.floor:
                self.rate = max(self.rate * self.schedule.factor, self.schedule.floor)
            self.wait = 0


class EarlyStopping(KerasCallback):
    """Its ``on_epoch_end``, without weights to restore."""

    def __init__(self, stopping: Stopping) -> None:
        super().__init__(stopping.monitor, stopping.min_delta)
        self.patience = stopping.patience
        self.stop_training = False

    def on_epoch_end(self, value: float) -> None:
        self.wait += 1
        if self.improves(value):
            self.best, self.wait = value, 0
        if self.wait >= self.patience:
            self.stop_training = True


values_of_a_column = st.lists(st.integers(0, 8).map(lambda eighths: eighths / 8), max_size=25)
deltas = st.sampled_from([0.0, 1e-4, 0.125, 0.2])


@given(
    values=values_of_a_column,
    schedule=st.builds(
        Plateau,
        st.just("plateau"),
        st.sampled_from(MONITORS),
        st.sampled_from([0.1, 0.5, 0.9]),
        st.integers(1, 4),
        st.sampled_from([0.0, 1e-6, 1e-4, 1.0]),
        deltas,
    ),
)
def test_the_learning_rate_falls_when_keras_lets_it_fall(values, schedule):
    keras = ReduceLROnPlateau(schedule, 1e-3)
    for value in values:
        keras.on_epoch_end(value)
    assert learning_rate(schedule, 1e-3, history(schedule.monitor, values), 0.5) == pytest.approx(
        keras.rate, rel=1e-12
    )


@given(
    values=values_of_a_column,
    stopping=st.builds(Stopping, st.sampled_from(MONITORS), st.integers(1, 5), deltas),
)
def test_a_training_stops_when_keras_stops_it(values, stopping):
    """The training asks after each epoch, and ends at the first yes."""
    keras = EarlyStopping(stopping)
    for number, value in enumerate(values, start=1):
        keras.on_epoch_end(value)
        assert has_stopped(stopping, history(stopping.monitor, values[:number])) == keras.stop_training
        if keras.stop_training:
            return


def rates(schedule: Plateau | Constant, start: float, values: list[float]) -> list[float]:
    """Return the learning rate of each epoch, and of the one after the last."""
    monitor = getattr(schedule, "monitor", "loss")
    return [
        learning_rate(schedule, start, history(monitor, values[:count]), 0.5)
        for count in range(len(values) + 1)
    ]


def test_five_layer_halves_the_rate_after_three_epochs_without_a_better_accuracy():
    accuracies = [0.90, 0.95, 0.95, 0.94, 0.95005, 0.96, 0.96, 0.96, 0.96]
    whole, half, quarter = 1e-3, 5e-4, 2.5e-4  # 0.95005 is no progress: less than 1e-4 more
    assert rates(HALVE, 1e-3, accuracies) == pytest.approx([*[whole] * 5, *[half] * 4, quarter])
    floor = rates(HALVE, 1e-3, [0.9] * 40)
    assert floor[-1] == min(floor) == 1e-5


def test_alexnet28_takes_a_tenth_after_two_epochs_without_a_lower_loss():
    losses = [1.0, 0.5, 0.5, 0.6, 0.4, 0.4, 0.4, 0.4, 0.4]
    expected = [*[1e-4] * 4, *[1e-5] * 3, *[1e-6] * 3]  # and no further: that is its floor
    assert rates(TENTH, 1e-4, losses) == pytest.approx(expected)


def test_three_blocks_stops_after_five_epochs_without_a_lower_loss():
    losses = [1.0, 0.5, 0.5, 0.6, 0.5, 0.5]
    assert not has_stopped(EARLY, history("validation_loss", losses))
    assert has_stopped(EARLY, history("validation_loss", [*losses, 0.7]))
    assert not has_stopped(EARLY, history("validation_loss", [*losses, 0.4]))


def test_a_constant_rate_stays_and_a_floor_above_the_rate_does_not_raise_it():
    assert rates(Plateau("plateau", "loss", 0.5, 1, floor=1.0), 1e-3, [1.0] * 5) == [1e-3] * 6
    assert rates(Constant(), 0.02, [1.0] * 5) == [0.02] * 6


@pytest.mark.parametrize(
    ("warmup", "fraction", "expected"),
    [
        *((0.2, *each) for each in [(0.05, 0.25), (0.1, 0.5), (0.2, 1.0), (0.25, 0.9375), (0.4, 0.75)]),
        *((0.2, *each) for each in [(0.6, 0.5), (0.9, 0.125), (1.0, 0.0)]),
        *((0.0, *each) for each in [(1e-9, 1.0), (0.25, 0.75), (0.5, 0.5), (0.999, 0.001)]),
    ],
)
def test_one_cycle_rises_to_the_rate_and_falls_to_zero_in_straight_lines(warmup, fraction, expected):
    """Whatever the losses are."""
    schedule, losses = OneCycle("one-cycle", warmup=warmup), history("loss", [9.0] * 20)
    for records in ([], losses):
        assert learning_rate(schedule, 0.03, records, fraction) == pytest.approx(0.03 * expected)


def test_a_training_without_early_stopping_or_epochs_goes_on():
    assert not has_stopped(None, history("loss", [1.0] * 100))
    assert not has_stopped(EARLY, [])
