"""A network read from a recipe's lines ► an ONNX graph, written node by node.

torch's exporter takes two seconds for the smallest network, which a recipe of three seconds cannot spend, and
cannot leave images out that need no second look. It serves users' own functions; see `export`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from digit_recognizer.digits import CLASSES, INK, SIDE
from digit_recognizer.networks import build as networks
from digit_recognizer.networks.predictor import LEAST, MARGIN, Ensemble, Predictor, directions
from digit_recognizer.recipes.schema import Shifts

OPSET = 20  # of 2023, the first with Gelu
IR_VERSION = 9  # that goes with it: https://github.com/onnx/onnx/blob/main/docs/Versioning.md

_ACTIVATIONS = {
    "elu": "Elu",
    "gelu": "Gelu",
    "leaky-relu": "LeakyRelu",
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
}


def can_be_written(network: nn.Module) -> bool:
    """Say whether a network, or each member of an ensemble, was read from a recipe's lines."""
    if isinstance(network, Ensemble):
        return all(isinstance(member, networks.Layers) for member in network.members.values())
    return isinstance(network, networks.Layers)


def write_graph(predictor: Predictor) -> onnx.ModelProto:
    """Return a predictor as an ONNX model from ``images``, uint8 (N, 28, 28), to ``probabilities`` (N, 10).

    Where the network can say that there is no digit, they are given that there is one, and ``is_digit`` (N,)
    is the probability of that.

    Weights are called as in the predictor, such as ``network.conv1.weight``.
    """
    graph = _Graph(predictor)
    graph.write()
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["images", SIDE, SIDE])
    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["images", CLASSES])]
    if predictor.outputs > CLASSES:
        outputs.append(helper.make_tensor_value_info("is_digit", TensorProto.FLOAT, ["images"]))
    weights = [numpy_helper.from_array(value, name) for name, value in graph.constants.items()]
    proto = helper.make_graph(graph.nodes, "digits", [images], outputs, weights)
    return helper.make_model(
        proto,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="digit-recognizer",
    )


