"""The command `digits`: parses, calls, prints; nothing else in this package prints."""

from __future__ import annotations

import io
import sys

from digit_recognizer.errors import DigitsError

__all__ = ["USER_ERROR", "main"]

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
USER_ERROR = 2  # exit status for what the user can put right, as for wrong options


def main() -> None:
    """Run the command line; what a user can put right ends in one sentence and status 2."""
    from digit_recognizer.cli.commands import app

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows no "·" gets "?"
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


def _fail(sentence: str) -> None:
    print(f"digits: {sentence}", file=sys.stderr)
    sys.exit(USER_ERROR)
