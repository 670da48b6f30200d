"""Evaluation: scikit-learn, scipy and cases worked out by hand are the oracles."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_score, recall_score

from digit_recognizer.digits import Predictions
from digit_recognizer.evaluation import (
    detailed_metrics,
    evaluate,
    measure_rejection,
    measure_reliability,
    measure_scores,
    most_confident_errors,
    wilson_interval,
)
from helpers import refusal, says

PAIRS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=200)  # label, answer


def certain(*answers: int) -> Predictions:
    """Return predictions with a confidence of 1."""
    return Predictions(np.eye(10, dtype=np.float32)[np.array(answers, np.int64)])


def uncertain(*answers: tuple[int, float]) -> Predictions:
    """Return predictions of (answer, confidence); the other digits share the rest."""
    rows = [np.where(np.arange(10) == answer, chance, (1 - chance) / 9) for answer, chance in answers]
    return Predictions(np.array(rows, np.float32))


def labels(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def columns(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, ...]:
    """Return labels and answers."""
    return tuple(np.array(column, np.int64) for column in zip(*pairs, strict=True))


def drawn(count: int, seed: int) -> tuple[Predictions, np.ndarray]:
    """Return calibrated predictions of any confidence, and labels."""
    generator = np.random.default_rng(seed)
    weights = generator.random((count, 10)) ** generator.integers(1, 40, (count, 1))
    chances = weights / weights.sum(axis=1, keepdims=True)
    truth = [generator.choice(10, p=row) for row in chances]
    return Predictions(chances.astype(np.float32)), np.array(truth, np.int64)


# Wilson's interval


@given(st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_is_scipys_inside_0_to_1_around_the_proportion(counts):
    successes, trials = counts
    low, high = wilson_interval(successes, trials)
    assert 0 <= low < high <= 1
    assert low - 1e-12 <= successes / trials <= high + 1e-12
    expected = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (-1, 10), (11, 10)])
def test_an_interval_of_impossible_counts_is_refused(successes, trials):
    with pytest.raises(ValueError, match=f"got {successes}, {trials}"):
        wilson_interval(successes, trials)


# Accuracy and confusion


@given(pairs=PAIRS)
def test_accuracy_and_confusion_are_those_of_scikit_learn(pairs):
    truth, answers = columns(pairs)
    evaluation = evaluate(certain(*answers), truth)
    assert evaluation.accuracy == pytest.approx(accuracy_score(truth, answers), abs=1e-12)
    assert evaluation.confusion.tolist() == confusion_matrix(truth, answers, labels=range(10)).tolist()


def test_a_small_evaluation_is_as_worked_out_by_hand():
    evaluation = evaluate(certain(0, 0, 1, 7, 7), labels(0, 0, 7, 7, 1))
    assert (evaluation.images, evaluation.errors) == (5, 2)
    assert evaluation.accuracy == pytest.approx(0.6)
    assert evaluation.accuracy_interval == wilson_interval(3, 5)
    assert evaluation.images_per_digit.tolist() == [2, 1, 0, 0, 0, 0, 0, 2, 0, 0]
    assert evaluation.errors_per_digit.tolist() == [0, 1, 0, 0, 0, 0, 0, 1, 0, 0]
    assert evaluation.confusion[7].tolist() == [0, 1, 0, 0, 0, 0, 0, 1, 0, 0]  # a row for each label
    values = json.loads(json.dumps(evaluation.as_dict()))
    assert values["accuracy_interval_95"] == list(evaluation.accuracy_interval)
    assert (values["images"], values["errors"], values["accuracy"]) == (5, 2, evaluation.accuracy)
    assert values["per_digit"][7] == {"digit": 7, "images": 2, "errors": 1, "accuracy": 0.5}
    assert values["per_digit"][9] == {"digit": 9, "images": 0, "errors": 0, "accuracy": None}


@pytest.mark.parametrize(("answers", "accuracy"), [([1, 2, 3], 1.0), ([3, 1, 2], 0.0)])
def test_accuracies_of_0_and_100_percent_are_exact(answers, accuracy):
    evaluation = evaluate(certain(*answers), labels(1, 2, 3))
    assert evaluation.accuracy == accuracy
    low, high = evaluation.accuracy_interval
    assert 0 <= low <= accuracy <= high <= 1
    assert high - low > 0.3


@pytest.mark.parametrize(
    "measure",
    [
        evaluate,
        measure_scores,
        measure_reliability,
        measure_rejection,
        most_confident_errors,
        detailed_metrics,
    ],
)
@pytest.mark.parametrize(("answers", "truth"), [(2, 3), (3, 2), (0, 1), (0, 0)])
def test_each_measure_needs_as_many_labels_as_predictions_and_at_least_one(measure, answers, truth):
    message = refusal(lambda: measure(certain(*[1] * answers), labels(*[1] * truth)))
    assert says(message, "at least one", f"got {truth} and {answers}")


# Precision, recall, F1


@settings(max_examples=30, deadline=None)
@given(pairs=PAIRS)
def test_scores_are_those_of_scikit_learn_for_each_digit_alone(pairs):
    truth, answers = columns(pairs)
    scores = measure_scores(certain(*answers), truth)
    for name, score in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
        expected = [score(truth == digit, answers == digit, zero_division=np.nan) for digit in range(10)]
        np.testing.assert_allclose(getattr(scores, name), expected)


def test_small_scores_are_as_worked_out_by_hand():
    """Labels 0 0 0 1 1, answers 0 0 1 1 2: 2 is no label, and 3 to 9 are neither labels nor answers."""
    scores = measure_scores(certain(0, 0, 1, 1, 2), labels(0, 0, 0, 1, 1))
    nothing = [np.nan] * 7
    np.testing.assert_allclose(scores.precision, [1, 1 / 2, 0, *nothing])
    np.testing.assert_allclose(scores.recall, [2 / 3, 1 / 2, np.nan, *nothing])
    np.testing.assert_allclose(scores.f1, [4 / 5, 1 / 2, 0, *nothing])


# Calibration


@pytest.mark.parametrize("bins", [1, 4, 15, 100])
@pytest.mark.parametrize("count", [1, 10, 1_000])
def test_reliability_is_scikit_learns_calibration_of_correct_answers(count, bins):
    predictions, truth = drawn(count, seed=count)
    found = measure_reliability(predictions, truth, bins)
    correct = predictions.labels == truth
    accuracy, confidence = calibration_curve(correct, predictions.confidence, n_bins=bins, pos_label=True)
    filled = found.images > 0
    assert found.images.shape == (bins,)
    assert found.images.sum() == count
    np.testing.assert_allclose(found.accuracy[filled], accuracy)
    np.testing.assert_allclose(found.confidence[filled], confidence, rtol=1e-6)
    assert np.isnan(found.accuracy[~filled]).all()
    assert np.isnan(found.confidence[~filled]).all()


def test_a_bin_includes_its_upper_edge():
    """Halves and quarters are exact in float32, so these confidences lie exactly on the edges."""
    predictions = uncertain(
        (0, 0.25), (0, 0.5), (0, np.nextafter(np.float32(0.5), np.float32(1))), (0, 0.75), (0, 1.0)
    )
    found = measure_reliability(predictions, labels(0, 0, 0, 0, 0), bins=4)
    assert found.images.tolist() == [1, 1, 2, 1]


def test_the_expected_calibration_error_is_as_worked_out_by_hand():
    """One confidence of 0.4, correct: 0.6 too low. Two with a mean of 0.7, one correct: 0.2 too high."""
    found = measure_reliability(uncertain((1, 0.4), (2, 0.6), (3, 0.8)), labels(1, 0, 3), bins=2)
    np.testing.assert_allclose(found.confidence, [0.4, 0.7], rtol=1e-6)
    np.testing.assert_allclose(found.accuracy, [1, 0.5])
    assert found.expected_calibration_error == pytest.approx((1 * 0.6 + 2 * 0.2) / 3)


@pytest.mark.parametrize(("answers", "error"), [([1, 2], 0), ([2, 1], 1)])
def test_certain_answers_have_no_calibration_error_or_all_of_it(answers, error):
    assert measure_reliability(certain(*answers), labels(1, 2)).expected_calibration_error == error


# Rejection


def test_a_small_rejection_curve_is_as_worked_out_by_hand():
    """The two answers with a confidence of 0.5, one of them correct, are rejected together."""
    predictions = uncertain((1, 0.875), (2, 0.5), (3, 0.5), (4, 0.75))
    found = measure_rejection(predictions, labels(1, 0, 3, 0))
    assert found.threshold.tolist() == [0.5, 0.75, 0.875]
    assert found.rejected.tolist() == [0, 0.5, 0.75]
    assert found.accuracy.tolist() == [0.5, 0.5, 1]


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 60), seed=st.integers(0, 2**32))
def test_each_point_of_the_rejection_curve_is_what_remains_from_its_threshold(count, seed):
    predictions, truth = drawn(count, seed)
    found = measure_rejection(predictions, truth)
    correct = predictions.labels == truth
    assert found.rejected[0] == 0
    assert found.accuracy[0] == pytest.approx(evaluate(predictions, truth).accuracy)
    assert (np.diff(found.rejected) > 0).all()
    for rejected, accuracy, threshold in zip(found.rejected, found.accuracy, found.threshold, strict=True):
        kept = predictions.confidence >= threshold
        assert rejected == pytest.approx(1 - kept.mean())
        assert accuracy == pytest.approx(correct[kept].mean())


# Errors, and all measures together


def test_the_most_confident_errors_come_first_and_equal_ones_in_their_order():
    predictions = uncertain((1, 0.5), (2, 0.75), (3, 0.875), (4, 0.75), (5, 0.625))
    assert most_confident_errors(predictions, labels(0, 0, 3, 0, 0)).tolist() == [1, 3, 4, 0]
    assert most_confident_errors(certain(1, 2), labels(1, 2)).tolist() == []


def test_detailed_metrics_are_the_evaluation_with_scores_and_calibration_as_json():
    predictions, truth = uncertain((0, 0.5), (0, 0.75), (7, 0.875)), labels(0, 1, 7)
    values = detailed_metrics(predictions, truth)
    assert json.loads(json.dumps(values, allow_nan=False))["per_digit"] == values["per_digit"]
    scores = [[row.pop(name) for name in ("precision", "recall", "f1")] for row in values["per_digit"]]
    assert scores[:3] == [[0.5, 1, pytest.approx(2 / 3)], [None, 0, 0], [None, None, None]]
    evaluation = evaluate(predictions, truth).as_dict()
    assert {name: values[name] for name in evaluation} == evaluation
    assert len(values["reliability"]) == 15
    assert values["reliability"][0] == {"images": 0, "confidence": None, "accuracy": None}
    error = measure_reliability(predictions, truth).expected_calibration_error
    assert values["expected_calibration_error"] == pytest.approx(error)
