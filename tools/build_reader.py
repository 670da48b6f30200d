"""Rebuild the bundled models and their model card.

    python tools/build_reader.py digit-recognizer.zip --hands hands --work runs/reader

Trains the recipe `best` twice, on four fifths of the images and on all of them, and the recipe `reader` as
the student of each: three students of the first, which are evaluated on the held-out fifth, and one of the
second, which becomes the model for single digits. The networks that find characters and look at them again
are trained on pages that are composed of the four fifths, so that pages of the held-out fifth can judge them.
Runs in the work folder are reused if they are finished, and resumed if not.
"""

from __future__ import annotations

import argparse
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

from character_training import PAGE_HEIGHT_PX, PAGE_WIDTH_PX, compose_pages, train_characters
from digit_recognizer import Digits, DigitsError, Recognizer, evaluate, load_digits, load_recipe
from digit_recognizer import resume as resume_run
from digit_recognizer import train as train_run
from digit_recognizer.evaluation import wilson_interval
from digit_recognizer.files import replacing, write_text
from digit_recognizer.networks.character_network import CharacterNetwork, export_reader
from digit_recognizer.networks.region_classifier import RegionClassifier, export_regions
from digit_recognizer.recognition.character_finder import READER_MODEL
from digit_recognizer.recognition.recognizer import BUNDLED_MODEL
from digit_recognizer.recognition.second_stage import REGIONS_MODEL
from digit_recognizer.runs.environment import read_environment
from digit_recognizer.runs.run_folder import MODEL, is_finished
from digit_recognizer.runs.split import held_out_rows
from digit_recognizer.synthetic.pages import ComposedPage, compose_page, make_glyphs
from reader_calibration import calibrate_centres, lower_slashes
from region_training import find_regions, train_classifier

STUDENT_SEEDS = (0, 1, 2)
HOLD_OUT_A_FIFTH = "split.validation=0.2"
PAGE_FILES = 1_000  # of 128 composed pages each
READER_STEPS = 15_000
REGION_VIEWS, REGION_EPOCHS = 98_000, 5  # views give seven characters each, in 5 kB of memory
CALIBRATION_PAGES = 900
CARD_TEMPLATE = Path(__file__).with_name("model_card.md")


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
    parser.add_argument(
        "--hands", type=Path, metavar="FOLDER", help="digits of other hands to learn from, too"
    )
    parser.add_argument("--work", type=Path, default=Path("runs/reader"), help="default: %(default)s")
    arguments = parser.parse_args()
    try:
        build(arguments.source, arguments.hands, arguments.work)
    except DigitsError as error:
        print(f"build_reader.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def build(source: str, hands: Path | None, work: Path) -> None:
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
    seen = digits[np.setdiff1d(np.arange(len(digits)), held_out)]
    pages = compose_pages(seen, hands, work / "pages", PAGE_FILES)
    characters = train_reader(work / "characters.safetensors", pages)
    unseen_pages = compose_unseen(digits[held_out])
    calibrate_centres(characters, unseen_pages)
    lower_slashes(characters)
    regions = train_regions(work / "regions.safetensors", characters, pages)
    teacher = train(work / "best", digits, source, "best", [])
    reader = train(work / "reader", digits, source, "reader", taught_by(teacher))
    errors, teacher_errors = count_errors(students, digits), count_errors([evaluated_teacher], digits)
    with replacing(BUNDLED_MODEL) as partial:
        shutil.copyfile(reader / MODEL, partial)
    export_reader(characters, READER_MODEL, next(page.image for page in unseen_pages if len(page.classes)))
    export_regions(regions, REGIONS_MODEL, find_regions(characters, pages[:1], views=8, seed=1).images)
    card = make_card(reader, errors, teacher_errors)
    write_text(BUNDLED_MODEL.with_name("README.md"), card)
    print(f"{BUNDLED_MODEL.name}: accuracy of students {errors.accuracy:.3%}")


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


def train_reader(target: Path, pages: list[Path]) -> CharacterNetwork:
    """Train the network that finds characters and save its weights, or load them if they exist."""
    torch.manual_seed(0)
    network = CharacterNetwork()
    if not target.exists():
        for step in train_characters(network, pages, steps=READER_STEPS, seed=0):
            if step.number % 100 == 0:
                parts = "  ".join(f"{name} {value:.3f}" for name, value in step.parts.items())
                print(f"{target.stem}  step {step.number} of {READER_STEPS}  {parts}", flush=True)
        save(network, target)
    network.load_state_dict(load_file(target))
    return network.eval()


def train_regions(target: Path, characters: CharacterNetwork, pages: list[Path]) -> RegionClassifier:
    """Train the network that looks at found characters again, or load its weights if they exist."""
    torch.manual_seed(0)
    classifier = RegionClassifier()
    if not target.exists():
        regions = find_regions(characters, pages, views=REGION_VIEWS, seed=0)
        losses = train_classifier(classifier, regions, epochs=REGION_EPOCHS, seed=0)
        for epoch, loss in enumerate(losses, start=1):
            print(f"{target.stem}  epoch {epoch} of {REGION_EPOCHS}  loss {loss:.3f}", flush=True)
        save(classifier, target)
    classifier.load_state_dict(load_file(target))
    return classifier.eval()


def save(network: nn.Module, target: Path) -> None:
    """Write the weights of a network, completely or not at all."""
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    with replacing(target) as partial:
        save_file(state, partial)


def compose_unseen(digits: Digits) -> list[ComposedPage]:
    """Compose pages to calibrate on, of digits that the network has not seen."""
    glyphs, rng = make_glyphs(digits), np.random.default_rng(1)
    size = {"height": PAGE_HEIGHT_PX, "width": PAGE_WIDTH_PX}
    return [compose_page(glyphs, rng, **size) for _ in range(CALIBRATION_PAGES)]


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


def make_card(reader: Path, errors: HeldOutErrors, teacher_errors: HeldOutErrors) -> str:
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
        reader_bytes=f"{READER_MODEL.stat().st_size:,}",
        regions_bytes=f"{REGIONS_MODEL.stat().st_size:,}",
        region_views=f"{REGION_VIEWS:,}",
    )


if __name__ == "__main__":
    sys.exit(main())
