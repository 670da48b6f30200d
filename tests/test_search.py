"""Search of settings: what is searched, a study that can be resumed, and the best recipe."""

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
from digit_recognizer.recipes.schema import Augmentation
from digit_recognizer.runs import run_folder
from digit_recognizer.runs.history import EpochRecord
from digit_recognizer.search import search as searching
from digit_recognizer.search.search import Trial, choose_ranges, tune
from digit_recognizer.search.space import Range, apply, default_ranges, parse_ranges
from digit_recognizer.training import train
from digit_recognizer.training.fit import DivergedError, fit
from helpers import (
    TINY,
    assert_refused,
    csv_of,
    files_in,
    follow_until,
    make_digits,
    on_black,
    refusal,
    says,
    tiny,
)

pytestmark = pytest.mark.usefixtures("one_thread")

DIGITS = on_black(make_digits(noise=255))  # 255 wraps around: hard to read, so that there are errors to count
SMALL = ('network=["maxpool 4", "dense 10"]', "epochs=1")
RANGES = ("batch_size=16..64", "optimizer.learning_rate=0.001..0.1")
OWN = {"batch_size": 32, "optimizer.learning_rate": 0.01}  # the recipe's values of these
STEPS = 5  # of the first trial: 160 images, 32 a batch
LEFT = [".lock", "best.toml", "study.db"]
WITHOUT_BEST = [".lock", "study.db"]


def search(folder: Path, trials: int, *settings: str, ranges=RANGES, digits=DIGITS, **options):
    ranges = None if ranges is None else parse_ranges(ranges)
    return tune(digits, tiny(*SMALL, *settings), folder, trials=trials, ranges=ranges, **options)


def recipe_of(trial: Trial):
    return tiny(*SMALL, *(f"{key}={value}" for key, value in trial.settings.items()))


def numbers(trials) -> list[int]:
    return [trial.number for trial in trials]


@pytest.fixture
def scripted(monkeypatch):
    """Return a function that makes each training have these errors, epoch by epoch; None: it diverges."""

    def script(*trials):
        left = iter(trials)

        def instead(*_, **__):
            for epoch, errors in enumerate(next(left), start=1):
                if errors is None:
                    raise DivergedError("the loss is not a finite number")
                yield EpochRecord(epoch, 0.1, 1.0, 0.5, 1.0, 0.5, errors, 1.0, 1.0)

        monkeypatch.setattr(searching, "fit", instead)

    return script


# Ranges


def same_range(found: Range, expected: Range) -> bool:
    """Compare ranges, and whether they search integers."""
    return (
        found == expected
        and type(found.low) is type(expected.low)
        and type(found.high) is type(expected.high)
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("batch_size=64..512", Range("batch_size", 64, 512)),
        ("batch_size=64..640", Range("batch_size", 64, 640, logarithmic=True)),
        (" epochs = 1 .. 3 ", Range("epochs", 1, 3)),
        ("augmentation.rotation=0..20", Range("augmentation.rotation", 0, 20)),
        ("augmentation.rotation=0..20.0", Range("augmentation.rotation", 0.0, 20.0)),
        ("x.learning_rate=1e-4..1e-2", Range("x.learning_rate", 1e-4, 1e-2, logarithmic=True)),
        ("optimizer.learning_rate=.01...05", Range("optimizer.learning_rate", 0.01, 0.05)),
        ("x=-1..1", Range("x", -1.0, 1.0)),
    ],
)
def test_a_range_is_parsed(text, expected):
    (found,) = parse_ranges([text])
    assert same_range(found, expected)


@pytest.mark.parametrize(
    "text",
    [
        *("", "epochs", "epochs=", "epochs=3", "epochs=1..", "epochs=..3", "=1..3", " =1..3", "epochs=1-3"),
        *("epochs=one..two", "epochs=1..2..3", "x=0..inf", "x=nan..1", "x=-inf..1"),
    ],
)
def test_a_malformed_range_is_quoted(text):
    message = refusal(lambda: parse_ranges(["epochs=1..3", text]))
    assert says(message, "optimizer.learning_rate=0.001..0.1", f"got {text!r}")


