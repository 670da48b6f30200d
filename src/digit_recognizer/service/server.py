"""The process: listens, says so, and on SIGTERM answers what it has before it ends."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

import uvicorn

from digit_recognizer.errors import DigitsError
from digit_recognizer.service.app import create_app
from digit_recognizer.service.logs import configure
from digit_recognizer.service.protocol import Protocol, make_protocol
from digit_recognizer.service.settings import Settings
from digit_recognizer.service.state import State

BACKLOG = 2048  # connections that wait for being accepted
KEEP_ALIVE = 15  # seconds until an idle connection is closed
GRACE = 7  # seconds that requests get to end, after SIGTERM
LAST_REQUESTS = 1.0  # seconds in which open connections may still ask, behind the drain
TICK = 0.1  # seconds
LOOK = 5  # ticks between two looks at all connections
SIGNALS = (signal.SIGINT, signal.SIGTERM)
SWITCH = 0.001  # seconds after which a thread that works in Python lets another one


def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl+C.

    Parameters
    ----------
    settings
        What to serve, and where.
    announce
        Is told the address when requests are answered.

    Raises
    ------
    DigitsError
        The model is missing or damaged, or the address is taken.
    """
    _allow_many_files()
    with _listen(settings.host, settings.port) as listener:
        address = _address(listener)
        if settings.workers == 1:
            run_server(settings, listener, lambda: announce(address))
            return
        from digit_recognizer.service.workers import run_workers

        run_workers(settings, listener, lambda: announce(address))


def run_server(settings: Settings, listener: socket.socket, when_ready: Callable[[], None]) -> None:
    """Serve in this process until a signal ends it."""
    warnings.simplefilter("ignore")  # Pillow's, of what it puts up with
    sys.setswitchinterval(SWITCH)
    configure(as_json=settings.log_json)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        http=make_protocol(settings.header_seconds, settings.connections),
        ws="none",
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
        backlog=BACKLOG,
    )
    Server(config, app.state.service, settings.drain_seconds, when_ready).run([listener])


class Server(uvicorn.Server):
    """uvicorn, which says first that it is not ready any more, and ends with status 0."""

    def __init__(
        self, config: uvicorn.Config, state: State, drain_seconds: float, when_ready: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._state = state
        self._drain_seconds = drain_seconds
        self._when_ready = when_ready
        self._parent = multiprocessing.parent_process()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and say so."""
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # what is there stays: nobody waits while it is looked through again and again
        self._when_ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End by request: the signal that asked for it is not raised again behind the end."""
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
        """Go away: not ready, then closed; a second Ctrl+C does not wait."""
        if self._state.draining and sig == signal.SIGINT:
            self.should_exit = self.force_exit = True
        self._state.draining = True

    async def main_loop(self) -> None:
        """Serve until told to end, and then on for as long as others need to notice."""
        counter = 0
        while not (self._state.draining or await self.on_tick(counter)):
            counter += 1
            await asyncio.sleep(TICK)
        self._state.draining = True
        if not self.should_exit:
            await asyncio.sleep(self._drain_seconds)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let nobody else in, answer who is in, and end."""
        waiting = [connection for each in sockets or [] for connection in _accepted(each)]
        for server in self.servers:
            server.close()
        for each in sockets or []:
            each.close()
        loop = asyncio.get_running_loop()
        for connection in waiting:
            await loop.connect_accepted_socket(self._make_connection, connection)
        await self._until_nobody_asks()
        await super().shutdown(sockets)

    def _make_connection(self) -> Protocol:
        assert issubclass(self.config.http_protocol_class, Protocol)
        return self.config.http_protocol_class(self.config, self.server_state, self.lifespan.state)

    async def _until_nobody_asks(self) -> None:
        """Wait a moment for requests that are on their way over connections that are there."""
        loop = asyncio.get_running_loop()
        end = loop.time() + LAST_REQUESTS
        while self.server_state.connections and not self.force_exit and loop.time() < end:
            await asyncio.sleep(TICK / 4)

    async def on_tick(self, counter: int) -> bool:
        """Look after the connections, and whether there still is who started this worker."""
        if counter % LOOK == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, Protocol):
                    connection.look(now)
            if self._parent is not None and not self._parent.is_alive():
                return True
        return await super().on_tick(counter)


def _accepted(listener: socket.socket) -> Iterator[socket.socket]:
    """Give the connections that wait for being accepted."""
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


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _allow_many_files() -> None:
    """Allow as many open files as this user may have: each connection is one."""
    if sys.platform == "win32":
        return
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
