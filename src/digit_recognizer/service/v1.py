"""``/v1``: reads pictures; predicts and explains images of single digits."""

from __future__ import annotations

import sys
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query, Request
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.responses import Response

from digit_recognizer import __version__
from digit_recognizer.digits import PIXELS, SIDE
from digit_recognizer.errors import DigitsError
from digit_recognizer.reading import Allowed, Pattern, ReadingOptions, Values
from digit_recognizer.service import openapi, schemas
from digit_recognizer.service.errors import invalid_json, json_response
from digit_recognizer.service.model import MODEL_NAME, Model
from digit_recognizer.service.reading_schemas import ReadParameters
from digit_recognizer.service.settings import Settings

JSON, RAW, FORM = "application/json", "application/octet-stream", "multipart/form-data"
MAX_INLINE_BYTES = 100_000  # of JSON; more is parsed in a thread, so that other requests do not wait
IMAGES, ROWS = TypeAdapter(schemas.Images), TypeAdapter(schemas.Rows)


class _InMemoryParser(MultiPartParser):
    """Keeps uploads in memory: pictures are never written to disk."""

    spool_max_size = sys.maxsize


def add_routes(router: APIRouter, model: Model, settings: Settings) -> None:
    """Add the routes; the functions' names and docstrings are in OpenAPI."""

    async def read(request: Request, asked: Annotated[ReadParameters, Query()]) -> Response:
        """Read the numbers in a picture, in the formats of `digits read`."""
        options = _reading_options(asked)
        picture = await _picture(request)
        try:
            return json_response(
                await model.read(picture, asked.page, options, images=asked.images, upright=asked.upright)
            )
        except DigitsError as error:
            raise HTTPException(422, str(error)) from error

    async def predict(request: Request) -> Response:
        """Predict the digit in each image of 28x28 pixels."""
        found = await model.predict(await _images(request, model, settings.images))
        labels, probabilities, is_digit, confidence = zip(*found, strict=True)
        return json_response(
            {
                "labels": labels,
                "probabilities": probabilities,
                "is_digit": is_digit if model.has_is_digit else None,
                "confidence": confidence,
            }
        )

    async def explain(
        request: Request, saliency: bool = Query(True, description=openapi.SALIENCY)
    ) -> Response:
        """Return the feature maps and the saliency of one image of 28x28 pixels."""
        images = await _images(request, model, 1)
        return json_response(await model.explain(images[0], saliency=saliency))

    async def filters() -> Response:
        """Return the filters of all convolutions."""
        return json_response(await model.filters(), headers={"Cache-Control": "private, max-age=60"})

    async def card() -> Response:
        """Describe the model and the limits of a request."""
        limits = {"body_bytes": settings.body_bytes, "pixels": settings.pixels, "images": settings.images}
        return json_response(
            {
                "name": MODEL_NAME,
                "version": __version__,
                "source": "shipped" if model.is_shipped else "run",
                "knows_no_digit": model.has_is_digit,
                "corrections": settings.corrections,
                "limits": limits,
            }
        )

    router.add_api_route("/v1/read", read, methods=["POST"], **openapi.READ)
    router.add_api_route("/v1/predict", predict, methods=["POST"], **openapi.PREDICT)
    router.add_api_route("/v1/explain", explain, methods=["POST"], **openapi.EXPLAIN)
    router.add_api_route("/v1/filters", filters, methods=["GET"], **openapi.FILTERS)
    router.add_api_route("/v1/model", card, methods=["GET"], **openapi.MODEL)


def content_type(request: Request) -> str:
    """Return a request's media type without parameters; empty if it names none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _reading_options(asked: ReadParameters) -> ReadingOptions:
    """Return what numbers may be, and when they are sure."""
    given = [each for each in (asked.pattern, asked.digits, asked.value) if each is not None]
    if len(given) > 1:
        raise HTTPException(400, "pattern, digits and value say the same; send only one of them")
    allowed: Allowed | None = None
    try:
        if asked.value is not None:
            allowed = Values(asked.value)
        elif given:
            allowed = Pattern(asked.pattern if asked.pattern is not None else f"d{{{asked.digits}}}")
    except DigitsError as error:
        raise HTTPException(400, str(error)) from error
    return ReadingOptions(asked.decimal_mark, allowed, asked.threshold)


async def _picture(request: Request) -> bytes:
    """Return the picture in a request: the body, or a field of a form."""
    picture = await _form_field(request) if content_type(request) == FORM else await request.body()
    if not picture:
        raise HTTPException(
            400, "the request has no picture; send its bytes, or a form with a file 'picture'"
        )
    return picture


async def _form_field(request: Request) -> bytes:
    try:
        form = await _InMemoryParser(request.headers, request.stream(), max_files=1, max_fields=1).parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise HTTPException(400, "the form is damaged; expected one field 'picture' with a file") from error
    try:
        picture = form.get("picture")
        if not isinstance(picture, UploadFile):
            raise HTTPException(400, "the form has no file; expected one field 'picture' with a file")
        return await picture.read()
    finally:
        await form.close()


async def _images(request: Request, model: Model, max_images: int) -> NDArray[np.uint8]:
    """Return the images in a request: uint8 (N, 28, 28), N from 1 to `max_images`."""
    body, kind = await request.body(), content_type(request)
    if kind == RAW:
        images = _raw_images(body)
    elif kind == JSON:
        images = _json_images(body) if len(body) < MAX_INLINE_BYTES else await model.run(_json_images, body)
    else:
        raise HTTPException(415, f"expected {JSON} or {RAW}, got {kind or 'no Content-Type'}")
    if len(images) > max_images:
        status = 413 if max_images > 1 else 400
        raise HTTPException(status, f"expected at most {max_images} images, got {len(images)}")
    return images


def _raw_images(body: bytes) -> NDArray[np.uint8]:
    if not body or len(body) % PIXELS:
        raise HTTPException(400, f"expected {PIXELS} bytes for each image, got {len(body)} bytes in all")
    return np.frombuffer(body, np.uint8).reshape(-1, SIDE, SIDE)


def _json_images(body: bytes) -> NDArray[np.uint8]:
    """Parse images; `bytes` refuses pixels out of range faster than pydantic does."""
    try:
        images = ROWS.validate_json(body).images
        content = b"".join([bytes(row) for image in images for row in image])
    except ValueError:
        raise _error_in_images(body) from None
    return np.frombuffer(content, np.uint8).reshape(-1, SIDE, SIDE)


def _error_in_images(body: bytes) -> HTTPException:
    """Return what is wrong with images that were refused; only now is each pixel's range validated."""
    try:
        IMAGES.validate_json(body)
    except ValidationError as error:
        return invalid_json(error)
    raise AssertionError("refused images must have an error")
