"""Draw the pictures of docs/reading.md, each with what is read in it: ``python docs/reading.py``.

Nobody wrote these numbers: they are strokes between points, a little different each time, on paper, in light
and with a pen that are made up too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from digit_recognizer import Recognizer
from digit_recognizer.recognition.overlay import draw_reading

Grey = NDArray[np.float64]  # (height, width): of light from 0 to 1, or of ink from 0 to 1
Points = NDArray[np.float64]  # (N, 2): columns and rows

HERE = Path(__file__).parent / "reading"
SHAPE = (200, 640)  # pixels
HEIGHT, LEFT, TOP = 95, 50, 75  # of a digit, and of the first one's corner, in pixels
LETTER_SPACE, WORD_SPACE = 0.8, 1.0  # of a digit's height
TREMBLE = 0.025  # standard deviation of a point, of a digit's height
STEPS = 12  # of a curve between two points
FINE = 4  # times finer is the pen's line than the picture
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
}  # from the upper left corner, in heights of a digit


def _plain() -> Grey:
    return np.ones(SHAPE)


@dataclass(frozen=True, slots=True)
class Scene:
    """What is written on what, and how.

    Attributes
    ----------
    space
        From digit to digit, in heights of a digit.
    width
        Of the pen, in pixels.
    contrast
        Share of the paper's light that the ink takes away.
    joined
        All strokes are one.
    crossed_out
        A line goes through all.
    dark
        Light on dark.
    """

    text: str
    paper: Grey = field(default_factory=_plain)
    space: float = LETTER_SPACE
    width: float = 5
    contrast: float = 0.7
    joined: bool = False
    crossed_out: bool = False
    dark: bool = False


def shaded() -> Grey:
    """Return paper on whose left a shadow with a sharp edge falls."""
    rows, columns = np.indices(SHAPE)
    return 1 - 0.55 / (1 + np.exp((columns + rows - 430) / 4))


def ruled(distance: int, *, squares: bool = False, slope: float = 0, strength: float = 0.25) -> Grey:
    """Return paper with printed lines, level ones or upright ones too."""
    rows, columns = np.indices(SHAPE)
    level = (rows + slope * columns) % distance < 2
    upright = (columns - slope * rows) % distance < 2
    return 1 - strength * (level | upright if squares else level)


SCENES = {
    "shadow": Scene("20 5372", shaded()),
    "ruled": Scene("481 63", ruled(36)),
    "chalk": Scene("2035 84", width=8, dark=True),
    "faint": Scene("7348 12", width=3, contrast=0.12),
    "touching": Scene("25309", space=0.6),
    "squared": Scene("481 63", ruled(24, squares=True, slope=0.06, strength=0.5)),
    "joined": Scene("25309", space=0.6, width=9, joined=True),
    "crossed-out": Scene("2051 63", crossed_out=True),
    "letters": Scene("Tel 205"),
}


def main() -> None:
    """Draw all pictures, and print what is read in each."""
    HERE.mkdir(exist_ok=True)
    recognizer = Recognizer()
    for seed, (name, scene) in enumerate(SCENES.items()):
        page = photo(scene, np.random.default_rng(seed))
        reading = recognizer.read(page)
        draw_reading(page, reading).save(HERE / f"{name}.jpg", quality=85)
        print(f"{name}: {scene.text} read as {' / '.join(reading.text.splitlines())}")


def photo(scene: Scene, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Return a photo of what was written, with the grain of a camera."""
    ink = inked(written(scene, generator), scene.width)
    grain = generator.normal(0, 3, SHAPE)
    page = (235 * scene.paper * (1 - scene.contrast * ink) + grain).clip(0, 255).astype(np.uint8)
    return 255 - page if scene.dark else page


def written(scene: Scene, generator: np.random.Generator) -> list[Points]:
    """Return the strokes of a line of writing."""
    left, strokes = float(LEFT), []
    for letter in scene.text:
        for points in STROKES.get(letter, []):
            shaky = np.array(points) + generator.normal(0, TREMBLE, (len(points), 2))
            strokes.append(np.array([left, TOP]) + HEIGHT * shaky)
        left += HEIGHT * (WORD_SPACE if letter == " " else scene.space)
    if scene.joined:
        strokes = [np.vstack(strokes)]
    if scene.crossed_out:
        strokes.append(np.array([(LEFT - 20, TOP + 60), (left / 2, TOP + 40), (left, TOP + 30)]))
    return strokes


def inked(strokes: list[Points], width: float) -> Grey:
    """Return the ink of strokes, each given by points on it, drawn with a pen of that width."""
    fine = Image.new("L", (SHAPE[1] * FINE, SHAPE[0] * FINE))
    for points in strokes:
        line = [tuple(place) for place in FINE * smooth(points)]
        ImageDraw.Draw(fine).line(line, fill=255, width=round(width * FINE), joint="curve")
    small = fine.resize(SHAPE[::-1], Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(0.8))
    return np.array(small) / 255


def smooth(points: Points) -> Points:
    """Return points on the curve of Catmull and Rom through the given ones."""
    known = np.vstack([2 * points[0] - points[1], points, 2 * points[-1] - points[-2]])
    share = np.linspace(0, 1, STEPS)[:, None]
    pieces = []
    for first, second, third, fourth in zip(known, known[1:], known[2:], known[3:], strict=False):
        bend = 2 * first - 5 * second + 4 * third - fourth
        turn = -first + 3 * second - 3 * third + fourth
        pieces.append(second + (share * (third - first) + share**2 * bend + share**3 * turn) / 2)
    return np.vstack(pieces)


if __name__ == "__main__":
    main()
