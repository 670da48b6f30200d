"""State of a training run: create, save, resume."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import nn

from digit_recognizer.errors import DigitsError
from digit_recognizer.files import write_text
from digit_recognizer.formatting import count
from digit_recognizer.networks.build import build_network
from digit_recognizer.networks.predictor import Predictor, combine_members
from digit_recognizer.recipes import NumbersRecipe, Recipe, load_recipe
from digit_recognizer.recipes.toml_tables import to_toml
from digit_recognizer.runs.history import EpochRecord, history_to_csv
from digit_recognizer.runs.run_folder import CHECKPOINT, HISTORY, METRICS, RECIPE, is_finished
from digit_recognizer.training.checkpoint import (
    Position,
    load_checkpoint,
    load_members,
    load_weights,
    read_position,
    save_checkpoint,
    save_tensors,
)
from digit_recognizer.training.optimizers import build_optimizer
from digit_recognizer.training.randomness import draws_from
from digit_recognizer.training.schedule import has_stopped
from digit_recognizer.training.splits import check_teacher

R = TypeVar("R", bound=Recipe | NumbersRecipe)
FirstWeights = Callable[[int], tuple[nn.Module, torch.optim.Optimizer]]  # of a member, counted from 1


@dataclass(slots=True)
class TrainingState(Generic[R]):
    """A network in training.

    Attributes
    ----------
    recipe
        With a precision that is decided.
    seed, device
        As in `train`.
    network, optimizer
        Those of the current member, on `device`, as they are at `position`.
    position
        How far the run is.
    first_weights
        Returns a member's network before the first step, on `device`, and its optimizer.
    trained
        The networks of the earlier members, on the processor.
    saved_members
        How many of these the run folder holds.
    """

    recipe: R
    seed: int
    device: torch.device
    network: nn.Module
    optimizer: torch.optim.Optimizer
    first_weights: FirstWeights
    position: Position = field(default_factory=Position)
    trained: list[nn.Module] = field(default_factory=list)
    saved_members: int = 0

    @property
    def history(self) -> list[EpochRecord]:
        """The completed epochs of the current member."""
        return [record for record in self.position.history if record.member == self.position.member]

    @property
    def epoch(self) -> int:
        """The current epoch of the current member, counted from 1."""
        return len(self.history) + 1

    @property
    def is_member_over(self) -> bool:
        """Whether the current member has completed its last epoch, or early stopping has ended it."""
        history = self.history
        return len(history) >= self.recipe.epochs or has_stopped(self.recipe.stopping, history)

    @property
    def is_over(self) -> bool:
        """Whether all members are trained."""
        return self.is_member_over and self.position.member >= self.recipe.members

    def begin_next_member(self) -> None:
        """Put the trained network aside, and start with the first weights of the next."""
        self.trained.append(self.network.cpu())
        member = self.position.member + 1
        self.position = Position(self.position.history, member=member)
        self.network, self.optimizer = self.first_weights(member)


def predictor_of(state: TrainingState[Recipe]) -> Predictor:
    """Return the networks of all members so far, on the processor, as the recipe predicts with them."""
    network = combine_members([*state.trained, state.network.cpu()])
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    recipe = state.recipe
    return Predictor(network, recipe.shifts, temperature=recipe.temperature, outputs=recipe.outputs)


def new_state(recipe: Recipe, seed: int, device: torch.device) -> TrainingState[Recipe]:
    """Return the state before the first step.

    Raises
    ------
    DigitsError
        The layers of a network do not fit together, or the seed is negative.
    """
    first_weights = partial(_first_weights, recipe, seed, device)
    check_seed(seed)
    for member in range(2, len(recipe.architectures) + 1):  # refuse bad networks early
        first_weights(member)
    return TrainingState(recipe, seed, device, *first_weights(1), first_weights)


def check_seed(seed: int) -> None:
    """Raise `DigitsError` unless a seed is at least 0."""
    if seed < 0:
        raise DigitsError(f"expected a seed of at least 0, got {seed}")


def save_state(state: TrainingState[R], folder: Path) -> None:
    """Write weights of members that are complete, the checkpoint and the history."""
    for number in range(state.saved_members + 1, len(state.trained) + 1):
        save_tensors(_member_file(folder, number), state.trained[number - 1].state_dict(), {"member": number})
    state.saved_members = len(state.trained)
    save_checkpoint(folder / CHECKPOINT, state.network, state.optimizer, state.position)
    write_text(folder / HISTORY, history_to_csv(state.position.history))


def load_state(folder: Path, seed: int, device: torch.device, epochs: int | None) -> TrainingState[Recipe]:
    """Return the state of a run at its last checkpoint, with another number of `epochs` if given.

    Raises
    ------
    DigitsError
        The recipe or the checkpoint is damaged, or the run is complete with that many epochs.
    """
    recipe = load_recipe(folder / RECIPE, [] if epochs is None else [f"epochs={epochs}"])
    if recipe.teacher is not None:
        check_teacher(Path(recipe.teacher.run), f"restore it, or change teacher.run in {folder / RECIPE}")
    state = new_state(recipe, seed, device)
    restore_state(state, folder, epochs)
    return state


def restore_state(state: TrainingState[R], folder: Path, epochs: int | None) -> None:
    """Bring a state before the first step to where a run's last checkpoint is; errors as `load_state`."""
    recipe = state.recipe
    if is_finished(folder) and recipe.members > 1:
        raise DigitsError(f"{folder} is finished: an ensemble cannot be trained further")
    checkpoint = folder / CHECKPOINT
    if checkpoint.exists():
        member = read_position(checkpoint).member
        state.trained = [_load_member(folder, state, number) for number in range(1, member)]
        state.saved_members = len(state.trained)
        state.network, state.optimizer = state.first_weights(member)
        state.position = load_checkpoint(checkpoint, state.network, state.optimizer)
    if is_finished(folder):
        _reopen(state, folder)
    _check_epochs(state, folder, epochs)
    if epochs is not None:
        _remove_member_folders(state, folder)  # which were trained for another number of epochs
        write_text(folder / RECIPE, to_toml(recipe))


