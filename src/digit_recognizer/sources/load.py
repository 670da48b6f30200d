"""Find out which format a source of digits has, and load it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from digit_recognizer.digits import Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.sources import arrays, idx, kaggle
from digit_recognizer.sources.columns import first_names
from digit_recognizer.sources.common import Loaded, Options, Part, note, part_of
from digit_recognizer.sources.csv_table import read_csv
from digit_recognizer.sources.csv_text import is_wide_table
from digit_recognizer.sources.folders import File, Folder, file_at, folder_at, open_archive
from digit_recognizer.sources.kaggle import SubmissionForm
from digit_recognizer.sources.streams import OnProgress
from digit_recognizer.sources.unreadable import HEAD_BYTES, kind_of_bytes, kind_of_zip

BUNDLED, MNIST = "bundled", "mnist"  # words that name a source; a folder of that name is ./mnist
SOURCE_VARIABLE = "DIGITS_DATA"  # environment variable: the default source
DEFAULT_FOLDER = "data"  # the default source if the variable is not set, in the current folder
HERE = "."  # the default source if the current folder itself contains digits
PARTS: tuple[Part, ...] = ("train", "test")
ARCHIVE_SUFFIXES = (".zip", ".npz", ".npy", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".data", ".arff", ".csv.gz", ".csv.bz2", ".csv.xz")
PARQUET_MAGIC = b"PAR1"
MAX_DEPTH = 4  # folders below the source in which digits are looked for
MAX_FOLDERS = 200  # at each depth
EXPECTED = (
    "the competition's archive, a CSV, IDX files, an .npz archive, a folder of pictures in folders 0 to 9, "
    f"or one of the words {BUNDLED} and {MNIST}"
)


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
    return _load_checked(source, Options(part, skip_bad, on_progress))[0].digits


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
    loaded, form = _load_checked(source, Options("test", skip_bad, on_progress))
    return TestPart(loaded.digits, form)


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
        is a folder of that name with digits, then the current folder if it contains digits under a
        usual name, then ``bundled``.

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
    if Path(DEFAULT_FOLDER).is_dir() and _contains_digits(folder_at(Path(DEFAULT_FOLDER))):
        return DEFAULT_FOLDER
    return HERE if _contains_named_digits(folder_at(Path(HERE))) else BUNDLED


def has_test_csv(source: str | Path) -> bool:
    """Return whether a source, or the folder of its train.csv, has a test.csv to submit."""
    path = Path(source)
    if path.is_dir():
        folder = _find(folder_at(path), Options("test"))
        return folder is not None and _has_test_csv(folder[0])
    if not path.is_file():
        return False
    file = file_at(path)
    if part_of(file.name) == "train":
        return _has_test_csv(file.folder)
    with file.open() as stored, open_archive(file, stored) as archive:
        if archive is None:
            return False
        folder = _find(archive, Options("test"))
        return folder is not None and _has_test_csv(folder[0])


def _has_test_csv(folder: Folder) -> bool:
    names = (*kaggle.exact_names("test"), kaggle.ARCHIVE)
    return any(name in folder.files() for name in names)


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
        raise DigitsError(f"{source} has no labels, but training needs them")
    return loaded, form


def _load(source: str | Path, options: Options) -> tuple[Loaded, SubmissionForm]:
    if source == BUNDLED:
        from digit_recognizer.sources.bundled import load_bundled

        return _plain(load_bundled(options.part))
    if source == MNIST:
        from digit_recognizer.sources.mnist import load_mnist

        return _plain(load_mnist(options.part))
    path = Path(source)
    if path.is_dir():
        return _load_folder(folder_at(path), options)
    if not path.is_file():
        raise DigitsError(f"{path}: no such file or folder; expected {EXPECTED}")
    file = file_at(path)
    if options.part == "test" and part_of(file.name) == "train":
        beside = _test_file_beside(file)
        if beside is not None:
            note(f"{file} is the training part; {beside.name} beside it is the test part")
            file = beside
    return _load_file(file, options)


def _plain(digits: Digits) -> tuple[Loaded, SubmissionForm]:
    return Loaded(digits), SubmissionForm()


def _test_file_beside(file: File) -> File | None:
    """Return the file of the test part in the folder of a file of the training part."""
    suffix = file.name.lower().removesuffix(".gz").rpartition(".")[2]
    if file.name.lower().endswith(kaggle.TABLE_SUFFIXES):
        return kaggle.find_table(file.folder, "test")
    if idx.has_idx(file.folder, "test") and idx.FILE_NAME.fullmatch(file.name):
        return idx.image_files(file.folder, "test")[0]
    others = [
        name for name in file.folder.files() if part_of(name) == "test" and name.lower().endswith(suffix)
    ]
    return file.folder.file(others[0]) if len(others) == 1 else None


def _load_file(file: File, options: Options) -> tuple[Loaded, SubmissionForm]:
    with file.open() as stored, open_archive(file, stored) as archive:
        if archive is not None:
            return _load_archive(file, archive, options)
    head = file.head(HEAD_BYTES)
    name = file.name.lower()
    if head.startswith(PARQUET_MAGIC):
        from digit_recognizer.sources import parquet

        return parquet.load_tables([file], options), SubmissionForm()
    if arrays.is_npy(head):
        return _plain(arrays.load_file(file, options.part))
    known = kind_of_bytes(file.name, head)
    if known:
        raise DigitsError(f"{file} is {known[0]}: {known[1]}")
    if name.endswith(ARCHIVE_SUFFIXES):
        kind = "tar" if ".t" in name else "zip"
        raise DigitsError(f"{file} is not a {kind} archive, although its name says so: download it again")
    if idx.is_idx(file, head):
        return _plain(idx.load_file(file))
    if name.endswith(TEXT_SUFFIXES) or (b"\0" not in head and is_wide_table(file)):
        loaded = read_csv(file, options)
        return loaded, kaggle.submission_form(loaded, file.folder if options.part == "test" else None)
    raise DigitsError(f"{file} has an unknown format: expected {EXPECTED}")


def _load_archive(file: File, archive: Folder, options: Options) -> tuple[Loaded, SubmissionForm]:
    known = kind_of_zip(archive.members())
    if known:
        raise DigitsError(f"{file} is {known[0]}: {known[1]}")
    if file.name.lower().endswith(".npz") or any(name.endswith(".npy") for name in archive.files()):
        return _plain(arrays.load_npz(archive, options.part))
    return _load_folder(archive, options)


Load = Callable[[], tuple[Loaded, SubmissionForm]]


def _load_folder(folder: Folder, options: Options) -> tuple[Loaded, SubmissionForm]:
    found = _find(folder, options)
    if found is None:
        members = first_names(folder.files() + [f"{name}/" for name in folder.folders()]) or "nothing"
        expected = f"a member {options.part}.csv, or {EXPECTED}" if folder.is_archive else EXPECTED
        raise DigitsError(f"{folder} contains no digits: expected {expected}, found {members}")
    inside, load = found
    if str(inside) != str(folder):
        note(f"{folder}: the digits are in {inside}")
    return load()


def _find(folder: Folder, options: Options) -> tuple[Folder, Load] | None:
    """Return the folder that contains digits, this one or the only one of those the least below it."""
    level = [folder]
    for _ in range(MAX_DEPTH + 1):
        found = [(each, load) for each in level if (load := _find_here(each, options))]
        of_part = [each for each in found if part_of(each[0].name) == options.part]
        if len(of_part or found) > 1:
            names = first_names([str(each) for each, _ in of_part or found])
            raise DigitsError(f"{folder} contains several sets of digits: name one of {names}")
        if found:
            return (of_part or found)[0]
        level = [each.folder(name) for each in level for name in each.folders()][:MAX_FOLDERS]
    return None


def _find_here(folder: Folder, options: Options) -> Load | None:
    """Return what loads the digits directly in a folder; None if there are none.

    If only the other part is there, the error comes from the format that was found.
    """
    other: Part = "test" if options.part == "train" else "train"
    has_pictures = _has_pictures(folder)
    for part in (options.part, other):
        table = kaggle.find_table(folder, part)
        if table is not None and not (has_pictures and not is_wide_table(table)):
            return lambda: _load_table(folder, table if part == options.part else None, options)
        if idx.has_idx(folder, part):
            return lambda: _plain(idx.load_folder(folder, options.part))
        if arrays.has_arrays(folder, part):
            return lambda: _plain(arrays.load_folder(folder, options.part))
    if has_pictures:
        return lambda: _load_pictures(folder, options)
    parquet_files = [name for name in folder.files() if name.lower().endswith((".parquet", ".pq"))]
    if parquet_files:
        return lambda: _load_parquet(folder, options)
    only = _only_file(folder)
    return None if only is None else lambda: _load_file(only, options)


def _load_table(folder: Folder, table: File | None, options: Options) -> tuple[Loaded, SubmissionForm]:
    if table is None:
        names = ", ".join(kaggle.exact_names(options.part))
        raise DigitsError(f"{folder}: expected {names} or {kaggle.ARCHIVE}")
    return _load_file(table, options)


def _has_pictures(folder: Folder) -> bool:
    if not folder.folders():
        return False
    from digit_recognizer.sources import picture_folder

    return picture_folder.has_pictures(folder)


def _load_pictures(folder: Folder, options: Options) -> tuple[Loaded, SubmissionForm]:
    from digit_recognizer.sources import picture_folder

    loaded = picture_folder.load_folder(folder, options)
    return loaded, kaggle.submission_form(loaded, folder if options.part == "test" else None)


def _load_parquet(folder: Folder, options: Options) -> tuple[Loaded, SubmissionForm]:
    from digit_recognizer.sources import parquet

    files = parquet.find_tables(folder, options)
    if not files:
        raise DigitsError(f"{folder}: expected a file {options.part}.parquet")
    return parquet.load_tables(files, options), SubmissionForm()


def _contains_digits(folder: Folder) -> bool:
    try:
        return _find(folder, Options("train")) is not None or _find(folder, Options("test")) is not None
    except DigitsError:
        return True  # what is wrong is said when it is loaded


def _contains_named_digits(folder: Folder) -> bool:
    """Return whether a folder that nobody named directly contains digits under a usual name."""
    try:
        table = kaggle.find_table(folder, "train")
        if table is not None and (table.name == kaggle.ARCHIVE or is_wide_table(table)):
            return True
        from digit_recognizer.sources import picture_folder

        return idx.has_idx(folder, "train") or picture_folder.has_class_folders(folder)
    except DigitsError:
        return False


def _only_file(folder: Folder) -> File | None:
    """Return the only archive or table in a folder, whatever its name; None if there are several."""
    archives = [name for name in folder.files() if name.lower().endswith(ARCHIVE_SUFFIXES)]
    if archives:
        return folder.file(archives[0]) if len(archives) == 1 and _no_table(folder) else None
    return kaggle.find_only_table(folder)


def _no_table(folder: Folder) -> bool:
    return not any(name.lower().endswith(kaggle.TABLE_SUFFIXES) for name in folder.files())
