"""How fast digit_recognizer is on this machine's processor, beside Keras 3 on TensorFlow and torch.

    python benchmarks/bench.py digit-recognizer.zip            # writes benchmarks/results-<kind>.json
    python benchmarks/bench.py digit-recognizer.zip --short    # a quick test; writes nothing

Each measurement runs in its own process. In each turn, our measurement and those of the others follow each
other directly. benchmarks/README.md describes what is measured; `results.py` turns the figures into rows.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from _bench import (
    HERE,
    BenchmarkError,
    at_least,
    cached_environment,
    facts_of_machine,
    measure_and_write,
    own_versions,
    peers_versions,
    processor_kind,
    run_child,
    say,
)
from _report import Measured, as_json, table
from digit_recognizer import Digits, load_digits, load_recipe
from digit_recognizer.files import write_json
from digit_recognizer.training.splits import split_digits
from results import COMPARED, MARKS, THEIRS, summaries

SHIPPED = "reader"  # the recipe of the model that comes with the package
HELD_OUT = "split.validation=0.2"
PARAMETERS = 887_530  # of five-layer, ours and Keras's
MAX_DIFFERENCE = 1e-4  # of a probability, between the engines in float32
OPERATIONS_PER_PRODUCT = 6  # in training: multiply and add, once forward and twice backward
MAX_LOAD_AVERAGE = 0.5  # above this, other programs disturb the figures


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured.

    Attributes
    ----------
    images
        Images of the archive for training and validation; None for all.
    settings
        Changes of our recipes.
    keras_epochs
        Maximum epochs in Keras's complete training.
    timed_images, timed_epochs
        For the speed of training `five-layer`; the first epoch is the warm-up.
    predicted
        Images of the test part.
    """

    images: int | None = None
    settings: tuple[str, ...] = ()
    keras_epochs: int = 30  # as in its recipe
    timed_images: int = 10_750  # 8,600 without those held out: 100 steps
    timed_epochs: int = 2
    predicted: int = 28_000


SHORT = Extent(2_000, ("epochs=1",), 1, 430, 2, 3_000)


@dataclass(slots=True)
class Bench:
    """A running benchmark: its folder, its data, and the figures so far."""

    folder: Path
    peers_python: Path
    source: str
    digits: Digits
    extent: Extent
    figures: list[Measured] = field(default_factory=list)

    @property
    def arrays(self) -> str:
        """The archive of images and labels that all children read."""
        return str(self.folder / "arrays.npz")

    @property
    def timed_arrays(self) -> str:
        """The smaller archive for the speed of training."""
        return str(self.folder / "timed.npz")

    def note(self, key: str, turn: int, value: float | None) -> None:
        """Record a figure, if there is one."""
        if value is not None:
            self.figures.append(Measured(key, turn, value))
            say(f"  {key:36} {value:12,.4g}")

    def run(self, action: str, job: dict[str, Any], *, keras: bool = False) -> dict[str, Any]:
        """Measure once in a separate process."""
        return run_child(self.folder, self.peers_python if keras else None, action, job)

    def train(self, recipe: str, settings: tuple[str, ...], turn: int, arrays: str) -> dict[str, Any]:
        """Train one of our recipes; its run folder stays until the next training."""
        run = self.folder / recipe
        shutil.rmtree(run, ignore_errors=True)
        job = {"recipe": recipe, "settings": [HELD_OUT, *settings], "seed": turn, "run": str(run)}
        return self.run("learn", {"arrays": arrays, **job})

    def train_keras(self, digits: Digits, turn: int, arrays: str, **options: Any) -> dict[str, Any]:
        """Train the notebook's network in Keras, on the same images as our recipe."""
        recipe = load_recipe(THEIRS, [HELD_OUT])
        split = split_digits(digits, recipe, seed=turn)
        rows = self.folder / "rows.npz"
        np.savez(rows, training=split.training, validation=split.validation)
        job = {"arrays": arrays, "rows": str(rows), "recipe": asdict(recipe), **options}
        return self.run("learn", job, keras=True)


