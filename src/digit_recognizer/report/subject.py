"""What a report is about: a run, digits, and the predictions of the run's model for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import Digits, Predictions
from digit_recognizer.evaluation import Evaluation, evaluate
from digit_recognizer.formatting import count
from digit_recognizer.recognition import Recognizer
from digit_recognizer.runs.run import Run
from digit_recognizer.runs.split import read_split


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A run, and how its model reads the digits of a source.

    Attributes
    ----------
    run, recognizer
        The run and its model.
    digits, source
        All digits of a source, and the name of the source.
    is_own
        Whether the run was trained on these digits, or on a part of them.
    training_rows
        int64, rows of `digits` that the run was trained on; none unless `is_own`.
    evaluated_rows
        int64, rows of `digits` that the run is evaluated on. The run of a fold has validation images that are
        in neither.
    predictions
        For the evaluated images, in their order.
    evaluation
        None if there are no images to evaluate the run on, or if they have no labels.
    """

    run: Run
    recognizer: Recognizer
    digits: Digits
    source: str
    is_own: bool
    training_rows: NDArray[np.int64]
    evaluated_rows: NDArray[np.int64]
    predictions: Predictions
    evaluation: Evaluation | None

    @property
    def evaluated(self) -> Digits:
        """The digits that the run is evaluated on."""
        return self.digits[self.evaluated_rows]

    @property
    def labels(self) -> NDArray[np.int64]:
        """The labels of the evaluated images; only if there is an `evaluation`."""
        assert self.digits.labels is not None
        return self.digits.labels[self.evaluated_rows]

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Which of the evaluated images were read incorrectly: bool; only if there is an `evaluation`."""
        wrong: NDArray[np.bool_] = self.predictions.labels != self.labels
        return wrong

    @property
    def sample_rows(self) -> NDArray[np.int64]:
        """Rows of `digits` to take examples from: the evaluated ones if there are any."""
        return self.evaluated_rows if len(self.evaluated_rows) else self.training_rows

    def name_images(self, number: int) -> str:
        """Return ``25 validation images``, or ``1 image of SOURCE``."""
        return (
            count(number, "validation image") if self.is_own else f"{count(number, 'image')} of {self.source}"
        )

    @property
    def why_not_evaluated(self) -> str:
        """A sentence that says why there is no evaluation."""
        if not len(self.evaluated_rows):
            return "The run was trained on all of these images, so there are none to evaluate it on."
        return "These images have no labels, so the answers cannot be checked."


def evaluate_run(run: Run, digits: Digits, source: str = "") -> Subject:
    """Evaluate a run on the digits that it held out or, if it was trained on other digits, on all.

    Raises
    ------
    DigitsError
        The run is damaged.
    """
    recognizer = Recognizer(run.folder)
    is_own = run.environment.data.sha256 == digits.sha256()
    training_rows, evaluated_rows = np.arange(0), np.arange(len(digits))
    if is_own:
        split = read_split(run.folder, run.environment, len(digits))
        training_rows = split.training
        evaluated_rows = split.validation if split.fold is None else split.fold
    evaluated = digits[evaluated_rows]
    predictions = recognizer.predict(evaluated.images)
    evaluation = None
    if evaluated.labels is not None and len(evaluated):
        evaluation = evaluate(predictions, evaluated.labels)
    return Subject(
        run, recognizer, digits, source, is_own, training_rows, evaluated_rows, predictions, evaluation
    )
