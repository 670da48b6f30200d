"""Killed trainings, full and failing disks, and little memory, at full size.

    make reliability                                  # everything; writes benchmarks/reliability.json
    python benchmarks/reliability.py --kills 5 --short    # a few of everything, to see whether it runs

A full disk is a small tmpfs, which only root can mount; a failing one is an error that strace injects into a
system call (Linux). Without them, a message says so and these rows are missing. ``make test-hostile`` sends
damaged pictures; ``make bench-service`` overloads and ends the service.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import Any

from _bench import BenchmarkError, at_least, facts_of_machine, measure_and_write, own_versions, say
from _result_rows import Row, as_json, proportion, table
from _result_rows import at_least as bar_at_least
from digit_recognizer.corrections import CorrectionStore

PICTURES = Path(__file__).parents[1] / "docs/reading"
SEED = 0
# float32, because each training would measure again which precision is faster
SMALL_TRAINING = ("train", "bundled", "--recipe", "flash", "--set", "precision=float32", "--epochs", "2")
TRAINING = (*SMALL_TRAINING[:-1], "8")
TIMES = ("seconds", "images_per_second")  # columns of the history that differ between equal runs
FREE_KB = (0, 4, 16, 64, 256, 1024, 4096, 16384)
INJECTED = ("write", "pwrite64", "fsync", "fdatasync", "rename", "unlink")  # system calls that fail
MAX_FAULTS = 25  # of one command, at equal distances
MEMORY_MB = (100, 300, 500, 700, 900, 1200, 1600, 2200, 3000)
PATIENCE = 300  # seconds
OLD_TABLE = "what was there before\n"
OLD_CORRECTIONS, CORRECTIONS = 3, 200  # there before, and added
ADD_CORRECTIONS = """
import sys
import numpy as np
from digit_recognizer.corrections import CorrectionStore
from digit_recognizer.errors import DigitsError

try:
    store = CorrectionStore(sys.argv[1])
    for number in range(int(sys.argv[2])):
        store.add(np.full((28, 28), number, np.uint8), 3)
except DigitsError as error:
    print(f"digits: {error}", file=sys.stderr)
    sys.exit(2)
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--kills", type=at_least(1), default=200, help="runs that are killed; default: %(default)s"
    )
    parser.add_argument("--short", action="store_true", help="few faults of the disk, few limits of memory")
    parser.add_argument("-o", "--output", type=Path, metavar="PATH", help="write the figures as JSON, too")
    return measure_and_write(parser.parse_args(), _run)


def _run(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    facts = facts_of_machine()
    print(json.dumps(facts))
    rows: list[Row] = []
    for part in (_killed_runs, _full_disks, _failing_disks, _little_memory):
        started = time.perf_counter()
        work = folder / part.__name__
        work.mkdir()
        rows += part(arguments, work)
        say(f"{part.__name__}: {time.perf_counter() - started:.0f} s")
    print("\n" + table(rows))
    settings = {name: value for name, value in vars(arguments).items() if name != "output"}
    return {"machine": facts, "versions": own_versions(), "settings": settings, "rows": as_json(rows)}


# Commands


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    status: int
    errors: str

    @property
    def is_refused(self) -> bool:
        """Whether it ended as an error of the user's must: one sentence, status 2."""
        sentences = [line for line in self.errors.splitlines() if line.startswith("digits: ")]
        return self.status == 2 and len(sentences) == 1 and "Traceback" not in self.errors


def _digits(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "digit_recognizer", *map(str, words)]


def _end(command: Sequence[str], **options: Any) -> Ended:
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=PATIENCE, check=False, **options
    )
    return Ended(done.returncode, done.stderr)


def _must_succeed(*words: str | Path) -> None:
    ended = _end(_digits(*words))
    if ended.status:
        raise BenchmarkError(f"'digits {' '.join(map(str, words))}' failed:\n{ended.errors[-2000:]}")