def main() -> int:
    return measure_and_write(parse_arguments(), run)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Measure training, prediction and whole commands beside Keras and torch.",
        epilog="'make bench' creates the environment with Keras.",
    )
    parser.add_argument("source", metavar="SOURCE", help="the competition's archive")
    parser.add_argument(
        "--peers-python",
        type=Path,
        default=Path(".venv-peers/bin/python"),
        metavar="PATH",
        help="Python of the environment with Keras (default: %(default)s)",
    )
    parser.add_argument("--repeats", type=at_least(1), default=4, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--long-repeats",
        type=at_least(0),
        default=1,
        metavar="N",
        help="repeats of Keras's complete training (default: %(default)s)",
    )
    parser.add_argument("--short", action="store_true", help="one turn with few images, as a quick test")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="PATH",
        help="the file for the figures (default: benchmarks/results-KIND.json; none with --short)",
    )
    arguments = parser.parse_args()
    if arguments.short:
        arguments.repeats = 1
    elif arguments.output is None:
        arguments.output = HERE / f"results-{processor_kind()}.json"
    return arguments


def run(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure everything, print the table, and return the report."""
    started = time.perf_counter()
    facts = facts_of_run(arguments)
    print(
        f"{facts['processor']}, {facts['kind']}; cores: {facts['cores']}; load: {facts['load_average']:.2f}"
    )
    if facts["load_average"] > MAX_LOAD_AVERAGE:
        say("Other programs are running on this machine, or were recently: do not rely on these figures.")
    bench = prepare(arguments, folder)
    for turn in range(1, arguments.repeats + 1):
        say(f"turn {turn} of {arguments.repeats}")
        measure_recipes(bench, turn)
        if turn <= arguments.long_repeats:
            measure_keras(bench, turn)
        measure_speed(bench, turn)
        measure_prediction(bench, turn, "", SHIPPED, None)
        measure_prediction(bench, turn, f"{THEIRS} ", THEIRS, str(folder / THEIRS))
        measure_commands(bench, turn)
        facts |= {"turns": turn, "seconds": round(time.perf_counter() - started)}
        rows = list(summaries(bench.figures))
        report = {**facts, "rows": as_json(rows), "figures": [asdict(figure) for figure in bench.figures]}
        if arguments.output is not None:
            write_json(arguments.output, report)  # after each turn, because a turn may take half an hour
    print(f"\n{table(rows)}\n\nThis took {facts['seconds']} s.")
    return report


def facts_of_run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return when, where and with which versions the figures are measured."""
    from importlib.metadata import version

    return {
        **facts_of_machine(),
        "source": Path(arguments.source).name,
        "short": arguments.short,
        "repeats": arguments.repeats,
        "long_repeats": arguments.long_repeats,
        "versions": {
            **own_versions(),
            "torch": version("torch"),
            "onnxruntime": version("onnxruntime"),
            **peers_versions(arguments.peers_python),
        },
    }


def prepare(arguments: argparse.Namespace, folder: Path) -> Bench:
    """Load the images, and write them to files that all child processes read."""
    extent = SHORT if arguments.short else Extent()
    source = str(Path(arguments.source).absolute())
    digits = load_digits(source)[: extent.images]
    bench = Bench(folder, arguments.peers_python.absolute(), source, digits, extent)
    predicted = load_digits(source, "test").images[: extent.predicted]
    np.savez(bench.arrays, images=digits.images, labels=digits.labels, predicted=predicted)
    timed = digits[: extent.timed_images]
    np.savez(bench.timed_arrays, images=timed.images, labels=timed.labels)
    measure_command(bench, ["submit", source, "-o", str(folder / "submission.csv")])  # compiles the modules
    return bench


def measure_recipes(bench: Bench, turn: int) -> None:
    """Train our recipes, and measure the matrix-product peak after each."""
    for recipe in COMPARED:
        found = bench.train(recipe, bench.extent.settings, turn, bench.arrays)
        peak = bench.run("peak", {"precision": found["precision"]})["operations_per_second"]
        note_learning(bench, recipe, turn, found)
        bench.note(f"{recipe} accuracy", turn, 100 * found["final_accuracy"])
        bench.note(f"{recipe} whole", turn, found["whole_seconds"])
        bench.note(f"{recipe} peak", turn, peak / 1e9)
        reached = images_per_second(found) * found["multiply_adds"] * OPERATIONS_PER_PRODUCT
        bench.note(f"{recipe} share", turn, 100 * reached / peak)


def measure_keras(bench: Bench, turn: int) -> None:
    """Train in Keras until the last mark is reached, or to the end."""
    options = {"epochs": bench.extent.keras_epochs, "enough": max(MARKS)}
    found = bench.train_keras(bench.digits, turn, bench.arrays, **options)
    note_learning(bench, "keras", turn, found)
    bench.note("keras whole", turn, sum(found["epoch_seconds"]))
    bench.note("keras epochs", turn, len(found["epoch_seconds"]))


def note_learning(bench: Bench, name: str, turn: int, found: dict[str, Any]) -> None:
    """Record the time until each mark, the rate and the memory."""
    seconds = list(accumulate(found["epoch_seconds"]))
    for mark in MARKS:
        pairs = zip(seconds, found["accuracies"], strict=True)
        reached = (seconds for seconds, accuracy in pairs if accuracy >= mark)
        bench.note(f"{name} to {mark:.1%}", turn, next(reached, None))
    bench.note(f"{name} rate", turn, images_per_second(found))
    bench.note(f"{name} memory", turn, found["peak_bytes"] / 1e6)


def images_per_second(found: dict[str, Any]) -> float:
    """Return the rate of the median epoch, without the first if there are more: it is the warm-up."""
    seconds = found["epoch_seconds"]
    return found["images"] / median(seconds[1:] or seconds)


def measure_speed(bench: Bench, turn: int) -> None:
    """Train `five-layer` briefly: ours and Keras's in float32, then both as they run on this processor."""
    digits, arrays = bench.digits[: bench.extent.timed_images], bench.timed_arrays
    epochs = bench.extent.timed_epochs

    def note(name: str, found: dict[str, Any]) -> None:
        if found["parameters"] != PARAMETERS:
            raise BenchmarkError(f"{THEIRS}: expected {PARAMETERS} parameters, got {found['parameters']}")
        bench.note(f"{THEIRS} {name} rate", turn, images_per_second(found))

    note("ours float32", bench.train(THEIRS, (f"epochs={epochs}", "precision=float32"), turn, arrays))
    note("keras float32", bench.train_keras(digits, turn, arrays, epochs=epochs))
    ours = bench.train(THEIRS, (f"epochs={epochs}",), turn, arrays)
    note("ours", ours)
    if ours["precision"] == "bfloat16":
        lowered = {"policy": "mixed_bfloat16", "jit": False}
        note("keras bfloat16", bench.train_keras(digits, turn, arrays, epochs=epochs, **lowered))


def measure_prediction(bench: Bench, turn: int, prefix: str, recipe: str, model: str | None) -> None:
    """Predict with one model in three engines; with `five-layer`, all three must agree."""
    answers = [str(bench.folder / f"{number}.npy") for number in range(3)]
    job = {"arrays": bench.arrays, "weights": str(bench.folder / "weights.npz")}
    found = [
        bench.run("recognise", {"arrays": bench.arrays, "run": model, "probabilities": answers[0]}),
        bench.run(
            "recognise_with_torch", {**job, "run": model, "probabilities": answers[1], "recipe": recipe}
        ),
    ]
    lines = list(load_recipe(recipe).architectures[0])
    found.append(bench.run("recognise", {**job, "probabilities": answers[2], "lines": lines}, keras=True))
    ours, torch, keras = map(np.load, answers)
    compared = (
        [torch] if recipe == SHIPPED else [ours, torch]
    )  # `Recognizer` predicts unsure images again, shifted
    gap = max(float(np.abs(each - keras).max()) for each in compared)
    spread = float(np.ptp(keras, axis=0).max())
    say(f"  probabilities: at most {gap:.1g} between engines, {spread:.1g} between images")
    if not gap < MAX_DIFFERENCE:
        raise BenchmarkError(f"{recipe}: a probability differs by {gap:.2g}: these are not the same networks")
    for name, each in zip(("ours", "torch", "keras"), found, strict=True):
        bench.note(f"{prefix}{name} predicting", turn, each["images_per_second"])
        bench.note(f"{prefix}{name} one", turn, 1e3 * each["seconds_for_one"])
        bench.note(f"{prefix}{name} predicting memory", turn, each["peak_bytes"] / 1e6)


def measure_commands(bench: Bench, turn: int) -> None:
    """Measure the archive to arrays, and whole processes."""
    submission = ["submit", bench.source, "-o", str(bench.folder / "submission.csv")]
    found = {
        "load": bench.run("load", {"source": bench.source}),
        "submit": measure_command(bench, submission),
        "help": measure_command(bench, ["--help"]),
    }
    for name, each in found.items():
        bench.note(name, turn, each["seconds"])
        bench.note(f"{name} memory", turn, each["peak_bytes"] / 1e6)


def measure_command(bench: Bench, words: list[str]) -> dict[str, Any]:
    """Run `digits` once as a process, with compiled modules as after an installation by pip."""
    environment = cached_environment(bench.folder / "bytecode")
    return bench.run("command", {"words": words, "environment": environment})


if __name__ == "__main__":
    sys.exit(main())
