"""The source and the model that a command line names, or that are used if it names none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from digit_recognizer.cli.events import Show, SourceChosen
from digit_recognizer.errors import DigitsError
from digit_recognizer.runs.environment import Environment, read_environment
from digit_recognizer.runs.run_folder import ENVIRONMENT, MODEL, check_finished, holds_training
from digit_recognizer.sources import find_source
from digit_recognizer.sources.load import BUNDLED, MNIST


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


def find_inputs(model: str | None, source: str | None) -> Inputs:
    """Tell a model from a source where only one is named, and find what is not named.

    Raises
    ------
    DigitsError
        A single argument names nothing that exists; the source is a run folder; the run is not finished.
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
    return Inputs(path, run, environment, source_or_default(source, environment))


def source_or_default(source: str | None, environment: Environment | None = None) -> str:
    """Return the source named, or the one that a run was trained on, or the one that is found.

    Raises
    ------
    DigitsError
        The source named is a run folder.
    """
    if source is not None and holds_training(Path(source)):
        raise DigitsError(f"{source} is a run folder; expected a source of digits")
    if source is None and environment is not None:
        source = recorded_source(environment) or None
    return find_source(source)


def choose_source(source: str | None, show: Show) -> str:
    """Return the source named, or the one that is found, and then say which."""
    found = find_source(source)
    if source is None:
        show(SourceChosen(found))
    return found


def recorded_source(environment: Environment) -> str:
    """Return the source that a run was trained on, relative to the current folder if it is below that."""
    source = environment.data.source
    path = Path(source)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else source


def absolute_source(source: str) -> str:
    """Return the absolute path of a source, or its name if it is not a path."""
    return str(Path(source).resolve()) if Path(source).exists() else source


def _is_model(path: Path) -> bool:
    return path.suffix == ".onnx" or holds_training(path)


def _check_exists(name: str) -> None:
    if name not in (BUNDLED, MNIST) and not Path(name).exists():
        raise DigitsError(f"{name} does not exist; expected a run folder, a model or a source of digits")
