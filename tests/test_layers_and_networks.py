"""Layer specifications, the torch modules built from them, and how a wrong one is refused."""

from __future__ import annotations

import sys
from math import ceil, sqrt

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import correlate2d
from scipy.special import erf, expit
from torch import nn

from digit_recognizer.errors import DigitsError
from digit_recognizer.networks.build import Dropout as RandomDropout
from digit_recognizer.networks.build import Flatten as FlattenModule
from digit_recognizer.networks.build import build_network
from digit_recognizer.networks.summary import count_parameters, summarise_layers, summarise_recipe
from digit_recognizer.recipes.layers import (
    ACTIVATIONS,
    Activation,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalPool,
    Pool,
    parse_layer,
    parse_layers,
)
from digit_recognizer.recipes.recipe import load_recipe
from helpers import refusal, says, tiny


def build(*lines: str) -> nn.Module:
    return build_network(tiny(network=lines))


def refused(*lines: str) -> str:
    return refusal(lambda: build(*lines))


@pytest.mark.parametrize(
    ("line", "layer"),
    [
        ("conv 32 5x5", Conv(32, (5, 5), 1, "valid", None)),
        ("conv 32 5x3 same relu", Conv(32, (5, 3), 1, "same", "relu")),
        ("conv 96 11x11 stride 2 valid relu", Conv(96, (11, 11), 2, "valid", "relu")),
        ("conv 8 3×3 same stride 2", Conv(8, (3, 3), 2, "same", None)),
        ("maxpool 2", Pool("max", 2, 2)),
        ("maxpool 3 stride 2", Pool("max", 3, 2)),
        ("avgpool 4", Pool("avg", 4, 4)),
        ("avgpool 3 stride 1", Pool("avg", 3, 1)),
        ("global-avgpool", GlobalPool()),
        ("batchnorm", BatchNorm()),
        ("dropout 0.25", Dropout(0.25)),
        ("dropout 0", Dropout(0)),
        ("dropout .5", Dropout(0.5)),
        ("flatten", Flatten()),
        ("dense 10", Dense(10)),
        ("dense 256 tanh", Dense(256, "tanh")),
        ("  Dense   256  ReLU ", Dense(256, "relu")),
        *((name, Activation(name)) for name in ACTIVATIONS),
    ],
)
def test_a_line_is_parsed(line, layer):
    assert parse_layer(line) == layer


FILTERS, STRIDE, SIZE, UNITS = "number of filters", "stride", "window size", "number of units"
RATE, END = "'dropout 0.25'", "at the end"


@pytest.mark.parametrize(
    ("line", "expected", "found"),
    [
        *(("", "'conv 32 5x5 same relu'", "empty"), ("   ", "'conv 32 5x5 same relu'", "empty")),
        *(("convolution 32 5x5", "conv, maxpool", "'convolution'"), ("conv", FILTERS, "''")),
        *(("conv x 5x5", FILTERS, "'x'"), ("conv 0 5x5", FILTERS, "'0'")),
        *(("conv 1000000 5x5", FILTERS, "'1000000'"), ("conv 32", "5x5", "''"), ("conv 32 5", "5x5", "'5'")),
        *(("conv 32 0x5", "5x5", "'0x5'"), ("conv 32 5x5x5", "5x5", "'5x5x5'")),
        *(("conv 32 5x5 stride", STRIDE, "''"), ("conv 32 5x5 stride 0", STRIDE, "'0'")),
        *(("conv 32 5x5 full relu", "elu, gelu", "'full'"), ("conv 32 5x5 relu same", END, "'same'")),
        *(("maxpool", SIZE, "''"), ("maxpool 2x2", SIZE, "'2x2'"), ("maxpool 2 same", END, "'same'")),
        *(("avgpool 2 stride two", STRIDE, "'two'"), ("global-avgpool 2", END, "'2'")),
        *(("batchnorm 0.9", END, "'0.9'"), ("dropout", RATE, "''"), ("dropout 1", RATE, "'1'")),
        *(("dropout nan", RATE, "'nan'"), ("dropout 25%", RATE, "'25%'")),
        *(("dropout 0.5 relu", END, "'relu'"), ("flatten relu", END, "'relu'")),
        *(("dense", UNITS, "''"), ("dense -5", UNITS, "'-5'"), ("dense 10 softmax", "remove", "softmax")),
        *(("dense 10 relu tanh", END, "'tanh'"), ("relu 6", END, "'6'")),
    ],
)
def test_a_malformed_line_is_quoted_with_what_was_expected_and_found(line, expected, found):
    message = refusal(lambda: parse_layers(["relu", line]))
    place = f"network line 2 ({line!r}): "
    assert message.startswith(place)
    assert says(message.removeprefix(place), expected, found)


