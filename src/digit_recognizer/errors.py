"""The one exception that this package raises on purpose."""

from __future__ import annotations

__all__ = ["DigitsError"]


class DigitsError(ValueError):
    """Something a user can put right: bad input, a damaged file, a disk that is full.

    Its message is one sentence that says what, where, what was expected and what to do. The command
    line prints it and exits with status 2.
    """
