"""Fine-tuning on corrections: a user's own handwriting, and what it costs elsewhere.

Fine-tuning starts from a run's weights. Each batch holds some of the run's training images, so that they are
not forgotten (rehearsal), and some corrections, with the same augmentation. Afterwards the network is
compared with the run's on the run's validation images. If it makes more errors than allowed, the weights are
interpolated towards the run's, as far as needed: such weights lose little of what was gained (Wortsman et al.
2021, https://arxiv.org/abs/2109.01903).
"""

from __future__ import annotations

import hashlib
from copy import deepcopy
from dataclasses import dataclass, replace
from math import floor
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from digit_recognizer.corrections import load_corrections
from digit_recognizer.digits import CLASSES, NON_DIGIT, Digits, Samples
from digit_recognizer.errors import DigitsError
from digit_recognizer.networks.predictor import Predictor, combine_members
from digit_recognizer.recipes import Recipe
from digit_recognizer.recipes.schema import Augmentation, Corrections, OneCycle
from digit_recognizer.runs.run import read_run
from digit_recognizer.runs.run_folder import WEIGHTS
from digit_recognizer.runs.split import DataSplit
from digit_recognizer.training.checkpoint import load_members
from digit_recognizer.training.data import ExtraImages, TrainingData
from digit_recognizer.training.fit import fit
from digit_recognizer.training.inference import classify, predict, score
from digit_recognizer.training.state import TrainingState, new_state, predictor_of

EPOCHS = 3
LEARNING_RATE_FACTOR = 0.25  # of the run's learning rate
NON_DIGITS_FACTOR = 0.1  # of the run's non-digits: drawing all of them takes longer than fine-tuning
AUGMENTATION = Augmentation(rotation=10.0, zoom=0.1, shift=0.07, shear=0.05)  # if the run's recipe has none
NAME_SUFFIX = "-corrected"
SUMMARY_SUFFIX = "; fine-tuned on corrections"
MAX_NAME_LENGTH = 64

FOLDS = 5  # of the corrections, each of which is held out once
INTERPOLATION_WEIGHTS = (1.0, 0.85, 0.7, 0.55, 0.4, 0.25, 0.0)  # 1.0 = fine-tuned, 0.0 = original
ROUNDING = 1e-9  # of products of floats


def fine_tuning(run: str | Path, corrections: str | Path, settings: list[str]) -> Recipe:
    """Return the recipe that fine-tunes a finished run on corrections.

    It is the run's own, for fewer epochs, with a lower learning rate, and always with augmentation.

    Parameters
    ----------
    run
        Its folder.
    corrections
        Their file.
    settings
        Changes such as ``"epochs=2"`` or ``"corrections.images=8000"``.

    Raises
    ------
    DigitsError
        There is no such run, it is not finished or damaged; a setting is wrong.
    """
    original = read_run(run)
    old = original.recipe
    outliers = old.outliers
    if outliers is not None:
        outliers = replace(outliers, images=max(1, round(NON_DIGITS_FACTOR * outliers.images)))
    recipe = replace(
        old,
        name=old.name.removesuffix(NAME_SUFFIX)[: MAX_NAME_LENGTH - len(NAME_SUFFIX)] + NAME_SUFFIX,
        summary=f"{old.summary.removesuffix(SUMMARY_SUFFIX)}{SUMMARY_SUFFIX}",
        reached="",
        epochs=EPOCHS,
        members=original.metrics.members,
        optimizer=replace(old.optimizer, learning_rate=LEARNING_RATE_FACTOR * old.optimizer.learning_rate),
        schedule=OneCycle("one-cycle"),
        augmentation=old.augmentation or AUGMENTATION,
        stopping=None,
        teacher=None,
        outliers=outliers,
        corrections=Corrections(str(corrections), run=str(run)),
    )
    return recipe.with_settings(settings, where=f"the recipe of {original.folder}")


def with_corrections(recipe: Recipe, corrections: str | Path) -> Recipe:
    """Return a recipe that also learns from a file of corrections, with its other settings for them kept."""
    old = recipe.corrections
    new = Corrections(str(corrections)) if old is None else replace(old, file=str(corrections))
    return replace(recipe, corrections=new)


