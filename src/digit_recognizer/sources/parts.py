"""What every source shares: its two parts, errors that name the file, packages that may be missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import Digits
from digit_recognizer.errors import DigitsError

Part = Literal["train", "test"]


def digits_of(name: str, images: NDArray[np.uint8], labels: NDArray[np.int64] | None) -> Digits:
    """Return `Digits`, contiguous and writable; what is wrong with the arrays is said of `name`."""
    try:
        return Digits(np.require(images, requirements=["C", "W"]), labels)
    except DigitsError as error:
        raise DigitsError(f"{name}: {error}") from error


def optional(module: str) -> Any:
    """Import a module that the extra `train` brings; say what to install where it is missing."""
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise DigitsError(
            f'the package {package} is not installed: run pip install "digit-recognizer[train]"'
        ) from error
