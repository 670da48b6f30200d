"""Recipe `five-layer`: digit_recognizer against Keras 3 on TensorFlow, on this machine's processor.

    python benchmarks/keras_five_layer.py [SOURCE] --peers-python .venv-peers/bin/python -o results.json

Each measurement has a process of its own, so that no engine keeps threads or memory while another is at
work. Ours and Keras's take turns, and a ratio is taken between neighbours in time only. Measured are:

- training, images/s of the second of two epochs (the first is the warm-up; validation counts on neither
  side), ours as the recipe runs here and in float32; Keras's `model.fit` with augmentation in tf.data (for
  Keras the fastest way), without augmentation, and, where ours computes in bfloat16, in `mixed_bfloat16`
  without XLA, the fastest that Keras was found to be;
- prediction, images/s: `Recognizer.predict` on uint8 images, `model.predict` on floats made beforehand;
- for a Kaggle archive, the seconds and the peak memory of `load_digits`; the seconds of `digits --help`.

That both engines compute the same is asserted: 887,530 parameters, the recipe's lines and optimizer settings
against what Keras says of its model, and, with our weights in Keras's network, the same probabilities.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from _bench import (
    BenchmarkError,
    add_common_arguments,
    at_least,
    cached_environment,
    facts_of_machine,
    is_archive,
    measure_and_write,
    own_versions,
    peers_versions,
    run_child,
    say,
)
from _report import Measured, Summary, as_json, neighbour_ratios, summarise, table
from digit_recognizer import Digits, Recipe, load_digits, load_recipe

RECIPE = "five-layer"
EPOCHS = 2  # the first is the warm-up
PREDICTED = 28_000  # images of the competition's test part
KERAS_BATCHES = (32, 256)  # Keras's default for predict, and a large one
TOLERANCE = 1e-4  # of a probability, between ONNX Runtime and Keras in float32
HELP_RUNS = 5
BUSY = 0.5  # load average above which other work disturbs the figures

Figures = list[Measured]


@dataclass(frozen=True, slots=True)
class Turn:
    """One training: which figure it gives, whose it is, and what the child is told."""

    key: str
    is_ours: bool
    options: dict[str, Any]


OURS = Turn("ours", True, {"settings": []})
TRAININGS = (
    Turn("ours_float32", True, {"settings": ["precision=float32"]}),
    Turn("keras", False, {"augmented": True, "policy": "float32", "jit": "auto"}),
    OURS,
    Turn("keras_plain", False, {"augmented": False, "policy": "float32", "jit": "auto"}),
)
LOWERED = (OURS, Turn("keras_bfloat16", False, {"augmented": True, "policy": "mixed_bfloat16", "jit": False}))


@dataclass(slots=True)
class Bench:
    """A benchmark at work: where it works, and what it has found so far."""

    folder: Path
    peers_python: Path
    recipe: Recipe
    images: int
    figures: Figures = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def arrays(self) -> str:
        """The archive of images and labels that all children read."""
        return str(self.folder / "arrays.npz")

    def note(self, key: str, value: float, turn: int | None = None) -> None:
        """Keep a figure, in a turn of its own unless told otherwise."""
        self.figures.append(Measured(key, len(self.figures) if turn is None else turn, value))


def main() -> int:
    return measure_and_write(parse_arguments(), run)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=f"Compare recipe {RECIPE} with the same network in Keras 3 on TensorFlow.",
        epilog="The peers' environment is made by 'make bench-peers'.",
    )
    parser.add_argument("source", nargs="?", metavar="SOURCE", help="digits; random images if not given")
    add_common_arguments(parser, repeats=3)
    parser.add_argument(
        "--images",
        type=at_least(86),
        default=8600,
        metavar="N",
        help="training images an epoch (default: %(default)s, 100 steps)",
    )
    return parser.parse_args()


def run(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure everything, print the table, and return the report."""
    started = time.perf_counter()
    recipe = load_recipe(RECIPE, [f"epochs={EPOCHS}"])
    bench = Bench(folder, arguments.peers_python.absolute(), recipe, arguments.images)
    bench.facts = facts_of_run(arguments, peers_versions(arguments.peers_python))
    print_setting(bench.facts)
    measure_start(bench, arguments.source, arguments.repeats)
    write_arrays(bench, arguments.source)
    for repeat in range(1, arguments.repeats + 1):
        say(f"repeat {repeat} of {arguments.repeats}")
        measure_training(bench)
        measure_prediction(bench)
    rows = summaries(bench)
    bench.facts["seconds"] = round(time.perf_counter() - started)
    print(f"\n{table(rows)}\n\nThis took {bench.facts['seconds']} s.")
    return {**bench.facts, "rows": as_json(rows), "figures": [asdict(figure) for figure in bench.figures]}


