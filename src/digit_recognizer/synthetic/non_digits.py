"""Images of what is no digit, made at random: what a network that may say "no" learns from besides digits.

Everything is drawn large, then brought to 28x28 pixels as a digit of a picture would be. Letters that look
like a digit (O, l, S, Z, B …) are left out; parts of digits and random strokes may still happen to look like
one, so whoever trains with them leaves out those that a trained network takes for a digit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from digit_recognizer.digits import INK, SIDE
from digit_recognizer.imaging import normalise

Page = NDArray[np.uint8]
Points = NDArray[np.float64]

CANVAS = 112  # pixels along each side of what is drawn
EDGE = 6  # pixels that strokes keep from it
FRACTION = 3  # bits of a pixel in OpenCV's coordinates
PALE = 20  # of 255; paler ink than that is none
LETTERS = "ACEFHKLMNPRTUVWXYacdefhkmnprtuvwxy"
SIGNS = '#%&*+=<>?!@$^~{}[]:;"€£§¶«»±÷×¬'
CYRILLIC = "ЖДИЙКЛМНПФЦШЩЫЮЯжиймнпцшщыюя"
FONT_SIZE = 84  # pixels


def draw_outliers(
    count: int, digits: Page, rng: np.random.Generator, kinds: tuple[str, ...] = ()
) -> tuple[Page, NDArray[np.str_]]:
    """Make images of no digit.

    Parameters
    ----------
    count
        How many.
    digits
        uint8, shape (M, 28, 28): digits to take parts and pairs of, 0 background to 255 ink.
    rng
        Decides everything.
    kinds
        Keys of `KINDS` to draw from; all of them if empty, each as often as its share there.

    Returns
    -------
    images, names
        uint8, shape (count, 28, 28), and the kind of each, shape (count,).
    """
    chosen = kinds or tuple(KINDS)
    shares = np.array([KINDS[kind][1] for kind in chosen])
    names = rng.choice(chosen, count, p=shares / shares.sum())
    images = np.zeros((count, SIDE, SIDE), np.uint8)
    for number, name in enumerate(names):
        ink = KINDS[str(name)][0](rng, digits)
        if name == "textures" and rng.random() < 0.7:
            images[number] = cv2.resize(ink, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        else:
            images[number] = normalise(np.where(ink < PALE, 0, ink))
    return images, names


def _strokes(rng: np.random.Generator, _digits: Page) -> Page:
    """Draw one to six strokes, apart or each from the end of the last: characters of no script."""
    if rng.random() < 0.35:
        return _draw(_chain(rng), _pen(rng))
    count = int(rng.choice([1, 2, 2, 3, 3, 4, 5, 6]))
    return _draw([_CURVES[rng.integers(len(_CURVES))](rng) for _ in range(count)], _pen(rng))


def _dash(rng: np.random.Generator, _digits: Page) -> Page:
    """Draw a dash, nearly level."""
    half, angle, middle = rng.uniform(20, 50), rng.uniform(-0.5, 0.5), CANVAS / 2
    ahead = half * np.array([np.cos(angle), np.sin(angle)])
    bent = middle + np.array([0, rng.uniform(-8, 8)])
    return _draw([np.stack([middle - ahead, bent, middle + ahead])], _pen(rng))


def _letter(rng: np.random.Generator, _digits: Page) -> Page:
    """Print a letter or a sign, thinner or bolder, and distort it."""
    letters = LETTERS + SIGNS + CYRILLIC
    page = _printed(letters[rng.integers(len(letters))], rng)
    if rng.random() < 0.3:
        page = _bytes(cv2.dilate(page, _ellipse(int(rng.integers(2, 9)))))
    elif rng.random() < 0.3:
        page = _bytes(cv2.erode(page, _ellipse(3)))
    return _distorted(page, rng)


def _part(rng: np.random.Generator, digits: Page) -> Page:
    """Cut a part off a digit."""
    digit = _any(digits, rng)
    rows, columns = np.nonzero(digit > 60)
    page = _bytes(cv2.resize(digit, (CANVAS, CANVAS), interpolation=cv2.INTER_CUBIC))
    upright = rng.random() < 0.5
    places = columns if upright else rows
    cut = round((places.min() + rng.uniform(0.3, 0.65) * np.ptp(places)) * CANVAS / SIDE)
    turned = page if upright else page.T
    part = turned[:, :cut] if rng.random() < 0.5 else turned[:, cut:]
    return part if upright else part.T


def _several(rng: np.random.Generator, digits: Page) -> Page:
    """Put two or three digits side by side, or one beside a piece of its neighbour."""
    inked = [_cropped(_any(digits, rng)) for _ in range(rng.choice([2, 2, 2, 3]))]
    gap = int(rng.integers(-5, 5))
    page = np.zeros((36, sum(digit.shape[1] + 5 for digit in inked) + 4), np.uint8)
    left, right = 2, 0
    for digit in inked:
        top = int(rng.integers(0, 5)) + (30 - digit.shape[0]) // 2
        place = page[top : top + digit.shape[0], left : left + digit.shape[1]]
        np.maximum(place, digit, out=place)
        right = left + digit.shape[1]
        left = max(0, right + gap)
    page = page[:, : right + 2]
    if rng.random() < 0.35:
        kept = int(rng.uniform(0.55, 0.85) * page.shape[1])
        page = page[:, :kept] if rng.random() < 0.5 else page[:, -kept:]
    return _bytes(cv2.resize(page, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC))


def _crossed_out(rng: np.random.Generator, digits: Page) -> Page:
    """Scribble over a digit."""
    digit = cv2.resize(_any(digits, rng), (CANVAS, CANVAS), interpolation=cv2.INTER_CUBIC)
    curves = [(_line, _wave, _bezier)[rng.integers(3)](rng) for _ in range(rng.integers(2, 5))]
    return np.maximum(digit, _draw(curves, _pen(rng)))


def _blot(rng: np.random.Generator, _digits: Page) -> Page:
    """Draw something filled: an ellipse, a polygon, a rectangle (perhaps a frame), dots."""
    page = np.zeros((CANVAS, CANVAS), np.uint8)
    match rng.integers(4):
        case 0:
            axes = tuple(rng.integers(15, 50, 2).tolist())
            cv2.ellipse(page, (56, 56), axes, rng.uniform(0, 180), 0, 360, INK, -1, cv2.LINE_AA)
        case 1:
            corners = rng.integers(EDGE, CANVAS - EDGE, (int(rng.integers(3, 7)), 2))
            cv2.fillPoly(page, [corners.astype(np.int32)], INK, cv2.LINE_AA)
        case 2:
            first, last = rng.integers(EDGE, 45, 2).tolist(), rng.integers(65, CANVAS - EDGE, 2).tolist()
            cv2.rectangle(page, first, last, INK, -1 if rng.random() < 0.5 else _pen(rng))
        case _:
            for _ in range(rng.integers(2, 9)):
                middle = rng.integers(EDGE, CANVAS - EDGE, 2).tolist()
                cv2.circle(page, middle, int(rng.integers(3, 12)), INK, -1, cv2.LINE_AA)
    return page


def _outline(rng: np.random.Generator, _digits: Page) -> Page:
    """Draw a closed curve: angular, or with lobes between which it may turn sharply."""
    return _distorted(_draw([_closed_curve(rng, _SOLID)], _pen(rng)), rng)


def _filled_outline(rng: np.random.Generator, _digits: Page) -> Page:
    """Draw a closed curve with dots, strokes and arcs in it: faces, clocks, wheels, windows."""
    around = _closed_curve(rng, _CALM)
    within = [_inside(rng) for _ in range(rng.integers(1, 3))]
    for _ in range(rng.integers(1, 3)):  # pairs, at the same height
        eye = _inside(rng, small=True)
        within += [eye, eye * (-1, 1) + (CANVAS, 0)]
    return _distorted(_draw([around, *within], int(rng.integers(3, 10))), rng)


def _heart(rng: np.random.Generator, _digits: Page) -> Page:
    """Draw a heart, whose lobes and point are more or less pronounced."""
    along = np.linspace(0, 2 * np.pi, 60)
    second, third, fourth = np.array([5, 2, 1]) * rng.uniform(0.7, 1.5, 3)
    height = 13 * np.cos(along) - second * np.cos(2 * along) - third * np.cos(3 * along)
    height -= fourth * np.cos(4 * along)
    heart = np.stack([16 * np.sin(along) ** 3, -height], axis=1) * rng.uniform(0.8, 1.2, 2)
    return _distorted(_draw([2.4 * heart + CANVAS / 2], _pen(rng)), rng)


def _spiral(rng: np.random.Generator, _digits: Page) -> Page:
    """Draw a curve that goes around at least twice, ever nearer to its middle."""
    turns = np.linspace(rng.uniform(0.05, 0.3), 1, 120)
    angles = rng.uniform(0, 2 * np.pi) + rng.choice([-1, 1]) * 2 * np.pi * rng.uniform(2, 4.5) * turns
    spiral = turns[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    curve = CANVAS / 2 + 48 * spiral * rng.uniform(0.7, 1, 2)
    return _distorted(_draw([curve], int(rng.integers(3, 9))), rng)


def _texture(rng: np.random.Generator, _digits: Page) -> Page:
    """Fill the image: clouds, specks, stripes, a slope of grey."""
    rows, columns = np.mgrid[:CANVAS, :CANVAS]
    noise = rng.random((CANVAS, CANVAS), np.float32)
    match rng.integers(4):
        case 0:
            clouds = cv2.GaussianBlur(noise, (0, 0), rng.uniform(1, 12))
            clouds = (clouds - clouds.min()) / np.ptp(clouds)
            grey = (clouds - rng.uniform(0.3, 0.7)) * rng.uniform(1, 8)
        case 1:
            specks = (noise[:SIDE, :SIDE] < rng.uniform(0.02, 0.5)).astype(np.float32)
            grey = cv2.resize(specks, (CANVAS, CANVAS), interpolation=cv2.INTER_NEAREST)
        case 2:
            angle = rng.uniform(0, np.pi)
            across = columns * np.cos(angle) + rows * np.sin(angle)
            grey = np.sin(across * rng.uniform(0.08, 0.6) + rng.uniform(0, 6)) > rng.uniform(-0.5, 0.8)
        case _:
            grey = (columns * rng.normal() + rows * rng.normal()) / CANVAS + rng.uniform(0, 1)
    return _bytes(INK * np.clip(grey, 0, 1))


KINDS: dict[str, tuple[Callable[[np.random.Generator, Page], Page], float]] = {
    "strokes": (_strokes, 0.26),
    "letters": (_letter, 0.25),
    "several": (_several, 0.12),
    "parts": (_part, 0.08),
    "dashes": (_dash, 0.05),
    "blots": (_blot, 0.05),
    "textures": (_texture, 0.05),
    "crossed-out": (_crossed_out, 0.04),
    "outlines": (_outline, 0.04),
    "filled outlines": (_filled_outline, 0.03),
    "hearts": (_heart, 0.015),
    "spirals": (_spiral, 0.015),
}  # what there is, and how often
CERTAIN = ("filled outlines", "hearts", "spirals")  # kinds that are no digits, whatever a network says
_SOLID, _CALM = 0.45, 0.15  # how deep the lobes of an outline go


def _line(rng: np.random.Generator) -> Points:
    points: Points = rng.uniform(EDGE, CANVAS - EDGE, (2, 2))
    return points


def _along_an_axis(rng: np.random.Generator) -> Points:
    start = rng.uniform(EDGE, CANVAS - EDGE, 2)
    length = rng.uniform(25, 90) * rng.choice([-1, 1])
    ahead = np.array([length, 0.0]) if rng.random() < 0.5 else np.array([0.0, length])
    points: Points = np.stack([start, start + ahead + rng.normal(0, 4, 2)]).clip(EDGE, CANVAS - EDGE)
    return points


def _bezier(rng: np.random.Generator) -> Points:
    first, second, third, fourth = rng.uniform(EDGE, CANVAS - EDGE, (4, 2))
    along = np.linspace(0, 1, 24)[:, None]
    back = 1 - along
    curve: Points = (
        back**3 * first + 3 * back**2 * along * second + 3 * back * along**2 * third + along**3 * fourth
    )
    return curve


def _arc(rng: np.random.Generator) -> Points:
    start = rng.uniform(0, 2 * np.pi)
    angles = np.linspace(start, start + rng.uniform(1.5, 2 * np.pi), 28)
    turns = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points: Points = rng.uniform(25, CANVAS - 25, 2) + rng.uniform(10, 45, 2) * turns
    return points


def _wave(rng: np.random.Generator) -> Points:
    along = np.linspace(2 * EDGE, CANVAS - 2 * EDGE, 40)
    phase = np.linspace(0, int(rng.integers(2, 6)) * np.pi, 40) + rng.uniform(0, 2 * np.pi)
    wave = np.stack([along, CANVAS / 2 + rng.uniform(10, 30) * np.sin(phase)], axis=1)
    return wave if rng.random() < 0.6 else wave[:, ::-1]


_CURVES = (_line, _bezier, _arc, _along_an_axis, _along_an_axis, _wave)


def _chain(rng: np.random.Generator) -> list[Points]:
    """Return strokes that each begin where the last one ended."""
    curves: list[Points] = []
    place = rng.uniform(2 * EDGE, CANVAS - 2 * EDGE, 2)
    for _ in range(int(rng.integers(2, 6))):
        curve = (_line, _bezier, _along_an_axis, _arc)[rng.integers(4)](rng)
        curves.append(np.clip(curve - curve[0] + place, EDGE, CANVAS - EDGE))
        place = curves[-1][-1]
    return curves


def _closed_curve(rng: np.random.Generator, depth: float) -> Points:
    """Return a curve around the canvas's middle that ends where it begins."""
    if rng.random() < 0.4:
        corners = int(rng.integers(4, 9))
        angles = 2 * np.pi * (np.arange(corners + 1) + rng.uniform(0, 1)) / corners
        radii = 1 - depth * rng.random(corners + 1)
        radii[-1] = radii[0]
    else:
        angles = np.linspace(0, 2 * np.pi, 90)
        lobes = np.cos(rng.integers(2, 7) * angles / 2 + rng.uniform(0, np.pi))
        lobes = np.abs(lobes) if rng.random() < 0.5 else lobes**2
        radii = 1 - rng.uniform(0, 1.3 * depth) * lobes
    curve = radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1) * rng.uniform(0.75, 1, 2)
    points: Points = CANVAS / 2 + 48 * curve
    return points


