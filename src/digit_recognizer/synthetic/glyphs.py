"""Sources of characters: images of digits, pen traces, the stroke alphabet, and printed fonts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES, Digits
from digit_recognizer.synthetic.alphabet import write_character, write_segments
from digit_recognizer.synthetic.fonts import font_files, print_text
from digit_recognizer.synthetic.ink import Curve, Patch, Shape, bend, draw_bitmap, draw_curves, smooth

CHARACTERS = "0123456789.,-/:+%"
DIGIT_CHARACTERS = CHARACTERS[:CLASSES]
P_AS_SCANNED = 0.3  # lines whose digits keep the stroke width of their images
PEN_RANGE = (0.045, 0.2)  # stroke width relative to the height of a digit
PRINTED_PEN = 0.1
STRETCHED_ASPECT_RANGE = (0.4, 1.0)  # width of a digit that was stretched to a square, relative to its height
STRETCHED_ONE_RANGE = (0.12, 0.45)
P_EUROPEAN = 0.45
P_SLASHED = 0.06  # lines whose zeros are slashed
P_SMALL_ZEROS, SMALL_ZERO_RANGE = 0.15, (0.45, 0.85)  # lines whose zeros after a digit are lower than it
SLANT, STRONG_SLANT = (0.08, 0.17), (0.4, 0.12)  # to the right: mean and standard deviation
P_STRONG_SLANT = 0.15  # of lines
LIFTED = frozenset((4, 5, 7))  # digits of two strokes, which traces join by a straight line upwards
LIFT_100 = 22  # how far upwards such a line leads, of a height of 100
HANDS = {
    "optdigits-train.npz": False,
    "semeion-first-half.npz": True,
}  # whether they are stretched to squares


@dataclass(frozen=True, slots=True, eq=False)
class Bitmaps:
    """Images of digits, (N, h, w), 0 background to 255 ink, and the rows of each class."""

    images: NDArray[np.uint8]
    rows: tuple[NDArray[np.int64], ...]
    is_stretched: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Glyphs:
    """Where the characters of composed pages come from.

    Attributes
    ----------
    bitmaps
        images of handwritten digits; the first are those of the competition.
    traces
        points that a pen passed, (N, P, 2), columns and rows, 0 to 1; None without them.
    trace_rows
        the rows of each class in `traces`.
    """

    bitmaps: tuple[Bitmaps, ...]
    traces: NDArray[np.float64] | None = None
    trace_rows: tuple[NDArray[np.int64], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Hand:
    """The handwriting, or the print, of one line."""

    write: Callable[[str, float, Hand, np.random.Generator], Patch]  # name, height, hand
    glyphs: Glyphs
    bitmaps: Bitmaps
    font: Path
    pen: float  # stroke width relative to the height of a digit
    keeps_pen: bool  # of images of digits
    slant: float
    aspect: float
    is_european: bool
    is_slashed: bool
    size_spread: float  # standard deviation of heights, as a fraction
    zero_height: float = 1.0  # of zeros after a digit, as a fraction
    is_printed: bool = False

    def pen_px(self, height: float) -> float:
        """Return the stroke width in pixels of a line whose digits are `height` high."""
        return max(0.7, self.pen * height)


def make_glyphs(digits: Digits, hands: Path | None = None) -> Glyphs:
    """Return the sources of characters: labelled digits, and the files of further hands in a folder.

    The folder holds `optdigits-train.npz`, `semeion-first-half.npz` (`images`, `labels`) and `pendigits.npz`
    (`points`, `labels`); those that are missing are left out.
    """
    assert digits.labels is not None
    bitmaps = [Bitmaps(digits.images, _rows(digits.labels))]
    if hands is None:
        return Glyphs(tuple(bitmaps))
    for name, is_stretched in HANDS.items():
        if (hands / name).exists():
            with np.load(hands / name) as file:
                bitmaps.append(Bitmaps(file["images"], _rows(file["labels"]), is_stretched))
    if not (hands / "pendigits.npz").exists():
        return Glyphs(tuple(bitmaps))
    with np.load(hands / "pendigits.npz") as file:
        points, labels = file["points"].astype(float) / 100, file["labels"]
    ends_level = np.abs(points[:, -1] - points[:, -2]) @ (1, -2) > 0  # a 1 with a foot, drawn like a 2
    kept = ~((labels == 1) & ends_level)
    points = np.stack([points[kept, :, 0], 1 - points[kept, :, 1]], axis=2)
    return Glyphs(tuple(bitmaps), points, _rows(labels[kept]))


def sample_hand(glyphs: Glyphs, rng: np.random.Generator, kind: str | None = None) -> Hand:
    """Return the style of a line; `kind` is a key of `HAND_KINDS`, by default any by their weights."""
    names = [name for name in HAND_KINDS if name != "traces" or glyphs.traces is not None]
    weights = np.array([HAND_KINDS[name][0] for name in names])
    name = kind or str(rng.choice(names, p=weights / weights.sum()))
    files = font_files()
    is_printed = name in ("printed", "segments")
    low, high = np.log(PEN_RANGE)
    others = len(glyphs.bitmaps) > 1 and rng.random() < 0.35
    has_small_zeros = not is_printed and rng.random() < P_SMALL_ZEROS
    return Hand(
        write=HAND_KINDS[name][1],
        glyphs=glyphs,
        bitmaps=glyphs.bitmaps[int(rng.integers(1, len(glyphs.bitmaps)))] if others else glyphs.bitmaps[0],
        font=files[rng.integers(len(files))],
        pen=PRINTED_PEN if is_printed else float(np.exp(rng.uniform(low, high))),
        keeps_pen=rng.random() < P_AS_SCANNED,
        slant=0.0 if is_printed else _sample_slant(rng),
        aspect=float(np.exp(rng.normal(0, 0.13))),
        is_european=rng.random() < P_EUROPEAN,
        is_slashed=rng.random() < P_SLASHED,
        size_spread=0.0 if is_printed else float(rng.choice([0.03, 0.07, 0.13])),
        zero_height=float(rng.uniform(*SMALL_ZERO_RANGE)) if has_small_zeros else 1.0,
        is_printed=is_printed,
    )


def write_with_pen(name: str, height: float, hand: Hand, rng: np.random.Generator) -> Patch:
    """Write a character of the stroke alphabet; `height` is that of a capital or a digit in pixels."""
    shape = _sample_shape(hand, rng)
    matrix = shape.matrix().T * height
    curves = [curve @ matrix for curve in write_character(name, rng, rng.uniform(0.15, 0.45))]
    patch = draw_curves([bend(curve, height, rng) for curve in curves], hand.pen_px(height))
    return patch.moved(-patch.left, 0)


def _write_digit_image(name: str, height: float, hand: Hand, rng: np.random.Generator) -> Patch:
    """Write a digit like one of the images; separators with the pen."""
    if name not in DIGIT_CHARACTERS:
        return write_with_pen(name, height, hand, rng)
    if (name == "0" and hand.is_slashed) or (name in "17" and hand.is_european and rng.random() < 0.6):
        return write_with_pen(name, height, hand, rng)
    source, digit = hand.bitmaps, int(name)
    if not len(source.rows[digit]):
        return write_with_pen(name, height, hand, rng)
    bitmap = source.images[source.rows[digit][rng.integers(len(source.rows[digit]))]]
    shape = _sample_shape(hand, rng)
    if source.is_stretched:
        low, high = STRETCHED_ONE_RANGE if digit == 1 else STRETCHED_ASPECT_RANGE
        shape = Shape(rng.uniform(low, high), shape.slant, shape.rotation)
    ink = draw_bitmap(bitmap, height, shape, None if hand.keeps_pen else hand.pen_px(height), rng)
    return Patch(ink, 0, -len(ink))


def _write_trace(name: str, height: float, hand: Hand, rng: np.random.Generator) -> Patch:
    """Write a digit along a pen's trace; separators with the pen."""
    traces = hand.glyphs.traces
    if name not in DIGIT_CHARACTERS or traces is None:
        return write_with_pen(name, height, hand, rng)
    rows = hand.glyphs.trace_rows[int(name)]
    points = traces[rows[rng.integers(len(rows))]] - (0, 1)
    shape = _sample_shape(hand, rng)
    shape = Shape(
        shape.aspect * rng.uniform(*((0.2, 0.55) if name == "1" else (0.45, 0.95))), *(shape.slant, 0)
    )
    curves = [smooth(piece) @ (shape.matrix().T * height) for piece in _lift_pen(points, int(name))]
    patch = draw_curves([bend(curve, height, rng) for curve in curves], hand.pen_px(height))
    return patch.moved(-patch.left, 0)


