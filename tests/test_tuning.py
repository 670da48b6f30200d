"""The search for settings: what is searched, a study that goes on, and the best recipe it leaves."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from threading import Event
from typing import Any

import optuna
import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from digit_recognizer.digits import Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.recipes import load_recipe, recipe_names
from digit_recognizer.recipes.recipe import recipe_from_toml, recipe_to_toml
from digit_recognizer.recipes.schema import Augmentation
from digit_recognizer.runs import run_folder
from digit_recognizer.runs.history import EpochRecord
from digit_recognizer.search import search as tuning
from digit_recognizer.search.search import Trial, choose_ranges, tune
from digit_recognizer.search.space import Range, parse_ranges, settings_of
from digit_recognizer.training.trainer import DivergedError, train
from helpers import TINY, csv_of, files_in, follow_until, make_digits, tiny

pytestmark = pytest.mark.usefixtures("one_thread")

DIGITS = make_digits(noise=255)  # 255 wraps around: hard to read, so that there are errors to count
SMALL = ('network=["maxpool 4", "dense 10"]', "epochs=1")
RANGES = ("batch_size=16..64", "optimizer.learning_rate=0.001..0.1")
OWN = {"batch_size": 32, "optimizer.learning_rate": 0.01}  # the recipe's values of these
STEPS = 5  # of the first trial: 160 images, 32 a batch
LEFT = [".lock", "best.toml", "study.db"]
WITHOUT_BEST = [".lock", "study.db"]


def search(folder: Path, trials: int, *settings: str, ranges=RANGES, digits=DIGITS, **options):
    return tune(
        digits, tiny(*SMALL, *settings), folder, trials=trials, ranges=parse_ranges(ranges), **options
    )


def changed(trial: Trial):
    """Return the recipe of a trial."""
    return tiny(*SMALL, *(f"{key}={value}" for key, value in trial.settings.items()))


@pytest.fixture
def scripted(monkeypatch):
    """Return a function that makes each training give as many errors, epoch by epoch; None: it diverges."""

    def script(*trials):
        left = iter(trials)

        def instead(*_, **__):
            for epoch, errors in enumerate(next(left), start=1):
                if errors is None:
                    raise DivergedError("the loss is no longer a number")
                yield EpochRecord(
                    epoch=epoch,
                    learning_rate=0.1,
                    loss=1.0,
                    accuracy=0.5,
                    validation_loss=1.0,
                    validation_accuracy=0.5,
                    validation_errors=errors,
                    seconds=1.0,
                    images_per_second=1.0,
                )

        monkeypatch.setattr(tuning, "train", instead)

    return script


# Ranges


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("batch_size=64..512", Range("batch_size", 64, 512)),
        ("batch_size=64..640", Range("batch_size", 64, 640, logarithmic=True)),
        (" epochs = 1 .. 3 ", Range("epochs", 1, 3)),
        ("augmentation.rotation=0..20", Range("augmentation.rotation", 0, 20)),
        ("augmentation.rotation=0..20.0", Range("augmentation.rotation", 0.0, 20.0)),
        (
            "optimizer.learning_rate=0.001..0.1",
            Range("optimizer.learning_rate", 0.001, 0.1, logarithmic=True),
        ),
        (
            "optimizer.learning_rate=1e-4..1e-2",
            Range("optimizer.learning_rate", 1e-4, 1e-2, logarithmic=True),
        ),
        ("optimizer.learning_rate=.01...05", Range("optimizer.learning_rate", 0.01, 0.05)),
        ("optimizer.beta_1=0.8..0.99", Range("optimizer.beta_1", 0.8, 0.99)),
        ("x=-1..1", Range("x", -1.0, 1.0)),
    ],
)
def test_a_range_is_read(text, expected):
    (found,) = parse_ranges([text])
    assert found == expected
    assert (type(found.low), type(found.high)) == (type(expected.low), type(expected.high))


@pytest.mark.parametrize(
    "text",
    [
        *("", "epochs", "epochs=", "epochs=3", "epochs=1..", "epochs=..3", "=1..3", " =1..3", "epochs=1-3"),
        *("epochs=one..two", "epochs=1..2..3", "x=0..inf", "x=nan..1", "x=-inf..1"),
    ],
)
def test_a_range_that_is_none_is_quoted(text):
    with pytest.raises(DigitsError) as error:
        parse_ranges(["epochs=1..3", text])
    expected = f"expected a range such as optimizer.learning_rate=0.001..0.1, got {text!r}"
    assert str(error.value) == expected


@pytest.mark.parametrize("text", ["epochs=3..1", "epochs=2..2", "x=0.1..0.01", "x=1..1.0"])
def test_a_range_whose_ends_stand_the_wrong_way_is_quoted(text):
    with pytest.raises(DigitsError) as error:
        parse_ranges(["epochs=1..3", text])
    assert str(error.value) == f"the lower end of a range must be below the upper, got {text!r}"


def searched(*texts, recipe=None, fixed=()):
    """Return what a search of ranges tries; of none: of the recipe's own."""
    return choose_ranges(DIGITS, recipe or tiny(), parse_ranges(texts) if texts else None, fixed=fixed)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("augmentation.rotation=0..20", Range("augmentation.rotation", 0.0, 20.0)),
        ("label_smoothing=0..0.5", Range("label_smoothing", 0.0, 0.5)),
        ("optimizer.learning_rate=1..10", Range("optimizer.learning_rate", 1.0, 10.0, logarithmic=True)),
        ("batch_size=1..160", Range("batch_size", 1, 160, logarithmic=True)),
        ("shifts.pixels=1..3", Range("shifts.pixels", 1, 3)),
        ("stopping.min_delta=0..1", Range("stopping.min_delta", 0.0, 1.0)),
    ],
)
def test_the_setting_decides_whether_whole_numbers_are_searched(text, expected):
    recipe = tiny("stopping={monitor='loss', patience=3}")
    (found,) = searched(text, recipe=recipe)
    assert found == expected
    assert (type(found.low), type(found.high)) == (type(expected.low), type(expected.high))
    assert searched(text.replace("0..", "0.0.."), recipe=recipe) == (found,)


