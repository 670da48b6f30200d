"""What each chapter of a report holds: the right arrays are drawn, and what is missing says why."""

from __future__ import annotations

import sys
from concurrent.futures import Future
from dataclasses import replace

import numpy as np
import pytest

from digit_recognizer import Digits, DigitsError, Predictions, Recognizer, evaluate, train
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
    Headline,
    Note,
    Picture,
    Section,
)
from digit_recognizer.report.sections import Choice, show_result
from digit_recognizer.report.subject import Run, Study, read_run, study_run
from digit_recognizer.report.words import bytes_in_words, count, percent, seconds_in_words, spelled
from digit_recognizer.runs.history import EpochRecord
from digit_recognizer.runs.run_folder import read_validation_rows
from digit_recognizer.training.splits import Fold, read_parts
from helpers import make_digits, tiny

pytestmark = pytest.mark.usefixtures("one_thread", "drawn")

DIGITS = make_digits()
OTHERS = make_digits(50, seed=4)


@pytest.fixture(scope="module")
def study(trained) -> Study:
    """A run of two convolutions, judged by the 60 images that it held out."""
    return study_run(read_run(trained("two convolutions")), DIGITS, "made")


@pytest.fixture(scope="module")
def elsewhere(trained) -> Study:
    """The same run, judged by digits that it never saw."""
    return study_run(read_run(trained("two convolutions")), OTHERS, "others")


@pytest.fixture(scope="module")
def unlabelled(trained) -> Study:
    return study_run(read_run(trained("two convolutions")), Digits(OTHERS.images), "test.csv")


@pytest.fixture(scope="module")
def all_trained_on(trained) -> Study:
    return study_run(read_run(trained("pixels")), DIGITS, "made")


def draw_all(section: Section) -> Section:
    """Draw a section's pictures, which `drawn` looks at, and return it."""
    for picture in pictures(section).values():
        picture.draw()
    return section


def show_data(study: Study) -> Section:
    return draw_all(sections.show_data(study))


def show_network(run: Run) -> Section:
    return draw_all(sections.show_network(run))


def show_training(run: Run) -> Section:
    return draw_all(sections.show_training(run))


def show_mistakes(study: Study) -> Section:
    return draw_all(sections.show_mistakes(study))


def show_inside(study: Study, choice: Choice) -> Section:
    inside = sections.open_inside(study, choice)
    layout: Future[sections.inside.Layout | None] = Future()
    layout.set_result(sections.lay_out(inside))
    return draw_all(sections.show_inside(inside, layout))


def answering(study: Study, answers: np.ndarray, confidence: float = 0.9) -> Study:
    """Return a study in which the network gave other answers."""
    rows = np.where(np.arange(10) == answers[:, None], confidence, (1 - confidence) / 9).astype(np.float32)
    predictions = Predictions(rows)
    return replace(study, predictions=predictions, evaluation=evaluate(predictions, study.labels))


def only(section: Section, kind: type[Block]) -> Block:
    (found,) = [block for block in section.blocks if isinstance(block, kind)]
    return found


def notes(section: Section) -> dict[str, str]:
    return {block.title: block.text for block in section.blocks if isinstance(block, Note)}


def pictures(section: Section) -> dict[str, Picture]:
    return {block.name: block for block in section.blocks if isinstance(block, Picture)}


def facts(section: Section) -> dict[str, str]:
    return dict(only(section, Facts).rows)


NOT_HELD_OUT = "The run was trained on all of these images, so there are none to judge it by."
NO_LABELS = "These images have no labels, so right and wrong cannot be told apart."


# What is judged


def test_of_a_fold_validation_images_are_neither_trained_on_nor_judged(tmp_path):
    watching = ('network=["dense 10"]', "epochs=1", "stopping={monitor='validation_loss', patience=1}")
    list(train(DIGITS, tiny(*watching), tmp_path / "run", fold=Fold(1, 4)))
    found = study_run(read_run(tmp_path / "run"), DIGITS, "made")
    parts = read_parts(tmp_path / "run", len(DIGITS))
    assert len(parts.validation) == 30
    assert found.training_rows.tolist() == parts.training.tolist()
    assert found.judged_rows.tolist() == parts.fold.tolist()


