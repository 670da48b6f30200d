"""``/openapi.json``: the description of each route, with examples."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from digit_recognizer.digits import SIDE
from digit_recognizer.service import reading_schemas, schemas
from digit_recognizer.service.schemas import JsonObject

SCHEMAS = "#/components/schemas/"
BODIES = (
    *(schemas.Picture, schemas.Images, schemas.OneImage, schemas.InferRequest, schemas.Correction),
    schemas.NumberCorrection,
)
FASTAPI_ERRORS = (
    "HTTPValidationError",
    "ValidationError",
)  # the service answers with `schemas.Error` instead

SALIENCY = "Return for each pixel how much the answer depends on it."

ERRORS = {
    400: "The request has the wrong form.",
    401: "The bearer token is missing or wrong.",
    404: "Not found.",
    408: "The request came too slowly.",
    413: "The request is too large.",
    415: "The request has an unsupported Content-Type or is compressed.",
    421: "The request names an unknown host.",
    422: "The picture is damaged, too large, in an unsupported format, or has no such page.",
    500: "Internal error.",
    503: "Too many requests, or the service is shutting down; retry later.",
    504: "The answer took too long.",
}
COMMON_ERRORS = (400, 401, 408, 413, 415, 421, 500, 503, 504)

ONE = [
    [255 if row in range(6, 22) and column in (13, 14) else 0 for column in range(SIDE)]
    for row in range(SIDE)
]
ONE_BASE64 = b64encode(bytes(pixel for row in ONE for pixel in row)).decode()
ONE_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg=="
PROBABILITIES = [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
BOX = {"x": 20, "y": 12, "width": 9, "height": 40}
DIGIT = {"digit": 1, "box": BOX, "probabilities": PROBABILITIES, "is_digit": 0.99, "confidence": 0.99}
CHARACTER = {
    "text": "1",
    "box": BOX,
    "probabilities": [*PROBABILITIES, *[0.0] * 7],
    "is_character": 0.99,
    "confidence": 0.99,
}
NUMBER = {
    "digits": [DIGIT],
    "text": "1",
    "value": "1",
    "confidence": 0.99,
    "sure": True,
    "box": BOX,
    "row": 1,
    "column": 1,
    "alternatives": [{"text": "7", "probability": 0.002}],
    "characters": [CHARACTER],
}
MAP_SIZE = {"height": 1, "width": 2, "channels": 1}
KERNEL_SIZE = {"height": 1, "width": 2, "inputs": 1, "outputs": 1}
FIELD = {"step": [1, 1], "start": [0, 0], "size": [1, 2]}
CONNECTION = {
    "input": "image",
    "weights": "Af8=",
    "weight_scales": [0.4],
    "bias": [0.1],
    "stride": [1, 1],
    "padding": [0, 0],
    "dilation": [1, 1],
    "groups": 1,
    "activation": "Relu",
    "field": FIELD,
}
LABELS = {"name": "labels", "datatype": "INT64"}

IMAGE_TYPES = (
    *("png", "jpeg", "webp", "bmp", "gif", "tiff", "jp2", "avif", "heic", "heif"),
    *("x-portable-bitmap", "x-portable-graymap", "x-portable-pixmap"),
)
BINARY = {"schema": {"type": "string", "format": "binary"}}
FORM = {"type": "object", "properties": {"picture": BINARY["schema"]}, "required": ["picture"]}


def _route(
    model: type[BaseModel] | None,
    example: JsonObject | None,
    *errors: int,
    body: JsonObject | None = None,
    status: int = 200,
) -> JsonObject:
    """Return FastAPI's arguments for a route: the answer, further errors, and the types of its body."""
    answer = {"model": model, "content": {"application/json": {"example": example}}} if model else {}
    responses = {
        status: {"description": "The answer.", **answer},
        **{each: {"model": schemas.Error, "description": ERRORS[each]} for each in (*COMMON_ERRORS, *errors)},
    }
    extra = {"requestBody": {"required": True, "content": body}} if body else None
    return {"status_code": status, "responses": responses, "openapi_extra": extra}


def _json(model: type[BaseModel], example: JsonObject) -> JsonObject:
    """Describe a JSON body; the routes parse it themselves, so `_document` adds its schema."""
    return {"application/json": {"schema": {"$ref": SCHEMAS + model.__name__}, "example": example}}


def _images(model: type[BaseModel]) -> JsonObject:
    return {**_json(model, {"images": [ONE]}), "application/octet-stream": BINARY}


