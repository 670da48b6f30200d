"""Batches small requests: images that arrive while the model is busy form the next batch."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

MAX_BATCH = 64  # images; a larger batch would delay the first of them

Images = NDArray[np.uint8]
Row = TypeVar("Row")
Request = tuple[Images, asyncio.Future[list[Row]]]


class Batcher(Generic[Row]):
    """Runs `predict` on one batch at a time, in a thread; never waits for a batch to fill.

    Switching threads once for each batch, not for each request, is what makes small requests fast.
    """

    def __init__(self, predict: Callable[[Images], list[Row]], threads: ThreadPoolExecutor) -> None:
        self._predict = predict  # (N, 28, 28) → N rows
        self._threads = threads
        self._waiting: deque[Request[Row]] = deque()
        self._busy = False

    def submit(self, images: Images) -> asyncio.Future[list[Row]]:
        """Return a future of one row for each image."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Row]] = loop.create_future()
        self._waiting.append((images, future))
        if not self._busy:
            self._busy = True
            loop.call_soon(self._start_batch, loop)  # requests that have already arrived join the batch
        return future

    def _start_batch(self, loop: asyncio.AbstractEventLoop) -> None:
        batch = self._next_batch()
        self._busy = bool(batch)
        if batch:
            self._threads.submit(self._run, loop, batch)

    def _next_batch(self) -> list[Request[Row]]:
        """Take waiting requests up to `MAX_BATCH` images; skip those that were cancelled."""
        batch, count = [], 0
        while self._waiting and count < MAX_BATCH:
            images, future = self._waiting.popleft()
            if not future.done():
                batch.append((images, future))
                count += len(images)
        return batch

    def _run(self, loop: asyncio.AbstractEventLoop, batch: list[Request[Row]]) -> None:
        try:
            result: list[Row] | Exception = self._predict(np.concatenate([images for images, _ in batch]))
        except Exception as error:  # every waiting request gets it
            result = error
        loop.call_soon_threadsafe(self._finish_batch, loop, batch, result)

    def _finish_batch(
        self, loop: asyncio.AbstractEventLoop, batch: list[Request[Row]], result: list[Row] | Exception
    ) -> None:
        self._start_batch(loop)  # first, so that the model works while the results are distributed
        start = 0
        for images, future in batch:
            rows = slice(start, start + len(images))
            start += len(images)
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result[rows])
