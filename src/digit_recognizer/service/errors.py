"""What the service says instead of an answer: a status, and one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json
from starlette.responses import Response

RETRY = {"Retry-After": "1"}  # seconds


class Refusal(Exception):  # noqa: N818
    """A request that gets no answer but this.

    Parameters
    ----------
    status
        Of HTTP: 400 and above.
    sentence
        What is wrong, for the user.
    headers
        Further ones of the response.
    """

    def __init__(self, status: int, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = headers


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a value as a response of JSON."""
    return Response(to_json(value, inf_nan_mode="null"), status, headers, "application/json")


def error_response(refusal: Refusal) -> Response:
    """Return a refusal as every client gets it: ``{"error": "one sentence"}``."""
    return json_response({"error": refusal.sentence}, refusal.status, refusal.headers)


def described(error: ValidationError) -> str:
    """Say in one sentence what is wrong with JSON, and where."""
    first: Any = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    sentence = first["msg"][:1].lower() + first["msg"][1:]
    return f"{place}: {sentence}" if place else sentence
