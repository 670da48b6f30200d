"""The common style of all figures: one width, one palette, and colours that a dark page can replace.

The palette is that of Okabe and Ito, for all kinds of colour vision (https://jfly.uni-koeln.de/color/).
Colour maps are matplotlib's perceptually uniform ones.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, ParamSpec

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES, INK

WIDTH_IN = 4.4  # with 9-point text this fills half of a page and is still readable on a phone
PNG_DPI = 200
PIXELS_PER_IN = 120  # of a notebook's page

TEXT, GREY, EDGE = "#1f2328", "#59636e", "#d1d9e0"
BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"
DIGIT_COLOURS = (
    "#332288",
    "#88ccee",
    "#44aa99",
    "#117733",
    "#999933",
    "#ddcc77",
    "#cc6677",
    "#882255",
    "#aa4499",
    "#888888",
)  # Paul Tol's "muted" palette, https://personal.sron.nl/~pault/
DARK_COLOURS = {
    TEXT: "#e6edf3",
    GREY: "#9da7b1",
    EDGE: "#3d444d",
    BLUE: "#56b4e9",
    ORANGE: "#f0883e",
    "#332288": "#8a7fe0",
    "#117733": "#3fae63",
    "#882255": "#d06a96",
}  # what replaces each colour on a dark page

POSITIVE_MAP, SIGNED_MAP = "viridis", "PuOr_r"  # colour maps of values from 0, and of values around 0
OVERLAY_MAP = ListedColormap(mpl.colormaps[SIGNED_MAP](np.linspace(0.18, 0.82, 256)))  # pale, below strokes
DIGIT_ID = "digit"  # prefix of the ids of images of digits, which a dark page inverts

STYLE: Any = {
    "axes.edgecolor": EDGE,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelcolor": GREY,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": TEXT,
    "axes.titlesize": 9,
    "figure.autolayout": False,
    "figure.constrained_layout.use": False,
    "figure.facecolor": "white",  # `as_svg` leaves it out
    "font.size": 9,
    "grid.color": EDGE,
    "grid.linewidth": 0.6,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "legend.labelcolor": TEXT,
    "lines.linewidth": 1.6,
    "svg.fonttype": "path",
    "svg.hashsalt": "digits",
    "text.color": TEXT,
    "xtick.color": EDGE,
    "xtick.labelcolor": GREY,
    "xtick.labelsize": 8.5,
    "ytick.color": EDGE,
    "ytick.labelcolor": GREY,
    "ytick.labelsize": 8.5,
}

P = ParamSpec("P")


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Make a function draw in this style, regardless of the caller's matplotlib settings."""

    @wraps(draw)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with mpl.rc_context(STYLE):
            figure = draw(*args, **kwargs)
            layout = figure.get_layout_engine()
            if layout is not None:  # once for both files, because it takes longer than drawing
                layout.execute(figure)
                figure.set_layout_engine(None)  # with "none", savefig would draw everything twice
                _round_positions(figure)
            return figure

    return wrapped


def _round_positions(figure: Figure) -> None:
    """Round the positions of all axes: their last bits vary between runs, but files should not."""
    for axes in figure.axes:
        left, bottom, width, height = (round(value, 5) for value in axes.get_position(original=True).bounds)
        axes.set_position((left, bottom, width, height))


class ShownFigure(Figure):
    """A figure that a notebook shows without pyplot."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """Return the figure on white, so that it is readable in dark themes, and its size on the page."""
        width, height = self.get_size_inches()
        return as_png(self), {"width": round(width * PIXELS_PER_IN), "height": round(height * PIXELS_PER_IN)}


def new_figure(height: float) -> ShownFigure:
    """Return an empty figure of the common width and of a height in inches."""
    return ShownFigure(figsize=(WIDTH_IN, height), layout="constrained")


def image_grid(count: int, columns: int, row_height: float, margin: float = 0.0) -> tuple[Figure, list[Axes]]:
    """Return a figure and axes for images in rows of `columns`; the last row is filled up with empty axes.

    `row_height` and `margin`, the additional height of the figure, are in inches.
    """
    rows = -(-count // columns)
    figure = new_figure(row_height * rows + margin)
    grid = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axes in grid[count:]:
        axes.axis("off")
    return figure, grid


def as_png(figure: Figure) -> bytes:
    """Return a figure as PNG on white."""
    file = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(file, format="png", dpi=PNG_DPI, facecolor="white", metadata={"Software": None})
    return file.getvalue()


def as_svg(figure: Figure) -> str:
    """Return a figure as SVG without a background; its colours adapt to light and dark pages."""
    file = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context(STYLE):
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    drawing = file.getvalue()[file.getvalue().index("<svg") :]
    head_end = drawing.index(">") + 1
    drawing = drawing[:head_end] + f"<style>{_dark_style()}</style>" + drawing[head_end:]
    return re.sub(r"\n\s*", "\n", drawing)


def mosaic(tiles: NDArray[Any], columns: int, gap: int = 1, fill: float = np.nan) -> NDArray[np.float64]:
    """Arrange tiles (N, H, W) in rows of `columns`, with `gap` pixels of `fill` between them."""
    count, height, width = tiles.shape
    rows = -(-count // columns)
    page = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), fill)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        top, left = row * (height + gap), column * (width + gap)
        page[top : top + height, left : left + width] = tile
    return page


def show_digit(axes: Axes, image: NDArray[Any]) -> None:
    """Show ink (H, W), 0 to 255, dark on light; nan is transparent."""
    shown = axes.imshow(image, cmap="gray_r", vmin=0, vmax=INK, interpolation="none")
    shown.set_gid(DIGIT_ID)
    blank(axes)


def blank(axes: Axes, frame: str | None = None) -> None:
    """Remove ticks, grid and frame, or give the frame the colour `frame`."""
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(frame is not None)
        spine.set_edgecolor(frame or EDGE)
        spine.set_linewidth(2)


def label_digits(axes: Axes, names: Sequence[str] = ("x",)) -> None:
    """Label one axis or both with the digits 0 to 9."""
    for name in names:
        getattr(axes, f"set_{name}ticks")(range(CLASSES), [str(digit) for digit in range(CLASSES)])


def label_rows(axes: Axes, names: Iterable[object], height: float, step: float) -> None:
    """Label the rows of a mosaic, which are `height` pixels high and begin `step` pixels apart."""
    words = [str(name) for name in names]
    axes.set_yticks(np.arange(len(words)) * step + height / 2, words)
    axes.tick_params(length=0, labelcolor=GREY)


def subtitle(axes: Axes, text: str) -> None:
    """Write a small grey title above one of several axes."""
    axes.set_title(text, fontsize=8.5, color=GREY)


def _dark_style() -> str:
    rules = [
        f'[style*="{kind}: {light}"]{{{kind}:{dark}!important}}'
        for light, dark in DARK_COLOURS.items()
        for kind in ("fill", "stroke")
    ]
    rules.append(f'[id^="{DIGIT_ID}"]{{filter:invert(1)}}')
    return f"@media (prefers-color-scheme:dark){{{''.join(rules)}}}"
