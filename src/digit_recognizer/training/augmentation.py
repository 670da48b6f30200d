"""Augmentation and corruption of whole batches.

Augmentation is random rotation, zoom, shift and shear with the distributions of Keras's `ImageDataGenerator`.
The position of an output pixel relative to the centre, (row, column), is mapped to the input by rotation ·
shift · shear · zoom. The shear moves rows, as in slanted writing (Keras's tilts columns too). Values between
pixels are interpolated linearly, and the pixels at the edge are repeated beyond it. Source:
``apply_affine_transform`` in
https://github.com/keras-team/keras/blob/master/keras/src/legacy/preprocessing/image.py

Corruption imitates other pens, blur, noise, bad light and stray lines.
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

GRID_POINTS = 5  # along each side, moved by an elastic distortion


def augment(images: Tensor, augmentation: Augmentation) -> Tensor:
    """Transform each float32 image (N, 1, 28, 28) at random, with draws from torch's generator."""
    transforms = draw_transforms(len(images), augmentation, images.device)
    if not augmentation.elastic:
        return warp(images, transforms)
    return warp(images, transforms, draw_displacements(len(images), augmentation.elastic, images.device))


def draw_transforms(count: int, augmentation: Augmentation, device: torch.device | str = "cpu") -> Tensor:
    """Draw one transform for each image: float32 (N, 2, 3).

    The first two columns are a matrix that maps an output pixel's (row, column), relative to the centre, to
    the input's; the third column is the shift that is then added, in pixels.
    """
    angle, down, right, height, width, slant = (
        2 * torch.rand(6, count, device=device) - 1
    )  # each (N,), -1 to 1
    angle = radians(augmentation.rotation) * angle
    down, right = augmentation.shift * SIDE * down, augmentation.shift * SIDE * right
    height, width = 1 + augmentation.zoom * height, 1 + augmentation.zoom * width
    cos, sin, slant = angle.cos(), angle.sin(), augmentation.shear * slant
    to_row = torch.stack([(cos - sin * slant) * height, -sin * width, cos * down - sin * right], dim=1)
    to_column = torch.stack([(sin + cos * slant) * height, cos * width, sin * down + cos * right], dim=1)
    return torch.stack([to_row, to_column], dim=1)


def draw_displacements(count: int, pixels: float, device: torch.device | str = "cpu") -> Tensor:
    """Draw a smooth displacement of each pixel: float32 (N, 28, 28, 2), columns before rows, in pixels.

    It interpolates between `GRID_POINTS` x `GRID_POINTS` normal draws with a standard deviation of `pixels`.
    """
    moves = pixels * torch.randn(count, 2, GRID_POINTS, GRID_POINTS, device=device)
    smooth = interpolate(moves, size=(SIDE, SIDE), mode="bicubic", align_corners=True)
    return smooth.permute(0, 2, 3, 1)


def warp(images: Tensor, transforms: Tensor, displacements: Tensor | None = None) -> Tensor:
    """Apply a transform to each image (N, 1, H, W), and displacements to each pixel of 28x28 images."""
    matrix = transforms[:, :, :2].flip(1, 2)  # torch puts columns before rows
    half = transforms.new_tensor([images.shape[3] / 2, images.shape[2] / 2])  # torch counts in half sides
    shift = transforms[:, :, 2].flip(1) / half
    matrix = matrix * half / half[:, None]
    theta = torch.cat([matrix, shift[:, :, None]], dim=2)  # (N, 2, 3)
    grid = affine_grid(theta, list(images.shape), align_corners=False)  # (N, H, W, 2)
    if displacements is not None:
        grid = grid + displacements / half.flip(0)
    return grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def corrupt(images: Tensor, fraction: float, kinds: Collection[str] = ()) -> Tensor:
    """Corrupt a fraction of images, each in one way, with draws from torch's generator.

    The images are float32 (N, 1, H, W), 0 background to 1 ink; some kinds need 28x28. `kinds` are keys of
    `CORRUPTIONS`; all of them if empty.
    """
    names = kinds or tuple(CORRUPTIONS)
    corrupted = images.clone()
    kind = torch.randint(len(names), (len(images),), device=images.device)
    is_kept = torch.rand(len(images), device=images.device) >= fraction
    for number, name in enumerate(names):
        rows = torch.nonzero((kind == number) & ~is_kept)[:, 0]
        if len(rows):
            corrupted[rows] = CORRUPTIONS[name](images[rows]).clamp(0, 1)
    return corrupted


def _uniform(images: Tensor, low: float, high: float) -> Tensor:
    """Draw a number between `low` and `high` for each image: (N, 1, 1, 1)."""
    return low + (high - low) * torch.rand(len(images), 1, 1, 1, device=images.device)


