"""``digits serve``: listens, answers, and shuts down without losing a request, in one process or several."""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import uvicorn

from digit_recognizer.errors import DigitsError
from digit_recognizer.recognition import Recognizer
from digit_recognizer.service.app import create_app
from digit_recognizer.service.http_limits import LimitedProtocol, make_protocol
from digit_recognizer.service.limits import State
from digit_recognizer.service.observability import METRICS_FOLDER_VARIABLE, configure_logging, forget_process
from digit_recognizer.service.settings import Settings

log = logging.getLogger(__name__)

CONTEXT = multiprocessing.get_context("spawn")  # ONNX Runtime's threads do not survive a fork
CHECK_SECONDS = 0.2  # between two checks of the workers
WORKERS_SHUTDOWN_SECONDS = 9.5  # for the workers, after SIGTERM
BACKLOG = 2048  # connections that wait to be accepted
KEEP_ALIVE_SECONDS = 15
SHUTDOWN_SECONDS = 7  # for open requests, after SIGTERM
LAST_REQUEST_SECONDS = 1.0  # for requests on open connections, after the drain
TICK_SECONDS = 0.1
TICKS_PER_CHECK = 5  # of the timeouts of all connections
SWITCH_SECONDS = 0.001  # of Python's thread switching: answers must not wait for threads that compute
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl+C.

    Parameters
    ----------
    settings
        What to serve, and on which address.
    announce
        Called with the URL when the service answers requests.

    Raises
    ------
    DigitsError
        The model is missing or damaged, or the address is taken.
    """
    _raise_file_limit()
    with _listen(settings.host, settings.port) as listener:
        url = _url(listener)
        if settings.workers == 1:
            _run_server(settings, listener, lambda: announce(url))
            return
        _run_workers(settings, listener, lambda: announce(url))


def _run_server(settings: Settings, listener: socket.socket, when_ready: Callable[[], None]) -> None:
    """Serve in this process until a signal."""
    warnings.simplefilter("ignore")  # Pillow warns about pictures that it reads nevertheless
    sys.setswitchinterval(SWITCH_SECONDS)
    configure_logging(as_json=settings.log_json)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        http=make_protocol(settings.header_seconds, settings.connections),
        ws="none",
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        backlog=BACKLOG,
    )
    _Server(config, app.state.service, settings.drain_seconds, when_ready).run([listener])


class _Server(uvicorn.Server):
    """uvicorn's server with a drain before shutdown, and exit status 0 after a signal.

    It overrides methods that uvicorn does not document, so pyproject.toml bounds uvicorn's version.
    """

    def __init__(
        self, config: uvicorn.Config, state: State, drain_seconds: float, when_ready: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._state = state
        self._drain_seconds = drain_seconds
        self._when_ready = when_ready
        self._parent = multiprocessing.parent_process()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and report it."""
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # long-lived objects need not be scanned again while requests wait
        self._when_ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals; unlike uvicorn, do not re-raise the signal, so that the exit status is 0."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {each: signal.signal(each, self.handle_exit) for each in SIGNALS}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Start the drain; a second Ctrl+C shuts down at once."""
        if self._state.draining and sig == signal.SIGINT:
            self.should_exit = self.force_exit = True
        self._state.draining = True

    async def main_loop(self) -> None:
        """Serve until a signal, and then for the drain, in which load balancers notice the shutdown."""
        counter = 0
        while not (self._state.draining or await self.on_tick(counter)):
            counter += 1
            await asyncio.sleep(TICK_SECONDS)
        self._state.draining = True
        if not self.should_exit:
            await asyncio.sleep(self._drain_seconds)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, finish open requests, shut down.

        Connections that the kernel has accepted but the event loop has not are served as well: closing the
        listener would reset them.
        """
        waiting = [connection for each in sockets or [] for connection in _accept_all(each)]
        for server in self.servers:
            server.close()
        for each in sockets or []:
            each.close()
        loop = asyncio.get_running_loop()
        for connection in waiting:
            await loop.connect_accepted_socket(self._make_connection, connection)
        await self._wait_for_last_requests()
        await super().shutdown(sockets)

    def _make_connection(self) -> LimitedProtocol:
        assert issubclass(self.config.http_protocol_class, LimitedProtocol)
        return self.config.http_protocol_class(self.config, self.server_state, self.lifespan.state)

    async def _wait_for_last_requests(self) -> None:
        """Wait a moment for requests that are on their way over open connections."""
        loop = asyncio.get_running_loop()
        end = loop.time() + LAST_REQUEST_SECONDS
        while self.server_state.connections and not self.force_exit and loop.time() < end:
            await asyncio.sleep(TICK_SECONDS / 4)

    async def on_tick(self, counter: int) -> bool:
        """Enforce connection timeouts; exit if the parent process died."""
        if counter % TICKS_PER_CHECK == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, LimitedProtocol):
                    connection.enforce_timeouts(now)
            if self._parent is not None and not self._parent.is_alive():
                return True
        return await super().on_tick(counter)


def _run_workers(settings: Settings, listener: socket.socket, when_ready: Callable[[], None]) -> None:
    """Serve in `settings.workers` processes until a signal; a worker that dies is replaced."""
    Recognizer(settings.model, threads=1)  # raises once, here, if the model is missing or damaged
    configure_logging(as_json=settings.log_json)
    listener.listen(socket.SOMAXCONN)
    with TemporaryDirectory(prefix="digits-metrics-") as folder:
        os.environ[METRICS_FOLDER_VARIABLE] = folder
        _Workers(settings, listener).run(when_ready)


class _Workers:
    """Starts, replaces and stops the workers; each has an event that it sets when it serves."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self._settings = settings
        self._listener = listener
        self._stopping = False
        self._workers: dict[SpawnProcess, Event] = {}

    def run(self, when_ready: Callable[[], None]) -> None:
        for each in SIGNALS:
            signal.signal(each, self._handle_signal)
        try:
            for _ in range(self._settings.workers):
                self._start()
            self._supervise_until(lambda: all(event.is_set() for event in self._workers.values()))
            if not self._stopping:
                when_ready()
            self._supervise_until(lambda: False)
        finally:
            self._stop()

    def _handle_signal(self, *_: Any) -> None:
        self._stopping = True

    def _start(self) -> None:
        event = CONTEXT.Event()
        process = CONTEXT.Process(target=_work, args=(self._settings, self._listener, event))
        process.start()
        self._workers[process] = event

    def _supervise_until(self, done: Callable[[], bool]) -> None:
        """Replace workers that die, until `done` or a signal."""
        while not (self._stopping or done()):
            wait([process.sentinel for process in self._workers], CHECK_SECONDS)
            for process in [each for each in self._workers if not each.is_alive()]:
                if not self._stopping:
                    self._replace(process)

    def _replace(self, process: SpawnProcess) -> None:
        event = self._workers.pop(process)
        forget_process(process.pid)
        if not event.is_set():
            raise DigitsError(f"a worker exited before it was ready, with status {process.exitcode}")
        log.warning("a worker exited with status %s; starting another", process.exitcode)
        self._start()

    def _stop(self) -> None:
        self._listener.close()  # the workers have their own copies
        for process in self._workers:
            process.terminate()
        end = time.monotonic() + WORKERS_SHUTDOWN_SECONDS
        for process in self._workers:
            process.join(max(0.0, end - time.monotonic()))
            if process.is_alive():
                process.kill()


def _work(settings: Settings, listener: socket.socket, ready: Event) -> None:
    """Run in a worker process."""
    _run_server(settings, listener, ready.set)


def _accept_all(listener: socket.socket) -> Iterator[socket.socket]:
    """Accept and yield the connections in the listener's backlog."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        yield connection


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with ExitStack() as on_failure:
            listener = on_failure.enter_context(socket.socket(family, kind, protocol))
            if sys.platform != "win32":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            on_failure.pop_all()
    except OSError as error:
        raise DigitsError(f"cannot listen on {host}, port {port}: {error.strerror or error}") from error
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _raise_file_limit() -> None:
    """Allow as many open files as the system lets this user have: each connection is one."""
    if sys.platform == "win32":
        return
    import resource

    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
