"""``/v1``: reads pictures; predicts and explains images of single digits."""

from __future__ import annotations

import re
import sys
from base64 import b64decode
from typing import Annotated
from urllib.parse import unquote_to_bytes

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
PICTURE = TypeAdapter(schemas.Picture)
MAX_PARTS = 100  # files of a form, and as many other fields
DATA_URL = re.compile(r"\s*data:[^,]*,", re.IGNORECASE)


class _InMemoryParser(MultiPartParser):
    """Keeps uploads in memory: pictures are never written to disk."""

    spool_max_size = sys.maxsize


def add_routes(router: APIRouter, model: Model, settings: Settings) -> None:
    """Add the routes; the functions' names and docstrings are in OpenAPI."""

    async def read(request: Request, asked: Annotated[ReadParameters, Query()]) -> Response:
        """Read the numbers in a picture, in the formats of `digits read`."""
        options = _reading_options(asked)
        picture = await _picture(request, model)
        try:
            return json_response(await model.read(picture, asked, options))
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


async def _picture(request: Request, model: Model) -> bytes:
    """Return the picture in a request: the body, a file of a form, or a text in JSON."""
    kind = content_type(request)
    picture = await _file_of_form(request) if kind == FORM else await request.body()
    if kind != FORM and _is_json(picture, kind):
        picture = await model.run(_json_picture, picture)
    if not picture:
        raise HTTPException(
            400, "the request has no picture; send its bytes, or a form with a file 'picture'"
        )
    return picture


async def _file_of_form(request: Request) -> bytes:
    """Return the file 'picture' of a form, or its only file, whatever its name."""
    limits = {"max_files": MAX_PARTS, "max_fields": MAX_PARTS}
    try:
        form = await _InMemoryParser(request.headers, request.stream(), **limits).parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise HTTPException(400, "the form is damaged; expected one field 'picture' with a file") from error
    try:
        files = [(name, each) for name, each in form.multi_items() if isinstance(each, UploadFile)]
        chosen = [each for name, each in files if name == "picture"] or [each for _, each in files]
        if not chosen:
            raise HTTPException(400, "the form has no file; expected one field 'picture' with a file")
        if len(chosen) > 1:
            raise HTTPException(400, f"the form has {len(chosen)} files; send one for each request")
        return await chosen[0].read()
    finally:
        await form.close()


def _is_json(body: bytes, kind: str) -> bool:
    """Return whether a body is JSON: no picture starts with a brace, and some clients name no type."""
    first = body[:100].lstrip()[:1]
    return first == b"{" or (kind == JSON and first in (b"[", b'"'))


def _json_picture(body: bytes) -> bytes:
    """Return the picture in JSON: base64, with or without padding and line breaks, or a data URL."""
    try:
        text = PICTURE.validate_json(body).image
    except ValidationError as error:
        raise invalid_json(error) from error
    head = DATA_URL.match(text)
    content = unquote_to_bytes(text[head.end() :] if head else text)
    if head and ";base64" not in head[0].lower():
        return content
    letters = b"".join(content.split()).translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    try:
        return b64decode(letters + b"=" * (-len(letters) % 4), validate=True)
    except ValueError as error:
        expected = "expected base64, or a data URL such as data:image/png;base64,…"
        raise HTTPException(400, f"image: {str(error)[:1].lower()}{str(error)[1:]}; {expected}") from error


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
