"""Summaries of networks: layers, output shapes, parameters, multiply-adds."""

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

WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)  # layers whose multiply-adds are counted


@dataclass(frozen=True, slots=True)
class LayerSummary:
    """One layer of a network."""

    name: str  # such as conv1
    kind: str  # such as Conv
    output_shape: tuple[int, ...]  # of one image, channels last as Keras prints it: (28, 28, 32)
    parameters: int  # numbers stored, as Keras counts them
    trained_parameters: int  # those that the optimizer changes
    multiply_adds: int  # of one image, in convolutions and dense layers


@dataclass(frozen=True, slots=True)
class NetworkSummary:
    """The layers of a network in the order of computation, and totals over all members.

    If the members have different networks, the layers of all are listed, under names such as ``2.conv1``.
    """

    layers: tuple[LayerSummary, ...]
    parameters: int
    trained_parameters: int
    multiply_adds: int
    members: int = 1  # number of networks whose probabilities are averaged


def count_parameters(network: nn.Module) -> tuple[int, int]:
    """Return how many numbers a network stores, as Keras counts them, and how many of them are trained."""
    trained = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    fixed = sum(parameter.numel() for parameter in network.parameters() if not parameter.requires_grad)
    statistics = sum(buffer.numel() for buffer in network.buffers() if buffer.is_floating_point())
    return trained + fixed + statistics, trained


def summarise_recipe(recipe: Recipe, device: str = "meta") -> NetworkSummary:
    """Summarise a recipe's networks; raises `DigitsError` as `build_network`.

    On the device ``meta``, no weights are allocated, but torch takes almost a second to load what it needs.
    For a small network, ``cpu`` takes a tenth of that. A user's function always runs on ``cpu``.
    """
    layers: list[LayerSummary] = []
    totals = np.zeros(3, np.int64)  # parameters, trained parameters, multiply-adds
    architectures = recipe.architectures[: recipe.members]
    for member, architecture in enumerate(architectures, start=1):
        with torch.device("cpu" if isinstance(architecture, str) else device), torch.random.fork_rng([]):
            network = build_network(recipe, member)
            rows = summarise_layers(network)
        members = len(range(member, recipe.members + 1, len(architectures)))  # that have this architecture
        own = (*count_parameters(network), sum(row.multiply_adds for row in rows))
        totals += np.multiply(own, members)
        prefix = f"{member}." if len(architectures) > 1 else ""
        layers += [replace(row, name=prefix + row.name) for row in rows]
    parameters, trained, products = totals.tolist()
    return NetworkSummary(tuple(layers), parameters, trained, products, recipe.members)


def summarise_layers(network: nn.Module) -> list[LayerSummary]:
    """Return a row for each layer, in the order of computation."""
    rows: list[LayerSummary] = []
    products: list[int] = []  # of the weighted layers inside the current one

    def count_products(layer: nn.Module, _inputs: Any, output: Tensor) -> None:
        products.append(_multiply_adds(layer, output))

    def add_row(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(layer: nn.Module, _inputs: Any, output: Any) -> None:
            kind = type(layer).__name__.removeprefix("_")
            rows.append(LayerSummary(name, kind, _shape_of(output), *count_parameters(layer), sum(products)))
            products.clear()

        return hook

    weighted = [layer for layer in network.modules() if isinstance(layer, WEIGHTED)]
    handles = [layer.register_forward_hook(count_products) for layer in weighted]  # run before `add_row`
    children = list(network.named_children()) or [("network", network)]
    handles += [layer.register_forward_hook(add_row(name)) for name, layer in children]
    training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, 1, SIDE, SIDE))
    finally:
        network.train(training)
        for handle in handles:
            handle.remove()
    return rows


def _multiply_adds(layer: nn.Module, output: Tensor) -> int:
    """Return the number of products of a value and a weight that made the output of one image."""
    assert isinstance(layer, WEIGHTED)
    return layer.weight[0].numel() * output.numel()


def _shape_of(output: Any) -> tuple[int, ...]:
    """Return the shape of a layer's output for one image, channels last; of the first tensor of several."""
    while isinstance(output, tuple | list) and output:
        output = output[0]
    if not isinstance(output, Tensor):
        return ()
    shape = tuple(output.shape[1:])
    return (*shape[1:], shape[0]) if len(shape) == 3 else shape