@pytest.mark.parametrize("text", ["epochs=3..1", "epochs=2..2", "x=0.1..0.01", "x=1..1.0"])
def test_a_range_with_its_ends_in_the_wrong_order_is_quoted(text):
    assert says(refusal(lambda: parse_ranges(["epochs=1..3", text])), "lower end", repr(text))


def searched(*texts, recipe=None, fixed=()):
    """Return what a search of ranges tries; without ranges, of the default ones."""
    return choose_ranges(DIGITS, recipe or tiny(), parse_ranges(texts) if texts else None, fixed=fixed)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("augmentation.rotation=0..20", Range("augmentation.rotation", 0.0, 20.0)),
        ("optimizer.learning_rate=1..10", Range("optimizer.learning_rate", 1.0, 10.0, logarithmic=True)),
        ("batch_size=1..160", Range("batch_size", 1, 160, logarithmic=True)),
        ("shifts.pixels=1..3", Range("shifts.pixels", 1, 3)),
        ("stopping.min_delta=0..1", Range("stopping.min_delta", 0.0, 1.0)),
    ],
)
def test_the_setting_determines_whether_integers_are_searched(text, expected):
    recipe = tiny("stopping={monitor='loss', patience=3}")
    (found,) = searched(text, recipe=recipe)
    assert same_range(found, expected)
    assert searched(text.replace("0..", "0.0.."), recipe=recipe) == (found,)


@pytest.mark.parametrize(
    ("batch", "expected"), [(60, (30, 120)), (100, (50, 160)), (160, (80, 160)), (200, (80, 160))]
)
def test_the_default_range_of_batches_ends_at_the_training_images(batch, expected):
    found = {each.key: each for each in searched(recipe=tiny(f"batch_size={batch}"))}["batch_size"]
    assert (found.low, found.high) == expected


def test_fixed_settings_are_not_searched_by_default():
    assert "optimizer.beta_1" in [each.key for each in searched()]
    found = searched(fixed={"optimizer.beta_1", "batch_size"})
    assert [each.key for each in found] == ["optimizer.learning_rate", "optimizer.beta_2"]
    message = refusal(lambda: searched("batch_size=16..64", fixed={"batch_size"}))
    assert says(message, "batch_size", "--set", "--search")


EVERYTHING = (
    "augmentation={rotation=170, zoom=0.4, shift=0.3, shear=0.0}",
    "schedule={name='one-cycle', warmup=0.5}",
    "optimizer={name='muon', momentum=0.1}",
    "label_smoothing=0.45",
    "shifts={pixels=2}",
    "teacher.run=runs/best",
    "members=3",
)
UNUSUAL = {
    "everything": EVERYTHING,
    "tiny adamw": ("optimizer={name='adamw'}",),
    "least": ("batch_size=1", "optimizer={name='rmsprop', rho=0.0}"),
}


@pytest.mark.parametrize("name", [*recipe_names(), *UNUSUAL])
def test_default_ranges_are_valid_and_contain_the_recipes_own_values(name):
    recipe = tiny(*UNUSUAL[name]) if name in UNUSUAL else load_recipe(name)
    found = default_ranges(recipe)
    keys = [each.key for each in found]
    assert {"batch_size", "optimizer.learning_rate"} <= set(keys)
    assert len(set(keys)) == len(keys)
    for each in found:
        part, _, field = each.key.rpartition(".")
        value = getattr(getattr(recipe, part) if part else recipe, field)
        assert each.low <= value <= each.high
        assert each.low < each.high
        assert type(each.low) is type(each.high) is type(value)
        assert type(value) in (int, float)
        assert each.low > 0 or not each.logarithmic
        for end in (each.low, each.high):
            apply(recipe, {each.key: end})  # raises if a recipe cannot have it


