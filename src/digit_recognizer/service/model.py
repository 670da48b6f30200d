"""What the routes ask: one model, and a few threads that work while the event loop serves others."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import cached_property
from itertools import repeat, zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from digit_recognizer import __version__
from digit_recognizer.digits import INK
from digit_recognizer.machine import usable_processors
from digit_recognizer.recognition import Recognizer
from digit_recognizer.service.batcher import Batcher
from digit_recognizer.service.settings import Settings

if TYPE_CHECKING:
    from digit_recognizer.explain.activations import Activations, Convolution
    from digit_recognizer.reading import Line, ReadDigit, Reading

NAME = "digits"  # that clients ask for
FORMATS = ("PNG", "JPEG", "WebP", "BMP", "GIF")  # of pictures from strangers: TIFF and PDF can do too much
SMALL = 16  # images; requests of no more are recognised together
MIDDLE, STEPS = 128, 127  # of a filter's byte: 0, and those to either side
GUESSES = 100  # marks that are no digits, but come with what they would be
DECIMALS = 7  # of probabilities: about as many as float32 has

Result = TypeVar("Result")


class Answer(NamedTuple):
    """What the model makes of one image; probabilities are rounded."""

    label: int
    probabilities: list[float]
    is_digit: float | None
    confidence: float


class Model:
    """The model that a service serves.

    Parameters
    ----------
    settings
        Which model, and how large a picture may be.

    Raises
    ------
    DigitsError
        There is no such model, or it is damaged.
    """

    def __init__(self, settings: Settings) -> None:
        self.shipped = settings.model is None
        self.version = __version__
        self.title = f"shipped {__version__}" if settings.model is None else str(settings.model)
        self._pixels = settings.pixels
        self._recognizer = Recognizer(settings.model, threads=1)  # requests share the cores, not images
        blank = self._recognizer.predict(np.zeros((1, 28, 28), np.uint8))
        self.knows_no_digit = blank.is_digit is not None
        self.open()

    def open(self) -> None:
        """Make ready for work, again after `close`."""
        self._threads = ThreadPoolExecutor(max(2, usable_processors()), "model")  # started when needed
        self._thread = ThreadPoolExecutor(1, "batches")  # so that single digits do not wait for pictures
        self._batcher = Batcher(self._predict, self._thread)

    async def predict(self, images: NDArray[np.uint8]) -> list[Answer]:
        """Return what the model makes of each of the images (N, 28, 28)."""
        if len(images) <= SMALL:
            return await self._batcher.submit(images)
        return await self.run(self._predict, images)

    def _predict(self, images: NDArray[np.uint8]) -> list[Answer]:
        """Return a row for each image; made here, for all at once and in a thread."""
        found = self._recognizer.predict(images)
        is_digit = repeat(None) if found.is_digit is None else rounded(found.is_digit)
        columns = (found.labels.tolist(), rounded(found.probabilities), is_digit, rounded(found.confidence))
        return list(map(Answer, *columns))

    async def read(self, picture: bytes, *, images: bool) -> dict[str, Any]:
        """Return the numbers in a picture as JSON has them, each digit with its 28x28 pixels if `images`.

        Raises
        ------
        DigitsError
            It is no picture in one of `FORMATS`, it is damaged, or it has too many pixels.
        """
        return await self.run(self._read, picture, images)

    async def explain(self, image: NDArray[np.uint8], *, saliency: bool) -> dict[str, Any]:
        """Return what goes on in the network when it sees an image (28, 28), as JSON has it."""
        return await self.run(self._explain, image, saliency)

    async def filters(self) -> dict[str, Any]:
        """Return the kernels of every convolution, as JSON has them."""
        return await self.run(lambda: self._filters)

    async def run(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Do some work in one of the threads; it is not begun if nobody waits for it any more."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    def warm_up(self) -> None:
        """Import and open what the first reading and the first explanation would wait for."""
        self._read_page(np.full((64, 64), INK, np.uint8))
        self._explain(np.zeros((28, 28), np.uint8), saliency=False)

    def close(self) -> None:
        """Wait for no more work."""
        for each in (self._threads, self._thread):
            each.shutdown(wait=False, cancel_futures=True)

    @cached_property
    def _activations(self) -> Activations:
        from digit_recognizer.explain.activations import open_activations

        return open_activations(self._recognizer.path, threads=1)

    @cached_property
    def _filters(self) -> dict[str, Any]:
        inside = self._activations
        return {"layers": [_kernels(inside.filters(layer), layer) for layer in inside.convolutions]}

    def _read_page(self, page: NDArray[np.uint8]) -> Reading:
        return self._recognizer.read(page)

    def _read(self, picture: bytes, images: bool) -> dict[str, Any]:
        from digit_recognizer.imaging import decode

        begun = time.perf_counter()
        page = decode(picture, formats=FORMATS, max_pixels=self._pixels)
        reading = self._read_page(page)
        return {
            "text": reading.text,
            "width": page.shape[1],
            "height": page.shape[0],
            "lines": [_line(line, images) for line in reading.lines],
            "rejected": list(_rejected(reading, images)),
            "blank": not reading.lines and not reading.rejected,
            "seconds": _since(begun),
        }

    def _explain(self, image: NDArray[np.uint8], saliency: bool) -> dict[str, Any]:
        begun = time.perf_counter()
        inside = self._activations
        predictions = self._recognizer.predict(image[None])
        label = int(predictions.labels[0])
        maps = inside.all_feature_maps(image[None])
        return {
            "label": label,
            "probabilities": rounded(predictions.probabilities)[0],
            "is_digit": None if predictions.is_digit is None else rounded(predictions.is_digit)[0],
            "layers": [_maps(maps[layer.name][0], layer) for layer in inside.convolutions],
            "saliency": self._saliency(image, label) if saliency else None,
            "seconds": _since(begun),
        }

    def _saliency(self, image: NDArray[np.uint8], label: int) -> str:
        from digit_recognizer.explain.occlusion import occlude

        return _scaled(occlude(self._recognizer, image, label))[0]


def rounded(probabilities: NDArray[np.float32]) -> Any:
    """Return probabilities as lists of numbers that are no longer than they need to be."""
    return np.minimum(probabilities.astype(np.float64).round(DECIMALS), 1).tolist()


def _line(line: Line, with_images: bool) -> dict[str, Any]:
    return {
        "numbers": [
            {"digits": [_digit(digit, with_images) for digit in number.digits]} for number in line.numbers
        ]
    }


def _digit(digit: ReadDigit, with_image: bool) -> dict[str, Any]:
    answer = {**digit.as_dict(), "confidence": digit.confidence}
    if with_image:
        assert digit.image is not None
        answer["image"] = b64encode(digit.image.tobytes()).decode()
    return answer


def _rejected(reading: Reading, with_images: bool) -> Iterator[dict[str, Any]]:
    """Give the marks that are no digits, some of them with what they would be, if images are wanted."""
    left = GUESSES if with_images else 0
    for box, guess in zip_longest(reading.rejected, reading.guesses):
        if guess is None or not left:
            yield asdict(box)
            continue
        left -= 1
        yield {**asdict(box), "guess": _digit(guess, with_image=True)}


def _maps(maps: NDArray[np.float32], layer: Convolution) -> dict[str, Any]:
    """Return a layer's maps (C, H, W) as bytes, 255 where the layer is most excited; what is below 0 is 0."""
    encoded, maximum = _scaled(maps)
    channels, height, width = maps.shape
    size = {"height": height, "width": width, "channels": channels}
    return {"name": layer.name, "kind": "convolution", **size, "maps": encoded, "maximum": maximum}


def _scaled(values: NDArray[np.float32]) -> tuple[str, float]:
    """Return values from 0 to their maximum as bytes in base64, and that maximum."""
    maximum = max(float(values.max()), 0.0)
    scale = INK / maximum if maximum > 0 else 0.0
    content = np.rint(np.maximum(values, 0) * scale).astype(np.uint8).tobytes()
    return b64encode(content).decode(), maximum


def _kernels(filters: NDArray[np.float32], layer: Convolution) -> dict[str, Any]:
    """Return filters (C, I, H, W) as bytes, the mean over their inputs, 128 for 0."""
    mean = filters.mean(axis=1)  # (C, H, W)
    scale = float(np.abs(mean).max())
    steps = np.rint(mean * (STEPS / scale if scale > 0 else 0.0)) + MIDDLE
    outputs, inputs, height, width = filters.shape
    return {
        "name": layer.name,
        "height": height,
        "width": width,
        "inputs": inputs,
        "outputs": outputs,
        "kernels": b64encode(steps.astype(np.uint8).tobytes()).decode(),
        "scale": scale,
    }


def _since(begun: float) -> float:
    return round(time.perf_counter() - begun, 6)
