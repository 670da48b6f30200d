"""The handling of Ctrl+C. Imports little, because it is needed before anything else is imported."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

INTERRUPTED = 130  # exit status after Ctrl+C, as in shells
HELD_KEY_SECONDS = 1.0  # holding Ctrl+C down sends it repeatedly; until then these count as one

Handler = Callable[[int, FrameType | None], object]


@contextmanager
def exit_on_interrupt() -> Iterator[None]:
    """Exit at once on Ctrl+C: a module that is being imported may catch a KeyboardInterrupt."""
    with _on_interrupt(lambda _number, _frame: os._exit(INTERRUPTED)):
        yield


@contextmanager
def quiet_interrupt() -> Iterator[None]:
    """Exit without a traceback after Ctrl+C, even if another exception replaced the KeyboardInterrupt."""
    interrupted = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        signal.default_int_handler(number, frame)

    with _on_interrupt(interrupt):
        try:
            yield
        except BaseException:
            if interrupted:
                sys.exit(INTERRUPTED)
            raise


@contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """Give an event that the first Ctrl+C or SIGTERM sets; a second one ends the program as usual."""
    stop = threading.Event()
    first_signal_at = 0.0
    before: dict[int, Any] = {}

    def handle(number: int, _frame: object) -> None:
        nonlocal first_signal_at
        if not stop.is_set():
            first_signal_at = time.monotonic()
            stop.set()
        elif time.monotonic() - first_signal_at > HELD_KEY_SECONDS:
            signal.signal(number, before[number])
            signal.raise_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number.value] = signal.signal(number, handle)
    try:
        yield stop
    finally:
        for value, handler in before.items():
            signal.signal(value, handler)


@contextmanager
def _on_interrupt(handler: Handler) -> Iterator[None]:
    """Handle SIGINT, unless it is ignored, as under ``nohup``."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
