"""``/v2``: the Open Inference Protocol, in JSON and with its binary extension.

References
----------
https://github.com/kserve/open-inference-protocol, "HTTP/REST"; the extension: Triton Inference Server,
"Binary tensor data extension".
"""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from digit_recognizer.serving.errors import Refusal, json_response
from digit_recognizer.serving.model import Model
from digit_recognizer.serving.settings import Settings
from digit_recognizer.serving.state import State

__all__ = ["add_routes"]


def add_routes(router: APIRouter, model: Model, settings: Settings, state: State) -> None:
    """Add health, metadata and inference."""

    async def live() -> Response:
        """Say that the service runs."""
        return json_response({"live": True})

    async def ready() -> Response:
        """Say whether the service takes requests."""
        if state.draining:
            raise Refusal(503, "the service is going away")
        return json_response({"ready": True})

    router.add_api_route("/v2/health/live", live, methods=["GET"])
    router.add_api_route("/v2/health/ready", ready, methods=["GET"])
