"""Pictures sorted into one folder for each class, 0 to 9, optionally below folders of the two parts.

The folders may be on the disk or in an archive. What is no picture is passed over: Windows, macOS and
notebooks leave files, and people leave notes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES
from digit_recognizer.errors import DigitsError
from digit_recognizer.formatting import count
from digit_recognizer.sources.common import (
    DIGIT,
    SINGLE_DIGIT,
    Loaded,
    Options,
    Part,
    class_of,
    import_optional,
    make_digits,
    note,
    part_of,
    warn,
)
from digit_recognizer.sources.folders import File, Folder

SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff")
MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*")
WITH_SUFFIX = re.compile(rf"{DIGIT}[ _.-]+[a-z]+", re.IGNORECASE)  # 3_images
NUMBERS = re.compile(r"(\d+)")
MAX_NESTED = 4  # folders inside the folder of a class


def has_pictures(folder: Folder, part: Part | None = None) -> bool:
    """Return whether a folder contains class folders, or folders of parts that contain them or pictures."""
    if _class_folders(folder):
        return True
    return any(
        _class_folders(inner) or (of == "test" and has_any(inner) and not _has_table(inner))
        for inner, of in _part_folders(folder)
        if part in (None, of)
    )


def has_classes(folder: Folder, part: Part) -> bool:
    """Return whether a folder contains the class folders of a part."""
    inside = [inner for inner, of in _part_folders(folder) if of == part]
    return bool(_class_folders(folder)) or any(map(_class_folders, inside))


def has_class_folders(folder: Folder) -> bool:
    """Return whether a folder contains at least two folders named by a digit."""
    return len(set(folder.folders()) & set(map(str, range(CLASSES)))) > 1


def load_folder(folder: Folder, options: Options) -> Loaded:
    """Load the pictures of one part, or all if there are no folders of parts; by class, then by file name.

    Pictures of 28x28 pixels stay as they are, but are inverted if their border is bright. Others are
    normalised to MNIST's form. A test part may have no class folders; then there are no labels, and the names
    of the files are the ids.
    """
    root = _part_folder(folder, options.part)
    classes = _class_folders(root)
    skipped = [name for name in root.files() if not _is_picture(root.file(name))]
    files, labels = list[File](), list[int]()
    for name, label in classes:
        for file in root.folder(name).files_below(MAX_NESTED):
            if _is_picture(file):
                files.append(file)
                labels.append(label)
            else:
                skipped.append(file.name)
    if not classes and options.part == "test":
        ordered = [root.file(name) for name in sorted(root.files(), key=_in_natural_order)]
        files = [file for file in ordered if _is_picture(file)]
    if not files:
        found = f"none, but {count(len(skipped), 'other file')} such as {skipped[0]}" if skipped else "none"
        raise DigitsError(f"{root}: expected pictures (PNG, JPEG, …) in folders named 0 to 9, found {found}")
    if skipped:
        note(f"{root}: {_count_files(skipped)}")
    images, good = load_images(files, options)
    if not classes:
        ids = tuple(files[at].name for at in good)
        return Loaded(make_digits(str(root), images, None), "", ids)
    return Loaded(make_digits(str(root), images, np.array(labels, np.int64)[good]))


def load_images(files: list[File], options: Options) -> tuple[NDArray[np.uint8], list[int]]:
    """Decode pictures; return the images and the positions of those that could be decoded."""
    from digit_recognizer.imaging import decode  # slow to import

    digit_image = import_optional(SINGLE_DIGIT).digit_image
    images, good, bad = [], [], []
    for at, file in enumerate(files):
        try:
            with file.open() as stream:
                images.append(digit_image(decode(stream.read(), str(file))))
            good.append(at)
        except DigitsError as error:
            if not options.skip_bad:
                raise DigitsError(
                    f"{error}; delete it, or use --skip-bad to go on without broken pictures"
                ) from error
            bad.append(file)
        if options.on_progress is not None:
            options.on_progress((at + 1) / len(files))
    if bad:
        are = "is broken and was" if len(bad) == 1 else "are broken and were"
        warn(f"{len(bad):,} of {count(len(files), 'picture')} {are} skipped, first {bad[0]}")
    if not images:
        raise DigitsError(f"{files[0].folder}: none of {count(len(files), 'picture')} can be decoded")
    return np.stack(images), good


def _class_folders(root: Folder) -> list[tuple[str, int]]:
    """Return the folders of classes and their digits, in order of the digits; refuse others with pictures."""
    named = {name: _class_of(name) for name in root.folders()}
    plain = {name: int(name) for name in named if name in map(str, range(CLASSES))}
    found = plain or {name: label for name, label in named.items() if label is not None}
    if not found or (not plain and len(found) == 1):  # a single odd name says little
        return []
    for name in named:
        if name not in found and part_of(name) is None and has_any(root.folder(name)):
            raise DigitsError(
                f"{root.folder(name)}: expected only folders named 0 to 9, one for each digit; "
                "move its pictures elsewhere"
            )
    for label, group in groupby(sorted(found, key=found.__getitem__), key=found.__getitem__):
        names = list(group)
        if len(names) > 1:
            raise DigitsError(
                f"{root}: the folders {' and '.join(names)} are both of the digit {label}: join them"
            )
    return sorted(found.items(), key=lambda item: item[1])


def _class_of(name: str) -> int | None:
    """Return the digit that the name of a folder says, as in `class_of`; also 3_images."""
    match = WITH_SUFFIX.fullmatch(name)
    return int(match[1]) if match else class_of(name)


def _part_folders(folder: Folder) -> Iterator[tuple[Folder, Part]]:
    for name in folder.folders():
        part = part_of(name)
        if part is not None:
            yield folder.folder(name), part


def _part_folder(folder: Folder, part: Part) -> Folder:
    if _class_folders(folder):
        return folder
    for inner, of in _part_folders(folder):
        if of == part:
            return inner
    expected = "train or training" if part == "train" else "test or testing"
    raise DigitsError(f"{folder}: expected a folder {expected}, or folders 0 to 9")


def _is_picture(file: File) -> bool:
    """Return whether a file is a picture by its name, or by its content if the name has no suffix."""
    if "." not in file.name:
        return file.head(max(map(len, MAGIC))).startswith(MAGIC)
    return file.name.lower().endswith(SUFFIXES)


def has_any(folder: Folder) -> bool:
    """Return whether a folder itself contains a picture."""
    return any(_is_picture(folder.file(name)) for name in folder.files())


def _has_table(folder: Folder) -> bool:
    return any(name.lower().endswith((".csv", ".tsv")) for name in folder.files())  # which may be a list


def _in_natural_order(name: str) -> list[str | tuple[int, str]]:
    """Sort img_2 before img_10."""
    return [part.zfill(20) if part.isdigit() else part for part in NUMBERS.split(name)]


def _count_files(names: list[str]) -> str:
    if len(names) == 1:
        return f"{names[0]} is not a picture and was skipped"
    return f"{len(names):,} files that are not pictures were skipped, such as {names[0]}"
