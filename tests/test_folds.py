"""Cross-validation: a run for each part of the digits, and each run is evaluated on the part it never saw."""

from __future__ import annotations

import json
import shutil
from itertools import combinations
from pathlib import Path
from statistics import stdev

import numpy as np
import pytest

from digit_recognizer.digits import Digits
from digit_recognizer.evaluation import wilson_interval
from digit_recognizer.recipes import load_recipe
from digit_recognizer.recognition import Recognizer
from digit_recognizer.training import cross_validate, fit, read_plan, resume_folds
from digit_recognizer.training.splits import Fold, split_digits
from helpers import (
    RUN_FILES,
    TINY,
    assert_refused,
    closed_output,
    csv_of,
    environment_of,
    files_in,
    follow_until,
    make_digits,
    on_black,
    read_fold_rows,
    read_validation_rows,
    refusal,
    says,
    split_of,
    tiny,
)
from runs import LINEAR, STEPS, metrics_of, note_steps, resume_folds_to_the_end, stop_now, weights_of

pytestmark = pytest.mark.usefixtures("one_thread")

DIGITS = on_black(make_digits(noise=255))  # 255 wraps around: hard to read, so that there are errors to count
WATCHING = (*LINEAR, "stopping={monitor='validation_loss', patience=1}")
FOLDS = 3  # each of as many steps as a run of its own: 133 or 134 images, 32 a batch
MADE = {"seed": 4, "source": "made"}


def records(folder: Path, *settings: str, digits: Digits = DIGITS, folds: int = FOLDS, **options):
    """Train fold after fold, and yield all their records."""
    for run in cross_validate(digits, tiny(*LINEAR, *settings), folder, folds=folds, **options):
        yield from run.records


def run_to_the_end(folder: Path, *settings: str, **options) -> Path:
    for _ in records(folder, *settings, **options):
        pass
    return folder


def train_until(step: int, folder: Path, *settings: str, **options) -> Path:
    follow_until(step, lambda **stop: records(folder, *settings, **options, **stop))
    return folder


