"""Training: what it yields, what it leaves on disk, and what it refuses."""

from __future__ import annotations

import csv
from dataclasses import asdict

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

import digit_recognizer
from digit_recognizer.digits import Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.evaluation import wilson_interval
from digit_recognizer.networks.build import build_network
from digit_recognizer.recipes import load_recipe
from digit_recognizer.recognition import Recognizer
from digit_recognizer.runs.environment import Environment
from digit_recognizer.runs.history import Progress
from digit_recognizer.runs.split import checksum_of_rows
from digit_recognizer.training import finish, fit, randomness, resume, splits, train
from helpers import (
    RUN_FILES,
    TINY,
    environment_of,
    files_in,
    history_without_times,
    make_digits,
    read_validation_rows,
    refusal,
    says,
    tiny,
)
from runs import DIGITS, LINEAR, metrics_of, note_steps, run_to_the_end, stop_now, weights_of

pytestmark = pytest.mark.usefixtures("one_thread", "without_export")

DIVERGING = "optimizer.learning_rate=1e30"
NORMALISED = 'network=["maxpool 4", "dense 8", "batchnorm", "dense 10"]'


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of five epochs: its folder and its records."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    return folder, list(train(DIGITS, tiny("epochs=5"), folder, seed=3, source="made up"))


# What it leaves


def test_a_training_yields_one_record_an_epoch_and_learns(finished):
    first, *_, last = records = finished[1]
    assert [record.epoch for record in records] == [1, 2, 3, 4, 5]
    assert all(record.learning_rate == 0.01 for record in records)
    assert last.loss < first.loss / 2
    assert last.validation_loss < first.validation_loss / 2
    assert last.validation_accuracy > 0.95


def test_a_run_folder_holds_exactly_the_files_of_the_design_and_no_pickle(finished):
    folder = finished[0]
    assert files_in(folder) == RUN_FILES
    for name in files_in(folder):
        head = (folder / name).read_bytes()[:2]
        assert head[:1] != b"\x80"  # a pickle's first opcode
        assert head != b"PK"  # the zip archive that torch.save writes


def test_history_says_what_the_records_said(finished):
    folder, records = finished
    rows = list(csv.DictReader((folder / "history.csv").read_text().splitlines()))
    assert rows == [{name: str(value) for name, value in asdict(record).items()} for record in records]


def test_metrics_say_what_the_last_record_said(finished):
    folder, records = finished
    metrics, last = metrics_of(folder), records[-1]
    assert metrics["epochs"] == 5
    assert metrics["training_images"] == 160
    assert metrics["parameters"] == metrics["trained_parameters"] == 4 * 10 + 10 * (144 + 1)
    assert metrics["seconds"] == pytest.approx(sum(record.seconds for record in records))
    right = 40 - last.validation_errors
    assert metrics["validation"] == {
        "images": 40,
        "errors": last.validation_errors,
        "accuracy": last.validation_accuracy,
        "accuracy_interval_95": list(wilson_interval(right, 40)),
        "loss": last.validation_loss,
    }
    assert last.validation_accuracy == right / 40


@pytest.mark.usefixtures("with_export")
def test_a_recognizer_makes_the_errors_that_the_training_counted(tmp_path):
    digits = make_digits(noise=255)  # 255 wraps around: hard to read
    (record,) = train(digits, tiny("epochs=1"), tmp_path / "run")
    held_out = digits[read_validation_rows(tmp_path / "run")]
    predictions = Recognizer(tmp_path / "run").predict(held_out.images)
    assert int((predictions.labels != held_out.labels).sum()) == record.validation_errors > 0
    likelihood = predictions.probabilities[np.arange(len(held_out)), held_out.labels]
    assert -np.log(likelihood).mean() == pytest.approx(record.validation_loss, abs=1e-3)


def test_the_files_of_a_run_say_how_to_do_it_again(finished):
    folder = finished[0]
    assert load_recipe(folder / "recipe.toml") == tiny("epochs=5")
    environment = environment_of(folder)
    assert (environment["format"], environment["seed"]) == (1, 3)
    assert environment["data"] == {
        "source": "made up",
        "sha256": DIGITS.sha256(),
        "images": 200,
        "held_out": 40,
        "held_out_sha256": checksum_of_rows(read_validation_rows(folder)),
        "images_per_digit": [20] * 10,
    }
    assert environment["versions"]["torch"] == torch.__version__
    assert environment["versions"]["digit_recognizer"] == digit_recognizer.__version__
    assert environment["machine"]["processor"]


