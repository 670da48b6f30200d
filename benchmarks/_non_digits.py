"""Pages with non-digits, mostly of kinds that training does not use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from _synthetic_pages import on_paper
from digit_recognizer.digits import INK
from digit_recognizer.synthetic.non_digits import CYRILLIC, LETTERS, SIGNS
from digit_recognizer.synthetic.non_digits import KINDS as TRAINING_KINDS

Page = NDArray[np.uint8]
Points = NDArray[np.float64]  # (N, 2): column and row, -1 to 1

CANVAS_PX = 200  # each side
UNIT_PX = 70  # length of 1 in the coordinates of points
PEN_WIDTHS_PX = (5, 17)  # from the first up to, but not including, the second
WOBBLE_SIGMA = 0.025  # deviation of a hand-drawn point, in units
MAX_ROTATION_DEGREES = 12.0
MAX_SLANT = 0.2  # columns per row
THICKENING_LIMIT_PX = 8  # letters are thickened by less
FONT_SIZE_PX = 100  # at which texts are measured
UPRIGHT_AND_ITALIC = ("DejaVuSans", "DejaVuSans-Oblique")
UPRIGHT = ("DejaVuSans",)
CALLIGRAPHIC, ITALIC = ("cmsy10",), ("cmti10",)
# Letters that look like a digit are left out.
GREEK = "ΔΞΠΣΦΨΩλμπχψω"
HEBREW = "אהחטמעצשת"
ARMENIAN = "ԱԲԹԺԽՃՄՊՋՔՖ"
GEORGIAN = "ლთფქღჯ"
CAPITALS = "AFHKMNPRTUVWXY"
SMALL_LETTERS = "adefhkmnprvwx"
WORDS = ("am", "cm", "kg", "mark", "no", "Nr", "ok", "pay", "ref", "the", "und", "van")
assert not set(GREEK + HEBREW + ARMENIAN + GEORGIAN) & set(LETTERS + SIGNS + CYRILLIC)


def non_digit_pages(count: int, digits: Page, seed: int) -> Iterator[tuple[str, Page]]:
    """Yield the kind and the page of non-digits, the kinds in turn; `digits`, (M, 28, 28), fill frames."""
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        kind = list(KINDS)[number % len(KINDS)]
        yield kind, on_paper(KINDS[kind](rng, digits), rng)


def _by_pen(curves: Callable[[np.random.Generator], list[Points]]) -> Callable[..., Page]:
    """Return a function that draws curves by hand, so that nothing is quite straight or level."""

    def draw(rng: np.random.Generator, _digits: Page) -> Page:
        page = np.zeros((CANVAS_PX, CANVAS_PX), np.uint8)
        lines = [np.rint(8 * (CANVAS_PX / 2 + UNIT_PX * _by_hand(curve, rng))) for curve in curves(rng)]
        pen_width = int(rng.integers(*PEN_WIDTHS_PX))
        cv2.polylines(page, [line.astype(np.int32) for line in lines], False, INK, pen_width, cv2.LINE_AA, 3)
        return _distort(page, rng)

    return draw


def _triangle(rng: np.random.Generator) -> list[Points]:
    corners = np.array([[0, -1], [1, 0.8], [-1, 0.8]]) + rng.normal(0, 0.12, (3, 2))
    return [_closed(corners)]


def _star(rng: np.random.Generator) -> list[Points]:
    """Draw the outline of a star, or a pentagram."""
    angles = np.linspace(-np.pi / 2, 3 * np.pi / 2, 10, endpoint=False)
    if rng.random() < 0.5:
        return [_closed(_polar(angles[[0, 4, 8, 2, 6]], 1.0))]
    return [_closed(_polar(angles, np.tile([1.0, 0.42], 5)))]


def _spiral(rng: np.random.Generator) -> list[Points]:
    turns = np.linspace(0, rng.uniform(2.6, 4), 120)
    start = rng.uniform(0, 2 * np.pi)
    return [_polar(start + rng.choice([-1, 1]) * 2 * np.pi * turns, 0.08 + 0.92 * turns / turns[-1])]


def _heart(_rng: np.random.Generator) -> list[Points]:
    along = np.linspace(0, 2 * np.pi, 60)
    rows = 13 * np.cos(along) - 5 * np.cos(2 * along) - 2 * np.cos(3 * along) - np.cos(4 * along)
    return [np.stack([np.sin(along) ** 3, -rows / 16], axis=1)]


def _arrow(rng: np.random.Generator) -> list[Points]:
    """Draw an arrow in any direction, sometimes with two heads."""
    back = rng.uniform(0.35, 0.55)
    head = np.array([[1 - back, -back], [1, 0], [1 - back, back]])
    curves = [np.array([[-1.0, 0], [1, 0]]), head]
    if rng.random() < 0.3:
        curves.append(-head)
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return [curve @ turn.T for curve in curves]


def _face(rng: np.random.Generator) -> list[Points]:
    """Draw a round face that smiles."""
    around, smile = np.linspace(0, 2 * np.pi, 60), np.linspace(0.15 * np.pi, 0.85 * np.pi, 20)
    eyes = [np.array([[side, -0.4], [side, -0.25]]) for side in (-0.35, 0.35)]
    return [_polar(around, 1.0), _polar(smile, rng.uniform(0.5, 0.65)), *eyes]


def _tick(rng: np.random.Generator) -> list[Points]:
    return [np.array([[-1, rng.uniform(-0.1, 0.4)], [rng.uniform(-0.5, -0.2), 0.8], [1, -0.8]])]


def _grid(rng: np.random.Generator) -> list[Points]:
    """Draw a table of 2 to 4 rows and columns."""
    across, down = (np.linspace(-1, 1, int(rng.integers(3, 6))) for _ in range(2))
    level = [np.array([[-1, place], [1, place]]) for place in down]
    return [*level, *(np.array([[place, -1], [place, 1]]) for place in across)]


def _scribble(rng: np.random.Generator) -> list[Points]:
    """Draw loops that look like handwriting."""
    loops = rng.integers(4, 9)
    along = np.linspace(0, 2 * np.pi * loops, 24 * loops)
    sizes = np.interp(along, np.linspace(0, along[-1], loops + 1), rng.uniform(0.3, 0.9, loops + 1))
    ahead = along / along[-1] * 2 - 1 + rng.uniform(0.5, 1.5) * sizes * np.sin(along) / loops
    return [np.stack([ahead, sizes * np.cos(along)], axis=1)]


def printed_by(texts: Sequence[str], fonts: Sequence[str]) -> Callable[..., Page]:
    """Return a function that prints one of the texts in one of the fonts, more or less bold."""

    def draw(rng: np.random.Generator, _digits: Page) -> Page:
        text, name = str(rng.choice(texts)), str(rng.choice(fonts))
        left, top, right, bottom = font(name, FONT_SIZE_PX).getbbox(text)
        zoom = 2 * UNIT_PX / max(right - left, bottom - top)
        place = (CANVAS_PX - zoom * (left + right)) / 2, (CANVAS_PX - zoom * (top + bottom)) / 2
        image = Image.new("L", (CANVAS_PX, CANVAS_PX))
        ImageDraw.Draw(image).text(place, text, INK, font=font(name, round(zoom * FONT_SIZE_PX)))
        pen = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (int(rng.integers(1, THICKENING_LIMIT_PX)),) * 2)
        return _distort(np.asarray(cv2.dilate(np.array(image), pen), np.uint8), rng)

    return draw


def _framed(rng: np.random.Generator, digits: Page) -> Page:
    """Draw a box with two digits in it."""
    page = np.zeros((CANVAS_PX, CANVAS_PX), np.uint8)
    side = CANVAS_PX // 2 - 25
    for left in (30, 30 + side - 10):
        image = cv2.resize(digits[rng.integers(len(digits))], (side, side), interpolation=cv2.INTER_CUBIC)
        place = page[CANVAS_PX // 2 - side // 2 :, left:][:side, :side]
        np.maximum(place, image, out=place)
    top, bottom = CANVAS_PX // 2 - side // 2 - 8, CANVAS_PX // 2 + side // 2 + 8
    cv2.rectangle(page, (20, top), (CANVAS_PX - 20, bottom), INK, int(rng.integers(3, 9)), cv2.LINE_AA)
    return _distort(page, rng)


def _blank(_rng: np.random.Generator, _digits: Page) -> Page:
    return np.zeros((CANVAS_PX, CANVAS_PX), np.uint8)


KINDS: dict[str, Callable[[np.random.Generator, Page], Page]] = {
    "triangles": _by_pen(_triangle),
    "stars": _by_pen(_star),
    "spirals": _by_pen(_spiral),
    "hearts": _by_pen(_heart),
    "arrows": _by_pen(_arrow),
    "faces": _by_pen(_face),
    "ticks": _by_pen(_tick),
    "grids": _by_pen(_grid),
    "scribbles": _by_pen(_scribble),
    "Greek letters": printed_by(tuple(GREEK), UPRIGHT_AND_ITALIC),
    "Hebrew letters": printed_by(tuple(HEBREW), UPRIGHT),
    "Armenian letters": printed_by(tuple(ARMENIAN), UPRIGHT_AND_ITALIC),
    "Georgian letters": printed_by(tuple(GEORGIAN), UPRIGHT_AND_ITALIC),
    "calligraphic capitals": printed_by(tuple(CAPITALS), CALLIGRAPHIC),
    "words in italics": printed_by(WORDS, ITALIC),
    "two digits in a box": _framed,
    "blank paper": _blank,
}
KINDS_ALSO_IN_TRAINING = ("spirals", "hearts", "faces")  # drawn in another way
assert set(KINDS) & set(TRAINING_KINDS) <= set(KINDS_ALSO_IN_TRAINING)


def _polar(angles: Points, radii: Points | float) -> Points:
    points: Points = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)
    return points


def _closed(corners: Points) -> Points:
    return np.concatenate([corners, corners[:1]])


def _by_hand(curve: Points, rng: np.random.Generator) -> Points:
    """Return a curve with additional points, all slightly moved."""
    steps = [np.linspace(first, last, 8, endpoint=False) for first, last in pairwise(curve)]
    points = np.concatenate([*steps, curve[-1:]]) if len(curve) < 12 else curve
    knots = rng.normal(0, WOBBLE_SIGMA, (max(3, len(points) // 4), 2))
    places = np.linspace(0, len(knots) - 1, len(points))
    off = [np.interp(places, np.arange(len(knots)), knots[:, axis]) for axis in (0, 1)]
    return points + np.stack(off, axis=1)


def _distort(page: Page, rng: np.random.Generator) -> Page:
    """Rotate and slant what is drawn on a page."""
    angle = np.radians(rng.uniform(-MAX_ROTATION_DEGREES, MAX_ROTATION_DEGREES))
    slant = rng.uniform(-MAX_SLANT, MAX_SLANT)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.array([[1, slant], [0, 1]])
    middle = np.full(2, CANVAS_PX / 2)
    moved = np.column_stack([matrix, middle - matrix @ middle])
    return np.asarray(cv2.warpAffine(page, moved, (CANVAS_PX, CANVAS_PX), flags=cv2.INTER_LINEAR), np.uint8)


@cache
def font(name: str, size: int) -> ImageFont.FreeTypeFont:
    """Return a font that comes with matplotlib."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(folder / f"{name}.ttf", size)
