"""Few images, and digits that are missing: what is trained on, held out, said, evaluated and reported."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from digit_recognizer.corrections import save_corrections
from digit_recognizer.digits import CLASSES, Digits, Samples
from digit_recognizer.evaluation import BaselineComparison, compare_with_baseline, detailed_metrics
from digit_recognizer.formatting import loss_in_words
from digit_recognizer.recognition import Recognizer
from digit_recognizer.report import write_comparison, write_report
from digit_recognizer.report.sections import Choice
from digit_recognizer.search.search import tune
from digit_recognizer.search.space import parse_ranges
from digit_recognizer.sources import load_digits
from digit_recognizer.training import cross_validate, fine_tuning, train
from digit_recognizer.training.inference import failure_in_words
from digit_recognizer.training.splits import Fold, split_digits
from helpers import csv_of, make_digits, read_page, refusal, says, split_of, tiny
from runs import LINEAR, metrics_of, run_to_the_end

pytestmark = pytest.mark.usefixtures("one_thread")
without_export = pytest.mark.usefixtures("without_export")
without_drawing = pytest.mark.usefixtures("drawn")

BUNDLED = load_digits("bundled", "train")
EVEN = [20] * CLASSES
THREE_SEVEN = {3: 60, 7: 60}
SLOW = "optimizer.learning_rate=1e-9"  # learns nothing
FAST = "optimizer.learning_rate=1000"  # too high to learn anything
CONVOLUTION = ('network=["conv 4 5x5 relu", "maxpool 2", "dense 12 relu", "dense 10"]', "epochs=8")
WATCHING = "stopping={monitor='validation_loss', patience=1}"


def digits_with(counts: dict[int, int] | list[int]) -> Digits:
    """Return so many of the bundled images of each digit, in an order of their own."""
    wanted = counts.items() if isinstance(counts, dict) else enumerate(counts)
    rows = np.concatenate([np.flatnonzero(BUNDLED.labels == digit)[:number] for digit, number in wanted])
    return BUNDLED[np.random.default_rng(1).permutation(rows)]


def only(**counts: int) -> list[int]:
    """Return ten counts, given as ``d3=20``, the others 0."""
    return [counts.get(f"d{digit}", 0) for digit in range(CLASSES)]


def but(digit: int, number: int, others: int = 20) -> list[int]:
    """Return ten equal counts but for one digit."""
    return [number if each == digit else others for each in range(CLASSES)]


@pytest.fixture
def notes(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return a function that returns what was said so far, such as ``info: only images of 3 and 7``."""
    caplog.set_level(logging.INFO, "digit_recognizer")
    return lambda: [f"{each.levelname.lower()}: {each.getMessage()}" for each in caplog.records]


# The split


@pytest.mark.parametrize(
    ("counts", "fraction", "held_out"),
    [
        (EVEN, 0.2, [4] * CLASSES),
        (only(d3=20, d7=20), 0.2, only(d3=4, d7=4)),
        (but(9, 0), 0.2, but(9, 0, 4)),
        (but(4, 1, 30), 0.1, [4, 3, 3, 3, 0, 3, 3, 3, 3, 3]),
        (but(4, 2), 0.1, [2, 2, 2, 2, 1, 2, 2, 2, 2, 2]),
        ([4] * CLASSES, 0.1, [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]),  # no fewer images than asked for
        ([2] * CLASSES, 0.9, [1] * CLASSES),  # one of each is trained on, whatever is asked for
        ([1] * CLASSES, 0.2, [0] * CLASSES),
        (only(d0=2, d1=2), 0.1, only(d0=1)),
        (only(d0=1, d1=3), 0.5, only(d1=2)),
        (only(d0=1, d1=1), 0.5, [0] * CLASSES),
    ],
)
def test_what_is_held_out_of_few_images(counts, fraction, held_out):
    digits = digits_with(counts)
    split = split_digits(digits, tiny(f"split.validation={fraction}"), seed=3)
    assert digits[split.validation].counts().tolist() == held_out
    assert (digits[split.training].counts() + held_out).tolist() == counts
    assert not set(split.training.tolist()) & set(split.validation.tolist())


def test_the_seed_chooses_which_images_are_held_out():
    digits = digits_with(only(d3=20, d7=20))
    first, again, other = (split_digits(digits, tiny(), seed).validation.tolist() for seed in (3, 3, 4))
    assert first == again != other


def test_the_split_of_ten_digits_is_as_before():
    """The rows held out of ten digits are those of every earlier version."""
    rows = split_digits(make_digits(200), tiny(), seed=5).validation
    assert (len(rows), rows[:9].tolist()) == (40, [18, 22, 26, 27, 28, 29, 32, 33, 36])


