"""Find out what a source is, by its content where that is cheap, and load it."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from digit_recognizer.digits import Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.sources import arrays, idx, kaggle
from digit_recognizer.sources.parts import Part
from digit_recognizer.sources.streams import GZIP_MAGIC, ZIP_MAGIC, head, members

BUNDLED, MNIST = "bundled", "mnist"  # words that name a source; a folder of that name is ./mnist
DATA = "DIGITS_DATA"  # environment variable: the source where none is named
FOLDER = "data"  # looked for in the current directory where that is not set either
PARTS: tuple[Part, ...] = ("train", "test")
EXPECTED = (
    "the competition's archive, a CSV, IDX files, an .npz archive, a folder of pictures in 0 to 9, "
    f"or one of the words {BUNDLED} and {MNIST}"
)


def load_digits(source: str | Path, part: Part = "train") -> Digits:
    """Load one part of any source of digits.

    Parameters
    ----------
    source
        One of these:

        - the archive of the Kaggle competition, a zip with one CSV in it, a CSV (plain or .gz), or a
          folder with train.csv and test.csv (plain, .gz, .zip) or with the archive;
        - a file of an IDX pair (plain or .gz), or the folder of MNIST's, QMNIST's or EMNIST's;
        - a folder with one folder of pictures per class, 0 to 9, perhaps under train/ and test/;
        - an .npz archive with images and labels, or with x_train, y_train, x_test, y_test;
        - a folder with one single archive or CSV in it, whatever its name;
        - the word ``bundled``: scikit-learn's 1,797 digits;
        - the word ``mnist``: MNIST, downloaded.
    part
        "train" or "test". Where the source has but one part and is named by its file, this is loaded
        whichever is asked for.

    Returns
    -------
    Digits
        At least one image; with labels if `part` is "train".

    Raises
    ------
    DigitsError
        There is nothing of that name, or it cannot be read; the message says where and why.
    """
    if part not in PARTS:
        raise DigitsError(f"expected the part train or test, got {part!r}")
    try:
        digits = _load(source, part)
    except OSError as error:  # met before any file was opened: a name too long, a folder closed to us
        raise DigitsError(f"cannot read {source}: {error.strerror or error}") from error
    if not len(digits):
        raise DigitsError(f"{source} holds no images")
    if part == "train" and digits.labels is None:
        raise DigitsError(f"{source} has no labels, which training needs")
    return digits


def find_source(named: str | Path | None = None) -> str:
    """Return what is to be read: what the user named, or what lies ready.

    Parameters
    ----------
    named
        Returned as it is, unless None.

    Returns
    -------
    str
        `named`; else the path or word in the environment variable ``DIGITS_DATA``; else ``data``, if
        there is a folder of that name with digits in it; else ``bundled``.

    Raises
    ------
    DigitsError
        ``DIGITS_DATA`` names nothing that exists.
    """
    if named is not None:
        return str(named)
    variable = os.environ.get(DATA)
    if variable:
        if variable not in (BUNDLED, MNIST) and not Path(variable).exists():
            raise DigitsError(f"the environment variable {DATA} names {variable}, which does not exist")
        return variable
    return FOLDER if _holds_digits(Path(FOLDER)) else BUNDLED


def has_test_csv(source: str | Path) -> bool:
    """Return whether a source is the competition's: an archive or a folder with the images to submit."""
    path = Path(source)
    if path.is_dir():
        return kaggle.tables_in(path, "test") is not None
    if not path.is_file() or head(path) not in ZIP_MAGIC:
        return False
    return any(PurePosixPath(name).name.lower() == "test.csv" for name in members(path))


def _load(source: str | Path, part: Part) -> Digits:
    if source == BUNDLED:
        from digit_recognizer.sources.bundled import load_bundled

        return load_bundled(part)
    if source == MNIST:
        from digit_recognizer.sources.download import load_mnist

        return load_mnist(part)
    path = Path(source)
    if path.is_dir():
        return _load_folder(path, part)
    if not path.is_file():
        raise DigitsError(f"{path}: no such file or folder; expected {EXPECTED}")
    return _load_file(path, part)


def _load_file(path: Path, part: Part) -> Digits:
    magic = head(path)
    name = path.name.lower()
    if magic in ZIP_MAGIC:
        npz = name.endswith(".npz") or any(member.endswith(".npy") for member in members(path))
        return arrays.load_npz(path, part) if npz else kaggle.load_zip(path, part)
    if name.endswith((".zip", ".npz")):
        raise DigitsError(f"{path} is no zip archive, whatever its name: fetch it again")
    if name.endswith(".gz") and not magic.startswith(GZIP_MAGIC):
        raise DigitsError(f"{path} is no gzip file, whatever its name: fetch it again")
    if idx.is_idx(path):
        return idx.load_file(path)
    if kaggle.looks_like_csv(path):
        return kaggle.load_csv(path, part)
    raise DigitsError(f"{path} is of no kind known here: expected {EXPECTED}")


def _load_folder(path: Path, part: Part) -> Digits:
    other: Part = "test" if part == "train" else "train"
    for asked in (part, other):  # what lacks this part only is told so by its own kind
        if kaggle.tables_in(path, asked):
            return kaggle.load_folder(path, part)
        if idx.has_idx(path, asked):
            return idx.load_folder(path, part)
    from digit_recognizer.sources import folder

    if folder.has_classes(path):
        return folder.load_folder(path, part)
    only = _only_file(path)
    if only is not None:
        return _load_file(only, part)
    raise DigitsError(f"{path} holds no digits: expected {EXPECTED}")


def _holds_digits(path: Path) -> bool:
    if not path.is_dir():
        return False
    from digit_recognizer.sources.folder import has_classes

    named = any(kaggle.tables_in(path, part) or idx.has_idx(path, part) for part in PARTS)
    return named or has_classes(path) or _only_file(path) is not None


def _only_file(path: Path) -> Path | None:
    """Return the one file of digits, whatever its name, that lies in a folder; None with several."""
    endings = (".zip", ".npz", ".csv", ".csv.gz")
    visible = (each for each in path.iterdir() if not each.name.startswith("."))
    found = [each for each in visible if each.name.lower().endswith(endings) and each.is_file()]
    return found[0] if len(found) == 1 else None
