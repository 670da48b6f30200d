"""`digits read`: the numbers in pictures, as text, JSON, a CSV table or a drawing."""

from __future__ import annotations

import csv
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import chain
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digit_recognizer.cli.options import ModelOption, output_option, refuse
from digit_recognizer.cli.terminal import USER_ERROR, print_json, printable
from digit_recognizer.errors import DigitsError
from digit_recognizer.files import check_can_write, replacing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from digit_recognizer.reading import Number, Reading, SingleDigit
    from digit_recognizer.recognition import Recognizer

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pdf", ".png", ".tif", ".tiff", ".webp")  # read in folders
DRAWING_FORMATS = {".jpeg": "JPEG", ".jpg": "JPEG", ".png": "PNG"}
COLUMNS = ("picture", "page", "line", "text", "confidence", "x", "y", "width", "height")


@dataclass(frozen=True, slots=True)
class Page:
    """A picture, or page `number` of a PDF, from 1; `problem`, if known, is why it cannot be read."""

    path: Path
    number: int | None = None
    problem: str | None = None

    @property
    def name(self) -> str:
        """What the output calls it."""
        return str(self.path) if self.number is None else f"{self.path}, page {self.number}"


@dataclass(frozen=True, slots=True)
class Entry:
    """A page, and what was read on it or why nothing could be read."""

    page: Page
    found: Reading | SingleDigit | None
    error: str | None = None


def read(
    pictures: Annotated[
        list[str],
        typer.Argument(
            metavar="PICTURE",
            help="Photos, scans or drawings (PNG, JPEG, WebP, BMP, GIF, TIFF, PDF), or folders of them.",
            show_default=False,
        ),
    ],
    model: ModelOption = None,
    single: Annotated[
        bool, typer.Option("--single", help="Each picture shows exactly one digit or none.")
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help=r"With --single: print 'not sure' below this confidence.  \[default: 0.5]",
        ),
    ] = None,
    page: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Read only this page of each PDF, from 1.")
    ] = None,
    json: Annotated[bool, output_option("--json", help="Print a JSON object for each picture.")] = False,
    show: Annotated[
        Path | None,
        output_option(
            metavar="FILE", help="Write the picture as .png or .jpg, with boxes and digits drawn over it."
        ),
    ] = None,
    table: Annotated[
        Path | None,
        output_option("--csv", metavar="FILE", help="Write the numbers and their places as a CSV table."),
    ] = None,
) -> None:
    """Read the numbers in pictures, line by line.

    A picture that cannot be read does not stop the others; the exit status is 2 then.
    """
    from digit_recognizer.recognition import THRESHOLD, Recognizer

    refuse(
        (
            threshold is not None and not single,
            "--threshold requires --single; else use --json for confidences",
        ),
        ("" in pictures, "a picture has an empty name; expected files, or folders of them"),
        (show and single, "--show draws all numbers in a picture; remove --single"),
    )
    names = [Path(each) for each in pictures]
    pages = _find_pages(names, page)
    _check_targets(pages, show, table)
    for target in (show, table):
        if target is not None:
            check_can_write(target)
    recognizer = Recognizer(model)
    if single and threshold is None:
        threshold = THRESHOLD
    is_only_picture = len(pages) == 1 and pages[0].path in names
    table_is_pipe = table is not None and table.exists() and not table.is_file()  # in a pipe, only the rows
    failed = False
    with _open_table(table) as add_rows, _bar(len(pages), as_json=json) as advance:
        for each in pages:
            entry = _read_page(each, recognizer, threshold, show)
            failed |= entry.error is not None
            add_rows(entry)
            if not table_is_pipe or entry.error is not None:
                _print_entry(entry, as_json=json, is_only_picture=is_only_picture)
            advance()
    if failed:
        raise typer.Exit(USER_ERROR)


def _find_pages(names: Sequence[Path], number: int | None) -> list[Page]:
    """Return the pages of all files and folders, each once; of PDFs only page `number`, if there is one."""
    found = list(dict.fromkeys(page for name in names for page in _pages_of(name)))
    chosen = [page for page in found if number is None or (page.number or 1) == number]
    if not chosen:
        last = max(page.number or 1 for page in found)
        raise DigitsError(f"there is no page {number}; expected 1 to {last}")
    return chosen


def _pages_of(name: Path) -> Iterable[Page]:
    """Return the pages of a file, or of the pictures in a folder."""
    try:
        if not name.is_dir():
            return _pages_of_file(name)
        found = sorted(
            path
            for path in name.iterdir()
            if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
        )
    except OSError as error:
        return [Page(name, problem=f"cannot read {name}: {error.strerror or error}")]
    if not found:
        expected = f"expected files that end in {', '.join(SUFFIXES)}"
        return [Page(name, problem=f"{name} has no pictures; {expected}")]
    return chain.from_iterable(map(_pages_of_file, found))


