"""The command `digits`. Only this package prints."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

from digit_recognizer.cli.interrupts import exit_on_interrupt, quiet_interrupt

__all__ = ["main"]

NO_MEMORY = "this needs more memory than there is: close other programs, or raise the limit (ulimit -v)"


def main() -> None:
    """Run the command line; an error that the user can correct is one sentence and exit status 2."""
    with exit_on_interrupt():  # first of all: what is imported here takes a while
        from digit_recognizer.cli.terminal import printing_notes, progress_bar
        from digit_recognizer.machine import shorten_spinning
        from digit_recognizer.progress import displayed_by

        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # a terminal without "·" shows "?"
        shorten_spinning()
        from digit_recognizer.cli.app import app
    sys.argv[1:] = _with_standard_output(sys.argv[1:])
    with quiet_interrupt(), printing_notes(), displayed_by(progress_bar):
        _run(app)


def _with_standard_output(words: list[str]) -> list[str]:
    """Return the words of a command with ``-`` after a ``--csv`` of ``read`` that names no file."""
    if words[:1] != ["read"] or "--csv" not in words:
        return words
    after = words.index("--csv") + 1
    names_file = after < len(words) and (words[after] == "-" or not words[after].startswith("-"))
    return words if names_file else [*words[:after], "-", *words[after:]]


def _run(app: Callable[[], object]) -> None:
    from digit_recognizer.cli.terminal import missing_package
    from digit_recognizer.errors import DigitsError
    from digit_recognizer.machine import LEAST_MB, check_address_space

    try:
        check_address_space("this program", LEAST_MB)
        app()
    except DigitsError as error:
        _fail(str(error))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("digit_recognizer"):
            raise
        _fail(missing_package(error.name.partition(".")[0]))
    except MemoryError:
        _fail(NO_MEMORY)
    except OSError as error:
        _fail(f"{error.filename or 'output'}: {error.strerror or error}")


def _fail(sentence: str) -> None:
    from digit_recognizer.cli.terminal import USER_ERROR, printable

    print(f"digits: {printable(sentence)}", file=sys.stderr)
    sys.exit(USER_ERROR)
