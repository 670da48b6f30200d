"""Training: what it yields, what it leaves on disk, and what it refuses."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from threading import Event

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
from digit_recognizer.runs.history import Progress
from digit_recognizer.runs.run_folder import checksum_of_rows, read_environment, read_validation_rows
from digit_recognizer.training import randomness, train, trainer
from digit_recognizer.training import splits as preparation
from helpers import RUN_FILES, TINY, files_in, history_without_times, make_digits, tiny

pytestmark = pytest.mark.usefixtures("one_thread")

DIGITS = make_digits()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of five epochs: its folder and its records."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    return folder, list(train(DIGITS, tiny("epochs=5"), folder, seed=3, source="made up"))


@pytest.fixture
def without_export(monkeypatch):
    """Let a run end without model.onnx, which takes a second to write."""
    monkeypatch.setattr(trainer, "export_onnx", lambda *_, **__: None)


def weights_of(folder) -> dict[str, bytes]:
    return {name: tensor.tobytes() for name, tensor in load_file(folder / "model.safetensors").items()}


def refusal(tmp_path, digits=DIGITS, recipe=None, **options) -> str:
    """Return why a training is refused, and see that it left nothing behind."""
    before = files_in(tmp_path)
    with pytest.raises(DigitsError) as error:
        train(digits, recipe or tiny(), tmp_path / "run", **options)
    assert files_in(tmp_path) == before
    assert not (tmp_path / "run").exists()
    return str(error.value)


def test_a_training_yields_one_record_an_epoch(finished):
    records = finished[1]
    assert [record.epoch for record in records] == [1, 2, 3, 4, 5]
    assert all(record.learning_rate == 0.01 for record in records)


def test_the_network_learns(finished):
    records = finished[1]
    assert records[-1].loss < records[0].loss / 2
    assert records[-1].validation_loss < records[0].validation_loss / 2
    assert records[-1].validation_accuracy > 0.95


def test_a_run_folder_holds_exactly_the_files_of_the_design(finished):
    assert files_in(finished[0]) == RUN_FILES


def test_no_file_of_a_run_is_a_pickle(finished):
    for path in finished[0].rglob("*"):
        head = path.read_bytes()[:2] if path.is_file() else b""
        assert head[:1] != b"\x80"  # a pickle's first opcode
        assert head != b"PK"  # the zip archive that torch.save writes


def test_history_says_what_the_records_said(finished):
    folder, records = finished
    rows = list(csv.DictReader((folder / "history.csv").read_text().splitlines()))
    assert rows == [{name: str(value) for name, value in asdict(record).items()} for record in records]


def test_metrics_say_what_the_last_record_said(finished):
    folder, records = finished
    metrics, last = json.loads((folder / "metrics.json").read_text()), records[-1]
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


def test_a_recognizer_makes_the_errors_that_the_training_counted(tmp_path):
    digits = make_digits(noise=255)  # 255 wraps around: hard to read
    recipe = tiny("epochs=1")
    (record,) = train(digits, recipe, tmp_path / "run")
    held_out = digits[read_validation_rows(tmp_path / "run")]
    predictions = Recognizer(tmp_path / "run").predict(held_out.images)
    assert int((predictions.labels != held_out.labels).sum()) == record.validation_errors > 0
    likelihood = predictions.probabilities[np.arange(len(held_out)), held_out.labels]
    assert -np.log(likelihood).mean() == pytest.approx(record.validation_loss, abs=1e-3)


def test_the_recipe_of_a_run_is_the_one_that_was_trained(finished):
    assert load_recipe(finished[0] / "recipe.toml") == tiny("epochs=5")


def test_the_environment_of_a_run_says_how_to_do_it_again(finished):
    environment = read_environment(finished[0])
    assert environment["format"] == 1
    assert environment["seed"] == 3
    assert environment["data"] == {
        "source": "made up",
        "sha256": DIGITS.sha256(),
        "images": 200,
        "held_out": 40,
        "held_out_sha256": checksum_of_rows(read_validation_rows(finished[0])),
        "images_per_digit": [20] * 10,
    }
    assert environment["versions"]["torch"] == torch.__version__
    assert environment["versions"]["digit_recognizer"] == digit_recognizer.__version__
    assert environment["machine"]["processor"]


def test_validation_holds_out_the_same_share_of_each_digit(finished):
    rows = read_validation_rows(finished[0])
    assert DIGITS[rows].counts().tolist() == [4] * 10
    assert len(set(rows.tolist())) == len(rows)
    assert (np.diff(rows) > 0).all()


@pytest.mark.usefixtures("without_export")
def test_validation_images_are_never_trained_on(tmp_path, monkeypatch):
    """Every image bears its number, and the training is asked which ones it met."""
    images = DIGITS.images.copy()
    images[:, 0, 0] = np.arange(200)
    met: list[int] = []
    step = trainer._train_step

    def note(job, batch, labels, pool):
        met.extend(batch[:, 0, 0].tolist())
        return step(job, batch, labels, pool)

    monkeypatch.setattr(trainer, "_train_step", note)
    for _ in train(Digits(images, DIGITS.labels), tiny("epochs=2"), tmp_path / "run"):
        pass
    held_out = read_validation_rows(tmp_path / "run").tolist()
    trained = sorted(set(range(200)) - set(held_out))
    assert sorted(met[:160]) == sorted(met[160:]) == trained
    assert met[:160] != met[160:]  # in another order in each epoch


@pytest.mark.usefixtures("without_export")
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        for _ in train(DIGITS, tiny("augmentation.shift=0.1"), tmp_path / name, seed=seed):
            pass
    assert weights_of(tmp_path / "a") == weights_of(tmp_path / "b") != weights_of(tmp_path / "c")
    assert history_without_times(tmp_path / "a") == history_without_times(tmp_path / "b")
    assert read_validation_rows(tmp_path / "a").tolist() != read_validation_rows(tmp_path / "c").tolist()


@pytest.mark.usefixtures("without_export")
def test_a_training_leaves_the_callers_random_numbers_alone(tmp_path):
    torch.manual_seed(8)
    np.random.seed(8)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    for _ in train(DIGITS, tiny("augmentation.rotation=5"), tmp_path / "run"):
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.random.get_state()[1].tolist() == numpy_before


@pytest.mark.usefixtures("without_export")
def test_what_the_caller_draws_between_epochs_does_not_change_the_run(tmp_path):
    for _ in train(DIGITS, tiny(), tmp_path / "quiet"):
        pass
    for _ in train(DIGITS, tiny(), tmp_path / "noisy"):
        torch.rand(1000)
    assert weights_of(tmp_path / "quiet") == weights_of(tmp_path / "noisy")


def test_a_caller_who_closes_the_generator_has_a_finished_run(tmp_path):
    records = train(DIGITS, tiny("epochs=50"), tmp_path / "run")
    first = next(records)
    records.close()
    assert files_in(tmp_path / "run") == RUN_FILES
    assert json.loads((tmp_path / "run/metrics.json").read_text())["epochs"] == first.epoch == 1
    assert len(Recognizer(tmp_path / "run").predict(DIGITS.images)) == 200


@pytest.mark.usefixtures("without_export")
def test_a_caller_who_breaks_out_of_the_loop_has_a_finished_run(tmp_path):
    for record in train(DIGITS, tiny("epochs=50"), tmp_path / "run"):
        if record.epoch == 2:
            break
    assert json.loads((tmp_path / "run/metrics.json").read_text())["epochs"] == 2


@pytest.mark.usefixtures("without_export")
def test_training_happens_while_the_records_are_taken(tmp_path):
    records = train(DIGITS, tiny(), tmp_path / "run")
    assert files_in(tmp_path / "run") == [".lock", "environment.json", "recipe.toml", "validation.npy"]
    next(records)
    assert "checkpoint/state.safetensors" in files_in(tmp_path / "run")
    assert len(history_without_times(tmp_path / "run")) == 1
    assert "metrics.json" not in files_in(tmp_path / "run")
    assert len(list(records)) == 1
    assert "metrics.json" in files_in(tmp_path / "run")


@pytest.mark.usefixtures("without_export")
def test_early_stopping_ends_a_run_before_its_last_epoch(tmp_path):
    recipe = tiny("epochs=50", "stopping={monitor='loss', patience=2, min_delta=100.0}")
    assert len(list(train(DIGITS, recipe, tmp_path / "run"))) == 3
    assert json.loads((tmp_path / "run/metrics.json").read_text())["epochs"] == 3


@pytest.mark.usefixtures("without_export")
def test_a_plateau_lowers_the_rate_that_the_optimizer_uses(tmp_path):
    recipe = tiny(
        "epochs=4", "schedule={name='plateau', monitor='loss', factor=0.5, patience=1, min_delta=100.0}"
    )
    records = list(train(DIGITS, recipe, tmp_path / "run"))
    assert [record.learning_rate for record in records] == [0.01, 0.01, 0.005, 0.0025]


@pytest.mark.usefixtures("without_export")
@pytest.mark.parametrize(("warmup", "first", "last"), [(0.2, 0.25, 0.0625), (0.0, 0.95, 0.05)])
def test_one_cycle_changes_the_rate_from_step_to_step(warmup, first, last, tmp_path, monkeypatch):
    """Ten steps, of which each takes the rate of its middle; a record has that of its first."""
    rates: list[float] = []
    step = trainer._train_step

    def note(job, images, labels, pool):
        (group,) = job.optimizer.param_groups
        rates.append(group["lr"])
        return step(job, images, labels, pool)

    monkeypatch.setattr(trainer, "_train_step", note)
    recipe = tiny(f"schedule={{name='one-cycle', warmup={warmup}}}")
    records = list(train(DIGITS, recipe, tmp_path / "run"))
    assert [record.learning_rate for record in records] == [rates[0], rates[5]]
    assert len(rates) == 10
    assert (rates[0], rates[-1]) == (pytest.approx(0.01 * first), pytest.approx(0.01 * last))
    steps = np.diff(rates[2:])
    np.testing.assert_allclose(steps, -0.001 / (1 - warmup))


@pytest.mark.usefixtures("without_export")
def test_label_smoothing_changes_the_weights_and_not_what_is_recorded(tmp_path):
    """The first step finds the same network, so the only epoch of one step records the same loss."""
    settings = ("batch_size=160", "epochs=1")
    (plain,) = train(DIGITS, tiny(*settings), tmp_path / "plain")
    (smoothed,) = train(DIGITS, tiny(*settings, "label_smoothing=0.2"), tmp_path / "smoothed")
    assert smoothed.loss == plain.loss
    assert smoothed.validation_loss != plain.validation_loss
    assert weights_of(tmp_path / "smoothed") != weights_of(tmp_path / "plain")


@pytest.mark.usefixtures("without_export")
def test_a_rate_that_is_all_but_zero_changes_all_but_nothing(tmp_path):
    """The schedule's rate is the one that is applied: with 1e-30 the loss stays where it began."""
    recipe = tiny("optimizer.learning_rate=1e-30", 'network=["dense 10"]')
    first, second = train(DIGITS, recipe, tmp_path / "run")
    assert second.validation_loss == first.validation_loss