def _bits(run: Path) -> dict[str, str]:
    """Return what must not depend on when a run was interrupted: digests of files, and its history."""
    history = list(csv.DictReader((run / "history.csv").open(encoding="utf-8", newline="")))
    rows = [{name: value for name, value in row.items() if name not in TIMES} for row in history]
    files = {
        name: _digest(run / name)
        for name in ("model.safetensors", "model.onnx", "validation.npy", "recipe.toml")
    }
    return {**files, "history": json.dumps(rows)}


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _names(run: Path) -> list[str]:
    return sorted(str(path.relative_to(run)) for path in run.rglob("*"))


# Killed runs


def _killed_runs(arguments: argparse.Namespace, folder: Path) -> Iterator[Row]:
    """Kill trainings after their folder exists, resume each, and compare it with one that went on."""
    processors: Queue[int] = Queue()  # of which each training gets one, so that all use one thread
    for processor in sorted(os.sched_getaffinity(0)):
        processors.put(processor)
    workers = processors.qsize()
    whole, states = folder / "whole", Counter[str]()
    started = time.perf_counter()
    _train(whole, min(os.sched_getaffinity(0))).wait(PATIENCE)
    longest, expected = time.perf_counter() - started, _bits(whole)

    def kill_and_resume(number: int) -> bool:
        run = folder / f"run-{number}"
        chance = random.Random(f"{SEED} {number}")
        processor = processors.get()
        try:
            while not (state := _kill(run, processor, chance.uniform(0, longest))):
                shutil.rmtree(run)  # it had ended before
            states[state] += 1
            resumed = _end([*_on(processor), *_digits("train", "--resume", run)])
            same = resumed.status == 0 and _bits(run) == expected and _names(run) == _names(whole)
            if not same:
                say(f"run {number}, killed {state}: status {resumed.status}\n{resumed.errors[-1500:]}")
            return same
        finally:
            processors.put(processor)
            shutil.rmtree(run)

    with ThreadPoolExecutor(workers) as pool:
        same = list(pool.map(kill_and_resume, range(arguments.kills)))
    say(f"killed: {dict(states)}")
    section = "Trainings killed with SIGKILL at random instants"
    yield proportion(section, "resumed to the same bits", same, bar_at_least(100))


def _on(processor: int) -> list[str]:
    return ["taskset", "-c", str(processor)]