def test_default_ranges_are_as_documented():
    found = {each.key: each for each in default_ranges(tiny(*EVERYTHING, "batch_size=100"))}
    assert found.keys() == {
        *("batch_size", "label_smoothing", "schedule.warmup"),
        *("augmentation.rotation", "augmentation.zoom", "augmentation.shift"),  # but no shear, which is 0
        *("optimizer.learning_rate", "optimizer.momentum", "optimizer.weight_decay", "optimizer.vectors"),
    }
    assert found["batch_size"] == Range("batch_size", 50, 200, logarithmic=True)
    assert found["augmentation.rotation"] == Range("augmentation.rotation", 0.0, 180)
    assert found["augmentation.shift"] == Range("augmentation.shift", 0.0, 0.6)
    assert found["label_smoothing"] == Range("label_smoothing", 0.0, 0.9)
    rate = found["optimizer.learning_rate"]
    assert (rate.low, rate.high, rate.logarithmic) == (0.02 / 4, 0.02 * 4, True)
    beta = {each.key: each for each in default_ranges(tiny())}["optimizer.beta_1"]
    assert (beta.low, beta.high) == (pytest.approx(0.6), pytest.approx(0.975))  # 0.9, by its distance to 1


# Trials


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> tuple[Path, list[Trial]]:
    """A search that was never interrupted, and its trials."""
    folder = tmp_path_factory.mktemp("studies") / "whole"
    return folder, list(search(folder, 4, seed=2))


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("studies") / "begun"
    list(search(folder, 1))
    return folder


@pytest.fixture
def copy(begun, tmp_path) -> Path:
    """A copy of a study of one trial."""
    return shutil.copytree(begun, tmp_path / "copy")


def test_trials_try_the_recipe_first_and_then_values_inside_the_ranges(study):
    first, *others = study[1]
    assert first.settings == OWN
    assert recipe_of(first) == tiny(*SMALL)
    assert all(each.settings != OWN for each in others)
    assert numbers(study[1]) == [1, 2, 3, 4]
    for trial in study[1]:
        assert isinstance(trial.settings["batch_size"], int)
        assert 16 <= trial.settings["batch_size"] <= 64
        assert 0.001 <= trial.settings["optimizer.learning_rate"] <= 0.1


def test_the_first_trial_of_default_ranges_is_the_recipe_too(tmp_path):
    recipe = tiny(*SMALL, "label_smoothing=0.1", augmentation=Augmentation(zoom=0.1))
    (trial,) = tune(DIGITS, recipe, tmp_path, trials=1)
    assert list(trial.settings) == [each.key for each in default_ranges(recipe)]
    assert load_recipe(tmp_path / "best.toml") == recipe


@pytest.mark.parametrize("batch", [32, 200])  # 200 is more than there are training images
def test_a_value_outside_its_range_is_replaced(batch, tmp_path):
    ranges = ["batch_size=40..64", "optimizer.learning_rate=0.001..0.1"]
    (trial,) = search(tmp_path, 1, f"batch_size={batch}", ranges=ranges)
    assert 40 <= trial.settings["batch_size"] <= 64
    assert trial.settings["optimizer.learning_rate"] == 0.01


def test_a_trial_has_the_errors_of_a_run_with_its_settings_and_the_searchs_seed(study, tmp_path):
    """`train` is the oracle."""
    for trial in study[1][:3]:
        *_, last = train(DIGITS, recipe_of(trial), tmp_path / str(trial.number), seed=2)
        assert (trial.errors, trial.epochs) == (last.validation_errors, 1)
    assert len({trial.errors for trial in study[1]}) > 1


@pytest.mark.slow
def test_a_trial_of_a_recipe_with_all_extras_has_the_errors_of_a_run_too(tmp_path, trained):
    extras = (f"teacher.run={trained('hidden')}", "augmentation.zoom=0.1", "corruption.share=0.2")
    recipe = tiny(*extras, "epochs=1", 'network=["dense 11"]', "outliers={images=50}")
    ranges = parse_ranges(["teacher.weight=0.5..1"])
    (trial,) = tune(make_digits(), recipe, tmp_path / "study", trials=1, ranges=ranges)
    assert trial.settings == {"teacher.weight": 0.9}
    *_, last = train(make_digits(), recipe, tmp_path / "run")
    assert trial.errors == last.validation_errors


