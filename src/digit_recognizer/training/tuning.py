"""Search a recipe's own settings with Optuna, in an SQLite study that can be resumed.

Every trial is a training with the recipe's own split, judged by its validation images at the last epoch. They
have chosen the settings then, so they say nothing more about how good these are: ask other digits, or
`folds` with another seed.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterable, Mapping
from dataclasses import asdict, dataclass
from math import inf, isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import Any

import optuna
from optuna.trial import TrialState
from sqlalchemy import URL

from digit_recognizer.digits import Digits
from digit_recognizer.errors import DigitsError, first_line
from digit_recognizer.files import make_directory, write_text
from digit_recognizer.training.history import EpochRecord
from digit_recognizer.training.recipe import Recipe, as_recipe, recipe_from_toml, recipe_to_toml
from digit_recognizer.training.trainer import DivergedError, OnStep, train

__all__ = ["BEST", "Range", "Trial", "parse_ranges", "settings_of", "tune"]

STUDY, BEST = "study.db", "best.toml"
SCRATCH = ".trial-"  # how the run folder of the trial at work begins
NAME, STOPPED = "digits", "stopped"  # what the study calls itself, and a trial that did not end by itself
EACH_WAY = 4.0  # how far around a recipe's own value is searched, as a factor
FAR = 10  # ends of a range that lie so far apart, as a factor, are searched on a logarithmic scale
NEAR_ONE = ("beta_1", "beta_2", "momentum", "rho")
AROUND = ("learning_rate", "weight_decay", "vectors")
SEARCHED = ("batch_size", "label_smoothing")

Value = float | int


@dataclass(frozen=True, slots=True)
class Range:
    """Where a setting is searched.

    Attributes
    ----------
    key
        Such as ``optimizer.learning_rate``.
    low, high
        Whole numbers search whole numbers.
    logarithmic
        Whether each factor counts alike, instead of each difference.
    """

    key: str
    low: Value
    high: Value
    logarithmic: bool = False


@dataclass(frozen=True, slots=True)
class Trial:
    """What one trial came to.

    Attributes
    ----------
    number
        Counted from 1.
    settings
        What it changed in the recipe.
    errors
        On the validation images at the last epoch; None where the loss was no number or the trial was
        ended early, because others had been ahead of it at that epoch.
    epochs
        How many it was trained for.
    is_best
        Whether none before had fewer errors.
    """

    number: int
    settings: dict[str, Value]
    errors: int | None
    epochs: int
    is_best: bool


def settings_of(recipe: Recipe) -> list[Range]:
    """Return the settings of a recipe that are searched unless others are named, with their ranges.

    Learning rate, weight decay and the like: a factor of four each way, and momentum and betas the same in
    their distance to 1. Augmentation and label smoothing: up to twice as much. Batch size: a factor of two.
    """
    values = _flat(asdict(recipe))
    return [found for key, value in values.items() if (found := _range_around(key, value)) is not None]


def parse_ranges(texts: Iterable[str]) -> list[Range]:
    """Read ranges such as ``optimizer.learning_rate=0.001..0.1`` or ``batch_size=64..512``.

    Both ends positive and far apart (ten times or more): searched on a logarithmic scale.

    Raises
    ------
    DigitsError
        One is not understood.
    """
    return [_parse_range(text) for text in texts]


def tune(
    digits: Digits,
    recipe: Recipe | str | Path,
    folder: str | Path,
    *,
    trials: int,
    ranges: Iterable[Range] | None = None,
    seed: int = 0,
    device: str = "auto",
    on_step: OnStep | None = None,
    stop: Event | None = None,
) -> Generator[Trial]:
    """Try settings of a recipe, and keep the best as ``best.toml``.

    Parameters
    ----------
    digits, seed, device, on_step, stop
        As in `train`. Every trial has the same seed, so the same split and first weights.
    recipe
        With validation images.
    folder
        Where ``study.db`` and ``best.toml`` are, or are made. A study that is there is gone on with.
    trials
        How many in all, those that the study has already included.
    ranges
        What is searched; `settings_of` the recipe if None.

    Returns
    -------
    generator of Trial
        Each once it is over.

    Raises
    ------
    DigitsError
        As `train`; no validation images; the study there is one of another recipe, other digits, ranges or
        seed; Optuna is not installed.
    """
    loaded = as_recipe(recipe)
    if not loaded.split.validation:
        raise DigitsError(f"{loaded.name} holds no images out to judge a trial by: set split.validation=0.1")
    chosen = tuple(settings_of(loaded) if ranges is None else ranges)
    if not chosen:
        raise DigitsError(f"{loaded.name} has no settings to search: name some, such as batch_size=64..512")
    _check_ranges(loaded, chosen)  # before anything is written
    target = Path(folder)
    make_directory(target)
    description = {
        "recipe": recipe_to_toml(loaded),
        "digits": digits.sha256(),
        "ranges": [list(asdict(each).values()) for each in chosen],
        "seed": seed,
    }
    for left in target.glob(f"{SCRATCH}*"):  # by a search that was killed
        shutil.rmtree(left, ignore_errors=True)
    study = _open_study(target, loaded, description)
    search = _Search(study, loaded, target, chosen, seed)
    return _trials(search, digits, trials, device, on_step, stop)


@dataclass(frozen=True, slots=True)
class _Search:
    """What all trials of a call have in common; see `tune`."""

    study: Any
    recipe: Recipe
    folder: Path
    ranges: tuple[Range, ...]
    seed: int

    @property
    def done(self) -> int:
        """How many trials count: all but those at work, killed or stopped."""
        trials = self.study.get_trials(deepcopy=False)
        return sum(trial.state.is_finished() and STOPPED not in trial.user_attrs for trial in trials)

    @property
    def fewest(self) -> float:
        """The fewest errors of a trial so far."""
        complete = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return min((trial.value for trial in complete), default=inf)


def _trials(
    search: _Search, digits: Digits, trials: int, device: str, on_step: OnStep | None, stop: Event | None
) -> Generator[Trial]:
    while search.done < trials:
        asked = search.study.ask()
        settings = {each.key: _suggest(asked, each) for each in search.ranges}
        recipe = _changed(search.recipe, settings)
        with TemporaryDirectory(prefix=SCRATCH, dir=search.folder) as scratch:
            records = train(
                digits, recipe, scratch, seed=search.seed, device=device, on_step=on_step, stop=stop
            )
            history, state = _follow(asked, records)
        if stop is not None and stop.is_set():
            asked.set_user_attr(STOPPED, True)
            search.study.tell(asked, state=TrialState.FAIL)
            search.study.enqueue_trial(settings)  # the first to be tried when it goes on
            return
        errors = history[-1].validation_errors if state is TrialState.COMPLETE else None
        best = errors is not None and errors < search.fewest
        search.study.tell(asked, errors, state)
        if best:
            write_text(search.folder / BEST, recipe_to_toml(recipe))
        yield Trial(search.done, settings, errors, len(history), best)


def _follow(asked: Any, records: Generator[EpochRecord]) -> tuple[list[EpochRecord], TrialState]:
    """Take a trial's records until its end, or until it is far behind the others."""
    history: list[EpochRecord] = []
    try:
        for record in records:
            history.append(record)
            asked.report(record.validation_errors, len(history))
            if asked.should_prune():
                records.close()
                return history, TrialState.PRUNED
    except DivergedError:
        return history, TrialState.FAIL
    return history, TrialState.COMPLETE


