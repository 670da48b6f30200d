"""How the layers of a network are connected: what each map and each answer is computed from.

With these weights and the values of the maps, whoever shows a network can compute what each input of a map
contributes to it. Batch normalisation that follows a convolution is folded into its weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

Pair = tuple[int, int]  # rows, columns

IMAGE = "image"  # the name of the network's input, where others have names of layers
IMAGES = "images"  # its name in the graph
TO_IMAGE = {  # operators between the two; with one channel, those of torch only reorder axes
    ("Unsqueeze", "Cast", "Div"),
    ("Unsqueeze", "Cast", "Div", "Reshape", "Transpose"),
}
BATCHNORM_EPSILON = 1e-5  # the default of ONNX
RECIPE_ACTIVATIONS = {"Elu", "Gelu", "LeakyRelu", "Relu", "Sigmoid", "Swish", "Tanh"}  # as ONNX operators
OTHER_ACTIVATIONS = {"Celu", "Clip", "HardSigmoid", "HardSwish", "Mish", "PRelu", "Selu"}  # of own networks
ACTIVATIONS = RECIPE_ACTIVATIONS | OTHER_ACTIVATIONS
UNMOVED = {  # operators after which each value is where it was
    *ACTIVATIONS,
    *("Add", "BatchNormalization", "Cast", "Div", "Identity", "Mul", "Sub", "Unsqueeze"),
}
WINDOWED = {"AveragePool", "Conv", "MaxPool"}  # operators that compute each value from a window


@dataclass(frozen=True, slots=True)
class Field:
    """The receptive fields of a map: which pixels of the image each of its values depends on.

    Attributes
    ----------
    step
        From one value's field to the next, in pixels.
    start
        The first row and column of the field of the first value; negative in the padding.
    size
        Height and width of each field, in pixels.
    """

    step: Pair = (1, 1)
    start: Pair = (0, 0)
    size: Pair = (1, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Connection:
    """How a convolution computes its maps.

    Attributes
    ----------
    source
        The name of its input in the graph.
    input
        What that is: `IMAGE` with pixels from 0 to 1, the name of another layer, or None for other values.
    weights, bias
        float32, shapes (C, I, H, W) and (C,): each of the C filters has a kernel for each of its I inputs.
    stride, padding, dilation
        Of the window; the padding is above and left of the input, filled with zeros.
    groups
        In how many groups inputs and filters are divided; a filter sees the inputs of its group only.
    activation
        The ONNX operator that follows, such as ``Relu``.
    field
        The receptive fields, None if unknown.
    """

    source: str
    input: str | None
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int
    activation: str | None
    field: Field | None


@dataclass(frozen=True, slots=True, eq=False)
class LastLayer:
    """The last dense layer: scores (N, O) are ``hidden @ weights.T + bias``.

    Attributes
    ----------
    hidden
        The name of its input in the graph.
    weights, bias
        float32, shapes (O, D) and (O,).
    """

    hidden: str
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]


class Connections:
    """The connections in a graph."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._makers = {name: node for node in graph.node for name in node.output}
        self._weights = {tensor.name: tensor for tensor in graph.initializer}
        self._users: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self._users.setdefault(name, []).append(node)

    def of_convolution(self, weights: str, outputs: Mapping[str, str]) -> Connection | None:
        """Return the connection of the convolution with these weights; None if it cannot be told.

        `outputs` has the names of layers by those of their maps in the graph.
        """
        node = next(each for each in self._users[weights] if each.op_type == "Conv")
        if _attribute(node, "auto_pad", b"NOTSET") != b"NOTSET":
            return None
        kernels, bias, value = self._folded(node)
        source = node.input[0]
        top, left = _attribute(node, "pads", [0, 0, 0, 0])[:2]
        return Connection(
            source=source,
            input=IMAGE if self._is_image(source) else outputs.get(source),
            weights=kernels,
            bias=bias,
            stride=_pair(node, "strides"),
            padding=(top, left),
            dilation=_pair(node, "dilations"),
            groups=_attribute(node, "group", 1),
            activation=self._activation(value),
            field=self._field(node.output[0]),
        )

    def of_last_layer(self, hidden: str) -> LastLayer | None:
        """Return the last dense layer, by the name of its input; None if its weights are computed."""
        node = next(each for each in self._users[hidden] if each.op_type in ("Gemm", "MatMul"))
        weights = self._array(node.input[1])
        if weights is None:
            return None
        bias = self._array(node.input[2]) if len(node.input) > 2 else self._added(node.output[0])
        if node.op_type == "MatMul" or not _attribute(node, "transB", 0):
            weights = weights.T
        return LastLayer(hidden, weights, np.zeros(len(weights), np.float32) if bias is None else bias)

    def _added(self, value: str) -> NDArray[np.float32] | None:
        """Return the bias that is added to a product."""
        adders = [node for node in self._users.get(value, []) if node.op_type == "Add"]
        found = [self._array(name) for node in adders for name in node.input]
        return next((bias for bias in found if bias is not None), None)

    def _array(self, name: str) -> NDArray[np.float32] | None:
        tensor = self._weights.get(name)
        return None if tensor is None else np.asarray(onnx.numpy_helper.to_array(tensor), np.float32)

    def _folded(self, node: onnx.NodeProto) -> tuple[NDArray[np.float32], NDArray[np.float32], str]:
        """Return weights and bias with the batch normalisation that follows, and the value after it."""
        weights = self._array(node.input[1])
        assert weights is not None
        bias = self._array(node.input[2]) if len(node.input) > 2 else None
        if bias is None:
            bias = np.zeros(len(weights), np.float32)
        followers = self._users.get(node.output[0], [])
        if [each.op_type for each in followers] != ["BatchNormalization"]:
            return weights, bias, node.output[0]
        values = [self._array(name) for name in followers[0].input[1:5]]
        gain, offset, mean, variance = (value for value in values if value is not None)
        gain = gain / np.sqrt(variance + _attribute(followers[0], "epsilon", BATCHNORM_EPSILON))
        return weights * gain[:, None, None, None], (bias - mean) * gain + offset, followers[0].output[0]

    def _activation(self, value: str) -> str | None:
        operators = [each.op_type for each in self._users.get(value, [])]
        if operators == ["Sigmoid", "Mul"]:
            return "Swish"
        return operators[0] if len(operators) == 1 and operators[0] in ACTIVATIONS else None

    def _is_image(self, value: str) -> bool:
        """Return whether a value is the images as numbers from 0 to 1, with nothing else done to them."""
        operators = []
        while value != IMAGES and value in self._makers:
            node = self._makers[value]
            operators.append(node.op_type)
            if node.op_type == "Div" and self._array(node.input[1]) != 255:
                return False
            value = node.input[0]
        return value == IMAGES and tuple(reversed(operators)) in TO_IMAGE

    def _field(self, value: str) -> Field | None:
        """Return the receptive fields of a value in the graph."""
        if value == IMAGES or self._is_image(value):
            return Field()
        node = self._makers.get(value)
        if node is None or node.op_type not in UNMOVED | WINDOWED:
            return None
        given = node.input[:1] if node.op_type in WINDOWED else node.input
        field = _around(self._field(name) for name in given if name not in self._weights)
        if field is None or node.op_type not in WINDOWED:
            return field
        if _attribute(node, "auto_pad", b"NOTSET") != b"NOTSET":
            return None
        return _further(field, node, self._window(node))

    def _window(self, node: onnx.NodeProto) -> Pair:
        if node.op_type != "Conv":
            return _pair(node, "kernel_shape")
        rows, columns = self._weights[node.input[1]].dims[2:]
        return rows, columns