def _pages_of_file(path: Path) -> list[Page]:
    from digit_recognizer.imaging import count_pages

    try:
        count = count_pages(path)
    except DigitsError:  # reading it gives the error again
        count = None
    return [Page(path)] if count is None else [Page(path, number + 1) for number in range(count)]


def _check_targets(pages: Sequence[Page], show: Path | None, table: Path | None) -> None:
    """Raise `DigitsError` if the drawing or the table cannot be written as asked."""
    read = {page.path.resolve() for page in pages}
    for target in (show, table):
        if target is not None and target.resolve() in read:
            raise DigitsError(f"{target} is one of the pictures to read; name another file to write")
    if show is None:
        return
    hint = "choose one with --page" if len({page.path for page in pages}) == 1 else "name one picture"
    refuse(
        (
            table is not None and show.resolve() == table.resolve(),
            f"--show and --csv would both write {show}; name two files",
        ),
        (len(pages) != 1, f"--show draws over one page, but there are {len(pages)}; {hint}"),
        (
            show.suffix.lower() not in DRAWING_FORMATS,
            f"cannot write {show}; name a file that ends in {', '.join(DRAWING_FORMATS)}",
        ),
    )


@contextmanager
def _bar(total: int, *, as_json: bool) -> Iterator[Callable[[], None]]:
    """Give a function that moves a progress bar, which a terminal shows meanwhile."""
    if total == 1 or not sys.stderr.isatty() or (as_json and sys.stdout.isatty()):
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
        yield lambda: progress.advance(task)


def _read_page(page: Page, recognizer: Recognizer, threshold: float | None, show: Path | None) -> Entry:
    """Read a page: a single digit if there is a threshold, otherwise all numbers, drawn if asked for."""
    from digit_recognizer.imaging import decode

    if page.problem is not None:
        return Entry(page, None, page.problem)
    number = page.number or 1
    try:
        with warnings.catch_warnings(action="ignore"):  # Pillow's, about small damage
            if threshold is not None:
                return Entry(page, recognizer.read_single(page.path, threshold, page=number))
            if show is None:
                return Entry(page, recognizer.read(page.path, page=number))
            picture = decode(page.path, page=number)
            reading = recognizer.read_page(picture)
    except DigitsError as error:
        return Entry(page, None, str(error))
    _draw(picture, reading, show)
    return Entry(page, reading)


def _draw(picture: NDArray[np.uint8], reading: Reading, target: Path) -> None:
    image = reading.draw(picture)
    with replacing(target) as partial:
        image.save(partial, format=DRAWING_FORMATS[target.suffix.lower()])


def _print_entry(entry: Entry, *, as_json: bool, is_only_picture: bool) -> None:
    if as_json:
        print_json(_as_json(entry))
    elif entry.found is None:
        print(f"digits: {printable(entry.error or '')}", file=sys.stderr)
    elif is_only_picture:
        print(_as_text(entry.found))
    else:
        text = " / ".join(_as_text(entry.found).splitlines())
        print(f"{printable(entry.page.name)}: {text}", flush=True)


def _as_json(entry: Entry) -> dict[str, object]:
    from digit_recognizer.reading import Reading

    page = {} if entry.page.number is None else {"page": entry.page.number}
    found: dict[str, object] = {"error": entry.error}
    if entry.found is not None:
        found = entry.found.as_dict() if isinstance(entry.found, Reading) else asdict(entry.found)
    return {"picture": str(entry.page.path), **page, **found}


def _as_text(found: Reading | SingleDigit) -> str:
    from digit_recognizer.reading import Reading

    if isinstance(found, Reading):
        return found.text or "no digits"
    return "not sure" if found.digit is None else str(found.digit)


@contextmanager
def _open_table(target: Path | None) -> Iterator[Callable[[Entry], None]]:
    """Give a function that adds the rows of an entry to a CSV file, which replaces `target` at the end."""
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
    from digit_recognizer.reading import Reading, SingleDigit

    picture = (entry.page.path, entry.page.number)
    if isinstance(entry.found, SingleDigit):
        yield *picture, 1, entry.found.digit, f"{entry.found.confidence:.4f}", None, None, None, None
    if isinstance(entry.found, Reading):
        for row, line in enumerate(entry.found.lines, start=1):
            for number in line.numbers:
                yield *picture, row, number.text, *_confidence_and_box(number)


def _confidence_and_box(number: Number) -> tuple[object, ...]:
    """Return the confidence that all digits are right, and x, y, width and height of the box around them."""
    boxes = [digit.box for digit in number.digits]
    left, top = min(box.x for box in boxes), min(box.y for box in boxes)
    right, bottom = max(box.x + box.width for box in boxes), max(box.y + box.height for box in boxes)
    confidence = prod(digit.confidence for digit in number.digits)
    return f"{confidence:.4f}", left, top, right - left, bottom - top
