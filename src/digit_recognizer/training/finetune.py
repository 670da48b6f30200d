"""Learning from corrections: a user's own handwriting, and what it costs elsewhere.

Fine-tuning starts from a run's weights. Each batch holds some of its training images, so that they are not
forgotten (rehearsal), and corrections among them, moved at random like all others. What comes out is held
against the run that it started from, on the validation images of that run. Where it costs more of them than
allowed, the weights go back towards the run's, as far as needed: weights between the two lose little of what
was gained (https://arxiv.org/abs/2109.01903).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from math import floor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from digit_recognizer.corrections import load_corrections
from digit_recognizer.digits import CLASSES, NON_DIGIT, Digits, Samples
from digit_recognizer.errors import DigitsError
from digit_recognizer.networks.predictor import Predictor, combine_members
from digit_recognizer.recipes.recipe import Recipe, load_recipe, recipe_from_toml, recipe_to_toml
from digit_recognizer.recipes.schema import Augmentation, Corrections, OneCycle
from digit_recognizer.runs import run_folder
from digit_recognizer.training.data import Pool
from digit_recognizer.training.distillation import count_members, load_members
from digit_recognizer.training.metrics import answers_in, figures_in, probabilities_of
from digit_recognizer.training.splits import Parts
from digit_recognizer.training.state import Job

EPOCHS = 3
SLOWER = 0.25  # of the learning rate that the run was trained with
FEWER = 0.1  # of the outliers that the run was trained with
FINE_TUNED = "; fine-tuned on corrections"  # behind the recipe's summary
SUFFIX = "-corrected"  # of the recipe's name
LONGEST = 64  # characters of a recipe's name
MOVED = Augmentation(rotation=10.0, zoom=0.1, shift=0.07, shear=0.05)  # where the run's recipe moves nothing

FOLDS = 5  # parts of the corrections that are held back in turn
ROUNDING = 1e-9  # of products of floats
STEPS_BACK = (1.0, 0.85, 0.7, 0.55, 0.4, 0.25, 0.0)  # how much of the change of the weights is kept

Train = Callable[[Pool], Predictor]


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """Which corrections a run learns from.

    Attributes
    ----------
    samples
        At least one.
    no_digit
        How many were left out because they are no digit, and the recipe knows no outliers.
    held_out
        How many were left out because they are images that the run holds out.
    """

    samples: Samples
    no_digit: int
    held_out: int


@dataclass(frozen=True, slots=True, eq=False)
class Settled:
    """What came of it: the networks to keep, and what ``metrics.json`` says of the corrections."""

    predictor: Predictor
    metrics: dict[str, Any]


def fine_tuning(run: str | Path, corrections: str | Path, settings: list[str]) -> Recipe:
    """Return the recipe that fine-tunes a finished run on corrections.

    It is the run's own, for fewer epochs at a lower learning rate, with augmentation in any case.

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
    folder = Path(run)
    run_folder.read_environment(folder)
    run_folder.check_finished(folder)
    old = load_recipe(folder / run_folder.RECIPE)
    outliers = old.outliers
    if outliers is not None:
        images, lines = (max(1, round(FEWER * each)) for each in (outliers.images, outliers.lines))
        outliers = replace(outliers, images=images, lines=lines)
    recipe = replace(
        old,
        name=old.name.removesuffix(SUFFIX)[: LONGEST - len(SUFFIX)] + SUFFIX,
        summary=f"{old.summary.removesuffix(FINE_TUNED)}{FINE_TUNED}",
        reached="",
        epochs=EPOCHS,
        members=count_members(folder, old),
        optimizer=replace(old.optimizer, learning_rate=SLOWER * old.optimizer.learning_rate),
        schedule=OneCycle("one-cycle"),
        augmentation=old.augmentation or MOVED,
        stopping=None,
        teacher=None,
        outliers=outliers,
        corrections=Corrections(str(corrections), run=str(run)),
    )
    return recipe_from_toml(recipe_to_toml(recipe), f"the recipe of {folder}", settings)


