"""The model that the service serves; its work runs in threads, so that the event loop stays free."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import cached_property
from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from digit_recognizer import __version__
from digit_recognizer.digits import INK
from digit_recognizer.machine import usable_processors
from digit_recognizer.recognition import Recognizer
from digit_recognizer.service.batcher import Batcher
from digit_recognizer.service.reading_schemas import ReadParameters
from digit_recognizer.service.schemas import JsonObject
from digit_recognizer.service.settings import Settings

if TYPE_CHECKING:
    from digit_recognizer.explain.activations import Activations, Convolution, Inside
    from digit_recognizer.explain.connections import Connection, LastLayer
    from digit_recognizer.reading import Character, Line, Number, ReadDigit, Reading, ReadingOptions

MODEL_NAME = "digits"
MAX_BATCHED_IMAGES = 16  # larger requests run on their own
MAX_GUESSES = 100  # rejected marks that are described like digits
PROBABILITY_DECIMALS = 7  # about the precision of float32
KERNEL_ZERO, KERNEL_STEPS = 128, 127  # a kernel's bytes: 128 for weight 0, 127 steps up and down

CONNECTION_KEYS = (
    *("input", "weights", "weight_scales", "bias", "stride", "padding", "dilation", "groups"),
    *("activation", "field"),
)

Result = TypeVar("Result")


class Answer(NamedTuple):
    """The prediction for one image; probabilities are rounded."""

    label: int
    probabilities: list[float]
    is_digit: float | None
    confidence: float


class Model:
    """Predicts, reads and explains in threads; raises `DigitsError` if the model is missing or damaged."""

    def __init__(self, settings: Settings) -> None:
        self.is_shipped = settings.model is None
        self.title = f"shipped {__version__}" if settings.model is None else str(settings.model)
        self._max_pixels = settings.pixels
        self._recognizer = Recognizer(settings.model, threads=1)  # requests share the cores, not images
        blank = self._recognizer.predict(np.zeros((1, 28, 28), np.uint8))
        self.has_is_digit = blank.is_digit is not None
        self.open()

    def open(self) -> None:
        """Prepare the threads; may be called again after `close`."""
        self._threads = ThreadPoolExecutor(max(2, usable_processors()), "model")  # starts them when needed
        self._batch_thread = ThreadPoolExecutor(1, "batches")  # small requests do not wait for pictures
        self._batcher = Batcher(self._predict, self._batch_thread)

    def close(self) -> None:
        """Cancel waiting work; do not wait for running work."""
        for each in (self._threads, self._batch_thread):
            each.shutdown(wait=False, cancel_futures=True)

    async def run(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Run a function in a thread; if the request is cancelled before it starts, it never does."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    async def predict(self, images: NDArray[np.uint8]) -> list[Answer]:
        """Return a prediction for each image of (N, 28, 28)."""
        if len(images) <= MAX_BATCHED_IMAGES:
            return await self._batcher.submit(images)
        return await self.run(self._predict, images)

    async def read(self, picture: bytes, asked: ReadParameters, options: ReadingOptions) -> JsonObject:
        """Return the answer of ``/v1/read``; raise `DigitsError` for a picture that cannot be read."""
        return await self.run(self._read, picture, asked, options)

    async def explain(self, image: NDArray[np.uint8], *, saliency: bool) -> JsonObject:
        """Return the answer of ``/v1/explain`` for an image (28, 28)."""
        return await self.run(self._explain, image, saliency)

    async def filters(self) -> JsonObject:
        """Return the answer of ``/v1/filters``."""
        return await self.run(lambda: self._filters)

    def warm_up(self) -> None:
        """Do the imports that the first reading and the first explanation would wait for."""
        self._recognizer.read_page(np.full((64, 64), INK, np.uint8))
        self._explain(np.zeros((28, 28), np.uint8), saliency=False)

    def _predict(self, images: NDArray[np.uint8]) -> list[Answer]:
        """Predict and build the answers of a whole batch, all in the thread."""
        found = self._recognizer.predict(images)
        is_digit = repeat(None) if found.is_digit is None else _rounded(found.is_digit)
        columns = (found.labels.tolist(), _rounded(found.probabilities), is_digit, _rounded(found.confidence))
        return list(map(Answer, *columns))

    def _read(self, picture: bytes, asked: ReadParameters, options: ReadingOptions) -> JsonObject:
        from digit_recognizer.imaging import decode_page
        from digit_recognizer.recognition.scale import scale_boxes
        from digit_recognizer.recognition.unread import is_blank

        start = time.perf_counter()
        limits: Any = {"max_pixels": self._max_pixels, "reduce": asked.reduce}
        page = decode_page(picture, "the picture", page=asked.page, **limits)
        reading = self._recognizer.read_page(
            page.grey, options, is_upright=asked.upright, with_images=asked.images
        )
        reading = scale_boxes(reading, page.scale)
        return {
            **reading.as_dict(),
            "width": page.width,
            "height": page.height,
            "pages": page.pages,
            "lines": [_line(line, asked.images) for line in reading.lines],
            "rejected": list(_rejected(reading, asked.images)),
            "blank": not reading.lines and is_blank(page.grey),
            "seconds": _seconds_since(start),
        }

    def _explain(self, image: NDArray[np.uint8], saliency: bool) -> JsonObject:
        start = time.perf_counter()
        predictions = self._recognizer.predict(image[None])
        label = int(predictions.labels[0])
        inside = self._activations.inside(image[None])
        return {
            "label": label,
            "probabilities": _rounded(predictions.probabilities)[0],
            "is_digit": None if predictions.is_digit is None else _rounded(predictions.is_digit)[0],
            "layers": [_layer(inside, layer) for layer in self._activations.convolutions],
            "hidden": None if inside.hidden is None else inside.hidden[0].astype(float).round(4).tolist(),
            "saliency": self._saliency(image, label) if saliency else None,
            "seconds": _seconds_since(start),
        }

    def _saliency(self, image: NDArray[np.uint8], label: int) -> str:
        from digit_recognizer.explain.occlusion import occlude

        return _scaled(occlude(self._recognizer, image, label))[0]

    @cached_property
    def _activations(self) -> Activations:
        from digit_recognizer.explain.activations import open_activations

        return open_activations(self._recognizer.path, threads=1)

    @cached_property
    def _filters(self) -> JsonObject:
        return describe_filters(self._activations)


def describe_filters(model: Activations) -> JsonObject:
    """Return the answer of ``/v1/filters``."""
    layers = [_kernels(model.filters(layer), layer) for layer in model.convolutions]
    for answer in layers:
        answer.update(_connection(model.connections.get(answer["name"])))
    return {"layers": layers, "last_layer": _last_layer(model.last_layer)}


def _rounded(probabilities: NDArray[np.float32]) -> Any:
    """Return probabilities as nested lists, rounded so that their JSON is short."""
    return np.minimum(probabilities.astype(np.float64).round(PROBABILITY_DECIMALS), 1).tolist()


def _line(line: Line, with_images: bool) -> JsonObject:
    return {"numbers": [_number(number, with_images) for number in line.numbers]}


def _number(number: Number, with_images: bool) -> JsonObject:
    """Return a number as for the command line; with images, those of its characters and digits."""
    characters = [_with_image(each.as_dict(), each, with_images) for each in number.characters]
    digits = [_digit(each, with_images) for each in number.digits]
    return {**number.as_dict(), "digits": digits, "characters": characters}


def _digit(digit: ReadDigit, with_image: bool) -> JsonObject:
    return _with_image({**digit.as_dict(), "confidence": digit.confidence}, digit, with_image)


def _with_image(answer: JsonObject, mark: Character | ReadDigit, with_image: bool) -> JsonObject:
    if with_image and mark.image is not None:
        answer["image"] = b64encode(mark.image.tobytes()).decode()
    return answer


def _rejected(reading: Reading, with_images: bool) -> Iterator[JsonObject]:
    """Yield the rejected marks; with images, the first of them also as the digit they resemble most."""
    left = MAX_GUESSES if with_images else 0
    for mark, guess in zip(reading.rejected_marks, reading.guesses, strict=True):
        answer = mark.as_dict()
        if guess is not None and left:
            left -= 1
            answer["guess"] = _digit(guess, with_image=True)
        yield answer


def _layer(inside: Inside, layer: Convolution) -> JsonObject:
    """Return a layer's feature maps (C, H, W) as bytes: negative values as 0, the layer's maximum as 255.

    With them come its inputs, where they are neither the image nor the maps of another layer.
    """
    maps = inside.maps[layer.name][0]
    encoded, maximum = _scaled(maps)
    channels, height, width = maps.shape
    size = {"height": height, "width": width, "channels": channels}
    inputs = _inputs(inside.inputs[layer.name][0]) if layer.name in inside.inputs else None
    answer = {"name": layer.name, "kind": "convolution", **size, "maps": encoded, "maximum": maximum}
    return {**answer, "inputs": inputs}


def _inputs(values: NDArray[np.float32]) -> JsonObject:
    """Return the inputs (I, H, W) of a layer as bytes with a sign."""
    channels, height, width = values.shape
    scale = float(np.abs(values).max())
    size = {"height": height, "width": width, "channels": channels}
    return {**size, "values": _signed(values, np.float64(scale)), "scale": scale}


def _scaled(values: NDArray[np.float32]) -> tuple[str, float]:
    """Return values from 0 to their maximum as bytes in base64, and the maximum."""
    maximum = max(float(values.max()), 0.0)
    scale = INK / maximum if maximum > 0 else 0.0
    content = np.rint(np.maximum(values, 0) * scale).astype(np.uint8).tobytes()
    return b64encode(content).decode(), maximum


def _kernels(filters: NDArray[np.float32], layer: Convolution) -> JsonObject:
    """Return a layer's filters (C, I, H, W) as bytes: the mean over their inputs."""
    mean = filters.mean(axis=1)  # (C, H, W)
    scale = float(np.abs(mean).max())
    outputs, inputs, height, width = filters.shape
    size = {"height": height, "width": width, "inputs": inputs, "outputs": outputs}
    return {"name": layer.name, **size, "kernels": _signed(mean, np.float64(scale)), "scale": scale}


