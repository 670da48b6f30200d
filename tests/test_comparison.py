"""Runs compared: on images that none of them has seen, with counts and chances worked out by hand."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from digit_recognizer import Digits, DigitsError, Predictions, Recognizer, evaluate, train, write_comparison
from digit_recognizer.report.blocks import Note, Picture, Section, Table
from digit_recognizer.report.sections import comparison
from digit_recognizer.report.subject import Run, read_run
from digit_recognizer.runs.run_folder import read_validation_rows
from helpers import files_in, make_digits, read_page, tiny

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
    """Draw the pictures of sections, which `drawn` looks at, and return them."""
    for picture in blocks(sections, Picture):
        picture.draw()
    return sections


def blocks(sections: list[Section], kind: type) -> list:
    return [block for section in sections for block in section.blocks if isinstance(block, kind)]


def column(table: Table, name: str) -> list[str]:
    place = list(table.columns).index(name)
    return [row[place] for row in table.rows]


# Which images judge


@pytest.mark.usefixtures("drawn")
def test_runs_are_judged_by_what_none_of_them_was_trained_on(trained, another):
    folders = [trained("two convolutions"), another]
    shared = np.intersect1d(*map(read_validation_rows, folders))
    assert 0 < len(shared) < 60
    sections = compare(folders)
    assert sections[0].lead == (
        f"All are judged by the same {len(shared)} images of made, which none of them was trained on."
    )
    table = blocks(sections, Table)[0]
    evaluations = [
        evaluate(Recognizer(folder).predict(DIGITS.images[shared]), DIGITS.labels[shared])
        for folder in folders
    ]
    assert column(table, "errors") == [str(evaluation.errors) for evaluation in evaluations]
    assert [cell.partition(" %")[0] for cell in column(table, "accuracy (95 %)")] == [
        f"{100 * evaluation.accuracy:.2f}" for evaluation in evaluations
    ]
    assert column(table, "run") == ["two-convolutions", "another-seed"]
    assert column(table, "epochs") == ["2", "3"]


@pytest.mark.usefixtures("drawn")
def test_other_digits_judge_with_all_of_their_images(trained, another):
    sections = compare([trained("two convolutions"), another], OTHERS)
    assert "by the same 50 images of made" in sections[0].lead


def test_runs_without_an_image_that_none_has_seen_are_not_judged(trained, drawn):
    sections = compare([trained("pixels"), trained("two convolutions")])
    assert sections[0].lead == (
        "made has no image that none of the runs was trained on, so they are not judged."
    )
    table, *_ = blocks(sections, Table)
    assert column(table, "accuracy (95 %)") == column(table, "errors") == ["–", "–"]
    (note,) = blocks(sections, Note)
    assert note.text == "They cannot be compared image by image: there are no images to judge them by."
    assert "draw_disagreements" not in drawn


def test_digits_without_labels_do_not_judge(trained, another, drawn):
    sections = compare([trained("two convolutions"), another], Digits(OTHERS.images))
    (note,) = blocks(sections, Note)
    assert note.text == "They cannot be compared image by image: without labels nobody is right."
    assert column(blocks(sections, Table)[0], "errors") == ["–", "–"]
    assert "draw_disagreements" not in drawn


# How they compare: runs whose answers are made up


class Sayer:
    """Stands where a recognizer does, and gives a folder's made-up answers."""

    answers: dict[Path, np.ndarray]

    def __init__(self, folder: Path) -> None:
        self.said = self.answers[folder]

    def predict(self, images: np.ndarray) -> Predictions:
        assert len(images) == len(self.said)
        confident = np.eye(10)[self.said] * 0.5 + 0.05
        return Predictions(confident.astype(np.float32))


@pytest.fixture
def saying(trained, monkeypatch, tmp_path):
    """Return a function that compares runs of the given answers to `OTHERS`."""
    run = read_run(trained("hidden"))

    def compare(*answers: np.ndarray) -> list[Section]:
        runs: list[Run] = []
        for number, each in enumerate(answers):
            folder = tmp_path / str(number)
            folder.mkdir(exist_ok=True)
            shutil.copy(run.folder / "environment.json", folder)
            runs.append(replace(run, folder=folder))
            Sayer.answers[folder] = each
        return draw_all(comparison.compare(runs, OTHERS, "others"))

    monkeypatch.setattr(Sayer, "answers", {}, raising=False)
    monkeypatch.setattr(comparison, "Recognizer", Sayer)
    monkeypatch.setattr(Run, "model_bytes", 1_000)
    return compare


def wrong_in(*rows: int) -> np.ndarray:
    """Return answers to `OTHERS` that are right but in these rows."""
    answers = OTHERS.labels.copy()
    answers[list(rows)] = (answers[list(rows)] + 1) % 10
    return answers


