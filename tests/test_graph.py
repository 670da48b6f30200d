"""The ONNX graph that is written node by node: torch is the oracle of each layer and of the whole."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from digit_recognizer.networks.build import build_network
from digit_recognizer.networks.onnx_export import export_onnx
from digit_recognizer.networks.onnx_graph import can_be_written, write_graph
from digit_recognizer.networks.predictor import Predictor, combine_members
from digit_recognizer.recipes import load_recipe, recipe_names
from digit_recognizer.recipes.layers import ACTIVATIONS
from digit_recognizer.recipes.schema import Outliers, Shifts
from helpers import make_digits, tiny

pytestmark = pytest.mark.usefixtures("one_thread")

IMAGES = make_digits(300, noise=75).images
CLOSE = 1e-5  # of a probability; the difference is about 1e-6


def build(*lines: str, outputs: int = 10, seed: int = 0) -> nn.Module:
    """Return a network whose biases and statistics differ in every channel."""
    torch.manual_seed(seed)
    outliers = Outliers() if outputs == 11 else None
    network = build_network(tiny(network=lines, outliers=outliers)).eval()
    for name, value in network.state_dict().items():
        if name.endswith(("bias", "running_mean")):
            value.uniform_(-0.5, 0.5)
        elif value.ndim == 1:  # the scale and the variance of a normalisation
            value.uniform_(0.5, 1.5)
    return network


def answers(predictor: Predictor, images: np.ndarray) -> list[np.ndarray]:
    """Return all outputs of a predictor's graph in ONNX Runtime."""
    model = write_graph(predictor)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"images": images})


def computed(predictor: Predictor, images: np.ndarray) -> np.ndarray:
    return answers(predictor, images)[0]


