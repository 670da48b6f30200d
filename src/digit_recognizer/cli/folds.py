"""Cross-validation as the command line sees it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import typer

from digit_recognizer.cli import INTERRUPTED
from digit_recognizer.cli.session import (
    as_argument,
    choose_source,
    command_line,
    lasting,
    session,
    show_beginning,
    show_epochs,
)
from digit_recognizer.digits import Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.runs import run_folder
from digit_recognizer.sources import find_source, load_digits

if TYPE_CHECKING:
    from digit_recognizer.cli.progress import Reporter
    from digit_recognizer.training import FoldRun


def cross_validate_anew(
    source: str | None,
    recipe: str,
    settings: list[str],
    folder: Path | None,
    *,
    folds: int,
    seed: int,
    device: str,
    as_json: bool,
) -> None:
    """Train a run for each fold, and show how each one and all together do."""
    from digit_recognizer import training
    from digit_recognizer.recipes import load_recipe

    loaded = load_recipe(recipe, settings)
    folder = folder or run_folder.free_folder(f"{loaded.name}-folds")
    with session(as_json=as_json) as (reporter, stop):
        found = choose_source(source, reporter)
        digits = load_digits(found, "train")
        runs = training.cross_validate(
            digits,
            loaded,
            folder,
            folds=folds,
            seed=seed,
            device=device,
            source=lasting(found),
            on_step=reporter.step,
            stop=stop,
        )
        _follow(runs, folder, digits, reporter, stop)


def go_on_with_folds(
    folder: Path, source: str | None, settings: list[str], *, device: str, as_json: bool
) -> None:
    """Go on with a cross-validation."""
    from digit_recognizer import training

    if settings:
        raise DigitsError("a cross-validation goes on as it was begun: leave --set away")
    with session(as_json=as_json) as (reporter, stop):
        found = find_source(source or training.read_plan(folder)["source"] or None)
        digits = load_digits(found, "train")
        runs = training.resume_folds(folder, digits, device=device, on_step=reporter.step, stop=stop)
        _follow(runs, folder, digits, reporter, stop)


def _follow(runs: Generator[FoldRun], folder: Path, digits: Digits, reporter: Reporter, stop: Event) -> None:
    """Show each fold until all are trained or a signal stops them."""
    from digit_recognizer import training

    with closing(runs):
        for run in runs:
            show_beginning(run.folder, digits, reporter)
            show_epochs(run.records, reporter, stop)
            if not run_folder.is_finished(run.folder):
                reporter.stopped(folder, command_line("train", "--resume", as_argument(folder)))
                raise typer.Exit(INTERRUPTED)
            reporter.fold(run.number, run_folder.read_json(run.folder / run_folder.METRICS))
    reporter.cross_validated(folder, training.read_plan(folder))