@pytest.mark.parametrize(("batch", "expected"), [(60, (30, 120)), (100, (50, 160)), (160, (80, 160))])
def test_the_default_range_of_batches_ends_at_the_training_images(batch, expected):
    found = {each.key: each for each in searched(recipe=tiny(f"batch_size={batch}"))}["batch_size"]
    assert (found.low, found.high) == expected


def test_what_is_set_is_not_searched_by_default():
    assert "optimizer.beta_1" in [each.key for each in searched()]
    found = searched(fixed={"optimizer.beta_1", "batch_size"})
    assert [each.key for each in found] == ["optimizer.learning_rate", "optimizer.beta_2"]


def own_values(recipe) -> dict[str, object]:
    """Return a recipe's values under their dotted keys."""
    table = asdict(recipe)
    values = {key: value for key, value in table.items() if not isinstance(value, dict)}
    for name, part in table.items():
        if isinstance(part, dict):
            values |= {f"{name}.{key}": value for key, value in part.items()}
    return values


EVERYTHING = (
    "augmentation={rotation=170, zoom=0.4, shift=0.3, shear=0.0}",
    "schedule={name='one-cycle', warmup=0.5}",
    "optimizer={name='muon', momentum=0.1}",
    "label_smoothing=0.45",
    "shifts={pixels=2}",
    "teacher.run=runs/best",
    "members=3",
)


@pytest.mark.parametrize("name", [*recipe_names(), "everything", "tiny adamw", "least"])
def test_what_is_searched_by_default_lies_around_the_recipes_own_numbers(name):
    own = {
        "everything": tiny(*EVERYTHING),
        "tiny adamw": tiny("optimizer={name='adamw'}"),
        "least": tiny("batch_size=1", "optimizer={name='rmsprop', rho=0.0}"),
    }
    recipe = own.get(name) or load_recipe(name)
    values = own_values(recipe)
    found = settings_of(recipe)
    assert {"batch_size", "optimizer.learning_rate"} <= {each.key for each in found}
    assert len({each.key for each in found}) == len(found)
    for each in found:
        value = values[each.key]
        assert isinstance(value, int | float)
        assert not isinstance(value, bool)
        assert each.low <= value <= each.high
        assert each.low < each.high
        assert isinstance(each.low, int) == isinstance(each.high, int) == isinstance(value, int)
        assert each.low > 0 or not each.logarithmic
        for end in (each.low, each.high):  # both are settings that a recipe may have
            recipe_from_toml(recipe_to_toml(recipe), name, [f"{each.key}={end}"])


def test_what_is_searched_by_default_is_what_the_documentation_says():
    found = {each.key: each for each in settings_of(tiny(*EVERYTHING, "batch_size=100"))}
    assert found.keys() == {
        *("batch_size", "label_smoothing", "schedule.warmup"),
        *("augmentation.rotation", "augmentation.zoom", "augmentation.shift"),  # a shear of 0 stays
        *("optimizer.learning_rate", "optimizer.momentum", "optimizer.weight_decay", "optimizer.vectors"),
    }
    assert found["batch_size"] == Range("batch_size", 50, 200, logarithmic=True)
    assert found["augmentation.rotation"] == Range("augmentation.rotation", 0.0, 180)
    assert found["augmentation.shift"] == Range("augmentation.shift", 0.0, 0.6)
    assert found["label_smoothing"] == Range("label_smoothing", 0.0, 0.9)
    rate = found["optimizer.learning_rate"]
    assert (rate.low, rate.high, rate.logarithmic) == (0.02 / 4, 0.02 * 4, True)


