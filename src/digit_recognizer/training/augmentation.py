"""Random rotation, zoom, shift and shear of whole batches, as Keras's `ImageDataGenerator` draws them.

An output pixel's place relative to the centre, (row, column), is mapped to the input's by rotation · shift ·
shear · zoom, the shear along rows as in slanted writing (Keras's tilts columns too). Between pixels the value
is interpolated linearly, and beyond the edge its pixels repeat. Source:
``apply_affine_transform`` in https://github.com/keras-team/keras/blob/master/keras/src/legacy/preprocessing/image.py
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from math import pi, radians

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import affine_grid, conv2d, grid_sample, interpolate, max_pool2d

from digit_recognizer.digits import INK, SIDE
from digit_recognizer.networks.predictor import scale
from digit_recognizer.recipes.schema import Augmentation
from digit_recognizer.training.randomness import draws_from

GRID = 5  # points along each side that an elastic distortion moves


def augment(images: Tensor, augmentation: Augmentation) -> Tensor:
    """Move each image at random, with draws from torch's generator.

    Parameters
    ----------
    images
        float32, shape (N, 1, 28, 28), of any range.
    augmentation
        How far at most.

    Returns
    -------
    Tensor
        The same shape and dtype; the range stays within the input's.
    """
    transforms = draw_transforms(len(images), augmentation, images.device)
    if not augmentation.elastic:
        return warp(images, transforms)
    return warp(images, transforms, draw_bends(len(images), augmentation.elastic, images.device))


def draw_transforms(count: int, augmentation: Augmentation, device: torch.device | str = "cpu") -> Tensor:
    """Draw one transform an image.

    Returns
    -------
    Tensor
        float32, shape (N, 2, 3). The first two columns are a matrix that takes an output pixel's (row,
        column), counted from the centre, to the input's; the third is the shift added then, in pixels.
    """
    angle, down, right, high, wide, slant = 2 * torch.rand(6, count, device=device) - 1  # each (N,), -1 to 1
    angle = radians(augmentation.rotation) * angle
    down, right = augmentation.shift * SIDE * down, augmentation.shift * SIDE * right
    high, wide = 1 + augmentation.zoom * high, 1 + augmentation.zoom * wide
    cos, sin, slant = angle.cos(), angle.sin(), augmentation.shear * slant
    to_row = torch.stack([(cos - sin * slant) * high, -sin * wide, cos * down - sin * right], dim=1)
    to_column = torch.stack([(sin + cos * slant) * high, cos * wide, sin * down + cos * right], dim=1)
    return torch.stack([to_row, to_column], dim=1)


def draw_bends(count: int, pixels: float, device: torch.device | str = "cpu") -> Tensor:
    """Draw how far each pixel of an image is moved: float32 (N, 28, 28, 2), columns before rows, in pixels.

    `GRID` x `GRID` points are moved by normal draws with a standard deviation of `pixels`.
    """
    moves = pixels * torch.randn(count, 2, GRID, GRID, device=device)
    smooth = interpolate(moves, size=(SIDE, SIDE), mode="bicubic", align_corners=True)
    return smooth.permute(0, 2, 3, 1)


def warp(images: Tensor, transforms: Tensor, bends: Tensor | None = None) -> Tensor:
    """Apply one transform, as `draw_transforms` gives it, to each image of (N, 1, H, W) floats.

    `bends`, as `draw_bends` gives them for images of 28x28, move each pixel further.
    """
    matrix = transforms[:, :, :2].flip(1, 2)  # torch puts columns before rows
    half = transforms.new_tensor([images.shape[3] / 2, images.shape[2] / 2])  # torch counts in half sides
    shift = transforms[:, :, 2].flip(1) / half
    matrix = matrix * half / half[:, None]
    theta = torch.cat([matrix, shift[:, :, None]], dim=2)  # (N, 2, 3)
    grid = affine_grid(theta, list(images.shape), align_corners=False)  # (N, H, W, 2)
    if bends is not None:
        grid = grid + bends / half.flip(0)
    return grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def corrupt(images: Tensor, share: float, ways: Collection[str] = ()) -> Tensor:
    """Change a share of images at random, with draws from torch's generator.

    Parameters
    ----------
    images
        float32, shape (N, 1, H, W), 0 background to 1 ink; some ways need 28x28.
    share
        How many of them, 0 to 1.
    ways
        Keys of `WAYS`; all of them if empty.

    Returns
    -------
    Tensor
        The same shape, dtype and range.
    """
    chosen = ways or tuple(WAYS)
    changed = images.clone()
    drawn = torch.randint(len(chosen), (len(images),), device=images.device)
    spared = torch.rand(len(images), device=images.device) >= share
    for number, name in enumerate(chosen):
        rows = torch.nonzero((drawn == number) & ~spared)[:, 0]
        if len(rows):
            changed[rows] = WAYS[name](images[rows]).clamp(0, 1)
    return changed


def _drawn(images: Tensor, low: float, high: float) -> Tensor:
    """Return a number for each image, between `low` and `high`: (N, 1, 1, 1)."""
    return low + (high - low) * torch.rand(len(images), 1, 1, 1, device=images.device)


def _thicker(images: Tensor) -> Tensor:
    return images + _drawn(images, 0, 1) * (max_pool2d(images, 3, 1, 1) - images)


def _thinner(images: Tensor) -> Tensor:
    return images - _drawn(images, 0, 0.8) * (images + max_pool2d(-images, 3, 1, 1))


def _blurred(images: Tensor) -> Tensor:
    """Blur by a Gaussian of 0.4 to 1.3 pixels, along rows and columns."""
    places = torch.arange(-2.0, 3.0, device=images.device)
    kernels = torch.exp(-(places**2) / (2 * _drawn(images, 0.4, 1.3)[:, 0, 0] ** 2))  # (N, 5)
    kernels = kernels / kernels.sum(dim=1, keepdim=True)
    count = len(images)
    channels = images.transpose(0, 1)  # one image a channel
    rows = conv2d(channels, kernels.view(count, 1, 5, 1), padding=(2, 0), groups=count)
    return conv2d(rows, kernels.view(count, 1, 1, 5), padding=(0, 2), groups=count).transpose(0, 1)


def _noisy(images: Tensor) -> Tensor:
    return images + _drawn(images, 0.02, 0.3) * torch.randn_like(images)


def _specked(images: Tensor) -> Tensor:
    """Turn up to an eighth of the pixels black, and as many white."""
    chance, share = torch.rand_like(images), _drawn(images, 0, 0.12)
    return images.masked_fill(chance < share, 0).masked_fill(chance > 1 - share, 1)


def _clouded(images: Tensor) -> Tensor:
    """Lay clouds over an image: shadow, fog, a patterned paper."""
    coarse = torch.rand(len(images), 1, 4, 4, device=images.device)
    clouds = interpolate(coarse, size=(SIDE, SIDE), mode="bicubic", align_corners=True)
    share = _drawn(images, 0, 0.6)
    return images * (1 - share / 2) + share * clouds


def _paled(images: Tensor) -> Tensor:
    """Darken the paper and pale the ink."""
    paper = _drawn(images, 0, 0.5)
    return paper + images * _drawn(images, 0.35, 1) * (1 - paper)


def _crossed(images: Tensor) -> Tensor:
    """Draw a thin line through an image, whole or dashed."""
    places = torch.arange(float(SIDE), device=images.device) - (SIDE - 1) / 2
    angle = _drawn(images, 0, pi)
    rows, columns = places[:, None], places[None, :]
    across = rows * angle.cos() + columns * angle.sin() - _drawn(images, -12, 12)
    along = columns * angle.cos() - rows * angle.sin()
    dash = (along / _drawn(images, 2, 8)).frac().abs() < _drawn(images, 0.3, 1)
    return torch.maximum(images, ((across.abs() < _drawn(images, 0.35, 0.75)) & dash).float())


def _bent(images: Tensor) -> Tensor:
    """Raise greys to a power: softer or harder edges."""
    return images ** _drawn(images, 0.4, 2)


def _outlined(images: Tensor) -> Tensor:
    """Leave the edges of strokes, as of a hollow letter."""
    return max_pool2d(images, 3, 1, 1) + max_pool2d(-images, 3, 1, 1)


def _inverted(images: Tensor) -> Tensor:
    """Swap ink and paper on one side of an upright or a level line."""
    places = torch.arange(float(SIDE), device=images.device)
    beyond = (places[None, None, None, :] >= _drawn(images, 4, SIDE - 4)).float()  # (N, 1, 1, 28)
    beyond = torch.where(_drawn(images, 0, 1) < 0.5, beyond, 1 - beyond)
    upright = _drawn(images, 0, 1) < 0.5
    side = torch.where(upright, beyond.expand_as(images), beyond.transpose(2, 3).expand_as(images))
    return images + side * (1 - 2 * images)


WAYS: dict[str, Callable[[Tensor], Tensor]] = {
    "thicker": _thicker,
    "thinner": _thinner,
    "blurred": _blurred,
    "noisy": _noisy,
    "specked": _specked,
    "clouded": _clouded,
    "paled": _paled,
    "crossed": _crossed,
    "bent": _bent,
    "outlined": _outlined,
    "inverted": _inverted,
}  # what may happen to an image, each as often as the others


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
