"""Ensembles: members that are trained one after the other, averaged, interrupted and resumed."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from digit_recognizer.networks.build import build_network
from digit_recognizer.networks.predictor import Predictor, combine_members
from digit_recognizer.recipes.schema import Shifts
from digit_recognizer.recognition import Recognizer
from digit_recognizer.runs.history import read_history
from digit_recognizer.training import finish, resume, train
from helpers import RUN_FILES, assert_same_run, files_in, read_validation_rows, refusal, says, tiny
from runs import (
    DIGITS,
    LINEAR,
    metrics_of,
    note_steps,
    resume_to_the_end,
    resume_until,
    run_to_the_end,
    train_until,
    weights_of,
)

pytestmark = pytest.mark.usefixtures("one_thread")

STEPS = 4  # of an epoch of the ensemble: 160 images, 40 a batch
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
MEMBERS = 3  # the first and the last have the first network
TWO = tiny(*LINEAR, "members=2", "epochs=2")


def ensemble(*settings: str, members: int = MEMBERS):
    return tiny(*SETTINGS, *settings, network=(), networks=NETWORKS, members=members)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """An ensemble that was never interrupted."""
    return run_to_the_end(tmp_path_factory.mktemp("runs") / "whole", ensemble(), seed=5)


# What members are


def test_members_are_trained_one_after_the_other_with_all_epochs_each(whole):
    history = read_history(whole / "history.csv")
    assert [(each.member, each.epoch) for each in history] == [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2)]
    rates = [each.learning_rate for each in history]
    assert rates[:2] == rates[2:4] == rates[4:]  # the cycle starts again
    metrics = metrics_of(whole)
    assert (metrics["members"], metrics["epochs"]) == (3, 6)
    assert metrics["seconds"] == pytest.approx(sum(each.seconds for each in history))


def member_of(folder: Path, recipe, number: int) -> torch.nn.Module:
    """Return one network of an ensemble, with the weights that its run left."""
    network = build_network(recipe, number)
    prefix = f"members.{number}."
    weights = load_file(folder / "model.safetensors")
    network.load_state_dict(
        {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    )
    return network.eval()


def test_a_model_says_the_mean_of_what_its_members_say(tmp_path):
    run = run_to_the_end(tmp_path / "run", TWO)
    images = torch.from_numpy(DIGITS.images)
    with torch.inference_mode():
        first, second = (Predictor(member_of(run, TWO, number))(images).numpy() for number in (1, 2))
    found = Recognizer(run).predict(DIGITS.images).probabilities
    np.testing.assert_allclose(found, (first + second) / 2, atol=1e-5)
    assert np.abs(first - second).max() > 0.01


def test_a_model_with_shifts_is_the_predictor_of_its_members(whole):
    predictor = Predictor(
        combine_members([member_of(whole, ensemble(), number) for number in (1, 2, 3)]), Shifts(1, 0.8)
    )
    with torch.inference_mode():
        expected = predictor(torch.from_numpy(DIGITS.images)).numpy()
    found = Recognizer(whole).predict(DIGITS.images).probabilities
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.usefixtures("without_export")
def test_the_first_member_is_the_network_that_would_be_trained_alone(whole, tmp_path):
    alone = weights_of(run_to_the_end(tmp_path / "alone", ensemble(members=1), seed=5))
    assert {f"members.1.{name}": value for name, value in alone.items()}.items() <= weights_of(whole).items()


@pytest.mark.usefixtures("without_export")
def test_no_two_members_begin_or_are_shown_the_images_alike(tmp_path, monkeypatch):
    met: list[tuple[int, bytes, bytes, int]] = []

    def note(state, _images, labels):
        weights = next(state.network.parameters()).detach().numpy().tobytes()
        if state.position.step == 0:
            met.append((state.position.member, weights, labels.numpy().tobytes(), torch.initial_seed()))

    note_steps(monkeypatch, note)
    run_to_the_end(tmp_path / "run", tiny("members=3", "epochs=1"))
    members, weights, labels, draws = zip(*met, strict=True)
    assert members == (1, 2, 3)
    assert len(set(weights)) == len(set(labels)) == len(set(draws)) == 3


@pytest.mark.usefixtures("without_export")
def test_another_seed_gives_other_members(whole, tmp_path):
    mine, theirs = weights_of(run_to_the_end(tmp_path / "run", ensemble(), seed=6)), weights_of(whole)
    assert not set(mine.items()) & {item for item in theirs.items() if item[0].endswith("weight")}


def test_metrics_are_of_all_members_together(whole):
    """The records are of each network alone, and without shifts."""
    metrics = metrics_of(whole)["validation"]
    rows = read_validation_rows(whole)
    probabilities = Recognizer(whole).predict(DIGITS.images[rows]).probabilities
    labels = DIGITS.labels[rows]
    assert metrics["errors"] == (probabilities.argmax(axis=1) != labels).sum()
    expected = -np.log(probabilities[np.arange(len(rows)), labels]).mean()
    assert metrics["loss"] == pytest.approx(expected, abs=1e-4)
    assert metrics["loss"] != pytest.approx(read_history(whole / "history.csv")[-1].validation_loss, abs=1e-4)


@pytest.mark.usefixtures("without_export")
def test_a_step_is_counted_over_the_epochs_of_all_members(tmp_path):
    seen = []
    run_to_the_end(tmp_path / "run", tiny("members=2", "epochs=1"), on_step=seen.append)
    assert [each.epoch for each in seen] == [1] * 5 + [2] * 5
    assert {each.epochs for each in seen} == {2}


@pytest.mark.usefixtures("without_export")
def test_early_stopping_ends_one_member_and_the_next_begins(tmp_path):
    recipe = tiny("members=2", "epochs=50", "stopping={monitor='loss', patience=1, min_delta=100.0}")
    records = list(train(DIGITS, recipe, tmp_path / "run"))
    assert [(each.member, each.epoch) for each in records] == [(1, 1), (1, 2), (2, 1), (2, 2)]


# Interruptions


@pytest.mark.parametrize("step", [1, STEPS, 7, 8, 9, 16, 17, 23, 24])  # a member takes eight
def test_an_ensemble_stopped_once_leaves_the_same_model(step, tmp_path, whole):
    train_until(step, tmp_path / "run", ensemble(), seed=5)
    assert not (tmp_path / "run/metrics.json").exists()
    resume_to_the_end(tmp_path / "run")
    assert_same_run(tmp_path / "run", whole)


def test_an_ensemble_stopped_after_every_step_leaves_the_same_model(tmp_path, whole):
    train_until(1, tmp_path / "run", ensemble(), seed=5)
    for _ in range(MEMBERS * EPOCHS * STEPS - 1):
        resume_until(1, tmp_path / "run")
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
    """As SIGKILL, except that half-written files are removed."""


KILLS = [
    ("before", "member-1.safetensors", 1),
    ("after", "member-1.safetensors", 1),  # the checkpoint still names the first member
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
        run_to_the_end(tmp_path / "run", ensemble(), seed=5)
    monkeypatch.setattr(os, "replace", replace)
    resume_to_the_end(tmp_path / "run")
    assert_same_run(tmp_path / "run", whole)


def test_the_weights_of_earlier_members_are_kept_until_the_run_is_finished(tmp_path):
    train_until(2 * EPOCHS * STEPS + 1, tmp_path / "run", ensemble())
    kept = [name for name in files_in(tmp_path / "run") if "member" in name]
    assert kept == ["checkpoint/member-1.safetensors", "checkpoint/member-2.safetensors"]
    resume_to_the_end(tmp_path / "run")
    assert files_in(tmp_path / "run") == RUN_FILES


# An end before the end, and beyond it


@pytest.mark.parametrize(("taken", "members"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3)])
def test_a_run_that_is_finished_early_is_an_ensemble_of_the_members_so_far(taken, members, tmp_path):
    records = train(DIGITS, ensemble(), tmp_path / "run", seed=5)
    for _ in range(taken):
        next(records)
    records.close()
    finish(tmp_path / "run", DIGITS)
    assert files_in(tmp_path / "run") == RUN_FILES
    metrics = metrics_of(tmp_path / "run")
    assert (metrics["members"], metrics["epochs"]) == (members, taken)
    weights = load_file(tmp_path / "run/model.safetensors")
    found = {name.split(".")[1] for name in weights if name.startswith("members.")}
    assert found == {str(number) for number in range(1, members + 1)} - ({"1"} if members == 1 else set())
    assert len(Recognizer(tmp_path / "run").predict(DIGITS.images)) == 200


@pytest.mark.parametrize("epochs", [None, EPOCHS, 9])
def test_a_finished_ensemble_cannot_be_trained_further(epochs, whole):
    assert says(refusal(lambda: resume(whole, DIGITS, epochs=epochs)), whole, "ensemble")
    assert files_in(whole) == RUN_FILES


@pytest.mark.usefixtures("without_export")
def test_the_epochs_of_an_ensemble_can_be_changed_while_its_first_member_is_trained(tmp_path):
    run_to_the_end(tmp_path / "long", tiny(*LINEAR, "members=2", "epochs=3"))
    train_until(3, tmp_path / "run", TWO)
    resume_to_the_end(tmp_path / "run", epochs=3)
    assert weights_of(tmp_path / "run") == weights_of(tmp_path / "long")


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_the_epochs_of_an_ensemble_stay_once_a_second_member_is_begun(epochs, tmp_path):
    run = train_until(2 * 5 + 1, tmp_path / "run", TWO)
    before = {name: (run / name).read_bytes() for name in files_in(run)}
    assert says(refusal(lambda: resume(run, DIGITS, epochs=epochs)), run, "members", "epochs")
    assert {name: (run / name).read_bytes() for name in files_in(run)} == before


def test_a_stop_after_the_very_last_step_leaves_a_run_that_is_not_finished(tmp_path):
    stop = Event()

    def on_step(progress):
        if (progress.epoch, progress.images) == (progress.epochs, progress.total):
            stop.set()

    run = run_to_the_end(tmp_path / "run", TWO, on_step=on_step, stop=stop)
    assert "checkpoint/member-1.safetensors" in files_in(run)
    resume_to_the_end(run)
    assert files_in(run) == RUN_FILES