@without_export
@pytest.mark.parametrize(
    ("counts", "folds", "always"),
    [
        (only(d3=20, d7=20), 5, []),
        (but(9, 0), 3, []),
        (but(4, 1), 5, [4]),
        (but(4, 3), 5, []),  # fewer images than folds
        (only(d0=1, d1=5), 5, [0]),
    ],
)
@pytest.mark.parametrize("settings", [(), (WATCHING,)], ids=["none", "validation"])
def test_each_image_is_in_one_fold_but_for_single_ones(counts, folds, always, settings):
    digits = digits_with(counts)
    parts = [split_digits(digits, tiny(*settings), 3, Fold(number, folds)) for number in range(1, folds + 1)]
    shared = np.flatnonzero(~np.isin(digits.labels, always))
    assert sorted(np.concatenate([part.fold for part in parts]).tolist()) == shared.tolist()
    for part in parts:
        trained = digits[part.training].counts()
        assert ((trained > 0) == (np.array(counts) > 0)).all()
        rows = np.concatenate([part.training, part.validation, part.fold])
        assert sorted(rows.tolist()) == list(range(len(digits)))


@pytest.mark.parametrize(
    ("counts", "settings", "sentences"),
    [
        (EVEN, (), []),
        (only(d3=30, d7=30), (), ["info: only images of 3 and 7"]),
        (but(8, 0), (), ["info: no images of 8: the network reads it as another digit"]),
        ([20] * 8 + [0, 0], (), ["info: no images of 8 and 9: the network reads these as other digits"]),
        (but(4, 1), (), ["warning: only one image of 4, which is trained on and not held out"]),
        (but(4, 1), ("split.validation=0",), ["warning: only one image of 4, which is trained on: "]),
        ([1, 1] + [20] * 8, (), ["warning: only one image of 0 and 1 each, which are trained on"]),
        ([1] * CLASSES, ("batch_size=4",), ["warning: only one image of each digit: none is held out"]),
        (
            [6] * 8 + [4] * 2,
            ("split.validation=0.1",),
            ["info: too few images of 6, 7, 8 and 9 to hold some"],
        ),
        (
            EVEN,
            ("batch_size=200",),
            ["info: 160 training images, fewer than a batch of 200", "--batch-size 40"],
        ),
        (EVEN, ("batch_size=160",), []),
    ],
)
def test_what_is_unusual_is_said_once(counts, settings, sentences, notes, tmp_path):
    run_to_the_end(tmp_path / "run", tiny(*LINEAR, *settings), digits_with(counts))
    said = [note for note in notes() if "learned" not in note]
    assert len(said) == min(len(sentences), 1)
    assert says(" ".join(said), *sentences)


@without_export
def test_folds_and_a_search_say_it_once_too(notes, tmp_path):
    digits = digits_with(only(d3=30, d7=30))
    for run in cross_validate(digits, tiny(*LINEAR), tmp_path / "folds", folds=3):
        list(run.records)
    list(tune(digits, tiny(*LINEAR), tmp_path / "study", trials=2, ranges=parse_ranges(["batch_size=4..8"])))
    said = [note for note in notes() if "only images" in note]
    assert len(said) == 2


@without_export
def test_fewer_images_than_a_batch_are_one_batch(tmp_path):
    steps: list[tuple[int, int]] = []
    run_to_the_end(
        tmp_path / "run",
        tiny("batch_size=1000"),
        digits_with(only(d3=30, d7=30)),
        on_step=lambda step: steps.append((step.epoch, step.images)),
    )
    assert steps == [(1, 48), (2, 48)]


# What is refused


@pytest.mark.parametrize(
    ("counts", "settings", "folds", "facts"),
    [
        ([0] * CLASSES, (), None, ["no images"]),
        (only(d3=1), (), None, ["the only label is 3", "1 image", "at least two"]),
        (only(d3=25), (), None, ["the only label is 3", "25 images", "at least two"]),
        (only(d3=25), (), 5, ["the only label is 3", "25 images", "at least two"]),
        ([1] * CLASSES, (WATCHING,), None, ["tiny watches validation images", "one image of each digit"]),
        ([3] * CLASSES, (), 4, ["4 images", "at most 3 folds"]),
        ([1] * CLASSES, (), 2, ["2 images", "no folds"]),
    ],
)
def test_what_nothing_can_be_learned_from_is_refused(counts, settings, folds, facts, tmp_path):
    digits, recipe, target = digits_with(counts), tiny(*settings), tmp_path / "run"
    call = train if folds is None else lambda *given: next(cross_validate(*given, folds=folds))
    assert says(refusal(lambda: call(digits, recipe, target)), *facts)
    assert not target.exists()


