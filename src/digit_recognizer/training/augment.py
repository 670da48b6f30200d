"""Random rotation, zoom, shift and shear of whole batches, as Keras's `ImageDataGenerator` draws them.

An output pixel's place relative to the centre, (row, column), is mapped to the input's by rotation · shift ·
shear · zoom, the shear along rows as in slanted writing (Keras's tilts columns too). Between pixels the value
is interpolated linearly, and beyond the edge its pixels repeat. Source:
``apply_affine_transform`` in https://github.com/keras-team/keras/blob/master/keras/src/legacy/preprocessing/image.py
"""

from __future__ import annotations

from math import radians

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate

from digit_recognizer.digits import SIDE
from digit_recognizer.training.settings import Augmentation

__all__ = ["augment", "draw_bends", "draw_transforms", "warp"]

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
