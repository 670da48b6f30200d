"""The parts put together: one application of ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response
from starlette.routing import Match, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from digit_recognizer import __version__
from digit_recognizer.service import corrections_api as corrections
from digit_recognizer.service import inference, v1
from digit_recognizer.service.errors import Refusal, error_response
from digit_recognizer.service.limits import Limits
from digit_recognizer.service.metrics import Metrics
from digit_recognizer.service.model import Model
from digit_recognizer.service.openapi import describe
from digit_recognizer.service.settings import Settings, by_commas
from digit_recognizer.service.state import State

STATIC = Path(__file__).with_name("static")
FRESH = {"Cache-Control": "no-cache"}  # kept, but never used without asking
SHORT = {"/v1/predict", "/v2/models/digits/infer"}
DESCRIPTION = "Reads handwritten digits: pictures of any size, or images of 28x28 pixels."


def create_app(settings: Settings) -> FastAPI:
    """Return the service: the page, ``/v1``, the Open Inference Protocol, documentation and metrics.

    Raises
    ------
    DigitsError
        The model is missing or damaged.
    """
    model, state, metrics = Model(settings), State(), Metrics()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        model.open()
        warming = asyncio.ensure_future(model.run(model.warm_up))
        yield
        warming.cancel()
        model.close()

    app = FastAPI(
        title="digit-recognizer",
        description=DESCRIPTION,
        version=__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.model, app.state.service = model, state
    v1.add_routes(app.router, model, settings)
    inference.add_routes(app.router, model, settings, state)
    corrections.add_routes(app.router, model, settings)
    _add_pages(app)
    _add_metrics(app, metrics)
    _add_handlers(app)
    describe(app, with_token=settings.token is not None)
    _shorten(app)
    app.add_middleware(Limits, settings=settings, state=state, metrics=metrics)
    if settings.allow_origin:
        origins = by_commas(settings.allow_origin)
        app.add_middleware(CORSMiddleware, allow_origins=origins, allow_methods=["*"], allow_headers=["*"])
    return app


def _shorten(app: FastAPI) -> None:
    """Lead the routes that are asked most past FastAPI, which describes them but has nothing to do there."""
    short = [
        _Route(route.path, route.endpoint, methods=["POST"])
        for route in app.routes
        if isinstance(route, APIRoute) and route.path in SHORT
    ]
    app.router.routes[:0] = short


class _Route(Route):
    """A route that says of a request that it is its own, for the metrics."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Say whether a request is this route's."""
        if scope["type"] != "http" or scope["path"] != self.path or scope["method"] != "POST":
            return Match.NONE, {}
        return Match.FULL, {"endpoint": self.endpoint, "path_params": {}, "route": self}


def _add_pages(app: FastAPI) -> None:
    async def page() -> Response:
        return FileResponse(STATIC / "index.html", headers=FRESH)

    async def docs() -> Response:
        return FileResponse(STATIC / "docs.html", headers=FRESH)

    for path, handler in (("/", page), ("/docs", docs)):
        app.add_api_route(path, handler, methods=["GET", "HEAD"], include_in_schema=False)
    app.mount("/static", _Static(directory=STATIC))


class _Static(StaticFiles):
    """Files that a browser asks for again after an upgrade."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return a file, or that it has not changed."""
        response = await super().get_response(path, scope)
        response.headers.update(FRESH)
        return response


def _add_metrics(app: FastAPI, metrics: Metrics) -> None:
    async def text() -> Response:
        return Response(metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app.add_api_route("/metrics", text, methods=["GET"], include_in_schema=False)


def _add_handlers(app: FastAPI) -> None:
    """Say everything that is wrong in the same form."""

    async def refuse(_request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        return error_response(error)

    async def refuse_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        headers = {"Allow": _allowed(app, request)} if error.status_code == 405 else error.headers
        return error_response(Refusal(error.status_code, str(error.detail), headers))

    async def refuse_arguments(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        return error_response(Refusal(400, f"{first['loc'][-1]}: {first['msg']}"))

    app.add_exception_handler(Refusal, refuse)
    app.add_exception_handler(HTTPException, refuse_http)
    app.add_exception_handler(RequestValidationError, refuse_arguments)


def _allowed(app: FastAPI, request: Request) -> str:
    """Return the methods of all routes of a path; Starlette names those of the first."""
    here = [route for route in app.routes if route.matches(request.scope)[0] is not Match.NONE]
    return ", ".join(sorted({method for route in here for method in getattr(route, "methods", None) or ()}))
