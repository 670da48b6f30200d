"""The sections of a report: which arrays are drawn, which numbers are stated, and what replaces the rest."""

from __future__ import annotations

import sys
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from digit_recognizer import Digits, Predictions, Recognizer, evaluate, train
from digit_recognizer.corrections import save_corrections
from digit_recognizer.digits import Samples
from digit_recognizer.explain.activations import open_activations, read_filters
from digit_recognizer.explain.occlusion import occlude
from digit_recognizer.networks.summary import summarise_recipe
from digit_recognizer.recipes.schema import Stopping
from digit_recognizer.report import sections
from digit_recognizer.report.blocks import (
    Block,
    Command,
    ConfusionTable,
    Facts,
    Note,
    Picture,
    Section,
    Table,
)
from digit_recognizer.report.sections import Choice
from digit_recognizer.report.subject import Subject, evaluate_run
from digit_recognizer.runs.history import EpochRecord
from digit_recognizer.runs.run import Run, read_run
from digit_recognizer.runs.split import read_split
from digit_recognizer.training.splits import Fold
from helpers import make_digits, refusal, says, tiny

pytestmark = pytest.mark.usefixtures("one_thread", "drawn")

DIGITS = make_digits()
OTHERS = make_digits(50, seed=4)


@pytest.fixture(scope="module")
def subjects(trained) -> dict[str, Subject]:
    run = read_run(trained("two convolutions"))
    return {
        "own digits": evaluate_run(run, DIGITS, "made"),
        "other digits": evaluate_run(run, OTHERS, "others"),
        "no labels": evaluate_run(run, Digits(OTHERS.images), "test.csv"),
        "nothing held out": evaluate_run(read_run(trained("pixels")), DIGITS, "made"),
    }


@pytest.fixture
def subject(subjects) -> Subject:
    """A run of two convolutions, evaluated on the 60 images that it held out."""
    return subjects["own digits"]


def show(name: str, argument: Subject | Run) -> Section:
    """Make a section and draw its pictures, which `drawn` records."""
    return draw(getattr(sections, f"show_{name}")(argument))


def show_inside(subject: Subject, **choice: int) -> Section:
    inside = sections.open_inside(subject, Choice(**choice))
    layout: Future[sections.inside.Layout | None] = Future()
    layout.set_result(sections.map_hidden_layer(inside))
    return draw(sections.show_inside(inside, layout))


def draw(section: Section) -> Section:
    for picture in pictures(section).values():
        picture.draw()
    return section


def only(section: Section, kind: type[Block]) -> Block:
    (found,) = [block for block in section.blocks if isinstance(block, kind)]
    return found


def pictures(section: Section) -> dict[str, Picture]:
    return {block.name: block for block in section.blocks if isinstance(block, Picture)}


def notes(section: Section) -> list[str]:
    return [f"{block.title}: {block.text}" for block in section.blocks if isinstance(block, Note)]


def facts(section: Section) -> dict[str, str]:
    return dict(only(section, Facts).rows)


def answering(subject: Subject, answers: np.ndarray) -> Subject:
    """Return a subject whose model gives these answers, each with a confidence of 0.9."""
    rows = np.where(np.arange(10) == answers[:, None], 0.9, 0.1 / 9).astype(np.float32)
    predictions = Predictions(rows)
    return replace(subject, predictions=predictions, evaluation=evaluate(predictions, subject.labels))


def without_digit(subject: Subject, digit: int) -> Subject:
    """Return a subject without images of a digit, all others read correctly."""
    digits = subject.digits[subject.digits.labels != digit]
    return answering(replace(subject, digits=digits, evaluated_rows=np.arange(len(digits))), digits.labels)


def row_of(subject: Subject, digit: int) -> int:
    """Return the row of the first evaluated image of a digit."""
    return int(subject.evaluated_rows[subject.labels == digit][0])


# What a run is evaluated on


def test_a_run_is_evaluated_on_what_it_held_out(subject):
    split = read_split(subject.run.folder, subject.run.environment, len(DIGITS))
    assert subject.is_own
    assert subject.evaluated_rows.tolist() == split.validation.tolist()
    assert subject.training_rows.tolist() == split.training.tolist()
    expected = Recognizer(subject.run.folder).predict(DIGITS.images[split.validation])
    assert np.array_equal(subject.predictions.probabilities, expected.probabilities)


