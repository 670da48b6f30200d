"""What `digits read` does: reads one picture after the other, and shows, draws or writes what is in each."""

from __future__ import annotations

import csv
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import typer
from numpy.typing import NDArray

from digit_recognizer.cli import USER_ERROR, printable
from digit_recognizer.cli.phrases import print_json
from digit_recognizer.cli.pictures import Entry, Page, find_pages
from digit_recognizer.errors import DigitsError
from digit_recognizer.files import replacing
from digit_recognizer.imaging import decode
from digit_recognizer.reading import Number, Reading, SingleDigit
from digit_recognizer.recognition import Recognizer

COLUMNS = ("picture", "page", "line", "text", "confidence", "x", "y", "width", "height")
DRAWN_AS = {".jpeg": "JPEG", ".jpg": "JPEG", ".png": "PNG"}  # by the name's end


def read_pictures(
    names: Sequence[Path],
    model: Path | None,
    *,
    page: int | None,
    threshold: float | None,
    as_json: bool,
    show: Path | None,
    table: Path | None,
) -> None:
    """Read pictures, and end with status 2 where one could not be read.

    Parameters
    ----------
    names
        Files, and folders of files.
    model
        A run folder or a model; the one that comes with the package if None.
    page
        Of each PDF, read only this page, from 1.
    threshold
        Each picture shows a single digit, to be given from this confidence; None reads all numbers in each.
    as_json
        Print an object a page instead of a line.
    show
        Where to draw the one picture with what was read in it.
    table
        Where to write a CSV of all numbers.
    """
    pages = find_pages(names, page)
    _check_targets(pages, show, table)
    recognizer = Recognizer(model)
    alone = len(pages) == 1 and pages[0].path in names
    silent = table is not None and table.exists() and not table.is_file()  # a pipe takes the rows alone
    failed = False
    with _table(table) as add_rows, _progress(len(pages), as_json=as_json) as advance:
        for each in pages:
            entry = _read(each, recognizer, threshold, show)
            failed |= entry.error is not None
            add_rows(entry)
            if not silent or entry.error is not None:
                _print(entry, as_json=as_json, alone=alone)
            advance()
    if failed:
        raise typer.Exit(USER_ERROR)


def _check_targets(pages: Sequence[Page], show: Path | None, table: Path | None) -> None:
    """Raise `DigitsError` for files that cannot be what they are to be."""
    read = {page.path.resolve() for page in pages}
    for target in (show, table):
        if target is not None and target.resolve() in read:
            raise DigitsError(f"{target} is to be read: name another file to write")
    if show is not None and table is not None and show.resolve() == table.resolve():
        raise DigitsError(f"--show and --csv would both write {show}: name two files")
    if show is None:
        return
    if len(pages) != 1:
        hint = "choose one by --page" if len({page.path for page in pages}) == 1 else "name one"
        raise DigitsError(f"--show draws over one picture, and these are {len(pages)}: {hint}")
    if show.suffix.lower() not in DRAWN_AS:
        raise DigitsError(f"cannot write {show}: name a file that ends in {', '.join(DRAWN_AS)}")


@contextmanager
def _progress(total: int, *, as_json: bool) -> Iterator[Callable[[], None]]:
    """Give what moves a bar on by one; it is seen on a terminal only, and goes away."""
    if total == 1 or not sys.stderr.isatty() or (as_json and sys.stdout.isatty()):
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("Reading", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    shared = sys.stdout.isatty()  # the lines go above the bar; else they are none of its business
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=shared) as progress:
        task = progress.add_task("", total=total)
        yield lambda: progress.advance(task)


def _read(page: Page, recognizer: Recognizer, threshold: float | None, show: Path | None) -> Entry:
    if page.problem is not None:
        return Entry(page, None, page.problem)
    try:
        with warnings.catch_warnings(action="ignore"):  # Pillow's, of what it puts up with
            grey = decode(page.path, page=page.number or 1)
        found = recognizer.read(grey) if threshold is None else recognizer.read_single(grey, threshold)
    except DigitsError as error:
        return Entry(page, None, str(error))
    if show is not None and isinstance(found, Reading):
        _draw(grey, found, show)
    return Entry(page, found)


def _draw(page: NDArray[np.uint8], reading: Reading, target: Path) -> None:
    from digit_recognizer.recognition.overlay import draw_reading

    image = draw_reading(page, reading)
    with replacing(target) as partial:
        image.save(partial, format=DRAWN_AS[target.suffix.lower()])


def _print(entry: Entry, *, as_json: bool, alone: bool) -> None:
    if as_json:
        print_json(_as_dict(entry))
    elif entry.found is None:
        print(f"digits: {printable(entry.error or '')}", file=sys.stderr)
    elif alone:
        print(_text(entry.found))
    else:
        print(f"{printable(entry.page.name)}: {' / '.join(_text(entry.found).splitlines())}", flush=True)


def _as_dict(entry: Entry) -> dict[str, object]:
    page = {} if entry.page.number is None else {"page": entry.page.number}
    if entry.found is None:
        found: dict[str, object] = {"error": entry.error}
    else:
        found = entry.found.as_dict() if isinstance(entry.found, Reading) else asdict(entry.found)
    return {"picture": str(entry.page.path), **page, **found}


def _text(found: Reading | SingleDigit) -> str:
    if isinstance(found, Reading):
        return found.text or "no digits"
    return "not sure" if found.digit is None else str(found.digit)


@contextmanager
def _table(target: Path | None) -> Iterator[Callable[[Entry], None]]:
    """Give what adds an entry's rows to a CSV, which is there when all are in it."""
    if target is None:
        yield lambda _entry: None
        return
    with (
        replacing(target) as partial,
        partial.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        yield lambda entry: writer.writerows(_rows(entry))


def _rows(entry: Entry) -> Iterator[tuple[object, ...]]:
    """Give a row for each number, or one for a single digit."""
    picture = (entry.page.path, entry.page.number)
    if isinstance(entry.found, SingleDigit):
        yield *picture, 1, entry.found.digit, f"{entry.found.confidence:.4f}", None, None, None, None
    if isinstance(entry.found, Reading):
        for row, line in enumerate(entry.found.lines, start=1):
            for number in line.numbers:
                yield *picture, row, number.text, *_place(number)


def _place(number: Number) -> tuple[object, ...]:
    """Return a number's confidence, and the box around it."""
    boxes = [digit.box for digit in number.digits]
    left, top = min(box.x for box in boxes), min(box.y for box in boxes)
    right, bottom = max(box.x + box.width for box in boxes), max(box.y + box.height for box in boxes)
    confidence = float(np.prod([digit.confidence for digit in number.digits]))
    return f"{confidence:.4f}", left, top, right - left, bottom - top
