"""Training as the command line sees it: begin, go on, show, stop on a signal."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import typer

from digit_recognizer.cli import INTERRUPTED
from digit_recognizer.cli.reports import report_run
from digit_recognizer.cli.session import (
    as_argument,
    choose_source,
    command_line,
    lasting,
    session,
    show_beginning,
    show_epochs,
)
from digit_recognizer.errors import DigitsError
from digit_recognizer.runs import run_folder
from digit_recognizer.sources import find_source, has_test_csv, load_digits

if TYPE_CHECKING:
    from digit_recognizer.cli.progress import Reporter
    from digit_recognizer.runs.history import EpochRecord


def train_anew(
    source: str | None,
    recipe: str,
    settings: list[str],
    folder: Path | None,
    *,
    seed: int,
    device: str,
    report: bool,
    as_json: bool,
    corrections: Path | None = None,
    start: Path | None = None,
) -> None:
    """Train, and show how it goes and what to type next; from a run, its recipe is kept."""
    from digit_recognizer import training
    from digit_recognizer.recipes import load_recipe

    if start is not None and corrections is not None:
        loaded = training.fine_tuning(start, corrections, settings)
        source = source_of_run(start, source)
    else:
        loaded = load_recipe(recipe, settings)
        if corrections is not None:
            loaded = training.with_corrections(loaded, corrections)
    folder = folder or run_folder.free_folder(loaded.name)
    with session(as_json=as_json) as (reporter, stop):
        named = choose_source(source, reporter)
        if run_folder.holds_training(Path(named)):
            raise DigitsError(f"{named} is a run folder: go on with it by --resume {named}")
        digits = load_digits(named, "train")
        records = training.train(
            digits,
            loaded,
            folder,
            seed=seed,
            device=device,
            source=lasting(named),
            on_step=reporter.step,
            stop=stop,
        )
        show_beginning(folder, digits, reporter)
        if "corrections" in (environment := run_folder.read_environment(folder)):
            reporter.correcting(environment["corrections"])
        _follow(records, folder, reporter, stop)
    if report:
        report_run(folder, digits, named, as_json=as_json)


def go_on(
    folder: Path, source: str | None, settings: list[str], *, device: str, report: bool, as_json: bool
) -> None:
    """Go on with a run, and show how it goes and what to type next."""
    from digit_recognizer import training

    epochs = _epochs_of(settings)
    with session(as_json=as_json) as (reporter, stop):
        named = source_of_run(folder, source)
        digits = load_digits(named, "train")
        records = training.resume(
            folder, digits, epochs=epochs, device=device, on_step=reporter.step, stop=stop
        )
        show_beginning(folder, digits, reporter)
        _follow(records, folder, reporter, stop)
    if report:
        report_run(folder, digits, named, as_json=as_json)


def source_of_run(run: Path | None, source: str | None) -> str:
    """Return the source named, else the one that a run was trained on, else what is found.

    Raises
    ------
    DigitsError
        The source named is a run folder.
    """
    if source is not None and run_folder.holds_training(Path(source)):
        raise DigitsError(f"{source} is a run folder and no source of digits")
    if source is None and run is not None:
        source = _recorded_source(run) or None
    return find_source(source)


def _recorded_source(run: Path) -> str:
    """Return the source that a run was trained on, as it is called from the current folder."""
    source = run_folder.read_environment(run)["data"]["source"]
    path = Path(source)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else source


def _follow(records: Generator[EpochRecord], folder: Path, reporter: Reporter, stop: Event) -> None:
    """Show a training, and what to type behind it."""
    show_epochs(records, reporter, stop)
    if not run_folder.is_finished(folder):
        reporter.stopped(folder, command_line("train", "--resume", as_argument(folder)))
        raise typer.Exit(INTERRUPTED)
    reporter.finished(folder, run_folder.read_json(folder / run_folder.METRICS), _next_command(folder))


def _next_command(folder: Path) -> str:
    """Return what to type after a training: a submission where there is something to submit."""
    source = _recorded_source(folder)
    if has_test_csv(source):
        return command_line("submit", as_argument(folder), source, "-o", "submission.csv")
    if run_folder.read_json(folder / run_folder.METRICS)["validation"] is None:
        return command_line("report", as_argument(folder))
    return command_line("evaluate", as_argument(folder))


def _epochs_of(settings: list[str]) -> int | None:
    """Return the one setting that a run may change when it goes on."""
    if not settings:
        return None
    key, _, value = settings[-1].partition("=")
    if len(settings) > 1 or key.strip() != "epochs" or not value.strip().isdecimal():
        raise DigitsError(
            f"--resume changes nothing but the epochs, such as --set epochs=40; got {', '.join(settings)}"
        )
    return int(value)
