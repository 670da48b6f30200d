"""Draw the pictures of docs/reading.md, each with its reading: ``python docs/reading.py``.

The numbers are synthetic: strokes through given points, with random deviations, on synthetic paper.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from digit_recognizer import Recognizer

Grey = NDArray[np.float64]  # (H, W), 0 to 1: light, or ink
Points = NDArray[np.float64]  # (N, 2): columns and rows

OUTPUT_FOLDER = Path(__file__).parent / "reading"
PAGE_SHAPE = (200, 640)  # rows and columns
DIGIT_HEIGHT_PX = 95
FIRST_LEFT_PX, FIRST_TOP_PX = 50, 75  # of the first digit
DIGIT_SPACING, SPACE_WIDTH = 0.8, 1.0  # of a digit's height
POINT_SIGMA = 0.025  # of a digit's height: random deviation of a point
CURVE_STEPS = 12  # between two points
SUPERSAMPLING = 4  # strokes are drawn this many times larger
STROKES: dict[str, list[list[tuple[float, float]]]] = {
    "0": [[(0.5, 0.03), (0.15, 0.25), (0.1, 0.7), (0.35, 1), (0.6, 0.75), (0.62, 0.3), (0.45, 0.02)]],
    "1": [[(0.2, 0.22), (0.37, 0.02), (0.36, 0.5), (0.34, 1)]],
    "2": [[(0.1, 0.25), (0.3, 0.0), (0.55, 0.2), (0.4, 0.6), (0.08, 0.97), (0.35, 0.95), (0.65, 0.96)]],
    "3": [[(0.1, 0.12), (0.4, 0.0), (0.52, 0.25), (0.28, 0.46), (0.58, 0.7), (0.38, 1), (0.05, 0.88)]],
    "4": [
        [(0.35, 0.0), (0.2, 0.35), (0.06, 0.62), (0.35, 0.6), (0.68, 0.58)],
        [(0.5, 0.3), (0.47, 0.6), (0.44, 1)],
    ],
    "5": [
        [(0.15, 0.02), (0.12, 0.4), (0.4, 0.4), (0.58, 0.7), (0.35, 1), (0.05, 0.9)],
        [(0.15, 0.03), (0.6, 0.0)],
    ],
    "6": [[(0.5, 0.0), (0.2, 0.4), (0.1, 0.8), (0.35, 1), (0.55, 0.75), (0.35, 0.55), (0.14, 0.75)]],
    "7": [[(0.05, 0.06), (0.3, 0.04), (0.6, 0.03), (0.42, 0.45), (0.28, 1)]],
    "8": [
        [
            (0.5, 0.12),
            (0.25, 0.02),
            (0.15, 0.25),
            (0.5, 0.6),
            (0.5, 0.9),
            (0.25, 0.98),
            (0.2, 0.65),
            (0.52, 0.1),
        ]
    ],
    "9": [[(0.55, 0.15), (0.3, 0.02), (0.12, 0.25), (0.3, 0.5), (0.55, 0.2), (0.53, 0.6), (0.45, 1)]],
    "T": [[(0.0, 0.04), (0.35, 0.02), (0.7, 0.0)], [(0.36, 0.02), (0.34, 0.5), (0.33, 1)]],
    "e": [[(0.1, 0.72), (0.45, 0.68), (0.35, 0.45), (0.1, 0.65), (0.2, 0.98), (0.5, 0.9)]],
    "l": [[(0.2, 0.0), (0.18, 0.5), (0.18, 1)]],
}  # columns and rows from the upper left corner, in heights of a digit


def _plain() -> Grey:
    return np.ones(PAGE_SHAPE)


@dataclass(frozen=True, slots=True)
class Scene:
    """A text, the paper, and how it is written."""

    text: str
    paper: Grey = field(default_factory=_plain)
    spacing: float = DIGIT_SPACING  # from digit to digit, in heights of a digit
    pen_width: float = 5  # pixels
    contrast: float = 0.7  # fraction of the paper's brightness that the ink removes
    joined: bool = False  # all in one stroke
    crossed_out: bool = False
    light_on_dark: bool = False


def shaded() -> Grey:
    """Return paper with a shadow on the left that has a sharp edge."""
    rows, columns = np.indices(PAGE_SHAPE)
    return 1 - 0.55 / (1 + np.exp((columns + rows - 430) / 4))


def ruled(distance: int, *, squares: bool = False, slope: float = 0, strength: float = 0.25) -> Grey:
    """Return paper with horizontal lines, and vertical ones if `squares`."""
    rows, columns = np.indices(PAGE_SHAPE)
    horizontal = (rows + slope * columns) % distance < 2
    vertical = (columns - slope * rows) % distance < 2
    return 1 - strength * (horizontal | vertical if squares else horizontal)


SCENES = {
    "shadow": Scene("20 5372", shaded()),
    "ruled": Scene("481 63", ruled(36)),
    "chalk": Scene("2035 84", pen_width=8, light_on_dark=True),
    "faint": Scene("7348 12", pen_width=3, contrast=0.12),
    "touching": Scene("25309", spacing=0.6),
    "squared": Scene("481 63", ruled(24, squares=True, slope=0.06, strength=0.5)),
    "joined": Scene("25309", spacing=0.6, pen_width=9, joined=True),
    "crossed-out": Scene("2051 63", crossed_out=True),
    "letters": Scene("Tel 205"),
}
TABLE = ["17  42", "203 86", "5   90"]  # the rows of table.jpg, which is shown without its reading


def main() -> None:
    """Draw all pictures, and print the reading of each."""
    OUTPUT_FOLDER.mkdir(exist_ok=True)
    recognizer = Recognizer()
    for seed, (name, scene) in enumerate(SCENES.items()):
        page = photograph(scene, np.random.default_rng(seed))
        reading = recognizer.read(page)
        reading.draw().save(OUTPUT_FOLDER / f"{name}.jpg", quality=85)
        print(f"{name}: {scene.text} read as {' / '.join(reading.text.splitlines())}")
    rows = [photograph(Scene(text), np.random.default_rng(row)) for row, text in enumerate(TABLE, start=100)]
    Image.fromarray(np.vstack(rows)).save(OUTPUT_FOLDER / "table.jpg", quality=85)


def photograph(scene: Scene, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Return a photo of a scene, with the noise of a camera."""
    ink = draw_strokes(make_strokes(scene, generator), scene.pen_width)
    noise = generator.normal(0, 3, PAGE_SHAPE)
    page = (235 * scene.paper * (1 - scene.contrast * ink) + noise).clip(0, 255).astype(np.uint8)
    return 255 - page if scene.light_on_dark else page


