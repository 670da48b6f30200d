"""Middleware around every request: host, token, size and time limits, metrics, security headers."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from digit_recognizer.service.errors import RETRY, error_response
from digit_recognizer.service.observability import Metrics, log_request
from digit_recognizer.service.settings import Settings, is_loopback

log = logging.getLogger(__name__)

MAX_BUFFERED_BYTES = 256_000_000  # of request bodies, of all clients together
MAX_DISCARDED_BYTES = 20_000_000  # of a refused body
DISCARD_SECONDS = 2.0
HEALTH = {"/v2/health/live", "/v2/health/ready"}  # answered even if too many requests are in progress
PUBLIC = {"/", "/docs", "/openapi.json", *HEALTH}  # need no token
PUBLIC_PREFIX = "/static/"
METHODS = {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]
CLOSE = (b"connection", b"close")
SHUTTING_DOWN = "the service is shutting down"
TOO_MANY_REQUESTS = "too many requests in progress; retry later"


@dataclass(slots=True)
class State:
    """What a service is doing now."""

    draining: bool = False  # shutting down: not ready, but requests are still answered
    in_flight: int = 0  # requests in progress
    buffered: int = 0  # bytes of request bodies in memory


class Limits:
    """ASGI middleware that enforces the settings and turns every error into ``{"error": …}``.

    It receives the whole body before the request counts as in progress, so that slow senders do not keep
    others out.
    """

    def __init__(self, app: ASGIApp, settings: Settings, state: State, metrics: Metrics) -> None:
        self._app = app
        self._settings = settings
        self._state = state
        self._metrics = metrics
        token = settings.token.get_secret_value() if settings.token else None
        self._authorization = None if token is None else f"Bearer {token}".encode()
        self._hosts = settings.hosts
        self._root_path = settings.root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        scope = _with_root_path(scope, self._root_path)
        exchange = _Exchange(scope, receive, send, self._state)
        try:
            await self._answer(exchange)
        except HTTPException as error:
            await exchange.refuse(error)
        except asyncio.CancelledError:  # the time that shutdown allows for open requests is over
            exchange.unread = False
            await exchange.refuse(HTTPException(503, SHUTTING_DOWN, RETRY))
        except Exception:
            log.exception("internal error: %s %s", scope["method"], scope["path"])
            await exchange.refuse(HTTPException(500, "internal error; see the service's log"))
        finally:
            self._state.buffered -= exchange.received
        seconds = time.perf_counter() - start
        self._metrics.observe(_route(scope), _method(scope), exchange.status, seconds)
        log_request(scope, exchange.status, seconds, exchange.received, exchange.sent)

    async def _answer(self, exchange: _Exchange) -> None:
        path, headers = exchange.path, Headers(scope=exchange.scope)
        exchange.unread = _has_body(headers)
        if self._hosts is not None:
            _check_host(headers.get("host", ""), self._hosts)
        if self._authorization is not None and path not in PUBLIC and not path.startswith(PUBLIC_PREFIX):
            _check_token(headers, self._authorization)
        if exchange.unread:
            _check_body_headers(headers, self._settings.body_bytes)
        if not path:  # the root path itself: relative addresses on the page need the slash
            redirect = RedirectResponse(exchange.scope["path"].rpartition("/")[2] + "/")
            await redirect(exchange.scope, exchange.replay, exchange.respond)
            return
        try:
            await self._answer_in_time(exchange)
        except TimeoutError as error:
            if exchange.unread:
                raise HTTPException(408, "the request body came too slowly") from error
            raise HTTPException(504, "the answer took too long; send less at a time") from error

    async def _answer_in_time(self, exchange: _Exchange) -> None:
        """Receive the body and answer, each within its own time."""
        now = asyncio.get_running_loop().time
        async with asyncio.timeout(None) as timeout:
            if exchange.unread:
                timeout.reschedule(now() + self._settings.body_seconds)
                await self._receive_body(exchange)
            timeout.reschedule(now() + self._settings.request_seconds)
            if exchange.path in HEALTH:
                await self._app(exchange.scope, exchange.replay, exchange.respond)
            else:
                await self._run_app(exchange)

    async def _run_app(self, exchange: _Exchange) -> None:
        """Let the application answer unless too many requests are in progress."""
        if self._state.in_flight >= self._settings.in_flight:
            raise HTTPException(503, TOO_MANY_REQUESTS, RETRY)
        self._state.in_flight += 1
        self._metrics.in_flight.inc()
        try:
            await self._app(exchange.scope, exchange.replay, exchange.respond)
        finally:
            self._state.in_flight -= 1
            self._metrics.in_flight.dec()

    async def _receive_body(self, exchange: _Exchange) -> None:
        """Receive the body; stop as soon as it is too large, whatever Content-Length says."""
        parts = []
        while exchange.unread:
            parts.append(await exchange.read())
            if exchange.received > self._settings.body_bytes:
                raise HTTPException(413, f"expected at most {self._settings.body_bytes} bytes")
            if self._state.buffered > MAX_BUFFERED_BYTES:
                raise HTTPException(503, TOO_MANY_REQUESTS, RETRY)
        exchange.body = b"".join(parts)


class _Exchange:
    """One request and its response."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, state: State) -> None:
        self.scope = scope
        self.path = path_of(scope)
        self.body = b""
        self.unread = False  # part of the body has not been received
        self.received = 0  # bytes of the body
        self.sent = 0  # bytes of the response's body
        self.status = 0  # of the response; 0 before it starts
        self._receive = receive
        self._send = send
        self._state = state
        self._replayed = False

    async def read(self) -> bytes:
        """Receive the next part of the body and count it as buffered."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.unread = False
            raise HTTPException(400, "the request ended before its body was complete")
        part: bytes = message.get("body", b"")
        self.received += len(part)
        self._state.buffered += len(part)
        self.unread = message.get("more_body", False)
        return part

    async def replay(self) -> Message:
        """Give the application the whole body, and after that what the client does next."""
        if self._replayed:
            return await self._receive()
        self._replayed = True
        return {"type": "http.request", "body": self.body, "more_body": False}

    async def respond(self, message: Message) -> None:
        """Send a part of the response and add the headers that every response has."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            further = [CLOSE] if self.unread or self._state.draining else []
            message["headers"] = [*message.get("headers", ()), *SECURITY_HEADERS, *further]
        else:
            self.sent += len(message.get("body", b""))
        await self._send(message)

    async def refuse(self, error: HTTPException) -> None:
        """Send an error unless a response has started."""
        if self.status:
            return
        if self.unread and "expect" not in Headers(scope=self.scope):  # such a client sends no body unasked
            await self._discard_body()
        await error_response(error)(self.scope, self._receive, self.respond)

    async def _discard_body(self) -> None:
        """Read on for a while: a client that is still sending when the connection closes loses the answer."""
        discarded = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(DISCARD_SECONDS):
                while self.unread and discarded < MAX_DISCARDED_BYTES:
                    message = await self._receive()
                    discarded += len(message.get("body", b""))
                    self.unread = message.get("more_body", False)


