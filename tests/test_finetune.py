"""Fine-tuning on corrections: what it learns, what it must not forget, and the metrics of both."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from digit_recognizer.corrections import CorrectionStore, load_corrections
from digit_recognizer.digits import Digits
from digit_recognizer.recipes.recipe import load_recipe, recipe_from_toml, recipe_to_toml
from digit_recognizer.recipes.schema import Corrections as Setting
from digit_recognizer.recipes.schema import Outliers
from digit_recognizer.recognition import Recognizer
from digit_recognizer.sources import load_digits
from digit_recognizer.training import fine_tuning, finetune, fit, resume, train, with_corrections
from digit_recognizer.training.finetune import INTERPOLATION_WEIGHTS
from digit_recognizer.training.splits import Fold
from helpers import (
    RUN_FILES,
    environment_of,
    files_in,
    make_digits,
    read_validation_rows,
    refusal,
    says,
    tensors_of,
    tiny,
)
from runs import metrics_of, run_to_the_end, train_until, weights_of

pytestmark = pytest.mark.usefixtures("one_thread", "without_export")

DIGITS = make_digits(400)
LEARNING = ("epochs=6", 'network=["maxpool 2", "dense 24 relu", "dense 10"]')
REAL = ("conv 8 5x5 stride 2 relu", "maxpool 2", "dense 48 relu", "dense 10")
ELEVEN = ("maxpool 2", "dense 24 relu", "dense 11")
FEW = Outliers(images=60)
MIRRORED = (2, 3, 7)  # digits that our user writes the other way round
QUICK = ("corrections.images=160",)


def mirrored(digits: Digits) -> Digits:
    chosen = digits[np.isin(digits.labels, MIRRORED)]
    return Digits(np.ascontiguousarray(chosen.images[:, :, ::-1]), chosen.labels)


def right(run: Path, digits: Digits) -> int:
    return int((Recognizer(run).predict(digits.images).labels == digits.labels).sum())


def fill(path: Path, digits: Digits, others=()) -> Path:
    store = CorrectionStore(path)
    for image, label in zip(digits.images, digits.labels, strict=True):
        store.add(image, int(label), None, "a run")
    for image in others:
        store.add(image, None, 1, "a run")
    return path


CORRECTED = mirrored(make_digits(67, seed=9))[:20]
BLOTS = np.random.default_rng(0).integers(0, 256, (6, 28, 28), np.uint8)


@pytest.fixture(scope="module")
def start(tmp_path_factory) -> Path:
    """A run to start from, on patterns of blocks."""
    folder = tmp_path_factory.mktemp("start") / "run"
    return run_to_the_end(folder, tiny(*LEARNING), DIGITS, seed=3, source="made")


@pytest.fixture
def file(tmp_path) -> Path:
    """Twenty corrections of patterns that are the other way round."""
    return fill(tmp_path / "corrections.sqlite", CORRECTED)


@pytest.fixture(scope="module")
def tuned(start, tmp_path_factory) -> Path:
    """A run fine-tuned on twenty corrections, in the file beside it."""
    folder = tmp_path_factory.mktemp("tuned")
    tune(start, fill(folder / "corrections.sqlite", CORRECTED), folder / "run")
    return folder / "run"


def tune(start: Path, file: Path, target: Path, *settings: str, **options) -> dict:
    run_to_the_end(target, fine_tuning(start, file, [*QUICK, *settings]), DIGITS, **options)
    return metrics_of(target)


# What it learns


@pytest.mark.usefixtures("with_export")
def test_handwriting_that_was_corrected_is_read_afterwards_and_nothing_is_forgotten(tmp_path):
    """On real digits: of mirrored ones 30 are corrected, and others are read."""
    digits, before, after = load_digits("bundled"), tmp_path / "before", tmp_path / "after"
    settings = ("epochs=8", "batch_size=64", "optimizer.learning_rate=0.005")
    run_to_the_end(before, tiny(*settings, network=REAL), digits)
    held_out = digits[read_validation_rows(before)]
    hand = mirrored(held_out)
    file = fill(tmp_path / "corrections.sqlite", hand[:30])
    run_to_the_end(after, fine_tuning(before, file, ["epochs=4"]), digits)
    others = hand[30:]
    assert right(after, others) - right(before, others) > len(others) / 5
    assert right(before, held_out) - right(after, held_out) <= 0.001 * len(held_out)
    unseen = metrics_of(after)["corrections"]["unseen"]["right"]
    assert abs(unseen / 30 - right(after, others) / len(others)) < 0.25


def test_the_metrics_give_the_gain_and_its_cost(start, tuned):
    assert "NaN" not in (tuned / "metrics.json").read_text("utf-8")
    metrics = metrics_of(tuned)
    said = metrics["corrections"]
    assert said["kept"] in INTERPOLATION_WEIGHTS
    learned = load_corrections(tuned.with_name("corrections.sqlite"))
    assert said["images"] == 20
    assert said["classes"] == learned.classes.tolist()
    for run, name in ((start, "before"), (tuned, "after")):
        answers = Recognizer(run).predict(learned.images).labels.tolist()
        assert said[name]["answers"] == answers
        assert said[name]["right"] == sum(a == b for a, b in zip(answers, said["classes"], strict=True))
    assert len(said["unseen"]["answers"]) == 20
    compared = said["validation"]
    before = metrics_of(start)["validation"]
    for name in before:
        assert compared["before"][name] == pytest.approx(before[name])
    assert compared["allowed"] == 0
    errors = metrics["validation"]["errors"]
    assert errors == before["errors"] - compared["newly_right"] + compared["newly_wrong"]


def test_each_correction_is_evaluated_by_a_network_that_had_not_seen_it(start, file, tmp_path, monkeypatch):
    """Each network learns every image except the fifth that it is evaluated on."""
    pools = []
    retrain = finetune._retrain

    def spy(state, data, stop):
        pools.append({image.tobytes() for image in data.corrections.images.numpy()})
        return retrain(state, data, stop)

    monkeypatch.setattr(finetune, "_retrain", spy)
    tune(start, file, tmp_path / "run")
    everything = {image.tobytes() for image in load_corrections(file).images}
    held_back = [everything - pool for pool in pools]
    assert [len(each) for each in held_back] == [4] * 5
    assert set().union(*held_back) == everything


@pytest.mark.usefixtures("with_export")
def test_without_a_run_to_start_from_they_are_mixed_in_from_first_weights(file, tmp_path):
    run_to_the_end(tmp_path / "run", with_corrections(tiny(*LEARNING), file), DIGITS)
    assert set(metrics_of(tmp_path / "run")["corrections"]) == {"images", "classes", "after"}
    run_to_the_end(tmp_path / "without", tiny(*LEARNING), DIGITS)
    hand = mirrored(make_digits(100, seed=4))
    assert right(tmp_path / "run", hand) > right(tmp_path / "without", hand)


def test_an_ensemble_is_fine_tuned_member_by_member(file, tmp_path):
    run_to_the_end(tmp_path / "two", tiny(*LEARNING, "members=2"), DIGITS)
    assert tune(tmp_path / "two", file, tmp_path / "run")["members"] == 2
    before, after = (weights_of(tmp_path / run) for run in ("two", "run"))
    assert before.keys() == after.keys()
    assert not [name for name in before if before[name] == after[name]]


# What it must not do


def test_what_the_run_held_out_stays_held_out(start, file, tmp_path, monkeypatch):
    seen = set()
    make_batch = fit.make_batch

    def spy(data, rows, recipe):
        seen.update(image.tobytes() for image in data.images[rows].numpy())
        return make_batch(data, rows, recipe)

    monkeypatch.setattr(fit, "make_batch", spy)
    tune(start, file, tmp_path / "run", seed=99)
    rows = read_validation_rows(start)
    np.testing.assert_array_equal(read_validation_rows(tmp_path / "run"), rows)
    assert seen
    assert not seen & {image.tobytes() for image in DIGITS.images[rows]}


@pytest.mark.parametrize("cost", ["0", "0.03"])
def test_no_more_is_kept_than_the_validation_images_allow(start, file, tmp_path, cost):
    """Steps that are far too large destroy a network: what is kept of them costs no more than allowed."""
    harsh = ("optimizer.learning_rate=1.0", f"corrections.cost={cost}")
    metrics = tune(start, file, tmp_path / "run", *harsh)
    said = metrics["corrections"]
    allowed = int(float(cost) * 80)
    assert said["kept"] < 1
    assert said["validation"]["allowed"] == allowed
    assert metrics["validation"]["errors"] - said["validation"]["before"]["errors"] <= allowed


def test_fewer_than_five_are_not_held_back_and_what_cannot_be_kept_is_not(start, tmp_path, monkeypatch):
    monkeypatch.setattr(finetune, "INTERPOLATION_WEIGHTS", (0.0,))
    said = tune(start, fill(tmp_path / "few.sqlite", CORRECTED[:4]), tmp_path / "run")["corrections"]
    assert (said["images"], said["unseen"], said["kept"]) == (4, None, 0)
    assert weights_of(start) == weights_of(tmp_path / "run")


def test_the_cost_is_unknown_where_the_run_held_nothing_out(file, tmp_path):
    run_to_the_end(tmp_path / "all", tiny(*LEARNING, "split.validation=0"), DIGITS)
    metrics = tune(tmp_path / "all", file, tmp_path / "run")
    assert metrics["validation"] is None
    assert metrics["corrections"]["validation"] is None
    assert metrics["corrections"]["kept"] == 1


# Non-digits


def test_what_is_held_out_or_no_digit_for_the_recipe_is_left_out(start, tmp_path):
    rows = read_validation_rows(start)[:3]
    file = fill(tmp_path / "some.sqlite", Digits(DIGITS.images[rows], (DIGITS.labels[rows] + 1) % 10))
    tune(start, fill(file, CORRECTED[:6], BLOTS), tmp_path / "run")
    said = environment_of(tmp_path / "run")["corrections"]
    assert (said["digits"], said["others"]) == (6, 0)
    assert said["left_out"] == {"no_digit": 6, "held_out": 3}


@pytest.mark.usefixtures("with_export")
def test_what_is_no_digit_is_learned_where_the_recipe_knows_outliers(tmp_path):
    run_to_the_end(tmp_path / "start", tiny("epochs=4", network=ELEVEN, outliers=FEW), DIGITS)
    file = fill(tmp_path / "some.sqlite", CORRECTED[:6], BLOTS)
    said = tune(tmp_path / "start", file, tmp_path / "run")["corrections"]
    assert said["classes"][-6:] == [None] * 6
    assert environment_of(tmp_path / "run")["corrections"]["others"] == 6
    is_digit = Recognizer(tmp_path / "run").predict(BLOTS).is_digit
    assert [answer is None for answer in said["after"]["answers"][-6:]] == (is_digit < 0.5).tolist()


# The run it leaves


def test_the_run_names_where_it_came_from_and_what_it_learned(start, tuned):
    file = tuned.with_name("corrections.sqlite")
    assert files_in(tuned) == sorted([*RUN_FILES, "corrections.npz"])
    said = environment_of(tuned)["corrections"]
    assert said["from"]["run"] == str(start.resolve())
    assert said["file"] == str(file)
    assert said["sha256"] == CorrectionStore(file).samples().sha256()
    np.testing.assert_array_equal(load_corrections(tuned / "corrections.npz").images, CORRECTED.images)


def test_the_same_again_is_the_same_to_the_bit_and_needs_the_users_file_no_more(start, tuned, file, tmp_path):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    tune(start, file, tmp_path / "again")
    assert torch.equal(torch.rand(3), expected)  # the caller's draws are left alone
    CorrectionStore(file).clear()
    run_to_the_end(tmp_path / "by recipe", tmp_path / "again/recipe.toml", DIGITS)
    for run in (tmp_path / "again", tmp_path / "by recipe"):
        for name in ("model.safetensors", "checkpoint/state.safetensors"):
            assert tensors_of(run / name) == tensors_of(tuned / name)
        assert metrics_of(run)["corrections"] == metrics_of(tuned)["corrections"]


def test_interrupted_anywhere_it_ends_the_same(start, tuned, file, tmp_path):
    recipe = fine_tuning(start, file, list(QUICK))
    folders = [train_until(step, tmp_path / f"after-{step}", recipe, DIGITS) for step in (1, 7, 15)]
    assert not list(tmp_path.glob("*/metrics.json"))
    CorrectionStore(file).clear()
    for folder in folders:
        for _ in resume(folder, DIGITS):
            pass
        assert weights_of(folder) == weights_of(tuned)
        assert metrics_of(folder)["corrections"] == metrics_of(tuned)["corrections"]


def test_a_fine_tuned_run_is_fine_tuned_further(tuned, file, tmp_path):
    tune(tuned, file, tmp_path / "two")
    recipe = load_recipe(tmp_path / "two/recipe.toml")
    assert recipe.name == "tiny-corrected"
    assert recipe.summary.count("fine-tuned") == 1
    assert recipe.start == str(tuned.resolve())


# The recipe


def test_the_recipe_is_the_runs_own_but_slower_and_shorter(start, file):
    old, new = load_recipe(start / "recipe.toml"), fine_tuning(start, file, [])
    assert (new.network, new.batch_size, new.members) == (old.network, old.batch_size, old.members)
    assert new.optimizer.learning_rate < old.optimizer.learning_rate
    assert new.epochs < old.epochs
    assert new.augmentation is not None
    assert new.corrections == Setting(str(file), run=str(start))
    assert recipe_from_toml(recipe_to_toml(new), "x") == new
    new = fine_tuning(start, file, ["epochs=9", "corrections.images=500"])
    assert (new.epochs, new.corrections.images) == (9, 500)


@pytest.mark.parametrize(
    ("setting", "facts"),
    [
        ("corrections.share=0", ["corrections.share", "greater than 0", "got 0"]),
        ("corrections.cost=-1", ["corrections.cost", "equal to 0", "got -1"]),
        ("corrections.size=3", ["corrections.size"]),
        ("teacher.run=a", ["teacher", "corrections.run", "both"]),
        (
            'networks=[["maxpool 2", "dense 24 relu", "dense 10"], ["dense 10"]]',
            ["network", "networks", "both"],
        ),
    ],
)
def test_a_setting_that_does_not_fit_is_refused(start, file, setting, facts):
    assert says(refusal(lambda: fine_tuning(start, file, [setting])), *facts)


# What is refused, before anything is written


@pytest.mark.parametrize(
    ("digits", "settings", "options", "facts"),
    [
        (make_digits(200), (), {}, ["other digits"]),
        (DIGITS, ('network=["dense 10"]',), {}, ["recipe", "network"]),
        (DIGITS, (), {"fold": Fold(1, 3)}, ["folds"]),
    ],
)
def test_a_training_that_does_not_fit_its_start_is_refused(
    digits, settings, options, facts, start, file, tmp_path
):
    recipe = fine_tuning(start, file, [*QUICK, *settings])
    assert says(refusal(lambda: train(digits, recipe, tmp_path / "run", **options)), start, *facts)
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_not_finished_is_refused(start, file, tmp_path):
    half = shutil.copytree(start, tmp_path / "half")
    (half / "metrics.json").unlink()
    message = refusal(lambda: train(DIGITS, fine_tuning(half, file, list(QUICK)), tmp_path / "run"))
    assert says(message, f"digits train --resume {half}")
    assert not (tmp_path / "run").exists()


def test_a_file_without_corrections_to_learn_from_is_refused(start, tmp_path):
    empty = CorrectionStore(tmp_path / "empty.sqlite").path
    blot = fill(tmp_path / "blot.sqlite", DIGITS[:0], np.zeros((1, 28, 28), np.uint8))
    for file, facts in ((empty, []), (blot, ["1 ", "0 "])):
        recipe = fine_tuning(start, file, list(QUICK))
        assert says(refusal(lambda recipe=recipe: train(DIGITS, recipe, tmp_path / "run")), file, *facts)
        assert not (tmp_path / "run").exists()
