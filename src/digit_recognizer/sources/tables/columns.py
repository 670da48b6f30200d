"""Which columns of a table are pixels, label and id: by their names, or by their number and values.

Names are not fixed: Kaggle has label and pixel0 to pixel783, Fashion-MNIST pixel1 to pixel784, "MNIST in CSV"
1x1 to 28x28, OpenML pixel1 to pixel784 and class, R V1 to V785.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from digit_recognizer.digits import CLASSES, PIXELS, SIDE
from digit_recognizer.errors import DigitsError
from digit_recognizer.sources.common import COLOURS, Part, size_in_words

LABEL = "label"
PIXEL_COLUMNS = tuple(f"pixel{i}" for i in range(PIXELS))
KAGGLE_HEADER = f"a header line {LABEL},pixel0,…,pixel{PIXELS - 1}"
LABEL_NAMES = frozenset(
    [
        "label",
        "labels",
        "class",
        "classes",
        "class_label",
        "target",
        "targets",
        "y",
        "digit",
        "digits",
        "category",
        "number",
        "ground_truth",
        "true_label",
        "label_id",
        "labelid",
    ]
)
ID_NAMES = frozenset(
    [
        "id",
        "ids",
        "index",
        "idx",
        "imageid",
        "image_id",
        "image-id",
        "rowid",
        "row_id",
        "row",
        "row_names",
        "rownames",
        "key",
        "uid",
        "uuid",
        "filename",
        "file",
        "name",
        "path",
        "no",
        "nr",
        "#",
        "image",
    ]
)
UNNAMED = "unnamed:"  # what pandas calls columns without a name
NUMBER = re.compile(r"\d+")
MAX_NAMES_SHOWN = 3
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
    label, id
        None if there is none; an `id` is an index, or the id of an image for a submission.
    notes
        What was assumed.
    """

    names: tuple[str, ...]
    pixels: tuple[int, ...]
    label: int | None = None
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
        return _without_header(where, sample, part)
    return _with_header(where, [name.strip() for name in header], sample, part)


def first_names(names: Sequence[str]) -> str:
    """Return some names for an error message, and how many more there are."""
    more = f" and {len(names) - MAX_NAMES_SHOWN:,} more" if len(names) > MAX_NAMES_SHOWN else ""
    return ", ".join(names[:MAX_NAMES_SHOWN]) + more


def is_header(cells: Sequence[str]) -> bool:
    """Return whether cells are names of columns: mostly no numbers, or numbers that count the columns."""
    numbers = [cell for cell in cells if is_number(cell)]
    if 2 * len(numbers) <= len(cells):
        return True
    return _is_count(numbers) or _is_repaired(numbers)


