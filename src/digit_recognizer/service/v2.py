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
from starlette.exceptions import HTTPException
from starlette.responses import Response

from digit_recognizer import __version__
from digit_recognizer.digits import CLASSES, INK, PIXELS, SIDE
from digit_recognizer.service import openapi, schemas
from digit_recognizer.service.errors import invalid_json, json_response
from digit_recognizer.service.limits import SHUTTING_DOWN, State
from digit_recognizer.service.model import MODEL_NAME, Answer, Model
from digit_recognizer.service.schemas import JsonObject
from digit_recognizer.service.settings import Settings

MODEL_VERSION = "1"  # as the protocol counts them
JSON_LENGTH_HEADER = "Inference-Header-Content-Length"  # bytes of JSON before the binary tensors
INPUT = "images"
INFER_REQUEST = TypeAdapter(schemas.InferRequest)


@dataclass(frozen=True, slots=True)
class _Output:
    """An output tensor of the model."""

    field: str  # of an `Answer`
    datatype: str  # the protocol's name
    dtype: str  # in binary
    shape: tuple[int, ...]  # for one image


OUTPUTS = {
    "probabilities": _Output("probabilities", "FP32", "<f4", (CLASSES,)),
    "is_digit": _Output("is_digit", "FP32", "<f4", ()),
    "labels": _Output("label", "INT64", "<i8", ()),
}


def add_routes(router: APIRouter, model: Model, settings: Settings, state: State) -> None:
    """Add health, metadata and inference; the functions' names and docstrings are in OpenAPI."""
    outputs = {name: each for name, each in OUTPUTS.items() if name != "is_digit" or model.has_is_digit}

    async def live() -> Response:
        """Report that the service is running."""
        return json_response({"live": True})

    async def ready() -> Response:
        """Report whether the service accepts requests."""
        _check_ready(state)
        return json_response({"ready": True})

    async def server() -> Response:
        """Return the name and version of the service."""
        extensions = ["binary_tensor_data"]
        return json_response({"name": "digit-recognizer", "version": __version__, "extensions": extensions})

    async def metadata() -> Response:
        """Describe the model's input and output tensors."""
        return json_response(_metadata(outputs))

    async def model_ready() -> Response:
        """Report whether the model accepts requests."""
        _check_ready(state)
        return json_response({"name": MODEL_NAME, "ready": True})

    async def infer(request: Request) -> Response:
        """Predict the digit in each image of 28x28 pixels."""
        asked, binary = _split(await request.body(), request.headers.get(JSON_LENGTH_HEADER))
        selected = _selected_outputs(asked, outputs)
        answers = await model.predict(_images(asked, binary, settings.images))
        return _response(asked, answers, outputs, selected)

    router.add_api_route("/v2/health/live", live, methods=["GET"], **openapi.LIVE)
    router.add_api_route("/v2/health/ready", ready, methods=["GET"], **openapi.READY)
    router.add_api_route("/v2", server, methods=["GET"], **openapi.SERVER)
    for path in (f"/v2/models/{MODEL_NAME}", f"/v2/models/{MODEL_NAME}/versions/{MODEL_VERSION}"):
        router.add_api_route(path, metadata, methods=["GET"], **openapi.METADATA)
        router.add_api_route(f"{path}/ready", model_ready, methods=["GET"], **openapi.MODEL_READY)
        router.add_api_route(f"{path}/infer", infer, methods=["POST"], **openapi.INFER)


def _check_ready(state: State) -> None:
    if state.draining:
        raise HTTPException(503, SHUTTING_DOWN)


def _metadata(outputs: dict[str, _Output]) -> JsonObject:
    return {
        "name": MODEL_NAME,
        "versions": [MODEL_VERSION],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": INPUT, "datatype": "UINT8", "shape": [-1, SIDE, SIDE]}],
        "outputs": [
            {"name": name, "datatype": each.datatype, "shape": [-1, *each.shape]}
            for name, each in outputs.items()
        ],
    }


