"""The pictures of numbers that a command line names, or that a run was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from digit_recognizer.errors import DigitsError
from digit_recognizer.runs.environment import read_environment, recorded_source
from digit_recognizer.runs.run_folder import ENVIRONMENT, RECIPE

if TYPE_CHECKING:
    from digit_recognizer.sources.numbers import NumberPictures


def is_numbers_run(run: Path) -> bool:
    """Return whether a folder is of a run, or of a cross-validation, on pictures of numbers."""
    from digit_recognizer.recipes import NumbersRecipe, load_any_recipe

    if not (run / RECIPE).exists():
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
    recorded = recorded_source(run)
    check_not_moved(recorded, command)
    return relative_source(recorded)


def check_same_pictures(folder: Path, pictures: NumberPictures, source: str) -> None:
    """Raise `DigitsError` unless these are the pictures that a run or a cross-validation was started with."""
    from digit_recognizer.cli.inputs import FIRST_FOLD

    for run in (folder, folder / FIRST_FOLD):
        if not (run / ENVIRONMENT).exists():
            continue
        data = read_environment(run).data
        if data.sha256 != pictures.without_test().sha256():
            raise DigitsError(
                f"{source} has other pictures or labels than {folder} was started with: restore them, or "
                f"name those of {data.source or 'that training'}"
            )
