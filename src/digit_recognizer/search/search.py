"""Search for better settings of a recipe with Optuna, in a study that can be resumed.

Each trial is a training with the recipe's own split, evaluated on its validation images after the last
epoch. These images have then selected the settings, so they no longer measure the accuracy: evaluate the best
recipe on other digits, or by cross-validation with another seed.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection, Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from threading import Event
from typing import NamedTuple

import optuna
import torch
from filelock import FileLock
from optuna.trial import FrozenTrial, TrialState
from torch import nn

from digit_recognizer.digits import Digits, Samples
from digit_recognizer.engines import Engine, completed
from digit_recognizer.errors import DigitsError
from digit_recognizer.evaluation import BaselineComparison, compare_with_baseline
from digit_recognizer.files import make_directory
from digit_recognizer.formatting import count, percent
from digit_recognizer.machine import keep_freed_memory
from digit_recognizer.recipes import Recipe, as_recipe
from digit_recognizer.runs.history import EpochRecord
from digit_recognizer.runs.run import lock_folder
from digit_recognizer.runs.split import DataSplit
from digit_recognizer.search.space import (
    Range,
    Value,
    apply,
    check_holds_out,
    check_ranges,
    check_study_folder,
    default_ranges,
)
from digit_recognizer.search.study import Study, make_pruner, named_errors, open_study
from digit_recognizer.training.data import prepare_data
from digit_recognizer.training.device import choose_device, configure_torch, with_precision
from digit_recognizer.training.distillation import load_teacher
from digit_recognizer.training.finetune import select_corrections
from digit_recognizer.training.fit import DivergedError, OnStep, fit
from digit_recognizer.training.splits import choose_split, note_split
from digit_recognizer.training.state import new_state

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trial:
    """The result of one trial."""

    number: int  # counted from 1
    settings: dict[str, Value]  # that it changed in the recipe
    errors: int | None  # on the validation images after the last epoch; None: it diverged or was pruned
    epochs: int  # that it was trained for
    is_best: bool  # whether no trial before had as few errors
    learned: bool | None = None  # whether it is better than always answering the same; None: unknown


@dataclass(frozen=True, slots=True, eq=False)
class _Experiment:
    """What all trials have in common."""

    digits: Digits
    split: DataSplit
    device: torch.device
    seed: int
    teacher: nn.Module | None
    corrections: Samples | None


_Course = tuple[list[EpochRecord], TrialState]  # of a trial


class _Ended(NamedTuple):
    """A trial at its end."""

    trial: optuna.Trial
    values: dict[str, Value]
    history: list[EpochRecord]
    state: TrialState


def choose_ranges(
    digits: Digits,
    recipe: Recipe,
    ranges: Iterable[Range] | None = None,
    *,
    fixed: Collection[str] = (),
    seed: int = 0,
) -> tuple[Range, ...]:
    """Return the ranges to search: those asked for, or the default ones without the fixed keys.

    Raises `DigitsError` if there are no validation images, if there is nothing to search, if a setting cannot
    be searched, if a range of batches ends above the number of training images, or if the digits cannot be
    trained on.
    """
    images = len(_choose_split(digits, recipe, seed).training)
    if ranges is None:
        # a larger batch holds all images, too
        fitting = replace(recipe, batch_size=min(recipe.batch_size, images))
        ranges = default_ranges(fitting, fixed, images)
    chosen = list(ranges)
    if not chosen:
        raise DigitsError(f"{recipe.name} has no settings to search: name some, such as batch_size=64..512")
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
    engine: Engine | None = None,
) -> Generator[Trial]:
    """Search settings of a recipe, keep the best as ``best.toml``, and yield each trial once it is over.

    The folder may hold a study already; it is resumed until it has `trials` trials in all. Every trial has
    the same seed, and so the same split and initial weights. Other parameters are those of `train` and
    `choose_ranges`. An `engine` runs as many trials at the same time as it has slots; a trial then learns
    from the results of all but the slots - 1 trials before it, however fast each is, so the same number of
    slots tries the same settings.

    Raises `DigitsError` as these do; and if the folder holds a run or a cross-validation, if its study has
    another recipe, other digits, ranges or another seed, or if another process searches in it.
    """
    loaded = as_recipe(recipe)
    chosen = choose_ranges(digits, loaded, ranges, seed=seed)
    target = Path(folder)
    check_study_folder(target)
    experiment = _prepare(digits, loaded, seed, device)  # refuses before anything is written
    make_directory(target)
    note_split(digits, experiment.split, loaded)
    with ExitStack() as stack:
        lock = lock_folder(target, "searching")
        stack.callback(lock.release)
        study = open_study(target, loaded, chosen, digits, seed)
        stack.pop_all()  # from here on, the generator holds the lock
    if engine is None:
        ended = _end_here(study, experiment, trials, on_step, stop)
    else:
        ended = _end_on(engine, study, experiment, trials, stop)
    return _holding(lock, target, _judge(study, experiment, ended, stop))


def _choose_split(digits: Digits, recipe: Recipe, seed: int) -> DataSplit:
    """Return the split of all trials; raise `DigitsError` if it has no validation images."""
    check_holds_out(recipe)
    split = choose_split(digits, recipe, seed)
    if not len(split.validation):
        if recipe.teacher is None and not recipe.start:
            raise DigitsError("each digit has only one image, so none is held out to evaluate trials on")
        run = recipe.start if recipe.teacher is None else f"the teacher {recipe.teacher.run}"
        raise DigitsError(f"{run} held out no images to evaluate trials on")
    return split


def _prepare(digits: Digits, recipe: Recipe, seed: int, device: str) -> _Experiment:
    hardware = choose_device(device)
    configure_torch()
    keep_freed_memory()
    new_state(with_precision(recipe, hardware), seed, hardware)  # refuses a network that does not fit
    split = _choose_split(digits, recipe, seed)
    selected = select_corrections(recipe, digits, split)
    teacher = load_teacher(recipe, hardware)
    return _Experiment(digits, split, hardware, seed, teacher, None if selected is None else selected.samples)


def _holding(lock: FileLock, folder: Path, trials: Generator[Trial]) -> Generator[Trial]:
    """Yield trials while the lock is held, with errors that name the folder."""
    try:
        with named_errors(folder):
            yield from trials
    finally:
        lock.release()


def _end_here(
    study: Study, experiment: _Experiment, trials: int, on_step: OnStep | None, stop: Event | None
) -> Iterator[_Ended]:
    """Run trials one after the other, and yield each at its end."""
    while study.completed < trials:
        trial, values = study.start_trial()
        records = _train(experiment, apply(study.recipe, values), on_step, stop)
        history, state = _follow(trial, records)
        if stop is not None and stop.is_set():
            study.abandon_trial(trial, values)
            return
        yield _Ended(trial, values, history, state)


def _end_on(
    engine: Engine, study: Study, experiment: _Experiment, trials: int, stop: Event | None
) -> Iterator[_Ended]:
    """Run several trials at the same time, and yield them in the order in which they began."""
    shared, threads = engine.share(experiment), torch.get_num_threads()
    running: deque[tuple[optuna.Trial, dict[str, Value], Future[_Course]]] = deque()
    while True:
        while len(running) < engine.slots and study.completed + len(running) < trials:
            trial, values = study.start_trial()
            recipe = with_precision(apply(study.recipe, values), experiment.device)  # for all machines
            task = (train_trial, shared, recipe, study.recipe.epochs, study.successful(), threads)
            running.append((trial, values, engine.submit(*task)))
        if not running:
            return
        trial, values, future = running[0]
        if not list(completed([future], stop)):
            for each, tried, _ in running:
                study.abandon_trial(each, tried)
            return
        history, state = future.result()
        running.popleft()
        for epoch, record in enumerate(history, start=1):
            trial.report(float(record.validation_errors or 0), epoch)
        yield _Ended(trial, values, history, state)


def train_trial(
    experiment: _Experiment, recipe: Recipe, epochs: int, before: list[FrozenTrial], threads: int
) -> _Course:
    """Train, and prune by the trials `before`, which are known to be successful: a task."""
    configure_torch()
    torch.set_num_threads(threads)
    keep_freed_memory()
    known = optuna.create_study(pruner=make_pruner(epochs))
    known.add_trials(before)
    return _follow(known.ask(), _train(experiment, recipe, None, None))


def _judge(
    study: Study, experiment: _Experiment, ended: Iterator[_Ended], stop: Event | None
) -> Generator[Trial]:
    """Record the results of trials, write the best recipe, and yield each trial."""
    for trial, values, history, state in ended:
        errors = history[-1].validation_errors if state is TrialState.COMPLETE else None
        is_best = errors is not None and errors < study.fewest_errors
        study.end_trial(trial, errors, state)
        if is_best:
            study.write_best()
        compared = None if errors is None else _compare(errors, experiment)
        learned = compared.is_better if compared is not None and compared.is_decidable else None
        yield Trial(study.completed, values, errors, len(history), is_best, learned)
    if isfinite(study.fewest_errors) and not (stop is not None and stop.is_set()):
        _warn_of_failure(_compare(int(study.fewest_errors), experiment))


def _compare(errors: int, experiment: _Experiment) -> BaselineComparison:
    assert experiment.digits.labels is not None
    return compare_with_baseline(errors, experiment.digits.labels[experiment.split.validation])


def _warn_of_failure(best: BaselineComparison) -> None:
    """Log a sentence if even the best trial learned nothing, or if too few images tell trials apart."""
    images = count(best.images, "validation image")
    if not best.is_decidable:
        logger.warning(
            "%s cannot tell good settings from bad ones; --set split.validation=0.5 holds out more", images
        )
    elif not best.is_better:
        logger.warning(
            "even the best trial learned nothing measurable: it reads %s of %s correctly, always answering "
            "%d gives %s; search other ranges, such as a lower learning rate, or train for more epochs",
            percent(best.accuracy),
            images,
            best.digit,
            percent(best.baseline),
        )


def _train(
    experiment: _Experiment, recipe: Recipe, on_step: OnStep | None, stop: Event | None
) -> Iterator[EpochRecord]:
    """Train as `train` does, but write no files."""
    recipe = with_precision(recipe, experiment.device)
    state = new_state(recipe, experiment.seed, experiment.device)
    data = prepare_data(
        experiment.digits,
        recipe,
        experiment.split,
        experiment.device,
        experiment.seed,
        teacher=experiment.teacher,
        corrections=experiment.corrections,
    )
    return fit(state, data, on_step=on_step, stop=stop)


def _follow(trial: optuna.Trial, records: Iterator[EpochRecord]) -> _Course:
    """Return the records of a trial, until its end or until it is pruned."""
    history: list[EpochRecord] = []
    try:
        for record in records:
            history.append(record)
            assert record.validation_errors is not None
            trial.report(record.validation_errors, len(history))
            if trial.should_prune():
                return history, TrialState.PRUNED
    except DivergedError:
        return history, TrialState.FAIL
    return history, TrialState.COMPLETE
