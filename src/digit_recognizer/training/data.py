"""The data of a training run, and how a batch is made of it.

Only this module knows the extras of a recipe: augmentation, corruption, non-digits, corrections, a teacher.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, pad

from digit_recognizer.digits import CLASSES, NON_DIGIT, Digits, Samples
from digit_recognizer.networks.predictor import channels_last, scale
from digit_recognizer.recipes import Recipe
from digit_recognizer.runs.split import DataSplit
from digit_recognizer.training.augmentation import augment, corrupt
from digit_recognizer.training.device import autocast
from digit_recognizer.training.distillation import rejected_by_teacher, soft_targets


@dataclass(frozen=True, slots=True, eq=False)
class ExtraImages:
    """Images to add to batches, uint8 (M, 28, 28), and their classes, int64 (M,), 10 for non-digits."""

    images: Tensor
    classes: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """All that a network is trained and validated on.

    Attributes
    ----------
    images, labels
        uint8 (N, 28, 28) and int64 (N,), on the device that computes, as are the extras.
    validation
        The digits held out for validation; may be none.
    non_digits, corrections
        Extra images, a random choice of which is added to each batch; None if the recipe has none.
    teacher
        The network to learn from besides the labels; None if the recipe has none.
    """

    images: Tensor
    labels: Tensor
    validation: Digits
    non_digits: ExtraImages | None = None
    corrections: ExtraImages | None = None
    teacher: nn.Module | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """A batch as a network sees it.

    Attributes
    ----------
    inputs
        float32 (B, 1, 28, 28): the digits first, then the extras.
    targets
        int64 (B,) classes, or float32 (B, 10 or 11) probabilities.
    labels
        int64 (D,): the labels of the digits.
    """

    inputs: Tensor
    targets: Tensor
    labels: Tensor


def prepare_data(
    digits: Digits,
    recipe: Recipe,
    split: DataSplit,
    device: torch.device,
    seed: int,
    *,
    teacher: nn.Module | None = None,
    corrections: Samples | None = None,
) -> TrainingData:
    """Return what a run with this recipe is trained on."""
    images, labels = to_tensors(digits[split.training], device)
    return TrainingData(
        images,
        labels,
        digits[split.validation],
        non_digits=_make_non_digits(recipe, images, labels, seed, teacher),
        corrections=None if corrections is None else extra_images(corrections, device),
        teacher=teacher,
    )


def to_tensors(digits: Digits, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return images uint8 (N, 28, 28) and labels int64 (N,) on a device."""
    assert digits.labels is not None  # checked by the split
    return torch.from_numpy(digits.images).to(device), torch.from_numpy(digits.labels).to(device)


def extra_images(samples: Samples, device: torch.device) -> ExtraImages:
    """Return samples as tensors on a device."""
    return ExtraImages(
        torch.from_numpy(samples.images).to(device), torch.from_numpy(samples.classes).to(device)
    )


def make_batch(data: TrainingData, rows: Tensor, recipe: Recipe) -> Batch:
    """Make a batch of the digits in `rows`, with draws from torch's generator."""
    images, labels = data.images[rows], data.labels[rows]
    digit_labels = labels
    count = len(images)
    # a run draws the same numbers in every version only if these steps keep their order
    if data.non_digits is not None and recipe.outliers is not None:
        images, labels = _append(images, labels, data.non_digits, round(recipe.outliers.share * count))
    if data.corrections is not None and recipe.corrections is not None:
        added = max(1, round(recipe.corrections.share * count))
        images, labels = _append(images, labels, data.corrections, added)
    inputs = scale(images)
    if recipe.augmentation is not None:
        inputs = augment(inputs, recipe.augmentation)
    inputs = channels_last(inputs)
    targets = labels
    if data.teacher is not None and recipe.teacher is not None:
        with autocast(recipe, images.device):
            soft = soft_targets(data.teacher, inputs[:count], labels[:count], recipe.teacher.weight)
        soft = pad(soft, (0, recipe.outputs - CLASSES))  # the teacher has no class for non-digits
        targets = torch.cat([soft, one_hot(labels[count:], recipe.outputs).float()])
    if recipe.corruption is not None:
        inputs = channels_last(corrupt(inputs, recipe.corruption.share))
    return Batch(inputs, targets, digit_labels)


def _append(images: Tensor, labels: Tensor, extras: ExtraImages, count: int) -> tuple[Tensor, Tensor]:
    """Append `count` randomly drawn extra images."""
    rows = torch.randint(len(extras.images), (count,), device=images.device)
    return torch.cat([images, extras.images[rows]]), torch.cat([labels, extras.classes[rows]])


def _make_non_digits(
    recipe: Recipe, images: Tensor, labels: Tensor, seed: int, teacher: nn.Module | None
) -> ExtraImages | None:
    """Draw a recipe's non-digits, the same for the same seed; leave out those that a teacher may read."""
    if recipe.outliers is None:
        return None
    # imported here because drawing non-digits needs matplotlib's fonts, which take a while to load
    from digit_recognizer.synthetic.non_digits import ALWAYS_KEPT_KINDS, sample_non_digits

    rng = np.random.default_rng([seed, CLASSES])
    digits = Digits(images.cpu().numpy(), labels.cpu().numpy())
    drawn, kinds = sample_non_digits(recipe.outliers.images, digits.images, rng)
    extras = ExtraImages(
        torch.from_numpy(drawn).to(images.device),
        torch.full((len(drawn),), NON_DIGIT, device=images.device),
    )
    if teacher is None:
        return extras
    kept = rejected_by_teacher(extras.images, teacher)
    kept = kept | torch.from_numpy(np.isin(kinds, ALWAYS_KEPT_KINDS)).to(images.device)
    return ExtraImages(extras.images[kept], extras.classes[kept])
