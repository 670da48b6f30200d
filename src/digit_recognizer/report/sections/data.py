"""The data: how many images, what they look like, what augmentation changes, and checks of their quality."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES, PIXELS, SIDE, Digits
from digit_recognizer.formatting import count, percent, spelled
from digit_recognizer.recipes.schema import Augmentation
from digit_recognizer.report import figures
from digit_recognizer.report.blocks import Block, Facts, Note, Picture, Section
from digit_recognizer.report.subject import Subject
from digit_recognizer.training import preview_augmentation

EXAMPLES_PER_DIGIT = 10
VARIANTS = 12  # of one image, made by augmentation


def show_data(subject: Subject) -> Section:
    """Show the digits that a run was trained and evaluated on."""
    lead = (
        "The images that the network was trained and evaluated on."
        if subject.is_own
        else f"The images of {subject.source}. The network was trained on another source, "
        f"{subject.run.environment.data.source or 'arrays'}; the two may share images."
    )
    blocks = [*_images_per_digit(subject), _augmentation(subject), _checks(subject)]
    return Section("data", "Data", lead, blocks)


def _images_per_digit(subject: Subject) -> list[Block]:
    digits = subject.digits
    if digits.labels is None:
        return [Note("Images per digit", "These images have no labels, so they cannot be counted by digit.")]
    total = digits[subject.training_rows].counts() + digits[subject.evaluated_rows].counts()
    validation = digits[subject.evaluated_rows].counts() if subject.is_own else np.zeros_like(total)
    parts = "training (blue) and validation (orange)" if subject.is_own else "all are evaluated"
    counts = Picture(
        "images-per-digit",
        "Images per digit",
        f"Number of images: {parts}. If a digit has far fewer images than the others, the network learns it "
        "less well.",
        f"Bar chart of the number of images per digit, from {total.min():,} to {total.max():,}.",
        partial(figures.draw_counts, total - validation, validation),
    )
    shown = np.flatnonzero(digits.counts()).tolist()
    examples = Picture(
        "examples",
        "Examples",
        f"Up to {EXAMPLES_PER_DIGIT} random images of each digit.",
        f"A grid with a row of handwritten examples for each digit: {spelled(list(map(str, shown)))}.",
        partial(figures.draw_examples, _examples(digits)[shown], shown),
    )
    return [counts, examples]


def _examples(digits: Digits) -> NDArray[np.uint8]:
    """Return a row of images for each digit, filled up with blank ones: uint8 (10, K, 28, 28)."""
    generator = np.random.default_rng(0)
    page = np.zeros((CLASSES, EXAMPLES_PER_DIGIT, SIDE, SIDE), np.uint8)
    for digit in range(CLASSES):
        rows = np.flatnonzero(digits.labels == digit)
        chosen = generator.permutation(rows)[:EXAMPLES_PER_DIGIT]
        page[digit, : len(chosen)] = digits.images[chosen]
    return page


def _augmentation(subject: Subject) -> Block:
    augmentation = subject.run.recipe.augmentation
    title = "Augmentation"
    if augmentation is None:
        return Note(title, "The recipe uses no augmentation: the network sees each training image unchanged.")
    rows = subject.training_rows if len(subject.training_rows) else subject.evaluated_rows
    image = subject.digits.images[rows[0]]
    variants = preview_augmentation(image, augmentation, VARIANTS, subject.run.environment.seed)
    return Picture(
        "augmentation",
        title,
        f"One image and {VARIANTS} random variants of it: {_in_words(augmentation)}. "
        "The network sees new variants in every epoch and learns that they show the same digit.",
        f"A handwritten digit and {VARIANTS} variants of it, each slightly rotated, scaled and shifted.",
        partial(figures.draw_augmentation, image, variants),
    )


def _in_words(augmentation: Augmentation) -> str:
    changes = [
        f"rotated by up to {augmentation.rotation:g}° in either direction",
        f"scaled in height and width by up to {percent(augmentation.zoom, 0)} each",
        f"shifted by up to {augmentation.shift * SIDE:.1f} pixels in each direction",
    ]
    if augmentation.shear:
        changes.append(f"sheared by up to {percent(augmentation.shear, 0)} of the height")
    return ", ".join(changes)


def _checks(subject: Subject) -> Facts:
    images = subject.digits.images
    constant = int((images == images[0]).all(axis=0).sum())
    blank = int((~images.any(axis=(1, 2))).sum())
    ids = _number_distinct(images)
    duplicates = len(ids) - len(np.unique(ids))
    rows = [
        ("Missing values", "none: a source with missing values is rejected when it is read"),
        ("Constant pixels", f"{constant} of {PIXELS} have the same value in every image"),
        ("Blank images", f"{blank:,}" if blank else "none"),
        ("Duplicate images", f"{duplicates:,} identical to an earlier image" if duplicates else "none"),
    ]
    if subject.digits.labels is not None:
        missing = np.flatnonzero(subject.digits.counts() == 0).tolist()
        rows.append(("Missing digits", spelled(list(map(str, missing))) if missing else "none"))
    if subject.is_own:
        shared = int(np.isin(ids[subject.evaluated_rows], ids[subject.training_rows]).sum())
        overlap = f"{count(shared, 'validation image')} also used for training: the accuracy is overestimated"
        rows.append(("Overlap", overlap if shared else "no validation image was also used for training"))
    if subject.digits.labels is not None:
        labelled = np.unique(np.stack([ids, subject.digits.labels]), axis=1)
        conflicts = labelled.shape[1] - len(np.unique(ids))
        conflict = f"{count(conflicts, 'image')} with a label that differs from that of an identical image"
        rows.append(("Conflicting labels", conflict if conflicts else "none"))
    return Facts(f"Checks of {count(len(images), 'image')}", rows, wide=False)


def _number_distinct(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Give identical images the same number: int64 (N,)."""
    seen: dict[bytes, int] = {}
    return np.array([seen.setdefault(image.tobytes(), len(seen)) for image in images], np.int64)