def test_a_run_is_judged_by_what_it_held_out(study, trained):
    held_out = read_validation_rows(trained("two convolutions"))
    assert study.is_own
    assert study.judged_rows.tolist() == held_out.tolist()
    assert sorted([*study.judged_rows, *study.training_rows]) == list(range(200))
    expected = Recognizer(trained("two convolutions")).predict(DIGITS.images[held_out])
    assert np.array_equal(study.predictions.probabilities, expected.probabilities)
    assert study.judged_in_words(40) == "40 validation images"


def test_a_run_is_judged_by_all_of_other_digits(elsewhere):
    assert not elsewhere.is_own
    assert elsewhere.judged_rows.tolist() == list(range(50))
    assert not len(elsewhere.training_rows)
    assert elsewhere.evaluation.images == 50
    assert elsewhere.judged_in_words(1) == "1 image of others"


# The result


def test_the_result_says_what_the_run_is(study, trained):
    found = facts(show_result(study))
    size = (trained("two convolutions") / "model.onnx").stat().st_size
    parameters = f"{summarise_recipe(study.run.recipe).parameters:,}"
    assert (
        found.items()
        >= {
            "Recipe": "tiny",
            "Parameters": parameters,
            "Model": f"model.onnx, {size / 1000:.0f} kB",
            "Data": "made: 200 images",
            "Split": "140 to train on, 60 held out",
            "Seed": "0",
        }.items()
    )
    assert found["Training"].startswith("2 epochs in ")
    assert found["Checksum"] == f"SHA-256 {DIGITS.sha256()[:16]}…"


def test_the_result_has_the_command_that_makes_the_run_again(study, trained):
    recipe = trained("two convolutions") / "recipe.toml"
    assert only(show_result(study), Command).line == f"digits train made --recipe {recipe} --seed 0"


@pytest.mark.parametrize(("which", "why"), [("unlabelled", NO_LABELS), ("all_trained_on", NOT_HELD_OUT)])
def test_without_an_evaluation_the_result_says_why(which, why, request):
    section = show_result(request.getfixturevalue(which))
    assert notes(section) == {"Accuracy": why}
    assert not [block for block in section.blocks if isinstance(block, Headline)]


# The data


def test_the_data_are_counted_by_digit_and_part(study, drawn):
    show_data(study)
    assert drawn["draw_counts"]["training"].tolist() == [14] * 10
    assert drawn["draw_counts"]["validation"].tolist() == [6] * 10


def test_other_digits_are_counted_as_one_part(elsewhere, drawn):
    section = show_data(elsewhere)
    assert drawn["draw_counts"]["training"].tolist() == [5] * 10
    assert not drawn["draw_counts"]["validation"].any()
    assert section.lead == (
        "What is shown here: others. The network was trained on another source, made; whether they share "
        "images is not known."
    )


def test_examples_stand_in_the_row_of_their_digit_and_are_blank_where_there_are_none(study, drawn):
    few = replace(study, digits=DIGITS[:15], training_rows=np.arange(10), judged_rows=np.arange(10, 15))
    show_data(few)
    page = drawn["draw_examples"]["images"]
    assert page.shape == (10, 10, 28, 28)
    for digit, row in enumerate(page):
        held = [image for image in row if image.any()]
        expected = DIGITS.images[:15][DIGITS.labels[:15] == digit]
        assert sorted(image.tobytes() for image in held) == sorted(image.tobytes() for image in expected)


def test_augmentation_is_shown_on_an_image_that_was_trained_on(study, drawn):
    section = show_data(study)
    given = drawn["draw_augmentation"]
    assert np.array_equal(given["image"], DIGITS.images[study.training_rows[0]])
    assert given["drawn"].shape == (12, 28, 28)
    caption = pictures(section)["augmentation"].caption
    assert "turned by up to 10° to either side" in caption
    assert "changed by up to 10 %, moved by up to 2.8 pixels each way." in caption


