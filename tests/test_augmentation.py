"""Augmentation: scipy's affine transform and Keras's way of composing it are the oracle."""

from __future__ import annotations

from math import cos, radians, sin

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import affine_transform

from digit_recognizer.recipes.schema import Augmentation
from digit_recognizer.training import preview_augmentation
from digit_recognizer.training.augmentation import augment, draw_transforms, warp
from digit_recognizer.training.randomness import draws_from
from helpers import make_digits

CENTRE = np.array([13.5, 13.5])  # of 28 pixels that are counted from 0
TEN = Augmentation(rotation=10, zoom=0.1, shift=0.1)
SLANTED = Augmentation(rotation=10, zoom=0.1, shift=0.1, shear=0.2)


def keras_matrix(
    angle: float, down: float, right: float, high: float, wide: float, slant: float = 0
) -> np.ndarray:
    """Compose rotation, shift, shear and zoom as Keras's `apply_affine_transform` does: shape (3, 3).

    The shear is along rows; Keras's `shear` degrees would also make columns shorter.
    """
    rotation = np.array([[cos(angle), -sin(angle), 0], [sin(angle), cos(angle), 0], [0, 0, 1]])
    shift = np.array([[1, 0, down], [0, 1, right], [0, 0, 1]])
    shear = np.array([[1, 0, 0], [slant, 1, 0], [0, 0, 1]])
    zoom = np.diag([high, wide, 1])
    return rotation @ shift @ shear @ zoom


