"""Time of `DigitClassifier.fit` as a ratio to that of `train`, with the same images and recipe.

    python benchmarks/estimator.py digit-recognizer.zip
    python benchmarks/estimator.py digit-recognizer.zip --recipe quick -o benchmarks/estimator.json

`fit` calls `train`. The ratio is that of the time of `fit` to the time that `train` takes in it, so that
other programs slow both alike; it is also given for the time that the processor computed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np

from digit_recognizer import training
from digit_recognizer.digits import Digits
from digit_recognizer.machine import processor_name
from digit_recognizer.runs import EpochRecord
from digit_recognizer.sklearn import DigitClassifier
from digit_recognizer.sources import load_digits

FORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "uint8 (N, 28, 28)": lambda images: images,
    "int64 (N, 784), as pandas reads train.csv": lambda images: images.reshape(-1, 784).astype(np.int64),
    "float64 (N, 784), 0 to 1": lambda images: images.reshape(-1, 784) / 255,
}
CLOCKS = {"seconds": time.perf_counter, "computed seconds": time.process_time}


def times_of_fit(images: np.ndarray, labels: np.ndarray, recipe: str) -> dict[str, tuple[float, float]]:
    """Return the time of `fit`, and that of `train` in it, by each clock."""
    inside: list[dict[str, float]] = []
    original = training.train

    def timed(*arguments: Any, **options: Any) -> Iterator[EpochRecord]:
        started = now()
        yield from original(*arguments, **options)
        inside.append(since(started))

    with patch.object(training, "train", timed):
        started = now()
        DigitClassifier(recipe).fit(images, labels)
        whole = since(started)
    return {clock: (whole[clock], inside[0][clock]) for clock in CLOCKS}


def now() -> dict[str, float]:
    return {name: clock() for name, clock in CLOCKS.items()}


def since(started: dict[str, float]) -> dict[str, float]:
    return {name: clock() - started[name] for name, clock in CLOCKS.items()}


def measure(digits: Digits, recipe: str, repeats: int) -> dict[str, dict[str, dict[str, float]]]:
    """Return, for each form of X and each clock, the medians of both times and of their ratio."""
    times_of_fit(digits.images[:2000], digits.labels[:2000], recipe)  # imports; measures the precision
    found = {}
    for name, as_form in FORMS.items():
        images = as_form(digits.images)
        measured = [times_of_fit(images, digits.labels, recipe) for _ in range(repeats)]
        found[name] = {clock: summary([each[clock] for each in measured]) for clock in CLOCKS}
        print(name, found[name], flush=True)
    return found


def summary(pairs: list[tuple[float, float]]) -> dict[str, float]:
    fit, train = (round(median(column), 2) for column in zip(*pairs, strict=True))
    return {"fit": fit, "train": train, "ratio": round(median(one / other for one, other in pairs), 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--recipe", default="standard")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "-o", "--output", type=Path, help="a JSON file; what it says of other recipes is kept"
    )
    options = parser.parse_args()
    digits = load_digits(options.source)
    found = measure(digits, options.recipe, options.repeats)
    if options.output is not None:
        before = json.loads(options.output.read_text("utf-8")) if options.output.exists() else {}
        entry = {"processor": processor_name(), "images": len(digits), "repeats": options.repeats}
        before[options.recipe] = entry | {"times": found}
        options.output.write_text(json.dumps(before, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
