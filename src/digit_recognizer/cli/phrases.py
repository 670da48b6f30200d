"""Words and places that all output has in common."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console

PIPE_WIDTH = 120  # columns where the output is no terminal


def make_console() -> Console:
    """Return standard output: as wide as the terminal, else as a line may well be."""
    console = Console()
    return console if console.is_terminal else Console(width=PIPE_WIDTH)


def print_json(value: dict[str, Any]) -> None:
    """Print an object on one line."""
    text = json.dumps(value, ensure_ascii=False)
    print(text if _is_unicode(text) else json.dumps(value), flush=True)


def _is_unicode(text: str) -> bool:
    """Return whether a text holds no bytes of a file's name that are no UTF-8."""
    return not any("\ud800" <= each <= "\udfff" for each in text)


def minutes_in_words(seconds: float) -> str:
    """Return ``2 min 5 s``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def errors_in_words(count: int) -> str:
    """Return ``1 error`` or ``2 errors``."""
    return "1 error" if count == 1 else f"{count:,} errors"


def epochs_in_words(count: int) -> str:
    """Return ``1 epoch`` or ``2 epochs``."""
    return "1 epoch" if count == 1 else f"{count:,} epochs"


def corrections_in_words(count: int) -> str:
    """Return ``1 correction`` or ``2 corrections``."""
    return "1 correction" if count == 1 else f"{count:,} corrections"


def trials_in_words(count: int) -> str:
    """Return ``1 trial`` or ``2 trials``."""
    return "1 trial" if count == 1 else f"{count:,} trials"


def accuracy_in_words(values: dict[str, Any] | None) -> str:
    """Return an accuracy in words: with its interval, and errors out of how many."""
    if values is None:
        return "none: the recipe holds no images out"
    low, high = values["accuracy_interval_95"]
    return (
        f"{values['accuracy']:.2%}  (95 % interval {low:.2%} to {high:.2%}; "
        f"{errors_in_words(values['errors'])} in {values['images']:,} images)"
    )


def corrected_in_words(values: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Return what a run's metrics say of its corrections: what they gained, and what they cost."""
    if values is None:
        return []
    count = values["images"]
    learned = f"{values['after']['right']:,} of {corrections_in_words(count)} right, all of them learned from"
    if "kept" not in values:
        return [("Corrections", f"{learned}; --from a run says what they gain and cost")]
    before, unseen = values["before"]["right"], values["unseen"]
    gained = f"{before:,} of {count:,} right before"
    if unseen is None:
        gained += "; too few to hold some back and judge by them"
    else:
        gained += f", {unseen['right']:,} after, each by a network that had not seen it"
    rows = [("Corrections", gained), ("Learned", learned)]
    compared = values["validation"]
    if compared is None:
        return [*rows, ("Cost", "unknown: the run that it started from holds no images out")]
    cost = (
        f"validation before {accuracy_in_words(compared['before'])}: "
        f"{compared['newly_right']:,} now right, {compared['newly_wrong']:,} now wrong"
    )
    return [*rows, ("Cost", cost), *_kept_in_words(values["kept"], compared["allowed"])]


def _kept_in_words(kept: float, allowed: int) -> list[tuple[str, str]]:
    """Say where not all that was learned could be kept."""
    if kept == 1:
        return []
    more = f"more than {errors_in_words(allowed)} more on the validation images"
    if not kept:
        return [
            ("Kept", f"nothing: whatever was tried cost {more}, so the weights are those it started from")
        ]
    return [("Kept", f"{kept:.0%} of the change of the weights: all of it would have cost {more}")]