def _thicker(images: Tensor) -> Tensor:
    return images + _uniform(images, 0, 1) * (max_pool2d(images, 3, 1, 1) - images)


def _thinner(images: Tensor) -> Tensor:
    return images - _uniform(images, 0, 0.8) * (images + max_pool2d(-images, 3, 1, 1))


def _blurred(images: Tensor) -> Tensor:
    """Blur with a Gaussian of 0.4 to 1.3 pixels."""
    offsets = torch.arange(-2.0, 3.0, device=images.device)
    kernels = torch.exp(-(offsets**2) / (2 * _uniform(images, 0.4, 1.3)[:, 0, 0] ** 2))  # (N, 5)
    kernels = kernels / kernels.sum(dim=1, keepdim=True)
    count = len(images)
    channels = images.transpose(0, 1)  # images as channels, so that each has a kernel of its own
    rows = conv2d(channels, kernels.view(count, 1, 5, 1), padding=(2, 0), groups=count)
    return conv2d(rows, kernels.view(count, 1, 1, 5), padding=(0, 2), groups=count).transpose(0, 1)


def _noisy(images: Tensor) -> Tensor:
    return images + _uniform(images, 0.02, 0.3) * torch.randn_like(images)


def _specked(images: Tensor) -> Tensor:
    """Turn up to an eighth of the pixels black, and as many white (salt and pepper)."""
    chance, fraction = torch.rand_like(images), _uniform(images, 0, 0.12)
    return images.masked_fill(chance < fraction, 0).masked_fill(chance > 1 - fraction, 1)


def _clouded(images: Tensor) -> Tensor:
    """Blend an image with clouds: shadow, fog, patterned paper."""
    coarse = torch.rand(len(images), 1, 4, 4, device=images.device)
    clouds = interpolate(coarse, size=(SIDE, SIDE), mode="bicubic", align_corners=True)
    opacity = _uniform(images, 0, 0.6)
    return images * (1 - opacity / 2) + opacity * clouds


def _paled(images: Tensor) -> Tensor:
    """Darken the paper and lighten the ink."""
    paper = _uniform(images, 0, 0.5)
    return paper + images * _uniform(images, 0.35, 1) * (1 - paper)


def _crossed(images: Tensor) -> Tensor:
    """Draw a thin line through an image, whole or dashed."""
    places = torch.arange(float(SIDE), device=images.device) - (SIDE - 1) / 2
    angle = _uniform(images, 0, pi)
    rows, columns = places[:, None], places[None, :]
    across = rows * angle.cos() + columns * angle.sin() - _uniform(images, -12, 12)
    along = columns * angle.cos() - rows * angle.sin()
    dash = (along / _uniform(images, 2, 8)).frac().abs() < _uniform(images, 0.3, 1)
    return torch.maximum(images, ((across.abs() < _uniform(images, 0.35, 0.75)) & dash).float())


def _bent(images: Tensor) -> Tensor:
    """Raise grey values to a power: softer or harder edges."""
    return images ** _uniform(images, 0.4, 2)


def _outlined(images: Tensor) -> Tensor:
    """Keep only the edges of strokes, as in outlined letters."""
    return max_pool2d(images, 3, 1, 1) + max_pool2d(-images, 3, 1, 1)


def _inverted(images: Tensor) -> Tensor:
    """Swap ink and paper on one side of a vertical or horizontal line."""
    places = torch.arange(float(SIDE), device=images.device)
    beyond = (places[None, None, None, :] >= _uniform(images, 4, SIDE - 4)).float()  # (N, 1, 1, 28)
    beyond = torch.where(_uniform(images, 0, 1) < 0.5, beyond, 1 - beyond)
    vertical = _uniform(images, 0, 1) < 0.5
    side = torch.where(vertical, beyond.expand_as(images), beyond.transpose(2, 3).expand_as(images))
    return images + side * (1 - 2 * images)


CORRUPTIONS: dict[str, Callable[[Tensor], Tensor]] = {
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
}  # equally likely


def preview_augmentation(
    image: NDArray[np.uint8], augmentation: Augmentation | None, count: int, seed: int = 0
) -> NDArray[np.uint8]:
    """Return `count` random transforms of an image, as in training.

    Parameters
    ----------
    image
        uint8, shape (28, 28), 0 background to 255 ink.
    augmentation
        A recipe's; None if it shows images as they are.
    count
        At least 1.
    seed
        Determines the draws.

    Returns
    -------
    numpy.ndarray
        uint8, shape (count, 28, 28).
    """
    copies = scale(torch.tensor(image).repeat(count, 1, 1))  # (count, 1, 28, 28)
    with draws_from(seed, epoch=1, step=1):
        moved = copies if augmentation is None else augment(copies, augmentation)
    return (moved[:, 0] * INK).round().to(torch.uint8).numpy()