def outcome(folder: Path) -> dict:
    """Return the result of a cross-validation, but for the clock."""
    return json.loads((folder / "folds.json").read_text()) | {"seconds": 0}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A cross-validation that was never interrupted."""
    return run_to_the_end(tmp_path_factory.mktemp("folds") / "whole", **MADE)


# The split


@pytest.mark.parametrize(("count", "folds"), [(200, 2), (200, 3), (137, 5), (200, 20)])
@pytest.mark.parametrize("settings", [LINEAR, WATCHING], ids=["none", "some"])
def test_folds_divide_all_rows_and_all_digits_evenly(settings, count, folds):
    digits, recipe = make_digits(count), tiny(*settings)
    parts = [split_digits(digits, recipe, 1, Fold(number, folds)) for number in range(1, folds + 1)]
    evaluated = [part.fold for part in parts]
    assert sorted(np.concatenate(evaluated).tolist()) == list(range(count))
    assert max(map(len, evaluated)) - min(map(len, evaluated)) <= 10
    counts = np.array([digits[rows].counts() for rows in evaluated])
    assert (counts.max(axis=0) - counts.min(axis=0)).max() <= 1
    for part in parts:
        rows = [part.training, part.validation, part.fold]
        assert sorted(np.concatenate(rows).tolist()) == list(range(count))
        assert all((np.diff(each) > 0).all() for each in rows)


@pytest.mark.parametrize(
    ("settings", "held_out"),
    [
        (LINEAR, 0),
        ((*LINEAR, "stopping={monitor='loss', patience=1}"), 0),
        (WATCHING, 32),
        ((*LINEAR, "schedule={name='plateau', monitor='validation_accuracy', factor=0.5, patience=1}"), 32),
    ],
)
def test_validation_images_come_from_the_other_folds_where_the_recipe_monitors_them(settings, held_out):
    """A fifth of the 160 images of four folds."""
    parts, other = (split_digits(DIGITS, tiny(*settings), seed, Fold(2, 5)) for seed in (0, 1))
    assert (len(parts.training), len(parts.validation), len(parts.fold)) == (160 - held_out, held_out, 40)
    assert not set(parts.validation.tolist()) & set(parts.fold.tolist())
    assert np.ptp(DIGITS[parts.validation].counts()) <= 1
    assert parts.fold.tolist() != other.fold.tolist()


def test_a_run_of_its_own_has_no_fold():
    parts = split_digits(DIGITS, tiny(), 0)
    assert parts.fold is None
    assert (len(parts.training), len(parts.validation)) == (160, 40)


@pytest.mark.parametrize("settings", [LINEAR, WATCHING], ids=["no validation", "validation"])
def test_no_run_is_trained_on_its_fold_or_validated_on_it(settings, tmp_path, monkeypatch):
    """Every image bears its number, and training and validation are asked which ones they met."""
    images = DIGITS.images.copy()
    images[:, 0, 0] = np.arange(200)
    trained, validated = set(), set()
    note_steps(monkeypatch, lambda _state, images, _labels: trained.update(images[:, 0, 0].tolist()))
    validate = fit.validate

    def note(network, validation, device):
        validated.update(validation.images[:, 0, 0].tolist())
        return validate(network, validation, device)

    monkeypatch.setattr(fit, "validate", note)
    digits = Digits(images, DIGITS.labels)
    for run in cross_validate(digits, tiny(*settings), tmp_path / "run", folds=FOLDS):
        trained.clear()
        validated.clear()
        for _ in run.records:
            pass
        fold = set(read_fold_rows(run.folder).tolist())
        assert len(trained) + len(validated) + len(fold) == 200
        assert trained | validated | fold == set(range(200))
        assert validated == set(read_validation_rows(run.folder).tolist())


# What it leaves


def test_each_fold_is_a_run_with_the_rows_that_it_is_evaluated_on(whole):
    names = [*RUN_FILES, "fold.npy"]
    expected = [f"fold-{number}/{name}" for number in (1, 2, 3) for name in names]
    assert files_in(whole) == sorted([*expected, "folds.json", "recipe.toml"])
    assert load_recipe(whole / "recipe.toml") == tiny(*LINEAR)
    rows = [read_fold_rows(whole / f"fold-{number}") for number in (1, 2, 3)]
    assert sorted(np.concatenate(rows).tolist()) == list(range(200))
    for number, fold in enumerate(rows, start=1):
        parts = split_of(whole / f"fold-{number}")
        assert parts.fold.tolist() == fold.tolist()
        assert sorted([*parts.training, *fold]) == list(range(200))
        environment = environment_of(whole / f"fold-{number}")
        assert (environment["seed"], environment["data"]["source"]) == (4, "made")
        recipe = whole / f"fold-{number}/recipe.toml"
        assert recipe.read_bytes() == (whole / "recipe.toml").read_bytes()


def test_each_fold_is_evaluated_on_its_own_images(whole):
    plan = read_plan(whole)
    for number, result in enumerate(plan["results"], start=1):
        folder = whole / f"fold-{number}"
        held_out = DIGITS[read_fold_rows(folder)]
        predictions = Recognizer(folder).predict(held_out.images)
        errors = int((predictions.labels != held_out.labels).sum())
        assert (result["images"], result["errors"]) == (len(held_out), errors)
        assert result["accuracy"] == pytest.approx(1 - errors / len(held_out))
        likelihood = predictions.probabilities[np.arange(len(held_out)), held_out.labels]
        assert result["loss"] == pytest.approx(-np.log(likelihood).mean(), abs=1e-4)
        assert metrics_of(folder)["fold"] == result
        assert metrics_of(folder)["validation"] is None


def test_all_folds_together_are_counted_and_their_spread_is_given(whole):
    plan = json.loads((whole / "folds.json").read_text())
    errors = sum(result["errors"] for result in plan["results"])
    assert 0 < errors < 200
    assert (plan["folds"], plan["seed"], plan["source"], plan["images"]) == (3, 4, "made", 200)
    assert (plan["errors"], plan["accuracy"]) == (errors, pytest.approx(1 - errors / 200))
    assert plan["accuracy_interval_95"] == pytest.approx(wilson_interval(200 - errors, 200))
    assert plan["standard_deviation"] == pytest.approx(
        stdev(result["accuracy"] for result in plan["results"])
    )
    seconds = [metrics_of(whole / f"fold-{number}")["seconds"] for number in (1, 2, 3)]
    assert plan["seconds"] == pytest.approx(sum(seconds))
    weights = [weights_of(whole / f"fold-{number}") for number in (1, 2, 3)]
    assert all(one != other for one, other in combinations(weights, 2))


# Interruptions


@pytest.mark.parametrize("step", [1, STEPS, STEPS + 1, STEPS + 3, 2 * STEPS, 3 * STEPS])
def test_a_cross_validation_stopped_anywhere_comes_to_the_same(step, tmp_path, whole):
    folder = train_until(step, tmp_path / "run", **MADE)
    assert "results" not in read_plan(folder)
    begun = (step - 1) // STEPS + 1
    assert not (folder / f"fold-{begun}/metrics.json").exists()
    assert not (folder / f"fold-{begun + 1}").exists()
    assert resume_folds_to_the_end(folder, DIGITS) == list(range(begun, FOLDS + 1))
    assert outcome(folder) == outcome(whole)
    assert files_in(folder) == files_in(whole)
    for number in range(1, FOLDS + 1):
        assert weights_of(folder / f"fold-{number}") == weights_of(whole / f"fold-{number}")


def test_a_cross_validation_dropped_between_two_folds_comes_to_the_same(tmp_path, whole):
    runs = cross_validate(DIGITS, tiny(*LINEAR), tmp_path / "run", folds=FOLDS, **MADE)
    for _ in next(runs).records:
        pass
    runs.close()
    assert resume_folds_to_the_end(tmp_path / "run", DIGITS) == [2, 3]
    assert outcome(tmp_path / "run") == outcome(whole)


def test_a_cross_validation_whose_runs_were_never_asked_for_comes_to_the_same(tmp_path, whole):
    cross_validate(DIGITS, tiny(*LINEAR), tmp_path / "run", folds=FOLDS, **MADE)
    assert files_in(tmp_path / "run") == ["folds.json", "recipe.toml"]
    assert resume_folds_to_the_end(tmp_path / "run", DIGITS) == [1, 2, 3]
    assert outcome(tmp_path / "run") == outcome(whole)


def test_a_cross_validation_killed_before_its_last_line_comes_to_the_same(tmp_path, whole):
    """All folds are trained, and folds.json does not say so yet."""
    folder = shutil.copytree(whole, tmp_path / "run")
    plan = {key: read_plan(whole)[key] for key in ("format", "folds", "seed", "source")}
    (folder / "folds.json").write_text(json.dumps(plan))
    assert resume_folds_to_the_end(folder, DIGITS) == []
    assert outcome(folder) == outcome(whole)


@pytest.mark.usefixtures("without_export")
def test_validation_rows_are_the_same_when_a_fold_is_resumed(tmp_path):
    settings = (WATCHING[-1], "epochs=3")
    run_to_the_end(tmp_path / "whole", *settings)
    train_until(3, tmp_path / "run", *settings)
    resume_folds_to_the_end(tmp_path / "run", DIGITS)
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


@pytest.mark.usefixtures("without_export")
def test_a_stop_that_is_set_before_the_first_step_leaves_one_fold_begun(tmp_path):
    run_to_the_end(tmp_path / "run", stop=stop_now())
    assert (tmp_path / "run/fold-1/checkpoint/state.safetensors").exists()
    assert not (tmp_path / "run/fold-2").exists()


def test_members_and_shifts_go_through_folds_too(tmp_path):
    run_to_the_end(tmp_path / "run", "members=2", "shifts={unsure_below=0.5}", folds=2)
    for number in (1, 2):
        metrics = metrics_of(tmp_path / f"run/fold-{number}")
        held_out = DIGITS[read_fold_rows(tmp_path / f"run/fold-{number}")]
        predictions = Recognizer(tmp_path / f"run/fold-{number}").predict(held_out.images)
        assert metrics["members"] == 2
        assert metrics["fold"]["errors"] == (predictions.labels != held_out.labels).sum()


# What is refused


@pytest.mark.parametrize(
    ("digits", "settings", "options", "facts"),
    [
        *((DIGITS, (), {"folds": folds}, ["2 to 100 folds", folds]) for folds in (-1, 0, 1, 101)),
        (DIGITS, (), {"folds": 21}, ["21 images", "at most 20 folds"]),
        (Digits(DIGITS.images), (), {}, ["no labels"]),
        (DIGITS, (), {"device": "nonsense"}, ["auto, cpu, cuda or cuda:1", "'nonsense'"]),
        (DIGITS, (), {"device": "cuda:99"}, ["'cuda:99'"]),
        (DIGITS, (), {"seed": -1}, ["seed", "at least 0", "-1"]),
        (DIGITS, ("network='nomodule:build'",), {}, ["nomodule:build", "ModuleNotFoundError"]),
        (DIGITS, ("network=['dense 9']",), {}, ["9 values", "10 logits"]),
        (DIGITS, ("network=[]", "networks=[['dense 10'], ['dense 9']]"), {}, ["9 values", "10 logits"]),
    ],
)
def test_what_cannot_be_cross_validated_is_refused_and_nothing_is_written(
    digits, settings, options, facts, tmp_path
):
    def begin():
        cross_validate(digits, tiny(*LINEAR, *settings), tmp_path / "run", **{"folds": FOLDS} | options)

    assert says(refusal(begin), *facts)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_there_is_left_as_it_is_unless_it_is_empty(tmp_path):
    (tmp_path / "run").mkdir()
    cross_validate(DIGITS, tiny(*LINEAR), tmp_path / "run", folds=FOLDS)
    assert files_in(tmp_path) == ["run/folds.json", "run/recipe.toml"]
    (tmp_path / "file").write_text("mine")
    for name in ("run", "file", "file/run"):
        assert says(refusal(lambda name=name: run_to_the_end(tmp_path / name)), tmp_path / name)
    assert files_in(tmp_path) == ["file", "run/folds.json", "run/recipe.toml"]


def test_a_folder_without_a_cross_validation_is_named(tmp_path):
    assert says(refusal(lambda: resume_folds(tmp_path, DIGITS)), tmp_path, "folds.json")


@pytest.fixture
def stopped(tmp_path) -> Path:
    """A cross-validation that was stopped in its second fold."""
    return train_until(STEPS + 2, tmp_path / "run")


def test_other_digits_are_refused_when_it_is_resumed(stopped):
    message = refusal(lambda: next(resume_folds(stopped, make_digits(seed=1))))
    assert says(message, stopped / "fold-2", "other digits")


# The command line


@pytest.fixture
def digits(monkeypatch, run_command, tmp_path):
    """Return a function that runs a command beside digits and a recipe: status, output, errors."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made.csv").write_text(csv_of(DIGITS))
    (tmp_path / "tiny.toml").write_text(TINY)

    return run_command


