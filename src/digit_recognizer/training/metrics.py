"""How good a network is: on validation images behind each epoch, and all in all at the end of a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, nll_loss

from digit_recognizer.digits import CLASSES, Digits
from digit_recognizer.evaluation import wilson_interval
from digit_recognizer.networks.predictor import Predictor, scale, split_outputs
from digit_recognizer.networks.summary import count_parameters
from digit_recognizer.training.splits import Parts
from digit_recognizer.training.state import Job

INFERENCE_BATCH = 512  # images; about 100 MB of activations for the recipes here
EVEN = 0.5  # probability that there is a digit, below which the answer is that there is none
LEAST = 1e-12  # probability, lest its logarithm is infinite


def validate(
    network: nn.Module, validation: Digits, device: torch.device
) -> tuple[float, int] | tuple[None, None]:
    """Return mean loss and number of errors on held-out digits, in float32 as model.onnx computes."""
    if not len(validation):
        return None, None
    images, labels = tensors_of(validation, device)
    logits = _infer(network, images)[:, :CLASSES]
    return cross_entropy(logits, labels).item(), int((logits.argmax(1) != labels).sum())


def _infer(network: nn.Module, images: Tensor) -> Tensor:
    """Return the logits (N, 10) of uint8 images (N, 28, 28)."""
    network.eval()
    with torch.inference_mode():
        batches = torch.split(images, INFERENCE_BATCH)
        return torch.cat([network(scale(batch)) for batch in batches]).float()


def probabilities_of(predictor: Predictor, images: NDArray[np.uint8]) -> Tensor:
    """Return what all members together, shifts included, make of images: float32 (N, 10 or 11)."""
    batches = torch.split(torch.from_numpy(images), INFERENCE_BATCH)
    with torch.inference_mode():
        return torch.cat([predictor.predict(batch) for batch in batches])


def answers_in(probabilities: Tensor) -> NDArray[np.int64]:
    """Return what images are taken for: int64 (N,), 0 to 9, or 10 for no digit."""
    digits, is_digit = split_outputs(probabilities)
    answers: NDArray[np.int64] = digits.argmax(1).numpy()
    answers[is_digit.numpy() < EVEN] = CLASSES
    return answers


def metrics_of(job: Job, predictor: Predictor, digits: Digits, parts: Parts) -> dict[str, Any]:
    """Return what ``metrics.json`` says of a run."""
    history = job.position.history
    parameters, trained = count_parameters(predictor.network)
    metrics: dict[str, Any] = {
        "members": len(job.trained) + 1,
        "epochs": len(history),
        "seconds": sum(record.seconds for record in history),
        "training_images": len(parts.training),
        "parameters": parameters,
        "trained_parameters": trained,
        "validation": _figures(predictor, digits[parts.validation]),
    }
    if parts.fold is not None:
        metrics["fold"] = _figures(predictor, digits[parts.fold])
    return metrics


def _figures(predictor: Predictor, digits: Digits) -> dict[str, Any] | None:
    """Return how well all members together, shifts included, do on digits; None where there are none."""
    return figures_in(probabilities_of(predictor, digits.images), digits) if len(digits) else None


def figures_in(probabilities: Tensor, digits: Digits) -> dict[str, Any]:
    """Return how good these probabilities of digits are."""
    labels = torch.from_numpy(digits.labels)
    likely, _ = split_outputs(probabilities)
    right = int((likely.argmax(1) == labels).sum())
    return {
        "images": len(digits),
        "errors": len(digits) - right,
        "accuracy": 1 - (len(digits) - right) / len(digits),
        "accuracy_interval_95": wilson_interval(right, len(digits)),
        "loss": nll_loss(likely.clamp_min(LEAST).log(), labels).item(),
    }


def tensors_of(digits: Digits, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return images uint8 (N, 28, 28) and labels int64 (N,) on a device."""
    assert digits.labels is not None  # the split saw to it
    return torch.from_numpy(digits.images).to(device), torch.from_numpy(digits.labels).to(device)
