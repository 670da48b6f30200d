"""Evaluate networks during and after training, in torch."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, nll_loss

from digit_recognizer.digits import CLASSES, NON_DIGIT, Digits
from digit_recognizer.networks.predictor import Predictor, scale, split_outputs
from digit_recognizer.runs.metrics import Score
from digit_recognizer.training.data import to_tensors

BATCH_SIZE = 512  # images; about 100 MB of activations for the recipes here
DIGIT_THRESHOLD = 0.5  # P(digit) below this: non-digit
MIN_PROBABILITY = 1e-12  # avoids log(0)


def validate(network: nn.Module, digits: Digits, device: torch.device) -> tuple[float, int]:
    """Return mean loss and number of errors of a network, in float32, which model.onnx computes in, too."""
    images, labels = to_tensors(digits, device)
    network.eval()
    with torch.inference_mode():
        batches = torch.split(images, BATCH_SIZE)
        logits = torch.cat([network(scale(batch)) for batch in batches]).float()[:, :CLASSES]
        return cross_entropy(logits, labels).item(), int((logits.argmax(1) != labels).sum())


def predict(predictor: Predictor, images: NDArray[np.uint8]) -> Tensor:
    """Return probabilities, float32 (N, 10 or 11), of uint8 images (N, 28, 28): all members, all shifts."""
    if not len(images):
        return torch.empty(0, predictor.outputs)
    batches = torch.split(torch.from_numpy(images), BATCH_SIZE)
    with torch.inference_mode():
        return torch.cat([predictor.predict(batch) for batch in batches])


def classify(probabilities: Tensor) -> NDArray[np.int64]:
    """Return the class of each image: int64 (N,), 0 to 9, or 10 for non-digits."""
    digits, is_digit = split_outputs(probabilities)
    classes: NDArray[np.int64] = digits.argmax(1).numpy()
    classes[is_digit.numpy() < DIGIT_THRESHOLD] = NON_DIGIT
    return classes


def score(probabilities: Tensor, digits: Digits) -> Score | None:
    """Return how good probabilities of labelled digits are; None if there are no digits."""
    if not len(digits):
        return None
    labels = torch.from_numpy(digits.labels)
    digit_probabilities, _ = split_outputs(probabilities)
    return Score(
        images=len(digits),
        errors=int((digit_probabilities.argmax(1) != labels).sum()),
        loss=nll_loss(digit_probabilities.clamp_min(MIN_PROBABILITY).log(), labels).item(),
    )