def test_betas_are_searched_by_their_distance_to_one():
    found = {each.key: each for each in settings_of(tiny())}["optimizer.beta_1"]
    assert (found.low, found.high) == (pytest.approx(0.6), pytest.approx(0.975))


# Trials


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> Path:
    """A study of one trial, to be copied."""
    folder = tmp_path_factory.mktemp("studies") / "begun"
    list(search(folder, 1))
    return folder


@pytest.fixture
def copy(begun, tmp_path) -> Path:
    """A copy of that study."""
    return shutil.copytree(begun, tmp_path / "copy")


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> tuple[Path, list[Trial]]:
    """A search that was never interrupted, and its trials."""
    folder = tmp_path_factory.mktemp("studies") / "whole"
    return folder, list(search(folder, 4, seed=2))


def test_the_first_trial_is_the_recipe_itself(study):
    first, *others = study[1]
    assert first.settings == OWN
    assert changed(first) == tiny(*SMALL)
    assert all(each.settings != first.settings for each in others)


def test_the_first_trial_without_ranges_is_the_recipe_itself_too(tmp_path):
    recipe = tiny(*SMALL, "label_smoothing=0.1", augmentation=Augmentation(zoom=0.1))
    (trial,) = tune(DIGITS, recipe, tmp_path, trials=1)
    assert list(trial.settings) == [each.key for each in settings_of(recipe)]
    assert load_recipe(tmp_path / "best.toml") == recipe


def test_an_own_value_outside_its_range_is_drawn_inside(tmp_path):
    (trial,) = search(tmp_path, 1, ranges=["batch_size=40..64", "optimizer.learning_rate=0.001..0.1"])
    assert 40 <= trial.settings["batch_size"] <= 64
    assert trial.settings["optimizer.learning_rate"] == 0.01


def test_trials_draw_inside_their_ranges(study):
    assert [trial.number for trial in study[1]] == [1, 2, 3, 4]
    for trial in study[1]:
        assert isinstance(trial.settings["batch_size"], int)
        assert 16 <= trial.settings["batch_size"] <= 64
        assert 0.001 <= trial.settings["optimizer.learning_rate"] <= 0.1


def test_a_trials_errors_are_those_of_a_training_with_its_settings_and_the_searchs_seed(study, tmp_path):
    for trial in study[1]:
        *_, last = train(DIGITS, changed(trial), tmp_path / str(trial.number), seed=2)
        assert (trial.errors, trial.epochs) == (last.validation_errors, 1)
    assert len({trial.errors for trial in study[1]}) > 1


def test_the_seed_decides_what_is_tried(study, tmp_path):
    assert list(search(tmp_path / "again", 2, seed=2)) == study[1][:2]
    assert list(search(tmp_path / "other", 2, seed=3))[1].settings != study[1][1].settings


def test_the_best_recipe_is_that_of_the_best_trial(study):
    folder, trials = study
    fewest = min(trial.errors for trial in trials)
    best = next(trial for trial in trials if trial.errors == fewest)
    assert load_recipe(folder / "best.toml") == changed(best)
    assert files_in(folder) == LEFT


def test_a_trial_is_the_best_only_with_fewer_errors_than_all_before(scripted, tmp_path):
    scripted([5], [7], [3], [3], [4])
    trials = list(search(tmp_path, 5))
    assert [trial.errors for trial in trials] == [5, 7, 3, 3, 4]
    assert [trial.is_best for trial in trials] == [True, False, True, False, False]
    assert load_recipe(tmp_path / "best.toml") == changed(trials[2])


def test_a_trial_is_judged_by_its_last_epoch(scripted, tmp_path):
    scripted([1, 9], [2, 8])
    trials = list(search(tmp_path, 2))
    assert [(trial.errors, trial.epochs, trial.is_best) for trial in trials] == [(9, 2, True), (8, 2, True)]


def test_a_trial_that_is_far_behind_is_ended_early_and_counts(scripted, tmp_path):
    scripted(*[[1, 1, 1]] * 5, [9, 9, 0], [1, 1, 0])
    trials = list(search(tmp_path, 7, "epochs=3"))
    assert [trial.number for trial in trials] == [1, 2, 3, 4, 5, 6, 7]
    assert trials[5].errors is None
    assert trials[5].epochs < 3
    assert (trials[6].errors, trials[6].is_best) == (0, True)


def test_a_trial_that_diverges_is_given_up_and_counts(scripted, tmp_path):
    scripted([4], [None], [3, None], [2])
    trials = list(search(tmp_path, 4))
    assert [(trial.number, trial.errors, trial.epochs) for trial in trials] == [
        (1, 4, 1),
        (2, None, 0),
        (3, None, 1),
        (4, 2, 1),
    ]
    assert [trial.is_best for trial in trials] == [True, False, False, True]
    assert list(search(tmp_path, 4)) == []