def _split(body: bytes, json_length: str | None) -> tuple[schemas.InferRequest, bytes]:
    """Return the parsed JSON of a body, and the bytes of tensors after it."""
    end = len(body)
    if json_length is not None:
        if not (json_length.isascii() and json_length.isdecimal() and int(json_length) <= len(body)):
            expected = f"expected a number up to {len(body)}, the length of the body"
            raise HTTPException(400, f"{JSON_LENGTH_HEADER}: {expected}; got {json_length!r}")
        end = int(json_length)
    try:
        return INFER_REQUEST.validate_json(body[:end]), body[end:]
    except ValidationError as error:
        raise invalid_json(error) from error


def _selected_outputs(asked: schemas.InferRequest, outputs: dict[str, _Output]) -> dict[str, bool]:
    """Return the names of the requested outputs, and whether each is to be binary."""
    binary = asked.parameters.get("binary_data_output") is True
    if not asked.outputs:
        return dict.fromkeys(outputs, binary)
    unknown = [each.name for each in asked.outputs if each.name not in outputs]
    if unknown:
        raise HTTPException(400, f"unknown output {unknown[0]!r}: expected {', '.join(outputs)}")
    return {each.name: each.parameters.get("binary_data", binary) is True for each in asked.outputs}


def _images(asked: schemas.InferRequest, binary: bytes, max_images: int) -> NDArray[np.uint8]:
    """Return the images in a request: uint8 (N, 28, 28)."""
    (tensor,) = asked.inputs
    count = tensor.shape[0]
    if tensor.name != INPUT or tensor.datatype != "UINT8" or tensor.shape != [count, SIDE, SIDE]:
        found = f"{tensor.datatype} {tensor.name!r} {tensor.shape}"
        raise HTTPException(400, f"expected UINT8 {INPUT!r} [N, {SIDE}, {SIDE}], got {found}")
    if not 1 <= count <= max_images:
        raise HTTPException(
            413 if count > max_images else 400, f"expected 1 to {max_images} images, got {count}"
        )
    size = tensor.parameters.get("binary_data_size")
    if (tensor.data is None) == (size is None):
        raise HTTPException(400, "expected either 'data' or the parameter 'binary_data_size'")
    values = _json_values(tensor.data) if size is None else _binary_values(binary, size)
    if len(values) != count * PIXELS:
        raise HTTPException(400, f"expected {count * PIXELS} values, got {len(values)}")
    return values.reshape(-1, SIDE, SIDE)


def _json_values(data: Any) -> NDArray[np.uint8]:
    """Flatten nested lists of pixels."""
    try:
        values = np.array(data)
    except (ValueError, OverflowError):  # lists of different lengths, or integers beyond 64 bits
        values = np.array(None)
    if values.dtype.kind not in "iu" or values.min() < 0 or values.max() > INK:
        raise HTTPException(400, f"expected integers from 0 to {INK}, in lists of the tensor's shape")
    return values.astype(np.uint8).reshape(-1)


def _binary_values(binary: bytes, size: Any) -> NDArray[np.uint8]:
    if size != len(binary):
        raise HTTPException(
            400, f"binary_data_size: expected {len(binary)}, the bytes after the JSON; got {size}"
        )
    return np.frombuffer(binary, np.uint8)


def _response(
    asked: schemas.InferRequest,
    answers: list[Answer],
    outputs: dict[str, _Output],
    selected: dict[str, bool],
) -> Response:
    tensors, buffers = [], []
    for name, binary in selected.items():
        output = outputs[name]
        values = [getattr(answer, output.field) for answer in answers]
        shape = [len(answers), *output.shape]
        tensor: JsonObject = {"name": name, "datatype": output.datatype, "shape": shape}
        if binary:
            buffers.append(np.array(values, output.dtype).tobytes())
            tensor["parameters"] = {"binary_data_size": len(buffers[-1])}
        else:
            tensor["data"] = list(chain.from_iterable(values)) if output.shape else values
        tensors.append(tensor)
    answer: JsonObject = {"model_name": MODEL_NAME, "model_version": MODEL_VERSION, "outputs": tensors}
    if asked.id is not None:
        answer["id"] = asked.id
    if not buffers:
        return json_response(answer)
    header = to_json(answer)
    headers = {JSON_LENGTH_HEADER: str(len(header))}
    return Response(b"".join([header, *buffers]), 200, headers, "application/octet-stream")
