"""What a run's networks say together, and of shifted images: worked out again with numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from digit_recognizer.networks.build import build_network
from digit_recognizer.networks.predictor import BLEND_RANGE, Predictor, combine_members, scale
from digit_recognizer.recipes.schema import Shifts
from helpers import make_digits, tiny

IMAGES = make_digits(50, noise=75).images


def build(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return build_network(tiny(network=("conv 3 5x5 stride 3 relu", "dense 10"))).eval()


def predicted(network: nn.Module, images: np.ndarray, shifts: Shifts | None = None) -> np.ndarray:
    with torch.inference_mode():
        return Predictor(network, shifts).eval()(torch.from_numpy(images)).numpy()


def moved(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """Move images by whole pixels; what comes in from outside is blank."""
    side = images.shape[1]
    found = np.zeros_like(images)
    for row in range(side):
        for column in range(side):
            if 0 <= row - down < side and 0 <= column - right < side:
                found[:, row, column] = images[:, row - down, column - right]
    return found


def mean_over_five(network: nn.Module, images: np.ndarray, pixels: int) -> np.ndarray:
    steps = [(0, 0), (pixels, 0), (-pixels, 0), (0, pixels), (0, -pixels)]
    return np.mean([predicted(network, moved(images, *step)) for step in steps], axis=0)


def test_images_are_scaled_to_one_channel_from_0_to_1():
    found = scale(torch.arange(784, dtype=torch.int64).remainder(256).to(torch.uint8).reshape(1, 28, 28))
    assert (found.shape, found.dtype) == ((1, 1, 28, 28), torch.float32)
    assert (found.min(), found.max()) == (0, 1)
    assert found[0, 0, 0, 5] == 5 / 255


@pytest.mark.parametrize("pixels", [1, 2, 8])
def test_a_predictor_averages_over_the_image_and_four_that_are_moved(pixels):
    network = build(seed=0)
    found = predicted(network, IMAGES, Shifts(pixels))
    np.testing.assert_allclose(found, mean_over_five(network, IMAGES, pixels), atol=1e-6)
    assert np.abs(found - predicted(network, IMAGES)).max() > 0.01


def test_only_unsure_images_are_averaged_and_in_part_within_a_tenth():
    network = build(seed=0)
    network.dense1.weight.data *= 8
    plain, mean = predicted(network, IMAGES), mean_over_five(network, IMAGES, 1)
    bound = float(np.median(plain.max(axis=1)))
    share = np.clip((bound - plain.max(axis=1, keepdims=True)) / 0.1, 0, 1)
    assert (share == 0).any()
    assert ((share > 0) & (share < 1)).any()
    assert (share == 1).any()
    found = predicted(network, IMAGES, Shifts(1, bound))
    np.testing.assert_allclose(found, plain + share * (mean - plain), atol=1e-6)


class Centre(nn.Module):
    """Takes a pixel in the middle for a 0, and is at a loss where it is blank, as in each moved image."""

    def forward(self, images):
        logits = torch.zeros(len(images), 10)
        logits[:, 0] = 4 * images[:, 0, 14, 14]
        return logits


DOT = np.zeros((1, 28, 28), np.uint8)
DOT[0, 14, 14] = 200


def test_nothing_jumps_where_an_image_becomes_unsure():
    """A hair's breadth to either side of both ends of the margin; the average itself is far away."""
    plain, mean = predicted(Centre(), DOT), predicted(Centre(), DOT, Shifts(1))
    highest = float(plain.max())
    assert highest < 0.8
    assert np.abs(plain - mean).max() > 0.4
    just_sure, just_unsure = (predicted(Centre(), DOT, Shifts(1, highest + step)) for step in (-1e-5, 1e-5))
    assert np.array_equal(just_sure, plain)
    np.testing.assert_allclose(just_unsure, plain, atol=1e-4)
    assert not np.array_equal(just_unsure, plain)
    almost, all_of_it = (
        predicted(Centre(), DOT, Shifts(1, highest + BLEND_RANGE + step)) for step in (-1e-5, 1e-5)
    )
    np.testing.assert_allclose(almost, mean, atol=1e-4)
    np.testing.assert_allclose(all_of_it, mean, atol=1e-6)


def test_half_way_into_the_margin_the_average_counts_half():
    plain, mean = predicted(Centre(), DOT), predicted(Centre(), DOT, Shifts(1))
    half = predicted(Centre(), DOT, Shifts(1, float(plain.max()) + BLEND_RANGE / 2))
    np.testing.assert_allclose(half, (plain + mean) / 2, atol=1e-5)


@pytest.mark.parametrize("shifts", [None, Shifts(1), Shifts(3, 0.4)])
def test_what_a_predictor_gives_are_probabilities(shifts):
    found = predicted(combine_members([build(seed=0), build(seed=1)]), IMAGES, shifts)
    assert (found.shape, found.dtype) == ((50, 10), np.float32)
    assert found.min() >= 0
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("shifts", [None, Shifts(1), Shifts(1, 0.4), Shifts(2, 0.01)])
def test_predicting_gives_what_the_traced_computation_gives(shifts):
    predictor = Predictor(combine_members([build(seed=0), build(seed=1)]), shifts).eval()
    images = torch.from_numpy(IMAGES)
    with torch.inference_mode():
        torch.testing.assert_close(predictor.predict(images), predictor(images), rtol=0, atol=1e-6)


def test_where_no_image_is_unsure_a_network_gets_no_empty_batch():
    class Picky(nn.Module):
        def forward(self, images):
            assert len(images)
            return 50.0 * torch.eye(10)[torch.zeros(len(images), dtype=torch.int64)]

    images = torch.from_numpy(IMAGES)
    found = Predictor(Picky(), Shifts(1, 0.5)).eval().predict(images)
    assert found[:, 0].min() > 0.99


def test_members_together_say_the_mean_of_their_probabilities():
    networks = [build(seed) for seed in range(3)]
    mean = np.mean([predicted(network, IMAGES) for network in networks], axis=0)
    np.testing.assert_allclose(predicted(combine_members(networks), IMAGES), mean, atol=1e-6)


def test_members_that_are_as_sure_as_can_be_give_no_number_that_is_none():
    """Two networks for which an answer has a probability of 0 to the last bit."""
    sure = build(seed=0)
    sure.dense1.weight.data *= 1e4
    found = predicted(combine_members([sure, sure]), IMAGES, Shifts(1))
    assert (predicted(sure, IMAGES) == 0).any()
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_a_single_member_is_that_network_itself():
    network = build(seed=0)
    assert combine_members([network]) is network
