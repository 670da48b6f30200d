"""Values inside a network: hooks on the network in torch are the oracle for those of the ONNX model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from digit_recognizer.explain.activations import Activations, open_activations, read_filters
from digit_recognizer.files import write_text
from digit_recognizer.networks.build import build_network
from digit_recognizer.networks.onnx_export import export_onnx
from digit_recognizer.networks.predictor import Predictor, scale
from digit_recognizer.recipes import load_recipe
from digit_recognizer.recipes.layers import ACTIVATIONS
from digit_recognizer.recipes.recipe import recipe_to_toml
from digit_recognizer.recipes.schema import Shifts
from digit_recognizer.training.checkpoint import save_tensors
from helpers import make_digits, refusal, says, tiny

pytestmark = pytest.mark.usefixtures("one_thread")

IMAGES = make_digits(130).images  # more than a batch

DEEP = (
    "conv 4 3x3 relu",
    "batchnorm",
    "conv 5 2x3 same",
    "batchnorm",
    "gelu",
    "maxpool 2",
    "conv 6 4x4 same stride 2",
    "conv 3 3x3",
    "dropout 0.5",
    "tanh",
    "dense 6 elu",
    "dense 10",
)
POOLED = ("conv 4 3x3", "batchnorm", "maxpool 2", "conv 10 3x3 silu", "global-avgpool")
ALL_IN_LINE = (*(f"conv 3 3x3 {name}" for name in ACTIVATIONS), "dense 10")
ALL_APART = (*(line for name in ACTIVATIONS for line in ("conv 3 3x3", name)), "dense 10")


def randomise(network: nn.Module) -> nn.Module:
    """Give a network random weights and statistics, as if it had been trained."""
    generator = torch.Generator().manual_seed(1)
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            least = 0.5 if name.endswith("running_var") else -1
            value.uniform_(least, 1, generator=generator)
    return network


def write_model(network: nn.Module, folder: Path) -> nn.Module:
    """Write weights and model of a network, as in a run folder."""
    folder.mkdir(exist_ok=True)
    save_tensors(folder / "model.safetensors", dict(network.state_dict()), {})
    export_onnx(Predictor(network), folder / "model.onnx", IMAGES[:8], "made")
    return network


def write_run(lines: tuple[str, ...], folder: Path) -> Path:
    """Write the files of a run that describe its network."""
    recipe = tiny(network=lines)
    write_model(randomise(build_network(recipe)), folder)
    write_text(folder / "recipe.toml", recipe_to_toml(recipe))
    return folder


def read_network(run: Path) -> nn.Module:
    """Build the network of a run from its recipe and weights."""
    network = build_network(load_recipe(run / "recipe.toml"))
    network.load_state_dict(load_file(run / "model.safetensors"))
    return network


def hooked(network: nn.Module, images: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the input and output of each layer in torch."""
    values = {}
    for name, layer in network.named_modules():
        layer.register_forward_hook(
            lambda _layer, inputs, output, name=name: values.update(
                {name: (inputs[0].numpy(), output.numpy())}
            )
        )
    with torch.inference_mode():
        network.eval()(scale(torch.from_numpy(images)))
    return values


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return a function that writes a run with a network, each network once."""
    folder, written = tmp_path_factory.mktemp("runs"), {}

    def run(lines: tuple[str, ...]) -> Path:
        if lines not in written:
            written[lines] = write_run(lines, folder / str(len(written)))
        return written[lines]

    return run


@pytest.fixture(scope="module")
def deep(runs) -> Path:
    return runs(DEEP)


@pytest.fixture(scope="module")
def activations(deep) -> Activations:
    return open_activations(deep / "model.onnx")


def every_map(run: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    inside = open_activations(run / "model.onnx")
    return {layer.name: inside.feature_maps(images, layer) for layer in inside.convolutions}


# Feature maps


@pytest.mark.parametrize(
    ("lines", "last"),
    [
        (DEEP, {"conv1": "conv1", "conv2": "gelu1", "conv3": "conv3", "conv4": "tanh1"}),
        (POOLED, {"conv1": "batchnorm1", "conv2": "conv2"}),
        (ALL_IN_LINE, {f"conv{n}": f"conv{n}" for n in range(1, 8)}),
        (ALL_APART, {f"conv{n}": f"{name}1" for n, name in enumerate(ACTIVATIONS, start=1)}),
    ],
    ids=["deep", "pooled", "activations in line", "activations apart"],
)
def test_maps_are_the_values_in_torch_after_normalisation_and_activation(lines, last, runs):
    """`last` has, for each convolution, the layer whose output in torch its maps are."""
    run = runs(lines)
    maps = every_map(run, IMAGES[:9])
    expected = hooked(read_network(run), IMAGES[:9])
    assert list(maps) == list(last)
    for name, values in maps.items():
        np.testing.assert_allclose(values, expected[last[name]][1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shifts", [Shifts(1), Shifts(1, 0.5)], ids=["all", "unsure"])
def test_a_model_with_shifts_has_the_same_values_for_the_unshifted_image(shifts, tmp_path):
    network = randomise(build_network(tiny(network=DEEP)))
    found = []
    for name, each in (("plain", None), ("shifted", shifts)):
        export_onnx(Predictor(network, each), tmp_path / f"{name}.onnx", IMAGES[:8], "made")
        found.append(open_activations(tmp_path / f"{name}.onnx"))
    plain, shifted = found
    assert [layer.name for layer in shifted.convolutions] == [layer.name for layer in plain.convolutions]
    maps, expected = shifted.all_feature_maps(IMAGES[:5]), plain.all_feature_maps(IMAGES[:5])
    for name, values in maps.items():
        np.testing.assert_allclose(values, expected[name], atol=1e-5)
    assert shifted.hidden is not None
    np.testing.assert_allclose(shifted.hidden_values(IMAGES[:5]), plain.hidden_values(IMAGES[:5]), atol=1e-5)


def test_maps_have_a_channel_for_each_filter(activations):
    sizes = [activations.feature_maps(IMAGES[:3], layer).shape for layer in activations.convolutions]
    assert sizes == [(3, 4, 26, 26), (3, 5, 26, 26), (3, 6, 7, 7), (3, 3, 5, 5)]


def test_maps_of_more_images_than_a_batch_are_those_of_each_image_alone(activations):
    layer = activations.convolutions[1]
    together = activations.feature_maps(IMAGES, layer)
    assert together.dtype == np.float32
    for row in (0, 127, 128, 129):
        alone = activations.feature_maps(IMAGES[row : row + 1], layer)[0]
        np.testing.assert_allclose(together[row], alone, atol=1e-5)


def test_peaks_are_the_highest_value_of_each_map(activations):
    peaks = activations.peaks(IMAGES, activations.convolutions)
    assert list(peaks) == ["conv1", "conv2", "conv3", "conv4"]
    for layer in activations.convolutions:
        expected = activations.feature_maps(IMAGES, layer).max(axis=(2, 3))
        np.testing.assert_allclose(peaks[layer.name], expected, atol=1e-5)


@pytest.mark.parametrize("lines", [("dense 10",), ("dense 5 tanh", "dense 10")], ids="; ".join)
def test_a_network_without_convolution_has_no_maps(lines, runs):
    assert open_activations(runs(lines) / "model.onnx").convolutions == ()


# The last hidden layer


@pytest.mark.parametrize(
    ("lines", "last", "width"),
    [
        (DEEP, "dense2", 6),
        (ALL_IN_LINE, "dense1", 588),
        (("dense 10",), "dense1", 784),
        (("dense 5 tanh", "dense 10"), "dense2", 5),
        (("conv 4 3x3 relu", "global-avgpool", "batchnorm", "dense 7", "batchnorm", "dense 10"), "dense2", 7),
    ],
    ids=["deep", "activations in line", "pixels", "hidden", "pooled before"],
)
def test_hidden_values_are_the_input_of_the_last_dense_layer(lines, last, width, runs):
    run = runs(lines)
    values = open_activations(run / "model.onnx").hidden_values(IMAGES)
    assert (values.shape, values.dtype) == ((len(IMAGES), width), np.float32)
    expected = hooked(read_network(run), IMAGES)[last][0]
    np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-4)


def test_a_network_that_ends_in_pooling_has_no_last_dense_layer(runs):
    assert open_activations(runs(POOLED) / "model.onnx").hidden is None


# Filters


@pytest.mark.parametrize("lines", [DEEP, POOLED], ids=["deep", "pooled"])
def test_filters_are_the_weights_of_the_run(lines, runs):
    """Even if those in the model differ because a batch normalisation is folded into them."""
    run = runs(lines)
    weights = load_file(run / "model.safetensors")
    for layer in open_activations(run / "model.onnx").convolutions:
        filters = read_filters(run, layer)
        assert filters.dtype == np.float32
        assert np.array_equal(filters, weights[f"{layer.name}.weight"].numpy())


# Networks of the user's own


class Twice(nn.Module):
    """Uses one convolution twice; its layers are nested."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 4, 3), nn.PReLU())
        self.middle = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 10)

    def forward(self, images):
        values = self.middle(self.stem(images)).relu()
        return self.head(self.middle(values).mean(dim=(2, 3)))


