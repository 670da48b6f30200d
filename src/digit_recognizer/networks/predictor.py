"""What ``model.onnx`` computes, in torch: uint8 images ► probabilities, over members and shifted images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from digit_recognizer.digits import CLASSES, INK, SIDE
from digit_recognizer.recipes.schema import Shifts

LEAST = 1e-30  # probability that an image is a digit
MARGIN = 0.1  # of probability below `unsure_below`, within which the average counts in part


def scale(images: Tensor) -> Tensor:
    """Bring uint8 images (N, 28, 28), 0 to 255, to what a network takes: float32 (N, 1, 28, 28), 0 to 1."""
    return channels_last(images.unsqueeze(1).float() / INK)


def channels_last(images: Tensor) -> Tensor:
    """Return images (N, 1, H, W) whose strides say that their channels are last.

    With one channel both memory formats are the same bytes, and `Tensor.contiguous` leaves the strides alone.
    A convolution then takes them for channels first: it is up to nine times as slow, and so is its output.
    """
    count, _, height, width = images.shape
    return images.contiguous().view(count, height, width, 1).permute(0, 3, 1, 2)


def directions(pixels: int) -> list[tuple[int, int]]:
    """Return the corners (row, column) at which an image with a margin of `pixels` is cut for each shift."""
    return [(0, pixels), (2 * pixels, pixels), (pixels, 0), (pixels, 2 * pixels)]


def combine_members(members: Sequence[nn.Module]) -> nn.Module:
    """Return one network for all members: that of a single one itself."""
    return members[0] if len(members) == 1 else Ensemble(members)


def split_outputs(probabilities: Tensor) -> tuple[Tensor, Tensor]:
    """Return the probabilities of each digit, given that it is one (N, 10), and that it is one (N,).

    Parameters
    ----------
    probabilities
        float32, shape (N, 10), or (N, 11) where the last is that of no digit.
    """
    digits = probabilities[:, :CLASSES]
    total = digits.sum(dim=1, keepdim=True).clamp_min(LEAST)
    return digits / total, total[:, 0]


class Ensemble(nn.Module):
    """Networks whose probabilities are averaged.

    Parameters
    ----------
    members
        Each maps float32 (N, 1, 28, 28) to logits (N, 10); they are named from ``1``.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleDict({str(number): each for number, each in enumerate(members, start=1)})

    def forward(self, images: Tensor) -> Tensor:
        """Return log-probabilities (N, 10), which are logits too."""
        probabilities = [member(images).float().softmax(dim=1) for member in self.members.values()]
        mean: Tensor = torch.stack(probabilities).mean(dim=0)
        return mean.log()


class Predictor(nn.Module):
    """A network between uint8 images (N, 28, 28) and probabilities (N, 10).

    Parameters
    ----------
    network
        Maps float32 (N, 1, 28, 28) to logits (N, 10).
    shifts
        Over which shifted images it averages; None: over none.
    temperature
        What the network's logits are divided by.
    outputs
        How many logits these are: ten, or eleven where the last is for no digit.
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
        """Return the probabilities: float32 (N, 10), or (N, 11) with that of no digit."""
        scaled = scale(images)
        probabilities = self._probabilities(scaled)
        if self.shifts is None:
            return probabilities
        return self._averaged(probabilities, scaled, self.shifts)

    def predict(self, images: Tensor) -> Tensor:
        """Return what calling it returns, but shift only the images for which that changes something.

        It is not for export: which images these are depends on the values.
        """
        if self.shifts is None:
            return self(images)  # type: ignore[no-any-return]
        scaled = scale(images)
        probabilities = self._probabilities(scaled)
        rows = _unsureness(probabilities, self.shifts)[:, 0].nonzero()[:, 0]
        if len(rows):  # a user's network may not take an empty batch
            probabilities[rows] = self._averaged(probabilities[rows], scaled[rows], self.shifts)
        return probabilities

    def _averaged(self, probabilities: Tensor, images: Tensor, shifts: Shifts) -> Tensor:
        """Average the probabilities of images (N, 1, 28, 28) over shifts, as far as they are unsure."""
        mean = (probabilities + self._shifted(images, shifts.pixels)) / 5
        share = _unsureness(probabilities, shifts)  # (N, 1)
        return probabilities + share * (mean - probabilities)

    def _shifted(self, images: Tensor, pixels: int) -> Tensor:
        """Return the sum of the probabilities of four shifted images."""
        padded = pad(images, (pixels,) * 4)
        views = [padded[:, :, row : row + SIDE, column : column + SIDE] for row, column in directions(pixels)]
        return torch.stack([self._probabilities(channels_last(view)) for view in views]).sum(dim=0)

    def _probabilities(self, images: Tensor) -> Tensor:
        return (self.network(images).float() / self.temperature).softmax(dim=1)  # type: ignore[no-any-return]


def _unsureness(probabilities: Tensor, shifts: Shifts) -> Tensor:
    """Return how much the average over shifts counts for each image: float32 (N, 1), 0 to 1."""
    if shifts.unsure_below == 1:
        return torch.ones_like(probabilities[:, :1])
    highest = probabilities.amax(dim=1, keepdim=True)
    return ((shifts.unsure_below - highest) / MARGIN).clamp(0, 1)
