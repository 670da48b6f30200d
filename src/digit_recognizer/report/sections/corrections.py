"""What a user's corrections changed: what they gained, what they cost, and the images before and after."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from digit_recognizer.corrections import load_corrections
from digit_recognizer.digits import CLASSES
from digit_recognizer.report import figures
from digit_recognizer.report.blocks import Block, Facts, Note, Picture, Section, Table
from digit_recognizer.report.subject import Run
from digit_recognizer.report.words import count, percent
from digit_recognizer.runs import run_folder

SHOWN = 30  # images, at most
NO_DIGIT = "none"  # what stands for no digit above an image


def show_corrections(run: Run) -> Section:
    """Show what corrections changed; only of a run whose metrics speak of them."""
    values = run.metrics["corrections"]
    blocks: list[Block] = [Facts("What was learned from", _facts(run)), _gained(values)]
    if "kept" in values:
        blocks.append(_cost(run))
    blocks.append(_images(run))
    return Section("corrections", "Your own handwriting", _lead(values), blocks)


def _lead(values: dict[str, Any]) -> str:
    images = count(values["images"], "correction")
    if "kept" not in values:
        return f"The network learned from {images}, besides the data."
    before, unseen = values["before"]["right"], values["unseen"]
    if not values["kept"]:
        return f"Nothing of what {images} taught could be kept: it would have cost too much elsewhere."
    if unseen is None:
        return f"The network learned from {images}, too few to hold some back and judge by them."
    return (
        f"Of {images}, {before:,} were read rightly before and {unseen['right']:,} after, each by a network "
        "that had not seen it."
    )


def _facts(run: Run) -> list[tuple[str, str]]:
    described = run.environment["corrections"]
    left_out = described["left_out"]
    start = described.get("from")
    facts = [
        ("File", described["file"]),
        ("Checksum", f"SHA-256 {described['sha256'][:16]}…"),
        ("Digits", f"{described['digits']:,}"),
        ("No digit", f"{described['others']:,}"),
        ("Left out", f"{left_out['no_digit']:,} of no digit, {left_out['held_out']:,} of held-out images"),
        ("Started from", start["run"] if start else "first weights"),
    ]
    if "kept" in run.metrics["corrections"]:
        facts.append(("Change of the weights kept", percent(run.metrics["corrections"]["kept"], 0)))
    return facts


def _gained(values: dict[str, Any]) -> Table:
    """Count the right ones for each class, at each time that was looked at."""
    times = {"before": "before", "unseen": "after, not seen", "after": "after, learned from"}
    looked = {heading: values[key]["answers"] for key, heading in times.items() if values.get(key)}
    classes = [each for each in (*range(CLASSES), None) if each in values["classes"]]
    rows = []
    for each in classes:
        places = [place for place, found in enumerate(values["classes"]) if found == each]
        right = [str(sum(answers[place] == each for place in places)) for answers in looked.values()]
        rows.append([_word(each), str(len(places)), *right])
    total = [
        str(sum(a == b for a, b in zip(values["classes"], each, strict=True))) for each in looked.values()
    ]
    rows.append(["together", str(values["images"]), *total])
    return Table(
        "Read rightly",
        "How many corrections of each digit are read rightly. Not seen: each by a network trained in the "
        "same way without it and a fifth of the others. Learned from: by the network that learned from all, "
        "which says little about what it will read next.",
        ("digit", "corrections", *looked),
        rows,
        frozenset(range(1, 2 + len(looked))),
    )


def _cost(run: Run) -> Block:
    title = "What it cost"
    compared, after = run.metrics["corrections"]["validation"], run.metrics["validation"]
    if compared is None or after is None:
        return Note(title, "The run that it started from holds no images out, so nobody can say.")
    rows = [
        [name, f"{each['errors']:,}", percent(each["accuracy"]), _interval(each)]
        for name, each in (("before", compared["before"]), ("after", after))
    ]
    return Table(
        title,
        f"On {count(after['images'], 'validation image')}, which neither run learned from: "
        f"{compared['newly_right']:,} are read rightly that were not, {compared['newly_wrong']:,} no longer "
        f"are. At most {count(compared['allowed'], 'error')} more would have been let through.",
        ("", "errors", "accuracy", "95 % interval"),
        rows,
        frozenset({1, 2, 3}),
    )


def _interval(figures_of: dict[str, Any]) -> str:
    low, high = figures_of["accuracy_interval_95"]
    return f"{100 * low:.2f} to {percent(high)}"


def _images(run: Run) -> Block:
    values = run.metrics["corrections"]
    corrections = load_corrections(run.folder / run_folder.CORRECTIONS)
    answers = (values.get("unseen") or values["after"])["answers"]
    before = values["before"]["answers"] if "before" in values else [None] * len(answers)
    classes = values["classes"]
    changed = [place for place in range(len(classes)) if before[place] != answers[place]]
    same = [place for place in range(len(classes)) if before[place] == answers[place]]
    chosen = sorted([*changed, *same][:SHOWN])
    words = [
        f"{_word(before[place])} → {_word(answers[place])}" if "before" in values else _word(answers[place])
        for place in chosen
    ]
    right = np.array([answers[place] == classes[place] for place in chosen])
    words = [
        word if good else f"{word}, is {_word(classes[place])}"
        for word, good, place in zip(words, right, chosen, strict=True)
    ]
    how = (
        "by a network that had not seen it" if values.get("unseen") else "by the network that learned from it"
    )
    what = "what it was read as before and is read as now" if "before" in values else "what it is read as"
    return Picture(
        "corrections",
        "The corrections",
        f"Above each image {what}, {how}; what is still wrong is framed in orange.",
        f"A grid of {len(chosen)} corrected images, {int(right.sum())} of them read rightly: "
        f"{'; '.join(words)}.",
        partial(figures.draw_corrections, corrections.images[chosen], words, right),
    )


def _word(each: int | None) -> str:
    return NO_DIGIT if each is None else str(each)
