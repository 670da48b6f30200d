"""What every request goes through: who may ask, how much, how long; and what every response says."""

from __future__ import annotations

import asyncio
import hmac
import logging

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from digit_recognizer.serving.errors import RETRY, Refusal, error_response
from digit_recognizer.serving.settings import Settings
from digit_recognizer.serving.state import State

__all__ = ["Limits"]

log = logging.getLogger(__name__)

BUFFERS = 256_000_000  # bytes of requests in memory, of all clients together
OPEN = {"/", "/docs", "/openapi.json", "/v2/health/live", "/v2/health/ready"}  # need no token
HEALTH = {"/v2/health/live", "/v2/health/ready"}  # answered however much there is to do
STATIC = "/static/"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]
CLOSE = (b"connection", b"close")


class Limits:
    """ASGI middleware: holds requests to the settings, and makes one sentence of whatever goes wrong.

    The body of a request is gathered here, before it counts as one in flight: a client that sends slowly keeps
    nobody else waiting.
    """

    def __init__(self, app: ASGIApp, settings: Settings, state: State) -> None:
        self._app = app
        self._settings = settings
        self._state = state
        token = settings.token.get_secret_value() if settings.token else None
        self._authorization = None if token is None else f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        response = _Response(send, self._state)
        try:
            await self._answer(scope, receive, response)
        except Refusal as refusal:
            await response.replace(refusal, scope, receive)
        except Exception:
            log.exception("a mistake in the service: %s %s", scope["method"], scope["path"])
            await response.replace(Refusal(500, "the service made a mistake"), scope, receive)

    async def _answer(self, scope: Scope, receive: Receive, response: _Response) -> None:
        path, headers = scope["path"], Headers(scope=scope)
        if self._authorization is not None and not _is_open(path):
            self._check_token(headers)
        body = await self._gathered(headers, receive, response)
        if path in HEALTH:
            await self._app(scope, _replay(body, receive), response.send)
            return
        if self._state.in_flight >= self._settings.in_flight:
            raise Refusal(503, "the service is busy: come again", RETRY)
        self._state.in_flight += 1
        try:
            async with asyncio.timeout(self._settings.request_seconds):
                await self._app(scope, _replay(body, receive), response.send)
        except TimeoutError as error:
            raise Refusal(504, "the answer took too long: send less") from error
        finally:
            self._state.in_flight -= 1
            self._state.buffered -= len(body)

    def _check_token(self, headers: Headers) -> None:
        given = headers.get("authorization", "").encode("latin-1")
        if self._authorization is None or not hmac.compare_digest(given, self._authorization):
            raise Refusal(
                401, "expected the service's token: Authorization: Bearer …", {"WWW-Authenticate": "Bearer"}
            )

    async def _gathered(self, headers: Headers, receive: Receive, response: _Response) -> bytes:
        """Return the body of a request; it counts as buffered from then on."""
        length = headers.get("content-length")
        if length in (None, "0") and "transfer-encoding" not in headers:
            return b""
        most = self._settings.body_bytes
        if length is not None and int(length) > most:
            response.close = True  # what is still to come is not read
            raise Refusal(413, f"expected at most {most} bytes, got {length}")
        if headers.get("content-encoding", "identity").lower() != "identity":
            response.close = True
            raise Refusal(415, "expected a body that is not compressed", {"Accept-Encoding": "identity"})
        return await self._received(most, receive, response)

    async def _received(self, most: int, receive: Receive, response: _Response) -> bytes:
        parts, size = [], 0
        response.close = True  # until all is there
        try:
            async with asyncio.timeout(self._settings.body_seconds):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Gone
                    part = message.get("body", b"")
                    size += len(part)
                    self._state.buffered += len(part)
                    self._check_size(size, most)
                    parts.append(part)
                    more = message.get("more_body", False)
        except TimeoutError as error:
            self._state.buffered -= size
            raise Refusal(408, "the request came too slowly") from error
        except BaseException:
            self._state.buffered -= size
            raise
        response.close = False
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _check_size(self, size: int, most: int) -> None:
        if size > most:
            raise Refusal(413, f"expected at most {most} bytes")
        if self._state.buffered > BUFFERS:
            raise Refusal(503, "the service is busy: come again", RETRY)


class _Gone(Refusal):
    """The client went away in the middle of its request: there is nobody to tell."""

    def __init__(self) -> None:
        super().__init__(400, "the request ended before all of it was there")


class _Response:
    """One response on its way out, with the headers that all have."""

    def __init__(self, send: Send, state: State) -> None:
        self._send = send
        self._state = state
        self._begun = False
        self.close = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._begun = True
            further = [CLOSE] if self.close or self._state.draining else []
            message["headers"] = [*message.get("headers", ()), *SECURITY, *further]
        await self._send(message)

    async def replace(self, refusal: Refusal, scope: Scope, receive: Receive) -> None:
        """Send a refusal, unless another response is already on its way."""
        if not self._begun:
            await error_response(refusal)(scope, receive, self.send)


def _is_open(path: str) -> bool:
    return path in OPEN or path.startswith(STATIC)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return what gives the whole body at once, and then what the client does next."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
