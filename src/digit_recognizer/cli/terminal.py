"""What all commands share: exit statuses, output, notes and bars."""

from __future__ import annotations

import importlib.util
import json
import logging
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digit_recognizer.errors import DigitsError
from digit_recognizer.machine import TORCH_MB, check_address_space
from digit_recognizer.progress import Clock, ShowProgress, displayed_by

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

USER_ERROR = 2  # exit status for errors that the user can correct, as for wrong options
WIDEST_TABLE_COLUMNS = 500  # more than any table has
PIPE_COLUMNS = 120  # width of the output if it is not a terminal

NOTED = (
    "digit_recognizer.engines",
    "digit_recognizer.sources",
    "digit_recognizer.training",
)  # loggers that say what was assumed

EXTRAS = {
    "fastapi": "serve",
    "httptools": "serve",
    "optuna": "tune",
    "pyarrow": "parquet",
    "prometheus_client": "serve",
    "pydantic_settings": "serve",
    "python_multipart": "serve",
    "ray": "ray",
    "sqlalchemy": "tune",
    "starlette": "serve",
    "uvicorn": "serve",
}  # the extra that installs a package; all others come with `train`


def printable(text: str) -> str:
    """Return a text with control characters escaped: file names may contain anything."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def missing_package(package: str) -> str:
    """Return what to type if a package is missing."""
    extra = EXTRAS.get(package, "train")
    return f'the package {package} is missing: run pip install "digit-recognizer[{extra}]"'


def require(*packages: str) -> None:
    """Raise `DigitsError` for the first package that is missing: to refuse before slow work.

    The same for an address space that is too small for torch.
    """
    for package in packages:
        try:
            missing = importlib.util.find_spec(package) is None
        except ValueError:  # in sys.modules without a specification
            missing = sys.modules[package] is None
        if missing:
            raise DigitsError(missing_package(package))
    if "torch" in packages:
        check_address_space("torch", TORCH_MB)


def make_console() -> Console:
    """Return a console on standard output, `PIPE_COLUMNS` wide if that is not a terminal."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=PIPE_COLUMNS)


def say(sentence: str) -> None:
    """Print one sentence as it is, without colours or line breaks."""
    make_console().print(sentence, highlight=False, markup=False, soft_wrap=True)


def print_widest(*tables: Table, wraps: bool = False) -> None:
    """Print the first of some tables, from wide to narrow, that fits, so that no number is cut off.

    `wraps` says that a table also fits if texts in it have to be broken into lines.
    """
    console = make_console()
    unlimited = console.options.update(max_width=WIDEST_TABLE_COLUMNS)
    widths = [console.measure(each, options=unlimited) for each in tables]
    fits = [(each.minimum if wraps else each.maximum) <= console.width for each in widths]
    console.print(next((table for table, fit in zip(tables, fits, strict=True) if fit), tables[-1]))


class _Notes(logging.Handler):
    """Prints what the library assumed, each sentence once, on standard error."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._printed: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record as ``Note:`` or ``Warning:``."""
        kind = "Warning" if record.levelno >= logging.WARNING else "Note"
        note = printable(f"{kind}: {record.getMessage()}.")
        if note not in self._printed:
            self._printed.add(note)
            print(note, file=sys.stderr, flush=True)


@contextmanager
def printing_notes() -> Iterator[None]:
    """Print what the library assumes meanwhile, such as that a CSV has no header."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # that a home is read-only is nothing to users
    notes = _Notes()
    loggers = [logging.getLogger(name) for name in NOTED]
    before = [each.level for each in loggers]
    for each in loggers:
        each.addHandler(notes)
        each.setLevel(logging.INFO)
    try:
        yield
    finally:
        for each, level in zip(loggers, before, strict=True):
            each.removeHandler(notes)
            each.setLevel(level)


@contextmanager
def progress_bar(what: str) -> Iterator[ShowProgress]:
    """Give a function that takes the fraction done; a terminal then shows the time left.

    The bar appears if the whole is going to take long. Meanwhile, no other bar appears.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _fraction, _doing="", /: None
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("left"),
    )
    # text on the same terminal is printed above the bar; a file or pipe is none of its business
    bar = Progress(*columns, console=console, transient=True, redirect_stdout=sys.stdout.isatty())
    task = bar.add_task(what, total=1.0)
    clock = Clock()

    def show(fraction: float, doing: str = "", /) -> None:
        if clock.is_slow(fraction):
            bar.start()
        bar.update(task, completed=fraction, description=f"{what}: {doing}" if doing else what)

    try:
        with displayed_by(lambda _what: nullcontext()):
            yield show
    finally:
        bar.stop()


def print_json(value: dict[str, Any]) -> None:
    """Print an object on one line."""
    text = json.dumps(value, ensure_ascii=False)
    # file names that are not UTF-8 contain surrogates, which standard output cannot encode
    print(json.dumps(value) if any("\ud800" <= each <= "\udfff" for each in text) else text, flush=True)


def command_line(*words: str) -> str:
    """Return a command to type, with the program called as the user called it."""
    program = ["digits"] if shutil.which("digits") else [sys.argv[0]]
    if Path(program[0]).name == "__main__.py":
        program = [sys.executable, "-m", "digit_recognizer"]
    return shlex.join([*program, *words])


def as_argument(folder: Path) -> str:
    """Return a folder as an argument that is not taken for an option."""
    return f"./{folder}" if str(folder).startswith("-") else str(folder)
