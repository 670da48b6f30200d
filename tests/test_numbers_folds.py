"""Cross-validation of pictures of numbers: each is read once, by a run that did not learn from it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from statistics import stdev

import numpy as np
import onnx
import pytest

import helpers
from digit_recognizer.evaluation import wilson_interval
from digit_recognizer.formatting import count, percent
from digit_recognizer.recipes import load_any_recipe
from digit_recognizer.recognition import Recognizer
from digit_recognizer.recognition.character_finder import READER_MODEL
from digit_recognizer.sources.numbers import NumberPictures, load_numbers
from digit_recognizer.training import cross_validate, read_plan, resume_folds
from digit_recognizer.training.numbers import trainer
from digit_recognizer.training.numbers.trainer import split_numbers
from digit_recognizer.training.splits import Fold
from helpers import (
    assert_refused,
    environment_of,
    files_in,
    follow_until,
    make_digits,
    read_fold_rows,
    refusal,
    says,
    split_of,
    tiny,
)
from pictures import write_table
from runs import NUMBER_SETTINGS, metrics_of, resume_folds_to_the_end, stop_now, weights_of

pytestmark = pytest.mark.usefixtures("one_thread", "quick_export")

WRITTEN = ("12", "407", "5", "88", "31", "690", "74", "2")
LABELS = ("12", "407", "5", "83", "31", "690", "74", "2")  # one is wrong, so that there is an error to count
PARTS = ("train", "train", "train", "validation", "train", "validation", "train", "test")
PICTURES, CHARACTERS = 7, 15  # without the test part
RECIPE = load_any_recipe("numbers", NUMBER_SETTINGS)
FOLDS = 2
STEPS = 2  # of the first fold, which learns from three pictures; the second learns from four, in four steps
RUN_FILES = sorted([*helpers.RUN_FILES, "calibration.json", "fold.npy"])


@pytest.fixture(scope="module")
def quick_export():
    """Write the reader that comes with the package instead of the network, whose export takes a minute."""

    def export(_network, target, _page, properties):
        model = onnx.load(READER_MODEL)
        known = {each.key: each.value for each in model.metadata_props}
        onnx.helper.set_model_props(model, known | properties)
        onnx.save(model, target)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(trainer, "export_reader", export)
        yield


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    return write_table(tmp_path_factory.mktemp("cells"), WRITTEN, PARTS, LABELS)


@pytest.fixture(scope="module")
def pictures(table) -> NumberPictures:
    return load_numbers(table)


@pytest.fixture(scope="module")
def whole(pictures, table, tmp_path_factory) -> Path:
    """A cross-validation that was never interrupted."""
    folder = tmp_path_factory.mktemp("folds") / "whole"
    for _ in records(pictures, folder, source=str(table)):
        pass
    return folder


def records(pictures: NumberPictures, folder: Path, **options):
    """Train fold after fold, and yield all their records."""
    for run in cross_validate(pictures, RECIPE, folder, folds=FOLDS, seed=4, **options):
        yield from run.records


def outcome(folder: Path) -> dict:
    """Return the result of a cross-validation, but for the clock and the source."""
    return read_plan(folder) | {"seconds": 0, "source": ""}


def assert_same_outcome(folder: Path, expected: Path) -> None:
    assert outcome(folder) == outcome(expected)
    assert files_in(folder) == files_in(expected)
    for number in range(1, FOLDS + 1):
        assert weights_of(folder / f"fold-{number}") == weights_of(expected / f"fold-{number}")


def numbers_of(labels: list[str]) -> NumberPictures:
    blank = np.zeros((8, 8), np.uint8)
    return NumberPictures((blank,) * len(labels), tuple(labels), tuple(map(str, range(len(labels)))))


# The split


@pytest.mark.parametrize(("count", "folds"), [(20, 2), (20, 3), (7, 5), (4, 4)])
def test_folds_divide_all_rows_and_all_lengths_evenly(count, folds):
    pictures = numbers_of(["1" * (1 + row % 3) for row in range(count)])
    parts = [split_numbers(pictures, RECIPE, 1, Fold(number, folds)) for number in range(1, folds + 1)]
    held_out = [part.fold.tolist() for part in parts]
    assert sorted(row for rows in held_out for row in rows) == list(range(count))
    for length in (0, 1, 2):
        counts = [sum(row % 3 == length for row in rows) for rows in held_out]
        assert max(counts) - min(counts) <= 1
    for part in parts:
        assert sorted([*part.training, *part.fold]) == list(range(count))
        assert len(part.validation) == 0
    again, other = (split_numbers(pictures, RECIPE, seed, Fold(1, 2)).fold.tolist() for seed in (1, 2))
    assert again == split_numbers(pictures, RECIPE, 1, Fold(1, 2)).fold.tolist()
    assert again != other or count < 7


# What it leaves


def test_each_fold_is_a_run_with_the_pictures_that_it_is_evaluated_on(whole, pictures):
    expected = [f"fold-{number}/{name}" for number in (1, 2) for name in RUN_FILES]
    assert files_in(whole) == sorted([*expected, "folds.json", "recipe.toml"])
    assert load_any_recipe(whole / "recipe.toml") == RECIPE
    rows = [read_fold_rows(whole / f"fold-{number}").tolist() for number in (1, 2)]
    assert sorted(rows[0] + rows[1]) == list(range(PICTURES))
    for number, fold in enumerate(rows, start=1):
        folder = whole / f"fold-{number}"
        assert sorted([*split_of(folder).training, *fold]) == list(range(PICTURES))
        assert environment_of(folder)["data"]["sha256"] == pictures.without_test().sha256()
        recognizer = Recognizer(folder)
        assert recognizer.evaluation_rows.tolist() == fold
        assert recognizer.held_out == len(fold)


def test_a_fold_does_not_calibrate_the_confidences_of_its_run(whole):
    shipped = READER_MODEL.with_name("calibration.json").read_bytes()
    assert (whole / "fold-1/calibration.json").read_bytes() == shipped


def test_all_folds_together_are_counted(whole):
    plan = read_plan(whole)
    runs = [metrics_of(whole / f"fold-{number}") for number in (1, 2)]
    assert [run["fold"] for run in runs] == plan["results"]
    assert [run["validation"] for run in runs] == [None, None]
    errors = sum(run["fold"]["errors"] for run in runs)
    assert plan["errors"] == errors < PICTURES
    assert (plan["folds"], plan["seed"], plan["images"]) == (FOLDS, 4, PICTURES)
    assert plan["accuracy_interval_95"] == pytest.approx(wilson_interval(PICTURES - errors, PICTURES))
    assert plan["characters"] == CHARACTERS
    assert plan["character_error_rate"] == pytest.approx(plan["character_errors"] / CHARACTERS)
    assert plan["standard_deviation"] == pytest.approx(stdev(each["accuracy"] for each in plan["results"]))
    for run in runs:
        assert run["character_error_rate"] == run["fold"]["character_error_rate"]
        assert 0 < run["fold"]["loss"] < 20


# Interruptions


@pytest.mark.parametrize("step", [1, STEPS, STEPS + 1, STEPS + 4])
def test_folds_stopped_anywhere_come_to_the_same(step, whole, pictures, tmp_path):
    folder = tmp_path / "run"
    follow_until(step, lambda **stop: records(pictures, folder, **stop))
    begun = 1 if step <= STEPS else 2
    assert "results" not in read_plan(folder)
    assert not (folder / f"fold-{begun}/metrics.json").exists()
    assert resume_folds_to_the_end(folder, pictures) == list(range(begun, FOLDS + 1))
    assert_same_outcome(folder, whole)


def test_folds_stopped_while_the_first_is_prepared_come_to_the_same(whole, pictures, tmp_path):
    assert list(records(pictures, tmp_path / "run", stop=stop_now())) == []
    assert resume_folds_to_the_end(tmp_path / "run", pictures) == [1, 2]
    assert_same_outcome(tmp_path / "run", whole)


def test_folds_killed_before_their_last_line_come_to_the_same(whole, pictures, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "run")
    plan = {key: read_plan(whole)[key] for key in ("format", "folds", "seed", "source")}
    (folder / "folds.json").write_text(json.dumps(plan))
    assert resume_folds_to_the_end(folder, pictures) == []
    assert_same_outcome(folder, whole)


# What is refused


@pytest.mark.parametrize(
    ("recipe", "options", "facts"),
    [
        (RECIPE, {"folds": 1}, ["2 to 100 folds", 1]),
        (RECIPE, {"folds": 101}, ["2 to 100 folds", 101]),
        (RECIPE, {"folds": 8}, ["7 pictures", "8 folds", "at most 7 folds"]),
        (RECIPE, {"seed": -1}, ["seed", "at least 0", -1]),
        (RECIPE, {"device": "nonsense"}, ["auto, cpu, cuda or cuda:1", "'nonsense'"]),
        (tiny(), {}, ["recipe for single digits"]),
        ("tiny", {}, ["tiny", "recipe for single digits"]),
    ],
)
def test_what_cannot_be_cross_validated_is_refused_and_nothing_is_written(
    recipe, options, facts, pictures, tmp_path
):
    message = refusal(lambda: cross_validate(pictures, recipe, tmp_path / "run", **options))
    assert says(message, *facts)
    assert not list(tmp_path.iterdir())


def test_a_single_picture_is_in_no_fold(tmp_path):
    message = refusal(lambda: cross_validate(numbers_of(["1"]), RECIPE, tmp_path / "run", folds=2))
    assert says(message, "1 picture", "no folds")


def test_digits_have_no_folds_of_numbers(whole, tmp_path):
    for begin in (
        lambda: cross_validate(make_digits(), "numbers", tmp_path / "run"),
        lambda: cross_validate(make_digits(), RECIPE, tmp_path / "run"),
        lambda: next(resume_folds(whole, make_digits())),
    ):
        assert says(refusal(begin), "not for single digits")


# The command line

TRAIN = " ".join(
    [
        "train {table} --recipe numbers --folds 2 --out new --seed 4",
        *(f"--set {each}" for each in NUMBER_SETTINGS),
    ]
)


@pytest.fixture
def run(run_command, table, monkeypatch, tmp_path):
    """Return a function that runs a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda command: run_command(command.format(table=table))


