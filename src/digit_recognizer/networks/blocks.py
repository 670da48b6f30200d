"""Convolutions with batch normalisation, and how networks of them are stored in ONNX."""

from __future__ import annotations

import copy
from typing import TypeVar

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

HALF = "_half"  # of the names of weights that are stored in float16
HALF_PRECISION_MIN_SIZE = 1_000  # larger weights are stored in float16, with no loss of accuracy

Network = TypeVar("Network", bound=nn.Module)


def convolution(channels: int, filters: int, kernel: int = 3, *, stride: int = 1) -> nn.Sequential:
    """Return a convolution, batch normalisation and an activation."""
    return nn.Sequential(
        nn.Conv2d(channels, filters, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(filters, eps=1e-3),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """Its input, and what a convolution makes of it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = convolution(channels, channels)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the sum of both."""
        return inputs + self.body(inputs)  # type: ignore[no-any-return]


def fused(network: Network) -> Network:
    """Return a copy whose batch normalisation is part of its convolutions."""
    network = copy.deepcopy(network).eval()
    for layer in network.modules():
        if isinstance(layer, nn.Sequential):
            match list(layer):
                case nn.Conv2d() as filters, nn.BatchNorm2d() as norm, nn.ReLU():
                    layer[0], layer[1] = fuse_conv_bn_eval(filters, norm), nn.Identity()
    return network


def half_precision(network: Network) -> Network:
    """Round the large weights of a network, in place, to what float16 can hold."""
    with torch.no_grad():
        for weights in network.parameters():
            if weights.numel() >= HALF_PRECISION_MIN_SIZE:
                weights.copy_(weights.half().float())
    return network


def store_in_half_precision(proto: onnx.ModelProto) -> None:
    """Store large weights in float16, each followed by a conversion, which happens once, at loading."""
    conversions = []
    for initializer in proto.graph.initializer:
        weights = numpy_helper.to_array(initializer)
        if initializer.data_type == TensorProto.FLOAT and weights.size >= HALF_PRECISION_MIN_SIZE:
            name = initializer.name
            initializer.CopyFrom(numpy_helper.from_array(weights.astype(np.float16), f"{name}{HALF}"))
            conversions.append(helper.make_node("Cast", [f"{name}{HALF}"], [name], to=TensorProto.FLOAT))
    nodes = [*conversions, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
