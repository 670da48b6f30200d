"""Every figure is drawn from any plain arrays, and leaves matplotlib's settings unchanged."""

from __future__ import annotations

import io
import subprocess
import sys
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from PIL import Image

from digit_recognizer.digits import Predictions
from digit_recognizer.evaluation import measure_rejection, measure_reliability
from digit_recognizer.report import figures

DRAWN = np.random.default_rng(1)  # for the cases below, in their order
ZEROS = np.zeros(10, np.int64)


def images(*shape: int) -> np.ndarray:
    return DRAWN.integers(0, 256, (*shape, 28, 28)).astype(np.uint8)


def floats(*shape: int) -> np.ndarray:
    return DRAWN.normal(size=shape).astype(np.float32)


def probabilities(count: int) -> np.ndarray:
    weights = DRAWN.random((count, 10)) ** 8
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def labels(count: int) -> np.ndarray:
    return DRAWN.integers(0, 10, count)


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


def random(count: int) -> tuple[Predictions, np.ndarray]:
    return Predictions(probabilities(count)), labels(count)


def perfect() -> tuple[Predictions, np.ndarray]:
    return Predictions(np.eye(10, dtype=np.float32)), np.arange(10)


LONG = np.linspace(0.99, 0.1, 60)
RATES = np.full(60, 0.1)