def test_the_seed_determines_what_is_tried(study, tmp_path):
    assert list(search(tmp_path / "again", 2, seed=2)) == study[1][:2]
    assert list(search(tmp_path / "other", 2, seed=3))[1].settings != study[1][1].settings


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (
            [[5], [7], [3], [3], [4]],
            [(5, 1, True), (7, 1, False), (3, 1, True), (3, 1, False), (4, 1, False)],
        ),
        ([[1, 9], [2, 8]], [(9, 2, True), (8, 2, True)]),  # the last epoch counts
        ([[4], [None], [3, None], [2]], [(4, 1, True), (None, 0, False), (None, 1, False), (2, 1, True)]),
    ],
)
def test_a_trial_is_the_best_only_with_fewer_errors_than_all_before(script, expected, scripted, tmp_path):
    scripted(*script)
    trials = list(search(tmp_path, len(script)))
    assert numbers(trials) == [*range(1, len(script) + 1)]
    assert [(trial.errors, trial.epochs, trial.is_best) for trial in trials] == expected
    best = [trial for trial in trials if trial.is_best][-1]
    assert load_recipe(tmp_path / "best.toml") == recipe_of(best)
    assert files_in(tmp_path) == LEFT
    assert list(search(tmp_path, len(script))) == []  # trials that diverged count


def test_a_poor_trial_is_pruned_and_counts(scripted, tmp_path):
    scripted(*[[1, 1, 1]] * 5, [9, 9, 0], [1, 1, 0])
    trials = list(search(tmp_path, 7, "epochs=3"))
    assert numbers(trials) == [1, 2, 3, 4, 5, 6, 7]
    assert trials[5].errors is None
    assert trials[5].epochs < 3
    assert (trials[6].errors, trials[6].is_best) == (0, True)


def test_a_search_in_which_all_trials_diverge_has_no_best_recipe(tmp_path):
    recipe = tiny("epochs=1", network=("conv 4 3x3", "dense 10"))  # overflows; a ReLU might hide it
    ranges = parse_ranges(["optimizer.learning_rate=1e30..1e33"])
    trials = list(tune(DIGITS, recipe, tmp_path, trials=2, ranges=ranges))
    assert [(trial.number, trial.errors, trial.is_best) for trial in trials] == [
        (1, None, False),
        (2, None, False),
    ]
    assert files_in(tmp_path) == WITHOUT_BEST


# Resuming


def test_a_search_that_has_all_its_trials_does_nothing(copy, monkeypatch):
    before = (copy / "best.toml").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(searching, "fit", None)
        assert list(search(copy, 1)) == []
    assert (copy / "best.toml").read_bytes() == before
    assert files_in(copy) == LEFT


def test_trials_are_counted_in_all_and_never_drawn_twice(tmp_path):
    trials = [*search(tmp_path, 2), *search(tmp_path, 4)]
    assert numbers(trials) == [1, 2, 3, 4]
    assert len({tuple(trial.settings.values()) for trial in trials}) == 4


def test_the_best_recipe_stays_until_a_trial_is_better(scripted, tmp_path):
    scripted([5], [3], [4], [2])
    _, second = search(tmp_path, 2)
    for trials, is_best in ((3, False), (4, True)):
        (trial,) = search(tmp_path, trials)
        assert trial.is_best == is_best
        assert load_recipe(tmp_path / "best.toml") == recipe_of(trial if is_best else second)


def test_a_caller_may_stop_taking_trials(tmp_path):
    trials = search(tmp_path, 5)
    assert numbers([next(trials), next(trials)]) == [1, 2]
    trials.close()
    assert numbers(search(tmp_path, 3)) == [3]


