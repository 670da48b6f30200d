"""The one exception that this package raises on purpose."""

from __future__ import annotations


class DigitsError(ValueError):
    """Something a user can put right: bad input, a damaged file, a disk that is full.

    Its message is one sentence that says what, where, what was expected and what to do. The command
    line prints it and exits with status 2.
    """


def first_line(error: BaseException) -> str:
    """Return what another library's exception says first, or its kind where it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)
