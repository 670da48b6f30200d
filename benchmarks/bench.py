"""How fast digit_recognizer is on this machine's processor, beside Keras 3 on TensorFlow and torch.

    python benchmarks/bench.py digit-recognizer.zip -o benchmarks/results.json

Each measurement has a process of its own, and in each turn ours and the others' stand next to each other; a
ratio is taken within a turn. Measured are:

- the seconds of training until, behind an epoch, 99.0, 99.5 and 99.6 % of a held-out fifth of the images are
  right: recipes `flash` and `standard`, and `five-layer` in Keras as its author ran it, in fewer turns
  because it takes a quarter of an hour; and what all of `train` takes, files included;
- training images/s, and the share of the matrix-product peak that this is, measured beside it;
- prediction by the model that comes with the package: images/s and milliseconds for one image, in
  `Recognizer`, torch and Keras's `predict`, with the same network and weights;
- the archive to arrays, and the whole process `digits submit` from archive to ``submission.csv``;
- the peak memory of each.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from _bench import (
    BenchmarkError,
    add_common_arguments,
    at_least,
    cached_environment,
    facts_of_machine,
    measure_and_write,
    own_versions,
    peers_versions,
    run_child,
    say,
)
from _report import Measured, Summary, as_json, ratios_in_turn, summarise, table
from digit_recognizer import Digits, load_digits, load_recipe
from digit_recognizer.files import write_json
from digit_recognizer.training.preparation import split_rows

OURS = ("flash", "standard")
THEIRS = "five-layer"
SHIPPED = "reader"  # the recipe of the model that comes with the package
THRESHOLDS = (0.990, 0.995, 0.996)
HELD_OUT = "split.validation=0.2"
TOLERANCE = 1e-4  # of a probability, between the engines in float32
OPERATIONS = 6  # of floating point for a product in training: multiply and add, forward and twice backward


@dataclass(slots=True)
class Bench:
    """A benchmark at work: where it works, and what it has found so far."""

    folder: Path
    peers_python: Path
    source: str
    digits: Digits
    figures: list[Measured] = field(default_factory=list)

    @property
    def arrays(self) -> str:
        """The archive of images and labels that all children read."""
        return str(self.folder / "arrays.npz")

    def note(self, key: str, turn: int, value: float | None) -> None:
        """Keep a figure, where there is one."""
        if value is not None:
            self.figures.append(Measured(key, turn, value))
            say(f"  {key:36} {value:12,.4g}")

    def run(self, action: str, job: dict[str, Any], *, keras: bool = False) -> dict[str, Any]:
        """Measure once in a process of its own."""
        return run_child(self.folder, self.peers_python if keras else None, action, job)


def main() -> int:
    return measure_and_write(parse_arguments(), run)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Measure training, prediction and whole commands beside Keras and torch.",
        epilog="The environment with Keras is made by 'make bench'.",
    )
    parser.add_argument("source", metavar="SOURCE", help="the competition's archive")
    add_common_arguments(parser, repeats=5)
    parser.add_argument(
        "--long-repeats",
        type=at_least(0),
        default=3,
        metavar="N",
        help="of Keras's training (default: %(default)s)",
    )
    parser.add_argument(
        "--keras-epochs",
        type=at_least(1),
        default=30,
        metavar="N",
        help="at most, as in its recipe (default: %(default)s)",
    )
    return parser.parse_args()


def run(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure everything, print the table, and return the report."""
    started = time.perf_counter()
    facts = facts_of_run(arguments)
    print(f"{facts['processor']}; cores: {facts['cores']}; load average: {facts['load_average']:.2f}")
    measured = measure_loading(arguments, folder)  # first: a child's memory counts from this process's
    digits = load_digits(arguments.source)
    bench = Bench(folder, arguments.peers_python.absolute(), arguments.source, digits, measured)
    test = load_digits(arguments.source, "test").images
    np.savez(bench.arrays, images=digits.images, labels=digits.labels, predicted=test)
    for turn in range(1, arguments.repeats + 1):
        say(f"turn {turn} of {arguments.repeats}")
        measure_training(bench, turn)
        if turn <= arguments.long_repeats:
            measure_keras(bench, turn, arguments.keras_epochs)
        measure_prediction(bench, turn)
        measure_submission(bench, turn)
        facts |= {"turns": turn, "seconds": round(time.perf_counter() - started)}
        rows = list(summaries(bench.figures))
        report = {**facts, "rows": as_json(rows), "figures": [asdict(figure) for figure in bench.figures]}
        if arguments.output is not None:
            write_json(arguments.output, report)  # what there is: the next turn may take half an hour
    print(f"\n{table(rows)}\n\nThis took {facts['seconds']} s.")
    return report


