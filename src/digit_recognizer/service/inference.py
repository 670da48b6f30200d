"""``/v2``: the Open Inference Protocol, in JSON and with its extension for binary tensors.

References
----------
https://github.com/kserve/open-inference-protocol, "HTTP/REST"; the extension: Triton Inference Server,
"Binary tensor data extension".
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json
from starlette.responses import Response

from digit_recognizer.digits import CLASSES, INK, PIXELS, SIDE
from digit_recognizer.service import examples, schemas
from digit_recognizer.service.errors import Refusal, described, json_response
from digit_recognizer.service.model import NAME, Answer, Model
from digit_recognizer.service.settings import Settings
from digit_recognizer.service.state import State

VERSION = "1"  # of the model, as the protocol counts them
HEADER = "Inference-Header-Content-Length"  # bytes of JSON before the tensors
INPUT = "images"
ASK = TypeAdapter(schemas.InferRequest)


@dataclass(frozen=True, slots=True)
class _Output:
    """A tensor that the model gives."""

    datatype: str
    dtype: str  # as the bytes of the binary extension have it
    shape: tuple[int, ...]  # of each image's

    field: str  # of an `Answer`

    def of(self, answers: list[Answer]) -> list[Any]:
        return [getattr(answer, self.field) for answer in answers]


OUTPUTS = {
    "probabilities": _Output("FP32", "<f4", (CLASSES,), "probabilities"),
    "is_digit": _Output("FP32", "<f4", (), "is_digit"),
    "labels": _Output("INT64", "<i8", (), "label"),
}


def add_routes(router: APIRouter, model: Model, settings: Settings, state: State) -> None:
    """Add health, metadata and inference."""
    outputs = {name: each for name, each in OUTPUTS.items() if name != "is_digit" or model.knows_no_digit}

    async def live() -> Response:
        """Say that the service runs."""
        return json_response({"live": True})

    async def ready() -> Response:
        """Say whether the service takes requests."""
        _check_ready(state)
        return json_response({"ready": True})

    async def server() -> Response:
        """Say what the service is."""
        extensions = ["binary_tensor_data"]
        return json_response({"name": "digit-recognizer", "version": model.version, "extensions": extensions})

    async def metadata() -> Response:
        """Say which tensors the model takes and gives."""
        return json_response(_metadata(outputs))

    async def model_ready() -> Response:
        """Say whether the model takes requests."""
        _check_ready(state)
        return json_response({"name": NAME, "ready": True})

    async def infer(request: Request) -> Response:
        """Recognise images of 28x28 pixels."""
        ask, binary = _split(await request.body(), request.headers.get(HEADER))
        wanted = _wanted(ask, outputs)
        answers = await model.predict(_images(ask, binary, settings.images))
        return _response(ask, answers, outputs, wanted)

    router.add_api_route("/v2/health/live", live, methods=["GET"], **examples.LIVE)
    router.add_api_route("/v2/health/ready", ready, methods=["GET"], **examples.READY)
    router.add_api_route("/v2", server, methods=["GET"], **examples.SERVER)
    for path in (f"/v2/models/{NAME}", f"/v2/models/{NAME}/versions/{VERSION}"):
        router.add_api_route(path, metadata, methods=["GET"], **examples.METADATA)
        router.add_api_route(f"{path}/ready", model_ready, methods=["GET"], **examples.MODEL_READY)
        router.add_api_route(f"{path}/infer", infer, methods=["POST"], **examples.INFER)


def _check_ready(state: State) -> None:
    if state.draining:
        raise Refusal(503, "the service is going away")


def _metadata(outputs: dict[str, _Output]) -> dict[str, Any]:
    return {
        "name": NAME,
        "versions": [VERSION],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": INPUT, "datatype": "UINT8", "shape": [-1, SIDE, SIDE]}],
        "outputs": [
            {"name": name, "datatype": each.datatype, "shape": [-1, *each.shape]}
            for name, each in outputs.items()
        ],
    }


def _split(body: bytes, length: str | None) -> tuple[schemas.InferRequest, bytes]:
    """Return what is asked, and the bytes of tensors behind it."""
    if length is not None and not (length.isascii() and length.isdecimal() and int(length) <= len(body)):
        raise Refusal(400, f"{HEADER} is {length!r}: expected at most the {len(body)} bytes of the body")
    behind = len(body) if length is None else int(length)
    try:
        return ASK.validate_json(body[:behind]), body[behind:]
    except ValidationError as error:
        raise Refusal(400, described(error)) from error


def _wanted(ask: schemas.InferRequest, outputs: dict[str, _Output]) -> dict[str, bool]:
    """Return the names of the tensors that are asked for, and whether each is to be binary."""
    binary = ask.parameters.get("binary_data_output") is True
    if not ask.outputs:
        return dict.fromkeys(outputs, binary)
    unknown = [each.name for each in ask.outputs if each.name not in outputs]
    if unknown:
        raise Refusal(400, f"there is no output {unknown[0]!r}: expected {', '.join(outputs)}")
    return {each.name: each.parameters.get("binary_data", binary) is True for each in ask.outputs}


def _images(ask: schemas.InferRequest, binary: bytes, most: int) -> NDArray[np.uint8]:
    """Return the images of a request: uint8 (N, 28, 28)."""
    (tensor,) = ask.inputs
    count = tensor.shape[0]
    if tensor.name != INPUT or tensor.datatype != "UINT8" or tensor.shape != [count, SIDE, SIDE]:
        found = f"{tensor.datatype} {tensor.name!r} {tensor.shape}"
        raise Refusal(400, f"expected UINT8 {INPUT!r} [N, {SIDE}, {SIDE}], got {found}")
    if not 1 <= count <= most:
        raise Refusal(413 if count > most else 400, f"expected 1 to {most} images, got {count}")
    size = tensor.parameters.get("binary_data_size")
    if (tensor.data is None) == (size is None):
        raise Refusal(400, "expected either 'data' or the parameter 'binary_data_size'")
    values = _flat(tensor.data) if size is None else _bytes(binary, size)
    if len(values) != count * PIXELS:
        raise Refusal(400, f"expected {count * PIXELS} values, got {len(values)}")
    return values.reshape(-1, SIDE, SIDE)


def _flat(data: Any) -> NDArray[np.uint8]:
    """Return numbers, in lists or in lists of lists, one behind the other."""
    try:
        values = np.array(data)
    except (ValueError, OverflowError):  # lists of different lengths
        values = np.array(None)
    if values.dtype.kind not in "iu" or values.min() < 0 or values.max() > INK:
        raise Refusal(400, f"expected whole numbers from 0 to {INK}, in lists of the tensor's shape")
    return values.astype(np.uint8).reshape(-1)


def _bytes(binary: bytes, size: Any) -> NDArray[np.uint8]:
    if size != len(binary):
        raise Refusal(400, f"expected binary_data_size {len(binary)}, as many bytes as there are; got {size}")
    return np.frombuffer(binary, np.uint8)


def _response(
    ask: schemas.InferRequest, answers: list[Answer], outputs: dict[str, _Output], wanted: dict[str, bool]
) -> Response:
    described_outputs, tensors = [], []
    for name, binary in wanted.items():
        output = outputs[name]
        values = output.of(answers)
        shape = [len(answers), *output.shape]
        tensor: dict[str, Any] = {"name": name, "datatype": output.datatype, "shape": shape}
        if binary:
            tensors.append(np.array(values, output.dtype).tobytes())
            tensor["parameters"] = {"binary_data_size": len(tensors[-1])}
        else:
            tensor["data"] = list(chain.from_iterable(values)) if output.shape else values
        described_outputs.append(tensor)
    answer: dict[str, Any] = {"model_name": NAME, "model_version": VERSION, "outputs": described_outputs}
    if ask.id is not None:
        answer["id"] = ask.id
    if not tensors:
        return json_response(answer)
    header = to_json(answer)
    length = {HEADER: str(len(header))}
    return Response(b"".join([header, *tensors]), 200, length, "application/octet-stream")
