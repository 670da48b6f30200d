"""What a step learns from: digits, moved and corrupted anew each time, and images of no digit among them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, pad

from digit_recognizer.digits import CLASSES, Digits
from digit_recognizer.networks.predictor import channels_last, scale
from digit_recognizer.recipes.recipe import Recipe
from digit_recognizer.training.augmentation import augment, corrupt
from digit_recognizer.training.distillation import are_strange, soft_targets
from digit_recognizer.training.precision import autocast


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """What comes into batches besides the digits of the data.

    Attributes
    ----------
    images
        uint8, shape (M, 28, 28).
    classes
        int64, shape (M,): 0 to 9, or 10 where there is no digit.
    """

    images: Tensor
    classes: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """A batch as a network sees it.

    Attributes
    ----------
    inputs
        float32, shape (B, 1, 28, 28): first the digits, then the outliers.
    targets
        What is learned: classes, int64 (B,), or probabilities, float32 (B, 10 or 11).
    """

    inputs: Tensor
    targets: Tensor


def prepare(
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    teacher: nn.Module | None,
    pool: Pool | None,
    corrections: Pool | None = None,
) -> Batch:
    """Make a batch of digits, with draws from torch's generator.

    Parameters
    ----------
    images, labels
        uint8 (N, 28, 28) and int64 (N,).
    recipe
        Its augmentation, corruption, outliers and teacher's weight.
    teacher
        Answers the digits as the augmentation leaves them, before the corruption.
    pool
        Some of it comes in where the recipe learns from outliers.
    corrections
        Some of them come in where the recipe learns from corrections.
    """
    count = len(images)
    if pool is not None and recipe.outliers is not None:
        images, labels = _joined(images, labels, pool, round(recipe.outliers.share * count))
    if corrections is not None and recipe.corrections is not None:
        images, labels = _joined(images, labels, corrections, max(1, round(recipe.corrections.share * count)))
    inputs = scale(images)
    if recipe.augmentation is not None:
        inputs = augment(inputs, recipe.augmentation)
    inputs = channels_last(inputs)
    targets = labels
    if teacher is not None and recipe.teacher is not None:
        with autocast(recipe, images.device):
            answers = soft_targets(teacher, inputs[:count], labels[:count], recipe.teacher.weight)
        answers = pad(answers, (0, recipe.outputs - CLASSES))
        targets = torch.cat([answers, one_hot(labels[count:], recipe.outputs).float()])
    if recipe.corruption is not None:
        inputs = channels_last(corrupt(inputs, recipe.corruption.share))
    return Batch(inputs, targets)


def _joined(images: Tensor, labels: Tensor, pool: Pool, count: int) -> tuple[Tensor, Tensor]:
    """Return images and labels with `count` of a pool behind them, each drawn anew."""
    rows = torch.randint(len(pool.images), (count,), device=images.device)
    return torch.cat([images, pool.images[rows]]), torch.cat([labels, pool.classes[rows]])


def make_pool(
    recipe: Recipe, images: Tensor, labels: Tensor, seed: int, teacher: nn.Module | None
) -> Pool | None:
    """Make the outliers that a run learns from, the same for the same seed; None where it learns from none.

    Parameters
    ----------
    images, labels
        uint8 (N, 28, 28) and int64 (N,): the digits that it is trained on, on the device that computes.
    teacher
        Where there is one, outliers that it takes for a digit are left out, but for those of `CERTAIN` kinds.
    """
    if recipe.outliers is None:
        return None
    # drawing them needs matplotlib's fonts, which take a while to load
    from digit_recognizer.synthetic.non_digits import CERTAIN, draw_outliers
    from digit_recognizer.synthetic.segments import draw_pieces

    rng = np.random.default_rng([seed, CLASSES])
    digits = Digits(images.cpu().numpy(), labels.cpu().numpy())
    drawn, kinds = draw_outliers(recipe.outliers.images, digits.images, rng)
    pieces, classes = draw_pieces(recipe.outliers.lines, digits, drawn, rng)
    pool = Pool(
        torch.from_numpy(np.concatenate([drawn, pieces])).to(images.device),
        torch.cat([torch.full((len(drawn),), CLASSES), torch.from_numpy(classes)]).to(images.device),
    )
    if teacher is None:
        return pool
    kept = (pool.classes < CLASSES) | are_strange(pool.images, teacher)
    kept[: len(drawn)] |= torch.from_numpy(np.isin(kinds, CERTAIN)).to(images.device)
    return Pool(pool.images[kept], pool.classes[kept])