def words(score, numbers):
    """Return what is printed of a fold, or of all."""
    errors = count(score["errors"], "error")
    return f"{errors} in {numbers} numbers; {percent(score['character_error_rate'])} of the characters wrong"


def test_folds_are_shown_one_by_one_and_together_and_each_is_a_run(run, whole, tmp_path):
    status, output, errors = run(TRAIN)
    assert status == 0
    assert says(errors, "Note: ", "parts train and validation", "test is left out")
    assert errors.count("\n") == 1
    lines = output.splitlines()
    assert [line.split()[:2] for line in lines if line.startswith("Fold ")] == [["Fold", "1"], ["Fold", "2"]]
    first, plan = metrics_of(whole / "fold-1")["fold"], read_plan(whole)
    assert says(output, "new/fold-1", words(first, 4), "All numbers", words(plan, PICTURES))
    assert lines[-1].startswith("Spread")
    assert_same_outcome(tmp_path / "new", whole)
    for number, images in ((1, 4), (2, 3)):
        status, output, _ = run(f"evaluate new/fold-{number} --json")
        found, expected = json.loads(output), metrics_of(tmp_path / f"new/fold-{number}")["fold"]
        assert (status, found["numbers"]) == (0, images)
        assert found["errors"] == expected["errors"]
        assert found["character_error_rate"] == pytest.approx(expected["character_error_rate"])
    assert run("report new/fold-1")[0] == 0
    assert says((tmp_path / "new/fold-1/report.html").read_text("utf-8"), "4 numbers were read exactly")


