"""Images of no digit, drawn or cut out of strings; digits as pens and cameras change them; batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from digit_recognizer import DigitsError, Recognizer, load_digits
from digit_recognizer.networks.build import build_network
from digit_recognizer.recipes.schema import Augmentation, Corruption, Outliers, Split, Teacher
from digit_recognizer.synthetic.non_digits import ALWAYS_KEPT_KINDS, KINDS, sample_non_digits
from digit_recognizer.synthetic.segments import sample_segments
from digit_recognizer.training.augmentation import CORRUPTIONS, augment, corrupt
from digit_recognizer.training.data import ExtraImages, TrainingData, make_batch, prepare_data
from digit_recognizer.training.splits import split_digits
from digit_recognizer.training.trainer import resume, train
from helpers import assert_same_run, follow_until, make_digits, tiny

pytestmark = pytest.mark.usefixtures("one_thread")

REAL = load_digits("bundled")
ELEVEN = ("conv 4 3x3 relu", "maxpool 4", "dense 11")
STRANGERS = sample_non_digits(50, REAL.images, np.random.default_rng(2))[0]
FEW = Outliers(share=0.5, images=40, lines=12)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_outlier_is_ink_of_many_forms(kind):
    images, names = sample_non_digits(30, REAL.images, np.random.default_rng(3), (kind,))
    assert (images.shape, images.dtype) == ((30, 28, 28), np.uint8)
    assert set(names) == {kind}
    assert (images.reshape(30, -1).max(axis=1) > 0).mean() > 0.9
    assert len(np.unique(images.reshape(30, -1), axis=0)) > 25


def test_kinds_come_as_often_as_they_shall():
    _, names = sample_non_digits(1000, REAL.images, np.random.default_rng(0))
    for name, kind in KINDS.items():
        assert (names == name).mean() == pytest.approx(kind.fraction, abs=0.05)


def test_the_same_seed_draws_the_same_outliers():
    first, second = (sample_non_digits(50, REAL.images, np.random.default_rng(8))[0] for _ in range(2))
    other = sample_non_digits(50, REAL.images, np.random.default_rng(9))[0]
    assert (first == second).all()
    assert (first != other).any()


def test_pieces_of_strings_are_whole_digits_or_none():
    found = sample_segments(60, REAL, STRANGERS, np.random.default_rng(1))
    pieces, classes = found.images, found.classes
    assert (pieces.shape[1:], pieces.dtype, classes.dtype) == ((28, 28), np.uint8, np.int64)
    assert len(pieces) == len(classes) > 80
    assert (classes == 10).any()
    whole = classes < 10
    labels = Recognizer(threads=1).predict(pieces[whole]).labels
    assert (labels == classes[whole]).mean() > 0.8


def test_the_same_seed_cuts_the_same_pieces():
    first, second = (sample_segments(5, REAL, STRANGERS, np.random.default_rng(8)) for _ in range(2))
    assert (first.images == second.images).all()
    assert (first.classes == second.classes).all()


def grey(count: int) -> torch.Tensor:
    return torch.from_numpy(REAL.images[:count, None] / 255).float()


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_every_corruption_changes_an_image_and_leaves_it_one(kind):
    torch.manual_seed(0)
    before = grey(40)
    after = CORRUPTIONS[kind](before.clone())
    assert after.shape == before.shape
    assert after.dtype == torch.float32
    assert torch.isfinite(after).all()
    assert ((after.clamp(0, 1) - before).abs().amax(dim=(1, 2, 3)) > 0.02).float().mean() > 0.8


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_of_images_is_corrupted(share):
    torch.manual_seed(0)
    before = grey(600)
    after = corrupt(before, share)
    assert 0 <= after.min() <= after.max() <= 1
    changed = (after != before).flatten(1).any(dim=1).float().mean().item()
    assert changed == pytest.approx(share, abs=0.06)


def test_one_image_corrupts_as_many_do():
    torch.manual_seed(0)
    for _ in range(40):
        assert corrupt(grey(1), 1.0).shape == (1, 1, 28, 28)


def test_an_elastic_distortion_bends_within_the_image():
    torch.manual_seed(0)
    before = grey(50)
    bent = augment(before, Augmentation(elastic=0.6))
    assert bent.shape == before.shape
    assert 0 <= bent.min() <= bent.max() <= 1
    assert (bent - before).abs().mean() > 0.005
    assert (bent.sum(dim=(1, 2, 3)) / before.sum(dim=(1, 2, 3)) - 1).abs().mean() < 0.1


def non_digits(count: int = 12) -> ExtraImages:
    return ExtraImages(torch.full((count, 28, 28), 200, dtype=torch.uint8), torch.full((count,), 10))


def test_outliers_come_behind_the_digits_of_a_batch():
    images, labels = torch.zeros(8, 28, 28, dtype=torch.uint8), torch.arange(8)
    data = TrainingData(images, labels, REAL[:0], non_digits())
    batch = make_batch(data, torch.arange(8), tiny(network=ELEVEN, outliers=FEW))
    assert batch.inputs.shape == (12, 1, 28, 28)
    assert batch.targets.tolist() == [*range(8), 10, 10, 10, 10]
    assert batch.inputs.amax(dim=(1, 2, 3)).tolist() == [0] * 8 + [pytest.approx(200 / 255)] * 4


class Sure(torch.nn.Module):
    """A teacher that is sure of a class, and remembers what it was asked."""

    def __init__(self, digit: int) -> None:
        super().__init__()
        self.digit = digit
        self.seen: list[torch.Tensor] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append(images)
        return 20.0 * torch.nn.functional.one_hot(torch.full((len(images),), self.digit), 10)


def test_a_teacher_answers_the_digits_alone_before_they_are_corrupted():
    recipe = tiny(
        network=ELEVEN, outliers=FEW, corruption=Corruption(share=1.0), teacher=Teacher(run="x", weight=0.5)
    )
    images = torch.from_numpy(REAL.images[:8])
    teacher = Sure(3)
    torch.manual_seed(1)
    labels = torch.zeros(8, dtype=torch.int64)
    batch = make_batch(
        TrainingData(images, labels, REAL[:0], non_digits(), None, teacher), torch.arange(8), recipe
    )
    assert (teacher.seen[0] == images[:, None] / 255).all()
    assert (batch.inputs[:8] != images[:, None] / 255).any()
    assert batch.targets[:8, [0, 3]].tolist() == [[pytest.approx(0.5), pytest.approx(0.5)]] * 8
    assert batch.targets[8:].tolist() == [[0] * 10 + [1]] * 4


def test_outliers_that_a_teacher_takes_for_digits_are_left_out_but_for_certain_kinds():
    recipe = tiny(network=ELEVEN, outliers=FEW, split=Split(0.0))
    digits, cpu = REAL[:50], torch.device("cpu")
    split = split_digits(digits, recipe, 0)
    everything = prepare_data(digits, recipe, split, cpu, 0).non_digits
    whole = prepare_data(digits, recipe, split, cpu, 0, teacher=Sure(3)).non_digits
    _, kinds = sample_non_digits(FEW.images, digits.images, np.random.default_rng([0, 10]))
    certain = int(np.isin(kinds, ALWAYS_KEPT_KINDS).sum())
    assert (everything.classes == 10).sum() > 40 > certain > 0
    assert (whole.classes == 10).sum() == certain
    assert (whole.classes < 10).sum() == (everything.classes < 10).sum()


def test_a_recipe_without_outliers_draws_none():
    split = split_digits(REAL, tiny(), 0)
    assert prepare_data(REAL, tiny(), split, torch.device("cpu"), 0).non_digits is None


def test_a_network_with_ten_logits_cannot_say_no():
    with pytest.raises(DigitsError, match="expected 11 logits: end it with 'dense 11'"):
        build_network(tiny(outliers=FEW))


def outlier_recipe():
    return tiny(network=ELEVEN, outliers=FEW, corruption=Corruption(share=0.3), temperature=1.5, epochs=3)


def test_a_model_that_learned_from_outliers_says_whether_there_is_a_digit(tmp_path):
    digits = make_digits(400)
    list(train(digits, outlier_recipe(), tmp_path / "run", device="cpu"))
    predictions = Recognizer(tmp_path / "run", threads=1).predict(digits.images)
    assert predictions.is_digit.shape == (400,)
    np.testing.assert_allclose(predictions.probabilities.sum(axis=1), 1, atol=1e-5)
    strangers, _ = sample_non_digits(100, digits.images, np.random.default_rng(5), ("letters", "strokes"))
    said = Recognizer(tmp_path / "run", threads=1).predict(strangers).is_digit
    assert predictions.is_digit.mean() > said.mean() + 0.3


def test_a_run_with_outliers_goes_on_to_the_bit(tmp_path):
    digits = make_digits(120)
    list(train(digits, outlier_recipe(), tmp_path / "whole", device="cpu"))
    follow_until(
        4, lambda **watched: train(digits, outlier_recipe(), tmp_path / "broken", device="cpu", **watched)
    )
    list(resume(tmp_path / "broken", digits))
    assert_same_run(tmp_path / "broken", tmp_path / "whole")
