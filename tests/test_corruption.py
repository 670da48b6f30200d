"""Images as pens, blur, noise and cameras change them, and elastic distortions."""

from __future__ import annotations

import pytest
import torch

from digit_recognizer import load_digits
from digit_recognizer.recipes.schema import Augmentation
from digit_recognizer.training.augmentation import CORRUPTIONS, augment, corrupt

pytestmark = pytest.mark.usefixtures("one_thread")

IMAGES = torch.from_numpy(load_digits("bundled").images[:600, None] / 255).float()


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_every_corruption_changes_most_images(kind):
    before = IMAGES[:40]
    after = CORRUPTIONS[kind](before.clone())
    assert after.shape == before.shape
    assert after.dtype == torch.float32
    assert torch.isfinite(after).all()
    assert ((after.clamp(0, 1) - before).abs().amax(dim=(1, 2, 3)) > 0.02).float().mean() > 0.8


@pytest.mark.parametrize("fraction", [0.0, 0.3, 1.0])
def test_a_fraction_of_the_images_is_corrupted(fraction):
    after = corrupt(IMAGES, fraction)
    assert 0 <= after.min() <= after.max() <= 1
    changed = (after != IMAGES).flatten(1).any(dim=1).float().mean().item()
    assert changed == pytest.approx(fraction, abs=0.06)


def test_a_single_image_can_be_corrupted_in_every_way():
    for _ in range(40):
        assert corrupt(IMAGES[:1], 1.0).shape == (1, 1, 28, 28)


def test_an_elastic_distortion_bends_within_the_image():
    before = IMAGES[:50]
    bent = augment(before, Augmentation(elastic=0.6))
    assert bent.shape == before.shape
    assert 0 <= bent.min() <= bent.max() <= 1
    assert (bent - before).abs().mean() > 0.005
    assert (bent.sum(dim=(1, 2, 3)) / before.sum(dim=(1, 2, 3)) - 1).abs().mean() < 0.1