def _lift_pen(points: Curve, digit: int) -> list[Curve]:
    """Return the strokes of a trace, without the lines that join them."""
    if digit not in LIFTED:
        return [points]
    rises = np.flatnonzero(np.diff(points[:, 1]) < -LIFT_100 / 100)
    breaks = [int(rise) + 1 for rise in rises if rise >= 2]
    pieces = [piece for piece in np.split(points, breaks) if len(piece) > 1]
    return pieces or [points]


def _write_segments(name: str, height: float, hand: Hand, _rng: np.random.Generator) -> Patch:
    """Show a digit on a display of seven segments."""
    if name not in DIGIT_CHARACTERS:
        return print_text(name, hand.font, height)
    matrix = Shape(hand.aspect * 0.8, 0.1).matrix().T * height
    patch = draw_curves([curve @ matrix for curve in write_segments(name)], max(1.0, 0.12 * height))
    return patch.moved(-patch.left, 0)


def _print_character(name: str, height: float, hand: Hand, _rng: np.random.Generator) -> Patch:
    """Print a character."""
    patch = print_text(name, hand.font, height)
    return patch.moved(-patch.left, 0)


def _sample_shape(hand: Hand, rng: np.random.Generator) -> Shape:
    return Shape(
        hand.aspect * rng.uniform(0.85, 1.15), hand.slant + rng.normal(0, 0.05), float(rng.normal(0, 0.05))
    )


def _sample_slant(rng: np.random.Generator) -> float:
    mean, spread = STRONG_SLANT if rng.random() < P_STRONG_SLANT else SLANT
    return float(rng.normal(mean, spread))


def _rows(labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    return tuple(np.flatnonzero(labels == digit) for digit in range(CLASSES))


HAND_KINDS: dict[str, tuple[float, Callable[[str, float, Hand, np.random.Generator], Patch]]] = {
    "images": (0.56, _write_digit_image),
    "traces": (0.1, _write_trace),
    "pen": (0.17, write_with_pen),
    "printed": (0.14, _print_character),
    "segments": (0.03, _write_segments),
}  # weight, and how a character is written
