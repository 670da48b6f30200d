"""Averages over members and shifted images: numpy is the oracle."""

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
    """Move images by whole pixels; the border is filled with zeros."""
    padded = np.pad(images, ((0, 0), (8, 8), (8, 8)))
    return padded[:, 8 - down : 36 - down, 8 - right : 36 - right]


def mean_over_five(network: nn.Module, images: np.ndarray, pixels: int) -> np.ndarray:
    steps = [(0, 0), (pixels, 0), (-pixels, 0), (0, pixels), (0, -pixels)]
    return np.mean([predicted(network, moved(images, *step)) for step in steps], axis=0)


def test_images_are_scaled_to_one_channel_from_0_to_1():
    found = scale(torch.arange(784, dtype=torch.int64).remainder(256).to(torch.uint8).reshape(1, 28, 28))
    assert (found.shape, found.dtype) == ((1, 1, 28, 28), torch.float32)
    assert (found.min(), found.max()) == (0, 1)
    assert found[0, 0, 0, 5] == 5 / 255


@pytest.mark.parametrize("pixels", [1, 2, 8])
def test_a_predictor_averages_over_the_image_and_four_shifts(pixels):
    network = build(seed=0)
    found = predicted(network, IMAGES, Shifts(pixels))
    np.testing.assert_allclose(found, mean_over_five(network, IMAGES, pixels), atol=1e-6)
    assert np.abs(found - predicted(network, IMAGES)).max() > 0.01


def test_only_unsure_images_are_averaged_and_blended_in_gradually():
    network = build(seed=0)
    network.dense1.weight.data *= 8
    plain, mean = predicted(network, IMAGES), mean_over_five(network, IMAGES, 1)
    bound = float(np.median(plain.max(axis=1)))
    weights = np.clip((bound - plain.max(axis=1, keepdims=True)) / 0.1, 0, 1)
    assert (weights == 0).any()
    assert ((weights > 0) & (weights < 1)).any()
    assert (weights == 1).any()
    found = predicted(network, IMAGES, Shifts(1, bound))
    np.testing.assert_allclose(found, plain + weights * (mean - plain), atol=1e-6)


class Centre(nn.Module):
    """Confident of a 0 if the middle pixel is set; undecided if it is not, as in each shifted image."""

    def forward(self, images):
        logits = torch.zeros(len(images), 10)
        logits[:, 0] = 4 * images[:, 0, 14, 14]
        return logits


DOT = np.zeros((1, 28, 28), np.uint8)
DOT[0, 14, 14] = 200


def test_there_is_no_jump_at_either_end_of_the_blend_range():
    plain, mean = predicted(Centre(), DOT), predicted(Centre(), DOT, Shifts(1))
    highest = float(plain.max())
    assert highest < 0.8
    assert np.abs(plain - mean).max() > 0.4  # the average itself is far away
    bounds = [highest + end + step for end in (0, BLEND_RANGE / 2, BLEND_RANGE) for step in (-1e-5, 1e-5)]
    confident, unsure, below, above, almost, completely = (
        predicted(Centre(), DOT, Shifts(1, b)) for b in bounds
    )
    assert np.array_equal(confident, plain)
    np.testing.assert_allclose(unsure, plain, atol=1e-4)
    assert not np.array_equal(unsure, plain)
    np.testing.assert_allclose(below, (plain + mean) / 2, atol=1e-4)  # half of the range: half of the average
    np.testing.assert_allclose(above, (plain + mean) / 2, atol=1e-4)
    np.testing.assert_allclose(almost, mean, atol=1e-4)
    np.testing.assert_allclose(completely, mean, atol=1e-6)


@pytest.mark.parametrize("shifts", [None, Shifts(1), Shifts(3, 0.4)])
def test_a_predictor_returns_probabilities(shifts):
    found = predicted(combine_members([build(seed=0), build(seed=1)]), IMAGES, shifts)
    assert (found.shape, found.dtype) == ((50, 10), np.float32)
    assert found.min() >= 0
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("shifts", [None, Shifts(1), Shifts(1, 0.4), Shifts(2, 0.01)])
def test_predict_returns_what_the_exported_computation_returns(shifts):
    predictor = Predictor(combine_members([build(seed=0), build(seed=1)]), shifts).eval()
    images = torch.from_numpy(IMAGES)
    with torch.inference_mode():
        torch.testing.assert_close(predictor.predict(images), predictor(images), rtol=0, atol=1e-6)


def test_a_network_gets_no_empty_batch_if_no_image_is_unsure():
    class Picky(nn.Module):
        def forward(self, images):
            assert len(images)
            return 50.0 * torch.eye(10)[torch.zeros(len(images), dtype=torch.int64)]

    images = torch.from_numpy(IMAGES)
    found = Predictor(Picky(), Shifts(1, 0.5)).eval().predict(images)
    assert found[:, 0].min() > 0.99


def test_members_have_the_mean_of_their_probabilities():
    networks = [build(seed) for seed in range(3)]
    mean = np.mean([predicted(network, IMAGES) for network in networks], axis=0)
    np.testing.assert_allclose(predicted(combine_members(networks), IMAGES), mean, atol=1e-6)


def test_probabilities_of_zero_do_not_become_nan():
    confident = build(seed=0)
    confident.dense1.weight.data *= 1e4
    assert (predicted(confident, IMAGES) == 0).any()
    found = predicted(combine_members([confident, confident]), IMAGES, Shifts(1))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_the_temperature_divides_the_logits():
    network = build(seed=0)
    with torch.inference_mode():
        logits = network(scale(torch.from_numpy(IMAGES)))
        found = Predictor(network, temperature=2.5)(torch.from_numpy(IMAGES))
    torch.testing.assert_close(found, (logits / 2.5).softmax(dim=1))


def test_a_single_member_is_that_network_itself():
    network = build(seed=0)
    assert combine_members([network]) is network