def test_a_search_in_which_all_diverge_has_no_best_recipe(tmp_path):
    recipe = tiny("epochs=1", network=("conv 4 3x3", "dense 10"))  # overflows; a ReLU might hide it
    ranges = parse_ranges(["optimizer.learning_rate=1e30..1e33"])
    trials = list(tune(DIGITS, recipe, tmp_path / "search", trials=2, ranges=ranges))
    assert [(trial.number, trial.errors, trial.is_best) for trial in trials] == [
        (1, None, False),
        (2, None, False),
    ]
    assert files_in(tmp_path / "search") == WITHOUT_BEST


# Going on


def test_a_search_that_has_all_its_trials_does_nothing(copy, monkeypatch):
    before = (copy / "best.toml").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(tuning, "train", None)
        assert list(search(copy, 1)) == []
    assert (copy / "best.toml").read_bytes() == before
    assert files_in(copy) == LEFT
    assert [trial.number for trial in search(copy, 2)] == [2]


def test_trials_are_counted_in_all(tmp_path):
    first = list(search(tmp_path, 2))
    later = list(search(tmp_path, 4))
    assert [trial.number for trial in (*first, *later)] == [1, 2, 3, 4]
    assert len({tuple(trial.settings.values()) for trial in (*first, *later)}) == 4  # none drawn twice


def test_what_was_best_before_stays_until_a_trial_is_better(scripted, tmp_path):
    scripted([5], [3], [4], [2])
    second = list(search(tmp_path, 2))[1]
    (third,) = search(tmp_path, 3)
    assert not third.is_best
    assert load_recipe(tmp_path / "best.toml") == changed(second)
    (fourth,) = search(tmp_path, 4)
    assert fourth.is_best
    assert load_recipe(tmp_path / "best.toml") == changed(fourth)


def test_who_takes_no_more_trials_has_those_taken(tmp_path):
    trials = search(tmp_path, 5)
    next(trials)
    next(trials)
    trials.close()
    assert files_in(tmp_path) == LEFT
    assert not (tmp_path / "trial").exists()
    assert [trial.number for trial in search(tmp_path, 3)] == [3]


def test_a_folder_may_have_any_name(tmp_path):
    folder = tmp_path / "is 100 % enough?" / "50%25 #1"
    folder.mkdir(parents=True)
    list(search(folder, 1))
    assert files_in(folder) == LEFT
    assert [trial.number for trial in search(folder, 2)] == [2]


def test_a_stop_in_mid_trial_leaves_a_study_that_goes_on(tmp_path):
    follow_until(STEPS + 1, lambda **options: search(tmp_path, 3, **options))
    assert files_in(tmp_path) == LEFT
    assert not (tmp_path / "trial").exists()
    assert [trial.number for trial in search(tmp_path, 3)] == [2, 3]
    assert list(search(tmp_path, 3)) == []


def test_a_stop_in_the_first_trial_counts_none(tmp_path):
    stop = Event()
    stop.set()
    assert list(search(tmp_path, 2, stop=stop)) == []
    assert files_in(tmp_path) == WITHOUT_BEST
    first, second = search(tmp_path, 2)
    assert (first.number, second.number) == (1, 2)
    assert first.settings == OWN
    assert second.settings != OWN


def test_an_interruption_in_mid_trial_leaves_a_study_that_goes_on(tmp_path):
    steps = []

    def interrupt(progress):
        steps.append(progress)
        if len(steps) == STEPS + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(search(tmp_path, 3, on_step=interrupt))
    assert files_in(tmp_path) == LEFT
    assert not (tmp_path / "trial").exists()
    assert [trial.number for trial in search(tmp_path, 3)] == [2, 3]


def test_what_a_killed_trial_left_is_taken_away(copy):
    list(train(DIGITS, tiny(*SMALL), copy / ".trial-killed"))
    assert [trial.number for trial in search(copy, 2)] == [2]
    assert files_in(copy) == LEFT


def states(folder: Path) -> list[str]:
    """Return Optuna's states of the trials of a study."""
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{folder / 'study.db'}")
    return [trial.state.name for trial in study.trials]


KILLED = """
import os
from digit_recognizer.search import search as tuning
from digit_recognizer.search.space import parse_ranges
from helpers import make_digits, tiny
def killed(*arguments, **options):
    os.kill(os.getpid(), 9)
tuning.train = killed
ranges = parse_ranges({ranges})
list(tuning.tune(make_digits(noise=255), tiny(*{settings}), "search", trials=2, ranges=ranges))
"""