def test_slant_is_named_where_there_is_any(study):
    recipe = study.run.recipe
    recipe = replace(recipe, augmentation=replace(recipe.augmentation, shear=0.05))
    slanted = replace(study, run=replace(study.run, recipe=recipe))
    caption = pictures(show_data(slanted))["augmentation"].caption
    assert "pixels each way, slanted by up to 5 % of the height." in caption


def test_a_recipe_without_augmentation_says_so(all_trained_on):
    expected = "The recipe does not augment: the network met each training image as it is."
    assert notes(show_data(all_trained_on)) == {"Augmentation": expected}


def test_digits_without_labels_cannot_be_sorted(unlabelled):
    section = show_data(unlabelled)
    assert notes(section) == {
        "Images of each digit": "These images have no labels, so they cannot be sorted by digit."
    }
    assert list(pictures(section)) == ["augmentation"]
    assert "Labels at odds" not in facts(section)


def test_checks_find_what_is_wrong_with_digits(study):
    """Of ten images: two blank, three the same as an earlier one, one of these under another label."""
    images = DIGITS.images[:10].copy()
    images[:, 0, :3] = 7  # three pixels that are the same everywhere
    images[3:5] = 0
    images[3:5, 0, :3] = 7
    images[[8, 9]] = images[[1, 2]]
    images[:, 0, :3] = 0
    labels = DIGITS.labels[:10].copy()
    labels[[4, 8]] = labels[[3, 1]]
    rows = np.arange(10)
    odd = replace(study, digits=Digits(images, labels), training_rows=rows[:8], judged_rows=rows[8:])
    found = facts(show_data(odd))
    assert found["Constant pixels"].startswith("3 of 784 ")
    assert found["Blank images"] == "2"
    assert found["Repeated images"].startswith("3 ")
    assert found["Seen in training"].startswith("2 ")
    assert found["Labels at odds"].startswith("1 ")


def test_sound_digits_pass_all_checks(study):
    found = facts(show_data(study))
    for name in ("Blank images", "Repeated images", "Labels at odds"):
        assert found[name] == "none"
    assert found["Seen in training"] == "no validation image"


# The network


def test_the_network_is_a_table_of_its_layers_and_their_sums(study):
    table = show_network(study.run).blocks[0]
    expected = summarise_recipe(study.run.recipe)
    names = [row[0].split()[0] for row in table.rows]
    assert names == [*(layer.name for layer in expected.layers), "together"]
    assert table.rows[0][1:] == ["26 × 26 × 4", "40", f"{26 * 26 * 4 * 9:,}"]
    assert table.rows[-1] == ["together", "", f"{expected.parameters:,}", f"{expected.multiply_adds:,}"]


def test_layers_that_leave_the_shape_as_it_is_are_not_drawn(study, drawn):
    show_network(study.run)
    assert [name for name, _, _ in drawn["draw_network"]["layers"]] == [
        *("conv1", "maxpool1", "conv2", "maxpool2", "dense1", "dense2")
    ]


OWN = """
from torch import nn


def build():
    return nn.Sequential(nn.Conv2d(1, 3, 5, stride=3), nn.ReLU(), nn.Flatten(), nn.Linear(192, 10))
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Study:
    """A run of a network that a function of the user's makes; the module is gone again."""
    folder = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        (folder / "reported_network.py").write_text(OWN)
        for _ in train(DIGITS, tiny(network="reported_network:build", epochs=1), folder / "run"):
            pass
    sys.modules.pop("reported_network")
    return study_run(read_run(folder / "run"), DIGITS, "made")


def test_a_users_own_network_is_shown_where_its_module_is_at_hand(own, monkeypatch):
    monkeypatch.chdir(own.run.folder.parent)
    monkeypatch.delitem(sys.modules, "reported_network", raising=False)
    table, _ = show_network(own.run).blocks
    assert [row[0].split()[0] for row in table.rows] == ["0", "1", "2", "3", "together"]
    assert table.rows[0][1:] == ["8 × 8 × 3", "78", f"{8 * 8 * 3 * 25:,}"]


def test_a_users_own_network_whose_module_is_gone_is_a_sentence(own, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "reported_network", raising=False)
    assert notes(show_network(own.run)) == {
        "Layers": "It cannot be built here: network 'reported_network:build' failed: "
        "ModuleNotFoundError: No module named 'reported_network'."
    }


