"""Load a source of digits: a word, a file or a folder; find the default source."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from digit_recognizer.digits import Digits
from digit_recognizer.errors import DigitsError, check_is_local, did_you_mean_path
from digit_recognizer.progress import following
from digit_recognizer.sources import idx, kaggle
from digit_recognizer.sources.common import Loaded, Options, Part, note, part_of
from digit_recognizer.sources.folders import Folder, file_at, folder_at, open_archive
from digit_recognizer.sources.formats import (
    BUNDLED,
    EXPECTED,
    MNIST,
    WORDS,
    find_digits,
    find_test_file,
    load_file,
    load_folder,
    named_word,
    plain,
)
from digit_recognizer.sources.kaggle import SubmissionForm
from digit_recognizer.sources.streams import OnProgress
from digit_recognizer.sources.tables.csv_text import is_wide_table

SOURCE_VARIABLE = "DIGITS_DATA"  # environment variable: the default source
DEFAULT_FOLDER = "data"  # the default source if the variable is not set, in the current folder
KAGGLE_INPUT = "/kaggle/input"  # where notebooks on Kaggle find what was added to them
KAGGLE_FOLDERS = ("digit-recognizer", "competitions/digit-recognizer")  # of the competition, below it
HERE = "."  # the default source if the current folder itself contains digits
LABELS_WANTED = "give images and labels, as in train.csv, a pair of IDX files, or arrays named X and y"
PARTS: tuple[Part, ...] = ("train", "test")


@dataclass(frozen=True, slots=True)
class TestPart:
    """The test part of a source, and the form of a submission for it."""

    digits: Digits
    form: SubmissionForm

    __test__ = False  # the name is no test of pytest's


def load_digits(
    source: str | Path,
    part: Part = "train",
    *,
    skip_bad: bool = False,
    on_progress: OnProgress | None = None,
) -> Digits:
    """Load one part of a source of digits.

    What was assumed about the source is logged by the logger ``digit_recognizer.sources``.

    Parameters
    ----------
    source
        One of these:

        - a CSV or another table of text with 784 columns of pixels, plain or packed (.gz, .bz2, .xz);
        - the archive of the Kaggle competition, or a folder with train.csv and test.csv or with the archive;
        - one file of an IDX pair (plain or packed), or the folder of MNIST, QMNIST or EMNIST;
        - a list of pictures: a CSV of file names and labels, in their folder or above, or that folder;
        - a folder with a folder of pictures for each class, 0 to 9, optionally below train/ and test/;
        - an .npz archive, or .npy files, with images and labels, or with x_train, y_train, x_test, y_test;
        - Parquet files (extra ``parquet``) of pictures and labels;
        - a zip or tar archive of any of these, or a folder above one of them;
        - a folder with a single archive or table of any name;
        - the word ``bundled``: scikit-learn's 1,797 digits;
        - the word ``mnist``: MNIST, downloaded.
    part
        "train" or "test". A single file that has only one part is loaded for either; but for a file of the
        training part with the file of the test part beside it, such as train.csv, "test" loads that.
    skip_bad
        Whether to skip pictures that cannot be decoded, instead of raising an error.
    on_progress
        Called with the fraction that is read, 0 to 1, while a table or pictures are read.

    Returns
    -------
    Digits
        At least one image; with labels if `part` is "train".

    Raises
    ------
    DigitsError
        The source does not exist or cannot be read; the message says where and why.
    """
    with following(_doing(source), on_progress) as tell:
        return _load_checked(source, Options(part, skip_bad, tell))[0].digits


def load_test(
    source: str | Path, *, skip_bad: bool = False, on_progress: OnProgress | None = None
) -> TestPart:
    """Load the test part of a source, and the form of the submission that its competition wants.

    Parameters
    ----------
    source, skip_bad, on_progress
        As in `load_digits`.

    Returns
    -------
    TestPart
        The digits as from ``load_digits(source, "test")``. The columns of the submission are those of the
        sample_submission.csv beside the test file; the ids are those of the column ``id`` of the test file.

    Raises
    ------
    DigitsError
        The source does not exist or cannot be read; the message says where and why.
    """
    with following(_doing(source), on_progress) as tell:
        loaded, form = _load_checked(source, Options("test", skip_bad, tell))
    return TestPart(loaded.digits, form)


def find_source(source: str | Path | None = None) -> str:
    """Return the source that the user named, or the default source.

    Parameters
    ----------
    source
        A path or a word, in any case; None for the default.

    Returns
    -------
    str
        `source`, a word in lower case; by default the value of the environment variable ``DIGITS_DATA``,
        then ``data`` if there is a folder of that name with digits, then the competition's folder on Kaggle,
        then the current folder if it contains digits under a usual name, then ``bundled``.

    Raises
    ------
    DigitsError
        ``DIGITS_DATA`` names something that does not exist.
    """
    if source is not None:
        return named_word(source) or str(source)
    variable = os.environ.get(SOURCE_VARIABLE)
    if variable:
        word = named_word(variable)
        if word is None and not Path(variable).exists():
            raise DigitsError(
                f"the environment variable {SOURCE_VARIABLE} is set to {variable}, which does not exist"
                f"{did_you_mean_path(variable, WORDS)}"
            )
        return word or variable
    if Path(DEFAULT_FOLDER).is_dir() and _contains_digits(folder_at(Path(DEFAULT_FOLDER))):
        return DEFAULT_FOLDER
    for name in KAGGLE_FOLDERS:
        if Path(KAGGLE_INPUT, name).is_dir():
            return str(Path(KAGGLE_INPUT, name))
    return HERE if _contains_named_digits(folder_at(Path(HERE))) else BUNDLED


def has_test_csv(source: str | Path) -> bool:
    """Return whether a source, or the folder of its train.csv, has a test.csv to submit."""
    path = Path(source)
    if path.is_dir():
        folder = find_digits(folder_at(path), Options("test"))
        return folder is not None and _has_test_csv(folder[0])
    if not path.is_file():
        return False
    file = file_at(path)
    if part_of(file.name) == "train":
        return _has_test_csv(file.folder)
    with file.open() as stored, open_archive(file, stored) as archive:
        if archive is None:
            return False
        folder = find_digits(archive, Options("test"))
        return folder is not None and _has_test_csv(folder[0])


def _has_test_csv(folder: Folder) -> bool:
    names = (*kaggle.exact_names("test"), kaggle.ARCHIVE)
    return any(name in folder.files() for name in names)


def _doing(source: str | Path) -> str:
    """Return what a bar says meanwhile."""
    return "Downloading MNIST" if named_word(source) == MNIST else "Reading"


def _load_checked(source: str | Path, options: Options) -> tuple[Loaded, SubmissionForm]:
    if options.part not in PARTS:
        raise DigitsError(f"expected the part train or test, got {options.part!r}")
    try:
        loaded, form = _load(source, options)
    except OSError as error:  # before a file was opened: the name is too long, the folder is not readable
        raise DigitsError(f"cannot read {source}: {error.strerror or error}") from error
    if not len(loaded.digits):
        raise DigitsError(f"{source} contains no images")
    if options.part == "train" and loaded.digits.labels is None:
        raise DigitsError(f"{source} has no labels, but training needs them: {LABELS_WANTED}")
    return loaded, form


def _load(source: str | Path, options: Options) -> tuple[Loaded, SubmissionForm]:
    word = named_word(source)
    if word == BUNDLED:
        from digit_recognizer.sources.named import load_bundled

        return plain(load_bundled(options.part))
    if word == MNIST:
        from digit_recognizer.sources.named import load_mnist

        return plain(load_mnist(options.part, on_progress=options.on_progress))
    check_is_local(source)
    path = Path(source)
    if path.is_dir():
        return load_folder(folder_at(path), options)
    if not path.is_file():
        meant = did_you_mean_path(path, WORDS)
        raise DigitsError(f"{path}: no such file or folder; expected {EXPECTED}{meant}")
    file = file_at(path)
    if options.part == "test" and part_of(file.name) == "train":
        beside = find_test_file(file)
        if beside is not None:
            note(f"{file} is the training part; {beside.name} beside it is the test part")
            file = beside
    return load_file(file, options)


def _contains_digits(folder: Folder) -> bool:
    try:
        return (
            find_digits(folder, Options("train")) is not None
            or find_digits(folder, Options("test")) is not None
        )
    except DigitsError:
        return True  # what is wrong is said when it is loaded


def _contains_named_digits(folder: Folder) -> bool:
    """Return whether a folder that nobody named directly contains digits under a usual name."""
    try:
        table = kaggle.find_table(folder, "train")
        if table is not None and (table.name == kaggle.ARCHIVE or is_wide_table(table)):
            return True
        from digit_recognizer.sources import picture_folder, picture_list

        if table is not None and picture_list.open_list(table):
            return True
        return idx.has_idx(folder, "train") or picture_folder.has_class_folders(folder)
    except DigitsError:
        return False
