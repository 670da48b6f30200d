"""Resuming: a run that was stopped or killed, however and wherever, ends as one that never was."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys

import pytest
import torch

from digit_recognizer.digits import Digits
from digit_recognizer.recipes import load_recipe
from digit_recognizer.training import resume, train
from helpers import (
    EVERYTHING,
    RUN_FILES,
    assert_same_run,
    assert_same_weights,
    files_in,
    history_without_times,
    make_digits,
    refusal,
    says,
    tiny,
)
from runs import (
    DIGITS,
    STEPS,
    metrics_of,
    resume_to_the_end,
    resume_until,
    run_to_the_end,
    stop_now,
    train_until,
)

pytestmark = pytest.mark.usefixtures("one_thread", "without_export")

ADAM = "optimizer={name='adam', learning_rate=0.01}"
RMSPROP = "optimizer={name='rmsprop', learning_rate=0.003}"
ALL = tiny(*EVERYTHING)  # three epochs


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return run_to_the_end(tmp_path_factory.mktemp("runs") / "uninterrupted", ALL, seed=5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimizer", "precision", "threads"),
    [
        (ADAM, "float32", 1),
        (ADAM, "float32", 2),
        (ADAM, "bfloat16", 1),
        (RMSPROP, "float32", 1),
        (RMSPROP, "bfloat16", 1),
        (RMSPROP, "bfloat16", 2),
    ],
)
def test_a_run_stopped_after_every_step_ends_with_the_same_weights(optimizer, precision, threads, tmp_path):
    recipe = tiny(*EVERYTHING, optimizer, f"precision={precision}")
    torch.set_num_threads(threads)
    run_to_the_end(tmp_path / "uninterrupted", recipe)
    train_until(1, tmp_path / "run", recipe)
    for _ in range(3 * STEPS - 1):
        resume_until(1, tmp_path / "run")
    assert not (tmp_path / "run/metrics.json").exists()
    resume_to_the_end(tmp_path / "run")
    torch.set_num_threads(1)
    assert_same_weights(tmp_path / "run", tmp_path / "uninterrupted")


@pytest.mark.parametrize("step", [1, 3, STEPS, STEPS + 1, 2 * STEPS - 1, 3 * STEPS - 1, 3 * STEPS])
def test_a_run_stopped_once_ends_with_the_same_weights(step, tmp_path, uninterrupted):
    train_until(step, tmp_path / "run", ALL, seed=5)
    assert not (tmp_path / "run/metrics.json").exists()
    resume_to_the_end(tmp_path / "run")
    assert_same_weights(tmp_path / "run", uninterrupted)


@pytest.mark.usefixtures("with_export")
def test_a_resumed_run_leaves_the_same_model(tmp_path, uninterrupted):
    train_until(STEPS + 2, tmp_path / "run", ALL, seed=5)
    resume_to_the_end(tmp_path / "run")
    assert_same_run(tmp_path / "run", uninterrupted)


def test_a_run_is_stopped_after_the_very_step(tmp_path):
    train_until(STEPS + 2, tmp_path / "run", ALL)
    seen = []
    list(resume(tmp_path / "run", DIGITS, on_step=seen.append, stop=stop_now()))
    assert [(progress.epoch, progress.images) for progress in seen] == [(2, 3 * 32)]


def test_a_resumed_run_yields_the_records_that_were_missing(tmp_path):
    whole = list(train(DIGITS, tiny("epochs=4"), tmp_path / "uninterrupted"))
    train_until(2 * STEPS + 1, tmp_path / "run", tiny("epochs=4"))
    rest = list(resume(tmp_path / "run", DIGITS))
    assert [record.epoch for record in rest] == [3, 4]
    assert [record.loss for record in rest] == [record.loss for record in whole[2:]]


def test_early_stopping_remembers_what_was_before_the_interruption(tmp_path):
    recipe = tiny("epochs=50", "stopping={monitor='loss', patience=4, min_delta=100.0}")
    run_to_the_end(tmp_path / "uninterrupted", recipe)
    train_until(3 * STEPS + 1, tmp_path / "run", recipe)
    resume_to_the_end(tmp_path / "run")
    assert len(history_without_times(tmp_path / "run")) == 5
    assert_same_weights(tmp_path / "run", tmp_path / "uninterrupted")


def test_a_run_whose_generator_was_dropped_unused_can_be_resumed(tmp_path, uninterrupted):
    train(DIGITS, ALL, tmp_path / "run", seed=5)
    resume_to_the_end(tmp_path / "run")
    assert_same_weights(tmp_path / "run", uninterrupted)


def test_an_exception_of_the_callers_leaves_a_run_that_can_be_resumed(tmp_path, uninterrupted):
    def on_step(progress):
        if progress.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_to_the_end(tmp_path / "run", ALL, seed=5, on_step=on_step)
    resume_to_the_end(tmp_path / "run")
    assert_same_weights(tmp_path / "run", uninterrupted)


# A run killed for real: a process of its own that ends itself with SIGKILL, which nothing can catch.

KILLS = [  # at a step; within a file's write, before its rename, or after it; the how manieth time
    ("step", "step", 1),
    ("step", "step", STEPS + 2),
    ("within", "state.safetensors", 1),
    ("within", "state.safetensors", 2),
    ("before", "state.safetensors", 3),
    ("after", "state.safetensors", 1),
    ("after", "state.safetensors", 3),
    ("within", "history.csv", 2),
    ("before", "history.csv", 3),
    ("after", "history.csv", 3),
    ("within", "model.safetensors", 1),
    ("before", "model.onnx", 1),
    ("before", "metrics.json", 1),
]
EARLY_KILLS = [
    (moment, name, 1)
    for moment in ("within", "before")
    for name in ("recipe.toml", "validation.npy", "environment.json")
]

DRIVER = """
import os, signal, sys
from pathlib import Path

