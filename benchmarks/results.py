"""Turn the benchmark's figures into rows, and write the table of all kinds of processors in docs/RESULTS.md.

    python benchmarks/results.py

writes the table again from each ``results-<kind>.json``: one column for each kind, empty if not measured.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from _bench import HERE, KINDS
from _report import Measured, Summary, ratios_in_turn, summarise

COMPARED = ("flash", "quick", "standard")  # our recipes whose time to an accuracy is compared with Keras's
THEIRS = "five-layer"  # the recipe that Keras trains
MARKS = (0.990, 0.995)  # accuracies on the held-out images; at the last one Keras's training ends
ENGINES = {"ours": "Recognizer", "torch": "torch", "keras": "Keras"}
MODELS = {"": "the model that comes with the package", f"{THEIRS} ": f"`{THEIRS}`"}  # by prefix of their keys
DOCUMENT = HERE.parent / "docs/RESULTS.md"
BEGIN, END = "<!-- benchmarks/results.py writes from here -->", "<!-- to here -->"


def main() -> None:
    DOCUMENT.write_text(with_table(DOCUMENT.read_text("utf-8"), markdown(stored(HERE))), "utf-8")
    print(f"The table in {DOCUMENT.name} is up to date.")


def stored(folder: Path) -> dict[str, Any]:
    """Return the reports of the kinds that were measured, in the order of `KINDS`."""
    paths = {kind: folder / f"results-{kind}.json" for kind in KINDS}
    return {kind: json.loads(path.read_text("utf-8")) for kind, path in paths.items() if path.exists()}


def with_table(text: str, table: str) -> str:
    """Replace the table between the two markers of a document."""
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert end, f"there is no '{BEGIN}' … '{END}'"
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


def markdown(reports: Mapping[str, Any]) -> str:
    """Return a Markdown table: a row for each measurement, a column for each kind."""
    lines = [["", *(f"`{kind}`" for kind in reports)], ["---"] * (len(reports) + 1)]
    lines += [[label, *map(fact, reports.values())] for label, fact in FACTS.items()]
    columns = [
        list(summaries([Measured(**each) for each in report["figures"]])) for report in reports.values()
    ]
    before = ""
    for rows in zip(*columns, strict=True):
        if any(row.values or row.tries for row in rows):
            section, label, unit = rows[0].section, rows[0].label, rows[0].unit
            lines += [[f"**{section}**", *[""] * len(reports)]] if section != before else []
            lines.append([f"{label}, {unit}", *(row.spread for row in rows)])
            before = section
    return "\n".join(re.sub(" +", " ", f"| {' | '.join(cells)} |") for cells in lines)


FACTS = {
    "processor": lambda report: report["processor"],
    "cores": lambda report: str(report["cores"]),
    "measured on": lambda report: report["date"][:10],
    "torch": lambda report: report["versions"]["torch"],
    "Keras on TensorFlow": lambda report: "{keras} on {tensorflow}".format_map(report["versions"]),
    "turns, with Keras's whole training": "{turns}, {long_repeats}".format_map,
}


def summaries(figures: Sequence[Measured]) -> Iterator[Summary]:
    """Return the rows of the table, including those without values."""
    for mark in MARKS:
        yield from _rows_until(mark, figures)
    yield from _training_rows(figures)
    for prefix, model in MODELS.items():
        yield from _prediction_rows(prefix, f"Prediction with {model}", figures)
    section = "Whole commands"
    yield summarise(figures, "load", section, "archive to arrays", "s")
    yield summarise(figures, "submit", section, "`digits submit`, archive to `submission.csv`", "s")
    yield summarise(figures, "help", section, "`digits --help`", "s")
    labels = {
        "load memory": "archive to arrays",
        **{f"{recipe} memory": f"training `{recipe}`" for recipe in COMPARED},
        "keras memory": f"training `{THEIRS}` in Keras",
        **{f"{key} predicting memory": f"predicting, {engine}" for key, engine in ENGINES.items()},
        "submit memory": "`digits submit`",
    }
    for key, label in labels.items():
        yield summarise(figures, key, "Peak memory", label, "MB")


def _rows_until(mark: float, figures: Sequence[Measured]) -> Iterator[Summary]:
    """Return the seconds until an accuracy, and the ratios of each of Keras's turns to each of ours."""
    section = f"Training until {100 * mark:.1f} % of the held-out images are right"
    labels = {**{recipe: f"`{recipe}`" for recipe in COMPARED}, "keras": f"Keras, `{THEIRS}`"}
    for name, label in labels.items():
        turns = sum(figure.key == f"{name} rate" for figure in figures)
        yield Summary(section, label, "s", tuple(_turns(figures, f"{name} to {mark:.1%}").values()), turns)
    theirs = {**_turns(figures, "keras whole"), **_turns(figures, f"keras to {mark:.1%}")}
    for recipe in COMPARED:
        ours = _turns(figures, f"{recipe} to {mark:.1%}")
        tried = len(theirs) * sum(figure.key == f"{recipe} rate" for figure in figures)
        ratios = tuple(second / first for second, first in product(theirs.values(), ours.values()))
        yield Summary(section, f"Keras / `{recipe}`", "×", ratios, tried)


