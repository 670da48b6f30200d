"""What happens before the first step: the split, and a run folder that is there whole or not at all."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from digit_recognizer import __version__
from digit_recognizer.corrections import save_corrections
from digit_recognizer.digits import CLASSES, Digits, Samples
from digit_recognizer.errors import DigitsError
from digit_recognizer.files import PARTIAL, replacing, write_json, write_text
from digit_recognizer.machine import processor_name
from digit_recognizer.recipes.recipe import Recipe, recipe_to_toml
from digit_recognizer.runs import run_folder

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Which rows of the digits serve what in a run, each int64 and sorted.

    Attributes
    ----------
    training
        Shape (N,): what the network learns from.
    validation
        Shape (M,): what it is compared with on the way, for the history, early stopping and the like.
    fold
        Shape (K,): what nothing looks at before the end, in cross-validation; None elsewhere.
    """

    training: Rows
    validation: Rows
    fold: Rows | None = None


@dataclass(frozen=True, slots=True)
class Fold:
    """One of the parts that cross-validation holds out in turn: `number` of `count`, from 1."""

    number: int
    count: int


def split_rows(digits: Digits, recipe: Recipe, seed: int, fold: Fold | None = None) -> Parts:
    """Choose the rows to train on and those to hold out, in the same shares for each digit.

    With a fold, validation images are taken from the others, and only where the recipe decides by them.

    Raises
    ------
    DigitsError
        No labels; a digit without images to train on and to hold out; too few for the split or a batch.
    """
    _check_counts(digits, needed=2 if recipe.split.validation or fold else 1)
    rows, share = np.arange(len(digits)), recipe.split.validation
    judged = None
    if fold is not None:
        rows, judged = _without_fold(rows, digits, fold, seed)
        share = share if recipe.watches_validation else 0.0
    held_out = rows[:0]
    if share:
        rows, held_out = _stratified(rows, digits, share, seed)
    check_batch(len(rows), recipe)
    return Parts(np.sort(rows), np.sort(held_out), judged)


def check_batch(images: int, recipe: Recipe) -> None:
    """Raise `DigitsError` where there are fewer training images than a batch takes."""
    if images < recipe.batch_size:
        raise DigitsError(
            f"{images} training images are fewer than a batch of {recipe.batch_size}: "
            f"bring more, or make it smaller with --set batch_size={images}"
        )


def read_parts(folder: Path, count: int) -> Parts:
    """Return the rows that a run chose among its `count` digits; `DigitsError` where they are damaged."""
    validation, fold = run_folder.read_validation_rows(folder), run_folder.read_fold_rows(folder)
    held_out = validation if fold is None else np.concatenate([validation, fold])
    return Parts(np.setdiff1d(np.arange(count), held_out), validation, fold)


def check_free(folder: Path) -> None:
    """Raise `DigitsError` unless a folder may be made by this name: nothing is there, or an empty one."""
    if not folder.name:
        raise DigitsError(f"{str(folder)!r} cannot be made a run folder: name a new one, such as runs/mine")
    try:
        taken = folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))
    except OSError as error:
        raise DigitsError(f"cannot write the run folder {folder}: {error.strerror or error}") from error
    if taken:
        raise DigitsError(f"{folder} is there already: choose another folder, or go on by --resume {folder}")


