"""``/v1``: pictures and images in, readings, predictions and explanations out."""

from __future__ import annotations

import sys

import numpy as np
from fastapi import APIRouter, Query, Request
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.responses import Response

from digit_recognizer.digits import PIXELS, SIDE
from digit_recognizer.errors import DigitsError
from digit_recognizer.service import examples, schemas
from digit_recognizer.service.errors import Refusal, described, json_response
from digit_recognizer.service.model import NAME, Model
from digit_recognizer.service.settings import Settings

JSON, RAW, FORM = "application/json", "application/octet-stream", "multipart/form-data"
LARGE = 100_000  # bytes of JSON, which take longer to parse than others should wait
IMAGES, ROWS = TypeAdapter(schemas.Images), TypeAdapter(schemas.Rows)


class _InMemory(MultiPartParser):
    """A parser of forms that writes no picture to the disk."""

    spool_max_size = sys.maxsize


def add_routes(router: APIRouter, model: Model, settings: Settings) -> None:
    """Add ``/v1/read``, ``/v1/predict``, ``/v1/explain``, ``/v1/filters`` and ``/v1/model``."""

    async def read(request: Request, images: bool = Query(False, description=examples.IMAGES)) -> Response:
        """Read the numbers in a picture: PNG, JPEG, WebP, BMP, or the first frame of a GIF."""
        picture = await _picture(request)
        try:
            return json_response(await model.read(picture, images=images))
        except DigitsError as error:
            raise Refusal(422, str(error)) from error

    async def predict(request: Request) -> Response:
        """Say which digit each image of 28x28 pixels shows."""
        found = await model.predict(await _images(request, model, settings.images))
        labels, probabilities, is_digit, confidence = zip(*found, strict=True)
        return json_response(
            {
                "labels": labels,
                "probabilities": probabilities,
                "is_digit": is_digit if model.knows_no_digit else None,
                "confidence": confidence,
            }
        )

    async def explain(
        request: Request, saliency: bool = Query(True, description=examples.SALIENCY)
    ) -> Response:
        """Show what goes on in the network when it sees one image of 28x28 pixels."""
        images = await _images(request, model, 1)
        return json_response(await model.explain(images[0], saliency=saliency))

    async def filters() -> Response:
        """Return the filters of every convolution."""
        return json_response(await model.filters(), headers={"Cache-Control": "private, max-age=60"})

    async def card() -> Response:
        """Say which model is served, and what a request may hold."""
        limits = {"body_bytes": settings.body_bytes, "pixels": settings.pixels, "images": settings.images}
        return json_response(
            {
                "name": NAME,
                "version": model.version,
                "source": "shipped" if model.shipped else "run",
                "knows_no_digit": model.knows_no_digit,
                "corrections": settings.corrections,
                "limits": limits,
            }
        )

    router.add_api_route("/v1/read", read, methods=["POST"], **examples.READ)
    router.add_api_route("/v1/predict", predict, methods=["POST"], **examples.PREDICT)
    router.add_api_route("/v1/explain", explain, methods=["POST"], **examples.EXPLAIN)
    router.add_api_route("/v1/filters", filters, methods=["GET"], **examples.FILTERS)
    router.add_api_route("/v1/model", card, methods=["GET"], **examples.MODEL)


def content_type(request: Request) -> str:
    """Return a request's media type, without what follows it; empty if it names none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _picture(request: Request) -> bytes:
    """Return the bytes of the picture that a request holds, raw or as a field of a form."""
    picture = await _field(request) if content_type(request) == FORM else await request.body()
    if not picture:
        raise Refusal(400, "the request holds no picture: send the bytes of one, or a form with one")
    return picture


async def _field(request: Request) -> bytes:
    try:
        form = await _InMemory(request.headers, request.stream(), max_files=1, max_fields=1).parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise Refusal(400, "the form is damaged: expected one field 'picture' with a file") from error
    try:
        picture = form.get("picture")
        if not isinstance(picture, UploadFile):
            raise Refusal(400, "the form has no file: expected one field 'picture'")
        return await picture.read()
    finally:
        await form.close()


async def _images(request: Request, model: Model, most: int) -> NDArray[np.uint8]:
    """Return the images that a request holds: uint8 (N, 28, 28), N from 1 to `most`."""
    body, kind = await request.body(), content_type(request)
    if kind == RAW:
        images = _raw(body)
    elif kind == JSON:
        images = _parsed(body) if len(body) < LARGE else await model.run(_parsed, body)
    else:
        raise Refusal(415, f"expected {JSON} or {RAW}, got {kind or 'no Content-Type'}")
    if len(images) > most:
        raise Refusal(413 if most > 1 else 400, f"expected at most {most} images, got {len(images)}")
    return images


def _raw(body: bytes) -> NDArray[np.uint8]:
    if not body or len(body) % PIXELS:
        raise Refusal(400, f"expected {PIXELS} bytes an image, one a pixel; got {len(body)} in all")
    return np.frombuffer(body, np.uint8).reshape(-1, SIDE, SIDE)


def _parsed(body: bytes) -> NDArray[np.uint8]:
    try:
        images = ROWS.validate_json(body).images
        content = b"".join([bytes(row) for image in images for row in image])
    except ValueError:  # the structure is another, or a pixel is beyond a byte
        raise Refusal(400, _mistake(body)) from None
    return np.frombuffer(content, np.uint8).reshape(-1, SIDE, SIDE)


def _mistake(body: bytes) -> str:
    try:
        IMAGES.validate_json(body)
    except ValidationError as error:
        return described(error)
    raise AssertionError("what is refused has a mistake")
