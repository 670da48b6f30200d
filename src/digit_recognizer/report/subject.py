"""A run and the digits that it is looked at with: what every section of a report starts from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import Digits, Predictions
from digit_recognizer.errors import DigitsError
from digit_recognizer.evaluation import Evaluation, evaluate
from digit_recognizer.recipes import Recipe, load_recipe
from digit_recognizer.recognition import Recognizer
from digit_recognizer.runs import run_folder
from digit_recognizer.runs.history import EpochRecord, read_history


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What a finished run folder says.

    Attributes
    ----------
    folder
        Where it is.
    recipe
        As it ran.
    environment, metrics
        Its ``environment.json`` and ``metrics.json``.
    history
        A record for each epoch, at least one.
    """

    folder: Path
    recipe: Recipe
    environment: dict[str, Any]
    metrics: dict[str, Any]
    history: list[EpochRecord]

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.folder.resolve().name

    @property
    def model_bytes(self) -> int:
        """The size of its ``model.onnx``."""
        return (self.folder / run_folder.MODEL).stat().st_size


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """A run, and what its model makes of digits.

    Attributes
    ----------
    run, recognizer
        The run and its model.
    digits, source
        All the digits of a source, and what the source is called.
    is_own
        Whether the run was trained on (a part of) these digits.
    training_rows, judged_rows
        int64, of `digits`: those that the run was trained on, none if it is not `is_own`; and those that
        it is judged by. In cross-validation some may be neither, for validation on the way.
    predictions
        Of the judged images, in their order.
    evaluation
        None where no image is judged or these have no labels.
    """

    run: Run
    recognizer: Recognizer
    digits: Digits
    source: str
    is_own: bool
    training_rows: NDArray[np.int64]
    judged_rows: NDArray[np.int64]
    predictions: Predictions
    evaluation: Evaluation | None

    @property
    def judged(self) -> Digits:
        """The digits that the run never saw."""
        return self.digits[self.judged_rows]

    @property
    def labels(self) -> NDArray[np.int64]:
        """The labels of the judged images; only where there is an `evaluation`."""
        assert self.digits.labels is not None
        return self.digits.labels[self.judged_rows]

    def judged_in_words(self, number: int) -> str:
        """Return ``25 validation images``, or ``1 image of SOURCE``."""
        noun = "image" if number == 1 else "images"
        return f"{number:,} validation {noun}" if self.is_own else f"{number:,} {noun} of {self.source}"

    @property
    def why_not_judged(self) -> str:
        """Why there is no evaluation, in a sentence."""
        if not len(self.judged_rows):
            return "The run was trained on all of these images, so there are none to judge it by."
        return "These images have no labels, so right and wrong cannot be told apart."


def read_run(folder: str | Path) -> Run:
    """Read a finished run folder.

    Raises
    ------
    DigitsError
        There is no run folder, it is not finished, damaged, or written by a newer version.
    """
    path = Path(folder)
    environment = run_folder.read_environment(path)
    run_folder.check_finished(path)
    _check_environment(environment, path / run_folder.ENVIRONMENT)
    metrics = run_folder.read_json(path / run_folder.METRICS)
    wanted = ("epochs", "seconds", "training_images", "parameters", "trained_parameters")
    if not all(isinstance(metrics.get(key), int | float) for key in wanted):
        raise DigitsError(f"{path / run_folder.METRICS} is damaged: expected numbers for {', '.join(wanted)}")
    history = read_history(path / run_folder.HISTORY)
    if not history:
        raise DigitsError(f"{path / run_folder.HISTORY} is damaged: it has no epochs")
    return Run(path, load_recipe(path / run_folder.RECIPE), environment, metrics, history)


def _check_environment(environment: dict[str, Any], path: Path) -> None:
    """Raise `DigitsError` unless what a page tells of a run's data, versions and machine can be told."""
    for part in ("versions", "machine"):
        if not isinstance(environment.get(part, {}), dict):
            raise DigitsError(f"{path} is damaged: expected an object for {part}")
    numbers = [environment["data"].get(name, 0) for name in ("images", "held_out")]
    numbers.append(environment.get("machine", {}).get("threads", 0))
    if not all(isinstance(number, int) for number in numbers):
        raise DigitsError(f"{path} is damaged: expected whole numbers of images and threads, found {numbers}")


def study_run(run: Run, digits: Digits, source: str = "") -> Study:
    """Predict what a run was not trained on.

    Parameters
    ----------
    run
        As `read_run` gives it.
    digits
        Of any source; where they are the run's own, those it held out are judged, else all.
    source
        What the source is called.

    Raises
    ------
    DigitsError
        The run is damaged.
    """
    recognizer = Recognizer(run.folder)
    rows = np.arange(len(digits))
    held_out = run_folder.held_out_rows(run.folder, digits)
    is_own = held_out is not None
    judged_rows = rows if held_out is None else held_out
    judged = digits[judged_rows]
    predictions = recognizer.predict(judged.images)
    evaluation = None
    if judged.labels is not None and len(judged):
        evaluation = evaluate(predictions, judged.labels)
    training_rows = np.setdiff1d(rows, judged_rows)
    if is_own:
        training_rows = np.setdiff1d(training_rows, run_folder.read_validation_rows(run.folder))
    return Study(run, recognizer, digits, source, is_own, training_rows, judged_rows, predictions, evaluation)
