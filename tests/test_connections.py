"""How layers are connected: torch's convolution and a change of single pixels are the oracles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from digit_recognizer.explain.activations import open_activations
from digit_recognizer.explain.connections import IMAGE
from digit_recognizer.networks.build import build_network
from digit_recognizer.networks.onnx_export import export_onnx
from digit_recognizer.networks.predictor import Predictor
from digit_recognizer.recognition import Recognizer
from helpers import make_digits, tiny

pytestmark = pytest.mark.usefixtures("one_thread")

IMAGES = make_digits(3).images
NETWORKS = {
    "in a row": ("conv 4 5x5 stride 2", "batchnorm", "relu", "conv 6 3x3 relu", "dense 10"),
    "pooled": ("conv 4 3x3 same relu", "maxpool 2", "conv 5 3x3", "batchnorm", "silu", "dense 10"),
    "normalised after": (
        "conv 4 3x3 gelu",
        "batchnorm",
        "conv 5 2x4 same relu",
        "global-avgpool",
        "dense 10",
    ),
    "hidden": ("conv 3 4x4 same stride 3 tanh", "avgpool 2", "conv 4 2x2 elu", "dense 7 relu", "dense 10"),
}
INPUTS = {
    "in a row": [IMAGE, "conv1"],
    "pooled": [IMAGE, None],
    "normalised after": [IMAGE, None],
    "hidden": [IMAGE, None],
}
ACTIVATIONS = {
    "in a row": ["Relu", "Relu"],
    "pooled": ["Relu", "Swish"],
    "normalised after": ["Gelu", "Relu"],
    "hidden": ["Tanh", "Elu"],
}
APPLY = {
    "Relu": torch.relu,
    "Swish": nn.functional.silu,
    "Gelu": nn.functional.gelu,
    "Tanh": torch.tanh,
    "Elu": nn.functional.elu,
}


@pytest.fixture(params=NETWORKS)
def case(request):
    return request.param


@pytest.fixture
def model(case, tmp_path):
    network = build_network(tiny(network=NETWORKS[case]))
    generator = torch.Generator().manual_seed(1)
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            value.uniform_(0.5 if name.endswith("running_var") else -1, 1, generator=generator)
    export_onnx(Predictor(network), tmp_path / "model.onnx", IMAGES, "made")
    return tmp_path / "model.onnx"


def test_maps_are_computed_from_the_stated_inputs_and_weights(case, model):
    activations = open_activations(model)
    inside = activations.inside(IMAGES)
    connections = activations.connections
    assert [connections[layer.name].input for layer in activations.convolutions] == INPUTS[case]
    assert [connections[layer.name].activation for layer in activations.convolutions] == ACTIVATIONS[case]
    for layer in activations.convolutions:
        each = connections[layer.name]
        source = {IMAGE: IMAGES[:, None] / np.float32(255), None: inside.inputs.get(layer.name)}
        values = torch.tensor(source[each.input] if each.input in source else inside.maps[each.input])
        top, left = each.padding
        padded = nn.functional.pad(
            values, (left, 9, top, 9)
        )  # what lies beyond the last values does not matter
        weights, bias = torch.tensor(each.weights), torch.tensor(each.bias)
        sums = nn.functional.conv2d(padded, weights, bias, each.stride, 0, each.dilation, each.groups)
        maps = inside.maps[layer.name]
        found = APPLY[each.activation](sums)[:, :, : maps.shape[2], : maps.shape[3]]
        np.testing.assert_allclose(found, maps, rtol=1e-3, atol=1e-4)


def test_only_pixels_in_its_field_change_a_value(model):
    activations = open_activations(model)
    blank = np.zeros((1, 28, 28), np.uint8)
    before = activations.inside(blank).maps
    for row, column in ((0, 0), (5, 20), (14, 14), (27, 27)):
        image = blank.copy()
        image[0, row, column] = 255
        for name, maps in activations.inside(image).maps.items():
            changed = np.argwhere(np.abs(maps - before[name]).max(axis=(0, 1)) > 0)
            field = activations.connections[name].field
            start = field.start + changed * field.step
            assert (start <= (row, column)).all()
            assert ((row, column) < start + field.size).all()
            assert len(changed) or (row, column) != (14, 14)


def test_scores_of_the_last_layer_are_the_logarithms_of_the_probabilities(model):
    activations = open_activations(model)
    inside, last = activations.inside(IMAGES), activations.last_layer
    scores = inside.hidden @ last.weights.T + last.bias
    probabilities = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    found = Recognizer(model).predict(IMAGES).probabilities
    np.testing.assert_allclose(probabilities, found, rtol=1e-3, atol=1e-5)


def test_a_network_without_a_dense_layer_has_no_scores(tmp_path):
    network = build_network(tiny(network=("conv 10 3x3", "global-avgpool")))
    export_onnx(Predictor(network), tmp_path / "model.onnx", IMAGES, "made")
    activations = open_activations(tmp_path / "model.onnx")
    assert activations.last_layer is None
    assert activations.inside(IMAGES).hidden is None


class Branches(nn.Module):
    """Adds what a small and a large convolution of the same input find, then convolves that in groups."""

    def __init__(self):
        super().__init__()
        self.small = nn.Conv2d(1, 4, 1)
        self.large = nn.Conv2d(1, 4, 5, padding=2)
        self.grouped = nn.Conv2d(4, 6, 3, groups=2, dilation=2, padding=2)
        self.head = nn.Linear(6, 10)

    def forward(self, images):
        values = self.grouped((self.small(images) + self.large(images)).relu()).relu()
        return self.head(values.mean(dim=(2, 3)))


def test_fields_of_branches_are_joined_and_groups_are_known(tmp_path):
    torch.manual_seed(1)
    export_onnx(Predictor(Branches()), tmp_path / "model.onnx", IMAGES, "made")
    connection = open_activations(tmp_path / "model.onnx").connections["grouped"]
    assert (connection.groups, connection.dilation, connection.padding) == (2, (2, 2), (2, 2))
    assert connection.weights.shape == (6, 2, 3, 3)
    assert (connection.field.start, connection.field.size) == ((-4, -4), (9, 9))
