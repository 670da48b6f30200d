"""Reports as the command line sees them: which runs, which digits, what is said meanwhile."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from digit_recognizer.cli.output import show_report, telling
from digit_recognizer.digits import Digits
from digit_recognizer.runs import run_folder
from digit_recognizer.sources import Part, load_digits


def split_names(names: list[str]) -> tuple[list[Path], str | None]:
    """Tell runs from the source that may stand behind them.

    Raises
    ------
    DigitsError
        A name that is not the last is no run folder.
    """
    *others, last = names
    is_source = bool(others) and not run_folder.holds_training(Path(last))
    runs = others if is_source else names
    for name in runs:
        run_folder.read_environment(Path(name))
    return [Path(name) for name in runs], last if is_source else None


def report_run(
    run: Path,
    digits: Digits,
    source: str,
    *,
    out: Path | None = None,
    chosen: Mapping[str, int] | None = None,
    as_json: bool = False,
) -> None:
    """Write a run's report, and say where it is; `chosen` are settings of `Choice`."""
    started = time.perf_counter()
    with telling("Report", as_json=as_json) as tell, _without_garbage_collection():
        from digit_recognizer.report import write_report
        from digit_recognizer.report.sections import Choice

        page = write_report(
            run, digits, source=source, out=out, choice=Choice(**chosen or {}), on_section=tell
        )
    show_report(page, time.perf_counter() - started, as_json=as_json)


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Let objects that refer to each other wait: looking for them among torch's takes a tenth of a report."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def report_comparison(runs: list[Path], source: str, part: Part, *, out: Path | None) -> None:
    """Write a page that compares runs, and say where it is."""
    started = time.perf_counter()
    with telling("Comparison", as_json=False) as tell:
        tell("reading the digits")
        digits = load_digits(source, part)
        from digit_recognizer.report import write_comparison

        tell("predictions, figures and page")
        folder = out or run_folder.free_folder("comparison")
        page = write_comparison(runs, digits, source=source, out=folder)
    show_report(page, time.perf_counter() - started, as_json=False)
