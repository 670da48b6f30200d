"""One measurement of digit_recognizer in a process of its own; `keras_five_layer.py` starts it.

The result goes to standard output as one line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

PARAMETERS = 887_530
CONVOLUTIONS = ("conv1", "conv2", "conv3", "conv4")
SIDE_BEFORE_DENSE = 7  # pixels that two poolings leave of 28
WARM_UP = 2_560  # images predicted before the clock starts
COMPARED = 512  # images whose probabilities are held against Keras's


def train(arrays: str, images: int, settings: list[str], run: str) -> dict[str, Any]:
    """Train recipe ``five-layer`` on the processor; return the images a second of each epoch.

    Parameters
    ----------
    arrays
        Archive with ``images`` uint8 (N, 28, 28) and ``labels`` int64 (N,).
    images
        How many of them the recipe's split leaves to train on.
    settings
        What to change in the recipe.
    run
        The run folder to make.
    """
    import torch

    from digit_recognizer import Digits, load_recipe
    from digit_recognizer import train as train_recipe

    with np.load(arrays) as archive:
        digits = Digits(archive["images"], archive["labels"])
    recipe = load_recipe("five-layer", settings)
    records = list(train_recipe(digits, recipe, run, device="cpu"))
    metrics = json.loads((Path(run) / "metrics.json").read_text("utf-8"))
    assert metrics["training_images"] == images, metrics
    assert metrics["parameters"] == PARAMETERS, metrics
    return {
        "images_per_second": [record.images_per_second for record in records],
        "precision": load_recipe(f"{run}/recipe.toml").precision,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def predict(arrays: str, run: str, weights: str, probabilities: str) -> dict[str, Any]:
    """Return the images a second of ``Recognizer.predict``.

    Parameters
    ----------
    arrays
        Archive with ``predicted`` uint8 (N, 28, 28).
    run
        The run folder whose model predicts.
    weights
        Where to put its weights in Keras's layout, as an .npz archive.
    probabilities
        Where to put those of the first images, float32 (512, 10).
    """
    from digit_recognizer import Recognizer

    with np.load(arrays) as archive:
        images = archive["predicted"]
    recognizer = Recognizer(run)
    recognizer.predict(images[:WARM_UP])
    started = time.perf_counter()
    predictions = recognizer.predict(images)
    seconds = time.perf_counter() - started
    np.save(probabilities, predictions.probabilities[:COMPARED])
    np.savez(weights, **keras_layout(run))
    return {"images_per_second": len(images) / seconds}


def keras_layout(run: str) -> dict[str, np.ndarray]:
    """Return a run's weights as Keras keeps them: (rows, columns, in, out) and (in, out), channels last."""
    from safetensors.numpy import load_file

    weights = load_file(Path(run) / "model.safetensors")
    for name in CONVOLUTIONS:
        weights[f"{name}.weight"] = weights[f"{name}.weight"].transpose(2, 3, 1, 0)
    first = weights["dense1.weight"]  # (256, 64 · 7 · 7), channels before rows and columns
    channels_first = first.reshape(len(first), -1, SIDE_BEFORE_DENSE, SIDE_BEFORE_DENSE)
    weights["dense1.weight"] = channels_first.transpose(2, 3, 1, 0).reshape(-1, len(first))
    weights["dense2.weight"] = weights["dense2.weight"].T
    return weights


def load(source: str) -> dict[str, Any]:
    """Return the seconds that ``load_digits`` takes, and the process's peak memory in bytes behind it."""
    from digit_recognizer import load_digits

    started = time.perf_counter()
    digits = load_digits(source)
    return {"seconds": time.perf_counter() - started, "peak_bytes": peak_bytes(), "images": len(digits)}


def peak_bytes() -> int:
    """Return the most memory that this process had at once, Python and its libraries included."""
    from resource import RUSAGE_SELF, getrusage

    unit = 1 if sys.platform == "darwin" else 1024
    return getrusage(RUSAGE_SELF).ru_maxrss * unit


def main() -> None:
    action = {"train": train, "predict": predict, "load": load}[sys.argv[1]]
    print(json.dumps(action(**json.loads(Path(sys.argv[2]).read_text("utf-8")))))


if __name__ == "__main__":
    main()
