"""`digits report`: a page about a run, or one that compares runs."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digit_recognizer.cli.options import Part, PartOfSource, refuse
from digit_recognizer.cli.terminal import make_console

if TYPE_CHECKING:
    from digit_recognizer.digits import Digits

INSIDE = "Inside the network"  # title of a group of options


def report(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN... [SOURCE]",
            help="A run folder, or several to compare; then a source of digits, as for 'digits train'. "
            "Default source: the digits that the first run was trained on.",
            show_default=False,
        ),
    ],
    part: PartOfSource = Part.TRAIN,
    digit: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=9,
            help=r"Show the feature maps of an image of this digit.  \[default: 7]",
            rich_help_panel=INSIDE,
        ),
    ] = None,
    index: Annotated[
        int | None,
        typer.Option(
            min=0, help="Show those of the image in this row of the source, from 0.", rich_help_panel=INSIDE
        ),
    ] = None,
    filters: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=r"Show this many filters of the second convolution.  \[default: 8]",
            rich_help_panel=INSIDE,
        ),
    ] = None,
    filter_: Annotated[
        int | None,
        typer.Option(
            "--filter",
            min=0,
            help=r"Enlarge this filter of the first convolution, from 0.  \[default: 0]",
            rich_help_panel=INSIDE,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The folder for report.html and figures/.  "
            r"\[default: the run folder; for a comparison runs/<time>-comparison]",
        ),
    ] = None,
) -> None:
    """Write report.html about one run, or compare several.

    Shows the data, the training, the mistakes and the inside of the network.
    """
    from digit_recognizer.cli.inputs import source_or_default
    from digit_recognizer.runs.environment import read_environment
    from digit_recognizer.sources import load_digits

    choices = {"digit": digit, "index": index, "filters": filters, "filter": filter_}
    chosen = {name: value for name, value in choices.items() if value is not None}
    runs, source = _split_names(names)
    refuse((digit is not None and index is not None, "--digit and --index both choose the image; remove one"))
    first, *_ = [read_environment(run) for run in runs]
    refuse((chosen and len(runs) > 1, f"--{next(iter(chosen), '')} needs a single run; remove it"))
    named = source_or_default(source, first)
    if len(runs) > 1:
        write_runs_comparison(runs, named, part, out)
        return
    shown = named if part is Part.TRAIN else f"{named}, {part} part"
    write_run_report(runs[0], load_digits(named, part.value), shown, out=out, chosen=chosen)


def _split_names(names: list[str]) -> tuple[list[Path], str | None]:
    """Return the runs, and the source if the last of several names is one."""
    from digit_recognizer.runs.run_folder import holds_training

    *others, last = names
    has_source = bool(others) and not holds_training(Path(last))
    return [Path(name) for name in (others if has_source else names)], last if has_source else None


def write_run_report(
    run: Path,
    digits: Digits,
    source: str,
    *,
    out: Path | None = None,
    chosen: Mapping[str, int] | None = None,
    as_json: bool = False,
) -> None:
    """Write the report of a run and say where it is; `chosen` are attributes of `Choice`."""
    started = time.perf_counter()
    with _status("Report", as_json=as_json) as tell, _without_garbage_collection():
        from digit_recognizer.report import write_report
        from digit_recognizer.report.sections import Choice

        choice = Choice(**chosen or {})
        page = write_report(run, digits, source=source, out=out, choice=choice, on_section=tell)
    _show_page(page, started, as_json=as_json)


def write_runs_comparison(runs: list[Path], source: str, part: Part, out: Path | None) -> None:
    """Write a page that compares runs and say where it is."""
    started = time.perf_counter()
    with _status("Comparison", as_json=False) as tell:
        from digit_recognizer.report import write_comparison
        from digit_recognizer.runs.run_folder import free_folder
        from digit_recognizer.sources import load_digits

        tell("reading the digits")
        digits = load_digits(source, part.value)
        tell("predictions, figures and page")
        page = write_comparison(runs, digits, source=source, out=out or free_folder("comparison"))
    _show_page(page, started, as_json=False)


@contextmanager
def _status(what: str, *, as_json: bool) -> Iterator[Callable[[str], None]]:
    """Give a function that shows what is being done, on a terminal and only meanwhile."""
    console = make_console()
    if as_json or not console.is_terminal:
        yield lambda _doing: None
        return
    with console.status(f"{what} …") as status:
        yield lambda doing: status.update(f"{what}: {doing} …")


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Switch off the search for reference cycles: among torch's objects it takes a tenth of a report."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _show_page(page: Path, started: float, *, as_json: bool) -> None:
    from digit_recognizer.cli.events import ReportWritten
    from digit_recognizer.cli.render import make_renderer

    make_renderer(as_json=as_json).show(ReportWritten(page, time.perf_counter() - started))
