"""Cross-validation: a run for each part of the digits, which that run never looks at before its end."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from statistics import stdev
from threading import Event

import numpy as np
import pytest

from digit_recognizer.digits import Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.evaluation import wilson_interval
from digit_recognizer.recipes import load_recipe
from digit_recognizer.recognition import Recognizer
from digit_recognizer.runs.run_folder import read_environment, read_fold_rows, read_validation_rows
from digit_recognizer.training import cross_validate, read_plan, resume, resume_folds, trainer
from digit_recognizer.training.splits import Fold, read_parts, split_rows
from helpers import RUN_FILES, TINY, csv_of, files_in, follow_until, make_digits, tensors_of, tiny

pytestmark = pytest.mark.usefixtures("one_thread")

DIGITS = make_digits(noise=255)  # 255 wraps around: hard to read, so that there are errors to count
SMALL = ('network=["maxpool 4", "dense 10"]', "epochs=1")
WATCHING = (*SMALL, "stopping={monitor='validation_loss', patience=1}")
FOLDS = 3
STEPS = 5  # a fold: 133 or 134 images, 32 a batch


def run_to_the_end(folder: Path, *settings: str, digits: Digits = DIGITS, **options) -> Path:
    for run in cross_validate(digits, tiny(*(settings or SMALL)), folder, **({"folds": FOLDS} | options)):
        for _ in run.records:
            pass
    return folder


def resume_to_the_end(folder: Path) -> list[int]:
    """Go on with a cross-validation, and return the numbers of the folds that were trained."""
    numbers = []
    for run in resume_folds(folder, DIGITS):
        numbers.append(run.number)
        for _ in run.records:
            pass
    return numbers


def outcome(folder: Path) -> dict:
    """Return what a cross-validation came to, but for the clock."""
    return json.loads((folder / "folds.json").read_text()) | {"seconds": 0}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A cross-validation that was never interrupted."""
    return run_to_the_end(tmp_path_factory.mktemp("folds") / "whole", seed=4, source="made")


# Which rows serve what


@pytest.mark.parametrize(("count", "folds"), [(200, 2), (200, 3), (137, 5), (200, 20)])
@pytest.mark.parametrize("settings", [SMALL, WATCHING], ids=["none", "some"])
def test_folds_share_out_all_rows_and_all_digits_evenly(settings, count, folds):
    digits, recipe = make_digits(count), tiny(*settings)
    parts = [split_rows(digits, recipe, 1, Fold(number, folds)) for number in range(1, folds + 1)]
    judged = [part.fold for part in parts]
    assert sorted(np.concatenate(judged).tolist()) == list(range(count))
    assert max(map(len, judged)) - min(map(len, judged)) <= 10
    counts = np.array([digits[rows].counts() for rows in judged])
    assert (counts.max(axis=0) - counts.min(axis=0)).max() <= 1
    for part in parts:
        rows = [part.training, part.validation, part.fold]
        assert sorted(np.concatenate(rows).tolist()) == list(range(count))
        assert all((np.diff(each) > 0).all() for each in rows)


@pytest.mark.parametrize(
    ("settings", "held_out"),
    [
        (SMALL, 0),
        ((*SMALL, "stopping={monitor='loss', patience=1}"), 0),
        (WATCHING, 32),
        ((*SMALL, "schedule={name='plateau', monitor='validation_accuracy', factor=0.5, patience=1}"), 32),
    ],
)
def test_validation_images_are_taken_from_the_other_folds_where_the_recipe_decides_by_them(
    settings, held_out
):
    """A fifth of the 160 images of four folds."""
    parts = split_rows(DIGITS, tiny(*settings), 0, Fold(2, 5))
    assert (len(parts.training), len(parts.validation), len(parts.fold)) == (160 - held_out, held_out, 40)
    assert not set(parts.validation.tolist()) & set(parts.fold.tolist())
    if held_out:
        assert len(set(DIGITS[parts.validation].counts().tolist())) <= 2


