"""A recipe's list of layers ► a torch module.

A network maps float32 images (N, 1, 28, 28), 0 background to 1 ink, to ten logits (N, 10). Weights start as
in Keras: Glorot uniform, zero biases (https://keras.io/api/layers/initializers/).
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
from digit_recognizer.recipes.recipe import Network, Recipe

BATCH_NORM_EPSILON = 1e-3  # Keras's defaults: https://keras.io/api/layers/normalization_layers/
BATCH_NORM_MOMENTUM = 0.99  # of the old value; torch counts the new value's share

RANDOM_LEVELS = 2**16  # of a random number that decides whether a value is dropped

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
    """A network read from a recipe's lines."""


def build_network(recipe: Recipe, member: int = 1) -> nn.Module:
    """Build a member's network on the current torch device, its weights drawn from torch's generator.

    Parameters
    ----------
    recipe
        What to build.
    member
        Which of the recipe's members, counted from 1.

    Raises
    ------
    DigitsError
        A layer does not fit the one before it, the last one does not give as many logits as the recipe
        needs, or the function that it names cannot be found or fails.
    """
    layers: Network = recipe.network_of(member)
    if isinstance(layers, str):
        return _from_function(layers, recipe.outputs)
    network = _from_lines(layers, recipe.outputs)
    if recipe.precision.convolution != recipe.precision.dense:  # else autocast is on for both, or off
        for layer in network:
            if isinstance(layer, Conv):
                layer.in_float32 = recipe.precision.convolution == "float32"
            elif isinstance(layer, Dense):
                layer.in_float32 = recipe.precision.dense == "float32"
    return network


class Conv(nn.Conv2d):
    """A convolution with Keras's padding, and the activation behind it."""

    in_float32 = False  # whether it computes in float32 where autocast lowers the other layers

    def __init__(self, layer: spec.Conv, shape: Shape) -> None:
        super().__init__(shape[0], layer.filters, layer.kernel, layer.stride)
        self.activation = layer.activation
        self.margins = _same_margins(shape, layer) if layer.padding == "same" else (0, 0, 0, 0)
        left, right, top, bottom = self.margins
        if left == right and top == bottom:  # then torch pads while it convolves, which is faster
            self.padding, self.margins = (top, left), (0, 0, 0, 0)

    def forward(self, images: Tensor) -> Tensor:
        """Bring (N, C, H, W) to (N, filters, H', W')."""
        if any(self.margins):
            images = nn.functional.pad(images, self.margins)
        with _leaving_autocast(self.in_float32, images):
            values = super().forward(images.float() if self.in_float32 else images)
            return _activate(values, self.activation, in_place=True)


class Dense(nn.Linear):
    """A fully connected layer, and the activation behind it."""

    in_float32 = False  # as in `Conv`

    def __init__(self, layer: spec.Dense, shape: Shape) -> None:
        super().__init__(shape[0], layer.units)
        self.activation = layer.activation

    def forward(self, values: Tensor) -> Tensor:
        """Bring (N, C) to (N, units)."""
        with _leaving_autocast(self.in_float32, values):
            values = super().forward(values.float() if self.in_float32 else values)
            return _activate(values, self.activation, in_place=True)


def _leaving_autocast(leaving: bool, values: Tensor) -> AbstractContextManager[object]:
    if leaving and torch.amp.is_autocast_available(values.device.type):
        return torch.autocast(values.device.type, enabled=False)
    return nullcontext()


