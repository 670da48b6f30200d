"""What the commands show: a live bar on a terminal, plain lines elsewhere, JSON where asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol

from rich import box
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from digit_recognizer.digits import Digits, Predictions
from digit_recognizer.reporting import Evaluation
from digit_recognizer.training.history import EpochRecord, Progress
from digit_recognizer.training.recipe import Recipe

if TYPE_CHECKING:
    from digit_recognizer.training.summary import Outline

__all__ = [
    "Reporter",
    "make_reporter",
    "show_evaluation",
    "show_recipes",
    "show_report",
    "show_submission",
    "show_summary",
    "telling",
]

BYTES_PER_PARAMETER = 4  # float32
BAR_WIDTH = 10  # columns: the line is to fit 80
PIPE_WIDTH = 120  # columns where the output is no terminal


class Reporter(Protocol):
    """What shows a training while it goes on."""

    def reading(self, source: str) -> None:
        """Say which source is being read, where the user named none."""

    def begin(self, folder: Path, recipe: Recipe, digits: Digits) -> None:
        """Say what is going to be trained, on what, and where it is written."""

    def step(self, progress: Progress) -> None:
        """Show where an epoch is."""

    def epoch(self, record: EpochRecord) -> None:
        """Show an epoch that is done."""

    def stopped(self, folder: Path, command: str) -> None:
        """Say how to go on with a training that was interrupted."""

    def finished(self, folder: Path, metrics: dict[str, Any], command: str) -> None:
        """Show what a training reached, and what to type next."""

    def close(self) -> None:
        """Leave the terminal as it was."""


def make_reporter(*, as_json: bool, stop: Event) -> Reporter:
    """Return what fits: JSON if asked for, a live bar on a terminal, plain lines elsewhere."""
    if as_json:
        return _JsonReporter()
    console = _console()
    return _LiveReporter(console, stop) if console.is_terminal else _PlainReporter(console)


class _JsonReporter:
    """One JSON object a line."""

    def reading(self, source: str) -> None:
        _print_json({"event": "reading", "source": source})

    def begin(self, folder: Path, recipe: Recipe, digits: Digits) -> None:
        _print_json({"event": "begin", "run": str(folder), "recipe": recipe.name, "images": len(digits)})

    def step(self, progress: Progress) -> None:
        pass

    def epoch(self, record: EpochRecord) -> None:
        _print_json({"event": "epoch", **asdict(record)})

    def stopped(self, folder: Path, command: str) -> None:
        _print_json({"event": "stopped", "run": str(folder), "resume": command})

    def finished(self, folder: Path, metrics: dict[str, Any], command: str) -> None:
        _print_json({"event": "finished", "run": str(folder), **metrics, "next": command})

    def close(self) -> None:
        pass


class _PlainReporter:
    """A line an epoch."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._epochs = 0  # at most, in this training

    def reading(self, source: str) -> None:
        self._print(f"No source named: reading {source}.")

    def begin(self, folder: Path, recipe: Recipe, digits: Digits) -> None:
        self._epochs = recipe.epochs
        self._print(
            f"Training {recipe.name} on {len(digits):,} images, at most "
            f"{_epochs(recipe.epochs)}, in {folder}."
        )

    def step(self, progress: Progress) -> None:
        pass

    def epoch(self, record: EpochRecord) -> None:
        left = timedelta(seconds=round((self._epochs - record.epoch) * record.seconds))
        self._print(f"{_epoch_line(record)}  {record.images_per_second:,.0f} images/s  {left} left")

    def stopped(self, folder: Path, command: str) -> None:
        self._print(f"Stopped; the checkpoint is in {folder}. Go on with:\n  {command}")

    def finished(self, folder: Path, metrics: dict[str, Any], command: str) -> None:
        minutes, seconds = divmod(round(metrics["seconds"]), 60)
        self._print("")
        self._row("Run", f"{folder}  ({_epochs(metrics['epochs'])} in {minutes} min {seconds} s)")
        self._row("Validation", _accuracy(metrics["validation"]), "bold green")
        self._row("Next", command, "cyan")

    def close(self) -> None:
        pass

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _row(self, name: str, value: str, style: str = "") -> None:
        self._console.print(Text.assemble((f"{name:<12}", "bold"), (value, style)), soft_wrap=True)


class _LiveReporter(_PlainReporter):
    """A line an epoch, and under them a bar for the whole training."""

    def __init__(self, console: Console, stop: Event) -> None:
        super().__init__(console)
        self._stop = stop
        self._validation = "–"
        self._bar = Bar(
            TextColumn("{task.fields[epoch]}"),
            BarColumn(bar_width=BAR_WIDTH),
            TextColumn("{task.percentage:>2.0f}%  {task.fields[rate]:,.0f} images/s "),
            TimeRemainingColumn(compact=True),
            TextColumn("left  loss {task.fields[loss]:.4f}  validation {task.fields[validation]}"),
            console=console,
            transient=True,
        )

    def begin(self, folder: Path, recipe: Recipe, digits: Digits) -> None:
        super().begin(folder, recipe, digits)
        self._bar.start()

    def step(self, progress: Progress) -> None:
        state: dict[str, Any] = {
            "completed": (progress.epoch - 1) * progress.total + progress.images,
            "total": progress.epochs * progress.total,
            "epoch": f"{progress.epoch}/{progress.epochs}",
            "rate": progress.images_per_second,
            "loss": progress.loss,
            "validation": self._validation,
        }
        if self._bar.task_ids:
            self._bar.update(self._bar.task_ids[0], **state)
        else:
            self._bar.add_task("", **state)
        if self._stop.is_set():
            self._print("Stopping: saving a checkpoint …")

    def epoch(self, record: EpochRecord) -> None:
        self._print(f"{_epoch_line(record)}  {record.seconds:.1f} s")
        if record.validation_accuracy is not None:
            self._validation = f"{record.validation_accuracy:.2%}"

    def close(self) -> None:
        self._bar.stop()


