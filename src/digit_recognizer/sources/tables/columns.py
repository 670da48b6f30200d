"""Which columns of a table are pixels, label and id: by their names, or by their number and values.

Names are not fixed: Kaggle has label and pixel0 to pixel783, Fashion-MNIST pixel1 to pixel784, "MNIST in CSV"
1x1 to 28x28, OpenML pixel1 to pixel784 and class, R V1 to V785.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES, PIXELS, SIDE
from digit_recognizer.errors import DigitsError
from digit_recognizer.sources.common import COLOURS, Part, class_of, size_in_words
from digit_recognizer.sources.tables.headers import (
    ID_NAME,
    LABEL_NAME,
    counts_rows,
    is_number,
    is_repaired,
)

LABEL = "label"
PIXEL_COLUMNS = tuple(f"pixel{i}" for i in range(PIXELS))
KAGGLE_HEADER = f"a header line {LABEL},pixel0,…,pixel{PIXELS - 1}"
NUMBER = re.compile(r"\d+")
MAX_NAMES_SHOWN = 3
MOSTLY = 0.5  # of the labels are not 0; of the pixels in a corner nearly all are
TRUTH = {"true": "1", "false": "0"}  # as pandas.get_dummies writes them
MIN_ROWS_OF_INDEX = 11  # ten rows can be the digits 0 to 9 in order


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a table by position.

    Attributes
    ----------
    names
        How messages name each column.
    pixels
        784 columns in the order of the pixels; 785 if the first or the last of them is the label, and the
        values decide which.
    labels
        The column of the label; ten columns, in the order of the digits, if it is one-hot; empty without.
    id
        An index, or the id of an image for a submission; None if there is none.
    notes
        What was assumed.
    """

    names: tuple[str, ...]
    pixels: tuple[int, ...]
    labels: tuple[int, ...] = ()
    id: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def label_is_open(self) -> bool:
        """Whether the values decide if the first or the last column is the label."""
        return len(self.pixels) > PIXELS


def find_layout(
    where: str, header: Sequence[str] | None, sample: Sequence[Sequence[str]], part: Part
) -> Layout:
    """Find the columns of a table from its header, if there is one, and some of its rows.

    Raises
    ------
    DigitsError
        The columns are not those of images of 28×28 pixels, or do not say which is the label.
    """
    if header is None:
        return _without_header(where, sample)
    return _with_header(where, [name.strip() for name in header], sample, part)


def find_label(where: str, cells: NDArray[Any]) -> int:
    """Return which of 785 columns is the label, the first or the last, by their values."""
    first, last = cells[:, 0], cells[:, -1]
    if first.max() >= CLASSES and last.max() >= CLASSES:
        raise DigitsError(
            f"{where}: expected labels 0 to {CLASSES - 1} in the first or the last of {cells.shape[1]} "
            f"columns, found up to {first.max()} and {last.max()}: name the label in a header line"
        )
    if first.max() >= CLASSES or last.max() >= CLASSES:
        return 0 if last.max() >= CLASSES else cells.shape[1] - 1
    if (first != 0).mean() > MOSTLY and (last != 0).mean() > MOSTLY:
        raise DigitsError(
            f"{where}: the first and the last of {cells.shape[1]} columns can both be the label: "
            f"add a header line that names it, {LABEL},pixel0,… or pixel0,…,{LABEL}"
        )
    return 0 if first.any() or not last.any() else cells.shape[1] - 1


def first_names(names: Sequence[str]) -> str:
    """Return some names for an error message, and how many more there are."""
    more = f" and {len(names) - MAX_NAMES_SHOWN:,} more" if len(names) > MAX_NAMES_SHOWN else ""
    return ", ".join(names[:MAX_NAMES_SHOWN]) + more


def _with_header(where: str, names: list[str], sample: Sequence[Sequence[str]], part: Part) -> Layout:
    names, notes = _fit_to_rows(names, sample), list[str]()
    sample = [row for row in sample if len(row) == len(names)]
    if names[1:] == list(PIXEL_COLUMNS) and names[0] == LABEL:  # the competition's own train.csv
        return Layout(tuple(names), tuple(range(1, PIXELS + 1)), (0,))
    if tuple(names) == PIXEL_COLUMNS:  # and its test.csv
        return Layout(tuple(names), tuple(range(PIXELS)))
    one_hot = _one_hot_at_an_end(range(len(names)), sample)
    if not one_hot:
        _check_repeated(where, names)
    labels = one_hot or [at for at, name in enumerate(names) if LABEL_NAME.fullmatch(name)]
    ids = [at for at, name in enumerate(names) if ID_NAME.fullmatch(name) and at not in labels]
    ids += [0] if not names[0] else []
    pixels = _numbered_pixels(names, set(labels))
    if pixels is None and is_repaired(names):
        plain = _without_header(where, sample)
        lost = f"line 1 is a row of pixels that became a header; that image is lost; {'; '.join(plain.notes)}"
        return replace(plain, notes=(lost,))
    if pixels is None:
        _check_missing(where, names)
        blank = {at for at, name in enumerate(names) if not name}
        rest = [at for at in range(len(names)) if at not in {*labels, *ids, *blank}]
        if len(rest) == PIXELS + CLASSES and not labels:
            labels = _one_hot_at_an_end(rest, sample)
            rest = [at for at in rest if at not in labels]
        if len(rest) not in (PIXELS, PIXELS + 1) or (len(rest) > PIXELS and labels):
            _refuse_count(where, len(rest), names)
        pixels = rest
        notes.append(f"the pixels are the columns {names[rest[0]]!r} to {names[rest[-1]]!r} in this order")
    elif [names[at] for at in pixels] != list(PIXEL_COLUMNS):
        notes.append(f"the pixels are the columns {names[pixels[0]]!r} to {names[pixels[-1]]!r}")
    others = [at for at in range(len(names)) if at not in {*pixels, *labels, *ids}]
    return _choose_label(where, names, pixels, labels, ids, others, sample, part, notes)