def test_a_folder_may_have_any_name(tmp_path):
    folder = tmp_path / "is 100 % enough?" / "50%25 #1"
    folder.mkdir(parents=True)
    list(search(folder, 1))
    assert files_in(folder) == LEFT
    assert numbers(search(folder, 2)) == [2]


def test_an_interrupted_search_can_be_resumed(tmp_path):
    """By a stop during the second trial, and by an exception during the third."""
    follow_until(STEPS + 1, lambda **options: search(tmp_path, 4, **options))
    assert files_in(tmp_path) == LEFT

    def interrupt(_):
        raise KeyboardInterrupt

    assert numbers(search(tmp_path, 2)) == [2]
    with pytest.raises(KeyboardInterrupt):
        list(search(tmp_path, 4, on_step=interrupt))
    assert numbers(search(tmp_path, 4)) == [3, 4]


def test_a_stop_in_the_first_trial_does_not_lose_the_recipes_own_values(tmp_path):
    stop = Event()
    stop.set()
    assert list(search(tmp_path, 2, stop=stop)) == []
    assert files_in(tmp_path) == WITHOUT_BEST
    assert [trial.settings == OWN for trial in search(tmp_path, 2)] == [True, False]


def states(folder: Path) -> list[str]:
    """Return Optuna's states of the trials of a study."""
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{folder / 'study.db'}")
    return [trial.state.name for trial in study.trials]


KILLED = """
import os
from digit_recognizer.search import search as searching
from digit_recognizer.search.space import parse_ranges
from helpers import make_digits, on_black, tiny
searching.fit = lambda *_, **__: os.kill(os.getpid(), 9)
ranges = parse_ranges({ranges})
digits = on_black(make_digits(noise=255))
list(searching.tune(digits, tiny(*{settings}), "search", trials=2, ranges=ranges))
"""


def test_a_kill_in_the_first_trial_does_not_lose_the_recipes_own_values(tmp_path):
    paths = [str(Path(searching.__file__).parents[2]), str(Path(__file__).parent)]
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
    assert numbers(trials) == [1, 2]
    assert [trial.settings == OWN for trial in trials] == [True, False]
    assert files_in(folder) == LEFT


def test_a_first_trial_that_fails_for_another_reason_is_tried_again(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise DigitsError("no space left on device")

    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr(searching, "fit", fail)
            assert says(refusal(lambda: list(search(tmp_path, 2))), "no space left")
    assert [trial.settings == OWN for trial in search(tmp_path, 3)] == [True, False, False]
    assert states(tmp_path) == ["FAIL", "FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]


def test_a_first_trial_that_diverged_is_not_tried_again(scripted, tmp_path):
    scripted([None], [3])
    assert [trial.errors for trial in search(tmp_path, 1)] == [None]
    (second,) = search(tmp_path, 2)
    assert second.settings != OWN


@pytest.mark.parametrize("lost", [Path.unlink, lambda path: path.write_text("name = 'another'")])
def test_a_lost_best_recipe_is_written_again(lost, scripted, tmp_path):
    scripted([5], [3], [3], [4])
    second = list(search(tmp_path, 4))[1]
    lost(tmp_path / "best.toml")
    assert list(search(tmp_path, 4)) == []
    assert load_recipe(tmp_path / "best.toml") == recipe_of(second)


def test_only_one_process_searches_in_a_folder(copy):
    trials = search(copy, 3)
    for _ in range(2):
        assert says(refusal(lambda: search(copy, 3)), "another process", copy)
        next(trials)
    trials.close()
    assert list(search(copy, 3)) == []


# What is refused


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"settings": ("epochs=2",)}, ["recipe"]),
        ({"digits": make_digits(noise=255, seed=1)}, ["digits"]),
        ({"ranges": RANGES[:1]}, ["ranges"]),
        ({"ranges": RANGES[::-1]}, ["ranges"]),
        ({"ranges": ("batch_size=16..65", RANGES[1])}, ["ranges"]),
        ({"seed": 1}, ["seed"]),
        ({"seed": 1, "settings": ("epochs=2",), "ranges": RANGES[:1]}, ["recipe", "ranges", "seed"]),
    ],
)
def test_a_study_of_something_else_is_refused_by_name(changes, facts, copy):
    before = (copy / "best.toml").read_bytes()
    message = refusal(lambda: search(copy, 2, *changes.pop("settings", ()), **changes))
    found = re.findall(r"\b(recipe|digits|ranges|seed)\b", message.removeprefix(str(copy)))
    assert found == facts
    assert says(message, copy, "--out")
    assert (copy / "best.toml").read_bytes() == before
    assert list(search(copy, 1, "summary=in other words")) == []  # it is as it was; texts may change


