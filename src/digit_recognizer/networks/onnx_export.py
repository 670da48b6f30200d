"""Weights ► ``model.onnx``, compared with the network before it is trusted.

The model takes the uint8 images as `Digits` holds them and gives probabilities: scaling and softmax are in
it, so that no reader can do them differently.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
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

TOLERANCE = 1e-4  # of a probability, between torch and ONNX Runtime in float32


def export_onnx(
    predictor: Predictor,
    target: Path,
    probe: NDArray[np.uint8],
    name: str,
    *,
    trained_on: str | None = None,
    held_out: int = 0,
) -> None:
    """Write a predictor as ONNX.

    Parameters
    ----------
    predictor
        The network with what belongs to it.
    target
        The file to write, whole or not at all.
    probe
        uint8, shape (N, 28, 28), N at least 1: images on which the file must agree with the network.
    name
        The recipe's, for the file's metadata.
    trained_on, held_out
        For these too: the checksum of the digits, and how many of them did not serve for training.

    Raises
    ------
    DigitsError
        torch cannot write the network as ONNX, the file differs from the network by more than 1e-4 in a
        probability, or it cannot be written.
    """
    predictor = predictor.eval()
    images = torch.from_numpy(probe)
    with torch.inference_mode():
        outputs = split_outputs(predictor(images))[: _count_outputs(predictor)]
    expected = [output.numpy() for output in outputs]
    proto = write_graph(predictor) if can_be_written(predictor.network) else _by_torch(predictor, images)
    metadata = {"format": str(FORMAT), "recipe": name, "version": __version__}
    if trained_on is not None:
        metadata |= {"trained_on": trained_on, "held_out": str(held_out)}
    onnx.helper.set_model_props(proto, metadata)
    write_checked(proto, {"images": probe}, expected, target)


def write_checked(
    proto: onnx.ModelProto,
    inputs: dict[str, NDArray[np.uint8]],
    expected: Sequence[NDArray[np.float32]],
    target: Path,
) -> None:
    """Write a model if ONNX Runtime makes of the inputs what torch does: `expected`, an array an output.

    Raises
    ------
    DigitsError
        A probability differs by more than 1e-4, or the file cannot be written.
    """
    serialised = proto.SerializeToString()
    session = onnxruntime.InferenceSession(serialised, providers=["CPUExecutionProvider"])
    found = session.run(None, inputs)
    difference = float(
        np.max([np.abs(one - other).max() for one, other in zip(found, expected, strict=True)])
    )
    if not difference <= TOLERANCE:
        raise DigitsError(f"{target} would differ from the network by {difference:.2g} in a probability")
    with replacing(target) as path:
        path.write_bytes(serialised)


class _Parted(nn.Module):
    """A predictor of eleven classes that tells which digit from whether there is one."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.predictor = predictor

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return split_outputs(self.predictor(images))


def _by_torch(predictor: Predictor, images: Tensor) -> onnx.ModelProto:
    """Return a predictor around a user's own function as an ONNX model."""
    batch = torch.export.Dim("images", min=1, max=2**20)
    example = images[:2] if len(images) > 1 else images.repeat(2, 1, 1)  # one alone would fix the batch size
    count = _count_outputs(predictor)
    network = _Parted(predictor) if count > 1 else predictor
    try:
        return to_onnx(network, example, {"images": {0: batch}}, ["probabilities", "is_digit"][:count])
    except Exception as error:  # the exporter raises whatever it meets in the network
        raise DigitsError(f"this network cannot be written as ONNX: {first_line(error)}") from error


def _count_outputs(predictor: Predictor) -> int:
    """Return 1, or 2 where a predictor says whether there is a digit."""
    return 1 + (predictor.outputs > CLASSES)


def to_onnx(
    network: nn.Module, example: Tensor, inputs: dict[str, dict[int, Any]], outputs: list[str]
) -> onnx.ModelProto:
    """Return a network of one input, whose name and dynamic axes are given, as torch writes it in ONNX.

    Where in somebody's files its nodes come from is left out.
    """
    with _quiet():
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
    for part in (proto.graph, *proto.graph.node, *proto.graph.value_info, *proto.graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    return proto


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress, its advice and its deprecation warnings to itself."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    nowhere = io.StringIO()
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)
