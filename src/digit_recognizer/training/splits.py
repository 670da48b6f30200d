"""Split digits into those to train on and those to hold out."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES, Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.formatting import count, spelled
from digit_recognizer.recipes import Recipe
from digit_recognizer.runs.environment import read_environment
from digit_recognizer.runs.split import DataSplit, Rows, read_split

logger = logging.getLogger(__name__)

MIN_BATCH = 2  # images that every network accepts in training
STEPS_ADVISED = 4  # of an epoch, for data that is smaller than a batch


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
    return split


def split_digits(digits: Digits, recipe: Recipe, seed: int, fold: Fold | None = None) -> DataSplit:
    """Choose the rows to train on and to hold out, in the same fractions for each digit.

    At least one image of each digit in the data is trained on; a single one is never held out. With a fold,
    validation images come from the other folds, and only if the recipe's schedule or early stopping watches
    them.

    Raises
    ------
    DigitsError
        No labels; images of fewer than two digits; more folds than images; no image can be held out, and the
        recipe watches validation images.
    """
    _check_labels(digits)
    rows, fraction = np.arange(len(digits)), recipe.split.validation
    fold_rows = None
    if fold is not None:
        rows, fold_rows = _without_fold(rows, digits, fold, seed)
        fraction = fraction if recipe.watches_validation else 0.0
    validation = rows[:0]
    if fraction:
        rows, validation = _stratified(rows, digits, fraction, seed)
    if recipe.watches_validation and not len(validation):
        raise DigitsError(
            f"{recipe.name} watches validation images, but with one image of each digit none can be held "
            "out: provide more, or choose another recipe"
        )
    return DataSplit(np.sort(rows), np.sort(validation), fold_rows)


def _check_labels(digits: Digits) -> None:
    """Raise `DigitsError` unless there are labelled images of at least two digits."""
    if not len(digits):
        raise DigitsError("there are no images to train on")
    if digits.labels is None:
        raise DigitsError("the digits have no labels: training needs one for each image")
    counts = digits.counts()
    if np.count_nonzero(counts) == 1:
        raise DigitsError(
            f"the only label is {counts.argmax()} ({count(len(digits), 'image')}): a network learns to tell "
            "digits apart, so training needs images of at least two"
        )


def _without_fold(rows: Rows, digits: Digits, fold: Fold, seed: int) -> tuple[Rows, Rows]:
    """Return the rows outside of a fold, and the fold's; a single image of a digit is in no fold."""
    from sklearn.model_selection import StratifiedKFold

    assert digits.labels is not None
    is_single = digits.counts()[digits.labels] == 1
    shared = rows[~is_single]
    most = int(digits.counts().max())
    if fold.count > most or most == 1:
        raise DigitsError(
            f"no digit has as many as {count(fold.count, 'image')}, one for each fold: provide more, or ask "
            f"for {f'at most {most:,} folds' if most > 1 else 'no folds'}"
        )
    splitter = StratifiedKFold(fold.count, shuffle=True, random_state=seed % 2**32)
    with warnings.catch_warnings():  # of digits with fewer images than folds
        warnings.simplefilter("ignore", UserWarning)
        kept, held_out = list(splitter.split(shared, digits.labels[shared]))[fold.number - 1]
    return np.sort(np.concatenate([shared[kept], rows[is_single]])), shared[held_out]


def _stratified(rows: Rows, digits: Digits, fraction: float, seed: int) -> tuple[Rows, Rows]:
    """Return rows to train on and a `fraction` to hold out, with each digit's count exact to within one.

    One image of each digit is always kept to train on.
    """
    # scikit-learn's train_test_split does the same, but its import takes a third of the time that `flash`
    # trains
    assert digits.labels is not None
    labels = digits.labels[rows]
    counts = np.bincount(labels, minlength=CLASSES)
    spare = np.maximum(counts - 1, 0)
    total = min(ceil(fraction * len(rows)), int(spare.sum()))
    held_out = _shares(np.where(spare, counts, 0), total, spare)
    shuffled = np.random.default_rng([seed % 2**32, CLASSES, total]).permutation(len(rows))
    by_digit = (shuffled[labels[shuffled] == digit] for digit in range(CLASSES))
    chosen = np.concatenate([each[:number] for each, number in zip(by_digit, held_out, strict=True)])
    return np.delete(rows, chosen), rows[chosen]


def _shares(counts: NDArray[np.int64], total: int, most: NDArray[np.int64]) -> NDArray[np.int64]:
    """Divide `total` in proportion to `counts` by the largest remainders, with at most `most` for each."""
    exact = counts * total / max(int(counts.sum()), 1)
    shares = np.minimum(np.floor(exact).astype(np.int64), most)
    while shares.sum() < total:  # once, unless `most` limits a share
        remainders = np.where(shares < most, shares - exact, np.inf)
        order = np.argsort(remainders, kind="stable")[: np.count_nonzero(shares < most)]
        shares[order[: total - shares.sum()]] += 1
    return shares


def note_split(digits: Digits, split: DataSplit, recipe: Recipe) -> None:
    """Log what is unusual: digits that are missing, rare or not held out, and a batch of all images."""
    for level, sentence in _describe_split(digits, split, recipe):
        logger.log(level, sentence)


def _describe_split(digits: Digits, split: DataSplit, recipe: Recipe) -> Iterator[tuple[int, str]]:
    counts, images = digits.counts(), len(split.training)
    found, missing, single = (np.flatnonzero(each).tolist() for each in (counts, counts == 0, counts == 1))
    if len(missing) > len(found):
        yield logging.INFO, f"only images of {_spelled(found)}: the network reads every digit as one of these"
    elif missing:
        other = "it as another digit" if len(missing) == 1 else "these as other digits"
        yield logging.INFO, f"no images of {_spelled(missing)}: the network reads {other}"
    if len(single) == len(found):
        yield logging.WARNING, "only one image of each digit: none is held out, so the accuracy is unknown"
    elif single:
        each = ", which is" if len(single) == 1 else " each, which are"
        unmeasured = " and not held out" if len(split.held_out) else ""
        yield (
            logging.WARNING,
            f"only one image of {_spelled(single)}{each} trained on{unmeasured}: a digit takes more to learn",
        )
    unmeasured_digits = np.flatnonzero((counts > 1) & (digits[split.validation].counts() == 0)).tolist()
    if unmeasured_digits and len(split.validation) and split.fold is None:
        yield (
            logging.INFO,
            f"too few images of {_spelled(unmeasured_digits)} to hold some out for validation; "
            "--set split.validation=0.5 holds out more",
        )
    fewer = max(MIN_BATCH, images // STEPS_ADVISED)
    if fewer < images < recipe.batch_size:
        yield (
            logging.INFO,
            f"{count(images, 'training image')}, fewer than a batch of {recipe.batch_size}: each epoch is "
            f"one step; --batch-size {fewer} makes more",
        )


def _spelled(digits: list[int]) -> str:
    return spelled([str(digit) for digit in digits])
