"""The network that finds characters on a page, and its export as ``reader.onnx``.

It looks at a grey page in one resolution and says at each place whether a character is centred there, which
one, its box, the height of its number's digits, and whether a number starts with it. Characters whose digits
are 20 to 56 pixels high are found; larger and smaller ones are found in another resolution of the page.
Objects as centre points are due to Zhou et al. 2019, https://arxiv.org/abs/1904.07850.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d

from digit_recognizer import __version__
from digit_recognizer.digits import INK
from digit_recognizer.errors import DigitsError, first_line
from digit_recognizer.networks.blocks import (
    HALF,
    Residual,
    convolution,
    fused,
    half_precision,
    store_in_half_precision,
)
from digit_recognizer.networks.onnx_export import to_onnx, write_checked
from digit_recognizer.reading import CHARACTERS
from digit_recognizer.runs.run_folder import FORMAT

STRIDE_PX = 4  # between the places at which characters are found
SIDE_MULTIPLE_PX = 16  # the sides of pages are multiples of it
CONTRAST_FLOOR = 0.05  # standard deviation of grey, 0 to 1, below which contrast is not raised to 1
MIN_IS_CHARACTER = 0.1  # less probable characters are not found at all
CENTRE_BIAS = -4.0  # at first: few places are centres
CLASSES = len(CHARACTERS)
MAPS = 1 + CLASSES + 5 + 1  # centre, classes, box and height of digits, start
BOX, EM, START = slice(1 + CLASSES, 5 + CLASSES), 5 + CLASSES, 6 + CLASSES  # places among the maps
OUTPUTS = ("boxes", "probabilities", "is_character", "em", "starts")
WEIGHTS_PREFIX = "network."  # of the names of weights in the file


@dataclass(frozen=True, slots=True)
class NetworkSize:
    """Channels at strides of 2, 4, 8 and 16 pixels, and the number of convolutions at 4, 8 and 16."""

    channels: tuple[int, int, int, int] = (16, 48, 96, 160)
    depths: tuple[int, int, int] = (1, 2, 2)


class CharacterNetwork(nn.Module):
    """Pages, uint8 (N, H, W), sides multiples of 16 → maps, float32 (N, 24, H / 4, W / 4)."""

    def __init__(self, size: NetworkSize = NetworkSize()) -> None:
        super().__init__()
        two, four, eight, sixteen = size.channels
        self.stem = convolution(1, two, 5, stride=2)
        self.four = _stage(two, four, size.depths[0])
        self.eight = _stage(four, eight, size.depths[1])
        self.sixteen = _stage(eight, sixteen, size.depths[2])
        self.up_eight = nn.Conv2d(sixteen, eight, 1, bias=False)
        self.merge_eight = convolution(eight, eight)
        self.up_four = nn.Conv2d(eight, four, 1, bias=False)
        self.merge_four = convolution(four, four + 16)
        self.heads = nn.Conv2d(four + 16, MAPS, 1)
        assert self.heads.bias is not None
        with torch.no_grad():
            self.heads.bias.zero_()
            self.heads.bias[0] = CENTRE_BIAS

    def forward(self, pages: Tensor) -> Tensor:
        """Return the maps."""
        four = self.four(self.stem(even_contrast(pages)))
        eight = self.eight(four)
        sixteen = self.sixteen(eight)
        eight = self.merge_eight(eight + _double(self.up_eight(sixteen)))
        four = self.merge_four(four + _double(self.up_four(eight)))
        return self.heads(four)  # type: ignore[no-any-return]


def even_contrast(pages: Tensor) -> Tensor:
    """Return pages (N, 1, H, W) whose brightness and contrast are divided by those of the surroundings."""
    inputs = pages.unsqueeze(1).float() / INK
    mean = _surroundings(inputs)
    variance = _surroundings(inputs**2) - mean**2
    deviation = variance.clamp(min=0).sqrt()
    mean, deviation = (
        interpolate(each, scale_factor=8, mode="bilinear", align_corners=False) for each in (mean, deviation)
    )
    return (inputs - mean) / (deviation + CONTRAST_FLOOR)


def _surroundings(inputs: Tensor) -> Tensor:
    """Return the mean over 56x56 pixels, in steps of 8."""
    return avg_pool2d(avg_pool2d(inputs, 8), 7, 1, 3, count_include_pad=False)


def _stage(channels: int, filters: int, depth: int) -> nn.Sequential:
    residuals = (Residual(filters) for _ in range(depth))
    return nn.Sequential(convolution(channels, filters, stride=2), *residuals)


def _double(inputs: Tensor) -> Tensor:
    return interpolate(inputs, scale_factor=2, mode="nearest")


class Finder(nn.Module):
    """One page, uint8 (H, W) → the characters at the peaks of its centre map, as `OUTPUTS` names them."""

    def __init__(self, network: CharacterNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, page: Tensor) -> tuple[Tensor, ...]:
        """Return boxes (N, 4), probabilities (N, 17), is_character, em and starts, each (N,)."""
        maps = self.network(page[None])[0]
        centre = maps[0].sigmoid()
        highest = max_pool2d(centre[None, None], 3, 1, 1)[0, 0]
        rows, columns = ((centre >= MIN_IS_CHARACTER) & (centre >= highest)).nonzero(as_tuple=True)
        at = maps[:, rows, columns].T
        moved, logarithms = at[:, BOX].chunk(2, dim=1)
        middles = (torch.stack([columns, rows], dim=1) + moved + 0.5) * STRIDE_PX
        halves = logarithms.exp() / 2
        boxes = torch.cat([middles - halves, middles + halves], dim=1)
        probabilities = at[:, 1 : 1 + CLASSES].softmax(dim=1)
        return boxes, probabilities, at[:, 0].sigmoid(), at[:, EM].exp(), at[:, START].sigmoid()


def load_character_network(model: Path) -> CharacterNetwork:
    """Return the network in a ``reader.onnx``, in which batch normalisation is part of the convolutions.

    Raises `DigitsError` if the file cannot be read or holds another network.
    """
    network = _without_norms(CharacterNetwork())
    try:
        stored = onnx.load(model).graph.initializer
        weights = {
            each.name.removeprefix(WEIGHTS_PREFIX).removesuffix(HALF): torch.from_numpy(
                numpy_helper.to_array(each).astype(np.float32)
            )
            for each in stored
            if each.name.startswith(WEIGHTS_PREFIX)
        }
        network.load_state_dict(weights)
    except Exception as error:  # those of onnx and protobuf have no other common base class
        raise DigitsError(f"{model} is damaged or holds another network: {first_line(error)}") from error
    return network


def _without_norms(network: CharacterNetwork) -> CharacterNetwork:
    """Replace batch normalisation by biases of the convolutions, in place."""
    for layer in network.modules():
        if isinstance(layer, nn.Sequential):
            match list(layer):
                case nn.Conv2d() as filters, nn.BatchNorm2d(), nn.ReLU():
                    filters.bias = nn.Parameter(torch.zeros(filters.out_channels))
                    layer[1] = nn.Identity()
    return network


def export_reader(
    network: CharacterNetwork,
    target: Path,
    probe: NDArray[np.uint8],
    properties: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write a network as ONNX, completely or not at all; `properties` become metadata.

    Raises `DigitsError` if the file disagrees with the network on the page `probe` (H, W).
    """
    finder = Finder(half_precision(fused(network))).eval()
    page = torch.from_numpy(probe)
    with torch.inference_mode():
        expected = [output.numpy() for output in finder(page)]
    sides = {
        axis: SIDE_MULTIPLE_PX * torch.export.Dim(name, min=2, max=4096)
        for axis, name in enumerate(("rows", "columns"))
    }
    proto = to_onnx(finder, page, {"page": sides}, OUTPUTS)
    store_in_half_precision(proto)
    metadata = {"format": str(FORMAT), "version": __version__, "characters": CHARACTERS, **properties}
    helper.set_model_props(proto, metadata)
    write_checked(proto, {"page": probe}, expected, target)
