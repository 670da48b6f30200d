"""Contact sheets: many pictures with captions in one PNG, to look at the errors of a set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

CELL_PX = (230, 190)  # width and height of a picture with its caption
CAPTION_PX = 46
MARGIN_PX = 6
COLUMNS = 7
MAX_PICTURES = 84  # of a sheet
MAX_ZOOM = 4.0
MAX_CAPTION = 34  # characters of a line
PAPER, PICTURES_EDGE, CAPTION_INK = 255, 180, 0


@dataclass(frozen=True, slots=True, eq=False)
class Error:
    """A picture, or the part of one, that was read wrongly."""

    name: str
    page: NDArray[np.uint8]  # (H, W)
    expected: str
    read: str


def write_errors(folder: Path, name: str, errors: Sequence[Error]) -> None:
    """Write all errors of a set to ``NAME.tsv`` and the pictures of the first to ``NAME.png``."""
    lines = ["file\texpected\tread", *("\t".join(_columns(error)) for error in errors)]
    (folder / f"{name}.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    if errors:
        contact_sheet(errors[:MAX_PICTURES]).save(folder / f"{name}.png")


def contact_sheet(errors: Sequence[Error]) -> Image.Image:
    """Return pictures in rows, each above its name, what was expected and what was read."""
    columns = min(COLUMNS, len(errors))
    rows = -(-len(errors) // columns)
    sheet = Image.new("L", (columns * CELL_PX[0], rows * CELL_PX[1]), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for number, error in enumerate(errors):
        left, top = number % columns * CELL_PX[0] + MARGIN_PX, number // columns * CELL_PX[1] + MARGIN_PX
        picture = _fitted(error.page)
        sheet.paste(picture, (left, top))
        draw.rectangle((left, top, left + picture.width, top + picture.height), outline=PICTURES_EDGE)
        caption = "\n".join(text[:MAX_CAPTION] for text in _columns(error))
        draw.multiline_text(
            (left, top + CELL_PX[1] - CAPTION_PX - MARGIN_PX), caption, CAPTION_INK, font, spacing=1
        )
    return sheet


def _columns(error: Error) -> tuple[str, str, str]:
    return error.name, _one_line(error.expected), _one_line(error.read)


def _one_line(text: str) -> str:
    return " / ".join(text.splitlines()) or "(nothing)"


def _fitted(page: NDArray[np.uint8]) -> Image.Image:
    room = CELL_PX[0] - 2 * MARGIN_PX, CELL_PX[1] - CAPTION_PX - 2 * MARGIN_PX
    zoom = min(room[0] / page.shape[1], room[1] / page.shape[0], MAX_ZOOM)
    size = [max(1, round(zoom * side)) for side in reversed(page.shape)]
    return Image.fromarray(page).resize((size[0], size[1]), Image.Resampling.LANCZOS)