def make_strokes(scene: Scene, generator: np.random.Generator) -> list[Points]:
    """Return the strokes of a scene, each given by points on it."""
    left, strokes = float(FIRST_LEFT_PX), []
    for letter in scene.text:
        for points in STROKES.get(letter, []):
            moved = np.array(points) + generator.normal(0, POINT_SIGMA, (len(points), 2))
            strokes.append(np.array([left, FIRST_TOP_PX]) + DIGIT_HEIGHT_PX * moved)
        left += DIGIT_HEIGHT_PX * (SPACE_WIDTH if letter == " " else scene.spacing)
    if scene.joined:
        strokes = [np.vstack(strokes)]
    if scene.crossed_out:
        strokes.append(np.array([(FIRST_LEFT_PX - 20, 135), (left / 2, 115), (left, 105)]))
    return strokes


def draw_strokes(strokes: list[Points], pen_width: float) -> Grey:
    """Return the ink of strokes, (H, W)."""
    large = Image.new("L", (PAGE_SHAPE[1] * SUPERSAMPLING, PAGE_SHAPE[0] * SUPERSAMPLING))
    for points in strokes:
        line = [tuple(point) for point in SUPERSAMPLING * interpolate(points)]
        ImageDraw.Draw(large).line(line, fill=255, width=round(pen_width * SUPERSAMPLING), joint="curve")
    small = large.resize(PAGE_SHAPE[::-1], Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(0.8))
    return np.array(small) / 255


def interpolate(points: Points) -> Points:
    """Return points on the Catmull-Rom spline through the given points."""
    knots = np.vstack([2 * points[0] - points[1], points, 2 * points[-1] - points[-2]])
    t = np.linspace(0, 1, CURVE_STEPS)[:, None]
    pieces = []
    for first, second, third, fourth in zip(knots, knots[1:], knots[2:], knots[3:], strict=False):
        quadratic = 2 * first - 5 * second + 4 * third - fourth
        cubic = -first + 3 * second - 3 * third + fourth
        pieces.append(second + (t * (third - first) + t**2 * quadratic + t**3 * cubic) / 2)
    return np.vstack(pieces)


if __name__ == "__main__":
    main()
