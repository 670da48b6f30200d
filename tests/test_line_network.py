"""Lines of writing: composed, levelled, cut apart, and read."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import onnxruntime
import pytest
import torch

import line_network as lines
from digit_recognizer import DigitsError, load_digits
from digit_recognizer.imaging.line_segmentation import find_lines
from digit_recognizer.imaging.marks import Mark
from digit_recognizer.imaging.strip import make_strip
from digit_recognizer.imaging.touching_digits import deslanted_columns, split_mark
from digit_recognizer.networks import onnx_export as export
from digit_recognizer.synthetic import text_lines as strings
from digit_recognizer.synthetic.non_digits import draw_outliers
from digit_recognizer.synthetic.text_lines import write_line
from line_network import LineNetwork, average_lines, draw_strangers, export_lines, line_accuracy, train_lines
from pictures import written

pytestmark = pytest.mark.usefixtures("one_thread")

REAL = load_digits("bundled")
STRANGERS = draw_outliers(50, REAL.images, np.random.default_rng(2))[0]


def mark_of(picture: list[str]) -> Mark:
    return Mark(*np.nonzero(np.array([list(row) for row in picture]) == "#"))


DUMB_BELL = [
    "####......####",
    "####......####",
    "##############",
    "####......####",
    "####......####",
]


def test_a_mark_is_cut_where_it_is_thin():
    first, second = split_mark(mark_of(DUMB_BELL), 0.0, [2.0, 11.0])
    assert 18 <= len(first) <= 26
    assert len(first) + len(second) == len(mark_of(DUMB_BELL))
    assert first.right <= second.left


def test_one_centre_cuts_nothing():
    mark = mark_of(DUMB_BELL)
    assert split_mark(mark, 0.0, [5.0]) == [mark]


def test_a_leaning_mark_is_cut_along_its_slant():
    rows, columns = np.mgrid[:40, :12]
    leaning = Mark(
        np.tile(rows.ravel(), 2),
        np.concatenate([columns.ravel(), columns.ravel() + 15]) - np.tile(rows.ravel() // 2, 2) + 30,
    )
    places = deslanted_columns(leaning, 0.5)
    first, second = split_mark(leaning, 0.5, [places.min() + 6, places.max() - 6])
    assert len(first) == len(second) == 480


def test_every_part_of_a_mark_goes_to_one_digit():
    rng = np.random.default_rng(4)
    for _ in range(30):
        ink = np.kron(rng.random((8, 12)) < 0.6, np.ones((4, 4))) > 0
        mark = Mark(*np.nonzero(ink))
        centres = np.sort(rng.uniform(mark.left, mark.right, 4)).tolist()
        parts = split_mark(mark, rng.uniform(-0.5, 0.5), centres)
        assert len(parts) == 4
        assert sum(len(part) for part in parts if part is not None) == len(mark)


@pytest.mark.parametrize("number", ["472", "30 18"])
def test_the_ink_of_a_line_is_shared_out_among_its_digits(number):
    _, (line,), rest = find_lines(written(number, seed=5))
    middles = np.array([(mark.left + mark.right) / 2 for mark in line.marks if mark.height > line.height / 2])
    assert len(middles) == len(number.replace(" ", ""))
    digits, left = line.assign_marks(middles)
    assert all(
        digit is not None and digit.left <= middle < digit.right
        for digit, middle in zip(digits, middles, strict=True)
    )
    assert len(left) + len(rest) <= 2


def test_ink_without_a_digit_is_left_over():
    _, (line,), _ = find_lines(written("472", seed=5))
    digits, left = line.assign_marks(np.array([]))
    assert (digits, len(left)) == ([], len(line.marks))


@pytest.mark.parametrize("slope", [-0.12, 0.0, 0.12])
def test_a_strip_is_level(slope):
    page = written("4725817", seed=5)
    height, width = page.shape
    rows = (np.arange(height)[:, None] - slope * (np.arange(width) - width / 2)).round().astype(int)
    sloped = page[rows.clip(0, height - 1), np.arange(width)]
    ink, (line, *_), _ = find_lines(sloped)
    strip = make_strip(ink, line).image
    assert (strip.dtype, strip.shape[0]) == (np.uint8, 40)
    assert strip.max() > 200
    inked = strip > 100
    middles = [np.flatnonzero(half.any(axis=1)).mean() for half in np.array_split(inked, 2, axis=1)]
    assert abs(middles[0] - middles[1]) < 4
    assert 15 <= np.ptp(np.flatnonzero(inked.any(axis=1))) <= 34


def test_columns_of_a_strip_are_places_of_the_page():
    ink, (line,), _ = find_lines(written("472", seed=5))
    strip = make_strip(ink, line)
    columns = np.flatnonzero((strip.image > 100).any(axis=0))
    found = strip.to_ink_columns(columns[[0, -1]].astype(float))
    assert found == pytest.approx([line.marks[0].left, line.marks[-1].right], abs=3 / strip.zoom)


@pytest.mark.parametrize("zoom", [1.0, 2.5])
def test_a_composed_line_holds_its_digits_from_left_to_right(zoom):
    rng = np.random.default_rng(0)
    lengths = set()
    for _ in range(60):
        line = write_line(REAL, STRANGERS, rng, width=150, zoom=zoom)
        assert line.image.shape == (round(40 * zoom), round(150 * zoom))
        for digit in line.digits:
            height, width = digit.tile.shape
            there = line.image[digit.top : digit.top + height, digit.left : digit.left + width]
            assert there.shape == digit.tile.shape
            assert (there >= digit.tile).all()
        lengths.add(len(line.digits))
    assert {1, 4} <= lengths


def test_the_same_seed_composes_the_same_lines():
    first, second = (write_line(REAL, STRANGERS, np.random.default_rng(6), width=192) for _ in range(2))
    assert (first.image == second.image).all()
    assert [digit.label for digit in first.digits] == [digit.label for digit in second.digits]


def test_lines_repeat_digits_and_some_end_in_noughts():
    rng = np.random.default_rng(1)
    lines = [
        [digit.label for digit in write_line(REAL, STRANGERS, rng, width=192).digits] for _ in range(300)
    ]
    pairs = [pair for labels in lines for pair in pairwise(labels)]
    assert np.mean([first == second for first, second in pairs]) > 0.15
    assert any(labels[-3:] == [0, 0, 0] and labels[0] != 0 for labels in lines)


@pytest.mark.parametrize(("label", "draw"), [(1, strings._with_upstroke), (7, strings._crossed)])
def test_a_european_form_is_the_digit_and_a_stroke_more(label, draw):
    rng = np.random.default_rng(2)
    for image in REAL.images[REAL.labels == label][:20]:
        drawn = draw(image, rng)
        assert drawn.shape == (28 + 2 * strings.ROOM,) * 2
        inner = drawn[strings.ROOM : -strings.ROOM, strings.ROOM : -strings.ROOM]
        assert (inner >= image).all()
        assert (drawn > 100).sum() > (image > 100).sum()


def trained(steps: int, seed: int = 0) -> tuple[LineNetwork, list[float]]:
    torch.manual_seed(3)
    network = LineNetwork()
    return network, [step.loss for step in train_lines(network, REAL, STRANGERS, steps=steps, seed=seed)]


def test_a_network_learns_lines_the_same_from_the_same_seed():
    network, losses = trained(12)
    assert np.mean(losses[-3:]) < losses[0] / 2
    again, repeated = trained(12)
    assert losses == repeated
    assert all((a == b).all() for a, b in zip(network.parameters(), again.parameters(), strict=True))
    assert 0 <= line_accuracy(network, REAL, STRANGERS, 64, 1) <= 1


def test_the_mean_of_two_networks_has_their_weights_and_a_normalisation_of_its_own(monkeypatch):
    monkeypatch.setattr(lines, "BATCHES", 4)
    one, other = trained(3)[0], trained(3, seed=1)[0]
    mean = average_lines([one, other], REAL, STRANGERS, seed=5)
    for weights, first, second in zip(*(each.parameters() for each in (mean, one, other)), strict=True):
        torch.testing.assert_close(weights, (first + second) / 2)
    again = average_lines([one, other], REAL, STRANGERS, seed=5)
    for name, value in mean.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    normalisation = mean.layers[1]
    assert normalisation.num_batches_tracked == 4
    assert not torch.equal(normalisation.running_mean, one.layers[1].running_mean)
    assert normalisation.momentum == lines.MOMENTUM


def test_strangers_are_what_a_teacher_takes_for_no_digit_and_certain_kinds():
    class Unsure(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(images), 10)

    class Sure(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.one_hot(torch.zeros(len(images), dtype=torch.int64), 10) * 50.0

    everything, certain = (draw_strangers(REAL, teacher, 0) for teacher in (Unsure(), Sure()))
    assert len(everything) > 5 * len(certain) > 0
    assert (draw_strangers(REAL, Unsure(), 0) == everything).all()


@pytest.mark.parametrize(("count", "width"), [(1, 18), (1, 400), (3, 64), (2, 191)])
def test_the_file_says_what_the_network_says(count, width, tmp_path):
    torch.manual_seed(1)
    export_lines(network := LineNetwork(), tmp_path / "lines.onnx")
    strips = np.random.default_rng(width).integers(0, 256, (count, 40, width), dtype=np.uint8)
    session = onnxruntime.InferenceSession(tmp_path / "lines.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"strips": strips})
    with torch.inference_mode():
        expected = network.eval()(torch.from_numpy(strips)).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-3)  # its weights are rounded to 16 bits
    np.testing.assert_allclose(found.sum(axis=2), 1, atol=1e-5)
    assert b"lines.py" not in (tmp_path / "lines.onnx").read_bytes()  # nor any other path of this machine


def test_a_file_that_would_differ_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "TOLERANCE", -1)
    with pytest.raises(DigitsError, match="would differ from the network"):
        export_lines(LineNetwork(), tmp_path / "lines.onnx")
    assert not list(tmp_path.iterdir())
