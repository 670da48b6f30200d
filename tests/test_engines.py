"""Trainings as tasks of an engine, in this process: the same bits; and what an engine refuses before Ray."""

from __future__ import annotations

import json
import sys
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from threading import Event

import pytest

from digit_recognizer.engines import InProcess, check_shared, completed, ray_engine
from digit_recognizer.search.search import tune
from digit_recognizer.search.space import parse_ranges
from digit_recognizer.training import cross_validate, resume, train
from helpers import (
    assert_refused,
    assert_same_run,
    assert_same_weights,
    make_digits,
    on_black,
    refusal,
    says,
    tiny,
)
from runs import LINEAR, resume_folds_to_the_end, train_until

pytestmark = pytest.mark.usefixtures("one_thread")

DIGITS = on_black(make_digits(noise=255))
MEMBERS = ('network=["maxpool 4", "dropout 0.2", "dense 10"]', "members=3")
ENSEMBLE = tiny(*MEMBERS, "epochs=2")
STEPS = 5  # of an epoch: 160 images, 32 a batch
RANGES = parse_ranges(("batch_size=16..64", "optimizer.learning_rate=0.001..0.1"))


class Busy(InProcess):
    """An engine whose tasks do not end."""

    def submit(self, *_: object) -> Future:
        return Future()


class Slots(InProcess):
    """An engine that says that it runs several tasks at the same time."""

    def __init__(self, slots: int = 2) -> None:
        self.slots = slots


def to_the_end(folder: Path, recipe=ENSEMBLE, **options) -> Path:
    for _ in train(DIGITS, recipe, folder, **options):
        pass
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """An ensemble whose members were trained one after the other."""
    return to_the_end(tmp_path_factory.mktemp("members") / "whole")


def test_members_as_tasks_are_the_same_to_the_bit(whole, tmp_path):
    records = list(train(DIGITS, ENSEMBLE, tmp_path / "tasks", engine=InProcess()))
    assert [(each.member, each.epoch) for each in records] == [(m, e) for m in (1, 2, 3) for e in (1, 2)]
    assert_same_run(tmp_path / "tasks", whole)


@pytest.mark.parametrize("step", [3, STEPS, 3 * STEPS + 2, 6 * STEPS])
def test_a_run_goes_on_with_and_without_an_engine(step, whole, tmp_path):
    """After a step of the first member, after an epoch, within the second member, at the end of the last."""
    run = train_until(step, tmp_path / "run", ENSEMBLE, DIGITS)
    taken = list(resume(run, DIGITS, engine=InProcess()))
    assert len(taken) == 6 - (step - 1) // STEPS
    assert_same_run(run, whole)


def test_members_that_tasks_trained_are_kept_until_the_run_is_resumed(whole, tmp_path):
    stop = Event()
    stop.set()
    run = to_the_end(tmp_path / "run", engine=InProcess(), stop=stop)
    assert not (run / "metrics.json").exists()
    assert sorted(path.name for path in (run / "checkpoint").glob("member-?")) == [
        "member-1",
        "member-2",
        "member-3",
    ]
    for _ in resume(run, DIGITS):
        pass
    assert_same_run(run, whole)


def test_members_of_another_number_of_epochs_are_trained_anew(tmp_path):
    stop = Event()
    stop.set()
    run = to_the_end(tmp_path / "run", engine=InProcess(), stop=stop)
    for _ in resume(run, DIGITS, engine=InProcess(), epochs=3):
        pass
    expected = to_the_end(tmp_path / "expected", tiny(*MEMBERS, "epochs=3"))
    assert_same_weights(run, expected)


def test_a_network_without_members_is_refused_before_a_folder_is_made(tmp_path):
    message = refusal(lambda: train(DIGITS, tiny(*LINEAR), tmp_path / "run", engine=InProcess()))
    assert says(message, "tiny", "--set members=5", "--folds")
    assert not (tmp_path / "run").exists()


def outcome(folder: Path) -> dict:
    return json.loads((folder / "folds.json").read_text()) | {"seconds": 0}


def test_folds_as_tasks_are_the_same_to_the_bit(tmp_path):
    made = {"folds": 3, "seed": 4, "source": "made"}
    for name, engine in (("here", None), ("tasks", InProcess())):
        for run in cross_validate(DIGITS, tiny(*LINEAR), tmp_path / name, engine=engine, **made):
            assert len(list(run.records)) == 1
    assert outcome(tmp_path / "tasks") == outcome(tmp_path / "here")
    for number in (1, 2, 3):
        assert_same_weights(*(tmp_path / name / f"fold-{number}" for name in ("tasks", "here")))