def test_the_inside_of_a_users_own_network_needs_no_module(own, drawn, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    section = show_inside(own, Choice())
    assert {"filters-first", "feature-maps-0", "map"} <= set(pictures(section))
    assert drawn["draw_filters"]["filters"].shape == (3, 5, 5)


# The training


def with_history(run: Run, accuracies: list[float | None], **changes) -> Run:
    """Return a run of which each epoch has a validation accuracy, or none."""
    history = [
        EpochRecord(number, 0.01, 1 / number, 0.5, accuracy and 1.0, accuracy, accuracy and 3, 2.0, 70.0)
        for number, accuracy in enumerate(accuracies, start=1)
    ]
    return replace(run, history=history, recipe=replace(run.recipe, **changes))


def test_the_training_is_drawn_as_the_history_has_it(study, drawn):
    section = show_training(study.run)
    given = drawn["draw_curves"]
    for name in ("loss", "accuracy", "validation_loss", "validation_accuracy", "learning_rate"):
        assert given[name].tolist() == [getattr(record, name) for record in study.run.history]
    assert not given["stopped"]
    last = study.run.history[-1]
    assert facts(section)["Last epoch, validation"] == (
        f"loss {last.validation_loss:.4f} nats, accuracy {100 * last.validation_accuracy:.2f} %"
    )
    assert "augmentation and dropout" in pictures(section)["training"].caption


def test_the_first_of_the_best_epochs_is_marked(study, drawn):
    section = show_training(with_history(study.run, [0.5, 0.75, 0.75, 0.625], epochs=4))
    assert drawn["draw_curves"]["best"] == 2
    assert section.lead == (
        "It went on for as long as the recipe asks: 4 epochs. The best epoch on the validation images was "
        "number 2; the model is that of the last."
    )


def test_a_last_epoch_that_is_the_best_is_said_to_be(study):
    lead = show_training(with_history(study.run, [0.5, 0.75], epochs=2)).lead
    assert lead.endswith("The last epoch is the best one on the validation images.")


def test_a_training_that_was_stopped_early_says_what_made_no_progress(study, drawn):
    stopping = Stopping("validation_loss", patience=2)
    section = show_training(with_history(study.run, [0.5, 0.25, 0.25], epochs=9, stopping=stopping))
    assert drawn["draw_curves"]["stopped"]
    assert section.lead.startswith(
        "It was stopped early, after 3 of at most 9 epochs: the validation loss had made no progress for 2."
    )


def test_a_training_that_was_never_stopped_early_is_not_said_to_be(study, drawn):
    section = show_training(with_history(study.run, [0.5, 0.25], epochs=2, stopping=Stopping("loss", 2)))
    assert section.lead.startswith("It went on for as long as the recipe asks: 2 epochs.")
    assert not drawn["draw_curves"]["stopped"]


def test_a_training_that_was_ended_by_hand_says_so(study, drawn):
    section = show_training(with_history(study.run, [0.5, 0.75], epochs=9))
    assert section.lead.startswith("It was ended after 2 of 9 epochs.")
    assert not drawn["draw_curves"]["stopped"]


def test_a_training_of_one_epoch_says_that_its_curves_are_points(study):
    caption = pictures(show_training(with_history(study.run, [0.5], epochs=1)))["training"].caption
    assert caption.endswith("There was one epoch only, so each curve is a point.")


def test_a_training_without_validation_has_no_curves_of_it(study, drawn):
    section = show_training(with_history(study.run, [None, None], epochs=2))
    assert drawn["draw_curves"]["validation_loss"] is drawn["draw_curves"]["validation_accuracy"] is None
    assert drawn["draw_curves"]["best"] is None
    assert section.lead.endswith("No images were held out, so only the training images can be followed.")
    assert "Last epoch, validation" not in facts(section)


# The mistakes


def test_the_errors_that_were_surest_are_shown_first(study, drawn):
    show_mistakes(study)
    given = drawn["draw_confident_errors"]
    confidence = given["probabilities"].max(axis=1)
    wrong = study.predictions.labels != study.labels
    assert len(confidence) == min(12, wrong.sum())
    assert (np.diff(confidence) <= 0).all()
    assert confidence[0] == study.predictions.confidence[wrong].max()
    assert np.array_equal(given["images"], DIGITS.images[given["names"]])  # names are rows of the source
    assert np.array_equal(given["labels"], DIGITS.labels[given["names"]])
    assert (given["probabilities"].argmax(axis=1) != given["labels"]).all()


def test_the_sample_is_of_judged_images_with_their_answers(study, drawn):
    show_mistakes(study)
    given = drawn["draw_sample"]
    assert len(given["images"]) == 25
    found = Recognizer(study.run.folder).predict(given["images"]).probabilities
    np.testing.assert_allclose(given["probabilities"], found, atol=1e-6)


def test_each_cell_of_the_confusion_holds_its_surest_images(study):
    table = only(show_mistakes(study), ConfusionTable)
    assert np.array_equal(table.confusion, study.evaluation.confusion)
    answers = dict(zip(study.judged_rows.tolist(), study.predictions.labels, strict=True))
    sure = dict(zip(study.judged_rows.tolist(), study.predictions.confidence, strict=True))
    assert set(table.rows) == {tuple(cell) for cell in np.argwhere(table.confusion).tolist()}
    for (shown, answered), rows in table.rows.items():
        assert len(rows) == min(16, table.confusion[shown, answered])
        assert {(DIGITS.labels[row], answers[row]) for row in rows} == {(shown, answered)}
        assert (np.diff([sure[row] for row in rows]) <= 0).all()
        assert np.array_equal(table.images[shown, answered], DIGITS.images[rows])


def test_the_most_frequent_confusion_is_named(study):
    answers = study.labels.copy()
    answers[np.flatnonzero(study.labels == 4)[:3]] = 9
    answers[np.flatnonzero(study.labels == 7)[:1]] = 1
    assert show_mistakes(answering(study, answers)).lead == (
        "4 errors in 60 validation images. Most often: 4 taken for 9 (3 times)."
    )


def test_two_confusions_as_frequent_are_both_named(study):
    answers = study.labels.copy()
    answers[np.flatnonzero(study.labels == 4)[:1]] = 9
    answers[np.flatnonzero(study.labels == 7)[:1]] = 1
    assert show_mistakes(answering(study, answers)).lead == (
        "2 errors in 60 validation images. Most often: 4 taken for 9 and 7 taken for 1 (once each)."
    )


def test_a_perfect_score_has_no_errors_to_show(study, drawn):
    section = show_mistakes(answering(study, study.labels))
    assert section.lead == "0 errors in 60 validation images. Not one was taken for another."
    assert "draw_confident_errors" not in drawn
    assert "draw_rejection" not in drawn
    texts = notes(section)
    assert texts["Confusion: errors"] == "There is no error to draw: every answer was right."
    assert texts["If unsure answers are refused"] == "Nothing needs to be refused: every answer was right."
    assert len(texts) == 3


def test_a_digit_that_was_never_answered_is_named_and_has_no_precision(study):
    section = show_mistakes(answering(study, np.where(study.labels == 3, 8, study.labels)))
    table = next(block for block in section.blocks if getattr(block, "columns", None))
    assert "Never answered: 3." in table.caption
    assert [row[0] for row in table.rows] == [str(digit) for digit in range(10)]
    assert table.rows[3][:6] == ["3", "6", "6", "–", "0.00 %", "0.00 %"]
    assert table.rows[8][:6] == ["8", "6", "0", "50.00 %", "100.00 %", "66.67 %"]


def test_a_digit_that_was_never_shown_has_no_recall(elsewhere):
    digits = OTHERS[OTHERS.labels != 3]
    rows = np.arange(len(digits))
    few = replace(elsewhere, digits=digits, judged_rows=rows)
    section = show_mistakes(answering(few, np.where(digits.labels == 2, 3, digits.labels)))
    table = next(block for block in section.blocks if getattr(block, "columns", None))
    assert table.rows[3] == ["3", "0", "0", "0.00 %", "–", "0.00 %", "–"]


@pytest.mark.parametrize(("which", "why"), [("unlabelled", NO_LABELS), ("all_trained_on", NOT_HELD_OUT)])
def test_without_an_evaluation_there_are_no_mistakes_to_show(which, why, request):
    section = show_mistakes(request.getfixturevalue(which))
    assert notes(section) == {"Confusion, errors, calibration": why}
    assert len(section.blocks) == 1


# Inside the network


def test_filters_and_maps_are_those_of_run_and_model(study, drawn):
    section = show_inside(study, Choice(filters=2, filter=3))
    activations = open_activations(study.run.folder / "model.onnx")
    first, second = activations.convolutions
    kernels, row = read_filters(study.run.folder, first), seven(study)
    assert np.array_equal(drawn["draw_filters"]["filters"], kernels[:, 0])
    assert np.array_equal(drawn["draw_slices"]["filters"], read_filters(study.run.folder, second)[:2])
    image = DIGITS.images[row]
    assert np.array_equal(drawn["draw_filter"]["kernel"], kernels[3, 0])
    assert np.array_equal(drawn["draw_filter"]["image"], image)
    maps = activations.feature_maps(image[None], first)[0]
    np.testing.assert_allclose(drawn["draw_filter"]["response"], maps[3], atol=1e-6)
    last = activations.feature_maps(image[None], second)[0]
    np.testing.assert_allclose(drawn["draw_feature_maps"]["maps"], last, atol=1e-6)
    assert not notes(section)
    assert {"feature-maps-conv1", "feature-maps-conv2"} <= set(pictures(section))


def seven(study: Study) -> int:
    """Return the row of the first judged 7."""
    return int(study.judged_rows[study.labels == 7][0])


@pytest.mark.parametrize(
    ("choice", "digit"), [(Choice(), 7), (Choice(digit=2), 2), (Choice(index=0), 0), (Choice(index=199), 9)]
)
def test_the_image_to_follow_may_be_chosen(choice, digit, study, drawn):
    section = show_inside(study, choice)
    image = drawn["draw_filter"]["image"]
    row = choice.index if choice.index is not None else int(study.judged_rows[study.labels == digit][0])
    assert np.array_equal(image, DIGITS.images[row])
    assert f"the image of row {row}, a {digit} (read as " in pictures(section)["feature-maps-conv1"].caption


def test_where_there_is_no_seven_another_image_is_followed(elsewhere, drawn):
    digits = OTHERS[OTHERS.labels != 7]
    few = replace(elsewhere, digits=digits, judged_rows=np.arange(len(digits)))
    show_inside(answering(few, digits.labels), Choice())
    assert np.array_equal(drawn["draw_filter"]["image"], digits.images[0])


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        (Choice(filter=4), "conv1 has no filter 4: choose --filter from 0 to 3"),
        (Choice(index=200), "made has no row 200: choose --index from 0 to 199"),
        (Choice(index=-1), "made has no row -1: choose --index from 0 to 199"),
    ],
)
def test_a_choice_that_there_is_not_is_one_sentence(choice, sentence, study):
    with pytest.raises(DigitsError) as error:
        show_inside(study, choice)
    assert str(error.value) == sentence