def _inside(rng: np.random.Generator, *, small: bool = False) -> Points:
    """Return a dot, a stroke or an arc near the canvas's middle."""
    middle, size = CANVAS / 2 + rng.uniform(-24, 24, 2), rng.uniform(1, 6) if small else rng.uniform(6, 24)
    start, turned = rng.uniform(0, 2 * np.pi), rng.uniform(0.8, 3.5)
    if rng.random() < 0.5:
        ahead = size * np.array([np.cos(start), np.sin(start)])
        return np.stack([middle - ahead, middle + ahead])
    angles = np.linspace(start, start + turned, 16)
    points: Points = middle + size * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return points


def _pen(rng: np.random.Generator) -> int:
    """Return a breadth of strokes, in pixels: 0.7 to 3.2 of the 20 that a digit is high."""
    return int(rng.integers(4, 18))


def _draw(curves: list[Points], breadth: int) -> Page:
    page = np.zeros((CANVAS, CANVAS), np.uint8)
    lines = [np.rint(curve * 2**FRACTION).astype(np.int32) for curve in curves]
    cv2.polylines(page, lines, False, INK, breadth, cv2.LINE_AA, FRACTION)
    return page


def _any(digits: Page, rng: np.random.Generator) -> Page:
    digit: Page = digits[rng.integers(len(digits))]
    return digit