def test_a_run_of_a_fold_is_evaluated_on_the_fold_and_not_on_its_validation_images(tmp_path):
    watching = ('network=["dense 10"]', "epochs=1", "stopping={monitor='validation_loss', patience=1}")
    list(train(DIGITS, tiny(*watching), tmp_path / "run", fold=Fold(1, 4)))
    found = evaluate_run(read_run(tmp_path / "run"), DIGITS, "made")
    split = read_split(found.run.folder, found.run.environment, len(DIGITS))
    assert len(split.validation) == 30
    assert found.training_rows.tolist() == split.training.tolist()
    assert found.evaluated_rows.tolist() == split.fold.tolist()


def test_a_run_is_evaluated_on_all_of_other_digits(subjects):
    others = subjects["other digits"]
    assert not others.is_own
    assert others.evaluated_rows.tolist() == list(range(50))
    assert not len(others.training_rows)
    assert others.evaluation.images == 50


@pytest.mark.parametrize(
    ("which", "why"), [("no labels", "no labels"), ("nothing held out", "trained on all")]
)
def test_what_needs_an_evaluation_says_why_there_is_none(which, why, subjects):
    unevaluated = subjects[which]
    mistakes = show("mistakes", unevaluated)
    assert len(mistakes.blocks) == 1
    for section, titles in (
        (show("result", unevaluated), ["Accuracy"]),
        (mistakes, ["Confusion matrix"]),
        (show_inside(unevaluated), ["Saliency", "Map of the last hidden layer"]),
    ):
        for title in titles:
            assert [why in note for note in notes(section) if note.startswith(title)] == [True]


# The result


def test_the_result_states_what_the_run_is_and_how_to_repeat_it(subject):
    section = show("result", subject)
    found = facts(section)
    size = (subject.run.folder / "model.onnx").stat().st_size
    assert found["Recipe"] == "tiny"
    assert found["Seed"] == "0"
    assert found["Parameters"] == f"{summarise_recipe(subject.run.recipe).parameters:,}"
    assert says(found["Training"], "2 epochs")
    assert says(found["Model"], "model.onnx", f"{size / 1000:.0f} kB")
    assert says(found["Data"], "made", "200 images")
    assert says(found["Split"], 140, 60)
    assert says(found["Checksum"], DIGITS.sha256()[:16])
    recipe = subject.run.folder / "recipe.toml"
    assert only(section, Command).line == f"digits train made --recipe {recipe} --seed 0"


# The data


@pytest.mark.parametrize(("which", "training", "validation"), [("own digits", 14, 6), ("other digits", 5, 0)])
def test_images_are_counted_by_digit_and_part(which, training, validation, subjects, drawn):
    show("data", subjects[which])
    assert drawn["draw_counts"]["training"].tolist() == [training] * 10
    assert drawn["draw_counts"]["validation"].tolist() == [validation] * 10


def test_of_other_digits_both_sources_are_named(subjects):
    assert says(show("data", subjects["other digits"]).lead, "others", "made")


def test_examples_are_in_the_row_of_their_digit_and_blank_if_there_are_none(subject, drawn):
    few = replace(subject, digits=DIGITS[:15], training_rows=np.arange(10), evaluated_rows=np.arange(10, 15))
    show("data", few)
    page = drawn["draw_examples"]["images"]
    assert page.shape == (10, 10, 28, 28)
    for digit, row in enumerate(page):
        shown = [image.tobytes() for image in row if image.any()]
        expected = DIGITS.images[:15][DIGITS.labels[:15] == digit]
        assert sorted(shown) == sorted(image.tobytes() for image in expected)


def test_augmentation_is_shown_for_a_training_image_with_its_limits(subject, drawn):
    augmentation = replace(subject.run.recipe.augmentation, shear=0.05)
    run = replace(subject.run, recipe=replace(subject.run.recipe, augmentation=augmentation))
    caption = pictures(show("data", replace(subject, run=run)))["augmentation"].caption
    assert np.array_equal(drawn["draw_augmentation"]["image"], DIGITS.images[subject.training_rows[0]])
    assert drawn["draw_augmentation"]["variants"].shape == (12, 28, 28)
    assert says(caption, "10°", "10 %", "2.8 pixels", "5 % of the height")
    assert "of the height" not in pictures(show("data", subject))["augmentation"].caption


