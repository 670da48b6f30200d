"""Numbers in words, the same in every section."""

from __future__ import annotations

from math import isnan

from digit_recognizer.evaluation import Evaluation


def percent(share: float, places: int = 2) -> str:
    """Return a share, 0 to 1: ``99.40 %``; ``–`` where it is nan."""
    return "–" if isnan(share) else f"{share:.{places}%}".replace("%", " %")


def count(number: int, noun: str) -> str:
    """Return ``1 image``, ``4,200 images``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def seconds_in_words(seconds: float) -> str:
    """Return ``4.2 s``, ``7 min 5 s``, ``1 h 2 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def bytes_in_words(size: int) -> str:
    """Return ``85 kB``, ``3.6 MB``: thousands, not 1,024s."""
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.0f} kB"


def accuracy_in_words(evaluation: Evaluation) -> str:
    """Return ``99.40 % (99.12 to 99.60 %)``."""
    low, high = evaluation.accuracy_interval
    return f"{percent(evaluation.accuracy)} ({100 * low:.2f} to {percent(high)})"


def spelled(words: list[str]) -> str:
    """Return ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def shorten(name: str, most: int = 22) -> str:
    """Return a name with its middle left out where it is longer than `most` letters."""
    half = (most - 1) // 2
    return name if len(name) <= most else f"{name[:half]}…{name[-half:]}"
