"""What the plain values accept and refuse."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from digit_recognizer.digits import NON_DIGIT, Digits, Predictions, Samples, check_images
from helpers import refusal, says

BLANK = np.zeros((3, 28, 28), np.uint8)


def test_a_slice_an_index_array_and_a_mask_choose_the_same_rows(digits):
    mask = np.zeros(20, bool)
    mask[:5] = True
    chosen = [digits[:5], digits[np.arange(5)], digits[mask]]
    assert {each.sha256() for each in chosen} == {digits[:5].sha256()}
    assert len(digits[:5]) == 5
    assert digits[:5].labels.tolist() == [0, 0, 1, 1, 2]
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


def test_samples_are_digits_and_non_digits(digits):
    classes = np.where(np.arange(20) % 3 == 0, NON_DIGIT, digits.labels)
    samples = Samples(digits.images, classes)
    assert (samples.is_digit == (np.arange(20) % 3 > 0)).all()
    assert samples.digits().sha256() == digits[samples.is_digit].sha256()
    assert samples[5:].classes.tolist() == classes[5:].tolist()
    assert (samples[5:].images == digits.images[5:]).all()
    assert len(samples[~samples.is_digit]) == len(samples[~samples.is_digit].digits()) + 7 == 7


def test_the_checksum_of_samples_does_not_change_with_their_order(digits):
    samples = Samples(digits.images, digits.labels)
    order = np.random.default_rng(0).permutation(20)
    assert samples[order].sha256() == samples.sha256()
    assert Samples(digits.images, digits.labels[::-1]).sha256() != samples.sha256()
    two = Samples(np.stack([BLANK[0] + 1, BLANK[0]]), np.array([7, NON_DIGIT]))
    assert two.sha256() == hashlib.sha256(bytes(784) + b"\x0a" + b"\x01" * 784 + b"\x07").hexdigest()


@pytest.mark.parametrize(
    ("images", "facts"),
    [
        ([[0]], ["numpy array", "list"]),
        (np.zeros((3, 28, 28), np.float32), ["(N, 28, 28)", "float32 (3, 28, 28)"]),
        (np.zeros((3, 784), np.uint8), ["(N, 28, 28)", "uint8 (3, 784)"]),
        (np.zeros((28, 28), np.uint8), ["(N, 28, 28)", "uint8 (28, 28)"]),
    ],
)
def test_images_of_another_form_are_refused_with_what_was_found(images, facts):
    for make in (check_images, Digits, lambda images: Samples(images, np.zeros(3, np.int64))):
        assert says(refusal(lambda make=make: make(images)), *facts)


@pytest.mark.parametrize(
    ("labels", "fact"),
    [
        ([1, 2, 3], "list"),
        (np.array([1, 2, 3], np.int32), "int32"),
        (np.array([1, 2]), "(2,)"),
        (np.array([1, 2, 11]), "11 at index 2"),
        (np.array([1, -1, 3]), "-1 at index 1"),
    ],
)
def test_labels_of_another_form_are_refused_with_what_was_found(labels, fact):
    assert says(refusal(lambda: Digits(BLANK, labels)), "labels", fact)
    assert says(refusal(lambda: Samples(BLANK, labels)), "classes", fact)


def test_ten_is_a_class_of_samples_but_no_label_of_digits():
    assert says(refusal(lambda: Digits(BLANK, np.array([1, 2, 10]))), "0 to 9", "10 at index 2")
    assert Samples(BLANK, np.array([1, 2, 10])).is_digit.tolist() == [True, True, False]


def test_predictions_tell_the_most_probable_digit_and_its_probability():
    probabilities = np.full((2, 10), 0.05, np.float32)
    probabilities[[0, 1], [3, 8]] = 0.55
    predictions = Predictions(probabilities)
    assert len(predictions) == 2
    assert predictions.labels.tolist() == [3, 8]
    assert predictions.confidence.tolist() == pytest.approx([0.55, 0.55])


@pytest.mark.parametrize("probabilities", [np.zeros((2, 10)), np.zeros((2, 9), np.float32)])
def test_probabilities_of_another_form_are_refused(probabilities):
    message = refusal(lambda: Predictions(probabilities))
    assert says(message, "float32", "(N, 10)", f"{probabilities.dtype} {probabilities.shape}")
