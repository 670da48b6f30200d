"""A finished run, read and checked once; and a new run folder, created and locked."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from digit_recognizer.corrections import save_corrections
from digit_recognizer.digits import Samples
from digit_recognizer.errors import DigitsError
from digit_recognizer.files import PARTIAL_SUFFIX, write_text
from digit_recognizer.recipes import NumbersRecipe, Recipe, load_recipe
from digit_recognizer.recipes.toml_tables import to_toml
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
