"""Distillation: a student network learns from a finished run, its teacher."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from digit_recognizer.networks.predictor import scale
from digit_recognizer.recipes.recipe import load_recipe, recipe_from_toml, recipe_to_toml
from digit_recognizer.recipes.schema import Teacher
from digit_recognizer.recognition import Recognizer
from digit_recognizer.runs.history import read_history
from digit_recognizer.training import cross_validate, finish, fit, resume, train, trainer
from digit_recognizer.training import data as batches
from digit_recognizer.training.data import TrainingData
from digit_recognizer.training.distillation import load_teacher, soft_targets
from digit_recognizer.training.splits import Fold
from digit_recognizer.training.state import new_state
from helpers import (
    TINY,
    assert_refused,
    assert_same_run,
    csv_of,
    files_in,
    make_digits,
    read_fold_rows,
    read_validation_rows,
    refusal,
    says,
    split_of,
    tensors_of,
    tiny,
)
from runs import (
    DIGITS,
    LINEAR,
    STEPS,
    metrics_of,
    note_steps,
    resume_to_the_end,
    run_to_the_end,
    stop_now,
    train_until,
    weights_of,
)

pytestmark = pytest.mark.usefixtures("one_thread")

NORMALISED = ("conv 4 3x3 same relu", "batchnorm", "maxpool 4", "dropout 0.5", "dense 10")


@pytest.fixture(scope="module")
def teachers(tmp_path_factory) -> Path:
    """Runs to learn from: of one network, of an ensemble, of a fold, and of all digits."""
    folder = tmp_path_factory.mktemp("teachers")
    run_to_the_end(folder / "one", tiny(network=NORMALISED), seed=3)
    networks = (NORMALISED, ("dense 8 silu", "dense 10"))
    run_to_the_end(folder / "ensemble", tiny("members=3", "epochs=1", network=(), networks=networks))
    run_to_the_end(folder / "fold", tiny(*LINEAR), fold=Fold(2, 4))
    run_to_the_end(folder / "all", tiny(*LINEAR, "split.validation=0"))
    return folder


def student(teacher: Path, *settings: str, weight: float = 0.9, **changes):
    """Return the tiny recipe with a teacher."""
    return tiny(*settings, teacher=Teacher(str(teacher), weight), **changes)


# The recipe


def test_a_recipe_with_a_teacher_comes_back_from_its_toml():
    assert tiny().teacher is None
    assert tiny("teacher.run=runs/best").teacher == Teacher("runs/best", 0.9)
    recipe = tiny("teacher={run='runs/a \"b\"', weight=0.25}")
    assert recipe.teacher == Teacher('runs/a "b"', 0.25)
    assert recipe_from_toml(recipe_to_toml(recipe), "x") == recipe


@pytest.mark.parametrize(
    ("table", "facts"),
    [
        ("{run='a', weight=0}", ["teacher.weight", "greater than 0", "got 0"]),
        ("{run='a', weight=1.1}", ["teacher.weight", "equal to 1", "got 1.1"]),
        ("{run='a', weight='much'}", ["teacher.weight", "number", "'much'"]),
        ("{run=3}", ["teacher.run", "string", "got 3"]),
        ("{run='a', temperature=2}", ["teacher.temperature"]),
        ("{weight=1}", ["teacher.run", "missing"]),
    ],
)
def test_a_wrong_teacher_is_refused(table, facts):
    assert says(refusal(lambda: tiny(f"teacher={table}")), "tiny.toml", *facts)


# What is learned


class Sure(torch.nn.Module):
    """Says 1 with a probability of one half, and each other digit with 1/18."""

    def forward(self, images):
        logits = torch.zeros(len(images), 10, dtype=torch.bfloat16)
        logits[:, 1] = np.log(9)
        return logits


@pytest.mark.parametrize("weight", [0.6, 1.0])
def test_targets_are_the_teachers_probabilities_and_for_the_rest_the_labels(weight):
    targets = soft_targets(Sure(), torch.zeros(2, 1, 28, 28), torch.tensor([1, 3]), weight)
    expected = np.full((2, 10), weight / 18)
    expected[:, 1] = weight / 2
    expected[[0, 1], [1, 3]] += 1 - weight
    assert targets.dtype == torch.float32
    np.testing.assert_allclose(targets.numpy(), expected, atol=2e-3)  # bfloat16's ln 9 has eight bits
    np.testing.assert_allclose(targets.sum(dim=1).numpy(), 1, atol=1e-6)


@pytest.mark.usefixtures("without_export")
@pytest.mark.parametrize("weight", [1.0, 0.99])
def test_labels_count_where_the_teacher_has_not_all_the_weight(weight, teachers, tmp_path, monkeypatch):
    recipe = student(teachers / "one", *LINEAR, weight=weight)
    right = weights_of(run_to_the_end(tmp_path / "right", recipe))
    step = fit._train_step

    def with_wrong_labels(state, task, rows):
        data = replace(task.data, labels=(task.data.labels + 1) % 10)
        return step(state, replace(task, data=data), rows)

    monkeypatch.setattr(fit, "_train_step", with_wrong_labels)
    wrong = weights_of(run_to_the_end(tmp_path / "wrong", recipe))
    assert (right == wrong) == (weight == 1)


def test_one_step_is_the_gradient_of_the_cross_entropy_with_the_soft_targets(teachers):
    """Of a linear network: the mean over the batch of (probabilities - targets) times the input."""
    labels = torch.from_numpy(DIGITS.labels[:32])
    images = torch.from_numpy(DIGITS.images[:32])
    recipe = student(teachers / "one", 'network=["dense 10"]', weight=0.7)
    state = new_state(recipe, 0, torch.device("cpu"))
    teacher = load_teacher(recipe, torch.device("cpu"))
    layer = state.network.dense1
    with torch.no_grad():
        logits = state.network(scale(images))
        answers = teacher(scale(images)).softmax(dim=1)
    targets = 0.7 * answers + 0.3 * torch.eye(10)[labels]
    expected = (logits.softmax(dim=1) - targets).T @ scale(images).flatten(1) / 32
    state.optimizer.step = lambda: None
    data = TrainingData(images, labels, DIGITS[:0], teacher=teacher)
    task = fit.DigitTask(recipe, data, 0, torch.device("cpu"))
    loss, _ = fit._train_step(state, task, torch.arange(32))
    np.testing.assert_allclose(layer.weight.grad.numpy(), expected.numpy(), atol=1e-6)
    assert loss == pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item())  # of the labels


def test_the_teacher_sees_each_image_as_the_student_does(teachers, tmp_path, monkeypatch):
    seen = []

    def note(teacher, inputs, labels, weight):
        seen.append(inputs.clone())
        return soft_targets(teacher, inputs, labels, weight)

    monkeypatch.setattr(batches, "augment", lambda images, _: torch.full_like(images, 0.25))
    monkeypatch.setattr(batches, "soft_targets", note)
    run_to_the_end(tmp_path / "run", student(teachers / "one", *LINEAR, "augmentation={rotation=10}"))
    assert len(seen) == STEPS
    assert all((inputs == 0.25).all() for inputs in seen)


@pytest.mark.parametrize("name", ["one", "ensemble"])
def test_a_teacher_says_what_its_model_says(name, teachers):
    teacher = load_teacher(student(teachers / name), torch.device("cpu"))
    inputs = scale(torch.from_numpy(DIGITS.images))
    said = soft_targets(teacher, inputs, torch.zeros(200, dtype=torch.int64), 1.0)
    expected = Recognizer(teachers / name).predict(DIGITS.images).probabilities
    np.testing.assert_allclose(said.numpy(), expected, atol=1e-5)
    assert np.ptp(expected, axis=0).min() > 0.005  # not the same for all images


@pytest.mark.parametrize("name", ["one", "ensemble"])
def test_a_teacher_stays_as_it_was(name, teachers, tmp_path, monkeypatch):
    """Running statistics of its batch normalisation included."""
    met = []

    def note(recipe, device):
        teacher = load_teacher(recipe, device)
        met.append((teacher, {key: value.clone() for key, value in teacher.state_dict().items()}))
        return teacher

    monkeypatch.setattr(trainer, "load_teacher", note)
    files = {name: (teachers / name).read_bytes() for name in files_in(teachers)}
    run_to_the_end(tmp_path / "run", student(teachers / name))
    ((teacher, before),) = met
    assert any("running_mean" in key for key in before)
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())
    assert {name: (teachers / name).read_bytes() for name in files_in(teachers)} == files


def test_a_teacher_changes_the_weights_of_its_student_and_no_other_part_of_its_files(teachers, tmp_path):
    runs = alone, taught = tmp_path / "alone", tmp_path / "student"
    run_to_the_end(alone, tiny(*LINEAR), seed=3)
    run_to_the_end(taught, student(teachers / "ensemble", *LINEAR), seed=3)
    assert weights_of(alone) != weights_of(taught)
    assert files_in(alone) == files_in(taught)
    for name in ("model.safetensors", "checkpoint/state.safetensors"):
        first, second = ({key: len(value) for key, value in tensors_of(run / name).items()} for run in runs)
        assert first == second
    assert metrics_of(alone)["parameters"] == metrics_of(taught)["parameters"]
    assert metrics_of(taught)["members"] == 1
    first, second = ((run / "model.onnx").stat().st_size for run in runs)
    assert first == second


@pytest.mark.usefixtures("without_export")
def test_each_member_of_an_ensemble_learns_from_the_teacher(teachers, tmp_path):
    run_to_the_end(tmp_path / "alone", tiny(*LINEAR, "members=2"))
    run_to_the_end(tmp_path / "student", student(teachers / "one", *LINEAR, "members=2"))
    assert len(read_history(tmp_path / "student/history.csv")) == 2
    alone, taught = (weights_of(tmp_path / name) for name in ("alone", "student"))
    assert alone.keys() == taught.keys()
    assert not set(alone.items()) & set(taught.items())


# Which images


@pytest.mark.parametrize(
    ("name", "held_out", "share"), [("one", 40, 0.2), ("ensemble", 40, 0.2), ("fold", 50, 0), ("all", 0, 0)]
)
def test_a_student_has_the_split_of_its_teacher_whatever_its_own_seed_and_split_are(
    name, held_out, share, teachers, tmp_path
):
    run = run_to_the_end(tmp_path / "run", student(teachers / name, *LINEAR, "split.validation=0.5"), seed=77)
    mine, theirs = map(split_of, (run, teachers / name))
    assert mine.training.tolist() == theirs.training.tolist()
    assert mine.validation.tolist() == theirs.validation.tolist()
    assert (mine.fold is None) == (theirs.fold is None) == (name != "fold")
    if name == "fold":
        assert mine.fold.tolist() == theirs.fold.tolist()
    assert metrics_of(run)["training_images"] == len(theirs.training) == 200 - held_out
    recognizer = Recognizer(run)
    assert (recognizer.trained_on, recognizer.held_out) == (DIGITS.sha256(), held_out)
    assert load_recipe(run / "recipe.toml").split.validation == share


@pytest.mark.usefixtures("without_export")
def test_a_student_is_not_trained_on_what_its_teacher_held_out(teachers, tmp_path, monkeypatch):
    held_out = {DIGITS.images[row].tobytes() for row in read_validation_rows(teachers / "one")}
    trained = set()
    note_steps(
        monkeypatch,
        lambda _state, images, _labels: trained.update(image.numpy().tobytes() for image in images),
    )
    run_to_the_end(tmp_path / "run", student(teachers / "one", *LINEAR), seed=8)
    assert (len(trained), len(held_out)) == (160, 40)
    assert not trained & held_out


# Interruptions


@pytest.mark.parametrize("name", ["one", "ensemble"])
def test_a_student_that_was_stopped_ends_with_the_same_model(name, teachers, tmp_path):
    recipe = student(teachers / name, "augmentation={rotation=10, shift=0.1}", network=NORMALISED)
    run_to_the_end(tmp_path / "whole", recipe, seed=6)
    for step in (1, STEPS, STEPS + 2):
        folder = train_until(step, tmp_path / f"run-{step}", recipe, seed=6)
        assert not (folder / "metrics.json").exists()
        resume_to_the_end(folder)
        assert_same_run(folder, tmp_path / "whole")


def test_a_student_whose_teacher_is_gone_says_so_and_resumes_once_it_is_back(teachers, tmp_path):
    teacher = shutil.copytree(teachers / "one", tmp_path / "teacher")
    train_until(2, tmp_path / "run", student(teacher, *LINEAR))
    teacher.rename(tmp_path / "elsewhere")
    message = refusal(lambda: resume(tmp_path / "run", DIGITS))
    assert says(message, teacher, "teacher.run", tmp_path / "run/recipe.toml")
    (tmp_path / "elsewhere").rename(teacher)
    assert len(list(resume(tmp_path / "run", DIGITS))) == 1


@pytest.mark.usefixtures("without_export")
def test_a_student_whose_teacher_was_named_from_one_folder_is_resumed_from_another(
    teachers, tmp_path, monkeypatch
):
    monkeypatch.chdir(teachers)
    train_until(2, tmp_path / "run", student(Path("one"), *LINEAR))
    assert load_recipe(tmp_path / "run/recipe.toml").teacher.run == str(teachers / "one")
    monkeypatch.chdir(tmp_path)
    assert len(list(resume(tmp_path / "run", DIGITS))) == 1


# What is refused


def refused(teacher: Path, tmp_path: Path, digits=DIGITS) -> str:
    """Return why a student is not trained, and see that nothing was written."""
    before = files_in(tmp_path)
    message = refusal(lambda: train(digits, student(teacher, *LINEAR), tmp_path / "student"))
    assert not (tmp_path / "student").exists()
    assert files_in(tmp_path) == before
    return message


def test_other_digits_than_the_teachers_are_refused(teachers, tmp_path):
    for digits in (make_digits(seed=1), DIGITS[np.arange(199)]):
        assert says(refused(teachers / "one", tmp_path, digits), teachers / "one", "other digits")


def test_a_teacher_that_is_missing_or_no_run_is_named(tmp_path):
    assert says(refused(tmp_path / "none", tmp_path), tmp_path / "none", "--set teacher.run=")
    for name, file, fact in (("a", "folds.json", "fold-1"), ("b", "notes.txt", "environment.json")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text("{}")
        assert says(refused(tmp_path / name, tmp_path), tmp_path / name, fact)


def test_a_teacher_that_is_not_finished_says_how_to_finish_it(tmp_path):
    teacher = tmp_path / "teacher"
    list(train(DIGITS, tiny(), teacher, stop=stop_now()))
    assert says(refused(teacher, tmp_path), f"digits train --resume {teacher}")


def test_a_teacher_that_was_ended_early_has_the_members_that_it_came_to(tmp_path):
    records = train(DIGITS, tiny(*LINEAR, "members=3"), tmp_path / "teacher")
    next(records)
    next(records)
    records.close()
    finish(tmp_path / "teacher", DIGITS)
    teacher = load_teacher(student(tmp_path / "teacher"), torch.device("cpu"))
    assert len(teacher.members) == 2


def test_folds_are_not_trained_with_a_teacher_that_may_have_seen_them(teachers, tmp_path):
    recipe = student(teachers / "one", *LINEAR)
    message = refusal(lambda: cross_validate(DIGITS, recipe, tmp_path / "folds", folds=2))
    assert says(message, "tiny", "teacher", "folds")
    assert not (tmp_path / "folds").exists()


# The command line


@pytest.fixture
def digits(monkeypatch, run_command, tmp_path, teachers):
    """Return a function that runs a command beside digits and a teacher: status, output, errors."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made.csv").write_text(csv_of(DIGITS))
    (tmp_path / "tiny.toml").write_text(TINY)
    shutil.copytree(teachers / "one", tmp_path / "teacher")

    def run(command: str) -> tuple[Any, str, str]:
        status, output, errors = run_command(command)
        lines = errors.splitlines(keepends=True)  # made digits have a bright background, and few learn little
        return status, output, "".join(line for line in lines if not line.startswith("Warning: "))

    return run


