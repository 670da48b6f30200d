"""Distillation: a student learns from the probabilities of a finished run, its teacher.

After Hinton et al. 2015, https://arxiv.org/abs/1503.02531. The teacher sees each image exactly as the student
does, augmentation included, and its probabilities replace part of the label.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from digit_recognizer.digits import CLASSES
from digit_recognizer.networks.predictor import combine_members, scale
from digit_recognizer.recipes import Recipe
from digit_recognizer.training.checkpoint import load_members

MIN_DIGIT_PROBABILITY = 0.8  # a teacher's highest probability from which an image may show a digit
BATCH_SIZE = 512  # images that a teacher classifies at a time


def load_teacher(recipe: Recipe, device: torch.device) -> nn.Module | None:
    """Return the network of a recipe's teacher, or None; `DigitsError` if its run is missing or damaged."""
    if recipe.teacher is None:
        return None
    network = combine_members(load_members(Path(recipe.teacher.run)))
    network = network.eval().requires_grad_(requires_grad=False)
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def soft_targets(teacher: nn.Module, inputs: Tensor, labels: Tensor, weight: float) -> Tensor:
    """Return targets, float32 (B, 10): the teacher's probabilities times `weight`, the rest from labels."""
    with torch.no_grad():
        probabilities = teacher(inputs).float().softmax(dim=1)
    targets: Tensor = weight * probabilities + (1 - weight) * one_hot(labels, CLASSES)
    return targets


@torch.inference_mode()
def rejected_by_teacher(images: Tensor, teacher: nn.Module) -> Tensor:
    """Return which uint8 images (N, 28, 28) a teacher is not confident to be a digit: bool (N,)."""
    batches = torch.split(images, BATCH_SIZE)
    highest = [teacher(scale(batch)).softmax(dim=1).amax(dim=1) for batch in batches]
    return (torch.cat(highest) < MIN_DIGIT_PROBABILITY).clone()