def test_a_kill_in_the_first_trial_does_not_lose_the_recipes_own_values(tmp_path):
    paths = [str(Path(tuning.__file__).parents[2]), str(Path(__file__).parent)]
    ended = subprocess.run(
        [sys.executable, "-c", KILLED.format(ranges=RANGES, settings=SMALL)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    folder = tmp_path / "search"
    assert states(folder) == ["RUNNING"]
    trials = list(search(folder, 2))
    assert states(folder) == ["FAIL", "COMPLETE", "COMPLETE"]
    assert [trial.number for trial in trials] == [1, 2]
    assert [trial.settings == OWN for trial in trials] == [True, False]
    assert files_in(folder) == LEFT


def test_a_first_trial_that_fails_for_a_reason_outside_is_tried_again(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise DigitsError("no space left on device")

    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr(tuning, "train", fail)
            with pytest.raises(DigitsError, match="no space left"):
                list(search(tmp_path, 2))
    assert [trial.settings == OWN for trial in search(tmp_path, 3)] == [True, False, False]
    list(search(tmp_path, 3))
    assert states(tmp_path) == ["FAIL", "FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]


def test_a_first_trial_that_diverged_is_not_tried_again(scripted, tmp_path):
    scripted([None], [3])
    assert [trial.errors for trial in search(tmp_path, 1)] == [None]
    (second,) = search(tmp_path, 2)
    assert second.settings != OWN


@pytest.mark.parametrize("lost", [Path.unlink, lambda path: path.write_text("name = 'another'")])
def test_a_best_recipe_that_was_lost_is_written_again(lost, scripted, tmp_path):
    scripted([5], [3], [3], [4])
    second = list(search(tmp_path, 4))[1]
    lost(tmp_path / "best.toml")
    assert list(search(tmp_path, 4)) == []
    assert load_recipe(tmp_path / "best.toml") == changed(second)


def test_two_cannot_search_in_one_folder(copy):
    trials = search(copy, 3)
    (copy / ".trial-of-the-first").mkdir()
    for _ in range(2):
        with pytest.raises(DigitsError) as error:
            search(copy, 3)
        assert str(error.value) == f"another process is searching in {copy}: wait for it, or end it"
        next(trials)
    assert (copy / ".trial-of-the-first").exists()
    trials.close()
    assert list(search(copy, 3)) == []


# What is refused


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"settings": ("epochs=2",)}, "recipe"),
        ({"settings": ("optimizer.learning_rate=0.02",)}, "recipe"),
        ({"digits": make_digits(noise=255, seed=1)}, "digits"),
        ({"ranges": RANGES[:1]}, "ranges"),
        ({"ranges": RANGES[::-1]}, "ranges"),
        ({"ranges": ("batch_size=16..65", RANGES[1])}, "ranges"),
        ({"seed": 1}, "seed"),
        ({"seed": 1, "settings": ("epochs=2",)}, "recipe and seed"),
        ({"seed": 1, "settings": ("epochs=2",), "ranges": RANGES[:1]}, "recipe, ranges and seed"),
    ],
)
def test_a_study_of_something_else_is_refused_by_name(changes, named, copy):
    before = (copy / "best.toml").read_bytes()
    with pytest.raises(DigitsError) as error:
        search(copy, 2, *changes.pop("settings", ()), **changes)
    assert str(error.value) == (
        f"{copy} holds a study with other {named}: "
        "go on with what it was begun with, or name another folder with --out"
    )
    assert (copy / "best.toml").read_bytes() == before
    assert list(search(copy, 1)) == []  # it is as it was


@contextmanager
def limited_by(pragma: str) -> Iterator[None]:
    """Have SQLite write no more, as it does where the file system lets it not."""

    def limit(connection: Any, *_: Any) -> None:
        connection.execute(f"PRAGMA {pragma}")

    event.listen(Pool, "checkout", limit)
    try:
        yield
    finally:
        event.remove(Pool, "checkout", limit)


def replace_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("pragma", "cause"),
    [
        ("query_only=ON", "attempt to write a readonly database"),
        ("max_page_count=1", "database or disk is full"),
    ],
)
def test_a_study_that_cannot_be_written_is_not_called_damaged(pragma, cause, tmp_path):
    with limited_by(pragma), pytest.raises(DigitsError) as error:
        search(tmp_path, 3)
    assert str(error.value) == f"cannot write into {tmp_path}: {cause}"


def test_a_study_that_can_no_longer_be_written_is_named_in_mid_search(copy):
    trials = search(copy, 3)
    next(trials)
    with limited_by("query_only=ON"), pytest.raises(DigitsError) as error:
        next(trials)
    assert str(error.value) == f"cannot write into {copy}: attempt to write a readonly database"
    assert [trial.number for trial in search(copy, 3)] == [3]