@pytest.mark.parametrize("line", ["conv 8 3x3", "maxpool 2", "avgpool 2", "global-avgpool"])
def test_a_layer_that_needs_an_image_cannot_follow_flattened_values(line):
    assert says(
        refused("dense 5 relu", line, "dense 10"), f"network line 2 ({line!r}): ", "image", "flattened"
    )


@pytest.mark.parametrize("line", ["conv 8 9x3", "conv 8 3x9", "maxpool 8", "avgpool 8 stride 1"])
def test_a_window_larger_than_the_image_is_refused(line):
    window = line.split()[2] if "conv" in line else "8x8"
    assert says(refused("maxpool 4", line, "dense 10"), f"network line 2 ({line!r}): ", window, "7x7")


def test_a_window_as_large_as_the_image_fits():
    assert summarise_layers(build("conv 8 28x28", "dense 10"))[0].output_shape == (1, 1, 8)


@pytest.mark.parametrize(
    ("lines", "end"),
    [
        (("dense 11",), "11 values"),
        (("conv 10 28x28",), "values of shape (10, 1, 1)"),
        (("dense 10", "dense 9"), "9 values"),
        (("relu",), "values of shape (1, 28, 28)"),
    ],
)
def test_a_network_must_end_with_ten_logits(lines, end):
    assert says(refused(*lines), f"ends with {end}", "expected 10 logits", "'dense 10'")


def test_a_network_may_end_with_global_pooling():
    network = build("conv 10 3x3 same", "global-avgpool")
    images = torch.rand(3, 1, 28, 28)
    with torch.no_grad():
        expected = network[0](images).mean(dim=(2, 3))
        torch.testing.assert_close(network(images), expected)


@settings(max_examples=60, deadline=None)
@given(
    kernel=st.tuples(st.integers(1, 28), st.integers(1, 28)),
    stride=st.integers(1, 9),
    padding=st.sampled_from(["same", "valid"]),
)
def test_a_convolution_has_the_output_size_of_keras(kernel, stride, padding):
    network = build(f"conv 2 {kernel[0]}x{kernel[1]} stride {stride} {padding}", "dense 10")
    places = (28, 28) if padding == "same" else (29 - kernel[0], 29 - kernel[1])
    assert summarise_layers(network)[0].output_shape == (*(ceil(size / stride) for size in places), 2)