@pytest.mark.usefixtures("without_export")
def test_every_step_is_reported(tmp_path):
    steps: list[Progress] = []
    for _ in train(DIGITS, tiny(), tmp_path / "run", on_step=steps.append):
        pass
    assert [(step.epoch, step.images) for step in steps] == [
        (epoch, images) for epoch in (1, 2) for images in (32, 64, 96, 128, 160)
    ]
    assert {(step.epochs, step.total) for step in steps} == {(2, 160)}
    assert all(step.loss > 0 and step.images_per_second > 0 for step in steps)


@pytest.mark.usefixtures("without_export")
def test_a_record_is_the_mean_over_the_images_of_its_epoch(tmp_path, monkeypatch):
    """Batches of 50, 50, 50 and 10 images: a mean of their means would be another number."""
    steps: list[tuple[int, float, int]] = []
    step = trainer._train_step

    def note(job, images, labels, pool):
        loss, right = step(job, images, labels, pool)
        steps.append((len(images), loss, right))
        return loss, right

    monkeypatch.setattr(trainer, "_train_step", note)
    records = list(train(DIGITS, tiny("batch_size=50"), tmp_path / "run"))
    assert [images for images, _, _ in steps] == [50, 50, 50, 10] * 2
    for record, of_epoch in zip(records, (steps[:4], steps[4:]), strict=True):
        assert record.loss == pytest.approx(sum(images * loss for images, loss, _ in of_epoch) / 160)
        assert record.accuracy == sum(right for _, _, right in of_epoch) / 160