def _open_study(folder: Path, recipe: Recipe, description: dict[str, Any]) -> Any:
    """Open or make the study in a folder; `DigitsError` where the one there is of something else."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner(n_warmup_steps=recipe.epochs // 3)
    address = URL.create("sqlite", database=str(folder / STUDY))  # of a "?" or "%" in it, too
    try:
        study = optuna.create_study(
            storage=address.render_as_string(), pruner=pruner, study_name=NAME, load_if_exists=True
        )
        found = study.user_attrs or None
        done = len(study.get_trials(deepcopy=False))
        if found is None:
            for key, value in description.items():
                study.set_user_attr(key, value)
            study.enqueue_trial(_own_values(recipe, description["ranges"]))
    except Exception as error:  # Optuna's, SQLAlchemy's and SQLite's share no base
        raise DigitsError(f"{folder / STUDY} is damaged or cannot be written: {first_line(error)}") from error
    differing = [key for key, value in description.items() if found and found.get(key) != value]
    if differing:
        raise DigitsError(
            f"{folder} holds a study with other {' and '.join(differing)}: "
            "go on with what it was begun with, or name another folder with --out"
        )
    seed = (description["seed"] + done) % 2**32  # not the same draws again
    study.sampler = optuna.samplers.TPESampler(seed=seed)
    return study


def _own_values(recipe: Recipe, ranges: Iterable[list[Any]]) -> dict[str, Value]:
    """Return a recipe's own values of what is searched, where they lie in their ranges."""
    values = _flat(asdict(recipe))
    return {key: values[key] for key, low, high, *_ in ranges if key in values and low <= values[key] <= high}