def complaints(errors: str) -> list[str]:
    """Return the lines on standard error, but for those that a network learned nothing of so few images."""
    return [line for line in errors.splitlines() if not line.startswith("Warning: the network learned")]


TRAIN = "train made.csv --recipe tiny.toml --set epochs=1 --out new --folds 2"


def test_folds_are_shown_one_by_one_and_together(digits, tmp_path):
    status, output, errors = digits(TRAIN)
    assert (status, complaints(errors)) == (0, [])
    plan = read_plan(tmp_path / "new")
    lines = output.splitlines()
    assert [line.split()[:2] for line in lines if line.startswith("Fold ")] == [["Fold", "1"], ["Fold", "2"]]
    assert says(lines[0], "tiny", "100 images", "1 epoch", "new/fold-1")
    for result, images in ((plan["results"][0], 100), (plan, 200)):
        assert says(
            output, f"{100 * result['accuracy']:.2f}", f"{result['errors']} errors in {images} images"
        )
    assert says(output, "95 %", "new  (2 runs in ")
    assert lines[-1].split()[0] == "Spread"


def test_folds_as_json_are_one_object_a_line(digits, tmp_path):
    status, output, errors = digits(f"{TRAIN} --json --seed 3")
    assert (status, complaints(errors)) == (0, [])
    lines = [json.loads(line) for line in output.splitlines()]
    assert [line["event"] for line in lines] == [*["begin", "epoch", "fold"] * 2, "cross-validated"]
    begun = [(line["run"], line["images"]) for line in lines if line["event"] == "begin"]
    assert begun == [("new/fold-1", 100), ("new/fold-2", 100)]  # of 200
    plan = json.loads((tmp_path / "new/folds.json").read_text())
    for line, result in zip(lines[2:6:3], plan["results"], strict=True):
        assert line.items() >= result.items()
    assert [line["fold"] for line in lines[2:6:3]] == [1, 2]
    assert lines[-1] == {"event": "cross-validated", "folder": "new", **plan}
    assert plan["seed"] == 3


