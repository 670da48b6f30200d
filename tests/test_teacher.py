"""Distillation: a network that learns from a run that is trained already."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch

from digit_recognizer.errors import DigitsError
from digit_recognizer.networks.predictor import scale
from digit_recognizer.recipes.recipe import load_recipe, recipe_from_toml, recipe_to_toml
from digit_recognizer.recipes.schema import Teacher
from digit_recognizer.recognition import Recognizer
from digit_recognizer.runs.history import read_history
from digit_recognizer.runs.run_folder import read_fold_rows, read_validation_rows
from digit_recognizer.training import cross_validate, resume, train, trainer
from digit_recognizer.training import data as batches
from digit_recognizer.training import state as job
from digit_recognizer.training.distillation import choose_parts, load_teacher, soft_targets
from digit_recognizer.training.splits import Fold, read_parts
from helpers import TINY, assert_same_run, csv_of, files_in, follow_until, make_digits, tensors_of, tiny

pytestmark = pytest.mark.usefixtures("one_thread")

DIGITS = make_digits()
STEPS = 5  # an epoch: 160 images, 32 a batch
LINEAR = ('network=["maxpool 4", "dense 10"]', "epochs=1")
NORMALISED = ("conv 4 3x3 same relu", "batchnorm", "maxpool 4", "dropout 0.5", "dense 10")


def run_to_the_end(folder: Path, recipe, **options) -> Path:
    for _ in train(DIGITS, recipe, folder, **options):
        pass
    return folder


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


def pupil(teacher: Path, *settings: str, weight: float = 0.9, **changes):
    """Return the tiny recipe with a teacher."""
    return tiny(*settings, teacher=Teacher(str(teacher), weight), **changes)


# The recipe


def test_a_teacher_has_nine_tenths_of_what_is_learned_unless_said_otherwise():
    assert tiny("teacher.run=runs/best").teacher == Teacher("runs/best", 0.9)
    assert tiny().teacher is None


def test_a_recipe_with_a_teacher_comes_back_from_its_toml():
    recipe = tiny("teacher={run='runs/a \"b\"', weight=0.25}")
    assert recipe.teacher == Teacher('runs/a "b"', 0.25)
    assert recipe_from_toml(recipe_to_toml(recipe), "x") == recipe


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("{run='a', weight=0}", "tiny.toml: teacher.weight: input should be greater than 0, got 0"),
        (
            "{run='a', weight=1.1}",
            "tiny.toml: teacher.weight: input should be less than or equal to 1, got 1.1",
        ),
        ("{run='a', weight='much'}", "tiny.toml: teacher.weight: input should be a valid number, got 'much'"),
        ("{run=3}", "tiny.toml: teacher.run: input should be a valid string, got 3"),
        ("{run='a', temperature=2}", "tiny.toml: there is no key 'teacher.temperature'"),
        ("{weight=1}", "tiny.toml: the key 'teacher.run' is missing"),
    ],
)
def test_a_teacher_that_is_none_is_refused(table, sentence):
    with pytest.raises(DigitsError) as error:
        tiny(f"teacher={table}")
    assert str(error.value) == sentence


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


def weights_after_wrong_labels(folder: Path, recipe, monkeypatch) -> tuple[dict, dict]:
    """Return the weights after a training, and those after one whose labels are each one too high."""
    right = tensors_of(run_to_the_end(folder / "right", recipe) / "model.safetensors")
    step = trainer._train_step
    monkeypatch.setattr(
        trainer, "_train_step", lambda job, images, labels, pool: step(job, images, (labels + 1) % 10, pool)
    )
    return right, tensors_of(run_to_the_end(folder / "wrong", recipe) / "model.safetensors")


def test_a_teacher_with_all_the_weight_leaves_the_labels_no_say(teachers, tmp_path, monkeypatch):
    right, wrong = weights_after_wrong_labels(tmp_path, pupil(teachers / "one", weight=1.0), monkeypatch)
    assert right == wrong


def test_a_teacher_with_some_of_the_weight_leaves_the_labels_the_rest(teachers, tmp_path, monkeypatch):
    right, wrong = weights_after_wrong_labels(tmp_path, pupil(teachers / "one", weight=0.99), monkeypatch)
    assert right != wrong


def test_a_pupil_is_another_network_than_without_its_teacher(teachers, tmp_path):
    run_to_the_end(tmp_path / "alone", tiny(*LINEAR), seed=3)
    run_to_the_end(tmp_path / "pupil", pupil(teachers / "one", *LINEAR), seed=3)
    alone, taught = (tensors_of(tmp_path / name / "model.safetensors") for name in ("alone", "pupil"))
    assert alone.keys() == taught.keys()
    assert alone != taught


def test_one_step_is_the_gradient_of_the_cross_entropy_with_the_soft_targets(teachers, tmp_path):
    """Of a linear network: the mean over the batch of (probabilities - targets) times the input."""
    labels = torch.from_numpy(DIGITS.labels[:32])
    images = torch.from_numpy(DIGITS.images[:32])
    work = job.new_job(
        tmp_path, pupil(teachers / "one", 'network=["dense 10"]', weight=0.7), 0, torch.device("cpu")
    )
    layer = work.network.dense1
    with torch.no_grad():
        logits = work.network(scale(images))
        answers = work.teacher(scale(images)).softmax(dim=1)
    targets = 0.7 * answers + 0.3 * torch.eye(10)[labels]
    expected = (logits.softmax(dim=1) - targets).T @ scale(images).flatten(1) / 32
    work.optimizer.step = lambda: None
    loss, _ = trainer._train_step(work, images, labels, None)
    np.testing.assert_allclose(layer.weight.grad.numpy(), expected.numpy(), atol=1e-6)
    assert loss == pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item())  # of the labels


def test_the_teacher_sees_each_image_as_the_pupil_does(teachers, tmp_path, monkeypatch):
    seen = []

    def note(teacher, inputs, labels, weight):
        seen.append(inputs.clone())
        return soft_targets(teacher, inputs, labels, weight)

    monkeypatch.setattr(batches, "augment", lambda images, _: torch.full_like(images, 0.25))
    monkeypatch.setattr(batches, "soft_targets", note)
    run_to_the_end(tmp_path / "run", pupil(teachers / "one", *LINEAR, "augmentation={rotation=10}"))
    assert len(seen) == STEPS
    assert all((inputs == 0.25).all() for inputs in seen)


@pytest.mark.parametrize("name", ["one", "ensemble"])
def test_a_teacher_says_what_its_model_says(name, teachers):
    teacher = load_teacher(pupil(teachers / name), torch.device("cpu"))
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

    monkeypatch.setattr(job, "load_teacher", note)
    files = {name: (teachers / name).read_bytes() for name in files_in(teachers)}
    run_to_the_end(tmp_path / "run", pupil(teachers / name))
    ((teacher, before),) = met
    assert any("running_mean" in key for key in before)
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())
    assert {name: (teachers / name).read_bytes() for name in files_in(teachers)} == files


def test_a_teacher_is_no_part_of_its_pupils_files(teachers, tmp_path):
    run_to_the_end(tmp_path / "alone", tiny(*LINEAR))
    run_to_the_end(tmp_path / "pupil", pupil(teachers / "ensemble", *LINEAR))
    assert files_in(tmp_path / "pupil") == files_in(tmp_path / "alone")
    for name in ("model.safetensors", "checkpoint/state.safetensors"):
        alone, taught = (tensors_of(tmp_path / run / name) for run in ("alone", "pupil"))
        assert {key: len(value) for key, value in taught.items()} == {
            key: len(value) for key, value in alone.items()
        }
    alone, taught = (json.loads((tmp_path / run / "metrics.json").read_text()) for run in ("alone", "pupil"))
    assert (taught["parameters"], taught["members"]) == (alone["parameters"], 1)
    sizes = [(tmp_path / run / "model.onnx").stat().st_size for run in ("alone", "pupil")]
    assert sizes[0] == sizes[1]


def test_each_member_of_an_ensemble_learns_from_the_teacher(teachers, tmp_path):
    run_to_the_end(tmp_path / "alone", tiny(*LINEAR, "members=2"))
    run_to_the_end(tmp_path / "pupil", pupil(teachers / "one", *LINEAR, "members=2"))
    assert len(read_history(tmp_path / "pupil/history.csv")) == 2
    alone, taught = (tensors_of(tmp_path / name / "model.safetensors") for name in ("alone", "pupil"))
    assert alone.keys() == taught.keys()
    assert not set(alone.items()) & set(taught.items())


# Which images


@pytest.mark.parametrize("name", ["one", "ensemble", "fold", "all"])
def test_a_pupil_has_the_rows_of_its_teacher_whatever_its_own_seed_and_split_are(name, teachers, tmp_path):
    recipe = pupil(teachers / name, *LINEAR, "split.validation=0.5")
    run_to_the_end(tmp_path / "run", recipe, seed=77)
    mine, theirs = (read_parts(run, len(DIGITS)) for run in (tmp_path / "run", teachers / name))
    assert mine.training.tolist() == theirs.training.tolist()
    assert mine.validation.tolist() == theirs.validation.tolist()
    assert (mine.fold is None) == (theirs.fold is None) == (name != "fold")
    if name == "fold":
        assert mine.fold.tolist() == theirs.fold.tolist()
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics["training_images"] == len(theirs.training)


def test_a_pupil_is_trained_on_no_image_that_its_teacher_held_out(teachers, tmp_path, monkeypatch):
    held_out = {DIGITS.images[row].tobytes() for row in read_validation_rows(teachers / "one")}
    trained, step = set(), trainer._train_step

    def note(job, images, labels, pool):
        trained.update(image.numpy().tobytes() for image in images)
        return step(job, images, labels, pool)

    monkeypatch.setattr(trainer, "_train_step", note)
    run_to_the_end(tmp_path / "run", pupil(teachers / "one", *LINEAR), seed=8)
    assert (len(trained), len(held_out)) == (160, 40)
    assert not trained & held_out


@pytest.mark.parametrize(("name", "held_out"), [("one", 40), ("fold", 50), ("all", 0)])
def test_a_pupil_was_trained_on_as_many_digits_as_its_teacher(name, held_out, teachers, tmp_path):
    run_to_the_end(tmp_path / "run", pupil(teachers / name, *LINEAR))
    recognizer = Recognizer(tmp_path / "run")
    assert (recognizer.trained_on, recognizer.held_out) == (DIGITS.sha256(), held_out)


@pytest.mark.parametrize(("name", "share"), [("one", 0.2), ("fold", 0), ("all", 0)])
def test_a_pupils_recipe_tells_the_share_that_its_teacher_held_out(name, share, teachers, tmp_path):
    run_to_the_end(tmp_path / "run", pupil(teachers / name, *LINEAR, "split.validation=0.3"))
    assert load_recipe(tmp_path / "run/recipe.toml").split.validation == share


# Interruptions


@pytest.mark.parametrize("name", ["one", "ensemble"])
@pytest.mark.parametrize("step", [1, STEPS, STEPS + 2])
def test_a_pupil_that_was_stopped_ends_with_the_same_model(name, step, teachers, tmp_path):
    recipe = pupil(teachers / name, "augmentation={rotation=10, shift=0.1}", network=NORMALISED)
    run_to_the_end(tmp_path / "whole", recipe, seed=6)
    follow_until(step, lambda **options: train(DIGITS, recipe, tmp_path / "run", seed=6, **options))
    assert not (tmp_path / "run/metrics.json").exists()
    for _ in resume(tmp_path / "run", DIGITS):
        pass
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_a_pupil_whose_teacher_is_gone_says_so_and_goes_on_once_it_is_back(teachers, tmp_path):
    teacher = shutil.copytree(teachers / "one", tmp_path / "teacher")
    recipe = pupil(teacher, *LINEAR)
    follow_until(2, lambda **options: train(DIGITS, recipe, tmp_path / "run", **options))
    teacher.rename(tmp_path / "elsewhere")
    with pytest.raises(DigitsError) as error:
        resume(tmp_path / "run", DIGITS)
    assert str(error.value) == (
        f"the teacher {teacher} is missing: bring it back, or change teacher.run in "
        f"{tmp_path / 'run/recipe.toml'}"
    )
    (tmp_path / "elsewhere").rename(teacher)
    assert len(list(resume(tmp_path / "run", DIGITS))) == 1


def test_a_pupil_whose_teacher_was_named_from_one_folder_is_resumed_from_another(
    teachers, tmp_path, monkeypatch
):
    monkeypatch.chdir(teachers)
    recipe = pupil(Path("one"), *LINEAR)
    follow_until(2, lambda **options: train(DIGITS, recipe, tmp_path / "run", **options))
    assert load_recipe(tmp_path / "run/recipe.toml").teacher.run == str(teachers / "one")
    monkeypatch.chdir(tmp_path)
    assert len(list(resume(tmp_path / "run", DIGITS))) == 1


# What is refused


def refusal(folder: Path, teacher: Path, digits=DIGITS) -> str:
    """Return why a pupil is not trained, and see that it left nothing behind."""
    before = files_in(folder)
    with pytest.raises(DigitsError) as error:
        train(digits, pupil(teacher, *LINEAR), folder / "pupil")
    assert "\n" not in str(error.value)
    assert not (folder / "pupil").exists()
    assert files_in(folder) == before
    return str(error.value)


def test_other_digits_than_the_teachers_are_refused(teachers, tmp_path):
    expected = f"the teacher {teachers / 'one'} was trained on other digits: a pupil needs the same"
    assert refusal(tmp_path, teachers / "one", make_digits(seed=1)) == expected
    with pytest.raises(DigitsError, match="trained on other digits"):
        choose_parts(DIGITS[np.arange(199)], pupil(teachers / "one"), seed=0)


def test_a_teacher_that_is_not_there_is_named(tmp_path):
    assert refusal(tmp_path, tmp_path / "none") == (
        f"the teacher {tmp_path / 'none'} is missing: train it, or name another by --set teacher.run=…"
    )


def test_the_recipe_that_has_a_teacher_says_what_to_do_without(digits, tmp_path):
    status, _, errors = digits("train made.csv --recipe reader --out new")
    expected = "the teacher runs/best is missing: train it, or name another by --set teacher.run=…"
    assert (status, errors) == (2, f"digits: {expected}\n")
    assert not (tmp_path / "new").exists()


def test_a_cross_validation_is_no_teacher(tmp_path):
    (tmp_path / "folds").mkdir()
    (tmp_path / "folds/folds.json").write_text("{}")
    expected = f"{tmp_path / 'folds'} is a cross-validation: name one of its runs, such as "
    assert refusal(tmp_path, tmp_path / "folds").startswith(expected)


def test_a_teacher_that_is_no_run_is_named(tmp_path):
    (tmp_path / "folder").mkdir()
    assert refusal(tmp_path, tmp_path / "folder").startswith(f"{tmp_path / 'folder'} is no run folder")


def test_a_teacher_that_is_not_finished_says_how_to_finish_it(tmp_path):
    stop = Event()
    stop.set()
    list(train(DIGITS, tiny(), tmp_path / "teacher", stop=stop))
    expected = (
        f"{tmp_path / 'teacher'} is not finished: go on with 'digits train --resume {tmp_path / 'teacher'}'"
    )
    assert refusal(tmp_path, tmp_path / "teacher") == expected


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", None),
        ("model.safetensors", b""),
        ("model.safetensors", 100),
        ("model.safetensors", "ensemble"),
        ("metrics.json", b"{"),
        ("metrics.json", b"[]"),
        ("metrics.json", b'{"members": 3}'),
        ("recipe.toml", None),
        ("recipe.toml", b"name = "),
        ("recipe.toml", "all"),
        ("environment.json", b"{}"),
        ("environment.json", b"garbage"),
        ("validation.npy", None),
        ("validation.npy", b"garbage"),
        ("validation.npy", "all"),
    ],
)
def test_a_damaged_teacher_is_named_with_its_file(name, content, teachers, tmp_path):
    """Its file is gone, has other content, is cut off behind so many bytes, or is another teacher's."""
    path = shutil.copytree(teachers / "one", tmp_path / "teacher") / name
    if content is None:
        path.unlink()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, int):
        path.write_bytes(path.read_bytes()[:content])
    else:
        path.write_bytes((teachers / content / name).read_bytes())
    assert str(tmp_path / "teacher") in refusal(tmp_path, tmp_path / "teacher")