def is_number(text: str) -> bool:
    """Return whether a cell is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_count(numbers: Sequence[str]) -> bool:
    """Return whether numbers go up one by one, far above the largest pixel."""
    values = [float(number) for number in numbers]
    steps = sum(after - before == 1 for before, after in pairwise(values))
    return len(values) >= PIXELS and steps >= len(values) - 2  # a label may stand before or after


def _is_repaired(numbers: Sequence[str]) -> bool:
    """Return whether numbers are what pandas makes of a row of pixels as a header (0, 0.1, 0.2)."""
    return sum("." in number for number in numbers) > len(numbers) / 2 and len(set(numbers)) == len(numbers)


def _with_header(where: str, names: list[str], sample: Sequence[Sequence[str]], part: Part) -> Layout:
    names, notes = _fit_to_rows(names, sample), list[str]()
    sample = [row for row in sample if len(row) == len(names)]
    if names[1:] == list(PIXEL_COLUMNS) and names[0] == LABEL:  # the competition's own train.csv
        return Layout(tuple(names), tuple(range(1, PIXELS + 1)), 0)
    if tuple(names) == PIXEL_COLUMNS:  # and its test.csv
        return Layout(tuple(names), tuple(range(PIXELS)))
    _check_repeated(where, names)
    lowered = [name.lower() for name in names]
    labels = [at for at, name in enumerate(lowered) if name in LABEL_NAMES]
    ids = [at for at, name in enumerate(lowered) if name in ID_NAMES or name.startswith(UNNAMED)]
    ids += [0] if not names[0] else []
    pixels = _numbered_pixels(names, set(labels))
    if pixels is None and _is_repaired([name for name in names if is_number(name)]):
        plain = _without_header(where, sample, part)
        lost = f"line 1 is a row of pixels that became a header; that image is lost; {'; '.join(plain.notes)}"
        return Layout(plain.names, plain.pixels, plain.label, plain.id, (lost,))
    if pixels is None:
        _check_missing(where, names)
        blank = {at for at, name in enumerate(names) if not name}
        rest = [at for at in range(len(names)) if at not in {*labels, *ids, *blank}]
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
    if len(labels) > 1:
        found = " and ".join(repr(names[at]) for at in labels)
        raise DigitsError(f"{where}: the columns {found} can both be the label: remove one or rename it")
    if not labels and len(pixels) == PIXELS:
        candidates = [at for at in others if all(_is_digit(row[at]) for row in sample)]
        if len(candidates) > 1 and part == "train":
            found = first_names([repr(names[at]) for at in candidates])
            raise DigitsError(f"{where}: the columns {found} can each be the label: name it {LABEL!r}")
        if len(candidates) == 1 or (len(others) == 1 and part == "train"):
            labels = candidates[:1] or others
            others = [at for at in others if at not in labels]
        if not ids and len(others) == 1 and part == "test":
            ids, others = others, []
    if labels and names[labels[0]].lower() != LABEL:
        notes.append(f"the label is the column {names[labels[0]]!r}")
    unused = others + (ids[1:] if part == "test" else ids)
    if any(names[at] for at in unused):
        notes.append(f"not used: {first_names([repr(names[at]) for at in unused])}")
    return Layout(
        tuple(name or f"{at + 1}" for at, name in enumerate(names)),
        tuple(pixels),
        labels[0] if labels else None,
        ids[0] if ids else None,
        tuple(notes),
    )


def _without_header(where: str, sample: Sequence[Sequence[str]], part: Part) -> Layout:
    columns = list(range(len(sample[0])))
    if all(len(row) == len(columns) and not row[-1].strip() for row in sample):
        columns.pop()  # each line ends with a separator
    names = tuple(f"{at + 1}" for at in range(len(sample[0])))
    counts_rows = len(sample) >= MIN_ROWS_OF_INDEX and _counts_rows(sample)
    unnamed = f"{len(columns):,} columns without a header"
    if len(columns) == PIXELS:
        return Layout(names, tuple(columns), notes=(f"{unnamed}: all are pixels",))
    if len(columns) == PIXELS + 1 and counts_rows:
        return Layout(names, tuple(columns[1:]), id=0, notes=(f"{unnamed}: the first counts the rows",))
    if len(columns) == PIXELS + 1:
        return Layout(names, tuple(columns), notes=(unnamed,))
    if len(columns) == PIXELS + 2 and counts_rows:
        return Layout(names, tuple(columns[1:]), id=0, notes=(f"{unnamed}: the first counts the rows",))
    _refuse_count(where, len(columns), None)
    raise AssertionError(part)


def _counts_rows(sample: Sequence[Sequence[str]]) -> bool:
    """Return whether the first cells of all rows go up one by one."""
    cells = [row[0] for row in sample]
    if not all(is_number(cell) for cell in cells):
        return False
    values = [float(cell) for cell in cells]
    return all(after - before == 1 for before, after in pairwise(values))


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
        count = len(names) - len([name for name in names if name.lower() in LABEL_NAMES | ID_NAMES])
        found = f"found {count:,} columns of pixels{size_in_words(count)}; "
        raise DigitsError(
            f"{where}: expected {KAGGLE_HEADER}; {found}these columns are missing: {first_names(missing)}"
        )


def _refuse_count(where: str, count: int, names: Sequence[str] | None) -> None:
    size = size_in_words(count) or (size_in_words(count - 1) if names is None else "")
    found = f"found {count:,} columns{' of pixels' if size and names else ''}{size}"
    if count == COLOURS * PIXELS:
        advice = ": take the mean of the three colours"
    elif size:
        advice = f": resize the images to {SIDE}×{SIDE}, or save them as pictures in folders 0 to 9"
    elif count <= MAX_NAMES_SHOWN and names is not None:
        advice = (
            f" ({first_names([repr(name) for name in names])}): a list of files is not read; "
            "put the pictures into folders named 0 to 9"
        )
    elif count < MAX_NAMES_SHOWN:
        advice = ": is this the file of the digits, and are its columns separated by commas?"
    else:
        advice = f": name the {PIXELS} columns of pixels pixel0 to pixel{PIXELS - 1}, and the label {LABEL!r}"
    raise DigitsError(f"{where}: expected {PIXELS} columns of pixels ({SIDE}×{SIDE}), {found}{advice}")


def _is_digit(cell: str) -> bool:
    return is_number(cell) and float(cell) in range(CLASSES)
