"""Where `digits read` writes: the table, the folder of tables and the drawing, checked before reading."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from digit_recognizer.cli.options import refuse
from digit_recognizer.cli.read.output import DRAWING_FORMATS, STANDARD_OUTPUT, Entry, is_standard_output
from digit_recognizer.cli.read.pages import Page
from digit_recognizer.cli.read.parts import Parts, check_is_ours, open_parts
from digit_recognizer.cli.read.tables import open_table
from digit_recognizer.errors import DigitsError
from digit_recognizer.files import check_can_create, check_can_write

SEPARATORS = tuple(filter(None, (os.sep, os.altsep)))


@dataclass(frozen=True, slots=True)
class Table:
    """A table to write: a file, ``-``, or a folder of parts; of the kind ``csv`` or ``parquet``."""

    path: Path
    kind: str = "csv"
    is_folder: bool = False

    @property
    def is_printed(self) -> bool:
        """Whether it goes to standard output."""
        return not self.is_folder and is_standard_output(self.path)


def find_table(csv: str | None, parquet: str | None) -> Table | None:
    """Return the table that ``--csv`` or ``--parquet`` names."""
    named = parquet if csv is None else csv
    if named is None:
        return None
    table = Table(
        Path(named),
        "csv" if parquet is None else "parquet",
        is_folder=named.endswith(SEPARATORS) or Path(named).is_dir(),
    )
    refuse((parquet and table.is_printed, "--parquet is not text to print; name a file"))
    return table


def check_printed(*, json: bool, grid: bool, table: Table | None, show: Path | None) -> None:
    """Raise `DigitsError` if standard output would have to hold several things, or a terminal a picture."""
    has_rows, has_drawing = table is not None and table.is_printed, is_standard_output(show)
    options = {"--json": json, "--table": grid and not has_rows, "--csv": has_rows, "--show": has_drawing}
    printed = [option for option, is_given in options.items() if is_given]
    if len(printed) > 1:
        first, *_, last = printed
        raise DigitsError(f"{first} and {last} would both be printed; name a file after {last}")
    refuse(
        (
            has_drawing and sys.stdout.isatty(),
            "--show would write a picture to the terminal; name a file, or redirect it, such as > out.png",
        ),
        (
            grid and table is not None and (table.is_folder or table.kind == "parquet"),
            "--table writes the rows of one page; remove it, or name a CSV file",
        ),
    )


def check_targets(files: Sequence[Page | str], show: Path | None, table: Table | None) -> None:
    """Raise `DigitsError` if the drawing or the table cannot be written as asked."""
    written = [show, None if table is None else table.path]
    read = {Path(each if isinstance(each, str) else each.file) for each in files}
    for target in filter(None, written):
        if not is_standard_output(target) and target.resolve() in {each.resolve() for each in read}:
            raise DigitsError(f"{target} is one of the pictures to read; name another file to write")
    _check_drawing(files, show, table)
    if table is not None and table.is_folder:
        check_is_ours(table.path)
        check_can_create(table.path)
    elif table is not None and not table.is_printed:
        check_can_write(table.path)
    if show is not None and not is_standard_output(show):
        check_can_write(show)


def _check_drawing(files: Sequence[Page | str], show: Path | None, table: Table | None) -> None:
    if show is None:
        return
    pages = [each for each in files if isinstance(each, Page)]
    hint = "choose one with --page" if len({page.path for page in pages}) == 1 else "name one picture"
    refuse(
        (
            table is not None and show.resolve() == table.path.resolve(),
            f"--show and --csv would both write {show}; name two files",
        ),
        (len(files) != 1, f"--show draws over one page, but there are {len(files):,}; {hint}"),
        (
            not is_standard_output(show) and show.suffix.lower() not in DRAWING_FORMATS,
            f"cannot write {show}; name a file that ends in {', '.join(DRAWING_FORMATS)}",
        ),
    )


@contextmanager
def open_output(
    table: Table | None, described: dict[str, Any], *, as_grid: bool, is_only_picture: bool
) -> Iterator[tuple[Callable[[Sequence[Entry]], None], Parts | None]]:
    """Give a function that writes what was read of a file, and the folder of tables if there is one.

    `described` is how pictures are read, for the folder.
    """
    if table is not None and table.is_folder:
        with open_parts(table.path, table.kind, described) as parts:
            yield parts.add, parts
        return
    path, kind = (None, "csv") if table is None else (table.path, table.kind)
    as_grid = as_grid or path == STANDARD_OUTPUT
    with open_table(path, as_grid=as_grid, is_only_picture=is_only_picture, kind=kind) as add_rows:

        def add(entries: Sequence[Entry]) -> None:
            for each in entries:
                add_rows(each)

        yield add, None