CASES = {
    "counts": ("counts", np.arange(10) * 1_000, np.arange(10)),
    "counts, none held out": ("counts", np.arange(10), ZEROS),
    "counts, none to train on": ("counts", ZEROS, np.arange(10)),
    "misread numbers": ("misread_numbers", [images(1)[0]] * 5, ["47, read 41"] * 5),
    "examples": ("examples", images(10, 10), range(10)),
    "examples, one column of blanks": ("examples", np.zeros((10, 1, 28, 28), np.uint8), range(10)),
    "augmentation": ("augmentation", images(1)[0], images(12)),
    "augmentation, one draw": ("augmentation", images(1)[0], images(1)),
    "curves": ("curves", LONG, 1 - LONG, LONG + 0.1, 0.9 - LONG * 0.9, RATES),
    "curves, one epoch": ("curves", *(column(0.5),) * 5),
    "curves, no validation": ("curves", LONG, 1 - LONG, None, None, RATES),
    "curves, one epoch, no validation": ("curves", column(2), column(0.1), None, None, column(0.01)),
    "curves, all right": ("curves", *(column(0.1, 0.01), column(1, 1)) * 2, column(1, 1)),
    "curves, all wrong": ("curves", *(column(9, 8), column(0, 0)) * 2, column(1, 1)),
    "curves, a loss of 0": ("curves", *(column(0.1, 0), column(0.9, 1)) * 2, column(1, 1)),
    "compared curves": (
        "compared_curves",
        ["a", "b"],
        [LONG, column(2, 1)],
        [1 - LONG, column(0.5, 1)],
        "training",
    ),
    "compared curves, one epoch each": (
        "compared_curves",
        ["a", "b"],
        [column(2), column(0)],
        [column(0), column(1)],
        "validation",
    ),
    "network": ("network", [("conv1", "Conv", (26, 26, 32)), ("dense1", "Dense", (10,))]),
    "network, one layer": ("network", [("dense1", "Dense", (10,))]),
    "network, one pixel": ("network", [("a", "Conv", (1, 1, 9)), ("b", "Dense", (100_000,))]),
    "confusion": ("confusion_counts", DRAWN.integers(0, 5_000, (10, 10))),
    "confusion, nothing": ("confusion_counts", np.zeros((10, 10), np.int64)),
    "confusion, empty rows": ("confusion_counts", np.diag(np.arange(10) % 2)),
    "confusion in percent": ("confusion_rates", DRAWN.integers(0, 5_000, (10, 10))),
    "confusion in percent, nothing": ("confusion_rates", np.zeros((10, 10), np.int64)),
    "confusion in percent, no errors": ("confusion_rates", np.diag(np.arange(10) % 2)),
    "corrections": ("corrections", images(7), ["1 → 7", *["none → 7, is 1"] * 6], np.arange(7) < 1),
    "corrections, one": ("corrections", images(1), ["7"], np.array([True])),
    "error rates": ("error_rates", np.arange(10), np.full(10, 400)),
    "error rates, no errors": ("error_rates", ZEROS, np.full(10, 5)),
    "error rates, errors only": ("error_rates", np.full(10, 5), np.full(10, 5)),
    "error rates, one digit": ("error_rates", ZEROS, np.arange(10) // 9),
    "errors": ("confident_errors", images(12), labels(12), probabilities(12), np.arange(12)),
    "errors, one": ("confident_errors", images(1), labels(1), probabilities(1), np.arange(1)),
    "errors, none": ("confident_errors", images(0), labels(0), probabilities(0), np.arange(0)),
    "sample": ("sample", images(25), labels(25), probabilities(25)),
    "sample, one image": ("sample", images(1), labels(1), probabilities(1)),
    "reliability": ("reliability", measure_reliability(*random(500))),
    "reliability, one image": ("reliability", measure_reliability(*random(1))),
    "reliability, all right": ("reliability", measure_reliability(*perfect())),
    "rejection": ("rejection", measure_rejection(*random(500))),
    "rejection, one image": ("rejection", measure_rejection(*random(1))),
    "rejection, all right": ("rejection", measure_rejection(*perfect())),
    "filters": ("filters", floats(96, 11, 11)),
    "filters, one of one weight": ("filters", floats(1, 1, 1)),
    "filters, all zero": ("filters", np.zeros((3, 3, 3), np.float32)),
    "slices": ("slices", floats(8, 20, 3, 3)),
    "slices, one": ("slices", floats(1, 1, 1, 1)),
    "slices, wide and all zero": ("slices", np.zeros((3, 2, 2, 5), np.float32)),
    "filter": ("filter", floats(5, 5), images(1)[0], floats(24, 24)),
    "filter, large": ("filter", floats(11, 11), images(1)[0], floats(9, 9)),
    "filter, all zero": (
        "filter",
        np.zeros((1, 1), np.float32),
        np.zeros((28, 28), np.uint8),
        np.zeros((28, 28), np.float32),
    ),
    "maps": ("feature_maps", np.abs(floats(33, 12, 12))),
    "maps, one": ("feature_maps", np.abs(floats(1, 12, 12))),
    "maps, many of one pixel": ("feature_maps", np.abs(floats(128, 1, 1))),
    "maps, all zero": ("feature_maps", np.zeros((8, 12, 12), np.float32)),
    "maps, both signs": ("feature_maps", floats(8, 12, 12)),
    "maps, negative": ("feature_maps", -np.abs(floats(8, 12, 12))),
    "maps, negative and all alike": ("feature_maps", np.full((8, 2, 2), -1, np.float32)),
    "saliency": ("saliency", images(7), floats(7, 28, 28), ["a 1, read as 7"] * 7),
    "saliency, one image, all zero": ("saliency", images(1), np.zeros((1, 28, 28), np.float32), ["a 1"]),
    "strongest images": ("strongest_images", images(8, 10), list(range(8))),
    "strongest images, one image": ("strongest_images", images(1, 1), [3]),
    "map": ("map", floats(200, 2), labels(200), labels(200) == 0),
    "map, one image": ("map", floats(1, 2), np.array([3]), np.array([False])),
    "map, one point, all wrong": ("map", np.zeros((20, 2), np.float32), labels(20), np.ones(20, bool)),
    "disagreements": (
        "disagreements",
        images(5),
        labels(5),
        labels(10).reshape(2, 5),
        probabilities(10)[:, 0].reshape(2, 5),
    ),
    "disagreements, one image, many runs": (
        "disagreements",
        images(1),
        labels(1),
        labels(26)[:, None],
        probabilities(26)[:, :1],
    ),
}


def draw(name: str) -> Figure:
    figure, *arguments = CASES[name]
    return getattr(figures, f"draw_{figure}")(*arguments)


def test_every_figure_has_a_case():
    names = {name for name in figures.__all__ if name.startswith("draw_")}
    assert names == {f"draw_{figure}" for figure, *_ in CASES.values()}


@pytest.mark.parametrize("name", CASES)
def test_a_figure_is_well_formed_svg_without_scripts_or_references(name):
    figure = draw(name)
    assert isinstance(figure, Figure)
    drawing = figures.as_svg(figure)
    assert drawing.startswith("<svg ")  # without a DOCTYPE, which contains a URL
    root = ElementTree.fromstring(drawing)
    kinds = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert kinds & {"path", "image", "use"} or name == "errors, none"
    assert not kinds & {"script", "foreignObject", "iframe", "metadata"}
    for element in root.iter():
        for key, value in element.attrib.items():
            if key.rpartition("}")[2] == "href":
                assert value.startswith(("#", "data:image/png;base64,"))


def test_drawing_neither_changes_nor_uses_the_callers_matplotlib_settings():
    with mpl.rc_context({"font.size": 31, "axes.facecolor": "red", "svg.hashsalt": None}):
        before = dict(mpl.rcParams)
        drawing = figures.as_svg(draw("counts"))
        figures.as_png(draw("counts"))
        assert dict(mpl.rcParams) == before
    assert drawing == figures.as_svg(draw("counts"))


def test_drawing_does_not_import_pyplot_which_would_keep_figures_and_open_windows():
    code = "import sys, digit_recognizer.report.figures; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "matplotlib.figure" in loaded.split()
    assert "matplotlib.pyplot" not in loaded.split()


def test_one_epoch_has_one_tick():
    figure = draw("curves, one epoch")
    low, high = figure.axes[-1].get_xlim()
    assert [tick for tick in figure.axes[-1].get_xticks() if low <= tick <= high] == [1]


def test_few_images_are_counted_in_whole_numbers():
    counts = np.ones(10, np.int64)
    axes = figures.draw_counts(counts, counts).axes[0]
    assert [tick for tick in axes.get_yticks() if tick != round(tick)] == []


@pytest.mark.parametrize(
    ("weight", "word"), [(0.123, ".12"), (-0.5, "-.50"), (10.25, "10.25"), (-20.5, "-20.50"), (0.0, ".00")]
)
def test_a_weight_is_written_without_a_leading_zero(weight, word):
    kernel = np.full((1, 1), weight, np.float32)
    image = np.zeros((28, 28))
    figure = figures.draw_filter(kernel, image.astype(np.uint8), image.astype(np.float32))
    assert [text.get_text() for text in figure.axes[0].texts] == [word]


def test_weights_too_long_for_their_cells_are_not_written():
    kernel, image = np.full((5, 5), -1234.5, np.float32), np.zeros((28, 28), np.uint8)
    assert not figures.draw_filter(kernel, image, image.astype(np.float32)).axes[0].texts


@pytest.mark.parametrize("number", [1, 2, 10])
def test_few_strongest_images_are_as_small_as_many(number):
    figure = figures.draw_strongest_images(np.zeros((3, number, 28, 28), np.uint8), [0, 1, 2])
    assert np.ptp(figure.axes[0].get_xlim()) == 10 * 32 - 4


@pytest.mark.parametrize("name", ["curves", "errors", "maps, both signs", "map", "network"])
def test_the_same_values_give_the_same_drawing(name):
    one, other = draw(name), draw(name)
    assert figures.as_svg(one) == figures.as_svg(one)
    assert figures.as_svg(one) == figures.as_svg(other)
    assert figures.as_png(one) == figures.as_png(other)


@pytest.mark.parametrize("name", ["counts", "maps, one", "network"])
def test_a_png_has_200_dots_per_inch_and_a_white_background(name):
    figure = draw(name)
    with Image.open(io.BytesIO(figures.as_png(figure))) as picture:
        picture.load()
        assert picture.format == "PNG"
        assert picture.size == tuple(int(200 * side + 1e-6) for side in figure.get_size_inches())
        assert picture.getchannel("A").getextrema() == (255, 255)
        assert picture.getpixel((0, 0))[:3] == (255, 255, 255)


def test_an_svg_contains_a_style_for_dark_pages():
    root = ElementTree.fromstring(figures.as_svg(draw("curves")))
    style = root.find("{http://www.w3.org/2000/svg}style")
    assert style is root[0]
    assert style.text.startswith("@media (prefers-color-scheme:dark){")
    assert style.text.count("{") == style.text.count("}")


def styles_of(drawing: str) -> set[str]:
    """Return the style attributes of a drawing."""
    return {element.get("style", "") for element in ElementTree.fromstring(drawing).iter()}


@pytest.mark.parametrize("name", ["curves", "counts", "reliability"])
def test_text_and_lines_have_colours_that_a_dark_page_replaces(name):
    drawing = figures.as_svg(draw(name))
    style = ElementTree.fromstring(drawing)[0].text
    replaced = [rule.partition('"')[2].partition('"')[0] for rule in style.split("}") if '[style*="' in rule]
    assert replaced
    used = [rule for rule in replaced if any(rule in own for own in styles_of(drawing))]
    assert len(used) >= 3
    assert not any("fill: #000000" in own or "stroke: #000000" in own for own in styles_of(drawing))


# The network to scale


def boxes_of(figure: Figure) -> list[tuple[float, float]]:
    """Return the width and height of the front of each box, from top to bottom."""
    filled = [patch for patch in figure.axes[0].patches if isinstance(patch, Polygon) and patch.get_fill()]
    fronts = filled[::3]  # front, above, side
    return [tuple(np.ptp(patch.get_xy(), axis=0)) for patch in fronts]  # type: ignore[attr-defined]


LAYERS = [
    ("conv1", "Conv", (24, 24, 30)),
    ("maxpool1", "MaxPool2d", (12, 12, 30)),
    ("conv2", "Conv", (8, 10, 60)),
    ("dense1", "Dense", (120,)),
    ("dense2", "Dense", (10,)),
]


def test_the_boxes_of_a_network_are_to_scale():
    """The height of a box is its pixels, its width its channels, at most 120 here."""
    boxes = boxes_of(figures.draw_network(LAYERS))
    assert len(boxes) == 1 + len(LAYERS)  # and the image at the top
    assert [height for _, height in boxes] == [28, 24, 12, 8, 1, 1]
    widths = [width for width, _ in boxes]
    np.testing.assert_allclose(np.array(widths) / widths[4], np.array([1, 30, 30, 60, 120, 10]) / 120)


def test_the_depth_of_a_box_is_its_columns():
    """Also if they are not as many as its rows, as in conv2."""
    filled = [patch for patch in figures.draw_network(LAYERS).axes[0].patches if patch.get_fill()]
    tops = filled[1::3]
    depths = [np.ptp(patch.get_xy()[:, 1]) for patch in tops]  # type: ignore[attr-defined]
    np.testing.assert_allclose(np.array(depths) / depths[0], np.array([28, 24, 12, 10, 1, 1]) / 28)


def test_no_box_overlaps_another():
    filled = [patch for patch in figures.draw_network(LAYERS).axes[0].patches if patch.get_fill()]
    spans = [patch.get_xy()[:, 1] for patch in filled]  # type: ignore[attr-defined]
    lows = [min(span.min() for span in spans[start : start + 3]) for start in range(0, len(spans), 3)]
    highs = [max(span.max() for span in spans[start : start + 3]) for start in range(0, len(spans), 3)]
    assert all(low > high for low, high in zip(lows, highs[1:], strict=False))


# Mosaics


def test_a_mosaic_has_its_tiles_in_order_with_gaps_between_them():
    tiles = np.arange(1, 6)[:, None, None] * np.ones((5, 2, 3))
    page = figures.mosaic(tiles, columns=2, gap=1, fill=0)
    assert page.shape == (3 * 2 + 2, 2 * 3 + 1)
    assert page.tolist() == [
        [1, 1, 1, 0, 2, 2, 2],
        [1, 1, 1, 0, 2, 2, 2],
        [0, 0, 0, 0, 0, 0, 0],
        [3, 3, 3, 0, 4, 4, 4],
        [3, 3, 3, 0, 4, 4, 4],
        [0, 0, 0, 0, 0, 0, 0],
        [5, 5, 5, 0, 0, 0, 0],
        [5, 5, 5, 0, 0, 0, 0],
    ]


def test_the_gaps_of_a_mosaic_are_nan():
    page = figures.mosaic(np.ones((3, 2, 2)), columns=2)
    assert np.isnan(page).sum() == page.size - 12
