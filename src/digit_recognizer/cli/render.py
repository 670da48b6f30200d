"""Shows events: a live bar on a terminal, plain lines elsewhere, JSON lines on request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event as Flag
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from digit_recognizer.cli.events import (
    EpochDone,
    Event,
    Finished,
    FoldDone,
    Show,
    Started,
    Step,
    Stopped,
    epoch_line,
)
from digit_recognizer.cli.terminal import make_console, print_json, stop_on_signal
from digit_recognizer.formatting import loss_in_words, percent

BAR_COLUMNS = 10  # so that the line fits into 80


@contextmanager
def showing(*, as_json: bool) -> Iterator[tuple[Show, Flag]]:
    """Give a function that shows events, and a flag that Ctrl+C or SIGTERM sets."""
    with stop_on_signal() as stop:
        renderer = make_renderer(as_json=as_json, stop=stop)
        try:
            yield renderer.show, stop
        finally:
            renderer.close()


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

    def _print(self, text: RenderableType) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Leave the terminal as it was."""


class LiveRenderer(PlainRenderer):
    """Prints lines of text, and below the epochs a bar for the whole training."""

    def __init__(self, console: Console, stop: Flag) -> None:
        super().__init__(console)
        self._stop = stop
        self._validation = "–"
        self._bar = Progress(
            TextColumn("{task.fields[epoch]}"),
            BarColumn(bar_width=BAR_COLUMNS),
            TextColumn("{task.percentage:>2.0f}%  {task.fields[rate]:,.0f} images/s "),
            TimeRemainingColumn(compact=True),
            TextColumn("left  loss {task.fields[loss]}  validation {task.fields[validation]}"),
            console=console,
            transient=True,
        )

    def show(self, event: Event) -> None:
        """Print an event, or move the bar."""
        match event:
            case Step():
                self._move_bar(event)
            case EpochDone(record, recipe):
                self._print(f"{epoch_line(record, recipe.members)}  {record.seconds:.1f} s")
                if record.validation_accuracy is not None:
                    self._validation = percent(record.validation_accuracy)
            case Started():
                self._print(event)
                self._bar.start()
            case Finished() | FoldDone() | Stopped():
                self._bar.stop()
                self._print(event)
            case _:
                self._print(event)

    def _move_bar(self, step: Step) -> None:
        progress = step.progress
        state: dict[str, Any] = {
            "completed": (progress.epoch - 1) * progress.total + progress.images,
            "total": progress.epochs * progress.total,
            "epoch": f"{progress.epoch}/{progress.epochs}",
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
