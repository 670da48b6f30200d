"""Builds the torch module of a recipe's network.

A network maps float32 images (N, 1, 28, 28), 0 background to 1 ink, to logits (N, 10). Weights are
initialised as in Keras: Glorot uniform, with zero biases (https://keras.io/api/layers/initializers/).
"""

from __future__ import annotations

import copy
import importlib
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from digit_recognizer.digits import SIDE
from digit_recognizer.errors import DigitsError
from digit_recognizer.recipes import layers as spec
from digit_recognizer.recipes.layers import line_error, parse_layers
from digit_recognizer.recipes.recipe import Recipe

BATCH_NORM_EPSILON = 1e-3  # Keras's defaults: https://keras.io/api/layers/normalization_layers/
BATCH_NORM_MOMENTUM = 0.99  # weight of the old value; torch's argument is the weight of the new one

RANDOM_LEVELS = 2**16  # values of the random number that decides whether a value is dropped

Shape = tuple[int, ...]  # of one image's values: (channels, height, width) or (values,)

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "elu": nn.functional.elu,
    "gelu": nn.functional.gelu,
    "leaky-relu": nn.functional.leaky_relu,
    "relu": nn.functional.relu,
    "sigmoid": torch.sigmoid,
    "silu": nn.functional.silu,
    "tanh": torch.tanh,
}


class Layers(nn.Sequential):
    """A network built from layer specifications."""


def build_network(recipe: Recipe, member: int = 1) -> nn.Module:
    """Build the network of a member (from 1) on the default device, with weights from torch's generator.

    Raises `DigitsError` if a layer does not fit the one before it, if the last one does not return the
    recipe's number of logits, or if the network's function cannot be found or fails.
    """
    architecture = recipe.network_of(member)
    if isinstance(architecture, str):
        return _from_function(architecture, recipe.outputs)
    network = _from_lines(architecture, recipe.outputs)
    if recipe.precision.convolution != recipe.precision.dense:  # otherwise autocast is on or off for both
        for layer in network:
            if isinstance(layer, Conv):
                layer.in_float32 = recipe.precision.convolution == "float32"
            elif isinstance(layer, Dense):
                layer.in_float32 = recipe.precision.dense == "float32"
    return network


class Conv(nn.Conv2d):
    """A convolution with Keras's padding, followed by an activation."""

    in_float32 = False  # whether it computes in float32 where autocast lowers the other layers

    def __init__(self, layer: spec.Conv, shape: Shape) -> None:
        super().__init__(shape[0], layer.filters, layer.kernel, layer.stride)
        self.activation = layer.activation
        self.margins = _same_margins(shape, layer) if layer.padding == "same" else (0, 0, 0, 0)
        left, right, top, bottom = self.margins
        if left == right and top == bottom:  # then torch pads during the convolution, which is faster
            self.padding, self.margins = (top, left), (0, 0, 0, 0)

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, filters, H', W')."""
        if any(self.margins):
            images = nn.functional.pad(images, self.margins)
        with _without_autocast(self.in_float32, images):
            values = super().forward(images.float() if self.in_float32 else images)
            return _activate(values, self.activation, in_place=True)


class Dense(nn.Linear):
    """A fully connected layer, followed by an activation."""

    in_float32 = False  # as in `Conv`

    def __init__(self, layer: spec.Dense, shape: Shape) -> None:
        super().__init__(shape[0], layer.units)
        self.activation = layer.activation

    def forward(self, values: Tensor) -> Tensor:
        """Map (N, C) to (N, units)."""
        with _without_autocast(self.in_float32, values):
            values = super().forward(values.float() if self.in_float32 else values)
            return _activate(values, self.activation, in_place=True)


def _without_autocast(disable: bool, values: Tensor) -> AbstractContextManager[object]:
    if disable and torch.amp.is_autocast_available(values.device.type):
        return torch.autocast(values.device.type, enabled=False)
    return nullcontext()


class Dropout(nn.Dropout):
    """Sets values to zero in training with probability `p`, and divides the others by 1 - `p`.

    torch draws one number for each value, on one core, which took 10 to 25 % of a training step of
    `five-layer`. This class draws 64 random bits for four values instead, so `p` is rounded to a multiple of
    1 / 65,536.
    """

    def forward(self, values: Tensor) -> Tensor:
        """Return values of the same shape."""
        dropped = min(round(self.p * RANDOM_LEVELS), RANDOM_LEVELS - 1)  # levels, of 65,536
        if not self.training or not dropped:
            return values
        bits = torch.empty(-(-values.numel() // 4), dtype=torch.int64, device=values.device)
        levels = bits.random_(-(2**63), None).view(torch.int16)  # four for each int64
        levels = levels.as_strided(
            values.shape, torch.empty_like(values).stride()
        )  # same layout as the values
        kept = (levels >= dropped - RANDOM_LEVELS // 2).to(values.dtype)
        return values * kept.mul_(RANDOM_LEVELS / (RANDOM_LEVELS - dropped))


class Flatten(nn.Flatten):
    """All values of an image in one row: channels, then rows, then columns.

    The gradient is returned with channels last, the memory layout of the layers before: pooling and
    activations are up to 19 times as slow if the gradient and the values have different layouts.
    """

    def forward(self, values: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C · H · W)."""
        if values.requires_grad and values.ndim == 4:
            values.register_hook(_with_channels_last)  # type: ignore[no-untyped-call]
        return super().forward(values)


def _with_channels_last(gradient: Tensor) -> Tensor:
    return gradient.contiguous(memory_format=torch.channels_last)


