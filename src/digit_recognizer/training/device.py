"""What the machine offers: its device and its memory."""

from __future__ import annotations

import ctypes
import os
import platform

import torch

from digit_recognizer.errors import DigitsError, first_line
from digit_recognizer.machine import usable_processors

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # glibc's malloc.h
NEVER = 2**31 - 1  # bytes at the top of the heap; mallopt takes an int


def choose_device(name: str) -> torch.device:
    """Return the device of a name: ``cpu``, ``cuda``, ``cuda:1`` …; ``auto`` is a GPU where torch finds one.

    Raises
    ------
    DigitsError
        The name is another, or that device is not to be had.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.partition(":")[0] not in ("cpu", "cuda"):
        raise DigitsError(f"expected a device auto, cpu, cuda or cuda:1, got {name!r}")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise DigitsError(f"cannot compute on device {name!r}: {first_line(error)}") from error
    return device


def limit_threads() -> None:
    """Let torch compute with no more threads than there are processors to use, unless the user chose.

    By itself, torch heeds the processors that the process is bound to, not its control group's quota.
    """
    usable = usable_processors()
    if "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > usable:
        torch.set_num_threads(usable)


def keep_freed_memory() -> None:
    """Tell glibc's allocator to give no memory back to the system while this process lives.

    Each step frees, and asks again for, as much as its activations and gradients take. Given back in
    between, every page of it is a page fault, and is zeroed: for `alexnet28` two fifths of the time.
    Elsewhere than under glibc this does nothing.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_MAX, 0)
    libc.mallopt(M_TRIM_THRESHOLD, NEVER)
