"""Start and run ONNX Runtime, in the same way for all inference."""

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

LOG_ERRORS = 3  # ONNX Runtime's severity level; problems are raised, so warnings need not be printed
BATCH_SIZE = 128  # images; larger batches are not faster

Values = list[NDArray[Any]]


def start_session(model: Path | bytes, *, prepacking: bool = True) -> onnxruntime.InferenceSession:
    """Load a model, a file or its bytes, on the CPU, with one thread per call.

    ONNX Runtime's own threads synchronise in every layer. Spinning, they lose more than half of their speed
    beside other programs; sleeping, 7 % on an idle machine. Threads that each call the session, as in
    `run_in_batches`, do not wait for each other.

    `prepacking` rearranges the weights for speed, which pays off only with many images. ONNX Runtime's
    exceptions for damaged models have no common base class but `Exception`.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = LOG_ERRORS
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
    """Yield the named outputs for each batch of images, (N, 28, 28), in order; an empty batch if N is 0.

    `threads` defaults to the number of usable processors.
    """
    if len(images) <= BATCH_SIZE:  # recognising one image takes less time than counting the processors
        return iter([session.run(names, {"images": images})])
    inputs = [{"images": images[start : start + BATCH_SIZE]} for start in range(0, len(images), BATCH_SIZE)]
    run = partial(session.run, names)
    threads = min(len(inputs), threads or usable_processors())
    return map(run, inputs) if threads == 1 else _run_in_threads(run, inputs, threads)


def _run_in_threads(
    run: Callable[[dict[str, Any]], Values], inputs: list[dict[str, Any]], threads: int
) -> Iterator[Values]:
    with ThreadPoolExecutor(threads, "batches") as pool:
        pending: deque[Future[Values]] = deque()
        for each in inputs:
            pending.append(pool.submit(run, each))
            if len(pending) > threads:  # limits memory: the values inside a network are large
                yield pending.popleft().result()
        for future in pending:
            yield future.result()
