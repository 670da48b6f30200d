"""Writes the ONNX graph of a network built from layer specifications, node by node.

torch's exporter takes two seconds for the smallest network, too long for a training of three seconds, and
it cannot skip the confident images when it averages over shifts. `onnx_export` uses it for a user's own
networks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from digit_recognizer.digits import CLASSES, INK, SIDE
from digit_recognizer.networks import build
from digit_recognizer.networks.predictor import (
    BLEND_RANGE,
    MIN_IS_DIGIT,
    Ensemble,
    Predictor,
    shift_corners,
)
from digit_recognizer.recipes.schema import Shifts

OPSET = 20  # of 2023, the first with Gelu
IR_VERSION = 9  # of the same ONNX release: https://github.com/onnx/onnx/blob/main/docs/Versioning.md

_ACTIVATIONS = {
    "elu": "Elu",
    "gelu": "Gelu",
    "leaky-relu": "LeakyRelu",
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
}


def can_be_written(network: nn.Module) -> bool:
    """Return whether a network, or each member of an ensemble, was built from layer specifications."""
    if isinstance(network, Ensemble):
        return all(isinstance(member, build.Layers) for member in network.members.values())
    return isinstance(network, build.Layers)


def write_graph(predictor: Predictor) -> onnx.ModelProto:
    """Return a predictor as an ONNX model from ``images``, uint8 (N, 28, 28), to ``probabilities`` (N, 10).

    With a non-digit class, the probabilities are conditional on the image being a digit, and a second output
    ``is_digit`` (N,) is the probability of that. Weights have the names of the predictor's state, such as
    ``network.conv1.weight``.
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
    """Nodes and constants of a graph.

    Each method that adds nodes takes the names of its inputs and returns the name of its output.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self._predictor = predictor

    def write(self) -> None:
        """Add all nodes, from ``images`` to ``probabilities``."""
        axis = self._constant([1])
        floats = self._add("Cast", self._add("Unsqueeze", "images", axis), to=TensorProto.FLOAT)
        scaled = self._add("Div", floats, self._constant(INK, np.float32))  # (N, 1, 28, 28)
        probabilities = self._probabilities(scaled)
        if self._predictor.shifts is not None:
            probabilities = self._averaged(scaled, probabilities, self._predictor.shifts)
        if self._predictor.outputs > CLASSES:
            self._split(probabilities)
        else:
            self.nodes[-1].output[0] = "probabilities"

    def _add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output."""
        output = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def _constant(self, value: ArrayLike, dtype: type = np.int64) -> str:
        """Add a constant, once for each value."""
        array: NDArray[Any] = np.asarray(value, dtype)
        name = f"constant_{array.dtype}_{'_'.join(map(str, array.ravel().tolist()))}_{array.ndim}"
        self.constants[name] = array
        return name

    def _split(self, probabilities: str) -> None:
        """Split (N, 11) into ``probabilities`` (N, 10) and ``is_digit`` (N,), as `split_outputs` does."""
        bounds = self._constant([0]), self._constant([CLASSES])
        digits = self._add("Slice", probabilities, *bounds, self._constant([1]))
        total = self._add("ReduceSum", digits, self._constant([1]), keepdims=1)
        total = self._add("Max", total, self._constant(MIN_IS_DIGIT, np.float32))
        self._add("Div", digits, total)
        self.nodes[-1].output[0] = "probabilities"
        self._add("Reshape", total, self._constant([-1]))
        self.nodes[-1].output[0] = "is_digit"

    # Network and members

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
            case build.Conv():
                return self._conv(layer, name, value)
            case build.Dense():
                weights = self._weights(layer, name, "weight", "bias")
                return self._activated(self._add("Gemm", value, *weights, transB=1), layer.activation)
            case build.Activation():
                return self._activated(value, layer.name)
            case build.GlobalPool():
                return self._add("Flatten", self._add("GlobalAveragePool", value), axis=1)
            case nn.BatchNorm1d() | nn.BatchNorm2d():
                weights = self._weights(layer, name, "weight", "bias", "running_mean", "running_var")
                return self._add("BatchNormalization", value, *weights, epsilon=layer.eps)
            case nn.MaxPool2d() | nn.AvgPool2d():
                operator = "MaxPool" if isinstance(layer, nn.MaxPool2d) else "AveragePool"
                size, stride = [layer.kernel_size] * 2, [layer.stride] * 2
                return self._add(operator, value, kernel_shape=size, strides=stride)
            case nn.Flatten():
                return self._add("Flatten", value, axis=1)
            case nn.Dropout():
                return value
        raise AssertionError(f"no layer specification builds {layer}")

    def _conv(self, layer: build.Conv, name: str, value: str) -> str:
        left, right, top, bottom = layer.margins
        rows, columns = (int(size) for size in layer.padding)
        convolved = self._add(
            "Conv",
            value,
            *self._weights(layer, name, "weight", "bias"),
            kernel_shape=list(layer.kernel_size),
            strides=list(layer.stride),
            pads=[top + rows, left + columns, bottom + rows, right + columns],
        )
        return self._activated(convolved, layer.activation)

    def _activated(self, value: str, name: str | None) -> str:
        if name is None:
            return value
        if name == "silu":
            return self._add("Mul", value, self._add("Sigmoid", value))
        return self._add(_ACTIVATIONS[name], value)

    def _weights(self, layer: nn.Module, name: str, *kinds: str) -> list[str]:
        """Add tensors of a layer, and return their names."""
        names = [f"{name}.{kind}" for kind in kinds]
        for full_name, kind in zip(names, kinds, strict=True):
            self.constants[full_name] = getattr(layer, kind).detach().cpu().contiguous().numpy()
        return names

    # Shifts

    def _averaged(self, images: str, probabilities: str, shifts: Shifts) -> str:
        """Blend in the average over shifts, computed only for the K images on which it has weight."""
        if shifts.unsure_below == 1:
            return self._mean_of_shifts(images, probabilities, shifts.pixels)
        highest = self._add("ReduceMax", probabilities, self._constant([1]), keepdims=1)  # (N, 1)
        bound = self._constant(shifts.unsure_below, np.float32)
        below = self._add("Div", self._add("Sub", bound, highest), self._constant(BLEND_RANGE, np.float32))
        limits = self._constant(0, np.float32), self._constant(1, np.float32)
        weights = self._add("Clip", below, *limits)
        places = self._add("NonZero", self._add("Reshape", weights, self._constant([-1])))  # (1, K)
        rows = self._add("Reshape", places, self._constant([-1]))  # (K,)
        few = self._add("Gather", probabilities, rows, axis=0)  # (K, 10)
        mean = self._mean_of_shifts(self._add("Gather", images, rows, axis=0), few, shifts.pixels)
        change = self._add("Mul", self._add("Gather", weights, rows, axis=0), self._add("Sub", mean, few))
        places = self._add("Reshape", rows, self._constant([-1, 1]))  # (K, 1)
        return self._add("ScatterND", probabilities, places, self._add("Add", few, change))

    def _mean_of_shifts(self, images: str, probabilities: str, pixels: int) -> str:
        """Average probabilities (K, 10) of images (K, 1, 28, 28) with those of the shifted images."""
        margins = self._constant([0, 0, pixels, pixels, 0, 0, pixels, pixels])
        padded = self._add("Pad", images, margins)
        axes = self._constant([2, 3])
        views = [
            self._add("Slice", padded, self._constant(corner), self._constant(np.add(corner, SIDE)), axes)
            for corner in shift_corners(pixels)
        ]
        each = self._probabilities(self._add("Concat", *views, axis=0))  # (4 K, 10)
        by_view = self._add("Reshape", each, self._constant([len(views), -1, self._predictor.outputs]))
        total = self._add("ReduceSum", by_view, self._constant([0]), keepdims=0)
        count = self._constant(len(views) + 1, np.float32)
        return self._add("Div", self._add("Add", probabilities, total), count)
