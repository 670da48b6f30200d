"""What augmentation makes of one image: the same draws for a seed, and those that training makes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from digit_recognizer.recipes.schema import Augmentation
from digit_recognizer.training import preview_augmentation
from digit_recognizer.training.augmentation import augment
from digit_recognizer.training.randomness import draws_from
from helpers import make_digits

IMAGE = make_digits(1).images[0]
MOVED = Augmentation(rotation=15, zoom=0.1, shift=0.1)


def test_draws_are_images_of_their_own():
    drawn = preview_augmentation(IMAGE, MOVED, 12)
    assert (drawn.shape, drawn.dtype) == ((12, 28, 28), np.uint8)
    assert len({image.tobytes() for image in [IMAGE, *drawn]}) == 13


def test_a_seed_decides_the_draws():
    assert np.array_equal(preview_augmentation(IMAGE, MOVED, 5, 3), preview_augmentation(IMAGE, MOVED, 5, 3))
    assert not np.array_equal(
        preview_augmentation(IMAGE, MOVED, 5, 3), preview_augmentation(IMAGE, MOVED, 5, 4)
    )


def test_the_callers_random_numbers_stay_as_they_were():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    preview_augmentation(IMAGE, MOVED, 4)
    assert torch.equal(torch.rand(3), expected)


def test_an_augmentation_that_moves_nothing_gives_the_image_again():
    """To the last of its 256 values, whatever they are."""
    image = np.arange(784, dtype=np.int64).reshape(28, 28).astype(np.uint8)
    assert (preview_augmentation(image, Augmentation(), 3) == image).all()


@pytest.mark.parametrize("value", [0, 1, 127, 254, 255])
def test_a_plain_image_stays_plain_however_it_is_moved(value):
    plain = np.full((28, 28), value, np.uint8)
    assert (preview_augmentation(plain, MOVED, 6) == value).all()


def test_draws_are_those_of_the_first_step_of_a_training_rounded_to_whole_ink():
    floats = torch.from_numpy(IMAGE.astype(np.float32) / 255).repeat(4, 1, 1, 1)
    with draws_from(seed=7, epoch=1, step=1):
        moved = augment(floats, MOVED)[:, 0].numpy()
    assert np.array_equal(preview_augmentation(IMAGE, MOVED, 4, seed=7), np.rint(255 * moved))


def test_an_image_that_cannot_be_written_to_stays_as_it_is():
    image = IMAGE.copy()
    image.setflags(write=False)
    assert np.array_equal(preview_augmentation(image, MOVED, 3), preview_augmentation(IMAGE, MOVED, 3))
    assert np.array_equal(image, IMAGE)
