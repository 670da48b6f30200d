"""Where a network looks: recognizers of which it is known are the oracle."""

from __future__ import annotations

import numpy as np
import pytest

from digit_recognizer.digits import Predictions
from digit_recognizer.explain.occlusion import occlude

DIGIT = 3  # the digit that the recognizers below know about


class Weighing:
    """Weighs each pixel: the log-odds of `DIGIT` are a sum over the ink, and all others are alike."""

    def __init__(self, weights: np.ndarray, bias: float = 0.0) -> None:
        self.weights, self.bias = weights, bias

    def predict(self, images: np.ndarray) -> Predictions:
        odds = np.exp((images / 255 * self.weights).sum(axis=(1, 2)) + self.bias)
        probabilities = np.repeat(1 / (1 + odds[:, None]) / 9, 10, axis=1)
        probabilities[:, DIGIT] = odds / (1 + odds)
        return Predictions(probabilities.astype(np.float32))


class Certain:
    """Is as sure as float32 can be of `DIGIT` where there is any ink in a corner, else of another digit."""

    def predict(self, images: np.ndarray) -> Predictions:
        inked = images[:, :4, :4].any(axis=(1, 2))
        return Predictions(np.eye(10, dtype=np.float32)[np.where(inked, DIGIT, DIGIT + 1)])


def corner() -> np.ndarray:
    """Weigh the 4×4 pixels at the top left, 4 nats together."""
    weights = np.zeros((28, 28))
    weights[:4, :4] = 4 / 16
    return weights


def full() -> np.ndarray:
    return np.full((28, 28), 255, np.uint8)


def test_a_recognizer_that_looks_at_one_corner_is_seen_to_look_there_only():
    found = occlude(Weighing(corner(), bias=-2), full(), DIGIT)
    assert (found.shape, found.dtype) == ((28, 28), np.float32)
    assert np.unravel_index(found.argmax(), found.shape) == (0, 0)
    assert found[0, 0] == pytest.approx(4, abs=1e-4)  # the one window over this pixel hides all four nats
    assert (found[:8, :8] > 0).all()
    assert not found[8:].any()  # no window reaches from here into the corner
    assert not found[:, 8:].any()


def test_ink_that_speaks_against_the_digit_is_below_zero():
    found = occlude(Weighing(-corner()), full(), DIGIT)
    assert found.min() == found[0, 0] == pytest.approx(-4, abs=1e-4)
    assert found.max() == 0


def test_what_speaks_for_one_digit_speaks_against_the_others():
    assert occlude(Weighing(corner()), full(), DIGIT + 1)[0, 0] < 0


def test_an_image_without_ink_has_nothing_to_hide():
    found = occlude(Weighing(corner()), np.zeros((28, 28), np.uint8), DIGIT)
    assert found.shape == (28, 28)
    assert not found.any()


def test_a_recognizer_that_does_not_look_at_the_image_looks_nowhere():
    assert not occlude(Weighing(np.zeros((28, 28)), bias=3), full(), DIGIT).any()


def test_a_recognizer_that_is_certain_gives_finite_values():
    found = occlude(Certain(), full(), DIGIT)
    assert np.isfinite(found).all()
    assert found[0, 0] > 50
    assert not found[8:, 8:].any()


def test_each_pixel_has_the_mean_over_the_windows_that_cover_it():
    """By loops: what hides 6×6 pixels takes their weighed ink from the log-odds, blank or not."""
    generator = np.random.default_rng(1)
    weights = generator.normal(0, 0.05, (28, 28))
    image = generator.integers(0, 256, (28, 28)).astype(np.uint8)
    image[:, 14:] = 0  # so that many windows hide background only
    covering = [[[] for _ in range(28)] for _ in range(28)]
    for top in range(0, 23, 2):
        for left in range(0, 23, 2):
            window = np.s_[top : top + 6, left : left + 6]
            fall = (weights[window] * image[window] / 255).sum()
            for row in range(top, top + 6):
                for column in range(left, left + 6):
                    covering[row][column].append(fall)
    expected = [[np.mean(falls) for falls in row] for row in covering]
    np.testing.assert_allclose(occlude(Weighing(weights), image, DIGIT), expected, atol=1e-4)


def test_the_image_stays_as_it_was():
    image = full()
    occlude(Weighing(corner()), image, DIGIT)
    assert (image == 255).all()
