"""How fast training, `predict` and `read` are on an idle machine, beside busy processes, and under a quota.

    python benchmarks/threads.py -o benchmarks/threads.json
    python benchmarks/threads.py --beside OTHER/src    # compare with another version of the package, in turns

Each measurement runs in its own process. The busy processes, one for each core, run in the session of the
measured process: Linux gives each session the same time (autogroups), and they should compete one to one. The
quota is half of the cores. It needs a new control group, which only root can create.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from _bench import (
    BenchmarkError,
    at_least,
    cores,
    facts_of_machine,
    measure_and_write,
    own_versions,
    run_child,
    say,
)
from _result_rows import Row, as_json, spread, table
from _result_rows import at_least as bar_at_least
from digit_recognizer.machine import usable_processors

SOURCE = Path(__file__).parents[1] / "src"
RECIPES = ("standard", "flash", "five-layer")
IMAGES = 569  # 512 for training, which are whole batches; few, because the benchmark waits for whole epochs
BUSY = "import os, time\nwhile os.getppid() == {parent}: sum(range(10_000))"
BUSY_BAR = bar_at_least(45)  # % of the idle speed
QUOTA_BAR = bar_at_least(90)  # % of the quota's fraction of the idle speed
SETTLING_SECONDS = 0.3  # until the busy processes are busy
QUOTA_PERIOD_US = 100_000
IDLE, BESIDE, LIMITED = "idle", "beside busy processes", "under a quota of half the cores"

Rates = dict[tuple[str, str], list[float]]  # by task and condition


@dataclass(slots=True)
class Bench:
    """What all measurements need: a folder, their duration, and the control group with the quota."""

    folder: Path
    seconds: float
    photo: str
    group: Path | None
    sources: dict[str, Path]
    rates: dict[str, Rates] = field(default_factory=dict)

    @property
    def arrays(self) -> Path:
        """The archive of training images."""
        return self.folder / "arrays.npz"

    def start(self, command: list[str], source: Path, group: Path | None) -> subprocess.Popen[str]:
        """Start a command of one version of the package, in a control group."""
        program = [sys.executable]
        if group is not None:  # a process that joins the group and then becomes the command
            program = ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(group / "cgroup.procs"), sys.executable]
        environment = {**os.environ, "PYTHONPATH": str(source)}
        pipe = subprocess.PIPE
        return subprocess.Popen([*program, *command], stdout=pipe, stderr=pipe, text=True, env=environment)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=at_least(1), default=3, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--seconds", type=at_least(1), default=2, help="of each measurement (default: %(default)s)"
    )
    parser.add_argument(
        "--beside", type=Path, metavar="SRC", help="the source folder of another version of the package"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="PATH", help="write the figures as JSON, too")
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(143)
    )  # raises an exception, so that the control group is removed
    return measure_and_write(parser.parse_args(), run)


def run(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure, print the table, and return the report."""
    started = time.perf_counter()
    facts = {**facts_of_machine(), "usable_processors": usable_processors(), "versions": own_versions()}
    print(json.dumps(facts))
    sources = {"this": SOURCE}
    if arguments.beside is not None:
        if not (arguments.beside / "digit_recognizer").is_dir():
            raise BenchmarkError(f"there is no package digit_recognizer in {arguments.beside}")
        sources["beside"] = arguments.beside.absolute()
    photo = run_child(folder, None, "draw_pictures", {"folder": str(folder), "seed": 0})["photo"]
    write_images(folder / "arrays.npz")
    with limited_group() as (group, sentence):
        if group is None:
            print(sentence)
        bench = Bench(folder, arguments.seconds, photo, group, sources)
        for turn in range(1, arguments.repeats + 1):
            say(f"turn {turn} of {arguments.repeats}")
            measure(bench)
    rows = {name: list(rows_of(rates)) for name, rates in bench.rates.items()}
    print("\n" + table(rows["this"], rows.get("beside", ()), "beside" if "beside" in rows else ""))
    return {
        **facts,
        "repeats": arguments.repeats,
        "seconds_each": arguments.seconds,
        "quota": sentence,
        "seconds": round(time.perf_counter() - started),
        "rows": {name: as_json(each) for name, each in rows.items()},
    }


def write_images(path: Path) -> None:
    """Write images of noise with a dark border; the speed does not depend on their content."""
    images = np.zeros((IMAGES, 28, 28), np.uint8)
    images[:, 4:24, 4:24] = np.random.default_rng(0).integers(0, 256, (IMAGES, 20, 20))
    np.savez(path, images=images, labels=np.arange(IMAGES) % 10)


def measure(bench: Bench) -> None:
    """Measure every task once under every condition, for each version of the package."""
    tasks: dict[str, Callable[[Path, Path | None], float]] = {
        f"training {recipe}, images/s": lambda source, group, recipe=recipe: training_rate(
            bench, recipe, source, group
        )
        for recipe in RECIPES
    }
    jobs = {
        "predict, 28,000 images, images/s": ("predict_rate", {"images": 28_000}),
        "predict, one image, images/s": ("predict_rate", {"images": 1}),
        "read, a photo of 12 megapixels, photos/s": ("read_rate", {"photo": bench.photo}),
    }
    for task, (action, job) in jobs.items():
        tasks[task] = lambda source, group, action=action, job=job: child_rate(
            bench, action, job, source, group
        )
    for task, rate_of in tasks.items():
        for condition in (IDLE, BESIDE, LIMITED):
            if condition == LIMITED and bench.group is None:
                continue
            for name, source in bench.sources.items():
                with busy_processes() if condition == BESIDE else nullcontext():
                    rate = rate_of(source, bench.group if condition == LIMITED else None)
                bench.rates.setdefault(name, {}).setdefault((task, condition), []).append(rate)
                say(f"  {name:7} {task:42} {condition:32} {rate:10,.1f}")