def test_a_search_needs_an_image_to_evaluate_on(tmp_path):
    message = refusal(lambda: tune(digits_with([1] * CLASSES), tiny(*LINEAR), tmp_path / "study", trials=1))
    assert says(message, "only one image", "evaluate trials")


# A run that learned nothing


def outcome(images: int, right: float, baseline: float = 0.1) -> BaselineComparison:
    return BaselineComparison(images, round((1 - right) * images), 1, baseline)


NOTHING, NEXT_TO_NOTHING, ONLY_TRAINING = "nothing measurable", "next to nothing", "only its training images"


@pytest.mark.parametrize(
    ("training", "held_out", "loss", "expected"),
    [
        (outcome(1000, 0.99), outcome(100, 0.98), 0.1, None),
        (outcome(1000, 0.10), outcome(100, 0.12), 2.3, NOTHING),
        (outcome(1000, 0.10), None, 2.3, NOTHING),
        (outcome(1000, 0.10), outcome(100, 0.90), 0.5, None),  # it learned at the end of the only epoch
        (outcome(1000, 0.90), outcome(100, 0.10), 2.0, ONLY_TRAINING),  # as with labels of other images
        (outcome(1000, 0.13), outcome(100, 0.10), 2.2, None),  # a little, which 100 images do not show
        (outcome(1000, 0.30), outcome(100, 0.30), 25.0, NEXT_TO_NOTHING),
        (outcome(1000, 0.95, 0.95), outcome(100, 0.95, 0.95), 0.2, NOTHING),  # always the frequent digit
        (outcome(3, 1.0, 0.5), outcome(1, 0.0, 1.0), 0.2, None),  # too few images to know
        (outcome(2, 0.5, 0.5), None, 0.2, None),
        (outcome(20, 1.0), outcome(2, 0.5, 0.5), 0.2, None),
    ],
)
def test_a_network_that_is_no_better_than_guessing(training, held_out, loss, expected):
    found = failure_in_words(training, held_out, loss, tiny())
    assert found is None if expected is None else says(found, expected)


@pytest.mark.parametrize(("loss", "words"), [(0.03125, "0.0312"), (9999.0, "9999.0000"), (2.6e28, "2.6e+28")])
def test_a_loss_is_short_even_if_it_is_huge(loss, words):
    assert loss_in_words(loss) == words


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        (("optimizer.learning_rate=1000",), ["a lower learning rate (--learning-rate 0.001)"]),
        ((SLOW,), ["a higher learning rate (--learning-rate 0.001)"]),
        (("optimizer.learning_rate=0.001",), ["try more epochs (--epochs 4)"]),
    ],
)
def test_what_to_try_depends_on_the_learning_rate(settings, advice):
    assert says(failure_in_words(outcome(1000, 0.1), None, 2.3, tiny(*settings)), "10.00 %", *advice)


def test_the_baseline_is_the_fraction_of_the_most_frequent_digit():
    found = compare_with_baseline(30, np.array([7] * 60 + [3] * 40))
    assert (found.digit, found.baseline, found.accuracy) == (7, 0.6, 0.7)
    assert found.is_better == (found.interval[0] > 0.6)
    assert found.is_decidable


@without_export
@pytest.mark.parametrize(
    ("counts", "settings", "expected"),
    [
        (EVEN, (FAST, "epochs=3"), "learned n"),
        (EVEN, (SLOW,), NOTHING),
        (only(d3=60, d7=60), (SLOW,), NOTHING),
        (EVEN, ("split.validation=0", SLOW), "training images"),
        (only(d3=60, d7=60), ("epochs=10",), None),
        (only(d3=1, d7=1), (), None),
    ],
)
def test_a_run_says_that_it_learned_nothing(counts, settings, expected, notes, tmp_path):
    run_to_the_end(tmp_path / "run", tiny(*settings), digits_with(counts))
    warning = metrics_of(tmp_path / "run").get("warning")
    warned = [note.removeprefix("warning: ") for note in notes() if "learned" in note]
    assert warned == ([] if expected is None else [warning])
    assert expected is None or says(warning, expected)


@without_export
def test_folds_say_which_learned_nothing(notes, tmp_path):
    for run in cross_validate(digits_with(EVEN), tiny(*LINEAR, SLOW), tmp_path / "folds", folds=2):
        list(run.records)
    found = json.loads((tmp_path / "folds/folds.json").read_text("utf-8"))
    assert found["warning"] == "the network learned nothing in folds 1 and 2 of 2"
    assert sum("learned nothing" in note for note in notes()) == 3