def test_a_recipe_without_augmentation_and_digits_without_labels_have_notes_instead(subjects):
    assert [note.partition(":")[0] for note in notes(show("data", subjects["nothing held out"]))] == [
        "Augmentation"
    ]
    unlabelled = show("data", subjects["no labels"])
    assert [note.partition(":")[0] for note in notes(unlabelled)] == ["Images per digit"]
    assert list(pictures(unlabelled)) == ["augmentation"]
    assert "Conflicting labels" not in facts(unlabelled)


def test_checks_find_what_is_wrong_with_digits(subject):
    """Of ten images: two blank, three identical to an earlier one, one of these with another label."""
    images = DIGITS.images[:10].copy()
    images[3:5] = 0
    images[[8, 9]] = images[[1, 2]]
    images[:, 0, :3] = 0  # three pixels that are the same everywhere
    labels = DIGITS.labels[:10].copy()
    labels[[4, 8]] = labels[[3, 1]]
    rows = np.arange(10)
    odd = replace(subject, digits=Digits(images, labels), training_rows=rows[:8], evaluated_rows=rows[8:])
    found = facts(show("data", odd))
    assert says(found["Constant pixels"], "3 of 784")
    assert found["Blank images"] == "2"
    assert found["Duplicate images"].startswith("3 ")
    assert found["Overlap"].startswith("2 validation images")
    assert found["Conflicting labels"].startswith("1 image ")


def test_checks_of_sound_digits_find_nothing(subject):
    found = facts(show("data", subject))
    for name in ("Blank images", "Duplicate images", "Conflicting labels"):
        assert found[name] == "none"
    assert found["Overlap"].startswith("no ")


# The network


def test_the_network_is_a_table_of_its_layers_and_their_sums(subject, drawn):
    table = only(show("network", subject.run), Table)
    expected = summarise_recipe(subject.run.recipe)
    names = [row[0].split()[0] for row in table.rows]
    assert names == [*(layer.name for layer in expected.layers), "total"]
    assert table.rows[0][1:] == ["26 × 26 × 4", "40", f"{26 * 26 * 4 * 9:,}"]
    assert table.rows[-1][1:] == ["", f"{expected.parameters:,}", f"{expected.multiply_adds:,}"]
    shaped = ["conv1", "maxpool1", "conv2", "maxpool2", "dense1", "dense2"]
    assert [name for name, _, _ in drawn["draw_network"]["layers"]] == shaped  # without dropout


OWN = """
from torch import nn


def build():
    return nn.Sequential(nn.Conv2d(1, 3, 5, stride=3), nn.ReLU(), nn.Flatten(), nn.Linear(192, 10))
"""


