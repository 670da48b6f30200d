"""Search a recipe's own settings with Optuna, in an SQLite study that can be resumed.

Every trial is a training with the recipe's own split, judged by its validation images at the last epoch. They
have chosen the settings then, so they say nothing more about how good these are: ask other digits, or
`folds` with another seed.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Generator, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import Any

from filelock import FileLock
from optuna.trial import TrialState

from digit_recognizer.digits import Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.files import make_directory
from digit_recognizer.recipes.recipe import Recipe, as_recipe
from digit_recognizer.runs import run_folder
from digit_recognizer.runs.history import EpochRecord
from digit_recognizer.runs.run import lock_folder
from digit_recognizer.search.space import BATCH_SIZE, Range, Value, changed, check_ranges, ranges_around
from digit_recognizer.search.study import Study, named_errors, open_study
from digit_recognizer.training.device import choose_device, with_precision
from digit_recognizer.training.fit import DivergedError, OnStep
from digit_recognizer.training.splits import check_batch_size, choose_split
from digit_recognizer.training.state import new_state
from digit_recognizer.training.trainer import train

SCRATCH = ".trial-"  # how the run folder of the trial at work begins
SMALLEST_BATCH = 2  # that every network takes


@dataclass(frozen=True, slots=True)
class Trial:
    """What one trial came to.

    Attributes
    ----------
    number
        Counted from 1.
    settings
        What it changed in the recipe.
    errors
        On the validation images at the last epoch; None where the loss was no number or the trial was
        ended early, because others had been ahead of it at that epoch.
    epochs
        How many it was trained for.
    is_best
        Whether none before had fewer errors.
    """

    number: int
    settings: dict[str, Value]
    errors: int | None
    epochs: int
    is_best: bool


def choose_ranges(
    digits: Digits,
    recipe: Recipe,
    ranges: Iterable[Range] | None = None,
    *,
    fixed: Collection[str] = (),
    seed: int = 0,
) -> tuple[Range, ...]:
    """Return what a search of a recipe tries.

    Parameters
    ----------
    digits, seed
        As in `tune`; they decide how many training images there are.
    recipe
        With validation images.
    ranges
        What was asked for; `settings_of` the recipe if None, with no batch larger than the training images.
    fixed
        Keys of settings that are not searched.

    Raises
    ------
    DigitsError
        No validation images; nothing to search; a setting that cannot be searched; a batch that is larger
        than the training images; digits that cannot be trained on.
    """
    images = _training_images(digits, recipe, seed)
    chosen = ranges_around(recipe, fixed, images) if ranges is None else list(ranges)
    if not chosen:
        raise DigitsError(f"{recipe.name} has no settings to search: name some, such as batch_size=64..512")
    if ranges is None or all(each.key != BATCH_SIZE for each in chosen):
        check_batch_size(images, recipe)
    return check_ranges(recipe, chosen, fixed, images)


def tune(
    digits: Digits,
    recipe: Recipe | str | Path,
    folder: str | Path,
    *,
    trials: int,
    ranges: Iterable[Range] | None = None,
    seed: int = 0,
    device: str = "auto",
    on_step: OnStep | None = None,
    stop: Event | None = None,
) -> Generator[Trial]:
    """Try settings of a recipe, and keep the best as ``best.toml``.

    Parameters
    ----------
    digits, seed, device, on_step, stop
        As in `train`. Every trial has the same seed, so the same split and first weights.
    recipe
        With validation images.
    folder
        Where ``study.db`` and ``best.toml`` are, or are made. A study that is there is gone on with.
    trials
        How many in all, those that the study has already included.
    ranges
        What is searched; None as in `choose_ranges`.

    Returns
    -------
    generator of Trial
        Each once it is over.

    Raises
    ------
    DigitsError
        As `train` and `choose_ranges`; the folder is a run's or a cross-validation's; the study there is one
        of another recipe, other digits, ranges or seed; another process searches in it.
    """
    loaded = as_recipe(recipe)
    chosen = choose_ranges(digits, loaded, ranges, seed=seed)
    target = Path(folder)
    _check_folder(target)
    hardware = choose_device(device)
    new_state(with_precision(loaded, hardware), seed, hardware)  # before anything is written
    make_directory(target)
    with ExitStack() as stack:
        lock = lock_folder(target, "searching")
        stack.callback(lock.release)
        for left in target.glob(f"{SCRATCH}*"):  # by a search that was killed
            shutil.rmtree(left, ignore_errors=True)
        study = open_study(target, loaded, chosen, digits, seed)
        stack.pop_all()  # from here on the generator holds the lock
    return _holding(lock, target, _trials(study, digits, trials, seed, device, on_step, stop))


def _training_images(digits: Digits, recipe: Recipe, seed: int) -> int:
    """Return how many images a trial is trained on; `DigitsError` where none would judge it."""
    if not recipe.split.validation:
        raise DigitsError(
            f"{recipe.name} holds no images out to judge a trial by: add --set split.validation=0.1"
        )
    small = replace(recipe, batch_size=SMALLEST_BATCH)  # which batches are too large is asked later
    split = choose_split(digits, small, seed)
    if recipe.teacher is not None and not len(split.validation):
        raise DigitsError(f"the teacher {recipe.teacher.run} held no images out to judge a trial by")
    return len(split.training)


def _check_folder(folder: Path) -> None:
    """Raise `DigitsError` where a study would lie among the files of something else."""
    if not folder.name:
        raise DigitsError(f"{str(folder)!r} cannot hold a study: name a folder, such as --out runs/tuned")
    if (folder / run_folder.ENVIRONMENT).exists():
        raise DigitsError(f"{folder} is a run folder: name another for the study, with --out")
    if run_folder.is_cross_validation(folder):
        raise DigitsError(f"{folder} holds a cross-validation: name another folder for the study, with --out")


def _holding(lock: FileLock, folder: Path, trials: Generator[Trial]) -> Generator[Trial]:
    """Give trials while a lock is held, with errors that name the folder."""
    try:
        with named_errors(folder):
            yield from trials
    finally:
        lock.release()


def _trials(
    study: Study,
    digits: Digits,
    trials: int,
    seed: int,
    device: str,
    on_step: OnStep | None,
    stop: Event | None,
) -> Generator[Trial]:
    while study.done < trials:
        asked, settings = study.draw()
        recipe = changed(study.recipe, settings)
        with TemporaryDirectory(prefix=SCRATCH, dir=study.folder) as scratch:
            records = train(digits, recipe, scratch, seed=seed, device=device, on_step=on_step, stop=stop)
            history, state = _follow(asked, records)
        if stop is not None and stop.is_set():
            study.give_up(asked, settings)
            return
        errors = history[-1].validation_errors if state is TrialState.COMPLETE else None
        best = errors is not None and errors < study.fewest
        study.end(asked, errors, state)
        if best:
            study.write_best()
        yield Trial(study.done, settings, errors, len(history), best)


def _follow(asked: Any, records: Generator[EpochRecord]) -> tuple[list[EpochRecord], TrialState]:
    """Take a trial's records until its end, or until it is far behind the others."""
    history: list[EpochRecord] = []
    try:
        for record in records:
            history.append(record)
            asked.report(record.validation_errors, len(history))
            if asked.should_prune():
                records.close()
                return history, TrialState.PRUNED
    except DivergedError:
        return history, TrialState.FAIL
    return history, TrialState.COMPLETE
