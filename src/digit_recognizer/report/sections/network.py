"""The network: its layers as a table and as a drawing to scale."""

from __future__ import annotations

from functools import partial

from digit_recognizer.errors import DigitsError
from digit_recognizer.networks.summary import LayerSummary, NetworkSummary, summarise_recipe
from digit_recognizer.report import figures
from digit_recognizer.report.blocks import Block, Note, Picture, Section, Table
from digit_recognizer.runs.run import Run

MAX_CPU_PARAMETERS = 2_000_000  # of all members; larger networks are outlined without weights, see below
SAME_SHAPE_KINDS = {"Activation", "BatchNorm1d", "BatchNorm2d", "Dropout", "Flatten"}  # not drawn


def show_network(run: Run) -> Section:
    """Show what the network consists of."""
    lead = "All layers, from input to output."
    if run.recipe.members > 1:
        lead += f" The model averages {run.recipe.members} such networks, each with its own initial weights."
    # The device "meta" makes no weights, but torch takes most of a second to load what it needs for that.
    device = "cpu" if run.metrics.parameters <= MAX_CPU_PARAMETERS else "meta"
    try:
        network = summarise_recipe(run.recipe, device)
    except DigitsError as error:  # a network of the user's own whose module cannot be imported here
        return Section("network", "Network", lead, [Note("Layers", f"The network cannot be built: {error}.")])
    return Section("network", "Network", lead, [_table(network), _drawing(network)])


def _table(network: NetworkSummary) -> Table:
    rows = [
        [
            _name(layer),
            " × ".join(map(str, layer.output_shape)),
            f"{layer.parameters:,}",
            f"{layer.multiply_adds:,}",
        ]
        for layer in network.layers
    ]
    rows.append(["total", "", f"{network.parameters:,}", f"{network.multiply_adds:,}"])
    return Table(
        "Layers",
        "Output shape for one image, channels last. Parameters are counted as in Keras. Multiply-adds are "
        "products of a weight and a value; they account for most of the computing time.",
        ("layer", "output", "parameters", "multiply-adds"),
        rows,
        frozenset({1, 2, 3}),
        wide=False,
    )


def _name(layer: LayerSummary) -> str:
    """Return the name of a layer, with its kind unless the name begins with it."""
    word = layer.name.rpartition(".")[2].rstrip("0123456789").replace("-", "")
    return layer.name if word and layer.kind.lower().startswith(word) else f"{layer.name} ({layer.kind})"


def _drawing(network: NetworkSummary) -> Block:
    title = "Layer sizes"
    layers = [
        (layer.name, layer.kind, layer.output_shape)
        for layer in network.layers
        if layer.kind not in SAME_SHAPE_KINDS and len(layer.output_shape) in (1, 3)
    ]
    of_first = ""
    if any(name.startswith("2.") for name, _, _ in layers):  # members with different networks
        layers = [layer for layer in layers if layer[0].startswith("1.")]
        of_first = " of the first network"
    if not layers:
        return Note(title, "None of the layers outputs an image or a vector.")
    return Picture(
        "network",
        title,
        f"The output of each layer{of_first}, drawn to scale: the height and depth of a box show the "
        "size in pixels, and its width shows the number of channels (or values, for dense layers). "
        "Convolutions are blue, pooling layers green, dense layers orange.",
        "Boxes drawn to scale for the image, 28 × 28 × 1, and the output of each layer: "
        f"{', '.join(name for name, _, _ in layers)}.",
        partial(figures.draw_network, layers),
    )
