"""The memory of a search: an Optuna study in an SQLite file, and the best recipe next to it."""

from __future__ import annotations

import sqlite3
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

from digit_recognizer.digits import Digits
from digit_recognizer.errors import DigitsError, first_line
from digit_recognizer.files import write_text
from digit_recognizer.recipes import Recipe, recipe_to_toml
from digit_recognizer.search.space import Range, Value, apply, own_values

STUDY, BEST = "study.db", "best.toml"
STUDY_NAME = "digits"
DIVERGED = "diverged"  # attribute of a trial whose loss was not a finite number
STORAGE_ERRORS = (StorageInternalError, SQLAlchemyError)
FILE_SYSTEM_CODES = {  # of SQLite: the file cannot be written; low byte of https://sqlite.org/rescode.html
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
}


@dataclass(frozen=True, slots=True)
class Study:
    """The trials of a search so far."""

    optuna_study: optuna.Study
    folder: Path  # of study.db and best.toml
    recipe: Recipe  # that the trials change
    ranges: tuple[Range, ...]

    @property
    def completed(self) -> int:
        """Number of trials that ended by themselves."""
        return sum(map(_is_completed, self._trials()))

    @property
    def fewest_errors(self) -> float:
        """The fewest errors of a trial so far."""
        return min((trial.values[0] for trial in self.successful()), default=inf)

    def successful(self) -> list[FrozenTrial]:
        """Return the trials that were trained to their end."""
        return [trial for trial in self._trials() if trial.state is TrialState.COMPLETE]

    def start_trial(self) -> tuple[optuna.Trial, dict[str, Value]]:
        """Start a trial; return Optuna's trial and the values to try."""
        trial = self.optuna_study.ask()
        return trial, {each.key: _suggest(trial, each) for each in self.ranges}

    def end_trial(self, trial: optuna.Trial, errors: int | None, state: TrialState) -> None:
        """Record the result of a trial; the state FAIL means that it diverged."""
        if state is TrialState.FAIL:
            trial.set_user_attr(DIVERGED, True)
        self.optuna_study.tell(trial, errors, state)

    def abandon_trial(self, trial: optuna.Trial, values: Mapping[str, Value]) -> None:
        """Record that a trial was interrupted; its values are tried first when the search is resumed."""
        self.optuna_study.tell(trial, state=TrialState.FAIL)
        self.optuna_study.enqueue_trial(dict(values))

    def write_best(self) -> None:
        """Write the recipe of the first trial with the fewest errors; without one, write nothing."""
        best = min(self.successful(), key=lambda trial: trial.values[0], default=None)
        if best is not None:
            write_text(self.folder / BEST, recipe_to_toml(apply(self.recipe, best.params)))

    def repair(self) -> None:
        """Mark trials left running as failed; enqueue the recipe's own values if untried."""
        for trial in self._trials():
            if trial.state is TrialState.RUNNING:
                self.optuna_study.tell(trial.number, state=TrialState.FAIL)
        own = own_values(self.recipe, self.ranges)
        if not any(own.items() <= tried.items() for tried in self._tried()):
            self.optuna_study.enqueue_trial(own)

    def _tried(self) -> Iterator[dict[str, Value]]:
        """Yield the values of trials that are completed or waiting."""
        for trial in self._trials():
            if _is_completed(trial):
                yield trial.params
            elif trial.state is TrialState.WAITING:
                yield trial.system_attrs.get("fixed_params", {})

    def _trials(self) -> list[FrozenTrial]:
        return self.optuna_study.get_trials(deepcopy=False)


def open_study(folder: Path, recipe: Recipe, ranges: tuple[Range, ...], digits: Digits, seed: int) -> Study:
    """Open or create the study in a folder, and restore what a killed process may have lost.

    Raises `DigitsError` if the study has another recipe, other digits, ranges or another seed, if it is
    damaged, or if it cannot be written.
    """
    description = {
        "recipe": recipe_to_toml(recipe),
        "digits": digits.sha256(),
        "ranges": [list(asdict(each).values()) for each in ranges],
        "seed": seed,
    }
    with named_errors(folder, (Exception,)):  # a damaged file does not only lead to errors of the storage
        opened = _open(folder, recipe.epochs)
        trials = len(opened.get_trials(deepcopy=False))
        if trials:
            _compare(opened.user_attrs, description, folder)
        else:
            for key, value in description.items():
                opened.set_user_attr(key, value)
        study = Study(opened, folder, recipe, ranges)
        study.repair()
        study.write_best()
    # a resumed search must not repeat the draws of the search before
    opened.sampler = optuna.samplers.TPESampler(seed=(seed + trials) % 2**32)
    return study


def count_completed(folder: Path) -> int:
    """Return the number of trials that the study in a folder has completed; 0 if there is none."""
    if not (folder / STUDY).exists():
        return 0
    with named_errors(folder, (Exception,)):
        return sum(map(_is_completed, _open(folder, epochs=1).get_trials(deepcopy=False)))


def make_pruner(epochs: int) -> optuna.pruners.BasePruner:
    """Return what ends trials early that are worse than most others were after as many epochs."""
    return optuna.pruners.MedianPruner(n_warmup_steps=epochs // 3)


@contextmanager
def named_errors(folder: Path, kinds: tuple[type[Exception], ...] = STORAGE_ERRORS) -> Iterator[None]:
    """Turn errors of the study's file into a `DigitsError`."""
    try:
        yield
    except DigitsError:
        raise
    except kinds as error:
        cause = _file_system_error(error)
        if cause is not None:
            raise DigitsError(f"cannot write into {folder}: {cause}") from error
        raise DigitsError(f"{folder / STUDY} is damaged or cannot be written: {first_line(error)}") from error


def _open(folder: Path, epochs: int) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    address = URL.create("sqlite", database=str(folder / STUDY))  # quotes "?" and "%" in the path
    return optuna.create_study(
        storage=address.render_as_string(),
        pruner=make_pruner(epochs),
        study_name=STUDY_NAME,
        load_if_exists=True,
    )


def _compare(found: Mapping[str, Any], description: Mapping[str, Any], folder: Path) -> None:
    """Raise `DigitsError` if a study was started with something else."""
    differing = [
        key for key, value in description.items() if _essence(key, found.get(key)) != _essence(key, value)
    ]
    if differing:
        raise DigitsError(
            f"{folder} holds a study that was started with other values of: {', '.join(differing)}; "
            "use the same as before, or choose another folder with --out"
        )


def _essence(key: str, value: Any) -> Any:
    """Return a value without what may change while a search is interrupted: a recipe's texts."""
    if key != "recipe" or value is None:
        return value
    return {name: part for name, part in tomllib.loads(value).items() if name not in ("summary", "reached")}


def _file_system_error(error: BaseException | None) -> sqlite3.Error | None:
    """Return the error of SQLite that caused another, if the file cannot be written."""
    while error is not None:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if isinstance(error, sqlite3.Error) and code in FILE_SYSTEM_CODES:
            return error
        error = error.__cause__
    return None


def _is_completed(trial: FrozenTrial) -> bool:
    """Return whether a trial ended by itself: completed, pruned or diverged."""
    if trial.state is TrialState.FAIL:
        return DIVERGED in trial.user_attrs
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED)


def _suggest(trial: optuna.Trial, each: Range) -> Value:
    if isinstance(each.low, int) and isinstance(each.high, int):
        return trial.suggest_int(each.key, each.low, each.high, log=each.logarithmic)
    return trial.suggest_float(each.key, each.low, each.high, log=each.logarithmic)
