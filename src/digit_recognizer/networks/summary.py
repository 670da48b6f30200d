"""A torch module ► what it is made of: layers, output shapes, parameters, multiply-adds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from digit_recognizer.digits import SIDE
from digit_recognizer.networks.build import build_network
from digit_recognizer.recipes.recipe import Recipe

WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)  # layers whose time goes into multiply-adds

Shape = tuple[int, ...]  # of one image's values, channels last


@dataclass(frozen=True, slots=True)
class LayerSummary:
    """One row of a network's summary.

    Attributes
    ----------
    name, kind
        Such as ``conv1`` and ``Conv``.
    output_shape
        Of one image, channels last as Keras prints it: (28, 28, 32).
    parameters, trained_parameters
        Numbers stored, and how many of them the optimizer changes.
    multiply_adds
        Products of a weight and a value that one image takes, in convolutions and dense layers.
    """

    name: str
    kind: str
    output_shape: Shape
    parameters: int
    trained_parameters: int
    multiply_adds: int


@dataclass(frozen=True, slots=True)
class NetworkSummary:
    """A network without its weights.

    Attributes
    ----------
    layers
        In the order in which an image passes them; where members have different networks those of each,
        one network behind the other, under names such as ``2.conv1``.
    parameters, trained_parameters
        Numbers stored by all members, as Keras counts them, and how many of them the optimizer changes.
    multiply_adds
        Products that one image takes, in all layers of all members together.
    members
        How many networks are averaged.
    """

    layers: tuple[LayerSummary, ...]
    parameters: int
    trained_parameters: int
    multiply_adds: int
    members: int = 1


def count_parameters(network: nn.Module) -> tuple[int, int]:
    """Return how many numbers a network stores, as Keras counts them, and how many of them are trained."""
    trained = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    fixed = sum(parameter.numel() for parameter in network.parameters() if not parameter.requires_grad)
    statistics = sum(buffer.numel() for buffer in network.buffers() if buffer.is_floating_point())
    return trained + fixed + statistics, trained


def summarise_recipe(recipe: Recipe, device: str = "meta") -> NetworkSummary:
    """Return the outline of a recipe's network.

    Parameters
    ----------
    recipe
        The recipe.
    device
        Where networks in lines are built: on ``meta``, weights are never made, but torch takes most of a
        second to load what it needs there; on ``cpu``, a small network takes a tenth of that.

    Raises
    ------
    DigitsError
        As `build_network`.
    """
    rows: list[LayerSummary] = []
    totals = np.zeros(3, np.int64)  # parameters, trained ones, products
    networks = recipe.architectures[: recipe.members]
    for number, lines in enumerate(networks, start=1):
        with torch.device("cpu" if isinstance(lines, str) else device), torch.random.fork_rng([]):
            network = build_network(recipe, number)
            layers = summarise_layers(network)
        times = len(range(number, recipe.members + 1, len(networks)))
        products = sum(layer.multiply_adds for layer in layers)
        totals += np.multiply((*count_parameters(network), products), times)
        prefix = f"{number}." if len(networks) > 1 else ""
        rows += [replace(layer, name=prefix + layer.name) for layer in layers]
    parameters, trained, products = totals.tolist()
    return NetworkSummary(tuple(rows), parameters, trained, products, recipe.members)


def summarise_layers(network: nn.Module) -> list[LayerSummary]:
    """Return a row for each layer, in the order in which an image passes them."""
    rows: list[LayerSummary] = []
    products: list[int] = []  # of the layer at work

    def count(layer: nn.Module, _inputs: Any, output: Tensor) -> None:
        products.append(_multiply_adds(layer, output))

    def note(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(layer: nn.Module, _inputs: Any, output: Any) -> None:
            parameters = count_parameters(layer)
            rows.append(LayerSummary(name, _kind(layer), _shape_of(output), *parameters, sum(products)))
            products.clear()

        return hook

    weighted = (layer for layer in network.modules() if isinstance(layer, WEIGHTED))
    handles = [layer.register_forward_hook(count) for layer in weighted]  # before the notes on the same layer
    children = list(network.named_children()) or [("network", network)]
    handles += [layer.register_forward_hook(note(name)) for name, layer in children]
    try:
        _send_one(network)
    finally:
        for handle in handles:
            handle.remove()
    return rows


def _send_one(network: nn.Module) -> None:
    """Send one blank image through a network as when it infers."""
    training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, 1, SIDE, SIDE))
    finally:
        network.train(training)


def _multiply_adds(layer: nn.Module, output: Tensor) -> int:
    """Return how many products of values and weights made `output`, which is of one image."""
    assert isinstance(layer, WEIGHTED)
    each = layer.weight[0].numel()  # products for one value of the output
    return each * output.numel()


def _shape_of(output: Any) -> Shape:
    """Return the shape of what a layer makes of one image, channels last; of the first of several tensors."""
    while isinstance(output, tuple | list) and output:
        output = output[0]
    if not isinstance(output, Tensor):
        return ()
    shape = tuple(output.shape[1:])
    return (*shape[1:], shape[0]) if len(shape) == 3 else shape


def _kind(layer: nn.Module) -> str:
    return type(layer).__name__.removeprefix("_")
