"""The values inside a network as arrays: filters, feature maps and the last hidden layer.

Activations come from the run's ``model.onnx`` with additional outputs, so they are those of the model that
every reader uses. Filters come from the run's weights. Nothing here needs torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from digit_recognizer.digits import SIDE, check_images
from digit_recognizer.errors import DigitsError, first_line
from digit_recognizer.explain.connections import ACTIVATIONS, Connection, Connections, LastLayer
from digit_recognizer.recognition.session import run_in_batches, start_session
from digit_recognizer.runs.run_folder import WEIGHTS

WEIGHT_SUFFIX = ".weight"  # of the name of a layer's weights
OF_FIRST_MEMBER = r"(?!members\.(?!1\.))"
WEIGHT_NAMES = re.compile(rf"network\.{OF_FIRST_MEMBER}(.+){re.escape(WEIGHT_SUFFIX)}")  # in the graph


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution in the graph of a model.

    Attributes
    ----------
    name
        The name of the layer, such as ``conv1``.
    output
        The name of its output in the graph, after the batch normalisation and activation that follow it.
    weights
        The name of its weights in the graph.
    """

    name: str
    output: str
    weights: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Inside:
    """The values inside a network for some images.

    Attributes
    ----------
    maps
        The feature maps of each convolution, by its name: float32, (N, C, H, W).
    inputs
        Likewise the inputs of those convolutions whose `Connection.input` is None: float32, (N, I, H, W).
    hidden
        The input of the last dense layer, float32 (N, D); None if there is none.
    """

    maps: dict[str, NDArray[np.float32]]
    inputs: dict[str, NDArray[np.float32]]
    hidden: NDArray[np.float32] | None


