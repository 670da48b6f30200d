"""Cross-validation: a run for each fold, trained on the other folds and evaluated on that one."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from statistics import stdev
from threading import Event
from typing import Any

import torch

from digit_recognizer.digits import Digits
from digit_recognizer.engines import Engine
from digit_recognizer.errors import DigitsError
from digit_recognizer.evaluation import accuracy_values
from digit_recognizer.files import make_directory, write_json, write_text
from digit_recognizer.formatting import spelled
from digit_recognizer.number_evaluation import character_values
from digit_recognizer.recipes import NumbersRecipe, Recipe, as_recipe
from digit_recognizer.recipes.toml_tables import to_toml
from digit_recognizer.runs.history import EpochRecord
from digit_recognizer.runs.metrics import Score, read_metrics
from digit_recognizer.runs.run_folder import (
    FOLDS,
    FORMAT,
    RECIPE,
    check_format,
    check_free,
    is_cross_validation,
    is_finished,
    read_json,
)
from digit_recognizer.runs.split import DataSplit
from digit_recognizer.sources.numbers import NumberPictures
from digit_recognizer.training.cluster.folds import FoldTask, run_folds
from digit_recognizer.training.device import choose_device, configure_torch, with_precision
from digit_recognizer.training.fit import DivergedError, OnStep
from digit_recognizer.training.splits import Fold, note_split, split_digits
from digit_recognizer.training.state import TrainingState, new_state
from digit_recognizer.training.trainer import resume, train

logger = logging.getLogger(__name__)

MIN_FOLDS, MAX_FOLDS = 2, 100


@dataclass(frozen=True, slots=True)
class FoldRun:
    """One of the runs of a cross-validation.

    Attributes
    ----------
    number
        Counted from 1.
    folder
        Its run folder.
    records
        The records of its epochs, from `train` or `resume`; training happens while the caller takes them.
    """

    number: int
    folder: Path
    records: Generator[EpochRecord]


@dataclass(frozen=True, slots=True)
class _Trainer:
    """How runs are trained on `data`: on images of single digits, or on pictures of whole numbers.

    Attributes
    ----------
    load_recipe
        Returns a recipe of this kind, and refuses one that cannot be cross-validated.
    split, new_state, note_split, train, resume
        As those of single digits, `split_digits` and so on.
    """

    data: Digits | NumberPictures
    load_recipe: Callable[[Any], Any]
    split: Callable[..., DataSplit]
    new_state: Callable[..., TrainingState[Any]]
    note_split: Callable[..., None]
    train: Callable[..., Generator[EpochRecord]]
    resume: Callable[..., Generator[EpochRecord]]


def cross_validate(
    digits: Digits | NumberPictures,
    recipe: Recipe | NumbersRecipe | str | Path,
    folder: str | Path,
    *,
    folds: int = 5,
    seed: int = 0,
    device: str = "auto",
    source: str = "",
    on_step: OnStep | None = None,
    stop: Event | None = None,
    engine: Engine | None = None,
) -> Generator[FoldRun]:
    """Train a run for each fold, in the folders ``fold-1`` … of a new folder.

    Validation images come from the folds that are trained on, and only if the recipe's schedule or early
    stopping watches them. The held-out fold is used only to evaluate the finished run.

    Parameters
    ----------
    digits, recipe, seed, device, source, on_step, stop
        As in `train`; the seed also determines which image is in which fold. Or pictures of numbers and a
        recipe for them: then folds are made of the parts train and validation.
    folder
        The folder to create; it must not exist or be empty.
    folds
        2 to 100.
    engine
        Trains folds as tasks, which all see the folder. `on_step` is not called then.

    Returns
    -------
    generator of FoldRun
        The runs that are not finished, one after the other; of an engine, each once it is complete. Take all
        records of a run before you ask for the next. After the last one, ``folds.json`` holds the results of
        all.

    Raises
    ------
    DigitsError
        As in `train`; or another number of folds.
    """
    if not MIN_FOLDS <= folds <= MAX_FOLDS:
        raise DigitsError(f"expected {MIN_FOLDS} to {MAX_FOLDS} folds, got {folds}")
    trainer = _trainer_for(digits)
    loaded = trainer.load_recipe(recipe)
    target = Path(folder)
    check_free(target)
    splits = [
        trainer.split(trainer.data, loaded, seed, Fold(number, folds)) for number in range(1, folds + 1)
    ]
    hardware = choose_device(device)
    trainer.new_state(with_precision(loaded, hardware), seed, hardware)
    make_directory(target)
    write_text(target / RECIPE, to_toml(loaded))
    write_json(target / FOLDS, {"format": FORMAT, "folds": folds, "seed": seed, "source": source})
    trainer.note_split(trainer.data, splits[0], loaded)
    return _choose_runs(target, trainer, device, on_step, stop, engine)


def resume_folds(
    folder: str | Path,
    digits: Digits | NumberPictures,
    *,
    device: str = "auto",
    on_step: OnStep | None = None,
    stop: Event | None = None,
    engine: Engine | None = None,
) -> Generator[FoldRun]:
    """Resume an interrupted cross-validation. Other parameters are those of `cross_validate`.

    Raises
    ------
    DigitsError
        The folder holds no cross-validation, or a damaged one; or `digits` are not those that it was started
        with.
    """
    target = Path(folder)
    read_plan(target)
    return _choose_runs(target, _trainer_for(digits), device, on_step, stop, engine)


def read_plan(folder: Path) -> dict[str, Any]:
    """Return ``folds.json`` of a cross-validation: folds, seed, source and, once it is complete, the results.

    Raises
    ------
    DigitsError
        The file is missing or damaged.
    """
    path = folder / FOLDS
    if not is_cross_validation(folder):
        raise DigitsError(f"{folder} holds no cross-validation: it has no {FOLDS}")
    plan = read_json(path)
    check_format(plan.get("format"), folder)
    kinds = {"folds": int, "seed": int, "source": str}
    if not all(isinstance(plan.get(key), kind) for key, kind in kinds.items()):
        raise DigitsError(f"{path} is damaged: expected {', '.join(kinds)}")
    return plan


def _trainer_for(data: Digits | NumberPictures) -> _Trainer:
    """Return how runs are trained on digits or on pictures of numbers."""
    if isinstance(data, Digits):
        return _Trainer(data, _as_recipe_of_folds, split_digits, new_state, note_split, train, resume)
    # imported here because single digits need no network that finds characters
    from digit_recognizer.training.numbers import trainer as numbers

    return _Trainer(
        data.without_test(),
        numbers.as_numbers_recipe,
        numbers.split_numbers,
        numbers.new_numbers_state,
        numbers.note_folds,
        numbers.train_numbers,
        numbers.resume_numbers,
    )


def _as_recipe_of_folds(recipe: Recipe | NumbersRecipe | str | Path) -> Recipe:
    """Return a recipe for single digits; raise `DigitsError` if it cannot be cross-validated."""
    if isinstance(recipe, NumbersRecipe):
        raise DigitsError(f"{recipe.name} is a recipe for pictures of whole numbers, not for single digits")
    loaded = as_recipe(recipe)
    if loaded.teacher is not None:
        raise DigitsError(
            f"cannot cross-validate {loaded.name}: its teacher may have been trained on the held-out folds"
        )
    return loaded


def _choose_runs(
    folder: Path,
    trainer: _Trainer,
    device: str,
    on_step: OnStep | None,
    stop: Event | None,
    engine: Engine | None,
) -> Generator[FoldRun]:
    if engine is None:
        return _runs(folder, trainer, device, on_step, stop)
    return _runs_of_tasks(folder, trainer, device, stop, engine)


def _runs_of_tasks(
    folder: Path, trainer: _Trainer, device: str, stop: Event | None, engine: Engine
) -> Generator[FoldRun]:
    plan, hardware = read_plan(folder), choose_device(device)
    configure_torch()
    recipe = with_precision(trainer.load_recipe(folder / RECIPE), hardware)  # decided once for all machines
    task = FoldTask(
        folder.resolve(),
        recipe,
        plan["folds"],
        plan["seed"],
        plan["source"],
        str(hardware),
        torch.get_num_threads(),
        trainer.train,
        trainer.resume,
    )
    left = [number for number in range(1, plan["folds"] + 1) if not is_finished(task.run_folder(number))]
    try:
        for number, records in run_folds(task, trainer.data, left, engine, stop):
            yield FoldRun(number, folder / f"fold-{number}", records)
    except DivergedError:
        if not any(folder.glob("fold-*")):  # make the name available to the next try
            shutil.rmtree(folder, ignore_errors=True)
        raise
    if all(is_finished(task.run_folder(number)) for number in left):
        write_json(folder / FOLDS, {**plan, **_results(folder, plan["folds"])})


def _runs(
    folder: Path, trainer: _Trainer, device: str, on_step: OnStep | None, stop: Event | None
) -> Generator[FoldRun]:
    plan = read_plan(folder)
    recipe = trainer.load_recipe(folder / RECIPE)
    for number in range(1, plan["folds"] + 1):
        target = folder / f"fold-{number}"
        if target.exists() and is_finished(target):
            continue
        if target.exists():
            records = trainer.resume(target, trainer.data, device=device, on_step=on_step, stop=stop)
        else:
            records = trainer.train(
                trainer.data,
                recipe,
                target,
                seed=plan["seed"],
                device=device,
                source=plan["source"],
                fold=Fold(number, plan["folds"]),
                on_step=on_step,
                stop=stop,
            )
        try:
            yield FoldRun(number, target, records)
        finally:
            if not target.exists() and number == 1:  # it diverged: make the name available to the next try
                shutil.rmtree(folder, ignore_errors=True)
        if not is_finished(target):
            return
    write_json(folder / FOLDS, {**plan, **_results(folder, plan["folds"])})


def _results(folder: Path, folds: int) -> dict[str, Any]:
    """Return the results of all folds together."""
    metrics = [read_metrics(folder / f"fold-{number}") for number in range(1, folds + 1)]
    scores = [each.fold for each in metrics if each.fold is not None]
    failed = [str(number) for number, each in enumerate(metrics, start=1) if each.warning is not None]
    images, errors = sum(score.images for score in scores), sum(score.errors for score in scores)
    results: dict[str, Any] = {
        **accuracy_values(images, errors),
        **_character_errors(scores),
        "standard_deviation": stdev(score.accuracy for score in scores),
        "seconds": sum(each.seconds for each in metrics),
        "results": [score.as_json() for score in scores],
    }
    if failed:
        which = f"{'fold' if len(failed) == 1 else 'folds'} {spelled(failed)}"
        results["warning"] = f"the network learned nothing in {which} of {folds}"
        logger.warning(results["warning"])
    return results


def _character_errors(scores: list[Score]) -> dict[str, Any]:
    """Return how many characters of numbers are wrong in all folds together; nothing for single digits."""
    characters = sum(score.characters or 0 for score in scores)
    if not characters:
        return {}
    return character_values(characters, sum(score.character_errors or 0 for score in scores))
