"""The ink of one digit gets the size, the position and the strength of MNIST's digits."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from digit_recognizer.imaging import normalise
from helpers import refusal, says


def draw_two(size: int = 400, width: int = 50) -> np.ndarray:
    """A two: light ink on black, uint8 (size, size)."""
    image = Image.new("L", (size, size))
    points = [(110, 140), (150, 80), (230, 70), (280, 130), (240, 220), (110, 330), (300, 330)]
    scaled = [(x * size // 400, y * size // 400) for x, y in points]
    ImageDraw.Draw(image).line(scaled, fill=255, width=width * size // 400, joint="curve")
    return np.array(image)


def centre_of_mass(image: np.ndarray) -> tuple[float, float]:
    rows, columns = np.indices(image.shape)
    return (image * rows).sum() / image.sum(), (image * columns).sum() / image.sum()


def test_the_ink_fills_a_box_of_20_pixels_around_the_middle_at_full_strength():
    image = normalise(draw_two())
    rows, columns = (np.flatnonzero((image > 40).any(axis=axis)) for axis in (1, 0))
    assert image.shape == (28, 28)
    assert image.dtype == np.uint8
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    assert centre_of_mass(image) == pytest.approx((14, 14), abs=0.51)
    assert image.max() == 255


def test_a_normalised_image_stays_as_it_is():
    image = normalise(draw_two())
    assert np.abs(normalise(image).astype(int) - image).max() <= 1


@pytest.mark.parametrize("place", [(0, 0), (3, 170), (250, 11)])
@pytest.mark.parametrize("times", [1, 4, 9])
def test_an_enlarged_image_anywhere_on_a_page_is_normalised_to_nearly_the_same(times, place):
    image = normalise(draw_two())
    large = Image.fromarray(image).resize((28 * times, 28 * times), Image.Resampling.BOX)
    page = np.zeros((600, 500), np.uint8)
    page[place[0] : place[0] + 28 * times, place[1] : place[1] + 28 * times] = large
    difference = normalise(page).astype(int) - image
    assert np.abs(difference).mean() < 4
    assert np.corrcoef(normalise(page).ravel(), image.ravel())[0, 1] > 0.99


def test_the_strength_and_dtype_of_ink_do_not_matter():
    ink = draw_two()
    expected = normalise(ink)
    for other in (ink / 255, ink.astype(np.float32) * 1e6, ink // 255, ink.astype(np.uint16) * 200):
        assert np.abs(normalise(other).astype(int) - expected).max() <= 1


def test_the_aspect_ratio_of_thin_strokes_is_kept():
    upright, level = np.zeros((300, 40)), np.zeros((3, 1000))
    upright[20:280, 18:22] = 1
    level[1, 5:990] = 1
    assert np.flatnonzero((normalise(upright) > 128).any(axis=1)).size == 20
    assert np.flatnonzero((normalise(upright) > 40).any(axis=0)).size <= 2
    assert np.flatnonzero((normalise(level) > 128).any(axis=0)).size == 20
    assert np.flatnonzero((normalise(level) > 40).any(axis=1)).size <= 2


def test_a_single_point_becomes_a_full_box():
    ink = np.zeros((50, 60))
    ink[49, 0] = 0.25
    image = normalise(ink)
    assert (image > 128).sum() == 400
    assert (image[4:24, 4:24] > 128).all()


def test_no_ink_is_moved_off_the_image():
    ink = np.zeros((100, 100))
    ink[:, 0] = 1  # one thin line far from
    ink[60:100, 60:100] = 1  # nearly all the mass
    image = normalise(ink)
    assert np.ptp(np.flatnonzero(image.max(axis=0))) + 1 == 20
    assert np.ptp(np.flatnonzero(image.max(axis=1))) + 1 == 20


@pytest.mark.parametrize("shape", [(1, 1), (28, 28), (300, 7)])
def test_blank_ink_is_a_blank_image(shape):
    assert not normalise(np.zeros(shape, np.uint8)).any()
    assert normalise(np.zeros(shape, np.uint8)).shape == (28, 28)


@pytest.mark.parametrize(
    ("ink", "found", "expected"),
    [
        (np.zeros((2, 2, 3)), "(2, 2, 3)", "(height, width)"),
        (np.array([[np.nan, 1.0]]), "NaN", "from 0"),
        (np.array([[np.inf, 1.0]]), "infinity", "from 0"),
        (np.array([[-1, 1]]), "negative", "from 0"),
        (np.array([[1e300, 1.0]]), "infinity", "from 0"),
    ],
)
def test_invalid_ink_is_refused(ink, found, expected):
    assert says(refusal(lambda: normalise(ink)), found, expected)
