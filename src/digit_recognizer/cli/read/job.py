"""Read many pictures, here or on a cluster: print, write, count, and say at the end what was read."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digit_recognizer.cli.options import EngineName, open_engine
from digit_recognizer.cli.read.output import Entry, Printer
from digit_recognizer.cli.read.pages import Page
from digit_recognizer.cli.read.parts import Parts
from digit_recognizer.cli.read.reader import ReaderSettings, reading_with, start_worker
from digit_recognizer.cli.read.targets import Table, open_output
from digit_recognizer.engines import InProcess
from digit_recognizer.progress import displayed_by

if TYPE_CHECKING:
    from digit_recognizer.recognition import Recognizer


@dataclass(frozen=True, slots=True)
class Job:
    """What to read, how, where, and what to write.

    Attributes
    ----------
    files
        Names of files, or pages.
    described
        The options that decide what is read, for a folder of tables, which keeps them.
    prints_text
        Whether what was read is printed; what could not be read always is.
    """

    files: Sequence[Page | str]
    settings: ReaderSettings
    engine: EngineName
    table: Table | None
    described: dict[str, Any]
    as_json: bool
    as_grid: bool
    is_only_picture: bool
    prints_text: bool


@dataclass(slots=True)
class Outcome:
    """How a reading ended: whether pages could not be read, and whether all marks of one were rejected."""

    failed: bool = False
    nothing_read: bool = False
    pages: int = 0


def read_all(job: Job, recognizer: Recognizer) -> Outcome:
    """Read all files, and write and print what is in them."""
    outcome = Outcome()
    printer = Printer(as_json=job.as_json, as_grid=job.as_grid, is_only_picture=job.is_only_picture)
    started = time.monotonic()
    shape = {"as_grid": job.as_grid, "is_only_picture": job.is_only_picture}
    with open_output(job.table, job.described, **shape) as (write, parts):
        left = list(job.files) if parts is None else parts.left(job.files)
        try:
            with (
                open_engine(job.engine if left else EngineName.LOCAL) as cluster,
                _bar(len(left), as_json=job.as_json) as advance,
            ):
                start = partial(start_worker, job.settings)
                if cluster is None:
                    start = partial(reading_with, recognizer, job.settings)
                for entries in (cluster or InProcess()).map(start, left):
                    write(entries)
                    for each in entries:
                        _note(each, outcome, printer, prints_text=job.prints_text)
                    advance()
        except KeyboardInterrupt:
            if parts is not None:
                print("Stopped: the same command reads the rest.", file=sys.stderr)
            raise
    if parts is not None:
        outcome.failed = bool(parts.errors)
        outcome.pages = parts.pages + len(parts.errors)
        if not job.as_json:
            print(_summary(parts, time.monotonic() - started))
    return outcome


def _note(entry: Entry, outcome: Outcome, printer: Printer, *, prints_text: bool) -> None:
    """Count an entry, and print it if asked for."""
    outcome.pages += 1
    outcome.failed |= entry.error is not None
    outcome.nothing_read |= entry.lost_marks > 0
    if prints_text or entry.error is not None:
        printer.print(entry)
    printer.print_notes(entry)


def _summary(parts: Parts, seconds: float) -> str:
    """Return what a folder of tables holds now."""
    from digit_recognizer.formatting import count, seconds_in_words

    new = parts.pages - parts.earlier
    text = f"Read {count(new, 'page')} in {seconds_in_words(seconds)}"
    if parts.earlier:
        text += f", after {parts.earlier:,} that were read before"
    text += f": {count(parts.numbers, 'number')} in {parts.folder}."
    if parts.errors:
        text += f" {count(len(parts.errors), 'page')} could not be read: the same command tries again."
    return text


def checksum(recognizer: Recognizer) -> str:
    """Return the checksum of a model."""
    return hashlib.sha256(recognizer.path.read_bytes()).hexdigest()


def folders_of(files: Sequence[Page | str]) -> tuple[str, ...]:
    """Return the folders of this machine that files are in."""
    names = (each for each in files if isinstance(each, str) and "://" not in each)
    return tuple(sorted({str(Path(each).parent) for each in names}))


@contextmanager
def _bar(total: int, *, as_json: bool) -> Iterator[Callable[[], None]]:
    """Give a function that moves a progress bar, which a terminal shows meanwhile."""
    if total == 1:
        yield lambda: None  # the page's own bar appears if it takes long
        return
    if not sys.stderr.isatty() or (as_json and sys.stdout.isatty()):
        with displayed_by(lambda _what: nullcontext()):
            yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("Reading", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    redirect = sys.stdout.isatty()  # on the same terminal, text is printed above the bar
    with Progress(
        *columns, console=Console(stderr=True), transient=True, redirect_stdout=redirect
    ) as progress:
        task = progress.add_task("", total=total)
        with displayed_by(lambda _what: nullcontext()):
            yield lambda: progress.advance(task)
