"""Progress of slow work, shown by a notebook, by the command line, or by nobody.

Slow functions say what they do and which fraction is done; whoever called `displayed_by` shows that. By
default a notebook shows a bar with the time left, and a script shows nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from datetime import timedelta
from functools import partial
from html import escape
from threading import current_thread, main_thread
from typing import Any, Protocol, TypeVar

SLOW_SECONDS = 2.0  # what takes longer shows a bar
FIRST_LOOK_SECONDS = 0.5  # after which that is estimated
UPDATE_SECONDS = 0.2  # between two updates in a notebook

Item = TypeVar("Item")
OnProgress = Callable[[float], None]  # takes the fraction that is done, 0 to 1


class ShowProgress(Protocol):
    """A function that moves a bar."""

    def __call__(self, fraction: float, doing: str = "", /) -> None:
        """Show what fraction is done, 0 to 1, and what is being done."""


Display = Callable[
    [str], AbstractContextManager[ShowProgress | None]
]  # takes what is done, such as "Reading"

_display: ContextVar[Display | None] = ContextVar("_display", default=None)


@contextmanager
def displayed_by(display: Display) -> Iterator[None]:
    """Let `display` show the slow work of this thread meanwhile."""
    token = _display.set(display)
    try:
        yield
    finally:
        _display.reset(token)


@contextmanager
def following(
    what: str, on_progress: OnProgress | None = None, details: Callable[[], str] | None = None
) -> Iterator[ShowProgress | OnProgress | None]:
    """Give the function to call with the fraction done: the caller's, or one that shows it, or None.

    `details` returns the HTML that a notebook shows below the bar.
    """
    display = _display.get() or (partial(notebook_bar, details=details) if is_notebook() else None)
    if on_progress is not None or display is None:
        yield on_progress
    else:
        with display(what) as show:
            yield show


def counted(items: Iterable[Item], total: int, on_progress: OnProgress | None) -> Iterator[Item]:
    """Yield items, and call `on_progress` after each with the fraction of `total`."""
    for done, item in enumerate(items, start=1):
        yield item
        if on_progress is not None:
            on_progress(done / total)


def within(on_progress: OnProgress | None, start: float, end: float) -> OnProgress | None:
    """Return what to call with the fraction of a part of the work, which is from `start` to `end` of it."""
    if on_progress is None:
        return None
    return lambda fraction: on_progress(start + (end - start) * fraction)


class Clock:
    """Measures work, and estimates how long it is going to take."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._first: tuple[float, float] | None = None  # seconds and fraction: a resumed run starts above 0

    @property
    def seconds(self) -> float:
        """The time since the start."""
        return time.monotonic() - self._started

    def is_slow(self, fraction: float) -> bool:
        """Return whether the whole is going to take more than `SLOW_SECONDS`."""
        return self.seconds > max(FIRST_LOOK_SECONDS, SLOW_SECONDS * fraction)

    def left(self, fraction: float) -> str:
        """Return the time left, as ``0:01:05 left``."""
        self._first = self._first or (self.seconds, fraction)
        seconds, done = self.seconds - self._first[0], fraction - self._first[1]
        return f"{timedelta(seconds=round(seconds * (1 - fraction) / done))} left" if done > 0 else "…"


def is_notebook() -> bool:
    """Return whether this is the main thread of a notebook: of Jupyter, VS Code, Colab or Kaggle."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None and current_thread() is main_thread()


@contextmanager
def notebook_bar(what: str, details: Callable[[], str] | None = None) -> Iterator[ShowProgress]:
    """Give a function that shows a bar and `details` below the cell, if the whole is going to take long."""
    from IPython.display import display  # only where a notebook is

    clock, handle, updated = Clock(), None, 0.0

    def show(fraction: float, doing: str = "", /) -> None:
        nonlocal handle, updated
        text = f"{what}: {doing}, " if doing else f"{what}: "
        text = f"{text}{fraction:.0%}, {clock.left(fraction)}"
        if handle is None and clock.is_slow(fraction):
            handle = display(_in_html(text, fraction, details), raw=True, display_id=True)
        elif handle is not None and clock.seconds - updated > UPDATE_SECONDS:
            handle.update(_in_html(text, fraction, details), raw=True)
            updated = clock.seconds

    yield show
    if handle is not None:
        done = str(timedelta(seconds=round(clock.seconds)))
        handle.update(_in_html(f"{what}: done in {done}", 1.0, details), raw=True)


def _in_html(text: str, fraction: float, details: Callable[[], str] | None) -> dict[str, Any]:
    bar = f'<progress value="{fraction:.3f}"></progress> {escape(text)}'
    return {"text/plain": text, "text/html": bar + ("" if details is None else details())}
