"""Rebuild the models that come with the package, and their card.

    python tools/build_reader.py digit-recognizer.zip --work runs/reader

Trains recipe `best` twice, without a fifth of the images and on all of them, and recipe `reader` as the pupil
of each: three of the first, to be judged by that fifth, and one of the second, which is the model for single
digits. The network that reads lines is trained twice likewise. What is there already in the work folder is
taken as it is, or gone on with.
"""

from __future__ import annotations

import argparse
import copy
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
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
from line_network import LineNetwork, average_lines, draw_strangers, export_lines, line_accuracy, train_lines

SEEDS = (0, 1, 2)
CYCLES = (11_500, 4e-3), (4_000, 2.5e-3), (6_500, 3e-3)  # steps and learning rate of the network for lines
AVERAGED = 2  # last cycles, the mean of whose weights is taken
LINES = 3_840  # that it is judged by
HELD_OUT = "split.validation=0.2"
CARD = Path(__file__).with_name("model_card.md")


@dataclass(frozen=True, slots=True)
class Judged:
    """How pupils of one teacher did on images that neither saw."""

    images: int
    errors: tuple[int, ...]

    @property
    def accuracy(self) -> float:
        """The mean over the pupils."""
        return 1 - mean(self.errors) / self.images


def main() -> int:
    parser = argparse.ArgumentParser(description="Rebuild the models that come with the package.")
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
    """Train what is missing, and put the model and its card in their place."""
    digits = load_digits(source)
    judged_teacher = trained(work / "best-of-four-fifths", digits, source, "best", [HELD_OUT])
    lessons = taught_by(judged_teacher)
    pupils = [
        trained(work / f"reader-of-four-fifths-{seed}", digits, source, "reader", lessons, seed)
        for seed in SEEDS
    ]
    unseen = held_out_rows(judged_teacher, read_environment(judged_teacher), digits)
    seen = np.setdiff1d(np.arange(len(digits)), unseen)
    judged_lines = trained_lines(work / "lines-of-four-fifths.safetensors", digits[seen], judged_teacher)
    strangers = draw_strangers(digits[unseen], network_of(judged_teacher), seed=1)
    right = line_accuracy(judged_lines, digits[unseen], strangers, LINES, seed=1)
    teacher = trained(work / "best", digits, source, "best", [])
    reader = trained(work / "reader", digits, source, "reader", taught_by(teacher))
    export_lines(trained_lines(work / "lines.safetensors", digits, teacher), LINE_MODEL)
    judged = Judged(*judge(pupils, digits))
    alone = Judged(*judge([judged_teacher], digits))
    with replacing(BUNDLED_MODEL) as partial:
        shutil.copyfile(reader / MODEL, partial)
    write_text(BUNDLED_MODEL.with_name("README.md"), card(reader, judged, alone, right))
    print(f"{BUNDLED_MODEL.name}: pupils {judged.accuracy:.3%}; {LINE_MODEL.name}: {right:.1%} of lines")


def network_of(run: Path) -> nn.Module:
    """Return the networks of a finished run, as one that computes on the processor."""
    network = load_teacher(load_recipe("reader", taught_by(run)), torch.device("cpu"))
    assert network is not None
    return network


def trained_lines(target: Path, digits: Digits, teacher: Path) -> LineNetwork:
    """Return the network that reads lines behind its training, from its file where there is one."""
    torch.manual_seed(0)
    network = LineNetwork()
    if target.exists():
        network.load_state_dict(load_file(target))
        return network
    strangers = draw_strangers(digits, network_of(teacher), seed=0)
    ends = []
    for seed, (steps, rate) in enumerate(CYCLES):
        for step in train_lines(network, digits, strangers, steps=steps, seed=seed, learning_rate=rate):
            if step.number % 100 == 0:
                done = f"cycle {seed + 1}  step {step.number} of {steps}"
                print(f"{target.stem}  {done}  loss {step.loss:.3f}", flush=True)
        ends.append(copy.deepcopy(network))
    network = average_lines(ends[-AVERAGED:], digits, strangers, seed=len(CYCLES))
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    with replacing(target) as partial:
        save_file(state, partial)
    return network


def taught_by(teacher: Path) -> list[str]:
    return [f"teacher.run={teacher}"]


def trained(
    folder: Path, digits: Digits, source: str, recipe: str, settings: list[str], seed: int = 0
) -> Path:
    """Return a run folder behind its training: begun, gone on with, or as it is."""
    if folder.exists() and is_finished(folder):
        return folder
    if folder.exists():
        records = resume_run(folder, digits)
    else:
        loaded = load_recipe(recipe, settings)
        records = train_run(digits, loaded, folder, seed=seed, source=source)
    for record in records:
        accuracy = record.validation_accuracy
        held_out = "" if accuracy is None else f"  validation {accuracy:.2%}"
        print(f"{folder.name}  member {record.member}  epoch {record.epoch}{held_out}", flush=True)
    return folder


def judge(runs: list[Path], digits: Digits) -> tuple[int, tuple[int, ...]]:
    """Return the number of held-out images and each run's errors on them."""
    rows = [held_out_rows(run, read_environment(run), digits) for run in runs]
    assert all(each is not None and (each == rows[0]).all() for each in rows)
    unseen = digits[rows[0]]
    evaluations = [evaluate(Recognizer(run).predict(unseen.images), unseen.labels) for run in runs]
    return len(unseen), tuple(evaluation.errors for evaluation in evaluations)


def card(reader: Path, judged: Judged, alone: Judged, right: float) -> str:
    """Return the model card, its figures filled in."""
    images = judged.images
    low, high = wilson_interval(round(images - mean(judged.errors)), images)
    data = read_environment(reader).data
    return CARD.read_text("utf-8").format(
        accuracy=f"{100 * judged.accuracy:.2f}",
        interval=f"{100 * low:.2f} to {100 * high:.2f}",
        errors=", ".join(map(str, judged.errors)),
        held_out=f"{images:,}",
        teacher_accuracy=f"{100 * alone.accuracy:.2f}",
        teacher_errors=alone.errors[0],
        images=f"{data.images:,}",
        sha256=data.sha256,
        bytes=f"{BUNDLED_MODEL.stat().st_size:,}",
        line_accuracy=f"{100 * right:.1f}",
        lines=f"{LINES:,}",
        line_bytes=f"{LINE_MODEL.stat().st_size:,}",
    )


if __name__ == "__main__":
    sys.exit(main())
