"""Pairs of IDX files, the format of MNIST, QMNIST and EMNIST.

A file is two zero bytes, the type of its numbers, the number of its dimensions, then each dimension as
a big-endian uint32, then the numbers (http://yann.lecun.com/exdb/mnist/, "file formats"). QMNIST's labels
are N rows of eight int32, the class in the first (C. Yadav, L. Bottou, "Cold case: the lost MNIST
digits", 2019, arXiv:1905.10498). EMNIST's images are stored column by column (G. Cohen, S. Afshar,
J. Tapson, A. van Schaik, "EMNIST: an extension of MNIST to handwritten letters", 2017, arXiv:1702.05373).
"""

from __future__ import annotations

import re
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import SIDE, Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.formatting import count
from digit_recognizer.sources.common import Part, is_transposed, make_digits, part_of
from digit_recognizer.sources.folders import File, Folder
from digit_recognizer.sources.streams import OnProgress
from digit_recognizer.sources.unreadable import HEAD_BYTES, kind_of_bytes

MAX_DIMENSIONS = 3  # images, rows, columns
DTYPES: dict[int, np.dtype[Any]] = {0x08: np.dtype("u1"), 0x0C: np.dtype(">i4")}  # >i4: QMNIST's labels
KNOWN_TYPE_CODES = range(0x08, 0x0F)  # all that the format defines
COPY = r"(?: ?\(\d+\))?"  # browsers number repeated downloads: train-images-idx3-ubyte (1).gz
FILE_NAME = re.compile(
    rf"(.*)(images|labels)([-_.])idx[123]?(?:[-_.](?:ubyte|int))?{COPY}(\.gz|\.bz2|\.xz)?{COPY}",
    re.IGNORECASE,
)


def is_idx(file: File, head: bytes) -> bool:
    """Return whether a file is IDX by its name or by its first four unpacked bytes."""
    if FILE_NAME.fullmatch(file.name):
        return True
    return len(head) >= 4 and head[:2] == b"\0\0" and head[2] in KNOWN_TYPE_CODES and head[3] > 0


def has_idx(folder: Folder, part: Part) -> bool:
    """Return whether a folder contains the images of a part as IDX."""
    return bool(image_files(folder, part))


def load_file(file: File, on_progress: OnProgress | None = None) -> Digits:
    """Load the pair that a file of images or of labels belongs to; images may have no labels."""
    match = FILE_NAME.fullmatch(file.name)
    if match is None:
        raise DigitsError(
            f"{file} is an IDX file, but its name does not say of what: rename it as in "
            "train-images-idx3-ubyte or train-labels-idx1-ubyte, so that the other file of the pair is found"
        )
    if match[2].lower() == "images":
        return load_pair(file, _other_file(file, match, "labels"), on_progress)
    images = _other_file(file, match, "images")
    if images is None:
        raise DigitsError(f"{file}: expected the file of the images in the same folder")
    return load_pair(images, file, on_progress)


def load_folder(folder: Folder, part: Part, on_progress: OnProgress | None = None) -> Digits:
    """Load a part from a folder: train-images…, or t10k-images… or test-images…, and their labels."""
    found = image_files(folder, part)
    if not found:
        expected = "train-images" if part == "train" else "t10k-images"
        raise DigitsError(f"{folder}: expected a file {expected}-idx3-ubyte, plain or .gz")
    if len({_match(file)[1] for file in found}) > 1:
        names = ", ".join(sorted(file.name for file in found))
        raise DigitsError(f"{folder} contains several sets of images ({names}): name the file to load")
    return load_file(found[0], on_progress)


def load_pair(images_path: File, labels_path: File | None, on_progress: OnProgress | None = None) -> Digits:
    """Load a file of images and its file of labels, if there is one; plain or gzip."""
    images = _read_images(images_path, on_progress)
    if labels_path is None:
        return make_digits(str(images_path), images, None)
    labels = _read_labels(labels_path)
    if len(labels) != len(images):
        raise DigitsError(
            f"{images_path} contains {count(len(images), 'image')}, but {labels_path} contains "
            f"{count(len(labels), 'label')}: give a pair that belongs together"
        )
    return make_digits(str(labels_path), images, labels)