def warp_with_scipy(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Apply a (3, 3) matrix that acts on (row, column) counted from the centre."""
    offset = matrix[:2, 2] + CENTRE - matrix[:2, :2] @ CENTRE
    return affine_transform(image, matrix[:2, :2], offset, order=1, mode="nearest")


def random_images(count: int) -> torch.Tensor:
    return torch.rand(count, 1, 28, 28, generator=torch.Generator().manual_seed(5))


@settings(max_examples=50, deadline=None)
@given(
    angle=st.floats(-180, 180).map(radians),
    down=st.floats(-28, 28),
    right=st.floats(-28, 28),
    high=st.floats(0.1, 1.9),
    wide=st.floats(0.1, 1.9),
    slant=st.floats(-0.9, 0.9),
)
def test_an_image_is_moved_as_keras_and_scipy_move_it(angle, down, right, high, wide, slant):
    image = random_images(1)
    matrix = keras_matrix(angle, down, right, high, wide, slant)
    found = warp(image, torch.tensor(matrix[None, :2], dtype=torch.float32))[0, 0].numpy()
    np.testing.assert_allclose(found, warp_with_scipy(image[0, 0].numpy(), matrix), atol=1e-3)


@pytest.mark.parametrize(
    "augmentation", [TEN, SLANTED, Augmentation(8, 0.1, 0.05), Augmentation(180, 0.9, 0.9, 0.9)]
)
def test_the_draws_are_composed_as_keras_composes_them(augmentation):
    torch.manual_seed(2)
    images = random_images(20)
    transforms = draw_transforms(20, augmentation)
    found = warp(images, transforms)
    for image, transform, moved in zip(images[:, 0], recovered(transforms), found[:, 0], strict=True):
        expected = warp_with_scipy(image.numpy(), keras_matrix(*transform))
        np.testing.assert_allclose(moved.numpy(), expected, atol=2e-3)


def recovered(transforms: torch.Tensor) -> np.ndarray:
    """Return angle, shifts, zooms and slant of transforms (N, 2, 3), from the matrix alone: shape (N, 6)."""
    matrix = transforms.double().numpy()
    wide = np.hypot(matrix[:, 0, 1], matrix[:, 1, 1])
    angle = np.arctan2(-matrix[:, 0, 1], matrix[:, 1, 1])
    high = np.cos(angle) * matrix[:, 0, 0] + np.sin(angle) * matrix[:, 1, 0]
    slant = (-np.sin(angle) * matrix[:, 0, 0] + np.cos(angle) * matrix[:, 1, 0]) / high
    down = np.cos(angle) * matrix[:, 0, 2] + np.sin(angle) * matrix[:, 1, 2]
    right = -np.sin(angle) * matrix[:, 0, 2] + np.cos(angle) * matrix[:, 1, 2]
    return np.stack([angle, down, right, high, wide, slant], axis=1)


def draws(augmentation: Augmentation, count: int = 5000) -> np.ndarray:
    torch.manual_seed(4)
    return recovered(draw_transforms(count, augmentation))


@pytest.mark.parametrize(
    ("column", "middle", "reach"),
    [(0, 0, radians(10)), (1, 0, 2.8), (2, 0, 2.8), (3, 1, 0.1), (4, 1, 0.1), (5, 0, 0.2)],
    ids=["rotation", "shift down", "shift right", "zoom of the height", "zoom of the width", "shear"],
)
def test_a_draw_is_uniform_over_its_whole_range(column, middle, reach):
    values = (draws(SLANTED)[:, column] - middle) / reach  # -1 to 1
    assert np.abs(values).max() <= 1 + 1e-5
    assert values.min() < -0.98
    assert values.max() > 0.98
    shares = np.histogram(values, bins=10, range=(-1.001, 1.001))[0] / len(values)
    assert np.abs(shares - 0.1).max() < 0.02


def test_no_two_of_the_six_draws_are_correlated():
    correlation = np.corrcoef(draws(SLANTED).T)
    assert np.abs(correlation - np.eye(6)).max() < 0.05
    assert np.abs(draws(TEN, 100)[:, 5]).max() < 1e-6  # no shear unless the recipe has some


def test_a_shear_moves_each_row_by_its_distance_from_the_middle():
    """By hand: at a slant of 2 the last row, 13.5 below the middle, comes from 27 columns further right."""
    image = random_images(1)
    slanted = warp(image, torch.tensor([[[1.0, 0, 0], [2, 1, 0]]]))[0, 0]
    columns = np.arange(28)
    for row in range(28):
        from_column = np.clip(columns + 2 * row - 27, 0, 27)
        torch.testing.assert_close(slanted[row], image[0, 0, row, from_column], atol=1e-4, rtol=0)


def test_shear_alone_draws_matrices_that_move_rows_sideways_and_nothing_else():
    torch.manual_seed(1)
    transforms = draw_transforms(200, Augmentation(shear=0.3))
    slants = transforms[:, 1, 0].clone()
    assert 0.28 < slants.abs().max() <= 0.3
    transforms[:, 1, 0] = 0
    assert torch.equal(transforms, torch.eye(2, 3).expand(200, 2, 3))


def test_a_shift_of_a_whole_pixel_repeats_the_edge():
    image = random_images(1)
    moved = warp(image, torch.tensor([[[1.0, 0, 2], [0, 1, 0]]]))  # each pixel from two rows below
    torch.testing.assert_close(moved[0, 0, :26], image[0, 0, 2:])
    torch.testing.assert_close(moved[0, 0, 26:], image[0, 0, 27:].expand(2, 28))


def test_a_quarter_turn_is_numpys():
    image = random_images(1)
    turned = warp(image, torch.tensor([[[0.0, -1, 0], [1, 0, 0]]]))
    np.testing.assert_allclose(turned[0, 0].numpy(), np.rot90(image[0, 0].numpy(), -1), atol=1e-5)


def test_nothing_to_do_leaves_the_image_as_it_is():
    images = random_images(5)
    torch.testing.assert_close(augment(images, Augmentation()), images, atol=1e-5, rtol=0)


def test_a_moved_image_stays_within_the_range_of_what_it_was():
    moved = augment(random_images(50), Augmentation(180, 0.5, 0.5))
    assert moved.shape == (50, 1, 28, 28)
    assert moved.dtype == torch.float32
    assert moved.min() >= 0
    assert moved.max() <= 1


def test_a_seed_decides_the_draws_and_each_image_has_its_own():
    images = random_images(1).expand(8, 1, 28, 28)
    moved = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        moved.append(augment(images, TEN))
    assert torch.equal(moved[0], moved[1])
    assert not torch.equal(moved[0], moved[2])
    assert len({each.numpy().tobytes() for each in moved[0]}) == 8


# The preview: the draws of a training, on one image


IMAGE = make_digits(1).images[0]
MOVED = Augmentation(rotation=15, zoom=0.1, shift=0.1)


def test_a_preview_is_images_of_their_own_that_a_seed_decides():
    first, again, other = (preview_augmentation(IMAGE, MOVED, 12, seed) for seed in (3, 3, 4))
    assert (first.shape, first.dtype) == ((12, 28, 28), np.uint8)
    assert len({image.tobytes() for image in [IMAGE, *first]}) == 13
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_preview_shows_the_first_step_of_a_training_rounded_to_whole_ink():
    floats = torch.from_numpy(IMAGE.astype(np.float32) / 255).repeat(4, 1, 1, 1)
    with draws_from(seed=7, epoch=1, step=1):
        moved = augment(floats, MOVED)[:, 0].numpy()
    assert np.array_equal(preview_augmentation(IMAGE, MOVED, 4, seed=7), np.rint(255 * moved))


def test_a_preview_leaves_random_numbers_and_image_alone():
    image = IMAGE.copy()
    image.setflags(write=False)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    assert np.array_equal(preview_augmentation(image, MOVED, 3), preview_augmentation(IMAGE, MOVED, 3))
    assert torch.equal(torch.rand(3), expected)
    assert np.array_equal(image, IMAGE)


def test_an_augmentation_that_moves_nothing_gives_the_image_again():
    """To the last of its 256 values, whatever they are."""
    image = np.arange(784, dtype=np.int64).reshape(28, 28).astype(np.uint8)
    assert (preview_augmentation(image, Augmentation(), 3) == image).all()


@pytest.mark.parametrize("value", [0, 1, 127, 254, 255])
def test_a_plain_image_stays_plain_however_it_is_moved(value):
    plain = np.full((28, 28), value, np.uint8)
    assert (preview_augmentation(plain, MOVED, 6) == value).all()


def test_a_preview_without_augmentation_shows_the_image_as_it_is():
    assert np.array_equal(preview_augmentation(IMAGE, None, 2), np.stack([IMAGE, IMAGE]))
