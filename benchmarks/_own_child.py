"""One measurement of digit_recognizer in a separate process, which a benchmark starts.

The result is one line of JSON on standard output.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from _child import main, peak_bytes

WARM_UP = 2_560  # images predicted before the clock starts
SINGLES = 1_000  # images predicted one by one
TORCH_BATCH = 256  # images
INK = 255  # the value of a pixel with full ink
MATRIX_SIDE = 2_048
PRODUCTS = 30
TELEPHONE_NUMBER = 11  # digits
DRAWING = 280  # pixels along each side
SINGLES_TO_WARM_UP = 10
COMPARED = 512  # images whose probabilities are compared with Keras's


def learn(arrays: str, recipe: str, settings: list[str], seed: int, run: str) -> dict[str, Any]:
    """Train a recipe; return the accuracy after each epoch, and the seconds of each.

    After the last epoch, this is the accuracy of the finished model, which predicts unsure images again,
    shifted, if the recipe says so; before, it is the accuracy of the network alone.

    Parameters
    ----------
    arrays
        Archive with ``images`` uint8 (N, 28, 28) and ``labels`` int64 (N,).
    recipe, settings, seed
        The recipe to train.
    run
        The run folder to create.
    """
    from digit_recognizer import Digits, load_recipe
    from digit_recognizer import train as train_recipe
    from digit_recognizer.networks.summary import summarise_recipe

    with np.load(arrays) as archive:
        digits = Digits(archive["images"], archive["labels"])
    loaded = load_recipe(recipe, settings)
    started = time.perf_counter()
    records = list(train_recipe(digits, loaded, run, seed=seed, device="cpu"))
    whole = time.perf_counter() - started
    metrics = json.loads((Path(run) / "metrics.json").read_text("utf-8"))
    images = metrics["training_images"]
    return {
        "images": images,
        "epoch_seconds": [images / record.images_per_second for record in records],
        "accuracies": [
            *(record.validation_accuracy for record in records[:-1]),
            metrics["validation"]["accuracy"],
        ],
        "final_accuracy": metrics["validation"]["accuracy"],
        "whole_seconds": whole,
        "parameters": metrics["parameters"],
        "multiply_adds": summarise_recipe(loaded).multiply_adds,
        "precision": load_recipe(f"{run}/recipe.toml").precision.convolution,
        "peak_bytes": peak_bytes(),
    }


def peak(precision: str) -> dict[str, Any]:
    """Return the floating-point operations per second of a product of two large matrices."""
    import torch

    first, second = torch.randn(2, MATRIX_SIDE, MATRIX_SIDE, dtype=getattr(torch, precision))
    seconds = []
    for _ in range(PRODUCTS):
        started = time.perf_counter()
        first @ second
        seconds.append(time.perf_counter() - started)
    return {"operations_per_second": 2 * MATRIX_SIDE**3 / min(seconds)}


def recognise(arrays: str, run: str | None, probabilities: str) -> dict[str, Any]:
    """Return the images per second, and the seconds for one image, of ``Recognizer.predict``.

    Parameters
    ----------
    arrays
        Archive with ``predicted`` uint8 (N, 28, 28).
    run
        The run folder of the model; None for the included model.
    probabilities
        The file to write those of the first images to, float32 (512, 10).
    """
    from digit_recognizer import Recognizer

    with np.load(arrays) as archive:
        images = archive["predicted"]
    recognizer = Recognizer(run)
    np.save(probabilities, recognizer.predict(images[:COMPARED]).probabilities)
    return {**_speed(recognizer.predict, images), "peak_bytes": peak_bytes()}


def recognise_with_torch(
    arrays: str, run: str | None, probabilities: str, recipe: str, weights: str
) -> dict[str, Any]:
    """Return the same for torch, with the same network and weights, and images prepared before.

    Parameters
    ----------
    arrays, run, probabilities
        As in `recognise`.
    recipe
        The recipe of the network.
    weights
        The .npz archive to write the weights to, in Keras's layout.
    """
    import torch

    from digit_recognizer import load_recipe
    from digit_recognizer.networks.build import build_network

    with np.load(arrays) as archive:
        images = archive["predicted"]
    network = build_network(load_recipe(recipe))
    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights_of(run).items()})
    network = network.eval().to(memory_format=torch.channels_last)
    inputs = torch.from_numpy(images).unsqueeze(1).float() / INK

    def predict_all(some: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return torch.cat([network(batch).softmax(1) for batch in torch.split(some, TORCH_BATCH)])

    np.save(probabilities, predict_all(inputs[:COMPARED]).numpy())
    np.savez(weights, **keras_weights(network))
    return {**_speed(predict_all, inputs), "peak_bytes": peak_bytes()}


def weights_of(run: str | None) -> dict[str, np.ndarray]:
    """Return the weights of a run, or of the included model, by their names."""
    if run is not None:
        from safetensors.numpy import load_file

        return load_file(Path(run) / "model.safetensors")
    import onnx

    from digit_recognizer import Recognizer

    prefix = "network."
    tensors = onnx.load(Recognizer().path).graph.initializer
    return {
        tensor.name.removeprefix(prefix): onnx.numpy_helper.to_array(tensor).copy()
        for tensor in tensors
        if tensor.name.startswith(prefix)
    }


def keras_weights(network: Any) -> dict[str, np.ndarray]:
    """Return a network's weights in Keras's layout: channels last, inputs before outputs."""
    from digit_recognizer.networks.summary import summarise_layers

    side = 0  # of the last image; 0 after the first dense layer
    weights: dict[str, np.ndarray] = {}
    shapes = {row.name: row.output_shape for row in summarise_layers(network)}
    for name, layer in network.named_children():
        for part, tensor in layer.state_dict().items():
            weights[f"{name}.{part}"] = keras_order(tensor.numpy(), side)
        if len(shapes[name]) == 3:
            side = shapes[name][0]
        elif hasattr(layer, "weight"):
            side = 0
    return weights


def keras_order(values: np.ndarray, side: int) -> np.ndarray:
    """Return a weight with Keras's axes; `side` is the side of the image before a dense layer."""
    if values.ndim == 4:
        return values.transpose(2, 3, 1, 0)
    if values.ndim == 2 and side:  # channels came before rows and columns
        values = values.reshape(len(values), -1, side, side).transpose(0, 2, 3, 1)
        return values.reshape(len(values), -1).T
    return values.T