def _cropped(digit: Page) -> Page:
    rows, columns = np.nonzero(digit > 40)
    return digit[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def _ellipse(size: int) -> Page:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), np.uint8)


def _printed(letter: str, rng: np.random.Generator) -> Page:
    """Return a letter in one of the fonts."""
    fonts = _fonts()
    image = Image.new("L", (150, 150))
    ImageDraw.Draw(image).text((30, 15), letter, INK, font=fonts[rng.integers(len(fonts))])
    return np.array(image)


@cache
def _fonts() -> list[ImageFont.FreeTypeFont]:
    """Return the fonts that come with matplotlib and have all the letters."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    files = sorted(file for file in folder.glob("DejaVuS*.ttf") if "Display" not in file.name)
    return [ImageFont.truetype(file, FONT_SIZE) for file in files]


def _distorted(page: Page, rng: np.random.Generator) -> Page:
    """Turn, slant, stretch and bend what is on a page."""
    side = page.shape[0]
    angle, slant, stretch = np.radians(rng.uniform(-15, 15)), rng.uniform(-0.3, 0.3), rng.uniform(0.7, 1.3)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.array([[1, slant], [0, stretch]])
    grid = rng.normal(0, 0.035 * side, (4, 4, 2)).astype(np.float32)
    bend = np.asarray(cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC))
    rows, columns = np.mgrid[:side, :side] - side / 2
    places = np.stack([columns, rows], axis=-1) @ matrix.T + side / 2 + bend
    across, down = (np.ascontiguousarray(places[..., axis], np.float32) for axis in (0, 1))
    return _bytes(cv2.remap(page, across, down, cv2.INTER_LINEAR))


def _bytes(page: object) -> Page:
    return np.asarray(page).astype(np.uint8)
