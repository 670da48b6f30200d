"""A run that is trained already, as the teacher of another: distillation.

After https://arxiv.org/abs/1503.02531. The teacher sees each image as the network does, moved as it is, and
its probabilities stand in for the label.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from digit_recognizer.digits import CLASSES, Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.networks.build import build_network
from digit_recognizer.networks.predictor import combine_members, scale
from digit_recognizer.recipes.recipe import Recipe, load_recipe
from digit_recognizer.recipes.schema import Split
from digit_recognizer.runs import run_folder
from digit_recognizer.training.checkpoint import load_weights
from digit_recognizer.training.randomness import draws_from
from digit_recognizer.training.splits import Fold, Parts, check_batch, read_parts, split_rows

LIKE_A_DIGIT = 0.8  # a teacher's probability from which an outlier may be a digit
SCREENED = 512  # images that a teacher looks at together


def load_teacher(recipe: Recipe, device: torch.device) -> nn.Module | None:
    """Return the network of a recipe's teacher, with its weights; None where it has none.

    Raises
    ------
    DigitsError
        There is no such run, it is not finished or damaged.
    """
    if recipe.teacher is None:
        return None
    network = combine_members(load_members(Path(recipe.teacher.run)))
    network = network.eval().requires_grad_(requires_grad=False)
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def load_members(folder: Path) -> list[nn.Module]:
    """Return the networks of a finished run, with their weights.

    Raises
    ------
    DigitsError
        There is no such run, it is not finished or damaged.
    """
    run_folder.read_environment(folder)
    run_folder.check_finished(folder)
    found = load_recipe(folder / run_folder.RECIPE)
    with draws_from(seed=0, epoch=0, step=0):  # what is built before the weights come in draws some
        members = [build_network(found, member) for member in range(1, count_members(folder, found) + 1)]
    load_weights(folder / run_folder.WEIGHTS, combine_members(members))
    return members


def count_members(folder: Path, recipe: Recipe) -> int:
    """Return how many members a finished run has: fewer than its recipe's where it was ended early."""
    path = folder / run_folder.METRICS
    members = run_folder.read_json(path).get("members", 1)
    if type(members) is not int or not 1 <= members <= recipe.members:  # a bool is an int, too
        raise DigitsError(f"{path} is damaged: expected 1 to {recipe.members} members")
    return members


def check_teacher(folder: Path, advice: str) -> None:
    """Raise `DigitsError`, with advice, where a teacher's folder is missing."""
    if not folder.is_dir():
        raise DigitsError(f"the teacher {folder} is missing: {advice}")


def choose_parts(digits: Digits, recipe: Recipe, seed: int, fold: Fold | None = None) -> Parts:
    """Return which rows a run is trained on and which it holds out.

    That is its own split, or that of its teacher or the run that it starts from.

    Raises
    ------
    DigitsError
        As `split_rows`; or there is no such teacher or run, it is damaged, was trained on other digits, or
        held none out that the recipe could watch; a fold is to be held out of a run's training images.
    """
    if recipe.teacher is not None:
        folder = Path(recipe.teacher.run)
        check_teacher(folder, "train it, or name another by --set teacher.run=…")
        return _parts_of(recipe, folder, digits, f"the teacher {folder}")
    if not recipe.start:
        return split_rows(digits, recipe, seed, fold)
    if fold is not None:
        raise DigitsError(
            f"no folds can be held out: {recipe.start}, which it starts from, knows these images"
        )
    return _parts_of(recipe, Path(recipe.start), digits, recipe.start)


def _parts_of(recipe: Recipe, folder: Path, digits: Digits, named: str) -> Parts:
    if run_folder.read_environment(folder)["data"]["sha256"] != digits.sha256():
        who = "a pupil" if recipe.teacher is not None else "fine-tuning"
        raise DigitsError(f"{named} was trained on other digits: {who} needs the same")
    parts = read_parts(folder, len(digits))
    if recipe.watches_validation and not len(parts.validation):
        raise DigitsError(f"{recipe.name} watches validation images, but {named} held none out")
    check_batch(len(parts.training), recipe)
    return parts


def recorded(recipe: Recipe, parts: Parts, folder: Path) -> Recipe:
    """Return a recipe as its run keeps it.

    A teacher's folder, or that of the run it starts from, is found from any other, and the share held out is
    theirs; the file of corrections is the copy in the run's own `folder`.
    """
    if recipe.corrections is not None:
        start = str(Path(recipe.start).resolve()) if recipe.start else ""
        file = str((folder / run_folder.CORRECTIONS).resolve())
        recipe = replace(recipe, corrections=replace(recipe.corrections, file=file, run=start))
    if recipe.teacher is not None:
        recipe = replace(recipe, teacher=replace(recipe.teacher, run=str(Path(recipe.teacher.run).resolve())))
    if recipe.teacher is None and not recipe.start:
        return recipe
    share = len(parts.validation) / (len(parts.training) + len(parts.validation))
    return replace(recipe, split=Split(share))


def soft_targets(teacher: nn.Module, inputs: Tensor, labels: Tensor, weight: float) -> Tensor:
    """Return what a pupil learns of digits: float32 (B, 10), `weight` of them the teacher's probabilities.

    Parameters
    ----------
    teacher
        As `load_teacher` gives it.
    inputs
        float32, shape (B, 1, 28, 28), as the pupil sees them.
    labels
        int64, shape (B,).
    weight
        0 to 1; the rest is the labels.
    """
    with torch.no_grad():
        answers = teacher(inputs).float().softmax(dim=1)
    targets: Tensor = weight * answers + (1 - weight) * one_hot(labels, CLASSES)
    return targets


@torch.inference_mode()
def are_strange(images: Tensor, teacher: nn.Module) -> Tensor:
    """Return which images, uint8 (N, 28, 28), a teacher takes for no digit that it is sure of: bool (N,)."""
    batches = torch.split(images, SCREENED)
    likeness = [teacher(scale(batch)).softmax(dim=1).amax(dim=1) for batch in batches]
    return (torch.cat(likeness) < LIKE_A_DIGIT).clone()