def test_a_digit_that_there_is_not_is_one_sentence(elsewhere):
    digits = OTHERS[OTHERS.labels != 7]
    few = replace(elsewhere, digits=digits, judged_rows=np.arange(len(digits)))
    with pytest.raises(DigitsError) as error:
        show_inside(few, Choice(digit=7))
    assert str(error.value) == "others has no image of a 7 to show: choose another --digit"


def test_a_digit_cannot_be_chosen_without_labels(unlabelled):
    with pytest.raises(DigitsError) as error:
        show_inside(unlabelled, Choice(digit=7))
    assert str(error.value) == "test.csv has no labels: choose an image with --index instead of --digit"


def test_saliency_is_of_the_surest_errors_and_of_the_answer_given(study, drawn):
    show_inside(study, Choice())
    given = drawn["draw_saliency"]  # the last one drawn: the wrong answers
    wrong = np.flatnonzero(study.predictions.labels != study.labels)
    surest = wrong[np.argsort(-study.predictions.confidence[wrong], kind="stable")[:10]]
    assert np.array_equal(given["images"], study.judged.images[surest])
    for row, found, title in zip(surest, given["maps"], given["titles"], strict=True):
        answer = study.predictions.labels[row]
        assert title == f"a {study.labels[row]}, read as {answer}"
        expected = occlude(study.recognizer, study.judged.images[row], answer)
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_exciting_images_come_strongest_first(study, drawn):
    show_inside(study, Choice())
    given = drawn["draw_exciting_images"]  # of the last convolution
    activations = open_activations(study.run.folder / "model.onnx")
    last = activations.convolutions[-1]
    peaks = activations.peaks(study.judged.images, [last])["conv2"]
    for channel, row in zip(given["channels"], given["images"], strict=True):
        strengths = activations.peaks(row, [last])["conv2"][:, channel]
        expected = np.sort(peaks[:, channel])[::-1][:10]
        np.testing.assert_allclose(strengths, expected, atol=1e-5)