def facts_of_run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what must be known to read the figures: when, where, with what."""
    from importlib.metadata import version

    return {
        **facts_of_machine(),
        "source": Path(arguments.source).name,
        "repeats": arguments.repeats,
        "long_repeats": arguments.long_repeats,
        "keras_epochs": arguments.keras_epochs,
        "versions": {
            **own_versions(),
            "torch": version("torch"),
            "onnxruntime": version("onnxruntime"),
            **peers_versions(arguments.peers_python),
        },
    }


def measure_loading(arguments: argparse.Namespace, folder: Path) -> list[Measured]:
    """Measure the archive to arrays."""
    found = []
    for turn in range(1, arguments.repeats + 1):
        loaded = run_child(folder, None, "load", {"source": str(Path(arguments.source).absolute())})
        found.append(Measured("load", turn, loaded["seconds"]))
        found.append(Measured("load memory", turn, loaded["peak_bytes"] / 1e6))
    return found


def measure_training(bench: Bench, turn: int) -> None:
    """Train our recipes, with the matrix-product peak measured between them."""
    for recipe in OURS:
        run_folder = bench.folder / "run"
        shutil.rmtree(run_folder, ignore_errors=True)
        job = {"recipe": recipe, "settings": [HELD_OUT], "seed": turn, "run": str(run_folder)}
        found = bench.run("learn", {"arrays": bench.arrays, **job})
        peak = bench.run("peak", {"precision": found["precision"]})["operations_per_second"]
        reached = found["images_per_second"] * found["multiply_adds"] * OPERATIONS
        note_learning(bench, recipe, turn, found)
        bench.note(f"{recipe} accuracy", turn, 100 * found["final_accuracy"])
        bench.note(f"{recipe} whole", turn, found["whole_seconds"])
        bench.note(f"{recipe} peak", turn, peak / 1e9)
        bench.note(f"{recipe} share", turn, 100 * reached / peak)


def measure_keras(bench: Bench, turn: int, epochs: int) -> None:
    """Train the notebook's network in Keras on the same images."""
    recipe = load_recipe(THEIRS, [HELD_OUT])
    parts = split_rows(bench.digits, recipe, seed=turn)
    rows = bench.folder / "rows.npz"
    np.savez(rows, training=parts.training, validation=parts.validation)
    job = {"arrays": bench.arrays, "rows": str(rows), "epochs": epochs, "enough": max(THRESHOLDS)}
    found = bench.run("learn", {**job, "recipe": asdict(recipe)}, keras=True)
    note_learning(bench, "keras", turn, found)
    bench.note("keras accuracy", turn, 100 * max(found["accuracies"]))
    bench.note("keras whole", turn, found["seconds"][-1])
    bench.note("keras epochs", turn, len(found["seconds"]))


def note_learning(bench: Bench, name: str, turn: int, found: dict[str, Any]) -> None:
    """Keep how long it took until each threshold, at which rate, in how much memory."""
    for threshold in THRESHOLDS:
        pairs = zip(found["seconds"], found["accuracies"], strict=True)
        reached = (seconds for seconds, accuracy in pairs if accuracy >= threshold)
        bench.note(f"{name} to {threshold:.1%}", turn, next(reached, None))
    bench.note(f"{name} rate", turn, found["images_per_second"])
    bench.note(f"{name} memory", turn, found["peak_bytes"] / 1e6)


def measure_prediction(bench: Bench, turn: int) -> None:
    """Predict with the model that comes with the package, in three engines."""
    weights, answers = str(bench.folder / "weights.npz"), [str(bench.folder / f"{n}.npy") for n in range(2)]
    ours = bench.run("recognise", {"arrays": bench.arrays})
    job = {"arrays": bench.arrays, "weights": weights}
    torch = bench.run("recognise_with_torch", {**job, "recipe": SHIPPED, "probabilities": answers[0]})
    lines = list(load_recipe(SHIPPED).choices[0])
    keras = bench.run("recognise", {**job, "lines": lines, "probabilities": answers[1]}, keras=True)
    gap = float(np.abs(np.subtract(*map(np.load, answers))).max())
    if not gap < TOLERANCE:
        raise BenchmarkError(f"torch and Keras differ by {gap:.2g} in a probability: not the same network")
    for name, found in (("ours", ours), ("torch", torch), ("keras", keras)):
        bench.note(f"{name} predicting", turn, found["images_per_second"])
        bench.note(f"{name} one", turn, 1e3 * found["seconds_for_one"])
        bench.note(f"{name} predicting memory", turn, found["peak_bytes"] / 1e6)


