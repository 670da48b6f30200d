"""What a trained model looks like on disk: where training and recognition meet.

A run folder holds ``recipe.toml`` (the recipe as it ran), ``environment.json`` (format, versions, seed,
data, machine), ``validation.npy`` (int64 row numbers that were held out), in cross-validation
``fold.npy`` (those that nothing looked at before the end), with corrections ``corrections.npz`` (those that
it learned from), ``checkpoint/`` (to resume),
``history.csv``, and at the end ``model.safetensors`` (weights), ``model.onnx`` (what every reader uses) and
``metrics.json``, which is written last; and ``.lock``, which is held while it is trained. Nothing in it is
a pickle.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import Digits
from digit_recognizer.errors import DigitsError

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
CORRECTIONS = "corrections.npz"  # that a run learned from, where it did
FOLDS = "folds.json"  # of a cross-validation, whose folder holds a run for each fold


def read_environment(folder: Path) -> dict[str, Any]:
    """Return a run's ``environment.json``.

    Raises
    ------
    DigitsError
        The folder is missing or holds no run, the file is damaged, or a newer version wrote it.
    """
    if not folder.is_dir():
        raise DigitsError(f"there is no run folder {folder}: expected one that 'digits train' wrote")
    if is_cross_validation(folder):
        first = folder / "fold-1"
        raise DigitsError(f"{folder} is a cross-validation: name one of its runs, such as {first}")
    if not (folder / ENVIRONMENT).exists():
        raise DigitsError(
            f"{folder} is no run folder: it has no {ENVIRONMENT}; give one that 'digits train' wrote"
        )
    environment = read_json(folder / ENVIRONMENT)
    check_format(environment.get("format"), folder)
    seed, data = environment.get("seed"), environment.get("data")
    kinds = {"source": str, "sha256": str, "held_out_sha256": str}
    if not (isinstance(seed, int) and seed >= 0 and isinstance(data, dict)) or not all(
        isinstance(data.get(key), kind) for key, kind in kinds.items()
    ):
        raise DigitsError(
            f"{folder / ENVIRONMENT} is damaged: expected a seed and the data's {', '.join(kinds)}"
        )
    return environment


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file of a run; `DigitsError` where it is damaged."""
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


def read_validation_rows(folder: Path) -> NDArray[np.int64]:
    """Return the numbers of the rows that a run held out: int64, shape (M,), counted from 0, sorted."""
    return _read_rows(folder / VALIDATION, "held_out_sha256")


def read_fold_rows(folder: Path) -> NDArray[np.int64] | None:
    """Return the rows that cross-validation judges a run by: int64, sorted; None for a run of its own."""
    if "fold_sha256" not in read_environment(folder)["data"]:
        return None
    return _read_rows(folder / FOLD, "fold_sha256")


def _read_rows(path: Path, checksum: str) -> NDArray[np.int64]:
    """Return the row numbers in a file of a run, compared with the checksum in its environment."""
    try:
        rows = np.load(path, allow_pickle=False)
    except Exception as error:  # numpy raises whatever it meets in a damaged header
        raise DigitsError(f"{path} is damaged or cannot be read: {error}") from error
    if not isinstance(rows, np.ndarray):
        raise DigitsError(f"{path} is damaged: expected a single array")
    if rows.dtype != np.int64 or rows.ndim != 1:
        raise DigitsError(f"{path} is damaged: expected int64 of shape (M,), found {rows.dtype} {rows.shape}")
    if checksum_of_rows(rows) != read_environment(path.parent)["data"][checksum]:
        raise DigitsError(f"{path} is damaged: these are not the rows that the run held out")
    return rows


def held_out_rows(folder: Path, digits: Digits) -> NDArray[np.int64] | None:
    """Return the rows of a run's own digits that it is judged by; None where these are others.

    In cross-validation these are the fold's, else the validation images.

    Returns
    -------
    numpy.ndarray or None
        int64, shape (M,), sorted; M may be 0.
    """
    own = read_environment(folder)["data"]["sha256"] == digits.sha256()
    if not own:
        return None
    fold = read_fold_rows(folder)
    return read_validation_rows(folder) if fold is None else fold


def checksum_of_rows(rows: NDArray[np.int64]) -> str:
    """Return a checksum of row numbers, for the run's environment."""
    return hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()


def free_folder(name: str) -> Path:
    """Return a path for a new run that is not taken: ``runs/<date>-<time>-<name>``."""
    first = folder = Path("runs") / f"{datetime.now():%Y-%m-%d-%H%M%S}-{name}"
    number = 1
    while folder.exists():
        number += 1
        folder = first.with_name(f"{first.name}-{number}")
    return folder


def check_finished(folder: Path) -> None:
    """Raise `DigitsError` unless a run was trained to its end."""
    if not is_finished(folder):
        raise DigitsError(f"{folder} is not finished: go on with 'digits train --resume {folder}'")


def is_finished(folder: Path) -> bool:
    """Say whether a run was trained to its end: its last file is there."""
    return (folder / METRICS).exists()


def is_cross_validation(folder: Path) -> bool:
    """Say whether a folder holds the runs of a cross-validation."""
    return (folder / FOLDS).exists()


def holds_training(folder: Path) -> bool:
    """Say whether a folder is a run's or a cross-validation's, whole or damaged."""
    return (folder / ENVIRONMENT).exists() or is_cross_validation(folder)
