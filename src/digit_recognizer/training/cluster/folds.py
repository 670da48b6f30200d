"""The folds of a cross-validation as tasks: each trains, or resumes, the run of one fold in its folder."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from digit_recognizer.engines import Engine, completed
from digit_recognizer.runs.history import EpochRecord, read_history
from digit_recognizer.runs.run_folder import HISTORY, is_finished
from digit_recognizer.training.cluster.place import begin_task
from digit_recognizer.training.splits import Fold


@dataclass(frozen=True, slots=True, eq=False)
class FoldTask:
    """What all folds have in common; `train` and `resume` are those of the data's kind."""

    folder: Path
    recipe: Any
    folds: int
    seed: int
    source: str
    device: str
    threads: int
    train: Callable[..., Iterable[EpochRecord]]
    resume: Callable[..., Iterable[EpochRecord]]

    def run_folder(self, number: int) -> Path:
        """Return the folder of the run of a fold, counted from 1."""
        return self.folder / f"fold-{number}"


def run_folds(
    task: FoldTask, data: Any, numbers: Iterable[int], engine: Engine, stop: Event | None
) -> Generator[tuple[int, Generator[EpochRecord]]]:
    """Train folds, and yield the number and the records of each once it is complete."""
    shared = engine.share(data)
    futures = {engine.submit(train_fold, shared, task, number): number for number in numbers}
    for future in completed(futures, stop):
        future.result()
        yield futures[future], _recorded(task.run_folder(futures[future]))


def train_fold(data: Any, task: FoldTask, number: int) -> None:
    """Train the run of a fold, or resume it, to its end: a task."""
    begin_task(task.folder, task.threads)
    target = task.run_folder(number)
    if target.exists() and is_finished(target):  # by a worker that was lost before it could say so
        return
    if target.exists():
        records = task.resume(target, data, device=task.device)
    else:
        records = task.train(
            data,
            task.recipe,
            target,
            seed=task.seed,
            device=task.device,
            source=task.source,
            fold=Fold(number, task.folds),
        )
    for _ in records:
        pass


def _recorded(folder: Path) -> Generator[EpochRecord]:
    yield from read_history(folder / HISTORY)