def facts_of_run(arguments: argparse.Namespace, peers: dict[str, str]) -> dict[str, Any]:
    """Return what must be known to read the figures: when, where, with what."""
    return {
        **facts_of_machine(),
        "source": Path(arguments.source).name if arguments.source else "random (noise with a bar)",
        "images_per_epoch": arguments.images,
        "images_predicted": PREDICTED,
        "repeats": arguments.repeats,
        "threads": {"onnxruntime": "its default", "tensorflow": "its default"},
        "versions": {
            **own_versions(),
            **peers,
        },
    }


def print_setting(facts: dict[str, Any]) -> None:
    versions = facts["versions"]
    print(f"{facts['processor']}; cores: {facts['cores']}; load average: {facts['load_average']:.2f}")
    print(f"Keras {versions['keras']} on TensorFlow {versions['tensorflow']}, default threads everywhere")
    print(f"Digits: {facts['source']}; the speed does not depend on what they show")
    print(f"Training: {facts['images_per_epoch']:,} images an epoch, the first epoch left out as warm-up")
    print(f"Prediction: {facts['images_predicted']:,} images after a warm-up", flush=True)
    if facts["load_average"] > BUSY:
        say("Other programs are at work on this machine, or just were: do not rely on these figures.")


def measure_start(bench: Bench, source: str | None, repeats: int) -> None:
    """Measure archive to arrays and `digits --help`.

    This comes first, while this process is small: on Linux a child's peak memory counts from its parent's.
    """
    if source is not None and is_archive(source):
        for _ in range(repeats):
            found = run_child(bench.folder, None, "load", {"source": str(Path(source).absolute())})
            bench.note("load_seconds", found["seconds"])
            bench.note("load_megabytes", found["peak_bytes"] / 1e6)
    command, environment = help_command(), cached_environment(bench.folder / "bytecode")
    for number in range(HELP_RUNS + 1):
        started = time.perf_counter()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchmarkError(f"digits --help failed:\n{done.stderr[-3000:]}")
        if number:  # the first compiles the modules, as pip does when it installs
            bench.note("help_seconds", time.perf_counter() - started)


def write_arrays(bench: Bench, source: str | None) -> None:
    """Put images and labels where both engines find them, repeated where there are too few."""
    rng = np.random.default_rng(0)
    total = with_held_out(bench.images, bench.recipe.split.validation)
    digits = load_digits(source) if source is not None else random_digits(rng, max(total, PREDICTED))
    chosen = digits[np.resize(rng.permutation(len(digits)), total)]
    predicted = digits.images[np.resize(np.arange(len(digits)), PREDICTED)]
    np.savez(bench.arrays, images=chosen.images, labels=chosen.labels, predicted=predicted)


def random_digits(rng: np.random.Generator, count: int) -> Digits:
    """Return faint noise with a bright bar, as high up as the label says: something can be learned of it.

    A network that learned nothing gives all images the same probabilities, and then agreement says little.
    """
    labels = rng.permutation(np.arange(count) % 10)
    images = rng.integers(0, 128, (count, 28, 28), dtype=np.uint8)
    distance = np.arange(28) - (4 + 2 * labels[:, None])  # (N, 28): rows from the bar's middle, 4 to 22
    images[np.abs(distance) < 2] = 255
    return Digits(images, labels)


def with_held_out(images: int, share: float) -> int:
    """Return how many images it takes so that a split leaves `images` to train on."""
    total = images
    while total - ceil(total * share) < images:
        total += 1
    return total


def measure_training(bench: Bench) -> None:
    """Let each training have its turn; those in bfloat16 only where ours takes to it by itself."""
    for turn in TRAININGS:
        train(bench, turn)
    if bench.facts["precision"] == "bfloat16":
        for turn in LOWERED:
            train(bench, turn)


def train(bench: Bench, turn: Turn) -> None:
    job = {"arrays": bench.arrays, "images": bench.images, **turn.options}
    if turn.is_ours:
        shutil.rmtree(bench.folder / turn.key, ignore_errors=True)
        job["run"] = str(bench.folder / turn.key)
        job["settings"] = [f"epochs={EPOCHS}", *turn.options["settings"]]
    else:
        job |= {"epochs": EPOCHS, "recipe": asdict(bench.recipe)}
    found = run_child(bench.folder, None if turn.is_ours else bench.peers_python, "train", job)
    if turn is OURS:
        bench.facts["precision"] = found["precision"]
        bench.facts["threads"]["torch"] = found["threads"]
        bench.facts["versions"]["torch"] = found["torch"]
    rate = found["images_per_second"][-1]
    bench.note(turn.key, rate)
    say(f"  training {turn.key:14} {rate:8,.0f} images/s")


