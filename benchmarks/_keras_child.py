"""One measurement of Keras 3 on TensorFlow in a separate process, which a benchmark starts.

It runs in the peers' environment, without digit_recognizer: the recipe comes as a table, the images as an
.npz archive. The network is written as in the recipe's notebook, and then compared with the table. The result
is one line of JSON on standard output.
"""

from __future__ import annotations

import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from _child import main, peak_bytes

SIDE = 28  # pixels
CLASSES = 10
INK = 255  # the value of a pixel with full ink
SINGLES = 100  # images predicted one by one
PREDICT_BATCHES = (32, 256)  # Keras's default, and a large one
PARTS = ("weight", "bias", "running_mean", "running_var")  # of a layer's weights, in Keras's order
COMPARED = 512  # images whose probabilities are returned, to compare them with ours

Pair = tuple[tf.Tensor, tf.Tensor]  # images (B, 28, 28, 1) and one-hot labels (B, 10), both float32


def learn(
    arrays: str,
    rows: str,
    recipe: dict[str, Any],
    epochs: int,
    enough: float = float("inf"),
    policy: str = "float32",
    jit: bool | str = "auto",
) -> dict[str, Any]:
    """Train as in the recipe; return the accuracy after each epoch, and the seconds of each.

    Parameters
    ----------
    arrays
        Archive with ``images`` uint8 (N, 28, 28) and ``labels`` int64 (N,).
    rows
        Archive with ``training`` and ``validation``, row numbers of the images.
    recipe
        The table of the recipe, which the model must match.
    epochs
        The maximum.
    enough
        The accuracy on the validation images at which training stops.
    policy, jit
        Keras's precision policy, and the argument ``jit_compile`` of ``compile``.
    """
    keras.mixed_precision.set_global_policy(policy)
    with np.load(arrays) as archive, np.load(rows) as chosen:
        images, labels = archive["images"], archive["labels"]
        training, validation = chosen["training"], chosen["validation"]
    model = build(jit)
    check_settings(model, recipe)
    targets = keras.utils.to_categorical(labels, CLASSES)
    timer = Timer()
    evaluation = Evaluation(scale(images[validation]), labels[validation], enough)
    schedule = recipe["schedule"]
    plateau = keras.callbacks.ReduceLROnPlateau(
        monitor="val_accuracy",
        mode="max",
        factor=schedule["factor"],
        patience=schedule["patience"],
        min_lr=schedule["floor"],
        min_delta=schedule["min_delta"],
    )
    batches = augmenting(scale(images[training]), targets[training], recipe)
    model.fit(batches, epochs=epochs, verbose=0, callbacks=[timer, evaluation, plateau])
    return {
        "images": len(training),
        "epoch_seconds": timer.seconds,
        "accuracies": evaluation.accuracies,
        "parameters": model.count_params(),
        "peak_bytes": peak_bytes(),
    }


def recognise(arrays: str, lines: list[str], weights: str, probabilities: str) -> dict[str, Any]:
    """Return the images per second, and the seconds for one, of ``model.predict`` with our weights.

    Parameters
    ----------
    arrays
        Archive with ``predicted`` uint8 (N, 28, 28).
    lines
        The recipe's network.
    weights
        Archive of our weights in Keras's layout, named such as ``conv1.weight``.
    probabilities
        Where to put those of the first images, float32 (512, 10).
    """
    with np.load(arrays) as archive:
        inputs = scale(archive["predicted"])
    model = build_from(lines)
    load_weights(model, weights)
    np.save(probabilities, model.predict(inputs[:COMPARED], verbose=0))
    seconds = []
    for number in range(SINGLES):
        started = time.perf_counter()
        model.predict(inputs[number : number + 1], verbose=0)
        seconds.append(time.perf_counter() - started)
    return {
        "images_per_second": max(predict_rate(model, inputs, size) for size in PREDICT_BATCHES),
        "seconds_for_one": float(np.median(seconds)),
        "peak_bytes": peak_bytes(),
    }


