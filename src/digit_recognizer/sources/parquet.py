"""Parquet and Arrow: pictures and labels, as Hugging Face publishes MNIST, or a column for each pixel."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import PIXELS, SIDE
from digit_recognizer.errors import DigitsError
from digit_recognizer.imaging import decode
from digit_recognizer.sources.common import (
    SINGLE_DIGIT,
    Loaded,
    Options,
    import_optional,
    make_digits,
    note,
    part_of,
    to_images,
    to_labels,
)
from digit_recognizer.sources.folders import File, Folder
from digit_recognizer.sources.tables.columns import find_layout
from digit_recognizer.sources.tables.headers import LABEL_NAME

ARROW_MAGIC = b"ARROW1"  # of Arrow's file format, which is Feather's; datasets writes the stream format
SUFFIXES = (".parquet", ".pq", ".arrow", ".feather")
CACHE_PREFIX = "cache-"  # what datasets leaves beside its data
NUMBERS = re.compile(r"\d+")
SAMPLE_ROWS = 50
EXPECTED = "a column image of pictures and a column label, or 784 columns of pixels"


def find_tables(folder: Folder, options: Options) -> list[File]:
    """Return the Parquet or Arrow files of a part in a folder, in the order of their names."""
    names = [
        name
        for name in folder.files()
        if name.lower().endswith(SUFFIXES) and not name.startswith(CACHE_PREFIX)
    ]
    of_part = [name for name in names if part_of(name) == options.part]
    are_shards = len({NUMBERS.sub("#", name) for name in names}) == 1  # data-00000-of-00002.arrow
    return [folder.file(name) for name in of_part or (names if are_shards else [])]


def load_tables(files: list[File], options: Options) -> Loaded:
    """Load and join the files of one part."""
    loaded = [_load(file, options) for file in files]
    images = np.concatenate([images for images, _ in loaded])
    labels = [labels for _, labels in loaded if labels is not None]
    joined = np.concatenate(labels) if len(labels) == len(loaded) else None
    name = str(files[0]) if len(files) == 1 else str(files[0].folder)
    return Loaded(make_digits(name, images, joined))


def _load(file: File, options: Options) -> tuple[NDArray[np.uint8], NDArray[np.int64] | None]:
    pyarrow = import_optional("pyarrow", extra="parquet")
    parquet, ipc = (import_optional(f"pyarrow.{name}", extra="parquet") for name in ("parquet", "ipc"))
    with file.open() as stream:
        content = stream.read()
    is_arrow = content.startswith(ARROW_MAGIC) or file.name.lower().endswith(".arrow")
    read_arrow = ipc.open_file if content.startswith(ARROW_MAGIC) else ipc.open_stream
    source = pyarrow.BufferReader(content)
    try:
        table = read_arrow(source).read_all() if is_arrow else parquet.read_table(source)
    except Exception as error:  # pyarrow has its own, which differ between versions
        kind = "Arrow" if is_arrow else "Parquet"
        raise DigitsError(f"{file} is damaged or no {kind} file ({error}): download it again") from error
    names = list(table.column_names)
    pictures = [name for name in names if _holds_images(table, name)]
    if not pictures:
        return _load_pixels(file, table, options)
    if len(pictures) > 1:
        raise DigitsError(f"{file}: the columns {', '.join(pictures)} can all be the images: keep one")
    images = _to_images(f"{file}, column {pictures[0]}", table[pictures[0]].to_pylist(), options)
    found = [name for name in names if LABEL_NAME.fullmatch(name)]
    if not found and len(names) == 2:
        found = [name for name in names if name != pictures[0]]
        note(f"{file}: the label is the column {found[0]}")
    labels = to_labels(f"{file}, column {found[0]}", np.array(table[found[0]].to_pylist())) if found else None
    return images, labels


def _holds_images(table: Any, name: str) -> bool:
    """Return whether a column holds pictures or lists of pixels: its type is nested or binary."""
    kind = str(table.schema.field(name).type)
    return kind.startswith(
        ("struct<bytes", "binary", "large_binary", "list", "large_list", "fixed_size_list")
    )


def _to_images(where: str, cells: list[Any], options: Options) -> NDArray[np.uint8]:
    if cells and isinstance(cells[0], list):
        try:
            return to_images(where, np.array(cells))
        except ValueError as error:  # rows of different lengths
            raise DigitsError(f"{where}: expected {PIXELS} pixels in each row: {error}") from error
    digit_image = import_optional(SINGLE_DIGIT, "parquet").digit_image
    images = []
    for at, cell in enumerate(cells):
        content = cell.get("bytes") if isinstance(cell, dict) else cell
        if content is None:
            raise DigitsError(f"{where}, row {at + 1}: expected a picture, found only its name or nothing")
        images.append(digit_image(decode(content, f"{where}, row {at + 1}")))
        if options.on_progress is not None:
            options.on_progress((at + 1) / len(cells))
    return np.stack(images) if images else np.empty((0, SIDE, SIDE), np.uint8)


def _load_pixels(
    file: File, table: Any, options: Options
) -> tuple[NDArray[np.uint8], NDArray[np.int64] | None]:
    """Load a table with a column for each pixel."""
    names = list(table.column_names)
    rows = table.slice(0, SAMPLE_ROWS).to_pylist()
    if len(names) < PIXELS:
        raise DigitsError(f"{file}: expected {EXPECTED}, found {', '.join(names[:5])}")
    layout = find_layout(str(file), names, [[str(row[name]) for name in names] for row in rows], options.part)
    for text in layout.notes:
        note(f"{file}: {text}")
    labels, pixels = layout.labels, layout.pixels
    if layout.label_is_open:
        labels, pixels = pixels[:1], pixels[1:]
        note(f"{file}: the label is the first column, {names[labels[0]]}")
    images = to_images(str(file), _stack(table, pixels))
    if not labels:
        return images, None
    where = f"{file}, column {names[labels[0]]}"
    return images, to_labels(where, _stack(table, labels))


def _stack(table: Any, columns: Sequence[int]) -> NDArray[Any]:
    return np.stack([table.column(at).to_numpy() for at in columns], axis=1)
