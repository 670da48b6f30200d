"""The machine: the processor's name, how many processors this process may use, how threads wait."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from math import ceil, inf
from pathlib import Path, PurePosixPath

ROOT = Path("/")
LIBGOMP_SPIN_COUNT = 100_000  # about 5 ms; the default is 300,000
LIBOMP_BLOCK_TIME_MS = 5  # the default is 200


def processor_name() -> str:
    """Return the processor's name from the system, such as ``Intel(R) Xeon(R) Processor``."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return next(line for line in lines if line.startswith("model name")).partition(":")[2].strip()
    except (OSError, StopIteration):  # only Linux on x86 has this line
        return platform.processor() or platform.machine()


def usable_processors(root: Path = ROOT) -> int:
    """Return how many threads of this process can run at the same time, at least 1.

    This is the smallest of: the machine's processors, the processors that the process is bound to, and the
    quotas of its control group (Linux, version 1 or 2) and of that group's parents. Fractions are rounded
    up. `root` is the folder where ``proc`` and the control groups are mounted.
    """
    processors = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        processors = min(processors, len(os.sched_getaffinity(0)))
    if hasattr(os, "process_cpu_count"):  # from Python 3.13; respects -X cpu_count
        processors = min(processors, os.process_cpu_count() or 1)
    return max(1, ceil(min([processors, *_quotas(root)])))


def shorten_spinning() -> None:
    """Let OpenMP's threads spin for a shorter time before they sleep, unless the user configured it.

    If other programs run, a spinning thread takes the processor from the threads that it waits for. But a
    thread that sleeps immediately wakes too late: on an idle machine, training would be a third slower.
    OpenMP reads the environment when torch is imported, so call this before.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(LIBGOMP_SPIN_COUNT))
        os.environ.setdefault("KMP_BLOCKTIME", str(LIBOMP_BLOCK_TIME_MS))


def _quotas(root: Path) -> Iterator[float]:
    """Yield how many processors each control group of this process may use; infinity without a limit."""
    for line in _lines(root / "proc/self/cgroup"):
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        for mounted_group, mount_point in _mounts(root, "cgroup" if controllers else "cgroup2"):
            folder = mount_point
            if PurePosixPath(group).is_relative_to(mounted_group) and ".." not in group:
                folder = mount_point / PurePosixPath(group).relative_to(mounted_group)
            if not folder.is_dir():  # in a container, the group may be visible only at the mount point
                folder = mount_point
            while True:
                yield _quota(folder)
                if folder == mount_point:
                    break
                folder = folder.parent


def _mounts(root: Path, filesystem_type: str) -> Iterator[tuple[str, Path]]:
    """Yield the group and the mount point of each mount of a type that has the controller ``cpu``."""
    for line in _lines(root / "proc/self/mountinfo"):  # 32 31 0:29 GROUP POINT rw … - cgroup SOURCE rw,cpu
        mount, _, filesystem = line.partition(" - ")
        mount_fields, filesystem_fields = mount.split(), filesystem.split()
        if len(mount_fields) < 5 or len(filesystem_fields) < 3 or filesystem_fields[0] != filesystem_type:
            continue
        if filesystem_type == "cgroup2" or "cpu" in filesystem_fields[2].split(","):
            yield mount_fields[3], root / mount_fields[4].lstrip("/")


def _quota(folder: Path) -> float:
    """Return how many processors a control group may use; infinity without a limit."""
    words = " ".join(_lines(folder / "cpu.max")).split() or [
        word for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us") for word in _lines(folder / name)
    ]
    try:
        quota, period = map(int, words)  # microseconds; quota is "max" or -1 without a limit
        return quota / period if quota > 0 else inf
    except (ValueError, ZeroDivisionError):
        return inf


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
