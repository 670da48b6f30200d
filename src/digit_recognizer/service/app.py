"""The ASGI application: page, ``/v1``, ``/v2``, documentation, metrics and error handling."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Match, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from digit_recognizer import __version__
from digit_recognizer.machine import return_freed_memory
from digit_recognizer.service import corrections_api, v1, v2
from digit_recognizer.service.errors import error_response
from digit_recognizer.service.limits import Limits, State, path_of
from digit_recognizer.service.model import Model
from digit_recognizer.service.observability import Metrics
from digit_recognizer.service.openapi import describe
from digit_recognizer.service.settings import Settings, split_commas

STATIC = Path(__file__).with_name("static")
REVALIDATE = {"Cache-Control": "no-cache"}  # browsers keep files, but ask whether they have changed
FAST_ROUTES = {"/v1/predict", "/v2/models/digits/infer"}
DESCRIPTION = "Reads handwritten digits in pictures of any size and in images of 28x28 pixels."


def create_app(settings: Settings) -> FastAPI:
    """Return the application.

    Raises
    ------
    DigitsError
        The model is missing or damaged.
    """
    model, state, metrics = Model(settings), State(), Metrics()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        return_freed_memory()
        model.open()
        warming_up = asyncio.ensure_future(model.run(model.warm_up))
        yield
        warming_up.cancel()
        model.close()

    app = FastAPI(
        title="digit-recognizer",
        description=DESCRIPTION,
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # Starlette's redirects name a host, which a reverse proxy may change
        lifespan=lifespan,
    )
    app.state.model, app.state.service = model, state
    v1.add_routes(app.router, model, settings)
    v2.add_routes(app.router, model, settings, state)
    corrections_api.add_routes(app.router, model, settings)
    _add_pages(app)
    _add_metrics(app, metrics)
    _add_error_handlers(app)
    describe(app, with_token=settings.token is not None)
    _bypass_fastapi(app)
    app.add_middleware(Limits, settings=settings, state=state, metrics=metrics)
    if settings.allow_origin:
        origins = split_commas(settings.allow_origin)
        app.add_middleware(CORSMiddleware, allow_origins=origins, allow_methods=["*"], allow_headers=["*"])
    return app


def _bypass_fastapi(app: FastAPI) -> None:
    """Put faster routes before FastAPI's own for the busiest paths: these need none of its processing."""
    app.router.routes[:0] = [
        _FastRoute(route.path, route.endpoint, methods=["POST"])
        for route in app.routes
        if isinstance(route, APIRoute) and route.path in FAST_ROUTES
    ]


class _FastRoute(Route):
    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Compare the path as a string, and name the route in the scope for the metrics."""
        if scope["type"] != "http" or scope["method"] != "POST" or path_of(scope) != self.path:
            return Match.NONE, {}
        return Match.FULL, {"endpoint": self.endpoint, "path_params": {}, "route": self}


class _StaticFiles(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        """Make browsers revalidate files, so that they notice an upgrade."""
        response = await super().get_response(path, scope)
        response.headers.update(REVALIDATE)
        return response


def _add_pages(app: FastAPI) -> None:
    async def page() -> Response:
        return FileResponse(STATIC / "index.html", headers=REVALIDATE)

    async def docs() -> Response:
        return FileResponse(STATIC / "docs.html", headers=REVALIDATE)

    for path, handler in (("/", page), ("/docs", docs)):
        app.add_api_route(path, handler, methods=["GET", "HEAD"], include_in_schema=False)
    app.mount("/static", _StaticFiles(directory=STATIC))


def _add_metrics(app: FastAPI, metrics: Metrics) -> None:
    async def text() -> Response:
        return Response(metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app.add_api_route("/metrics", text, methods=["GET"], include_in_schema=False)


def _add_error_handlers(app: FastAPI) -> None:
    """Answer every error as ``{"error": …}``."""

    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 404 and (address := _address_without_slash(app, request)) is not None:
            return RedirectResponse(address)
        if error.status_code == 405:
            error.headers = {"Allow": _allowed_methods(app, request)}
        return error_response(error)

    async def invalid_parameter(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        return error_response(HTTPException(400, f"{first['loc'][-1]}: {first['msg']}"))

    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(RequestValidationError, invalid_parameter)


def _allowed_methods(app: FastAPI, request: Request) -> str:
    """Return the methods of all routes of a path; Starlette returns those of the first one only."""
    methods = {
        method for route in _matching(app, request.scope) for method in getattr(route, "methods", None) or ()
    }
    return ", ".join(sorted(methods))


def _address_without_slash(app: FastAPI, request: Request) -> str | None:
    """Return the relative address of a route that was requested with a slash at the end; else None."""
    path = request.scope["path"]
    if not (path.endswith("/") and _matching(app, {**request.scope, "path": path[:-1]})):
        return None
    query = f"?{request.url.query}" if request.url.query else ""
    return f"../{quote(path[:-1].rpartition('/')[2])}{query}"


def _matching(app: FastAPI, scope: Scope) -> list[BaseRoute]:
    return [route for route in app.routes if route.matches(scope)[0] is not Match.NONE]