def test_a_study_that_cannot_be_opened_is_not_called_damaged(copy):
    replace_by_a_folder(copy / "study.db")
    with pytest.raises(DigitsError) as error:
        search(copy, 2)
    assert str(error.value) == f"cannot write into {copy}: unable to open database file"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("optimizer.momentum=0.1..0.9", "tiny: there is no key 'optimizer.momentum'"),
        ("batch=1..3", "tiny: there is no key 'batch'"),
        ("name=1..3", "name is no number that can be searched"),
        ("optimizer=1..2", "optimizer is no number that can be searched"),
        ("optimizer.name=1..2", "optimizer.name is no number that can be searched"),
        ("augmentation=1..2", "augmentation is no number that can be searched"),
        (
            "split.validation=0.1..0.5",
            "split.validation cannot be searched: it decides which images judge a trial, and errors on other "
            "images say nothing about which settings are better",
        ),
        (
            "batch_size=64..1000000",
            "batch_size=64..1000000: there are 160 training images, so the upper end can be 160 at most",
        ),
        (
            "batch_size=161..500",
            "batch_size=161..500: there are 160 training images, so the upper end can be 160 at most",
        ),
        ("epochs.more=1..3", "setting 'epochs.more=1': 'epochs' has no parts"),
        ("batch_size=0..3", "tiny: batch_size: input should be greater than or equal to 1, got 0"),
        ("batch_size=0.5..3", "tiny: batch_size: input should be a valid integer, got 0.5"),
        ("optimizer.beta_1=1..3", "tiny: optimizer.beta_1: input should be less than 1, got 1"),
    ],
)
def test_a_key_that_cannot_be_searched_is_refused_and_nothing_written(text, sentence, tmp_path):
    with pytest.raises(DigitsError) as error:
        search(tmp_path / "new", 1, ranges=[text])
    assert str(error.value) == sentence
    assert not (tmp_path / "new").exists()


def test_a_recipe_that_holds_no_images_out_is_refused(tmp_path):
    with pytest.raises(DigitsError) as error:
        search(tmp_path / "new", 1, "split.validation=0")
    expected = "tiny holds no images out to judge a trial by: add --set split.validation=0.1"
    assert str(error.value) == expected
    assert not (tmp_path / "new").exists()


def test_a_search_for_nothing_is_refused(tmp_path):
    with pytest.raises(DigitsError) as error:
        search(tmp_path / "new", 1, ranges=[])
    assert str(error.value) == "tiny has no settings to search: name some, such as batch_size=64..512"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("ranges", [None, parse_ranges(["optimizer.learning_rate=0.001..0.1"])])
def test_a_recipe_whose_batch_is_larger_than_there_are_images_is_refused(ranges, tmp_path):
    with pytest.raises(DigitsError) as error:
        tune(DIGITS, tiny(*SMALL, "batch_size=200"), tmp_path / "new", trials=1, ranges=ranges)
    assert str(error.value) == (
        "160 training images are fewer than a batch of 200: "
        "bring more, or make it smaller with --set batch_size=160"
    )
    assert not (tmp_path / "new").exists()


def test_a_batch_that_is_searched_may_be_too_large_in_the_recipe(tmp_path):
    (trial,) = search(tmp_path, 1, "batch_size=200")
    assert 16 <= trial.settings["batch_size"] <= 64


@pytest.mark.parametrize(
    ("settings", "options", "sentence"),
    [
        ((), {"digits": Digits(DIGITS.images)}, "the digits have no labels: "),
        ((), {"device": "cuda:99"}, "cannot compute on device 'cuda:99': "),
        (('network=["maxpool 40", "dense 10"]',), {}, "network line 1 ('maxpool 40'): "),
        (("teacher.run=none",), {}, "the teacher none is missing: "),
    ],
)
def test_what_cannot_be_trained_is_refused_and_nothing_written(settings, options, sentence, tmp_path):
    with pytest.raises(DigitsError) as error:
        search(tmp_path / "new", 1, *settings, **options)
    assert str(error.value).startswith(sentence)
    assert not (tmp_path / "new").exists()


def test_a_teacher_that_held_no_images_out_is_refused(tmp_path, trained):
    teacher = trained("pixels")
    with pytest.raises(DigitsError) as error:
        search(tmp_path / "new", 1, f"teacher.run={teacher}", digits=make_digits())
    assert str(error.value) == f"the teacher {teacher} held no images out to judge a trial by"


def test_a_pupils_settings_are_searched(tmp_path, trained):
    teacher = trained("hidden")
    (trial,) = search(
        tmp_path, 1, f"teacher.run={teacher}", digits=make_digits(), ranges=["teacher.weight=0.5..1"]
    )
    assert trial.settings == {"teacher.weight": 0.9}


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        (run_folder.ENVIRONMENT, "is a run folder: name another for the study, with --out"),
        (run_folder.FOLDS, "holds a cross-validation: name another folder for the study, with --out"),
    ],
)
def test_a_folder_of_something_else_is_refused(file, sentence, tmp_path):
    (tmp_path / file).write_text("{}")
    with pytest.raises(DigitsError) as error:
        search(tmp_path, 1)
    assert str(error.value) == f"{tmp_path} {sentence}"
    assert files_in(tmp_path) == [file]


def test_a_setting_that_is_set_cannot_be_searched():
    with pytest.raises(DigitsError) as error:
        searched("batch_size=16..64", fixed={"batch_size"})
    expected = "batch_size is to be set and to be searched: name it with --set or with --search"
    assert str(error.value) == expected


# The command line


