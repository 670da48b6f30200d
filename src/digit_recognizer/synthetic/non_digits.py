"""Sample images of non-digits, from which a network learns when to reject an image.

Everything is drawn large, then normalised like a digit of a picture. Letters that look like a digit (O, l, S,
Z, B …) are left out. Parts of digits and random strokes may still look like one, so training leaves out those
that a teacher takes for a digit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from digit_recognizer.digits import INK, SIDE
from digit_recognizer.imaging import normalise
from digit_recognizer.synthetic.curves import (
    CANVAS_PX,
    EDGE_PX,
    Canvas,
    blank_canvas,
    distort,
    draw,
    sample_arc,
    sample_axis_line,
    sample_bezier,
    sample_chain,
    sample_closed_curve,
    sample_inner_curve,
    sample_line,
    sample_pen_width,
    sample_wave,
    to_bytes,
    unit_circle,
)

Images = NDArray[np.uint8]  # (N, 28, 28), 0 background to 255 ink

MIN_INK_LEVEL_255 = 20  # fainter ink is removed
P_TEXTURE_FILLS_IMAGE = 0.7  # other textures are normalised like everything else
OUTLINE_LOBE_DEPTH = 0.45  # fraction of the radius
FILLED_OUTLINE_LOBE_DEPTH = 0.15
LETTERS = "ACEFHKLMNPRTUVWXYacdefhkmnprtuvwxy"
SIGNS = '#%&*+=<>?!@$^~{}[]:;"€£§¶«»±÷×¬'
CYRILLIC = "ЖДИЙКЛМНПФЦШЩЫЮЯжиймнпцшщыюя"
FONT_SIZE_PX = 84
STROKE_CURVES = (sample_line, sample_bezier, sample_arc, sample_axis_line, sample_axis_line, sample_wave)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of non-digits: how to draw one, and how often it is drawn."""

    draw: Callable[[np.random.Generator, Images], Canvas]
    fraction: float
    always_kept: bool = False  # even if a teacher takes it for a digit: it certainly is none


