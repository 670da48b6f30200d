"""The machine: the processor's name, how many processors this process may use, how threads wait."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from math import ceil, inf
from pathlib import Path, PurePosixPath

from digit_recognizer.errors import DigitsError

ROOT = Path("/")
DEVICE_NAME = re.compile(r"auto|cpu(?::0)?|cuda(?::([0-9]{1,4}))?")
CUDA_NO_DEVICE, CUDA_STUB_LIBRARY = 100, 34  # results of the driver, from cuda.h
LIBGOMP_SPIN_COUNT = 100_000  # about 5 ms; the default is 300,000
LIBOMP_BLOCK_TIME_MS = 5  # the default is 200
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # options of glibc's mallopt, from malloc.h
MAX_INT = 2**31 - 1
LARGE_BYTES = 4 << 20  # of a block that goes back to the system as soon as it is freed
LEAST_MB, TORCH_MB = 600, 2000  # of address space that any command needs, and one that uses torch
THREAD_MB = 72  # of address space that each thread adds: its stack and glibc's arena


def processor_name() -> str:
    """Return the processor's name from the system, such as ``Intel(R) Xeon(R) Processor``."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return next(line for line in lines if line.startswith("model name")).partition(":")[2].strip()
    except (OSError, StopIteration):  # only Linux on x86 has this line
        return platform.processor() or platform.machine()


def processor_flags() -> frozenset[str]:
    """Return what the processor can do, in Linux's words such as ``avx2``; empty if unknown."""
    names = ("flags", "Features")  # on x86, on ARM
    found = (line.partition(":")[2] for line in _lines(Path("/proc/cpuinfo")) if line.startswith(names))
    return frozenset(next(found, "asimd" if platform.machine() in ("arm64", "aarch64") else "").split())


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


def check_device(name: str) -> None:
    """Raise `DigitsError` if a device cannot be there, without the import of torch, which takes seconds."""
    match = DEVICE_NAME.fullmatch(name)
    if match is None:
        raise DigitsError(f"expected a device auto, cpu, cuda or cuda:1, got {name!r}")
    if not name.startswith("cuda") or _torch_build().startswith("rocm"):
        return
    if _torch_build() == "cpu":
        raise DigitsError(f"cannot compute on device {name!r}: this torch is built for the processor only")
    gpus = count_gpus()
    if gpus is not None and int(match[1] or 0) >= gpus:
        found = "no NVIDIA GPU" if gpus == 0 else f"GPUs 0 to {gpus - 1}"
        raise DigitsError(f"cannot compute on device {name!r}: found {found}; use --device cpu")


def check_address_space(name: str, megabytes: int) -> None:
    """Raise `DigitsError` if a limit such as ``ulimit -v`` leaves less address space than something needs.

    In too little, native code does not raise `MemoryError`: the process ends with a segmentation fault.
    """
    limit, needed = address_space(), megabytes + THREAD_MB * usable_processors()
    if limit is not None and limit < needed:
        raise DigitsError(
            f"this process may use {limit:,} MB of address space, and {name} needs about {needed:,}: "
            "raise the limit, as with 'ulimit -v unlimited'"
        )


def address_space() -> int | None:
    """Return how much address space this process may use, in megabytes; None without a limit."""
    try:
        import resource
    except ImportError:  # on Windows
        return None
    soft_limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft_limit == resource.RLIM_INFINITY else soft_limit >> 20


def count_gpus() -> int | None:
    """Return the number of NVIDIA GPUs that this process may use; None if the driver does not say."""
    import ctypes

    library = "nvcuda.dll" if os.name == "nt" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        return 0
    number = ctypes.c_int()
    status = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(number))
    if status in (CUDA_NO_DEVICE, CUDA_STUB_LIBRARY):
        return 0
    return None if status else number.value


def _torch_build() -> str:
    """Return what follows the ``+`` in the version of torch: ``cpu``, ``cu126``, ``rocm6.2``, or nothing."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("torch").partition("+")[2]
    except PackageNotFoundError:
        return ""


def shorten_spinning() -> None:
    """Let OpenMP's threads spin for a shorter time before they sleep, unless the user configured it.

    If other programs run, a spinning thread takes the processor from the threads that it waits for. But a
    thread that sleeps immediately wakes too late: on an idle machine, training would be a third slower.
    OpenMP reads the environment when torch is imported, so call this before.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(LIBGOMP_SPIN_COUNT))
        os.environ.setdefault("KMP_BLOCKTIME", str(LIBOMP_BLOCK_TIME_MS))


def keep_freed_memory() -> None:
    """Tell glibc's allocator to return no memory to the system; do nothing under other C libraries."""
    # Each step of a training frees and allocates its activations and gradients again. If that memory goes
    # back to the system, each page costs a page fault and is zeroed: two fifths of the time of `alexnet28`.
    _configure_allocator({M_MMAP_MAX: 0, M_TRIM_THRESHOLD: MAX_INT})


def return_freed_memory() -> None:
    """Tell glibc's allocator to return large blocks to the system; do nothing under other C libraries."""
    # By default it keeps blocks of up to 32 MB once it has freed one. A large picture needs several, which
    # each thread of a service would keep.
    _configure_allocator({M_MMAP_THRESHOLD: LARGE_BYTES})


def _configure_allocator(options: dict[int, int]) -> None:
    if platform.libc_ver()[0] != "glibc":
        return
    import ctypes  # not needed by most commands

    libc = ctypes.CDLL(None)
    for option, value in options.items():
        libc.mallopt(option, value)


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
