"""Runs compared: on images that none was trained on, with counts and p-values worked out by hand."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from digit_recognizer import Digits, Predictions, Recognizer, evaluate, train, write_comparison
from digit_recognizer.report.blocks import Note, Picture, Section, Table
from digit_recognizer.report.sections import comparison
from digit_recognizer.runs.run import Run, read_run
from digit_recognizer.runs.split import held_out_rows
from helpers import files_in, make_digits, read_page, refusal, says, tiny

pytestmark = pytest.mark.usefixtures("one_thread")

DIGITS = make_digits()
OTHERS = make_digits(50, seed=4)


@pytest.fixture(scope="module")
def another(tmp_path_factory) -> Path:
    """A run of the same digits that held out others of them."""
    folder = tmp_path_factory.mktemp("another") / "another-seed"
    recipe = tiny("split.validation=0.5", network=("dense 10",), epochs=3)
    for _ in train(DIGITS, recipe, folder, seed=1, source="made"):
        pass
    return folder


def compare(folders: list[Path], digits: Digits = DIGITS) -> list[Section]:
    return draw_all(comparison.compare([read_run(folder) for folder in folders], digits, "made"))


def draw_all(sections: list[Section]) -> list[Section]:
    """Draw all pictures, which `drawn` records."""
    for picture in blocks(sections, Picture):
        picture.draw()
    return sections


def blocks(sections: list[Section], kind: type) -> list:
    return [block for section in sections for block in section.blocks if isinstance(block, kind)]


def column(sections: list[Section], name: str) -> list[str]:
    """Return a column of the first table."""
    table = blocks(sections, Table)[0]
    place = list(table.columns).index(name)
    return [row[place] for row in table.rows]


def pairs(sections: list[Section]) -> list[list[str]]:
    """Return the rows of the second table."""
    return [list(row) for row in blocks(sections, Table)[1].rows]


def shared_rows(*folders: Path) -> np.ndarray:
    """Return the rows that all runs held out."""
    return np.intersect1d(*(held_out_rows(each, read_run(each).environment, DIGITS) for each in folders))


# Which images the runs are evaluated on


@pytest.mark.usefixtures("drawn")
def test_runs_are_evaluated_on_what_none_of_them_was_trained_on(trained, another):
    folders = [trained("two convolutions"), another]
    shared = shared_rows(*folders)
    assert 0 < len(shared) < 60
    sections = compare(folders)
    assert says(sections[0].lead, f"{len(shared)} images of made")
    evaluations = [
        evaluate(Recognizer(folder).predict(DIGITS.images[shared]), DIGITS.labels[shared])
        for folder in folders
    ]
    assert column(sections, "errors") == [str(evaluation.errors) for evaluation in evaluations]
    assert [cell.partition(" %")[0] for cell in column(sections, "accuracy (95 %)")] == [
        f"{100 * evaluation.accuracy:.2f}" for evaluation in evaluations
    ]
    assert column(sections, "run") == ["two-convolutions", "another-seed"]
    assert column(sections, "epochs") == ["2", "3"]
    picture = next(each for each in blocks(sections, Picture) if each.name == "disagreements")
    named = [(int(row), int(label)) for label, row in re.findall(r"label (\d) in row (\d+)", picture.alt)]
    assert named
    assert {row for row, _ in named} <= set(shared.tolist())  # the rows are those of the whole source
    assert all(DIGITS.labels[row] == label for row, label in named)


@pytest.mark.usefixtures("drawn")
def test_runs_are_evaluated_on_all_of_other_digits(trained, another):
    assert says(compare([trained("two convolutions"), another], OTHERS)[0].lead, "50 images of made")


@pytest.mark.parametrize(
    ("runs", "digits", "why"),
    [
        (("pixels", "two convolutions"), DIGITS, "no images"),
        (("hidden", "two convolutions"), Digits(OTHERS.images), "no labels"),
    ],
)
def test_runs_that_cannot_be_evaluated_are_compared_without_accuracy(runs, digits, why, trained, drawn):
    sections = compare([trained(name) for name in runs], digits)
    assert column(sections, "accuracy (95 %)") == column(sections, "errors") == ["–", "–"]
    (note,) = blocks(sections, Note)
    assert says(note.text, why)
    assert "draw_disagreements" not in drawn


# How they compare, with prescribed answers


class Answering:
    """A recognizer with prescribed answers for each run folder."""

    answers: dict[Path, np.ndarray]

    def __init__(self, folder: Path) -> None:
        self.prescribed = self.answers[folder]

    def predict(self, images: np.ndarray) -> Predictions:
        assert len(images) == len(self.prescribed)
        return Predictions((np.eye(10)[self.prescribed] * 0.5 + 0.05).astype(np.float32))


@pytest.fixture
def compare_answers(trained, monkeypatch, tmp_path):
    """Return a function that compares runs with prescribed answers to `OTHERS`."""
    run = read_run(trained("hidden"))

    def compare(*answers: np.ndarray) -> list[Section]:
        folders = [tmp_path / str(number) for number in range(len(answers))]
        monkeypatch.setattr(Answering, "answers", dict(zip(folders, answers, strict=True)), raising=False)
        runs = [replace(run, folder=folder) for folder in folders]
        return draw_all(comparison.compare(runs, OTHERS, "others"))

    monkeypatch.setattr(comparison, "Recognizer", Answering)
    monkeypatch.setattr(Run, "model_bytes", 1_000)
    return compare


def wrong_in(*rows: int) -> np.ndarray:
    """Return answers to `OTHERS` that are wrong in these rows only."""
    answers = OTHERS.labels.copy()
    answers[list(rows)] = (answers[list(rows)] + 1) % 10
    return answers


@pytest.mark.usefixtures("drawn")
def test_each_pair_is_counted_and_tested_as_worked_out_by_hand(compare_answers):
    """Of seven images that only one run reads correctly, one is the first's: p = 2 (1 + 7) / 2**7 = 0.125."""
    sections = compare_answers(wrong_in(0, 1, 2, 3, 4, 5, 8, 9), wrong_in(7, 8, 9))
    assert pairs(sections) == [["A and B", "1", "6", "2", "0.125"]]
    assert column(sections, "errors") == ["8", "3"]
    assert pairs(compare_answers(wrong_in(), wrong_in(0), wrong_in(0, 1))) == [
        ["A and B", "1", "0", "0", "1.000"],
        ["A and C", "2", "0", "0", "0.500"],
        ["B and C", "1", "0", "1", "1.000"],
    ]
    assert pairs(compare_answers(wrong_in(), wrong_in(*range(20))))[0][-1] == "< 0.001"


