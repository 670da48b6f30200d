"""What shows a training as it goes: a live bar on a terminal, plain lines elsewhere, JSON if asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from digit_recognizer.cli.phrases import (
    accuracy_in_words,
    corrected_in_words,
    corrections_in_words,
    epochs_in_words,
    errors_in_words,
    make_console,
    minutes_in_words,
    print_json,
    trials_in_words,
)
from digit_recognizer.recipes.recipe import Recipe
from digit_recognizer.runs.history import EpochRecord, Progress

if TYPE_CHECKING:
    from digit_recognizer.search.search import Trial
    from digit_recognizer.search.space import Range, Value

BAR_WIDTH = 10  # columns: the line is to fit 80


class Reporter(Protocol):
    """What shows a training while it goes on."""

    def reading(self, source: str) -> None:
        """Say which source is being read, where the user named none."""

    def begin(self, folder: Path, recipe: Recipe, images: int) -> None:
        """Say what is going to be trained, on what, and where it is written."""

    def correcting(self, corrections: dict[str, Any]) -> None:
        """Say which corrections it learns from, and from which run it starts."""

    def step(self, progress: Progress) -> None:
        """Show where an epoch is."""

    def epoch(self, record: EpochRecord) -> None:
        """Show an epoch that is done."""

    def stopped(self, folder: Path, command: str) -> None:
        """Say how to go on with a training that was interrupted."""

    def finished(self, folder: Path, metrics: dict[str, Any], command: str) -> None:
        """Show what a training reached, and what to type next."""

    def fold(self, number: int, metrics: dict[str, Any]) -> None:
        """Show what the run of one fold reached."""

    def cross_validated(self, folder: Path, plan: dict[str, Any]) -> None:
        """Show what all folds together came to."""

    def searching(self, folder: Path, trials: int, ranges: Sequence[Range]) -> None:
        """Say what is searched, and where the study is."""

    def trial(self, trial: Trial) -> None:
        """Show what a trial came to."""

    def search_stopped(self, folder: Path, command: str) -> None:
        """Say how to go on with a search that was interrupted."""

    def searched(self, best: Path | None, command: str) -> None:
        """Say where the best settings are, and what to type next."""

    def close(self) -> None:
        """Leave the terminal as it was."""


def make_reporter(*, as_json: bool, stop: Event) -> Reporter:
    """Return what fits: JSON if asked for, a live bar on a terminal, plain lines elsewhere."""
    if as_json:
        return _JsonReporter()
    console = make_console()
    return _LiveReporter(console, stop) if console.is_terminal else _PlainReporter(console)


class _JsonReporter:
    """One JSON object a line."""

    def reading(self, source: str) -> None:
        print_json({"event": "reading", "source": source})

    def begin(self, folder: Path, recipe: Recipe, images: int) -> None:
        print_json({"event": "begin", "run": str(folder), "recipe": recipe.name, "images": images})

    def correcting(self, corrections: dict[str, Any]) -> None:
        print_json({"event": "corrections", **corrections})

    def step(self, progress: Progress) -> None:
        pass

    def epoch(self, record: EpochRecord) -> None:
        print_json({"event": "epoch", **asdict(record)})

    def stopped(self, folder: Path, command: str) -> None:
        print_json({"event": "stopped", "run": str(folder), "resume": command})

    def finished(self, folder: Path, metrics: dict[str, Any], command: str) -> None:
        print_json({"event": "finished", "run": str(folder), **metrics, "next": command})

    def fold(self, number: int, metrics: dict[str, Any]) -> None:
        print_json({"event": "fold", "fold": number, "seconds": metrics["seconds"], **metrics["fold"]})

    def cross_validated(self, folder: Path, plan: dict[str, Any]) -> None:
        print_json({"event": "cross-validated", "folder": str(folder), **plan})

    def searching(self, folder: Path, trials: int, ranges: Sequence[Range]) -> None:
        searched = [asdict(each) for each in ranges]
        print_json({"event": "searching", "study": str(folder), "trials": trials, "ranges": searched})

    def trial(self, trial: Trial) -> None:
        print_json({"event": "trial", **asdict(trial)})

    def search_stopped(self, folder: Path, command: str) -> None:
        print_json({"event": "stopped", "study": str(folder), "resume": command})

    def searched(self, best: Path | None, command: str) -> None:
        print_json({"event": "searched", "best": best and str(best), "next": command})

    def close(self) -> None:
        pass


class _PlainReporter:
    """A line an epoch."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._epochs = 0  # at most, in this training, of each member
        self._members = 1
        self._shifts = False

    def reading(self, source: str) -> None:
        self._print(f"No source named: reading {source}.")

    def begin(self, folder: Path, recipe: Recipe, images: int) -> None:
        self._epochs = recipe.epochs
        self._members = recipe.members
        self._shifts = recipe.shifts is not None
        members = f"{recipe.members} members, each " if recipe.members > 1 else ""
        self._print(
            f"Training {recipe.name} on {images:,} images, {members}at most "
            f"{epochs_in_words(recipe.epochs)}, in {folder}."
        )

    def correcting(self, corrections: dict[str, Any]) -> None:
        start = f", starting from {corrections['from']['run']}" if "from" in corrections else ""
        count = corrections_in_words(corrections["digits"] + corrections["others"])
        self._print(f"Learning from {count} in {corrections['file']}{start}.")
        left_out = corrections["left_out"]
        if left_out["no_digit"]:
            self._print(
                f"Left out: {corrections_in_words(left_out['no_digit'])} of no digit, for this recipe has no "
                "class for these; one with [outliers] has."
            )
        if left_out["held_out"]:
            count = corrections_in_words(left_out["held_out"])
            self._print(f"Left out: {count} of images that the run is judged by.")

    def step(self, progress: Progress) -> None:
        pass

    def epoch(self, record: EpochRecord) -> None:
        epochs = self._epochs * (self._members - record.member + 1) - record.epoch
        left = timedelta(seconds=round(epochs * record.seconds))
        self._print(f"{self._line(record)}  {record.images_per_second:,.0f} images/s  {left} left")

    def _line(self, record: EpochRecord) -> str:
        member = f"member {record.member:>2}  " if self._members > 1 else ""
        return member + _epoch_line(record)

    def stopped(self, folder: Path, command: str) -> None:
        self._print(f"Stopped; the checkpoint is in {folder}. Go on with:\n  {command}")

    def finished(self, folder: Path, metrics: dict[str, Any], command: str) -> None:
        self._print("")
        self._row(
            "Run",
            f"{folder}  ({epochs_in_words(metrics['epochs'])} in {minutes_in_words(metrics['seconds'])})",
        )
        validation = metrics["validation"]
        how = self._how_it_answers() if validation else ""
        self._row("Validation", accuracy_in_words(validation) + how, "bold green")
        for name, value in corrected_in_words(metrics.get("corrections")):
            self._row(name, value)
        self._row("Next", command, "cyan")

    def _how_it_answers(self) -> str:
        """Say what sets the model apart from the network alone, of which each epoch's line is."""
        members = ", all members together" if self._members > 1 else ""
        return members + (", with shifted images" if self._shifts else "")

    def fold(self, number: int, metrics: dict[str, Any]) -> None:
        self._row(f"Fold {number}", accuracy_in_words(metrics["fold"]), "bold green")

    def cross_validated(self, folder: Path, plan: dict[str, Any]) -> None:
        accuracies = [result["accuracy"] for result in plan["results"]]
        self._print("")
        self._row("Folds", f"{folder}  ({len(accuracies)} runs in {minutes_in_words(plan['seconds'])})")
        self._row("All images", accuracy_in_words(plan), "bold green")
        self._row(
            "Spread",
            f"{min(accuracies):.2%} to {max(accuracies):.2%} between the folds, standard deviation "
            f"{100 * plan['standard_deviation']:.2f} points",
        )

    def searching(self, folder: Path, trials: int, ranges: Sequence[Range]) -> None:
        self._print(f"Searching in {folder}, {trials_in_words(trials)} in all:")
        for each in ranges:
            self._print(f"  {each.key:<28}{_number(each.low)} to {_number(each.high)}")

    def trial(self, trial: Trial) -> None:
        result = "given up" if trial.errors is None else errors_in_words(trial.errors)
        result = f"{result:>12} after {epochs_in_words(trial.epochs)}"
        settings = "  ".join(f"{key}={_number(value, 4)}" for key, value in trial.settings.items())
        best = "  (best so far)" if trial.is_best else ""
        self._print(f"trial {trial.number:>3}  {result}{best}  {settings}")

    def search_stopped(self, folder: Path, command: str) -> None:
        self._print(f"Stopped; the study is in {folder}. Go on with:\n  {command}")

    def searched(self, best: Path | None, command: str) -> None:
        if best is None:
            self._print("No trial came to an end.")
            return
        self._row("Best", str(best))
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

    def begin(self, folder: Path, recipe: Recipe, images: int) -> None:
        super().begin(folder, recipe, images)
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
        self._print(f"{self._line(record)}  {record.seconds:.1f} s")
        if record.validation_accuracy is not None:
            self._validation = f"{record.validation_accuracy:.2%}"

    def close(self) -> None:
        self._bar.stop()


def _number(value: Value, digits: int = 6) -> str:
    """Return a setting: ``1,000,000`` in full, ``0.001`` with as many digits at most."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}g}"


def _epoch_line(record: EpochRecord) -> str:
    line = f"epoch {record.epoch:>3}  loss {record.loss:.4f}  accuracy {record.accuracy:.2%}"
    if record.validation_accuracy is None:
        return line
    errors = errors_in_words(record.validation_errors or 0)
    return f"{line}  validation {record.validation_accuracy:.2%} ({errors})"