def _turns(figures: Sequence[Measured], key: str) -> dict[int, float]:
    """Return the figures of one key by turn."""
    return {figure.turn: figure.value for figure in figures if figure.key == key}


def _training_rows(figures: Sequence[Measured]) -> Iterator[Summary]:
    section = "Whole trainings of ours, files and validation included"
    for recipe in COMPARED:
        yield summarise(figures, f"{recipe} whole", section, f"`{recipe}`", "s")
        yield summarise(figures, f"{recipe} accuracy", section, f"`{recipe}`, accuracy at its end", "%")
    section = "Training speed"
    for recipe in COMPARED:
        yield summarise(figures, f"{recipe} rate", section, f"`{recipe}`", "images/s")
        label = f"`{recipe}`, fraction of the matrix-product peak"
        yield summarise(figures, f"{recipe} share", section, label, "%")
        yield summarise(
            figures, f"{recipe} peak", section, f"matrix-product peak after `{recipe}`", "GFLOP/s"
        )
    section = f"Training speed of `{THEIRS}`"
    labels = {
        "ours": "ours, as the recipe runs here",
        "ours float32": "ours, float32",
        "keras float32": "Keras, float32",
        "keras bfloat16": "Keras, mixed_bfloat16, no XLA",
    }
    for key, label in labels.items():
        yield summarise(figures, f"{THEIRS} {key} rate", section, label, "images/s")
    pairs = {
        ("ours", "keras float32"): "ours, as the recipe runs here / Keras, float32",
        ("ours float32", "keras float32"): "ours, float32 / Keras, float32",
        ("ours", "keras bfloat16"): "ours, as the recipe runs here / Keras, mixed_bfloat16",
    }
    for (first, second), label in pairs.items():
        ratios = ratios_in_turn(figures, f"{THEIRS} {first} rate", f"{THEIRS} {second} rate")
        yield Summary(section, label, "×", ratios)
    yield summarise(figures, "keras rate", section, "Keras, float32, in its whole training", "images/s")


def _prediction_rows(prefix: str, section: str, figures: Sequence[Measured]) -> Iterator[Summary]:
    for unit, key in (("images/s", "predicting"), ("ms", "one")):
        what = "test images" if key == "predicting" else "one image"
        for name, engine in ENGINES.items():
            yield summarise(figures, f"{prefix}{name} {key}", section, f"{engine}, {what}", unit)
        for name in ("torch", "keras"):
            keys = [f"{prefix}ours {key}", f"{prefix}{name} {key}"]
            ratios = ratios_in_turn(figures, *(keys if key == "predicting" else reversed(keys)))
            yield Summary(section, f"Recognizer's speed / that of {ENGINES[name]}, {what}", "×", ratios)


if __name__ == "__main__":
    main()
