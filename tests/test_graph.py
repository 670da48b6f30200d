"""model.onnx as it is written node by node: torch is the oracle of each line, and of what surrounds them."""

from __future__ import annotations

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
    """Return a network of no evenness: biases and statistics of its own in every channel."""
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
    """Return what ONNX Runtime makes of a predictor's graph: all its outputs."""
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
    wanted = wanted / wanted.sum(axis=1, keepdims=True)  # given that there is a digit
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
def test_every_line_is_the_same_in_the_graph_as_in_torch(lines):
    assert_agrees(Predictor(build(*lines)), IMAGES[:7])


@st.composite
def networks(draw) -> tuple[str, ...]:
    """Draw lines that fit together: convolutions, pooling and all that may stand between."""
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
def test_any_lines_that_fit_together_are_the_same_in_the_graph_as_in_torch(lines, shifts):
    assert_agrees(Predictor(build(*lines), shifts), IMAGES[:3])


SMALL = ("conv 4 3x3 stride 2 relu", "maxpool 2", "dense 10")
OTHER = ("conv 3 4x2 same stride 3", "batchnorm", "silu", "dense 10")


@pytest.mark.parametrize("count", [1, 2, 7, 300])
@pytest.mark.parametrize("shifts", [None, Shifts(1), Shifts(2, 0.5)], ids=["plain", "all", "unsure"])
def test_a_batch_may_have_any_size(shifts, count):
    network = combine_members([build(*SMALL), build(*OTHER, seed=1)])
    assert_agrees(Predictor(network, shifts), IMAGES[:count])


@pytest.mark.parametrize("members", [1, 2, 3])
@pytest.mark.parametrize("shifts", [None, Shifts(1), Shifts(1, 0.4)], ids=["plain", "all", "unsure"])
def test_members_are_averaged_in_the_graph_as_in_torch(members, shifts):
    each = [build(*(OTHER if number == 1 else SMALL), seed=number) for number in range(members)]
    assert_agrees(Predictor(combine_members(each), shifts), IMAGES[:40])


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_is_the_same_in_the_graph_as_in_torch(name):
    recipe = load_recipe(name)
    members = [build_network(recipe, number) for number in range(1, len(recipe.architectures) + 1)]
    predictor = Predictor(
        combine_members(members), recipe.shifts, temperature=recipe.temperature, outputs=recipe.outputs
    )
    for count in (1, 40):
        assert_agrees(predictor, IMAGES[:count])


ELEVEN = ("conv 4 3x3 stride 2 relu", "maxpool 2", "dense 11")


@pytest.mark.parametrize("temperature", [1.0, 0.6, 2.5])
@pytest.mark.parametrize("shifts", [None, Shifts(1), Shifts(1, 0.4)], ids=["plain", "all", "unsure"])
@pytest.mark.parametrize("members", [1, 2])
def test_eleven_classes_become_ten_and_whether_there_is_a_digit(members, shifts, temperature):
    network = combine_members([build(*ELEVEN, outputs=11, seed=number) for number in range(members)])
    predictor = Predictor(network, shifts, temperature=temperature, outputs=11)
    wanted = expected(predictor, IMAGES[:40])
    probabilities, is_digit = answers(predictor, IMAGES[:40])
    assert (probabilities.shape, is_digit.shape) == ((40, 10), (40,))
    np.testing.assert_allclose(is_digit, 1 - wanted[:, 10], atol=CLOSE)
    np.testing.assert_allclose(probabilities * is_digit[:, None], wanted[:, :10], atol=CLOSE)
    assert is_digit.min() < 0.97


def test_a_temperature_softens_what_a_network_says():
    network = build(*SMALL)
    sharp, soft = (computed(Predictor(network, temperature=each), IMAGES[:40]) for each in (0.5, 2.0))
    assert (sharp.argmax(axis=1) == soft.argmax(axis=1)).all()
    assert (sharp.max(axis=1) > soft.max(axis=1)).all()


def test_what_two_members_say_is_the_mean_of_what_each_says_alone():
    first, second = build(*SMALL), build(*SMALL, seed=1)
    alone = [computed(Predictor(network), IMAGES[:20]) for network in (first, second)]
    assert np.abs(alone[0] - alone[1]).max() > 0.1
    found = computed(Predictor(combine_members([first, second])), IMAGES[:20])
    np.testing.assert_allclose(found, (alone[0] + alone[1]) / 2, atol=CLOSE)


