"""The training loop: state and task in, a record for each epoch out. It writes no files.

A task says what is learned: the digits of `fit`, or the pictures of numbers in `training.numbers`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil, isfinite
from threading import Event
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from digit_recognizer.digits import CLASSES
from digit_recognizer.errors import DigitsError
from digit_recognizer.evaluation import accuracy_values
from digit_recognizer.progress import following
from digit_recognizer.recipes import Recipe
from digit_recognizer.runs.display import history_to_html
from digit_recognizer.runs.history import EpochRecord, Progress
from digit_recognizer.training.checkpoint import Position
from digit_recognizer.training.data import TrainingData, make_batch
from digit_recognizer.training.device import autocast, denormals_as_zero
from digit_recognizer.training.inference import validate
from digit_recognizer.training.optimizers import lower_learning_rate
from digit_recognizer.training.randomness import draws_from, shuffled_batches
from digit_recognizer.training.schedule import learning_rate
from digit_recognizer.training.state import R, TrainingState

OnStep = Callable[[Progress], None]


class DivergedError(DigitsError):
    """The loss is not a finite number any more."""


class Task(Protocol):
    """What is learned, of examples that rows name, and how it is evaluated."""

    @property
    def validation_count(self) -> int:
        """The number of examples that are held out for validation."""

    def batches(self, epoch: int, member: int) -> list[Tensor]:
        """Return the rows of each batch of an epoch."""

    def losses(self, network: nn.Module, rows: Tensor) -> tuple[Tensor, Tensor, int]:
        """Return the loss to minimise, the mean cross-entropy, and how many examples are answered right."""

    def validate(self, network: nn.Module) -> tuple[float, int]:
        """Return the mean cross-entropy and the number of errors on the held-out examples."""


@dataclass(frozen=True, slots=True, eq=False)
class DigitTask:
    """Learn single digits; `Task` describes the methods."""

    recipe: Recipe
    data: TrainingData
    seed: int
    device: torch.device

    @property
    def validation_count(self) -> int:
        """The number of digits that are held out for validation."""
        return len(self.data.validation)

    def batches(self, epoch: int, member: int) -> list[Tensor]:
        """Return the rows of each batch of an epoch."""
        recipe = self.recipe
        batches = shuffled_batches(len(self.data.images), recipe.batch_size, self.seed, epoch, member)
        if recipe.corrections is not None and recipe.start:
            batches = batches[: ceil(recipe.corrections.images / recipe.batch_size)]
        return batches

    def losses(self, network: nn.Module, rows: Tensor) -> tuple[Tensor, Tensor, int]:
        """Return the loss, and cross-entropy and correct answers of the digits alone."""
        recipe = self.recipe
        batch = make_batch(self.data, rows, recipe)
        with autocast(recipe, self.device):
            logits = network(batch.inputs).float()  # (B, 10 or 11)
        digit_logits = logits[: len(batch.labels)]
        entropy = cross_entropy(digit_logits, batch.labels)
        loss = entropy
        if recipe.label_smoothing or batch.targets is not batch.labels:
            loss = cross_entropy(logits, batch.targets, label_smoothing=recipe.label_smoothing)
        return loss, entropy, int((digit_logits[:, :CLASSES].argmax(1) == batch.labels).sum())

    def validate(self, network: nn.Module) -> tuple[float, int]:
        """Return the mean cross-entropy and the number of errors on the held-out digits."""
        return validate(network, self.data.validation, self.device)


def fit(
    state: TrainingState[Recipe],
    data: TrainingData,
    *,
    on_step: OnStep | None = None,
    stop: Event | None = None,
) -> Iterator[EpochRecord]:
    """Train on digits from `prepare_data`; parameters and errors are those of `fit_task`."""
    task = DigitTask(state.recipe, data, state.seed, state.device)
    return fit_task(state, task, on_step=on_step, stop=stop)


def fit_task(
    state: TrainingState[R],
    task: Task,
    *,
    on_step: OnStep | None = None,
    stop: Event | None = None,
) -> Iterator[EpochRecord]:
    """Train until all members are complete, and yield each epoch's record.

    Parameters
    ----------
    state
        Changed in place; when a record is yielded, it stands at the start of the next epoch.
    task
        What is learned.
    on_step
        Called after each step.
    stop
        Once set, training stops after the current step.

    Raises
    ------
    DivergedError
        The loss is not a finite number any more.
    """
    with _following_steps(on_step, lambda: history_to_html(state.position.history)) as tell:
        while not state.is_over:
            if state.is_member_over:
                state.begin_next_member()
            _train_epoch(state, task, tell, stop)
            if stop is not None and stop.is_set():
                return
            yield _close_epoch(state, task)


@contextmanager
def _following_steps(on_step: OnStep | None, details: Callable[[], str]) -> Iterator[OnStep | None]:
    """Give the function to call after each step: the caller's, or one that shows it, or None."""
    if on_step is not None:
        yield on_step
        return
    with following("Training", details=details) as show:
        yield None if show is None else lambda progress: show(progress.fraction)


