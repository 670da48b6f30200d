"""Pictures sorted into one folder for each class, 0 to 9, optionally below train/ and test/."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES, INK, SIDE, Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.imaging import decode, is_dark_on_light, single_image
from digit_recognizer.sources.common import Part, make_digits

CLASS_FOLDERS = tuple(str(digit) for digit in range(CLASSES))
PART_FOLDERS: dict[Part, tuple[str, ...]] = {"train": ("train", "training"), "test": ("test", "testing")}


def has_class_folders(folder: Path) -> bool:
    """Return whether a folder contains class folders, or folders of parts that may contain them."""
    names = {path.name for path in _visible_in(folder) if path.is_dir()}
    return not names.isdisjoint(CLASS_FOLDERS + PART_FOLDERS["train"] + PART_FOLDERS["test"])


def load_folder(folder: Path, part: Part) -> Digits:
    """Load the pictures of one part, or all if there are no folders of parts; by class, then by file name.

    Pictures of 28x28 pixels stay as they are, but are inverted if their border is bright. Others are
    normalised to MNIST's form. Hidden files are ignored.
    """
    root = _part_folder(folder, part)
    files = [(path, int(each.name)) for each in _class_folders(root) for path in _visible_in(each)]
    if not files:
        raise DigitsError(f"{root}: expected pictures in folders named 0 to 9, found none")
    images = np.stack([_load_image(path) for path, _ in files])  # (N, 28, 28)
    return make_digits(str(root), images, np.array([label for _, label in files], np.int64))


def _part_folder(folder: Path, part: Part) -> Path:
    folders = {path.name: path for path in _visible_in(folder) if path.is_dir()}
    if not folders.keys().isdisjoint(CLASS_FOLDERS):
        return folder
    for name in PART_FOLDERS[part]:
        if name in folders:
            return folders[name]
    raise DigitsError(f"{folder}: expected a folder {' or '.join(PART_FOLDERS[part])}, or folders 0 to 9")


def _class_folders(root: Path) -> list[Path]:
    folders = [path for path in _visible_in(root) if path.is_dir()]
    for path in folders:
        if path.name not in CLASS_FOLDERS:
            raise DigitsError(f"{path}: expected only folders named 0 to 9, one for each digit")
    return folders


def _load_image(path: Path) -> NDArray[np.uint8]:
    page = decode(path)
    if page.shape != (SIDE, SIDE):
        return single_image(page)
    return INK - page if is_dark_on_light(page) else page


def _visible_in(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise DigitsError(f"cannot read {folder}: {error.strerror or error}") from error
