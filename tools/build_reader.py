"""Rebuild the bundled models and their model card.

    python tools/build_reader.py digit-recognizer.zip --work runs/reader

Trains the recipe `best` twice, on four fifths of the images and on all of them, and the recipe `reader` as
the student of each: three students of the first, which are evaluated on the held-out fifth, and one of the
second, which becomes the model for single digits. The network that reads lines is trained twice in the same
way. Runs in the work folder are reused if they are finished, and resumed if not.
"""

from __future__ import annotations

import argparse
import copy
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn

from digit_recognizer import Digits, DigitsError, Recognizer, evaluate, load_digits, load_recipe
from digit_recognizer import resume as resume_run
from digit_recognizer import train as train_run
from digit_recognizer.evaluation import wilson_interval
from digit_recognizer.files import replacing, write_text
from digit_recognizer.recognition.line_reader import LINE_MODEL
from digit_recognizer.recognition.recognizer import BUNDLED_MODEL
from digit_recognizer.runs.environment import read_environment
from digit_recognizer.runs.run_folder import MODEL, is_finished
from digit_recognizer.runs.split import held_out_rows
from digit_recognizer.training.distillation import load_teacher
from line_network import (
    LineNetwork,
    average_lines,
    export_lines,
    line_accuracy,
    sample_line_non_digits,
    train_lines,
)

STUDENT_SEEDS = (0, 1, 2)
HOLD_OUT_A_FIFTH = "split.validation=0.2"
EVALUATED_LINES = 3_840
AVERAGED_CYCLES = 2  # the last ones
CARD_TEMPLATE = Path(__file__).with_name("model_card.md")


@dataclass(frozen=True, slots=True)
class Cycle:
    """A cycle of the learning rate, in the training of the network that reads lines."""

    steps: int
    learning_rate: float


CYCLES = (Cycle(11_500, 4e-3), Cycle(4_000, 2.5e-3), Cycle(6_500, 3e-3))


@dataclass(frozen=True, slots=True)
class HeldOutErrors:
    """The errors of one or more models on the same held-out images."""

    images: int
    errors: tuple[int, ...]

    @property
    def accuracy(self) -> float:
        """The mean accuracy of the models."""
        return 1 - mean(self.errors) / self.images


