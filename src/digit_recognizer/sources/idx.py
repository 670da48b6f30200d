"""Pairs of IDX files, the format in which MNIST, QMNIST and EMNIST are handed out.

A file is two zero bytes, the type of its numbers, the number of its dimensions, then each dimension as
a big-endian uint32, then the numbers (http://yann.lecun.com/exdb/mnist/, "file formats"). QMNIST's labels
are N rows of eight int32, the class in the first (C. Yadav, L. Bottou, "Cold case: the lost MNIST
digits", 2019, arXiv:1905.10498). EMNIST's images are stored column by column (G. Cohen, S. Afshar,
J. Tapson, A. van Schaik, "EMNIST: an extension of MNIST to handwritten letters", 2017, arXiv:1702.05373).
"""

from __future__ import annotations

import re
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import SIDE, Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.sources.parts import Part, digits_of
from digit_recognizer.sources.streams import opened, read_whole

MOST_DIMENSIONS = 3  # images, rows, columns
TYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype("u1"),
    0x0C: np.dtype(">i4"),
}  # unsigned bytes, and QMNIST's 32-bit integers
TYPE_CODES = range(0x08, 0x0F)  # all that the format knows
NAME = re.compile(r"(.*)(images|labels)([-.])idx[123]-(?:ubyte|int)(\.gz)?", re.IGNORECASE)
PREFIXES = {"train": r"(?:.*-)?train-", "test": r"(?:.*-)?(?:t10k|test)-"}
TRANSPOSED = "emnist"  # begins the names of EMNIST's files


def is_idx(path: Path) -> bool:
    """Return whether a file's name, or its first four bytes once unpacked, are those of IDX."""
    if NAME.fullmatch(path.name):
        return True
    with opened(path) as stream:
        magic = stream.read(4)
    return len(magic) == 4 and magic[:2] == b"\0\0" and magic[2] in TYPE_CODES and magic[3] > 0


def has_idx(folder: Path, part: Part) -> bool:
    """Return whether a folder holds a part's images in IDX form."""
    return bool(_images_in(folder, part))


def load_file(path: Path) -> Digits:
    """Load the pair that a file of images, or of labels, belongs to.

    Labels are None where the images lie alone.
    """
    match = NAME.fullmatch(path.name)
    if match is None:
        raise DigitsError(
            f"{path} has an IDX file's content, but not its name: expected one such as "
            "train-images-idx3-ubyte or train-labels-idx1-ubyte, so that the other of the pair is found"
        )
    if match[2].lower() == "images":
        return load_pair(path, _counterpart(path, "labels"))
    images = _counterpart(path, "images")
    if images is None:
        raise DigitsError(f"{path}: the file of images that belongs to it is not beside it")
    return load_pair(images, path)


def load_folder(folder: Path, part: Part) -> Digits:
    """Load a part from a folder: train-images…, or t10k-images… or test-images…, and their labels."""
    found = _images_in(folder, part)
    prefixes = {_matched(path)[1] for path in found}
    if not found:
        expected = "train-images" if part == "train" else "t10k-images"
        raise DigitsError(f"{folder}: expected a file {expected}-idx3-ubyte, plain or .gz")
    if len(prefixes) > 1:
        names = ", ".join(sorted(path.name for path in found))
        raise DigitsError(f"{folder} holds several sets of images ({names}): name the file that you mean")
    return load_file(found[0])


def load_pair(images: Path, labels: Path | None) -> Digits:
    """Load a file of images and, where there is one, the file of their labels; plain or gzip.

    Raises
    ------
    DigitsError
        A file is damaged, holds something else, or the two have different counts.
    """
    pictures = _images(images)
    classes = None if labels is None else _labels(labels)
    if labels is not None and classes is not None and len(classes) != len(pictures):
        raise DigitsError(
            f"{images} holds {len(pictures)} images, but {labels} holds {len(classes)} labels: "
            "they do not belong together"
        )
    return digits_of(str(labels or images), pictures, classes)


def read_idx(path: Path) -> NDArray[Any]:
    """Return the array of an IDX file, plain or gzip: uint8 or big-endian int32, of any shape."""
    content = read_whole(path)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in TYPES or not content[3]:
        raise DigitsError(
            f"{path} is no IDX file of bytes or 32-bit integers: "
            f"expected it to begin with 00 00 08 or 00 00 0c, found {content[:4].hex(' ') or 'nothing'}"
        )
    if content[3] > MOST_DIMENSIONS:
        raise DigitsError(f"{path}: expected at most {MOST_DIMENSIONS} dimensions, found {content[3]}")
    dtype, start = TYPES[content[2]], 4 + 4 * content[3]
    if len(content) < start:
        raise DigitsError(f"{path} is incomplete: it ends within its header")
    shape = tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4))
    expected = start + prod(shape) * dtype.itemsize
    if len(content) != expected:
        state = "is incomplete" if len(content) < expected else "has bytes after its end"
        raise DigitsError(f"{path} {state}: a shape of {shape} takes {expected} bytes, found {len(content)}")
    array: NDArray[Any] = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return array


def _images(path: Path) -> NDArray[np.uint8]:
    images = read_idx(path)
    if images.dtype != np.uint8 or images.shape[1:] != (SIDE, SIDE):
        raise DigitsError(
            f"{path}: expected images of unsigned bytes, (N, {SIDE}, {SIDE}), "
            f"found {images.dtype.name} {images.shape}"
        )
    if path.name.lower().startswith(TRANSPOSED):
        images = images.transpose(0, 2, 1)
    return images.copy(order="C")  # writable, which a view of the file's bytes is not


def _labels(path: Path) -> NDArray[np.int64]:
    labels = read_idx(path)
    if labels.ndim > 2 or not prod(labels.shape[1:]):
        raise DigitsError(f"{path}: expected labels of shape (N,) or (N, 8), found {labels.shape}")
    first = labels if labels.ndim == 1 else labels[:, 0]
    return first.astype(np.int64)


def _images_in(folder: Path, part: Part) -> list[Path]:
    """Return a folder's files of a part's images, the plain ones first."""
    pattern = re.compile(PREFIXES[part] + r"images[-.]idx3-ubyte(?:\.gz)?", re.IGNORECASE)
    found = [path for path in _files(folder) if pattern.fullmatch(path.name)]
    return sorted(found, key=lambda path: (path.suffix == ".gz", path.name))


def _counterpart(path: Path, kind: str) -> Path | None:
    """Return the file beside `path` that has the other half of the pair, spelt as alike as there is."""
    prefix, _, dot, packed = _matched(path).groups()
    fits = [
        (match[3] != dot, match[4] != packed, other)
        for other in _files(path.parent)
        if (match := NAME.fullmatch(other.name)) and match[1] == prefix and match[2].lower() == kind
    ]
    return min(fits)[2] if fits else None


def _matched(path: Path) -> re.Match[str]:
    match = NAME.fullmatch(path.name)
    assert match, path
    return match


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_file())
    except OSError as error:
        raise DigitsError(f"cannot read {folder}: {error.strerror or error}") from error
