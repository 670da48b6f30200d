"""What commands that train have in common: a stop on a signal, and commands to type next."""

from __future__ import annotations

import shlex
import shutil
import signal
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from digit_recognizer.digits import Digits
from digit_recognizer.runs import run_folder
from digit_recognizer.sources import find_source

if TYPE_CHECKING:
    from digit_recognizer.cli.progress import Reporter
    from digit_recognizer.runs.history import EpochRecord

HELD = 1.0  # seconds that a key may be held down without meaning it twice


@contextmanager
def session(*, as_json: bool) -> Iterator[tuple[Reporter, Event]]:
    """Give what shows a training, and an event that the first Ctrl-C or SIGTERM sets.

    A second signal ends the program as ever; but not within a second, for which a key may be held.
    """
    from digit_recognizer.cli.progress import make_reporter

    stop = Event()
    asked_at = 0.0
    before: dict[int, Any] = {}  # what a signal did

    def handle(number: int, _frame: object) -> None:
        nonlocal asked_at
        if not stop.is_set():
            asked_at = time.monotonic()
            stop.set()
        elif time.monotonic() - asked_at > HELD:
            signal.signal(number, before[number])
            signal.raise_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number.value] = signal.signal(number, handle)
    reporter = make_reporter(as_json=as_json, stop=stop)
    try:
        yield reporter, stop
    finally:
        reporter.close()
        for value, handler in before.items():
            signal.signal(value, handler)


def command_line(action: str, *words: str) -> str:
    """Return a command line to type, with the program as the user has it."""
    program = ["digits"] if shutil.which("digits") else [sys.argv[0]]
    if Path(program[0]).name == "__main__.py":
        program = [sys.executable, "-m", "digit_recognizer"]
    return shlex.join([*program, action, *words])


def as_argument(folder: Path) -> str:
    """Return a folder's name so that it is not taken for an option."""
    return f"./{folder}" if str(folder).startswith("-") else str(folder)


def choose_source(source: str | None, reporter: Reporter) -> str:
    """Return the source named, else the one that is found, and then say which."""
    found = find_source(source)
    if source is None:
        reporter.reading(found)
    return found


def show_beginning(folder: Path, digits: Digits, reporter: Reporter) -> None:
    """Show what a run is going to be trained on: all of its digits but a fold's."""
    from digit_recognizer.recipes import load_recipe

    fold = run_folder.read_fold_rows(folder)
    images = len(digits) - (0 if fold is None else len(fold))
    reporter.begin(folder, load_recipe(folder / run_folder.RECIPE), images)


def show_epochs(records: Generator[EpochRecord], reporter: Reporter, stop: Event) -> None:
    """Show a training until it ends or is stopped."""
    try:
        for record in records:
            reporter.epoch(record)
    except BaseException:
        stop.set()  # whoever cannot be shown more wants no end made of it either
        records.close()
        raise
    reporter.close()


def lasting(source: str) -> str:
    """Return a source's name so that it is found from another folder too."""
    return str(Path(source).resolve()) if Path(source).exists() else source
