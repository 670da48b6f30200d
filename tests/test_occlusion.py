"""Occlusion maps: simple recognizers whose maps are known are the oracle."""

from __future__ import annotations

import numpy as np
import pytest

from digit_recognizer.digits import Predictions
from digit_recognizer.explain.occlusion import occlude

DIGIT = 3  # the digit that the recognizers below recognize


class Linear:
    """The log-odds of `DIGIT` are a weighted sum of the ink; all other digits are equally probable."""

    def __init__(self, weights: np.ndarray, bias: float = 0.0) -> None:
        self.weights, self.bias = weights, bias

    def predict(self, images: np.ndarray) -> Predictions:
        odds = np.exp((images / 255 * self.weights).sum(axis=(1, 2)) + self.bias)
        probabilities = np.repeat(1 / (1 + odds[:, None]) / 9, 10, axis=1)
        probabilities[:, DIGIT] = odds / (1 + odds)
        return Predictions(probabilities.astype(np.float32))


class Certain:
    """Is certain of `DIGIT` if there is ink in a corner, otherwise of another digit."""

    def predict(self, images: np.ndarray) -> Predictions:
        inked = images[:, :4, :4].any(axis=(1, 2))
        return Predictions(np.eye(10, dtype=np.float32)[np.where(inked, DIGIT, DIGIT + 1)])


def corner() -> np.ndarray:
    """Return weights of 4 nats in total for the 4×4 pixels at the top left."""
    weights = np.zeros((28, 28))
    weights[:4, :4] = 4 / 16
    return weights


def full() -> np.ndarray:
    return np.full((28, 28), 255, np.uint8)


def test_a_recognizer_that_depends_on_one_corner_has_values_there_only():
    found = occlude(Linear(corner(), bias=-2), full(), DIGIT)
    assert (found.shape, found.dtype) == ((28, 28), np.float32)
    assert np.unravel_index(found.argmax(), found.shape) == (0, 0)
    assert found[0, 0] == pytest.approx(4, abs=1e-4)  # the only window over this pixel hides all 4 nats
    assert (found[:8, :8] > 0).all()
    assert not found[8:].any()  # no window reaches from here into the corner
    assert not found[:, 8:].any()


def test_ink_that_contradicts_the_digit_has_negative_values():
    found = occlude(Linear(-corner()), full(), DIGIT)
    assert found.min() == found[0, 0] == pytest.approx(-4, abs=1e-4)
    assert found.max() == 0


def test_ink_that_supports_one_digit_contradicts_the_others():
    assert occlude(Linear(corner()), full(), DIGIT + 1)[0, 0] < 0


def test_an_image_without_ink_has_no_values():
    found = occlude(Linear(corner()), np.zeros((28, 28), np.uint8), DIGIT)
    assert found.shape == (28, 28)
    assert not found.any()


def test_a_recognizer_that_ignores_the_image_has_no_values():
    assert not occlude(Linear(np.zeros((28, 28)), bias=3), full(), DIGIT).any()


def test_certain_predictions_give_finite_values():
    found = occlude(Certain(), full(), DIGIT)
    assert np.isfinite(found).all()
    assert found[0, 0] > 50
    assert not found[8:, 8:].any()


def test_each_pixel_has_the_mean_over_the_windows_that_cover_it():
    """Computed by loops: hiding 6×6 pixels removes their weighted ink from the log-odds."""
    generator = np.random.default_rng(1)
    weights = generator.normal(0, 0.05, (28, 28))
    image = generator.integers(0, 256, (28, 28)).astype(np.uint8)
    image[:, 14:] = 0  # many windows hide background only
    covering = [[[] for _ in range(28)] for _ in range(28)]
    for top in range(0, 23, 2):
        for left in range(0, 23, 2):
            window = np.s_[top : top + 6, left : left + 6]
            fall = (weights[window] * image[window] / 255).sum()
            for row in range(top, top + 6):
                for column in range(left, left + 6):
                    covering[row][column].append(fall)
    expected = [[np.mean(falls) for falls in row] for row in covering]
    np.testing.assert_allclose(occlude(Linear(weights), image, DIGIT), expected, atol=1e-4)


def test_the_image_is_not_changed():
    image = full()
    occlude(Linear(corner()), image, DIGIT)
    assert (image == 255).all()
