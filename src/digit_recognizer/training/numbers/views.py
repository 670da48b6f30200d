"""Pictures of numbers in another size, slanted, in other tones; and batches of them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from digit_recognizer.digits import INK
from digit_recognizer.imaging.edges import edge_tone
from digit_recognizer.recognition.character_finder import MARGIN_PX, SIDE_MULTIPLE_PX

SIZE_RANGE = (0.7, 1.4)  # as far as half an octave, as reading looks at the sizes in between
ASPECT_SIGMA = 0.06  # of its logarithm
ROTATION_SIGMA, SLANT_SIGMA = 2.5, 0.1  # degrees; sideways shift per pixel downwards
P_TONES, P_INVERTED, P_NOISY, P_BLURRED = 0.5, 0.1, 0.2, 0.2
GAMMA_SIGMA = 0.25  # of its logarithm
DARKEST, BRIGHTEST = (0, 60), (180, 255)  # grey levels
NOISE_RANGE, BLUR_RANGE_PX = (1.0, 10.0), (0.3, 1.0)  # standard deviations

Rng = np.random.Generator
Page = NDArray[np.uint8]


def sample_view(picture: Page, scale: float, rng: Rng, strength: float) -> Page:
    """Return a picture in another size, changed at random; `strength` 0 changes nothing but the size."""
    if rng.random() < strength * P_BLURRED:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(*BLUR_RANGE_PX)), np.uint8)
    grey = _in_other_shape(picture, scale, rng, strength).astype(np.float32)
    if rng.random() < strength * P_TONES:
        low, high = rng.uniform(*DARKEST), rng.uniform(*BRIGHTEST)
        grey = low + (grey / INK) ** np.exp(rng.normal(0, GAMMA_SIGMA)) * (high - low)
    if rng.random() < strength * P_INVERTED:
        grey = INK - grey
    if rng.random() < strength * P_NOISY:
        grey = grey + rng.normal(0, rng.uniform(*NOISE_RANGE), grey.shape).astype(np.float32)
    return grey.clip(0, INK).astype(np.uint8)


def stack(levels: Sequence[Page], rng: Rng | None = None) -> Tensor:
    """Return pictures, each with a margin in the colour of its edges, as uint8 (N, H, W).

    Each lies anywhere in its page if there is a random generator, otherwise at the top left, as for reading.
    """
    height, width = (max(level.shape[axis] for level in levels) + 2 * MARGIN_PX for axis in (0, 1))
    shape = height + -height % SIDE_MULTIPLE_PX, width + -width % SIDE_MULTIPLE_PX
    pages = np.zeros((len(levels), *shape), np.uint8)
    for page, level in zip(pages, levels, strict=True):
        page[:] = edge_tone(level)
        room = [side - 2 * MARGIN_PX - own for side, own in zip(shape, level.shape, strict=True)]
        top, left = (MARGIN_PX + (int(rng.integers(each + 1)) if rng else 0) for each in room)
        page[top : top + level.shape[0], left : left + level.shape[1]] = level
    return torch.from_numpy(pages)


def _in_other_shape(picture: Page, scale: float, rng: Rng, strength: float) -> Page:
    """Return a picture in another size, rotated and slanted; what is new has the colour of its edges."""
    size = np.exp(strength * rng.uniform(*np.log(SIZE_RANGE)))
    aspect = np.exp(strength * rng.normal(0, ASPECT_SIGMA))
    angle, slant = strength * rng.normal(0, (np.radians(ROTATION_SIGMA), SLANT_SIGMA))
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turned @ [[1, slant], [0, 1]] * (scale * size * np.array([aspect, 1 / aspect]))
    height, width = picture.shape
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]]) @ matrix.T
    low = corners.min(axis=0)
    across, down = np.maximum(1, np.ceil(corners.max(axis=0) - low)).astype(int).tolist()
    if scale * size < 1:  # warping would skip pixels
        reduced = max(1, round(width * scale * size)), max(1, round(height * scale * size))
        matrix = matrix * (np.array([width, height]) / reduced)
        picture = np.asarray(cv2.resize(picture, reduced, interpolation=cv2.INTER_AREA), np.uint8)
    view = cv2.warpAffine(
        picture,
        np.column_stack([matrix, -low]),
        (across, down),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=edge_tone(picture),
    )
    return np.asarray(view, np.uint8)
