"""Find out which format a file or a folder of digits has, and load it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

from digit_recognizer.digits import Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.sources import arrays, idx, kaggle
from digit_recognizer.sources.common import Loaded, Options, Part, note, part_of
from digit_recognizer.sources.folders import File, Folder, open_archive
from digit_recognizer.sources.kaggle import SubmissionForm
from digit_recognizer.sources.streams import ZIP_MAGIC
from digit_recognizer.sources.tables.columns import first_names
from digit_recognizer.sources.tables.csv_table import read_csv
from digit_recognizer.sources.tables.csv_text import find_table, is_wide_table
from digit_recognizer.sources.unreadable import HEAD_BYTES, IN_FOLDERS, SPARSE, kind_of_bytes, kind_of_zip

BUNDLED, MNIST = "bundled", "mnist"  # words that name a source; a folder of that name is ./mnist
WORDS = (BUNDLED, MNIST)
ARCHIVE_SUFFIXES = (".zip", ".npz", ".npy", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".data", ".arff", ".csv.gz", ".csv.bz2", ".csv.xz")
LIST_SUFFIXES = (".csv", ".tsv", ".txt")
COLUMN_MAGIC = (b"PAR1", b"ARROW1")
COLUMN_SUFFIXES = (".parquet", ".pq", ".arrow", ".feather")
MAX_DEPTH = 4  # folders below the source in which digits are looked for
MAX_FOLDERS = 200  # at each depth
MAX_FILES_LOOKED_AT = 20  # to say what a folder without digits holds
EXPECTED = (
    "the competition's archive, a CSV, IDX files, an .npz archive, a folder of pictures in folders 0 to 9, "
    f"or one of the words {BUNDLED} and {MNIST}"
)

Result = tuple[Loaded, SubmissionForm]


def named_word(source: str | Path) -> str | None:
    """Return the word that names a source, also of ``MNIST`` unless that is a file or a folder, or None."""
    word = str(source)
    if word in WORDS:
        return word
    return word.lower() if word.lower() in WORDS and not Path(word).exists() else None


def plain(digits: Digits) -> Result:
    """Return digits of a source that says nothing about submissions."""
    return Loaded(digits), SubmissionForm()


def find_test_file(file: File) -> File | None:
    """Return the file of the test part in the folder of a file of the training part."""
    suffix = file.name.lower().removesuffix(".gz").rpartition(".")[2]
    if file.name.lower().endswith(kaggle.TABLE_SUFFIXES):
        return kaggle.find_table(file.folder, "test") or _find_list(file.folder, "test")
    if idx.has_idx(file.folder, "test") and idx.FILE_NAME.fullmatch(file.name):
        return idx.image_files(file.folder, "test")[0]
    others = [
        name for name in file.folder.files() if part_of(name) == "test" and name.lower().endswith(suffix)
    ]
    return file.folder.file(others[0]) if len(others) == 1 else None


def load_file(file: File, options: Options) -> Result:
    """Load a part from a file of any format."""
    with file.open() as stored, open_archive(file, stored) as archive:
        if archive is not None:
            return _load_archive(file, archive, options)
    head = file.head(HEAD_BYTES)
    name = file.name.lower()
    if head.startswith(COLUMN_MAGIC) or name.endswith(".arrow"):
        from digit_recognizer.sources import parquet

        return parquet.load_tables([file], options), SubmissionForm()
    if arrays.is_npy(head):
        return plain(arrays.load_file(file, options))
    if SPARSE.match(head):
        from digit_recognizer.sources.sparse import load_sparse

        return plain(load_sparse(file, options))
    known = kind_of_bytes(file.name, head)
    if known:
        raise DigitsError(f"{file} is {known[0]}: {known[1]}")
    if name.endswith(ARCHIVE_SUFFIXES):
        kind = "tar" if ".t" in name else "zip"
        raise DigitsError(f"{file} is not a {kind} archive, although its name says so: download it again")
    if idx.is_idx(file, head):
        return plain(idx.load_file(file, options.on_progress))
    if b"\0" not in head or name.endswith(TEXT_SUFFIXES):
        loaded = _load_text(file, options)
        if loaded is not None:
            return loaded, kaggle.submission_form(loaded, file.folder if options.part == "test" else None)
    raise DigitsError(f"{file} has an unknown format: expected {EXPECTED}")


def _load_text(file: File, options: Options) -> Loaded | None:
    """Load a table of pixels or a list of pictures; None if the file is neither by its content or name."""
    is_named = file.name.lower().endswith(TEXT_SUFFIXES)
    try:
        table = find_table(file)
    except DigitsError:
        if is_named:
            raise
        return None
    if not table.is_wide:
        from digit_recognizer.sources import picture_list

        listed = picture_list.as_list(table)
        if listed is not None:
            return picture_list.load_list(listed, options)
    return read_csv(table, options) if table.is_wide or is_named else None


def _load_archive(file: File, archive: Folder, options: Options) -> Result:
    known = kind_of_zip(archive.members())
    if known:
        raise DigitsError(f"{file} is {known[0]}: {known[1]}")
    if file.name.lower().endswith(".npz") or any(name.endswith(".npy") for name in archive.files()):
        if len(archive.members()) == 1:  # its labels may be in a file beside it
            return plain(arrays.load_file(file, options))
        return plain(arrays.load_npz(archive, options))
    return load_folder(archive, options)


def load_folder(folder: Folder, options: Options) -> Result:
    """Load a part from a folder, from the only folder with digits below it, or from a file in it."""
    found = find_digits(folder, options)
    if found is None:
        _refuse_other_classes(folder)
        _refuse_known_kinds(folder)
        members = first_names(folder.files() + [f"{name}/" for name in folder.folders()]) or "nothing"
        expected = f"a member {options.part}.csv, or {EXPECTED}" if folder.is_archive else EXPECTED
        raise DigitsError(f"{folder} contains no digits: expected {expected}, found {members}")
    inside, load = found
    if str(inside) != str(folder):
        note(f"{folder}: the digits are in {inside}")
    return load()


def _refuse_other_classes(folder: Folder) -> None:
    """Say how folders of pictures are named that are not those of digits."""
    from digit_recognizer.sources import picture_folder

    level = [folder]
    for _ in range(MAX_DEPTH):
        for each in level:
            names = [name for name in each.folders() if picture_folder.has_any(each.folder(name))]
            if len(names) > 1 and not all(map(part_of, names)):
                raise DigitsError(
                    f"{each}: the folders of pictures are named {first_names(names)}: name those of digits "
                    "0 to 9, and move the others elsewhere"
                )
        level = [each.folder(name) for each in level for name in each.folders()][:MAX_FOLDERS]


def _refuse_known_kinds(folder: Folder) -> None:
    """Say what a folder holds instead of digits, if one of its files is known."""
    for file in islice(folder.files_below(MAX_DEPTH), MAX_FILES_LOOKED_AT):
        head = file.head(HEAD_BYTES)
        known = kind_of_bytes(file.name, head)
        if head.startswith(ZIP_MAGIC):
            with file.open() as stored, open_archive(file, stored) as archive:
                known = None if archive is None else kind_of_zip(archive.members())
        if known and known[1] == IN_FOLDERS:
            raise DigitsError(
                f"{folder} holds pictures in no folder of their digit, such as {file}: {known[1]}"
            )
        if known:
            raise DigitsError(f"{file} is {known[0]}: {known[1]}")


def find_digits(folder: Folder, options: Options) -> tuple[Folder, Callable[[], Result]] | None:
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


def _find_here(folder: Folder, options: Options) -> Callable[[], Result] | None:
    """Return what loads the digits directly in a folder; None if there are none.

    If only the other part is there, the error comes from the format that was found.
    """
    other: Part = "test" if options.part == "train" else "train"
    table = kaggle.find_table(folder, options.part)
    listed = None if table is not None and _is_sure(table) else _find_list(folder, options.part)
    if listed is not None:
        return lambda: load_file(listed, options)
    has_pictures = _has_pictures(folder)
    for part in (options.part, other):
        table = kaggle.find_table(folder, part)
        if table is not None and not (has_pictures and not is_wide_table(table)):
            return lambda: _load_table(folder, table if part == options.part else None, options)
        if idx.has_idx(folder, part):
            return lambda: plain(idx.load_folder(folder, options.part, options.on_progress))
        if arrays.has_arrays(folder, part):
            return lambda: plain(arrays.load_folder(folder, options))
    if has_pictures:
        return lambda: _load_pictures(folder, options)
    parquet_files = [name for name in folder.files() if name.lower().endswith(COLUMN_SUFFIXES)]
    if parquet_files:
        return lambda: _load_parquet(folder, options)
    if sum(name.lower().endswith(".npy") for name in folder.files()) > 1:
        return lambda: plain(arrays.load_folder(folder, options))
    only = _only_file(folder)
    return None if only is None else lambda: load_file(only, options)


def _load_table(folder: Folder, table: File | None, options: Options) -> Result:
    if table is None:
        names = ", ".join(kaggle.exact_names(options.part))
        raise DigitsError(f"{folder}: expected {names} or {kaggle.ARCHIVE}")
    return load_file(table, options)


def _is_sure(table: File) -> bool:
    return table.name.lower().endswith(".zip") or is_wide_table(table)


def _find_list(folder: Folder, part: Part) -> File | None:
    """Return the list of the pictures of a part, unless they are in class folders."""
    if not any(name.lower().endswith(LIST_SUFFIXES) for name in folder.files()):
        return None
    from digit_recognizer.sources import picture_folder, picture_list

    if picture_folder.has_classes(folder, part):
        return None
    listed = picture_list.find_list(folder, part)
    return None if listed is None else listed.file


def _has_pictures(folder: Folder) -> bool:
    if not folder.folders():
        return False
    from digit_recognizer.sources import picture_folder

    return picture_folder.has_pictures(folder)


def _load_pictures(folder: Folder, options: Options) -> Result:
    from digit_recognizer.sources import picture_folder

    loaded = picture_folder.load_folder(folder, options)
    return loaded, kaggle.submission_form(loaded, folder if options.part == "test" else None)


def _load_parquet(folder: Folder, options: Options) -> Result:
    from digit_recognizer.sources import parquet

    files = parquet.find_tables(folder, options)
    if not files:
        raise DigitsError(f"{folder}: expected a file {options.part}.parquet")
    return parquet.load_tables(files, options), SubmissionForm()


def _only_file(folder: Folder) -> File | None:
    """Return the only archive or table in a folder, whatever its name; None if there are several."""
    archives = [name for name in folder.files() if name.lower().endswith(ARCHIVE_SUFFIXES)]
    if archives:
        return folder.file(archives[0]) if len(archives) == 1 and _no_table(folder) else None
    return kaggle.find_only_table(folder)


def _no_table(folder: Folder) -> bool:
    return not any(name.lower().endswith(kaggle.TABLE_SUFFIXES) for name in folder.files())