def _choose_label(
    where: str,
    names: list[str],
    pixels: Sequence[int],
    labels: list[int],
    ids: list[int],
    others: list[int],
    sample: Sequence[Sequence[str]],
    part: Part,
    notes: list[str],
) -> Layout:
    """Choose label and id among the columns that are no pixels."""
    others = [at for at in others if names[at] or any(row[at].strip() for row in sample)]
    if len(labels) not in (0, 1, CLASSES):
        found = " and ".join(repr(names[at]) for at in labels)
        raise DigitsError(f"{where}: the columns {found} can both be the label: remove one or rename it")
    if not labels and len(pixels) == PIXELS:
        labels = _one_hot(others, sample) or _only_label(where, names, others, sample, part)
        others = [at for at in others if at not in labels]
        if not ids and len(others) == 1 and part == "test":
            ids, others = others, []
    if len(labels) == CLASSES:
        labels = _in_order_of_digits(labels, names)
        notes.append(f"the label is one-hot, the columns {names[labels[0]]!r} to {names[labels[-1]]!r}")
    elif labels and names[labels[0]].lower() != LABEL:
        notes.append(f"the label is the column {names[labels[0]]!r}")
    unused = others + (ids[1:] if part == "test" else ids)
    if any(names[at] for at in unused):
        notes.append(f"not used: {first_names([repr(names[at]) for at in unused])}")
    return Layout(
        tuple(name or f"{at + 1}" for at, name in enumerate(names)),
        tuple(pixels),
        tuple(labels),
        ids[0] if ids else None,
        tuple(notes),
    )


def _only_label(
    where: str, names: list[str], others: list[int], sample: Sequence[Sequence[str]], part: Part
) -> list[int]:
    """Return the only column beside the pixels that holds digits, or the only one; none in doubt."""
    candidates = [at for at in others if all(class_of(row[at]) is not None for row in sample)]
    if len(candidates) > 1 and part == "train":
        found = first_names([repr(names[at]) for at in candidates])
        raise DigitsError(f"{where}: the columns {found} can each be the label: name it {LABEL!r}")
    if len(candidates) == 1:
        return candidates
    return others if len(others) == 1 and part == "train" else []


def _one_hot(columns: Sequence[int], sample: Sequence[Sequence[str]]) -> list[int]:
    """Return ten columns of which exactly one is 1 in each row, and the others 0; none for others."""
    rows = [[TRUTH.get(row[at].lower(), row[at]) for at in columns] for row in sample]
    if len(columns) != CLASSES or not all(is_number(cell) for row in rows for cell in row):
        return []
    expected = [0.0] * (CLASSES - 1) + [1.0]
    return list(columns) if rows and all(sorted(map(float, row)) == expected for row in rows) else []


def _one_hot_at_an_end(columns: Sequence[int], sample: Sequence[Sequence[str]]) -> list[int]:
    """Return the first or the last ten columns beside 784 pixels if they are one-hot."""
    if len(columns) != PIXELS + CLASSES:
        return []
    return _one_hot(columns[:CLASSES], sample) or _one_hot(columns[-CLASSES:], sample)


def _in_order_of_digits(labels: list[int], names: Sequence[str]) -> list[int]:
    """Sort ten columns by the digits in their names, if these are 0 to 9."""
    by_digit = {class_of(names[at]): at for at in labels}
    return [by_digit[digit] for digit in range(CLASSES)] if {*range(CLASSES)} <= {*by_digit} else labels


