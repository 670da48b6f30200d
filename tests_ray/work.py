"""Functions that workers of the cluster run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import ray

from digit_recognizer.errors import DigitsError


def start_squaring(notes: Path, seconds: float = 0.1) -> Callable[[int], int]:
    """Return a function that notes its process and its node, and takes a while."""
    place = f"{os.getpid()} {ray.get_runtime_context().get_node_id()}"

    def square(number: int) -> int:
        (notes / f"{number}-{time.monotonic_ns()}").write_text(place)
        time.sleep(seconds)
        return number**2

    return square


def start_refused() -> Callable[[int], int]:
    """Raise what a worker raises that cannot start."""
    raise DigitsError("no model here")


def start_echo() -> Callable[[int], int]:
    """Return a function that takes no time."""
    return int


def fail(number: int) -> int:
    """Raise what is no mistake of the user's."""
    raise KeyError(number)


def refuse(number: int) -> int:
    """Raise what the user can correct."""
    raise DigitsError(f"{number} is too large")


def read_threads() -> str | None:
    """Return what limits the threads of libraries."""
    return os.environ.get("OMP_NUM_THREADS")