@pytest.mark.usefixtures("drawn")
def test_pairs_are_counted_and_tested_as_worked_out_by_hand(saying):
    """Of seven images that only one reads rightly, one is the first's: p = 2 (1 + 7) / 2 ** 7 = 0.125."""
    sections = saying(wrong_in(0, 1, 2, 3, 4, 5, 8, 9), wrong_in(7, 8, 9))
    pairs = blocks(sections, Table)[1]
    assert list(pairs.columns[1:4]) == ["only the first right", "only the second right", "neither right"]
    assert [list(row) for row in pairs.rows] == [["A and B", "1", "6", "2", "0.125"]]
    assert column(blocks(sections, Table)[0], "errors") == ["8", "3"]


@pytest.mark.usefixtures("drawn")
def test_every_pair_of_several_runs_is_compared(saying):
    pairs = blocks(saying(wrong_in(), wrong_in(0), wrong_in(0, 1)), Table)[1]
    assert [list(row) for row in pairs.rows] == [
        ["A and B", "1", "0", "0", "1.000"],
        ["A and C", "2", "0", "0", "0.500"],
        ["B and C", "1", "0", "1", "1.000"],
    ]


def test_runs_that_say_the_same_are_said_to(saying, drawn):
    sections = saying(wrong_in(3), wrong_in(3))
    pairs = blocks(sections, Table)[1]
    assert [list(row) for row in pairs.rows] == [["A and B", "0", "0", "1", "–"]]
    (note,) = blocks(sections, Note)
    assert note.text == "They give the same answer to every image."
    assert "draw_disagreements" not in drawn


def test_the_images_that_divide_them_are_shown(saying, drawn):
    sections = saying(wrong_in(3, 8), wrong_in(8, 20))
    images, labels, answers, confidence = drawn["draw_disagreements"].values()
    assert np.array_equal(images, OTHERS.images[[3, 20]])
    assert labels.tolist() == OTHERS.labels[[3, 20]].tolist() == [3, 0]
    assert answers.tolist() == [[4, 0], [3, 1]]
    np.testing.assert_allclose(confidence, 0.55)
    picture = next(picture for picture in blocks(sections, Picture) if picture.name == "disagreements")
    assert picture.title == "The 2 images on which they disagree"
    assert picture.alt == "a 3 in row 3: 4, 3; a 0 in row 20: 0, 1"


@pytest.mark.usefixtures("drawn")
def test_rows_are_those_of_the_source(trained, another):
    """Also where only a part of the source judges."""
    folders = [trained("two convolutions"), another]
    shared = np.intersect1d(*map(read_validation_rows, folders))
    sections = compare(folders)
    picture = next(picture for picture in blocks(sections, Picture) if picture.name == "disagreements")
    named = [(int(row), int(label)) for label, row in re.findall(r"a (\d) in row (\d+)", picture.alt)]
    assert named
    assert {row for row, _ in named} <= set(shared.tolist())
    assert all(DIGITS.labels[row] == label for row, label in named)


def test_curves_are_of_validation_only_where_all_runs_have_it(trained, another, drawn):
    compare([trained("two convolutions"), another])
    names, losses, _, what = drawn["draw_compared_curves"].values()
    assert (names, what) == (["A: tiny", "B: tiny"], "validation")
    history = read_run(another).history
    assert losses[1].tolist() == [record.validation_loss for record in history]
    compare([trained("pixels"), another])
    _, _, accuracies, what = drawn["draw_compared_curves"].values()
    assert what == "training"
    assert accuracies[1].tolist() == [record.accuracy for record in history]


# The page


@pytest.fixture(scope="module")
def page(trained, another, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pages") / "new" / "comparison"
    runs = [trained("two convolutions"), another, trained("hidden")]
    return write_comparison(runs, DIGITS, source="made", out=folder)


def test_the_page_has_its_sections_and_its_figures_beside_it(page):
    assert page.name == "report.html"
    root = read_page(page)
    assert root.one("h1").text == "3 runs compared"
    assert [section.attributes["id"] for section in root.all("section")] == [
        "runs",
        "training",
        "disagreements",
    ]
    assert files_in(page.parent) == [
        *(f"figures/01-compared-curves.{kind}" for kind in ("png", "svg")),
        *(f"figures/02-disagreements.{kind}" for kind in ("png", "svg")),
        "report.html",
    ]
    assert [bool(img.attributes["alt"]) for img in root.one("main").all("img")] == [True, True]


def test_a_comparison_leaves_the_runs_as_they_were(page, another):
    assert page.exists()
    assert "evaluation" not in (another / "metrics.json").read_text()
    assert not (another / "report.html").exists()


@pytest.mark.parametrize("number", [0, 1, 27])
def test_too_few_or_too_many_runs_are_refused(number, trained, tmp_path):
    with pytest.raises(DigitsError, match=f"got {number}"):
        write_comparison([trained("pixels")] * number, DIGITS, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("drawn")
def test_as_many_runs_as_there_are_letters_are_compared(trained):
    sections = compare([trained("hidden")] * 26, OTHERS[:5])
    assert column(blocks(sections, Table)[0], "") == list("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