def read_idx(path: File, on_progress: OnProgress | None = None) -> NDArray[Any]:
    """Return the array of an IDX file, plain or gzip: uint8 or big-endian int32, of any shape."""
    with path.open_unpacked(on_progress) as stream:
        content = stream.read()
    known = kind_of_bytes("", content[:HEAD_BYTES])
    if known:
        raise DigitsError(f"{path} is {known[0]}: {known[1]}")
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in DTYPES or not content[3]:
        raise DigitsError(
            f"{path} is not an IDX file of bytes or 32-bit integers: "
            f"expected it to begin with 00 00 08 or 00 00 0c, found {content[:4].hex(' ') or 'nothing'}"
        )
    if content[3] > MAX_DIMENSIONS:
        raise DigitsError(f"{path}: expected at most {MAX_DIMENSIONS} dimensions, found {content[3]}")
    dtype, start = DTYPES[content[2]], 4 + 4 * content[3]
    if len(content) < start:
        raise DigitsError(f"{path} is incomplete, it ends within its header: download it again")
    shape = tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4))
    expected = start + prod(shape) * dtype.itemsize
    if len(content) != expected:
        state = "is incomplete" if len(content) < expected else "is too long"
        raise DigitsError(
            f"{path} {state}: expected {expected:,} bytes for the shape {shape}, found {len(content):,}"
        )
    array: NDArray[Any] = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return array


def _read_images(path: File, on_progress: OnProgress | None) -> NDArray[np.uint8]:
    images = read_idx(path, on_progress)
    if images.dtype != np.uint8 or images.shape[1:] != (SIDE, SIDE):
        raise DigitsError(
            f"{path}: expected images of unsigned bytes, (N, {SIDE}, {SIDE}), "
            f"found {images.dtype.name} {images.shape}"
        )
    if is_transposed(path.name):
        images = images.transpose(0, 2, 1)  # stored column by column
    return images.copy(order="C")  # writable, unlike a view of the file's bytes


def _read_labels(path: File) -> NDArray[np.int64]:
    labels = read_idx(path)
    if labels.ndim > 2 or not prod(labels.shape[1:]):
        raise DigitsError(f"{path}: expected labels of shape (N,) or (N, 8), found {labels.shape}")
    classes = labels if labels.ndim == 1 else labels[:, 0]  # (N,)
    return classes.astype(np.int64)


def image_files(folder: Folder, part: Part) -> list[File]:
    """Return the files in a folder with the images of a part, plain ones first."""
    found = [
        name
        for name in folder.files()
        if (match := FILE_NAME.fullmatch(name)) and match[2].lower() == "images" and part_of(name) == part
    ]
    return [
        folder.file(name) for name in sorted(found, key=lambda name: (name.lower().endswith(".gz"), name))
    ]


def _other_file(file: File, match: re.Match[str], kind: str) -> File | None:
    """Return the other file of a pair; if there are several, the one whose name is spelt most alike."""
    prefix, _, separator, packed = match.groups()
    folders = [file.folder]
    parent = file.folder.parent()
    if parent is not None and FILE_NAME.fullmatch(file.folder.name):  # as in Kaggle's mnist-dataset
        folders += [parent.folder(name) for name in parent.folders() if FILE_NAME.fullmatch(name)]
    candidates = [
        (at, other_match[3] != separator, other_match[4] != packed, name)
        for at, folder in enumerate(folders)
        for name in folder.files()
        if (other_match := FILE_NAME.fullmatch(name))
        and other_match[1] == prefix
        and other_match[2].lower() == kind
    ]
    return folders[min(candidates)[0]].file(min(candidates)[3]) if candidates else None


def _match(file: File) -> re.Match[str]:
    match = FILE_NAME.fullmatch(file.name)
    assert match, file
    return match
