"""Evaluation: scikit-learn and a case worked out by hand are the oracles."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix

from digit_recognizer.digits import Predictions
from digit_recognizer.errors import DigitsError
from digit_recognizer.intervals import wilson_interval
from digit_recognizer.reporting import evaluate


def predicted(labels) -> Predictions:
    """Return predictions that are sure of the given labels."""
    return Predictions(np.eye(10, dtype=np.float32)[np.asarray(labels, np.int64)])


def labels(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


@given(pairs=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=200))
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
