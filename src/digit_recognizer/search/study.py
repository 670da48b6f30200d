"""What a search remembers: an Optuna study in an SQLite file, and the best recipe beside it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

from digit_recognizer.digits import Digits
from digit_recognizer.errors import DigitsError, first_line
from digit_recognizer.files import write_text
from digit_recognizer.recipes.recipe import Recipe, recipe_to_toml
from digit_recognizer.search.space import Range, Value, changed, own_values

STUDY, BEST = "study.db", "best.toml"
NAME, DIVERGED = "digits", "diverged"  # what the study calls itself, and a trial whose loss was no number
OF_STORAGE = (StorageInternalError, SQLAlchemyError)  # errors that Optuna's storage raises
UNWRITABLE = {  # causes that lie with the file system; the low byte of https://sqlite.org/rescode.html
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
}


@dataclass(frozen=True, slots=True)
class Study:
    """The trials of a search so far.

    Attributes
    ----------
    optuna
        Optuna's own study.
    folder
        Where ``study.db`` and ``best.toml`` are.
    recipe
        What the trials change.
    ranges
        Where.
    """

    optuna: Any
    folder: Path
    recipe: Recipe
    ranges: tuple[Range, ...]

    @property
    def done(self) -> int:
        """How many trials count: all but those that did not end by themselves."""
        return sum(_counts(trial) for trial in self._trials())

    @property
    def fewest(self) -> float:
        """The fewest errors of a trial so far."""
        return min((trial.value for trial in self._complete()), default=inf)

    def draw(self) -> tuple[Any, dict[str, Value]]:
        """Begin a trial: return Optuna's, and the settings to try."""
        asked = self.optuna.ask()
        return asked, {each.key: _suggest(asked, each) for each in self.ranges}

    def end(self, asked: Any, errors: int | None, state: TrialState) -> None:
        """Note what a trial came to; FAIL: its loss was no number."""
        if state is TrialState.FAIL:
            asked.set_user_attr(DIVERGED, True)
        self.optuna.tell(asked, errors, state)

    def give_up(self, asked: Any, settings: Mapping[str, Value]) -> None:
        """Note that a trial was stopped; its settings are the first to be tried when the search goes on."""
        self.optuna.tell(asked, state=TrialState.FAIL)
        self.optuna.enqueue_trial(settings)

    def write_best(self) -> None:
        """Write the recipe of the best trial, the first of those with the fewest errors; none, nothing."""
        best = min(self._complete(), key=lambda trial: trial.value, default=None)
        if best is not None:
            write_text(self.folder / BEST, recipe_to_toml(changed(self.recipe, best.params)))

    def tidy(self) -> None:
        """End what a killed process left at work; wait with the recipe's own values until they are tried."""
        for trial in self._trials():
            if trial.state is TrialState.RUNNING:
                self.optuna.tell(trial.number, state=TrialState.FAIL)
        own = own_values(self.recipe, self.ranges)
        if not any(own.items() <= tried.items() for tried in self._tried()):
            self.optuna.enqueue_trial(own)

    def _tried(self) -> Iterator[dict[str, Value]]:
        """Yield the settings of the trials that count or wait."""
        for trial in self._trials():
            if _counts(trial):
                yield trial.params
            elif trial.state is TrialState.WAITING:
                yield trial.system_attrs.get("fixed_params", {})

    def _trials(self) -> list[Any]:
        return list(self.optuna.get_trials(deepcopy=False))

    def _complete(self) -> list[Any]:
        return [trial for trial in self._trials() if trial.state is TrialState.COMPLETE]


def open_study(folder: Path, recipe: Recipe, ranges: tuple[Range, ...], digits: Digits, seed: int) -> Study:
    """Open or make the study in a folder, and see that nothing is missing that a kill may have lost.

    Raises
    ------
    DigitsError
        The one there is of something else, is damaged, or cannot be written.
    """
    description = {
        "recipe": recipe_to_toml(recipe),
        "digits": digits.sha256(),
        "ranges": [list(asdict(each).values()) for each in ranges],
        "seed": seed,
    }
    with named_errors(folder, (Exception,)):  # what a damaged file leads to is not only of storage
        opened = _open(folder, recipe.epochs)
        trials = len(opened.get_trials(deepcopy=False))
        if trials:
            _compare(opened.user_attrs, description, folder)
        else:
            _describe(opened, description)
        study = Study(opened, folder, recipe, ranges)
        study.tidy()
        study.write_best()
    opened.sampler = optuna.samplers.TPESampler(seed=(seed + trials) % 2**32)  # not the same draws again
    return study


@contextmanager
def named_errors(folder: Path, kinds: tuple[type[Exception], ...] = OF_STORAGE) -> Iterator[None]:
    """Turn errors of the study's file into a `DigitsError`."""
    try:
        yield
    except DigitsError:
        raise
    except kinds as error:
        cause = _of_file_system(error)
        if cause is not None:
            raise DigitsError(f"cannot write into {folder}: {cause}") from error
        raise DigitsError(f"{folder / STUDY} is damaged or cannot be written: {first_line(error)}") from error


def _open(folder: Path, epochs: int) -> Any:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    address = URL.create("sqlite", database=str(folder / STUDY))  # of a "?" or "%" in it, too
    return optuna.create_study(
        storage=address.render_as_string(),
        pruner=optuna.pruners.MedianPruner(n_warmup_steps=epochs // 3),
        study_name=NAME,
        load_if_exists=True,
    )


def _describe(opened: Any, description: Mapping[str, Any]) -> None:
    for key, value in description.items():
        opened.set_user_attr(key, value)


def _compare(found: Mapping[str, Any], description: Mapping[str, Any], folder: Path) -> None:
    """Raise `DigitsError` where a study is of something else."""
    *others, last = [key for key, value in description.items() if found.get(key) != value] or [""]
    if last:
        differing = f"{', '.join(others)} and {last}" if others else last
        raise DigitsError(
            f"{folder} holds a study with other {differing}: "
            "go on with what it was begun with, or name another folder with --out"
        )


def _of_file_system(error: BaseException | None) -> sqlite3.Error | None:
    """Return SQLite's error behind another, where it says that a file cannot be written."""
    while error is not None:
        if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in UNWRITABLE:
            return error
        error = error.__cause__
    return None


def _counts(trial: Any) -> bool:
    """Say whether a trial ended by itself."""
    ended = trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
    return ended or (trial.state is TrialState.FAIL and DIVERGED in trial.user_attrs)


def _suggest(asked: Any, each: Range) -> Value:
    suggest = asked.suggest_int if isinstance(each.low, int) else asked.suggest_float
    value: Value = suggest(each.key, each.low, each.high, log=each.logarithmic)
    return value
