"""The source and the model that a command line names, or that are used if it names none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from digit_recognizer.cli.events import Show, SourceChosen
from digit_recognizer.cli.options import RUNS
from digit_recognizer.cli.terminal import as_argument, command_line
from digit_recognizer.errors import DigitsError, did_you_mean_path
from digit_recognizer.files import check_can_create
from digit_recognizer.formatting import count
from digit_recognizer.runs.environment import Environment, read_environment
from digit_recognizer.runs.run_folder import (
    ENVIRONMENT,
    MODEL,
    RECIPE,
    check_finished,
    check_free,
    holds_training,
    is_cross_validation,
    is_finished,
)
from digit_recognizer.sources import find_source, kind_of_file, load_digits
from digit_recognizer.sources.formats import WORDS, named_word

if TYPE_CHECKING:
    from digit_recognizer.digits import Digits
    from digit_recognizer.sources.common import Part

FOREIGN_MODELS = (
    *(".ckpt", ".h5", ".hdf5", ".joblib", ".keras", ".pb", ".pickle", ".pkl", ".pt", ".pth"),
    *(".safetensors", ".tflite"),
)  # how models of other programs end
FIRST_FOLD = "fold-1"  # the folder of the first run of a cross-validation


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the arguments of a command are.

    Attributes
    ----------
    model
        A file; None for the model that comes with the package.
    run, environment
        The run folder that the model is in, and what that says; None for a model outside of a run.
    source
        The digits.
    """

    model: Path | None
    run: Path | None
    environment: Environment | None
    source: str


def find_inputs(model: str | None, source: str | None, command: str = "evaluate") -> Inputs:
    """Tell a model from a source where only one is named, and find what is not named.

    Raises
    ------
    DigitsError
        A single argument names nothing that exists; the source is a run folder; the run is not finished, or
        its source has moved, so that `command` needs to name it.
    """
    if model is not None and source is None and not _is_model(Path(model)):
        _check_exists(model)
        model, source = None, model
    if model is None:
        return Inputs(None, None, None, source_or_default(source))
    path = Path(model)
    run = path if path.is_dir() else path.parent
    if path.is_dir():
        environment = read_environment(path)
        check_finished(path)
        path = path / MODEL
    elif (run / ENVIRONMENT).exists():
        environment = read_environment(run)
    else:
        return Inputs(path, None, None, source_or_default(source))
    if source is None:
        check_not_moved(environment.data.source, command_line(command, as_argument(Path(model)), "SOURCE"))
    return Inputs(path, run, environment, source_or_default(source, environment.data.source))


def source_or_default(source: str | None, recorded: str = "") -> str:
    """Return the source named, or the one `recorded` by a run, or the one that is found.

    Raises
    ------
    DigitsError
        The source named is a run folder.
    """
    if source is not None and holds_training(Path(source)):
        raise DigitsError(f"{source} is a run folder; expected a source of digits")
    if source is None:
        source = relative_source(recorded) or None
    return find_source(source)


def choose_source(source: str | None, show: Show) -> str:
    """Return the source named, or the one that is found, and then say which."""
    found = find_source(source)
    if source is None:
        show(SourceChosen(found))
    return found


def load(source: str, part: Part = "train", *, skip_bad: bool = False) -> Digits:
    """Load a part of a source."""
    return load_digits(source, part, skip_bad=skip_bad)


def check_not_moved(source: str, command: str) -> None:
    """Raise `DigitsError` with the command to type if the recorded source of a run is not where it was."""
    if Path(source).is_absolute() and not Path(source).exists():
        raise DigitsError(f"{source}, the source of this run, has moved or is deleted; name it: {command}")


def _check_same_digits(environment: Environment, digits: Digits, run: Path, source: str) -> None:
    """Raise `DigitsError` unless these are the digits that a run was started with."""
    data = environment.data
    if data.sha256 == digits.sha256():
        return
    numbers = f"{count(data.images, 'image')} then, {len(digits):,} now"
    if len(digits) == data.images:
        numbers = f"{count(data.images, 'image')}, but not the same"
    if absolute_source(source) == data.source:
        raise DigitsError(
            f"{source} has changed since {run} was started ({numbers}): restore it, or name the same digits "
            f"in another place: {command_line('train', '--resume', as_argument(run), 'SOURCE')}"
        )
    raise DigitsError(
        f"{source} has other digits than {run} was started with ({numbers.replace(' now', ' here')}): name "
        f"those of {data.source or 'that training'}, wherever they are now"
    )


def check_folders(out: Path | None, resume: Path | None, start: Path | None, epochs: int | None) -> None:
    """Raise `DigitsError` for a folder that cannot be used, before torch is imported and digits are read."""
    if start is not None:
        read_environment(start)
        check_finished(start)
    if out is not None:
        check_free(out)
    if resume is None:
        check_can_create(out or RUNS)
    elif not is_cross_validation(resume):
        read_environment(resume)
        check_can_create(resume)
        _check_can_resume(resume, epochs)


def _check_can_resume(run: Path, epochs: int | None) -> None:
    """Raise `DigitsError` if a run is finished and cannot be trained for as many epochs."""
    from digit_recognizer.recipes import load_any_recipe
    from digit_recognizer.runs.metrics import read_metrics

    if not is_finished(run):
        return
    recipe, done = load_any_recipe(run / RECIPE), read_metrics(run).epochs
    if recipe.members > 1 and epochs is not None:
        raise DigitsError(f"{run} has complete members: the number of epochs cannot be changed any more")
    if recipe.members == 1 and recipe.stopping is None and (epochs is None or epochs <= done):
        command = command_line("train", "--resume", as_argument(run), "--epochs", str(done + 5))
        raise DigitsError(f"{run} is finished after {count(done, 'epoch')}; to train it further: {command}")


def check_digits_of_run(folder: Path, digits: Digits, source: str) -> None:
    """Raise `DigitsError` unless these are the digits that a run or a cross-validation was started with."""
    runs = [folder, folder / FIRST_FOLD]
    for run in runs:
        if (run / ENVIRONMENT).exists():
            _check_same_digits(read_environment(run), digits, folder, source)


def relative_source(source: str) -> str:
    """Return a recorded source, relative to the current folder if it is below that."""
    path = Path(source)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else source


def absolute_source(source: str) -> str:
    """Return the absolute path of a source, or its name if it is not a path."""
    return str(Path(source).resolve()) if Path(source).exists() else source


def _is_model(path: Path) -> bool:
    return path.suffix == ".onnx" or holds_training(path)


def _check_exists(name: str) -> None:
    """Raise `DigitsError` if a single word names nothing, or a model of another program."""
    path = Path(name)
    if path.suffix.lower() in FOREIGN_MODELS and path.is_file():
        kind = kind_of_file(path) or f"a file that ends in {path.suffix}"
        raise DigitsError(
            f"{name} is {kind}: neither a model, which is a run folder or the {MODEL} in one, nor a source "
            "of digits"
        )
    if named_word(name) is None and not path.exists():
        raise DigitsError(
            f"{name} does not exist; expected a run folder, a model or a source of digits"
            f"{did_you_mean_path(name, WORDS)}"
        )
