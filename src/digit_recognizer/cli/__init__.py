"""The command `digits`: parses, calls, prints; nothing else in this package prints."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from digit_recognizer.errors import DigitsError
from digit_recognizer.machine import wait_briefly

__all__ = ["INTERRUPTED", "USER_ERROR", "leaving_at_once", "main", "printable"]

SERVE = (
    "fastapi",
    "httptools",
    "prometheus_client",
    "pydantic_settings",
    "python_multipart",
    "starlette",
    "uvicorn",
)
EXTRAS = {
    "optuna": "tune",
    "sqlalchemy": "tune",
    **dict.fromkeys(SERVE, "serve"),
}  # what to install for a package, where not ``train``
INTERRUPTED = 130  # exit status behind Ctrl+C, as shells have it
USER_ERROR = 2  # exit status for what the user can put right, as for wrong options


def main() -> None:
    """Run the command line; what a user can put right ends in one sentence and status 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows no "·" gets "?"
    wait_briefly()
    with leaving_at_once():
        from digit_recognizer.cli.commands import app
    with _quiet_interrupt():
        _run(app)


def printable(text: str) -> str:
    """Return a text with escapes for what is no character to be seen: names of files hold anything."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _run(app: Callable[[], object]) -> None:
    try:
        app()
    except DigitsError as error:
        _fail(str(error))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("digit_recognizer"):
            raise
        package = error.name.partition(".")[0]
        extra = EXTRAS.get(package, "train")
        _fail(f'this needs the package {package}: run pip install "digit-recognizer[{extra}]"')
    except OSError as error:
        _fail(f"{error.filename or 'output'}: {error.strerror or error}")


@contextmanager
def leaving_at_once() -> Iterator[None]:
    """End at Ctrl+C at once, not by an exception, which a module that is being loaded may swallow."""
    with _interrupted_by(lambda _number, _frame: os._exit(INTERRUPTED)):
        yield


@contextmanager
def _quiet_interrupt() -> Iterator[None]:
    """End at Ctrl+C without a word, whatever became of the exception on its way."""
    asked = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        signal.default_int_handler(number, frame)

    with _interrupted_by(interrupt):
        try:
            yield
        except BaseException:
            if asked:
                sys.exit(INTERRUPTED)
            raise


@contextmanager
def _interrupted_by(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Handle SIGINT, unless it is ignored, as behind ``nohup``."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _fail(sentence: str) -> None:
    print(f"digits: {printable(sentence)}", file=sys.stderr)
    sys.exit(USER_ERROR)
