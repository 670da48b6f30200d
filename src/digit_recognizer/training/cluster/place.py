"""What a task needs of the machine that it runs on, and what it does first there."""

from __future__ import annotations

from pathlib import Path

import torch

from digit_recognizer.engines import check_shared
from digit_recognizer.training.device import choose_device, configure_torch


def task_resources(device: str) -> tuple[int, int]:
    """Return how many threads and GPUs a training uses on this machine.

    Tasks get as many, because the order in which threads add up numbers decides on the last bits of weights.
    """
    configure_torch()
    return torch.get_num_threads(), int(choose_device(device).type == "cuda")


def begin_task(folder: Path, threads: int) -> None:
    """Use so many threads; raise `DigitsError` unless this machine sees the folder to write into."""
    check_shared(folder)
    configure_torch()
    torch.set_num_threads(threads)