@pytest.mark.usefixtures("without_export")
def test_dropout_works_in_every_epoch(tmp_path, monkeypatch):
    modes: list[bool] = []
    step = trainer._train_step

    def note(job, images, labels, pool):
        modes.append(job.network.training)
        return step(job, images, labels, pool)

    monkeypatch.setattr(trainer, "_train_step", note)
    list(train(DIGITS, tiny(), tmp_path / "run"))
    assert modes == [True] * 10


@pytest.mark.usefixtures("without_export")
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
        start = build_network(recipe).state_dict()
    pixels = DIGITS.images.reshape(200, 784) / 255.0
    logits = pixels @ start["dense1.weight"].numpy().T.astype(float)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    wanted = np.eye(10)[DIGITS.labels]
    targets = (1 - smoothing) * wanted + smoothing / 10
    gradient = (probabilities - targets).T @ pixels / 200
    expected = start["dense1.weight"].numpy() - 0.01 * gradient / (np.sqrt(0.1 * gradient**2) + 1e-3)
    found = load_file(tmp_path / "run/model.safetensors")["dense1.weight"]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert record.loss == pytest.approx(-np.log(probabilities[wanted == 1]).mean(), abs=1e-5)


def test_without_validation_all_images_are_trained_on(tmp_path):
    (record,) = train(DIGITS, tiny("split.validation=0", "epochs=1"), tmp_path / "run")
    assert (record.validation_loss, record.validation_accuracy, record.validation_errors) == (None,) * 3
    assert read_validation_rows(tmp_path / "run").shape == (0,)
    (row,) = history_without_times(tmp_path / "run")
    assert [row[f"validation_{name}"] for name in ("loss", "accuracy", "errors")] == ["", "", ""]
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics["validation"] is None
    assert metrics["training_images"] == 200