def build_from(lines: list[str]) -> keras.Model:
    """Build a network from layer specifications, as far as the measured models use them."""
    stack, counts = [keras.Input((SIDE, SIDE, 1))], {}
    for line in lines:
        word, *rest = line.split()
        counts[word] = counts.get(word, 0) + 1
        options = {
            "name": f"{word}{counts[word]}",
            **({"activation": "relu"} if rest[-1:] == ["relu"] else {}),
        }
        if word == "conv":
            size = tuple(map(int, rest[1].split("x")))
            strides = int(rest[rest.index("stride") + 1]) if "stride" in rest else 1
            padding = "same" if "same" in rest else "valid"
            stack.append(layers.Conv2D(int(rest[0]), size, strides, padding, **options))
        elif word == "maxpool":
            stack.append(layers.MaxPool2D(int(rest[0]), **options))
        elif word == "dropout":
            stack.append(layers.Dropout(float(rest[0])))
        elif word == "relu":
            stack.append(layers.ReLU(name=options["name"]))
        elif word == "batchnorm":
            stack.append(layers.BatchNormalization(**options))
        else:
            assert word == "dense", line
            stack += [layers.Flatten()] if counts[word] == 1 else []
            stack.append(layers.Dense(int(rest[0]), **options))
    return keras.Sequential([*stack, layers.Softmax()])


def predict_rate(model: keras.Model, inputs: np.ndarray, size: int) -> float:
    """Return the images per second after a warm-up, which includes a last batch of the same size."""
    model.predict(inputs[: 8 * size + len(inputs) % size], batch_size=size, verbose=0)
    started = time.perf_counter()
    model.predict(inputs, batch_size=size, verbose=0)
    return len(inputs) / (time.perf_counter() - started)


def scale(images: np.ndarray) -> np.ndarray:
    """Convert uint8 images (N, 28, 28) to float32 (N, 28, 28, 1), 0 to 1."""
    return images[..., None].astype(np.float32) / INK


def build(jit: bool | str) -> keras.Model:
    """Return the compiled network, with our names of its layers."""
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 1)),
            layers.Conv2D(32, (5, 5), padding="same", activation="relu", name="conv1"),
            layers.Conv2D(32, (5, 5), padding="same", activation="relu", name="conv2"),
            layers.MaxPool2D((2, 2)),
            layers.Dropout(0.25),
            layers.Conv2D(64, (3, 3), padding="same", activation="relu", name="conv3"),
            layers.Conv2D(64, (3, 3), padding="same", activation="relu", name="conv4"),
            layers.MaxPool2D((2, 2)),
            layers.Dropout(0.25),
            layers.Flatten(),
            layers.Dense(256, activation="relu", name="dense1"),
            layers.Dropout(0.5),
            layers.Dense(CLASSES, activation="softmax", dtype="float32", name="dense2"),
        ]
    )
    optimizer = keras.optimizers.RMSprop(learning_rate=1e-3, rho=0.9, epsilon=1e-8)
    model.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"], jit_compile=jit)
    return model


