"""NumPy's arrays: .npz archives, and .npy files that belong together.

Which array holds what is told by shapes, so names are free: Keras has x_train, y_train, x_test, y_test,
scikit-learn's users X and y, numpy.savez without names arr_0 and arr_1, Kuzushiji-MNIST one file for each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES, PIXELS, Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.formatting import count
from digit_recognizer.sources.common import Options, Part, make_digits, note, part_of, to_images, to_labels
from digit_recognizer.sources.folders import File, Folder, open_archive
from digit_recognizer.sources.streams import OnProgress
from digit_recognizer.sources.tables.columns import find_label, find_layout

SAMPLE_ROWS = 20  # that show which columns of an array are the label
NPY_MAGIC = b"\x93NUMPY"
SUFFIXES = (".npy", ".npz")
WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
ROLES = {  # words in the names of arrays and files
    "images": frozenset(
        [
            "x",
            "xtrain",
            "xtest",
            "trainx",
            "testx",
            "images",
            "image",
            "imgs",
            "img",
            "data",
            "features",
            "pixels",
            "inputs",
        ]
    ),
    "labels": frozenset(
        [
            "y",
            "ytrain",
            "ytest",
            "trainy",
            "testy",
            "labels",
            "label",
            "target",
            "targets",
            "classes",
            "class",
        ]
    ),
}


@dataclass(frozen=True, slots=True)
class _Array:
    """An array that was not read yet."""

    name: str
    where: str
    shape: tuple[int, ...]
    read: Callable[[OnProgress | None], NDArray[Any]]

    @property
    def role(self) -> str | None:
        """What the array holds by its name: images, labels or unknown."""
        return role_of(self.name)

    @property
    def is_labels(self) -> bool:
        """Whether the shape is that of labels: (N,), (N, 1) or one-hot (N, 10)."""
        return len(self.shape) == 1 or (len(self.shape) == 2 and self.shape[1] in (1, CLASSES))


def role_of(name: str) -> str | None:
    """Return what an array or a file holds by its name: images, labels or unknown."""
    words = {word.lower() for word in WORDS.findall(name.replace("_", " "))}
    return next((role for role, names in ROLES.items() if words & names), None)


def load_npz(folder: Folder, options: Options) -> Digits:
    """Load the images and labels of an .npz archive without unpickling anything."""
    return _load(str(folder), list(_arrays_in(folder, "")), options)


def load_folder(folder: Folder, options: Options) -> Digits:
    """Load a part from .npy and .npz files in a folder."""
    found = {name: list(_arrays_of(folder.file(name))) for name in _array_files(folder)}
    of_part = [name for name in found if part_of(name) in (options.part, None)]
    sets = [name for name in of_part if len({each.is_labels for each in found[name]}) > 1]
    if len(sets) > 1:
        raise DigitsError(
            f"{folder} contains several sets of arrays ({', '.join(sets)}): name the file to load"
        )
    return _load(str(folder), [each for arrays in found.values() for each in arrays], options)


def load_file(file: File, options: Options) -> Digits:
    """Load a .npy or .npz file, and the file beside it that holds only its labels, or only its images."""
    own = list(_arrays_of(file))
    others = [name for name in _array_files(file.folder) if name != file.name]
    same = [name for name in others if part_of(name) == part_of(file.name)]
    are_labels = own[0].is_labels or own[0].role == "labels"
    beside = [
        each
        for name in same
        for arrays in [list(_arrays_of(file.folder.file(name)))]
        if all(each.is_labels != are_labels for each in arrays)  # otherwise it is a set of its own
        for each in arrays
    ]
    return _load(str(file), [*own, *beside], replace(options, part=part_of(file.name) or options.part))


def has_arrays(folder: Folder, part: Part) -> bool:
    """Return whether a folder has .npy or .npz files of images of a part, by their names."""
    files = [name for name in _array_files(folder) if part_of(name) in (part, None)]
    roles = {role_of(name.rpartition(".")[0]) for name in files}
    return "images" in roles and len(_array_files(folder)) > 1


def is_npy(head: bytes) -> bool:
    """Return whether a file is a .npy by its first bytes."""
    return head.startswith(NPY_MAGIC)


def _load(where: str, arrays: list[_Array], options: Options) -> Digits:
    images, labels = _choose(where, arrays, options.part)
    pixels = images.read(options.on_progress)
    if labels is None and pixels.ndim == 2 and pixels.shape[1] > PIXELS and pixels.dtype.kind in "iuf":
        return _load_table(images.where, pixels, options.part)
    converted = to_images(images.where, pixels)
    if labels is None:
        return make_digits(where, converted, None)
    if labels.shape[0] != len(converted):
        raise DigitsError(
            f"{where}: {images.name} has {count(len(converted), 'image')}, but {labels.name} has "
            f"{count(labels.shape[0], 'label')}: give a pair that belongs together"
        )
    return make_digits(where, converted, to_labels(labels.where, labels.read(None)))


def _load_table(where: str, cells: NDArray[Any], part: Part) -> Digits:
    """Load an array of which some columns are the label, as in a table without a header."""
    sample = [[f"{cell:g}" for cell in row] for row in cells[:SAMPLE_ROWS].tolist()]
    layout = find_layout(where, None, sample, part)
    labels, pixels, said = layout.labels, layout.pixels, "; ".join(layout.notes)
    if layout.label_is_open:
        at = find_label(where, cells[:, pixels])
        labels, pixels = (pixels[at],), pixels[:at] + pixels[at + 1 :]
        said += f": the {'last' if at else 'first'} is the label"
    note(f"{where}: {said}")
    images = to_images(where, cells[:, pixels])
    return make_digits(where, images, to_labels(where, cells[:, labels]) if labels else None)


def _choose(where: str, arrays: list[_Array], part: Part) -> tuple[_Array, _Array | None]:
    """Choose the images and labels of a part: by part and role in the names, otherwise by shape."""
    unnamed = [each for each in arrays if part_of(each.name) is None]
    of_part = [each for each in arrays if part_of(each.name) == part] or unnamed
    images = [each for each in of_part if each.role == "images"]
    images = images or [each for each in of_part if each.role is None and not each.is_labels]
    if not images:
        found = ", ".join(f"{each.name} {each.shape}" for each in arrays) or "none"
        raise DigitsError(
            f"{where}: expected arrays named images and labels, or x_{part} and y_{part}, found {found}"
        )
    if len(images) > 1:
        pairs = _in_pairs(of_part)
        if pairs:
            chosen = pairs[0 if part == "train" else -1]
            note(f"{where}: the {part} part is {chosen[0].name} and {chosen[1].name}, by their order")
            return chosen
        raise DigitsError(
            f"{where}: the arrays {', '.join(each.name for each in images)} can all be the images: "
            f"name two images and labels, or x_{part} and y_{part}"
        )
    labels = [each for each in of_part if each.role == "labels"]
    labels = labels or [each for each in of_part if each.role is None and each.is_labels]
    same = [each for each in labels if each.shape[:1] == images[0].shape[:1]] or labels
    if len(same) > 1:
        raise DigitsError(
            f"{where}: the arrays {', '.join(each.name for each in same)} can all be the labels: "
            "name one of them labels"
        )
    _note_names(where, images[0], same[0] if same else None, part)
    return images[0], same[0] if same else None


def _note_names(where: str, images: _Array, labels: _Array | None, part: Part) -> None:
    """Say which arrays were taken, unless their names say it."""
    usual = {"images", "labels", f"x_{part}", f"y_{part}"}
    taken = [each.name for each in (images, labels) if each is not None]
    if not usual.issuperset(taken):
        said = f"the images are {images.name}" + (f", the labels {labels.name}" if labels else "")
        note(f"{where}: {said}")


def _in_pairs(arrays: Sequence[_Array]) -> list[tuple[_Array, _Array]]:
    """Return images and labels that come in turn, with as many labels as images."""
    pairs = list(zip(arrays[::2], arrays[1::2], strict=False))
    fit = all(not a.is_labels and b.is_labels and a.shape[:1] == b.shape[:1] for a, b in pairs)
    return pairs if fit and len(arrays) == 4 else []


def _array_files(folder: Folder) -> list[str]:
    return [name for name in folder.files() if name.lower().endswith(SUFFIXES)]


def _arrays_of(file: File) -> Iterator[_Array]:
    """Yield the arrays of a .npy or .npz file; those of a .npz have the name of the file before theirs."""
    stem = file.name.rpartition(".")[0]
    if file.name.lower().endswith(".npy"):
        yield _array(stem, str(file), file)
        return
    with file.open() as stored, open_archive(file, stored) as archive:
        if archive is None:
            raise DigitsError(f"{file} is not a zip archive, although its name says so: download it again")
        found = list(_arrays_in(archive, f"{stem}: "))
    for each in found:
        yield _Array(each.name, each.where, each.shape, _reopening(file, each.where))


def _reopening(file: File, where: str) -> Callable[[OnProgress | None], NDArray[Any]]:
    """Return a function that reads an array of an archive that is closed meanwhile."""

    def read(on_progress: OnProgress | None) -> NDArray[Any]:
        with file.open() as stored, open_archive(file, stored) as archive:
            assert archive is not None
            return next(each for each in _arrays_in(archive, "") if each.where == where).read(on_progress)

    return read


def _arrays_in(folder: Folder, before: str) -> Iterator[_Array]:
    """Yield the arrays at the top of an .npz archive, in their order."""
    for name in folder.members():
        if name.endswith(".npy") and "/" not in name:
            stem = name.removesuffix(".npy")
            yield _array(f"{before}{stem}", f"{folder}: {stem}", folder.file(name))


def _array(name: str, where: str, file: File) -> _Array:
    with _array_errors(where), file.open_unpacked() as stream:
        version = np.lib.format.read_magic(stream)
        header = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape = header(stream)[0]
    return _Array(name, where, tuple(shape), partial(_read_array, where, file))


def _read_array(where: str, file: File, on_progress: OnProgress | None) -> NDArray[Any]:
    with _array_errors(where), file.open_unpacked(on_progress) as stream:
        return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))


@contextmanager
def _array_errors(where: str) -> Iterator[None]:
    try:
        yield
    except DigitsError:
        raise
    except ValueError as error:
        if "Object arrays" in str(error):
            raise DigitsError(
                f"{where}: expected an array of numbers, found Python objects, which are not opened "
                "because they may run code: save it again after .astype('int64') or .astype('uint8')"
            ) from error
        raise DigitsError(f"{where}: expected an array of numbers: {error}") from error
    except Exception as error:  # numpy's parser raises almost anything for a damaged header
        raise DigitsError(f"{where} is damaged or incomplete ({error}): download it again") from error