@pytest.mark.usefixtures("without_export")
def test_one_image_of_each_digit_is_enough_without_validation(tmp_path):
    recipe = tiny("split.validation=0", "epochs=1", "batch_size=10")
    assert len(list(train(make_digits(10), recipe, tmp_path / "run"))) == 1


@pytest.mark.usefixtures("without_export")
@pytest.mark.parametrize("count", [64, 65, 66])
def test_batch_normalisation_copes_with_what_is_left_over(count, tmp_path):
    """65 images make batches of 32 and 33: of one image alone there is nothing to normalise."""
    sizes: list[int] = []
    recipe = tiny(
        "split.validation=0", "epochs=1", 'network=["maxpool 4", "dense 8", "batchnorm", "dense 10"]'
    )
    for _ in train(
        make_digits(count), recipe, tmp_path / "run", on_step=lambda step: sizes.append(step.images)
    ):
        pass
    assert sizes == {64: [32, 64], 65: [32, 65], 66: [32, 64, 66]}[count]


def test_a_batch_of_one_image_cannot_be_normalised():
    with pytest.raises(DigitsError, match=r"^tiny.toml: batch normalisation needs a batch of two images"):
        tiny("batch_size=1", 'network=["maxpool 4", "dense 8", "batchnorm", "dense 10"]')


@pytest.mark.usefixtures("without_export")
def test_a_batch_may_be_one_image_where_nothing_is_normalised(tmp_path):
    recipe = tiny("batch_size=1", "epochs=1", 'network=["dense 10"]')
    assert len(list(train(make_digits(50), recipe, tmp_path / "run"))) == 1


@pytest.mark.usefixtures("without_export")
def test_lowered_precision_trains_as_well(tmp_path):
    *_, last = train(DIGITS, tiny("precision=bfloat16", "epochs=5"), tmp_path / "run")
    assert last.validation_accuracy > 0.95