PICTURE = {
    **{f"image/{name}": BINARY for name in IMAGE_TYPES},
    "application/pdf": BINARY,
    "multipart/form-data": {"schema": FORM},
    **_json(schemas.Picture, {"image": f"data:image/png;base64,{ONE_PIXEL}"}),
}
READ = _route(
    reading_schemas.ServiceReading,
    {
        "format": 1,
        "text": "1",
        "width": 64,
        "height": 64,
        "pages": 1,
        "lines": [{"numbers": [NUMBER]}],
        "rejected": [],
        "notes": [],
        "rotation": 0,
        "blank": False,
        "seconds": 0.004,
    },
    422,
    body=PICTURE,
)
PREDICT = _route(
    schemas.PredictionsAnswer,
    {"labels": [1], "probabilities": [PROBABILITIES], "is_digit": [0.99], "confidence": [1.0]},
    body=_images(schemas.Images),
)
EXPLAIN = _route(
    schemas.Explanation,
    {
        "label": 1,
        "probabilities": PROBABILITIES,
        "is_digit": 0.99,
        "layers": [
            {
                "name": "conv1",
                "kind": "convolution",
                **MAP_SIZE,
                "maps": "AP8=",
                "maximum": 1.7,
                "inputs": None,
            }
        ],
        "hidden": [0.0, 1.4],
        "saliency": None,
        "seconds": 0.002,
    },
    body=_images(schemas.OneImage),
)
FILTERS = _route(
    schemas.Filters,
    {
        "layers": [{"name": "conv1", **KERNEL_SIZE, "kernels": "Af8=", "scale": 0.4, **CONNECTION}],
        "last_layer": {"inputs": 2, "outputs": 1, "weights": "Af8=", "weight_scales": [0.3], "bias": [-0.1]},
    },
)
MODEL = _route(
    schemas.ModelCard,
    {
        "name": "digits",
        "version": "0.1.0",
        "source": "shipped",
        "knows_no_digit": True,
        "corrections": False,
        "limits": {"body_bytes": 20_000_000, "pixels": 150_000_000, "images": 1024},
    },
)
LIVE = _route(schemas.Live, {"live": True})
READY = _route(schemas.Ready, {"ready": True})
MODEL_READY = _route(schemas.ModelReady, {"name": "digits", "ready": True})
SERVER = _route(
    schemas.ServerCard,
    {"name": "digit-recognizer", "version": "0.1.0", "extensions": ["binary_tensor_data"]},
)
METADATA = _route(
    schemas.Metadata,
    {
        "name": "digits",
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "images", "datatype": "UINT8", "shape": [-1, SIDE, SIDE]}],
        "outputs": [{**LABELS, "shape": [-1]}],
    },
)
INFER = _route(
    schemas.InferAnswer,
    {"model_name": "digits", "model_version": "1", "outputs": [{**LABELS, "shape": [1], "data": [1]}]},
    body=_json(
        schemas.InferRequest,
        {
            "inputs": [{"name": "images", "shape": [1, SIDE, SIDE], "datatype": "UINT8", "data": [ONE]}],
            "outputs": [{"name": "labels"}],
        },
    ),
)
ADD_CORRECTION = _route(
    schemas.Kept,
    {"id": 17},
    404,
    415,
    body=_json(schemas.Correction, {"image": ONE_BASE64, "label": 1, "read_as": 7}),
    status=201,
)
ADD_NUMBER = _route(
    schemas.Kept,
    {"id": 17},
    404,
    415,
    body=_json(
        schemas.NumberCorrection,
        {"picture": ONE_PIXEL, "text": "1.5", "read_as": "1", "images": [ONE_BASE64]},
    ),
    status=201,
)
COUNT_CORRECTIONS = _route(schemas.Corrections, {"count": 17}, 404)
DELETE_CORRECTION = _route(None, None, 404, status=204)


def describe(app: FastAPI, *, with_token: bool) -> None:
    """Make an application describe its routes; the description is built when it is first requested."""

    def openapi() -> JsonObject:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, with_token=with_token)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _document(app: FastAPI, *, with_token: bool) -> JsonObject:
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    _, bodies = models_json_schema(
        [(each, "validation") for each in BODIES], ref_template=SCHEMAS + "{model}"
    )
    components: Any = document["components"]
    components["schemas"].update(bodies["$defs"])
    for name in FASTAPI_ERRORS:
        components["schemas"].pop(name, None)
    if with_token:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
    for path, methods in document["paths"].items():
        for operation in methods.values():
            if FASTAPI_ERRORS[0] in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
            if path.startswith("/v2/health/") and with_token:
                operation["security"] = []
    return document
