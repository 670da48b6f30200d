"""What a user's corrections changed: the gain, the loss elsewhere, and the images before and after."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from digit_recognizer.corrections import load_corrections
from digit_recognizer.digits import CLASSES
from digit_recognizer.formatting import count, percent, percent_range
from digit_recognizer.report import figures
from digit_recognizer.report.blocks import Block, Facts, Note, Picture, Section, Table
from digit_recognizer.runs import run_folder
from digit_recognizer.runs.run import Run

MAX_IMAGES = 30
NON_DIGIT_WORD = "none"


def show_corrections(run: Run) -> Section:
    """Show what corrections changed; only for a run that was trained with corrections."""
    values = _values(run)
    blocks: list[Block] = [Facts("What the network learned from", _facts(run)), _accuracy(values)]
    if "kept" in values:
        blocks.append(_validation(run))
    blocks.append(_images(run))
    return Section("corrections", "Corrections", _lead(values), blocks)


def _values(run: Run) -> dict[str, Any]:
    assert run.metrics.corrections is not None
    return run.metrics.corrections


def _lead(values: dict[str, Any]) -> str:
    images = count(values["images"], "correction")
    if "kept" not in values:
        return f"The network was trained on {images} in addition to the data."
    before, unseen = values["before"]["right"], values["unseen"]
    if not values["kept"]:
        return f"The weights are unchanged: any effect of {images} cost too much accuracy elsewhere."
    if unseen is None:
        return f"The network was trained on {images}, too few to hold some out for evaluation."
    return (
        f"Of {images}, {before:,} were read correctly before and {unseen['right']:,} after training, each by "
        "a network that was trained without it."
    )


def _facts(run: Run) -> list[tuple[str, str]]:
    described = run.environment.corrections
    assert described is not None
    left_out = described["left_out"]
    start = described.get("from")
    facts = [
        ("File", described["file"]),
        ("Checksum", f"SHA-256 {described['sha256'][:16]}…"),
        ("Digits", f"{described['digits']:,}"),
        ("Non-digits", f"{described['others']:,}"),
        ("Left out", f"{left_out['no_digit']:,} non-digits, {left_out['held_out']:,} held-out images"),
        ("Started from", start["run"] if start else "initial weights"),
    ]
    if "kept" in _values(run):
        facts.append(("Weight change kept", percent(_values(run)["kept"], 0)))
    return facts


def _accuracy(values: dict[str, Any]) -> Table:
    """Count the correct answers for each class, before training and after it."""
    headings = {"before": "before", "unseen": "after, without it", "after": "after, with it"}
    answers = {heading: values[key]["answers"] for key, heading in headings.items() if values.get(key)}
    classes = values["classes"]
    rows = []
    for each in (*range(CLASSES), None):
        places = [place for place, found in enumerate(classes) if found == each]
        correct = [str(sum(read[place] == each for place in places)) for read in answers.values()]
        if places:
            rows.append([_word(each), str(len(places)), *correct])
    total = [str(sum(a == b for a, b in zip(classes, read, strict=True))) for read in answers.values()]
    rows.append(["total", str(values["images"]), *total])
    return Table(
        "Corrections read correctly",
        "Number of corrections that are read correctly. Without it: each by a network that was trained "
        "without it and a fifth of the others. With it: by the network that was trained on all, which says "
        "little about new handwriting.",
        ("digit", "corrections", *answers),
        rows,
        frozenset(range(1, 2 + len(answers))),
    )


def _validation(run: Run) -> Block:
    title = "Effect on the validation images"
    compared, after = _values(run)["validation"], run.metrics.validation
    if compared is None or after is None:
        return Note(title, "Unknown: the run that this one started from held out no images.")
    rows = [
        [name, f"{each['errors']:,}", percent(each["accuracy"]), percent_range(*each["accuracy_interval_95"])]
        for name, each in (("before", compared["before"]), ("after", after.as_json()))
    ]
    return Table(
        title,
        f"Of {count(after.images, 'validation image')}, on which neither run was trained, "
        f"{compared['newly_right']:,} are newly read correctly and {compared['newly_wrong']:,} newly read "
        f"incorrectly. At most {count(compared['allowed'], 'additional error')} would have been accepted.",
        ("", "errors", "accuracy", "95 % interval"),
        rows,
        frozenset({1, 2, 3}),
    )


def _images(run: Run) -> Block:
    values, samples = _values(run), load_corrections(run.folder / run_folder.CORRECTIONS)
    classes = values["classes"]
    answers = (values.get("unseen") or values["after"])["answers"]
    before = values["before"]["answers"] if "before" in values else [None] * len(answers)
    changed_first = sorted(range(len(classes)), key=lambda place: before[place] == answers[place])
    chosen = sorted(changed_first[:MAX_IMAGES])
    correct = np.array([answers[place] == classes[place] for place in chosen])
    words = [
        (f"{_word(before[place])} → " if "before" in values else "")
        + _word(answers[place])
        + ("" if is_correct else f", is {_word(classes[place])}")
        for place, is_correct in zip(chosen, correct, strict=True)
    ]
    what = "the answer before and after training" if "before" in values else "the answer"
    network = "that was trained without it" if values.get("unseen") else "that was trained on it"
    return Picture(
        "corrections",
        "Corrected images",
        f"Above each image, {what}, given by a network {network}. Wrong answers have an orange frame.",
        f"A grid of {len(chosen)} corrected images, {int(correct.sum())} of them read correctly: "
        f"{'; '.join(words)}.",
        partial(figures.draw_corrections, samples.images[chosen], words, correct),
    )


def _word(each: int | None) -> str:
    return NON_DIGIT_WORD if each is None else str(each)
