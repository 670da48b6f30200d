"""Time of `DigitClassifier.fit` beside that of `train`, with the same images and recipe.

    python benchmarks/estimator.py digit-recognizer.zip
    python benchmarks/estimator.py digit-recognizer.zip --recipe quick -o benchmarks/estimator.json

Each repeat trains with `train` and fits each form of X, one after the other, in an order that turns, so that
a machine that becomes busier slows all alike. The ratio is that of the medians: of the seconds that passed
and, since other programs may need the processor meanwhile, of the seconds that it computed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np

from digit_recognizer import train
from digit_recognizer.digits import Digits
from digit_recognizer.machine import processor_name
from digit_recognizer.sklearn import DigitClassifier
from digit_recognizer.sources import load_digits

FORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "uint8 (N, 28, 28)": lambda images: images,
    "int64 (N, 784), as pandas reads train.csv": lambda images: images.reshape(-1, 784).astype(np.int64),
    "float64 (N, 784), 0 to 1": lambda images: images.reshape(-1, 784) / 255,
}
TRAIN = "train"


def train_once(digits: Digits, recipe: str) -> None:
    with TemporaryDirectory() as folder:
        for _ in train(digits, recipe, Path(folder, "run")):
            pass


def fit_once(images: np.ndarray, labels: np.ndarray, recipe: str) -> None:
    DigitClassifier(recipe).fit(images, labels)


def measure(digits: Digits, recipe: str, repeats: int) -> dict[str, list[tuple[float, float]]]:
    """Return seconds passed and seconds computed of each repeat, of `train` and of each form of X."""
    forms = {name: as_form(digits.images) for name, as_form in FORMS.items()}
    work: dict[str, Callable[[], None]] = {TRAIN: lambda: train_once(digits, recipe)}
    for name, images in forms.items():
        work[name] = lambda images=images: fit_once(images, digits.labels, recipe)
    train_once(digits[:2000], recipe)  # imports, and measures which precision is faster
    names, times = list(work), defaultdict(list)
    for turn in range(repeats):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            started, computed = time.perf_counter(), time.process_time()
            work[name]()
            times[name].append((time.perf_counter() - started, time.process_time() - computed))
            print(f"{name}: {times[name][-1][0]:.2f} s, computed {times[name][-1][1]:.2f} s", flush=True)
    return dict(times)


def summary(times: dict[str, list[tuple[float, float]]]) -> dict[str, dict[str, float]]:
    """Return the medians and their ratios to those of `train`."""
    medians = {name: [median(column) for column in zip(*each, strict=True)] for name, each in times.items()}
    passed, computed = medians[TRAIN]
    return {
        name: {
            "seconds": round(each[0], 2),
            "computed_seconds": round(each[1], 2),
            "ratio": round(each[0] / passed, 3),
            "computed_ratio": round(each[1] / computed, 3),
        }
        for name, each in medians.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--recipe", default="standard")
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument(
        "-o", "--output", type=Path, help="a JSON file; what it says of other recipes is kept"
    )
    options = parser.parse_args()
    digits = load_digits(options.source)
    found = summary(measure(digits, options.recipe, options.repeats))
    print(json.dumps(found, indent=2))
    if options.output is not None:
        before = json.loads(options.output.read_text("utf-8")) if options.output.exists() else {}
        entry = {"processor": processor_name(), "images": len(digits), "repeats": options.repeats}
        before[options.recipe] = entry | {"times": found}
        options.output.write_text(json.dumps(before, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