def _train(run: Path, processor: int) -> subprocess.Popen[bytes]:
    command = [*_on(processor), *_digits(*TRAINING, "--out", run)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _kill(run: Path, processor: int, seconds: float) -> str:
    """Kill a training some time after its folder appeared; return what it had done, or "" if it had ended."""
    with _train(run, processor) as training:
        while not run.exists():
            time.sleep(0.001)
        try:
            training.wait(seconds)
        except subprocess.TimeoutExpired:
            training.send_signal(signal.SIGKILL)
        if training.wait() != -signal.SIGKILL or (run / "metrics.json").exists():
            return ""  # it had ended, but for the last moments of its process
    if (run / "model.safetensors").exists():
        return "after its last epoch"
    return "after a checkpoint" if (run / "checkpoint").exists() else "before its first checkpoint"


# Disks


@dataclass(frozen=True, slots=True)
class Writing:
    """A command that writes into a folder.

    Attributes
    ----------
    command
        The command, for a folder.
    prepare
        Puts into the folder what the command finds there.
    replaced
        How the names of files begin that the command may change although it fails.
    is_whole
        Whether what is left in the folder can be used.
    is_complete
        Whether everything is in the folder: a command may succeed although a system call failed that it
        can do without, such as SQLite's copying from its log into the database, which it repeats later.
    """

    name: str
    command: Callable[[Path], list[str]]
    prepare: Callable[[Path], object]
    replaced: str | None = None
    is_whole: Callable[[Path], bool] | None = None
    is_complete: Callable[[Path], bool] | None = None


def _writings(work: Path) -> list[Writing]:
    run, table = work / "run", work / "numbers.csv"
    _must_succeed(*SMALL_TRAINING, "--out", run, "--report")
    expected = _bits(run)
    _must_succeed("read", PICTURES, "--csv", table)
    tables = (OLD_TABLE, table.read_text("utf-8"))

    def is_resumable(folder: Path) -> bool:
        """Whether a training that failed left nothing, or what can be resumed to the same bits."""
        left = folder / "run"
        if not left.exists():
            return True
        shutil.copytree(left, work / "left")
        try:
            resumed = _end(_digits("train", "--resume", work / "left"))
            return resumed.status == 0 and _bits(work / "left") == expected
        finally:
            shutil.rmtree(work / "left")

    def add_corrections(folder: Path, count: int) -> list[str]:
        return [sys.executable, "-c", ADD_CORRECTIONS, str(folder / "corrections.sqlite"), str(count)]

    def are_complete(folder: Path) -> bool:
        store = CorrectionStore(folder / "corrections.sqlite", create=False)
        return store.count() == OLD_CORRECTIONS + CORRECTIONS

    def are_listed(folder: Path) -> bool:
        file = folder / "corrections.sqlite"
        listed = _end(_digits("corrections", "list", "--corrections-file", file))
        return listed.status == 0

    return [
        Writing(
            "training",
            lambda folder: _digits(*SMALL_TRAINING, "--out", folder / "run"),
            prepare=lambda folder: folder,
            replaced="run/",
            is_whole=is_resumable,
        ),
        Writing(
            "report",
            lambda folder: _digits("report", folder / "run"),
            prepare=lambda folder: shutil.copytree(run, folder / "run"),
        ),
        Writing(
            "--csv",
            lambda folder: _digits("read", PICTURES, "--csv", folder / "numbers.csv"),
            prepare=lambda folder: (folder / "numbers.csv").write_text(OLD_TABLE),
            replaced="numbers.csv",
            is_whole=lambda folder: (folder / "numbers.csv").read_text("utf-8") in tables,
        ),
        Writing(
            "corrections",
            lambda folder: add_corrections(folder, CORRECTIONS),
            prepare=lambda folder: _end(add_corrections(folder, OLD_CORRECTIONS)),
            replaced="corrections.sqlite",
            is_whole=are_listed,
            is_complete=are_complete,
        ),
    ]


def _is_right(writing: Writing, folder: Path, before: dict[str, str], ended: Ended) -> bool:
    """Whether a command that could not write said so in one sentence, lost nothing and left no rubbish."""
    if ended.status == 0 and writing.is_complete is not None:
        return writing.is_complete(folder)
    after = _digests(folder)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    wrong = {name for name in changed if writing.replaced is None or not name.startswith(writing.replaced)}
    right = ended.is_refused and not wrong and (writing.is_whole is None or writing.is_whole(folder))
    if not right:
        say(f"{writing.name}: status {ended.status}, changed {sorted(wrong)}:\n{ended.errors[-1500:]}")
    return right


def _digests(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): _digest(path) for path in folder.rglob("*") if path.is_file()}


def _full_disks(arguments: argparse.Namespace, work: Path) -> Iterator[Row]:
    """Run commands on disks with ever more free space, until they succeed."""
    if os.geteuid() != 0:
        say("full disks: only root can mount a tmpfs; these rows are missing")
        return
    for writing in _writings(work):
        right = []
        for free in FREE_KB[:: 3 if arguments.short else 1]:
            with _tmpfs(work / "disk") as disk:
                writing.prepare(disk)
                before = _digests(disk)
                _mount(disk, "remount,", _kilobytes(disk) + free)
                ended = _end(writing.command(disk))
                if ended.status == 0:
                    break
                _mount(disk, "remount,", 1 << 20)
                right.append(_is_right(writing, disk, before, ended))
        section = "A disk that fills up: one sentence, nothing lost"
        yield proportion(section, writing.name, right, bar_at_least(100))


