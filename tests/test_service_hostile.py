"""Files that mean no good: each is answered, soon, and without much memory.

``make test-hostile`` does the same with 20,000 mutated pictures.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from hostile import KINDS, corpus, good, mutated
from serving import Service, serving

MUTATED = int(os.environ.get("MUTATED", "200"))  # pictures
SECONDS = 2.0  # of processor time, for any file
MEGABYTES = 300  # beyond what the service takes for nothing
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
LINUX = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks at processes in /proc")


@pytest.fixture(scope="module")
def service():
    with serving() as service:
        service.ask("/v1/read", good("PNG"))
        yield service


def seconds(service: Service) -> float:
    """Return the processor time that a service has taken."""
    fields = Path(f"/proc/{service.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def megabytes(service: Service) -> float:
    """Return the most memory that a service has taken since `forget` was called."""
    lines = Path(f"/proc/{service.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("VmHWM"))


def forget(service: Service) -> None:
    Path(f"/proc/{service.process.pid}/clear_refs").write_text("5")


@pytest.mark.slow
@LINUX
def test_no_bad_file_costs_much_or_is_a_mistake_of_the_service(service):
    before = megabytes(service)
    files, dear = 0, []
    for name, content in corpus():
        forget(service)
        begun = seconds(service)
        status, answer, _ = service.ask("/v1/read", content)
        assert status in (200, 413, 422), f"{name}: {status} {answer[:200]!r}"
        files += 1
        cost, memory = seconds(service) - begun, megabytes(service) - before
        if cost > SECONDS or memory > MEGABYTES:
            dear.append(f"{name}: {cost:.1f} s, {memory:.0f} MB")
    assert files >= 300
    assert dear == []
    assert service.ask("/v2/health/ready")[0] == 200


@pytest.mark.slow
@LINUX
def test_no_mutated_picture_costs_much_or_is_a_mistake_of_the_service(service):
    begun, before = seconds(service), megabytes(service)
    for seed in range(MUTATED):
        picture = mutated(good(KINDS[seed % len(KINDS)]), np.random.default_rng([7, seed]))
        asked = seconds(service)
        status, answer, _ = service.ask("/v1/read", picture)
        assert status in (200, 422), f"mutation {seed}: {status} {answer[:200]!r}"
        assert seconds(service) - asked <= SECONDS, f"mutation {seed}"
    assert megabytes(service) - before <= MEGABYTES
    assert seconds(service) - begun <= MUTATED * SECONDS / 4
