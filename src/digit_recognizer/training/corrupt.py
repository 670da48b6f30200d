"""What happens to digits on their way into a picture: other pens, blur, noise, bad light, stray lines.

Each of a share of a batch's images is changed in one way, drawn at random, and that more or less. What the
ways are follows what cameras, scanners and paper do; none is a copy of MNIST-C's corruptions, but noise, blur
and stray lines are like some of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from math import pi

import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, max_pool2d

from digit_recognizer.digits import SIDE

__all__ = ["WAYS", "corrupt"]


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