def check_settings(model: keras.Model, recipe: dict[str, Any]) -> None:
    """Assert that the model and the optimizer are those of the recipe."""
    assert describe(model) == recipe["network"], (describe(model), recipe["network"])
    settings = model.optimizer.get_config()
    expected = recipe["optimizer"]
    assert type(model.optimizer).__name__.lower() == expected["name"], settings
    for name in ("learning_rate", "rho", "epsilon"):
        assert np.isclose(settings[name], expected[name], rtol=1e-6), (name, settings)
    extras = ("momentum", "centered", "weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "use_ema")
    assert not any(settings[name] for name in extras), settings


def describe(model: keras.Model) -> list[str]:
    """Return a model's layers as layer specifications, without ``Flatten`` and the last softmax."""
    lines = [line_of(layer) for layer in model.layers if not isinstance(layer, layers.Flatten)]
    return [*lines[:-1], lines[-1].removesuffix(" softmax")]


def line_of(layer: keras.Layer) -> str:
    """Return the specification of one layer, such as ``conv 32 5x5 same relu``."""
    match layer:
        case layers.Conv2D():
            assert layer.strides == (1, 1)
            size = "x".join(map(str, layer.kernel_size))
            return f"conv {layer.filters} {size} {layer.padding} {layer.activation.__name__}"
        case layers.MaxPooling2D():
            assert layer.pool_size == layer.strides == (2, 2)
            return "maxpool 2"
        case layers.Dropout():
            return f"dropout {layer.rate:g}"
        case layers.Dense():
            return f"dense {layer.units} {layer.activation.__name__}"
    raise AssertionError(layer)


def augmenting(inputs: np.ndarray, targets: np.ndarray, recipe: dict[str, Any]) -> tf.data.Dataset:
    """Return shuffled batches, warped in tf.data during the training.

    A fifth of the processor time that ``ImageDataGenerator`` takes, which calls scipy for each image:
    19 against 93 microseconds an image on one core of a Xeon.
    """
    moves = {name: value for name, value in recipe["augmentation"].items() if value}

    def move(images: tf.Tensor, labels: tf.Tensor) -> Pair:
        return warp(images, **moves), labels

    pairs = tf.data.Dataset.from_tensor_slices((inputs, targets)).shuffle(len(inputs))
    batches = pairs.batch(recipe["batch_size"]).map(move, num_parallel_calls=tf.data.AUTOTUNE)
    return batches.prefetch(tf.data.AUTOTUNE)


def warp(images: tf.Tensor, rotation: float, zoom: float, shift: float) -> tf.Tensor:
    """Rotate, shift and zoom each image of a batch at random, like ``ImageDataGenerator``.

    All in one interpolation, linear, beyond the edge its pixels repeated. `rotation` is in degrees, `zoom`
    and `shift` are shares, all to either side. The notebook has nothing else.
    """
    count = tf.shape(images)[0]
    drawn = tf.unstack(tf.random.uniform([5, count], -1.0, 1.0))  # each (B,)
    angle = drawn[0] * float(np.radians(rotation))
    down, right = shift * SIDE * drawn[1], shift * SIDE * drawn[2]
    return transform(images, angle, down, right, 1 + zoom * drawn[3], 1 + zoom * drawn[4])


def transform(
    images: tf.Tensor, angle: tf.Tensor, down: tf.Tensor, right: tf.Tensor, high: tf.Tensor, wide: tf.Tensor
) -> tf.Tensor:
    """Map the position of each output pixel, from the centre, to the input: rotation · shift · zoom."""
    cos, sin, zero = tf.cos(angle), tf.sin(angle), tf.zeros_like(angle)
    centre = (SIDE - 1) / 2
    a, b = cos * wide, sin * high  # column of the input = a · column + b · row + c
    d, e = -sin * wide, cos * high  # row of the input = d · column + e · row + f
    c = sin * down + cos * right + centre * (1 - a - b)
    f = cos * down - sin * right + centre * (1 - d - e)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([a, b, c, d, e, f, zero, zero], axis=1),  # (B, 8)
        output_shape=[SIDE, SIDE],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )


def load_weights(model: keras.Model, path: str) -> None:
    with np.load(path) as archive:
        for layer in model.layers:
            if layer.weights:
                names = (f"{layer.name}.{part}" for part in PARTS)
                layer.set_weights([archive[name] for name in names if name in archive])


class Evaluation(keras.callbacks.Callback):
    """Measures the accuracy on the validation images after each epoch, when `Timer` has stopped."""

    def __init__(self, inputs: np.ndarray, labels: np.ndarray, enough: float) -> None:
        super().__init__()
        self.accuracies: list[float] = []
        self._inputs, self._labels, self._enough = inputs, labels, enough

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002 (Keras's)
        """Predict, log the accuracy for `ReduceLROnPlateau`, and stop the training if it is high enough."""
        found = self.model.predict(self._inputs, batch_size=256, verbose=0).argmax(axis=1)
        self.accuracies.append(float((found == self._labels).mean()))
        if logs is not None:
            logs["val_accuracy"] = self.accuracies[-1]
        self.model.stop_training = self.accuracies[-1] >= self._enough


class Timer(keras.callbacks.Callback):
    """Records the seconds of each epoch, without validation."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._started = 0.0

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002 (Keras's signature)
        """Start the timer."""
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002 (Keras's signature)
        """Stop the timer."""
        self.seconds.append(time.perf_counter() - self._started)


if __name__ == "__main__":
    main(learn, recognise)
