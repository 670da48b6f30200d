"""Numbers and counts in words, for messages, the command line and the report.

Counts have separators of thousands. What one may type again has none: settings, rows, lines and pages.
"""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING, Any

from digit_recognizer.evaluation import Evaluation, accuracy_values

if TYPE_CHECKING:
    from digit_recognizer.recipes import NumbersRecipe, Recipe

MAX_PLAIN_LOSS = 10_000  # nats; a higher loss is written with an exponent


def percent(fraction: float, places: int = 2) -> str:
    """Return a fraction, 0 to 1, as ``99.40 %``, or ``–`` for nan."""
    return "–" if isnan(fraction) else f"{fraction:.{places}%}".replace("%", " %")


def percent_range(low: float, high: float) -> str:
    """Return two fractions, 0 to 1, as ``99.12 to 99.60 %``."""
    return f"{100 * low:.2f} to {percent(high)}"


def loss_in_words(nats: float) -> str:
    """Return a loss as ``0.0312``, or as ``2.64e+28`` if it is that of a network that diverged."""
    return f"{nats:.4f}" if nats < MAX_PLAIN_LOSS else f"{nats:.3g}"


def count(number: int, noun: str) -> str:
    """Return ``1 image``, ``4,200 images``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def seconds_in_words(seconds: float) -> str:
    """Return ``4.2 s``, ``7 min 5 s``, ``1 h 2 min``."""
    if seconds < 59.95:  # above, it would round to 60.0 s
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def bytes_in_words(size: int) -> str:
    """Return ``85 kB``, ``3.6 MB``: units of 1,000, not 1,024."""
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.0f} kB"


def accuracy_in_words(evaluation: Evaluation) -> str:
    """Return an accuracy and its 95 % interval as ``99.40 % (99.12 to 99.60 %)``."""
    return f"{percent(evaluation.accuracy)} ({percent_range(*evaluation.accuracy_interval)})"


def score_in_words(images: int, errors: int, character_error_rate: float | None = None) -> str:
    """Return ``99.40 %  (95 % interval 99.12 to 99.60 %; 25 errors in 4,200 images)``.

    With a `character_error_rate`, images are of numbers: ``…; 25 errors in 4,200 numbers; 0.31 % of the
    characters wrong)``.
    """
    values = accuracy_values(images, errors)
    interval = percent_range(*values["accuracy_interval_95"])
    counts = f"{count(errors, 'error')} in {count(images, 'image')}"
    if character_error_rate is not None:
        wrong = f"{percent(character_error_rate)} of the characters wrong"
        counts = f"{count(errors, 'error')} in {count(images, 'number')}; {wrong}"
    return f"{percent(values['accuracy'])}  (95 % interval {interval}; {counts})"


def corrections_in_words(values: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Return names and texts of what a run gained from corrections and lost on the validation images.

    `values` are the ``corrections`` of its ``metrics.json``.
    """
    if values is None:
        return []
    corrections = count(values["images"], "correction")
    learned = f"{values['after']['right']:,} of {corrections} right, all of them in the training data"
    if "kept" not in values:
        return [("Corrections", f"{learned}; to measure gain and cost, use --from RUN")]
    gain = f"{values['before']['right']:,} of {values['images']:,} right before"
    if values["unseen"] is None:
        gain += "; too few to hold some out for evaluation"
    else:
        gain += f", {values['unseen']['right']:,} after, each by a network that was not trained on it"
    rows = [("Corrections", gain), ("Learned", learned)]
    validation, kept = values["validation"], values["kept"]
    if validation is None:
        return [*rows, ("Cost", "unknown: the original run holds no images out")]
    before = score_in_words(validation["before"]["images"], validation["before"]["errors"])
    changes = f"{validation['newly_right']:,} now right, {validation['newly_wrong']:,} now wrong"
    rows.append(("Cost", f"validation before {before}: {changes}"))
    more = f"more than {count(validation['allowed'], 'additional error')} on the validation images"
    if not kept:
        rows.append(("Kept", f"nothing: every change tried cost {more}, so the weights are unchanged"))
    elif kept < 1:
        rows.append(("Kept", f"{percent(kept, 0)} of the change of the weights; all would cost {more}"))
    return rows


def model_in_words(recipe: Recipe | NumbersRecipe) -> str:
    """Return what a model has besides one network; nothing if it is one network."""
    members = ["all members together"] if recipe.members > 1 else []
    shifts = ["with shifted images"] if recipe.shifts is not None else []
    return ", ".join(members + shifts)


def network_in_words(recipe: Recipe | NumbersRecipe) -> list[str]:
    """Return how the network that each epoch validates differs from the model."""
    members = ["one member"] if recipe.members > 1 else []
    return members + (["without shifted images"] if recipe.shifts is not None else [])


def setting_in_words(value: float, digits: int = 6) -> str:
    """Return a setting as one may type it: ``1000000`` in full, ``0.001`` with at most so many digits."""
    return str(value) if isinstance(value, int) else f"{value:.{digits}g}"


def spelled(words: list[str]) -> str:
    """Return ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def shorten(name: str, most: int = 22) -> str:
    """Return a name of at most `most` letters; a longer one loses its middle."""
    half = (most - 1) // 2
    return name if len(name) <= most else f"{name[:half]}…{name[-half:]}"
