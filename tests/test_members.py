"""Ensembles: members that are trained one after the other, averaged, interrupted and gone on with."""

from __future__ import annotations

import json
import os
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from digit_recognizer.errors import DigitsError
from digit_recognizer.networks.build import build_network
from digit_recognizer.networks.predictor import Predictor, combine_members
from digit_recognizer.recipes.schema import Shifts
from digit_recognizer.recognition import Recognizer
from digit_recognizer.runs.history import read_history
from digit_recognizer.runs.run_folder import read_validation_rows
from digit_recognizer.training import resume, train, trainer
from helpers import RUN_FILES, assert_same_run, files_in, follow_until, make_digits, tensors_of, tiny

pytestmark = pytest.mark.usefixtures("one_thread")

DIGITS = make_digits()
STEPS = 4  # an epoch: 160 images, 40 a batch
EPOCHS = 2
SETTINGS = (
    "batch_size=40",
    f"epochs={EPOCHS}",
    "augmentation={rotation=10, zoom=0.1, shift=0.1, shear=0.1}",
    "optimizer={name='muon', learning_rate=0.05}",
    "schedule={name='one-cycle', warmup=0.2}",
    "label_smoothing=0.1",
    "shifts={pixels=1, unsure_below=0.8}",
)  # all that is new with members
NETWORKS = (
    ("conv 4 3x3 same relu", "maxpool 4", "batchnorm", "dense 10"),
    ("dropout 0.2", "dense 8 silu", "dense 10"),
)
MEMBERS = 3  # of which the first and the last have the first network


def ensemble(*settings: str, members: int = MEMBERS):
    return tiny(*SETTINGS, *settings, network=(), networks=NETWORKS, members=members)


def run_to_the_end(folder: Path, recipe, seed: int = 5) -> Path:
    for _ in train(DIGITS, recipe, folder, seed=seed):
        pass
    return folder


def train_until(step: int, folder: Path, recipe) -> None:
    """Train from the beginning and stop behind a step, counted from 1 over all members."""
    follow_until(step, lambda **options: train(DIGITS, recipe, folder, seed=5, **options))


def resume_to_the_end(folder: Path) -> None:
    for _ in resume(folder, DIGITS):
        pass


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """An ensemble that was never interrupted."""
    return run_to_the_end(tmp_path_factory.mktemp("runs") / "whole", ensemble())


# What members are


def test_members_are_trained_one_after_the_other_with_all_epochs_each(whole):
    history = read_history(whole / "history.csv")
    assert [(each.member, each.epoch) for each in history] == [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2)]
    rates = [each.learning_rate for each in history]
    assert rates[:2] == rates[2:4] == rates[4:]  # the cycle begins anew
    metrics = json.loads((whole / "metrics.json").read_text())
    assert (metrics["members"], metrics["epochs"]) == (3, 6)
    assert metrics["seconds"] == pytest.approx(sum(each.seconds for each in history))


def member_of(folder: Path, number: int) -> torch.nn.Module:
    """Return one network of an ensemble, from the weights that its run left."""
    network = build_network(ensemble(), number)
    prefix = f"members.{number}."
    state = {
        name.removeprefix(prefix): value
        for name, value in load_file(folder / "model.safetensors").items()
        if name.startswith(prefix)
    }
    network.load_state_dict(state)
    return network.eval()


def test_a_model_says_the_mean_of_what_its_members_say(tmp_path):
    recipe = tiny("members=2", "epochs=1")
    run_to_the_end(tmp_path / "run", recipe)
    weights = load_file(tmp_path / "run/model.safetensors")
    said = []
    for number in ("1", "2"):
        network = build_network(recipe).eval()
        prefix = f"members.{number}."
        own = {name: value for name, value in weights.items() if name.startswith(prefix)}
        network.load_state_dict({name.removeprefix(prefix): value for name, value in own.items()})
        with torch.inference_mode():
            said.append(Predictor(network)(torch.from_numpy(DIGITS.images)).numpy())
    found = Recognizer(tmp_path / "run").predict(DIGITS.images).probabilities
    np.testing.assert_allclose(found, (said[0] + said[1]) / 2, atol=1e-5)
    assert np.abs(said[0] - said[1]).max() > 0.01


def test_a_model_with_shifts_is_the_predictor_of_its_members(whole):
    predictor = Predictor(combine_members([member_of(whole, number) for number in (1, 2, 3)]), Shifts(1, 0.8))
    with torch.inference_mode():
        expected = predictor(torch.from_numpy(DIGITS.images)).numpy()
    found = Recognizer(whole).predict(DIGITS.images).probabilities
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_first_member_is_the_network_that_would_be_trained_alone(whole, tmp_path):
    run_to_the_end(tmp_path / "alone", ensemble(members=1))
    alone, members = (tensors_of(run / "model.safetensors") for run in (tmp_path / "alone", whole))
    assert {f"members.1.{name}": value for name, value in alone.items()}.items() <= members.items()


