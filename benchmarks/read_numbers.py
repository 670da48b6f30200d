r"""How well numbers are read in pictures: real ones, composed forms and tables, pictures without a digit.

    python benchmarks/read_numbers.py digit-recognizer.zip --pictures handwriting --numbers numbers \
        --hands hands --errors errors
    python benchmarks/read_numbers.py digit-recognizer.zip --sets strings-apart,forms --sample 50 \
        --reader prototype:read

Any reader is measured: a function that takes a page, uint8 (height, width), and returns a `Reading`, or an
object with `text` (lines; numbers separated by spaces) and `rejected` (a list). The digits of composed
pictures were held out of the training of the model that comes with the package. `robustness.py` measures
single images, their corruptions and calibration.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from json import loads
from pathlib import Path
from typing import Any

from _bench import (
    HERE,
    BenchmarkError,
    at_least,
    cached_environment,
    facts_of_machine,
    measure_and_write,
    own_versions,
    run_child,
)
from _evaluation import rows_held_out
from _measurement import NAMES, Measurement
from _number_sets import SETS, Sources
from _readers import load_reader, load_single_reader
from _result_rows import Row, as_json, at_most, from_json, spread, table
from _sheets import Hand
from digit_recognizer import load_digits

OUTPUT = HERE / "numbers.json"  # of complete runs
REPEATS, DRAWINGS, WARM_UP = 5, 100, 10
SPEED_SECTION = "Speed: the median, from the least to the most"


def main() -> int:
    arguments = parse_arguments()
    if arguments.output is None and arguments.sets is None and arguments.sample is None:
        arguments.output = OUTPUT
    return measure_and_write(arguments, run)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure how well numbers are read in pictures.")
    parser.add_argument("source", metavar="SOURCE", help="the competition's archive")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="real pictures, with a labels.csv")
    parser.add_argument(
        "--numbers", type=Path, metavar="FOLDER", help="pictures of numbers, with a labels.csv"
    )
    parser.add_argument(
        "--hands", type=Path, metavar="FOLDER", help="other hands, and shapes.npz with doodles"
    )
    parser.add_argument("--reader", metavar="MODULE:FUNCTION", help="default: Recognizer().read")
    parser.add_argument(
        "--single",
        metavar="MODULE:FUNCTION",
        help="of one digit (default: Recognizer().read_single, none with --reader)",
    )
    parser.add_argument(
        "--model",
        type=Path,
        metavar="RUN",
        help="a run folder: composed pictures take the images that it held out",
    )
    parser.add_argument(
        "--sets",
        type=_names,
        metavar="A,B",
        help=f"some of {', '.join(NAMES)} (default: all but semeion, optdigits)",
    )
    parser.add_argument("--sample", type=at_least(1), metavar="N", help="pictures of each set at most")
    parser.add_argument("--seed", type=at_least(0), default=0, metavar="N", help="default: %(default)s")
    parser.add_argument("--errors", type=Path, metavar="FOLDER", help="write contact sheets of errors")
    parser.add_argument("--speed", action="store_true", help="measure the time, too, on an idle machine")
    parser.add_argument("--beside", type=Path, metavar="FILE", help="an earlier output, to compare with")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help=f"write JSON (default, for all sets: {OUTPUT.name})"
    )
    return parser.parse_args()


def run(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure the sets, print the table, and return the report."""
    started = time.perf_counter()
    facts = facts_of_machine()
    earlier = (
        [] if arguments.beside is None else from_json(loads(arguments.beside.read_text("utf-8"))["rows"])
    )
    if arguments.errors is not None:
        arguments.errors.mkdir(parents=True, exist_ok=True)
    speed = list(speed_rows(folder, arguments.reader, arguments.seed)) if arguments.speed else []
    digits = load_digits(arguments.source)
    held_out = digits[rows_held_out(arguments.model, digits)]
    sources = Sources(
        arguments.pictures,
        arguments.numbers,
        arguments.hands,
        held_out,
        Hand(held_out),
        arguments.sample,
        arguments.seed,
    )
    single = load_single_reader(arguments.single, arguments.reader)
    measurement = Measurement(load_reader(arguments.reader), single, sources, arguments.errors)
    for name in arguments.sets or _usual_sets(sources):
        measurement.measure(name)
    rows = [*measurement.finish(), *speed]
    print(table(rows, earlier, "" if arguments.beside is None else arguments.beside.stem))
    return {
        **facts,
        "source": Path(arguments.source).name,
        "reader": arguments.reader or "Recognizer().read",
        "versions": own_versions(),
        "seed": arguments.seed,
        "sample": arguments.sample,
        "images_held_out": len(held_out),
        "rows": as_json(rows),
        "seconds": round(time.perf_counter() - started),
    }


def speed_rows(folder: Path, reader: str | None, seed: int) -> Iterator[Row]:
    """Measure a photo in a whole process beside an empty one, and a warm drawing."""
    pictures = run_child(folder, None, "draw_pictures", {"folder": str(folder), "seed": seed})
    environment = cached_environment(folder / "bytecode")
    paths = [str(HERE), *sys.path[1:]]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    script = [sys.executable, str(HERE / "_readers.py"), reader or ""]
    for label, command in (
        ("photo of 12 megapixels, whole process", [*script, pictures["photo"]]),
        ("an empty process", [sys.executable, "-c", "pass"]),
    ):
        seconds = [_seconds_of(command, environment)[0] for _ in range(REPEATS + 1)]
        yield spread(SPEED_SECTION, label, "s", seconds[1:], at_most(1) if "photo" in label else None)
    command = [*script, pictures["drawing"], str(DRAWINGS + WARM_UP)]
    milliseconds = [1e3 * each for each in loads(_seconds_of(command, environment)[1])][WARM_UP:]
    yield spread(SPEED_SECTION, "drawing of 280 × 280, warm", "ms", milliseconds, at_most(15))


def _seconds_of(command: list[str], environment: dict[str, str]) -> tuple[float, str]:
    started = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise BenchmarkError(f"reading in a process failed: {done.stderr[-3000:]}")
    return seconds, done.stdout


def _usual_sets(sources: Sources) -> list[str]:
    return [
        name
        for name in NAMES
        if (name not in SETS or SETS[name].by_default) and (name != "doodles" or sources.hands is not None)
    ]


def _names(text: str) -> list[str]:
    names = text.split(",")
    unknown = sorted(set(names).difference(NAMES))
    if unknown:
        raise argparse.ArgumentTypeError(
            f"there is no set {', '.join(unknown)}; there are {', '.join(NAMES)}"
        )
    return names


if __name__ == "__main__":
    sys.exit(main())