class Dropout(nn.Dropout):
    """Sets values to zero at random in training, with probability `p`, and divides the others by 1 - `p`.

    torch draws a number for each value, on one processor, which took a tenth to a quarter of a step of
    `five-layer`. Here 64 random bits serve four values, so that `p` is rounded to a multiple of 1 / 65,536.
    """

    def forward(self, values: Tensor) -> Tensor:
        """Return values of the same shape."""
        dropped = min(round(self.p * RANDOM_LEVELS), RANDOM_LEVELS - 1)
        if not self.training or not dropped:
            return values
        words = torch.empty(-(-values.numel() // 4), dtype=torch.int64, device=values.device)
        levels = words.random_(-(2**63), None).view(torch.int16)
        levels = levels.as_strided(values.shape, torch.empty_like(values).stride())  # laid out as the values
        kept = (levels >= dropped - RANDOM_LEVELS // 2).to(values.dtype)
        return values * kept.mul_(RANDOM_LEVELS / (RANDOM_LEVELS - dropped))


class Flatten(nn.Flatten):
    """All values of an image in one row, channels before rows and columns.

    The gradient goes back with channels last, as the layers before it keep their values: pooling and
    activations are up to nineteen times as slow where the gradient and the values are laid out differently.
    """

    def forward(self, values: Tensor) -> Tensor:
        """Bring (N, C, H, W) to (N, C · H · W)."""
        if values.requires_grad and values.ndim == 4:
            values.register_hook(_with_channels_last)  # type: ignore[no-untyped-call]
        return super().forward(values)


def _with_channels_last(gradient: Tensor) -> Tensor:
    return gradient.contiguous(memory_format=torch.channels_last)


class GlobalPool(nn.Module):
    """The mean over all pixels."""

    def forward(self, images: Tensor) -> Tensor:
        """Bring (N, C, H, W) to (N, C)."""
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
    """Apply an activation; `in_place` only where the values before it are not needed for gradients."""
    if name == "relu" and in_place:  # half the memory to write, which takes longer than the arithmetic
        return values.relu_()
    return values if name is None else _ACTIVATIONS[name](values)


def _same_margins(shape: Shape, layer: spec.Conv) -> tuple[int, int, int, int]:
    """Return left, right, top and bottom margins so that stride 1 keeps the size; the odd pixel goes last."""
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
        raise DigitsError(
            f"the network ends with {_in_words(shape)}; expected {outputs} logits: end it with "
            f"'dense {outputs}'"
        )
    network.apply(_initialise)
    return network


def _append(network: nn.Sequential, word: str, layer: nn.Module, shape: Shape) -> Shape:
    """Add a layer under the next free name (conv1, conv2, …) and return the shape behind it."""
    number = 1
    while f"{word}{number}" in network._modules:
        number += 1
    network.add_module(f"{word}{number}", layer)
    with torch.no_grad():
        return tuple(layer.eval()(torch.zeros(1, *shape)).shape[1:])


def _module(layer: spec.Layer, shape: Shape) -> nn.Module:
    """Return the torch module of one layer behind values of a given shape."""
    if len(shape) == 1 and isinstance(layer, spec.Conv | spec.Pool | spec.GlobalPool):
        raise DigitsError("needs an image, but the values before it are in one row already")
    match layer:
        case spec.Conv():
            _must_fit(shape, layer.kernel if layer.padding == "valid" else (1, 1))
            return Conv(layer, shape)
        case spec.Pool():
            _must_fit(shape, (layer.size, layer.size))
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


def _must_fit(shape: Shape, window: tuple[int, int]) -> None:
    if window[0] > shape[1] or window[1] > shape[2]:
        raise DigitsError(
            f"a window of {window[0]}x{window[1]} does not fit the {shape[1]}x{shape[2]} pixels before it"
        )


def _initialise(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(layer.weight)  # Glorot's and Xavier's are one
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _from_function(name: str, outputs: int) -> nn.Module:
    module_name, _, function_name = name.partition(":")
    sys.path.insert(0, str(Path.cwd()))  # a console script does not look there by itself
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
    """Say what keeps a user's network from being trained and saved; None if nothing does."""
    if not isinstance(network, nn.Module):
        return f"gives {type(network).__name__}; expected a torch.nn.Module"
    if not any(parameter.requires_grad for parameter in network.parameters()):
        return "has no parameters to train"
    stored = [tensor.data_ptr() for tensor in network.state_dict().values() if tensor.numel()]
    if len(set(stored)) < len(stored):
        return "uses a tensor in two places, which cannot be saved: give each layer its own"
    probe = copy.deepcopy(network)  # batch normalisation remembers what it meets in training
    for training in (False, True):
        with torch.no_grad():
            shape = tuple(probe.train(training)(torch.zeros(2, 1, SIDE, SIDE)).shape)
        if shape != (2, outputs):
            return f"makes values of shape {shape} of two images; expected (2, {outputs})"
    return None


def _in_words(shape: Shape) -> str:
    return f"{shape[0]} values" if len(shape) == 1 else f"values of shape {shape}"