def test_a_search_says_that_its_best_trial_learned_nothing(notes, tmp_path):
    ranges = parse_ranges(["optimizer.learning_rate=1e-9..1e-8"])
    trials = list(tune(digits_with(EVEN), tiny(*LINEAR), tmp_path / "study", trials=2, ranges=ranges))
    assert [trial.learned for trial in trials] == [False, False]
    assert says(notes()[-1], "even the best trial learned nothing", "always answering 0", "10.00 %")


def test_a_search_says_that_too_few_images_tell_trials_apart(notes, tmp_path):
    digits = digits_with(only(d3=6, d7=6))
    list(tune(digits, tiny(*LINEAR), tmp_path / "study", trials=1, ranges=parse_ranges(["batch_size=2..4"])))
    assert says(notes()[-1], "3 validation images cannot tell", "--set split.validation=0.5")


# Evaluation and report

SETS = {
    "three and seven": only(d3=60, d7=60),
    "nine digits": but(9, 0, 30),
    "one four": but(4, 1, 30),
    "two of each": only(d3=2, d7=2),
    "one of each": only(d3=1, d7=1),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Callable[[str], tuple[Path, Digits]]:
    """Return a function that trains on one of `SETS`, once, and returns the run and its digits."""
    made: dict[str, tuple[Path, Digits]] = {}

    def make(name: str) -> tuple[Path, Digits]:
        if name not in made:
            digits = digits_with(SETS[name])
            folder = tmp_path_factory.mktemp("few") / "run"
            made[name] = run_to_the_end(folder, tiny(*CONVOLUTION), digits), digits
        return made[name]

    return make


def text_of(page: Path) -> str:
    return read_page(page).one("main").text


@without_drawing
@pytest.mark.parametrize("name", SETS)
def test_a_report_has_all_sections_whatever_digits_there_are(name, runs, drawn, tmp_path):
    run, digits = runs(name)
    page = read_page(write_report(run, digits, out=tmp_path / "page"))
    sections = [each.attributes["id"] for each in page.all("section")]
    assert sections == ["result", "data", "network", "training", "mistakes", "inside"]
    text = page.one("main").text
    assert "nan" not in text.split()
    assert "inf" not in text.split()
    shown = [digit for digit, number in enumerate(SETS[name]) if number]
    assert list(drawn["draw_examples"]["digits"]) == shown
    assert len(drawn["draw_examples"]["images"]) == len(shown)


@pytest.mark.parametrize("name", ["two of each", "three and seven"])
def test_figures_of_few_digits_can_be_drawn(name, runs, tmp_path):
    run, digits = runs(name)
    write_report(run, digits, out=tmp_path)
    drawings = [path.read_text("utf-8") for path in (tmp_path / "figures").glob("*.svg")]
    assert len(drawings) > 10
    assert not any("nan" in each.lower().split() for each in drawings)


@without_drawing
def test_a_report_names_missing_digits_and_leaves_them_out_of_the_scores(runs, tmp_path):
    run, digits = runs("three and seven")
    page = read_page(write_report(run, digits, out=tmp_path / "page"))
    assert says(page.one("main").text, "Missing digits0, 1, 2, 4, 5, 6, 8 and 9", "left out")
    (table,) = (each for each in page.all("table") if "precision" in each.text)
    rows = [next(row.all("th")).text for row in next(table.all("tbody")).all("tr")]
    assert rows == ["3", "7"]


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("three and seven", only(d3=1)),
        ("three and seven", only(d3=1, d7=1)),
        ("three and seven", only(d5=5)),  # a digit that it never saw
        ("three and seven", [3] * CLASSES),
        ("nine digits", only(d9=20)),
        ("one of each", only(d0=1)),
    ],
)
def test_a_run_is_reported_on_other_digits_few_as_they_are(name, counts, runs, tmp_path):
    run, _ = runs(name)
    other = Digits(255 - digits_with(counts).images, digits_with(counts).labels)
    assert says(text_of(write_report(run, other, source="others", out=tmp_path / "page")), "others")


@without_drawing
def test_a_report_shows_the_warning_first(tmp_path):
    digits = digits_with(EVEN)
    run = run_to_the_end(tmp_path / "run", tiny(*LINEAR, FAST, "epochs=2"), digits)
    assert says(text_of(write_report(run, digits))[:400], "Warning", "The network learned n", "--epochs")