def make_folder(
    folder: Path,
    recipe: Recipe,
    environment: Mapping[str, Any],
    parts: Parts,
    corrections: Samples | None = None,
) -> None:
    """Make a run folder with what is known before the training, under a temporary name at first.

    Raises
    ------
    DigitsError
        The folder exists and is not empty, or cannot be written.
    """
    check_free(folder)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}{PARTIAL}")
    try:
        partial.mkdir(parents=True)
        write_text(partial / run_folder.RECIPE, recipe_to_toml(recipe))
        _write_rows(partial / run_folder.VALIDATION, parts.validation)
        if parts.fold is not None:
            _write_rows(partial / run_folder.FOLD, parts.fold)
        if corrections is not None:
            save_corrections(partial / run_folder.CORRECTIONS, corrections)
        write_json(partial / run_folder.ENVIRONMENT, environment)
        partial.rename(folder)
    except OSError as error:
        raise DigitsError(f"cannot write the run folder {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_rows(path: Path, rows: Rows) -> None:
    with replacing(path) as partial, partial.open("wb") as file:
        np.save(file, rows, allow_pickle=False)


def lock_folder(folder: Path, doing: str = "training") -> FileLock:
    """Return the acquired lock of a folder; `DigitsError` where another process is `doing` something in it.

    The lock ends with the process that holds it, however that ends.
    """
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise DigitsError(f"another process is {doing} in {folder}: wait for it, or end it") from None
    except OSError as error:
        raise DigitsError(f"cannot write into {folder}: {error.strerror or error}") from error
    return lock


def describe_environment(
    digits: Digits, parts: Parts, seed: int, device: torch.device, source: str
) -> dict[str, Any]:
    """Return what a run's ``environment.json`` says: format, versions, seed, data, machine."""
    held_out = parts.validation
    of_fold = {} if parts.fold is None else {"fold_sha256": run_folder.checksum_of_rows(parts.fold)}
    return {
        "format": run_folder.FORMAT,
        "begun": datetime.now().astimezone().isoformat(timespec="seconds"),
        "seed": seed,
        "data": {
            "source": source,
            "sha256": digits.sha256(),
            "images": len(digits),
            "held_out": len(held_out),
            "held_out_sha256": run_folder.checksum_of_rows(held_out),
            **of_fold,
            "images_per_digit": digits.counts().tolist(),
        },
        "versions": {
            "digit_recognizer": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "torch": torch.__version__,
        },
        "machine": {
            "platform": platform.platform(),
            "processor": processor_name(),
            "device": str(device) if device.type == "cpu" else torch.cuda.get_device_name(device),
            "threads": torch.get_num_threads(),
        },
    }


def _check_counts(digits: Digits, needed: int) -> None:
    if digits.labels is None:
        raise DigitsError("the digits have no labels: training needs one for each image")
    counts = digits.counts()
    digit = int(counts.argmin())
    if counts[digit] < needed:
        have = ("no image", "only one image")[counts[digit]]
        raise DigitsError(
            f"digit {digit} has {have}: training needs at least {needed} of each, "
            "to learn from and, where there is validation, to hold out"
        )


def _without_fold(rows: Rows, digits: Digits, fold: Fold, seed: int) -> tuple[Rows, Rows]:
    """Return all rows but those of a fold, and those."""
    from sklearn.model_selection import StratifiedKFold

    least = int(digits.counts().min())
    if fold.count > least:
        raise DigitsError(
            f"digit {digits.counts().argmin()} has {least} images: expected at least one for each of "
            f"{fold.count} folds; bring more, or ask for fewer folds"
        )
    splitter = StratifiedKFold(fold.count, shuffle=True, random_state=seed % 2**32)
    kept, judged = list(splitter.split(rows, digits.labels))[fold.number - 1]
    return kept, judged


def _stratified(rows: Rows, digits: Digits, fraction: float, seed: int) -> tuple[Rows, Rows]:
    """Split rows into those to train on and a `fraction` to hold out, alike for each digit to within one.

    scikit-learn's `train_test_split` does the same, but importing it takes a third of what `flash` trains.
    """
    assert digits.labels is not None
    labels = digits.labels[rows]
    counts = np.bincount(labels, minlength=CLASSES)
    total = ceil(fraction * len(rows))
    if min(total, len(rows) - total) < np.count_nonzero(counts):
        raise DigitsError(
            f"{len(rows)} images are too few to hold {fraction:.0%} of each digit out: "
            "bring more, or change the share with --set split.validation=0.5"
        )
    exact = counts * total / len(rows)
    held_out = np.floor(exact).astype(np.int64)
    largest_remainders = np.argsort(held_out - exact, kind="stable")
    held_out[largest_remainders[: total - held_out.sum()]] += 1
    shuffled = np.random.default_rng([seed % 2**32, CLASSES, total]).permutation(len(rows))
    of_digit = (shuffled[labels[shuffled] == digit] for digit in range(CLASSES))
    chosen = np.concatenate([each[:count] for each, count in zip(of_digit, held_out, strict=True)])
    return np.delete(rows, chosen), rows[chosen]
