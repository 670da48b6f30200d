"""Text lines are composed of digits and non-digits; the network that reads lines learns from them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import onnxruntime
import pytest
import torch

import line_network
from digit_recognizer import load_digits
from digit_recognizer.networks import onnx_export
from digit_recognizer.synthetic import text_lines
from digit_recognizer.synthetic.non_digits import sample_non_digits
from digit_recognizer.synthetic.text_lines import STROKE_MARGIN_PX, compose_line
from helpers import refusal, says
from line_network import LineNetwork, average_lines, export_lines, line_accuracy, train_lines

pytestmark = pytest.mark.usefixtures("one_thread")

DIGITS = load_digits("bundled")
NON_DIGITS = sample_non_digits(50, DIGITS.images, np.random.default_rng(2))[0]


@pytest.mark.parametrize("zoom", [1.0, 2.5])
def test_a_composed_line_contains_its_digits_from_left_to_right(zoom):
    rng = np.random.default_rng(0)
    lengths = set()
    for _ in range(60):
        line = compose_line(DIGITS, NON_DIGITS, rng, width=150, zoom=zoom)
        assert line.image.shape == (round(40 * zoom), round(150 * zoom))
        for digit in line.digits:
            height, width = digit.tile.shape
            place = line.image[digit.top : digit.top + height, digit.left : digit.left + width]
            assert place.shape == digit.tile.shape
            assert (place >= digit.tile).all()
        lengths.add(len(line.digits))
    assert {1, 4} <= lengths


def test_the_same_seed_composes_the_same_lines():
    first, second = (compose_line(DIGITS, NON_DIGITS, np.random.default_rng(6), width=192) for _ in "12")
    assert (first.image == second.image).all()
    assert [digit.label for digit in first.digits] == [digit.label for digit in second.digits]


def test_lines_repeat_digits_and_some_end_in_zeros():
    rng = np.random.default_rng(1)
    lines = [
        [digit.label for digit in compose_line(DIGITS, NON_DIGITS, rng, width=192).digits] for _ in range(300)
    ]
    pairs = [pair for labels in lines for pair in pairwise(labels)]
    assert np.mean([first == second for first, second in pairs]) > 0.15
    assert any(labels[-3:] == [0, 0, 0] and labels[0] != 0 for labels in lines)


@pytest.mark.parametrize(("label", "draw"), [(1, text_lines._add_serif_to_1), (7, text_lines._cross_7)])
def test_a_european_form_is_the_digit_with_another_stroke(label, draw):
    rng = np.random.default_rng(2)
    inner = slice(STROKE_MARGIN_PX, -STROKE_MARGIN_PX)
    for image in DIGITS.images[DIGITS.labels == label][:20]:
        drawn = draw(image, rng)
        assert drawn.shape == (28 + 2 * STROKE_MARGIN_PX,) * 2
        assert (drawn[inner, inner] >= image).all()
        assert (drawn > 100).sum() > (image > 100).sum()


def trained(steps: int, seed: int = 0) -> tuple[LineNetwork, list[float]]:
    torch.manual_seed(3)
    network = LineNetwork()
    taken = train_lines(network, DIGITS, NON_DIGITS, steps=steps, seed=seed)
    return network, [step.loss for step in taken]


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(line_network, "BATCH_LINES", 8)


@pytest.mark.usefixtures("small_batches")
def test_a_network_learns_lines_and_the_same_seed_gives_the_same_weights():
    network, losses = trained(16)
    assert np.mean(losses[-6:]) < np.mean(losses[:3]) / 2
    again, repeated = trained(16)
    assert losses == repeated
    assert all((a == b).all() for a, b in zip(network.parameters(), again.parameters(), strict=True))
    assert 0 <= line_accuracy(network, DIGITS, NON_DIGITS, 16, 1) <= 1


@pytest.mark.usefixtures("small_batches")
def test_an_average_has_the_mean_weights_and_normalisation_statistics_of_its_own(monkeypatch):
    monkeypatch.setattr(line_network, "NORM_BATCHES", 4)
    one, other = trained(3)[0], trained(3, seed=1)[0]
    mean, again = (average_lines([one, other], DIGITS, NON_DIGITS, seed=5) for _ in "12")
    for weights, first, second in zip(*(each.parameters() for each in (mean, one, other)), strict=True):
        torch.testing.assert_close(weights, (first + second) / 2)
    for name, value in mean.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    normalisation = mean.layers[1]
    assert normalisation.num_batches_tracked == 4
    assert not torch.equal(normalisation.running_mean, one.layers[1].running_mean)
    assert normalisation.momentum == line_network.NORM_MOMENTUM


class Teacher(torch.nn.Module):
    """Takes every image for a 0, with logits that differ by `confidence`."""

    def __init__(self, confidence: float) -> None:
        super().__init__()
        self.confidence = confidence

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.confidence * torch.eye(10)[:1].expand(len(images), 10)


def test_non_digits_that_a_teacher_takes_for_digits_are_left_out_except_for_certain_kinds():
    rejected, kept = (line_network.sample_line_non_digits(DIGITS, Teacher(c), 0, 150) for c in (0.0, 50.0))
    assert len(rejected) == 150 > 5 * len(kept) > 0
    assert (line_network.sample_line_non_digits(DIGITS, Teacher(0.0), 0, 150) == rejected).all()


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("model") / "lines.onnx"
    export_lines(network := LineNetwork(), path)
    return network.eval(), path


@pytest.mark.parametrize(("count", "width"), [(1, 18), (1, 400), (3, 64), (2, 191)])
def test_the_exported_model_gives_the_probabilities_of_the_network(count, width, exported):
    network, path = exported
    strips = np.random.default_rng(width).integers(0, 256, (count, 40, width), dtype=np.uint8)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"strips": strips})
    with torch.inference_mode():
        expected = network(torch.from_numpy(strips)).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-3)  # the weights are rounded to 16 bits
    np.testing.assert_allclose(found.sum(axis=2), 1, atol=1e-5)
    assert b"line_network.py" not in path.read_bytes()  # nor any other path of this machine


def test_a_model_that_differs_from_the_network_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "TOLERANCE", -1)
    assert says(refusal(lambda: export_lines(LineNetwork(), tmp_path / "lines.onnx")), "lines.onnx", "differ")
    assert not list(tmp_path.iterdir())
