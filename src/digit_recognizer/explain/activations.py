"""What goes on inside a network, as arrays: filters, feature maps, the last hidden layer.

Values inside come from the run's ``model.onnx`` with further outputs declared, so that they are those of the
model that every reader uses; filters come from its weights. Nothing here needs torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from digit_recognizer.digits import SIDE, check_images
from digit_recognizer.errors import DigitsError, first_line
from digit_recognizer.recognition.session import run_in_batches, start_session
from digit_recognizer.runs import run_folder

ACTIVATIONS = {"Elu", "Gelu", "LeakyRelu", "Relu", "Sigmoid", "Swish", "Tanh"}  # of one node, in recipes
OTHERS = {"Celu", "Clip", "HardSigmoid", "HardSwish", "Mish", "PRelu", "Selu"}  # in users' own networks
SUFFIX = ".weight"  # ends the names of a layer's weights
NO_OTHER = r"(?!members\.(?!1\.))"  # member than the first
KERNELS = re.compile(rf"network\.{NO_OTHER}(.+){re.escape(SUFFIX)}")  # what the graph calls them


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution of the graph.

    Attributes
    ----------
    name
        The layer's, such as ``conv1``.
    value
        The name of its output in the graph: behind the batch normalisation that stands straight behind it
        and behind the activation that follows.
    weights
        The name of its weights in the graph.
    """

    name: str
    value: str
    weights: str = ""