def measure_prediction(bench: Bench) -> None:
    """Predict with the model that was just trained, in ONNX Runtime and then in Keras."""
    weights = str(bench.folder / "weights.npz")
    answers = [str(bench.folder / name) for name in ("ours.npy", "keras.npy")]
    job = {"arrays": bench.arrays, "weights": weights}
    ours_job = {**job, "probabilities": answers[0], "run": str(bench.folder / OURS.key)}
    ours = run_child(bench.folder, None, "predict", ours_job)
    theirs_job = {**job, "probabilities": answers[1], "batch_sizes": KERAS_BATCHES}
    theirs = run_child(bench.folder, bench.peers_python, "predict", theirs_job)
    check_agreement(*(np.load(path) for path in answers))
    turn = len(bench.figures)
    bench.note("ours_predict", ours["images_per_second"], turn)
    say(f"  predicting ours         {ours['images_per_second']:8,.0f} images/s")
    for size, rate in theirs["images_per_second"].items():
        bench.note(f"keras_predict_{size}", rate, turn + 1)
        say(f"  predicting keras {size:6} {rate:8,.0f} images/s")


def check_agreement(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Raise unless both engines computed the same network."""
    gap = float(np.abs(ours - theirs).max())
    spread = float(np.ptp(ours, axis=0).max())
    say(f"  probabilities: at most {gap:.1g} between the engines, {spread:.1g} between images")
    if not gap < TOLERANCE:
        raise BenchmarkError(
            f"the two networks differ: with the same weights a probability is {gap:.2g} off; "
            f"expected below {TOLERANCE:g}"
        )


def summaries(bench: Bench) -> list[Summary]:
    """Return the rows of the table."""
    return [*start_rows(bench.figures), *training_rows(bench), *prediction_rows(bench.figures)]


def start_rows(figures: Figures) -> Iterator[Summary]:
    section = "Start"
    yield summarise(figures, "load_seconds", section, "archive to arrays", "s")
    yield summarise(figures, "load_megabytes", section, "archive to arrays, peak memory", "MB")
    yield summarise(figures, "help_seconds", section, "digits --help", "s")


def training_rows(bench: Bench) -> Iterator[Summary]:
    figures, section = bench.figures, "Training"
    labels = {
        "ours": f"ours, as the recipe runs here ({bench.facts['precision']})",
        "ours_float32": "ours, float32",
        "keras": "Keras, float32, augmentation in tf.data",
        "keras_plain": "Keras, float32, no augmentation",
        "keras_bfloat16": "Keras, mixed_bfloat16, no XLA, augmentation in tf.data",
    }
    for key, label in labels.items():
        yield summarise(figures, key, section, label, "images/s")
    pairs = {
        ("ours", "keras"): "ours / Keras",
        ("ours", "keras_plain"): "ours / Keras, no augmentation",
        ("ours_float32", "keras"): "ours, float32 / Keras",
        ("ours", "keras_bfloat16"): "ours / Keras, mixed_bfloat16",
    }
    for pair, label in pairs.items():
        yield Summary(section, label, "×", neighbour_ratios(figures, *pair))


def prediction_rows(figures: Figures) -> Iterator[Summary]:
    section = "Prediction"
    yield summarise(figures, "ours_predict", section, "ours, Recognizer.predict", "images/s")
    theirs = [
        summarise(
            figures, f"keras_predict_{size}", section, f"Keras, model.predict, batch {size}", "images/s"
        )
        for size in KERAS_BATCHES
    ]
    yield from theirs
    best = max(zip(theirs, KERAS_BATCHES, strict=True), key=lambda pair: np.median(pair[0].values))[1]
    ratios = neighbour_ratios(figures, "ours_predict", f"keras_predict_{best}")
    yield Summary(section, f"ours / Keras, batch {best} (its better one)", "×", ratios)


def help_command() -> list[str]:
    script = shutil.which("digits", path=str(Path(sys.executable).parent))
    return [script, "--help"] if script else [sys.executable, "-m", "digit_recognizer", "--help"]


if __name__ == "__main__":
    sys.exit(main())
