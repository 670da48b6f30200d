"""Evaluation: scikit-learn and a case worked out by hand are the oracles."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_score, recall_score

from digit_recognizer.digits import Predictions
from digit_recognizer.errors import DigitsError
from digit_recognizer.evaluation import (
    describe,
    evaluate,
    measure_reliability,
    measure_scores,
    most_confident_errors,
    reject_unsure,
    wilson_interval,
)

PAIRS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=200)  # truth, guess


def predicted(labels) -> Predictions:
    """Return predictions that are sure of the given labels."""
    return Predictions(np.eye(10, dtype=np.float32)[np.asarray(labels, np.int64)])


def labels(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def unsure(*answers: tuple[int, float]) -> Predictions:
    """Return predictions of (label, confidence); what is left is spread over the other digits."""
    rows = [np.where(np.arange(10) == label, sure, (1 - sure) / 9) for label, sure in answers]
    return Predictions(np.array(rows, np.float32))


def drawn(count: int, seed: int) -> tuple[Predictions, np.ndarray]:
    """Return predictions of any confidence, right about as often as they claim to be, and the truth."""
    generator = np.random.default_rng(seed)
    weights = generator.random((count, 10)) ** generator.integers(1, 40, (count, 1))
    chances = weights / weights.sum(axis=1, keepdims=True)
    truth = [generator.choice(10, p=row) for row in chances]
    return Predictions(chances.astype(np.float32)), np.array(truth, np.int64)


@given(pairs=PAIRS)
def test_accuracy_and_confusion_are_those_of_scikit_learn(pairs):
    truth, guesses = (np.array(column, np.int64) for column in zip(*pairs, strict=True))
    evaluation = evaluate(predicted(guesses), truth)
    assert evaluation.accuracy == pytest.approx(accuracy_score(truth, guesses), abs=1e-12)
    assert evaluation.confusion.tolist() == confusion_matrix(truth, guesses, labels=range(10)).tolist()


def test_a_small_case_is_as_worked_out_by_hand():
    evaluation = evaluate(predicted([0, 0, 1, 7, 7]), labels(0, 0, 7, 7, 1))
    assert evaluation.images == 5
    assert evaluation.errors == 2
    assert evaluation.accuracy == pytest.approx(0.6)
    assert evaluation.accuracy_interval == wilson_interval(3, 5)
    assert evaluation.images_per_digit.tolist() == [2, 1, 0, 0, 0, 0, 0, 2, 0, 0]
    assert evaluation.errors_per_digit.tolist() == [0, 1, 0, 0, 0, 0, 0, 1, 0, 0]
    assert evaluation.confusion[7].tolist() == [0, 1, 0, 0, 0, 0, 0, 1, 0, 0]  # rows are the truth
    assert evaluation.confusion[1].tolist() == [0, 0, 0, 0, 0, 0, 0, 1, 0, 0]


def test_all_of_it_can_be_written_as_json():
    values = evaluate(predicted([0, 0, 1, 7, 7]), labels(0, 0, 7, 7, 1)).as_dict()
    assert json.loads(json.dumps(values)) == values | {
        "accuracy_interval_95": list(values["accuracy_interval_95"])
    }
    assert values["per_digit"][7] == {"digit": 7, "images": 2, "errors": 1, "accuracy": 0.5}
    assert (values["images"], values["errors"]) == (5, 2)


def test_a_digit_without_images_has_no_accuracy():
    values = evaluate(predicted([3]), labels(3)).as_dict()
    assert [row["accuracy"] for row in values["per_digit"]] == [None] * 3 + [1.0] + [None] * 6


@pytest.mark.parametrize(("guesses", "accuracy"), [([1, 2, 3], 1.0), ([3, 1, 2], 0.0)])
def test_all_right_and_all_wrong_are_exact(guesses, accuracy):
    evaluation = evaluate(predicted(guesses), labels(1, 2, 3))
    assert evaluation.accuracy == accuracy
    low, high = evaluation.accuracy_interval
    assert 0 <= low <= accuracy <= high <= 1
    assert high - low > 0.3


@pytest.mark.parametrize(("guesses", "truth"), [(2, 3), (3, 2), (0, 1), (1, 0), (0, 0)])
def test_as_many_labels_as_predictions_are_needed_and_at_least_one(guesses, truth):
    with pytest.raises(DigitsError, match=f"at least one; got {truth} and {guesses}"):
        evaluate(predicted([1] * guesses), labels(*[1] * truth))


# Precision, recall, F1


def one_digit_at_a_time(score, truth: np.ndarray, guesses: np.ndarray) -> list[float]:
    """Ask scikit-learn for each digit's score as if there were this digit and others only."""
    return [score(truth == digit, guesses == digit, zero_division=np.nan) for digit in range(10)]


