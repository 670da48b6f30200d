"""Split digits into those to train on and those to hold out."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np

from digit_recognizer.digits import CLASSES, Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.recipes import Recipe
from digit_recognizer.runs.environment import read_environment
from digit_recognizer.runs.split import DataSplit, Rows, read_split


@dataclass(frozen=True, slots=True)
class Fold:
    """Which part of the digits a run of a cross-validation holds out: `number` of `count`, from 1."""

    number: int
    count: int


def choose_split(digits: Digits, recipe: Recipe, seed: int, fold: Fold | None = None) -> DataSplit:
    """Return the rows to train on and to hold out: the recipe's own split, or that of the run it builds on.

    Raises
    ------
    DigitsError
        As `split_digits`; or the run of the teacher or of the first weights is missing, damaged, was trained
        on other digits, or held out no images that the recipe could watch.
    """
    if recipe.teacher is not None:
        run = Path(recipe.teacher.run)
        check_teacher(run, "train it, or name another with --set teacher.run=…")
        return _split_of_run(run, digits, recipe, f"the teacher {run}", "distillation")
    if recipe.start:
        if fold is not None:
            raise DigitsError(
                f"cannot cross-validate: {recipe.start}, where training starts, was trained on the folds"
            )
        return _split_of_run(Path(recipe.start), digits, recipe, recipe.start, "fine-tuning")
    return split_digits(digits, recipe, seed, fold)


def check_teacher(run: Path, advice: str) -> None:
    """Raise `DigitsError` with `advice` if a teacher's folder is missing."""
    if not run.is_dir():
        raise DigitsError(f"the teacher {run} is missing: {advice}")


def _split_of_run(run: Path, digits: Digits, recipe: Recipe, name: str, purpose: str) -> DataSplit:
    environment = read_environment(run)
    if environment.data.sha256 != digits.sha256():
        raise DigitsError(f"{name} was trained on other digits: {purpose} needs the same digits")
    split = read_split(run, environment, len(digits))
    if recipe.watches_validation and not len(split.validation):
        raise DigitsError(f"{recipe.name} watches validation images, but {name} held out none")
    check_batch_size(len(split.training), recipe)
    return split


def split_digits(digits: Digits, recipe: Recipe, seed: int, fold: Fold | None = None) -> DataSplit:
    """Choose the rows to train on and to hold out, in the same fractions for each digit.

    With a fold, validation images come from the other folds, and only if the recipe's schedule or early
    stopping watches them.

    Raises
    ------
    DigitsError
        No labels; a digit without images to train on and to hold out; too few images for the split or a
        batch.
    """
    _check_counts(digits, needed=2 if recipe.split.validation or fold else 1)
    rows, fraction = np.arange(len(digits)), recipe.split.validation
    fold_rows = None
    if fold is not None:
        rows, fold_rows = _without_fold(rows, digits, fold, seed)
        fraction = fraction if recipe.watches_validation else 0.0
    validation = rows[:0]
    if fraction:
        rows, validation = _stratified(rows, digits, fraction, seed)
    check_batch_size(len(rows), recipe)
    return DataSplit(np.sort(rows), np.sort(validation), fold_rows)


def check_batch_size(images: int, recipe: Recipe) -> None:
    """Raise `DigitsError` if there are fewer training images than a batch holds."""
    if images < recipe.batch_size:
        raise DigitsError(
            f"{images} training images are fewer than a batch of {recipe.batch_size}: "
            f"provide more, or use a smaller batch with --set batch_size={images}"
        )


def _check_counts(digits: Digits, needed: int) -> None:
    if digits.labels is None:
        raise DigitsError("the digits have no labels: training needs one for each image")
    counts = digits.counts()
    digit = int(counts.argmin())
    if counts[digit] < needed:
        found = ("no image", "only one image")[counts[digit]]
        raise DigitsError(
            f"digit {digit} has {found}: training needs at least {needed} of each digit, "
            "to train on and, with validation, to hold out"
        )


def _without_fold(rows: Rows, digits: Digits, fold: Fold, seed: int) -> tuple[Rows, Rows]:
    """Return the rows outside of a fold, and the fold's."""
    from sklearn.model_selection import StratifiedKFold

    counts = digits.counts()
    if fold.count > counts.min():
        raise DigitsError(
            f"digit {counts.argmin()} has {counts.min()} images: expected at least one for each of "
            f"{fold.count} folds; provide more, or ask for fewer folds"
        )
    splitter = StratifiedKFold(fold.count, shuffle=True, random_state=seed % 2**32)
    kept, held_out = list(splitter.split(rows, digits.labels))[fold.number - 1]
    return kept, held_out


def _stratified(rows: Rows, digits: Digits, fraction: float, seed: int) -> tuple[Rows, Rows]:
    """Return rows to train on and a `fraction` to hold out, with each digit's count exact to within one."""
    # scikit-learn's train_test_split does the same, but its import takes a third of the time that `flash`
    # trains
    assert digits.labels is not None
    labels = digits.labels[rows]
    counts = np.bincount(labels, minlength=CLASSES)
    total = ceil(fraction * len(rows))
    if min(total, len(rows) - total) < np.count_nonzero(counts):
        raise DigitsError(
            f"{len(rows)} images are too few to hold out {fraction:.0%} of each digit: "
            "provide more, or change the fraction with --set split.validation=0.5"
        )
    exact = counts * total / len(rows)
    held_out = np.floor(exact).astype(np.int64)
    largest_remainders = np.argsort(held_out - exact, kind="stable")
    held_out[largest_remainders[: total - held_out.sum()]] += 1
    shuffled = np.random.default_rng([seed % 2**32, CLASSES, total]).permutation(len(rows))
    by_digit = (shuffled[labels[shuffled] == digit] for digit in range(CLASSES))
    chosen = np.concatenate([each[:count] for each, count in zip(by_digit, held_out, strict=True)])
    return np.delete(rows, chosen), rows[chosen]