class Activations:
    """A model that also returns the values inside it.

    If the model averages several networks, everything refers to the first one.

    Attributes
    ----------
    convolutions
        The convolutions that process whole images with weights of their own, from input to output. One that
        is used several times is listed once, where it is first used.
    connections
        How each of them computes its maps, by its name; one that is missing there cannot be told.
    hidden
        The name of the input of the last dense layer; None if the network does not end in a dense layer.
    last_layer
        That layer; None if there is none.
    sources
        The names, in the graph, of the inputs of those convolutions whose `Connection.input` is None.
    serialised
        The model as ONNX, with all these values as further outputs.
    """

    def __init__(self, serialised: bytes, threads: int | None = None) -> None:
        graph = onnx.load_model_from_string(serialised).graph
        convolutions = list(_convolutions(graph))
        self._weights = {tensor.name: tensor for tensor in graph.initializer if len(tensor.dims) == 4}
        self.hidden = _last_hidden(graph)
        connections = Connections(graph)
        self.last_layer: LastLayer | None = connections.of_last_layer(self.hidden) if self.hidden else None
        outputs = [layer.output for layer in convolutions]
        names = {layer.output: layer.name for layer in convolutions}
        connected = {layer.name: connections.of_convolution(layer.weights, names) for layer in convolutions}
        self.sources = {
            name: each.source for name, each in connected.items() if each is not None and each.input is None
        }
        more = [*outputs, *self.sources.values(), *filter(None, [self.hidden])]
        self.serialised = serialised + _more_outputs(graph, more)
        self._session = start_session(self.serialised, prepacking=False)
        self._threads = threads
        two_blank = np.zeros((2, SIDE, SIDE), np.uint8)
        maps_of_each = next(self._run(two_blank, outputs))
        self.convolutions = tuple(
            layer for layer, maps in zip(convolutions, maps_of_each, strict=False) if len(maps) == 2
        )  # others process parts of images, as a batch of another size
        shown = {layer.name for layer in self.convolutions}
        self.connections: dict[str, Connection] = {
            name: each for name, each in connected.items() if each is not None and name in shown
        }

    def feature_maps(self, images: NDArray[np.uint8], layer: Convolution) -> NDArray[np.float32]:
        """Return the feature maps of a convolution, after its activation.

        Parameters
        ----------
        images
            uint8, shape (N, 28, 28), N at least 1, 0 background to 255 ink.
        layer
            One of `convolutions`.

        Returns
        -------
        numpy.ndarray
            float32, shape (N, C, H, W): one map for each of the layer's C filters.

        Raises
        ------
        DigitsError
            The array has another dtype or shape.
        """
        check_images(images)
        return np.concatenate([batch[0] for batch in self._run(images, [layer.output])])

    def all_feature_maps(self, images: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Return, by the names of all convolutions, their feature maps (N, C, H, W) of a few images."""
        check_images(images)
        return self.inside(images).maps

    def inside(self, images: NDArray[np.uint8]) -> Inside:
        """Return all values inside the network for a few images (N, 28, 28), in one go."""
        check_images(images)
        maps = {layer.name: layer.output for layer in self.convolutions}
        inputs = {name: source for name, source in self.sources.items() if name in maps}
        asked = [*maps.values(), *inputs.values(), *filter(None, [self.hidden])]
        values = dict(zip(asked, self._session.run(asked, {"images": images}), strict=True)) if asked else {}
        return Inside(
            maps={name: values[output] for name, output in maps.items()},
            inputs={name: values[source] for name, source in inputs.items()},
            hidden=values[self.hidden] if self.hidden else None,
        )

    def filters(self, layer: Convolution) -> NDArray[np.float32]:
        """Return the weights of a convolution in the graph: float32, shape (C, I, H, W).

        Unlike those of `read_filters`, they may have a batch normalisation folded in.
        """
        return np.asarray(onnx.numpy_helper.to_array(self._weights[layer.weights]), np.float32)

    def hidden_values(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the input of the last dense layer for images (N, 28, 28): float32, shape (N, D)."""
        check_images(images)
        assert self.hidden is not None
        return np.concatenate([batch[0] for batch in self._run(images, [self.hidden])])

    def peaks(
        self, images: NDArray[np.uint8], layers: Sequence[Convolution]
    ) -> dict[str, NDArray[np.float32]]:
        """Return, by the names of layers, the highest value of each channel in each image: (N, C)."""
        check_images(images)
        batches = [
            [maps.max(axis=(2, 3)) for maps in batch]
            for batch in self._run(images, [layer.output for layer in layers])
        ]
        columns = zip(*batches, strict=True)
        return {layer.name: np.concatenate(column) for layer, column in zip(layers, columns, strict=True)}

    def _run(self, images: NDArray[np.uint8], names: list[str]) -> Iterator[list[NDArray[np.float32]]]:
        return run_in_batches(self._session, names, images, self._threads)


def open_activations(model: str | Path, threads: int | None = None) -> Activations:
    """Open a ``model.onnx`` so that it also returns the values inside it.

    Raises
    ------
    DigitsError
        The file is missing or damaged.
    """
    try:
        return Activations(Path(model).read_bytes(), threads)
    except Exception as error:  # onnx and ONNX Runtime raise many kinds
        raise DigitsError(f"{model} is damaged or not an ONNX model: {first_line(error)}") from error


def read_filters(run: Path, layer: Convolution) -> NDArray[np.float32]:
    """Return the weights of a convolution of a run, as they were trained.

    Returns
    -------
    numpy.ndarray
        float32, shape (C, I, H, W): each of the C filters has a kernel for each of its I input channels.

    Raises
    ------
    DigitsError
        The weights are missing or damaged.
    """
    from safetensors import SafetensorError, safe_open  # the extra `serve` does not install it

    path = run / WEIGHTS
    try:
        with safe_open(path, framework="numpy") as weights:
            kernels: NDArray[np.float32] = weights.get_tensor(layer.name + WEIGHT_SUFFIX)
    except (OSError, SafetensorError) as error:
        raise DigitsError(f"{path} is damaged or cannot be read: {first_line(error)}") from error
    return kernels


def _more_outputs(graph: onnx.GraphProto, names: Sequence[str]) -> bytes:
    """Return what to append to a serialised model so that it has these values as outputs, too.

    Two protobuf messages in a row are parsed as one: https://protobuf.dev/programming-guides/encoding/
    """
    present = {output.name for output in graph.output}
    model = onnx.ModelProto()
    for name in dict.fromkeys(names):
        if name not in present:
            value = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
            model.graph.output.append(value)
    return bytes(model.SerializeToString())


def _convolutions(graph: onnx.GraphProto) -> Iterator[Convolution]:
    """Yield the two-dimensional convolutions whose weights have a name in the run, each once."""
    users = _users(graph)
    unused = {tensor.name for tensor in graph.initializer if len(tensor.dims) == 4}
    for node in graph.node:
        if node.op_type == "Conv" and node.input[1] in unused:
            unused.remove(node.input[1])
            named = WEIGHT_NAMES.fullmatch(node.input[1])
            if named:
                output = _after_activation(node.output[0], users)
                yield Convolution(named[1], output, node.input[1])


def _after_activation(value: str, users: dict[str, list[onnx.NodeProto]]) -> str:
    """Return the name of a value after the batch normalisation and activation that follow it, if any."""
    nodes = users.get(value, [])
    kinds = [node.op_type for node in nodes]
    if kinds == ["BatchNormalization"]:
        return _after_activation(nodes[0].output[0], users)
    if kinds == ["Sigmoid", "Mul"] and set(nodes[1].input) == {value, nodes[0].output[0]}:  # SiLU
        return str(nodes[1].output[0])
    is_activation = len(kinds) == 1 and kinds[0] in ACTIVATIONS
    return str(nodes[0].output[0]) if is_activation else value


def _last_hidden(graph: onnx.GraphProto) -> str | None:
    """Return the name of the input of the last dense layer, found from the softmax backwards.

    If several networks or shifted images are averaged, the first softmax belongs to the first network.
    """
    makers = {name: node for node in graph.node for name in node.output}
    softmax = makers.get("probabilities")
    if softmax is None or softmax.op_type != "Softmax":
        softmax = next((node for node in graph.node if node.op_type == "Softmax"), None)
    last = makers.get(softmax.input[0]) if softmax is not None else None
    if last is not None and last.op_type == "Add":  # product and bias are separate nodes
        last = next((makers[name] for name in last.input if name in makers), None)
    return last.input[0] if last is not None and last.op_type in ("Gemm", "MatMul") else None


def _users(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    """Return, by the names of values, the nodes that take them as input."""
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    return users
