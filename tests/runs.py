"""Short trainings for tests: to the end, until a step, or resumed; and what they left."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from digit_recognizer.digits import Digits
from digit_recognizer.recipes.recipe import Recipe
from digit_recognizer.sources.numbers import NumberPictures
from digit_recognizer.training import fit, resume, resume_folds, train
from helpers import follow_until, make_digits, tensors_of

NUMBER_SETTINGS = (
    "epochs=2",
    "batch_size=2",
    "composed.drawn=4",
    "composed.pages=1",
    "precision=float32",
    "shown=1",
)  # of the recipe numbers, for runs of a second
DIGITS = make_digits()
STEPS = 5  # of an epoch of the tiny recipe: 160 images, 32 a batch
LINEAR = ('network=["maxpool 4", "dense 10"]', "epochs=1")  # settings of the smallest network


def run_to_the_end(folder: Path, recipe: Recipe, digits: Digits = DIGITS, **options: Any) -> Path:
    """Train a recipe in a folder, and return the folder."""
    for _ in train(digits, recipe, folder, **options):
        pass
    return folder


def train_until(step: int, folder: Path, recipe: Recipe, digits: Digits = DIGITS, **options: Any) -> Path:
    """Train from the start and stop after a step, counted from 1 over all epochs and members."""
    follow_until(step, lambda **stop: train(digits, recipe, folder, **options, **stop))
    return folder


def resume_until(step: int, folder: Path) -> None:
    """Resume a run and stop after that many more steps."""
    follow_until(step, lambda **stop: resume(folder, DIGITS, **stop))


def resume_to_the_end(folder: Path, **options: Any) -> None:
    """Resume a run and let it finish."""
    for _ in resume(folder, DIGITS, **options):
        pass


def resume_folds_to_the_end(folder: Path, data: Digits | NumberPictures) -> list[int]:
    """Resume a cross-validation, and return the numbers of the folds that were trained."""
    numbers = []
    for run in resume_folds(folder, data):
        numbers.append(run.number)
        for _ in run.records:
            pass
    return numbers


def stop_now() -> Event:
    """Return a signal to stop that is set already: a training makes one step and stops."""
    stop = Event()
    stop.set()
    return stop


def weights_of(folder: Path) -> dict[str, bytes]:
    """Return the weights of a finished run, to compare them to the bit."""
    return tensors_of(folder / "model.safetensors")


def metrics_of(folder: Path) -> dict[str, Any]:
    """Return the metrics of a finished run."""
    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text("utf-8"))
    return metrics


def note_steps(monkeypatch: pytest.MonkeyPatch, note: Callable[[Any, Any, Any], object]) -> None:
    """Call `note` before each training step with its state, images and labels."""
    step = fit._train_step

    def noted(state: Any, task: Any, rows: Any) -> Any:
        note(state, task.data.images[rows], task.data.labels[rows])
        return step(state, task, rows)

    monkeypatch.setattr(fit, "_train_step", noted)