def test_a_digit_that_is_missing_cannot_be_followed_through_the_network(runs, tmp_path):
    run, digits = runs("nine digits")
    message = refusal(lambda: write_report(run, digits, choice=Choice(digit=9), out=tmp_path / "page"))
    assert says(message, "no image of a 9", "--digit")


@without_drawing
def test_runs_of_different_digits_are_compared(runs, tmp_path):
    (first, _), (second, digits) = runs("three and seven"), runs("nine digits")
    one = digits_with(only(d3=1))
    for number, images in enumerate((digits, digits[:1], one)):
        page = write_comparison([first, second], images, out=tmp_path / str(number))
        assert "nan" not in text_of(page).split()


@pytest.mark.parametrize("counts", [only(d3=1), only(d3=1, d7=1), only(d5=9), [2] * CLASSES])
def test_figures_of_digits_without_images_are_none(counts, runs):
    digits = digits_with(counts)
    found = detailed_metrics(Recognizer(runs("three and seven")[0]).predict(digits.images), digits.labels)
    json.dumps(found, allow_nan=False)
    for row, number in zip(found["per_digit"], counts, strict=True):
        assert row["images"] == number
        assert (row["accuracy"] is None) == (number == 0)


def test_a_network_of_two_digits_answers_with_these(runs):
    recognizer = Recognizer(runs("three and seven")[0])
    answers = recognizer.predict(BUNDLED.images[np.isin(BUNDLED.labels, (3, 7))]).labels
    assert set(answers.tolist()) == {3, 7}


@without_export
def test_a_run_of_two_digits_learns_others_by_corrections(runs, tmp_path):
    run, digits = runs("three and seven")
    others = digits_with(only(d1=6, d3=2))
    save_corrections(tmp_path / "corrections.npz", Samples(others.images, others.labels))
    recipe = fine_tuning(run, tmp_path / "corrections.npz", ["epochs=1", "corrections.images=60"])
    tuned = run_to_the_end(tmp_path / "tuned", recipe, digits)
    assert metrics_of(tuned)["corrections"]["images"] == 8
    assert split_of(tuned).validation.tolist() == split_of(run).validation.tolist()


@without_export
def test_two_digits_are_enough_for_all_extras_of_a_recipe(runs, tmp_path):
    run, digits = runs("three and seven")
    extras = ("outliers={images=20}", "augmentation={rotation=10}", "corruption={share=0.3}")
    network = 'network=["dense 11"]'
    run_to_the_end(tmp_path / "run", tiny(network, *extras, f"teacher.run={run}"), digits)
    assert metrics_of(tmp_path / "run")["training_images"] == 96


# The commands


@pytest.fixture
def command(run_command, tmp_path, monkeypatch) -> Callable[[str], tuple[Any, str, str]]:
    """Return a function that runs a command in a folder with a recipe and ``train.csv`` and ``test.csv``."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/train.csv").write_text(csv_of(digits_with(THREE_SEVEN)))
    (tmp_path / "data/test.csv").write_text(csv_of(Digits(BUNDLED.images[:12])))
    (tmp_path / "one.csv").write_text(csv_of(digits_with(only(d3=1))))
    (tmp_path / "same.csv").write_text(csv_of(digits_with(only(d3=10))))
    monkeypatch.chdir(tmp_path)
    return run_command


TRAIN = "train data --recipe plain --set epochs=2 --out run"


def test_two_digits_are_trained_evaluated_and_submitted(command, tmp_path):
    status, _, errors = command(TRAIN)
    assert status == 0
    assert errors.count("only images of 3 and 7") == 1
    for source in ("", "one.csv", "same.csv"):
        status, output, _ = command(f"evaluate run {source} --json")
        assert status == 0
        json.loads(output, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
        status, output, _ = command(f"evaluate run {source}")
        assert status == 0
        assert "nan" not in output
    assert command("submit run -o submission.csv")[0] == 0
    rows = list(csv.DictReader((tmp_path / "submission.csv").read_text().splitlines()))
    assert len(rows) == 12
    assert {row["Label"] for row in rows} <= {"3", "7"}


def test_a_run_that_learned_nothing_ends_with_status_0_and_a_warning(command):
    status, output, errors = command(f"{TRAIN} --set optimizer.learning_rate=1e-12 --json")
    assert status == 0
    finished = json.loads(output.splitlines()[-1])
    assert says(finished["warning"], NOTHING, "--learning-rate 0.001")
    assert says(errors, "Warning: ", finished["warning"])


def test_a_single_digit_is_refused_in_one_sentence(command):
    status, output, errors = command("train same.csv --out run")
    assert (status, output) == (2, "")
    assert says(errors, "digits: the only label is 3 (10 images)")
