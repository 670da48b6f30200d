"""The pictures of numbers that a command line names, or that a run was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from digit_recognizer.errors import DigitsError
from digit_recognizer.runs.environment import Environment, read_environment
from digit_recognizer.runs.run_folder import RECIPE, is_cross_validation

if TYPE_CHECKING:
    from digit_recognizer.sources.numbers import NumberPictures


def is_numbers_run(run: Path) -> bool:
    """Return whether a run folder is one of pictures of numbers."""
    from digit_recognizer.recipes import NumbersRecipe, load_any_recipe

    if is_cross_validation(run) or not (run / RECIPE).exists():
        return False
    return isinstance(load_any_recipe(run / RECIPE), NumbersRecipe)


def named_source(source: str | None, run: Path | None, command: str) -> str:
    """Return the table of pictures that is named, or the one that a run was trained on."""
    from digit_recognizer.cli.inputs import check_not_moved, relative_source

    if source is not None:
        return source
    if run is None:
        raise DigitsError(
            "name the pictures to learn from: a CSV with the columns file and label, such as cells/labels.csv"
        )
    recorded = read_environment(run).data.source
    check_not_moved(recorded, command)
    return relative_source(recorded)


def check_same_pictures(environment: Environment, pictures: NumberPictures, run: Path, source: str) -> None:
    """Raise `DigitsError` unless these are the pictures that a run was started with."""
    if environment.data.sha256 != pictures.without_test().sha256():
        raise DigitsError(
            f"{source} has other pictures or labels than {run} was started with: restore them, or name "
            f"those of {environment.data.source or 'that training'}"
        )
