"""Train a network and write a run folder; resume a run; finish a run early.

Every random draw (first weights, order of the images, augmentation, dropout) depends on the seed, the epoch
and the step alone, so a run that is resumed on the same machine ends with the same weights, to the bit.
"""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

import torch
from filelock import FileLock
from torch import nn

from digit_recognizer.corrections import load_corrections
from digit_recognizer.digits import Digits, Samples
from digit_recognizer.engines import Engine
from digit_recognizer.errors import DigitsError
from digit_recognizer.files import remove_partial_files, write_text
from digit_recognizer.networks.onnx_export import export_onnx, is_slow_to_export
from digit_recognizer.networks.summary import count_parameters
from digit_recognizer.recipes import Recipe, as_recipe
from digit_recognizer.recipes.schema import Split
from digit_recognizer.runs.environment import read_environment
from digit_recognizer.runs.history import EpochRecord, history_to_csv
from digit_recognizer.runs.metrics import Metrics
from digit_recognizer.runs.run import create_run, lock_folder
from digit_recognizer.runs.run_folder import CORRECTIONS, HISTORY, MODEL, WEIGHTS, free_folder
from digit_recognizer.runs.split import DataSplit, describe_data, evaluation_rows, read_split
from digit_recognizer.training.checkpoint import save_tensors
from digit_recognizer.training.cluster.members import check_has_members, fit_members
from digit_recognizer.training.data import prepare_data
from digit_recognizer.training.device import (
    choose_device,
    configure_torch,
    describe_arithmetic,
    with_precision,
)
from digit_recognizer.training.distillation import load_teacher
from digit_recognizer.training.finetune import (
    Interpolated,
    describe_corrections,
    interpolate,
    select_corrections,
)
from digit_recognizer.training.fit import OnStep, fit
from digit_recognizer.training.folder import describe_environment, save_each, training_in
from digit_recognizer.training.inference import measure, warn_of_failure
from digit_recognizer.training.splits import Fold, choose_split, note_split
from digit_recognizer.training.state import (
    TrainingState,
    load_state,
    new_state,
    predictor_of,
    remove_member_files,
)

logger = logging.getLogger(__name__)

PROBE_IMAGES = 64  # on which model.onnx is compared with the network


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """The files and data of a training run."""

    folder: Path
    lock: FileLock
    digits: Digits
    split: DataSplit
    teacher: nn.Module | None
    corrections: Samples | None


def train(
    digits: Digits,
    recipe: Recipe | str | Path,
    folder: str | Path | None = None,
    *,
    seed: int = 0,
    device: str = "auto",
    source: str = "",
    fold: Fold | None = None,
    on_step: OnStep | None = None,
    stop: Event | None = None,
    engine: Engine | None = None,
) -> Generator[EpochRecord]:
    """Train a network and write a run folder.

    The folder is created at once. Training happens while the caller takes the records. A caller who stops
    taking them leaves an unfinished run, which `resume` continues and `finish` completes as it is.

    Parameters
    ----------
    digits
        With labels, of at least two digits. A single image of a digit is trained on and not held out.
    recipe
        A recipe, its name, or a TOML file.
    folder
        The run folder to create; it must not exist or be empty. ``runs/<time>-<recipe>`` if None.
    seed
        Determines split, first weights, order, augmentation and dropout; at least 0.
    device
        ``cpu``, ``cuda``, ``cuda:1`` …, or ``auto``: a GPU if torch finds one.
    source
        Where the digits came from, for the run's environment.
    fold
        In cross-validation, the part to hold out and to evaluate the finished run on.
    on_step
        Called after each step.
    stop
        Once set, the training saves a checkpoint after the current step and stops.
    engine
        Trains the members of an ensemble as tasks, which all see the run folder; each saves a checkpoint
        after each epoch, and a member's records come once it is complete. `on_step` is not called then.

    Returns
    -------
    generator of EpochRecord
        Each epoch's record, once its checkpoint is saved.

    Raises
    ------
    DigitsError
        The digits cannot be trained on, the folder exists, a file cannot be written, or the loss is not a
        finite number any more.
    """
    recipe = as_recipe(recipe)
    if engine is not None:
        check_has_members(recipe)
    hardware = choose_device(device)
    configure_torch()
    arithmetic = describe_arithmetic(recipe, hardware)
    recipe = with_precision(recipe, hardware)
    split = choose_split(digits, recipe, seed, fold)
    selected = select_corrections(recipe, digits, split)
    target = free_folder(recipe.name) if folder is None else Path(folder)
    state = new_state(recipe, seed, hardware)  # a network that does not fit leaves no folder
    teacher = load_teacher(recipe, hardware)
    environment = replace(
        describe_environment(describe_data(digits, split, source), seed, hardware),
        arithmetic=arithmetic,
        corrections=None if selected is None else describe_corrections(recipe, selected),
    )
    corrections = None if selected is None else selected.samples
    create_run(target, _as_recorded(recipe, split, target), environment, split, corrections)
    if fold is None:  # a cross-validation says it once for all folds
        note_split(digits, split, recipe)
    job = _Job(target, lock_folder(target), digits, split, teacher, corrections)
    return _run(job, state, on_step, stop, engine)


