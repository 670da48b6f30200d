"""`digits read`: the numbers in pictures, as text, JSON, a CSV table or a drawing."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digit_recognizer.cli.options import ModelOption, output_option, real, refuse, whole
from digit_recognizer.cli.read.output import (
    DRAWING_FORMATS,
    STANDARD_OUTPUT,
    Entry,
    Printer,
    is_standard_output,
    open_table,
    write_drawing,
)
from digit_recognizer.cli.read.pages import INPUT_NAME, Page, find_pages
from digit_recognizer.cli.terminal import USER_ERROR
from digit_recognizer.errors import DigitsError
from digit_recognizer.files import check_can_write
from digit_recognizer.progress import displayed_by

if TYPE_CHECKING:
    from digit_recognizer.reading import Allowed, ReadingOptions
    from digit_recognizer.recognition import Recognizer

NOTHING_READ = 1  # exit status with --strict

numbers_option = partial(typer.Option, rich_help_panel="What numbers may be")


class DecimalMark(StrEnum):
    """What separates the decimals of a number."""

    AUTO = "auto"
    POINT = "."
    COMMA = ","


def read(
    pictures: Annotated[
        list[str],
        typer.Argument(
            metavar="PICTURE",
            help="Photos, scans or drawings (PNG, JPEG, HEIC, TIFF, PDF, …), or folders of them; - is "
            "standard input.",
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
            parser=real(0, 1),
            metavar="X",
            help="Mark numbers below this confidence with '?'. "
            r"With --single: print 'not sure'  \[default: 0.6].",
        ),
    ] = None,
    pattern: Annotated[
        str | None,
        numbers_option(
            metavar="PATTERN",
            help="Read only numbers of this form: d is a digit; ?, * and {n,m} after it make it optional or "
            "repeat it; the rest stands for itself. Such as 'dd.dd' or '-?d*'.",
        ),
    ] = None,
    digits: Annotated[
        int | None, numbers_option(parser=whole(1, 100), metavar="N", help="Read only numbers of N digits.")
    ] = None,
    values: Annotated[
        Path | None,
        numbers_option(metavar="FILE", help="Read only the numbers in this file, one on each line."),
    ] = None,
    decimal_mark: Annotated[
        DecimalMark, numbers_option(help="What separates decimals; auto finds out.")
    ] = DecimalMark.AUTO,
    page: Annotated[
        int | None,
        typer.Option(parser=whole(1), metavar="N", help="Read only this page of each PDF or TIFF, from 1."),
    ] = None,
    json: Annotated[bool, output_option("--json", help="Print a JSON object for each picture.")] = False,
    show: Annotated[
        Path | None,
        output_option(
            metavar="FILE",
            help="Write the picture as .png or .jpg, with boxes and numbers drawn over it; - prints a PNG.",
        ),
    ] = None,
    table: Annotated[
        Path | None,
        output_option(
            "--csv",
            metavar="[FILE]",
            help="Write the numbers and their places as a CSV table. Without FILE, print a row for each "
            "row of the page.",
        ),
    ] = None,
    grid: Annotated[
        bool,
        output_option("--table", help="Print, and write with --csv, the numbers in their rows and columns."),
    ] = False,
    strict: Annotated[
        bool, output_option("--strict", help="Exit with status 1 if marks, but no digits, are in a picture.")
    ] = False,
) -> None:
    """Read the numbers in pictures, line by line.

    A picture that cannot be read does not stop the others; the exit status is 2 then.
    """
    from digit_recognizer.recognition import THRESHOLD, Recognizer

    refuse(
        ("" in pictures, "a picture has an empty name; expected files, or folders of them"),
        (show and single, "--show draws all numbers in a picture; remove --single"),
        (grid and single, "--table prints all numbers in a picture; remove --single"),
        (grid and json, "--json has the row and the column of each number; remove --table"),
        (
            single and (pattern or digits or values or decimal_mark is not DecimalMark.AUTO),
            "--single reads one digit; remove the options about numbers",
        ),
    )
    _check_printed(json=json, grid=grid, table=table, show=show)
    options = _options(decimal_mark, _allowed(pattern, digits, values), 0.0 if single else threshold)
    pages = find_pages(pictures, page)
    _check_targets(pages, show, table)
    for target in (show, table):
        if target is not None and not is_standard_output(target):
            check_can_write(target)
    recognizer = Recognizer(model)
    single_threshold = (THRESHOLD if threshold is None else threshold) if single else None
    is_only = len(pages) == 1 and pages[0].path in map(Path, pictures)
    printer = Printer(as_json=json, as_grid=grid, is_only_picture=is_only)
    as_grid = grid or table == STANDARD_OUTPUT
    is_printed = not is_standard_output(table) and not is_standard_output(show)  # else, only rows or drawing
    failed = nothing_read = False
    with (
        open_table(table, as_grid=as_grid, is_only_picture=is_only) as add_rows,
        _bar(len(pages), as_json=json) as advance,
    ):
        for each in pages:
            entry = _read_page(each, recognizer, single_threshold, options, show)
            failed |= entry.error is not None
            nothing_read |= entry.lost_marks > 0
            add_rows(entry)
            if is_printed or entry.error is not None:
                printer.print(entry)
            printer.print_notes(entry)
            advance()
    if failed or (strict and nothing_read):
        raise typer.Exit(USER_ERROR if failed else NOTHING_READ)


def _options(mark: DecimalMark, allowed: Allowed | None, threshold: float | None) -> ReadingOptions:
    from digit_recognizer.reading import ReadingOptions

    return ReadingOptions(mark.value, allowed, threshold or 0.0)


def _allowed(pattern: str | None, digits: int | None, values: Path | None) -> Allowed | None:
    """Return what numbers may be, as at most one of three options says."""
    from digit_recognizer.reading import Pattern, Values

    given = [each for each in (pattern, digits, values) if each is not None]
    refuse((len(given) > 1, "--pattern, --digits and --values say the same; remove all but one"))
    if values is not None:
        try:
            lines = values.read_text("utf-8-sig").splitlines()
        except (OSError, UnicodeError) as error:
            raise DigitsError(f"cannot read {values}: {getattr(error, 'strerror', None) or error}") from error
        try:
            return Values(filter(None, map(str.strip, lines)))
        except DigitsError as error:
            raise DigitsError(f"{values}: {error}") from error
    if digits is not None:
        return Pattern(f"d{{{digits}}}")
    return None if pattern is None else Pattern(pattern)


def _check_printed(*, json: bool, grid: bool, table: Path | None, show: Path | None) -> None:
    """Raise `DigitsError` if standard output would have to hold several things, or a terminal a picture."""
    has_rows, has_drawing = is_standard_output(table), is_standard_output(show)
    options = {"--json": json, "--table": grid and not has_rows, "--csv": has_rows, "--show": has_drawing}
    printed = [option for option, is_given in options.items() if is_given]
    if len(printed) > 1:
        first, *_, last = printed
        raise DigitsError(f"{first} and {last} would both be printed; name a file after {last}")
    refuse(
        (
            has_drawing and sys.stdout.isatty(),
            "--show would write a picture to the terminal; name a file, or redirect it, such as > out.png",
        )
    )


def _check_targets(pages: Sequence[Page], show: Path | None, table: Path | None) -> None:
    """Raise `DigitsError` if the drawing or the table cannot be written as asked."""
    read = {page.path.resolve() for page in pages if page.content is None}
    for target in (show, table):
        if target is not None and not is_standard_output(target) and target.resolve() in read:
            raise DigitsError(f"{target} is one of the pictures to read; name another file to write")
    if show is None:
        return
    hint = "choose one with --page" if len({page.path for page in pages}) == 1 else "name one picture"
    refuse(
        (
            table is not None and show.resolve() == table.resolve(),
            f"--show and --csv would both write {show}; name two files",
        ),
        (len(pages) != 1, f"--show draws over one page, but there are {len(pages):,}; {hint}"),
        (
            not is_standard_output(show) and show.suffix.lower() not in DRAWING_FORMATS,
            f"cannot write {show}; name a file that ends in {', '.join(DRAWING_FORMATS)}",
        ),
    )


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


def _read_page(
    page: Page,
    recognizer: Recognizer,
    threshold: float | None,
    options: ReadingOptions,
    show: Path | None,
) -> Entry:
    """Read a page: a single digit if there is a threshold, otherwise all numbers, drawn if asked for."""
    from digit_recognizer.imaging import decode
    from digit_recognizer.reading import interpret

    if page.problem is not None:
        return Entry(page, None, page.problem)
    number = page.number or 1
    try:
        with warnings.catch_warnings(action="ignore"):  # Pillow's, about small damage
            if threshold is not None:
                return Entry(page, recognizer.read_single(page.picture, threshold, page=number))
            if show is None:
                return Entry(page, interpret(recognizer.read(page.picture, page=number), options))
            picture = decode(page.picture, page=number)
            reading = interpret(recognizer.read_page(picture), options)
    except DigitsError as error:
        return Entry(page, None, _problem(page, error))
    write_drawing(reading.draw(picture), show)
    return Entry(page, reading)


def _problem(page: Page, error: DigitsError) -> str:
    """Return why a page cannot be read; of standard input, with a name that users know."""
    from digit_recognizer.imaging import decode

    if page.content is not None:
        try:
            decode(page.content, INPUT_NAME, page=page.number or 1)
        except DigitsError as named:
            return str(named)
    return str(error)
