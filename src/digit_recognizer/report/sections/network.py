"""The network: its layers as a table, and to scale."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from digit_recognizer.errors import DigitsError
from digit_recognizer.networks.summary import LayerSummary, NetworkSummary, summarise_recipe
from digit_recognizer.report import figures
from digit_recognizer.report.blocks import Block, Note, Picture, Section, Table
from digit_recognizer.report.subject import Run

SMALL = 2_000_000  # parameters, of all members together
UNDRAWN = {"Activation", "BatchNorm1d", "BatchNorm2d", "Dropout", "Flatten"}  # they leave the shape as it is


def show_network(run: Run) -> Section:
    """Show what the network is made of."""
    lead = "Each layer, in the order in which an image passes them."
    if run.recipe.members > 1:
        lead += f" The model averages {run.recipe.members} such networks, each from other first weights."
    try:
        network = summarise_recipe(run.recipe, "cpu" if run.metrics["parameters"] <= SMALL else "meta")
    except DigitsError as error:  # a function of the user's own that is not at hand
        return Section("network", "The network", lead, [Note("Layers", f"It cannot be built here: {error}.")])
    return Section("network", "The network", lead, [_table(network), _drawing(network)])


def _table(network: NetworkSummary) -> Table:
    rows = [
        [_name(layer), _shape(layer), f"{layer.parameters:,}", f"{layer.multiply_adds:,}"]
        for layer in network.layers
    ]
    rows.append(["together", "", f"{network.parameters:,}", f"{network.multiply_adds:,}"])
    return Table(
        "Layers",
        "Output shapes of one image, channels last; parameters as Keras counts them; multiply-adds are "
        "products of a weight and a value, which is where the time goes.",
        ("layer", "output", "parameters", "multiply-adds"),
        rows,
        frozenset({1, 2, 3}),
        wide=False,
    )


def _name(layer: LayerSummary) -> str:
    """Return a layer's name, and what it is where the name does not begin with that."""
    word = layer.name.rpartition(".")[2].rstrip("0123456789").replace("-", "")
    return layer.name if word and layer.kind.lower().startswith(word) else f"{layer.name} ({layer.kind})"


def _shape(layer: LayerSummary) -> str:
    return " × ".join(map(str, layer.output_shape))


def _drawing(network: NetworkSummary) -> Block:
    layers = [
        (layer.name, layer.kind, layer.output_shape)
        for layer in network.layers
        if layer.kind not in UNDRAWN and len(layer.output_shape) in (1, 3)
    ]
    several = any(name.startswith("2.") for name, _, _ in layers)
    layers = [layer for layer in layers if layer[0].startswith("1.")] if several else layers
    if not layers:
        return Note("To scale", "None of its layers gives an image or a row of values.")
    return Picture(
        "network",
        "To scale",
        f"What each layer{' of the first network' if several else ''} gives: height and depth of a box are "
        "pixels, its width is channels (or values, after the convolutions), all boxes on one scale each way. "
        "Convolutions are blue, pooling is green, dense layers are orange.",
        f"Boxes to scale from the image, 28 × 28 × 1, over {_names(layers)}, to ten values.",
        partial(figures.draw_network, layers),
    )


def _names(layers: Sequence[tuple[str, str, tuple[int, ...]]]) -> str:
    return ", ".join(name for name, _, _ in layers)
