"""A run at work: begun, saved, and brought back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from digit_recognizer import run_folder
from digit_recognizer.errors import DigitsError
from digit_recognizer.files import write_text
from digit_recognizer.training.checkpoint import Position, load_checkpoint, save_checkpoint
from digit_recognizer.training.history import history_to_csv
from digit_recognizer.training.networks import build_network
from digit_recognizer.training.optimizers import build_optimizer
from digit_recognizer.training.randomness import draws_from
from digit_recognizer.training.recipe import Recipe, load_recipe, recipe_to_toml
from digit_recognizer.training.schedule import has_stopped

__all__ = ["Job", "new_job", "saved_job"]


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
        On `device`, as they stand behind `position`.
    position
        How far the run is.
    seed, device
        As in `train`.
    """

    folder: Path
    recipe: Recipe
    network: nn.Module
    optimizer: torch.optim.Optimizer
    position: Position
    seed: int
    device: torch.device

    @property
    def epoch(self) -> int:
        """The epoch at work, counted from 1."""
        return len(self.position.history) + 1

    @property
    def is_over(self) -> bool:
        """Whether the last epoch is done, or early stopping says so."""
        history = self.position.history
        return len(history) >= self.recipe.epochs or has_stopped(self.recipe.stopping, history)

    def save(self) -> None:
        """Write the checkpoint and the history."""
        save_checkpoint(self.folder / run_folder.CHECKPOINT, self.network, self.optimizer, self.position)
        write_text(self.folder / run_folder.HISTORY, history_to_csv(self.position.history))


def new_job(folder: Path, recipe: Recipe, seed: int, device: torch.device) -> Job:
    """Build a recipe's network with the first weights of a seed, and its optimizer.

    Raises
    ------
    DigitsError
        The network does not fit together.
    """
    with draws_from(seed, epoch=0, step=0):
        network = build_network(recipe)
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Job(folder, recipe, network, build_optimizer(recipe, network), Position(), seed, device)


def saved_job(folder: Path, seed: int, device: torch.device, epochs: int | None) -> Job:
    """Bring a run back from its folder as it was when its last checkpoint was saved.

    Raises
    ------
    DigitsError
        The recipe or the checkpoint is damaged, or the run is over with that many `epochs`.
    """
    recipe = load_recipe(folder / run_folder.RECIPE, [] if epochs is None else [f"epochs={epochs}"])
    job = new_job(folder, recipe, seed, device)
    if (folder / run_folder.CHECKPOINT).exists():
        job.position = load_checkpoint(folder / run_folder.CHECKPOINT, job.network, job.optimizer)
    if run_folder.is_finished(folder):
        _reopen(job)
    begun = len(job.position.history) + (job.position.step > 0)
    if epochs is not None and epochs < begun:
        raise DigitsError(f"{folder} is in epoch {begun} already: expected at least as many, got {epochs}")
    if epochs is not None:
        write_text(folder / run_folder.RECIPE, recipe_to_toml(recipe))
    return job


def _reopen(job: Job) -> None:
    """Take the sign that a run is whole away, where there is more to train."""
    done = len(job.position.history)
    if has_stopped(job.recipe.stopping, job.position.history):
        raise DigitsError(f"{job.folder} is finished: its recipe stopped it early, after {done} epochs")
    if job.is_over:
        raise DigitsError(
            f"{job.folder} is finished after {done} epochs; to train on, ask for more, "
            f"such as with --set epochs={done + 5}"
        )
    (job.folder / run_folder.METRICS).unlink()