def test_without_validation_all_images_are_trained_on(tmp_path):
    (record,) = train(DIGITS, tiny("split.validation=0", "epochs=1"), tmp_path / "run")
    assert (record.validation_loss, record.validation_accuracy, record.validation_errors) == (None,) * 3
    assert read_validation_rows(tmp_path / "run").shape == (0,)
    (row,) = history_without_times(tmp_path / "run")
    assert [row[f"validation_{name}"] for name in ("loss", "accuracy", "errors")] == ["", "", ""]
    metrics = metrics_of(tmp_path / "run")
    assert (metrics["validation"], metrics["training_images"]) == (None, 200)


def test_automatic_precision_is_written_down_as_what_it_became(tmp_path):
    train(DIGITS, tiny("precision=auto"), tmp_path / "run")
    chosen = asdict(load_recipe(tmp_path / "run/recipe.toml").precision)
    described = environment_of(tmp_path / "run")["arithmetic"]
    assert set(chosen.values()) <= {"float32", "bfloat16"}
    assert {kind: entry["precision"] for kind, entry in described.items()} == chosen
    assert all(entry["reason"] == "measured" and entry["float32_ms"] > 0 for entry in described.values())


def test_a_recipe_may_be_given_by_name_or_file(tmp_path):
    (tmp_path / "mine.toml").write_text(TINY)
    for given, name in (("plain", "plain"), (str(tmp_path / "mine.toml"), "tiny")):
        train(DIGITS, given, tmp_path / name)
        assert load_recipe(tmp_path / name / "recipe.toml").name == name


def test_without_a_folder_a_run_lands_below_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(DIGITS, tiny())
    train(DIGITS, tiny())
    first, second = sorted((tmp_path / "runs").iterdir())
    assert first.name.endswith("-tiny")
    assert second.name > first.name


def test_a_run_may_be_written_into_a_folder_that_is_empty(tmp_path):
    (tmp_path / "run").mkdir()
    train(DIGITS, tiny(), tmp_path / "run", seed=2**70)
    assert environment_of(tmp_path / "run")["seed"] == 2**70


# Which images


@pytest.mark.parametrize(("count", "fraction"), [(1_000, 0.1), (1_003, 0.2), (997, 0.33), (320, 0.5)])
def test_the_split_holds_the_same_fraction_of_each_digit_out(count, fraction):
    labels = np.random.default_rng(count).choice(10, count, p=np.arange(1, 11) / 55)
    digits, recipe = Digits(np.zeros((count, 28, 28), np.uint8), labels), tiny(f"split.validation={fraction}")
    first, again, other = (splits.split_digits(digits, recipe, seed) for seed in (3, 3, 4))
    training, held_out = first.training, first.validation
    assert sorted([*training, *held_out]) == list(range(count))
    assert (np.diff(held_out) > 0).all()
    assert len(held_out) == np.ceil(fraction * count)
    expected = np.bincount(labels) * len(held_out) / count
    assert np.abs(np.bincount(labels[held_out]) - expected).max() < 1
    assert np.array_equal(again.validation, held_out)
    assert not np.array_equal(other.validation, held_out)


def test_validation_images_are_never_trained_on(tmp_path, monkeypatch):
    """Every image bears its number, and the training is asked which ones it met."""
    images = DIGITS.images.copy()
    images[:, 0, 0] = np.arange(200)
    met: list[int] = []
    note_steps(monkeypatch, lambda _state, batch, _labels: met.extend(batch[:, 0, 0].tolist()))
    run_to_the_end(tmp_path / "run", tiny("epochs=2"), Digits(images, DIGITS.labels))
    trained = sorted(set(range(200)) - set(read_validation_rows(tmp_path / "run").tolist()))
    assert sorted(met[:160]) == sorted(met[160:]) == trained
    assert met[:160] != met[160:]  # in another order in each epoch