def test_folds_that_are_stopped_are_resumed(tmp_path):
    stop = Event()
    stop.set()
    runs = cross_validate(DIGITS, tiny(*LINEAR), tmp_path / "cut", folds=2, engine=Busy(), stop=stop)
    assert list(runs) == []
    assert "results" not in outcome(tmp_path / "cut")
    assert resume_folds_to_the_end(tmp_path / "cut", DIGITS) == [1, 2]
    assert "results" in outcome(tmp_path / "cut")


def test_folds_that_diverge_leave_no_folder(tmp_path):
    runs = cross_validate(
        DIGITS,
        tiny(*LINEAR, "optimizer.learning_rate=1e38", "epochs=3"),
        tmp_path / "run",
        folds=2,
        engine=InProcess(),
    )
    assert says(refusal(lambda: list(runs)), "not a finite number")
    assert not (tmp_path / "run").exists()


def search(folder: Path, trials: int = 4, **options) -> list[tuple]:
    found = tune(DIGITS, tiny(*LINEAR), folder, trials=trials, ranges=RANGES, **options)
    return [(each.number, each.settings, each.errors) for each in found]


def test_trials_of_one_slot_are_those_without_an_engine(tmp_path):
    assert search(tmp_path / "slot", engine=Slots(1)) == search(tmp_path / "here")
    assert (tmp_path / "slot/best.toml").read_text() == (tmp_path / "here/best.toml").read_text()


def test_trials_of_several_slots_are_always_the_same_and_are_resumed(tmp_path):
    first = search(tmp_path / "first", 5, engine=Slots(2))
    assert search(tmp_path / "second", 5, engine=Slots(2)) == first
    assert [number for number, _, _ in first] == [1, 2, 3, 4, 5]
    stop = Event()
    stop.set()
    assert search(tmp_path / "third", 5, engine=Slots(3), stop=stop) == []
    assert [each[:2] for each in search(tmp_path / "third", 3)] == [each[:2] for each in first[:3]]


def test_tasks_are_given_as_they_end_until_a_stop():
    ended, running = Future(), Future()
    ended.set_result(1)
    tasks = completed([ended, running])
    assert next(tasks) is ended
    running.set_result(2)
    assert list(tasks) == [running]
    stop = Event()
    stop.set()
    assert list(completed([Future()], stop)) == []


def test_an_engine_in_this_process_maps_in_order_and_raises():
    engine = InProcess()
    assert list(engine.map(lambda: abs, [-1, 2, -3])) == [1, 2, 3]
    assert engine.submit(max, engine.share(3), 4).result() == 4
    with pytest.raises(ValueError, match="invalid literal"):
        engine.submit(int, "x").result()


def test_a_machine_without_the_folder_is_named(tmp_path):
    assert says(refusal(lambda: check_shared(tmp_path / "none")), "none", "share")


@pytest.mark.parametrize(
    ("place", "facts"),
    [
        ("ray://10.0.0.1:10001", ["ray://10.0.0.1:10001", "10.0.0.1:6379"]),
        ("cluster", ["'cluster'", "10.0.0.1:6379", "auto"]),
        (":6379", ["':6379'", "10.0.0.1:6379"]),
        ("127.0.0.1:99999", ["127.0.0.1:99999", "RAY_ADDRESS"]),
        ("127.0.0.1:1", ["127.0.0.1:1", "ray start --head", "RAY_ADDRESS"]),
    ],
)
def test_an_address_that_is_none_is_refused(place, facts):
    assert says(refusal(partial(ray_engine._connect, None, place, 1)), *facts)


class OtherVersion:
    """A Ray whose cluster has another version."""

    def shutdown(self) -> None:
        pass

    def init(self, **_: object) -> None:
        raise RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 9.9\n    Python: 3.9")


def test_a_cluster_of_another_version_is_one_sentence():
    message = refusal(lambda: ray_engine._connect(OtherVersion(), "local", 1))
    assert says(message, "local", "Version mismatch", "Ray: 9.9 Python: 3.9")


def test_without_ray_an_engine_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert says(refusal(ray_engine.RayEngine), "ray", 'pip install "digit-recognizer[ray]"')


@pytest.mark.parametrize("words", ["train bundled --folds 2", "tune flash bundled", "train bundled"])
def test_commands_say_it_before_they_read_anything(words, run_command, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "ray", None)
    assert_refused(run_command(f"{words} --engine ray"), "ray", 'pip install "digit-recognizer[ray]"')
    assert list(tmp_path.iterdir()) == []