def with_corrections(recipe: Recipe, corrections: str | Path) -> Recipe:
    """Return a recipe that learns from a file of corrections, too, with what it says of them otherwise."""
    old = recipe.corrections
    new = Corrections(str(corrections)) if old is None else replace(old, file=str(corrections))
    return replace(recipe, corrections=new)


def choose_corrections(recipe: Recipe, digits: Digits, parts: Parts) -> Chosen | None:
    """Read a recipe's corrections, and leave out what it cannot or must not learn from; None without any.

    Raises
    ------
    DigitsError
        The file is missing or damaged, or none is left.
    """
    if recipe.corrections is None:
        return None
    samples = load_corrections(Path(recipe.corrections.file))
    held_out = parts.validation if parts.fold is None else np.concatenate([parts.validation, parts.fold])
    seen = {image.tobytes() for image in digits.images[held_out]}
    is_held_out = np.array([image.tobytes() in seen for image in samples.images], bool)
    is_unknown = ~samples.is_digit & (recipe.outliers is None)
    chosen = Chosen(
        samples[~(is_held_out | is_unknown)],
        no_digit=int(is_unknown.sum()),
        held_out=int((is_held_out & ~is_unknown).sum()),
    )
    if not len(chosen.samples):
        why = ""
        if len(samples):
            why = f": {chosen.no_digit} are no digit, {chosen.held_out} are images that are held out"
        raise DigitsError(f"{recipe.corrections.file} holds no corrections to learn from{why}")
    return chosen


def pool_of(samples: Samples, device: torch.device) -> Pool:
    """Return corrections as they come into batches."""
    return Pool(torch.from_numpy(samples.images).to(device), torch.from_numpy(samples.classes).to(device))


def describe_corrections(recipe: Recipe, chosen: Chosen) -> dict[str, Any]:
    """Return what a run's ``environment.json`` says of its corrections, and of the run it started from."""
    assert recipe.corrections is not None
    samples = chosen.samples
    described: dict[str, Any] = {
        "file": str(Path(recipe.corrections.file).resolve()),
        "sha256": samples.sha256(),
        "digits": int(samples.is_digit.sum()),
        "others": int((~samples.is_digit).sum()),
        "left_out": {"no_digit": chosen.no_digit, "held_out": chosen.held_out},
    }
    if recipe.start:
        folder = Path(recipe.start)
        weights = hashlib.sha256((folder / run_folder.WEIGHTS).read_bytes()).hexdigest()
        described["from"] = {"run": str(folder.resolve()), "weights_sha256": weights}
    return described


def settle(job: Job, validation: Digits, train: Train) -> Settled:
    """Decide how much of what was learned is kept, and measure what corrections gained and cost.

    Parameters
    ----------
    job
        All of whose epochs are done.
    validation
        The digits that are held out.
    train
        Trains as in `job`, with other corrections.
    """
    assert job.recipe.corrections is not None
    assert job.corrections is not None
    pool, tuned = job.corrections, job.predictor
    images, classes = pool.images.cpu().numpy(), pool.classes.cpu().numpy()
    metrics: dict[str, Any] = {"images": len(images), "classes": _named(classes)}
    if not job.recipe.start:
        return Settled(tuned, metrics | {"after": _judged(_answers(tuned, images), classes)})
    start = _with_network(tuned, combine_members(load_members(Path(job.recipe.start))).eval())
    scale = _Scale(start, validation, job.recipe.corrections.cost)
    kept = scale.keep(tuned)
    unseen = _unseen(pool, lambda some: _between(start, train(some), kept.share))
    metrics |= {
        "kept": kept.share,
        "before": _judged(_answers(start, images), classes),
        "unseen": None if unseen is None else _judged(unseen, classes),
        "after": _judged(_answers(kept.predictor, images), classes),
        "validation": scale.compared(kept),
    }
    return Settled(kept.predictor, metrics)


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """Networks that keep a share of a change, and which validation images they read rightly."""

    share: float
    predictor: Predictor
    right: NDArray[np.bool_]


