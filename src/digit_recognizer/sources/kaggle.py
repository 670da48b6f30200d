"""The files of the Kaggle competition "Digit Recognizer": its archive in, submission.csv out.

https://www.kaggle.com/competitions/digit-recognizer/data describes them.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES, PIXELS, Digits, Predictions
from digit_recognizer.errors import DigitsError
from digit_recognizer.files import replacing, write_text
from digit_recognizer.sources.common import Part
from digit_recognizer.sources.kaggle_csv import LABEL, PIXEL_COLUMNS, CsvTable, first_names, read_csv
from digit_recognizer.sources.streams import (
    member_names,
    member_path,
    open_member,
    open_raw,
    open_unpacked,
    open_zip,
)

ARCHIVE = "digit-recognizer.zip"  # the name of Kaggle's download


def load_archive(archive: ZipFile, part: Part) -> Digits:
    """Load one part of the competition's archive, or the only CSV of any zip archive."""
    tables = [name for name in member_names(archive) if PurePosixPath(name).suffix.lower() == ".csv"]
    wanted = [name for name in tables if PurePosixPath(name).name.lower() == f"{part}.csv"]
    found = wanted[:1] or (tables if len(tables) == 1 else [])
    if not found:
        contents = first_names(tables) if tables else "no CSV"
        raise DigitsError(f"{archive.filename}: expected a member {part}.csv, found {contents}")
    return read_csv(CsvTable(member_path(archive, found[0]), partial(open_member, archive, found[0])), part)


def load_csv_file(path: Path, part: Part) -> Digits:
    """Load a CSV file, plain or gzip, which is either part."""
    return read_csv(CsvTable(str(path), partial(open_unpacked, path)), part)


def load_folder(folder: Path, part: Part) -> Digits:
    """Load one part from a folder with the CSV files, plain or compressed, or with the archive."""
    found = find_table(folder, part)
    if found is None:
        raise DigitsError(f"{folder}: expected {part}.csv, {part}.csv.gz, {part}.csv.zip or {ARCHIVE}")
    if found.suffix != ".zip":
        return load_csv_file(found, part)
    with open_raw(found) as file, open_zip(file) as archive:
        return load_archive(archive, part)


def find_table(folder: Path, part: Part) -> Path | None:
    """Return the file in a folder that contains a part in the competition's format; None without one."""
    names = (f"{part}.csv", f"{part}.csv.gz", f"{part}.csv.zip", ARCHIVE)
    return next((folder / name for name in names if (folder / name).is_file()), None)


def is_csv(path: Path) -> bool:
    """Return whether a file is a CSV by its name, or by the start of the competition's header."""
    if path.name.lower().removesuffix(".gz").endswith(".csv"):
        return True
    with open_unpacked(path) as stream:
        return b"pixel0" in stream.read(64)


def write_submission(labels: NDArray[np.int64], target: Path) -> None:
    """Write predicted labels as the submission.csv that the competition scores.

    Parameters
    ----------
    labels
        Integers, shape (N,), each 0 to 9, in the order of the images of test.csv.
    target
        The file to write: a line ``ImageId,Label``, then ``1,…`` to ``N,…``.

    Raises
    ------
    DigitsError
        The labels have another shape or range, or the file cannot be written.
    """
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not np.isin(labels, range(CLASSES)).all():
        raise DigitsError(f"expected labels 0 to 9 of shape (N,), got {labels.dtype} {labels.shape}")
    rows = (f"{number},{label}" for number, label in enumerate(labels.tolist(), start=1))
    write_text(target, "\n".join(["ImageId,Label", *rows]) + "\n")


def write_training_csv(digits: Digits, target: Path) -> None:
    """Write labelled digits in the format of the competition's train.csv.

    Parameters
    ----------
    digits
        With labels.
    target
        The file to write: a line ``label,pixel0,…``, then a row for each image.

    Raises
    ------
    DigitsError
        The digits have no labels, or the file cannot be written.
    """
    if digits.labels is None:
        raise DigitsError(f"cannot write {target}: the digits have no labels")
    table = np.column_stack([digits.labels, digits.images.reshape(len(digits), PIXELS)])
    rows = (",".join(map(str, row)) for row in table.tolist())
    write_text(target, "\n".join([",".join((LABEL, *PIXEL_COLUMNS)), *rows]) + "\n")


def write_probabilities(predictions: Predictions, target: Path) -> None:
    """Write the probabilities that a submission was made from as an .npz archive.

    Parameters
    ----------
    predictions
        Of N images, in the order of test.csv.
    target
        The file to write: arrays ``image_ids``, int64 (N,), 1 to N, and ``probabilities``, float32 (N, 10).

    Raises
    ------
    DigitsError
        The file cannot be written.
    """
    image_ids = np.arange(1, len(predictions) + 1, dtype=np.int64)
    with replacing(target) as path, path.open("wb") as file:
        np.savez(file, image_ids=image_ids, probabilities=predictions.probabilities)
