"""``/v1/corrections``: what users of the page say a digit really is, kept if the service was told to."""

from __future__ import annotations

import logging
from base64 import b64decode
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response

from digit_recognizer.digits import PIXELS, SIDE
from digit_recognizer.errors import DigitsError
from digit_recognizer.service import examples, schemas
from digit_recognizer.service.errors import Refusal, described, json_response
from digit_recognizer.service.model import Model
from digit_recognizer.service.settings import Settings
from digit_recognizer.service.v1 import JSON, content_type

if TYPE_CHECKING:
    from digit_recognizer.corrections import Corrections

OFF = "this service keeps no corrections: start it with --corrections"
log = logging.getLogger(__name__)

GIVEN = TypeAdapter(schemas.Correction)

Result = TypeVar("Result")


def add_routes(router: APIRouter, model: Model, settings: Settings) -> None:
    """Add ``/v1/corrections``; the file is made where the settings ask for it."""
    store = _open(settings)

    async def keep(request: Request) -> Response:
        """Keep what an image really shows."""
        kept = _opened(store)
        if content_type(request) != JSON:  # which other hosts' pages may not send unasked
            raise Refusal(415, f"expected {JSON}, got {content_type(request) or 'no Content-Type'}")
        try:
            given = GIVEN.validate_json(await request.body())
        except ValidationError as error:
            raise Refusal(400, described(error)) from error
        image = _image(given.image)
        number = await _asked(model, kept.add, image, given.label, given.read_as, model.title)
        return json_response({"id": number}, 201)

    async def count() -> Response:
        """Say how many corrections are kept."""
        return json_response({"count": await _asked(model, _opened(store).count)})

    async def undo(id: int) -> Response:  # noqa: A002
        """Forget a correction."""
        if not await _asked(model, _opened(store).remove, id):
            raise Refusal(404, f"there is no correction {id}")
        return Response(status_code=204)

    router.add_api_route("/v1/corrections", keep, methods=["POST"], **examples.CORRECT)
    router.add_api_route("/v1/corrections", count, methods=["GET"], **examples.COUNT)
    router.add_api_route("/v1/corrections/{id}", undo, methods=["DELETE"], **examples.UNDO)


async def _asked(model: Model, work: Callable[..., Result], *arguments: Any) -> Result:
    """Ask the store, in a thread; what is wrong with its file is for who runs the service, too."""
    try:
        return await model.run(work, *arguments)
    except DigitsError as error:
        log.warning("%s", error)
        raise Refusal(503, str(error)) from error


def _open(settings: Settings) -> Corrections | None:
    if not settings.corrections:
        return None
    from digit_recognizer.corrections import Corrections

    return Corrections(settings.corrections_file)


def _opened(store: Corrections | None) -> Corrections:
    if store is None:
        raise Refusal(404, OFF)
    return store


def _image(encoded: str) -> NDArray[np.uint8]:
    """Return an image, uint8 (28, 28), of its bytes in base64."""
    try:
        content = b64decode(encoded, validate=True)
    except ValueError as error:
        raise Refusal(400, f"image: {error}; expected base64") from error
    if len(content) != PIXELS:
        raise Refusal(400, f"image: expected {PIXELS} bytes in base64, got {len(content)}")
    return np.frombuffer(content, np.uint8).reshape(SIDE, SIDE)
