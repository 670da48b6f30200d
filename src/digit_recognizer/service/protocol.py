"""HTTP on one connection, with an eye on clients that send slowly, too much of a header, or read nothing."""

from __future__ import annotations

import asyncio
import json
from itertools import count
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from digit_recognizer.service.limits import HEADERS

HEADER_BYTES = 64_000  # of a request's line and headers
PIECE = 16_000  # bytes
LINGER = 1.0  # seconds that a connection stays open behind an answer that was not waited for
UNREAD_SECONDS = 20.0  # a response that a client does not take for as long is given up

NUMBERS = count()  # of connections, as they come: many may come at the same time of the loop
NO_HTTP = (400, "Bad Request", "this is no HTTP request")
TOO_LARGE = (431, "Request Header Fields Too Large", f"expected at most {HEADER_BYTES} bytes of headers")
TOO_SLOW = (408, "Request Timeout", "the request's headers came too slowly")


class Protocol(HttpToolsProtocol):
    """A connection that the server looks at now and then; see `look`."""

    header_seconds: float
    most: int

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request; where there are too many connections, another must go."""
        super().connection_made(transport)
        self._header_bytes = 0
        self._headers_due: float | None = self.loop.time() + self.header_seconds
        self._number = next(NUMBERS)
        self._has_ended = False
        self._unsent = 0
        self._unsent_since = 0.0
        if len(self.connections) > self.most:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        """Take what the client sends; headers in small pieces, so that they are counted."""
        if self._has_ended:
            return
        if self._headers_due is None:
            super().data_received(data)
            return
        for start in range(0, len(data), PIECE):
            self._take(data[start : start + PIECE])
            if self._has_ended or self.transport.is_closing():
                return

    def _take(self, piece: bytes) -> None:
        super().data_received(piece)
        if self._headers_due is not None:
            self._header_bytes += len(piece)
            if self._header_bytes > HEADER_BYTES:
                self._end(*TOO_LARGE)

    def on_message_begin(self) -> None:
        """Begin to wait for headers."""
        super().on_message_begin()
        if self._headers_due is None:
            self._headers_due = self.loop.time() + self.header_seconds

    def on_headers_complete(self) -> None:
        """All headers are there."""
        self._headers_due = None
        self._header_bytes = 0
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """Answer what is no HTTP in the form that every error has."""
        self._end(*NO_HTTP)

    def look(self, now: float) -> None:
        """Give up a client that has not sent its headers in time, or does not take its answer."""
        if self._headers_due is not None and now > self._headers_due and self.is_waiting():
            self._end(*TOO_SLOW)
        unsent = self.transport.get_write_buffer_size()
        if not unsent or unsent != self._unsent:
            self._unsent, self._unsent_since = unsent, now
        elif now - self._unsent_since > UNREAD_SECONDS:
            self.transport.abort()

    def _make_room(self) -> None:
        """Close the connection that waits the longest for headers, or does nothing; else this one."""
        waiting = [each for each in self.connections if isinstance(each, Protocol) and each.is_waiting()]
        chosen = min(waiting, key=lambda each: each.waits_since(), default=self)
        chosen.transport.abort()

    def is_waiting(self) -> bool:
        """Return whether no request is worked on here."""
        return self.cycle is None or self.cycle.response_complete

    def waits_since(self) -> tuple[float, int]:
        """Return what tells who has waited longer for headers; idle connections go first, then older ones."""
        return self._headers_due if self._headers_due is not None else 0.0, self._number

    def _end(self, status: int, phrase: str, sentence: str) -> None:
        """Answer, if nothing else is being answered, and close the connection.

        What the client still sends is read and forgotten for a moment: closed with that unread, the
        connection would break before the client sees the answer.
        """
        self._headers_due = None
        if self._has_ended or self.transport.is_closing():
            return
        self._has_ended = True
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.close()
            return
        if self.cycle is not None:
            self.cycle.disconnected = True  # there is nobody for it to answer
            self.cycle.message_event.set()
        self.transport.write(_response(status, phrase, sentence))
        self.transport.write_eof()
        self.loop.call_later(LINGER, self.transport.close)


def make_protocol(header_seconds: float, connections: int) -> type[Protocol]:
    """Return the class of the connections of a server, with its limits."""
    limits: dict[str, Any] = {"header_seconds": header_seconds, "most": connections}
    return type("LimitedProtocol", (Protocol,), limits)


def _response(status: int, phrase: str, sentence: str) -> bytes:
    body = json.dumps({"error": sentence}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *HEADERS,
        (b"connection", b"close"),
    ]
    lines = [f"HTTP/1.1 {status} {phrase}".encode(), *(name + b": " + value for name, value in headers)]
    return b"\r\n".join([*lines, b"", body])
