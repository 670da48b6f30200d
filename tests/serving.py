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
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

HOP_BY_HOP = {"Connection", "Content-Length", "Host", "Keep-Alive", "Transfer-Encoding"}  # and what changes
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


@contextmanager
def proxy(port: int, below: str, *, removes_path: bool) -> Iterator[str]:
    """Run a reverse proxy that serves the service at a port below a path; yield the address of the page."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if not self.path.startswith(f"{below}/"):
                self.send_error(404)
                return
            path = self.path.removeprefix(below) if removes_path else self.path
            sent = {name: value for name, value in self.headers.items() if name not in HOP_BY_HOP}
            service = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            service.request(self.command, path, body, {**sent, "Host": f"127.0.0.1:{port}"})
            response = service.getresponse()
            content = response.read()
            service.close()
            self.send_response_only(response.status)
            for name, value in response.getheaders():
                if name.title() not in HOP_BY_HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_DELETE = do_GET = do_POST = forward  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}{below}/"
        server.shutdown()
        thread.join()


def received(connection: socket.socket) -> bytes:
    """Return everything until the connection is closed."""
    parts = []
    while part := connection.recv(65_536):
        parts.append(part)
    return b"".join(parts)
