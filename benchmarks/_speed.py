"""Time and memory of reading, measured in separate processes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from _bench import BenchmarkError, cached_environment, run_child
from _result_rows import Row, at_most, spread

REPEATS = 5
DRAWINGS = 100
PHOTO_SECONDS, PHOTO_MEMORY = at_most(1), at_most(400)
DRAWING_MILLISECONDS, PROCESS_SECONDS = at_most(5), at_most(0.5)
SECTION = "Speed: the median, from the least to the most"


def speed_rows(folder: Path, model: Path | None, seed: int) -> Iterator[Row]:
    """Draw pictures into a folder, and measure reading them with a model; None is the included model."""
    pictures = run_child(folder, None, "draw_pictures", {"folder": str(folder), "seed": seed})
    job = {"model": None if model is None else str(model)}
    photo = {**job, "photo": pictures["photo"]}
    found = [run_child(folder, None, "read_photo", photo) for _ in range(REPEATS)]
    seconds, megabytes = [each["seconds"] for each in found], [each["peak_bytes"] / 1e6 for each in found]
    yield spread(SECTION, "photo of 12 megapixels", "s", seconds, PHOTO_SECONDS)
    yield spread(SECTION, "photo of 12 megapixels, peak memory", "MB", megabytes, PHOTO_MEMORY)
    drawing = {**job, "drawing": pictures["drawing"], "repeats": DRAWINGS}
    milliseconds = [1e3 * each for each in run_child(folder, None, "read_drawing", drawing)["seconds"]]
    yield spread(SECTION, "drawing of 280 × 280, warm", "ms", milliseconds, DRAWING_MILLISECONDS)
    processes = _seconds_of_processes(folder, pictures["small"], model)
    yield spread(SECTION, "digits read small.png, whole process", "s", processes, PROCESS_SECONDS)


def _seconds_of_processes(folder: Path, picture: str, model: Path | None) -> list[float]:
    """Time complete processes, without the first, which compiles the modules."""
    command = [sys.executable, "-m", "digit_recognizer", "read", picture]
    if model is not None:
        command += ["--model", str(model)]
    environment = cached_environment(folder / "bytecode")
    seconds = []
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        seconds.append(time.perf_counter() - started)
        if done.returncode:
            raise BenchmarkError(f"digits read failed: {done.stderr[-3000:]}")
    return seconds[1:]