TRAIN = "train made.csv --recipe tiny.toml --set epochs=1 --out new --set teacher.run="


def test_a_teacher_may_be_named_on_the_command_line(digits, tmp_path):
    status, output, errors = digits(f"{TRAIN}teacher --seed 5")
    assert (status, errors) == (0, "")
    assert "errors in 40 images" in output
    assert (
        read_validation_rows(tmp_path / "new").tolist() == read_validation_rows(tmp_path / "teacher").tolist()
    )
    assert read_fold_rows(tmp_path / "new") is None
    assert digits("evaluate new")[0] == 0


@pytest.mark.parametrize(
    ("command", "facts"),
    [
        (f"{TRAIN}none", ["none", "--set teacher.run="]),
        ("train made.csv --recipe reader --out new", ["runs/best", "--set teacher.run="]),
        (f"{TRAIN}teacher --set teacher.weight=2", ["tiny.toml", "teacher.weight", "2"]),
        (f"{TRAIN}teacher --folds 2", ["tiny", "teacher", "folds"]),
        (f"{TRAIN}teacher".replace("made.csv", "other.csv"), ["teacher", "other digits"]),
    ],
)
def test_a_teacher_that_does_not_fit_is_one_sentence_and_status_2(command, facts, digits, tmp_path):
    (tmp_path / "other.csv").write_text(csv_of(make_digits(seed=1)))
    assert_refused(digits(command), *facts)
    assert not (tmp_path / "new").exists()