def test_stopped_folds_say_how_to_resume_them_and_print_json(run, whole, monkeypatch, tmp_path):
    begin = trainer.train_numbers

    def stop_at_once(*arguments, **options):
        options["stop"].set()
        return begin(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(trainer, "train_numbers", stop_at_once)
        status, output, _ = run(TRAIN)
    assert status == 130
    assert output.splitlines()[-1].strip().endswith("train --resume new")
    status, output, errors = run("train --resume new --json")
    assert (status, errors) == (0, "")
    events = [json.loads(line) for line in output.splitlines()]
    assert [event["event"] for event in events] == [
        *["begin", "epoch", "epoch", "fold"] * 2,
        "cross-validated",
    ]
    assert [event["images"] for event in events if event["event"] == "begin"] == [3, 4]
    assert events[-1].items() >= read_plan(tmp_path / "new").items()
    assert_same_outcome(tmp_path / "new", whole)


@pytest.mark.parametrize(
    ("command", "facts"),
    [
        (TRAIN.replace("--folds 2", "--folds 8"), ["7 pictures", "at most 7 folds"]),
        (TRAIN.replace("--folds 2", "--folds 101"), ["2 to 100 folds", "101"]),
        (TRAIN.replace("--out new", "--out run"), ["run", "--resume run"]),
        (f"{TRAIN} --report", ["--report needs a single run"]),
        ("train --resume run --set epochs=3", ["remove", "epochs=3"]),
        ("train other.csv --resume run", ["other.csv", "other pictures or labels", "run"]),
        ("evaluate run", ["run/fold-1"]),
        ("report run", ["run/fold-1"]),
        ("read {table} --model run", ["run/fold-1"]),
    ],
)
def test_what_a_user_can_put_right_is_one_sentence_and_status_2(command, facts, run, whole, table, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    picture = table.with_name("0.png")
    (tmp_path / "other.csv").write_text(f"file,label\n{picture},12\n", "utf-8")
    before = files_in(tmp_path)
    assert_refused(run(command), *facts)
    assert files_in(tmp_path) == before