@settings(max_examples=30, deadline=None)
@given(pairs=PAIRS)
def test_scores_are_those_of_scikit_learn_for_each_digit_alone(pairs):
    truth, guesses = (np.array(column, np.int64) for column in zip(*pairs, strict=True))
    scores = measure_scores(predicted(guesses), truth)
    np.testing.assert_allclose(scores.precision, one_digit_at_a_time(precision_score, truth, guesses))
    np.testing.assert_allclose(scores.recall, one_digit_at_a_time(recall_score, truth, guesses))
    np.testing.assert_allclose(scores.f1, one_digit_at_a_time(f1_score, truth, guesses))


def test_scores_of_a_small_case_are_as_worked_out_by_hand():
    """Shown 0 0 0 1 1, answered 0 0 1 1 2: a 2 is never shown, and 3 to 9 are neither shown nor answered."""
    scores = measure_scores(predicted([0, 0, 1, 1, 2]), labels(0, 0, 0, 1, 1))
    nothing = [np.nan] * 7
    np.testing.assert_allclose(scores.precision, [1, 1 / 2, 0, *nothing])
    np.testing.assert_allclose(scores.recall, [2 / 3, 1 / 2, np.nan, *nothing])
    np.testing.assert_allclose(scores.f1, [4 / 5, 1 / 2, 0, *nothing])


def test_a_digit_that_is_never_answered_has_no_precision():
    scores = measure_scores(predicted([1, 1]), labels(1, 4))
    assert np.isnan(scores.precision[4])
    assert scores.recall[4] == scores.f1[4] == 0


# Reliability


@pytest.mark.parametrize("bins", [1, 4, 15, 100])
@pytest.mark.parametrize("count", [1, 10, 1_000])
def test_reliability_is_scikit_learns_calibration_of_right_answers(count, bins):
    predictions, truth = drawn(count, seed=count)
    found = measure_reliability(predictions, truth, bins)
    right = predictions.labels == truth
    accuracy, confidence = calibration_curve(right, predictions.confidence, n_bins=bins, pos_label=True)
    filled = found.images > 0
    assert found.images.shape == (bins,)
    assert found.images.sum() == count
    np.testing.assert_allclose(found.accuracy[filled], accuracy)
    np.testing.assert_allclose(found.confidence[filled], confidence, rtol=1e-6)


def test_bins_without_images_have_neither_confidence_nor_accuracy():
    found = measure_reliability(unsure((3, 0.9)), labels(3), bins=4)
    assert found.images.tolist() == [0, 0, 0, 1]
    assert np.isnan(found.confidence[:3]).all()
    assert np.isnan(found.accuracy[:3]).all()


def test_a_bin_holds_its_upper_edge():
    """Halves and quarters are the same in float32, so these confidences are edges exactly."""
    predictions = unsure((0, 0.25), (0, 0.5), (0, np.nextafter(np.float32(0.5), 1)), (0, 0.75), (0, 1.0))
    found = measure_reliability(predictions, labels(0, 0, 0, 0, 0), bins=4)
    assert found.images.tolist() == [1, 1, 2, 1]


def test_the_expected_calibration_error_is_as_worked_out_by_hand():
    """One of 0.4 read rightly, 0.6 too low; two of 0.7 in the mean, half of them right: 0.2 too high."""
    found = measure_reliability(unsure((1, 0.4), (2, 0.6), (3, 0.8)), labels(1, 0, 3), bins=2)
    np.testing.assert_allclose(found.confidence, [0.4, 0.7], rtol=1e-6)
    np.testing.assert_allclose(found.accuracy, [1, 0.5])
    assert found.expected_calibration_error == pytest.approx((1 * 0.6 + 2 * 0.2) / 3)


