"""ONNX Runtime, started and run in one way wherever this package infers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from digit_recognizer.machine import usable_processors

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
    if len(images) <= BATCH:  # at once: one image takes less time than finding out how many threads there are
        return iter([session.run(names, {"images": images})])
    inputs = [{"images": images[start : start + BATCH]} for start in range(0, len(images), BATCH)]
    work = partial(session.run, names)
    threads = min(len(inputs), threads or usable_processors())
    return map(work, inputs) if threads == 1 else _in_threads(work, inputs, threads)


def _in_threads(
    work: Callable[[dict[str, Any]], Values], inputs: list[dict[str, Any]], threads: int
) -> Iterator[Values]:
    with ThreadPoolExecutor(threads, "batches") as pool:
        ahead: deque[Future[Values]] = deque()
        for each in inputs:
            ahead.append(pool.submit(work, each))
            if len(ahead) > threads:  # not all at once: values inside a network are large
                yield ahead.popleft().result()
        for future in ahead:
            yield future.result()