def sample_non_digits(
    count: int, digits: Images, rng: np.random.Generator, kinds: tuple[str, ...] = ()
) -> tuple[Images, NDArray[np.str_]]:
    """Return images of non-digits and the kind of each, (N,), made of random strokes, letters and `digits`.

    `kinds` are the keys of `KINDS` to choose from, by default all.
    """
    chosen = kinds or tuple(KINDS)
    fractions = np.array([KINDS[kind].fraction for kind in chosen])
    names = rng.choice(chosen, count, p=fractions / fractions.sum())
    images = np.zeros((count, SIDE, SIDE), np.uint8)
    for number, name in enumerate(names):
        canvas = KINDS[str(name)].draw(rng, digits)
        if name == "textures" and rng.random() < P_TEXTURE_FILLS_IMAGE:
            images[number] = cv2.resize(canvas, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        else:
            images[number] = normalise(np.where(canvas < MIN_INK_LEVEL_255, 0, canvas))
    return images, names


def _strokes(rng: np.random.Generator, _digits: Images) -> Canvas:
    """Draw one to six strokes, separate or connected, like characters of no script."""
    if rng.random() < 0.35:
        return draw(sample_chain(rng), sample_pen_width(rng))
    count = int(rng.choice([1, 2, 2, 3, 3, 4, 5, 6]))
    curves = [STROKE_CURVES[rng.integers(len(STROKE_CURVES))](rng) for _ in range(count)]
    return draw(curves, sample_pen_width(rng))


def _dash(rng: np.random.Generator, _digits: Images) -> Canvas:
    """Draw a nearly horizontal dash."""
    half, angle, middle = rng.uniform(20, 50), rng.uniform(-0.5, 0.5), CANVAS_PX / 2
    step = half * np.array([np.cos(angle), np.sin(angle)])
    bent = middle + np.array([0, rng.uniform(-8, 8)])
    return draw([np.stack([middle - step, bent, middle + step])], sample_pen_width(rng))


def _letter(rng: np.random.Generator, _digits: Images) -> Canvas:
    """Print a letter or a sign, thinner or bolder, and distort it."""
    letters = LETTERS + SIGNS + CYRILLIC
    canvas = _print(letters[rng.integers(len(letters))], rng)
    if rng.random() < 0.3:
        canvas = to_bytes(cv2.dilate(canvas, _ellipse(int(rng.integers(2, 9)))))
    elif rng.random() < 0.3:
        canvas = to_bytes(cv2.erode(canvas, _ellipse(3)))
    return distort(canvas, rng)


def _part(rng: np.random.Generator, digits: Images) -> Canvas:
    """Cut off a part of a digit."""
    digit = _choose(digits, rng)
    rows, columns = np.nonzero(digit > 60)
    canvas = to_bytes(cv2.resize(digit, (CANVAS_PX, CANVAS_PX), interpolation=cv2.INTER_CUBIC))
    is_vertical = rng.random() < 0.5
    places = columns if is_vertical else rows
    cut = round((places.min() + rng.uniform(0.3, 0.65) * np.ptp(places)) * CANVAS_PX / SIDE)
    turned = canvas if is_vertical else canvas.T
    part = turned[:, :cut] if rng.random() < 0.5 else turned[:, cut:]
    return part if is_vertical else part.T


def _several(rng: np.random.Generator, digits: Images) -> Canvas:
    """Put two or three digits side by side, or one beside a piece of its neighbour."""
    tiles = [_crop(_choose(digits, rng)) for _ in range(rng.choice([2, 2, 2, 3]))]
    gap = int(rng.integers(-5, 5))
    canvas = np.zeros((36, sum(tile.shape[1] + 5 for tile in tiles) + 4), np.uint8)
    left, right = 2, 0
    for tile in tiles:
        top = int(rng.integers(0, 5)) + (30 - tile.shape[0]) // 2
        place = canvas[top : top + tile.shape[0], left : left + tile.shape[1]]
        np.maximum(place, tile, out=place)
        right = left + tile.shape[1]
        left = max(0, right + gap)
    canvas = canvas[:, : right + 2]
    if rng.random() < 0.35:
        kept = int(rng.uniform(0.55, 0.85) * canvas.shape[1])
        canvas = canvas[:, :kept] if rng.random() < 0.5 else canvas[:, -kept:]
    return to_bytes(cv2.resize(canvas, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC))


def _crossed_out(rng: np.random.Generator, digits: Images) -> Canvas:
    """Scribble over a digit."""
    digit = cv2.resize(_choose(digits, rng), (CANVAS_PX, CANVAS_PX), interpolation=cv2.INTER_CUBIC)
    curves = [
        (sample_line, sample_wave, sample_bezier)[rng.integers(3)](rng) for _ in range(rng.integers(2, 5))
    ]
    return np.maximum(digit, draw(curves, sample_pen_width(rng)))


def _blot(rng: np.random.Generator, _digits: Images) -> Canvas:
    """Draw a filled ellipse, polygon or rectangle (possibly only its frame), or dots."""
    canvas = blank_canvas()
    far_edge = CANVAS_PX - EDGE_PX
    match rng.integers(4):
        case 0:
            axes = tuple(rng.integers(15, 50, 2).tolist())
            cv2.ellipse(canvas, (56, 56), axes, rng.uniform(0, 180), 0, 360, INK, -1, cv2.LINE_AA)
        case 1:
            corners = rng.integers(EDGE_PX, far_edge, (int(rng.integers(3, 7)), 2))
            cv2.fillPoly(canvas, [corners.astype(np.int32)], INK, cv2.LINE_AA)
        case 2:
            first, last = rng.integers(EDGE_PX, 45, 2).tolist(), rng.integers(65, far_edge, 2).tolist()
            cv2.rectangle(canvas, first, last, INK, -1 if rng.random() < 0.5 else sample_pen_width(rng))
        case _:
            for _ in range(rng.integers(2, 9)):
                middle = rng.integers(EDGE_PX, far_edge, 2).tolist()
                cv2.circle(canvas, middle, int(rng.integers(3, 12)), INK, -1, cv2.LINE_AA)
    return canvas


def _outline(rng: np.random.Generator, _digits: Images) -> Canvas:
    """Draw a closed curve: a polygon, or a curve with lobes."""
    return distort(draw([sample_closed_curve(rng, OUTLINE_LOBE_DEPTH)], sample_pen_width(rng)), rng)


def _filled_outline(rng: np.random.Generator, _digits: Images) -> Canvas:
    """Draw a closed curve with dots, strokes and arcs inside: faces, clocks, wheels, windows."""
    outline = sample_closed_curve(rng, FILLED_OUTLINE_LOBE_DEPTH)
    inside = [sample_inner_curve(rng) for _ in range(rng.integers(1, 3))]
    for _ in range(rng.integers(1, 3)):  # pairs at the same height, like eyes
        eye = sample_inner_curve(rng, small=True)
        inside += [eye, eye * (-1, 1) + (CANVAS_PX, 0)]
    return distort(draw([outline, *inside], int(rng.integers(3, 10))), rng)


def _heart(rng: np.random.Generator, _digits: Images) -> Canvas:
    """Draw a heart with more or less pronounced lobes and point."""
    t = np.linspace(0, 2 * np.pi, 60)
    second, third, fourth = np.array([5, 2, 1]) * rng.uniform(0.7, 1.5, 3)
    height = 13 * np.cos(t) - second * np.cos(2 * t) - third * np.cos(3 * t)
    height -= fourth * np.cos(4 * t)
    heart = np.stack([16 * np.sin(t) ** 3, -height], axis=1) * rng.uniform(0.8, 1.2, 2)
    return distort(draw([2.4 * heart + CANVAS_PX / 2], sample_pen_width(rng)), rng)


def _spiral(rng: np.random.Generator, _digits: Images) -> Canvas:
    """Draw a spiral of at least two turns."""
    radii = np.linspace(rng.uniform(0.05, 0.3), 1, 120)
    angles = rng.uniform(0, 2 * np.pi) + rng.choice([-1, 1]) * 2 * np.pi * rng.uniform(2, 4.5) * radii
    spiral = radii[:, None] * unit_circle(angles)
    curve = CANVAS_PX / 2 + 48 * spiral * rng.uniform(0.7, 1, 2)
    return distort(draw([curve], int(rng.integers(3, 9))), rng)


def _texture(rng: np.random.Generator, _digits: Images) -> Canvas:
    """Fill the canvas with clouds, specks, stripes or a gradient."""
    rows, columns = np.mgrid[:CANVAS_PX, :CANVAS_PX]
    noise = rng.random((CANVAS_PX, CANVAS_PX), np.float32)
    match rng.integers(4):
        case 0:
            clouds = cv2.GaussianBlur(noise, (0, 0), rng.uniform(1, 12))
            clouds = (clouds - clouds.min()) / np.ptp(clouds)
            grey = (clouds - rng.uniform(0.3, 0.7)) * rng.uniform(1, 8)
        case 1:
            specks = (noise[:SIDE, :SIDE] < rng.uniform(0.02, 0.5)).astype(np.float32)
            grey = cv2.resize(specks, (CANVAS_PX, CANVAS_PX), interpolation=cv2.INTER_NEAREST)
        case 2:
            angle = rng.uniform(0, np.pi)
            across = columns * np.cos(angle) + rows * np.sin(angle)
            grey = np.sin(across * rng.uniform(0.08, 0.6) + rng.uniform(0, 6)) > rng.uniform(-0.5, 0.8)
        case _:
            grey = (columns * rng.normal() + rows * rng.normal()) / CANVAS_PX + rng.uniform(0, 1)
    return to_bytes(INK * np.clip(grey, 0, 1))


KINDS = {
    "strokes": Kind(_strokes, 0.26),
    "letters": Kind(_letter, 0.25),
    "several": Kind(_several, 0.12),
    "parts": Kind(_part, 0.08),
    "dashes": Kind(_dash, 0.05),
    "blots": Kind(_blot, 0.05),
    "textures": Kind(_texture, 0.05),
    "crossed-out": Kind(_crossed_out, 0.04),
    "outlines": Kind(_outline, 0.04),
    "filled outlines": Kind(_filled_outline, 0.03, always_kept=True),
    "hearts": Kind(_heart, 0.015, always_kept=True),
    "spirals": Kind(_spiral, 0.015, always_kept=True),
}
ALWAYS_KEPT_KINDS = tuple(name for name, kind in KINDS.items() if kind.always_kept)


def _choose(digits: Images, rng: np.random.Generator) -> NDArray[np.uint8]:
    digit: NDArray[np.uint8] = digits[rng.integers(len(digits))]
    return digit


def _crop(digit: NDArray[np.uint8]) -> NDArray[np.uint8]:
    rows, columns = np.nonzero(digit > 40)
    return digit[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def _ellipse(size: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), np.uint8)


def _print(letter: str, rng: np.random.Generator) -> Canvas:
    """Return a letter in one of the fonts."""
    fonts = _fonts()
    image = Image.new("L", (150, 150))
    ImageDraw.Draw(image).text((30, 15), letter, INK, font=fonts[rng.integers(len(fonts))])
    return np.array(image)


@cache
def _fonts() -> list[ImageFont.FreeTypeFont]:
    """Return the fonts that come with matplotlib and contain all the letters."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    files = sorted(file for file in folder.glob("DejaVuS*.ttf") if "Display" not in file.name)
    return [ImageFont.truetype(file, FONT_SIZE_PX) for file in files]
