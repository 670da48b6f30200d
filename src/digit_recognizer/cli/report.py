"""`digits report`: a page about a run, or one that compares runs."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digit_recognizer.cli.options import RUNS, Part, PartOfSource, complete_run, refuse, whole
from digit_recognizer.cli.terminal import as_argument, command_line, require
from digit_recognizer.files import check_can_create

if TYPE_CHECKING:
    from digit_recognizer.digits import Digits

_inside_option = partial(typer.Option, rich_help_panel="Inside the network")


def report(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN... [SOURCE]",
            help="A run folder, or several to compare; then a source of digits, as for 'digits train'. "
            "Default source: the digits that the first run was trained on.",
            show_default=False,
            autocompletion=complete_run,
        ),
    ],
    part: PartOfSource = Part.TRAIN,
    digit: Annotated[
        int | None,
        _inside_option(
            parser=whole(0, 9),
            metavar="N",
            help=r"Show the feature maps of an image of this digit.  \[default: 7]",
        ),
    ] = None,
    index: Annotated[
        int | None,
        _inside_option(
            parser=whole(0), metavar="N", help="Show those of the image in this row of the source, from 0."
        ),
    ] = None,
    filters: Annotated[
        int | None,
        _inside_option(
            parser=whole(1),
            metavar="N",
            help=r"Show this many filters of the second convolution.  \[default: 8]",
        ),
    ] = None,
    filter_: Annotated[
        int | None,
        _inside_option(
            "--filter",
            parser=whole(0),
            metavar="N",
            help=r"Enlarge this filter of the first convolution, from 0.  \[default: 0]",
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
    from digit_recognizer.cli.inputs import check_not_moved, load, source_or_default
    from digit_recognizer.cli.numbers.source import is_numbers_run
    from digit_recognizer.runs.environment import read_environment
    from digit_recognizer.runs.run_folder import check_finished

    require("torch")
    choices = {"digit": digit, "index": index, "filters": filters, "filter": filter_}
    chosen = {name: value for name, value in choices.items() if value is not None}
    runs, source = _split_names(names)
    refuse(
        (digit is not None and index is not None, "--digit and --index both choose the image; remove one"),
        (chosen and len(runs) > 1, f"--{next(iter(chosen), '')} needs a single run; remove it"),
    )
    first, *_ = [read_environment(run) for run in runs]
    for run in runs:
        check_finished(run)
    check_can_create(out or (runs[0] if len(runs) == 1 else RUNS))
    if any(map(is_numbers_run, runs)):
        refuse((len(runs) > 1, "runs on pictures of whole numbers are not compared; name one"))
        report_numbers(runs[0], source, part, out)
        return
    if source is None:
        check_not_moved(first.data.source, command_line("report", *map(as_argument, runs), "SOURCE"))
    named = source_or_default(source, first.data.source)
    if len(runs) > 1:
        _compare_runs(runs, named, part, out)
        return
    shown = named if part is Part.TRAIN else f"{named}, {part} part"
    report_run(runs[0], load(named, part.value), shown, out=out, chosen=chosen)


def _split_names(names: list[str]) -> tuple[list[Path], str | None]:
    """Return the runs, and the source if the last of several names is one."""
    from digit_recognizer.runs.run_folder import holds_training

    *others, last = names
    has_source = bool(others) and not holds_training(Path(last))
    return [Path(name) for name in (others if has_source else names)], last if has_source else None


def report_run(
    run: Path,
    digits: Digits,
    source: str,
    *,
    out: Path | None = None,
    chosen: Mapping[str, int] | None = None,
    as_json: bool = False,
) -> None:
    """Write the report of a run and show where it is; `chosen` are attributes of `Choice`."""
    from digit_recognizer.report import write_report
    from digit_recognizer.report.sections import Choice

    started = time.perf_counter()
    gc.disable()  # looking for reference cycles among torch's objects takes a tenth of a report
    try:
        page = write_report(run, digits, source=source, out=out, choice=Choice(**chosen or {}))
    finally:
        gc.enable()
    _show_page(page, started, as_json=as_json)


def report_numbers(
    run: Path,
    source: str | None,
    part: Part = Part.TRAIN,
    out: Path | None = None,
    *,
    as_json: bool = False,
) -> None:
    """Write the report of a run on pictures of numbers and show where it is."""
    from digit_recognizer.cli.numbers.evaluate import read_source
    from digit_recognizer.report.numbers import write_numbers_report

    started = time.perf_counter()
    evaluation, pictures, what = read_source(str(run), source, part=part.value, command="report")
    page = write_numbers_report(run, evaluation, pictures, source=what, out=out)
    _show_page(page, started, as_json=as_json)


def _compare_runs(runs: list[Path], source: str, part: Part, out: Path | None) -> None:
    """Write a page that compares runs and show where it is."""
    from digit_recognizer.cli.inputs import load
    from digit_recognizer.report import write_comparison
    from digit_recognizer.runs.run_folder import free_folder

    digits = load(source, part.value)
    started = time.perf_counter()
    page = write_comparison(runs, digits, source=source, out=out or free_folder("comparison"))
    _show_page(page, started)


def _show_page(page: Path, started: float, *, as_json: bool = False) -> None:
    """Say where a page is and how long it took."""
    from digit_recognizer.cli.events import ReportWritten
    from digit_recognizer.cli.render import make_renderer

    make_renderer(as_json=as_json).show(ReportWritten(page, time.perf_counter() - started))
