"""ONNX Runtime, started and run in one way wherever this package infers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from digit_recognizer.machine import usable_processors

__all__ = ["run_in_batches", "start_session"]

ERRORS = 3  # what is wrong comes as an exception, not on the terminal
BATCH = 128  # images; larger batches are no faster

Values = list[NDArray[Any]]


def start_session(model: Path | bytes, *, prepacking: bool = True) -> onnxruntime.InferenceSession:
    """Start a model, a file or its bytes, on the processor, with one thread in each call.

    ONNX Runtime's own threads wait for each other in every layer: spinning, they lose more than half of
    their speed beside other programs; sleeping, 7 % on an idle machine. Threads that call a session at the
    same time, as in `run_in_batches`, do not wait for each other.

    Parameters
    ----------
    prepacking
        Lay weights out anew for speed, which pays for many images only.

    Raises
    ------
    Exception
        The model is damaged; ONNX Runtime's exceptions share no base but this.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS
    options.intra_op_num_threads = 1
    if not prepacking:
        options.add_session_config_entry("session.disable_prepacking", "1")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run_in_batches(
    session: onnxruntime.InferenceSession,
    names: list[str],
    images: NDArray[np.uint8],
    threads: int | None = None,
) -> Iterator[Values]:
    """Give the values of some names for each batch of images, in order.

    Parameters
    ----------
    images
        uint8, shape (N, 28, 28); where N is 0, there is one empty batch, for its shapes.
    threads
        That compute batches at the same time; as many as there are processors to use if None.
    """
    batches = [images[start : start + BATCH] for start in range(0, max(len(images), 1), BATCH)]
    if len(batches) > 1 and threads is None:  # one image takes less time than finding out
        threads = usable_processors()
    threads = min(len(batches), threads or 1)
    if threads == 1:
        for batch in batches:
            yield session.run(names, {"images": batch})
        return
    with ThreadPoolExecutor(threads, "batches") as pool:
        ahead: deque[Future[Values]] = deque()
        for batch in batches:
            ahead.append(pool.submit(session.run, names, {"images": batch}))
            if len(ahead) > threads:  # not all at once: values inside a network are large
                yield ahead.popleft().result()
        for future in ahead:
            yield future.result()
