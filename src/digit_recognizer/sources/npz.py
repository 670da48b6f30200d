"""NumPy's .npz archives: images and labels, or Keras's mnist.npz with x_train, y_train, x_test, y_test."""

from __future__ import annotations

from typing import Any
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import INK, PIXELS, SIDE, Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.sources.common import Part, make_digits
from digit_recognizer.sources.streams import member_path, open_member

IMAGE_SHAPES = ((SIDE, SIDE), (PIXELS,), (SIDE, SIDE, 1))


def load_npz(archive: ZipFile, part: Part) -> Digits:
    """Load the images and labels of an .npz archive without unpickling anything.

    The arrays ``images`` and ``labels`` are taken for either part, otherwise those of the part. Images are
    integers 0 to 255 of shape (N, 28, 28), (N, 784) or (N, 28, 28, 1); labels of shape (N,) or (N, 1).
    """
    images_name, labels_name = ("images", "labels") if _has(archive, "images") else (f"x_{part}", f"y_{part}")
    if not _has(archive, images_name):
        raise DigitsError(
            f"{archive.filename}: expected arrays named images and labels, or x_{part} and y_{part}"
        )
    images = _read_images(archive, images_name)
    labels = _read_labels(archive, labels_name) if _has(archive, labels_name) else None
    return make_digits(str(archive.filename), images, labels)


def _has(archive: ZipFile, name: str) -> bool:
    return f"{name}.npy" in archive.namelist()


def _read_images(archive: ZipFile, name: str) -> NDArray[np.uint8]:
    images, where = _read_array(archive, name), member_path(archive, name)
    if images.dtype.kind not in "iu":
        raise DigitsError(
            f"{where}: expected integers 0 to {INK}, found {images.dtype}: scale and round the pixels"
        )
    if images.shape[1:] not in IMAGE_SHAPES:
        raise DigitsError(f"{where}: expected shape (N, {SIDE}, {SIDE}), found {images.shape}")
    if images.size and (images.min() < 0 or images.max() > INK):
        raise DigitsError(f"{where}: expected 0 to {INK}, found {images.min()} to {images.max()}")
    return images.reshape(-1, SIDE, SIDE).astype(np.uint8)


def _read_labels(archive: ZipFile, name: str) -> NDArray[np.int64]:
    labels = _read_array(archive, name)
    if labels.dtype.kind not in "iu" or labels.shape[1:] not in ((), (1,)):
        found = f"{labels.dtype} {labels.shape}"
        raise DigitsError(f"{member_path(archive, name)}: expected integers of shape (N,), found {found}")
    return labels.reshape(-1).astype(np.int64)


def _read_array(archive: ZipFile, name: str) -> NDArray[Any]:
    where = member_path(archive, name)
    try:
        with open_member(archive, f"{name}.npy") as stream:
            return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))
    except DigitsError:
        raise
    except ValueError as error:
        raise DigitsError(f"{where}: expected an array of numbers: {error}") from error
    except Exception as error:  # numpy's parser raises almost anything for a damaged header
        raise DigitsError(f"{where} is damaged or incomplete ({error}): download it again") from error
