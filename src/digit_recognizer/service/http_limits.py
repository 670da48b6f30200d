"""One HTTP connection: header timeout, header size limit, stalled readers, number of connections."""

from __future__ import annotations

import asyncio
import json
from itertools import count
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from digit_recognizer.service.limits import SECURITY_HEADERS

MAX_HEADER_BYTES = 64_000  # of the request line and the headers
PIECE_BYTES = 16_000
LINGER_SECONDS = 1.0  # how long a connection stays open after an error
STALLED_SECONDS = 20.0  # how long a client may read nothing of its response

CONNECTION_NUMBERS = count()  # several connections may be made at the same time of the event loop
BAD_REQUEST = (400, "Bad Request", "expected an HTTP request")
HEADERS_TOO_LARGE = (
    431,
    "Request Header Fields Too Large",
    f"expected at most {MAX_HEADER_BYTES} header bytes",
)
HEADERS_TOO_SLOW = (408, "Request Timeout", "the request headers came too slowly")


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's connection with limits; the server calls `enforce_timeouts` regularly.

    It overrides methods that uvicorn does not document, so pyproject.toml bounds uvicorn's version.
    """

    header_seconds: float
    max_connections: int

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the header timeout; close another connection if there are too many."""
        super().connection_made(transport)
        self._header_bytes = 0
        self._headers_due: float | None = self.loop.time() + self.header_seconds  # None: they are complete
        self._number = next(CONNECTION_NUMBERS)
        self._has_ended = False
        self._unsent = 0
        self._unsent_since = 0.0
        if len(self.connections) > self.max_connections:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        """Parse what the client sends; headers in small pieces, so that they can be counted."""
        if self._has_ended:
            return
        if self._headers_due is None:
            super().data_received(data)
            return
        for start in range(0, len(data), PIECE_BYTES):
            self._receive_piece(data[start : start + PIECE_BYTES])
            if self._has_ended or self.transport.is_closing():
                return

    def _receive_piece(self, piece: bytes) -> None:
        super().data_received(piece)
        if self._headers_due is not None:
            self._header_bytes += len(piece)
            if self._header_bytes > MAX_HEADER_BYTES:
                self._send_error(*HEADERS_TOO_LARGE)

    def on_message_begin(self) -> None:
        """Start the header timeout of the next request."""
        super().on_message_begin()
        if self._headers_due is None:
            self._headers_due = self.loop.time() + self.header_seconds

    def on_headers_complete(self) -> None:
        """Stop the header timeout."""
        self._headers_due = None
        self._header_bytes = 0
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """Answer in JSON what cannot be parsed as HTTP."""
        self._send_error(*BAD_REQUEST)

    def enforce_timeouts(self, now: float) -> None:
        """Close the connection if its headers are late or the client does not read its response."""
        if self._headers_due is not None and now > self._headers_due and self.is_idle():
            self._send_error(*HEADERS_TOO_SLOW)
        unsent = self.transport.get_write_buffer_size()
        if not unsent or unsent != self._unsent:
            self._unsent, self._unsent_since = unsent, now
        elif now - self._unsent_since > STALLED_SECONDS:
            self.transport.abort()

    def _make_room(self) -> None:
        """Close the connection that has been idle longest, or this one if all others are busy."""
        idle = [each for each in self.connections if isinstance(each, LimitedProtocol) and each.is_idle()]
        chosen = min(idle, key=lambda each: each.idle_order(), default=self)
        chosen.transport.abort()

    def is_idle(self) -> bool:
        """Return whether no request is in progress on this connection."""
        return self.cycle is None or self.cycle.response_complete

    def idle_order(self) -> tuple[float, int]:
        """Return a sort key: kept-alive connections first, then by the time at which headers are due."""
        return self._headers_due if self._headers_due is not None else 0.0, self._number

    def _send_error(self, status: int, phrase: str, message: str) -> None:
        """Send an error if nothing else is being sent, and close the connection a moment later.

        Until then, what the client still sends is read and discarded: if unread data were left when the
        connection closes, the client's machine would drop the error unseen (TCP reset).
        """
        self._headers_due = None
        if self._has_ended or self.transport.is_closing():
            return
        self._has_ended = True
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.close()
            return
        if self.cycle is not None:
            self.cycle.disconnected = True  # the application must not answer as well
            self.cycle.message_event.set()
        self.transport.write(_response(status, phrase, message))
        self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)


def make_protocol(header_seconds: float, connections: int) -> type[LimitedProtocol]:
    """Return a protocol class with a server's limits; uvicorn makes one instance for each connection."""
    limits: dict[str, Any] = {"header_seconds": header_seconds, "max_connections": connections}
    return type("Protocol", (LimitedProtocol,), limits)


def _response(status: int, phrase: str, message: str) -> bytes:
    body = json.dumps({"error": message}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *SECURITY_HEADERS,
        (b"connection", b"close"),
    ]
    lines = [f"HTTP/1.1 {status} {phrase}".encode(), *(name + b": " + value for name, value in headers)]
    return b"\r\n".join([*lines, b"", body])
