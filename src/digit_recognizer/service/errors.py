"""Errors as clients get them: a status and ``{"error": "one sentence"}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.responses import Response

RETRY = {"Retry-After": "1"}  # seconds


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a value as a JSON response; infinity and NaN become null."""
    return Response(to_json(value, inf_nan_mode="null"), status, headers, "application/json")


def error_response(error: HTTPException) -> Response:
    """Return the response for an error."""
    return json_response({"error": error.detail}, error.status_code, error.headers)


def invalid_json(error: ValidationError) -> HTTPException:
    """Return status 400 with the first validation error and its place in the JSON."""
    first: Any = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    message = first["msg"][:1].lower() + first["msg"][1:]
    return HTTPException(400, f"{place}: {message}" if place else message)