# Shifts


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """A network that is sure of some images and unsure of others."""
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


def test_images_that_are_sure_are_left_as_they_are(network):
    """To the bit: no other image's doubts reach them."""
    plain = computed(Predictor(network), IMAGES)
    found = computed(Predictor(network, Shifts(1, 0.4)), IMAGES)
    sure = plain.max(axis=1) >= 0.4
    assert 0 < sure.sum() < len(IMAGES)
    assert np.array_equal(found[sure], plain[sure])
    assert (found[~sure] != plain[~sure]).any(axis=1).all()


@pytest.mark.parametrize("count", [1, 2, 300])
def test_where_all_images_are_sure_nothing_is_averaged(network, count):
    """The ten probabilities add up to one, so none below 0.1 is the highest."""
    plain, found = (computed(Predictor(network, shifts), IMAGES[:count]) for shifts in (None, Shifts(1, 0.1)))
    assert np.array_equal(found, plain)


@pytest.mark.parametrize("count", [1, 2, 300])
def test_where_no_image_is_sure_all_are_averaged(count):
    """So flat a network that no probability comes near 0.8, nor within a tenth of it."""
    network = build(*SMALL)
    assert expected(Predictor(network), IMAGES).max() < 0.7
    some, every = (computed(Predictor(network, Shifts(1, bound)), IMAGES[:count]) for bound in (0.8, 1.0))
    np.testing.assert_allclose(some, every, atol=1e-6)


def test_an_image_is_read_the_same_alone_and_among_others_that_are_less_sure(network):
    predictor = Predictor(network, Shifts(1, 0.5))
    among = computed(predictor, IMAGES)
    alone = np.concatenate([computed(predictor, image[None]) for image in IMAGES[:20]])
    np.testing.assert_allclose(among[:20], alone, atol=1e-6)


# What is written


def test_weights_have_the_names_that_they_have_in_the_network():
    single = write_graph(Predictor(build(*OTHER), Shifts(1, 0.5))).graph.initializer
    weights = {tensor.name for tensor in single if not tensor.name.startswith("constant_")}
    state = build(*OTHER).state_dict()
    assert weights == {f"network.{name}" for name in state if not name.endswith("num_batches_tracked")}
    two = write_graph(Predictor(combine_members([build(*SMALL), build(*SMALL)]))).graph.initializer
    assert {"network.members.1.conv1.weight", "network.members.2.dense1.bias"} <= {each.name for each in two}


@pytest.mark.parametrize("shifts", [None, Shifts(1), Shifts(1, 0.5)], ids=["plain", "all", "unsure"])
def test_a_graph_is_the_same_to_the_last_byte_each_time_it_is_written(shifts):
    predictor = Predictor(build(*OTHER), shifts)
    first, second = (write_graph(predictor).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


class Own(nn.Sequential):
    """A network that a function of the user's gives."""

    def __init__(self):
        torch.manual_seed(4)
        super().__init__(nn.Conv2d(1, 3, 5, stride=3), nn.Flatten(), nn.Linear(192, 10))


def test_only_what_was_read_from_lines_is_written_node_by_node():
    assert can_be_written(build(*SMALL))
    assert can_be_written(combine_members([build(*SMALL), build(*OTHER)]))
    assert not can_be_written(Own())
    assert not can_be_written(combine_members([build(*SMALL), Own()]))


@pytest.mark.slow
@pytest.mark.parametrize("shifts", [Shifts(1), Shifts(2, 0.5)], ids=["all", "unsure"])
def test_a_users_own_network_may_be_one_of_several_and_see_shifted_images(shifts, tmp_path):
    predictor = Predictor(combine_members([Own(), build(*SMALL)]), shifts)
    export_onnx(predictor, tmp_path / "model.onnx", IMAGES[:8], "own")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for count in (1, 2, 7):
        (found,) = session.run(["probabilities"], {"images": IMAGES[:count]})
        np.testing.assert_allclose(found, expected(predictor, IMAGES[:count]), atol=CLOSE)
