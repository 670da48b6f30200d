"""Resuming: a run that was stopped or killed, however and wherever, ends as one that never was."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from threading import Event

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from digit_recognizer.digits import Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.recipes import load_recipe
from digit_recognizer.recognition import Recognizer
from digit_recognizer.training import resume, train, trainer
from helpers import (
    EVERYTHING,
    RUN_FILES,
    files_in,
    follow_until,
    history_without_times,
    make_digits,
    tensors_of,
    tiny,
)

pytestmark = pytest.mark.usefixtures("one_thread")

DIGITS = make_digits()
STEPS = 5  # an epoch: 160 images, 32 a batch
ADAM = "optimizer={name='adam', learning_rate=0.01}"
RMSPROP = "optimizer={name='rmsprop', learning_rate=0.003}"


@pytest.fixture
def without_export(monkeypatch):
    """Let a run end without model.onnx, which takes a second to write."""
    monkeypatch.setattr(trainer, "export_onnx", lambda *_, **__: None)


def run_to_the_end(folder, *settings, digits=DIGITS, seed=5):
    for _ in train(digits, tiny(*settings), folder, seed=seed):
        pass
    return folder


def train_until(step, folder, *settings, digits=DIGITS, seed=5):
    """Train from the beginning and stop behind a step, counted from 1 over all epochs."""
    follow_until(step, lambda **options: train(digits, tiny(*settings), folder, seed=seed, **options))


def resume_until(step, folder, digits=DIGITS):
    """Go on with a run and stop behind so many steps more."""
    follow_until(step, lambda **options: resume(folder, digits, **options))


def resume_to_the_end(folder, digits=DIGITS, **options):
    for _ in resume(folder, digits, **options):
        pass


def assert_same_run(folder, expected):
    """See that two runs ended alike, to the bit: weights, optimizer, and history but for the clock."""
    for name in ("model.safetensors", "checkpoint/state.safetensors"):
        assert tensors_of(folder / name) == tensors_of(expected / name)
    assert history_without_times(folder) == history_without_times(expected)
    assert not list(folder.parent.rglob("*.part"))


def assert_same_model(folder, expected):
    """See that two runs left the same files, and models that predict the same, to the bit."""
    assert_same_run(folder, expected)
    assert files_in(folder) == files_in(expected) == RUN_FILES
    found, wanted = (Recognizer(run).predict(DIGITS.images).probabilities for run in (folder, expected))
    assert found.tobytes() == wanted.tobytes()
    metrics, other = (json.loads((run / "metrics.json").read_text()) for run in (folder, expected))
    assert metrics | {"seconds": 0} == other | {"seconds": 0}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return run_to_the_end(tmp_path_factory.mktemp("runs") / "uninterrupted", *EVERYTHING)


@pytest.mark.slow
@pytest.mark.usefixtures("without_export")
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
def test_a_run_stopped_behind_every_step_ends_with_the_same_weights(optimizer, precision, threads, tmp_path):
    settings = (*EVERYTHING, optimizer, f"precision={precision}")
    torch.set_num_threads(threads)
    run_to_the_end(tmp_path / "uninterrupted", *settings)
    train_until(1, tmp_path / "run", *settings)
    for _ in range(3 * STEPS - 1):
        resume_until(1, tmp_path / "run")
    assert not (tmp_path / "run/metrics.json").exists()
    resume_to_the_end(tmp_path / "run")
    torch.set_num_threads(1)
    assert_same_run(tmp_path / "run", tmp_path / "uninterrupted")


@pytest.mark.usefixtures("without_export")
@pytest.mark.parametrize("step", [1, 3, STEPS, STEPS + 1, 2 * STEPS - 1, 3 * STEPS - 1, 3 * STEPS])
def test_a_run_stopped_once_ends_with_the_same_weights(step, tmp_path, uninterrupted):
    train_until(step, tmp_path / "run", *EVERYTHING)
    assert not (tmp_path / "run/metrics.json").exists()
    resume_to_the_end(tmp_path / "run")
    assert_same_run(tmp_path / "run", uninterrupted)


def test_a_resumed_run_leaves_the_same_model(tmp_path, uninterrupted):
    train_until(STEPS + 2, tmp_path / "run", *EVERYTHING)
    resume_to_the_end(tmp_path / "run")
    assert_same_model(tmp_path / "run", uninterrupted)


def test_a_run_is_stopped_behind_the_very_step(tmp_path):
    train_until(STEPS + 2, tmp_path / "run", *EVERYTHING)
    seen = []
    stop = Event()
    stop.set()
    list(resume(tmp_path / "run", DIGITS, on_step=seen.append, stop=stop))
    assert [(progress.epoch, progress.images) for progress in seen] == [(2, 3 * 32)]


@pytest.mark.usefixtures("without_export")
def test_a_resumed_run_yields_the_records_that_were_missing(tmp_path):
    whole = list(train(DIGITS, tiny("epochs=4"), tmp_path / "uninterrupted"))
    train_until(2 * STEPS + 1, tmp_path / "run", "epochs=4", seed=0)
    rest = list(resume(tmp_path / "run", DIGITS))
    assert [record.epoch for record in rest] == [3, 4]
    assert [record.loss for record in rest] == [record.loss for record in whole[2:]]


@pytest.mark.usefixtures("without_export")
def test_early_stopping_remembers_what_was_before_the_interruption(tmp_path):
    settings = ("epochs=50", "stopping={monitor='loss', patience=4, min_delta=100.0}")
    run_to_the_end(tmp_path / "uninterrupted", *settings)
    train_until(3 * STEPS + 1, tmp_path / "run", *settings)
    resume_to_the_end(tmp_path / "run")
    assert len(history_without_times(tmp_path / "run")) == 5
    assert_same_run(tmp_path / "run", tmp_path / "uninterrupted")


@pytest.mark.usefixtures("without_export")
def test_a_run_whose_generator_was_dropped_unused_can_be_resumed(tmp_path):
    run_to_the_end(tmp_path / "uninterrupted")
    train(DIGITS, tiny(), tmp_path / "run", seed=5)
    resume_to_the_end(tmp_path / "run")
    assert_same_run(tmp_path / "run", tmp_path / "uninterrupted")


@pytest.mark.usefixtures("without_export")
def test_an_exception_of_the_callers_leaves_a_run_that_can_be_resumed(tmp_path, uninterrupted):
    def on_step(progress):
        if progress.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(train(DIGITS, tiny(*EVERYTHING), tmp_path / "run", seed=5, on_step=on_step))
    resume_to_the_end(tmp_path / "run")
    assert_same_run(tmp_path / "run", uninterrupted)


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

import onnxscript, sklearn.model_selection, torch._dynamo, torch.onnx  # once, not in each child
from digit_recognizer.training import train
from helpers import EVERYTHING, make_digits, tiny

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
@pytest.mark.usefixtures("without_export")
@pytest.mark.parametrize("kill", KILLS, ids=lambda kill: " ".join(map(str, kill)))
def test_a_run_killed_at_any_instant_ends_with_the_same_weights(kill, killed, uninterrupted):
    resume_to_the_end(killed[kill])
    assert_same_run(killed[kill], uninterrupted)
    assert not [name for name in files_in(killed[kill]) if name not in RUN_FILES]


@pytest.mark.slow
@pytest.mark.parametrize("kill", EARLY_KILLS, ids=lambda kill: " ".join(map(str, kill)))
def test_a_run_killed_before_its_folder_is_whole_leaves_its_name_free(kill, killed):
    assert not killed[kill].exists()
    train(DIGITS, tiny(), killed[kill])


# Going on beyond the end


def test_a_finished_run_is_told_how_to_go_on(tmp_path, uninterrupted):
    with pytest.raises(DigitsError, match=r"is finished after 3 epochs.*--set epochs=\d+"):
        resume(uninterrupted, DIGITS)
    assert files_in(uninterrupted) == RUN_FILES
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_finished_run_is_not_made_shorter(epochs, uninterrupted):
    before = (uninterrupted / "recipe.toml").read_bytes()
    with pytest.raises(DigitsError, match="is finished after 3 epochs"):
        resume(uninterrupted, DIGITS, epochs=epochs)
    assert files_in(uninterrupted) == RUN_FILES
    assert (uninterrupted / "recipe.toml").read_bytes() == before


def test_a_finished_run_that_gets_more_epochs_is_as_one_that_had_them_from_the_start(tmp_path):
    run_to_the_end(tmp_path / "long", *EVERYTHING, "epochs=4")
    run_to_the_end(tmp_path / "run", *EVERYTHING, "epochs=2")
    resume_to_the_end(tmp_path / "run", epochs=4)
    assert_same_model(tmp_path / "run", tmp_path / "long")
    assert load_recipe(tmp_path / "run/recipe.toml") == load_recipe(tmp_path / "long/recipe.toml")


@pytest.mark.usefixtures("without_export")
def test_a_run_that_its_caller_broke_off_goes_on_to_its_last_epoch(tmp_path, uninterrupted):
    records = train(DIGITS, tiny(*EVERYTHING), tmp_path / "run", seed=5)
    next(records)
    records.close()
    resume_to_the_end(tmp_path / "run")
    assert_same_run(tmp_path / "run", uninterrupted)


@pytest.mark.usefixtures("without_export")
def test_a_run_that_stopped_early_does_not_advise_what_cannot_help(tmp_path):
    settings = ("epochs=50", "stopping={monitor='loss', patience=1, min_delta=100.0}")
    run_to_the_end(tmp_path / "run", *settings)
    with pytest.raises(DigitsError) as error:
        resume(tmp_path / "run", DIGITS)
    assert "early" in str(error.value)
    assert "epochs=" not in str(error.value)


def test_while_a_run_goes_on_it_is_not_finished(tmp_path):
    run_to_the_end(tmp_path / "run", "epochs=1")
    stop = Event()
    stop.set()
    list(resume(tmp_path / "run", DIGITS, epochs=2, stop=stop))
    assert not (tmp_path / "run/metrics.json").exists()
    resume_to_the_end(tmp_path / "run")
    assert json.loads((tmp_path / "run/metrics.json").read_text())["epochs"] == 2


# Bad input


@pytest.fixture(scope="module")
def stopped_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "stopped"
    train_until(STEPS + 2, folder, *EVERYTHING)
    return folder


@pytest.fixture
def stopped(tmp_path, stopped_once):
    """A run that was stopped in its second epoch."""
    return shutil.copytree(stopped_once, tmp_path / "run")


def refusal(folder, digits=DIGITS, **options) -> str:
    """Return why going on is refused, and see that this changed nothing."""
    before = contents(folder)
    with pytest.raises(DigitsError) as error:
        resume(folder, digits, **options)
    assert contents(folder) == before
    assert "\n" not in str(error.value)
    return str(error.value)


def contents(folder) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files_in(folder) if name != ".lock"}


def checkpoint_of(folder):
    return folder / "checkpoint/state.safetensors"


def rewrite_checkpoint(folder, tensors=None, **changes):
    """Write a checkpoint again with something changed."""
    path = checkpoint_of(folder)
    with safe_open(path, "np") as file:
        header = json.loads(file.metadata()["digit_recognizer"]) | changes
    whole = load_file(path) if tensors is None else tensors
    save_file(whole, path, {"digit_recognizer": json.dumps(header)})


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:4],
        lambda _: b"",
        lambda _: b"garbage" * 1000,
        lambda whole: b"\xff" * len(whole),
    ],
    ids=["half of it", "its first bytes", "nothing", "text", "all ones"],
)
def test_a_damaged_checkpoint_is_named(damage, stopped):
    path = checkpoint_of(stopped)
    path.write_bytes(damage(path.read_bytes()))
    assert refusal(stopped).startswith(f"the checkpoint {path} is damaged: ")


@pytest.mark.parametrize(
    "position", ["", 5, {}, {"history": 5}, {"history": [{}]}, {"history": [], "x": 1}], ids=str
)
def test_a_checkpoint_whose_header_is_damaged_is_named(position, stopped):
    rewrite_checkpoint(stopped, position=position)
    assert f"the checkpoint {checkpoint_of(stopped)} is damaged: " in refusal(stopped)


def test_a_checkpoint_of_another_network_is_named(stopped):
    recipe = (stopped / "recipe.toml").read_text()
    (stopped / "recipe.toml").write_text(recipe.replace("dense 16 relu", "dense 17 relu"))
    expected = "does not fit its recipe: the tensors are those of another network"
    assert refusal(stopped) == f"the checkpoint {checkpoint_of(stopped)} {expected}"


def test_a_checkpoint_of_another_optimizer_is_named(stopped):
    recipe = (stopped / "recipe.toml").read_text()
    changed = re.sub(r"\[optimizer\][^[]*", '[optimizer]\nname = "rmsprop"\n\n', recipe)
    (stopped / "recipe.toml").write_text(changed)
    message = refusal(stopped)
    assert message.startswith(f"the checkpoint {checkpoint_of(stopped)} does not fit its recipe: ")


@pytest.mark.parametrize("gone", ["network.dense1.weight", "optimizer.0.exp_avg", "optimizer.3.step"])
def test_a_checkpoint_that_lacks_a_tensor_is_named(gone, stopped):
    tensors = load_file(checkpoint_of(stopped))
    del tensors[gone]
    rewrite_checkpoint(stopped, tensors)
    assert f"the checkpoint {checkpoint_of(stopped)} does not fit its recipe: " in refusal(stopped)


@pytest.mark.parametrize("name", ["optimizer.99.exp_avg", "optimizer.x.exp_avg"])
def test_a_checkpoint_with_a_tensor_too_many_is_named(name, stopped):
    tensors = load_file(checkpoint_of(stopped))
    rewrite_checkpoint(stopped, tensors | {name: np.zeros(1, np.float32)})
    assert f"the checkpoint {checkpoint_of(stopped)} does not fit its recipe: " in refusal(stopped)


def test_a_checkpoint_of_a_newer_version_says_upgrade(stopped):
    rewrite_checkpoint(stopped, format=2)
    message = refusal(stopped)
    assert "was written by a newer version (format 2" in message
    assert message.endswith("upgrade digit-recognizer")


def test_a_run_of_a_newer_version_says_upgrade(stopped):
    change_environment(stopped, format=2)
    assert refusal(stopped).endswith("upgrade digit-recognizer")


def change_environment(folder, **changes):
    path = folder / "environment.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("text", ["", "{", "[]", "5", '{"format": 1}', "{}", '{"format": "new"}'])
def test_a_damaged_environment_is_named(text, stopped):
    (stopped / "environment.json").write_text(text)
    message = refusal(stopped)
    assert message.startswith(str(stopped))
    assert "is damaged" in message


@pytest.mark.parametrize("changes", [{"seed": "x"}, {"seed": -1}, {"seed": None}, {"data": 5}, {"data": {}}])
def test_an_environment_that_makes_no_sense_is_named(changes, stopped):
    change_environment(stopped, **changes)
    assert "is damaged" in refusal(stopped)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x93NUMPY"])
def test_damaged_row_numbers_are_named(content, stopped):
    (stopped / "validation.npy").write_bytes(content)
    assert refusal(stopped).startswith(f"{stopped / 'validation.npy'} is damaged")


@pytest.mark.parametrize("rows", [np.zeros(3), np.zeros((2, 2), np.int64), np.array([200]), np.array([-1])])
def test_row_numbers_that_make_no_sense_are_named(rows, stopped):
    np.save(stopped / "validation.npy", rows)
    assert refusal(stopped).startswith(f"{stopped / 'validation.npy'} is damaged")


def test_a_finished_run_stays_finished_where_it_cannot_go_on(uninterrupted, tmp_path):
    folder = shutil.copytree(uninterrupted, tmp_path / "run")
    (folder / "validation.npy").write_bytes(b"garbage")
    assert "validation.npy is damaged" in refusal(folder, epochs=5)


def test_missing_row_numbers_are_named(stopped):
    (stopped / "validation.npy").unlink()
    assert "validation.npy" in refusal(stopped)


def test_a_missing_recipe_is_named(stopped):
    (stopped / "recipe.toml").unlink()
    assert refusal(stopped).startswith(f"cannot read the recipe {stopped / 'recipe.toml'}")


def test_a_damaged_recipe_is_named(stopped):
    (stopped / "recipe.toml").write_text("name = ")
    assert f"{stopped / 'recipe.toml'}: not valid TOML" in refusal(stopped)


def test_other_digits_are_refused(stopped):
    assert "was begun with other digits" in refusal(stopped, make_digits(seed=1))


def test_the_same_images_with_other_labels_are_other_digits(stopped):
    assert "was begun with other digits" in refusal(
        stopped, Digits(DIGITS.images, DIGITS.labels[::-1].copy())
    )


def test_no_more_than_zero_epochs_are_refused(stopped):
    assert "epochs: " in refusal(stopped, epochs=0)


def test_an_unknown_device_is_refused(stopped):
    assert "'banana'" in refusal(stopped, device="banana")


def test_a_folder_that_is_missing_is_named(tmp_path):
    assert refusal(tmp_path / "none").startswith(f"there is no run folder {tmp_path / 'none'}")
    assert not (tmp_path / "none").exists()


def test_a_folder_that_is_no_run_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert refusal(tmp_path).startswith(f"{tmp_path} is no run folder")
    assert files_in(tmp_path) == ["notes.txt"]


def test_a_refused_run_can_be_resumed_as_soon_as_the_matter_is_settled(stopped):
    refusal(stopped, make_digits(seed=1))
    recipe = (stopped / "recipe.toml").read_text()
    (stopped / "recipe.toml").write_text("name = ")
    refusal(stopped)
    (stopped / "recipe.toml").write_text(recipe)
    assert next(resume(stopped, DIGITS)).epoch == 2


def test_two_cannot_train_in_one_folder(stopped):
    records = resume(stopped, DIGITS)
    with pytest.raises(DigitsError, match="another process is training in"):
        resume(stopped, DIGITS)
    stop = Event()
    next(records)
    with pytest.raises(DigitsError, match="another process is training in"):
        resume(stopped, DIGITS, stop=stop)


def test_a_folder_that_cannot_be_locked_is_named(stopped):
    (stopped / ".lock").unlink(missing_ok=True)
    (stopped / ".lock").mkdir()
    assert refusal(stopped).startswith(f"cannot write into {stopped}: ")


def test_what_a_killed_run_left_half_written_is_taken_away(stopped):
    (stopped / "checkpoint/.state.safetensors.1.part").write_bytes(b"half")
    (stopped / ".history.csv.1.part").write_bytes(b"half")
    stop = Event()
    stop.set()
    list(resume(stopped, DIGITS, stop=stop))
    assert not list(stopped.rglob("*.part"))


def test_a_run_within_an_epoch_cannot_end_before_it(stopped):
    """Its weights are those of the second epoch in part: they are no result of the first."""
    assert refusal(stopped, epochs=1) == f"{stopped} is in epoch 2 already: expected at least as many, got 1"