def test_the_seed_decides_which_row_is_in_which_fold():
    first, again, other = (split_rows(DIGITS, tiny(), seed, Fold(1, 5)).fold.tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_run_of_its_own_has_no_fold():
    parts = split_rows(DIGITS, tiny(), 0)
    assert parts.fold is None
    assert (len(parts.training), len(parts.validation)) == (160, 40)


@pytest.mark.parametrize("settings", [SMALL, WATCHING], ids=["no validation", "validation"])
def test_no_run_is_trained_on_its_fold_or_judged_by_it_on_the_way(settings, tmp_path, monkeypatch):
    """Every image bears its number, and training and validation are asked which ones they met."""
    images = DIGITS.images.copy()
    images[:, 0, 0] = np.arange(200)
    trained, validated = set(), set()
    step, validate = trainer._train_step, trainer.validate

    def note(job, images, labels, pool):
        trained.update(images[:, 0, 0].tolist())
        return step(job, images, labels, pool)

    def note_too(network, validation, device):
        validated.update(validation.images[:, 0, 0].tolist())
        return validate(network, validation, device)

    monkeypatch.setattr(trainer, "_train_step", note)
    monkeypatch.setattr(trainer, "validate", note_too)
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


def test_each_fold_is_a_run_with_the_rows_that_it_is_judged_by(whole):
    names = [*RUN_FILES, "fold.npy"]
    expected = [f"fold-{number}/{name}" for number in (1, 2, 3) for name in names]
    assert files_in(whole) == sorted([*expected, "folds.json", "recipe.toml"])
    rows = [read_fold_rows(whole / f"fold-{number}") for number in (1, 2, 3)]
    assert sorted(np.concatenate(rows).tolist()) == list(range(200))
    for number, fold in enumerate(rows, start=1):
        parts = read_parts(whole / f"fold-{number}", 200)
        assert parts.fold.tolist() == fold.tolist()
        assert sorted([*parts.training, *fold]) == list(range(200))
        environment = read_environment(whole / f"fold-{number}")
        assert (environment["seed"], environment["data"]["source"]) == (4, "made")


def test_folds_are_trained_by_the_same_recipe(whole):
    assert load_recipe(whole / "recipe.toml") == tiny(*SMALL)
    assert {(whole / f"fold-{number}/recipe.toml").read_bytes() for number in (1, 2, 3)} == {
        (whole / "recipe.toml").read_bytes()
    }


def test_each_fold_is_judged_by_its_own_images(whole):
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
        metrics = json.loads((folder / "metrics.json").read_text())
        assert metrics["fold"] == result
        assert metrics["validation"] is None


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
    seconds = [json.loads((whole / f"fold-{n}/metrics.json").read_text())["seconds"] for n in (1, 2, 3)]
    assert plan["seconds"] == pytest.approx(sum(seconds))


def test_folds_are_networks_of_their_own(whole):
    weights = [tensors_of(whole / f"fold-{number}/model.safetensors") for number in (1, 2, 3)]
    assert all(one != other for one, other in combinations(weights, 2))


# Interruptions


@pytest.mark.parametrize("step", [1, STEPS, STEPS + 1, STEPS + 3, 2 * STEPS, 3 * STEPS])
def test_a_cross_validation_stopped_anywhere_comes_to_the_same(step, tmp_path, whole):
    folder = tmp_path / "run"

    def begin(**options):
        for run in cross_validate(
            DIGITS, tiny(*SMALL), folder, folds=FOLDS, seed=4, source="made", **options
        ):
            yield from run.records

    follow_until(step, begin)
    assert "results" not in read_plan(folder)
    begun = (step - 1) // STEPS + 1
    assert not (folder / f"fold-{begun}/metrics.json").exists()
    assert not (folder / f"fold-{begun + 1}").exists()
    assert resume_to_the_end(folder) == list(range(begun, FOLDS + 1))
    assert outcome(folder) == outcome(whole)
    assert files_in(folder) == files_in(whole)
    for number in range(1, FOLDS + 1):
        found, expected = (tensors_of(run / f"fold-{number}/model.safetensors") for run in (folder, whole))
        assert found == expected


def test_a_cross_validation_dropped_between_two_folds_comes_to_the_same(tmp_path, whole):
    runs = cross_validate(DIGITS, tiny(*SMALL), tmp_path / "run", folds=FOLDS, seed=4, source="made")
    for _ in next(runs).records:
        pass
    runs.close()
    assert resume_to_the_end(tmp_path / "run") == [2, 3]
    assert outcome(tmp_path / "run") == outcome(whole)


def test_a_cross_validation_whose_runs_were_never_asked_for_comes_to_the_same(tmp_path, whole):
    cross_validate(DIGITS, tiny(*SMALL), tmp_path / "run", folds=FOLDS, seed=4, source="made")
    assert files_in(tmp_path / "run") == ["folds.json", "recipe.toml"]
    assert resume_to_the_end(tmp_path / "run") == [1, 2, 3]
    assert outcome(tmp_path / "run") == outcome(whole)


def test_a_cross_validation_killed_before_its_last_line_comes_to_the_same(tmp_path, whole):
    """All folds are trained, and folds.json does not say so yet."""
    run_to_the_end(tmp_path / "run", seed=4, source="made")
    plan = {
        key: value for key, value in read_plan(whole).items() if key in ("format", "folds", "seed", "source")
    }
    (tmp_path / "run/folds.json").write_text(json.dumps(plan))
    assert resume_to_the_end(tmp_path / "run") == []
    assert outcome(tmp_path / "run") == outcome(whole)


def test_validation_rows_are_the_same_when_a_fold_is_gone_on_with(tmp_path):
    settings = (*WATCHING, "epochs=3")
    run_to_the_end(tmp_path / "whole", *settings)

    def begin(**options):
        for run in cross_validate(DIGITS, tiny(*settings), tmp_path / "run", folds=FOLDS, **options):
            yield from run.records

    follow_until(3, begin)
    resume_to_the_end(tmp_path / "run")
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


def test_members_and_shifts_go_through_folds_too(tmp_path):
    run_to_the_end(tmp_path / "run", *SMALL, "members=2", "shifts={unsure_below=0.5}", folds=2)
    for number in (1, 2):
        metrics = json.loads((tmp_path / f"run/fold-{number}/metrics.json").read_text())
        held_out = DIGITS[read_fold_rows(tmp_path / f"run/fold-{number}")]
        predictions = Recognizer(tmp_path / f"run/fold-{number}").predict(held_out.images)
        assert metrics["members"] == 2
        assert metrics["fold"]["errors"] == (predictions.labels != held_out.labels).sum()


# What is refused


def refusal(folder: Path, digits: Digits = DIGITS, **options) -> str:
    """Return why a cross-validation is refused, and see that it left nothing behind."""
    before = files_in(folder.parent)
    with pytest.raises(DigitsError) as error:
        run_to_the_end(folder, digits=digits, **options)
    assert files_in(folder.parent) == before
    return str(error.value)


@pytest.mark.parametrize("folds", [-1, 0, 1, 101])
def test_a_number_of_folds_out_of_range_is_refused(folds, tmp_path):
    assert refusal(tmp_path / "run", folds=folds) == f"expected 2 to 100 folds, got {folds}"


def test_more_folds_than_images_of_a_digit_are_refused(tmp_path):
    message = refusal(tmp_path / "run", folds=21)
    assert message.startswith("digit 0 has 20 images: expected at least one for each of 21 folds; ")


def test_digits_without_labels_are_refused(tmp_path):
    assert "the digits have no labels" in refusal(tmp_path / "run", Digits(DIGITS.images))


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/notes.txt").write_text("mine")
    assert refusal(tmp_path / "run").startswith(f"{tmp_path / 'run'} is there already: choose another folder")


def test_an_empty_folder_is_as_good_as_none(tmp_path, whole):
    (tmp_path / "run").mkdir()
    assert outcome(run_to_the_end(tmp_path / "run", seed=4, source="made")) == outcome(whole)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"device": "nonsense"}, "expected a device auto, cpu, cuda or cuda:1, got 'nonsense'"),
        ({"device": "cuda:99"}, "cannot compute on device 'cuda:99': "),
        ({"seed": -1}, "expected a seed of at least 0, got -1"),
    ],
)
def test_what_no_fold_can_be_trained_with_leaves_no_folder(options, sentence, tmp_path):
    assert refusal(tmp_path / "run", **options).startswith(sentence)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        ("network='nomodule:build'", "network 'nomodule:build' failed: ModuleNotFoundError"),
        ("network=['dense 9']", "the network ends with 9 values; expected 10 logits"),
        ("networks=[['dense 10'], ['dense 9']]", "the network ends with 9 values; expected 10 logits"),
    ],
)
def test_a_network_that_cannot_be_built_leaves_no_folder(network, sentence, tmp_path):
    recipe = tiny("network=[]", network) if network.startswith("networks") else tiny(network)
    with pytest.raises(DigitsError) as error:
        cross_validate(DIGITS, recipe, tmp_path / "run", folds=FOLDS)
    assert str(error.value).startswith(sentence)
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("mine")
    assert str(tmp_path / "file") in refusal(tmp_path / "file/run")