def test_automatic_precision_is_written_down_as_what_it_became(tmp_path):
    train(DIGITS, tiny("precision=auto"), tmp_path / "run")
    chosen = asdict(load_recipe(tmp_path / "run/recipe.toml").precision)
    described = json.loads((tmp_path / "run/environment.json").read_text())["arithmetic"]
    assert set(chosen.values()) <= {"float32", "bfloat16"}
    assert {kind: entry["precision"] for kind, entry in described.items()} == chosen
    assert all(entry["reason"] == "measured" and entry["float32_ms"] > 0 for entry in described.values())


def test_a_recipe_may_be_given_by_name_or_file(tmp_path):
    (tmp_path / "mine.toml").write_text(TINY)
    train(DIGITS, "plain", tmp_path / "by_name")
    train(DIGITS, str(tmp_path / "mine.toml"), tmp_path / "by_file")
    assert load_recipe(tmp_path / "by_name/recipe.toml").name == "plain"
    assert load_recipe(tmp_path / "by_file/recipe.toml").name == "tiny"


def test_without_a_folder_a_run_lands_below_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(DIGITS, tiny())
    train(DIGITS, tiny())
    first, second = sorted((tmp_path / "runs").iterdir())
    assert first.name.endswith("-tiny")
    assert second.name > first.name


def test_a_run_may_be_written_into_a_folder_that_is_empty(tmp_path):
    (tmp_path / "run").mkdir()
    train(DIGITS, tiny(), tmp_path / "run")
    assert "recipe.toml" in files_in(tmp_path / "run")


def test_digits_without_labels_are_refused(tmp_path):
    message = refusal(tmp_path, Digits(DIGITS.images))
    assert message == "the digits have no labels: training needs one for each image"


def test_a_digit_without_an_image_is_named(tmp_path):
    message = refusal(tmp_path, DIGITS[DIGITS.labels != 4])
    assert message.startswith("digit 4 has no image: training needs at least 2 of each")


def test_a_digit_with_one_image_is_named(tmp_path):
    message = refusal(tmp_path, DIGITS[(DIGITS.labels != 4) | (np.arange(200) == 4)])
    assert message.startswith("digit 4 has only one image: training needs at least 2 of each")


def test_no_digits_at_all_are_refused(tmp_path):
    assert "digit 0 has no image" in refusal(tmp_path, DIGITS[:0])


def test_fewer_images_than_a_batch_are_refused_with_the_size_that_works(tmp_path):
    message = refusal(tmp_path, recipe=tiny("batch_size=161"))
    assert message.startswith("160 training images are fewer than a batch of 161")
    assert message.endswith("--set batch_size=160")


@pytest.mark.parametrize(("count", "fraction"), [(1_000, 0.1), (1_003, 0.2), (997, 0.33), (320, 0.5)])
def test_the_split_holds_the_same_fraction_of_each_digit_out(count, fraction):
    labels = np.random.default_rng(count).choice(10, count, p=np.arange(1, 11) / 55)
    digits = Digits(np.zeros((count, 28, 28), np.uint8), labels)
    parts = preparation.split_rows(digits, tiny(f"split.validation={fraction}"), seed=3)
    training, held_out = parts.training, parts.validation
    assert sorted([*training, *held_out]) == list(range(count))
    assert len(held_out) == np.ceil(fraction * count)
    expected = np.bincount(labels) * len(held_out) / count
    assert np.abs(np.bincount(labels[held_out]) - expected).max() < 1
    recipe = tiny(f"split.validation={fraction}")
    again, other = (preparation.split_rows(digits, recipe, seed) for seed in (3, 4))
    assert np.array_equal(again.validation, held_out)
    assert not np.array_equal(other.validation, held_out)


def test_images_too_few_for_the_split_are_refused(tmp_path):
    message = refusal(tmp_path, make_digits(40), tiny("batch_size=1"))
    assert message.startswith("40 images are too few to hold 20% of each digit out")


def test_a_negative_seed_is_refused(tmp_path):
    assert refusal(tmp_path, seed=-1) == "expected a seed of at least 0, got -1"


def test_a_seed_may_be_large(tmp_path):
    train(DIGITS, tiny(), tmp_path / "run", seed=2**70)
    assert read_environment(tmp_path / "run")["seed"] == 2**70