def test_the_map_rings_the_wrong_answers(study, drawn):
    section = show_inside(study, Choice())
    given = drawn["draw_map"]
    assert given["points"].shape == (60, 2)
    assert given["labels"].tolist() == study.labels.tolist()
    assert given["wrong"].tolist() == (study.predictions.labels != study.labels).tolist()
    assert "60 images as PCA lays out the 12 values" in pictures(section)["map"].caption


def test_a_perfect_score_has_no_wrong_answers_to_look_into(study):
    section = show_inside(answering(study, study.labels), Choice())
    assert notes(section) == {"Where it looks: wrong answers": "There is none: every answer was right."}
    assert "saliency-right" in pictures(section)


def test_where_nothing_is_right_there_is_nothing_right_to_look_into(study):
    section = show_inside(answering(study, (study.labels + 1) % 10), Choice())
    assert notes(section) == {"Where it looks: right answers": "There is none."}
    assert "saliency-wrong" in pictures(section)


NO_CONVOLUTION = "This network has no convolution to show, so there are no filters and no feature maps."


def test_a_network_without_convolution_has_no_filters_and_no_maps(trained):
    section = show_inside(study_run(read_run(trained("hidden")), DIGITS, "made"), Choice())
    assert notes(section) == {
        "Filters and feature maps": NO_CONVOLUTION,
        "What excites a channel": NO_CONVOLUTION,
    }
    assert list(pictures(section)) == ["saliency-right", "saliency-wrong", "map"]


