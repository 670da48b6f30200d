"""What all sources share: the two parts, checked arrays, and optional packages."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import Digits
from digit_recognizer.errors import DigitsError

Part = Literal["train", "test"]


def make_digits(name: str, images: NDArray[np.uint8], labels: NDArray[np.int64] | None) -> Digits:
    """Return contiguous, writable `Digits`; errors name the file that the arrays came from."""
    try:
        return Digits(np.require(images, requirements=["C", "W"]), labels)
    except DigitsError as error:
        raise DigitsError(f"{name}: {error}") from error


def import_optional(module: str) -> Any:
    """Import a module that the extra `train` installs; `DigitsError` with the command to type if missing."""
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise DigitsError(
            f'the package {package} is not installed: run pip install "digit-recognizer[train]"'
        ) from error
