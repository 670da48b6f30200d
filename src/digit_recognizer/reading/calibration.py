"""From the product of a number's probabilities to how often such a number is right.

Platt scaling: the logarithm of the odds is multiplied and shifted, by two parameters that are fitted once and
stored beside the model (Platt 1999; Guo et al. 2017, https://arxiv.org/abs/1706.04599).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from digit_recognizer.errors import DigitsError


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