@pytest.mark.parametrize("members", ["4", "0", "-1", "true", '"3"', "2.0", "null", "[1]"])
@pytest.mark.parametrize(("name", "most"), [("one", 1), ("ensemble", 3)])
def test_a_teacher_has_no_more_members_than_its_recipe(name, most, members, teachers, tmp_path):
    path = shutil.copytree(teachers / name, tmp_path / "teacher") / "metrics.json"
    path.write_text(f'{{"members": {members}}}')
    expected = f"{path} is damaged: expected 1 to {most} members"
    assert refusal(tmp_path, tmp_path / "teacher") == expected


def test_a_teacher_that_was_ended_early_has_the_members_that_it_came_to(tmp_path):
    records = train(DIGITS, tiny(*LINEAR, "members=3"), tmp_path / "teacher")
    next(records)
    next(records)
    records.close()
    teacher = load_teacher(pupil(tmp_path / "teacher"), torch.device("cpu"))
    assert len(teacher.members) == 2


@pytest.mark.parametrize("content", [b"", b"garbage", 100, -1], ids=str)
def test_weights_that_cannot_be_read_are_damaged(content, teachers, tmp_path):
    path = shutil.copytree(teachers / "one", tmp_path / "teacher") / "model.safetensors"
    path.write_bytes(content if isinstance(content, bytes) else path.read_bytes()[:content])
    message = refusal(tmp_path, tmp_path / "teacher")
    assert message.startswith(f"{path} is damaged or cannot be read: ")
    assert "recipe" not in message