def test_no_two_members_begin_or_are_shown_the_images_alike(tmp_path, monkeypatch):
    met: list[tuple[int, bytes, bytes, int]] = []
    step = trainer._train_step

    def note(job, images, labels, pool):
        weights = next(job.network.parameters()).detach().numpy().tobytes()
        if job.position.step == 0:
            met.append((job.position.member, weights, labels.numpy().tobytes(), torch.initial_seed()))
        return step(job, images, labels, pool)

    monkeypatch.setattr(trainer, "_train_step", note)
    run_to_the_end(tmp_path / "run", tiny("members=3", "epochs=1"))
    members, weights, labels, draws = zip(*met, strict=True)
    assert members == (1, 2, 3)
    assert len(set(weights)) == len(set(labels)) == len(set(draws)) == 3


def test_another_seed_gives_other_members(whole, tmp_path):
    run_to_the_end(tmp_path / "run", ensemble(), seed=6)
    mine, theirs = (tensors_of(run / "model.safetensors") for run in (tmp_path / "run", whole))
    assert not set(mine.items()) & {item for item in theirs.items() if item[0].endswith("weight")}


def test_metrics_are_of_all_members_together(whole):
    """The records are of each network alone, and without shifts."""
    metrics = json.loads((whole / "metrics.json").read_text())["validation"]
    rows = read_validation_rows(whole)
    probabilities = Recognizer(whole).predict(DIGITS.images[rows]).probabilities
    labels = DIGITS.labels[rows]
    assert metrics["errors"] == (probabilities.argmax(axis=1) != labels).sum()
    expected = -np.log(probabilities[np.arange(len(rows)), labels]).mean()
    assert metrics["loss"] == pytest.approx(expected, abs=1e-4)
    assert metrics["loss"] != pytest.approx(read_history(whole / "history.csv")[-1].validation_loss, abs=1e-4)


def test_a_step_is_counted_over_the_epochs_of_all_members(tmp_path):
    seen = []
    for _ in train(DIGITS, tiny("members=2", "epochs=1"), tmp_path / "run", on_step=seen.append):
        pass
    assert [each.epoch for each in seen] == [1] * 5 + [2] * 5
    assert {each.epochs for each in seen} == {2}


def test_early_stopping_ends_one_member_and_the_next_begins(tmp_path):
    recipe = tiny("members=2", "epochs=50", "stopping={monitor='loss', patience=1, min_delta=100.0}")
    records = list(train(DIGITS, recipe, tmp_path / "run"))
    assert [(each.member, each.epoch) for each in records] == [(1, 1), (1, 2), (2, 1), (2, 2)]


# Interruptions


@pytest.mark.parametrize("step", [1, STEPS, 7, 8, 9, 16, 17, 23, 24])  # a member takes eight
def test_an_ensemble_stopped_once_leaves_the_same_model(step, tmp_path, whole):
    train_until(step, tmp_path / "run", ensemble())
    assert not (tmp_path / "run/metrics.json").exists()
    resume_to_the_end(tmp_path / "run")
    assert_same_run(tmp_path / "run", whole)


def test_an_ensemble_stopped_behind_every_step_leaves_the_same_model(tmp_path, whole):
    train_until(1, tmp_path / "run", ensemble())
    for _ in range(MEMBERS * EPOCHS * STEPS - 1):
        follow_until(1, lambda **options: resume(tmp_path / "run", DIGITS, **options))
    assert not (tmp_path / "run/metrics.json").exists()
    resume_to_the_end(tmp_path / "run")
    assert_same_run(tmp_path / "run", whole)


@pytest.mark.parametrize(
    "settings",
    [
        ("schedule={name='one-cycle', warmup=0.3}",),
        ("optimizer={name='muon', learning_rate=0.05}",),
        ("optimizer={name='muon', learning_rate=0.05}", "precision=bfloat16"),
        ("optimizer={name='adamw', learning_rate=0.01}",),
    ],
    ids=" ".join,
)
def test_a_single_network_stopped_within_an_epoch_ends_with_the_same_weights(settings, tmp_path):
    recipe = tiny(*settings, "label_smoothing=0.1")
    run_to_the_end(tmp_path / "whole", recipe)
    train_until(3, tmp_path / "run", recipe)
    resume_to_the_end(tmp_path / "run")
    assert_same_run(tmp_path / "run", tmp_path / "whole")


class Killed(BaseException):
    """As SIGKILL, but that what is half written is taken away."""


KILLS = [
    ("before", "member-1.safetensors", 1),
    ("after", "member-1.safetensors", 1),  # the checkpoint still says that the first member is at work
    ("before", "state.safetensors", 1 + EPOCHS),
    ("after", "state.safetensors", 1 + EPOCHS),
    ("after", "member-2.safetensors", 1),
    ("before", "model.safetensors", 1),
    ("after", "model.safetensors", 1),
    ("before", "metrics.json", 1),
]


