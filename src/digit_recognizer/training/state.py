"""A run at work: begun, saved, and brought back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from digit_recognizer.errors import DigitsError
from digit_recognizer.files import write_text
from digit_recognizer.networks.build import build_network
from digit_recognizer.networks.predictor import Predictor, combine_members
from digit_recognizer.recipes.recipe import Recipe, load_recipe, recipe_to_toml
from digit_recognizer.runs import run_folder
from digit_recognizer.runs.history import EpochRecord, history_to_csv
from digit_recognizer.training.checkpoint import (
    Position,
    load_checkpoint,
    load_weights,
    read_position,
    save_checkpoint,
    save_tensors,
)
from digit_recognizer.training.data import Pool
from digit_recognizer.training.distillation import check_teacher, load_members, load_teacher
from digit_recognizer.training.optimizers import build_optimizer
from digit_recognizer.training.randomness import draws_from
from digit_recognizer.training.schedule import has_stopped


@dataclass(slots=True)
class Job:
    """A run at work.

    Attributes
    ----------
    folder
        The run folder, which is there and locked once the training begins.
    recipe
        With a precision that is decided.
    network, optimizer
        Those of the member at work, on `device`, as they stand behind `position`.
    position
        How far the run is.
    seed, device
        As in `train`.
    trained
        The networks of the members before, on the processor.
    teacher
        What the network learns from besides the labels, on `device`.
    corrections
        What comes into batches besides digits and outliers, on `device`.
    """

    folder: Path
    recipe: Recipe
    network: nn.Module
    optimizer: torch.optim.Optimizer
    position: Position
    seed: int
    device: torch.device
    trained: list[nn.Module] = field(default_factory=list)
    teacher: nn.Module | None = None
    corrections: Pool | None = None

    @property
    def history(self) -> list[EpochRecord]:
        """The epochs of the member at work that are done."""
        return [record for record in self.position.history if record.member == self.position.member]

    @property
    def epoch(self) -> int:
        """The epoch of this member at work, counted from 1."""
        return len(self.history) + 1

    @property
    def is_member_over(self) -> bool:
        """Whether this member's last epoch is done, or early stopping says so."""
        history = self.history
        return len(history) >= self.recipe.epochs or has_stopped(self.recipe.stopping, history)

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to train."""
        return self.is_member_over and self.position.member >= self.recipe.members

    @property
    def predictor(self) -> Predictor:
        """What the run has come to: its networks on the processor, and how they are used."""
        network = combine_members([*self.trained, self.network.cpu()])
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return Predictor(
            network, self.recipe.shifts, temperature=self.recipe.temperature, outputs=self.recipe.outputs
        )

    def save(self) -> None:
        """Write the checkpoint and the history."""
        save_checkpoint(self.folder / run_folder.CHECKPOINT, self.network, self.optimizer, self.position)
        write_text(self.folder / run_folder.HISTORY, history_to_csv(self.position.history))

    def begin_next_member(self, *, save: bool = True) -> None:
        """Keep the network that is trained, and go to the first weights of the next."""
        member = self.position.member
        if save:
            save_tensors(_file_of(self.folder, member), dict(self.network.state_dict()), {"member": member})
        self.trained.append(self.network.cpu())
        self.position = Position(self.position.history, member=member + 1)
        self.network, self.optimizer = _begin(self.recipe, self.seed, self.device, member + 1)

    def forget_members(self) -> None:
        """Remove the files of members, once the run's weights are written."""
        for member in range(1, self.position.member):
            _file_of(self.folder, member).unlink(missing_ok=True)


def new_job(folder: Path, recipe: Recipe, seed: int, device: torch.device) -> Job:
    """Build a recipe's first network with the first weights of a seed, and its optimizer.

    Raises
    ------
    DigitsError
        A network does not fit together, the seed is negative, or there is no such teacher.
    """
    if seed < 0:
        raise DigitsError(f"expected a seed of at least 0, got {seed}")
    for member in range(2, len(recipe.architectures) + 1):
        _begin(recipe, seed, device, member)
    network, optimizer = _begin(recipe, seed, device, member=1)
    teacher = load_teacher(recipe, device)
    return Job(folder, recipe, network, optimizer, Position(), seed, device, teacher=teacher)


def saved_job(folder: Path, seed: int, device: torch.device, epochs: int | None) -> Job:
    """Bring a run back from its folder as it was when its last checkpoint was saved.

    Raises
    ------
    DigitsError
        The recipe or the checkpoint is damaged, or the run is over with that many `epochs`.
    """
    recipe = load_recipe(folder / run_folder.RECIPE, [] if epochs is None else [f"epochs={epochs}"])
    if recipe.teacher is not None:
        advice = f"bring it back, or change teacher.run in {folder / run_folder.RECIPE}"
        check_teacher(Path(recipe.teacher.run), advice)
    job = new_job(folder, recipe, seed, device)
    checkpoint = folder / run_folder.CHECKPOINT
    if run_folder.is_finished(folder) and recipe.members > 1:
        raise DigitsError(f"{folder} is finished: an ensemble cannot be trained on")
    if checkpoint.exists():
        member = read_position(checkpoint).member
        job.trained = [_trained(job, each) for each in range(1, member)]
        job.network, job.optimizer = _begin(recipe, seed, device, member)
        job.position = load_checkpoint(checkpoint, job.network, job.optimizer)
    if run_folder.is_finished(folder):
        _reopen(job)
    _check_epochs(job, epochs)
    if epochs is not None:
        write_text(folder / run_folder.RECIPE, recipe_to_toml(recipe))
    return job


def _begin(
    recipe: Recipe, seed: int, device: torch.device, member: int
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Return a member's network with its first weights, and its optimizer."""
    with draws_from(seed, epoch=0, step=0, member=member):
        network = build_network(recipe, member)
    if recipe.start:
        _start(network, Path(recipe.start), member)
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network, build_optimizer(recipe, network)


def _start(network: nn.Module, run: Path, member: int) -> None:
    """Give a network the weights of a run's member."""
    members = load_members(run)
    try:
        network.load_state_dict(members[member - 1].state_dict())
    except (IndexError, RuntimeError) as error:
        raise DigitsError(f"the weights of {run} do not fit the recipe: its network is another") from error


def _file_of(folder: Path, member: int) -> Path:
    """Return where a member's weights are kept until the run is finished."""
    return (folder / run_folder.CHECKPOINT).with_name(f"member-{member}.safetensors")


def _trained(job: Job, member: int) -> nn.Module:
    """Return the network of a member that is trained."""
    network = build_network(job.recipe, member)
    load_weights(_file_of(job.folder, member), network)
    return network


def _check_epochs(job: Job, epochs: int | None) -> None:
    """Raise where fewer epochs are asked for than are begun, or where earlier members have had others."""
    begun = len(job.history) + (job.position.step > 0)
    if epochs is None:
        return
    if job.position.member > 1:
        raise DigitsError(f"{job.folder} has trained members already: its epochs can no longer be changed")
    if epochs < begun:
        raise DigitsError(
            f"{job.folder} is in epoch {begun} already: expected at least as many, got {epochs}"
        )


def _reopen(job: Job) -> None:
    """Take the sign that a run is whole away, where there is more to train."""
    done = len(job.history)
    if has_stopped(job.recipe.stopping, job.history):
        raise DigitsError(f"{job.folder} is finished: its recipe stopped it early, after {done} epochs")
    if job.is_over:
        raise DigitsError(
            f"{job.folder} is finished after {done} epochs; to train on, ask for more, "
            f"such as with --set epochs={done + 5}"
        )
    (job.folder / run_folder.METRICS).unlink()
