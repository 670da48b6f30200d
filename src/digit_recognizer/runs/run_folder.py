"""The files of a run folder, where training and recognition meet.

``recipe.toml``        the recipe as it ran
``environment.json``   format, seed, data, versions, machine
``validation.npy``     int64 row numbers of the digits that were held out
``fold.npy``           in cross-validation: those that are used only to evaluate the finished run
``corrections.npz``    the corrections that the run learned from, if any
``checkpoint/``        what resuming needs
``history.csv``        a line for each epoch
``model.safetensors``  the weights
``model.onnx``         the model that every reader uses
``metrics.json``       written last: a run that has it is finished
``.lock``              held while the run is trained

Nothing in it is a pickle.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from digit_recognizer.errors import DigitsError, did_you_mean_path

FORMAT = 1  # of the folder and of model.onnx; raised when an older version could not read a newer one's

RECIPE = "recipe.toml"
ENVIRONMENT = "environment.json"
VALIDATION = "validation.npy"
FOLD = "fold.npy"
CHECKPOINT = "checkpoint/state.safetensors"
HISTORY = "history.csv"
WEIGHTS = "model.safetensors"
MODEL = "model.onnx"
METRICS = "metrics.json"
CORRECTIONS = "corrections.npz"
FOLDS = "folds.json"  # of a cross-validation, whose folder holds a run for each fold


def check_is_run(folder: Path) -> None:
    """Raise `DigitsError` unless a folder holds a run."""
    if not folder.is_dir():
        expected = "expected one that 'digits train' wrote"
        raise DigitsError(f"there is no run folder {folder}: {expected}{did_you_mean_path(folder)}")
    if is_cross_validation(folder):
        first = folder / "fold-1"
        raise DigitsError(f"{folder} is a cross-validation: name one of its runs, such as {first}")
    if not (folder / ENVIRONMENT).exists():
        raise DigitsError(
            f"{folder} is not a run folder: it has no {ENVIRONMENT}; name one that 'digits train' wrote"
        )


def check_finished(folder: Path) -> None:
    """Raise `DigitsError` unless a run was trained to its end."""
    if not is_finished(folder):
        raise DigitsError(f"{folder} is not finished: resume it with 'digits train --resume {folder}'")


def check_free(folder: Path) -> None:
    """Raise `DigitsError` unless a run folder may be created here: nothing exists, or an empty folder."""
    if not folder.name:
        raise DigitsError(f"{str(folder)!r} cannot be a run folder: name a new one, such as runs/mine")
    try:
        taken = folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))
    except OSError as error:
        raise DigitsError(f"cannot write the run folder {folder}: {error.strerror or error}") from error
    if taken:
        raise DigitsError(f"{folder} already exists: choose another folder, or resume with --resume {folder}")


def is_finished(folder: Path) -> bool:
    """Return whether a run was trained to its end: whether its last file is there."""
    return (folder / METRICS).exists()


def is_cross_validation(folder: Path) -> bool:
    """Return whether a folder holds the runs of a cross-validation."""
    return (folder / FOLDS).exists()


def holds_training(folder: Path) -> bool:
    """Return whether a folder is a run's or a cross-validation's, complete or damaged."""
    return (folder / ENVIRONMENT).exists() or is_cross_validation(folder)


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file of a run; raise `DigitsError` if it is damaged."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DigitsError(f"{path} is damaged or cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise DigitsError(f"{path} is damaged: expected a JSON object, found {type(value).__name__}")
    return value


def check_format(found: object, where: object) -> None:
    """Raise `DigitsError` unless a run or model has a format that this version reads."""
    try:
        number = int(str(found))
    except ValueError:
        raise DigitsError(f"{where} is damaged: its format is {found!r}; expected a number") from None
    if number > FORMAT:
        raise DigitsError(
            f"{where} was written by a newer version (format {number}; this one reads up to {FORMAT}): "
            "upgrade digit-recognizer"
        )


def free_folder(name: str) -> Path:
    """Return a path for a new run that does not exist yet: ``runs/<date>-<time>-<name>``."""
    first = folder = Path("runs") / f"{datetime.now():%Y-%m-%d-%H%M%S}-{name}"
    number = 1
    while folder.exists():
        number += 1
        folder = first.with_name(f"{first.name}-{number}")
    return folder
