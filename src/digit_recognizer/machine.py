"""The machine that this runs on: its processor's name, how much of it may be used, and how threads wait."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from math import ceil, inf
from pathlib import Path, PurePosixPath

ROOT = Path("/")
SPINS = 100_000  # of libgomp, about 5 ms; by default it is 300,000
BLOCK_MILLISECONDS = 5  # of libomp, as on macOS; by default it is 200


def processor_name() -> str:
    """Return the processor's name as the system tells it, such as ``Intel(R) Xeon(R) Processor``."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return next(line for line in lines if line.startswith("model name")).partition(":")[2].strip()
    except (OSError, StopIteration):  # only Linux on x86 has it there
        return platform.processor() or platform.machine()


def usable_processors(root: Path = ROOT) -> int:
    """Return how many threads of this process can compute at a time, at least 1.

    That is the least of the machine's processors, those that the process is bound to, and the quota of its
    control group (Linux, version 1 or 2) and of each group above that one. A fraction is rounded up.

    Parameters
    ----------
    root
        Where ``proc`` and the control groups are mounted.
    """
    processors = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # neither on macOS nor on Windows
        processors = min(processors, len(os.sched_getaffinity(0)))
    if hasattr(os, "process_cpu_count"):  # from Python 3.13; knows -X cpu_count
        processors = min(processors, os.process_cpu_count() or 1)
    return max(1, ceil(min([processors, *_quotas(root)])))


def wait_briefly() -> None:
    """Let OpenMP's threads spin less before they sleep, unless the user chose how they wait.

    A thread that spins takes a processor from what it waits for, where other programs run; one that sleeps at
    once wakes too late, and costs a third of the speed of training on an idle machine. OpenMP looks at the
    environment when torch is imported, so this comes before.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))
        os.environ.setdefault("KMP_BLOCKTIME", str(BLOCK_MILLISECONDS))


def _quotas(root: Path) -> Iterator[float]:
    """Give the processors that each control group of this process may use, where it is limited."""
    for line in _lines(root / "proc/self/cgroup"):
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        for place, point in _mounts(root, "cgroup" if controllers else "cgroup2"):
            folder = point
            if PurePosixPath(group).is_relative_to(place) and ".." not in group:
                folder = point / PurePosixPath(group).relative_to(place)
            if not folder.is_dir():  # a container may see its group at the mount point only
                folder = point
            while True:
                yield _quota(folder)
                if folder == point:
                    break
                folder = folder.parent


def _mounts(root: Path, kind: str) -> Iterator[tuple[str, Path]]:
    """Give which group is mounted, and where, of each mount of a kind that has the controller ``cpu``."""
    for line in _lines(root / "proc/self/mountinfo"):  # 32 31 0:29 GROUP POINT rw … - cgroup SOURCE rw,cpu
        before, _, after = line.partition(" - ")
        fields, described = before.split(), after.split()
        if len(fields) < 5 or len(described) < 3 or described[0] != kind:
            continue
        if kind == "cgroup2" or "cpu" in described[2].split(","):
            yield fields[3], root / fields[4].lstrip("/")


def _quota(folder: Path) -> float:
    """Return how many processors a control group may use; infinity without a limit."""
    words = " ".join(_lines(folder / "cpu.max")).split() or [
        word for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us") for word in _lines(folder / name)
    ]
    try:
        quota, period = map(int, words)  # microseconds; "max" or -1 without a limit
        return quota / period if quota > 0 else inf
    except (ValueError, ZeroDivisionError):
        return inf


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
