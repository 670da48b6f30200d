"""A service in a process of its own, for tests."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

PATIENCE = 60  # seconds; other tests may run at the same time


class Service:
    """A running service and the line that announced it."""

    def __init__(self, process: subprocess.Popen[str], line: str) -> None:
        self.process = process
        self.line = line
        self.port = int(line.split()[2].rpartition(":")[2])

    def ask(
        self, path: str, body: bytes | None = None, timeout: float = PATIENCE
    ) -> tuple[int, bytes, dict[str, str]]:
        """Send a request over a new connection; return status, body and headers of the answer."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            headers = {"Content-Type": "application/octet-stream"}
            connection.request("GET" if body is None else "POST", path, body, headers)
            response = connection.getresponse()
            return response.status, response.read(), dict(response.getheaders())
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def end(self, sent: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal; return the exit status."""
        self.process.send_signal(sent)
        return self.process.wait(PATIENCE)


@contextmanager
def serving(*options: str, cwd: Path | None = None) -> Iterator[Service]:
    """Run ``digits serve`` on a free port."""
    command = [sys.executable, "-m", "digit_recognizer", "serve", "--port", "0", *options]
    patient = {**os.environ, "DIGITS_REQUEST_SECONDS": str(PATIENCE)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=cwd, env=patient) as process:
        try:
            assert process.stdout is not None
            yield Service(process, process.stdout.readline())
        finally:
            process.kill()


def received(connection: socket.socket) -> bytes:
    """Return everything until the connection is closed."""
    parts = []
    while part := connection.recv(65_536):
        parts.append(part)
    return b"".join(parts)
