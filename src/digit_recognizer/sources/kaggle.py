"""The files of Kaggle's competitions: where their tables are, and the submission.

https://www.kaggle.com/competitions/digit-recognizer/data describes those of "Digit Recognizer".
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES, PIXELS, Digits, Predictions
from digit_recognizer.errors import DigitsError
from digit_recognizer.files import replacing, write_text
from digit_recognizer.sources.common import Loaded, Part, part_of
from digit_recognizer.sources.folders import File, Folder
from digit_recognizer.sources.tables.columns import LABEL, PIXEL_COLUMNS
from digit_recognizer.sources.tables.csv_text import is_wide_table

ARCHIVE = "digit-recognizer.zip"  # the name of Kaggle's download
TABLE_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".csv.bz2", ".csv.xz", ".csv.zip")
SAMPLE_WORDS = ("sample", "submission")  # in the names of files that are no digits


@dataclass(frozen=True, slots=True)
class SubmissionForm:
    """The columns and ids of a submission.

    Attributes
    ----------
    columns
        The names of the two columns.
    ids
        A text for each image; None for 1 to N.
    """

    columns: tuple[str, str] = ("ImageId", "Label")
    ids: tuple[str, ...] | None = None


DEFAULT_FORM = SubmissionForm()


def find_table(folder: Folder, part: Part) -> File | None:
    """Return the file in a folder that contains a part as a table; None without one.

    It has the competition's name, or is the only one that names the part and has enough columns.
    """
    files = folder.files()
    for name in (*exact_names(part), ARCHIVE):
        if name in files:
            return folder.file(name)
    named = [
        folder.file(name)
        for name in files
        if name.lower().endswith(TABLE_SUFFIXES) and part_of(name) == part and not is_sample(name)
    ]
    wide = [file for file in named if file.name.lower().endswith(".zip") or is_wide_table(file)]
    if len(wide) > 1:
        names = ", ".join(file.name for file in wide)
        raise DigitsError(
            f"{folder} contains several tables of the {part} part ({names}): name the file to load"
        )
    return wide[0] if wide else None


def exact_names(part: Part) -> tuple[str, ...]:
    """Return the competition's names of a part."""
    return (f"{part}.csv", f"{part}.csv.gz", f"{part}.csv.zip")


def find_only_table(folder: Folder) -> File | None:
    """Return the only wide table in a folder, whatever its name."""
    names = [name for name in folder.files() if name.lower().endswith(TABLE_SUFFIXES) and not is_sample(name)]
    if len(names) == 1:
        return folder.file(names[0])
    wide = [folder.file(name) for name in names if is_wide_table(folder.file(name))]
    if len(wide) > 1:
        names = [file.name for file in wide]
        raise DigitsError(f"{folder} contains several tables ({', '.join(names)}): name the file to load")
    return wide[0] if wide else None


def submission_form(loaded: Loaded, folder: Folder | None) -> SubmissionForm:
    """Return the form of a submission for a test part: of its sample_submission.csv, and of its ids."""
    sample = None if folder is None else _read_sample(folder)
    columns, sample_ids = sample or (DEFAULT_FORM.columns, ())
    if sample is None and loaded.id_name:
        columns = (loaded.id_name, LABEL if loaded.id_name.islower() else LABEL.capitalize())
    ids = loaded.ids if loaded.id_name or not sample_ids else None
    if ids is None and len(sample_ids) == len(loaded.digits):
        ids = sample_ids
    return SubmissionForm(columns, ids)


def _read_sample(folder: Folder) -> tuple[tuple[str, str], tuple[str, ...]] | None:
    """Return the two columns and the ids of the sample of a submission in a folder."""
    names = [name for name in folder.files() if is_sample(name) and name.lower().endswith(".csv")]
    if len(names) != 1:
        return None
    try:
        with folder.file(names[0]).open_unpacked() as stream:
            rows = [row for row in csv.reader(io.TextIOWrapper(stream, encoding="utf-8-sig")) if row]
    except (UnicodeError, csv.Error):
        return None
    if not rows or any(len(row) != 2 for row in rows):
        return None
    return (rows[0][0], rows[0][1]), tuple(row[0] for row in rows[1:])


def is_sample(name: str) -> bool:
    """Return whether a file is a sample of a submission by its name, so it holds no digits."""
    return any(word in name.lower() for word in SAMPLE_WORDS)


def write_submission(labels: NDArray[np.int64], target: Path, form: SubmissionForm = DEFAULT_FORM) -> None:
    """Write predicted labels as the submission.csv that a competition scores.

    Parameters
    ----------
    labels
        Integers, shape (N,), each 0 to 9, in the order of the images of test.csv.
    target
        The file to write: a line ``ImageId,Label``, then ``1,…`` to ``N,…``.
    form
        Other columns and ids.

    Raises
    ------
    DigitsError
        The labels have another shape or range, or the file cannot be written.
    """
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not np.isin(labels, range(CLASSES)).all():
        raise DigitsError(f"expected labels 0 to 9 of shape (N,), got {labels.dtype} {labels.shape}")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(form.columns)
    writer.writerows(zip(_ids(form, len(labels)), labels.tolist(), strict=True))
    write_text(target, text.getvalue())


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


def write_probabilities(predictions: Predictions, target: Path, form: SubmissionForm = DEFAULT_FORM) -> None:
    """Write the probabilities that a submission was made from as an .npz archive.

    Parameters
    ----------
    predictions
        Of N images, in the order of test.csv.
    target
        The file to write: arrays ``image_ids``, int64 (N,), 1 to N, and ``probabilities``, float32 (N, 10).
    form
        Other ids; text if they are no integers.

    Raises
    ------
    DigitsError
        The file cannot be written.
    """
    ids = _ids(form, len(predictions))
    numeric = all(text.isdecimal() for text in ids)
    image_ids = np.array([int(text) for text in ids], np.int64) if numeric else np.array(ids, np.str_)
    with replacing(target) as path, path.open("wb") as file:
        np.savez(file, image_ids=image_ids, probabilities=predictions.probabilities)


def _ids(form: SubmissionForm, count: int) -> Sequence[str]:
    if form.ids is None:
        return [str(number) for number in range(1, count + 1)]
    if len(form.ids) != count:
        raise DigitsError(f"expected an id for each of {count:,} images, got {len(form.ids):,}")
    return form.ids
