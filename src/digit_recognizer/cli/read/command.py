"""`digits read`: the numbers in pictures, as text, JSON, tables or a drawing."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from digit_recognizer.cli.options import (
    EngineName,
    EngineOption,
    ModelOption,
    output_option,
    real,
    refuse,
    whole,
)
from digit_recognizer.cli.read.job import Job, checksum, folders_of, read_all
from digit_recognizer.cli.read.output import is_standard_output
from digit_recognizer.cli.read.pages import find_files, find_pages
from digit_recognizer.cli.read.reader import ReaderSettings
from digit_recognizer.cli.read.targets import check_printed, check_targets, find_table
from digit_recognizer.cli.terminal import USER_ERROR, require
from digit_recognizer.errors import DigitsError

if TYPE_CHECKING:
    from digit_recognizer.cli.read.targets import Table
    from digit_recognizer.reading import Allowed, ReadingOptions

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
    csv: Annotated[
        str | None,
        output_option(
            "--csv",
            metavar="[FILE]",
            help="Write the numbers and their places as a CSV table, or as a folder of tables (out/), which "
            "the same command resumes. Without FILE, print a row for each row of the page.",
        ),
    ] = None,
    parquet: Annotated[
        str | None,
        output_option(metavar="FILE", help="Write the same table, or folder of tables, as Parquet."),
    ] = None,
    grid: Annotated[
        bool,
        output_option("--table", help="Print, and write with --csv, the numbers in their rows and columns."),
    ] = False,
    strict: Annotated[
        bool, output_option("--strict", help="Exit with status 1 if marks, but no digits, are in a picture.")
    ] = False,
    engine: EngineOption = EngineName.LOCAL,
) -> None:
    """Read the numbers in pictures, line by line.

    A picture that cannot be read does not stop the others; the exit status is 2 then.
    """
    from digit_recognizer.recognition import THRESHOLD, Recognizer

    uses_ray = engine is EngineName.RAY
    refuse(
        ("" in pictures, "a picture has an empty name; expected files, or folders of them"),
        (show and single, "--show draws all numbers in a picture; remove --single"),
        (show and uses_ray, "--show draws over one page; remove --engine"),
        (grid and single, "--table prints all numbers in a picture; remove --single"),
        (grid and json, "--json has the row and the column of each number; remove --table"),
        (csv and parquet, "--csv and --parquet write the same rows; remove one"),
        (
            single and (pattern or digits or values or decimal_mark is not DecimalMark.AUTO),
            "--single reads one digit; remove the options about numbers",
        ),
    )
    table = find_table(csv, parquet)
    check_printed(json=json, grid=grid, table=table, show=show)
    require(*(["ray"] if uses_ray else []), *(["pyarrow"] if parquet else []))
    options = _options(decimal_mark, _allowed(pattern, digits, values), 0.0 if single else threshold)
    files = find_files(pictures, with_addresses=uses_ray)
    is_only = False
    is_folder = table is not None and table.is_folder
    if not is_folder and (not uses_ray or len(files) == 1):
        pages = find_pages(files, page)
        is_only = len(pages) == 1 and pages[0].path in map(Path, pictures)
        files = [*pages]
    check_targets(files, show, table)
    recognizer = Recognizer(model)
    described: dict[str, Any] = {}
    if is_folder:
        described = {
            "model": checksum(recognizer),
            "single": single,
            "threshold": threshold,
            "pattern": pattern,
            "digits": digits,
            "values": None if values is None else values.read_bytes().decode("utf-8", "replace").split(),
            "decimal-mark": decimal_mark.value,
            "page": page,
        }
    single_threshold = (THRESHOLD if threshold is None else threshold) if single else None
    outcome = read_all(
        Job(
            files,
            ReaderSettings(
                model, single_threshold, options, page, show, is_folder and not json, folders_of(files)
            ),
            engine,
            table,
            described,
            as_json=json,
            as_grid=grid,
            is_only_picture=is_only,
            prints_text=_prints_text(table, show, json=json),
        ),
        recognizer,
    )
    if page is not None and not outcome.pages:
        raise DigitsError(f"no file has a page {page}")
    if outcome.failed or (strict and outcome.nothing_read):
        raise typer.Exit(USER_ERROR if outcome.failed else NOTHING_READ)


def _prints_text(table: Table | None, show: Path | None, *, json: bool) -> bool:
    """Return whether what was read is printed, and not only rows, a drawing or a summary."""
    if table is not None and table.is_folder:
        return json
    return not is_standard_output(show) and not (table is not None and table.is_printed)


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
