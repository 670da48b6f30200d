"""Evaluate networks during and after training, in torch."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from math import log

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, nll_loss

from digit_recognizer.digits import CLASSES, NON_DIGIT, Digits
from digit_recognizer.evaluation import BaselineComparison, compare_with_baseline
from digit_recognizer.formatting import count, loss_in_words, percent, percent_range
from digit_recognizer.networks.predictor import Predictor, scale, split_outputs
from digit_recognizer.progress import counted, following
from digit_recognizer.recipes import Recipe
from digit_recognizer.runs.history import EpochRecord
from digit_recognizer.runs.metrics import Score
from digit_recognizer.runs.split import DataSplit, evaluation_rows
from digit_recognizer.training.data import to_tensors
from digit_recognizer.training.optimizers import default_learning_rate

logger = logging.getLogger(__name__)

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
    with torch.inference_mode(), following("Evaluating") as tell:
        return torch.cat([predictor.predict(each) for each in counted(batches, len(batches), tell)])


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


def measure(predictor: Predictor, digits: Digits) -> Score | None:
    """Return how good a predictor is on labelled digits; None if there are no digits."""
    return score(predict(predictor, digits.images), digits)


def warn_of_failure(
    digits: Digits, split: DataSplit, history: Sequence[EpochRecord], held_out: Score | None, recipe: Recipe
) -> str | None:
    """Log and return a sentence if a run learned nothing, or nothing that helps it to read other images.

    It is evaluated on its training images, in the last epoch, and on those that it `held_out`.
    """
    assert digits.labels is not None
    labels = digits.labels[split.training]
    last_of_members = {record.member: record for record in history}.values()
    last = max(last_of_members, key=lambda record: record.accuracy)
    training, compared = compare_with_baseline(round((1 - last.accuracy) * len(labels)), labels), None
    if held_out is not None:
        compared = compare_with_baseline(held_out.errors, digits.labels[evaluation_rows(split)])
    loss = last.loss if held_out is None else min(last.loss, held_out.loss)
    warning = failure_in_words(training, compared, loss, recipe)
    if warning is not None:
        logger.warning(warning)
    return warning


def failure_in_words(
    training: BaselineComparison, held_out: BaselineComparison | None, loss: float, recipe: Recipe
) -> str | None:
    """Return a sentence if accuracies or the lower `loss`, in nats, are no better than those of guessing.

    Accuracies of too few images to decide are left out.
    """
    decidable = [each for each in (held_out, training) if each is not None and each.is_decidable]
    failed = [each for each in decidable if not each.is_better]
    if len(failed) == len(decidable) and failed:
        return (
            f"the network learned nothing measurable: {_found(failed[0], failed[0] is training)}; "
            f"try {_advice(recipe)}, and check that each label belongs to its image"
        )
    if loss > log(CLASSES):
        return (
            f"the network learned next to nothing: its loss is {loss_in_words(loss)} nats, equal "
            f"probabilities for all digits give {loss_in_words(log(CLASSES))}; try {_advice(recipe)}"
        )
    if held_out not in failed or held_out is None or held_out.interval[1] >= training.interval[0]:
        return None
    return (
        f"the network learned only its training images, of which it reads {percent(training.accuracy)}: "
        f"{_found(held_out)}; check that each label belongs to its image, or provide more images"
    )


def _found(compared: BaselineComparison, is_training: bool = False) -> str:
    images = count(compared.images, "training image" if is_training else "held-out image")
    return (
        f"{percent(compared.accuracy)} of {images} are read correctly (95 % interval "
        f"{percent_range(*compared.interval)}), always answering {compared.digit} gives "
        f"{percent(compared.baseline)}"
    )


def _advice(recipe: Recipe) -> str:
    """Return what may help a network to learn: a usual learning rate, and more epochs."""
    rate, default = recipe.optimizer.learning_rate, default_learning_rate(recipe)
    epochs = f"more epochs (--epochs {2 * recipe.epochs})"
    if rate == default:
        return epochs
    change = "lower" if default < rate else "higher"
    return f"a {change} learning rate (--learning-rate {default:g}) or {epochs}"