class Patches(nn.Module):
    """Processes parts of an image as images of their own."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.head = nn.Linear(16 * 4, 10)

    def forward(self, images):
        parts = images.unfold(2, 7, 7).unfold(3, 7, 7).reshape(-1, 1, 7, 7)  # (16 N, 1, 7, 7)
        return self.head(self.conv(parts).mean(dim=(2, 3)).reshape(-1, 16 * 4))


class Computed(nn.Module):
    """Computes its kernels from other weights, and has a one-dimensional convolution."""

    def __init__(self):
        super().__init__()
        self.conv = nn.utils.parametrizations.weight_norm(nn.Conv2d(1, 4, 3))
        self.row = nn.Conv1d(4, 5, 3)
        self.head = nn.Linear(5, 10)

    def forward(self, images):
        return self.head(self.row(self.conv(images).relu().flatten(2)).mean(dim=2))


def test_a_convolution_that_is_used_twice_is_listed_once(tmp_path):
    torch.manual_seed(1)
    network = write_model(Twice(), tmp_path)
    maps, expected = every_map(tmp_path, IMAGES[:5]), hooked(network, IMAGES[:5])
    assert list(maps) == ["stem.0", "middle"]
    np.testing.assert_allclose(maps["stem.0"], expected["stem.1"][1], atol=1e-5)
    second_input = expected["middle"][0]  # which is its output the first time
    np.testing.assert_allclose(maps["middle"], second_input, atol=1e-5)
    layers = open_activations(tmp_path / "model.onnx").convolutions
    assert [read_filters(tmp_path, layer).shape for layer in layers] == [(4, 1, 3, 3), (4, 4, 3, 3)]


@pytest.mark.parametrize("kind", [Patches, Computed])
def test_a_convolution_without_maps_or_weights_of_its_own_is_left_out(kind, tmp_path):
    torch.manual_seed(1)
    write_model(kind(), tmp_path)
    assert open_activations(tmp_path / "model.onnx").convolutions == ()


# What is refused


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (np.zeros((2, 28, 28), np.float32), "float32 (2, 28, 28)"),
        (np.zeros((28, 28), np.uint8), "uint8 (28, 28)"),
        (np.zeros((2, 32, 32), np.uint8), "uint8 (2, 32, 32)"),
        ([[0]], "list"),
    ],
)
def test_images_of_another_dtype_or_shape_are_refused(images, found, activations):
    first = activations.convolutions[0]
    assert says(refusal(lambda: activations.feature_maps(images, first)), found)
    assert says(refusal(lambda: activations.all_feature_maps(images)), found)
    assert says(refusal(lambda: activations.peaks(images, [first])), found)
    assert says(refusal(lambda: activations.hidden_values(images)), found)
