"""What every training does in its run folder: describe where it runs, save after each epoch, and clean up."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock

from digit_recognizer import __version__
from digit_recognizer.machine import keep_freed_memory, processor_name
from digit_recognizer.runs.environment import DataDescription, Environment
from digit_recognizer.runs.history import EpochRecord
from digit_recognizer.runs.run_folder import CHECKPOINT
from digit_recognizer.training.fit import DivergedError
from digit_recognizer.training.state import R, TrainingState, save_state


@contextmanager
def training_in(folder: Path, lock: FileLock) -> Iterator[None]:
    """Release the lock of a run folder at the end; delete the folder if the first epoch diverges."""
    keep_freed_memory()
    try:
        yield
    except DivergedError:
        if not (folder / CHECKPOINT).exists():  # make the name available to the next try
            shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        lock.release()


def save_each(records: Iterator[EpochRecord], state: TrainingState[R], folder: Path) -> Iterator[EpochRecord]:
    """Save the state after each epoch, then yield its record; save it also if the training was stopped."""
    for record in records:
        save_state(state, folder)
        yield record
    if not state.is_over:
        save_state(state, folder)


def describe_environment(data: DataDescription, seed: int, device: torch.device) -> Environment:
    """Return what a run is started with now, on this machine."""
    return Environment(
        seed,
        data,
        begun=datetime.now().astimezone().isoformat(timespec="seconds"),
        versions={
            "digit_recognizer": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "torch": torch.__version__,
        },
        machine={
            "platform": platform.platform(),
            "processor": processor_name(),
            "device": str(device) if device.type == "cpu" else torch.cuda.get_device_name(device),
            "threads": torch.get_num_threads(),
        },
    )