def expected(predictor: Predictor, images: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return predictor.eval()(torch.from_numpy(images)).numpy()


def assert_agrees(predictor: Predictor, images: np.ndarray) -> None:
    found, wanted = computed(predictor, images), expected(predictor, images)[:, :10]
    wanted = wanted / wanted.sum(axis=1, keepdims=True)  # conditional on a digit
    assert found.shape == (len(images), 10)
    np.testing.assert_allclose(found, wanted, atol=CLOSE, rtol=0)


EVERY_LINE = [
    *[(f"conv 3 3x3 {name}", f"dense 20 {name}", name, "dense 10") for name in ACTIVATIONS],
    *[
        (f"conv 3 {kernel} {padding} stride {stride}", "dense 10")
        for kernel, padding in (("3x3", "same"), ("2x5", "same"), ("4x4", "valid"), ("1x6", "valid"))
        for stride in (1, 2, 3)
    ],
    *[
        (f"{kind}pool {size} stride {stride}", "dense 10")
        for kind in ("max", "avg")
        for size, stride in ((2, 2), (3, 2), (2, 1), (2, 3))
    ],
    ("conv 4 3x3", "batchnorm", "dense 10"),
    ("dense 12", "batchnorm", "relu", "dense 10"),
    ("conv 10 3x3 stride 3", "global-avgpool"),
    ("conv 4 28x28", "global-avgpool", "dense 10"),
    ("dropout 0.5", "flatten", "dropout 0.3", "dense 10"),
    ("flatten", "flatten", "dense 10"),
    ("dense 10",),
]


@pytest.mark.parametrize("lines", EVERY_LINE, ids="; ".join)
def test_every_layer_is_the_same_in_the_graph_as_in_torch(lines):
    assert_agrees(Predictor(build(*lines)), IMAGES[:7])


@st.composite
def networks(draw) -> tuple[str, ...]:
    """Draw lines that fit together: convolutions, pooling and everything that may be between them."""
    size, lines = [28, 28], []
    activation = st.sampled_from(["", *ACTIVATIONS])
    for kind in draw(st.lists(st.sampled_from(["same", "valid", "max", "avg", "between"]), max_size=5)):
        if kind == "between":
            lines.append(draw(st.sampled_from(["batchnorm", "dropout 0.4", *ACTIVATIONS])))
            continue
        stride = draw(st.integers(1, 3))
        if kind in ("max", "avg"):
            window = draw(st.integers(1, min(3, *size)))
            lines.append(f"{kind}pool {window} stride {stride}")
            size = [(side - window) // stride + 1 for side in size]
            continue
        largest = 7 if kind == "same" else min(5, *size)
        kernel = draw(st.integers(1, largest)), draw(st.integers(1, largest))
        filters = draw(st.integers(1, 3))
        lines.append(f"conv {filters} {kernel[0]}x{kernel[1]} {kind} stride {stride} {draw(activation)}")
        if kind == "same":
            size = [-(-side // stride) for side in size]
        else:
            size = [(side - edge) // stride + 1 for side, edge in zip(size, kernel, strict=True)]
    hidden = draw(st.sampled_from([(), ("flatten",), ("global-avgpool",), ("dense 6 silu", "batchnorm")]))
    return (*lines, *hidden, "dense 10")


@settings(max_examples=60, deadline=None)
@given(lines=networks(), shifts=st.sampled_from([None, Shifts(1), Shifts(2, 0.3)]))
def test_any_network_is_the_same_in_the_graph_as_in_torch(lines, shifts):
    assert_agrees(Predictor(build(*lines), shifts), IMAGES[:3])


SMALL = ("conv 4 3x3 stride 2 relu", "maxpool 2", "dense 10")
OTHER = ("conv 3 4x2 same stride 3", "batchnorm", "silu", "dense 10")


SHIFTS = pytest.mark.parametrize("shifts", [None, Shifts(1), Shifts(2, 0.4)], ids=["plain", "all", "unsure"])


@pytest.mark.parametrize("members", [1, 2, 3])
@SHIFTS
def test_members_are_averaged_in_the_graph_as_in_torch_for_any_number_of_images(members, shifts):
    each = [build(*(OTHER if number == 1 else SMALL), seed=number) for number in range(members)]
    for count in (1, 2, 7, 300):
        assert_agrees(Predictor(combine_members(each), shifts), IMAGES[:count])


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_is_the_same_in_the_graph_as_in_torch(name):
    """With dense layers of at most 99 units: they are all written alike, and 92 million weights take long."""
    recipe = load_recipe(name)
    narrow = [
        tuple(re.sub(r"dense \d{3,}", "dense 64", line) for line in lines) for lines in recipe.architectures
    ]
    recipe = replace(recipe, network=(), networks=tuple(narrow))
    members = [build_network(recipe, number) for number in range(1, len(narrow) + 1)]
    predictor = Predictor(
        combine_members(members), recipe.shifts, temperature=recipe.temperature, outputs=recipe.outputs
    )
    for count in (1, 40):
        assert_agrees(predictor, IMAGES[:count])


ELEVEN = ("conv 4 3x3 stride 2 relu", "maxpool 2", "dense 11")


@pytest.mark.parametrize("temperature", [1.0, 0.6, 2.5])
@SHIFTS
@pytest.mark.parametrize("members", [1, 2])
def test_eleven_classes_become_digit_probabilities_and_the_probability_of_a_digit(
    members, shifts, temperature
):
    network = combine_members([build(*ELEVEN, outputs=11, seed=number) for number in range(members)])
    predictor = Predictor(network, shifts, temperature=temperature, outputs=11)
    wanted = expected(predictor, IMAGES[:40])
    probabilities, is_digit = answers(predictor, IMAGES[:40])
    assert (probabilities.shape, is_digit.shape) == ((40, 10), (40,))
    np.testing.assert_allclose(is_digit, 1 - wanted[:, 10], atol=CLOSE)
    np.testing.assert_allclose(probabilities * is_digit[:, None], wanted[:, :10], atol=CLOSE)
    assert is_digit.min() < 0.97


# Shifts


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """A network that is confident about some images but not about others."""
    network = build(*SMALL)
    network.dense1.weight.data *= 4
    highest = expected(Predictor(network), IMAGES).max(axis=1)
    assert highest.min() < 0.3 < 0.6 < highest.max()
    return network


@pytest.mark.parametrize("pixels", [1, 2, 8])
@pytest.mark.parametrize("bound", [0.35, 0.5, 0.7, 1.0])
def test_shifted_images_count_in_the_graph_as_in_torch(network, pixels, bound):
    predictor = Predictor(network, Shifts(pixels, bound))
    assert np.abs(expected(predictor, IMAGES) - expected(Predictor(network), IMAGES)).max() > 0.01
    assert_agrees(predictor, IMAGES)


def test_confident_images_are_left_as_they_are(network):
    """To the bit, whatever the other images are."""
    plain = computed(Predictor(network), IMAGES)
    found = computed(Predictor(network, Shifts(1, 0.4)), IMAGES)
    sure = plain.max(axis=1) >= 0.4
    assert 0 < sure.sum() < len(IMAGES)
    assert np.array_equal(found[sure], plain[sure])
    assert (found[~sure] != plain[~sure]).any(axis=1).all()


@pytest.mark.parametrize("count", [1, 2, 300])
def test_nothing_is_averaged_if_all_images_are_confident(network, count):
    """The ten probabilities sum to 1, so the highest is never below 0.1."""
    plain, found = (computed(Predictor(network, shifts), IMAGES[:count]) for shifts in (None, Shifts(1, 0.1)))
    assert np.array_equal(found, plain)


@pytest.mark.parametrize("count", [1, 2, 300])
def test_all_images_are_averaged_if_none_is_confident(count):
    """The probabilities of this network stay below 0.7, so the average counts fully at a bound of 0.8."""
    network = build(*SMALL)
    assert expected(Predictor(network), IMAGES).max() < 0.7
    some, every = (computed(Predictor(network, Shifts(1, bound)), IMAGES[:count]) for bound in (0.8, 1.0))
    np.testing.assert_allclose(some, every, atol=1e-6)


def test_an_image_has_the_same_probabilities_alone_and_in_a_batch(network):
    predictor = Predictor(network, Shifts(1, 0.5))
    among = computed(predictor, IMAGES)
    alone = np.concatenate([computed(predictor, image[None]) for image in IMAGES[:20]])
    np.testing.assert_allclose(among[:20], alone, atol=1e-6)


# What is written


def test_weights_have_the_names_of_the_networks_state():
    single = write_graph(Predictor(build(*OTHER), Shifts(1, 0.5))).graph.initializer
    weights = {tensor.name for tensor in single if not tensor.name.startswith("constant_")}
    state = build(*OTHER).state_dict()
    assert weights == {f"network.{name}" for name in state if not name.endswith("num_batches_tracked")}
    two = write_graph(Predictor(combine_members([build(*SMALL), build(*SMALL)]))).graph.initializer
    assert {"network.members.1.conv1.weight", "network.members.2.dense1.bias"} <= {each.name for each in two}


@SHIFTS
def test_a_graph_has_the_same_bytes_each_time_it_is_written(shifts):
    predictor = Predictor(build(*OTHER), shifts)
    first, second = (write_graph(predictor).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


class Own(nn.Sequential):
    """A network built by a user's function."""

    def __init__(self):
        torch.manual_seed(4)
        super().__init__(nn.Conv2d(1, 3, 5, stride=3), nn.Flatten(), nn.Linear(192, 10))


def test_only_networks_built_from_layer_specifications_are_written_node_by_node():
    assert can_be_written(build(*SMALL))
    assert can_be_written(combine_members([build(*SMALL), build(*OTHER)]))
    assert not can_be_written(Own())
    assert not can_be_written(combine_members([build(*SMALL), Own()]))


@pytest.mark.slow
@pytest.mark.parametrize("shifts", [Shifts(1), Shifts(2, 0.5)], ids=["all", "unsure"])
def test_a_users_own_network_may_be_a_member_and_be_averaged_over_shifts(shifts, tmp_path):
    predictor = Predictor(combine_members([Own(), build(*SMALL)]), shifts)
    export_onnx(predictor, tmp_path / "model.onnx", IMAGES[:8], "own")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for count in (1, 2, 7):
        (found,) = session.run(["probabilities"], {"images": IMAGES[:count]})
        np.testing.assert_allclose(found, expected(predictor, IMAGES[:count]), atol=CLOSE)
