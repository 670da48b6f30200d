"""Folds, members and trials on a cluster: the same bits as on one machine, also if a worker is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Event

import pytest
import torch

from conftest import workers_of
from digit_recognizer.engines.ray_engine import RayEngine
from digit_recognizer.search.search import tune
from digit_recognizer.search.space import parse_ranges
from digit_recognizer.training import cross_validate, resume, resume_folds, train
from helpers import (
    assert_refused,
    assert_same_run,
    assert_same_weights,
    csv_of,
    make_digits,
    on_black,
    refusal,
    says,
    tiny,
)

DIGITS = on_black(make_digits(noise=255))
MANY = on_black(make_digits(1000, noise=255))
FOLDS, MEMBERS = 3, 3
ENSEMBLE = (f"members={MEMBERS}", "epochs=3", "augmentation={rotation=10, zoom=0.1, shift=0.1}")
SLOW = """
name = "slow"
summary = "a few seconds a fold"
network = ["conv 16 5x5 relu", "maxpool 4", "dense 10"]
epochs = 12
batch_size = 32
precision = "float32"

[optimizer]
name = "adam"
learning_rate = 0.01
"""
RANGES = ("batch_size=16..64", "optimizer.learning_rate=0.001..0.1")

pytestmark = pytest.mark.usefixtures("address")


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def to_the_end(records) -> None:
    for _ in records:
        pass


def folds_to_the_end(runs) -> list[int]:
    numbers = []
    for run in runs:
        numbers.append(run.number)
        assert list(run.records)
    return numbers


def assert_same_fold(there: Path, here: Path) -> None:
    """Check that two runs have the same weights, model, history and results."""
    assert (there / "model.onnx").read_bytes() == (here / "model.onnx").read_bytes()
    assert_same_weights(there, here)
    found, wanted = (json.loads((run / "metrics.json").read_text()) for run in (there, here))
    assert found | {"seconds": 0} == wanted | {"seconds": 0}


def outcome(folder: Path) -> dict:
    found = json.loads((folder / "folds.json").read_text())
    return found | {"seconds": 0}


def test_folds_are_the_same_to_the_bit(tmp_path):
    made = {"folds": FOLDS, "seed": 4, "source": "made"}
    folds_to_the_end(cross_validate(DIGITS, tiny("members=2"), tmp_path / "here", **made))
    with RayEngine() as engine:
        numbers = folds_to_the_end(
            cross_validate(DIGITS, tiny("members=2"), tmp_path / "there", engine=engine, **made)
        )
    assert sorted(numbers) == [1, 2, 3]
    assert outcome(tmp_path / "there") == outcome(tmp_path / "here")
    for number in range(1, FOLDS + 1):
        assert_same_fold(tmp_path / "there" / f"fold-{number}", tmp_path / "here" / f"fold-{number}")


def test_members_are_the_same_to_the_bit(tmp_path):
    to_the_end(train(DIGITS, tiny(*ENSEMBLE), tmp_path / "here", seed=4))
    with RayEngine() as engine:
        records = list(train(DIGITS, tiny(*ENSEMBLE), tmp_path / "there", seed=4, engine=engine))
    assert [(each.member, each.epoch) for each in records] == [
        (member, epoch) for member in range(1, MEMBERS + 1) for epoch in range(1, 4)
    ]
    assert_same_run(tmp_path / "there", tmp_path / "here")


def kill_one(cluster, when) -> None:
    """Kill a process that runs a task, once something is so."""
    deadline = time.monotonic() + 300
    while not when():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(workers_of(cluster, "_run_task")[0], signal.SIGKILL)


@pytest.mark.parametrize("option", ["--folds 2", "--set members=2"])
def test_a_worker_killed_with_sigkill_loses_nothing(option, tmp_path, cluster):
    (tmp_path / "train.csv").write_text(csv_of(MANY))
    (tmp_path / "slow.toml").write_text(SLOW)
    words = f"train train.csv --recipe slow.toml {option} --json"

    def start(folder: str, *engine: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "digit_recognizer", *words.split(), "--out", folder, *engine]
        return subprocess.Popen(
            command, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    place = "fold-*/checkpoint" if "folds" in option else "checkpoint/member-*"
    with start("there", "--engine", "ray") as there:
        try:
            kill_one(cluster, lambda: list((tmp_path / "there").glob(f"{place}/state.safetensors")))
            _, errors = there.communicate(timeout=600)
        finally:
            there.kill()
    assert there.returncode == 0, errors
    with start("here") as here:
        here.communicate(timeout=600)
    for one in ["fold-1", "fold-2"] if "folds" in option else ["."]:
        assert_same_fold(tmp_path / "there" / one, tmp_path / "here" / one)


def test_what_ray_began_is_resumed_without_it_and_the_other_way_round(tmp_path):
    stop = Event()
    stop.set()
    to_the_end(train(DIGITS, tiny(*ENSEMBLE), tmp_path / "whole"))
    with RayEngine() as engine:
        to_the_end(train(DIGITS, tiny(*ENSEMBLE), tmp_path / "first", engine=engine, stop=stop))
    assert not (tmp_path / "first/metrics.json").exists()
    to_the_end(resume(tmp_path / "first", DIGITS))
    assert_same_run(tmp_path / "first", tmp_path / "whole")

    steps, stop = [], Event()

    def on_step(progress: object) -> None:
        steps.append(progress)
        if len(steps) == 19:  # in the second epoch of the second member
            stop.set()

    to_the_end(train(DIGITS, tiny(*ENSEMBLE), tmp_path / "second", on_step=on_step, stop=stop))
    with RayEngine() as engine:
        to_the_end(resume(tmp_path / "second", DIGITS, engine=engine))
    assert_same_run(tmp_path / "second", tmp_path / "whole")

    stop = Event()
    stop.set()
    made = {"folds": 2, "source": "made"}
    folds_to_the_end(cross_validate(DIGITS, tiny(), tmp_path / "folds", **made))
    with RayEngine() as engine:
        cut = cross_validate(DIGITS, tiny(), tmp_path / "cut", engine=engine, stop=stop, **made)
        assert folds_to_the_end(cut) == []
    folds_to_the_end(resume_folds(tmp_path / "cut", DIGITS))
    assert outcome(tmp_path / "cut") == outcome(tmp_path / "folds")


def search(folder: Path, trials: int, **options) -> list[tuple]:
    ranges = parse_ranges(RANGES)
    found = tune(DIGITS, tiny("epochs=2"), folder, trials=trials, ranges=ranges, **options)
    return [(each.number, each.settings, each.errors, each.epochs) for each in found]


def test_a_search_of_one_slot_is_the_same_as_here_and_of_two_slots_always_the_same(tmp_path):
    here = search(tmp_path / "here", 8)
    with RayEngine() as engine:
        twice = [search(tmp_path / name, 8, engine=engine) for name in ("first", "second")]
        engine.slots = 1
        assert search(tmp_path / "one", 8, engine=engine) == here
    assert twice[0] == twice[1]
    assert twice[0][:2] == here[:2]  # the recipe's own settings, and what learned from nothing
    assert (tmp_path / "one/best.toml").read_text() == (tmp_path / "here/best.toml").read_text()


def test_errors_of_tasks_are_those_of_the_command(digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, errors = digits("train bundled --recipe flash --folds 2 --learning-rate 1e30 --engine ray")
    assert status == 2
    assert says(errors, "not a finite number", "--learning-rate")
    assert not list(tmp_path.rglob("fold-*"))
    assert_refused(digits("train bundled --recipe flash --engine ray"), "flash", "--folds", "members=5")
    with RayEngine() as engine:
        assert says(refusal(lambda: train(DIGITS, tiny(), tmp_path / "one", engine=engine)), "tiny")
