"""Shows events: a live bar on a terminal, plain lines elsewhere, JSON lines on request."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sized
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event as Flag
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

from digit_recognizer.cli.events import (
    CorrectionsChosen,
    CrossValidated,
    EpochDone,
    Event,
    Finished,
    FoldDone,
    Searched,
    SearchStarted,
    SearchStopped,
    Show,
    Started,
    Step,
    Stopped,
    TrialDone,
    epoch_line,
)
from digit_recognizer.cli.interrupts import INTERRUPTED, stop_on_signal
from digit_recognizer.cli.terminal import (
    as_argument,
    command_line,
    make_console,
    print_json,
    progress_bar,
)
from digit_recognizer.formatting import loss_in_words, percent
from digit_recognizer.progress import ShowProgress, displayed_by

if TYPE_CHECKING:
    from digit_recognizer.recipes import NumbersRecipe, Recipe
    from digit_recognizer.runs.environment import Environment
    from digit_recognizer.runs.history import EpochRecord
    from digit_recognizer.training import FoldRun

BAR_COLUMNS = 10
LOSS_WIDTH, RATE_WIDTH = 80, 100  # columns of a terminal from which the bar shows these, too


@contextmanager
def showing(*, as_json: bool) -> Iterator[tuple[Show, Flag]]:
    """Give a function that shows events, and a flag that Ctrl+C or SIGTERM sets."""
    with stop_on_signal() as stop:
        renderer = make_renderer(as_json=as_json, stop=stop)
        try:
            with displayed_by(renderer.display):
                yield renderer.show, stop
        finally:
            renderer.close()


def show_run(
    records: Generator[EpochRecord],
    run: Path,
    digits: Sized,
    show: Show,
    stop: Flag,
    *,
    resume: Path,
    part: tuple[int, int] = (1, 1),
    shows_corrections: bool = False,
) -> tuple[Recipe | NumbersRecipe, Environment, EpochRecord | None]:
    """Show a run until it is finished; if it is stopped, say how to `resume` it, and exit.

    Returns its recipe, its environment, and its last epoch, if that is not an earlier process's.
    """
    from digit_recognizer.recipes import load_any_recipe
    from digit_recognizer.runs.environment import read_environment
    from digit_recognizer.runs.run_folder import RECIPE, is_finished
    from digit_recognizer.runs.split import read_split

    environment = read_environment(run)
    recipe = load_any_recipe(run / RECIPE)
    fold = read_split(run, environment, len(digits)).fold
    show(Started(run, recipe, len(digits) - (0 if fold is None else len(fold)), part))
    if shows_corrections and environment.corrections is not None:
        show(CorrectionsChosen(environment.corrections))
    last = None
    try:
        for record in records:
            last = record
            show(EpochDone(record, recipe))
    except BaseException:
        stop.set()  # if output fails, stop without finishing the run
        records.close()
        raise
    if not is_finished(run):
        show(Stopped(resume, command_line("train", "--resume", as_argument(resume))))
        raise typer.Exit(INTERRUPTED)
    return recipe, environment, last


def show_folds(runs: Generator[FoldRun], folder: Path, digits: Sized, show: Show, stop: Flag) -> None:
    """Show the runs of a cross-validation until all are finished."""
    from digit_recognizer.runs.metrics import read_metrics
    from digit_recognizer.training import read_plan

    folds = read_plan(folder)["folds"]
    with closing(runs):
        for run in runs:
            part = (run.number, folds)
            show_run(run.records, run.folder, digits, show, stop, resume=folder, part=part)
            metrics = read_metrics(run.folder)
            assert metrics.fold is not None
            show(FoldDone(run.number, metrics.seconds, metrics.fold))
    if stop.is_set():  # while tasks of an engine were trained
        show(Stopped(folder, command_line("train", "--resume", as_argument(folder))))
        raise typer.Exit(INTERRUPTED)
    show(CrossValidated(folder, read_plan(folder)))


def make_renderer(*, as_json: bool, stop: Flag | None = None) -> JsonRenderer | PlainRenderer:
    """Return the renderer for JSON, for a terminal, or for a file or pipe."""
    if as_json:
        return JsonRenderer()
    console = make_console()
    return LiveRenderer(console, stop or Flag()) if console.is_terminal else PlainRenderer(console)


class JsonRenderer:
    """Prints one JSON object a line."""

    def show(self, event: Event) -> None:
        """Print an event, unless it is a step."""
        if not isinstance(event, Step):
            print_json(event.as_json())

    def display(self, what: str) -> AbstractContextManager[ShowProgress]:
        """Show other work than training meanwhile."""
        return progress_bar(what)

    def close(self) -> None:
        """Leave the terminal as it was."""


class PlainRenderer:
    """Prints lines of text."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, event: Event) -> None:
        """Print an event, unless it is a step."""
        if not isinstance(event, Step):
            self._print(event)

    def display(self, what: str) -> AbstractContextManager[ShowProgress]:
        """Show other work than training meanwhile."""
        return progress_bar(what)

    def _print(self, text: RenderableType) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Leave the terminal as it was."""


class LiveRenderer(PlainRenderer):
    """Prints lines of text, and below them a bar for the whole training: of all folds, and of all trials."""

    def __init__(self, console: Console, stop: Flag) -> None:
        super().__init__(console)
        self._stop = stop
        self._validation = "–"
        self._turn = Turn()
        self._bar = Progress(*_columns(console.width), console=console, transient=True)

    def show(self, event: Event) -> None:
        """Print an event, or move the bar."""
        match event:
            case Step():
                self._move_bar(event)
            case EpochDone(record, recipe):
                self._print(f"{epoch_line(record, recipe.members)}  {record.seconds:.1f} s")
                if record.validation_accuracy is not None:
                    self._validation = percent(record.validation_accuracy)
            case Started(fold=(number, folds)):
                self._print(event)
                self._start_bar(Turn("fold", number, folds) if folds > 1 else Turn())
            case SearchStarted(trials=trials, completed=completed):
                self._print(event)
                self._start_bar(Turn("trial", completed + 1, trials))
            case TrialDone(trial):
                self._print(event)
                self._turn = replace(self._turn, number=trial.number + 1)
            case Finished() | FoldDone() | Stopped() | Searched() | SearchStopped():
                self._bar.stop()
                self._print(event)
            case _:
                self._print(event)

    @contextmanager
    def display(self, what: str) -> Iterator[ShowProgress]:
        """Show other work than training meanwhile."""
        is_live = self._bar.live.is_started
        self._bar.stop()
        with progress_bar(what) as show:
            yield show
        if is_live:
            self._bar.start()

    def _start_bar(self, turn: Turn) -> None:
        self._turn, self._validation = turn, "–"
        self._bar.start()

    def _move_bar(self, step: Step) -> None:
        progress = step.progress
        state: dict[str, Any] = {
            "completed": self._turn.number - 1 + progress.fraction,
            "total": self._turn.total,
            "epoch": f"{self._turn}{progress.epoch}/{progress.epochs}",
            "rate": progress.images_per_second,
            "loss": loss_in_words(progress.loss),
            "validation": self._validation,
        }
        if self._bar.task_ids:
            self._bar.update(self._bar.task_ids[0], **state)
        else:
            self._bar.add_task("", **state)
        if self._stop.is_set():
            self._print("Stopping: saving a checkpoint …")

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bar.stop()


@dataclass(frozen=True, slots=True)
class Turn:
    """Which of several trainings in a row this is: fold or trial `number` of `total`, from 1."""

    name: str = ""
    number: int = 1
    total: int = 1

    def __str__(self) -> str:
        return f"{self.name} {self.number}/{self.total}  epoch " if self.name else ""


def _columns(width: int) -> list[ProgressColumn]:
    """Return what the bar shows: less in narrow terminals, where a line may not break."""
    columns: list[ProgressColumn] = [
        TextColumn("{task.fields[epoch]}"),
        BarColumn(bar_width=BAR_COLUMNS),
        TextColumn("{task.percentage:>2.0f}%"),
        TimeRemainingColumn(compact=True),
        TextColumn("left"),
    ]
    if width >= LOSS_WIDTH:
        columns.append(TextColumn(" loss {task.fields[loss]}  validation {task.fields[validation]}"))
    if width >= RATE_WIDTH:
        columns.append(TextColumn(" {task.fields[rate]:,.0f} images/s"))
    return columns