@contextmanager
def _tmpfs(folder: Path) -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    _mount(folder, "", 1 << 20)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _mount(folder: Path, options: str, kilobytes: int) -> None:
    command = ["mount", "-t", "tmpfs", "-o", f"{options}size={kilobytes}k", "tmpfs", str(folder)]
    subprocess.run(command, check=True)


def _kilobytes(disk: Path) -> int:
    """Return how much of a disk is used, at least a page: 0 would be no limit."""
    found = os.statvfs(disk)
    return max(4, (found.f_blocks - found.f_bfree) * found.f_frsize // 1024)


def _failing_disks(arguments: argparse.Namespace, work: Path) -> Iterator[Row]:
    """Let one system call after the other that touches the folder end with EIO."""
    if shutil.which("strace") is None:
        say("failing disks: strace is not installed; these rows are missing")
        return
    disk, log = work / "disk", work / "log"
    for writing in _writings(work):
        right = []
        calls = _traced(writing, disk, log)
        step = max(1, -(-len(calls) // (3 if arguments.short else MAX_FAULTS)))
        for call, when in calls[::step]:
            disk.mkdir()
            writing.prepare(disk)
            before = _digests(disk)
            fault = f"inject={call}:error=EIO:when={when}"
            ended = _end([*_strace(log), "-e", fault, *writing.command(disk)])
            lines = log.read_text(errors="replace").splitlines()
            if any("(INJECTED)" in line and str(disk) in line for line in lines):
                right.append(_is_right(writing, disk, before, ended))
            shutil.rmtree(disk)
        section = "A disk that fails (EIO): one sentence, nothing lost"
        yield proportion(section, writing.name, right, bar_at_least(100))


def _traced(writing: Writing, disk: Path, log: Path) -> list[tuple[str, int]]:
    """Return the system calls of a command's main thread that touch the disk: name and number, from 1."""
    disk.mkdir()
    writing.prepare(disk)
    ended = _end([*_strace(log), *writing.command(disk)])
    shutil.rmtree(disk)
    if ended.status:
        raise BenchmarkError(f"{writing.name} failed under strace:\n{ended.errors[-2000:]}")
    calls = [
        (match[1], match[2], line)
        for line in log.read_text(errors="replace").splitlines()
        if (match := re.match(r"(\d+) +(\w+)\(", line))
    ]
    counts: Counter[str] = Counter()
    found = []
    for thread, call, line in calls:
        if thread == calls[0][0]:  # strace counts the calls of each thread by itself
            counts[call] += 1
            if str(disk) in line:
                found.append((call, counts[call]))
    return found


def _strace(log: Path) -> list[str]:
    return ["strace", "-f", "-y", "-qq", "-o", str(log), "-e", f"trace={','.join(INJECTED)}"]


# Memory


def _little_memory(arguments: argparse.Namespace, work: Path) -> Iterator[Row]:
    """Run commands in address spaces of several sizes."""
    run, other = work / "run", work / "other"
    _must_succeed(*SMALL_TRAINING, "--out", run)
    commands = (
        ("read", PICTURES),
        (*SMALL_TRAINING, "--out", other),
        ("evaluate", run),
        ("report", run),
        ("recipes",),
        ("doctor",),
    )
    for megabytes in MEMORY_MB[:: 4 if arguments.short else 1]:
        right = []
        for words in commands:
            shutil.rmtree(other, ignore_errors=True)
            ended = _end(["prlimit", f"--as={megabytes << 20}", *_digits(*words)])
            right.append(ended.status == 0 or ended.is_refused)
            if not right[-1]:
                say(f"{megabytes} MB, {words[0]}: status {ended.status}\n{ended.errors[-1500:]}")
        section = "Little address space: a command works, or says so in one sentence"
        yield proportion(section, f"{megabytes:,} MB", right, bar_at_least(100))


if __name__ == "__main__":
    sys.exit(main())
