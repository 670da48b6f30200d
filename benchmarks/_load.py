"""A load generator in a separate process: many connections, each sends requests as fast as they are answered.

It reads a job from standard input and prints one line of JSON: the number of answers with each status, the
time of each answer, and the total time.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

HEADERS_END = b"\r\n\r\n"
CONTENT_LENGTH = b"content-length: "


def request_of(path: str, kind: str = "", body: bytes = b"") -> bytes:
    """Return a complete HTTP/1.1 request."""
    lines = [f"{'POST' if body else 'GET'} {path} HTTP/1.1", "Host: localhost"]
    if body:
        lines += [f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Client(asyncio.Protocol):
    """One connection: sends a request, waits for the complete answer, sends the next."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._answer = b""
        self._sent = 0.0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        end = self._answer.find(HEADERS_END)
        if end < 0:
            return
        head = self._answer[:end]
        start = head.find(CONTENT_LENGTH) + len(CONTENT_LENGTH)
        length = int(head[start:].split(b"\r\n", 1)[0])
        if len(self._answer) < end + len(HEADERS_END) + length:
            return
        self._run.count(head[9:12].decode(), time.perf_counter() - self._sent)
        self._answer = b""
        if b"connection: close" in head:
            self._sent = 0.0
            self._transport.close()
        else:
            self._next()

    def connection_lost(self, _error: Exception | None) -> None:
        if self._sent:
            self._run.count("unanswered", time.perf_counter() - self._sent)
        self._run.reconnect()

    def _next(self) -> None:
        if not self._run.take():
            self._sent = 0.0
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(self._run.request)


class Run:
    """The state of a load test: how many requests remain, and the results of the others."""

    def __init__(self, port: int, request: bytes, connections: int, requests: int) -> None:
        self.request = request
        self._port = port
        self._left = requests
        self._open = connections
        self._statuses: Counter[str] = Counter()
        self._seconds: list[float] = []
        self._done = asyncio.Event()

    async def go(self) -> dict[str, Any]:
        begun = time.perf_counter()
        for _ in range(self._open):
            await self._connect()
        await self._done.wait()
        seconds = time.perf_counter() - begun
        return {"statuses": dict(self._statuses), "seconds": seconds, "latencies": self._seconds}

    def take(self) -> bool:
        self._left -= 1
        return self._left >= 0

    def count(self, status: str, seconds: float) -> None:
        self._statuses[status] += 1
        self._seconds.append(round(seconds, 6))

    def reconnect(self) -> None:
        if self._left > 0:
            self._connecting = asyncio.ensure_future(self._connect())
            return
        self._open -= 1
        if not self._open:
            self._done.set()

    async def _connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: Client(self), "127.0.0.1", self._port)
        except OSError:
            self._statuses["refused"] += 1
            self._left = 0
            self.reconnect()


def load(port: int, request: bytes, connections: int, requests: int) -> dict[str, Any]:
    """Run a load test in a separate process, and return its result."""
    job = {"port": port, "request": request.hex(), "connections": connections, "requests": requests}
    # isolated from PYTHONUNBUFFERED: without a buffer, Python drops what a pipe does not take at once
    command = [sys.executable, "-I", str(Path(__file__))]
    done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main() -> None:
    job = json.load(sys.stdin)
    job["request"] = bytes.fromhex(job["request"])

    async def go() -> dict[str, Any]:
        return await Run(**job).go()

    try:
        from uvloop import run
    except ImportError:
        run = asyncio.run
    print(json.dumps(run(go())))


if __name__ == "__main__":
    main()
