"""ONNX Runtime, started in one way wherever this package infers."""

from __future__ import annotations

from pathlib import Path

import onnxruntime

__all__ = ["start_session"]

ERRORS = 3  # what is wrong comes as an exception, not on the terminal


def start_session(
    model: Path | bytes, threads: int | None = None, *, prepacking: bool = True
) -> onnxruntime.InferenceSession:
    """Start a model, a file or its bytes, on the processor.

    Parameters
    ----------
    threads
        To compute with; all cores if None.
    prepacking
        Lay weights out anew for speed, which pays for many images only.

    Raises
    ------
    Exception
        The model is damaged; ONNX Runtime's exceptions share no base but this.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS
    options.intra_op_num_threads = threads or 0
    if not prepacking:
        options.add_session_config_entry("session.disable_prepacking", "1")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
