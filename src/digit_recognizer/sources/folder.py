"""Pictures sorted into one folder per class, 0 to 9; perhaps under train/ and test/."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES, INK, SIDE, Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.imaging import decode, is_dark_on_light, single_image
from digit_recognizer.sources.parts import Part, digits_of

CLASS_NAMES = tuple(str(digit) for digit in range(CLASSES))
PART_NAMES: dict[Part, tuple[str, ...]] = {"train": ("train", "training"), "test": ("test", "testing")}


def has_classes(folder: Path) -> bool:
    """Return whether a folder has class folders, itself or one below, in train/ or test/."""
    names = {path.name for path in _visible(folder) if path.is_dir()}
    return not names.isdisjoint(CLASS_NAMES + PART_NAMES["train"] + PART_NAMES["test"])


def load_folder(folder: Path, part: Part) -> Digits:
    """Load the pictures of a folder whose sub-folders 0 to 9 are their classes.

    Where the sub-folders are train (or training) and test (or testing) instead, those of the part are
    taken; otherwise all, whichever part is asked for. Pictures of 28x28 pixels are taken as they are,
    inverted if their border is bright; others are brought to MNIST's form by `normalise`.

    Parameters
    ----------
    folder
        Hidden files in it are ignored. The order is that of the classes, then of the file names.
    part
        "train" or "test".

    Raises
    ------
    DigitsError
        A sub-folder is no digit, a picture cannot be read, or there is none.
    """
    root = _root(folder, part)
    files = [
        (path, int(each.name)) for each in _class_folders(root) if each.is_dir() for path in _visible(each)
    ]
    if not files:
        raise DigitsError(f"{root}: expected pictures in folders named 0 to 9, found none")
    images = np.stack([_image(path) for path, _ in files])
    return digits_of(str(root), images, np.array([label for _, label in files], np.int64))


def _root(folder: Path, part: Part) -> Path:
    folders = {path.name: path for path in _visible(folder) if path.is_dir()}
    if not folders.keys().isdisjoint(CLASS_NAMES):
        return folder
    for name in PART_NAMES[part]:
        if name in folders:
            return folders[name]
    raise DigitsError(f"{folder}: expected a folder {' or '.join(PART_NAMES[part])}, or folders 0 to 9")


def _class_folders(root: Path) -> list[Path]:
    folders = [path for path in _visible(root) if path.is_dir()]
    for path in folders:
        if path.name not in CLASS_NAMES:
            raise DigitsError(f"{path}: expected only folders named 0 to 9, one for each digit")
    return folders


def _image(path: Path) -> NDArray[np.uint8]:
    page = decode(path)
    if page.shape != (SIDE, SIDE):
        return single_image(page)
    return INK - page if is_dark_on_light(page) else page


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise DigitsError(f"cannot read {folder}: {error.strerror or error}") from error
