"""Find out which format a source of digits has, and load it."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from digit_recognizer.digits import Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.sources import idx, kaggle, npz
from digit_recognizer.sources.common import Part
from digit_recognizer.sources.streams import GZIP_MAGIC, ZIP_MAGIC, member_names, open_raw, open_zip

BUNDLED, MNIST = "bundled", "mnist"  # words that name a source; a folder of that name is ./mnist
SOURCE_VARIABLE = "DIGITS_DATA"  # environment variable: the default source
DEFAULT_FOLDER = "data"  # the default source if the variable is not set, in the current folder
PARTS: tuple[Part, ...] = ("train", "test")
ONLY_FILE_SUFFIXES = (".zip", ".npz", ".csv", ".csv.gz")
EXPECTED = (
    "the competition's archive, a CSV, IDX files, an .npz archive, a folder of pictures in folders 0 to 9, "
    f"or one of the words {BUNDLED} and {MNIST}"
)


def load_digits(source: str | Path, part: Part = "train") -> Digits:
    """Load one part of a source of digits.

    Parameters
    ----------
    source
        One of these:

        - the archive of the Kaggle competition, a zip archive with one CSV, a CSV (plain or .gz), or a
          folder with train.csv and test.csv (plain, .gz, .zip) or with the archive;
        - one file of an IDX pair (plain or .gz), or the folder of MNIST, QMNIST or EMNIST;
        - a folder with a folder of pictures for each class, 0 to 9, optionally below train/ and test/;
        - an .npz archive with images and labels, or with x_train, y_train, x_test, y_test;
        - a folder with a single archive or CSV of any name;
        - the word ``bundled``: scikit-learn's 1,797 digits;
        - the word ``mnist``: MNIST, downloaded.
    part
        "train" or "test". A single file that has only one part is loaded for either.

    Returns
    -------
    Digits
        At least one image; with labels if `part` is "train".

    Raises
    ------
    DigitsError
        The source does not exist or cannot be read; the message says where and why.
    """
    if part not in PARTS:
        raise DigitsError(f"expected the part train or test, got {part!r}")
    try:
        digits = _load(source, part)
    except OSError as error:  # before a file was opened: the name is too long, the folder is not readable
        raise DigitsError(f"cannot read {source}: {error.strerror or error}") from error
    if not len(digits):
        raise DigitsError(f"{source} contains no images")
    if part == "train" and digits.labels is None:
        raise DigitsError(f"{source} has no labels, but training needs them")
    return digits


def find_source(source: str | Path | None = None) -> str:
    """Return the source that the user named, or the default source.

    Parameters
    ----------
    source
        A path or a word; None for the default.

    Returns
    -------
    str
        `source`; by default the value of the environment variable ``DIGITS_DATA``, then ``data`` if there
        is a folder of that name with digits, then ``bundled``.

    Raises
    ------
    DigitsError
        ``DIGITS_DATA`` names something that does not exist.
    """
    if source is not None:
        return str(source)
    variable = os.environ.get(SOURCE_VARIABLE)
    if variable:
        if variable not in (BUNDLED, MNIST) and not Path(variable).exists():
            raise DigitsError(
                f"the environment variable {SOURCE_VARIABLE} is set to {variable}, which does not exist"
            )
        return variable
    return DEFAULT_FOLDER if _contains_digits(Path(DEFAULT_FOLDER)) else BUNDLED


def has_test_csv(source: str | Path) -> bool:
    """Return whether a source has a test.csv to submit: the competition's archive, or such a folder."""
    path = Path(source)
    if path.is_dir():
        return kaggle.find_table(path, "test") is not None
    if not path.is_file():
        return False
    with open_raw(path) as file:
        if file.peek(4)[:4] not in ZIP_MAGIC:
            return False
        with open_zip(file) as archive:
            return any(PurePosixPath(name).name.lower() == "test.csv" for name in member_names(archive))


def _load(source: str | Path, part: Part) -> Digits:
    if source == BUNDLED:
        from digit_recognizer.sources.bundled import load_bundled

        return load_bundled(part)
    if source == MNIST:
        from digit_recognizer.sources.mnist import load_mnist

        return load_mnist(part)
    path = Path(source)
    if path.is_dir():
        return _load_folder(path, part)
    if not path.is_file():
        raise DigitsError(f"{path}: no such file or folder; expected {EXPECTED}")
    return _load_file(path, part)


def _load_file(path: Path, part: Part) -> Digits:
    name = path.name.lower()
    with open_raw(path) as file:
        magic = file.peek(4)[:4]
        if magic in ZIP_MAGIC:
            with open_zip(file) as archive:
                is_npz = name.endswith(".npz") or any(m.endswith(".npy") for m in member_names(archive))
                return npz.load_npz(archive, part) if is_npz else kaggle.load_archive(archive, part)
    if name.endswith((".zip", ".npz")):
        raise DigitsError(f"{path} is not a zip archive, although its name says so: download it again")
    if name.endswith(".gz") and not magic.startswith(GZIP_MAGIC):
        raise DigitsError(f"{path} is not a gzip file, although its name says so: download it again")
    if idx.is_idx(path):
        return idx.load_file(path)
    if kaggle.is_csv(path):
        return kaggle.load_csv_file(path, part)
    raise DigitsError(f"{path} has an unknown format: expected {EXPECTED}")


def _load_folder(path: Path, part: Part) -> Digits:
    other: Part = "test" if part == "train" else "train"
    for each in (part, other):  # with the other part only, the error comes from the format that was found
        if kaggle.find_table(path, each):
            return kaggle.load_folder(path, part)
        if idx.has_idx(path, each):
            return idx.load_folder(path, part)
    from digit_recognizer.sources import picture_folder

    if picture_folder.has_class_folders(path):
        return picture_folder.load_folder(path, part)
    only = _only_file(path)
    if only is not None:
        return _load_file(only, part)
    raise DigitsError(f"{path} contains no digits: expected {EXPECTED}")


def _contains_digits(path: Path) -> bool:
    if not path.is_dir():
        return False
    from digit_recognizer.sources.picture_folder import has_class_folders

    known_name = any(kaggle.find_table(path, part) or idx.has_idx(path, part) for part in PARTS)
    return known_name or has_class_folders(path) or _only_file(path) is not None


def _only_file(path: Path) -> Path | None:
    """Return the only archive or CSV in a folder, whatever its name; None if there are several."""
    visible = (each for each in path.iterdir() if not each.name.startswith("."))
    found = [each for each in visible if each.name.lower().endswith(ONLY_FILE_SUFFIXES) and each.is_file()]
    return found[0] if len(found) == 1 else None
