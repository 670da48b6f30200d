"""Values as HTML for notebooks: plain tables, small pictures and curves.

Texts and lines have the colour that the notebook's theme gives them, and shaded cells let its background
through, so that everything is readable in light and in dark themes.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_SIDE_PX = 800  # of a picture
JPEG_QUALITY = 80
BLUE, ORANGE = "0, 114, 178", "213, 94, 0"  # of Okabe and Ito, as in reports: red, green, blue
MAX_OPACITY = 0.45  # of a shaded cell: text of any theme is readable on it
CURVE_WIDTH_PX, CURVE_HEIGHT_PX = 360, 110  # of the plot, without its labels
MARGIN_PX = 10  # above and below the plot
LABEL_GAP_PX, LABEL_WIDTH_PX = 8, 70  # of the labels on the right
DOT_PX = 2.5  # radius
SPACED = ' style="margin: 0.6em 0 0.2em"'


@dataclass(frozen=True, slots=True)
class Shaded:
    """A cell of a table: its text, its colour, and how strong that is, 0 to 1."""

    text: str
    colour: str
    strength: float

    @property
    def style(self) -> str:
        """The CSS of its background."""
        return f"; background: rgba({self.colour}, {MAX_OPACITY * self.strength:.2f})"


def paragraph(text: str) -> str:
    """Return a line of text."""
    return f"<div{SPACED}>{escape(text)}</div>"


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Return names and values as a table; line breaks in a value stay."""
    style = f"{_aligned('left')}; vertical-align: top; white-space:"
    cells = (
        f'<tr><th style="{style} nowrap">{escape(name)}</th>'
        f'<td style="{style} pre-wrap; overflow-wrap: anywhere">{escape(value)}</td></tr>'
        for name, value in rows
    )
    return f"<table>{''.join(cells)}</table>"


def table(head: Sequence[str], rows: Iterable[Sequence[str | Shaded]]) -> str:
    """Return rows of numbers below their heads."""
    body = "".join(_row(row, "td") for row in rows)
    return f"<table><thead>{_row(head, 'th')}</thead><tbody>{body}</tbody></table>"


def picture(image: Image, alt: str) -> str:
    """Return a picture, made smaller if it is large; `alt` says what it shows."""
    stream, small = BytesIO(), image.copy()
    small.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX))
    small.save(stream, "JPEG", quality=JPEG_QUALITY)
    content = b64encode(stream.getvalue()).decode()
    return f'<img alt="{escape(alt)}" src="data:image/jpeg;base64,{content}">'


def curves(title: str, series: Mapping[str, Sequence[float | None]], unit: str = "") -> str:
    """Return one or two series of numbers as curves, the first blue, the second orange; None leaves a gap."""
    known = [value for values in series.values() for value in values if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    drawn, names = [], []
    for (name, values), colour in zip(series.items(), (BLUE, ORANGE), strict=False):
        drawn.append(_curve(values, low, high, colour))
        names.append(f'<span style="color: rgb({colour})">━</span> {escape(name)}')
    ends = {_height(value, low, high): f"{value:.4g}{unit}" for value in (low, high)}  # one if they are equal
    labels = (
        f'<path d="M0 {y:.1f}H{CURVE_WIDTH_PX}" stroke="currentColor" stroke-opacity="0.3"/>'
        f'<text x="{CURVE_WIDTH_PX + LABEL_GAP_PX}" y="{y + LABEL_GAP_PX / 2:.1f}">{escape(label)}</text>'
        for y, label in ends.items()
    )
    width, height = CURVE_WIDTH_PX + LABEL_WIDTH_PX, CURVE_HEIGHT_PX + 2 * MARGIN_PX
    return (
        f"<div{SPACED}>{escape(title)}: {', '.join(names)}</div>"
        f'<svg role="img" aria-label="{escape(title)}" width="{width}" height="{height}" fill="currentColor" '
        f'font-size="12">{"".join(labels)}{"".join(reversed(drawn))}</svg>'
    )


def _curve(values: Sequence[float | None], low: float, high: float, colour: str) -> str:
    """Return a curve and its points."""
    step = (CURVE_WIDTH_PX - 2 * DOT_PX) / max(len(values) - 1, 1)
    points = [
        (DOT_PX + index * step, _height(value, low, high))
        for index, value in enumerate(values)
        if value is not None
    ]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{DOT_PX}"/>' for x, y in points)
    line = f'<polyline points="{path}" fill="none" stroke="rgb({colour})" stroke-width="1.5"/>'
    return f'{line}<g fill="rgb({colour})">{"".join(dots)}</g>'


def _height(value: float, low: float, high: float) -> float:
    """Return where a value from `low` to `high` is, from the top of the drawing."""
    return MARGIN_PX + CURVE_HEIGHT_PX * (1 - (value - low) / ((high - low) or 1))


def _row(cells: Sequence[str | Shaded], tag: str) -> str:
    return f"<tr>{''.join(_cell(cell, tag) for cell in cells)}</tr>"


def _cell(cell: str | Shaded, tag: str) -> str:
    text, style = (cell.text, cell.style) if isinstance(cell, Shaded) else (cell, "")
    return f'<{tag} style="{_aligned("right")}{style}">{escape(text)}</{tag}>'


def _aligned(side: str) -> str:
    return f"text-align: {side}; padding: 0.15em 0.6em"
