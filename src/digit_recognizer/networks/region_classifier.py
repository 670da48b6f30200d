"""The network that looks at each found character again, and its export as ``regions.onnx``.

The network that finds characters sees a page in steps of four pixels. This one sees the pixels of one
character and of what is around it, and says whether it is one at all, or a letter, a stroke of one, a part of
a digit. It knows only what the first network finds: of other boxes it says nothing of use. It learns to say
which character it is, too, but that is not used: the first network and that for single digits know it better.
Two such stages are due to Girshick et al. 2014,
https://arxiv.org/abs/1311.2524.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import helper
from torch import Tensor, nn

from digit_recognizer import __version__
from digit_recognizer.digits import INK
from digit_recognizer.networks.blocks import (
    Residual,
    convolution,
    fused,
    half_precision,
    store_in_half_precision,
)
from digit_recognizer.networks.character_network import CLASSES
from digit_recognizer.networks.onnx_export import to_onnx, write_checked
from digit_recognizer.runs.run_folder import FORMAT

OUTPUTS = ("is_character",)
CONTRAST_FLOOR = 4.0  # grey levels: standard deviation below which contrast is not raised to 1
LAST_PLACES = 9  # 3x3, of the last convolution


class RegionClassifier(nn.Module):
    """Images of regions, (N, 2, 48, 48) → logits of the characters and of none, float32 (N, 18).

    `imaging.region_image` makes the images; `channels` are those of the convolutions, then of a dense layer.
    """

    def __init__(self, channels: tuple[int, int, int, int, int] = (24, 48, 80, 128, 128)) -> None:
        super().__init__()
        first, second, third, fourth, dense = channels
        self.layers = nn.Sequential(
            convolution(2, first, 5, stride=2),
            convolution(first, second, stride=2),
            Residual(second),
            convolution(second, third, stride=2),
            Residual(third),
            convolution(third, fourth, stride=2),
            nn.Flatten(),
            nn.Linear(LAST_PLACES * fourth, dense),
            nn.ReLU(),
            nn.Linear(dense, CLASSES + 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits; brightness and contrast of an image do not matter."""
        grey, frame = images.float().chunk(2, dim=1)
        difference = grey - grey.mean(dim=(2, 3), keepdim=True)
        deviation = (difference**2).mean(dim=(2, 3), keepdim=True).sqrt()
        return self.layers(torch.cat([difference / (deviation + CONTRAST_FLOOR), frame / INK], dim=1))  # type: ignore[no-any-return]


class IsCharacter(nn.Module):
    """A classifier that returns the probability that there is a character: float32 (N,)."""

    def __init__(self, classifier: RegionClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """Return the sum of the probabilities of all characters."""
        return 1 - self.classifier(images).softmax(dim=1)[:, CLASSES]  # type: ignore[no-any-return]


def export_regions(classifier: RegionClassifier, target: Path, probe: NDArray[np.uint8]) -> None:
    """Write a classifier as ONNX, completely or not at all.

    Raises `DigitsError` if the file disagrees with the classifier on the images `probe`, (N, 2, 48, 48).
    """
    network = IsCharacter(half_precision(fused(classifier))).eval()
    images = torch.from_numpy(probe)
    with torch.inference_mode():
        expected = network(images).numpy()
    count = torch.export.Dim("regions", min=1, max=2**20)
    proto = to_onnx(network, images, {"images": {0: count}}, OUTPUTS)
    store_in_half_precision(proto)
    metadata = {"format": str(FORMAT), "version": __version__}
    helper.set_model_props(proto, metadata)
    write_checked(proto, {"images": probe}, [expected], target)