class GlobalPool(nn.Module):
    """The mean over all pixels of each channel."""

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C)."""
        return images.mean(dim=(2, 3))


class Activation(nn.Module):
    """An activation on its own."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, values: Tensor) -> Tensor:
        """Return values of the same shape."""
        return _activate(values, self.name)


def _activate(values: Tensor, name: str | None, *, in_place: bool = False) -> Tensor:
    """Apply an activation; `in_place` only if the gradient does not need the values before it."""
    if name == "relu" and in_place:  # halves the memory traffic, which takes longer than the arithmetic
        return values.relu_()
    return values if name is None else _ACTIVATIONS[name](values)


def _same_margins(shape: Shape, layer: spec.Conv) -> tuple[int, int, int, int]:
    """Return the left, right, top and bottom margins of Keras's padding ``same``; the odd pixel goes last."""
    margins: list[int] = []
    for size, kernel in zip(shape[:0:-1], layer.kernel[::-1], strict=True):  # width first
        total = max((-(-size // layer.stride) - 1) * layer.stride + kernel - size, 0)
        margins += [total // 2, total - total // 2]
    left, right, top, bottom = margins
    return left, right, top, bottom


def _from_lines(lines: Sequence[str], outputs: int) -> Layers:
    network = Layers()
    shape: Shape = (1, SIDE, SIDE)
    for number, (line, layer) in enumerate(zip(lines, parse_layers(lines), strict=True), start=1):
        if isinstance(layer, spec.Dense) and len(shape) > 1:
            shape = _append(network, "flatten", Flatten(), shape)
        try:
            shape = _append(network, line.lower().split()[0], _module(layer, shape), shape)
        except (DigitsError, RuntimeError) as error:
            raise line_error(number, line, error) from error
    if shape != (outputs,):
        found = f"{shape[0]} values" if len(shape) == 1 else f"values of shape {shape}"
        raise DigitsError(
            f"the network ends with {found}; expected {outputs} logits: end it with 'dense {outputs}'"
        )
    network.apply(_initialise)
    return network


def _append(network: nn.Sequential, kind: str, layer: nn.Module, shape: Shape) -> Shape:
    """Append a layer under the next free name (conv1, conv2, …) and return the shape of its output."""
    number = 1
    while f"{kind}{number}" in network._modules:
        number += 1
    network.add_module(f"{kind}{number}", layer)
    with torch.no_grad():
        return tuple(layer.eval()(torch.zeros(1, *shape)).shape[1:])


def _module(layer: spec.Layer, shape: Shape) -> nn.Module:
    """Return the torch module of a layer whose input has the given shape."""
    if len(shape) == 1 and isinstance(layer, spec.Conv | spec.Pool | spec.GlobalPool):
        raise DigitsError("needs an image, but its input is already flattened")
    match layer:
        case spec.Conv():
            _check_window(shape, layer.kernel if layer.padding == "valid" else (1, 1))
            return Conv(layer, shape)
        case spec.Pool():
            _check_window(shape, (layer.size, layer.size))
            pool = nn.MaxPool2d if layer.kind == "max" else nn.AvgPool2d
            return pool(layer.size, layer.stride)
        case spec.GlobalPool():
            return GlobalPool()
        case spec.BatchNorm():
            norm = nn.BatchNorm1d if len(shape) == 1 else nn.BatchNorm2d
            return norm(shape[0], eps=BATCH_NORM_EPSILON, momentum=1 - BATCH_NORM_MOMENTUM)
        case spec.Dropout():
            return Dropout(layer.rate)
        case spec.Flatten():
            return Flatten()
        case spec.Dense():
            return Dense(layer, shape)
        case spec.Activation():
            return Activation(layer.name)


def _check_window(shape: Shape, window: tuple[int, int]) -> None:
    if window[0] > shape[1] or window[1] > shape[2]:
        raise DigitsError(
            f"a window of {window[0]}x{window[1]} does not fit into its input of {shape[1]}x{shape[2]} pixels"
        )


def _initialise(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(layer.weight)  # Glorot uniform; Xavier is Glorot's first name
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _from_function(name: str, outputs: int) -> nn.Module:
    """Return the network that a user's ``module:function`` builds."""
    module_name, _, function_name = name.partition(":")
    sys.path.insert(0, str(Path.cwd()))  # a console script does not search the current folder
    try:
        network = getattr(importlib.import_module(module_name), function_name)()
        problem = _problem_of(network, outputs)
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        raise DigitsError(f"network {name!r} failed: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    if problem:
        raise DigitsError(f"network {name!r} {problem}")
    return network  # type: ignore[no-any-return]


def _problem_of(network: Any, outputs: int) -> str | None:
    """Return why a user's network cannot be trained or saved; None if it can."""
    if not isinstance(network, nn.Module):
        return f"returns {type(network).__name__}; expected a torch.nn.Module"
    if not any(parameter.requires_grad for parameter in network.parameters()):
        return "has no parameters to train"
    stored = [tensor.data_ptr() for tensor in network.state_dict().values() if tensor.numel()]
    if len(set(stored)) < len(stored):
        return "uses one tensor in two places, which cannot be saved: give each layer its own"
    probe = copy.deepcopy(network)  # the probe's batch normalisation is updated, not the network's
    for training in (False, True):
        with torch.no_grad():
            shape = tuple(probe.train(training)(torch.zeros(2, 1, SIDE, SIDE)).shape)
        if shape != (2, outputs):
            return f"returns shape {shape} for a batch of two; expected (2, {outputs})"
    return None
