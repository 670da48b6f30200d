"""What a report is made of: sections of blocks, as plain values that the page's template lays out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A figure.

    Attributes
    ----------
    name
        Of its files, without ending.
    title, caption
        What it is; what to see in it, and in which units.
    alt
        What it shows, for who cannot see it.
    draw
        Makes the drawing; it can be pickled, for another process may be the one that draws.
    shown
        Whether it stands on the page; else it is a file only.
    """

    name: str
    title: str
    caption: str
    alt: str
    draw: Callable[[], Figure]
    shown: bool = True


@dataclass(frozen=True, slots=True)
class Note:
    """Why something cannot be shown, in a sentence."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of words; the first column names the row, those in `numbers` stand on the right of their cells.

    A table that is not `wide` takes half of the page.
    """

    title: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: frozenset[int] = field(default_factory=frozenset)
    wide: bool = True


@dataclass(frozen=True, slots=True)
class Headline:
    """The one figure that matters most, and what it says."""

    figure: str
    text: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and values, over the whole page or half of it."""

    title: str
    rows: Sequence[tuple[str, str]]
    wide: bool = True


@dataclass(frozen=True, slots=True)
class Command:
    """A line to type."""

    title: str
    line: str


@dataclass(frozen=True, slots=True, eq=False)
class ConfusionTable:
    """A confusion matrix whose cells show their images.

    Attributes
    ----------
    confusion
        int64, shape (10, 10): digits shown in rows, answered in columns.
    images
        For some cells (row, column) their images: uint8 (K, 28, 28), K at least 1.
    rows
        For the same cells the row of each image in its source.
    """

    title: str
    caption: str
    confusion: NDArray[np.int64]
    images: Mapping[tuple[int, int], NDArray[np.uint8]]
    rows: Mapping[tuple[int, int], NDArray[np.int64]]


Block = Picture | Note | Table | Headline | Facts | Command | ConfusionTable


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """A chapter of a report: its address on the page, its heading, a sentence, its blocks."""

    name: str
    title: str
    lead: str
    blocks: Sequence[Block]
