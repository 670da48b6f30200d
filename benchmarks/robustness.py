r"""How well digits are read that are less clean than the validation images, compared with targets.

    python benchmarks/robustness.py digit-recognizer.zip --model runs/reader/reader-of-four-fifths-0 \
        --beside runs/five-layer --pictures pictures -o benchmarks/robustness.json

All images of digits were held out of the model's training. This measures:

- these images as they are, and enlarged on pages;
- the fifteen corruptions of MNIST-C (Mu and Gilmer, 2019, https://arxiv.org/abs/1906.02337), re-implemented;
- strings of 2 to 10 of them on pages, separate and with a third of the neighbours touching;
- non-digits of kinds that the training does not have, and which of them are rejected;
- the expected calibration error, of clean and of corrupted images;
- real pictures, if a folder of them is named;
- the time and memory of reading, also as complete processes.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _bench import at_least, facts_of_machine, measure_and_write, own_versions, say
from _evaluation import EvaluationData, evaluate_recognizer, name_of, prepare, rows_held_out
from _non_digits import KINDS, KINDS_ALSO_IN_TRAINING
from _real_pictures import Answer, LabelledPicture, picture_rows, read_labels, read_pictures
from _result_rows import Row, as_json, table
from _speed import speed_rows
from digit_recognizer import Digits, Recognizer, load_digits
from digit_recognizer.runs.environment import read_environment
from digit_recognizer.runs.split import held_out_rows

IMAGES = 2_000  # of each corruption


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """One model's rows, and its readings of real pictures."""

    rows: list[Row]
    answers: list[Answer]


def main() -> int:
    return measure_and_write(parse_arguments(), run)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure how well digits are read that are not clean.")
    parser.add_argument("source", metavar="SOURCE", help="the competition's archive")
    parser.add_argument(
        "--model",
        type=Path,
        metavar="RUN",
        help="a run folder, evaluated on its held-out images (default: the included model)",
    )
    parser.add_argument(
        "--beside", type=Path, metavar="RUN", help="a run folder of five-layer, to compare with"
    )
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="real pictures, with a labels.csv")
    parser.add_argument(
        "--images",
        type=at_least(1),
        default=IMAGES,
        metavar="N",
        help="of each corruption, and strings of each kind; twice as many on pages, half as many non-digits "
        "(default: %(default)s)",
    )
    parser.add_argument("--seed", type=at_least(0), default=0, metavar="N", help="default: %(default)s")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the figures as JSON, too")
    return parser.parse_args()


def run(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure everything, print the table, and return the report."""
    started = time.perf_counter()
    facts = facts_of_machine()
    print(f"{facts['processor']}; cores: {facts['cores']}; load average: {facts['load_average']:.2f}")
    pictures = [] if arguments.pictures is None else read_labels(arguments.pictures)
    say("speed")
    speed = list(speed_rows(folder, arguments.model, arguments.seed))  # a child's memory counts from ours
    digits = load_digits(arguments.source)
    rows = rows_held_out(arguments.model, digits)
    say("corruptions")
    material = prepare(digits[rows], arguments.images, arguments.seed)
    ours = evaluate_model(arguments.model, material, pictures)
    report = {**facts, **facts_of_run(arguments, rows, material), **figures_of(ours, speed)}
    others: list[Row] = []
    if arguments.beside is not None:
        others = evaluate_model(arguments.beside, material, pictures).rows
        report["beside"] = facts_beside(arguments.beside, digits, rows) | {"rows": as_json(others)}
    report["seconds"] = round(time.perf_counter() - started)
    name = "" if arguments.beside is None else name_of(arguments.beside)
    print(f"\n{table([*ours.rows, *speed], others, name)}\n\n{notes(report)}")
    return report


def evaluate_model(
    model: Path | None, material: EvaluationData, pictures: Sequence[LabelledPicture]
) -> Evaluated:
    """Evaluate a model on the material and on real pictures."""
    say(name_of(model))
    recognizer = Recognizer(model)
    rows, threshold = evaluate_recognizer(recognizer, material)
    answers = read_pictures(recognizer, pictures, threshold)
    return Evaluated([*rows, *picture_rows(answers)], answers)


def facts_of_run(
    arguments: argparse.Namespace, rows: NDArray[np.int64], material: EvaluationData
) -> dict[str, Any]:
    return {
        "source": Path(arguments.source).name,
        "model": name_of(arguments.model),
        "versions": own_versions(),
        "seed": arguments.seed,
        "images_held_out": len(rows),
        "images_corrupted": len(material.labels),
        "kinds_kept_out_of_training": [kind for kind in KINDS if kind not in KINDS_ALSO_IN_TRAINING],
    }


def figures_of(evaluated: Evaluated, speed: Sequence[Row]) -> dict[str, Any]:
    wrong = [asdict(answer) for answer in evaluated.answers if not answer.is_right]
    return {"rows": as_json([*evaluated.rows, *speed]), "pictures_read_wrongly": wrong}


def facts_beside(model: Path, digits: Digits, rows: NDArray[np.int64]) -> dict[str, Any]:
    """Return the model's name, and how many of the rows it was trained on, which flatters it."""
    unseen = held_out_rows(model, read_environment(model), digits)
    known = 0 if unseen is None else len(np.setdiff1d(rows, unseen))
    return {"model": name_of(model), "images_trained_on": known}


def notes(report: dict[str, Any]) -> str:
    """Return notes that explain the table."""
    held_out = f"{report['images_held_out']:,}"
    lines = [
        f"Model: {report['model']}; it was not trained on {held_out} images of {report['source']}. The same "
        f"{report['images_corrupted']:,} of them are corrupted in each way; seed {report['seed']}.",
        f"Kinds kept out of training: {', '.join(report['kinds_kept_out_of_training'])}.",
    ]
    if "beside" in report:
        beside = report["beside"]
        known = f"{beside['images_trained_on']:,} of these {held_out} images"
        lines.append(f"Beside: {beside['model']}, which was trained on {known} and may know them by heart.")
    return "\n".join([*lines, f"This took {report['seconds']} s."])


if __name__ == "__main__":
    sys.exit(main())