def test_a_network_of_the_users_own_is_shown_inside_even_without_its_module(tmp_path, drawn, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reported_network.py").write_text(OWN)
    list(train(DIGITS, tiny(network="reported_network:build", epochs=1), tmp_path / "run"))
    own = evaluate_run(read_run(tmp_path / "run"), DIGITS, "made")
    table = only(show("network", own.run), Table)
    assert [row[0].split()[0] for row in table.rows] == ["0", "1", "2", "3", "total"]
    assert table.rows[0][1:] == ["8 × 8 × 3", "78", f"{8 * 8 * 3 * 25:,}"]

    (tmp_path / "reported_network.py").unlink()
    monkeypatch.delitem(sys.modules, "reported_network")
    (note,) = notes(show("network", own.run))
    assert says(note, "reported_network:build", "ModuleNotFoundError")
    assert {"filters-first", "feature-maps-0", "map"} <= set(pictures(show_inside(own)))
    assert drawn["draw_filters"]["filters"].shape == (3, 5, 5)


# The training


def with_history(run: Run, accuracies: list[float | None], **changes) -> Run:
    """Return a run with these validation accuracies, one for each epoch, and changes of its recipe."""
    history = [
        EpochRecord(number, 0.01, 1 / number, 0.5, accuracy and 1.0, accuracy, accuracy and 3, 2.0, 70.0)
        for number, accuracy in enumerate(accuracies, start=1)
    ]
    return replace(run, history=history, recipe=replace(run.recipe, **changes))


def test_the_training_is_drawn_from_the_history(subject, drawn):
    section = show("training", subject.run)
    given, last = drawn["draw_curves"], subject.run.history[-1]
    for name in ("loss", "accuracy", "validation_loss", "validation_accuracy", "learning_rate"):
        assert given[name].tolist() == [getattr(record, name) for record in subject.run.history]
    accuracy = f"{100 * last.validation_accuracy:.2f} %"
    assert says(facts(section)["Validation"], f"{last.validation_loss:.4f} nats", accuracy)
    assert says(pictures(section)["training"].caption, "augmentation and dropout")


STOPPING = Stopping("validation_loss", patience=2)


@pytest.mark.parametrize(
    ("accuracies", "changes", "best", "stopped", "stated"),
    [
        ([0.5, 0.75, 0.75, 0.625], {"epochs": 4}, 2, False, ["4 epochs", "Epoch 2 is the best"]),
        ([0.5, 0.75], {"epochs": 2}, 2, False, ["2 epochs", "The last epoch is the best"]),
        (
            [0.5, 0.25, 0.25],
            {"epochs": 9, "stopping": STOPPING},
            1,
            True,
            ["after 3 of", "9 epochs", "validation loss", "2 epochs"],
        ),
        ([0.5, 0.25], {"epochs": 2, "stopping": STOPPING}, 1, False, ["ran to the end", "2 epochs"]),
        ([0.5, 0.75], {"epochs": 9}, 2, False, ["by hand", "2 of 9"]),
        ([None, None], {"epochs": 2}, None, False, ["2 epochs", "No images were held out"]),
    ],
    ids=["best before", "best last", "stopped early", "never stopped early", "by hand", "no validation"],
)
def test_the_end_and_the_best_epoch_of_a_training_are_stated_and_marked(
    accuracies, changes, best, stopped, stated, subject, drawn
):
    section = show("training", with_history(subject.run, accuracies, **changes))
    assert says(section.lead, *stated)
    assert (drawn["draw_curves"]["best"], drawn["draw_curves"]["stopped"]) == (best, stopped)
    has_validation = best is not None
    assert (drawn["draw_curves"]["validation_loss"] is not None) == has_validation
    assert (drawn["draw_curves"]["validation_accuracy"] is not None) == has_validation
    assert ("Validation" in facts(section)) == has_validation


def test_a_training_of_one_epoch_says_that_its_curves_are_points(subject):
    caption = pictures(show("training", with_history(subject.run, [0.5], epochs=1)))["training"].caption
    assert says(caption, "one epoch", "point")


# The mistakes


def test_the_most_confident_errors_come_first(subject, drawn):
    show("mistakes", subject)
    given = drawn["draw_confident_errors"]
    confidence = given["probabilities"].max(axis=1)
    assert len(confidence) == min(12, subject.wrong.sum())
    assert (np.diff(confidence) <= 0).all()
    assert confidence[0] == subject.predictions.confidence[subject.wrong].max()
    assert np.array_equal(given["images"], DIGITS.images[given["rows"]])
    assert np.array_equal(given["labels"], DIGITS.labels[given["rows"]])
    assert (given["probabilities"].argmax(axis=1) != given["labels"]).all()


def test_the_sample_has_evaluated_images_with_their_answers(subject, drawn):
    show("mistakes", subject)
    given = drawn["draw_sample"]
    assert len(given["images"]) == 25
    found = subject.recognizer.predict(given["images"]).probabilities
    np.testing.assert_allclose(given["probabilities"], found, atol=1e-6)


def test_each_cell_of_the_confusion_matrix_has_its_most_confident_images(subject):
    table = only(show("mistakes", subject), ConfusionTable)
    assert np.array_equal(table.confusion, subject.evaluation.confusion)
    answers = dict(zip(subject.evaluated_rows.tolist(), subject.predictions.labels, strict=True))
    confidence = dict(zip(subject.evaluated_rows.tolist(), subject.predictions.confidence, strict=True))
    assert set(table.rows) == {tuple(cell) for cell in np.argwhere(table.confusion).tolist()}
    for (label, answer), rows in table.rows.items():
        assert len(rows) == min(16, table.confusion[label, answer])
        assert {(DIGITS.labels[row], answers[row]) for row in rows} == {(label, answer)}
        assert (np.diff([confidence[row] for row in rows]) <= 0).all()
        assert np.array_equal(table.images[label, answer], DIGITS.images[rows])


@pytest.mark.parametrize(
    ("errors", "stated"),
    [
        ({4: (9, 3), 7: (1, 1)}, ["4 errors", "4 read as 9", "3 times"]),
        ({4: (9, 1), 7: (1, 1)}, ["2 errors", "4 read as 9 and 7 read as 1", "once each"]),
        (dict.fromkeys(range(4, 8), (0, 2)), ["8 errors", "twice"]),
    ],
    ids=["one", "two", "many"],
)
def test_the_most_frequent_confusions_are_named(errors, stated, subject):
    answers = subject.labels.copy()
    for label, (answer, times) in errors.items():
        answers[np.flatnonzero(subject.labels == label)[:times]] = answer
    assert says(show("mistakes", answering(subject, answers)).lead, "60 validation images", *stated)


def test_without_errors_there_are_notes_in_place_of_them(subject, drawn):
    correct = answering(subject, subject.labels)
    section = show("mistakes", correct)
    assert says(section.lead, "0 errors", 60)
    titles = ["Confusion matrix: errors only", "Most confident errors", "Rejecting uncertain answers"]
    assert [note.partition(": Every")[0].partition(": None")[0] for note in notes(section)] == titles
    assert not {"draw_confident_errors", "draw_rejection", "draw_confusion_rates"} & set(drawn)
    inside = show_inside(correct)
    assert [note.partition(": None")[0] for note in notes(inside)] == [
        "Saliency: most confident wrong answers"
    ]
    assert "saliency-right" in pictures(inside)


def test_without_correct_answers_there_is_a_note_in_place_of_their_saliency(subject):
    section = show_inside(answering(subject, (subject.labels + 1) % 10))
    assert [note.partition(": None")[0] for note in notes(section)] == ["Saliency: correct answers"]
    assert "saliency-wrong" in pictures(section)


def test_a_digit_without_answers_has_no_precision_and_one_without_images_no_recall(subject, subjects):
    table = only(
        show("mistakes", answering(subject, np.where(subject.labels == 3, 8, subject.labels))), Table
    )
    assert says(table.caption, "No image was read as 3.")
    assert [row[0] for row in table.rows] == [str(digit) for digit in range(10)]
    assert table.rows[3][:6] == ["3", "6", "6", "–", "0.00 %", "0.00 %"]
    assert table.rows[8][:6] == ["8", "6", "0", "50.00 %", "100.00 %", "66.67 %"]
    few = without_digit(subjects["other digits"], 3)
    table = only(show("mistakes", answering(few, np.where(few.labels == 2, 3, few.labels))), Table)
    assert table.rows[3] == ["3", "0", "0", "0.00 %", "–", "0.00 %", "–"]


# Corrections

SCORES = {"errors": 4, "accuracy": 0.96, "accuracy_interval_95": [0.9, 0.98]}
LEARNED = {
    "images": 3,
    "classes": [1, 7, None],
    "before": {"right": 1, "answers": [1, 1, 3]},
    "unseen": {"right": 2, "answers": [1, 7, 3]},
    "after": {"right": 3, "answers": [1, 7, None]},
    "kept": 0.5,
    "validation": {"before": SCORES, "newly_right": 1, "newly_wrong": 2, "allowed": 5},
}
FROM_START = {key: value for key, value in LEARNED.items() if key not in ("before", "unseen", "kept")}


def corrected(run: Run, values: dict, folder: Path) -> Run:
    """Return a run that learned from three corrections: a 1, a 7 and a non-digit."""
    save_corrections(folder / "corrections.npz", Samples(DIGITS.images[:3], np.array([1, 7, 10])))
    left_out = {"no_digit": 0, "held_out": 1}
    described = {"file": "c.sqlite", "sha256": "ab" * 32, "digits": 2, "others": 1, "left_out": left_out}
    environment = replace(run.environment, corrections=described | {"from": {"run": "runs/a"}})
    metrics = replace(run.metrics, corrections=values)
    return replace(run, folder=folder, environment=environment, metrics=metrics)


def test_corrections_are_counted_by_class_with_their_effect_on_the_validation_images(
    subject, tmp_path, drawn
):
    section = show("corrections", corrected(subject.run, LEARNED, tmp_path))
    counts, effect = (block for block in section.blocks if isinstance(block, Table))
    assert [list(row) for row in counts.rows] == [
        ["1", "1", "1", "1", "1"],
        ["7", "1", "0", "1", "1"],
        ["none", "1", "0", "0", "1"],
        ["total", "3", "1", "2", "3"],
    ]
    validation = subject.run.metrics.validation
    assert effect.rows[0] == ["before", "4", "96.00 %", "90.00 to 98.00 %"]
    assert effect.rows[1][:2] == ["after", str(validation.errors)]
    assert says(effect.caption, "60 validation images", "1 are", "2 newly", "5 additional errors")
    found = facts(section)
    assert (found["Digits"], found["Non-digits"], found["Started from"]) == ("2", "1", "runs/a")
    assert found["Weight change kept"] == "50 %"
    assert drawn["draw_corrections"]["words"] == ["1 → 1", "1 → 7", "3 → 3, is none"]
    assert drawn["draw_corrections"]["correct"].tolist() == [True, True, False]
    assert np.array_equal(drawn["draw_corrections"]["images"], DIGITS.images[:3])


@pytest.mark.parametrize(
    ("values", "stated", "words", "tables"),
    [
        (LEARNED, ["3 corrections", "1 were", "2 after"], ["1 → 1", "1 → 7", "3 → 3, is none"], 2),
        (LEARNED | {"unseen": None}, ["3 corrections", "too few"], ["1 → 1", "1 → 7", "3 → none"], 2),
        (
            LEARNED | {"kept": 0, "unseen": None},
            ["unchanged", "3 corrections"],
            ["1 → 1", "1 → 7", "3 → none"],
            2,
        ),
        (LEARNED | {"validation": None}, ["3 corrections"], ["1 → 1", "1 → 7", "3 → 3, is none"], 1),
        (FROM_START, ["3 corrections", "in addition"], ["1", "7", "none"], 1),
    ],
    ids=["held out in turn", "too few", "nothing kept", "no validation images", "no run to start from"],
)
def test_corrections_state_what_was_learned(values, stated, words, tables, subject, tmp_path, drawn):
    section = show("corrections", corrected(subject.run, values, tmp_path))
    assert says(section.lead, *stated)
    assert drawn["draw_corrections"]["words"] == words
    assert len([block for block in section.blocks if isinstance(block, Table)]) == tables
    assert len(notes(section)) == (1 if values.get("validation", 1) is None else 0)


# Inside the network


def test_filters_and_feature_maps_are_those_of_run_and_model(subject, drawn):
    section = show_inside(subject, filters=2, filter=3)
    activations = open_activations(subject.run.folder / "model.onnx")
    first, second = activations.convolutions
    kernels, image = read_filters(subject.run.folder, first), DIGITS.images[row_of(subject, 7)]
    assert np.array_equal(drawn["draw_filters"]["filters"], kernels[:, 0])
    assert np.array_equal(drawn["draw_slices"]["filters"], read_filters(subject.run.folder, second)[:2])
    assert np.array_equal(drawn["draw_filter"]["kernel"], kernels[3, 0])
    assert np.array_equal(drawn["draw_filter"]["image"], image)
    maps = activations.all_feature_maps(image[None])
    np.testing.assert_allclose(drawn["draw_filter"]["response"], maps["conv1"][0, 3], atol=1e-6)
    np.testing.assert_allclose(drawn["draw_feature_maps"]["maps"], maps["conv2"][0], atol=1e-6)
    assert not notes(section)
    assert {"feature-maps-conv1", "feature-maps-conv2"} <= set(pictures(section))


@pytest.mark.parametrize(
    ("choice", "digit"), [({}, 7), ({"digit": 2}, 2), ({"index": 0}, 0), ({"index": 199}, 9)]
)
def test_the_image_to_follow_can_be_chosen(choice, digit, subject, drawn):
    section = show_inside(subject, **choice)
    row = choice.get("index", row_of(subject, digit))
    assert np.array_equal(drawn["draw_filter"]["image"], DIGITS.images[row])
    assert says(pictures(section)["feature-maps-conv1"].caption, f"row {row} (label {digit}, read as ")


def test_if_there_is_no_seven_another_image_is_followed(subjects, drawn):
    few = without_digit(subjects["other digits"], 7)
    show_inside(few)
    assert np.array_equal(drawn["draw_filter"]["image"], few.digits.images[0])


@pytest.mark.parametrize(
    ("which", "choice", "stated"),
    [
        ("own digits", {"filter": 4}, ["conv1", "4", "--filter", "0 to 3"]),
        ("own digits", {"index": 200}, ["made", "200", "--index", "0 to 199"]),
        ("own digits", {"index": -1}, ["made", "-1", "--index", "0 to 199"]),
        ("other digits", {"digit": 7}, ["others", "7", "--digit"]),
        ("no labels", {"digit": 7}, ["test.csv", "labels", "--index", "--digit"]),
    ],
)
def test_a_choice_that_does_not_exist_is_refused(which, choice, stated, subjects):
    subject = subjects[which]
    subject = without_digit(subject, 7) if which == "other digits" else subject
    assert says(refusal(lambda: show_inside(subject, **choice)), *stated)


def test_saliency_is_of_the_most_confident_errors_and_of_the_answer_given(subject, drawn):
    show_inside(subject)
    given = drawn["draw_saliency"]  # the last one drawn: the wrong answers
    wrong = np.flatnonzero(subject.wrong)
    shown = wrong[np.argsort(-subject.predictions.confidence[wrong], kind="stable")[:10]]
    assert np.array_equal(given["images"], subject.evaluated.images[shown])
    for row, found, title in zip(shown, given["maps"], given["titles"], strict=True):
        answer = subject.predictions.labels[row]
        assert says(title, f"{subject.labels[row]}, read as {answer}")
        expected = occlude(subject.recognizer, subject.evaluated.images[row], answer)
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_images_that_activate_a_channel_most_come_strongest_first(subject, drawn):
    show_inside(subject)
    given = drawn["draw_strongest_images"]  # of the last convolution
    activations = open_activations(subject.run.folder / "model.onnx")
    last = activations.convolutions[-1]
    peaks = activations.peaks(subject.evaluated.images, [last])["conv2"]
    for channel, row in zip(given["channels"], given["images"], strict=True):
        found = activations.peaks(row, [last])["conv2"][:, channel]
        np.testing.assert_allclose(found, np.sort(peaks[:, channel])[::-1][:10], atol=1e-5)


def test_the_map_rings_the_wrong_answers(subject, drawn):
    section = show_inside(subject)
    given = drawn["draw_map"]
    assert given["points"].shape == (60, 2)
    assert given["labels"].tolist() == subject.labels.tolist()
    assert given["wrong"].tolist() == subject.wrong.tolist()
    assert says(pictures(section)["map"].caption, "60 images", "PCA", "12 values")


@pytest.mark.parametrize(
    ("run", "missing", "shown"),
    [
        (
            "hidden",
            ["Filters and feature maps", "Images that activate a channel"],
            {"saliency-right", "saliency-wrong", "map"},
        ),
        (
            "pooled",
            ["Filters of the second convolution", "Map of the last hidden layer"],
            {"filters-first", "exciting-conv1", "saliency-wrong"},
        ),
    ],
)
def test_what_a_network_does_not_have_is_a_note(run, missing, shown, trained):
    section = show_inside(evaluate_run(read_run(trained(run)), DIGITS, "made"))
    assert [note.partition(":")[0] for note in notes(section)] == missing
    assert shown <= set(pictures(section))
