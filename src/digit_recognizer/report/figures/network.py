"""Figure of the network: the output of each layer, drawn to scale."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from digit_recognizer.digits import SIDE
from digit_recognizer.report.figures.style import BLUE, GREEN, GREY, ORANGE, WIDTH_IN, new_figure, styled

LAYER_COLOURS = {"Conv": BLUE, "Dense": ORANGE, "input": GREY}  # GREEN for all other kinds

# The unit of the drawing is a pixel of an image.
FIGURE_WIDTH = 124.0
NAME_X, SHAPE_X = -46.0, -24.0  # left ends of the texts; the boxes begin at 0
MAX_BOX_WIDTH = 60.0  # of the front
MIN_BOX_WIDTH = 0.4
MIN_ROW_HEIGHT = 6.0  # room for the text
ROW_GAP = 3.0
RECEDING_FRACTION = 0.35  # of the depth of a box: how far its receding edges go, both right and up


@styled
def draw_network(layers: Sequence[tuple[str, str, tuple[int, ...]]]) -> Figure:
    """Draw the output of each layer as a box: height and depth are pixels, its width is channels or values.

    `layers` has a name, a kind and an output shape each, (height, width, channels) or (values,).
    """
    boxes = [(name, kind, shape if len(shape) == 3 else (1, 1, shape[-1])) for name, kind, shape in layers]
    boxes = [("image", "input", (SIDE, SIDE, 1)), *boxes]
    heights = [max(shape[0] * (1 + RECEDING_FRACTION), MIN_ROW_HEIGHT) + ROW_GAP for _, _, shape in boxes]
    channel_width = MAX_BOX_WIDTH / max(shape[2] for _, _, shape in boxes)
    figure = new_figure(WIDTH_IN * sum(heights) / FIGURE_WIDTH + 0.1)
    axes = figure.subplots()
    bottom = 0.0
    for (name, kind, shape), height in zip(boxes, heights, strict=True):
        bottom -= height
        margin = (height - shape[0] * (1 + RECEDING_FRACTION)) / 2
        _draw_box(axes, bottom + margin, shape, channel_width, LAYER_COLOURS.get(kind, GREEN))
        middle = bottom + height / 2
        axes.text(NAME_X, middle, name, va="center", fontweight="bold", fontsize=8.5)
        size = " × ".join(f"{side:,}" for side in (shape if shape[0] > 1 or shape[1] > 1 else shape[2:]))
        axes.text(SHAPE_X, middle, size, va="center", color=GREY, fontsize=8)
    right = MAX_BOX_WIDTH + SIDE * RECEDING_FRACTION + 6
    axes.set(xlim=(NAME_X, right), ylim=(bottom, 0), aspect="equal")
    axes.axis("off")
    return figure


def _draw_box(axes: Axes, bottom: float, shape: tuple[int, ...], channel_width: float, colour: str) -> None:
    """Draw a box in oblique projection: channels to the right, rows upwards, columns receding."""
    height, depth = float(shape[0]), shape[1] * RECEDING_FRACTION
    right, top = max(shape[2] * channel_width, MIN_BOX_WIDTH), bottom + height
    front = [(0, bottom), (right, bottom), (right, top), (0, top)]
    above = [(0, top), (right, top), (right + depth, top + depth), (depth, top + depth)]
    side = [(right, bottom), (right + depth, bottom + depth), (right + depth, top + depth), (right, top)]
    for corners, opacity in ((front, 0.75), (above, 0.45), (side, 0.3)):
        axes.add_patch(Polygon(corners, facecolor=colour, alpha=opacity, linewidth=0))
        axes.add_patch(Polygon(corners, fill=False, edgecolor=colour, linewidth=0.6))
