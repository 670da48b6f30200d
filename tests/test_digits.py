"""What the plain values accept and refuse."""

from __future__ import annotations

import numpy as np
import pytest

from digit_recognizer.digits import Digits, Predictions, check_images
from digit_recognizer.errors import DigitsError

BLANK = np.zeros((3, 28, 28), np.uint8)


def test_a_slice_an_index_array_and_a_mask_choose_the_same_rows(digits):
    mask = np.zeros(20, bool)
    mask[:5] = True
    chosen = [digits[:5], digits[np.arange(5)], digits[mask]]
    assert {each.sha256() for each in chosen} == {digits[:5].sha256()}
    assert len(digits[:5]) == 5
    assert digits[:5].labels.tolist() == [0, 0, 1, 1, 2]


def test_rows_of_unlabelled_digits_have_no_labels():
    assert Digits(BLANK)[:2].labels is None


def test_counts_has_an_entry_for_each_digit():
    assert Digits(BLANK, np.array([1, 9, 1])).counts().tolist() == [0, 2, 0, 0, 0, 0, 0, 0, 0, 1]
    assert Digits(BLANK).counts().tolist() == [0] * 10


def test_sha256_tells_other_pixels_and_other_labels_apart_but_not_another_memory_layout(digits):
    other_pixels = digits.images.copy()
    other_pixels[7, 9, 9] ^= 1
    sums = {
        Digits(digits.images).sha256(),
        digits.sha256(),
        Digits(digits.images, digits.labels[::-1]).sha256(),
        Digits(other_pixels, digits.labels).sha256(),
    }
    assert len(sums) == 4
    assert Digits(np.asfortranarray(digits.images), digits.labels).sha256() == digits.sha256()


@pytest.mark.parametrize(
    ("images", "found"),
    [
        ([[0]], "list"),
        (np.zeros((3, 28, 28), np.float32), "float32 (3, 28, 28)"),
        (np.zeros((3, 784), np.uint8), "uint8 (3, 784)"),
        (np.zeros((28, 28), np.uint8), "uint8 (28, 28)"),
    ],
)
def test_images_of_another_form_are_refused_with_what_was_found(images, found):
    with pytest.raises(DigitsError) as error:
        check_images(images)
    assert found in str(error.value)
    assert "(N, 28, 28)" in str(error.value) or "numpy array" in str(error.value)


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ([1, 2, 3], "list"),
        (np.array([1, 2, 3], np.int32), "int32"),
        (np.array([1, 2]), "(2,)"),
        (np.array([1, 2, 10]), "10 at index 2"),
        (np.array([1, -1, 3]), "-1 at index 1"),
    ],
)
def test_labels_of_another_form_are_refused_with_what_was_found(labels, found):
    with pytest.raises(DigitsError) as error:
        Digits(BLANK, labels)
    assert found in str(error.value)


def test_predictions_tell_the_likeliest_digit_and_its_probability():
    probabilities = np.full((2, 10), 0.05, np.float32)
    probabilities[[0, 1], [3, 8]] = 0.55
    predictions = Predictions(probabilities)
    assert len(predictions) == 2
    assert predictions.labels.tolist() == [3, 8]
    assert predictions.confidence.tolist() == pytest.approx([0.55, 0.55])


@pytest.mark.parametrize("probabilities", [np.zeros((2, 10)), np.zeros((2, 9), np.float32)])
def test_probabilities_of_another_form_are_refused(probabilities):
    with pytest.raises(DigitsError, match=r"float32 probabilities of shape \(N, 10\)"):
        Predictions(probabilities)
