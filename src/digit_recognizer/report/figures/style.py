"""How all figures look: one width, one palette, and colours that a dark page can exchange.

The colours are those of Okabe and Ito, which people with any kind of colour vision tell apart
(https://jfly.uni-koeln.de/color/); maps of values use matplotlib's perceptually uniform ones.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES, INK

WIDTH = 4.4  # inches: with letters of 9 points half a page is well filled, and a phone still readable
RESOLUTION = 200  # dots an inch, of a PNG

TEXT, GREY, EDGE = "#1f2328", "#59636e", "#d1d9e0"
BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"
DARK = {
    TEXT: "#e6edf3",
    GREY: "#9da7b1",
    EDGE: "#3d444d",
    BLUE: "#56b4e9",
    ORANGE: "#f0883e",
    "#332288": "#8a7fe0",
    "#117733": "#3fae63",
    "#882255": "#d06a96",
}  # what each colour becomes on a dark page

TEN = (
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
)  # one a digit: Paul Tol's "muted", https://personal.sron.nl/~pault/
LINE_COLOURS, DASHES = (BLUE, ORANGE, GREEN, TEXT, "#cc79a7", "#e69f00"), ("-", "--", "-.", ":")  # one a run
SEQUENTIAL, DIVERGING = "viridis", "PuOr_r"  # of values from 0 up; of values around 0
PALE = ListedColormap(mpl.colormaps[DIVERGING](np.linspace(0.18, 0.82, 256)))  # the same, to be drawn over
DIGIT = "digit"  # begins the id of a picture of ink, which a dark page turns over

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
    "figure.facecolor": "none",
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
    """Let a function draw in this style, whatever the caller's matplotlib is set to."""

    @wraps(draw)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with mpl.rc_context(STYLE):
            figure = draw(*args, **kwargs)
            layout = figure.get_layout_engine()
            if layout is not None:  # once for all files, for it takes longer than drawing
                layout.execute(figure)
                figure.set_layout_engine(None)  # "none" would make savefig draw everything twice
                _round_places(figure)
            return figure

    return wrapped


def _round_places(figure: Figure) -> None:
    """Leave the last bits of a layout away, which differ from run to run: files then repeat to the byte."""
    for axes in figure.axes:
        left, bottom, width, height = (round(value, 5) for value in axes.get_position(original=True).bounds)
        axes.set_position((left, bottom, width, height))


def new_figure(height: float) -> Figure:
    """Return an empty figure of the one width, and of a height in inches."""
    return Figure(figsize=(WIDTH, height), layout="constrained")


def as_png(figure: Figure) -> bytes:
    """Return a figure as a PNG on white."""
    file = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(file, format="png", dpi=RESOLUTION, facecolor="white", metadata={"Software": None})
    return file.getvalue()


def as_svg(figure: Figure) -> str:
    """Return a figure as an SVG without a background, whose colours follow the reader's light or dark."""
    file = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context(STYLE):
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    drawing = file.getvalue()[file.getvalue().index("<svg") :]
    head_end = drawing.index(">") + 1
    drawing = drawing[:head_end] + f"<style>{_dark_style()}</style>" + drawing[head_end:]
    return re.sub(r"\n\s*", "\n", drawing)


def mosaic(tiles: NDArray[Any], columns: int, gap: int = 1, fill: float = np.nan) -> NDArray[np.float64]:
    """Lay tiles (N, H, W) out in rows of `columns`, with `gap` pixels of `fill` between them."""
    count, height, width = tiles.shape
    rows = -(-count // columns)
    page = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), fill)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        top, left = row * (height + gap), column * (width + gap)
        page[top : top + height, left : left + width] = tile
    return page


def show_digit(axes: Axes, image: NDArray[Any]) -> None:
    """Show ink (H, W), 0 to 255, dark on light; nan is left out."""
    shown = axes.imshow(image, cmap="gray_r", vmin=0, vmax=INK, interpolation="none")
    shown.set_gid(DIGIT)
    blank(axes)


def blank(axes: Axes, around: str | None = None) -> None:
    """Take ticks and grid away, and the frame but for a colour `around`."""
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(around is not None)
        spine.set_edgecolor(around or EDGE)
        spine.set_linewidth(2)


def label_digits(axes: Axes, names: Sequence[str] = ("x",)) -> None:
    """Write 0 to 9 along one axis or both."""
    for name in names:
        getattr(axes, f"set_{name}ticks")(range(CLASSES), [str(digit) for digit in range(CLASSES)])


def _dark_style() -> str:
    rules = [
        f'[style*="{kind}: {light}"]{{{kind}:{dark}!important}}'
        for light, dark in DARK.items()
        for kind in ("fill", "stroke")
    ]
    rules.append(f'[id^="{DIGIT}"]{{filter:invert(1)}}')
    return f"@media (prefers-color-scheme:dark){{{''.join(rules)}}}"
