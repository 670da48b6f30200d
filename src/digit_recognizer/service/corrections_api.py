"""``/v1/corrections``: stores what users of the page correct, if the service runs with ``--corrections``."""

from __future__ import annotations

import logging
from base64 import b64decode
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from digit_recognizer.digits import PIXELS, SIDE
from digit_recognizer.errors import DigitsError
from digit_recognizer.service import openapi, schemas
from digit_recognizer.service.errors import invalid_json, json_response
from digit_recognizer.service.model import Model
from digit_recognizer.service.settings import Settings
from digit_recognizer.service.v1 import JSON, content_type

if TYPE_CHECKING:
    from digit_recognizer.corrections import CorrectionStore

log = logging.getLogger(__name__)

CORRECTION, NUMBER = TypeAdapter(schemas.Correction), TypeAdapter(schemas.NumberCorrection)

Result = TypeVar("Result")
Given = TypeVar("Given")


def add_routes(router: APIRouter, model: Model, settings: Settings) -> None:
    """Add the routes; without ``--corrections`` they answer 404. The functions' names are in OpenAPI."""
    store = _open(settings)

    async def keep(request: Request) -> Response:
        """Store what an image really shows."""
        corrections = _enabled(store)
        given = await _parse(CORRECTION, request)
        image = _image(given.image)
        new_id = await _run(model, corrections.add, image, given.label, given.read_as, model.title)
        return json_response({"id": new_id}, 201)

    async def keep_number(request: Request) -> Response:
        """Store what a whole number really is."""
        corrections = _enabled(store)
        given = await _parse(NUMBER, request)
        images = _images(given)
        picture = await model.run(_picture, given.picture)
        values = (picture, given.text, given.read_as, images, model.title)
        return json_response({"id": await _run(model, corrections.add_number, *values)}, 201)

    async def count() -> Response:
        """Count the stored corrections."""
        return json_response({"count": await _run(model, _enabled(store).count)})

    async def undo(id: int) -> Response:  # noqa: A002
        """Delete the correction of a digit."""
        if not await _run(model, _enabled(store).delete, id):
            raise HTTPException(404, f"there is no correction {id}")
        return Response(status_code=204)

    async def undo_number(id: int) -> Response:  # noqa: A002
        """Delete the correction of a number."""
        if not await _run(model, _enabled(store).delete_number, id):
            raise HTTPException(404, f"there is no correction {id} of a number")
        return Response(status_code=204)

    router.add_api_route("/v1/corrections", keep, methods=["POST"], **openapi.ADD_CORRECTION)
    router.add_api_route("/v1/corrections", count, methods=["GET"], **openapi.COUNT_CORRECTIONS)
    router.add_api_route("/v1/corrections/{id}", undo, methods=["DELETE"], **openapi.DELETE_CORRECTION)
    router.add_api_route("/v1/number-corrections", keep_number, methods=["POST"], **openapi.ADD_NUMBER)
    router.add_api_route(
        "/v1/number-corrections/{id}", undo_number, methods=["DELETE"], **openapi.DELETE_CORRECTION
    )


async def _parse(schema: TypeAdapter[Given], request: Request) -> Given:
    """Return the JSON of a request, if it has the right form."""
    if content_type(request) != JSON:  # browsers let other sites send other types without asking (CSRF)
        raise HTTPException(415, f"expected {JSON}, got {content_type(request) or 'no Content-Type'}")
    try:
        return schema.validate_json(await request.body())
    except ValidationError as error:
        raise invalid_json(error) from error


async def _run(model: Model, work: Callable[..., Result], *arguments: Any) -> Result:
    """Use the store in a thread; file errors are also logged for the operator."""
    try:
        return await model.run(work, *arguments)
    except DigitsError as error:
        log.warning("%s", error)
        raise HTTPException(503, str(error)) from error


def _open(settings: Settings) -> CorrectionStore | None:
    if not settings.corrections:
        return None
    from digit_recognizer.corrections import CorrectionStore

    return CorrectionStore(settings.corrections_file)


def _enabled(store: CorrectionStore | None) -> CorrectionStore:
    if store is None:
        raise HTTPException(404, "this service stores no corrections; start it with --corrections")
    return store


def _image(encoded: str) -> NDArray[np.uint8]:
    """Decode an image (28, 28) from base64."""
    content = _decode("image", encoded)
    if len(content) != PIXELS:
        raise HTTPException(400, f"image: expected {PIXELS} bytes in base64, got {len(content)}")
    return np.frombuffer(content, np.uint8).reshape(SIDE, SIDE)


def _images(given: schemas.NumberCorrection) -> NDArray[np.uint8] | None:
    """Decode the images (N, 28, 28) of the characters of a number, if there are any."""
    if given.images is None:
        return None
    if len(given.images) != len(given.read_as):
        raise HTTPException(400, f"images: expected {len(given.read_as)}, one for each character of read_as")
    return np.array([_image(each) for each in given.images], np.uint8).reshape(-1, SIDE, SIDE)


def _picture(encoded: str) -> NDArray[np.uint8]:
    """Decode a picture, in any format, from base64 to grey, (H, W)."""
    from digit_recognizer.corrections.numbers import MAX_PICTURE_PIXELS
    from digit_recognizer.imaging import decode

    try:
        return decode(_decode("picture", encoded), "the picture", max_pixels=MAX_PICTURE_PIXELS)
    except DigitsError as error:
        raise HTTPException(422, str(error)) from error


def _decode(name: str, encoded: str) -> bytes:
    try:
        return b64decode(encoded, validate=True)
    except ValueError as error:
        raise HTTPException(400, f"{name}: {error}; expected base64") from error
