"""Several worker processes on one address; a worker that dies is replaced."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event
from tempfile import TemporaryDirectory
from typing import Any

from digit_recognizer.errors import DigitsError
from digit_recognizer.recognition import Recognizer
from digit_recognizer.service.observability import METRICS_FOLDER_VARIABLE, configure_logging, forget_process
from digit_recognizer.service.settings import Settings

log = logging.getLogger(__name__)

CONTEXT = multiprocessing.get_context("spawn")  # ONNX Runtime's threads do not survive a fork
CHECK_SECONDS = 0.2  # between two checks of the workers
SHUTDOWN_SECONDS = 9.5  # for the workers, after SIGTERM


Serve = Callable[[Settings, socket.socket, Callable[[], None]], None]  # calls its last argument when ready


def run_workers(
    serve: Serve, settings: Settings, listener: socket.socket, when_ready: Callable[[], None]
) -> None:
    """Run `serve` in `settings.workers` processes until SIGTERM or Ctrl+C."""
    Recognizer(settings.model, threads=1)  # raises once, here, if the model is missing or damaged
    configure_logging(as_json=settings.log_json)
    listener.listen(socket.SOMAXCONN)
    with TemporaryDirectory(prefix="digits-metrics-") as folder:
        os.environ[METRICS_FOLDER_VARIABLE] = folder
        _Workers(serve, settings, listener).run(when_ready)


class _Workers:
    """Starts, replaces and stops the workers; each has an event that it sets when it serves."""

    def __init__(self, serve: Serve, settings: Settings, listener: socket.socket) -> None:
        self._serve = serve
        self._settings = settings
        self._listener = listener
        self._stopping = False
        self._workers: dict[SpawnProcess, Event] = {}

    def run(self, when_ready: Callable[[], None]) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
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
        process = CONTEXT.Process(target=_serve, args=(self._serve, self._settings, self._listener, event))
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
        end = time.monotonic() + SHUTDOWN_SECONDS
        for process in self._workers:
            process.join(max(0.0, end - time.monotonic()))
            if process.is_alive():
                process.kill()


def _serve(serve: Serve, settings: Settings, listener: socket.socket, ready: Event) -> None:
    """Run in a worker process."""
    serve(settings, listener, ready.set)
