"""The parts of a report as plain values: sections of blocks, which the page's template lays out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A figure, on the page and as files."""

    name: str  # of its files, without number and suffix
    title: str
    caption: str  # what to see in it, and the units
    alt: str  # what it shows, for readers who cannot see it
    draw: Callable[[], Figure]  # must be picklable: a helper process may call it
    on_page: bool = True  # otherwise it is only written as files


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence in place of something that cannot be shown, or a warning."""

    title: str
    text: str
    wide: bool = False  # as wide as the page, otherwise half of it


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of texts; the first cell of a row is its heading."""

    title: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: frozenset[int] = field(default_factory=frozenset)  # columns that are aligned right
    wide: bool = True  # as wide as the page, otherwise half of it


@dataclass(frozen=True, slots=True)
class Headline:
    """The most important number, and what it means."""

    number: str
    text: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and values."""

    title: str
    rows: Sequence[tuple[str, str]]
    wide: bool = True  # as wide as the page, otherwise half of it


@dataclass(frozen=True, slots=True)
class Command:
    """A command line to type."""

    title: str
    line: str


@dataclass(frozen=True, slots=True, eq=False)
class ConfusionTable:
    """A confusion matrix whose cells show their images.

    `images` and `rows` have an entry for each cell (label, answer) that is not empty.
    """

    title: str
    caption: str
    confusion: NDArray[np.int64]  # (10, 10): a row for each label, a column for each answer
    images: Mapping[tuple[int, int], NDArray[np.uint8]]  # (K, 28, 28), K at least 1
    rows: Mapping[tuple[int, int], NDArray[np.int64]]  # (K,): where these images are in their source


Block = Picture | Note | Table | Headline | Facts | Command | ConfusionTable


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """A chapter of a report."""

    name: str  # its id on the page
    title: str
    lead: str  # a paragraph below the title
    blocks: Sequence[Block]
