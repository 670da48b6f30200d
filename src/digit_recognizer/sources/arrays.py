"""NumPy's .npz archives: images and labels, or Keras's mnist.npz with x_train, y_train, x_test, y_test."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import INK, PIXELS, SIDE, Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.sources.parts import Part, digits_of
from digit_recognizer.sources.streams import MAX_BYTES

SHAPES = ((SIDE, SIDE), (PIXELS,), (SIDE, SIDE, 1))  # of one image


def load_npz(path: Path, part: Part) -> Digits:
    """Load images and labels of an .npz archive; nothing in it is unpickled.

    Parameters
    ----------
    path
        Holds ``images`` and perhaps ``labels``, taken whichever part is asked for, or ``x_train``,
        ``y_train``, ``x_test``, ``y_test``. Images: integers 0 to 255, shape (N, 28, 28), (N, 784) or
        (N, 28, 28, 1); labels: integers 0 to 9, shape (N,) or (N, 1).
    part
        "train" or "test".

    Raises
    ------
    DigitsError
        An array is missing, or has another dtype, shape or range; the file is damaged.
    """
    arrays = _read(path, ("images", "labels", f"x_{part}", f"y_{part}"))
    images, labels = ("images", "labels") if "images" in arrays else (f"x_{part}", f"y_{part}")
    if images not in arrays:
        raise DigitsError(f"{path}: expected arrays images and labels, or x_{part} and y_{part}")
    classes = _labels(f"{path}: {labels}", arrays[labels]) if labels in arrays else None
    return digits_of(str(path), _images(f"{path}: {images}", arrays[images]), classes)


def _read(path: Path, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_BYTES:
            raise DigitsError(f"{path} holds more than {MAX_BYTES} bytes: that is no set of digits")
        with np.load(path, allow_pickle=False) as arrays:
            return {name: np.asarray(arrays[name]) for name in names if name in arrays.files}
    except DigitsError:
        raise
    except ValueError as error:
        raise DigitsError(f"{path} holds something else than arrays of numbers: {error}") from error
    except Exception as error:  # damage makes zipfile, zlib and numpy's parser raise nearly anything
        raise DigitsError(f"{path} is damaged or incomplete ({error}): fetch it again") from error


def _images(name: str, images: NDArray[Any]) -> NDArray[np.uint8]:
    if images.dtype.kind not in "iu":
        raise DigitsError(f"{name}: expected integers 0 to {INK}, found {images.dtype}: scale and round them")
    if images.shape[1:] not in SHAPES:
        raise DigitsError(f"{name}: expected shape (N, {SIDE}, {SIDE}), found {images.shape}")
    if images.size and (images.min() < 0 or images.max() > INK):
        raise DigitsError(f"{name}: expected 0 to {INK}, found {images.min()} to {images.max()}")
    return images.reshape(-1, SIDE, SIDE).astype(np.uint8)


def _labels(name: str, labels: NDArray[Any]) -> NDArray[np.int64]:
    if labels.dtype.kind not in "iu" or labels.shape[1:] not in ((), (1,)):
        raise DigitsError(f"{name}: expected integers of shape (N,), found {labels.dtype} {labels.shape}")
    return labels.reshape(-1).astype(np.int64)
