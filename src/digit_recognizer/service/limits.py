"""What every request goes through: who may ask, how much, how long; and what every response says."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from contextlib import suppress
from functools import lru_cache

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from digit_recognizer.service.errors import RETRY, Refusal, error_response
from digit_recognizer.service.logs import log_request
from digit_recognizer.service.metrics import Metrics
from digit_recognizer.service.settings import Settings, is_loopback
from digit_recognizer.service.state import State

log = logging.getLogger(__name__)

BUFFERS = 256_000_000  # bytes of requests in memory, of all clients together
UNREAD = 20_000_000  # bytes of a refused request that are read and forgotten, so that the refusal arrives
UNREAD_SECONDS = 2.0
OPEN = {"/", "/docs", "/openapi.json", "/v2/health/live", "/v2/health/ready"}  # need no token
HEALTH = {"/v2/health/live", "/v2/health/ready"}  # answered however much there is to do
STATIC = "/static/"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]
CLOSE = (b"connection", b"close")


class Limits:
    """ASGI middleware: holds requests to the settings, and makes one sentence of whatever goes wrong.

    The body of a request is gathered here, before it counts as one in flight: a client that sends slowly
    keeps nobody else waiting.
    """

    def __init__(self, app: ASGIApp, settings: Settings, state: State, metrics: Metrics) -> None:
        self._app = app
        self._settings = settings
        self._state = state
        self._metrics = metrics
        token = settings.token.get_secret_value() if settings.token else None
        self._authorization = None if token is None else f"Bearer {token}".encode()
        self._hosts = settings.hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        exchange = _Exchange(scope, receive, send, self._state)
        try:
            await self._answer(exchange)
        except Refusal as refusal:
            await exchange.refuse(refusal)
        except asyncio.CancelledError:  # the service ends, and this took longer
            exchange.unread = False
            await exchange.refuse(Refusal(503, "the service is going away", RETRY))
        except Exception:
            log.exception("a mistake in the service: %s %s", scope["method"], scope["path"])
            await exchange.refuse(Refusal(500, "the service made a mistake"))
        finally:
            self._state.buffered -= exchange.received
        seconds = time.perf_counter() - begun
        self._metrics.observe(_route(scope), _method(scope), exchange.status, seconds)
        log_request(scope, exchange.status, seconds, exchange.received, exchange.sent)

    async def _answer(self, exchange: _Exchange) -> None:
        path, headers = exchange.scope["path"], Headers(scope=exchange.scope)
        exchange.unread = _has_body(headers)
        if self._hosts is not None:
            self._check_host(headers.get("host", ""), self._hosts)
        if self._authorization is not None and not _is_open(path):
            self._check_token(headers)
        if exchange.unread:
            self._check_headers(headers)
        try:
            await self._answer_in_time(exchange)
        except TimeoutError as error:
            if exchange.unread:
                raise Refusal(408, "the request came too slowly") from error
            raise Refusal(504, "the answer took too long: send less") from error

    async def _answer_in_time(self, exchange: _Exchange) -> None:
        """Gather the body, and answer: so many seconds for each, on one clock."""
        now = asyncio.get_running_loop().time
        async with asyncio.timeout(None) as limit:
            if exchange.unread:
                limit.reschedule(now() + self._settings.body_seconds)
                await self._gather(exchange)
            limit.reschedule(now() + self._settings.request_seconds)
            if exchange.scope["path"] in HEALTH:
                await self._app(exchange.scope, exchange.replay, exchange.respond)
            else:
                await self._work(exchange)

    async def _work(self, exchange: _Exchange) -> None:
        """Let the application answer, if it has not too much to do."""
        if self._state.in_flight >= self._settings.in_flight:
            raise Refusal(503, "the service is busy: come again", RETRY)
        self._state.in_flight += 1
        self._metrics.in_flight.inc()
        try:
            await self._app(exchange.scope, exchange.replay, exchange.respond)
        finally:
            self._state.in_flight -= 1
            self._metrics.in_flight.dec()

    def _check_host(self, host: str, hosts: frozenset[str]) -> None:
        """Refuse a page of another host whose name was made to lead to this machine (DNS rebinding)."""
        name = _name(host)
        if name not in hosts and not is_loopback(name) and not name.endswith(".localhost"):
            raise Refusal(421, f"this service is not {host[:100]!r}: ask localhost, or give it --allow-host")

    def _check_token(self, headers: Headers) -> None:
        given = headers.get("authorization", "").encode("latin-1")
        if self._authorization is None or not hmac.compare_digest(given, self._authorization):
            raise Refusal(
                401, "expected the service's token: Authorization: Bearer …", {"WWW-Authenticate": "Bearer"}
            )

    def _check_headers(self, headers: Headers) -> None:
        """Refuse a body by what its headers say of it."""
        length, most = headers.get("content-length", "0"), self._settings.body_bytes
        if not (length.isascii() and length.isdecimal()):
            raise Refusal(400, "expected a number as Content-Length")
        if len(length) > len(str(most)) or int(length) > most:
            raise Refusal(413, f"expected at most {most} bytes, got {length[:20]}")
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise Refusal(415, "expected a body that is not compressed", {"Accept-Encoding": "identity"})

    async def _gather(self, exchange: _Exchange) -> None:
        """Wait for the whole body, and refuse it as soon as there is too much, whatever its headers said."""
        most, parts = self._settings.body_bytes, []
        while exchange.unread:
            parts.append(await exchange.read())
            if exchange.received > most:
                raise Refusal(413, f"expected at most {most} bytes")
            if self._state.buffered > BUFFERS:
                raise Refusal(503, "the service is busy: come again", RETRY)
        exchange.body = b"".join(parts)


class _Exchange:
    """One request and its response, on their way through."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, state: State) -> None:
        self.scope = scope
        self.body = b""
        self.unread = False  # there is more of the body
        self.received = 0  # bytes of the body
        self.sent = 0  # bytes of the response's body
        self.status = 0  # of the response; 0 before it
        self._receive = receive
        self._send = send
        self._state = state
        self._replayed = False

    async def read(self) -> bytes:
        """Return the next part of the body, which counts as buffered."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.unread = False
            raise Refusal(400, "the request ended before all of it was there")
        part: bytes = message.get("body", b"")
        self.received += len(part)
        self._state.buffered += len(part)
        self.unread = message.get("more_body", False)
        return part

    async def replay(self) -> Message:
        """Return the whole body, and later what the client does next."""
        if self._replayed:
            return await self._receive()
        self._replayed = True
        return {"type": "http.request", "body": self.body, "more_body": False}

    async def respond(self, message: Message) -> None:
        """Send a part of the response, with the headers that all have."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            further = [CLOSE] if self.unread or self._state.draining else []
            message["headers"] = [*message.get("headers", ()), *HEADERS, *further]
        else:
            self.sent += len(message.get("body", b""))
        await self._send(message)

    async def refuse(self, refusal: Refusal) -> None:
        """Send a refusal, unless another response is already on its way."""
        if self.status:
            return
        if self.unread and "expect" not in Headers(scope=self.scope):  # else it waits for a word first
            await self._forget_the_rest()
        await error_response(refusal)(self.scope, self._receive, self.respond)

    async def _forget_the_rest(self) -> None:
        """Read on for a while: whoever still sends when the connection is closed gets to see no answer."""
        forgotten = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(UNREAD_SECONDS):
                while self.unread and forgotten < UNREAD:
                    message = await self._receive()
                    forgotten += len(message.get("body", b""))
                    self.unread = message.get("more_body", False)


def _has_body(headers: Headers) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


@lru_cache(maxsize=256)
def _name(host: str) -> str:
    """Return a host's name or address without its port; where none is said, nobody was led astray."""
    name, _, port = host.rpartition(":")
    return (name if port.isdecimal() else host).strip("[]").lower() if host else "localhost"


def _is_open(path: str) -> bool:
    return path in OPEN or path.startswith(STATIC)


def _route(scope: Scope) -> str:
    """Return the path as it was declared, so that strangers cannot make up new ones to be counted."""
    path: str | None = getattr(scope.get("route"), "path", None)
    return path or "other"


def _method(scope: Scope) -> str:
    method: str = scope["method"]
    return method if method in METHODS else "OTHER"


METHODS = {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}