@dataclass(frozen=True, slots=True, eq=False)
class SelectedCorrections:
    """The corrections that a run learns from.

    Attributes
    ----------
    samples
        At least one.
    non_digits
        How many were left out because they are non-digits, which the recipe does not learn.
    held_out
        How many were left out because they are images that the run holds out.
    """

    samples: Samples
    non_digits: int
    held_out: int


def select_corrections(recipe: Recipe, digits: Digits, split: DataSplit) -> SelectedCorrections | None:
    """Read a recipe's corrections and leave out what the run must not learn from; None if it has none.

    Raises
    ------
    DigitsError
        The file is missing or damaged, or no correction is left.
    """
    if recipe.corrections is None:
        return None
    samples = load_corrections(Path(recipe.corrections.file))
    held_out_images = {image.tobytes() for image in digits.images[split.held_out]}
    is_held_out = np.array([image.tobytes() in held_out_images for image in samples.images], bool)
    is_unknown = ~samples.is_digit & (recipe.outliers is None)
    selected = SelectedCorrections(
        samples[~(is_held_out | is_unknown)],
        non_digits=int(is_unknown.sum()),
        held_out=int((is_held_out & ~is_unknown).sum()),
    )
    if not len(selected.samples):
        reason = ""
        if len(samples):
            reason = f": {selected.non_digits} are non-digits, {selected.held_out} are held-out images"
        raise DigitsError(f"{recipe.corrections.file} has no corrections to learn from{reason}")
    return selected


def describe_corrections(recipe: Recipe, selected: SelectedCorrections) -> dict[str, Any]:
    """Return the entry ``corrections`` of ``environment.json``."""
    assert recipe.corrections is not None
    samples = selected.samples
    described: dict[str, Any] = {
        "file": str(Path(recipe.corrections.file).resolve()),
        "sha256": samples.sha256(),
        "digits": int(samples.is_digit.sum()),
        "others": int((~samples.is_digit).sum()),
        "left_out": {"no_digit": selected.non_digits, "held_out": selected.held_out},
    }
    if recipe.start:
        folder = Path(recipe.start)
        weights = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
        described["from"] = {"run": str(folder.resolve()), "weights_sha256": weights}
    return described


@dataclass(frozen=True, slots=True, eq=False)
class Interpolated:
    """The networks to keep, and the entry ``corrections`` of ``metrics.json``."""

    predictor: Predictor
    metrics: dict[str, Any]


def interpolate(state: TrainingState[Recipe], data: TrainingData, stop: Event | None = None) -> Interpolated:
    """Choose the interpolation weight; measure the gain on corrections and the loss on validation images."""
    recipe, corrections = state.recipe, data.corrections
    assert recipe.corrections is not None
    assert corrections is not None
    tuned = predictor_of(state)
    images, classes = corrections.images.cpu().numpy(), corrections.classes.cpu().numpy()
    metrics: dict[str, Any] = {"images": len(images), "classes": _as_json(classes)}
    if not recipe.start:
        return Interpolated(tuned, metrics | {"after": _compare(tuned, images, classes)})
    original = _with_network(tuned, combine_members(load_members(Path(recipe.start))))
    budget = ValidationBudget(original, data.validation, recipe.corrections.cost)
    kept = budget.largest_weight(tuned)
    metrics |= {
        "kept": kept.weight,
        "before": _compare(original, images, classes),
        "unseen": _cross_validate(state, data, original, kept.weight, stop),
        "after": _compare(kept.predictor, images, classes),
        "validation": budget.compare(kept),
    }
    return Interpolated(kept.predictor, metrics)


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """An interpolation weight, the networks with it, and which validation images they classify correctly."""

    weight: float
    predictor: Predictor
    correct: NDArray[np.bool_]


