"""Printed characters and words, in the fonts that come with matplotlib."""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from digit_recognizer.digits import INK
from digit_recognizer.synthetic.ink import Patch, tight

PATTERNS = ("DejaVuS*.ttf", "STIXGeneral*.ttf", "cmr10.ttf", "cmss10.ttf", "cmtt10.ttf", "cmb10.ttf",
            "cmti10.ttf")  # fmt: skip
MEASURED_PX = 100  # font size at which the height of digits is measured
MIN_FONT_PX = 4


@cache
def font_files() -> tuple[Path, ...]:
    """Return the font files, which all contain digits and letters."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    files = sorted(file for pattern in PATTERNS for file in folder.glob(pattern))
    return tuple(file for file in files if "Display" not in file.name)


def print_text(text: str, font: Path, digit_height: float) -> Patch:
    """Print a text; `digit_height` is the height of a digit of this font in pixels."""
    size = max(MIN_FONT_PX, round(digit_height / _digit_height(font)))
    scaled = _load(font, size)
    left, top, right, bottom = (round(edge) for edge in scaled.getbbox(text, anchor="ls"))
    left, top, right, bottom = left - 1, top - 1, right + 1, bottom + 1
    canvas = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(canvas).text((-left, -top), text, INK, font=scaled, anchor="ls")
    return tight(Patch(np.array(canvas), left, top))


@cache
def _digit_height(font: Path) -> float:
    """Return the height of a digit relative to the font size."""
    box = _load(font, MEASURED_PX).getbbox("5", anchor="ls")
    return float(box[3] - box[1]) / MEASURED_PX


@lru_cache(maxsize=512)
def _load(font: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font, size)
