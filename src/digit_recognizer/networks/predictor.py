"""What ``model.onnx`` computes, in torch: uint8 images to probabilities, averaged over members and shifts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from digit_recognizer.digits import CLASSES, INK, SIDE
from digit_recognizer.recipes.schema import Shifts

MIN_IS_DIGIT = 1e-30  # lower bound of P(digit), so that dividing by it is safe
BLEND_RANGE = 0.1  # of probability below `unsure_below`, over which the average is blended in


def scale(images: Tensor) -> Tensor:
    """Convert uint8 images (N, 28, 28) to the input of a network: float32 (N, 1, 28, 28), 0 to 1."""
    return channels_last(images.unsqueeze(1).float() / INK)


def channels_last(images: Tensor) -> Tensor:
    """Return images (N, 1, H, W) whose strides say that their channels are last.

    With one channel, both memory formats have the same bytes, and `Tensor.contiguous` keeps the strides. A
    convolution then assumes channels first, which makes it and the layers after it up to nine times as slow.
    """
    count, _, height, width = images.shape
    return images.contiguous().view(count, height, width, 1).permute(0, 3, 1, 2)


def shift_corners(pixels: int) -> list[tuple[int, int]]:
    """Return the corner (row, column) at which to crop an image, padded by `pixels`, for each shift."""
    return [(0, pixels), (2 * pixels, pixels), (pixels, 0), (pixels, 2 * pixels)]


def combine_members(members: Sequence[nn.Module]) -> nn.Module:
    """Return one network for all members; a single member is returned itself."""
    return members[0] if len(members) == 1 else Ensemble(members)


def split_outputs(probabilities: Tensor) -> tuple[Tensor, Tensor]:
    """Split probabilities (N, 10 or 11) into those of the digits (N, 10), which sum to 1, and P(digit) (N,).

    With eleven classes, the last is the non-digit class.
    """
    digits = probabilities[:, :CLASSES]
    is_digit = digits.sum(dim=1, keepdim=True).clamp_min(MIN_IS_DIGIT)  # (N, 1)
    return digits / is_digit, is_digit[:, 0]


class Ensemble(nn.Module):
    """Averages the probabilities of its members, which are named from ``1``."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleDict({str(number): each for number, each in enumerate(members, start=1)})

    def forward(self, images: Tensor) -> Tensor:
        """Return log-probabilities (N, 10), which are valid logits."""
        probabilities = [member(images).float().softmax(dim=1) for member in self.members.values()]
        mean: Tensor = torch.stack(probabilities).mean(dim=0)
        return mean.log()


class Predictor(nn.Module):
    """Maps uint8 images (N, 28, 28) to probabilities (N, 10), or (N, 11) with the non-digit class.

    Parameters
    ----------
    network
        Maps float32 (N, 1, 28, 28) to logits (N, outputs).
    shifts
        Shifted images to average over; None: no averaging.
    temperature
        Divides the network's logits.
    outputs
        Number of logits: 10, or 11 with the non-digit class.
    """

    def __init__(
        self,
        network: nn.Module,
        shifts: Shifts | None = None,
        *,
        temperature: float = 1.0,
        outputs: int = CLASSES,
    ) -> None:
        super().__init__()
        self.network = network
        self.shifts = shifts
        self.temperature = temperature
        self.outputs = outputs

    def forward(self, images: Tensor) -> Tensor:
        """Return float32 probabilities (N, outputs)."""
        scaled = scale(images)
        probabilities = self._probabilities(scaled)
        if self.shifts is None:
            return probabilities
        return self._averaged(probabilities, scaled, self.shifts)

    def predict(self, images: Tensor) -> Tensor:
        """Return what `forward` returns, but shift only the images whose probabilities that changes.

        Which images these are depends on the values, so torch cannot export it.
        """
        if self.shifts is None:
            return self(images)  # type: ignore[no-any-return]
        scaled = scale(images)
        probabilities = self._probabilities(scaled)
        rows = _blend_weights(probabilities, self.shifts)[:, 0].nonzero()[:, 0]
        if len(rows):  # a user's network may not accept an empty batch
            probabilities[rows] = self._averaged(probabilities[rows], scaled[rows], self.shifts)
        return probabilities

    def _averaged(self, probabilities: Tensor, images: Tensor, shifts: Shifts) -> Tensor:
        """Blend the probabilities of images (N, 1, 28, 28) with their average over shifts."""
        mean = (probabilities + self._sum_of_shifts(images, shifts.pixels)) / 5
        return probabilities + _blend_weights(probabilities, shifts) * (mean - probabilities)

    def _sum_of_shifts(self, images: Tensor, pixels: int) -> Tensor:
        padded = pad(images, (pixels,) * 4)
        views = [padded[:, :, row : row + SIDE, col : col + SIDE] for row, col in shift_corners(pixels)]
        return torch.stack([self._probabilities(channels_last(view)) for view in views]).sum(dim=0)

    def _probabilities(self, images: Tensor) -> Tensor:
        return (self.network(images).float() / self.temperature).softmax(dim=1)  # type: ignore[no-any-return]


def _blend_weights(probabilities: Tensor, shifts: Shifts) -> Tensor:
    """Return the weight of the average over shifts for each image: float32 (N, 1), 0 to 1."""
    if shifts.unsure_below == 1:
        return torch.ones_like(probabilities[:, :1])
    highest = probabilities.amax(dim=1, keepdim=True)
    return ((shifts.unsure_below - highest) / BLEND_RANGE).clamp(0, 1)