def _connection(connection: Connection | None) -> JsonObject:
    """Return what a layer's maps are computed from, all None if that is unknown."""
    if connection is None:
        return dict.fromkeys(CONNECTION_KEYS)
    scales = np.abs(connection.weights).max(axis=(1, 2, 3))  # (C,): each filter has its own
    field = connection.field
    values = (
        connection.input,
        _signed(connection.weights, scales[:, None, None, None]),
        _decimals(scales),
        _decimals(connection.bias),
        connection.stride,
        connection.padding,
        connection.dilation,
        connection.groups,
        connection.activation,
        None if field is None else asdict(field),
    )
    return dict(zip(CONNECTION_KEYS, values, strict=True))


def _last_layer(layer: LastLayer | None) -> JsonObject | None:
    """Return the weights (O, D) of the last dense layer as bytes, with a scale for each output."""
    if layer is None:
        return None
    scales = np.abs(layer.weights).max(axis=1)
    outputs, inputs = layer.weights.shape
    weights = _signed(layer.weights, scales[:, None])
    size = {"inputs": inputs, "outputs": outputs}
    return {**size, "weights": weights, "weight_scales": _decimals(scales), "bias": _decimals(layer.bias)}


def _signed(values: NDArray[np.float32], scale: NDArray[np.floating[Any]] | np.float64) -> str:
    """Return values as bytes in base64: 128 for 0, 255 for `scale`, 1 for minus `scale`."""
    levels = np.rint(values * (KERNEL_STEPS / np.where(scale > 0, scale, np.inf))) + KERNEL_ZERO
    return b64encode(levels.astype(np.uint8).tobytes()).decode()


def _decimals(values: NDArray[np.float32]) -> list[float]:
    return [float(f"{value:.6g}") for value in values.tolist()]  # about the precision of float32


def _seconds_since(start: float) -> float:
    return round(time.perf_counter() - start, 6)
