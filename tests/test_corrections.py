"""Fine-tuning on corrections: what it learns, what it must not forget, and what it says of both."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from digit_recognizer.corrections import Corrections, load_corrections
from digit_recognizer.digits import Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.recipes.recipe import load_recipe, recipe_from_toml, recipe_to_toml
from digit_recognizer.recipes.schema import Corrections as Setting
from digit_recognizer.recipes.schema import Outliers
from digit_recognizer.recognition import Recognizer
from digit_recognizer.runs.run_folder import read_environment, read_json, read_validation_rows
from digit_recognizer.sources import load_digits
from digit_recognizer.training import fine_tuning, resume, train, trainer, with_corrections
from digit_recognizer.training.finetune import STEPS_BACK
from digit_recognizer.training.splits import Fold
from helpers import RUN_FILES, files_in, follow_until, make_digits, tensors_of, tiny

pytestmark = pytest.mark.usefixtures("one_thread")

DIGITS = make_digits(400)
LEARNING = ("epochs=6", 'network=["maxpool 2", "dense 24 relu", "dense 10"]')
REAL = ("conv 8 3x3 relu", "maxpool 2", "conv 16 3x3 relu", "maxpool 2", "dense 32 relu", "dense 10")
ELEVEN = ("maxpool 2", "dense 24 relu", "dense 11")
FEW = Outliers(images=60, lines=10)
MIRRORED = (2, 3, 7)  # digits that our user writes the other way round
QUICK = ("corrections.images=160",)


def follow(records) -> None:
    for _ in records:
        pass


def mirrored(digits: Digits) -> Digits:
    chosen = digits[np.isin(digits.labels, MIRRORED)]
    return Digits(np.ascontiguousarray(chosen.images[:, :, ::-1]), chosen.labels)


def right(run: Path, digits: Digits) -> int:
    return int((Recognizer(run).predict(digits.images).labels == digits.labels).sum())


def fill(path: Path, digits: Digits, others=()) -> Path:
    store = Corrections(path)
    for image, label in zip(digits.images, digits.labels, strict=True):
        store.add(image, int(label), None, "a run")
    for image in others:
        store.add(image, None, 1, "a run")
    return path


@pytest.fixture(scope="module")
def start(tmp_path_factory) -> Path:
    """A run to start from, on patterns of blocks."""
    folder = tmp_path_factory.mktemp("start") / "run"
    follow(train(DIGITS, tiny(*LEARNING), folder, seed=3, source="made"))
    return folder


@pytest.fixture
def file(tmp_path) -> Path:
    """Twenty corrections of patterns that are the other way round."""
    return fill(tmp_path / "corrections.sqlite", mirrored(make_digits(67, seed=9))[:20])


def tune(start: Path, file: Path, target: Path, *settings: str, **options) -> dict:
    recipe = fine_tuning(start, file, [*QUICK, *settings])
    follow(train(DIGITS, recipe, target, **options))
    return read_json(target / "metrics.json")


# What it learns


def test_handwriting_that_was_corrected_is_read_afterwards_and_nothing_is_forgotten(tmp_path):
    """On real digits: of mirrored ones 30 are corrected, and others are read."""
    digits = load_digits("bundled")
    follow(
        train(digits, tiny("epochs=8", "optimizer.learning_rate=0.003", network=REAL), tmp_path / "before")
    )
    held_out = digits[read_validation_rows(tmp_path / "before")]
    hand = mirrored(held_out)
    file = fill(tmp_path / "corrections.sqlite", hand[:30])
    follow(train(digits, fine_tuning(tmp_path / "before", file, ["epochs=4"]), tmp_path / "after"))
    others = hand[30:]
    gained = right(tmp_path / "after", others) - right(tmp_path / "before", others)
    assert gained > len(others) / 5
    lost = right(tmp_path / "before", held_out) - right(tmp_path / "after", held_out)
    assert lost <= 0.001 * len(held_out)
    unseen = read_json(tmp_path / "after/metrics.json")["corrections"]["unseen"]["right"]
    assert abs(unseen / 30 - right(tmp_path / "after", others) / len(others)) < 0.25


def test_the_metrics_say_what_was_gained_and_what_it_cost(start, file, tmp_path):
    metrics = tune(start, file, tmp_path / "run")
    said = metrics["corrections"]
    learned = load_corrections(file)
    assert said["images"] == 20
    assert said["classes"] == learned.classes.tolist()
    for run, name in ((start, "before"), (tmp_path / "run", "after")):
        answers = Recognizer(run).predict(learned.images).labels.tolist()
        assert said[name]["answers"] == answers
        assert said[name]["right"] == sum(a == b for a, b in zip(answers, said["classes"], strict=True))
    assert len(said["unseen"]["answers"]) == 20
    compared = said["validation"]
    before = read_json(start / "metrics.json")["validation"]
    for name in before:
        assert compared["before"][name] == pytest.approx(before[name])
    assert compared["allowed"] == 0
    errors = metrics["validation"]["errors"]
    assert errors == before["errors"] - compared["newly_right"] + compared["newly_wrong"]


def test_each_is_judged_by_a_network_that_had_not_seen_it(start, file, tmp_path, monkeypatch):
    """The networks learn every image but the fifth that they are judged by."""
    pools, judged = [], []
    quietly = trainer._train_quietly

    def spy(*arguments):
        pools.append({image.tobytes() for image in arguments[-1].images.numpy()})
        return quietly(*arguments)

    monkeypatch.setattr(trainer, "_train_quietly", spy)
    tune(start, file, tmp_path / "run")
    everything = {image.tobytes() for image in load_corrections(file).images}
    judged = [everything - pool for pool in pools]
    assert [len(each) for each in judged] == [4] * 5
    assert set().union(*judged) == everything


def test_fewer_than_five_are_learned_from_but_not_held_back(start, tmp_path):
    file = fill(tmp_path / "few.sqlite", mirrored(make_digits(20))[:4])
    said = tune(start, file, tmp_path / "run")["corrections"]
    assert said["images"] == 4
    assert said["unseen"] is None


def test_without_a_run_to_start_from_they_are_mixed_in_from_first_weights(file, tmp_path):
    recipe = with_corrections(tiny(*LEARNING), file)
    follow(train(DIGITS, recipe, tmp_path / "run"))
    said = read_json(tmp_path / "run/metrics.json")["corrections"]
    assert set(said) == {"images", "classes", "after"}
    follow(train(DIGITS, tiny(*LEARNING), tmp_path / "without"))
    hand = mirrored(make_digits(100, seed=4))
    assert right(tmp_path / "run", hand) > right(tmp_path / "without", hand)


def test_an_ensemble_is_fine_tuned_member_by_member(file, tmp_path):
    follow(train(DIGITS, tiny(*LEARNING, "members=2"), tmp_path / "two"))
    metrics = tune(tmp_path / "two", file, tmp_path / "run")
    assert metrics["members"] == 2
    before, after = (tensors_of(tmp_path / run / "model.safetensors") for run in ("two", "run"))
    assert before.keys() == after.keys()
    assert not [name for name in before if before[name] == after[name]]


# What it must not do


def test_what_the_run_held_out_stays_held_out(start, file, tmp_path, monkeypatch):
    seen = set()
    prepare = trainer.prepare

    def spy(images, *arguments):
        seen.update(image.tobytes() for image in images.numpy())
        return prepare(images, *arguments)

    monkeypatch.setattr(trainer, "prepare", spy)
    tune(start, file, tmp_path / "run", seed=99)
    rows = read_validation_rows(start)
    np.testing.assert_array_equal(read_validation_rows(tmp_path / "run"), rows)
    assert seen
    assert not seen & {image.tobytes() for image in DIGITS.images[rows]}


def test_a_corrected_image_that_is_held_out_is_left_out(start, tmp_path):
    rows = read_validation_rows(start)[:3]
    file = fill(tmp_path / "some.sqlite", Digits(DIGITS.images[rows], (DIGITS.labels[rows] + 1) % 10))
    fill(file, mirrored(make_digits(20)))
    tune(start, file, tmp_path / "run")
    said = read_environment(tmp_path / "run")["corrections"]
    assert said["left_out"] == {"no_digit": 0, "held_out": 3}
    assert said["digits"] == 6


@pytest.mark.parametrize("cost", ["0", "0.03"])
def test_it_goes_back_as_far_as_the_validation_images_ask_for(start, file, tmp_path, cost):
    """Steps that are far too large destroy a network: what is kept of them costs no more than allowed."""
    harsh = ("optimizer.learning_rate=1.0", f"corrections.cost={cost}")
    metrics = tune(start, file, tmp_path / "run", *harsh)
    said = metrics["corrections"]
    allowed = int(float(cost) * 80)
    assert said["kept"] < 1
    assert said["validation"]["allowed"] == allowed
    assert metrics["validation"]["errors"] - said["validation"]["before"]["errors"] <= allowed


def test_where_nothing_can_be_kept_the_weights_are_those_it_started_from(start, tmp_path, monkeypatch):
    monkeypatch.setattr("digit_recognizer.training.finetune.STEPS_BACK", (0.0,))
    file = fill(tmp_path / "few.sqlite", mirrored(make_digits(20)))
    assert tune(start, file, tmp_path / "run")["corrections"]["kept"] == 0
    before, after = (tensors_of(run / "model.safetensors") for run in (start, tmp_path / "run"))
    assert before == after


def test_nothing_can_be_said_of_the_cost_where_the_run_held_nothing_out(file, tmp_path):
    follow(train(DIGITS, tiny(*LEARNING, "split.validation=0"), tmp_path / "all"))
    metrics = tune(tmp_path / "all", file, tmp_path / "run")
    assert metrics["validation"] is None
    assert metrics["corrections"]["validation"] is None
    assert metrics["corrections"]["kept"] == 1


# No digit


def test_what_is_no_digit_is_left_out_where_the_recipe_knows_no_such_class(start, tmp_path):
    blots = np.random.default_rng(0).integers(0, 256, (6, 28, 28), np.uint8)
    file = fill(tmp_path / "some.sqlite", mirrored(make_digits(20)), blots)
    tune(start, file, tmp_path / "run")
    said = read_environment(tmp_path / "run")["corrections"]
    assert (said["digits"], said["others"]) == (6, 0)
    assert said["left_out"] == {"no_digit": 6, "held_out": 0}


def test_what_is_no_digit_is_learned_where_the_recipe_knows_outliers(tmp_path):
    recipe = tiny("epochs=4", network=ELEVEN, outliers=FEW)
    follow(train(DIGITS, recipe, tmp_path / "start"))
    blots = np.random.default_rng(0).integers(0, 256, (6, 28, 28), np.uint8)
    file = fill(tmp_path / "some.sqlite", mirrored(make_digits(20)), blots)
    metrics = tune(tmp_path / "start", file, tmp_path / "run")
    said = metrics["corrections"]
    assert said["classes"][-6:] == [None] * 6
    assert read_environment(tmp_path / "run")["corrections"]["others"] == 6
    is_digit = Recognizer(tmp_path / "run").predict(blots).is_digit
    assert [answer is None for answer in said["after"]["answers"][-6:]] == (is_digit < 0.5).tolist()


# The run it leaves


def test_the_run_names_where_it_came_from_and_what_it_learned(start, file, tmp_path):
    tune(start, file, tmp_path / "run")
    assert files_in(tmp_path / "run") == sorted([*RUN_FILES, "corrections.npz"])
    said = read_environment(tmp_path / "run")["corrections"]
    assert said["from"]["run"] == str(start.resolve())
    assert said["file"] == str(file)
    assert said["sha256"] == Corrections(file).samples().sha256()
    kept = load_corrections(tmp_path / "run/corrections.npz")
    np.testing.assert_array_equal(kept.images, load_corrections(file).images)


def test_the_same_again_is_the_same_to_the_bit(start, file, tmp_path):
    for name in ("one", "two"):
        tune(start, file, tmp_path / name)
    for name in ("model.safetensors", "checkpoint/state.safetensors"):
        assert tensors_of(tmp_path / "one" / name) == tensors_of(tmp_path / "two" / name)
    one, two = (read_json(tmp_path / name / "metrics.json") for name in ("one", "two"))
    assert one["corrections"] == two["corrections"]


def test_its_recipe_runs_again_and_needs_the_users_file_no_more(start, file, tmp_path):
    tune(start, file, tmp_path / "one")
    Corrections(file).clear()
    follow(train(DIGITS, tmp_path / "one/recipe.toml", tmp_path / "two"))
    one, two = (tensors_of(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert one == two


@pytest.mark.parametrize("step", [1, 7, 15])
def test_interrupted_anywhere_it_ends_the_same(start, file, tmp_path, step):
    tune(start, file, tmp_path / "whole")
    recipe = fine_tuning(start, file, list(QUICK))
    folder = tmp_path / "interrupted"
    follow_until(step, lambda **options: train(DIGITS, recipe, folder, **options))
    assert not (folder / "metrics.json").exists()
    Corrections(file).clear()
    follow(resume(folder, DIGITS))
    assert tensors_of(folder / "model.safetensors") == tensors_of(tmp_path / "whole/model.safetensors")
    one, two = (read_json(run / "metrics.json") for run in (folder, tmp_path / "whole"))
    assert one["corrections"] == two["corrections"]


def test_a_fine_tuned_run_is_fine_tuned_further(start, file, tmp_path):
    tune(start, file, tmp_path / "one")
    tune(tmp_path / "one", file, tmp_path / "two")
    recipe = load_recipe(tmp_path / "two/recipe.toml")
    assert recipe.name == "tiny-corrected"
    assert recipe.summary.count("fine-tuned") == 1
    assert recipe.start == str((tmp_path / "one").resolve())


# The recipe


def test_the_recipe_is_the_runs_own_but_slower_and_shorter(start, file):
    old, new = load_recipe(start / "recipe.toml"), fine_tuning(start, file, [])
    assert (new.network, new.batch_size, new.members) == (old.network, old.batch_size, old.members)
    assert new.optimizer.learning_rate < old.optimizer.learning_rate
    assert new.epochs < old.epochs
    assert new.augmentation is not None
    assert new.corrections == Setting(str(file), run=str(start))
    assert recipe_from_toml(recipe_to_toml(new), "x") == new


def test_settings_change_it(start, file):
    new = fine_tuning(start, file, ["epochs=9", "corrections.images=500"])
    assert (new.epochs, new.corrections.images) == (9, 500)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("corrections.share=0", "corrections.share: input should be greater than 0, got 0"),
        ("corrections.cost=-1", "corrections.cost: input should be greater than or equal to 0, got -1"),
        ("corrections.size=3", "there is no key 'corrections.size'"),
        ("teacher.run=a", "expected a teacher or corrections.run, got both"),
    ],
)
def test_a_setting_out_of_range_is_said(start, file, setting, sentence):
    with pytest.raises(DigitsError, match=sentence):
        fine_tuning(start, file, [setting])


# What cannot be done is said, and leaves nothing behind


def refuse(sentence: str, start: Path, file: Path, target: Path, *settings: str, digits=DIGITS, **options):
    with pytest.raises(DigitsError, match=sentence):
        follow(train(digits, fine_tuning(start, file, [*QUICK, *settings]), target, **options))
    assert not target.exists()


def test_other_digits_than_the_runs_are_refused(start, file, tmp_path):
    refuse("was trained on other digits", start, file, tmp_path / "run", digits=make_digits(200))


def test_another_network_than_the_runs_is_refused(start, file, tmp_path):
    network = 'network=["dense 10"]'
    refuse("its network is another", start, file, tmp_path / "run", network)


def test_network_and_networks_at_once_are_refused(start, file):
    networks = 'networks=[["maxpool 2", "dense 24 relu", "dense 10"], ["dense 10"]]'
    with pytest.raises(DigitsError, match="got both"):
        fine_tuning(start, file, [networks])


def test_a_run_that_is_not_finished_is_refused(start, file, tmp_path):
    half = shutil.copytree(start, tmp_path / "half")
    (half / "metrics.json").unlink()
    refuse("is not finished", half, file, tmp_path / "run")


def test_folds_are_refused(start, file, tmp_path):
    refuse("no folds can be held out", start, file, tmp_path / "run", fold=Fold(1, 3))


def test_a_file_without_corrections_is_refused(start, tmp_path):
    empty = Corrections(tmp_path / "empty.sqlite").path
    refuse("holds no corrections to learn from$", start, empty, tmp_path / "run")
    blot = fill(tmp_path / "blot.sqlite", DIGITS[:0], np.zeros((1, 28, 28), np.uint8))
    refuse("1 are no digit, 0 are images", start, blot, tmp_path / "run")


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04 nonsense"])
def test_damaged_corrections_of_a_run_are_said(start, file, tmp_path, content):
    recipe = fine_tuning(start, file, list(QUICK))
    follow_until(2, lambda **options: train(DIGITS, recipe, tmp_path / "run", **options))
    (tmp_path / "run/corrections.npz").write_bytes(content)
    with pytest.raises(DigitsError, match=r"corrections\.npz is damaged"):
        resume(tmp_path / "run", DIGITS)


def test_torch_draws_for_the_caller_as_if_nothing_had_happened(start, file, tmp_path):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    tune(start, file, tmp_path / "run")
    assert torch.equal(torch.rand(3), expected)


def test_the_metrics_are_json_that_others_read(start, file, tmp_path):
    tune(start, file, tmp_path / "run")
    text = (tmp_path / "run/metrics.json").read_text("utf-8")
    assert "NaN" not in text
    assert json.loads(text)["corrections"]["kept"] in STEPS_BACK
