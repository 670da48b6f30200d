"""Single images of several clients, recognised together: one change of threads for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import Predictions

__all__ = ["Batcher"]

MOST = 64  # images at a time; more would make the first of them wait

Images = NDArray[np.uint8]
Waiting = tuple[Images, asyncio.Future[Predictions]]


class Batcher:
    """Gathers what comes in while a batch is being recognised, and makes the next batch of it.

    Nobody waits for a batch to fill: an image that comes alone is recognised at once.

    Parameters
    ----------
    predict
        uint8 images (N, 28, 28) ► `Predictions`.
    threads
        Where it runs, one batch at a time.
    """

    def __init__(self, predict: Callable[[Images], Predictions], threads: ThreadPoolExecutor) -> None:
        self._predict = predict
        self._threads = threads
        self._waiting: list[Waiting] = []
        self._busy = False

    async def predict(self, images: Images) -> Predictions:
        """Return what `predict` makes of a few images."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Predictions] = loop.create_future()
        self._waiting.append((images, future))
        if not self._busy:
            self._busy = True
            loop.call_soon(self._begin, loop)  # behind whatever else has come in by now
        return await future

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        batch = self._next_batch()
        if not batch:
            self._busy = False
            return
        self._threads.submit(self._work, loop, batch)

    def _next_batch(self) -> list[Waiting]:
        """Take as many as fit, and leave those out whose client has been given up."""
        batch, count = [], 0
        while self._waiting and count < MOST:
            images, future = self._waiting.pop(0)
            if not future.done():
                batch.append((images, future))
                count += len(images)
        return batch

    def _work(self, loop: asyncio.AbstractEventLoop, batch: list[Waiting]) -> None:
        """Recognise a batch, in a thread."""
        try:
            found: Predictions | Exception = self._predict(np.concatenate([images for images, _ in batch]))
        except Exception as error:  # handed to those who wait
            found = error
        loop.call_soon_threadsafe(self._hand_out, loop, batch, found)

    def _hand_out(
        self, loop: asyncio.AbstractEventLoop, batch: list[Waiting], found: Predictions | Exception
    ) -> None:
        start = 0
        for images, future in batch:
            rows = slice(start, start + len(images))
            start += len(images)
            if future.done():
                continue
            if isinstance(found, Exception):
                future.set_exception(found)
            else:
                future.set_result(_part(found, rows))
        self._begin(loop)


def _part(predictions: Predictions, rows: slice) -> Predictions:
    is_digit = None if predictions.is_digit is None else predictions.is_digit[rows]
    return Predictions(predictions.probabilities[rows], is_digit)
