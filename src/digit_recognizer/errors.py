"""The exception that this package raises on purpose."""

from __future__ import annotations


class DigitsError(ValueError):
    """An error that the user can correct: wrong input, a damaged file, a full disk.

    The message is one line: what is wrong, where, what was expected and what to do. The command line prints
    it and exits with status 2.
    """


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, or the exception's type if there is none."""
    return next(iter(str(error).splitlines()), type(error).__name__)