def main() -> int:
    parser = argparse.ArgumentParser(description="Rebuild the bundled models and their model card.")
    parser.add_argument("source", metavar="SOURCE", help="the competition's archive")
    parser.add_argument("--work", type=Path, default=Path("runs/reader"), help="default: %(default)s")
    arguments = parser.parse_args()
    try:
        build(arguments.source, arguments.work)
    except DigitsError as error:
        print(f"build_reader.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def build(source: str, work: Path) -> None:
    """Train what is missing, evaluate it, and replace the bundled models and their card."""
    digits = load_digits(source)
    evaluated_teacher = train(work / "best-of-four-fifths", digits, source, "best", [HOLD_OUT_A_FIFTH])
    students = [
        train(
            work / f"reader-of-four-fifths-{seed}",
            digits,
            source,
            "reader",
            taught_by(evaluated_teacher),
            seed,
        )
        for seed in STUDENT_SEEDS
    ]
    held_out = rows_held_out(evaluated_teacher, digits)
    seen, unseen = digits[np.setdiff1d(np.arange(len(digits)), held_out)], digits[held_out]
    evaluated_lines = train_line_network(work / "lines-of-four-fifths.safetensors", seen, evaluated_teacher)
    non_digits = sample_line_non_digits(unseen, load_network(evaluated_teacher), seed=1)
    accuracy_of_lines = line_accuracy(evaluated_lines, unseen, non_digits, EVALUATED_LINES, seed=1)
    teacher = train(work / "best", digits, source, "best", [])
    reader = train(work / "reader", digits, source, "reader", taught_by(teacher))
    export_lines(train_line_network(work / "lines.safetensors", digits, teacher), LINE_MODEL)
    errors, teacher_errors = count_errors(students, digits), count_errors([evaluated_teacher], digits)
    with replacing(BUNDLED_MODEL) as partial:
        shutil.copyfile(reader / MODEL, partial)
    card = make_card(reader, errors, teacher_errors, accuracy_of_lines)
    write_text(BUNDLED_MODEL.with_name("README.md"), card)
    print(f"{BUNDLED_MODEL.name}: accuracy of students {errors.accuracy:.3%}")
    print(f"{LINE_MODEL.name}: {accuracy_of_lines:.1%} of lines read without an error")


def train(folder: Path, digits: Digits, source: str, recipe: str, settings: list[str], seed: int = 0) -> Path:
    """Train a run, or resume it if it is not finished; return its folder."""
    if folder.exists() and is_finished(folder):
        return folder
    if folder.exists():
        records = resume_run(folder, digits)
    else:
        records = train_run(digits, load_recipe(recipe, settings), folder, seed=seed, source=source)
    for record in records:
        accuracy = record.validation_accuracy
        validation = "" if accuracy is None else f"  validation {accuracy:.2%}"
        print(f"{folder.name}  member {record.member}  epoch {record.epoch}{validation}", flush=True)
    return folder


def taught_by(teacher: Path) -> list[str]:
    """Return the settings of a student's recipe."""
    return [f"teacher.run={teacher}"]


def load_network(run: Path) -> nn.Module:
    """Return the network of a finished run, or its ensemble, on the CPU."""
    network = load_teacher(load_recipe("reader", taught_by(run)), torch.device("cpu"))
    assert network is not None
    return network


def train_line_network(target: Path, digits: Digits, teacher: Path) -> LineNetwork:
    """Train the network that reads lines and save its weights, or load them if they exist."""
    torch.manual_seed(0)
    network = LineNetwork()
    if target.exists():
        network.load_state_dict(load_file(target))
        return network
    non_digits = sample_line_non_digits(digits, load_network(teacher), seed=0)
    ends = []
    for seed, cycle in enumerate(CYCLES):
        steps = train_lines(
            network, digits, non_digits, steps=cycle.steps, seed=seed, learning_rate=cycle.learning_rate
        )
        for step in steps:
            if step.number % 100 == 0:
                progress = f"cycle {seed + 1}  step {step.number} of {cycle.steps}"
                print(f"{target.stem}  {progress}  loss {step.loss:.3f}", flush=True)
        ends.append(copy.deepcopy(network))
    network = average_lines(ends[-AVERAGED_CYCLES:], digits, non_digits, seed=len(CYCLES))
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    with replacing(target) as partial:
        save_file(state, partial)
    return network


def rows_held_out(run: Path, digits: Digits) -> NDArray[np.int64]:
    """Return the rows of the digits that a run held out of training."""
    rows = held_out_rows(run, read_environment(run), digits)
    assert rows is not None
    return rows


def count_errors(runs: list[Path], digits: Digits) -> HeldOutErrors:
    """Count the errors of runs on the images that all of them held out."""
    rows = [rows_held_out(run, digits) for run in runs]
    assert all((each == rows[0]).all() for each in rows)
    unseen = digits[rows[0]]
    evaluations = [evaluate(Recognizer(run).predict(unseen.images), unseen.labels) for run in runs]
    return HeldOutErrors(len(unseen), tuple(evaluation.errors for evaluation in evaluations))


def make_card(
    reader: Path, errors: HeldOutErrors, teacher_errors: HeldOutErrors, accuracy_of_lines: float
) -> str:
    """Return the model card with its figures."""
    images = errors.images
    low, high = wilson_interval(round(images - mean(errors.errors)), images)
    data = read_environment(reader).data
    return CARD_TEMPLATE.read_text("utf-8").format(
        accuracy=f"{100 * errors.accuracy:.2f}",
        interval=f"{100 * low:.2f} to {100 * high:.2f}",
        errors=", ".join(map(str, errors.errors)),
        held_out=f"{images:,}",
        teacher_accuracy=f"{100 * teacher_errors.accuracy:.2f}",
        teacher_errors=teacher_errors.errors[0],
        images=f"{data.images:,}",
        sha256=data.sha256,
        bytes=f"{BUNDLED_MODEL.stat().st_size:,}",
        line_accuracy=f"{100 * accuracy_of_lines:.1f}",
        lines=f"{EVALUATED_LINES:,}",
        line_bytes=f"{LINE_MODEL.stat().st_size:,}",
    )


if __name__ == "__main__":
    sys.exit(main())
