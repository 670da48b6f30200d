"""What OpenAPI says of each route: the forms of its request, its answers, and examples."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from digit_recognizer.digits import SIDE
from digit_recognizer.service import schemas

IMAGES = "Add to each digit its 28x28 pixels, in base64; and to what is none, what it would be."
SALIENCY = "Add where hiding the ink costs the most."

SENTENCES = {
    400: "The request is not what was expected.",
    401: "The bearer token is missing or wrong.",
    404: "There is no such thing.",
    408: "The request came too slowly.",
    413: "The request is too large.",
    415: "The request is of a type that is not taken here.",
    421: "The service was asked by a name that it does not know.",
    422: "The picture cannot be read, or is in a format that is not taken.",
    500: "The service made a mistake.",
    503: "The service is busy, or going away: come again.",
    504: "The answer took too long.",
}
ALWAYS = (400, 401, 408, 413, 415, 421, 500, 503, 504)

STROKE = range(6, 22)  # rows of an upright stroke, which is a 1
ONE = [[255 if row in STROKE and column in (13, 14) else 0 for column in range(SIDE)] for row in range(SIDE)]
PROBABILITIES = [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
BINARY = {"schema": {"type": "string", "format": "binary"}}
_CORRECTION = {
    "image": b64encode(bytes(pixel for row in ONE for pixel in row)).decode(),
    "label": 1,
    "read_as": 7,
}
DIGIT = {
    "digit": 1,
    "box": {"x": 20, "y": 12, "width": 9, "height": 40},
    "probabilities": PROBABILITIES,
    "is_digit": 0.99,
    "confidence": 0.99,
}


def errors(*further: int) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says of errors: those of every route, and further ones."""
    return {
        status: {"model": schemas.Error, "description": SENTENCES[status]} for status in (*ALWAYS, *further)
    }


def _route(
    model: Any, example: Any, *further: int, body: dict[str, Any] | None = None, status: int = 200
) -> dict[str, Any]:
    """Return what FastAPI is told of a route: its answer, its errors, and the forms of its body."""
    answer = {"model": model, "content": {"application/json": {"example": example}}} if model else {}
    extra = {"requestBody": {"required": True, "content": body}} if body else None
    responses = {status: {"description": "The answer.", **answer}, **errors(*further)}
    return {"status_code": status, "responses": responses, "openapi_extra": extra}


def _json(model: Any, example: Any) -> dict[str, Any]:
    """Return what OpenAPI says of a body of JSON; `openapi.describe` adds the schema itself."""
    return {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}, "example": example}


_FORM = {
    "schema": {
        "type": "object",
        "properties": {"picture": {"type": "string", "format": "binary"}},
        "required": ["picture"],
    }
}
_PICTURE = {
    **{f"image/{name}": BINARY for name in ("png", "jpeg", "webp", "bmp", "gif")},
    "multipart/form-data": _FORM,
}


def _images(model: Any) -> dict[str, Any]:
    return {"application/json": _json(model, {"images": [ONE]}), "application/octet-stream": BINARY}


READ = _route(
    schemas.ReadingAnswer,
    {
        "text": "1",
        "width": 64,
        "height": 64,
        "lines": [{"numbers": [{"digits": [DIGIT]}]}],
        "rejected": [],
        "blank": False,
        "seconds": 0.004,
    },
    422,
    body=_PICTURE,
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
                "height": 1,
                "width": 2,
                "channels": 1,
                "maps": "AP8=",
                "maximum": 1.7,
            }
        ],
        "saliency": None,
        "seconds": 0.002,
    },
    body=_images(schemas.OneImage),
)
FILTERS = _route(
    schemas.Filters,
    {
        "layers": [
            {
                "name": "conv1",
                "height": 1,
                "width": 2,
                "inputs": 1,
                "outputs": 1,
                "kernels": "Af8=",
                "scale": 0.4,
            }
        ]
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
        "limits": {"body_bytes": 5_000_000, "pixels": 25_000_000, "images": 1024},
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
        "outputs": [{"name": "labels", "datatype": "INT64", "shape": [-1]}],
    },
)
INFER = _route(
    schemas.InferAnswer,
    {
        "model_name": "digits",
        "model_version": "1",
        "outputs": [{"name": "labels", "datatype": "INT64", "shape": [1], "data": [1]}],
    },
    body={
        "application/json": _json(
            schemas.InferRequest,
            {
                "inputs": [{"name": "images", "shape": [1, SIDE, SIDE], "datatype": "UINT8", "data": [ONE]}],
                "outputs": [{"name": "labels"}],
            },
        )
    },
)
CORRECT = _route(
    schemas.Kept,
    {"id": 17},
    404,
    415,
    body={"application/json": _json(schemas.Correction, _CORRECTION)},
    status=201,
)
COUNT = _route(schemas.Corrections, {"count": 17}, 404)
UNDO = _route(None, None, 404, status=204)