def _around(fields: Iterable[Field | None]) -> Field | None:
    """Return fields that contain those of several values at each place."""
    known = list(fields)
    first = known[0] if known else None
    if first is None or any(each is None or each.step != first.step for each in known):
        return None
    each = [field for field in known if field is not None]
    starts, sizes = np.array([field.start for field in each]), np.array([field.size for field in each])
    start, end = starts.min(axis=0), (starts + sizes).max(axis=0)
    return Field(first.step, _as_pair(start), _as_pair(end - start))


def _further(field: Field, node: onnx.NodeProto, window: Pair) -> Field:
    """Return the fields of values that are computed from windows of values with these fields."""
    step = np.array(field.step)
    padding = np.array(_attribute(node, "pads", [0, 0, 0, 0])[:2])
    reach = (np.array(window) - 1) * _pair(node, "dilations")
    return Field(
        step=_as_pair(step * _pair(node, "strides")),
        start=_as_pair(field.start - padding * step),
        size=_as_pair(field.size + reach * step),
    )


def _as_pair(values: NDArray[Any]) -> Pair:
    rows, columns = (int(value) for value in values)
    return rows, columns


def _pair(node: onnx.NodeProto, name: str) -> Pair:
    rows, columns = _attribute(node, name, [1, 1])
    return rows, columns


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    found = (each for each in node.attribute if each.name == name)
    return next((onnx.helper.get_attribute_value(each) for each in found), default)
