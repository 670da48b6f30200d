"""Several processes that answer on one address; where one dies, another takes its place."""

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
from digit_recognizer.service.logs import configure
from digit_recognizer.service.metrics import SHARED, forget_process
from digit_recognizer.service.server import run_server
from digit_recognizer.service.settings import Settings

log = logging.getLogger(__name__)

CONTEXT = multiprocessing.get_context("spawn")  # onnxruntime's threads do not survive a fork
PAUSE = 0.2  # seconds between two looks at the workers
PATIENCE = 9.5  # seconds that workers get to end, after SIGTERM


def run_workers(settings: Settings, listener: socket.socket, when_ready: Callable[[], None]) -> None:
    """Serve in `settings.workers` processes until SIGTERM or Ctrl+C.

    Raises
    ------
    DigitsError
        The model is missing or damaged, or a worker does not come up.
    """
    Recognizer(settings.model, threads=1)  # what is wrong with it is said here, and once
    configure(as_json=settings.log_json)
    listener.listen(socket.SOMAXCONN)
    with TemporaryDirectory(prefix="digits-metrics-") as folder:
        os.environ[SHARED] = folder
        _Workers(settings, listener).run(when_ready)


class _Workers:
    """The processes, each with what it sets when it serves."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self._settings = settings
        self._listener = listener
        self._ending = False
        self._workers: dict[SpawnProcess, Event] = {}

    def run(self, when_ready: Callable[[], None]) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, self._end)
        try:
            for _ in range(self._settings.workers):
                self._start()
            self._watch_until(lambda: all(event.is_set() for event in self._workers.values()))
            if not self._ending:
                when_ready()
            self._watch_until(lambda: False)
        finally:
            self._stop()

    def _end(self, *_: Any) -> None:
        self._ending = True

    def _start(self) -> None:
        event = CONTEXT.Event()
        process = CONTEXT.Process(target=_work, args=(self._settings, self._listener, event))
        process.start()
        self._workers[process] = event

    def _watch_until(self, done: Callable[[], bool]) -> None:
        """Start a worker for each that dies, until something is done or a signal ends all."""
        while not (self._ending or done()):
            wait([process.sentinel for process in self._workers], PAUSE)
            for process in [each for each in self._workers if not each.is_alive()]:
                if not self._ending:
                    self._replace(process)

    def _replace(self, process: SpawnProcess) -> None:
        event = self._workers.pop(process)
        forget_process(process.pid)
        if not event.is_set():
            raise DigitsError(f"a worker ended before it served, with status {process.exitcode}")
        log.warning("a worker ended with status %s: another takes its place", process.exitcode)
        self._start()

    def _stop(self) -> None:
        self._listener.close()  # the workers have their own hold of it
        for process in self._workers:
            process.terminate()
        end = time.monotonic() + PATIENCE
        for process in self._workers:
            process.join(max(0.0, end - time.monotonic()))
            if process.is_alive():
                process.kill()


def _work(settings: Settings, listener: socket.socket, ready: Event) -> None:
    """Serve, in a process of its own."""
    run_server(settings, listener, ready.set)
