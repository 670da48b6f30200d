"""From the product of a number's probabilities to how often such a number is right.

Platt scaling: the logarithm of the odds is multiplied and shifted, by two parameters that are fitted once and
stored beside the model (Platt 1999; Guo et al. 2017, https://arxiv.org/abs/1706.04599).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.errors import DigitsError

ITERATIONS = 25  # of Newton's method
CLOSEST_TO_CERTAIN = 1e-6
RIDGE = 1e-3  # keeps the parameters finite
MAX_LOGIT, SMALLEST_STEP = 30.0, 1e-9


@dataclass(frozen=True, slots=True)
class Calibration:
    """The parameters; by default, confidences stay as they are."""

    scale: float = 1.0
    shift: float = 0.0

    def apply(self, confidence: float) -> float:
        """Return the calibrated confidence, 0 to 1."""
        if (self.scale, self.shift) == (1.0, 0.0) or not 0 < confidence < 1:
            return confidence
        logit = self.scale * math.log(confidence / (1 - confidence)) + self.shift
        return 1 / (1 + math.exp(-logit)) if logit > 0 else math.exp(logit) / (1 + math.exp(logit))


IDENTITY = Calibration()


def load_calibration(path: Path) -> Calibration:
    """Load the parameters that are stored beside a model; without the file, confidences stay as they are.

    Raises
    ------
    DigitsError
        The file is damaged.
    """
    if not path.exists():
        return IDENTITY
    try:
        values = json.loads(path.read_text("utf-8"))
        calibration = Calibration(float(values["scale"]), float(values["shift"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DigitsError(f"{path} is damaged ({error}); expected the numbers scale and shift") from error
    if not (calibration.scale > 0 and math.isfinite(calibration.scale + calibration.shift)):
        raise DigitsError(f"{path} is damaged: expected a finite shift and a scale above 0, got {values}")
    return calibration


def fit_calibration(confidences: Sequence[float], right: Sequence[bool]) -> Calibration:
    """Return the most probable parameters, given which of at least one confidences were right."""
    clipped = np.clip(np.array(confidences, float), CLOSEST_TO_CERTAIN, 1 - CLOSEST_TO_CERTAIN)
    inputs = np.stack([np.log(clipped / (1 - clipped)), np.ones(len(clipped))], axis=1)
    is_right = np.array(right, bool)
    positive, negative = np.count_nonzero(is_right), np.count_nonzero(~is_right)
    # Platt's targets: as if one more had been right and one more wrong
    targets = np.where(is_right, (positive + 1) / (positive + 2), 1 / (negative + 2))
    start = np.array([1.0, 0.0])

    def loss(weights: NDArray[np.float64]) -> float:
        logits = inputs @ weights
        ridge = RIDGE / 2 * float(((weights - start) ** 2).sum())
        return float((np.logaddexp(0, logits) - targets * logits).sum()) + ridge

    weights = start
    for _ in range(ITERATIONS):
        p = 1 / (1 + np.exp(-(inputs @ weights).clip(-MAX_LOGIT, MAX_LOGIT)))
        hessian = inputs.T @ (inputs * (p * (1 - p))[:, None]) + RIDGE * np.eye(2)
        step = np.linalg.solve(hessian, inputs.T @ (p - targets) + RIDGE * (weights - start))
        while loss(weights - step) > loss(weights) and np.abs(step).max() > SMALLEST_STEP:
            step = step / 2  # Newton's method may step too far
        weights = weights - step
    scale, shift = weights.tolist()
    is_usable = math.isfinite(scale + shift) and scale > 0
    return Calibration(round(scale, 4), round(shift, 4)) if is_usable else IDENTITY