def _train_epoch(state: TrainingState[R], task: Task, on_step: OnStep | None, stop: Event | None) -> None:
    """Train on the remaining batches of the current epoch, or until `stop` is set."""
    position = state.position
    epoch, member = state.epoch, position.member
    batches = task.batches(epoch, member)
    total = sum(map(len, batches))
    started = time.perf_counter() - position.seconds
    state.network.train()
    for rows in batches[position.step :]:
        for group in state.optimizer.param_groups:
            group["lr"] = _learning_rate(state, position.step, len(batches))
        with draws_from(state.seed, epoch, position.step + 1, member):
            loss, correct = _train_step(state, task, rows)
        _check_finite(loss, state)
        position.step += 1
        position.images += len(rows)
        position.loss_sum += loss * len(rows)
        position.right += correct
        position.seconds = time.perf_counter() - started
        if on_step is not None:
            on_step(_progress(state, total))
        if stop is not None and stop.is_set():
            return


def _train_step(state: TrainingState[R], task: Task, rows: Tensor) -> tuple[float, int]:
    """Update the weights once; return cross-entropy and correct answers before the update."""
    with denormals_as_zero():
        loss, entropy, right = task.losses(state.network, rows)
        state.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        state.optimizer.step()
    return entropy.item(), right


def _close_epoch(state: TrainingState[R], task: Task) -> EpochRecord:
    """Validate, add the epoch to the history, and move to the start of the next epoch."""
    position, held_out = state.position, task.validation_count
    started = time.perf_counter()
    loss, errors = task.validate(state.network) if held_out else (None, None)
    _check_finite(loss or 0.0, state)
    record = EpochRecord(
        epoch=state.epoch,
        learning_rate=_learning_rate(state, 0, position.step),
        loss=position.loss_sum / position.images,
        accuracy=position.right / position.images,
        validation_loss=loss,
        validation_accuracy=None if errors is None else accuracy_values(held_out, errors)["accuracy"],
        validation_errors=errors,
        seconds=position.seconds + time.perf_counter() - started,
        images_per_second=position.images / position.seconds,
        member=position.member,
    )
    state.position = Position([*position.history, record], member=position.member)
    return record


def _learning_rate(state: TrainingState[R], step: int, steps: int) -> float:
    """Return the learning rate of a step, counted from 0, of the current epoch's `steps`."""
    recipe, history = state.recipe, state.history
    fraction = (len(history) + (step + 0.5) / steps) / recipe.epochs
    return learning_rate(recipe.schedule, recipe.optimizer.learning_rate, history, fraction)


def _check_finite(loss: float, state: TrainingState[R]) -> None:
    if not isfinite(loss):
        raise DivergedError(
            f"the loss is not a finite number in epoch {state.epoch}: lower the learning rate, such as with "
            f"--learning-rate {lower_learning_rate(state.recipe):g}"
        )


def _progress(state: TrainingState[R], total: int) -> Progress:
    position = state.position
    return Progress(
        epoch=len(position.history) + 1,
        epochs=state.recipe.epochs * state.recipe.members,
        images=position.images,
        total=total,
        loss=position.loss_sum / position.images,
        images_per_second=position.images / position.seconds,
    )