class _Graph:
    """Nodes and constants of a graph, while it is written.

    Each method that writes nodes takes names of values and returns the name of the value that comes out.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray[Any, Any]] = {}
        self._predictor = predictor

    def write(self) -> None:
        """Write it all, up to the value ``probabilities``."""
        scaled = self._scaled("images")
        probabilities = self._probabilities(scaled)
        if self._predictor.shifts is not None:
            probabilities = self._averaged(scaled, probabilities, self._predictor.shifts)
        if self._predictor.outputs > CLASSES:
            self._split(probabilities)
        else:
            self.nodes[-1].output[0] = "probabilities"

    def _split(self, probabilities: str) -> None:
        """Tell which digit (N, 10) from whether it is one (N,), out of eleven probabilities (N, 11)."""
        bounds = self._constant([0]), self._constant([CLASSES])
        digits = self._add("Slice", probabilities, *bounds, self._constant([1]))
        total = self._add("ReduceSum", digits, self._constant([1]), keepdims=1)
        total = self._add("Max", total, self._constant(LEAST, np.float32))
        self._add("Div", digits, total)
        self.nodes[-1].output[0] = "probabilities"
        self._add("Reshape", total, self._constant([-1]))
        self.nodes[-1].output[0] = "is_digit"

    def _add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Write a node with one output."""
        output = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def _constant(self, value: ArrayLike, dtype: type = np.int64) -> str:
        """Store a constant of the graph's own, once."""
        array: np.ndarray[Any, Any] = np.asarray(value, dtype)
        name = f"constant_{array.dtype}_{'_'.join(map(str, array.ravel().tolist()))}_{array.ndim}"
        self.constants[name] = array
        return name

    def _scaled(self, images: str) -> str:
        """Bring uint8 (N, 28, 28) to float32 (N, 1, 28, 28), 0 to 1."""
        floats = self._add("Cast", self._add("Unsqueeze", images, self._constant([1])), to=TensorProto.FLOAT)
        return self._add("Div", floats, self._constant(INK, np.float32))

    def _probabilities(self, images: str) -> str:
        probabilities = self._mean_of_members(images)
        if self._predictor.temperature == 1:
            return probabilities
        temperature = self._constant(self._predictor.temperature, np.float32)
        return self._add("Softmax", self._add("Div", self._add("Log", probabilities), temperature), axis=1)

    def _mean_of_members(self, images: str) -> str:
        network = self._predictor.network
        if not isinstance(network, Ensemble):
            return self._softmax(network, "network", images)
        members = network.members.items()
        each = [self._softmax(member, f"network.members.{name}", images) for name, member in members]
        return self._add("Mean", *each)

    def _softmax(self, network: nn.Module, prefix: str, value: str) -> str:
        for name, layer in network.named_children():
            value = self._layer(layer, f"{prefix}.{name}", value)
        return self._add("Softmax", value, axis=1)

    def _layer(self, layer: nn.Module, name: str, value: str) -> str:
        match layer:
            case networks.Conv():
                return self._conv(layer, name, value)
            case networks.Dense():
                inputs = self._weights(layer, name, "weight", "bias")
                return self._activated(self._add("Gemm", value, *inputs, transB=1), layer.activation)
            case networks.Activation():
                return self._activated(value, layer.name)
            case networks.GlobalPool():
                return self._add("Flatten", self._add("GlobalAveragePool", value), axis=1)
            case nn.BatchNorm1d() | nn.BatchNorm2d():
                inputs = self._weights(layer, name, "weight", "bias", "running_mean", "running_var")
                return self._add("BatchNormalization", value, *inputs, epsilon=layer.eps)
            case nn.MaxPool2d() | nn.AvgPool2d():
                operator = "MaxPool" if isinstance(layer, nn.MaxPool2d) else "AveragePool"
                size, stride = [layer.kernel_size] * 2, [layer.stride] * 2
                return self._add(operator, value, kernel_shape=size, strides=stride)
            case nn.Flatten():
                return self._add("Flatten", value, axis=1)
            case nn.Dropout():
                return value
        raise AssertionError(f"a layer that no line makes: {layer}")

    def _conv(self, layer: networks.Conv, name: str, value: str) -> str:
        left, right, top, bottom = layer.margins
        rows, columns = (int(size) for size in layer.padding)
        pads = [top + rows, left + columns, bottom + rows, right + columns]
        inputs = self._weights(layer, name, "weight", "bias")
        convolved = self._add(
            "Conv",
            value,
            *inputs,
            kernel_shape=list(layer.kernel_size),
            strides=list(layer.stride),
            pads=pads,
        )
        return self._activated(convolved, layer.activation)

    def _activated(self, value: str, name: str | None) -> str:
        if name is None:
            return value
        if name == "silu":
            return self._add("Mul", value, self._add("Sigmoid", value))
        return self._add(_ACTIVATIONS[name], value)

    def _weights(self, layer: nn.Module, name: str, *kinds: str) -> list[str]:
        """Store tensors of a layer, and return what they are called."""
        names = [f"{name}.{kind}" for kind in kinds]
        for full, kind in zip(names, kinds, strict=True):
            self.constants[full] = getattr(layer, kind).detach().cpu().contiguous().numpy()
        return names

    def _averaged(self, images: str, probabilities: str, shifts: Shifts) -> str:
        """Average over shifted images, for those images only that are unsure."""
        if shifts.unsure_below == 1:
            return self._mean_of_shifts(images, probabilities, shifts.pixels)
        highest = self._add("ReduceMax", probabilities, self._constant([1]), keepdims=1)  # (N, 1)
        bound = self._constant(shifts.unsure_below, np.float32)
        below = self._add("Div", self._add("Sub", bound, highest), self._constant(MARGIN, np.float32))
        limits = self._constant(0, np.float32), self._constant(1, np.float32)
        share = self._add("Clip", below, *limits)
        places = self._add("NonZero", self._add("Reshape", share, self._constant([-1])))  # (1, K)
        rows = self._add("Reshape", places, self._constant([-1]))  # (K,)
        few = self._add("Gather", probabilities, rows, axis=0)  # (K, 10)
        mean = self._mean_of_shifts(self._add("Gather", images, rows, axis=0), few, shifts.pixels)
        part = self._add("Mul", self._add("Gather", share, rows, axis=0), self._add("Sub", mean, few))
        places = self._add("Reshape", rows, self._constant([-1, 1]))  # (K, 1)
        return self._add("ScatterND", probabilities, places, self._add("Add", few, part))

    def _mean_of_shifts(self, images: str, probabilities: str, pixels: int) -> str:
        """Average probabilities (K, 10) of images (K, 1, 28, 28) with those of the images shifted."""
        margins = self._constant([0, 0, pixels, pixels, 0, 0, pixels, pixels])
        padded = self._add("Pad", images, margins)
        axes = self._constant([2, 3])
        views = [
            self._add("Slice", padded, self._constant(corner), self._constant(np.add(corner, SIDE)), axes)
            for corner in directions(pixels)
        ]
        each = self._probabilities(self._add("Concat", *views, axis=0))  # (4 K, 10)
        parts = self._add("Reshape", each, self._constant([len(views), -1, self._predictor.outputs]))
        shifted = self._add("ReduceSum", parts, self._constant([0]), keepdims=0)
        count = self._constant(len(views) + 1, np.float32)
        return self._add("Div", self._add("Add", probabilities, shifted), count)
