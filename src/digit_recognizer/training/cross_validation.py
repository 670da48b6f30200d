"""Cross-validation: a run for each part of the digits, trained on all others and judged by that part."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from statistics import stdev
from threading import Event
from typing import Any

from digit_recognizer.digits import Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.evaluation import wilson_interval
from digit_recognizer.files import make_directory, write_json, write_text
from digit_recognizer.recipes.recipe import Recipe, as_recipe, load_recipe, recipe_to_toml
from digit_recognizer.runs import run_folder
from digit_recognizer.runs.history import EpochRecord
from digit_recognizer.training.device import choose_device
from digit_recognizer.training.precision import with_precision
from digit_recognizer.training.splits import Fold, check_free, split_rows
from digit_recognizer.training.state import new_job
from digit_recognizer.training.trainer import OnStep, resume, train

LEAST, MOST = 2, 100  # folds


@dataclass(frozen=True, slots=True)
class FoldRun:
    """One of the runs of a cross-validation, as it is begun.

    Attributes
    ----------
    number
        Counted from 1.
    folder
        Its run folder.
    records
        To be taken, as `train` gives them.
    """

    number: int
    folder: Path
    records: Generator[EpochRecord]


def cross_validate(
    digits: Digits,
    recipe: Recipe | str | Path,
    folder: str | Path,
    *,
    folds: int = 5,
    seed: int = 0,
    device: str = "auto",
    source: str = "",
    on_step: OnStep | None = None,
    stop: Event | None = None,
) -> Generator[FoldRun]:
    """Train a run for each fold, in folders ``fold-1`` … of a new folder.

    Validation images are taken from the folds that are trained on, and only where the recipe decides
    anything by them, such as when to stop: nothing looks at the fold before its run is finished.

    Parameters
    ----------
    digits, recipe, seed, device, source, on_step, stop
        As in `train`; the seed also decides which image is in which fold.
    folder
        What to make; it must not exist or be empty.
    folds
        How many, 2 to 100.

    Returns
    -------
    generator of FoldRun
        Those that are not finished yet, one after the other; each one's records have to be taken before
        the next is asked for. Behind the last, ``folds.json`` says what all came to.

    Raises
    ------
    DigitsError
        As `train`; the number of folds is another.
    """
    if not LEAST <= folds <= MOST:
        raise DigitsError(f"expected {LEAST} to {MOST} folds, got {folds}")
    loaded = as_recipe(recipe)
    target = Path(folder)
    check_free(target)
    if loaded.teacher is not None:
        raise DigitsError(f"{loaded.name} has a teacher, which may have seen the folds: judge it by a run")
    for number in range(1, folds + 1):  # what is wrong leaves no folder behind
        split_rows(digits, loaded, seed, Fold(number, folds))
    hardware = choose_device(device)
    new_job(target, with_precision(loaded, hardware), seed, hardware)
    make_directory(target)
    write_text(target / run_folder.RECIPE, recipe_to_toml(loaded))
    plan = {"format": run_folder.FORMAT, "folds": folds, "seed": seed, "source": source}
    write_json(target / run_folder.FOLDS, plan)
    return _runs(target, digits, device, on_step, stop)


def resume_folds(
    folder: str | Path,
    digits: Digits,
    *,
    device: str = "auto",
    on_step: OnStep | None = None,
    stop: Event | None = None,
) -> Generator[FoldRun]:
    """Go on with a cross-validation where it was interrupted; the rest is as in `cross_validate`.

    Raises
    ------
    DigitsError
        The folder holds no cross-validation, or a damaged one; other digits than it was begun with.
    """
    target = Path(folder)
    read_plan(target)
    return _runs(target, digits, device, on_step, stop)


def read_plan(folder: Path) -> dict[str, Any]:
    """Return ``folds.json`` of a cross-validation: folds, seed, source, and what came out once it is over.

    Raises
    ------
    DigitsError
        It is missing or damaged.
    """
    if not run_folder.is_cross_validation(folder):
        raise DigitsError(f"{folder} holds no cross-validation: it has no {run_folder.FOLDS}")
    plan = run_folder.read_json(folder / run_folder.FOLDS)
    run_folder.check_format(plan.get("format"), folder)
    kinds = {"folds": int, "seed": int, "source": str}
    if not all(isinstance(plan.get(key), kind) for key, kind in kinds.items()):
        raise DigitsError(f"{folder / run_folder.FOLDS} is damaged: expected {', '.join(kinds)}")
    return plan


def _runs(
    folder: Path, digits: Digits, device: str, on_step: OnStep | None, stop: Event | None
) -> Generator[FoldRun]:
    plan = read_plan(folder)
    recipe = load_recipe(folder / run_folder.RECIPE)
    for number in range(1, plan["folds"] + 1):
        target = folder / f"fold-{number}"
        if target.exists() and run_folder.is_finished(target):
            continue
        if target.exists():
            records = resume(target, digits, device=device, on_step=on_step, stop=stop)
        else:
            fold = Fold(number, plan["folds"])
            records = train(
                digits,
                recipe,
                target,
                seed=plan["seed"],
                device=device,
                source=plan["source"],
                fold=fold,
                on_step=on_step,
                stop=stop,
            )
        try:
            yield FoldRun(number, target, records)
        finally:
            if not target.exists() and number == 1:  # its loss was no number: leave the name to the next try
                shutil.rmtree(folder, ignore_errors=True)
        if not run_folder.is_finished(target):
            return
    write_json(folder / run_folder.FOLDS, {**plan, **_outcome(folder, plan["folds"])})


def _outcome(folder: Path, folds: int) -> dict[str, Any]:
    """Return what all folds together came to."""
    metrics = [
        run_folder.read_json(folder / f"fold-{number}" / run_folder.METRICS) for number in range(1, folds + 1)
    ]
    results = [each["fold"] for each in metrics]
    images, errors = (sum(result[key] for result in results) for key in ("images", "errors"))
    accuracies = [result["accuracy"] for result in results]
    return {
        "images": images,
        "errors": errors,
        "accuracy": 1 - errors / images,
        "accuracy_interval_95": wilson_interval(images - errors, images),
        "standard_deviation": stdev(accuracies),
        "seconds": sum(each["seconds"] for each in metrics),
        "results": results,
    }
