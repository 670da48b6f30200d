"""Exports a trained network as ``model.onnx``, and checks the file against the network.

The model maps the uint8 images of `Digits` to probabilities. Scaling and softmax are part of it, so every
program that runs it computes them the same way.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from digit_recognizer import __version__
from digit_recognizer.digits import CLASSES
from digit_recognizer.errors import DigitsError, first_line
from digit_recognizer.files import replacing
from digit_recognizer.networks.onnx_graph import can_be_written, write_graph
from digit_recognizer.networks.predictor import Predictor, split_outputs
from digit_recognizer.runs.run_folder import FORMAT
from digit_recognizer.runs.split import Rows, pack_rows

OUTPUTS = ("probabilities", "is_digit")  # the second only with a non-digit class
TRACED_OPSET = 17  # the latest that torch 2.4 writes
MANY_WEIGHTS = 30_000_000  # take two seconds to write, 93 million five
TOLERANCE = 1e-4  # of a probability, between torch and ONNX Runtime in float32


def is_slow_to_export(predictor: Predictor) -> bool:
    """Return whether `export_onnx` takes more than two seconds."""
    weights = sum(each.numel() for each in predictor.parameters())
    return weights > MANY_WEIGHTS or not can_be_written(predictor.network)


def export_onnx(
    predictor: Predictor,
    target: Path,
    probe: NDArray[np.uint8],
    name: str,
    *,
    trained_on: str | None = None,
    image_count: int = 0,
    held_out: int = 0,
    evaluation_rows: Rows | None = None,
) -> None:
    """Write a predictor as ONNX, completely or not at all.

    Raises `DigitsError` if torch cannot export the network, if the file disagrees with the network on the
    images `probe` (N, 28, 28), or if it cannot be written. The name of the recipe, the checksum of the
    digits, their number, that of held-out images and the rows to evaluate the model on become metadata.
    """
    predictor = predictor.eval()
    images = torch.from_numpy(probe)
    with torch.inference_mode():
        outputs = split_outputs(predictor(images))[: _count_outputs(predictor)]
    expected = [output.numpy() for output in outputs]
    proto = write_graph(predictor) if can_be_written(predictor.network) else _by_torch(predictor, images)
    metadata = {"format": str(FORMAT), "recipe": name, "version": __version__}
    if trained_on is not None:
        metadata |= {"trained_on": trained_on, "images": str(image_count), "held_out": str(held_out)}
    if evaluation_rows is not None and len(evaluation_rows):
        metadata["evaluation_rows"] = pack_rows(evaluation_rows)
    onnx.helper.set_model_props(proto, metadata)
    write_checked(proto, {"images": probe}, expected, target)


def write_checked(
    proto: onnx.ModelProto,
    inputs: dict[str, NDArray[np.uint8]],
    expected: Sequence[NDArray[np.float32]],
    target: Path,
) -> None:
    """Write a model, or raise `DigitsError` if its outputs in ONNX Runtime are not as expected."""
    serialised = proto.SerializeToString()
    session = onnxruntime.InferenceSession(serialised, providers=["CPUExecutionProvider"])
    found = session.run(None, inputs)
    differences = [
        np.abs(one - other).max(initial=0) if one.shape == other.shape else np.inf
        for one, other in zip(found, expected, strict=True)
    ]
    difference = float(np.max(differences))
    if not difference <= TOLERANCE:  # also if it is NaN
        raise DigitsError(f"{target} would differ from the network by {difference:.2g} in a probability")
    with replacing(target) as path:
        path.write_bytes(serialised)


class SplitOutputs(nn.Module):
    """A predictor of eleven classes that returns digit probabilities (N, 10) and P(digit) (N,)."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.predictor = predictor

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return what `split_outputs` returns for uint8 images (N, 28, 28)."""
        return split_outputs(self.predictor(images))


def _by_torch(predictor: Predictor, images: Tensor) -> onnx.ModelProto:
    """Export a predictor whose network a user's function built."""
    batch = torch.export.Dim("images", min=1, max=2**20)
    example = images[:2] if len(images) > 1 else images.repeat(2, 1, 1)  # one image would fix the batch size
    count = _count_outputs(predictor)
    network = SplitOutputs(predictor) if count > 1 else predictor
    try:
        return to_onnx(network, example, {"images": {0: batch}}, OUTPUTS[:count])
    except Exception as error:  # the exporter passes on whatever the network raises
        raise DigitsError(f"this network cannot be written as ONNX: {first_line(error)}") from error


def _count_outputs(predictor: Predictor) -> int:
    return 1 + (predictor.outputs > CLASSES)


def to_onnx(
    network: nn.Module, example: Tensor, inputs: dict[str, dict[int, Any]], outputs: Sequence[str]
) -> onnx.ModelProto:
    """Return a network with one input, given by its name and dynamic axes, as torch exports it."""
    with _quiet():
        if signature(torch.onnx.export).parameters["dynamo"].default:
            program = torch.onnx.export(
                network,
                (example,),
                input_names=list(inputs),
                output_names=outputs,
                dynamic_shapes=tuple(inputs.values()),
                external_data=False,
                verbose=False,
            )
            proto = program.model_proto  # type: ignore[union-attr]
        else:  # before torch 2.9
            proto = _trace(network, example, inputs, outputs)
    for part in (proto.graph, *proto.graph.node, *proto.graph.value_info, *proto.graph.initializer):
        del part.metadata_props[:]  # paths and line numbers of the user's source files
        part.doc_string = ""
    return proto


def _trace(
    network: nn.Module, example: Tensor, inputs: dict[str, dict[int, Any]], outputs: Sequence[str]
) -> onnx.ModelProto:
    """Export by tracing, simplified as by newer torch; raise if the trace depends on the example."""
    from onnxscript import optimizer

    warnings.simplefilter("error", torch.jit.TracerWarning)  # type: ignore[attr-defined]
    axes = {name: {axis: dim.__name__ for axis, dim in dims.items()} for name, dims in inputs.items()}
    batch = next(iter(axes.values()))[0]
    file = io.BytesIO()
    torch.onnx.export(
        network,
        (example,),
        file,  # type: ignore[arg-type]
        input_names=list(inputs),
        output_names=list(outputs),
        dynamic_axes=axes | {name: {0: batch} for name in outputs},
        opset_version=TRACED_OPSET,
    )
    return optimizer.optimize(onnx.load_from_string(file.getvalue()))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the exporter's progress, advice and deprecation warnings."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    output = io.StringIO()
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(output),
    ):
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)