def test_weights_of_another_network_are_one_short_sentence(teachers, tmp_path):
    path = shutil.copytree(teachers / "one", tmp_path / "teacher") / "model.safetensors"
    shutil.copy(teachers / "ensemble/model.safetensors", path)
    expected = f"the weights {path} do not fit the recipe: the tensors are those of another network"
    assert refusal(tmp_path, tmp_path / "teacher") == expected


def test_folds_are_not_trained_with_a_teacher_who_may_have_seen_them(teachers, tmp_path):
    with pytest.raises(DigitsError) as error:
        cross_validate(DIGITS, pupil(teachers / "one", *LINEAR), tmp_path / "folds", folds=2)
    assert str(error.value) == "tiny has a teacher, which may have seen the folds: judge it by a run"
    assert not (tmp_path / "folds").exists()


# The command line


@pytest.fixture
def digits(monkeypatch, run_command, tmp_path, teachers):
    """Return a function that runs a command beside digits and a teacher: status, output, errors."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made.csv").write_text(csv_of(DIGITS))
    (tmp_path / "tiny.toml").write_text(TINY)
    shutil.copytree(teachers / "one", tmp_path / "teacher")

    return run_command


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
    ("command", "sentence"),
    [
        (f"{TRAIN}none", "the teacher none is missing: train it, or name another by --set teacher.run="),
        (f"{TRAIN}teacher --set teacher.weight=2", "tiny.toml: teacher.weight: input should be less"),
        (f"{TRAIN}teacher --folds 2", "tiny has a teacher, which may have seen the folds"),
        (
            (TRAIN + "teacher").replace("made.csv", "bundled"),
            "the teacher teacher was trained on other digits",
        ),
    ],
)
def test_a_teacher_that_does_not_fit_is_one_sentence_and_status_2(command, sentence, digits, tmp_path):
    status, output, errors = digits(command)
    assert (status, output) == (2, "")
    assert errors.startswith(f"digits: {sentence}")
    assert errors.count("\n") == 1
    assert not (tmp_path / "new").exists()
