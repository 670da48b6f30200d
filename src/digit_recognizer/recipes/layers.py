"""The words that a recipe's network is written in: one line a layer, read from top to bottom.

============================  ====================================================================
line                          layer
============================  ====================================================================
``conv 32 5x5 same relu``     convolution: filters, kernel; ``stride 2``; ``same`` or ``valid``
``maxpool 2``                 maximum over 2×2 pixels; ``stride 1`` where it is not the size
``avgpool 2``                 mean over 2×2 pixels, likewise
``global-avgpool``            mean over all pixels of each channel
``batchnorm``                 batch normalisation
``dropout 0.25``              sets a quarter of the values to zero, in training only
``flatten``                   all values in one row; ``dense`` does that by itself
``dense 256 relu``            fully connected: units
``relu``                      an activation on its own
============================  ====================================================================

An activation is one of `ACTIVATIONS`; padding is ``valid`` unless said, as in Keras. The last layer gives
ten logits: the softmax belongs to the model and is not written. Nothing here needs torch, so that a
wrong line is found when the recipe is read.
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
    """A convolution with a bias, and the activation behind it."""

    filters: int
    kernel: tuple[int, int]  # height, width
    stride: int = 1
    padding: Literal["valid", "same"] = "valid"
    activation: str | None = None


@dataclass(frozen=True, slots=True)
class Pool:
    """The maximum or the mean over square windows that lie inside the image."""

    kind: Literal["max", "avg"]
    size: int
    stride: int


@dataclass(frozen=True, slots=True)
class GlobalPool:
    """The mean over all pixels of each channel."""


@dataclass(frozen=True, slots=True)
class BatchNorm:
    """Batch normalisation over all but the channels."""


@dataclass(frozen=True, slots=True)
class Dropout:
    """Sets this share of the values to zero in training."""

    rate: float


@dataclass(frozen=True, slots=True)
class Flatten:
    """All values of an image in one row."""


@dataclass(frozen=True, slots=True)
class Dense:
    """A fully connected layer with a bias, and the activation behind it."""

    units: int
    activation: str | None = None


@dataclass(frozen=True, slots=True)
class Activation:
    """An activation on its own."""

    name: str


Layer = Conv | Pool | GlobalPool | BatchNorm | Dropout | Flatten | Dense | Activation


def parse_layers(lines: Sequence[str]) -> list[Layer]:
    """Read a network's lines.

    Raises
    ------
    DigitsError
        A line is not understood; the message names it by number (from 1) and says what was expected.
    """
    layers = []
    for number, line in enumerate(lines, start=1):
        try:
            layers.append(parse_layer(line))
        except DigitsError as error:
            raise at_line(number, line, error) from None
    return layers


def at_line(number: int, line: str, problem: object) -> DigitsError:
    """Return the error that names a network's line, counted from 1, and what is wrong there."""
    return DigitsError(f"network line {number} ({line!r}): {problem}")


def parse_layer(line: str) -> Layer:
    """Read one line, such as ``conv 32 5x5 same relu``; upper and lower case are alike."""
    words = line.lower().split()
    if not words:
        raise DigitsError("the line is empty; expected a layer such as 'conv 32 5x5 same relu'")
    word, rest = words[0], words[1:]
    if word in ACTIVATIONS:
        _nothing_left(rest)
        return Activation(word)
    if word not in _PARSERS:
        known = ", ".join(_PARSERS)
        raise DigitsError(f"there is no layer {word!r}; expected one of {known}, or an activation")
    return _PARSERS[word](rest)


def _conv(words: list[str]) -> Conv:
    filters = _positive(words, "the number of filters")
    kernel = _kernel(words)
    stride, padding = 1, None
    while words and words[0] in ("stride", "same", "valid"):
        word = words.pop(0)
        if word == "stride":
            stride = _positive(words, "the stride")
        else:
            padding = word
    return Conv(filters, kernel, stride, "same" if padding == "same" else "valid", _activation(words))


def _pool(kind: Literal["max", "avg"]) -> Callable[[list[str]], Pool]:
    def parse(words: list[str]) -> Pool:
        size = stride = _positive(words, "the size of the window")
        if words and words[0] == "stride":
            words.pop(0)
            stride = _positive(words, "the stride")
        _nothing_left(words)
        return Pool(kind, size, stride)

    return parse


def _dropout(words: list[str]) -> Dropout:
    text = words.pop(0) if words else ""
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not 0 <= rate < 1:
        raise DigitsError(f"expected a rate from 0 to below 1, such as 'dropout 0.25', found {text!r}")
    _nothing_left(words)
    return Dropout(rate)


def _dense(words: list[str]) -> Dense:
    return Dense(_positive(words, "the number of units"), _activation(words))


def _plain(layer: Layer) -> Callable[[list[str]], Layer]:
    def parse(words: list[str]) -> Layer:
        _nothing_left(words)
        return layer

    return parse


_PARSERS: dict[str, Callable[[list[str]], Layer]] = {
    "conv": _conv,
    "maxpool": _pool("max"),
    "avgpool": _pool("avg"),
    "global-avgpool": _plain(GlobalPool()),
    "batchnorm": _plain(BatchNorm()),
    "dropout": _dropout,
    "flatten": _plain(Flatten()),
    "dense": _dense,
}


def _positive(words: list[str], what: str) -> int:
    text = words.pop(0) if words else ""
    if not re.fullmatch(r"[1-9][0-9]{0,5}", text):
        raise DigitsError(f"expected {what}, a whole number from 1, found {text!r}")
    return int(text)


def _kernel(words: list[str]) -> tuple[int, int]:
    text = words.pop(0) if words else ""
    match = re.fullmatch(r"([1-9][0-9]?)[x×]([1-9][0-9]?)", text)
    if not match:
        raise DigitsError(f"expected a kernel such as 5x5, found {text!r}")
    return int(match[1]), int(match[2])


def _activation(words: list[str]) -> str | None:
    if not words:
        return None
    name = words.pop(0)
    if name == "softmax":
        raise DigitsError("leave the softmax out: it is part of every model")
    if name not in ACTIVATIONS:
        raise DigitsError(f"did not understand {name!r}; expected one of {', '.join(ACTIVATIONS)}")
    _nothing_left(words)
    return name


def _nothing_left(words: list[str]) -> None:
    if words:
        raise DigitsError(f"did not understand {' '.join(words)!r} at its end")
