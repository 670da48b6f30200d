"""A finished run, read and checked once; and a new run folder, created and locked."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from digit_recognizer.corrections import save_corrections
from digit_recognizer.digits import Samples
from digit_recognizer.errors import DigitsError
from digit_recognizer.files import PARTIAL_SUFFIX, write_text
from digit_recognizer.formatting import bytes_in_words, count, seconds_in_words
from digit_recognizer.notebook import facts
from digit_recognizer.recipes import NumbersRecipe, Recipe, load_recipe
from digit_recognizer.recipes.toml_tables import to_toml
from digit_recognizer.runs.display import history_to_html
from digit_recognizer.runs.environment import Environment, read_environment
from digit_recognizer.runs.history import EpochRecord, read_history
from digit_recognizer.runs.metrics import Metrics, read_metrics
from digit_recognizer.runs.run_folder import (
    CORRECTIONS,
    HISTORY,
    METRICS,
    MODEL,
    RECIPE,
    check_finished,
    check_free,
)
from digit_recognizer.runs.split import DataSplit

if TYPE_CHECKING:
    from filelock import FileLock


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A finished run.

    Attributes
    ----------
    folder
        Where it is.
    recipe
        As it ran.
    environment, metrics
        Its ``environment.json`` and ``metrics.json``.
    history
        A record for each epoch, at least one.
    """

    folder: Path
    recipe: Recipe
    environment: Environment
    metrics: Metrics
    history: list[EpochRecord]

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.folder.resolve().name

    @property
    def model_bytes(self) -> int:
        """The size of its ``model.onnx``."""
        return (self.folder / MODEL).stat().st_size

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}, recipe={self.recipe.name!r}, epochs={len(self.history)})"

    def _repr_html_(self) -> str:
        """Return what the run reached, and its epochs, for a notebook."""
        return facts(self._facts()) + history_to_html(self.history)

    def _facts(self) -> Iterator[tuple[str, str]]:
        metrics, data = self.metrics, self.environment.data
        yield "run", str(self.folder)
        yield "recipe", f"{self.recipe.name}: {self.recipe.summary}"
        counts = f"{metrics.training_images:,} to train on, {data.held_out:,} held out"
        yield "digits", f"{data.source or 'arrays'}: {counts}"
        for name, score in (("validation", metrics.validation), ("fold", metrics.fold)):
            if score is not None:
                yield name, score.in_words()
        epochs = count(len(self.history), "epoch")
        yield "training", f"{epochs} in {seconds_in_words(metrics.seconds)}, seed {self.environment.seed}"
        yield "parameters", f"{metrics.parameters:,}"
        if (self.folder / MODEL).exists():  # it may have been deleted since
            yield "model", f"{MODEL}, {bytes_in_words(self.model_bytes)}"
        if metrics.warning is not None:
            yield "warning", metrics.warning


def read_run(folder: str | Path) -> Run:
    """Read a finished run and check that its files fit together.

    Raises
    ------
    DigitsError
        There is no such run, it is not finished, damaged, or written by a newer version.
    """
    path = Path(folder)
    environment = read_environment(path)
    check_finished(path)
    recipe = load_recipe(path / RECIPE)
    metrics = read_metrics(path)
    if metrics.members > recipe.members:
        raise DigitsError(f"{path / METRICS} is damaged: expected 1 to {recipe.members} members")
    history = read_history(path / HISTORY)
    if not history:
        raise DigitsError(f"{path / HISTORY} is damaged: it has no epochs")
    return Run(path, recipe, environment, metrics, history)


def create_run(
    folder: Path,
    recipe: Recipe | NumbersRecipe,
    environment: Environment,
    split: DataSplit,
    corrections: Samples | None = None,
) -> None:
    """Create a run folder with all that is known before training, complete or not at all.

    Raises
    ------
    DigitsError
        The folder exists and is not empty, or cannot be written.
    """
    check_free(folder)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}{PARTIAL_SUFFIX}")
    try:
        partial.mkdir(parents=True)
        write_text(partial / RECIPE, to_toml(recipe))
        split.write(partial)
        if corrections is not None:
            save_corrections(partial / CORRECTIONS, corrections)
        environment.write(partial)
        partial.rename(folder)
    except OSError as error:
        raise DigitsError(f"cannot write the run folder {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def lock_folder(folder: Path, doing: str = "training") -> FileLock:
    """Return the acquired lock of a folder; raise `DigitsError` if another process holds it.

    The lock ends with the process that holds it, however that ends.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise DigitsError(f"another process is {doing} in {folder}: wait for it, or end it") from None
    except OSError as error:
        raise DigitsError(f"cannot write into {folder}: {error.strerror or error}") from error
    return lock
