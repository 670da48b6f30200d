"""Measure how reading on Ray scales with actors on this machine, and what coordination costs per picture.

Each turn reads the same pictures with 1, 2 and 4 actors of one thread, in turns. A rate counts what was read
while all actors were at work. On a busy machine rates vary; two other measures vary less: the processor time
per picture, and the fraction of the time in which actors had something to do.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from _bench import facts_of_machine
from digit_recognizer.cli.read.reader import ReaderSettings, start_worker
from digit_recognizer.engines.ray_engine import RayEngine
from digit_recognizer.errors import DigitsError
from digit_recognizer.machine import usable_processors
from digit_recognizer.reading import ReadingOptions

EXAMPLES = Path(__file__).parent.parent / "docs/reading"
ACTORS = (1, 2, 4)
ATTEMPTS = 3
EMPTY_ITEMS = 200_000  # of the measurement of coordination: items that take no time


def start_measuring(folder: str) -> Callable[[str], tuple[int, float, float, float, int]]:
    """Return a function that reads a file, and says who did so, when, its processor time and its numbers."""
    read = start_worker(ReaderSettings(None, None, ReadingOptions(), summarises=True, folders=(folder,)))

    def measure(file: str) -> tuple[int, float, float, float, int]:
        started, spent = time.time(), time.process_time()
        entries = read(file)
        return os.getpid(), started, time.time(), time.process_time() - spent, len(entries[0].summary.rows)

    return measure


def start_nothing() -> Callable[[int], int]:
    return abs


def copy_pictures(folder: Path, count: int) -> list[str]:
    examples = sorted(EXAMPLES.glob("*.jpg"))
    files = [folder / f"{number:05}.jpg" for number in range(count)]
    for number, file in enumerate(files):
        shutil.copy(examples[number % len(examples)], file)
    return list(map(str, files))


def start_cluster(actors: int) -> RayEngine:
    """Start a local cluster; on a busy machine, Ray may give up before its processes are there."""
    for _ in range(ATTEMPTS - 1):
        with suppress(DigitsError):
            return RayEngine(processors=actors)
    return RayEngine(processors=actors)


def measure(actors: int, files: list[str]) -> dict[str, Any]:
    with start_cluster(actors) as engine:
        found = list(engine.map(partial(start_measuring, str(Path(files[0]).parent)), files))
    by_actor: dict[int, list[tuple[float, float]]] = {}
    for process, start, end, _, _ in found:
        by_actor.setdefault(process, []).append((start, end))
    begin = max(min(start for start, _ in spans) for spans in by_actor.values())
    finish = min(max(end for _, end in spans) for spans in by_actor.values())
    inside = [(start, end) for _, start, end, *_ in found if end > begin and start < finish]
    busy = [min(end, finish) - max(start, begin) for start, end in inside]
    done = sum(part / (end - start) for part, (start, end) in zip(busy, inside, strict=True))
    return {
        "actors": len(by_actor),
        "pictures_per_second": done / (finish - begin),
        "busy": sum(busy) / (len(by_actor) * (finish - begin)),
        "processor_ms": 1000 * statistics.mean(spent for *_, spent, _ in found),
        "numbers": sum(numbers for *_, numbers in found),
    }


def measure_coordination() -> dict[str, float]:
    """Measure the processor time of this process, and the time, for items that take none."""
    with start_cluster(usable_processors()) as engine:
        list(engine.map(start_nothing, range(10)))  # imports
        started, spent = time.perf_counter(), time.process_time()
        first = None
        for _ in engine.map(start_nothing, range(EMPTY_ITEMS)):
            first = first or time.perf_counter()
        seconds, spent = time.perf_counter() - (first or started), time.process_time() - spent
    return {
        "items": EMPTY_ITEMS,
        "driver_processor_us_per_item": 1e6 * spent / EMPTY_ITEMS,
        "us_per_item": 1e6 * seconds / EMPTY_ITEMS,
    }


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def summarise(turns: list[list[dict[str, Any]]]) -> dict[str, Any]:
    summary: dict[str, Any] = {}
    for place, actors in enumerate(ACTORS):
        rows = [turn[place] for turn in turns]
        summary[str(actors)] = {
            name: spread([row[name] for row in rows])
            for name in ("pictures_per_second", "busy", "processor_ms")
        }
        ratios = [turn[place]["pictures_per_second"] / turn[0]["pictures_per_second"] for turn in turns]
        summary[str(actors)]["rate_ratio"] = spread(ratios)
        summary[str(actors)]["processor_ratio"] = spread(
            [turn[place]["processor_ms"] / turn[0]["processor_ms"] for turn in turns]
        )
    return summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--output", "-o", type=Path)
    options = parser.parse_args()
    os.environ.pop("RAY_ADDRESS", None)
    turns: list[list[dict[str, Any]]] = []
    with tempfile.TemporaryDirectory() as folder:
        files = copy_pictures(Path(folder), options.pictures)
        for _ in range(options.repeats):
            turns.append([])
            for actors in ACTORS:
                turns[-1].append(measure(actors, files) | {"load": os.getloadavg()[0]})
                print(json.dumps(turns[-1][-1]), flush=True)
    numbers = {row["numbers"] for turn in turns for row in turn}
    assert len(numbers) == 1, f"the same pictures gave different numbers: {numbers}"
    result = {
        "machine": facts_of_machine(),
        "processors": usable_processors(),
        "pictures": options.pictures,
        "actors": summarise(turns),
        "coordination": measure_coordination(),
        "turns": turns,
    }
    print(json.dumps({key: result[key] for key in ("actors", "coordination")}, indent=2))
    if options.output:
        options.output.write_text(json.dumps(result, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