def measure_submission(bench: Bench, turn: int) -> None:
    """Time the whole process from archive to submission."""
    command = [sys.executable, "-m", "digit_recognizer", "submit", bench.source]
    environment = cached_environment(bench.folder / "bytecode")
    started = time.perf_counter()
    process = subprocess.Popen(
        [*command, "-o", str(bench.folder / "submission.csv")], env=environment, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status:
        raise BenchmarkError(f"digits submit failed with status {status}")
    unit = 1 if sys.platform == "darwin" else 1024
    bench.note("submit", turn, seconds)
    bench.note("submit memory", turn, usage.ru_maxrss * unit / 1e6)


def summaries(figures: list[Measured]) -> Iterator[Summary]:
    """Return the rows of the table."""

    def row(section: str, key: str, label: str, unit: str) -> Summary:
        return summarise(figures, key, section, label, unit)

    def ratio(section: str, first: str, second: str, label: str) -> Summary:
        return Summary(section, label, "×", ratios_in_turn(figures, first, second))

    yield from accuracy_rows(row, ratio)
    yield from speed_rows(row, ratio)
    section = "Commands"
    yield row(section, "load", "archive to arrays", "s")
    yield row(section, "submit", "digits submit, archive to submission.csv", "s")
    section = "Peak memory"
    labels = {
        "load memory": "archive to arrays",
        "flash memory": "training flash",
        "standard memory": "training standard",
        "keras memory": "training five-layer in Keras",
        "ours predicting memory": "Recognizer, 28,000 images",
        "torch predicting memory": "torch",
        "keras predicting memory": "Keras",
        "submit memory": "digits submit",
    }
    for key, label in labels.items():
        yield row(section, key, label, "MB")


Row, Ratio = Callable[[str, str, str, str], Summary], Callable[[str, str, str, str], Summary]


def accuracy_rows(row: Row, ratio: Ratio) -> Iterator[Summary]:
    for threshold in THRESHOLDS:
        section = f"Training until {threshold:.1%} of the held-out images are right"
        for name, label in (*((each, each) for each in OURS), ("keras", "Keras, five-layer")):
            reached = row(section, f"{name} to {threshold:.1%}", label, "s")
            turns = len(row(section, f"{name} rate", label, "").values)
            seldom = 0 < len(reached.values) < turns
            yield (
                replace(reached, label=f"{label}, {len(reached.values)} of {turns} turns")
                if seldom
                else reached
            )
        for name in OURS:
            keys = f"keras to {threshold:.1%}", f"{name} to {threshold:.1%}"
            yield ratio(section, *keys, f"Keras / {name}")
    section = "The whole training, files included"
    for name in OURS:
        yield row(section, f"{name} whole", name, "s")
        yield row(section, f"{name} accuracy", f"{name}, accuracy at its end", "%")
    yield row(section, "keras whole", "Keras, five-layer, without validation", "s")
    yield row(section, "keras epochs", "Keras, epochs until 99.6 % or the end", "")
    yield row(section, "keras accuracy", "Keras, accuracy behind its best epoch", "%")
    for name in OURS:
        yield ratio(section, "keras whole", f"{name} whole", f"Keras / {name}")


def speed_rows(row: Row, ratio: Ratio) -> Iterator[Summary]:
    section = "Training speed"
    for name in OURS:
        yield row(section, f"{name} rate", name, "images/s")
        yield row(section, f"{name} share", f"{name}, share of the matrix-product peak", "%")
    yield row(section, "standard peak", "matrix-product peak beside it", "GFLOP/s")
    yield row(section, "keras rate", "Keras, five-layer", "images/s")
    section = "Prediction by the model that comes with the package"
    names = (("ours", "Recognizer"), ("torch", "torch"), ("keras", "Keras, predict"))
    for name, label in names:
        yield row(section, f"{name} predicting", f"{label}, 28,000 images", "images/s")
    for name, label in names[1:]:
        yield ratio(section, "ours predicting", f"{name} predicting", f"Recognizer / {label}")
    for name, label in names:
        yield row(section, f"{name} one", f"{label}, one image", "ms")
    for name, label in names[1:]:
        yield ratio(section, f"{name} one", "ours one", f"{label} / Recognizer, one image")


if __name__ == "__main__":
    sys.exit(main())
