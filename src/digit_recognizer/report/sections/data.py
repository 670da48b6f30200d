"""The data: how many, what they look like, what augmentation makes of them, whether they are sound."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES, PIXELS, SIDE, Digits
from digit_recognizer.recipes.schema import Augmentation
from digit_recognizer.report import figures
from digit_recognizer.report.blocks import Block, Facts, Note, Picture, Section
from digit_recognizer.report.subject import Study
from digit_recognizer.report.words import count, percent
from digit_recognizer.training import preview_augmentation

EXAMPLES = 10  # images a digit
DRAWS = 12  # of augmentation


def show_data(study: Study) -> Section:
    """Show the digits that a run was trained on and judged by."""
    lead = (
        "What the network learned from, and what it was judged by."
        if study.is_own
        else f"What is shown here: {study.source}. The network was trained on another source, "
        f"{study.run.environment['data']['source'] or 'arrays'}; whether they share images is not known."
    )
    blocks = [*_labelled(study), _augmentation(study), _checks(study)]
    return Section("data", "The data", lead, blocks)


def _labelled(study: Study) -> list[Block]:
    digits = study.digits
    if digits.labels is None:
        return [
            Note("Images of each digit", "These images have no labels, so they cannot be sorted by digit.")
        ]
    training, judged = (digits[rows].counts() for rows in (study.training_rows, study.judged_rows))
    totals = training + judged
    split = "training (blue) and validation (orange) together" if study.is_own else "all of them judged"
    counts = Picture(
        "images-per-digit",
        "Images of each digit",
        f"Number of images, {split}. Digits that are much rarer than others are learned less well.",
        f"Bars of the number of images of each digit, from {totals.min():,} to {totals.max():,}.",
        partial(figures.draw_counts, training, judged)
        if study.is_own
        else partial(figures.draw_counts, totals, 0 * totals),
    )
    examples = Picture(
        "examples",
        "Examples",
        f"Up to {EXAMPLES} images of each digit, drawn at random: the range of hands that has to be read.",
        f"A grid with a row of handwritten examples for each digit from 0 to {CLASSES - 1}.",
        partial(figures.draw_examples, _examples(digits)),
    )
    return [counts, examples]


def _examples(digits: Digits) -> NDArray[np.uint8]:
    """Return a row of images for each digit, blank where there are fewer: uint8 (10, K, 28, 28)."""
    generator = np.random.default_rng(0)
    page = np.zeros((CLASSES, EXAMPLES, SIDE, SIDE), np.uint8)
    for digit in range(CLASSES):
        rows = np.flatnonzero(digits.labels == digit)
        chosen = generator.permutation(rows)[:EXAMPLES]
        page[digit, : len(chosen)] = digits.images[chosen]
    return page


def _augmentation(study: Study) -> Block:
    augmentation = study.run.recipe.augmentation
    title = "Augmentation"
    if augmentation is None:
        return Note(title, "The recipe does not augment: the network met each training image as it is.")
    rows = study.training_rows if len(study.training_rows) else study.judged_rows
    image = study.digits.images[rows[0]]
    drawn = preview_augmentation(image, augmentation, DRAWS, study.run.environment["seed"])
    return Picture(
        "augmentation",
        title,
        f"One image and {DRAWS} draws of it: {_in_words(augmentation)}. "
        "The network meets each image anew in every epoch, so it learns that these are one digit.",
        f"A handwritten digit, and {DRAWS} versions of it, each turned, stretched and moved a little.",
        partial(figures.draw_augmentation, image, drawn),
    )


def _in_words(augmentation: Augmentation) -> str:
    moves = [
        f"turned by up to {augmentation.rotation:g}° to either side",
        f"height and width each changed by up to {percent(augmentation.zoom, 0)}",
        f"moved by up to {augmentation.shift * SIDE:.1f} pixels each way",
    ]
    if augmentation.shear:
        moves.append(f"slanted by up to {percent(augmentation.shear, 0)} of the height")
    return ", ".join(moves)


def _checks(study: Study) -> Facts:
    images = study.digits.images
    constant = int((images == images[0]).all(axis=0).sum())
    blank = int((~images.any(axis=(1, 2))).sum())
    numbers = _numbered(images)
    again = len(numbers) - len(np.unique(numbers))
    rows = [
        ("Missing values", "none: a source with any is refused when it is read"),
        ("Constant pixels", f"{constant} of {PIXELS} are the same in every image and tell nothing apart"),
        ("Blank images", f"{blank:,}" if blank else "none"),
        ("Repeated images", f"{again:,} the same as an earlier one in every pixel" if again else "none"),
    ]
    if study.is_own:
        shared = int(np.isin(numbers[study.judged_rows], numbers[study.training_rows]).sum())
        flattering = f"{count(shared, 'validation image')}: they flatter the accuracy"
        rows.append(("Seen in training", flattering if shared else "no validation image"))
    if study.digits.labels is not None:
        pairs = np.unique(np.stack([numbers, study.digits.labels]), axis=1)
        torn = pairs.shape[1] - len(np.unique(numbers))
        rows.append(
            ("Labels at odds", f"{torn:,} times the same image has another label" if torn else "none")
        )
    return Facts(f"Checks of {count(len(images), 'image')}", rows, wide=False)


def _numbered(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Give the same number to images that are the same in every pixel: int64 (N,)."""
    seen: dict[bytes, int] = {}
    return np.array([seen.setdefault(image.tobytes(), len(seen)) for image in images], np.int64)
