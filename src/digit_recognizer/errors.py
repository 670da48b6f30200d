"""The exception that this package raises on purpose."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


class DigitsError(ValueError):
    """An error that the user can correct: wrong input, a damaged file, a full disk.

    The message is one line: what is wrong, where, what was expected and what to do. The command line prints
    it and exits with status 2.
    """


def check_is_local(name: str | Path) -> None:
    """Raise `DigitsError` for an address such as ``https://…``: nothing is read over the network."""
    scheme, separator, _ = str(name).partition("://")
    if separator and scheme.isalnum():
        raise DigitsError(f"{name} is an address, not a file: download it, and name the file")


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, or the exception's type if there is none."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` with the nearest of the known words, or nothing if none is near."""
    from difflib import get_close_matches  # only an error needs it

    by_lower_case = {each.lower(): each for each in known}
    nearest = get_close_matches(word.lower(), by_lower_case, n=1)
    return f"; did you mean {by_lower_case[nearest[0]]!r}?" if nearest else ""


def did_you_mean_path(path: str | Path, words: Iterable[str] = ()) -> str:
    """Return the same for a path that does not exist: with what is beside it, or one of some words."""
    typed = Path(path)
    try:
        beside = [str(each) for each in typed.parent.iterdir() if not each.name.startswith(".")]
    except OSError:
        beside = []
    return did_you_mean(str(typed), [*words, *beside])
