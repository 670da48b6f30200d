"""What runs many pieces of work: the interface, and the engine that needs no other machine.

What uses an engine does not know which one it is. `ray_engine` is the other one.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from threading import Event
from typing import Any, Protocol, TypeVar

from digit_recognizer.errors import DigitsError

POLL_SECONDS = 0.2  # between two looks at whether to stop

Item = TypeVar("Item")
Result = TypeVar("Result")


class Engine(Protocol):
    """Runs functions that can be pickled, here or elsewhere."""

    @property
    def slots(self) -> int:
        """How many tasks run at the same time, at least 1."""

    def share(self, value: Any) -> Any:
        """Return what stands for a large value among the arguments of several tasks."""

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Start a task; if the machine that it runs on is lost, it runs again on another."""

    def map(self, start: Callable[[], Callable[[Item], Result]], items: Sequence[Item]) -> Iterator[Result]:
        """Yield the results for items, in their order, of a function that `start` returns in each worker.

        Raises
        ------
        DigitsError
            A worker cannot start, or the machines are lost.
        """


class InProcess:
    """Runs everything in this process, one after the other."""

    slots = 1

    def share(self, value: Any) -> Any:
        """Return the value."""
        return value

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Run a task to its end."""
        future: Future[Result] = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future

    def map(self, start: Callable[[], Callable[[Item], Result]], items: Sequence[Item]) -> Iterator[Result]:
        """Yield the results for items."""
        return map(start(), items)


def completed(futures: Iterable[Future[Result]], stop: Event | None = None) -> Iterator[Future[Result]]:
    """Yield tasks as they end, until all have ended or `stop` is set."""
    waiting = set(futures)
    while waiting:
        done, waiting = wait(waiting, POLL_SECONDS, FIRST_COMPLETED)
        if stop is not None and stop.is_set():
            return
        yield from done


def check_shared(folder: str | Path) -> None:
    """Raise `DigitsError`, in a worker, unless the machine that it runs on has a folder."""
    if not Path(folder).is_dir():
        raise DigitsError(
            f"the machine {platform.node()} has no folder {folder}; expected one that all machines of the "
            "cluster share, at the same place"
        )