def show_evaluation(evaluation: Evaluation, what: str, *, as_json: bool) -> None:
    """Show accuracy, a row for each digit, and the confusion matrix."""
    values = evaluation.as_dict()
    if as_json:
        _print_json({"what": what, **values})
        return
    console = _console()
    console.print(f"{what}:", highlight=False, markup=False, soft_wrap=True)
    console.print(Text(f"{_accuracy(values)}\n", "bold green"), soft_wrap=True)
    table = Table(
        box=box.SIMPLE_HEAD,
        title="digit (row) taken for (column)",
        title_justify="left",
        padding=0,
        pad_edge=False,
    )
    for heading in ("", *map(str, range(10)), "images", "errors", "accuracy"):
        table.add_column(heading, justify="right", no_wrap=True, min_width=4 if heading else 1)
    for row, counts in zip(values["per_digit"], values["confusion"], strict=True):
        cells = [str(count) if count else "·" for count in counts]
        accuracy = "–" if row["accuracy"] is None else f"{row['accuracy']:.2%}"
        table.add_row(str(row["digit"]), *cells, f"{row['images']:,}", str(row["errors"]), accuracy)
    console.print(table)


def show_submission(predictions: Predictions, written: Sequence[Path], *, labelled: bool) -> None:
    """Say what was written, how sure the model was, and whether these can be the competition's images."""
    names = " and ".join(map(str, written))
    unsure = int((predictions.confidence < 0.5).sum())
    _console().print(
        f"Wrote {names}: {len(predictions):,} predictions, {unsure} of them with a confidence below 50 %.",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    if labelled:
        _console().print("Note: these images have labels; those of the competition's test.csv have none.")


@contextmanager
def telling(what: str, *, as_json: bool) -> Iterator[Callable[[str], None]]:
    """Give a function that says what is being done; it is seen on a terminal only, and goes away."""
    console = _console()
    if as_json or not console.is_terminal:
        yield lambda _doing: None
        return
    with console.status(f"{what} …") as status:
        yield lambda doing: status.update(f"{what}: {doing} …")


def show_report(page: Path, seconds: float, *, as_json: bool) -> None:
    """Say where a report is."""
    if as_json:
        _print_json({"event": "report", "page": str(page), "seconds": round(seconds, 2)})
        return
    size = page.stat().st_size / 1e6
    _console().print(
        Text.assemble(
            (f"{'Report':<12}", "bold"),
            (str(page), "cyan"),
            f"  ({size:.1f} MB in {seconds:.1f} s; figures beside it)",
        ),
        soft_wrap=True,
    )


def show_recipes(recipes: Sequence[tuple[Recipe, int]]) -> None:
    """Show a table of recipes with their numbers of parameters."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("recipe", no_wrap=True, style="bold")
    table.add_column("what it is")
    table.add_column("parameters", justify="right", no_wrap=True)
    table.add_column("epochs", justify="right")
    table.add_column("its author reached")
    for recipe, parameters in recipes:
        table.add_row(recipe.name, recipe.summary, f"{parameters:,}", str(recipe.epochs), recipe.reached)
    _console().print(table)


def show_summary(recipe: Recipe, network: Outline) -> None:
    """Show a network as Keras's `summary` does."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("layer", no_wrap=True)
    table.add_column("output shape", no_wrap=True)
    table.add_column("parameters", justify="right", no_wrap=True)
    table.add_column("multiply-adds", justify="right", no_wrap=True)
    for layer in network.layers:
        shape = ", ".join(map(str, (None, *layer.output_shape)))
        table.add_row(
            f"{layer.name} ({layer.kind})", f"({shape})", f"{layer.parameters:,}", f"{layer.multiply_adds:,}"
        )
    console = _console()
    console.print(f"{recipe.name}: {recipe.summary}", highlight=False, markup=False, soft_wrap=True)
    console.print(table)
    fixed = network.parameters - network.trained_parameters
    sizes = (("Total", network.parameters), ("Trained", network.trained_parameters), ("Not trained", fixed))
    for name, count in sizes:
        size = f"{count * BYTES_PER_PARAMETER / 2**20:,.2f} MB"
        console.print(f" {name + ' parameters':<24}{count:>14,}  ({size})", highlight=False)
    console.print(f" {'Multiply-adds an image':<24}{network.multiply_adds:>14,}", highlight=False)


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=PIPE_WIDTH)


def _print_json(value: dict[str, Any]) -> None:
    print(json.dumps(value, ensure_ascii=False), flush=True)


def _epoch_line(record: EpochRecord) -> str:
    line = f"epoch {record.epoch:>3}  loss {record.loss:.4f}  accuracy {record.accuracy:.2%}"
    if record.validation_accuracy is None:
        return line
    return f"{line}  validation {record.validation_accuracy:.2%} ({_errors(record.validation_errors or 0)})"


def _errors(count: int) -> str:
    return "1 error" if count == 1 else f"{count:,} errors"


def _epochs(count: int) -> str:
    return "1 epoch" if count == 1 else f"{count:,} epochs"


def _accuracy(values: dict[str, Any] | None) -> str:
    """Return an accuracy in words: with its interval, and errors out of how many."""
    if values is None:
        return "none: the recipe holds no images out"
    low, high = values["accuracy_interval_95"]
    return (
        f"{values['accuracy']:.2%}  (95 % interval {low:.2%} to {high:.2%}; "
        f"{_errors(values['errors'])} in {values['images']:,} images)"
    )