@contextmanager
def limited_by(pragma: str) -> Iterator[None]:
    """Make SQLite refuse to write, as on a file system that is full or read-only."""

    def limit(connection: Any, *_: Any) -> None:
        connection.execute(f"PRAGMA {pragma}")

    event.listen(Pool, "checkout", limit)
    try:
        yield
    finally:
        event.remove(Pool, "checkout", limit)


@pytest.mark.parametrize(("pragma", "cause"), [("query_only=ON", "readonly"), ("max_page_count=1", "full")])
def test_a_study_that_cannot_be_written_is_not_called_damaged(pragma, cause, tmp_path):
    with limited_by(pragma):
        assert says(refusal(lambda: search(tmp_path, 3)), f"cannot write into {tmp_path}: ", cause)
    (tmp_path / "study.db").unlink()
    (tmp_path / "study.db").mkdir()
    assert says(refusal(lambda: search(tmp_path, 2)), f"cannot write into {tmp_path}: ", "unable to open")


def test_a_study_that_can_no_longer_be_written_is_named(copy):
    trials = search(copy, 3)
    next(trials)
    with limited_by("query_only=ON"):
        assert says(refusal(lambda: next(trials)), f"cannot write into {copy}: ", "readonly")
    assert numbers(search(copy, 3)) == [3]


