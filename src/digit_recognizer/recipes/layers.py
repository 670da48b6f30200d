"""Layer specifications: the lines that describe a recipe's network, from input to output.

============================  ====================================================================
line                          layer
============================  ====================================================================
``conv 32 5x5 same relu``     convolution: filters, kernel; ``stride 2``; ``same`` or ``valid``
``maxpool 2``                 maximum over 2×2 pixels; the stride is the window size by default
``avgpool 2``                 mean over 2×2 pixels; likewise
``global-avgpool``            mean over all pixels of each channel
``batchnorm``                 batch normalisation
``dropout 0.25``              sets a quarter of the values to zero, in training only
``flatten``                   all values in one row; ``dense`` flattens its input itself
``dense 256 relu``            fully connected: units
``relu``                      an activation on its own
============================  ====================================================================

An activation is one of `ACTIVATIONS`. The default padding is ``valid``, as in Keras. The last layer returns
the logits; the softmax belongs to every model and is not written. Nothing here needs torch, so a wrong line
is found when the recipe is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from digit_recognizer.errors import DigitsError

ACTIVATIONS = ("elu", "gelu", "leaky-relu", "relu", "sigmoid", "silu", "tanh")


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution with a bias, followed by an activation."""

    filters: int
    kernel: tuple[int, int]  # height, width
    stride: int = 1
    padding: Literal["valid", "same"] = "valid"
    activation: str | None = None


@dataclass(frozen=True, slots=True)
class Pool:
    """The maximum or mean over square windows; windows that cross the border are left out."""

    kind: Literal["max", "avg"]
    size: int
    stride: int


@dataclass(frozen=True, slots=True)
class GlobalPool:
    """The mean over all pixels of each channel."""


@dataclass(frozen=True, slots=True)
class BatchNorm:
    """Batch normalisation, per channel."""


@dataclass(frozen=True, slots=True)
class Dropout:
    """Sets a fraction of the values to zero in training."""

    rate: float


@dataclass(frozen=True, slots=True)
class Flatten:
    """All values of an image in one row."""


@dataclass(frozen=True, slots=True)
class Dense:
    """A fully connected layer with a bias, followed by an activation."""

    units: int
    activation: str | None = None


@dataclass(frozen=True, slots=True)
class Activation:
    """An activation on its own."""

    name: str


Layer = Conv | Pool | GlobalPool | BatchNorm | Dropout | Flatten | Dense | Activation


def parse_layers(lines: Sequence[str]) -> list[Layer]:
    """Parse the lines of a network; an error names the line and what was expected."""
    layers = []
    for number, line in enumerate(lines, start=1):
        try:
            layers.append(parse_layer(line))
        except DigitsError as error:
            raise line_error(number, line, error) from None
    return layers


def line_error(number: int, line: str, problem: object) -> DigitsError:
    """Return the error for one line of a network, counted from 1."""
    return DigitsError(f"network line {number} ({line!r}): {problem}")


def parse_layer(line: str) -> Layer:
    """Parse one line, in upper or lower case."""
    tokens = line.lower().split()
    if not tokens:
        raise DigitsError("the line is empty; expected a layer such as 'conv 32 5x5 same relu'")
    kind = tokens.pop(0)
    if kind in ACTIVATIONS:
        layer: Layer = Activation(kind)
    elif kind in _PARSERS:
        layer = _PARSERS[kind](tokens)
    else:
        known = ", ".join(_PARSERS)
        raise DigitsError(f"there is no layer {kind!r}; expected one of {known}, or an activation")
    if tokens:
        raise DigitsError(f"unexpected {' '.join(tokens)!r} at the end")
    return layer


# Each of these removes the tokens that it understands from the front of the list.


def _conv(tokens: list[str]) -> Conv:
    filters, kernel = _positive(tokens, "the number of filters"), _kernel(tokens)
    stride = 1
    padding: Literal["valid", "same"] = "valid"
    while tokens and tokens[0] in ("stride", "same", "valid"):
        option = tokens.pop(0)
        if option == "stride":
            stride = _positive(tokens, "the stride")
        else:
            padding = "same" if option == "same" else "valid"
    return Conv(filters, kernel, stride, padding, _activation(tokens))


def _pool(kind: Literal["max", "avg"], tokens: list[str]) -> Pool:
    size = stride = _positive(tokens, "the window size")
    if tokens and tokens[0] == "stride":
        tokens.pop(0)
        stride = _positive(tokens, "the stride")
    return Pool(kind, size, stride)


def _dropout(tokens: list[str]) -> Dropout:
    text = tokens.pop(0) if tokens else ""
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not 0 <= rate < 1:
        raise DigitsError(f"expected a rate from 0 to below 1, such as 'dropout 0.25', found {text!r}")
    return Dropout(rate)


_PARSERS: dict[str, Callable[[list[str]], Layer]] = {
    "conv": _conv,
    "maxpool": lambda tokens: _pool("max", tokens),
    "avgpool": lambda tokens: _pool("avg", tokens),
    "global-avgpool": lambda _: GlobalPool(),
    "batchnorm": lambda _: BatchNorm(),
    "dropout": _dropout,
    "flatten": lambda _: Flatten(),
    "dense": lambda tokens: Dense(_positive(tokens, "the number of units"), _activation(tokens)),
}


def _positive(tokens: list[str], quantity: str) -> int:
    text = tokens.pop(0) if tokens else ""
    if not re.fullmatch(r"[1-9][0-9]{0,5}", text):
        raise DigitsError(f"expected {quantity}, a whole number from 1 to 999999, found {text!r}")
    return int(text)


def _kernel(tokens: list[str]) -> tuple[int, int]:
    text = tokens.pop(0) if tokens else ""
    match = re.fullmatch(r"([1-9][0-9]?)[x×]([1-9][0-9]?)", text)
    if not match:
        raise DigitsError(f"expected a kernel such as 5x5, found {text!r}")
    return int(match[1]), int(match[2])


def _activation(tokens: list[str]) -> str | None:
    if not tokens:
        return None
    name = tokens.pop(0)
    if name == "softmax":
        raise DigitsError("remove the softmax: every model applies it to the logits")
    if name not in ACTIVATIONS:
        raise DigitsError(f"did not understand {name!r}; expected one of {', '.join(ACTIVATIONS)}")
    return name