def test_the_run_of_a_fold_is_evaluated_on_its_fold_again_and_reported(digits, drawn, tmp_path):
    assert digits(TRAIN)[0] == 0
    for number in (1, 2):
        status, output, errors = digits(f"evaluate new/fold-{number} made.csv --json")
        assert (status, complaints(errors)) == (0, [])
        found, expected = json.loads(output), metrics_of(tmp_path / f"new/fold-{number}")["fold"]
        assert 0 < found["errors"] == expected["errors"]
        assert found["images"] == expected["images"] == 100
        assert found["accuracy"] == pytest.approx(expected["accuracy"])
    status, _, errors = digits("report new/fold-1")
    assert (status, complaints(errors)) == (0, [])
    assert drawn
    metrics = metrics_of(tmp_path / "new/fold-1")
    assert metrics["evaluation"]["errors"] == metrics["fold"]["errors"]


@pytest.mark.usefixtures("stopped")
def test_a_cross_validation_is_resumed_where_it_was_stopped(digits):
    status, output, errors = digits("train made.csv --resume run")
    assert (status, complaints(errors)) == (0, [])
    assert "Fold 1" not in output
    assert says(output, "Fold 2", "Fold 3", "errors in 200 images")


def test_a_stopped_cross_validation_says_how_to_resume_it(digits, monkeypatch):
    from digit_recognizer.training import cross_validation as folds

    begin = folds.train

    def stop_at_once(*arguments, **options):
        options["stop"].set()
        return begin(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(folds, "train", stop_at_once)
        status, output, errors = digits(TRAIN)
    assert (status, complaints(errors)) == (130, [])
    command = output.splitlines()[-1].strip()
    assert command.endswith("train --resume new")
    status, output, errors = digits("train --resume new")
    assert (status, complaints(errors)) == (0, [])  # the source is known
    assert "All images" in output


def test_a_cross_validation_whose_reader_goes_away_can_be_resumed(digits, tmp_path, monkeypatch):
    with closed_output(monkeypatch):
        assert digits(TRAIN)[0] != 0
    assert not (tmp_path / "new/fold-1/metrics.json").exists()
    assert digits("train --resume new")[0] == 0


@pytest.mark.parametrize(
    ("command", "facts"),
    [
        (TRAIN.replace("--folds 2", "--folds 101"), ["2 to 100 folds", "101"]),
        (TRAIN.replace("--folds 2", "--folds 21"), ["21 images", "at most 20 folds"]),
        (TRAIN.replace("--out new", "--out run"), ["run", "--resume run"]),
        (TRAIN.replace("--out new", "--out made.csv"), ["made.csv"]),
        (f"{TRAIN} --report", ["--report"]),
        ("train --resume run --report", ["--report"]),
        ("train --resume run --set epochs=3", ["remove", "epochs=3"]),
        ("train --resume run --folds 3", ["--resume", "--recipe", "--seed"]),
        ("train --resume run --seed 3", ["--resume", "--recipe", "--seed"]),
    ],
)
@pytest.mark.usefixtures("stopped")
def test_what_a_user_can_put_right_is_one_sentence_and_status_2(command, facts, digits, tmp_path):
    before = files_in(tmp_path)
    assert_refused(digits(command), *facts)
    assert files_in(tmp_path) == before


def test_a_cross_validation_that_diverges_at_once_leaves_its_name_to_the_next_try(digits, tmp_path):
    status, _, errors = digits(f"{TRAIN} --set optimizer.learning_rate=1e30")
    assert status == 2
    assert says(errors, "epoch 1", "--learning-rate 0.001")
    assert not (tmp_path / "new").exists()


def test_folds_need_two_at_least(digits):
    status, output, errors = digits(TRAIN.replace("--folds 2", "--folds 1"))
    assert (status, output) == (2, "")
    assert "Usage: " in errors