@pytest.mark.parametrize("kill", KILLS, ids=lambda kill: " ".join(map(str, kill)))
def test_an_ensemble_killed_between_two_of_its_files_leaves_the_same_model(
    kill, tmp_path, whole, monkeypatch
):
    replace, met = os.replace, []

    def meet(where, path):
        met.append((where, Path(path).name))
        if met.count(kill[:2]) == kill[2]:
            raise Killed

    def spy(old, new):
        meet("before", new)
        replace(old, new)
        meet("after", new)

    monkeypatch.setattr(os, "replace", spy)
    with pytest.raises(Killed):
        run_to_the_end(tmp_path / "run", ensemble())
    monkeypatch.setattr(os, "replace", replace)
    resume_to_the_end(tmp_path / "run")
    assert_same_run(tmp_path / "run", whole)


def test_what_is_kept_of_members_before_is_there_until_the_run_is_finished(tmp_path):
    train_until(2 * EPOCHS * STEPS + 1, tmp_path / "run", ensemble())
    kept = [name for name in files_in(tmp_path / "run") if "member" in name]
    assert kept == ["checkpoint/member-1.safetensors", "checkpoint/member-2.safetensors"]
    resume_to_the_end(tmp_path / "run")
    assert files_in(tmp_path / "run") == RUN_FILES


@pytest.mark.parametrize("damage", ["gone", "half", "another network's"])
def test_a_member_that_cannot_be_read_back_is_named(damage, tmp_path):
    train_until(2 * EPOCHS * STEPS + 1, tmp_path / "run", ensemble())
    path = tmp_path / "run/checkpoint/member-1.safetensors"
    contents = path.with_name("member-2.safetensors").read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(contents[:100] if damage == "half" else contents)
    with pytest.raises(DigitsError) as error:
        resume(tmp_path / "run", DIGITS)
    named = f"the weights {path} do not" if damage == "another network's" else f"{path} is damaged or cannot"
    assert str(error.value).startswith(named)
    assert "\n" not in str(error.value)


# An end before the end, and beyond it


@pytest.mark.parametrize(("taken", "members"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3)])
def test_who_takes_no_more_records_has_an_ensemble_of_what_there_is(taken, members, tmp_path):
    records = train(DIGITS, ensemble(), tmp_path / "run", seed=5)
    for _ in range(taken):
        next(records)
    records.close()
    assert files_in(tmp_path / "run") == RUN_FILES
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert (metrics["members"], metrics["epochs"]) == (members, taken)
    weights = load_file(tmp_path / "run/model.safetensors")
    found = {name.split(".")[1] for name in weights if name.startswith("members.")}
    assert found == {str(number) for number in range(1, members + 1)} - ({"1"} if members == 1 else set())
    assert len(Recognizer(tmp_path / "run").predict(DIGITS.images)) == 200


@pytest.mark.parametrize("epochs", [None, EPOCHS, 9])
def test_a_finished_ensemble_is_not_gone_on_with(epochs, whole):
    with pytest.raises(DigitsError) as error:
        resume(whole, DIGITS, epochs=epochs)
    assert str(error.value) == f"{whole} is finished: an ensemble cannot be trained on"
    assert files_in(whole) == RUN_FILES


def test_the_epochs_of_an_ensemble_may_be_changed_while_its_first_member_is_at_work(tmp_path):
    recipe = tiny("members=2", "epochs=2")
    run_to_the_end(tmp_path / "long", tiny("members=2", "epochs=3"))
    train_until(3, tmp_path / "run", recipe)
    for _ in resume(tmp_path / "run", DIGITS, epochs=3):
        pass
    assert tensors_of(tmp_path / "run/model.safetensors") == tensors_of(tmp_path / "long/model.safetensors")


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_the_epochs_of_an_ensemble_stay_once_a_second_member_is_begun(epochs, tmp_path):
    train_until(2 * 5 + 1, tmp_path / "run", tiny("members=2", "epochs=2"))
    before = {name: (tmp_path / "run" / name).read_bytes() for name in files_in(tmp_path / "run")}
    with pytest.raises(DigitsError, match="has trained members already: its epochs can no longer be changed"):
        resume(tmp_path / "run", DIGITS, epochs=epochs)
    assert {name: (tmp_path / "run" / name).read_bytes() for name in files_in(tmp_path / "run")} == before


def test_a_stop_behind_the_last_step_of_all_leaves_a_run_that_is_not_finished(tmp_path):
    stop = Event()

    def on_step(progress):
        if (progress.epoch, progress.images) == (progress.epochs, progress.total):
            stop.set()

    for _ in train(DIGITS, tiny("members=2", "epochs=1"), tmp_path / "run", on_step=on_step, stop=stop):
        pass
    assert "checkpoint/member-1.safetensors" in files_in(tmp_path / "run")
    resume_to_the_end(tmp_path / "run")
    assert files_in(tmp_path / "run") == RUN_FILES
