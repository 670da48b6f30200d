"""A list of pictures: a table with a column of file names, and one of labels, each a single digit.

The pictures are in the folder of the list or below it; the folders of a name may be those of another machine.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, takewhile
from pathlib import PurePosixPath

import numpy as np

from digit_recognizer.digits import CLASSES
from digit_recognizer.errors import DigitsError
from digit_recognizer.formatting import count
from digit_recognizer.sources.common import Loaded, Options, Part, class_of, make_digits, note, part_of, warn
from digit_recognizer.sources.folders import File, Folder
from digit_recognizer.sources.kaggle import is_sample
from digit_recognizer.sources.picture_folder import MAX_NESTED, SUFFIXES, load_images
from digit_recognizer.sources.tables.columns import LABEL
from digit_recognizer.sources.tables.csv_text import BLANK, Table, find_table
from digit_recognizer.sources.tables.headers import ID_NAME, LABEL_NAME

LIST_SUFFIXES = (".csv", ".tsv", ".txt")
PART_NAME = re.compile(r"part|partition|split|(?:data|sub)?set|usage|phase", re.IGNORECASE)
SAMPLE_ROWS = 20  # that show which column is which
ABOVE = ".."

Row = tuple[int, list[str]]  # the number of its line, its cells


@dataclass(frozen=True, slots=True)
class PictureList:
    """A table that lists pictures, with the positions of its columns."""

    table: Table
    path: int
    label: int | None
    part: int | None

    @property
    def file(self) -> File:
        """The file of the list."""
        return self.table.file

    def name_of(self, column: int) -> str:
        """Return the name of a column."""
        return self.table.header[column] if self.table.header else f"{column + 1}"

    def rows(self) -> list[Row]:
        """Return all rows with their line numbers."""
        with self.table.open() as text:
            rows = list(_rows(self.table, text))
        width = len(self.table.header or rows[0][1])
        for line, cells in rows:
            if len(cells) != width:
                raise DigitsError(f"{self.file}, line {line}: expected {width} cells, found {len(cells)}")
        return rows

    def rows_of(self, part: Part) -> list[Row]:
        """Return the rows of a part; all if no row is of it, as in a list of one part."""
        rows = self.rows()
        parts = [self._part_of(cells) for _, cells in rows]
        wanted = {"train": ("train", None), "test": ("test",)}[part]
        return [row for row, of in zip(rows, parts, strict=True) if of in wanted] or rows

    def _part_of(self, cells: list[str]) -> Part | None:
        if self.part is not None:
            return part_of(cells[self.part])
        folders = map(part_of, _path(cells[self.path]).parts[:-1])
        return next(filter(None, folders), None)


def find_list(folder: Folder, part: Part) -> PictureList | None:
    """Return the only list of pictures of a part in a folder; None without one."""
    names = [name for name in folder.files() if name.lower().endswith(LIST_SUFFIXES) and not is_sample(name)]
    opened = [each for each in (open_list(folder.file(name)) for name in names) if each and _is_sure(each)]
    lists = [each for each in opened if part == "test" or each.label is not None]
    of_part = [each for each in lists if part_of(each.file.name) == part]
    found = of_part or [each for each in lists if part_of(each.file.name) is None]
    if len(found) > 1:
        names = [each.file.name for each in found]
        raise DigitsError(f"{folder} contains several lists of pictures ({', '.join(names)}): name one")
    return found[0] if found else None


def open_list(file: File) -> PictureList | None:
    """Return a file as a list of pictures; None if it is something else."""
    try:
        return as_list(find_table(file))
    except DigitsError:
        return None


def as_list(table: Table) -> PictureList | None:
    """Return a table as a list of pictures; None if it is something else."""
    if table.is_wide:
        return None
    if table.header and any(_is_picture(cell) for cell in table.header):  # a row that passed for names
        table = replace(table, lines_before=table.header_line - 1, header=None)
    try:
        with table.open() as text:
            sample = [cells for _, cells in islice(_rows(table, text), SAMPLE_ROWS)]
    except csv.Error:
        return None
    names = table.header or [""] * len(sample[0] if sample else ())
    if not names or any(len(row) != len(names) for row in sample):
        return None
    return _find_columns(table, names, sample)


def load_list(listed: PictureList, options: Options) -> Loaded:
    """Load the pictures of a part with their labels; without labels, the names are the ids."""
    rows = listed.rows_of(options.part)
    labels = _labels(listed, rows)
    if labels is None and options.part == "train":
        raise DigitsError(f"{listed.file} lists pictures without labels: add a column {LABEL!r}")
    files = _find_pictures(listed, rows, options)
    _check_conflicts(listed, rows, files, labels)
    there = [at for at, file in enumerate(files) if file is not None]
    what = "" if labels is None else f", the label {listed.name_of(listed.label or 0)!r}"
    note(f"{listed.file} is a list of pictures: the file is the column {listed.name_of(listed.path)!r}{what}")
    images, good = load_images([file for file in files if file is not None], options)
    kept = [there[at] for at in good]
    if labels is not None:
        return Loaded(make_digits(str(listed.file), images, np.array(labels, np.int64)[kept]))
    ids = tuple(rows[at][1][listed.path] for at in kept)
    return Loaded(make_digits(str(listed.file), images, None), listed.name_of(listed.path), ids)


def _is_sure(listed: PictureList) -> bool:
    """Return whether the first name has the suffix of pictures, or is that of one below the folder."""
    path = _path(listed.rows()[0][1][listed.path])
    return _is_picture(path.name) or any(
        PurePosixPath(file.name).stem == path.name and _is_picture(file.name)
        for file in listed.file.folder.files_below(MAX_NESTED)
    )


def _rows(table: Table, lines: Iterable[str]) -> Iterator[Row]:
    """Yield the rows that are not blank; a cell in quotes may contain line ends."""
    if table.separator is None:
        rows: Iterable[Row] = ((line, text.split()) for line, text in enumerate(lines, start=1))
    else:
        reader = csv.reader(lines, delimiter=table.separator)
        rows = ((reader.line_num, cells) for cells in reader)
    for line, cells in rows:
        if any(cell.strip(BLANK) for cell in cells):
            yield table.lines_before + line, [cell.strip() for cell in cells]


def _find_columns(table: Table, names: Sequence[str], sample: Sequence[Sequence[str]]) -> PictureList | None:
    columns = range(len(names))
    pictures = [at for at in columns if sample and all(_is_picture(row[at]) for row in sample)]
    paths = pictures or [at for at in columns if ID_NAME.fullmatch(names[at])]
    named = [at for at in columns if LABEL_NAME.fullmatch(names[at]) and at not in paths]
    if not paths or not (pictures or named or len(names) == 1):
        return None
    others = [at for at in columns if at not in paths]
    digits = [at for at in named or others if all(class_of(row[at]) is not None for row in sample)]
    labels = digits or named or (others if len(others) == 1 else [])
    parts = [at for at in others if PART_NAME.fullmatch(names[at]) and at not in labels[:1]]
    return PictureList(table, paths[0], labels[0] if labels else None, parts[0] if parts else None)


def _labels(listed: PictureList, rows: list[Row]) -> list[int] | None:
    """Return the labels; refuse those that are no single digit, before slow work."""
    if listed.label is None:
        return None
    labels = [class_of(cells[listed.label]) for _, cells in rows]
    if None in labels:
        line, cells = rows[labels.index(None)]
        found = repr(cells[listed.label]) if cells[listed.label] else "an empty cell"
        raise DigitsError(
            f"{listed.file}, line {line}, column {listed.name_of(listed.label)}: expected a single digit, "
            f"0 to {CLASSES - 1}, found {found}; {labels.count(None):,} of {len(rows):,} labels are not: "
            "keep the rows of single digits, or train on whole numbers with --recipe numbers"
        )
    return [label for label in labels if label is not None]


def _check_conflicts(
    listed: PictureList, rows: list[Row], files: list[File | None], labels: list[int] | None
) -> None:
    first: dict[str, int] = {}
    for at, file in enumerate(files if labels else []):
        before = first.setdefault(str(file), at)
        if labels and file and labels[before] != labels[at]:
            raise DigitsError(
                f"{listed.file}, lines {rows[before][0]} and {rows[at][0]}: {file.name} has the labels "
                f"{labels[before]} and {labels[at]}: remove the wrong line"
            )


def _find_pictures(listed: PictureList, rows: list[Row], options: Options) -> list[File | None]:
    """Return the file of each row; None if it is missing and to be skipped."""
    folder, part = listed.file.folder, part_of(listed.file.name) or options.part
    paths = [_path(cells[listed.path]) for _, cells in rows]
    index, above = _index(folder, {path.name.lower() for path in paths}), folder.parent()
    files = list[File | None]()
    for path, (line, _) in zip(paths, rows, strict=True):
        found = _most_alike(folder, path, index.get(path.name.lower(), []), part)
        found = found or _file_above(above, path)
        if len(found) > 1:
            names = " and ".join(map(str, found[:2]))
            raise DigitsError(f"{listed.file}, line {line}: {path} can be {names}: write the folder, too")
        files.append(found[0] if found else None)
    if None in files:
        line, cells = rows[files.index(None)]
        if not options.skip_bad or not any(files):
            raise DigitsError(
                f"{listed.file}, line {line}: {cells[listed.path]!r} is not in {folder} or below it: "
                "put the pictures there, or use --skip-bad to go on without those that are missing"
            )
        missing = f"{files.count(None):,} of {count(len(rows), 'picture')} are missing and were skipped"
        warn(f"{listed.file}: {missing}, first {cells[listed.path]!r} in line {line}")
    return files


def _index(folder: Folder, names: set[str]) -> dict[str, list[File]]:
    """Return the pictures below a folder by their names in a list, with their suffix or without."""
    found = defaultdict[str, list[File]](list)
    for file in folder.files_below(MAX_NESTED):
        name = file.name.lower()
        if _is_picture(name) or "." not in name:
            for key in {name, PurePosixPath(name).stem} & names:
                found[key].append(file)
    return found


def _file_above(above: Folder | None, path: PurePosixPath) -> list[File]:
    """Return the file that has exactly this path in the folder above a list."""
    folder = above
    for name in path.parts[:-1]:
        if name != ABOVE and folder is not None:
            folder = folder.folder(name) if name in folder.folders() else None
    return [folder.file(path.name)] if folder is not None and path.name in folder.files() else []


def _most_alike(folder: Folder, path: PurePosixPath, files: list[File], part: Part) -> list[File]:
    """Return the files whose folders are most like those in the list: one, if these tell them apart."""
    if len(files) < 2:
        return files
    listed = [each.lower() for each in path.parts[-2::-1]]

    def likeness(file: File) -> tuple[bool, int, bool]:
        inside = PurePosixPath(file.folder.inside)
        folders = [each.lower() for each in reversed(inside.parts)]
        same = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(listed, folders, strict=False))))
        is_there = inside == PurePosixPath(folder.inside) / path.parent
        return is_there, same, part in map(part_of, inside.parts)

    best = max(map(likeness, files))
    return [file for file in files if likeness(file) == best]


def _path(cell: str) -> PurePosixPath:
    return PurePosixPath(cell.replace("\\", "/"))


def _is_picture(cell: str) -> bool:
    return cell.lower().endswith(SUFFIXES)