class _Scale:
    """Holds what was fine-tuned against what it started from."""

    def __init__(self, start: Predictor, validation: Digits, cost: float) -> None:
        self._start = start
        self._validation = validation
        self._allowed = floor(cost * len(validation) + ROUNDING)  # errors more than before
        self._probabilities = probabilities_of(start, validation.images) if len(validation) else None
        self._right = self._reads_rightly(self._probabilities)

    def keep(self, tuned: Predictor) -> _Kept:
        """Return as much of a change as costs no more than allowed."""
        for share in STEPS_BACK:
            between = _between(self._start, tuned, share)
            seen = probabilities_of(between, self._validation.images) if len(self._validation) else None
            right = self._reads_rightly(seen)
            if not share or self._right.sum() - right.sum() <= self._allowed:
                return _Kept(share, between, right)
        raise AssertionError("the last of them changes nothing")

    def compared(self, kept: _Kept) -> dict[str, Any] | None:
        """Return how good the start was on validation images, and how many are now right or wrong."""
        if self._probabilities is None:
            return None
        return {
            "before": figures_in(self._probabilities, self._validation),
            "allowed": self._allowed,
            "newly_right": int((kept.right & ~self._right).sum()),
            "newly_wrong": int((self._right & ~kept.right).sum()),
        }

    def _reads_rightly(self, probabilities: Tensor | None) -> NDArray[np.bool_]:
        if probabilities is None:
            return np.empty(0, np.bool_)
        labels: NDArray[np.int64] = probabilities[:, :CLASSES].argmax(1).numpy()
        right: NDArray[np.bool_] = labels == self._validation.labels
        return right


def _between(start: Predictor, tuned: Predictor, share: float) -> Predictor:
    """Return networks whose weights lie between those of two: at `share` of the way to `tuned`."""
    if share == 1:
        return tuned
    old, new = start.network.state_dict(), tuned.network.state_dict()
    mixed = {
        name: torch.lerp(old[name], tensor, share) if tensor.is_floating_point() else tensor
        for name, tensor in new.items()
    }
    network = deepcopy(tuned.network)
    network.load_state_dict(mixed)
    return _with_network(tuned, network)


def _with_network(predictor: Predictor, network: nn.Module) -> Predictor:
    """Return a predictor like another, of other networks."""
    network = network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Predictor(network, predictor.shifts, temperature=predictor.temperature, outputs=predictor.outputs)


def _unseen(pool: Pool, train: Train) -> NDArray[np.int64] | None:
    """Return what each correction is read as by networks that have not seen it: int64 (N,).

    A fifth of them is held back in turn, each class spread evenly. None where there are too few.
    """
    count = len(pool.classes)
    if count < FOLDS:
        return None
    order = torch.argsort(pool.classes, stable=True)
    answers = np.empty(count, np.int64)
    for number in range(FOLDS):
        back = order[number::FOLDS]
        rest = torch.ones(count, dtype=torch.bool, device=order.device)
        rest[back] = False
        predictor = train(Pool(pool.images[rest], pool.classes[rest]))
        answers[back.cpu().numpy()] = _answers(predictor, pool.images[back].cpu().numpy())
    return answers


def _answers(predictor: Predictor, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    return answers_in(probabilities_of(predictor, images))


def _judged(answers: NDArray[np.int64], classes: NDArray[np.int64]) -> dict[str, Any]:
    """Return how many of the corrections are right, and what each is read as."""
    return {"right": int((answers == classes).sum()), "answers": _named(answers)}


def _named(classes: NDArray[np.int64]) -> list[int | None]:
    """Return classes as JSON has them: None for no digit."""
    return [None if each == NON_DIGIT else each for each in classes.tolist()]