class ValidationBudget:
    """The largest interpolation weight within the allowed number of validation errors."""

    def __init__(self, original: Predictor, validation: Digits, cost: float) -> None:
        self._original = original
        self._validation = validation
        self._allowed = floor(cost * len(validation) + ROUNDING)  # errors more than the original
        self._probabilities = predict(original, validation.images)
        self._correct = self._is_correct(self._probabilities)

    def largest_weight(self, tuned: Predictor) -> _Kept:
        """Return the first of `INTERPOLATION_WEIGHTS` that the budget allows."""
        for weight in INTERPOLATION_WEIGHTS:
            between = _interpolate_weights(self._original, tuned, weight)
            correct = self._is_correct(predict(between, self._validation.images))
            if not weight or self._correct.sum() - correct.sum() <= self._allowed:
                return _Kept(weight, between, correct)
        raise AssertionError("the last weight is the original network")

    def compare(self, kept: _Kept) -> dict[str, Any] | None:
        """Return the original's score, and how many images are newly right or wrong; None without images."""
        before = score(self._probabilities, self._validation)
        if before is None:
            return None
        return {
            "before": before.as_json(),
            "allowed": self._allowed,
            "newly_right": int((kept.correct & ~self._correct).sum()),
            "newly_wrong": int((self._correct & ~kept.correct).sum()),
        }

    def _is_correct(self, probabilities: Tensor) -> NDArray[np.bool_]:
        labels: NDArray[np.int64] = probabilities[:, :CLASSES].argmax(1).numpy()
        correct: NDArray[np.bool_] = labels == self._validation.labels
        return correct


def _interpolate_weights(original: Predictor, tuned: Predictor, weight: float) -> Predictor:
    """Return networks with weights on the line from `original` (weight 0) to `tuned` (weight 1)."""
    if weight == 1:
        return tuned
    old, new = original.network.state_dict(), tuned.network.state_dict()
    mixed = {
        name: torch.lerp(old[name], tensor, weight) if tensor.is_floating_point() else tensor
        for name, tensor in new.items()
    }
    network = deepcopy(tuned.network)
    network.load_state_dict(mixed)
    return _with_network(tuned, network)


def _with_network(predictor: Predictor, network: nn.Module) -> Predictor:
    """Return a predictor with the same settings and another network."""
    network = network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Predictor(network, predictor.shifts, temperature=predictor.temperature, outputs=predictor.outputs)


def _cross_validate(
    state: TrainingState[Recipe], data: TrainingData, original: Predictor, weight: float, stop: Event | None
) -> dict[str, Any] | None:
    """Classify each correction with networks that were fine-tuned without it; None if there are too few."""
    corrections = data.corrections
    assert corrections is not None
    if len(corrections.classes) < FOLDS:
        return None
    order = torch.argsort(corrections.classes, stable=True)  # so that each fold has its part of each class
    answers = np.empty(len(order), np.int64)
    for number in range(FOLDS):
        rows = order[number::FOLDS]
        rest = torch.ones(len(order), dtype=torch.bool, device=order.device)
        rest[rows] = False
        kept = ExtraImages(corrections.images[rest], corrections.classes[rest])
        tuned = _retrain(state, replace(data, corrections=kept, validation=data.validation[:0]), stop)
        predictor = _interpolate_weights(original, tuned, weight)
        answers[rows.cpu().numpy()] = classify(predict(predictor, corrections.images[rows].cpu().numpy()))
    return _right_and_answers(answers, corrections.classes.cpu().numpy())


def _retrain(state: TrainingState[Recipe], data: TrainingData, stop: Event | None) -> Predictor:
    """Train again from the same first weights, on other data, without writing files."""
    fresh = new_state(state.recipe, state.seed, state.device)
    for _ in fit(fresh, data, stop=stop):
        pass
    return predictor_of(fresh)


def _compare(predictor: Predictor, images: NDArray[np.uint8], classes: NDArray[np.int64]) -> dict[str, Any]:
    return _right_and_answers(classify(predict(predictor, images)), classes)


def _right_and_answers(answers: NDArray[np.int64], classes: NDArray[np.int64]) -> dict[str, Any]:
    return {"right": int((answers == classes).sum()), "answers": _as_json(answers)}


def _as_json(classes: NDArray[np.int64]) -> list[int | None]:
    """Return classes with None for non-digits."""
    return [None if each == NON_DIGIT else each for each in classes.tolist()]