def training_rate(bench: Bench, recipe: str, source: Path, group: Path | None) -> float:
    """Return the images per second of `digits train` after its first epoch."""
    with TemporaryDirectory(dir=bench.folder) as folder:
        settings = ["--set", "epochs=10000"]
        command = ["-m", "digit_recognizer", "train", str(bench.arrays), "--recipe", recipe, *settings]
        process = bench.start([*command, "--json", "--out", f"{folder}/run"], source, group)
        try:
            images, seconds = epochs_of(process, bench.seconds)
        finally:
            process.kill()
            _, errors = process.communicate()
    if not images:
        raise BenchmarkError(f"digits train --recipe {recipe} failed:\n{errors[-3000:]}")
    return images / seconds


def epochs_of(process: subprocess.Popen[str], enough: float) -> tuple[int, float]:
    """Return images and seconds of the epochs after the first, until `enough` seconds have passed."""
    assert process.stdout is not None
    images, seconds = 0, 0.0
    ends: float | None = None
    count = 0
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "begin":
            count = event["images"]
        if event["event"] != "epoch":
            continue
        if ends is None:
            ends = time.perf_counter() + enough
            continue
        images += count
        seconds += count / event["images_per_second"]
        if time.perf_counter() > ends:
            break
    return images, seconds


def child_rate(bench: Bench, action: str, job: dict[str, Any], source: Path, group: Path | None) -> float:
    """Return the rate per second of an action in a child process."""
    job_file = bench.folder / "rate.json"
    job_file.write_text(json.dumps({**job, "seconds": bench.seconds}), "utf-8")
    script = Path(__file__).with_name("_own_child.py")
    process = bench.start([str(script), action, str(job_file)], source, group)
    output, errors = process.communicate()
    if process.returncode:
        raise BenchmarkError(f"{script.name} {action} failed:\n{errors[-3000:]}")
    return float(json.loads(output.splitlines()[-1])["rate"])


@contextmanager
def busy_processes() -> Iterator[None]:
    """Keep every core busy; the busy processes also end if this process is killed."""
    command = [sys.executable, "-c", BUSY.format(parent=os.getpid())]
    processes = [subprocess.Popen(command) for _ in range(cores())]
    time.sleep(SETTLING_SECONDS)
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@contextmanager
def limited_group() -> Iterator[tuple[Path | None, str]]:
    """Yield a control group with a quota of half the cores, or None, and a sentence that describes it."""
    quota = cores() * QUOTA_PERIOD_US // 2
    name = f"digits-benchmark-{os.getpid()}"
    folder = None
    try:
        for kind, parent in (("v1", Path("/sys/fs/cgroup/cpu")), ("v2", Path("/sys/fs/cgroup"))):
            if (parent / "cgroup.procs").exists():
                (parent / name).mkdir()
                folder = parent / name
                limit(folder, kind, quota)
                break
        else:
            raise OSError("no control groups are mounted in /sys/fs/cgroup")
    except OSError as error:
        if folder is not None:
            folder.rmdir()
        yield None, f"Nothing is measured under a quota: cannot create a control group: {error}."
        return
    try:
        yield folder, f"control group {kind}, {quota / QUOTA_PERIOD_US:g} of {cores()} cores"
    finally:
        while (folder / "cgroup.procs").read_text():  # the threads of an ended process leave a little later
            time.sleep(SETTLING_SECONDS)
        folder.rmdir()


def limit(folder: Path, kind: str, quota: int) -> None:
    """Limit a control group to `quota` microseconds of processor time in each period."""
    if kind == "v1":
        (folder / "cpu.cfs_period_us").write_text(str(QUOTA_PERIOD_US))
        (folder / "cpu.cfs_quota_us").write_text(str(quota))
        return
    if not (folder / "cpu.max").exists():
        (folder.parent / "cgroup.subtree_control").write_text("+cpu")
    (folder / "cpu.max").write_text(f"{quota} {QUOTA_PERIOD_US}")


def rows_of(rates: Rates) -> Iterator[Row]:
    """Return the rows of the table: idle rates, and the percentages that remain of them in each turn."""
    for (task, condition), values in rates.items():
        section, _, unit = task.rpartition(", ")
        if condition == IDLE:
            yield spread(section, "idle", unit, values)
            continue
        fraction, bar = (1.0, BUSY_BAR) if condition == BESIDE else (0.5, QUOTA_BAR)
        label = "beside busy processes, of idle speed" if fraction == 1 else "under a quota, of its share"
        yield spread(section, label, "%", percentages(values, rates[task, IDLE], fraction), bar)


def percentages(values: Sequence[float], idle: Sequence[float], fraction: float) -> list[float]:
    return [100 * value / (fraction * whole) for value, whole in zip(values, idle, strict=True)]


if __name__ == "__main__":
    sys.exit(main())
