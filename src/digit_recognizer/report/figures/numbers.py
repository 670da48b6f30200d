"""Figures of numbers that were misread."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from digit_recognizer.digits import INK
from digit_recognizer.report.figures.style import WIDTH_IN, new_figure, styled

COLUMNS = 2
ROW_IN = 0.85  # height of a row of pictures
MAX_SIDE_PX = 400  # of a picture; larger ones are thinned out


@styled
def draw_misread_numbers(pictures: Sequence[NDArray[np.uint8]], titles: Sequence[str]) -> Figure:
    """Draw pictures of numbers, each with a title."""
    rows = -(-len(pictures) // COLUMNS)
    figure = new_figure(max(ROW_IN, ROW_IN * rows))
    figure.set_figwidth(WIDTH_IN)
    grid = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, picture, title in zip(grid, pictures, titles, strict=False):
        step = -(-max(picture.shape) // MAX_SIDE_PX)
        axes.imshow(picture[::step, ::step], cmap="gray", vmin=0, vmax=INK)
        axes.set_title(title, fontsize=8)
    return figure
