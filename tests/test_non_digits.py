"""Non-digits, and what a network learns from them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from digit_recognizer import Recognizer, load_digits
from digit_recognizer.digits import NON_DIGIT
from digit_recognizer.networks.build import build_network
from digit_recognizer.recipes.schema import Corruption, Outliers, Teacher
from digit_recognizer.runs.split import DataSplit
from digit_recognizer.synthetic.non_digits import ALWAYS_KEPT_KINDS, KINDS, sample_non_digits
from digit_recognizer.training.data import TrainingData, make_batch, prepare_data
from digit_recognizer.training.trainer import resume, train
from helpers import assert_same_run, follow_until, make_digits, refusal, says, tiny

pytestmark = pytest.mark.usefixtures("one_thread")

DIGITS = load_digits("bundled")
ELEVEN_CLASSES = ("conv 4 3x3 relu", "maxpool 4", "dense 11")
FEW = Outliers(share=0.5, images=40)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_ink_in_many_forms(kind):
    images, names = sample_non_digits(30, DIGITS.images, np.random.default_rng(3), (kind,))
    assert (images.shape, images.dtype) == ((30, 28, 28), np.uint8)
    assert set(names) == {kind}
    assert (images.reshape(30, -1).max(axis=1) > 0).mean() > 0.9
    assert len(np.unique(images.reshape(30, -1), axis=0)) > 25


def test_kinds_are_sampled_by_their_fractions_and_the_same_seed_gives_the_same_images():
    images, names = sample_non_digits(600, DIGITS.images, np.random.default_rng(0))
    for name, kind in KINDS.items():
        assert (names == name).mean() == pytest.approx(kind.fraction, abs=0.06)
    first, other = (sample_non_digits(600, DIGITS.images, np.random.default_rng(seed))[0] for seed in (0, 9))
    assert (first == images).all()
    assert (other != images).any()


class Teacher3(torch.nn.Module):
    """A teacher that takes every image for a 3, and keeps what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append(images)
        return 20.0 * torch.eye(10)[3:4].expand(len(images), 10)


def data_of(recipe, count: int = 50, teacher=None) -> TrainingData:
    rows = np.arange(count)
    return prepare_data(
        DIGITS, recipe, DataSplit(rows, rows[:0]), torch.device("cpu"), seed=0, teacher=teacher
    )


def test_non_digits_follow_the_digits_of_a_batch():
    recipe = tiny(network=ELEVEN_CLASSES, outliers=FEW)
    batch = make_batch(data_of(recipe), torch.arange(8), recipe)
    assert batch.inputs.shape == (12, 1, 28, 28)
    assert (batch.inputs[:8, 0] == torch.from_numpy(DIGITS.images[:8]) / 255).all()
    assert batch.targets[:8].tolist() == batch.labels.tolist() == DIGITS.labels[:8].tolist()


def test_a_teacher_is_asked_about_the_digits_before_they_are_corrupted():
    recipe = tiny(
        network=ELEVEN_CLASSES,
        outliers=FEW,
        corruption=Corruption(share=1.0),
        teacher=Teacher(run="x", weight=0.5),
    )
    data = data_of(recipe, teacher=Teacher3())
    torch.manual_seed(1)
    batch = make_batch(data, torch.arange(8), recipe)
    clean = torch.from_numpy(DIGITS.images[:8, None]) / 255
    assert (data.teacher.seen[-1] == clean).all()
    assert (batch.inputs[:8] != clean).any()
    expected = (torch.eye(11)[DIGITS.labels[:8]] + torch.eye(11)[3]) / 2
    torch.testing.assert_close(batch.targets[:8], expected, atol=1e-5, rtol=0)
    assert set(batch.targets[8:].flatten().tolist()) == {0, 1}


def test_non_digits_that_a_teacher_takes_for_digits_are_left_out_except_for_certain_kinds():
    recipe = tiny(network=ELEVEN_CLASSES, outliers=FEW)
    everything, filtered = (data_of(recipe, teacher=each).non_digits for each in (None, Teacher3()))
    _, kinds = sample_non_digits(FEW.images, DIGITS.images[:50], np.random.default_rng([0, 10]))
    always_kept = int(np.isin(kinds, ALWAYS_KEPT_KINDS).sum())
    assert (everything.classes == NON_DIGIT).sum() == FEW.images > always_kept > 0
    assert (filtered.classes == NON_DIGIT).sum() == always_kept
    assert data_of(tiny()).non_digits is None


def test_a_network_with_ten_logits_cannot_learn_from_non_digits():
    assert says(refusal(lambda: build_network(tiny(outliers=FEW))), "11", "'dense 11'")


def outlier_recipe():
    return tiny(
        network=ELEVEN_CLASSES, outliers=FEW, corruption=Corruption(share=0.3), temperature=1.5, epochs=3
    )


def test_a_model_that_learned_from_non_digits_tells_them_from_digits(tmp_path):
    digits = make_digits(400)
    list(train(digits, outlier_recipe(), tmp_path / "run", device="cpu"))
    recognizer = Recognizer(tmp_path / "run", threads=1)
    predictions = recognizer.predict(digits.images)
    assert predictions.is_digit.shape == (400,)
    np.testing.assert_allclose(predictions.probabilities.sum(axis=1), 1, atol=1e-5)
    kinds = ("letters", "strokes")
    non_digits, _ = sample_non_digits(100, digits.images, np.random.default_rng(5), kinds)
    assert predictions.is_digit.mean() > recognizer.predict(non_digits).is_digit.mean() + 0.3


def test_a_run_with_non_digits_resumes_to_the_bit(tmp_path):
    digits = make_digits(120)
    list(train(digits, outlier_recipe(), tmp_path / "whole", device="cpu"))
    follow_until(
        4, lambda **watched: train(digits, outlier_recipe(), tmp_path / "broken", device="cpu", **watched)
    )
    list(resume(tmp_path / "broken", digits))
    assert_same_run(tmp_path / "broken", tmp_path / "whole")