def test_runs_with_the_same_answers_have_no_disagreements(compare_answers, drawn):
    sections = compare_answers(wrong_in(3), wrong_in(3))
    assert pairs(sections) == [["A and B", "0", "0", "1", "–"]]
    (note,) = blocks(sections, Note)
    assert says(note.text, "same answer")
    assert "draw_disagreements" not in drawn


def test_the_images_on_which_runs_disagree_are_shown(compare_answers, drawn):
    sections = compare_answers(wrong_in(3, 8), wrong_in(8, 20))
    images, labels, answers, confidence = drawn["draw_disagreements"].values()
    assert np.array_equal(images, OTHERS.images[[3, 20]])
    assert labels.tolist() == OTHERS.labels[[3, 20]].tolist() == [3, 0]
    assert answers.tolist() == [[4, 0], [3, 1]]
    np.testing.assert_allclose(confidence, 0.55)
    picture = next(each for each in blocks(sections, Picture) if each.name == "disagreements")
    assert says(picture.title, "2 images")
    assert says(picture.alt, "3 in row 3: 4, 3", "0 in row 20: 0, 1")


def test_curves_are_of_validation_only_if_all_runs_have_it(trained, another, drawn):
    compare([trained("two convolutions"), another])
    names, losses, _, part = drawn["draw_compared_curves"].values()
    assert (names, part) == (["A: tiny", "B: tiny"], "validation")
    history = read_run(another).history
    assert losses[1].tolist() == [record.validation_loss for record in history]
    compare([trained("pixels"), another])
    _, _, accuracies, part = drawn["draw_compared_curves"].values()
    assert part == "training"
    assert accuracies[1].tolist() == [record.accuracy for record in history]


# The page


def test_the_page_has_its_sections_and_figures_and_leaves_the_runs_unchanged(trained, another, tmp_path):
    before = {name: (another / name).read_bytes() for name in files_in(another)}
    runs = [trained("two convolutions"), another, trained("hidden")]
    page = write_comparison(runs, DIGITS, source="made", out=tmp_path / "new" / "comparison")
    root = read_page(page)
    assert [section.attributes["id"] for section in root.all("section")] == [
        *("runs", "training", "disagreements")
    ]
    assert files_in(page.parent) == [
        *(f"figures/01-compared-curves.{kind}" for kind in ("png", "svg")),
        *(f"figures/02-disagreements.{kind}" for kind in ("png", "svg")),
        "report.html",
    ]
    assert all(image.attributes["alt"] for image in root.one("main").all("img"))
    assert {name: (another / name).read_bytes() for name in files_in(another)} == before


@pytest.mark.parametrize("number", [0, 1, 27])
def test_too_few_or_too_many_runs_are_refused(number, trained, tmp_path):
    runs = [trained("pixels")] * number
    assert says(refusal(lambda: write_comparison(runs, DIGITS, out=tmp_path / "out")), f"got {number}")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("drawn")
def test_a_run_for_each_letter_can_be_compared(trained):
    sections = compare([trained("hidden")] * 26, OTHERS[:5])
    assert column(sections, "") == list("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
