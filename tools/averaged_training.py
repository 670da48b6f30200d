"""Training steps that the networks of the reader have in common."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from digit_recognizer.training.device import measure_arithmetic
from digit_recognizer.training.optimizers import Muon

PEAK_LEARNING_RATE, MOMENTUM, WEIGHT_DECAY, VECTORS = 0.02, 0.95, 0.01, 0.1  # of Muon
WARMUP_FRACTION, DECAY_FRACTION, LAST_RATE = 0.05, 0.6, 0.005  # of the steps; of the learning rate
AVERAGING, AVERAGING_WARMUP = 0.998, 10  # of the weights: an exponential moving average


class AveragedTraining:
    """A training of a network, in place, whose weights at the end are averages of the last ones."""

    def __init__(self, network: nn.Module, steps: int) -> None:
        self.network = network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.average = copy.deepcopy(network).eval()
        self.steps, self.done = steps, 0
        self.bfloat16 = measure_arithmetic(torch.device("cpu"))["convolution"].faster == "bfloat16"
        dtype = torch.bfloat16 if self.bfloat16 else torch.float32
        weights = network.parameters()
        self.optimizer = Muon(weights, PEAK_LEARNING_RATE, MOMENTUM, WEIGHT_DECAY, VECTORS, dtype)

    def run(self, images: Tensor) -> Tensor:
        """Return what the network gives for images, computed in what is fastest here."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            return self.network(images)  # type: ignore[no-any-return]

    def step(self, loss: Tensor) -> None:
        """Update the weights and their averages."""
        self.done += 1
        for group in self.optimizer.param_groups:
            group["lr"] = PEAK_LEARNING_RATE * _rate(self.done / self.steps)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self._average(min(AVERAGING, self.done / (AVERAGING_WARMUP + self.done)))

    def finish(self) -> None:
        """Give the network the averages."""
        self.network.load_state_dict(self.average.state_dict())

    @torch.no_grad()
    def _average(self, kept: float) -> None:
        """Move the averages towards the weights."""
        state = self.network.state_dict()
        for name, value in self.average.state_dict().items():
            if value.dtype.is_floating_point:
                value.lerp_(state[name], 1 - kept)
            else:
                value.copy_(state[name])


def _rate(progress: float) -> float:
    """Return the fraction of the learning rate: it rises, stays, and falls linearly."""
    return min(1.0, progress / WARMUP_FRACTION, (1 - progress) / DECAY_FRACTION + LAST_RATE)