def test_who_is_sure_and_right_has_no_calibration_error():
    assert measure_reliability(predicted([1, 2]), labels(1, 2)).expected_calibration_error == 0


def test_who_is_sure_and_wrong_has_all_of_it():
    assert measure_reliability(predicted([2, 1]), labels(1, 2)).expected_calibration_error == 1


# Rejection


def test_refusing_the_unsure_is_as_worked_out_by_hand():
    """Those of 0.5, one right and one wrong, are refused together."""
    predictions = unsure((1, 0.875), (2, 0.5), (3, 0.5), (4, 0.75))
    found = reject_unsure(predictions, labels(1, 0, 3, 0))
    assert found.threshold.tolist() == [0.5, 0.75, 0.875]
    assert found.rejected.tolist() == [0, 0.5, 0.75]
    assert found.accuracy.tolist() == [0.5, 0.5, 1]


@pytest.mark.parametrize("count", [1, 2, 500])
def test_each_point_of_the_rejection_is_what_is_left_from_its_threshold_on(count):
    predictions, truth = drawn(count, seed=count)
    found = reject_unsure(predictions, truth)
    right = predictions.labels == truth
    for share, accuracy, threshold in zip(found.rejected, found.accuracy, found.threshold, strict=True):
        kept = predictions.confidence >= threshold
        assert share == pytest.approx(1 - kept.mean())
        assert accuracy == pytest.approx(right[kept].mean())


@settings(deadline=None)
@given(count=st.integers(1, 60), seed=st.integers(0, 2**32))
def test_where_nothing_is_refused_the_accuracy_is_the_accuracy(count, seed):
    predictions, truth = drawn(count, seed)
    found = reject_unsure(predictions, truth)
    assert found.rejected[0] == 0
    assert found.accuracy[0] == pytest.approx(evaluate(predictions, truth).accuracy)
    assert (np.diff(found.rejected) > 0).all()
    assert found.rejected[-1] < 1


# The errors, and all of it


def test_the_most_confident_errors_come_first_and_equals_in_their_order():
    predictions = unsure((1, 0.5), (2, 0.75), (3, 0.875), (4, 0.75), (5, 0.625))
    assert most_confident_errors(predictions, labels(0, 0, 3, 0, 0)).tolist() == [1, 3, 4, 0]


def test_who_makes_no_error_has_none_to_show():
    assert most_confident_errors(predicted([1, 2]), labels(1, 2)).tolist() == []


def test_the_description_is_json_and_has_none_where_there_is_nothing_to_count():
    predictions, truth = unsure((0, 0.5), (0, 0.75), (7, 0.875)), labels(0, 1, 7)
    values = describe(predictions, truth)
    assert json.loads(json.dumps(values, allow_nan=False))["per_digit"] == values["per_digit"]
    zero, one, two = values["per_digit"][:3]
    assert (zero["precision"], zero["recall"], zero["f1"]) == (0.5, 1, pytest.approx(2 / 3))
    assert (one["precision"], one["recall"], one["f1"]) == (None, 0, 0)
    assert (two["precision"], two["recall"], two["f1"]) == (None, None, None)
    assert len(values["reliability"]) == 15
    assert values["reliability"][0] == {"images": 0, "confidence": None, "accuracy": None}
    error = measure_reliability(predictions, truth).expected_calibration_error
    assert values["expected_calibration_error"] == pytest.approx(error)


def test_the_description_says_what_the_evaluation_says():
    predictions, truth = drawn(300, seed=1)
    values, evaluation = describe(predictions, truth), evaluate(predictions, truth).as_dict()
    for row in values["per_digit"]:
        for name in ("precision", "recall", "f1"):
            del row[name]
    assert {name: values[name] for name in evaluation} == evaluation


@pytest.mark.parametrize(
    "measure", [measure_scores, measure_reliability, reject_unsure, most_confident_errors, describe]
)
@pytest.mark.parametrize(("guesses", "truth"), [(2, 3), (0, 0)])
def test_every_measure_needs_as_many_labels_as_predictions(measure, guesses, truth):
    with pytest.raises(DigitsError, match=f"at least one; got {truth} and {guesses}"):
        measure(predicted([1] * guesses), labels(*[1] * truth))