@pytest.mark.parametrize("device", ["banana", "cuda:99", "meta"])
def test_a_device_that_cannot_compute_is_named(device, tmp_path):
    message = refusal(tmp_path, device=device)
    assert "device" in message
    assert repr(device) in message


def test_a_network_that_does_not_fit_leaves_no_folder(tmp_path):
    assert "network line 1" in refusal(tmp_path, recipe=tiny('network=["conv 4 29x29", "dense 10"]'))


def test_a_folder_that_holds_something_is_left_as_it_is(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/notes.txt").write_text("mine")
    with pytest.raises(DigitsError, match="is there already: choose another folder"):
        train(DIGITS, tiny(), tmp_path / "run")
    assert files_in(tmp_path) == ["run/notes.txt"]


def test_a_folder_that_is_a_file_is_left_as_it_is(tmp_path):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(DigitsError, match="is there already: choose another folder"):
        train(DIGITS, tiny(), tmp_path / "run")
    assert (tmp_path / "run").read_text() == "mine"


def test_a_folder_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DigitsError, match="cannot write the run folder"):
        train(DIGITS, tiny(), tmp_path / "file" / "run")


def test_a_second_training_into_one_folder_is_refused(tmp_path):
    records = train(DIGITS, tiny(), tmp_path / "run")
    with pytest.raises(DigitsError, match=r"is there already.*--resume"):
        train(DIGITS, tiny(), tmp_path / "run")
    next(records)
    records.close()


def test_a_folder_that_another_takes_meanwhile_is_left_to_it(tmp_path, monkeypatch):
    """Both look, both find nothing there; the first to finish its folder has it."""

    def overtaken(_target, _value):
        (tmp_path / "run").mkdir()
        (tmp_path / "run/environment.json").write_text("the other's")

    monkeypatch.setattr(preparation, "write_json", overtaken)
    with pytest.raises(DigitsError, match="cannot write the run folder"):
        train(DIGITS, tiny(), tmp_path / "run")
    assert files_in(tmp_path) == ["run/environment.json"]
    assert (tmp_path / "run/environment.json").read_text() == "the other's"


def test_a_loss_that_is_no_number_ends_the_run_with_advice(tmp_path):
    with pytest.raises(DigitsError, match=r"no longer a number in epoch 1.*optimizer\.learning_rate=1e\+29"):
        list(train(DIGITS, tiny("optimizer.learning_rate=1e30"), tmp_path / "run"))
    assert not (tmp_path / "run/model.onnx").exists()
    assert not (tmp_path / "run/metrics.json").exists()


def test_weights_that_are_no_numbers_after_the_last_step_are_not_made_a_model(tmp_path):
    """A single step: its own loss is fine, what it leaves behind is not."""
    recipe = tiny("optimizer.learning_rate=1e38", "batch_size=160", "epochs=1")
    with pytest.raises(DigitsError):
        list(train(DIGITS, recipe, tmp_path / "run"))
    assert not (tmp_path / "run/model.onnx").exists()
    assert not (tmp_path / "run/metrics.json").exists()


def test_a_stopped_run_is_not_finished(tmp_path):
    stop = Event()
    stop.set()
    assert list(train(DIGITS, tiny(), tmp_path / "run", stop=stop)) == []
    assert "model.onnx" not in files_in(tmp_path / "run")
    assert "checkpoint/state.safetensors" in files_in(tmp_path / "run")


def test_a_training_leaves_no_half_written_file(finished):
    assert not list(finished[0].parent.rglob("*.part"))


def test_a_run_that_diverges_behind_a_checkpoint_keeps_it(tmp_path, monkeypatch):
    stop = Event()
    stop.set()
    assert not list(train(DIGITS, tiny(), tmp_path / "run", stop=stop))
    monkeypatch.setattr(trainer, "_train_step", lambda *_: (float("nan"), 0))
    with pytest.raises(DigitsError, match="no longer a number in epoch 1"):
        list(trainer.resume(tmp_path / "run", DIGITS))
    assert (tmp_path / "run/checkpoint/state.safetensors").exists()