def test_a_folder_without_a_cross_validation_is_named(tmp_path):
    with pytest.raises(DigitsError, match="holds no cross-validation"):
        resume_folds(tmp_path, DIGITS)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 1, "folds": "3", "seed": 0, "source": ""}', '{"format": 1}']
)
def test_a_damaged_plan_is_named(text, tmp_path):
    (tmp_path / "folds.json").write_text(text)
    with pytest.raises(DigitsError) as error:
        resume_folds(tmp_path, DIGITS)
    assert str(error.value).startswith(str(tmp_path))
    assert "damaged" in str(error.value)


def test_a_plan_of_a_newer_version_says_upgrade(tmp_path):
    (tmp_path / "folds.json").write_text('{"format": 2}')
    with pytest.raises(DigitsError, match="upgrade digit-recognizer"):
        resume_folds(tmp_path, DIGITS)


@pytest.fixture
def stopped(tmp_path) -> Path:
    """A cross-validation that was stopped in its second fold."""

    def begin(**options):
        for run in cross_validate(DIGITS, tiny(*SMALL), tmp_path / "run", folds=FOLDS, **options):
            yield from run.records

    follow_until(STEPS + 2, begin)
    return tmp_path / "run"


def test_other_digits_are_refused_when_going_on(stopped):
    with pytest.raises(DigitsError, match="was begun with other digits"):
        next(resume_folds(stopped, make_digits(seed=1)))