def resume(
    folder: str | Path,
    digits: Digits,
    *,
    epochs: int | None = None,
    device: str = "auto",
    on_step: OnStep | None = None,
    stop: Event | None = None,
    engine: Engine | None = None,
) -> Generator[EpochRecord]:
    """Resume a run at its last checkpoint. Parameters that are not listed are those of `train`.

    Parameters
    ----------
    folder
        The run folder.
    digits
        The digits that the run was started with.
    epochs
        Train up to this many epochs instead of the recipe's, even if the run is finished.

    Raises
    ------
    DigitsError
        No run folder, or a damaged one; other digits; the run is finished; another process trains it; and
        `train`'s.
    """
    with ExitStack() as stack:
        job, seed = _open(Path(folder), digits, stack)
        state = load_state(job.folder, seed, choose_device(device), epochs)
        if engine is not None:
            check_has_members(state.recipe)
        teacher = load_teacher(state.recipe, state.device)
        corrections = None
        if state.recipe.corrections is not None:
            corrections = load_corrections(job.folder / CORRECTIONS)
        stack.pop_all()  # from here on the generator holds the lock
    return _run(replace(job, teacher=teacher, corrections=corrections), state, on_step, stop, engine)


def finish(folder: str | Path, digits: Digits) -> None:
    """Complete an unfinished run as it is after its last completed epoch: write weights, model and metrics.

    Raises
    ------
    DigitsError
        As `resume`; or the run is in the middle of an epoch, or learns from corrections.
    """
    with ExitStack() as stack:
        job, seed = _open(Path(folder), digits, stack)
        state = load_state(job.folder, seed, torch.device("cpu"), None)
        if state.recipe.corrections is not None:
            raise DigitsError(f"{job.folder} learns from corrections, which takes whole epochs: resume it")
        if not state.history or state.position.step:
            raise DigitsError(f"{job.folder} is in the middle of an epoch: resume it first")
        write_run(job.folder, state, digits, job.split)


def _open(folder: Path, digits: Digits, stack: ExitStack) -> tuple[_Job, int]:
    """Lock an unfinished run and read its split; return it with its seed."""
    environment = read_environment(folder)
    if environment.data.sha256 != digits.sha256():
        raise DigitsError(
            f"{folder} was started with other digits: use those from "
            f"{environment.data.source or 'the same arrays'}"
        )
    lock = lock_folder(folder)
    stack.callback(lock.release)
    remove_partial_files(folder)
    split = read_split(folder, environment, len(digits))
    configure_torch()
    return _Job(folder, lock, digits, split, None, None), environment.seed


def _run(
    job: _Job,
    state: TrainingState[Recipe],
    on_step: OnStep | None,
    stop: Event | None,
    engine: Engine | None,
) -> Generator[EpochRecord]:
    """Train, save after each epoch, and write the finished run."""
    with training_in(job.folder, job.lock):
        data = prepare_data(
            job.digits,
            state.recipe,
            job.split,
            state.device,
            state.seed,
            teacher=job.teacher,
            corrections=job.corrections,
        )
        if engine is None:
            records = fit(state, data, on_step=on_step, stop=stop)
        else:
            records = fit_members(state, job.folder, job.digits, job.split, job.corrections, engine, stop)
        yield from save_each(records, state, job.folder)
        if not state.is_over:
            return
        interpolated = None if data.corrections is None else interpolate(state, data, stop)
        if interpolated is not None and stop is not None and stop.is_set():
            return
        write_run(job.folder, state, job.digits, job.split, interpolated)


def write_run(
    folder: Path,
    state: TrainingState[Recipe],
    digits: Digits,
    split: DataSplit,
    interpolated: Interpolated | None = None,
) -> None:
    """Write weights, model and, as the sign that the run is finished, metrics."""
    predictor = predictor_of(state) if interpolated is None else interpolated.predictor
    history = state.position.history
    write_text(folder / HISTORY, history_to_csv(history))  # a killed process may have lost it
    save_tensors(folder / WEIGHTS, predictor.network.state_dict(), {"recipe": state.recipe.name})
    if is_slow_to_export(predictor):
        logger.info("writing %s, which takes some seconds", folder / MODEL)
    export_onnx(
        predictor,
        folder / MODEL,
        digits.images[split.training[:PROBE_IMAGES]],
        state.recipe.name,
        trained_on=read_environment(folder).data.sha256,
        image_count=len(digits),
        held_out=len(digits) - len(split.training),
        evaluation_rows=evaluation_rows(split),
    )
    validation = measure(predictor, digits[split.validation])
    fold = None if split.fold is None else measure(predictor, digits[split.fold])
    warning = warn_of_failure(digits, split, history, fold or validation, state.recipe)
    Metrics(
        len(state.trained) + 1,
        len(history),
        sum(record.seconds for record in history),
        len(split.training),
        *count_parameters(predictor.network),
        validation=validation,
        fold=fold,
        corrections=None if interpolated is None else interpolated.metrics,
        warning=warning,
    ).write(folder)
    remove_member_files(state, folder)


def _as_recorded(recipe: Recipe, split: DataSplit, folder: Path) -> Recipe:
    """Return a recipe as its run keeps it: absolute paths, and the fraction that is really held out."""
    if recipe.corrections is not None:
        start = str(Path(recipe.start).resolve()) if recipe.start else ""
        file = str((folder / CORRECTIONS).resolve())  # the run's own copy
        recipe = replace(recipe, corrections=replace(recipe.corrections, file=file, run=start))
    if recipe.teacher is not None:
        recipe = replace(recipe, teacher=replace(recipe.teacher, run=str(Path(recipe.teacher.run).resolve())))
    if recipe.teacher is None and not recipe.start:
        return recipe
    fraction = len(split.validation) / (len(split.training) + len(split.validation))
    return replace(recipe, split=Split(fraction))
