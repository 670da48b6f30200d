"""Train the reader of pages on pictures of whole numbers, in a run folder; resume such a run."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from math import ceil
from pathlib import Path
from threading import Event

import numpy as np
import torch
from filelock import FileLock
from torch import nn

from digit_recognizer.errors import DigitsError
from digit_recognizer.files import remove_partial_files, replacing, write_json, write_text
from digit_recognizer.formatting import count
from digit_recognizer.networks.character_network import (
    CharacterNetwork,
    export_reader,
    load_character_network,
)
from digit_recognizer.networks.summary import count_parameters
from digit_recognizer.number_evaluation import NumberEvaluation, ReadNumber
from digit_recognizer.reading.calibration import fit_calibration
from digit_recognizer.recipes import NumbersRecipe, Recipe, load_any_recipe
from digit_recognizer.recognition.character_finder import READER_MODEL, CharacterFinder
from digit_recognizer.recognition.number_reader import read_pictures
from digit_recognizer.recognition.recognizer import CALIBRATION
from digit_recognizer.runs.environment import DataDescription, read_environment
from digit_recognizer.runs.history import EpochRecord, history_to_csv
from digit_recognizer.runs.metrics import Metrics, Score
from digit_recognizer.runs.run import create_run, lock_folder
from digit_recognizer.runs.run_folder import HISTORY, MODEL, RECIPE, WEIGHTS, free_folder
from digit_recognizer.runs.split import (
    DataSplit,
    Rows,
    checksum_of_rows,
    evaluation_rows,
    pack_rows,
    read_split,
)
from digit_recognizer.sources import load_digits
from digit_recognizer.sources.numbers import NumberPictures
from digit_recognizer.training.checkpoint import save_tensors
from digit_recognizer.training.device import (
    choose_device,
    configure_torch,
    describe_arithmetic,
    with_precision,
)
from digit_recognizer.training.fit import OnStep, fit_task
from digit_recognizer.training.folder import describe_environment, save_each, training_in
from digit_recognizer.training.numbers.task import NumberTask, prepare_task
from digit_recognizer.training.optimizers import build_optimizer
from digit_recognizer.training.splits import Fold
from digit_recognizer.training.state import TrainingState, check_seed, restore_state

logger = logging.getLogger(__name__)

MIN_CALIBRATED = 50  # numbers read; with fewer, the confidences are calibrated as those of the shipped reader


def train_numbers(
    pictures: NumberPictures,
    recipe: NumbersRecipe | str | Path,
    folder: str | Path | None = None,
    *,
    seed: int = 0,
    device: str = "auto",
    source: str = "",
    fold: Fold | None = None,
    on_step: OnStep | None = None,
    stop: Event | None = None,
) -> Generator[EpochRecord]:
    """Train the reader of pages further and write a run folder; `training.train` describes the rest.

    Parameters
    ----------
    pictures
        With what is written on them; those of the test part are left out.
    recipe
        A recipe for numbers, its name, or a TOML file.

    Raises
    ------
    DigitsError
        There are no pictures to learn from; and `training.train`'s.
    """
    recipe = as_numbers_recipe(recipe)
    hardware = choose_device(device)
    configure_torch()
    arithmetic = describe_arithmetic(recipe, hardware)
    recipe = with_precision(recipe, hardware)
    pictures = pictures.without_test()
    split = split_numbers(pictures, recipe, seed, fold)
    target = free_folder(recipe.name) if folder is None else Path(folder)
    state = new_numbers_state(recipe, seed, hardware)
    data = _describe_data(pictures, split, source)
    environment = replace(describe_environment(data, seed, hardware), arithmetic=arithmetic)
    create_run(target, recipe, environment, split)
    return _run(target, lock_folder(target), pictures, split, state, on_step, stop)


def resume_numbers(
    folder: str | Path,
    pictures: NumberPictures,
    *,
    epochs: int | None = None,
    device: str = "auto",
    on_step: OnStep | None = None,
    stop: Event | None = None,
) -> Generator[EpochRecord]:
    """Resume a run at its last checkpoint; parameters and errors are those of `training.resume`."""
    folder, pictures = Path(folder), pictures.without_test()
    environment = read_environment(folder)
    if environment.data.sha256 != pictures.sha256():
        raise DigitsError(
            f"{folder} was started with other pictures: use those of {environment.data.source or 'that run'}"
        )
    with ExitStack() as stack:
        lock = lock_folder(folder)
        stack.callback(lock.release)
        remove_partial_files(folder)
        split = read_split(folder, environment, len(pictures))
        configure_torch()
        recipe = as_numbers_recipe(folder / RECIPE, epochs)
        state = new_numbers_state(recipe, environment.seed, choose_device(device))
        restore_state(state, folder, epochs)
        stack.pop_all()  # from here on the generator holds the lock
    return _run(folder, lock, pictures, split, state, on_step, stop)


def as_numbers_recipe(
    recipe: NumbersRecipe | Recipe | str | Path, epochs: int | None = None
) -> NumbersRecipe:
    """Return a recipe for numbers, loaded if it is a name or a file; `DigitsError` if it is not one."""
    if isinstance(recipe, str | Path):
        name, loaded = recipe, load_any_recipe(recipe, [] if epochs is None else [f"epochs={epochs}"])
    else:
        name, loaded = recipe.name, recipe
    if not isinstance(loaded, NumbersRecipe):
        raise DigitsError(f"{name} is a recipe for single digits, not for pictures of whole numbers")
    return loaded


def split_numbers(
    pictures: NumberPictures, recipe: NumbersRecipe, seed: int, fold: Fold | None = None
) -> DataSplit:
    """Return the rows to learn from and to hold out, as the parts say or else at random.

    With a fold, its rows are held out, whatever the parts say: no recipe for numbers watches validation.
    """
    check_seed(seed)
    rows = np.arange(len(pictures))
    if fold is not None:
        held_out = _rows_of_fold(pictures, fold, seed)
        return DataSplit(np.setdiff1d(rows, held_out), rows[:0], held_out)
    if pictures.parts is not None and "validation" in pictures.parts:
        is_held_out = np.array(pictures.parts) == "validation"
    else:
        number = min(ceil(recipe.split.validation * len(rows)), len(rows) - 1)
        chosen = np.random.default_rng([seed, len(rows)]).permutation(len(rows))[: max(0, number)]
        is_held_out = np.isin(rows, chosen)
    if is_held_out.all():
        raise DigitsError("there are no pictures to learn from")
    return DataSplit(rows[~is_held_out], rows[is_held_out])


def _rows_of_fold(pictures: NumberPictures, fold: Fold, seed: int) -> Rows:
    """Return the rows of a fold; numbers of each length are dealt out to all folds alike."""
    number = len(pictures)
    if fold.count > number:
        raise DigitsError(
            f"{count(number, 'picture')} cannot be divided into {count(fold.count, 'fold')}: provide more, "
            f"or ask for {f'at most {number:,} folds' if number > 1 else 'no folds'}"
        )
    shuffled = np.random.default_rng([seed, number]).permutation(number)
    lengths = np.array([len(label) for label in pictures.labels])
    in_order = shuffled[np.argsort(lengths[shuffled], kind="stable")]
    return np.sort(in_order[fold.number - 1 :: fold.count])


def note_folds(pictures: NumberPictures, _split: DataSplit, _recipe: NumbersRecipe) -> None:
    """Log what is assumed about the parts of a table."""
    if pictures.parts is not None:
        logger.info(
            "the folds are made of all rows of the parts train and validation; the part test is left out"
        )


def new_numbers_state(recipe: NumbersRecipe, seed: int, device: torch.device) -> TrainingState[NumbersRecipe]:
    """Return the state before the first step; raise `DigitsError` if the seed is negative."""
    check_seed(seed)
    first_weights = partial(_first_weights, recipe, device)
    return TrainingState(recipe, seed, device, *first_weights(1), first_weights)


def _first_weights(
    recipe: NumbersRecipe, device: torch.device, _member: int
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Return the network that comes with the package, and its optimizer."""
    network: nn.Module = load_character_network(READER_MODEL)
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network, build_optimizer(recipe, network)