# Random numbers


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path):
    recipe = tiny("augmentation.shift=0.1")
    a, b, c = (
        run_to_the_end(tmp_path / name, recipe, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert weights_of(a) == weights_of(b) != weights_of(c)
    assert history_without_times(a) == history_without_times(b)
    assert read_validation_rows(a).tolist() != read_validation_rows(c).tolist()


def test_a_training_and_its_caller_leave_each_others_random_numbers_alone(tmp_path):
    recipe = tiny("augmentation.rotation=5")
    run_to_the_end(tmp_path / "quiet", recipe)
    torch.manual_seed(8)
    np.random.seed(8)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    for _ in train(DIGITS, recipe, tmp_path / "noisy"):
        assert torch.equal(torch.get_rng_state(), before)
        torch.rand(1000)
        before = torch.get_rng_state()
    assert torch.equal(torch.get_rng_state(), before)
    assert np.random.get_state()[1].tolist() == numpy_before
    assert weights_of(tmp_path / "quiet") == weights_of(tmp_path / "noisy")


# How it runs


@pytest.mark.usefixtures("with_export")
def test_a_caller_who_closes_the_generator_leaves_a_run_that_can_be_finished(tmp_path):
    records = train(DIGITS, tiny("epochs=50"), tmp_path / "run")
    first = next(records)
    records.close()
    assert "metrics.json" not in files_in(tmp_path / "run")
    finish(tmp_path / "run", DIGITS)
    assert files_in(tmp_path / "run") == RUN_FILES
    assert metrics_of(tmp_path / "run")["epochs"] == first.epoch == 1
    assert len(Recognizer(tmp_path / "run").predict(DIGITS.images)) == 200


def test_a_caller_who_breaks_out_of_the_loop_can_resume_or_finish_the_run(tmp_path):
    for folder in ("run", "whole"):
        for record in train(DIGITS, tiny("epochs=3"), tmp_path / folder):
            if record.epoch == 2:
                break
    finish(tmp_path / "run", DIGITS)
    assert metrics_of(tmp_path / "run")["epochs"] == 2
    assert [record.epoch for record in resume(tmp_path / "whole", DIGITS)] == [3]
    assert says(refusal(lambda: finish(tmp_path / "whole", DIGITS)), tmp_path / "whole", "finished")


def test_a_stopped_run_is_not_finished_and_cannot_be_in_the_middle_of_an_epoch(tmp_path):
    assert not list(train(DIGITS, tiny(), tmp_path / "run", stop=stop_now()))
    assert "checkpoint/state.safetensors" in files_in(tmp_path / "run")
    assert not {"model.onnx", "metrics.json"} & set(files_in(tmp_path / "run"))
    assert says(refusal(lambda: finish(tmp_path / "run", DIGITS)), tmp_path / "run", "resume")


def test_training_happens_while_the_records_are_taken(tmp_path):
    records = train(DIGITS, tiny(), tmp_path / "run")
    assert files_in(tmp_path / "run") == [".lock", "environment.json", "recipe.toml", "validation.npy"]
    next(records)
    assert "checkpoint/state.safetensors" in files_in(tmp_path / "run")
    assert len(history_without_times(tmp_path / "run")) == 1
    assert "metrics.json" not in files_in(tmp_path / "run")
    assert len(list(records)) == 1
    assert "metrics.json" in files_in(tmp_path / "run")


def test_every_step_is_reported(tmp_path):
    steps: list[Progress] = []
    run_to_the_end(tmp_path / "run", tiny(), on_step=steps.append)
    assert [(step.epoch, step.images) for step in steps] == [
        (epoch, images) for epoch in (1, 2) for images in (32, 64, 96, 128, 160)
    ]
    assert {(step.epochs, step.total) for step in steps} == {(2, 160)}
    assert all(step.loss > 0 and step.images_per_second > 0 for step in steps)


def test_early_stopping_ends_a_run_before_its_last_epoch(tmp_path):
    recipe = tiny("epochs=50", "stopping={monitor='loss', patience=2, min_delta=100.0}")
    assert len(list(train(DIGITS, recipe, tmp_path / "run"))) == 3
    assert metrics_of(tmp_path / "run")["epochs"] == 3


def test_a_plateau_lowers_the_rate_that_the_optimizer_uses(tmp_path):
    plateau = "schedule={name='plateau', monitor='loss', factor=0.5, patience=1, min_delta=100.0}"
    records = list(train(DIGITS, tiny("epochs=4", plateau), tmp_path / "run"))
    assert [record.learning_rate for record in records] == [0.01, 0.01, 0.005, 0.0025]


@pytest.mark.parametrize(("warmup", "first", "last"), [(0.2, 0.25, 0.0625), (0.0, 0.95, 0.05)])
def test_one_cycle_changes_the_rate_from_step_to_step(warmup, first, last, tmp_path, monkeypatch):
    """Ten steps, of which each takes the rate of its middle; a record has that of its first."""
    rates: list[float] = []

    def note(state, *_):
        assert state.network.training  # dropout is on, in the second epoch too
        rates.append(state.optimizer.param_groups[0]["lr"])

    note_steps(monkeypatch, note)
    recipe = tiny(f"schedule={{name='one-cycle', warmup={warmup}}}")
    records = list(train(DIGITS, recipe, tmp_path / "run"))
    assert [record.learning_rate for record in records] == [rates[0], rates[5]]
    assert len(rates) == 10
    assert (rates[0], rates[-1]) == (pytest.approx(0.01 * first), pytest.approx(0.01 * last))
    np.testing.assert_allclose(np.diff(rates[2:]), -0.001 / (1 - warmup))


def test_a_rate_that_is_all_but_zero_changes_all_but_nothing(tmp_path):
    """The schedule's rate is the one that is applied: with 1e-30 the loss stays where it began."""
    recipe = tiny("optimizer.learning_rate=1e-30", 'network=["dense 10"]')
    first, second = train(DIGITS, recipe, tmp_path / "run")
    assert second.validation_loss == first.validation_loss


def test_label_smoothing_changes_the_weights_and_not_what_is_recorded(tmp_path):
    """The first step finds the same network, so the only epoch of one step records the same loss."""
    settings = ("batch_size=160", "epochs=1")
    (plain,) = train(DIGITS, tiny(*settings), tmp_path / "plain")
    (smoothed,) = train(DIGITS, tiny(*settings, "label_smoothing=0.2"), tmp_path / "smoothed")
    assert smoothed.loss == plain.loss
    assert smoothed.validation_loss != plain.validation_loss
    assert weights_of(tmp_path / "smoothed") != weights_of(tmp_path / "plain")


def test_a_record_is_the_mean_over_the_images_of_its_epoch(tmp_path, monkeypatch):
    """Batches of 50, 50, 50 and 10 images: a mean of their means would be another number."""
    steps: list[tuple[int, float, int]] = []
    step = fit._train_step

    def note(state, data, rows):
        loss, right = step(state, data, rows)
        steps.append((len(rows), loss, right))
        return loss, right

    monkeypatch.setattr(fit, "_train_step", note)
    records = list(train(DIGITS, tiny("batch_size=50"), tmp_path / "run"))
    assert [images for images, _, _ in steps] == [50, 50, 50, 10] * 2
    for record, of_epoch in zip(records, (steps[:4], steps[4:]), strict=True):
        assert record.loss == pytest.approx(sum(images * loss for images, loss, _ in of_epoch) / 160)
        assert record.accuracy == sum(right for _, _, right in of_epoch) / 160


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_a_step_is_that_of_the_optimizer_on_the_cross_entropy(smoothing, tmp_path):
    """One step of RMSprop on a single layer, worked out with numpy; what is recorded is never smoothed."""
    recipe = tiny(
        'network=["dense 10"]',
        "optimizer={name='rmsprop', learning_rate=0.01, rho=0.9, epsilon=1e-3}",
        "batch_size=200",
        "epochs=1",
        "split.validation=0",
        f"label_smoothing={smoothing}",
    )
    (record,) = train(DIGITS, recipe, tmp_path / "run", seed=3)
    with randomness.draws_from(3, epoch=0, step=0):
        start = build_network(recipe).state_dict()["dense1.weight"].numpy()
    pixels = DIGITS.images.reshape(200, 784) / 255.0
    logits = pixels @ start.T.astype(float)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    wanted = np.eye(10)[DIGITS.labels]
    targets = (1 - smoothing) * wanted + smoothing / 10
    gradient = (probabilities - targets).T @ pixels / 200
    expected = start - 0.01 * gradient / (np.sqrt(0.1 * gradient**2) + 1e-3)
    found = load_file(tmp_path / "run/model.safetensors")["dense1.weight"]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert record.loss == pytest.approx(-np.log(probabilities[wanted == 1]).mean(), abs=1e-5)


@pytest.mark.parametrize(
    ("count", "settings", "sizes"),
    [
        (64, ("batch_size=32", NORMALISED), [32, 64]),
        (65, ("batch_size=32", NORMALISED), [32, 65]),  # of one image alone there is nothing to normalise
        (66, ("batch_size=32", NORMALISED), [32, 64, 66]),
        (20, ("batch_size=1", 'network=["dense 10"]'), [*range(1, 19), 20]),
        (10, ("batch_size=10",), [10]),  # one image of each digit
    ],
)
def test_all_images_are_trained_on_in_batches(count, settings, sizes, tmp_path):
    found: list[int] = []
    recipe = tiny("split.validation=0", "epochs=1", *settings)
    run_to_the_end(
        tmp_path / "run", recipe, make_digits(count), on_step=lambda step: found.append(step.images)
    )
    assert found == sizes


def test_lowered_precision_trains_as_well(tmp_path):
    *_, last = train(DIGITS, tiny("precision=bfloat16", "epochs=5"), tmp_path / "run")
    assert last.validation_accuracy > 0.95


# What is refused


def test_a_batch_of_one_image_cannot_be_normalised():
    assert says(refusal(lambda: tiny("batch_size=1", NORMALISED)), "tiny.toml", "batch_size 1", "two images")


@pytest.mark.parametrize(
    ("digits", "settings", "options", "facts"),
    [
        (Digits(DIGITS.images), (), {}, ["no labels"]),
        (DIGITS[DIGITS.labels == 4], (), {}, ["the only label is 4", "20 images", "at least two"]),
        (DIGITS[:0], (), {}, ["no images"]),
        (DIGITS, (), {"seed": -1}, ["seed", "at least 0", "-1"]),
        *((DIGITS, (), {"device": name}, ["device", repr(name)]) for name in ("banana", "cuda:99", "meta")),
        (DIGITS, ('network=["conv 4 29x29", "dense 10"]',), {}, ["network line 1"]),
    ],
)
def test_what_cannot_be_trained_is_refused_and_nothing_is_written(digits, settings, options, facts, tmp_path):
    assert says(refusal(lambda: train(digits, tiny(*settings), tmp_path / "run", **options)), *facts)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("taken", ["run/notes.txt", "run", "run/environment.json"])
def test_a_folder_that_holds_something_is_left_as_it_is(taken, tmp_path):
    (tmp_path / taken).parent.mkdir(exist_ok=True)
    (tmp_path / taken).write_text("mine")
    assert says(refusal(lambda: train(DIGITS, tiny(), tmp_path / "run")), tmp_path / "run", "--resume")
    assert files_in(tmp_path) == [taken]
    assert (tmp_path / taken).read_text() == "mine"


def test_a_folder_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    assert says(refusal(lambda: train(DIGITS, tiny(), tmp_path / "file/run")), tmp_path / "file/run")


def test_a_second_training_into_one_folder_is_refused(tmp_path):
    records = train(DIGITS, tiny(*LINEAR), tmp_path / "run")
    assert says(refusal(lambda: train(DIGITS, tiny(), tmp_path / "run")), f"--resume {tmp_path / 'run'}")
    assert len(list(records)) == 1


def test_a_folder_that_another_takes_meanwhile_is_left_to_it(tmp_path, monkeypatch):
    """Both look, both find nothing there; the first to finish its folder has it."""

    def overtaken(_environment, _folder):
        (tmp_path / "run").mkdir()
        (tmp_path / "run/environment.json").write_text("the other's")

    monkeypatch.setattr(Environment, "write", overtaken)
    assert says(refusal(lambda: train(DIGITS, tiny(), tmp_path / "run")), tmp_path / "run")
    assert files_in(tmp_path) == ["run/environment.json"]
    assert (tmp_path / "run/environment.json").read_text() == "the other's"


def test_a_loss_that_is_no_number_ends_the_run_with_advice(tmp_path):
    message = refusal(lambda: run_to_the_end(tmp_path / "run", tiny(DIVERGING)))
    assert says(message, "epoch 1", "--learning-rate 0.001")
    assert not {"model.onnx", "metrics.json"} & set(files_in(tmp_path / "run"))


@pytest.mark.usefixtures("with_export")
def test_weights_that_are_no_numbers_after_the_last_step_are_not_made_a_model(tmp_path):
    """A single step: its own loss is fine, what the step leads to is not."""
    recipe = tiny("optimizer.learning_rate=1e38", "batch_size=160", "epochs=1")
    with pytest.raises(DigitsError):
        run_to_the_end(tmp_path / "run", recipe)
    assert not {"model.onnx", "metrics.json"} & set(files_in(tmp_path / "run"))


def test_a_run_that_diverges_after_a_checkpoint_keeps_it(tmp_path, monkeypatch):
    assert not list(train(DIGITS, tiny(), tmp_path / "run", stop=stop_now()))
    monkeypatch.setattr(fit, "_train_step", lambda *_: (float("nan"), 0))
    assert says(refusal(lambda: list(resume(tmp_path / "run", DIGITS))), "epoch 1")
    assert (tmp_path / "run/checkpoint/state.safetensors").exists()