def remove_member_files(state: TrainingState[R], folder: Path) -> None:
    """Remove the weights of single members, once the run's weights are written."""
    for number in range(1, len(state.trained) + 1):
        _member_file(folder, number).unlink(missing_ok=True)
    _remove_member_folders(state, folder)


def member_folder(folder: Path, member: int) -> Path:
    """Return where the checkpoint of a member is that a task trains."""
    return (folder / CHECKPOINT).with_name(f"member-{member}")


def _first_weights(
    recipe: Recipe, seed: int, device: torch.device, member: int
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Return a member's network before the first step, and its optimizer."""
    with draws_from(seed, epoch=0, step=0, member=member):
        network = build_network(recipe, member)
    if recipe.start:
        _copy_weights(network, Path(recipe.start), member)
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network, build_optimizer(recipe, network)


def _copy_weights(network: nn.Module, run: Path, member: int) -> None:
    """Copy the weights of a run's member into a network."""
    members = load_members(run)
    try:
        network.load_state_dict(members[member - 1].state_dict())
    except (IndexError, RuntimeError) as error:
        raise DigitsError(f"the weights of {run} do not fit the recipe: its network differs") from error


def _member_file(folder: Path, member: int) -> Path:
    """Return where a member's weights are kept until the run is finished."""
    return (folder / CHECKPOINT).with_name(f"member-{member}.safetensors")


def _remove_member_folders(state: TrainingState[R], folder: Path) -> None:
    for number in range(1, state.recipe.members + 1):
        shutil.rmtree(member_folder(folder, number), ignore_errors=True)


def _load_member(folder: Path, state: TrainingState[R], member: int) -> nn.Module:
    network = state.first_weights(member)[0].cpu()
    load_weights(_member_file(folder, member), network)
    return network


def _check_epochs(state: TrainingState[R], folder: Path, epochs: int | None) -> None:
    """Raise if `epochs` is below the number started, or if an ensemble member is already complete."""
    if epochs is None:
        return
    if state.position.member > 1:
        raise DigitsError(f"{folder} has complete members: the number of epochs cannot be changed any more")
    started = len(state.history) + (state.position.step > 0)
    if epochs < started:
        raise DigitsError(
            f"{folder} is already in epoch {started}: expected at least {started}, got {epochs}"
        )


def _reopen(state: TrainingState[R], folder: Path) -> None:
    """Delete metrics.json so that the run counts as unfinished; raise if there is nothing to train."""
    done = len(state.history)
    if has_stopped(state.recipe.stopping, state.history):
        raise DigitsError(f"{folder} is finished: early stopping ended it after {count(done, 'epoch')}")
    if state.is_over:
        raise DigitsError(
            f"{folder} is finished after {count(done, 'epoch')}; to continue training, set more, "
            f"such as with --epochs {done + 5}"
        )
    (folder / METRICS).unlink()