def test_a_network_with_one_convolution_that_ends_in_pooling_says_both(trained):
    section = show_inside(study_run(read_run(trained("pooled")), DIGITS, "made"), Choice())
    assert notes(section) == {
        "Filters of the second convolution": "There is one convolution only.",
        "How the last hidden layer sorts the digits": "The network does not end in a dense layer, so there "
        "is no layer before it to map.",
    }
    assert "exciting-conv1" in pictures(section)


@pytest.mark.parametrize(("which", "why"), [("unlabelled", NO_LABELS), ("all_trained_on", NOT_HELD_OUT)])
def test_without_an_evaluation_the_inside_says_why_it_looks_at_no_answers(which, why, request):
    texts = notes(show_inside(request.getfixturevalue(which), Choice()))
    assert texts["Where it looks"] == why
    assert texts["How the last hidden layer sorts the digits"] == why


# Words


def test_numbers_have_the_same_words_everywhere():
    assert [percent(0.994), percent(1, 1), percent(float("nan"))] == ["99.40 %", "100.0 %", "–"]
    assert [count(1, "image"), count(4_200, "image")] == ["1 image", "4,200 images"]
    assert [seconds_in_words(seconds) for seconds in (4.21, 59.9, 425.2, 3_725)] == [
        *("4.2 s", "59.9 s", "7 min 5 s", "1 h 2 min")
    ]
    assert [bytes_in_words(size) for size in (85_400, 999_000, 3_610_000)] == ["85 kB", "999 kB", "3.6 MB"]
    assert [spelled(["a"]), spelled(["a", "b"]), spelled(["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