def _without_header(where: str, sample: Sequence[Sequence[str]]) -> Layout:
    width = len(sample[0])
    sample = [row for row in sample if len(row) == width]
    columns = list(range(width))
    if all(not row[-1].strip() for row in sample):
        columns.pop()  # each line ends with a separator
    note, count = f"{len(columns):,} columns without a header", len(columns)
    text = [at for at in columns if count > PIXELS and not any(is_number(row[at]) for row in sample)]
    labels = [at for at in text if all(class_of(row[at]) is not None for row in sample)]
    if count > PIXELS + 1 or labels:  # otherwise a damaged cell could pass for an id
        columns = [at for at in columns if at not in text]
    index = None
    if (
        len(columns) - PIXELS in (1, 2, CLASSES + 1)
        and len(sample) >= MIN_ROWS_OF_INDEX
        and counts_rows([row[columns[0]] for row in sample])
    ):
        index = columns.pop(0)
        note += ": the first counts the rows" if index == 0 else f": column {index + 1} counts the rows"
    if len(labels) == 1:
        note += f": column {labels[0] + 1} is the label"
    elif len(columns) == PIXELS + CLASSES:
        labels = _one_hot_at_an_end(columns, sample)
        columns = [at for at in columns if at not in labels]
        note += f": the {'first' if labels[:1] < columns else 'last'} ten are a one-hot label"
    elif len(columns) == PIXELS and index is None:
        note += ": all are pixels" if count == PIXELS else f": {PIXELS} are pixels"
    if len(labels) not in (0, 1, CLASSES) or len(columns) - PIXELS not in (0, 0 if labels else 1):
        _refuse_count(where, count, None)
    names = tuple(f"{at + 1}" for at in range(width))
    return Layout(names, tuple(columns), tuple(labels), index, (note,))


def _fit_to_rows(names: list[str], sample: Sequence[Sequence[str]]) -> list[str]:
    """Add the name of row names, which R's write.table leaves out, or of nothing after a last separator."""
    if sample and all(len(row) == len(names) + 1 for row in sample) and len(names) >= PIXELS:
        return [*names, ""] if all(not row[-1].strip() for row in sample) else ["", *names]
    return names


def _numbered_pixels(names: Sequence[str], labels: set[int]) -> list[int] | None:
    """Return the 784 columns whose names count the pixels, in their order; 785 if the label is among them."""
    groups: dict[str, list[int]] = defaultdict(list)
    for at, name in enumerate(names):
        if at not in labels and NUMBER.search(name):
            groups[NUMBER.sub("#", name)].append(at)
    for group in groups.values():
        numbers = [tuple(map(int, NUMBER.findall(names[at]))) for at in group]
        order = sorted(range(len(group)), key=numbers.__getitem__)
        ordered = [numbers[at] for at in order]
        if ordered in _countings(len(group)) and (len(group) == PIXELS or not labels):
            return [group[at] for at in order]
    return None


def _countings(count: int) -> list[list[tuple[int, ...]]]:
    """Return the ways to number the pixels: from 0, from 1, and by row and column."""
    if count not in (PIXELS, PIXELS + 1):
        return []
    numbered: list[list[tuple[int, ...]]] = [[(number + base,) for number in range(count)] for base in (0, 1)]
    grids: list[list[tuple[int, ...]]] = [
        [(i + base, j + base) for i in range(SIDE) for j in range(SIDE)] for base in (0, 1)
    ]
    return [*numbered, *grids]


def _check_repeated(where: str, names: Sequence[str]) -> None:
    repeated = [name for name, times in Counter(names).items() if times > 1 and name]
    if repeated:
        raise DigitsError(
            f"{where}: expected each column once, found more than once: {first_names(repeated)}"
        )


def _check_missing(where: str, names: Sequence[str]) -> None:
    """Refuse a table with some of the competition's pixels only."""
    present = set(names)
    missing = [name for name in PIXEL_COLUMNS if name not in present]
    if len(missing) < PIXELS and f"pixel{PIXELS}" not in present:
        count = len(names) - len(
            [name for name in names if LABEL_NAME.fullmatch(name) or ID_NAME.fullmatch(name)]
        )
        found = f"found {count:,} columns of pixels{size_in_words(count)}; "
        raise DigitsError(
            f"{where}: expected {KAGGLE_HEADER}; {found}these columns are missing: {first_names(missing)}"
        )


def _refuse_count(where: str, count: int, names: Sequence[str] | None) -> None:
    beside = (0,) if names else (0, 1, CLASSES)  # a label or ten one-hot columns
    size = next(filter(None, (size_in_words(count - labels) for labels in beside)), "")
    plural = "" if count == 1 else "s"
    found = f"found {count:,} column{plural}{' of pixels' if size and names else ''}{size}"
    if count == COLOURS * PIXELS:
        advice = ": take the mean of the three colours"
    elif size:
        advice = f": resize the images to {SIDE}×{SIDE}, or save them as pictures in folders 0 to 9"
    elif count <= MAX_NAMES_SHOWN and names is not None:
        found_names = first_names([repr(name) for name in names])
        advice = f" ({found_names}): for a list of pictures, name the columns file and {LABEL}"
    elif count < MAX_NAMES_SHOWN:
        advice = ": is this the file of the digits, and are its columns separated by commas?"
    else:
        advice = f": name the {PIXELS} columns of pixels pixel0 to pixel{PIXELS - 1}, and the label {LABEL!r}"
    raise DigitsError(f"{where}: expected {PIXELS} columns of pixels ({SIDE}×{SIDE}), {found}{advice}")
