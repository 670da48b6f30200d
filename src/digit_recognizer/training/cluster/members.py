"""The members of an ensemble as tasks: each trains one, in a checkpoint of its own in the run folder.

A member depends on the seed and on its number only, so it does not matter where and when it is trained. The
run takes members in the order of their numbers; then its folder is as if they had been trained one after the
other, and can be resumed without an engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

import torch

from digit_recognizer.digits import Digits, Samples
from digit_recognizer.engines import Engine, completed
from digit_recognizer.errors import DigitsError
from digit_recognizer.recipes import Recipe
from digit_recognizer.runs.history import EpochRecord
from digit_recognizer.runs.run_folder import CHECKPOINT
from digit_recognizer.runs.split import DataSplit
from digit_recognizer.training.checkpoint import Position, load_checkpoint, save_checkpoint
from digit_recognizer.training.cluster.place import begin_task
from digit_recognizer.training.data import prepare_data
from digit_recognizer.training.device import choose_device
from digit_recognizer.training.distillation import load_teacher
from digit_recognizer.training.fit import fit
from digit_recognizer.training.state import TrainingState, member_folder, new_state


@dataclass(frozen=True, slots=True, eq=False)
class MemberTask:
    """What all members have in common: a run, and how it is trained."""

    folder: Path
    recipe: Recipe
    seed: int
    split: DataSplit
    corrections: Samples | None
    device: str
    threads: int


def check_has_members(recipe: Recipe) -> None:
    """Raise `DigitsError` if an engine would have nothing to divide."""
    if recipe.members == 1:
        raise DigitsError(
            f"{recipe.name} trains one network, which is not divided; an engine trains the members of an "
            "ensemble, such as with --set members=5, or the folds of --folds"
        )


def fit_members(
    state: TrainingState[Recipe],
    folder: Path,
    digits: Digits,
    split: DataSplit,
    corrections: Samples | None,
    engine: Engine,
    stop: Event | None,
) -> Iterator[EpochRecord]:
    """Train the members that are not complete; like `fit`, change `state` and yield each epoch's record.

    The records of a member come once it and those before it are complete.
    """
    threads = torch.get_num_threads()
    task = MemberTask(
        folder.resolve(), state.recipe, state.seed, split, corrections, str(state.device), threads
    )
    shared = engine.share(digits)
    first = state.position.member
    _hand_over(state, folder)
    futures = {
        engine.submit(train_member, shared, task, number): number
        for number in range(first, state.recipe.members + 1)
    }
    done: set[int] = set()
    following = first
    for future in completed(futures, stop):
        future.result()
        done.add(futures[future])
        while following in done:
            yield from _take_over(state, folder, following)
            following += 1


def train_member(digits: Digits, task: MemberTask, member: int) -> None:
    """Train a member, or resume it, and save it after each epoch: a task."""
    begin_task(task.folder, task.threads)
    device = choose_device(task.device)
    state = new_state(task.recipe, task.seed, device)
    state.network, state.optimizer = state.first_weights(member)
    state.position = Position(member=member)
    own = _checkpoint(task.folder, member)
    own.parent.mkdir(parents=True, exist_ok=True)
    if own.exists():
        state.position = load_checkpoint(own, state.network, state.optimizer)
    if state.is_member_over:
        return
    teacher = load_teacher(task.recipe, device)
    data = prepare_data(
        digits, task.recipe, task.split, device, task.seed, teacher=teacher, corrections=task.corrections
    )
    for _ in fit(state, data):
        save_checkpoint(own, state.network, state.optimizer, state.position)
        if state.is_member_over:
            return


def _checkpoint(folder: Path, member: int) -> Path:
    return member_folder(folder, member) / Path(CHECKPOINT).name


def _hand_over(state: TrainingState[Recipe], folder: Path) -> None:
    """Let the task of the current member begin where the run is."""
    own = _checkpoint(folder, state.position.member)
    if own.exists() or not (state.history or state.position.step):
        return
    own.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(own, state.network, state.optimizer, replace(state.position, history=state.history))


def _take_over(state: TrainingState[Recipe], folder: Path, member: int) -> Iterator[EpochRecord]:
    """Move a state to the end of a member, and yield the records that it did not have."""
    if member > state.position.member:
        state.begin_next_member()
    before = state.position.history[: len(state.position.history) - len(state.history)]
    known = len(state.history)
    position = load_checkpoint(_checkpoint(folder, member), state.network, state.optimizer)
    state.position = Position([*before, *position.history], member=member)
    yield from state.history[known:]
