"""What stands on pages and is no number: words, letters, signatures, doodles, ticks, crossed-out digits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from digit_recognizer.synthetic.alphabet import SINGLE_LETTERS, write_character
from digit_recognizer.synthetic.fonts import font_files, print_text
from digit_recognizer.synthetic.glyphs import DIGIT_CHARACTERS, Hand, write_with_pen
from digit_recognizer.synthetic.ink import Curve, Patch, Shape, bend, draw_curves, tight
from digit_recognizer.synthetic.non_digits import KINDS

Rng = np.random.Generator

PRINTED_SINGLE = (
    "ACEFHKLMNPRTUVWXYacdefhkmnprtuvwxyÄÖÜäöüßÆæéñ?!&@$€£#*§=<>(){}[]~^ЖДИЙКЛМПФЦШЩЫЮЯжийкмнпцшщыюя"
)
FREQUENT = "etaoinshrdlucmfwypvbgkjqxz"  # letters by their frequency in English
LETTER_WEIGHTS = 1 / (np.arange(26) + 3.0)
LETTER_WEIGHTS /= LETTER_WEIGHTS.sum()
DOODLES = ("filled outlines", "hearts", "spirals", "blots", "crossed-out")
SIGNS = "#=*#€$"  # around amounts
P_JOINED_LETTERS = 0.5


def sample_word(rng: Rng, low: int = 2, high: int = 9) -> str:
    """Return random letters: lower case, capitalised, or capitals."""
    letters = "".join(rng.choice(list(FREQUENT), int(rng.integers(low, high + 1)), p=LETTER_WEIGHTS))
    kind = rng.random()
    return letters if kind < 0.5 else letters.capitalize() if kind < 0.8 else letters.upper()


def write_word(word: str, em: float, hand: Hand, rng: Rng) -> Patch:
    """Write a word with a pen; its letters may be joined."""
    shape = Shape(hand.aspect * rng.uniform(0.7, 1.0), hand.slant)
    matrix, curves, column, previous = shape.matrix().T * em, [], 0.0, None
    is_joined = rng.random() < P_JOINED_LETTERS
    for letter in word:
        strokes = [stroke @ matrix for stroke in write_character(letter, rng, 0.4)]
        left = min(stroke[:, 0].min() for stroke in strokes)
        strokes = [stroke + np.array([column - left, 0.0]) for stroke in strokes]
        if is_joined and previous is not None:
            curves.append(np.stack([previous, strokes[0][0]]))
        curves += strokes
        previous = strokes[-1][-1]
        column = max(stroke[:, 0].max() for stroke in strokes) + em * rng.uniform(0.04, 0.2)
    return draw_curves([bend(curve, em, rng) for curve in curves], hand.pen_px(em))


def _word(em: float, hand: Hand, rng: Rng) -> Patch:
    return write_word(sample_word(rng), em, hand, rng)


def _printed_word(em: float, _hand: Hand, rng: Rng) -> Patch:
    files = font_files()
    text = " ".join(sample_word(rng) for _ in range(rng.integers(1, 4))) + str(
        rng.choice(["", "", ":", "..."])
    )
    return print_text(text, files[rng.integers(len(files))], em * rng.uniform(0.4, 1.1))


def _letter(em: float, hand: Hand, rng: Rng) -> Patch:
    return write_with_pen(
        SINGLE_LETTERS[rng.integers(len(SINGLE_LETTERS))], em * rng.uniform(0.8, 1.3), hand, rng
    )


def _printed_letter(em: float, _hand: Hand, rng: Rng) -> Patch:
    letter = PRINTED_SINGLE[rng.integers(len(PRINTED_SINGLE))]
    files = font_files() if letter.isascii() and letter.isalpha() else _dejavu_files()
    return print_text(letter, files[rng.integers(len(files))], em * rng.uniform(0.7, 1.3))


def _dejavu_files() -> list[Path]:
    """Return the fonts that hold letters of other scripts."""
    return [file for file in font_files() if file.name.startswith("DejaVu")]


def _signature(em: float, hand: Hand, rng: Rng) -> Patch:
    """Chain loops and waves that run to the right."""
    count = int(rng.integers(25, 90))
    t = np.linspace(0, 1, count)
    frequencies, phases = rng.uniform(2, 14, 4), rng.uniform(0, 6.28, 4)
    heights = em * rng.uniform(0.1, 0.6, 2) * (1 - 0.6 * t[:, None] * rng.random())
    rows = heights[:, 0] * np.sin(6.28 * frequencies[0] * t + phases[0])
    rows += heights[:, 1] * np.sin(6.28 * frequencies[1] * t + phases[1])
    columns = em * rng.uniform(2, 6) * t + em * rng.uniform(0.05, 0.4) * np.cos(
        6.28 * frequencies[0] * t + phases[2]
    )
    curve = np.stack([columns, rows], axis=1)
    curves = [curve]
    if rng.random() < 0.4:
        curves.append(np.stack([[0, em * 0.5], [columns.max(), em * rng.uniform(0.2, 0.6)]]))
    return draw_curves(curves, hand.pen_px(em) * 0.8)


def _chain(em: float, hand: Hand, rng: Rng) -> Patch:
    """Draw a character of no script: three to six strokes, arcs and loops, many of them connected."""
    curves: list[Curve] = []
    end = rng.uniform(0, 1, 2)
    for _ in range(rng.integers(3, 7)):
        start = end if rng.random() < 0.6 else rng.uniform(0, 1, 2)
        curves.append(_stroke(start, rng))
        end = curves[-1][-1] if rng.random() < 0.7 else curves[-1][len(curves[-1]) // 2]
    size = em * rng.uniform(0.7, 1.2) / max(0.3, float(np.ptp(np.concatenate(curves)[:, 1])))
    return draw_curves([curve * (size, size) for curve in curves], hand.pen_px(em))


def _stroke(start: Curve, rng: Rng) -> Curve:
    """Return a line, an arc or a loop from a place."""
    angle, length, kind = rng.uniform(0, 6.28), rng.uniform(0.3, 0.9), rng.random()
    if rng.random() < 0.5:
        angle = np.round(angle / 1.571) * 1.571 + rng.normal(0, 0.1)
    step = length * np.array([np.cos(angle), np.sin(angle)])
    if kind < 0.5:
        return np.stack([start, start + step])
    turn = rng.uniform(1.5, 4.5) if kind < 0.85 else rng.uniform(5.5, 8)
    angles = angle + np.linspace(0, turn * rng.choice([-1, 1]), 14)
    steps = np.stack([np.cos(angles), np.sin(angles)], axis=1) * (length * rng.uniform(1, 1.6) / 14)
    return np.asarray(start + np.cumsum(steps, axis=0), np.float64)


def _tick(em: float, hand: Hand, rng: Rng) -> Patch:
    """Tick, or mark with a cross, possibly in a small box."""
    size = em * rng.uniform(0.5, 1.3)
    tick = np.array([[0, 0.6], [0.3, 1], [rng.uniform(0.7, 1.3), rng.uniform(-0.3, 0.3)]])
    cross = [np.array([[0, 0], [1, 1.0]]), np.array([[1, 0], [0, 1.0]])]
    curves = [tick] if rng.random() < 0.5 else cross
    curves = [curve + rng.normal(0, 0.07, curve.shape) for curve in curves]
    if rng.random() < 0.5:
        curves.append(np.array([[-0.1, -0.1], [1.1, -0.1], [1.1, 1.1], [-0.1, 1.1], [-0.1, -0.1]]))
    return draw_curves([curve * size for curve in curves], hand.pen_px(em))


def _crossed_out(em: float, hand: Hand, rng: Rng) -> Patch:
    """Write a digit or two and scribble over them."""
    patch = hand.write(DIGIT_CHARACTERS[rng.integers(10)], em, hand, rng)
    height, width = patch.ink.shape
    canvas = np.pad(patch.ink, 4)
    count = int(rng.integers(6, 14))
    columns = np.where(np.arange(count) % 2, 4, width + 4) + rng.normal(0, 0.1 * width, count)
    rows = np.linspace(4, height + 4, count) + rng.normal(0, 0.08 * height, count)
    scribble = np.stack([columns, rows], axis=1)
    if rng.random() < 0.4:
        scribble = scribble[rng.permutation(count)]
    lines = [np.rint(scribble * 16).astype(np.int32)]
    cv2.polylines(canvas, lines, False, 255, max(1, round(hand.pen_px(em))), cv2.LINE_AA, 4)
    return tight(Patch(canvas, -4, patch.top - 4))


def _doodle(em: float, hand: Hand, rng: Rng) -> Patch:
    """Draw a face, heart, spiral, blot or scribble."""
    kind = KINDS[DOODLES[rng.integers(len(DOODLES))]]
    canvas = kind.draw(rng, hand.glyphs.bitmaps[0].images)
    ink = tight(Patch(canvas, 0, 0)).ink
    factor = max(4.0, em * rng.uniform(0.7, 2)) / max(ink.shape)
    size = max(2, round(ink.shape[1] * factor)), max(2, round(ink.shape[0] * factor))
    return Patch(np.asarray(cv2.resize(ink, size, interpolation=cv2.INTER_AREA), np.uint8), 0, -size[1])


def _shape(em: float, hand: Hand, rng: Rng) -> Patch:
    """Draw a polygon, possibly open, or up to three shapes upon each other."""
    curves = [_polygon(rng)]
    for _ in range(rng.choice([0, 0, 1, 2])):
        other = _polygon(rng) if rng.random() < 0.6 else _stroke(rng.uniform(-0.5, 0.5, 2), rng)
        curves.append(other * rng.uniform(0.3, 1.1) + rng.normal(0, 0.35, 2))
    size = em * rng.uniform(0.6, 1.5)
    return draw_curves([curve * (size, size) for curve in curves], hand.pen_px(em))


def _solid(em: float, hand: Hand, rng: Rng) -> Patch:
    """Draw a box, a cylinder or a cone, as people draw them."""
    if rng.random() < 0.5:
        base = _polygon(rng)
    else:
        angles = np.linspace(0, 6.5, 20)
        base = np.stack([0.5 * np.cos(angles), rng.uniform(0.1, 0.3) * np.sin(angles)], axis=1)
    shift = rng.uniform((-0.6, 0.5), (0.6, 1.2))
    top = base * (rng.uniform(0.8, 1.2) if rng.random() < 0.75 else 0.0) + shift
    corners = rng.choice(len(base), min(len(base), int(rng.integers(2, 6))), replace=False)
    curves = [base, *([top] if np.ptp(top) else []), *(np.stack([base[c], top[c]]) for c in corners)]
    kept = [curve for curve in curves if rng.random() < 0.93] or curves
    size = em * rng.uniform(0.6, 1.3)
    return draw_curves([curve * (size, size) for curve in kept], hand.pen_px(em))


def _arrow(em: float, hand: Hand, rng: Rng) -> Patch:
    """Draw an arrow in any direction."""
    angle, length, head = rng.uniform(0, 6.28), em * rng.uniform(0.7, 1.5), em * rng.uniform(0.2, 0.45)
    end = length * np.array([np.cos(angle), np.sin(angle)])
    barbs = angle + 3.14 + np.array([-1, 1]) * rng.uniform(0.35, 0.8) + rng.normal(0, 0.1, 2)
    points = [end + head * np.array([np.cos(barb), np.sin(barb)]) for barb in barbs]
    curves = [np.stack([np.zeros(2), end]), np.stack([points[0], end, points[1]])]
    return draw_curves([bend(curve, em, rng) for curve in curves], hand.pen_px(em))


def _polygon(rng: Rng) -> Curve:
    """Return a polygon with three to six corners; its ends may cross or leave a gap."""
    count = int(rng.integers(3, 7))
    angles = rng.uniform(0, 6.28) + np.linspace(0, 6.28, count + 1) + rng.normal(0, 0.12, count + 1)
    radii = 0.5 + rng.normal(0, 0.06 if rng.random() < 0.6 else 0.15, count + 1)
    corners = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1) * (rng.uniform(0.5, 1.4), 1)
    corners[-1] = corners[0] + rng.normal(0, 0.04, 2)
    if rng.random() < 0.3:
        corners[-1] += (corners[-1] - corners[-2]) * rng.uniform(-0.15, 0.25)
    return np.asarray(corners, np.float64)


def _script(em: float, hand: Hand, rng: Rng) -> Patch:
    """Draw a character of no script: two or three of them side by side or upon each other, joined."""
    parts: list[Curve] = []
    at = np.zeros(2)
    is_row = rng.random() < 0.6
    for _ in range(rng.integers(2, 4)):
        curves: list[Curve] = []
        end = rng.uniform(0, 0.8, 2)
        for _ in range(rng.integers(2, 4)):
            curves.append(_stroke(end, rng))
            end = curves[-1][-1] if rng.random() < 0.6 else rng.uniform(0, 0.8, 2)
        points = np.concatenate(curves)
        low, high = points.min(axis=0), points.max(axis=0)
        parts += [curve - low + at for curve in curves]
        at = at + (high - low + rng.uniform(-0.15, 0.12)) * ((1, 0) if is_row else (0, 1))
    size = em * rng.uniform(0.7, 1.3) / max(0.4, float(np.ptp(np.concatenate(parts)[:, 1])))
    return draw_curves([bend(part * (size, size), em, rng) for part in parts], hand.pen_px(em))


def _sign(em: float, hand: Hand, rng: Rng) -> Patch:
    """Write a sign as they stand around amounts, by pen or printed."""
    if rng.random() < 0.5:
        return print_text(SIGNS[rng.integers(len(SIGNS))], font_files()[0], em)
    bars = [np.array([[0, row], [0.7, row + rng.normal(0, 0.05)]]) for row in (-0.65, -0.35)]
    if rng.random() < 0.5:
        bars += [np.array([[column + 0.1, -0.95], [column, -0.05]]) for column in (0.2, 0.45)]
    return draw_curves([bar * em for bar in bars], hand.pen_px(em))


SCRIBBLES: dict[str, tuple[float, Callable[[float, Hand, Rng], Patch]]] = {
    "word": (0.1, _word),
    "printed word": (0.11, _printed_word),
    "letter": (0.11, _letter),
    "printed letter": (0.1, _printed_letter),
    "chain": (0.1, _chain),
    "script": (0.1, _script),
    "shape": (0.08, _shape),
    "solid": (0.05, _solid),
    "arrow": (0.03, _arrow),
    "signature": (0.05, _signature),
    "tick": (0.05, _tick),
    "crossed out": (0.05, _crossed_out),
    "doodle": (0.05, _doodle),
    "sign": (0.02, _sign),
}  # weight, and how a non-digit is drawn
SCRIBBLE_KINDS = tuple(SCRIBBLES)
SCRIBBLE_WEIGHTS = np.array([weight for weight, _ in SCRIBBLES.values()])


def draw_scribble(em: float, hand: Hand, rng: Rng, kind: str | None = None) -> Patch:
    """Draw a non-digit of about `em` pixels; `kind` is a key of `SCRIBBLES`, by default any."""
    kind = kind or SCRIBBLE_KINDS[rng.choice(len(SCRIBBLE_KINDS), p=SCRIBBLE_WEIGHTS)]
    patch = SCRIBBLES[kind][1](em, hand, rng)
    return patch.moved(-patch.left, 0)