@pytest.mark.parametrize("content", [None, b"", b"garbage", b"other rows"], ids=str)
def test_a_damaged_fold_is_named(content, stopped):
    path = stopped / "fold-2/fold.npy"
    if content is None:
        path.unlink()
    elif content == b"other rows":
        path.write_bytes((stopped / "fold-1/fold.npy").read_bytes())
    else:
        path.write_bytes(content)
    with pytest.raises(DigitsError) as error:
        resume(stopped / "fold-2", DIGITS)
    assert str(error.value).startswith(f"{path} is damaged")


# The command line


@pytest.fixture
def digits(monkeypatch, run_command, tmp_path):
    """Return a function that runs a command beside digits and a recipe: status, output, errors."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made.csv").write_text(csv_of(DIGITS))
    (tmp_path / "tiny.toml").write_text(TINY)

    return run_command


TRAIN = "train made.csv --recipe tiny.toml --set epochs=1 --out new --folds 2"


def test_folds_are_shown_one_by_one_and_together(digits, tmp_path):
    status, output, errors = digits(TRAIN)
    assert (status, errors) == (0, "")
    plan = read_plan(tmp_path / "new")
    lines = output.splitlines()
    assert [line.split()[:2] for line in lines if line.startswith("Fold ")] == [["Fold", "1"], ["Fold", "2"]]
    assert lines[0] == "Training tiny on 100 images, at most 1 epoch, in new/fold-1."
    first = plan["results"][0]
    assert f"Fold 1      {first['accuracy']:.2%}  (95 % interval" in output
    assert f"{first['errors']} errors in 100 images" in output
    assert f"All images  {plan['accuracy']:.2%}" in output
    assert f"{plan['errors']} errors in 200 images" in output
    assert "Folds       new  (2 runs in " in output
    assert lines[-1].startswith("Spread      ")


def test_folds_as_json_are_one_object_a_line(digits, tmp_path):
    status, output, errors = digits(f"{TRAIN} --json --seed 3")
    assert (status, errors) == (0, "")
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


@pytest.mark.parametrize("number", [1, 2])
def test_evaluate_finds_the_accuracy_of_a_fold_again(number, digits, tmp_path):
    assert digits(TRAIN)[0] == 0
    status, output, errors = digits(f"evaluate new/fold-{number} made.csv --json")
    assert (status, errors) == (0, "")
    found = json.loads(output)
    metrics = json.loads((tmp_path / f"new/fold-{number}/metrics.json").read_text())["fold"]
    assert 0 < found["errors"] == metrics["errors"]
    assert found["images"] == metrics["images"] == 100
    assert found["accuracy"] == pytest.approx(metrics["accuracy"])


def test_a_fold_may_have_a_report_of_its_own(digits, drawn, tmp_path):
    assert digits(TRAIN)[0] == 0
    status, _, errors = digits("report new/fold-1")
    assert (status, errors) == (0, "")
    assert drawn
    evaluation = json.loads((tmp_path / "new/fold-1/metrics.json").read_text())
    assert evaluation["evaluation"]["errors"] == evaluation["fold"]["errors"]


def test_a_cross_validation_goes_on_where_it_was_stopped(digits, stopped):
    assert stopped.name == "run"
    status, output, errors = digits("train made.csv --resume run")
    assert (status, errors) == (0, "")
    assert "Fold 1" not in output
    assert "Fold 2" in output
    assert "Fold 3" in output
    assert "errors in 200 images" in output


def test_a_stopped_cross_validation_says_how_to_go_on(digits, monkeypatch):
    from digit_recognizer.training import cross_validation as folds

    begin = folds.train

    def stop_at_once(*arguments, **options):
        options["stop"].set()
        return begin(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(folds, "train", stop_at_once)
        status, output, errors = digits(TRAIN)
    assert (status, errors) == (130, "")
    command = output.splitlines()[-1].strip()
    assert command.endswith("train --resume new")
    status, output, errors = digits("train --resume new")
    assert (status, errors) == (0, "")  # the source is known
    assert "All images" in output


def test_a_cross_validation_whose_reader_goes_away_can_be_gone_on_with(digits, tmp_path, monkeypatch):
    from digit_recognizer.cli import progress

    def gone(*_):
        raise BrokenPipeError

    with monkeypatch.context() as patched:
        patched.setattr(progress._PlainReporter, "epoch", gone)
        assert digits(TRAIN)[0] != 0
    assert not (tmp_path / "new/fold-1/metrics.json").exists()
    assert digits("train --resume new")[0] == 0


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (TRAIN.replace("--folds 2", "--folds 101"), "expected 2 to 100 folds, got 101"),
        (TRAIN.replace("--folds 2", "--folds 21"), "digit 0 has 20 images: expected at least one for each"),
        (TRAIN.replace("--out new", "--out run"), "run is there already: choose another folder, or go on by"),
        (TRAIN.replace("--out new", "--out made.csv"), "made.csv is there already: choose another folder"),
        (f"{TRAIN} --report", "--report is for one run: leave it away, and give a fold's run to"),
        ("train --resume run --report", "--report is for one run: leave it away, and give a fold's run to"),
        ("train --resume run --set epochs=3", "a cross-validation goes on as it was begun: leave --set away"),
        ("train --resume run --folds 3", "--resume goes on as the run was begun: leave --recipe, --seed,"),
        ("train --resume run --seed 3", "--resume goes on as the run was begun: leave --recipe, --seed,"),
    ],
)
def test_what_a_user_can_put_right_is_one_sentence_and_status_2(command, sentence, digits, stopped):
    before = files_in(stopped.parent)
    status, _, errors = digits(command)
    assert status == 2
    assert errors.startswith(f"digits: {sentence}")
    assert errors.count("\n") == 1
    assert files_in(stopped.parent) == before


def test_a_cross_validation_that_diverges_at_once_leaves_its_name_to_the_next_try(digits, tmp_path):
    status, _, errors = digits(f"{TRAIN} --set optimizer.learning_rate=1e30")
    assert status == 2
    assert errors.startswith("digits: the loss is no longer a number in epoch 1")
    assert not (tmp_path / "new").exists()


def test_folds_need_two_at_least(digits):
    status, output, errors = digits(TRAIN.replace("--folds 2", "--folds 1"))
    assert (status, output) == (2, "")
    assert "Usage: " in errors


def test_a_stop_that_is_set_before_the_first_step_leaves_one_fold_begun(tmp_path):
    stop = Event()
    stop.set()
    run_to_the_end(tmp_path / "run", stop=stop)
    assert (tmp_path / "run/fold-1/checkpoint/state.safetensors").exists()
    assert not (tmp_path / "run/fold-2").exists()