import sklearn.model_selection, torch._dynamo  # once, not in each child
from digit_recognizer.files import write_text
from digit_recognizer.training import train, trainer
from helpers import EVERYTHING, make_digits, tiny

trainer.export_onnx = lambda _, path, *__, **___: write_text(path, "a file as any other")
torch.set_num_threads(1)
replace, fsync, met = os.replace, os.fsync, 0

def killed_training(folder, moment, name, times):
    def meet(where, what):
        global met
        met += (where, what) == (moment, name)
        if met == int(times):
            os.kill(os.getpid(), signal.SIGKILL)

    def spy_replace(old, new):
        meet("before", Path(new).name)
        replace(old, new)
        meet("after", Path(new).name)

    def spy_fsync(descriptor):  # called once all is written, before the rename: take half of it away again
        path = Path(f"/proc/self/fd/{descriptor}").resolve()
        if moment == "within" and path.name.startswith(f".{name}."):
            if met + 1 == int(times):
                os.truncate(path, path.stat().st_size // 2)
            meet("within", name)
        fsync(descriptor)

    os.replace, os.fsync = spy_replace, spy_fsync
    for _ in train(
        make_digits(), tiny(*EVERYTHING), folder, seed=5, on_step=lambda _: meet("step", "step")
    ):
        pass

for line in sys.stdin:  # each in a process of its own
    child = os.fork()
    if child == 0:
        killed_training(*line.split())
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Return the folder of each run that was killed."""
    runs = tmp_path_factory.mktemp("killed")
    kills = [*KILLS, *EARLY_KILLS]
    folders = {kill: runs / f"{number}/run" for number, kill in enumerate(kills)}
    ended = subprocess.run(
        [sys.executable, "-c", DRIVER],
        input="\n".join(" ".join(map(str, (folder, *kill))) for kill, folder in folders.items()),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.split() == [str(-signal.SIGKILL)] * len(kills), ended.stderr
    return folders


@pytest.mark.slow
@pytest.mark.parametrize("kill", KILLS, ids=lambda kill: " ".join(map(str, kill)))
def test_a_run_killed_at_any_instant_ends_with_the_same_weights(kill, killed, uninterrupted):
    resume_to_the_end(killed[kill])
    assert_same_weights(killed[kill], uninterrupted)
    assert not set(files_in(killed[kill])) - set(RUN_FILES)


@pytest.mark.slow
@pytest.mark.parametrize("kill", EARLY_KILLS, ids=lambda kill: " ".join(map(str, kill)))
def test_a_run_killed_before_its_folder_is_whole_leaves_its_name_free(kill, killed):
    assert not killed[kill].exists()
    train(DIGITS, tiny(), killed[kill])


# Beyond the end


def refused(folder, digits=DIGITS, **options) -> str:
    """Return why a run is not resumed, and see that nothing changed."""
    before = {name: (folder / name).read_bytes() for name in files_in(folder)}
    message = refusal(lambda: resume(folder, digits, **options))
    assert {name: (folder / name).read_bytes() for name in files_in(folder) if name in before} == before
    assert set(files_in(folder)) - set(before) <= {".lock"}
    return message


@pytest.mark.parametrize("epochs", [None, 1, 3])
def test_a_finished_run_is_told_how_to_train_it_longer(epochs, uninterrupted):
    assert says(refused(uninterrupted, epochs=epochs), uninterrupted, "3 epochs", "--epochs 8")


@pytest.mark.usefixtures("with_export")
def test_a_finished_run_that_gets_more_epochs_is_as_one_that_had_them_from_the_start(tmp_path):
    run_to_the_end(tmp_path / "long", tiny(*EVERYTHING, "epochs=4"))
    run_to_the_end(tmp_path / "run", tiny(*EVERYTHING, "epochs=2"))
    resume_to_the_end(tmp_path / "run", epochs=4)
    assert_same_run(tmp_path / "run", tmp_path / "long")
    assert load_recipe(tmp_path / "run/recipe.toml") == load_recipe(tmp_path / "long/recipe.toml")


def test_a_run_that_its_caller_broke_off_goes_on_to_its_last_epoch(tmp_path, uninterrupted):
    records = train(DIGITS, ALL, tmp_path / "run", seed=5)
    next(records)
    records.close()
    resume_to_the_end(tmp_path / "run")
    assert_same_weights(tmp_path / "run", uninterrupted)


def test_a_run_that_stopped_early_does_not_advise_what_cannot_help(tmp_path):
    recipe = tiny("epochs=50", "stopping={monitor='loss', patience=1, min_delta=100.0}")
    message = refused(run_to_the_end(tmp_path / "run", recipe))
    assert says(message, "early", "2 epochs")
    assert "epochs=" not in message


def test_while_a_run_goes_on_it_is_not_finished(tmp_path):
    run_to_the_end(tmp_path / "run", tiny("epochs=1"))
    list(resume(tmp_path / "run", DIGITS, epochs=2, stop=stop_now()))
    assert not (tmp_path / "run/metrics.json").exists()
    resume_to_the_end(tmp_path / "run")
    assert metrics_of(tmp_path / "run")["epochs"] == 2


# What is refused; damaged files are in test_damage


@pytest.fixture(scope="module")
def stopped_once(tmp_path_factory):
    return train_until(STEPS + 2, tmp_path_factory.mktemp("runs") / "stopped", ALL)


@pytest.fixture
def stopped(tmp_path, stopped_once):
    """A run that was stopped in its second epoch."""
    return shutil.copytree(stopped_once, tmp_path / "run")


@pytest.mark.parametrize(
    "digits",
    [make_digits(seed=1), Digits(DIGITS.images, DIGITS.labels[::-1].copy())],
    ids=["images", "labels"],
)
def test_other_digits_are_refused(digits, stopped):
    assert says(refused(stopped, digits), stopped, "other digits")


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        ({"epochs": 0}, ["epochs", "0"]),
        ({"epochs": 1}, ["epoch 2", "got 1"]),  # its weights are no result of the first epoch
        ({"device": "banana"}, ["'banana'"]),
    ],
)
def test_an_option_that_is_wrong_is_refused(options, facts, stopped):
    assert says(refused(stopped, **options), *facts)


def test_a_folder_that_is_missing_or_no_run_is_named(tmp_path):
    assert says(refused(tmp_path / "none"), tmp_path / "none", "digits train")
    assert not (tmp_path / "none").exists()
    (tmp_path / "notes.txt").write_text("mine")
    assert says(refused(tmp_path), tmp_path, "environment.json", "digits train")
    assert files_in(tmp_path) == ["notes.txt"]


def test_a_refused_run_can_be_resumed_as_soon_as_the_matter_is_settled(stopped):
    refused(stopped, make_digits(seed=1))
    recipe = (stopped / "recipe.toml").read_text()
    (stopped / "recipe.toml").write_text("name = ")
    refused(stopped)
    (stopped / "recipe.toml").write_text(recipe)
    assert next(resume(stopped, DIGITS)).epoch == 2


def test_two_cannot_train_in_one_folder(stopped):
    records = resume(stopped, DIGITS)
    for _ in range(2):
        assert says(refusal(lambda: resume(stopped, DIGITS)), "another process", stopped)
        next(records)


def test_a_folder_that_cannot_be_locked_is_named(stopped):
    (stopped / ".lock").unlink(missing_ok=True)
    (stopped / ".lock").mkdir()
    assert says(refused(stopped), stopped)


def test_what_a_killed_run_left_half_written_is_taken_away(stopped):
    (stopped / "checkpoint/.state.safetensors.1.part").write_bytes(b"half")
    (stopped / ".history.csv.1.part").write_bytes(b"half")
    list(resume(stopped, DIGITS, stop=stop_now()))
    assert not list(stopped.rglob("*.part"))