def _speed(predict_all: Any, images: Any) -> dict[str, float]:
    """Return the images per second in one call, and the median seconds of calls with one image."""
    predict_all(images[:WARM_UP])
    started = time.perf_counter()
    predict_all(images)
    rate = len(images) / (time.perf_counter() - started)
    seconds = []
    for number in range(SINGLES):
        started = time.perf_counter()
        predict_all(images[number : number + 1])
        seconds.append(time.perf_counter() - started)
    return {"images_per_second": rate, "seconds_for_one": float(np.median(seconds))}


def draw_pictures(folder: str, seed: int) -> dict[str, Any]:
    """Write a photo of a telephone number, a drawing of a digit and a small string; return their paths."""
    from PIL import Image

    from _synthetic_pages import photo, string_page
    from digit_recognizer import load_digits

    digits = load_digits("bundled")
    rng = np.random.default_rng(seed)
    drawing = Image.fromarray(INK - digits.images[0]).resize((DRAWING, DRAWING), Image.Resampling.BICUBIC)
    pictures = {
        "photo.jpg": Image.fromarray(photo(digits.images[:TELEPHONE_NUMBER], rng)),
        "drawing.png": drawing,
        "small.png": Image.fromarray(string_page(digits, 0, rng).page),
    }
    for name, picture in pictures.items():
        picture.save(Path(folder) / name)
    return {Path(name).stem: str(Path(folder) / name) for name in pictures}


def read_photo(model: str | None, photo: str) -> dict[str, Any]:
    """Return the seconds that ``Recognizer.read`` takes, and the process's peak memory in bytes after it.

    `model` is a run folder, or None for the included model.
    """
    from digit_recognizer import Recognizer

    recognizer = Recognizer(model)
    recognizer.read(np.full((50, 50), INK, np.uint8))  # imports what reading needs
    started = time.perf_counter()
    reading = recognizer.read(photo)
    seconds = time.perf_counter() - started
    assert reading.digits, "nothing was read in the photo"
    return {"seconds": seconds, "peak_bytes": peak_bytes()}


def read_drawing(model: str | None, drawing: str, repeats: int) -> dict[str, Any]:
    """Return the seconds of each call of ``Recognizer.read_single``; arguments as in `read_photo`."""
    from PIL import Image

    from digit_recognizer import Recognizer

    recognizer = Recognizer(model)
    page = np.array(Image.open(drawing))
    seconds = []
    for _ in range(repeats + SINGLES_TO_WARM_UP):
        started = time.perf_counter()
        recognizer.read_single(page)
        seconds.append(time.perf_counter() - started)
    return {"seconds": seconds[SINGLES_TO_WARM_UP:]}


def predict_rate(images: int, seconds: float) -> dict[str, Any]:
    """Return the images per second of ``Recognizer.predict``, with `images` in each call."""
    from digit_recognizer import Recognizer

    recognizer = Recognizer()
    pixels = np.random.default_rng(0).integers(0, INK + 1, (images, 28, 28)).astype(np.uint8)
    return {"rate": images * _calls_per_second(lambda: recognizer.predict(pixels), seconds)}


def read_rate(photo: str, seconds: float) -> dict[str, Any]:
    """Return how many times per second ``Recognizer.read`` reads a photo."""
    from digit_recognizer import Recognizer

    recognizer = Recognizer()
    return {"rate": _calls_per_second(lambda: recognizer.read(photo), seconds)}


def _calls_per_second(call: Any, seconds: float) -> float:
    """Return the calls per second, after a first call, over at least `seconds`."""
    call()
    calls, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        call()
        calls += 1
    return calls / passed


def load(source: str) -> dict[str, Any]:
    """Return the seconds that ``load_digits`` takes, and the process's peak memory in bytes after it."""
    from digit_recognizer import load_digits

    started = time.perf_counter()
    digits = load_digits(source)
    return {"seconds": time.perf_counter() - started, "peak_bytes": peak_bytes(), "images": len(digits)}


def command(words: list[str], environment: dict[str, str]) -> dict[str, Any]:
    """Return the seconds that a process of ``digits`` takes, and its peak memory in bytes.

    On Linux, the figure starts from the memory of the parent: of this small process, not of the benchmark.
    """
    line = [sys.executable, "-m", "digit_recognizer", *words]
    started = time.perf_counter()
    process = subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    assert status == 0, f"{line} failed"
    unit = 1 if sys.platform == "darwin" else 1024
    return {"seconds": seconds, "peak_bytes": usage.ru_maxrss * unit}


if __name__ == "__main__":
    main(
        learn,
        peak,
        recognise,
        recognise_with_torch,
        load,
        command,
        draw_pictures,
        read_photo,
        read_drawing,
        predict_rate,
        read_rate,
    )
