"""Images of several clients, recognised together: one change of threads for all of them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

MOST = 64  # images at a time; more would make the first of them wait

Images = NDArray[np.uint8]
Row = TypeVar("Row")


class Batcher(Generic[Row]):
    """Gathers what comes in while a batch is being recognised, and makes the next batch of it.

    Nobody waits for a batch to fill: an image that comes alone is recognised at once.

    Parameters
    ----------
    recognise
        uint8 images (N, 28, 28) ► what is found in each of them: N rows.
    threads
        Where it runs, one batch at a time.
    """

    def __init__(self, recognise: Callable[[Images], list[Row]], threads: ThreadPoolExecutor) -> None:
        self._recognise = recognise
        self._threads = threads
        self._waiting: deque[tuple[Images, asyncio.Future[list[Row]]]] = deque()
        self._busy = False

    def submit(self, images: Images) -> asyncio.Future[list[Row]]:
        """Return what will be found in a few images: a row for each."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Row]] = loop.create_future()
        self._waiting.append((images, future))
        if not self._busy:
            self._busy = True
            loop.call_soon(self._begin, loop)  # behind whatever else has come in by now
        return future

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        batch = self._next_batch()
        self._busy = bool(batch)
        if batch:
            self._threads.submit(self._work, loop, batch)

    def _next_batch(self) -> list[tuple[Images, asyncio.Future[list[Row]]]]:
        """Take as many as fit, and leave those out whose client has been given up."""
        batch, count = [], 0
        while self._waiting and count < MOST:
            images, future = self._waiting.popleft()
            if not future.done():
                batch.append((images, future))
                count += len(images)
        return batch

    def _work(
        self, loop: asyncio.AbstractEventLoop, batch: list[tuple[Images, asyncio.Future[list[Row]]]]
    ) -> None:
        """Recognise a batch, in a thread."""
        try:
            found: list[Row] | Exception = self._recognise(np.concatenate([images for images, _ in batch]))
        except Exception as error:  # handed to those who wait
            found = error
        loop.call_soon_threadsafe(self._hand_out, loop, batch, found)

    def _hand_out(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: list[tuple[Images, asyncio.Future[list[Row]]]],
        found: list[Row] | Exception,
    ) -> None:
        self._begin(loop)  # the next batch need not wait for these to be told
        start = 0
        for images, future in batch:
            rows = slice(start, start + len(images))
            start += len(images)
            if future.done():
                continue
            if isinstance(found, Exception):
                future.set_exception(found)
            else:
                future.set_result(found[rows])
