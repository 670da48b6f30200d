"""Render figures as SVG and PNG, in this process and a helper process: matplotlib uses one core only."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Self

import matplotlib as mpl
from matplotlib.figure import Figure

from digit_recognizer.machine import usable_processors
from digit_recognizer.report.figures import as_png, as_svg

# Not multiprocessing, which would run a user's script, possibly without a main guard, again in the helper.
# -P keeps files of the current folder from shadowing modules.
HELPER = ("-P", "-c", "from digit_recognizer.report.rendering import run_helper; run_helper()")

Draw = Callable[[], Figure]
OnFigure = Callable[[int, int], None]  # takes how many figures are rendered, and how many there are


@dataclass(frozen=True, slots=True)
class Rendered:
    """A figure as the contents of its files."""

    svg: str
    png: bytes
    width: float  # inches
    height: float  # inches


def render(draw: Draw) -> Rendered:
    """Draw a figure and render it."""
    figure = draw()
    width, height = figure.get_size_inches()
    return Rendered(as_svg(figure), as_png(figure), float(width), float(height))


class Renderer:
    """Renders figures in a helper process as soon as they are added, and in this process during `finish`.

    This process renders all figures if there is only one processor, or if the helper fails.
    `processors` is the number to use; by default, all that are available to this process.
    """

    def __init__(self, processors: int | None = None) -> None:
        self._waiting: SimpleQueue[tuple[int, Draw] | None] = SimpleQueue()
        self._rendered: dict[int, Rendered] = {}
        self._added = 0
        self._on_figure: OnFigure | None = None
        self._helper: subprocess.Popen[bytes] | None = None
        if sys.executable and (processors or usable_processors()) > 1:
            pipe = subprocess.PIPE
            with suppress(OSError):
                self._helper = subprocess.Popen(  # noqa: S603 - Python itself
                    [sys.executable, *HELPER], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL
                )
        self._thread = Thread(target=self._feed_helper, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waiting.put(None)
        if self._helper is not None:
            self._helper.kill()
        self._thread.join()
        if self._helper is not None:
            with suppress(OSError), self._helper:  # closes the pipes, one of which may be broken
                pass

    def add(self, draw: Draw) -> None:
        """Add a figure. `draw` must be picklable, such as a `functools.partial` of a module's function."""
        self._waiting.put((self._added, draw))
        self._added += 1

    def finish(self, on_figure: OnFigure | None = None) -> list[Rendered]:
        """Return all figures in the order in which they were added; `on_figure` is called after each."""
        self._on_figure = on_figure
        self._render_waiting()
        self._waiting.put(None)
        self._thread.join()
        self._render_waiting()  # what a failed helper has left
        return [self._rendered[number] for number in range(self._added)]

    def _render_waiting(self) -> None:
        with suppress(Empty):
            while True:
                task = self._waiting.get_nowait()
                if task is not None:
                    self._rendered[task[0]] = render(task[1])
                    if self._on_figure is not None:
                        self._on_figure(len(self._rendered), self._added)

    def _feed_helper(self) -> None:
        """Send the helper one figure after the other; put a figure back if the helper fails."""
        if self._helper is None:
            return
        assert self._helper.stdin is not None
        assert self._helper.stdout is not None
        settings: object = {key: mpl.rcParams[key] for key in mpl.rcParams if key != "backend"}
        while (task := self._waiting.get()) is not None:
            number, draw = task
            try:
                pickle.dump((settings, draw), self._helper.stdin)
                self._helper.stdin.flush()
                self._rendered[number] = pickle.load(self._helper.stdout)  # noqa: S301 - from our own process
            except Exception:  # any failure of the helper: this process renders the rest
                self._waiting.put(task)
                return


def run_helper() -> None:
    """Render figures from standard input, with the parent's matplotlib settings, until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches both processes; the parent ends this one
    with suppress(EOFError, BrokenPipeError):
        while True:
            settings, draw = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the parent process
            with mpl.rc_context(settings):
                rendered = render(draw)
            pickle.dump(rendered, sys.stdout.buffer)
            sys.stdout.buffer.flush()
