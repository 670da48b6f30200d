"""Which rows of the digits a run trains on, and which it holds out."""

from __future__ import annotations

import base64
import hashlib
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.files import replacing
from digit_recognizer.runs.environment import DataDescription, Environment
from digit_recognizer.runs.run_folder import FOLD, VALIDATION

Rows = NDArray[np.int64]
MAX_MASK_BYTES = 1 << 24  # of `pack_rows`, a bit for each image: more than any set of digits has


@dataclass(frozen=True, slots=True, eq=False)
class DataSplit:
    """Rows of the digits, each int64, sorted and counted from 0.

    Attributes
    ----------
    training
        Shape (N,): the images to train on.
    validation
        Shape (M,): the images to evaluate each epoch on, for the history and for early stopping.
    fold
        Shape (K,): in cross-validation, the images that only the finished run is evaluated on; otherwise
        None.
    """

    training: Rows
    validation: Rows
    fold: Rows | None = None

    @property
    def held_out(self) -> Rows:
        """All rows that are not trained on."""
        return self.validation if self.fold is None else np.concatenate([self.validation, self.fold])

    def write(self, folder: Path) -> None:
        """Write the rows that are held out; raise `DigitsError` if that fails."""
        _write_rows(folder / VALIDATION, self.validation)
        if self.fold is not None:
            _write_rows(folder / FOLD, self.fold)


def read_split(folder: Path, environment: Environment, images: int) -> DataSplit:
    """Return the split of a run's `images` digits; raise `DigitsError` if its files are damaged."""
    data = environment.data
    validation = _read_rows(folder / VALIDATION, data.held_out_sha256)
    fold = None if data.fold_sha256 is None else _read_rows(folder / FOLD, data.fold_sha256)
    split = DataSplit(np.arange(images), validation, fold)
    return replace(split, training=np.setdiff1d(split.training, split.held_out))


def held_out_rows(folder: Path, environment: Environment, digits: Digits) -> Rows | None:
    """Return the rows of a run's own digits to evaluate it on; None if `digits` are not the run's.

    In cross-validation these are the fold's, otherwise those held out for validation; there may be none.
    """
    if environment.data.sha256 != digits.sha256():
        return None
    return evaluation_rows(read_split(folder, environment, len(digits)))


def evaluation_rows(split: DataSplit) -> Rows:
    """Return the rows to evaluate the finished run on: the fold's, otherwise those of validation."""
    return split.validation if split.fold is None else split.fold


def pack_rows(rows: Rows) -> str:
    """Return row numbers as text for the metadata of a model: a bit for each image, compressed."""
    mask = np.zeros(int(rows.max(initial=-1)) + 1, bool)
    mask[rows] = True
    return base64.b64encode(zlib.compress(np.packbits(mask).tobytes(), 9)).decode("ascii")


def unpack_rows(text: str) -> Rows:
    """Return the rows that `pack_rows` packed, sorted; raise `ValueError` if the text is damaged."""
    unpacker = zlib.decompressobj()
    try:
        packed = unpacker.decompress(base64.b64decode(text, validate=True), MAX_MASK_BYTES)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not unpacker.eof:
        raise ValueError("incomplete or too long")
    return np.flatnonzero(np.unpackbits(np.frombuffer(packed, np.uint8))).astype(np.int64)


def describe_data(digits: Digits, split: DataSplit, source: str) -> DataDescription:
    """Return the entry ``data`` of ``environment.json``."""
    return DataDescription(
        source=source,
        sha256=digits.sha256(),
        held_out_sha256=checksum_of_rows(split.validation),
        images=len(digits),
        held_out=len(split.validation),
        images_per_digit=tuple(digits.counts().tolist()),
        fold_sha256=None if split.fold is None else checksum_of_rows(split.fold),
    )


def checksum_of_rows(rows: Rows) -> str:
    """Return a checksum of row numbers, for the run's environment."""
    return hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()


def _read_rows(path: Path, checksum: str) -> Rows:
    try:
        rows = np.load(path, allow_pickle=False)
    except Exception as error:  # numpy raises many kinds of errors for a damaged header
        raise DigitsError(f"{path} is damaged or cannot be read: {error}") from error
    if not isinstance(rows, np.ndarray):
        raise DigitsError(f"{path} is damaged: expected a single array")
    if rows.dtype != np.int64 or rows.ndim != 1:
        raise DigitsError(f"{path} is damaged: expected int64 of shape (M,), found {rows.dtype} {rows.shape}")
    if checksum_of_rows(rows) != checksum:
        raise DigitsError(f"{path} is damaged: these are not the rows that the run held out")
    return rows


def _write_rows(path: Path, rows: Rows) -> None:
    with replacing(path) as partial, partial.open("wb") as file:
        np.save(file, rows, allow_pickle=False)