def _suggest(asked: Any, each: Range) -> Value:
    suggest = asked.suggest_int if isinstance(each.low, int) else asked.suggest_float
    value: Value = suggest(each.key, each.low, each.high, log=each.logarithmic)
    return value


def _changed(recipe: Recipe, settings: Mapping[str, Value]) -> Recipe:
    """Return a recipe with other settings; `DigitsError` where one is unknown or out of range."""
    changes = [f"{key}={value}" for key, value in settings.items()]
    return recipe_from_toml(recipe_to_toml(recipe), recipe.name, changes)


def _check_ranges(recipe: Recipe, ranges: Iterable[Range]) -> None:
    """Raise `DigitsError` where a setting is unknown, named twice, out of range or cannot be compared."""
    seen: set[str] = set()
    for each in ranges:
        if each.key in seen or each.key.startswith(("split.", "teacher.")):
            raise DigitsError(f"{each.key} cannot be searched{' twice' if each.key in seen else ''}")
        seen.add(each.key)
        for end in (each.low, each.high):
            _changed(recipe, {each.key: end})


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Value]:
    """Return the numbers of a nested table under their dotted keys."""
    numbers: dict[str, Value] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            numbers |= _flat(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            numbers[prefix + key] = value
    return numbers


def _range_around(key: str, value: Value) -> Range | None:
    """Return where a setting is searched by default; None where it is left as it is."""
    section, _, name = key.rpartition(".")
    if not value or (section not in ("optimizer", "augmentation", "schedule") and key not in SEARCHED):
        return None
    if key == "batch_size":
        return Range(key, max(1, int(value) // 2), int(value) * 2, logarithmic=True)
    if name in NEAR_ONE:
        away = 1 - float(value)
        return Range(key, max(0.0, 1 - away * EACH_WAY), 1 - away / EACH_WAY)
    if name in AROUND:
        return Range(key, value / EACH_WAY, value * EACH_WAY, logarithmic=True)
    if section == "augmentation" or name in ("label_smoothing", "warmup"):
        return Range(key, 0.0, float(min(2 * value, 180 if name == "rotation" else 0.9)))
    return None


def _parse_range(text: str) -> Range:
    key, equals, ends = text.partition("=")
    low, dots, high = ends.partition("..")
    try:
        if not (equals and dots and key.strip()):
            raise ValueError(text)
        whole = low.strip().isdecimal() and high.strip().isdecimal()
        numbers = (int(low), int(high)) if whole else (float(low), float(high))
        if not (isfinite(numbers[0]) and isfinite(numbers[1]) and numbers[0] < numbers[1]):
            raise ValueError(text)
    except ValueError:
        raise DigitsError(
            f"expected a range such as optimizer.learning_rate=0.001..0.1, got {text!r}"
        ) from None
    least, most = numbers
    return Range(key.strip(), least, most, logarithmic=least > 0 and most / least >= FAR)