def _run(
    folder: Path,
    lock: FileLock,
    pictures: NumberPictures,
    split: DataSplit,
    state: TrainingState[NumbersRecipe],
    on_step: OnStep | None,
    stop: Event | None,
) -> Generator[EpochRecord]:
    """Train, save after each epoch, and write the finished run."""
    with training_in(folder, lock):
        start, _ = state.first_weights(1)
        digits = load_digits(state.recipe.composed.source)
        task = prepare_task(
            pictures, state.recipe, split, start, digits, seed=state.seed, device=state.device, stop=stop
        )
        if len(task.pages) < state.recipe.composed.drawn:  # stopped before the first step
            return
        yield from save_each(fit_task(state, task, on_step=on_step, stop=stop), state, folder)
        if not state.is_over:
            return
        loss = state.position.history[-1].validation_loss or 0.0
        if split.fold is not None:
            loss, _ = task.with_validation(pictures[split.fold], start).validate(state.network)
        held_out = pictures[evaluation_rows(split)]
        _write_run(folder, state, task, split, held_out, loss)


def _write_run(
    folder: Path,
    state: TrainingState[NumbersRecipe],
    task: NumberTask,
    split: DataSplit,
    held_out: NumberPictures,
    loss: float,
) -> None:
    """Write weights, model, calibration and, as the sign that the run is finished, metrics.

    The model reads the pictures that are `held_out`; `loss` is that of their texts.
    """
    network, history = state.network.cpu().eval(), state.position.history
    assert isinstance(network, CharacterNetwork)
    write_text(folder / HISTORY, history_to_csv(history))  # a killed process may have lost it
    save_tensors(folder / WEIGHTS, network.state_dict(), {"recipe": state.recipe.name})
    properties = {
        "recipe": state.recipe.name,
        "trained_on": read_environment(folder).data.sha256,
        "images": str(len(split.training) + len(held_out)),
        "held_out": str(len(held_out)),
        "evaluation_rows": pack_rows(evaluation_rows(split)),
    }
    export_reader(network, folder / MODEL, task.pages[0].image, properties)
    find = CharacterFinder(folder / MODEL).find
    numbers = read_pictures(find, held_out.pictures, held_out.labels, held_out.files)
    is_fold = split.fold is not None
    _write_calibration(folder, [] if is_fold else numbers)  # a fold only evaluates the finished run
    score = _score(NumberEvaluation(tuple(numbers)), loss) if numbers else None
    Metrics(
        1,
        len(history),
        sum(record.seconds for record in history),
        len(split.training),
        *count_parameters(network),
        validation=None if is_fold else score,
        fold=score if is_fold else None,
        character_error_rate=None if score is None else score.character_error_rate,
    ).write(folder)


def _score(evaluation: NumberEvaluation, loss: float) -> Score:
    numbers = len(evaluation.numbers)
    return Score(numbers, evaluation.errors, loss, evaluation.characters, evaluation.character_errors)


def _write_calibration(folder: Path, numbers: Sequence[ReadNumber]) -> None:
    """Write how the confidences of numbers are calibrated."""
    read = [each for each in numbers if each.text]
    target = folder / CALIBRATION
    if len(read) >= MIN_CALIBRATED:
        fitted = fit_calibration([each.confidence for each in read], [each.is_right for each in read])
        write_json(target, asdict(fitted))
    elif (shipped := READER_MODEL.with_name(CALIBRATION)).exists():
        with replacing(target) as partial_file:
            shutil.copyfile(shipped, partial_file)


def _describe_data(pictures: NumberPictures, split: DataSplit, source: str) -> DataDescription:
    return DataDescription(
        source=source,
        sha256=pictures.sha256(),
        held_out_sha256=checksum_of_rows(split.validation),
        images=len(pictures),
        held_out=len(split.validation),
        fold_sha256=None if split.fold is None else checksum_of_rows(split.fold),
    )