@pytest.fixture
def digits(monkeypatch, run_command, tmp_path):
    """Return a function that runs a command beside digits and a recipe: status, output, errors."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made.csv").write_text(csv_of(DIGITS))
    network = 'network = ["maxpool 4", "dense 10"]'
    (tmp_path / "tiny.toml").write_text(re.sub("^network = .*$", network, TINY, flags=re.MULTILINE))

    return run_command


TUNE = "tune tiny.toml made.csv --out new --search batch_size=16..64"


def test_a_search_says_where_and_what_in_words(digits, scripted):
    scripted([3])
    command = "tune tiny.toml made.csv --out new --trials 1 --search epochs=2..100000"
    lines = digits(f"{command} --search optimizer.learning_rate=1..2")[1].splitlines()
    assert lines[0] == "Searching in new, 1 trial in all:"
    assert [line.split(maxsplit=1)[1] for line in lines[1:3]] == ["2 to 100,000", "1 to 2"]


def test_what_is_set_stays_as_it_is(digits, tmp_path):
    fixed = "--set epochs=1 --set optimizer.learning_rate=0.03"
    status, output, errors = digits(f"tune tiny.toml made.csv --out new --trials 2 {fixed}")
    assert (status, errors) == (0, "")
    assert "optimizer.beta_1" in output
    assert "optimizer.learning_rate" not in output
    best = load_recipe(tmp_path / "new/best.toml")
    assert (best.epochs, best.optimizer.learning_rate) == (1, 0.03)
    status, _, errors = digits(f"tune tiny.toml made.csv --out new --trials 2 {fixed} --set epochs=2")
    assert status == 2
    assert errors.startswith("digits: new holds a study with other recipe: ")


def test_what_a_refusal_advises_to_set_helps(digits):
    command = "tune tiny.toml made.csv --out new --trials 1 --set split.validation"
    status, _, errors = digits(f"{command}=0")
    assert status == 2
    assert errors.endswith(": add --set split.validation=0.1\n")
    assert digits(f"{command}=0.1")[0] == 0


def test_a_best_recipe_that_was_lost_is_shown_again(digits, tmp_path):
    assert digits(f"{TUNE} --trials 1")[0] == 0
    (tmp_path / "new/best.toml").unlink()
    assert "Best        new/best.toml" in digits(f"{TUNE} --trials 1")[1]


def test_a_search_shows_each_trial_and_what_to_type_next(digits, tmp_path):
    status, output, errors = digits(f"{TUNE} --trials 2")
    assert (status, errors) == (0, "")
    lines = output.splitlines()
    assert lines[0] == "Searching in new, 2 trials in all:"
    assert lines[1].split() == ["batch_size", "16", "to", "64"]
    assert re.fullmatch(r"trial   1  +\d+ errors? after 2 epochs  \(best so far\)  batch_size=32", lines[2])
    assert lines[3].startswith("trial   2  ")
    assert lines[4] == "Best        new/best.toml"
    assert lines[5].startswith("Next        ")
    assert files_in(tmp_path / "new") == LEFT
    status, output, errors = digits(lines[5].partition("digits ")[2])
    assert (status, errors) == (0, "")
    assert "Training tiny on 200 images" in output


def test_a_search_goes_on_by_the_same_command(digits):
    assert digits(f"{TUNE} --trials 2")[0] == 0
    status, output, errors = digits(f"{TUNE} --trials 3")
    assert (status, errors) == (0, "")
    assert [line.split()[1] for line in output.splitlines() if line.startswith("trial ")] == ["3"]
    status, output, errors = digits(f"{TUNE} --trials 3")
    assert (status, errors) == (0, "")
    assert "trial " not in output.partition("\n")[2]
    assert "Best        new/best.toml" in output


def test_a_search_as_json_is_one_object_a_line(digits, tmp_path):
    status, output, errors = digits(f"{TUNE} --trials 2 --seed 3 --json")
    assert (status, errors) == (0, "")
    searching, *trials, searched = [json.loads(line) for line in output.splitlines()]
    assert searching == {
        "event": "searching",
        "study": "new",
        "trials": 2,
        "ranges": [{"key": "batch_size", "low": 16, "high": 64, "logarithmic": False}],
    }
    again = tune(
        DIGITS,
        load_recipe("tiny.toml"),
        tmp_path / "again",
        trials=2,
        ranges=parse_ranges(["batch_size=16..64"]),
        seed=3,
    )
    assert trials == [{"event": "trial", **asdict(trial)} for trial in again]
    assert searched["event"] == "searched"
    assert searched["best"] == "new/best.toml"
    assert searched["next"].endswith("train made.csv --recipe new/best.toml")


def test_without_ranges_and_folder_a_search_takes_the_recipes_own(digits, tmp_path):
    status, output, errors = digits("tune tiny.toml made.csv --trials 1 --json")
    assert (status, errors) == (0, "")
    searching = json.loads(output.splitlines()[0])
    assert searching["ranges"] == [asdict(each) for each in settings_of(load_recipe("tiny.toml"))]
    assert searching["study"] == "runs/tune-tiny"
    assert files_in(tmp_path / "runs/tune-tiny") == LEFT


def test_a_search_in_which_nothing_came_to_an_end_says_so(digits, scripted):
    scripted([None])
    status, output, errors = digits(f"{TUNE} --trials 1")
    assert (status, errors) == (0, "")
    assert "    given up after 0 epochs  batch_size=32" in output
    assert output.splitlines()[-1] == "No trial came to an end."


def test_a_search_in_which_nothing_came_to_an_end_has_no_best_in_json(digits, scripted):
    scripted([None])
    lines = digits(f"{TUNE} --trials 1 --json")[1].splitlines()
    assert json.loads(lines[1])["errors"] is None
    assert json.loads(lines[2])["best"] is None


@pytest.mark.parametrize("as_json", [False, True])
def test_a_stopped_search_says_how_to_go_on(as_json, digits, tmp_path, monkeypatch):
    def stop_at_once(*arguments, **options):
        options["stop"].set()
        return train(*arguments, **options)

    command = f"{TUNE} --trials 2{' --json' if as_json else ''}"
    with monkeypatch.context() as patched:
        patched.setattr(tuning, "train", stop_at_once)
        status, output, errors = digits(command)
    assert (status, errors) == (130, "")
    assert files_in(tmp_path / "new") == WITHOUT_BEST
    if as_json:
        stopped = json.loads(output.splitlines()[-1])
        assert (stopped["event"], stopped["study"]) == ("stopped", "new")
    else:
        assert output.splitlines()[-2] == "Stopped; the study is in new. Go on with:"
    last = output.splitlines()[-1]
    go_on = json.loads(last)["resume"] if as_json else last.strip()
    assert go_on.endswith(command)
    status, output, errors = digits(go_on.partition("digits ")[2])
    assert (status, errors) == (0, "")
    assert files_in(tmp_path / "new") == LEFT


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (
            f"{TUNE} --search batch_size=64",
            "expected a range such as optimizer.learning_rate=0.001..0.1, got",
        ),
        (f"{TUNE} --search batch=1..3", "tiny.toml: there is no key 'batch'"),
        (TUNE.replace("16..64", "200..900"), "batch_size=200..900: there are 160 training images, so"),
        (f"{TUNE} --set batch_size=32", "batch_size is to be set and to be searched: "),
        (f"{TUNE} --set batch=32", "tiny.toml: there is no key 'batch'"),
        (f"{TUNE} --set teacher.run=none", "the teacher none is missing: "),
        (f"{TUNE} --set 'network=[\"dense 9\"]'", "the network ends with 9 values; "),
        (f"{TUNE} --device cuda:99", "cannot compute on device 'cuda:99': "),
        (TUNE.replace("--out new", "--out ''"), "'.' cannot hold a study: name a folder, such as --out"),
        (TUNE.replace("tiny.toml", "lenet"), "there is no recipe 'lenet'"),
        (TUNE.replace("tiny.toml", "best"), "best holds no images out to judge a trial by"),
        (TUNE.replace("made.csv", "none.csv"), "none.csv: no such file or folder"),
        (TUNE.replace("--out new", "--out made.csv"), "cannot write the folder made.csv: File exists"),
        (
            TUNE.replace("--out new", "--out made.csv/new"),
            "cannot write the folder made.csv/new: Not a directory",
        ),
        (f"{TUNE} --device banana", "expected a device auto, cpu, cuda or cuda:1, got 'banana'"),
    ],
)
def test_what_a_user_can_put_right_is_one_sentence_and_status_2(command, sentence, digits):
    status, output, errors = digits(command)
    assert (status, output) == (2, "")
    assert not Path("new").exists()
    assert errors.replace("digits: tiny: ", "digits: tiny.toml: ").startswith(f"digits: {sentence}")
    assert errors.count("\n") == 1


def test_a_study_of_another_seed_is_one_sentence(digits):
    assert digits(f"{TUNE} --trials 1")[0] == 0
    status, output, errors = digits(f"{TUNE} --trials 2 --seed 1")
    assert (status, output) == (2, "")
    assert errors.startswith("digits: new holds a study with other seed: ")


@pytest.mark.parametrize("option", ["--trials 0", "--seed -1", "--trials many"])
def test_a_wrong_option_is_status_2_too(option, digits):
    status, output, errors = digits(f"{TUNE} {option}")
    assert (status, output) == (2, "")
    assert "Usage: " in errors


def test_a_folder_of_the_users_own_called_trial_is_left_alone(tmp_path):
    (tmp_path / "trial").mkdir()
    (tmp_path / "trial/precious").write_text("mine")
    list(search(tmp_path, 1))
    assert (tmp_path / "trial/precious").read_text() == "mine"