class Activations:
    """A model that also tells the values inside it.

    Attributes
    ----------
    convolutions
        Those of a network, or of the first of several that are averaged, over whole images and with weights
        that the run stores, in the order in which an image passes them; one that is used again counts where
        it is used first.
    hidden
        The name of the values that the last dense layer takes, of the first of several networks; None
        where it does not end in one.
    """

    def __init__(self, serialised: bytes, threads: int | None = None) -> None:
        graph = onnx.load_model_from_string(serialised).graph
        convolutions = list(_convolutions(graph))
        self._weights = {tensor.name: tensor for tensor in graph.initializer if len(tensor.dims) == 4}
        self.hidden = _last_hidden(graph)
        inside = [layer.value for layer in convolutions] + ([self.hidden] if self.hidden else [])
        further = onnx.ModelProto()
        for name in dict.fromkeys(inside):
            if name not in {value.name for value in graph.output}:
                value = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
                further.graph.output.append(value)
        # Two messages one behind the other are read as one: https://protobuf.dev/programming-guides/encoding/
        merged = serialised + further.SerializeToString()
        self._session = start_session(merged, prepacking=False)
        self._threads = threads
        two = next(self._run(np.zeros((2, SIDE, SIDE), np.uint8), [layer.value for layer in convolutions]))
        self.convolutions = tuple(
            layer for layer, maps in zip(convolutions, two, strict=False) if len(maps) == 2
        )  # others take parts of an image as images

    def feature_maps(self, images: NDArray[np.uint8], layer: Convolution) -> NDArray[np.float32]:
        """Return what a convolution makes of images, behind its activation.

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
        return np.concatenate([batch[0] for batch in self._run(images, [layer.value])])

    def all_feature_maps(self, images: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Return what every convolution makes of a few images (N, 28, 28), in one pass.

        Returns
        -------
        dict
            For each layer's name float32 of shape (N, C, H, W).
        """
        check_images(images)
        if not self.convolutions:
            return {}
        values = self._session.run([layer.value for layer in self.convolutions], {"images": images})
        return {layer.name: maps for layer, maps in zip(self.convolutions, values, strict=True)}

    def filters(self, layer: Convolution) -> NDArray[np.float32]:
        """Return the weights of a convolution as the graph holds them: float32, shape (C, I, H, W).

        They need no run folder beside the model; `read_filters` takes them from one.
        """
        return np.asarray(onnx.numpy_helper.to_array(self._weights[layer.weights]), np.float32)

    def hidden_values(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return what the last dense layer takes of images (N, 28, 28): float32, shape (N, D)."""
        check_images(images)
        assert self.hidden is not None
        return np.concatenate([batch[0] for batch in self._run(images, [self.hidden])])

    def peaks(
        self, images: NDArray[np.uint8], layers: Sequence[Convolution]
    ) -> dict[str, NDArray[np.float32]]:
        """Return each channel's highest value anywhere in each image.

        Parameters
        ----------
        images
            uint8, shape (N, 28, 28).
        layers
            Of `convolutions`.

        Returns
        -------
        dict
            For each layer's name float32 of shape (N, C).
        """
        check_images(images)
        batches = [
            [maps.max(axis=(2, 3)) for maps in batch]
            for batch in self._run(images, [layer.value for layer in layers])
        ]
        columns = zip(*batches, strict=True)
        return {layer.name: np.concatenate(column) for layer, column in zip(layers, columns, strict=True)}

    def _run(self, images: NDArray[np.uint8], names: list[str]) -> Iterator[list[NDArray[np.float32]]]:
        return run_in_batches(self._session, names, images, self._threads)


def open_activations(model: str | Path, threads: int | None = None) -> Activations:
    """Open a ``model.onnx`` so that it tells the values inside it, with as many threads as `Recognizer`.

    Raises
    ------
    DigitsError
        The file is missing or damaged.
    """
    try:
        return Activations(Path(model).read_bytes(), threads)
    except Exception as error:  # onnx and ONNX Runtime raise whatever they meet
        raise DigitsError(f"{model} is damaged or no ONNX model: {first_line(error)}") from error


def read_filters(run: Path, layer: Convolution) -> NDArray[np.float32]:
    """Return the weights of a convolution of a run.

    Returns
    -------
    numpy.ndarray
        float32, shape (C, I, H, W): for each of its C filters a kernel for each of its I inputs.

    Raises
    ------
    DigitsError
        The weights are missing or damaged.
    """
    from safetensors import SafetensorError, safe_open  # the extra `serve` does not install it

    path = run / run_folder.WEIGHTS
    try:
        with safe_open(path, framework="numpy") as weights:
            kernels: NDArray[np.float32] = weights.get_tensor(layer.name + SUFFIX)
    except (OSError, SafetensorError) as error:
        raise DigitsError(f"{path} is damaged or cannot be read: {first_line(error)}") from error
    return kernels


def _convolutions(graph: onnx.GraphProto) -> Iterator[Convolution]:
    """Yield the two-dimensional convolutions whose weights have a name in the run, each once."""
    users = _users(graph.node)
    kernels = {tensor.name for tensor in graph.initializer if len(tensor.dims) == 4}
    for node in graph.node:
        if node.op_type == "Conv" and node.input[1] in kernels:
            kernels.remove(node.input[1])
            named = KERNELS.fullmatch(node.input[1])
            if named:
                value = _behind_activation(node.output[0], users)
                yield Convolution(named[1], value, node.input[1])


def _behind_activation(value: str, users: dict[str, list[onnx.NodeProto]]) -> str:
    """Return the name of a value behind the normalisation and activation that take it, if any do."""
    behind = users.get(value, [])
    if [node.op_type for node in behind] == ["BatchNormalization"]:
        return _behind_activation(behind[0].output[0], users)
    kinds = [node.op_type for node in behind]
    if kinds == ["Sigmoid", "Mul"] and set(behind[1].input) == {value, behind[0].output[0]}:  # SiLU
        return str(behind[1].output[0])
    return str(behind[0].output[0]) if len(behind) == 1 and kinds[0] in ACTIVATIONS | OTHERS else value


def _last_hidden(graph: onnx.GraphProto) -> str | None:
    """Return the name of what the last dense layer takes, walking back from the softmax.

    Where several networks or shifted images are averaged, the first softmax is that of the first network.
    """
    makers = {name: node for node in graph.node for name in node.output}
    softmax = makers.get("probabilities")
    if softmax is None or softmax.op_type != "Softmax":
        softmax = next((node for node in graph.node if node.op_type == "Softmax"), None)
    last = makers.get(softmax.input[0]) if softmax is not None else None
    if last is not None and last.op_type == "Add":  # the bias, where product and bias are two nodes
        last = next((makers[name] for name in last.input if name in makers), None)
    return last.input[0] if last is not None and last.op_type in ("Gemm", "MatMul") else None


def _users(nodes: Iterable[onnx.NodeProto]) -> dict[str, list[onnx.NodeProto]]:
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in nodes:
        for name in node.input:
            users.setdefault(name, []).append(node)
    return users
