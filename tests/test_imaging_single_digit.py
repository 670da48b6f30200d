"""Photos, scans and drawings of one digit become MNIST-style images, whatever the light, paper and pen."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from digit_recognizer import load_digits
from digit_recognizer.imaging import normalise
from digit_recognizer.imaging.single_digit import single_image
from digit_recognizer.imaging.single_digit.ink import find_ink, is_dark_on_light
from digit_recognizer.imaging.single_digit.marks import stroke_width
from digit_recognizer.imaging.single_digit.ruled_lines import remove_ruled_lines

TWO = [(110, 140), (150, 80), (230, 70), (280, 130), (240, 220), (110, 330), (300, 330)]


def draw_two(width: int = 40) -> np.ndarray:
    """A two: bool (400, 400), True where there is ink."""
    image = Image.new("L", (400, 400))
    ImageDraw.Draw(image).line(TWO, fill=255, width=width, joint="curve")
    return np.array(image) > 127


def photograph(ink: np.ndarray, *, light=1.0, contrast: float = 0.6, noise: float = 3) -> np.ndarray:
    """The ink on paper in some light, 1 full: uint8."""
    soft = np.array(Image.fromarray(ink.astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(2))) / 255
    grain = np.random.default_rng(0).normal(0, noise, ink.shape)
    return (210 * light * (1 - contrast * soft) + grain).clip(0, 255).astype(np.uint8)


def similarity(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


CLEAN = single_image(np.where(draw_two(), 0, 255).astype(np.uint8))
ACROSS, DOWN = np.meshgrid(np.linspace(0, 1, 400), np.linspace(0, 1, 400))


def test_a_clean_picture_becomes_an_image_like_mnist():
    rows, columns = (np.flatnonzero((CLEAN > 40).any(axis=axis)) for axis in (1, 0))
    assert (CLEAN.shape, CLEAN.dtype, CLEAN.max()) == ((28, 28), np.uint8, 255)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    assert 2 <= stroke_width(CLEAN > 100) <= 4.2


@pytest.mark.parametrize(
    "options",
    [
        {"light": 1 - 0.7 * ACROSS},
        {"light": 1 - 0.6 * np.clip((DOWN - 0.5) * 20, 0, 1)},
        {"light": 1 - 0.6 * np.clip((ACROSS + DOWN - 1.4) * 10, 0, 1)},
        {"light": 1.1 - 1.2 * ((ACROSS - 0.5) ** 2 + (DOWN - 0.5) ** 2)},
        {"contrast": 0.08, "noise": 2},
        {"contrast": 0.2, "noise": 2},
        {"contrast": 0.9, "noise": 2},
    ],
    ids=["gradient", "shadow", "dark corner", "vignette", "pencil", "faint", "black ink"],
)
def test_light_and_contrast_do_not_matter(options):
    assert similarity(single_image(photograph(draw_two(), **options)), CLEAN) > 0.93


def test_white_on_black_is_the_same_as_black_on_white():
    page = photograph(draw_two())
    assert is_dark_on_light(page)
    assert not is_dark_on_light(255 - page)
    assert similarity(single_image(255 - page), single_image(page)) > 0.98


@pytest.mark.parametrize("paper", [255, 230, 0, 30])
def test_a_drawing_on_flat_paper_is_like_a_photo_of_it(paper):
    ink = draw_two()
    page = np.where(ink, 0 if paper > 128 else 255, paper).astype(np.uint8)
    found = find_ink(page, max_side=400, min_side=160)
    assert found.noise == 0
    assert (found.contrast[~ink] == 0).all()
    assert (found.contrast[ink] > 0.8).all()
    assert similarity(single_image(page), CLEAN) > 0.93


@pytest.mark.parametrize("width", [8, 20, 90])
def test_thin_and_thick_pens_get_the_stroke_width_of_mnist(width):
    image = single_image(photograph(draw_two(width)))
    assert 1.7 <= stroke_width(image > 100) <= 4.5
    assert similarity(image, CLEAN) > 0.75


@pytest.mark.parametrize("zoom", [1, 2, 5, 12])
@pytest.mark.parametrize("dark_paper", [False, True])
def test_an_image_like_mnist_in_a_corner_of_a_page_stays_nearly_the_same(zoom, dark_paper):
    for digit in load_digits("bundled").images[:20]:
        large = Image.fromarray(digit).resize((28 * zoom, 28 * zoom), Image.Resampling.BICUBIC)
        page = Image.new("L", (60 * zoom, 45 * zoom))
        page.paste(large, (32 * zoom, 0))
        found = single_image(np.array(page) if dark_paper else 255 - np.array(page))
        assert similarity(found, normalise(digit)) > 0.8


@pytest.mark.parametrize("horizontal", [True, False])
def test_ruled_lines_are_not_ink(horizontal):
    page = photograph(draw_two(24))
    for place in range(30, 400, 60):
        line = (slice(place, place + 3), slice(None))
        page[line if horizontal else line[::-1]] = 110
    assert similarity(single_image(page), single_image(photograph(draw_two(24)))) > 0.85


def test_strokes_that_cross_a_ruled_line_stay_and_a_long_stroke_is_not_one():
    mask = np.zeros((200, 300), bool)
    mask[100:103] = True
    mask[40:160, 150:160] = True
    mask[60:70, 40:250] = True
    left = remove_ruled_lines(mask)
    assert left[40:160, 152:158].all()
    assert left[60:70, 40:250].all()
    assert not left[100:103, :140].any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (3, 2), (40, 40), (500, 30)])
@pytest.mark.parametrize("grey", [0, 128, 255])
def test_blank_pages_of_any_shape_show_nothing(shape, grey):
    assert not single_image(np.full(shape, grey, np.uint8)).any()


def test_noisy_paper_shows_nothing():
    assert not single_image(photograph(np.zeros((300, 400), bool), noise=6)).any()


def test_specks_and_a_dark_edge_are_not_the_digit():
    page = photograph(draw_two())
    page[:, 385:] = 30
    page[20:24, 30:34] = 20
    assert similarity(single_image(page), CLEAN) > 0.93


def test_the_parts_of_a_broken_digit_stay_together():
    broken = draw_two(24)
    broken[195:215] = False
    whole = single_image(photograph(draw_two(24)))
    assert similarity(single_image(photograph(broken)), whole) > 0.85


@pytest.mark.parametrize(
    ("shape", "max_side", "min_side", "zoom"),
    [((400, 400), 200, 100, 0.5), ((400, 400), 400, 160, 1), ((10, 30), 400, 160, 6)],
)
def test_large_and_small_pages_are_resized(shape, max_side, min_side, zoom):
    ink = find_ink(np.zeros(shape, np.uint8), max_side=max_side, min_side=min_side)
    assert (ink.zoom, ink.contrast.shape) == (zoom, (zoom * shape[0], zoom * shape[1]))
