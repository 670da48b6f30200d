"""``/openapi.json``: what FastAPI knows of the routes, with the bodies that it does not parse itself."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from digit_recognizer.service import schemas

PLACE = "#/components/schemas/{model}"
BODIES = (schemas.Images, schemas.OneImage, schemas.InferRequest, schemas.Correction)
NOT_OURS = ("HTTPValidationError", "ValidationError")  # FastAPI's own form of errors
BEARER = {"type": "http", "scheme": "bearer"}


def describe(app: FastAPI, *, with_token: bool) -> None:
    """Let an application tell what its routes take and give; made when it is first asked for."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, with_token=with_token)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _document(app: FastAPI, *, with_token: bool) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    _, bodies = models_json_schema([(each, "validation") for each in BODIES], ref_template=PLACE)
    components = document["components"]
    components["schemas"].update(bodies["$defs"])
    for name in NOT_OURS:
        components["schemas"].pop(name, None)
    if with_token:
        components["securitySchemes"] = {"token": BEARER}
        document["security"] = [{"token": []}]
    for path, methods in document["paths"].items():
        for operation in methods.values():
            _tidy(path, operation, with_token=with_token)
    return document


def _tidy(path: str, operation: dict[str, Any], *, with_token: bool) -> None:
    """Take out of an operation what the service does not do."""
    if NOT_OURS[0] in str(operation["responses"].get("422")):
        del operation["responses"]["422"]
    if path.startswith("/v2/health/") and with_token:
        operation["security"] = []