def convolve_as_keras(image: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """Convolve an image padded with zeros, the odd row and column at the bottom and at the right."""
    last = (ceil(28 / stride) - 1) * stride  # where the kernel stands last
    totals = [max(last + size - 28, 0) for size in kernel.shape]
    padded = np.pad(image, [(total // 2, total - total // 2) for total in totals])
    return correlate2d(padded, kernel, "valid")[::stride, ::stride]


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [(3, 3), (2, 2), (4, 5), (5, 2), (1, 1), (1, 4)])
def test_same_padding_puts_the_odd_pixel_last_as_keras_does(kernel, stride):
    convolution = build(f"conv 1 {kernel[0]}x{kernel[1]} stride {stride} same", "dense 10")[0]
    image = np.random.default_rng(3).random((28, 28), np.float32)
    weights = convolution.weight.detach().numpy()[0, 0]
    with torch.no_grad():
        found = convolution(torch.from_numpy(image)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(found, convolve_as_keras(image, weights, stride), atol=1e-5)


def test_pooling_takes_the_maximum_or_the_mean_of_windows_inside_the_image():
    images = torch.rand(2, 1, 28, 28)
    windows = images.unfold(2, 3, 2).unfold(3, 3, 2)  # (2, 1, 13, 13, 3, 3)
    for kind, expected in (("max", windows.amax(dim=(4, 5))), ("avg", windows.mean(dim=(4, 5)))):
        torch.testing.assert_close(build(f"{kind}pool 3 stride 2", "dense 10")[0](images), expected)


CURVES = {
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "gelu": lambda x: x * (1 + erf(x / sqrt(2))) / 2,
    "leaky-relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": expit,
    "silu": lambda x: x * expit(x),
    "tanh": np.tanh,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_the_curve_of_its_name(name):
    values = torch.linspace(-5, 5, 101)
    found = build(name, "dense 10")[0](values)
    np.testing.assert_allclose(found.numpy(), CURVES[name](values.numpy()), atol=1e-5)


@pytest.mark.parametrize("line", ["dense 20", "conv 20 3x3"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_after_a_layer_is_the_same_as_one_on_its_own(line, name):
    torch.manual_seed(1)
    joined = build(f"{line} {name}", "dense 10")
    torch.manual_seed(1)
    separate = build(line, name, "dense 10")
    images = torch.rand(2, 1, 28, 28)
    with torch.no_grad():
        assert torch.equal(joined(images), separate(images))


@pytest.mark.parametrize(
    ("line", "fan_in", "fan_out"),
    [("conv 32 5x3", 1 * 5 * 3, 32 * 5 * 3), ("dense 200", 784, 200)],
)
def test_initial_weights_are_glorot_uniform_and_biases_zero(line, fan_in, fan_out):
    layer = next(
        each for each in build(line, "dense 10").modules() if isinstance(each, nn.Conv2d | nn.Linear)
    )
    limit = sqrt(6 / (fan_in + fan_out))
    weights = layer.weight.detach()
    assert weights.abs().max() <= limit
    assert weights.abs().max() > 0.98 * limit
    assert weights.std() == pytest.approx(limit / sqrt(3), rel=0.1)  # of a uniform distribution
    assert not layer.bias.any()


@pytest.mark.parametrize("above", [[], ["flatten"]])
def test_batch_normalisation_has_the_constants_of_keras_and_starts_fresh(above):
    norm = build(*above, "batchnorm", "dense 10")[len(above)]
    assert norm.eps == 1e-3
    assert not norm.running_mean.any()
    values = torch.full((4, 784), 3.0) if above else torch.full((4, 1, 28, 28), 3.0)
    norm.train()(values)
    torch.testing.assert_close(norm.running_mean, torch.full_like(norm.running_mean, 0.03))  # 1 % of 3
    torch.testing.assert_close(norm.running_var, torch.full_like(norm.running_var, 0.99))
    assert (norm.weight == 1).all()
    assert (norm.bias == 0).all()


def test_batch_normalisation_counts_its_statistics_as_not_trained():
    assert count_parameters(build("conv 8 28x28", "batchnorm", "dense 10")) == (
        8 * 784 + 8 + 4 * 8 + 80 + 10,
        8 * 784 + 8 + 2 * 8 + 80 + 10,
    )


BLOCKS = [  # worked out by hand
    ("conv1", "Conv", (26, 26, 32), 320),
    ("conv2", "Conv", (24, 24, 32), 9_248),
    ("maxpool1", "MaxPool2d", (12, 12, 32), 0),
    ("batchnorm1", "BatchNorm2d", (12, 12, 32), 128),
    ("dropout1", "Dropout", (12, 12, 32), 0),
    ("conv3", "Conv", (10, 10, 64), 18_496),
    ("maxpool2", "MaxPool2d", (5, 5, 64), 0),
    ("batchnorm2", "BatchNorm2d", (5, 5, 64), 256),
    ("dropout2", "Dropout", (5, 5, 64), 0),
    ("conv4", "Conv", (3, 3, 128), 73_856),
    ("maxpool3", "MaxPool2d", (1, 1, 128), 0),
    ("batchnorm3", "BatchNorm2d", (1, 1, 128), 512),
    ("flatten1", "Flatten", (128,), 0),
    ("dense1", "Dense", (256,), 33_024),
    ("dropout3", "Dropout", (256,), 0),
    ("dense2", "Dense", (10,), 2_570),
]


def test_a_summary_has_a_row_for_each_layer():
    network = build_network(load_recipe("three-blocks"))
    rows = summarise_layers(network)
    assert [(row.name, row.kind, row.output_shape, row.parameters) for row in rows] == BLOCKS
    sums = sum(row.parameters for row in rows), sum(row.trained_parameters for row in rows)
    assert sums == count_parameters(network)


def test_a_summary_leaves_the_network_as_it_was():
    network = build("batchnorm", "dense 10").train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    summarise_layers(network)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module of the user's into the current directory; return its name."""
    monkeypatch.chdir(tmp_path)

    def write(name: str, body: str, more: str = "") -> str:
        head = "import torch\nfrom torch import nn\n\nLAST = nn.Linear(784, 10)\n"
        (tmp_path / f"{name}.py").write_text(f"{head}{more}\ndef build():\n    {body}\n")
        return name

    return write


def from_function(name: str) -> nn.Module:
    return build_network(tiny(network=name))


def test_a_network_may_be_a_function_in_the_current_directory(module):
    name = module("own_network", "return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))")
    path = list(sys.path)
    network = from_function(f"{name}:build")
    assert sys.path == path
    assert count_parameters(network) == (7850, 7850)
    assert [row.output_shape for row in summarise_layers(network)] == [(784,), (10,)]
    assert network.training


def test_a_network_without_parts_is_one_row(module):
    part = (
        "class Whole(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.scale = nn.Parameter(torch.ones(10))\n"
        "    def forward(self, x):\n"
        "        return x.flatten(1)[:, :10] * self.scale\n"
    )
    rows = summarise_layers(from_function(f"{module('whole_network', 'return Whole()', part)}:build"))
    assert [(row.name, row.output_shape, row.parameters) for row in rows] == [("network", (10,), 10)]


FLAT = "return nn.Sequential(nn.Flatten(), "  # the module defines LAST


@pytest.mark.parametrize(
    ("name", "body", "facts"),
    [
        ("raises", "raise RuntimeError('out of ideas')", ["failed", "RuntimeError: out of ideas"]),
        ("no_module", "return 5", ["int", "torch.nn.Module"]),
        ("does_not_fit", "return nn.Linear(5, 10)", ["failed", "RuntimeError"]),
        ("gives_eleven", f"{FLAT}nn.Linear(784, 11))", ["(2, 11)", "expected (2, 10)"]),
        ("has_nothing", "return nn.Identity()", ["no parameters"]),
        ("leaves", "raise SystemExit(3)", ["failed", "SystemExit: 3"]),
        ("takes_one", "return nn.Sequential(nn.Flatten(0), LAST)", ["failed", "RuntimeError"]),
        (
            "ties",
            f"a, b = (nn.Linear(784, 784) for _ in '12'); b.weight = a.weight; {FLAT}a, b, LAST)",
            ["one tensor in two places"],
        ),
        ("is_broken", "return (", ["failed", "SyntaxError"]),
    ],
)
def test_a_function_that_returns_no_network_is_named_with_the_reason(module, name, body, facts):
    name = f"{module(name, body)}:build"
    with pytest.raises(DigitsError) as error:  # what the user's code raises may have several lines
        from_function(name)
    assert says(str(error.value), f"network {name!r} ", *facts)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nowhere_to_be_found:build", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("math:build", "AttributeError: module 'math' has no attribute 'build'"),
    ],
)
def test_a_missing_function_is_named(name, problem):
    assert says(refusal(lambda: from_function(name)), repr(name), problem)


def test_a_function_s_network_is_not_changed_by_looking_at_it(module):
    body = "return nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(784, 10))"
    normalisation = from_function(f"{module('normalised_network', body)}:build")[0]
    assert normalisation.num_batches_tracked == 0
    assert normalisation.running_var == 1


# Multiply-adds


def multiply_adds(network: nn.Module) -> dict[str, int]:
    return {row.name: row.multiply_adds for row in summarise_layers(network)}


def test_multiply_adds_of_convolutions_and_dense_layers_are_as_worked_out_by_hand():
    network = build(
        "conv 4 3x5 relu",  # 26 by 24 pixels of 4 values, each of 3 x 5 weights
        "batchnorm",
        "maxpool 2",  # 13 by 12
        "conv 6 2x2 same stride 3 gelu",  # 5 by 4 pixels of 6 values, each of 2 x 2 x 4 weights
        "conv 5 5x4",  # one pixel of 5 values, each of 5 x 4 x 6 weights
        "dense 7 tanh",
        "dense 10",
    )
    found = {name: count for name, count in multiply_adds(network).items() if count}
    assert found == {
        "conv1": 26 * 24 * 4 * 15,
        "conv2": 5 * 4 * 6 * 16,
        "conv3": 5 * 120,
        "dense1": 5 * 7,
        "dense2": 7 * 10,
    }


def test_the_totals_of_five_layer_are_those_of_its_layers():
    network = summarise_recipe(load_recipe("five-layer"))
    assert network.multiply_adds == sum(layer.multiply_adds for layer in network.layers) == 32_340_992
    assert (network.parameters, network.trained_parameters) == (887_530, 887_530)
    assert network.layers == tuple(summarise_layers(build_network(load_recipe("five-layer"))))


A, B = ("conv 4 3x3 relu", "dense 10"), ("dense 20", "dense 10")


def test_the_totals_of_an_ensemble_count_all_members():
    alone = summarise_recipe(tiny(network=A))
    three = summarise_recipe(tiny(network=A, members=3))
    assert three.layers == alone.layers
    assert (alone.members, three.members) == (1, 3)
    assert three.parameters == 3 * alone.parameters == 3 * (4 * 10 + 10 * (2704 + 1))
    assert three.trained_parameters == 3 * alone.trained_parameters
    assert three.multiply_adds == 3 * alone.multiply_adds == 3 * (2704 * 9 + 2704 * 10)


def test_the_totals_of_several_networks_count_each_as_often_as_members_use_it():
    first, second = summarise_recipe(tiny(network=A)), summarise_recipe(tiny(network=B))
    whole = summarise_recipe(tiny(network=(), networks=(A, B), members=5))  # A, B, A, B, A
    assert [layer.name for layer in whole.layers] == [
        *("1.conv1", "1.flatten1", "1.dense1"),
        *("2.flatten1", "2.dense1", "2.dense2"),
    ]
    assert [layer.parameters for layer in whole.layers] == [
        layer.parameters for layer in (*first.layers, *second.layers)
    ]
    for total in ("parameters", "trained_parameters", "multiply_adds"):
        assert getattr(whole, total) == 3 * getattr(first, total) + 2 * getattr(second, total)


def test_a_network_that_no_member_uses_is_not_summarised():
    assert summarise_recipe(tiny(network=(), networks=(A, B))) == summarise_recipe(tiny(network=A))


def test_members_have_networks_of_their_own():
    recipe = tiny(network=(), networks=(A, B), members=3)
    names = [[name for name, _ in build_network(recipe, member).named_children()] for member in (1, 2, 3)]
    assert names[0] == names[2] == ["conv1", "flatten1", "dense1"]
    assert names[1] == ["flatten1", "dense1", "dense2"]


class Parts(nn.Module):
    """Takes sixteen parts of an image as images of their own, and names what it hands its layers."""

    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(1, 4, 3, groups=1), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=2))
        self.head = nn.Linear(16 * 4, 10)

    def forward(self, images):
        parts = images.unfold(2, 7, 7).unfold(3, 7, 7).reshape(-1, 1, 7, 7)  # (16 N, 1, 7, 7)
        return self.head(input=self.block(parts).mean(dim=(2, 3)).reshape(-1, 16 * 4))


def test_multiply_adds_of_a_block_applied_to_parts_of_an_image_are_counted():
    assert multiply_adds(Parts()) == {
        "block": 16 * (5 * 5 * 4 * 9 + 3 * 3 * 4 * (9 * 2)),  # two groups of two channels in the second
        "head": 64 * 10,
    }


class Rows(nn.Module):
    """Reads an image row by row; its first layer gives several tensors, nested."""

    def __init__(self):
        super().__init__()
        self.rows = nn.LSTM(28, 8, batch_first=True)
        self.head = nn.Linear(8, 10)

    def forward(self, images):
        values, _ = self.rows(images[:, 0])
        return self.head(values[:, -1])


def test_a_layer_that_gives_several_tensors_has_the_shape_of_the_first():
    rows = summarise_layers(Rows())
    assert [(row.name, row.output_shape, row.multiply_adds) for row in rows] == [
        ("rows", (28, 8), 0),
        ("head", (10,), 80),
    ]


def test_multiply_adds_of_a_convolution_over_a_row_are_counted():
    network = nn.Sequential(nn.Flatten(2), nn.Conv1d(1, 3, 5, stride=4), nn.Flatten(), nn.Linear(3 * 195, 10))
    assert list(multiply_adds(network).values()) == [0, 195 * 3 * 5, 0, 3 * 195 * 10]


@pytest.mark.parametrize("rate", [0.25, 0.5, 0.9, 1e-9, 1 - 1e-9])
def test_dropout_drops_its_rate_and_keeps_the_mean(rate):
    torch.manual_seed(1)
    layer = RandomDropout(rate).train()
    values = torch.ones(64, 3, 40, 50).contiguous(memory_format=torch.channels_last)
    dropped = layer(values)
    standard_error = (rate * (1 - rate) / values.numel()) ** 0.5
    assert (dropped == 0).double().mean() == pytest.approx(rate, abs=4 * standard_error + 1 / 65_536)
    assert dropped[dropped > 0].unique().numel() <= 1
    if 0.1 < rate < 0.95:
        assert dropped.mean() == pytest.approx(1, abs=0.02)
    assert dropped.stride() == values.stride()


def test_dropout_draws_each_value_on_its_own_from_the_seed():
    layer = RandomDropout(0.5).train()
    values = torch.ones(20_001)
    torch.manual_seed(1)
    first, second = layer(values) > 0, layer(values) > 0
    torch.manual_seed(1)
    assert torch.equal(layer(values) > 0, first)
    for other in (second, first.roll(1), first.roll(2), first.roll(4)):
        assert (first == other).double().mean() == pytest.approx(0.5, abs=0.02)


def test_dropout_does_nothing_in_evaluation_and_passes_gradients_of_the_kept_values():
    values = torch.rand(7, 9)
    assert torch.equal(RandomDropout(0.5).eval()(values), values)
    values.requires_grad_()
    dropped = RandomDropout(0.5).train()(values)
    dropped.sum().backward()
    torch.testing.assert_close(values.grad * values, dropped)


def test_the_gradient_before_a_dense_layer_has_channels_last():
    torch.manual_seed(0)
    values = torch.rand(4, 3, 5, 5).contiguous(memory_format=torch.channels_last).requires_grad_()
    weights = torch.rand(75)
    (FlattenModule()(values) @ weights).sum().backward()
    assert values.grad.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(values.grad, weights.view(1, 3, 5, 5).expand(4, -1, -1, -1))
