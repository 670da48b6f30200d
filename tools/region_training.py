"""Train the network that looks at found characters again, on what the first one finds on composed pages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from averaged_training import AveragedTraining
from character_training import Pages
from digit_recognizer.digits import INK
from digit_recognizer.networks.character_network import CLASSES, CharacterNetwork, Finder
from digit_recognizer.networks.region_classifier import RegionClassifier
from digit_recognizer.recipes.schema import Augmentation
from digit_recognizer.recognition.agreement import FoundCharacter, ious, roomy_boxes
from digit_recognizer.recognition.second_stage import region_images
from digit_recognizer.synthetic.pages import ComposedPage
from digit_recognizer.training.augmentation import augment
from digit_recognizer.training.numbers.page_views import sample_view

NONE = CLASSES  # the class of what is no character
MIN_IOU, MAX_IOU_OF_NONE = 0.5, 0.4  # with a character: to be that one, and to be none
IGNORED_IOU, IGNORED_PART = 0.25, 0.5  # with what is to be ignored: intersection over union, part of the box
BATCH_SIZE = 256
AS_SHOWN = Augmentation(rotation=7, zoom=0.09, shift=0.035, shear=0.14)
MAX_NOISE, P_INVERTED = 12.0, 0.1  # standard deviation in grey levels


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """Images of found characters, uint8 (N, 2, 48, 48), and their classes, int64 (N,); the last is none."""

    images: NDArray[np.uint8]
    classes: NDArray[np.int64]


def find_regions(network: CharacterNetwork, files: list[Path], *, views: int, seed: int) -> Regions:
    """Return what a network finds in views of composed pages, but for what may be a character or not."""
    rng = np.random.default_rng([seed, views])
    finder, pages = Finder(network.eval()), Pages(files, rng)
    parts = [_regions_of(finder, sample_view(pages.draw, rng)) for _ in range(views)]
    return Regions(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def _regions_of(finder: Finder, page: ComposedPage) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    with torch.inference_mode():
        boxes, probabilities, _, ems, _ = (each.numpy() for each in finder(torch.from_numpy(page.image)))
    classes = _classes(boxes, ems, page)
    rows = np.flatnonzero(classes >= 0)
    found = [FoundCharacter(boxes[row], probabilities[row], 1.0, float(ems[row]), 0.0) for row in rows]
    return region_images(page.image, found), classes[rows]


def _classes(boxes: NDArray[np.float32], ems: NDArray[np.float32], page: ComposedPage) -> NDArray[np.int64]:
    """Return the class of each box, (K,); -1 where that is not decided."""
    if not len(page.boxes):
        return np.full(len(boxes), NONE)
    own, others = roomy_boxes(boxes, ems), roomy_boxes(page.boxes, page.em)
    overlaps = ious(own, others)
    is_ignored = page.classes < 0
    is_near = (overlaps >= IGNORED_IOU) | (_parts_inside(own, others) > IGNORED_PART)
    overlaps = np.where(is_ignored, 0, overlaps)
    best = overlaps.argmax(axis=1)
    highest = overlaps[np.arange(len(boxes)), best]
    is_undecided = (highest < MIN_IOU) & (is_near[:, is_ignored].any(axis=1) | (highest >= MAX_IOU_OF_NONE))
    return np.select([highest >= MIN_IOU, is_undecided], [page.classes[best], -1], NONE)


def _parts_inside(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return which part of each of boxes (K, 4) is in each of others (M, 4): (K, M)."""
    low, high = np.maximum(boxes[:, None, :2], others[:, :2]), np.minimum(boxes[:, None, 2:], others[:, 2:])
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return np.asarray(np.prod((high - low).clip(0), axis=2) / areas[:, None])


def train_classifier(
    classifier: RegionClassifier, regions: Regions, *, epochs: int, seed: int
) -> Iterator[float]:
    """Train a classifier in place and yield the mean loss of each epoch.

    At the end, its weights are averages of the last ones.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, BATCH_SIZE])
    count = len(regions.classes) // BATCH_SIZE
    training = AveragedTraining(classifier, epochs * count)
    for _ in range(epochs):
        losses = []
        order = rng.permutation(len(regions.classes))
        for number in range(count):
            rows = order[number * BATCH_SIZE : (number + 1) * BATCH_SIZE]
            images = _as_shown(torch.from_numpy(regions.images[rows]))
            logits = training.run(images).float()
            loss = cross_entropy(logits, torch.from_numpy(regions.classes[rows]))
            training.step(loss)
            losses.append(loss.item())
        yield float(np.mean(losses))
    training.finish()


def _as_shown(images: Tensor) -> Tensor:
    """Return images, (N, 2, 48, 48), a little moved, turned and noisy, some light on dark."""
    moved = augment(images.float(), AS_SHOWN)
    shape = (len(images), 1, 1)
    moved[:, 0] += MAX_NOISE * torch.rand(shape) ** 3 * torch.randn_like(moved[:, 0])
    is_inverted = torch.rand(shape) < P_INVERTED
    moved[:, 0] = torch.where(is_inverted, INK - moved[:, 0], moved[:, 0])
    return moved
