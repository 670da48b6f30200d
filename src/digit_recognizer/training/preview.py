"""What a recipe's augmentation makes of one digit, for people to look at."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from digit_recognizer.digits import INK
from digit_recognizer.training.augment import augment
from digit_recognizer.training.predictor import scale
from digit_recognizer.training.randomness import draws_from
from digit_recognizer.training.settings import Augmentation

__all__ = ["preview_augmentation"]


def preview_augmentation(
    image: NDArray[np.uint8], augmentation: Augmentation, count: int, seed: int = 0
) -> NDArray[np.uint8]:
    """Return `count` draws of an image, each moved at random as in training.

    Parameters
    ----------
    image
        uint8, shape (28, 28), 0 background to 255 ink.
    augmentation
        A recipe's.
    count
        How many draws, at least 1.
    seed
        Decides them.

    Returns
    -------
    numpy.ndarray
        uint8, shape (count, 28, 28).
    """
    copies = scale(torch.tensor(image).repeat(count, 1, 1))  # (count, 1, 28, 28)
    with draws_from(seed, epoch=1, step=1):
        moved = augment(copies, augmentation)
    return (moved[:, 0] * INK).round().to(torch.uint8).numpy()