IMAGES = ["at most 160", "number of training images"]


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("optimizer.momentum=0.1..0.9", ["tiny: ", "no key 'optimizer.momentum'"]),
        ("batch=1..3", ["tiny: ", "no key 'batch'"]),
        ("name=1..3", ["name is not a number"]),
        ("optimizer=1..2", ["optimizer is not a number"]),
        ("optimizer.name=1..2", ["optimizer.name is not a number"]),
        ("augmentation=1..2", ["augmentation is not a number"]),
        ("split.validation=0.1..0.5", ["split.validation cannot be searched", "validation images"]),
        ("batch_size=64..1000000", ["batch_size=64..1000000", *IMAGES]),
        ("batch_size=161..500", ["batch_size=161..500", *IMAGES]),
        ("epochs.more=1..3", ["'epochs.more=1'", "'epochs'"]),
        ("batch_size=0..3", ["tiny: batch_size: ", "got 0"]),
        ("batch_size=0.5..3", ["tiny: batch_size: ", "got 0.5"]),
        ("optimizer.beta_1=1..3", ["tiny: optimizer.beta_1: ", "got 1"]),
        ("epochs=1..3 epochs=2..4", ["epochs"]),
        ("", ["tiny", "batch_size=64..512"]),
    ],
)
def test_a_setting_that_cannot_be_searched_is_refused_before_anything_is_written(text, facts, tmp_path):
    assert says(refusal(lambda: search(tmp_path / "new", 1, ranges=text.split())), *facts)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("settings", "options", "facts"),
    [
        (["split.validation=0"], {}, ["tiny", "--set split.validation=0.1"]),
        ([], {"digits": Digits(DIGITS.images)}, ["no labels"]),
        ([], {"device": "cuda:99"}, ["'cuda:99'"]),
        (['network=["maxpool 40", "dense 10"]'], {}, ["network line 1 ('maxpool 40'): "]),
        (["teacher.run=none"], {}, ["the teacher none is missing"]),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_written(settings, options, facts, tmp_path):
    assert says(refusal(lambda: search(tmp_path / "new", 1, *settings, **options)), *facts)
    assert not (tmp_path / "new").exists()


def test_a_teacher_that_held_out_no_images_is_refused(tmp_path, trained):
    teacher = trained("pixels")
    message = refusal(lambda: search(tmp_path / "new", 1, f"teacher.run={teacher}", digits=make_digits()))
    assert says(message, f"the teacher {teacher}", "no images")


@pytest.mark.parametrize("file", [run_folder.ENVIRONMENT, run_folder.FOLDS])
def test_a_folder_of_something_else_is_refused(file, tmp_path):
    (tmp_path / file).write_text("{}")
    assert says(refusal(lambda: search(tmp_path, 1)), tmp_path, "--out")
    assert files_in(tmp_path) == [file]


# The command line


@pytest.fixture
def digits(monkeypatch, run_command, tmp_path):
    """Return a function that runs a command next to digits and a recipe: status, output, errors."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made.csv").write_text(csv_of(DIGITS))
    network = 'network = ["maxpool 4", "dense 10"]'
    (tmp_path / "tiny.toml").write_text(re.sub("^network = .*$", network, TINY, flags=re.MULTILINE))
    return run_command


@pytest.fixture
def succeeds(digits):
    """Return a function that runs a command that must succeed, and returns its output."""

    def run(command: str) -> str:
        status, output, errors = digits(command)
        assert (status, errors) == (0, "")
        return output

    return run


TUNE = "tune tiny.toml made.csv --out new --search batch_size=16..64"


def test_the_search_shows_its_ranges_each_trial_and_the_next_command(succeeds, scripted, tmp_path):
    scripted([3], [7])
    more = "--search epochs=2..100000 --search optimizer.learning_rate=1..2"
    first, *lines = succeeds(f"{TUNE} --trials 2 {more}").splitlines()
    assert says(first, "new", "2")
    ranges = dict(line.split(maxsplit=1) for line in lines[:3])
    assert ranges == {"batch_size": "16 to 64", "epochs": "2 to 100000", "optimizer.learning_rate": "1 to 2"}
    assert re.match(r"trial +1 +3 errors .*best.*batch_size=32", lines[3])
    assert re.match(r"trial +2 +7 errors ", lines[4])
    assert "best" not in lines[4]
    assert says("\n".join(lines[5:]), "new/best.toml", "digits train made.csv --recipe new/best.toml")
    assert files_in(tmp_path / "new") == LEFT


def test_fixed_settings_stay_as_they_are(digits, succeeds, tmp_path):
    command = "tune tiny.toml made.csv --out new --trials 2 --set epochs=1 --set optimizer.learning_rate=0.03"
    output = succeeds(command)
    assert "optimizer.beta_1" in output
    assert "optimizer.learning_rate" not in output
    best = load_recipe(tmp_path / "new/best.toml")
    assert (best.epochs, best.optimizer.learning_rate) == (1, 0.03)
    assert_refused(digits(f"{command} --set epochs=2"), "new", "recipe", "--out")


def test_the_same_command_resumes_a_search(succeeds, tmp_path):
    succeeds(f"{TUNE} --trials 2")
    (tmp_path / "new/best.toml").unlink()  # it is written and shown again
    output = succeeds(f"{TUNE} --trials 3")
    assert [line.split()[1] for line in output.splitlines() if line.startswith("trial ")] == ["3"]
    output = succeeds(f"{TUNE} --trials 3")
    assert not [line for line in output.splitlines() if line.startswith("trial ")]
    assert "new/best.toml" in output


def test_a_search_as_json_is_one_object_a_line(digits, succeeds, tmp_path):
    searching, *trials, searched = map(
        json.loads, succeeds(f"{TUNE} --trials 2 --seed 3 --json").splitlines()
    )
    ranges = [{"key": "batch_size", "low": 16, "high": 64, "logarithmic": False}]
    started = {"event": "searching", "study": "new", "trials": 2, "completed": 0}
    assert searching == {**started, "ranges": ranges}
    chosen = parse_ranges(["batch_size=16..64"])
    again = tune(DIGITS, "tiny.toml", tmp_path / "again", trials=2, ranges=chosen, seed=3)
    assert trials == [{"event": "trial", **asdict(trial)} for trial in again]
    assert (searched["event"], searched["best"]) == ("searched", "new/best.toml")
    assert searched["next"].endswith("train made.csv --recipe new/best.toml")
    status, output, _ = digits(searched["next"].partition("digits ")[2])
    assert status == 0
    assert says(output, "tiny", "200")


def test_a_search_has_default_ranges_and_a_default_folder(succeeds, tmp_path):
    searching = json.loads(succeeds("tune tiny.toml made.csv --trials 1 --json").splitlines()[0])
    assert searching["ranges"] == [asdict(each) for each in default_ranges(load_recipe("tiny.toml"))]
    assert searching["study"] == "runs/tune-tiny"
    assert files_in(tmp_path / "runs/tune-tiny") == LEFT


def test_a_search_without_a_completed_trial_has_no_best_recipe(succeeds, scripted):
    scripted([None], [None])
    output = succeeds(f"{TUNE} --trials 1")
    assert says(output, "0 epochs", "batch_size=32")
    assert "best.toml" not in output
    lines = succeeds(f"{TUNE} --trials 2 --json").splitlines()
    assert json.loads(lines[1])["errors"] is None
    assert json.loads(lines[2])["best"] is None


@pytest.mark.parametrize("as_json", [False, True])
def test_a_stopped_search_names_the_command_that_resumes_it(as_json, digits, succeeds, tmp_path, monkeypatch):
    def stop_at_once(*arguments, **options):
        options["stop"].set()
        return fit(*arguments, **options)

    command = f"{TUNE} --trials 2{' --json' if as_json else ''}"
    with monkeypatch.context() as patched:
        patched.setattr(searching, "fit", stop_at_once)
        status, output, errors = digits(command)
    assert (status, errors) == (130, "")
    assert files_in(tmp_path / "new") == WITHOUT_BEST
    last = output.splitlines()[-1]
    if as_json:
        stopped = json.loads(last)
        assert (stopped["event"], stopped["study"]) == ("stopped", "new")
        last = stopped["resume"]
    assert last.endswith(command)
    succeeds(last.partition("digits ")[2])
    assert files_in(tmp_path / "new") == LEFT


@pytest.mark.parametrize(
    ("command", "facts"),
    [
        (f"{TUNE} --search batch_size=64", ["optimizer.learning_rate=0.001..0.1", "'batch_size=64'"]),
        (f"{TUNE} --set batch_size=32", ["batch_size", "--set", "--search"]),
        (f"{TUNE} --set batch=32", ["tiny.toml", "no key 'batch'"]),
        (TUNE.replace("--out new", "--out ''"), ["'.'", "--out"]),
        (TUNE.replace("tiny.toml", "lenet"), ["'lenet'"]),
        (TUNE.replace("made.csv", "none.csv"), ["none.csv"]),
        (TUNE.replace("--out new", "--out made.csv"), ["made.csv", "Not a directory"]),
        (TUNE.replace("--out new", "--out made.csv/new"), ["made.csv/new", "Not a directory"]),
        (f"{TUNE} --device banana", ["'banana'", "auto, cpu, cuda"]),
    ],
)
def test_a_wrong_command_is_refused_in_one_line(command, facts, digits):
    assert_refused(digits(command), *facts)
    assert not Path("new").exists()


@pytest.mark.parametrize("option", ["--trials 0", "--seed -1", "--trials many"])
def test_a_wrong_option_is_refused_with_the_usage(option, digits):
    status, output, errors = digits(f"{TUNE} {option}")
    assert (status, output) == (2, "")
    assert "Usage: " in errors