def path_of(scope: Scope) -> str:
    """Return the path of a request below the root path; empty for the root path without a slash."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _with_root_path(scope: Scope, root_path: str) -> Scope:
    """Return a scope whose path begins with the root path, as ASGI has it; a proxy may have removed it."""
    if not root_path:
        return scope
    mounted, path = scope.get("root_path", ""), path_of(scope)
    if path == root_path or path.startswith(f"{root_path}/"):
        path = path.removeprefix(root_path)
    return {**scope, "root_path": mounted + root_path, "path": mounted + root_path + path}


def _has_body(headers: Headers) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def _check_host(host: str, hosts: frozenset[str]) -> None:
    """Refuse unknown names: another site could let its own name resolve to this machine (DNS rebinding)."""
    name = _host_name(host)
    if name not in hosts and not is_loopback(name) and not name.endswith(".localhost"):
        raise HTTPException(421, f"unknown host {host[:100]!r}: use localhost, or start with --allow-host")


@lru_cache(maxsize=256)
def _host_name(host: str) -> str:
    """Return the name or address in a Host header; an empty Host header counts as localhost."""
    name, _, port = host.rpartition(":")
    return (name if port.isdecimal() else host).strip("[]").lower() if host else "localhost"


def _check_token(headers: Headers, authorization: bytes) -> None:
    given = headers.get("authorization", "").encode("latin-1")
    if not hmac.compare_digest(given, authorization):
        message = "expected the service's token: Authorization: Bearer TOKEN"
        raise HTTPException(401, message, {"WWW-Authenticate": "Bearer"})


def _check_body_headers(headers: Headers, max_bytes: int) -> None:
    """Refuse a body by its headers, before it is received."""
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdecimal()):
        raise HTTPException(400, "expected a number as Content-Length")
    if len(length) > len(str(max_bytes)) or int(length) > max_bytes:
        raise HTTPException(413, f"expected at most {max_bytes} bytes, got {length[:20]}")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise HTTPException(415, "expected an uncompressed body", {"Accept-Encoding": "identity"})


def _route(scope: Scope) -> str:
    """Return the declared path of the route, so that clients cannot create unbounded metric labels."""
    path: str | None = getattr(scope.get("route"), "path", None)
    return path or "other"


def _method(scope: Scope) -> str:
    method: str = scope["method"]
    return method if method in METHODS else "OTHER"
