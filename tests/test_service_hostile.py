"""Hostile files: each is answered quickly and without much memory.

``make test-hostile`` sends 20,000 mutated pictures; MUTATED is another number of them, and MUTATED_FROM the
first seed: MUTATED=50000 MUTATED_FROM=50000 sends the second half of 100,000.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from hostile import KINDS, corpus, crowded, good, mutated
from serving import Service, serving

MUTATED = int(os.environ.get("MUTATED", "200"))  # pictures
MUTATED_FROM = int(os.environ.get("MUTATED_FROM", "0"))
MAX_TIMES = 1.5  # the processor time of a page full of numbers, which differs from processor to processor
MAX_MEGABYTES = 300  # above what the service needs anyway
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads processes in /proc"),
]


@pytest.fixture(scope="module")
def service():
    with serving() as service:
        service.ask("/v1/read", good("PNG"))
        yield service


@pytest.fixture(scope="module")
def max_seconds(service):
    """The processor time that one file may take."""
    page = dict(crowded())["PNG of many numbers"]
    before = seconds(service)
    assert service.ask("/v1/read", page)[0] == 200
    forget_peak(service)
    return MAX_TIMES * (seconds(service) - before)


def seconds(service: Service) -> float:
    """Return the processor time that a service has used."""
    fields = Path(f"/proc/{service.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def megabytes(service: Service) -> float:
    """Return a service's peak memory."""
    lines = Path(f"/proc/{service.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("VmHWM"))


def forget_peak(service: Service) -> None:
    """Set a service's peak memory to what it uses now."""
    Path(f"/proc/{service.process.pid}/clear_refs").write_text("5")


@contextmanager
def within_limits(service: Service, name: str, max_seconds: float, idle_megabytes: float) -> Iterator[None]:
    """Measure one request's processor time and peak memory."""
    forget_peak(service)
    before = seconds(service)
    yield
    assert seconds(service) - before <= max_seconds, name
    assert megabytes(service) - idle_megabytes <= MAX_MEGABYTES, name


def test_every_hostile_file_is_answered_within_limits(service, max_seconds):
    idle = megabytes(service)
    files = dict(corpus())
    assert len(files) >= 230
    for name, content in files.items():
        with within_limits(service, name, max_seconds, idle):
            status, answer, _ = service.ask("/v1/read", content)
        assert status in (200, 413, 422), f"{name}: {status} {answer[:200]!r}"
    assert service.ask("/v2/health/ready")[0] == 200


def test_every_mutated_picture_is_answered_within_limits(service, max_seconds):
    start, idle = seconds(service), megabytes(service)
    for seed in range(MUTATED_FROM, MUTATED_FROM + MUTATED):
        picture = mutated(good(KINDS[seed % len(KINDS)]), np.random.default_rng([7, seed]))
        with within_limits(service, f"mutation {seed}", max_seconds, idle):
            status, answer, _ = service.ask("/v1/read", picture)
        assert status in (200, 422), f"mutation {seed}: {status} {answer[:200]!r}"
    assert seconds(service) - start <= MUTATED * max_seconds / 4
