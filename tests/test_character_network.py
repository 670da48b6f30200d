"""The network that finds characters, what it learns from composed pages, and its export."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

from digit_recognizer import load_digits
from digit_recognizer.networks.character_network import (
    CLASSES,
    EM,
    MAPS,
    OUTPUTS,
    START,
    STRIDE_PX,
    CharacterNetwork,
    Finder,
    NetworkSize,
    even_contrast,
    export_reader,
)
from digit_recognizer.synthetic.pages import ComposedPage, compose_page, make_glyphs
from digit_recognizer.training.numbers.detection import detection_loss, make_targets
from digit_recognizer.training.numbers.page_views import sample_view
from helpers import refusal, says

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = NetworkSize((4, 8, 8, 8), (1, 1, 1))


@pytest.fixture(scope="module")
def pages() -> list[ComposedPage]:
    glyphs = make_glyphs(load_digits("bundled"))
    rng = np.random.default_rng(5)
    return [compose_page(glyphs, rng, height=96, width=128) for _ in range(12)]


def page_with(*marks: tuple[float, float, float, float, int, float], size: int = 96) -> ComposedPage:
    """Return a blank page with boxes, classes and heights of digits; each mark starts a number."""
    table = np.array(marks, np.float32).reshape(-1, 6)
    return ComposedPage(
        np.full((size, size), 255, np.uint8),
        table[:, :4],
        table[:, 4].astype(np.int64),
        table[:, 5],
        np.ones(len(table), bool),
    )


def test_maps_have_the_stride_and_contrast_is_even():
    network = CharacterNetwork(SMALL).eval()
    page = np.random.default_rng(0).integers(0, 255, (64, 96), np.uint8)
    dim = (100 + page.astype(np.float32) * 0.4).astype(np.uint8)
    with torch.inference_mode():
        maps = network(torch.from_numpy(page[None]))
        bright, dark = (even_contrast(torch.from_numpy(each[None])) for each in (page, dim))
    assert maps.shape == (1, MAPS, 16, 24)
    assert maps[:, 0].sigmoid().max() < 0.2
    assert (bright - dark).abs().mean() < 0.3 * bright.abs().mean()
    assert even_contrast(torch.full((1, 64, 64), 90, dtype=torch.uint8)).abs().max() < 1e-3


def test_a_character_is_a_target_at_its_centre_with_its_box():
    targets = make_targets([page_with((20, 30, 40, 60, 7, 30))])
    assert targets.centre.shape == (1, 24, 24)
    row, column = divmod(int(targets.centre[0].argmax()), 24)
    assert (column * STRIDE_PX, row * STRIDE_PX) == (pytest.approx(28, abs=4), pytest.approx(44, abs=4))
    assert targets.centre.max() == 1
    assert set(targets.classes.tolist()) == {7}
    best = targets.weights.argmax()
    place, box = targets.places[best], targets.boxes[best]
    middle = ((place[[2, 1]] + box[:2] + 0.5) * STRIDE_PX).tolist()
    assert middle == pytest.approx([30, 45], abs=1e-4)
    assert box[2:].exp().tolist() == pytest.approx([20, 30, 30], rel=1e-5)


@pytest.mark.parametrize(
    ("label", "em", "is_target", "is_ignored"),
    [
        (3, 30, True, False),
        (3, 18, False, True),
        (3, 60, False, True),
        (3, 12, False, False),
        (3, 90, False, False),
        (-1, 30, False, True),
        (-1, 90, False, False),
    ],
)
def test_only_characters_of_the_right_size_are_targets(label, em, is_target, is_ignored):
    targets = make_targets([page_with((20, 30, 40, 60, label, em))])
    assert bool(targets.centre.max() == 1) == is_target
    assert bool(len(targets.classes)) == is_target
    assert bool((targets.counted == 0).any()) == is_ignored


def test_the_loss_is_least_for_the_right_maps(pages):
    targets = make_targets(pages)
    maps = torch.zeros(len(pages), MAPS, 24, 32)
    maps[:, 0] = -9 + 18 * (targets.centre >= 1).float()
    page, row, column = targets.places.T
    right = torch.zeros(len(page), MAPS)
    right[:, 0] = maps[page, 0, row, column]
    right[torch.arange(len(page)), 1 + targets.classes] = 20
    right[:, 1 + CLASSES : EM + 1] = targets.boxes
    right[:, START] = 20 * targets.starts * 2 - 20
    maps[page, :, row, column] = right
    loss, parts = detection_loss(maps, targets)
    assert float(loss) < 0.1
    assert set(parts) == {"centre", "class", "box", "start"}
    for name, first, change in (("centre", 0, 9), ("class", 1, 30), ("box", EM, 2), ("start", START, -25)):
        wrong = maps.clone()
        wrong[:, first] += change
        assert detection_loss(wrong, targets)[1][name] > parts[name] + 0.1
    empty = make_targets([page_with()])
    assert float(detection_loss(torch.full((1, MAPS, 24, 24), -9.0), empty)[0]) < 0.01


def test_views_keep_boxes_on_their_ink(pages):
    rng = np.random.default_rng(2)
    views = [sample_view(lambda: pages[rng.integers(len(pages))], rng) for _ in range(60)]
    for view in views:
        assert (view.image.shape, view.image.dtype) == ((96, 128), np.uint8)
        assert len(view.boxes) == len(view.classes) == len(view.em) == len(view.starts)
        assert view.boxes.dtype == np.float32
        if len(view.boxes):
            assert view.boxes.min() >= 0
            assert (view.boxes.max(axis=0) <= [128, 96, 128, 96]).all()
    assert len({view.image.tobytes() for view in views}) > 50


def test_a_small_network_learns_to_find_characters(pages):
    torch.manual_seed(0)
    network = CharacterNetwork(SMALL).train()
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    images, targets = torch.from_numpy(np.stack([page.image for page in pages])), make_targets(pages)
    losses = []
    for _ in range(40):
        loss, _ = detection_loss(network(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_the_exported_file_finds_the_same_as_the_network(pages, tmp_path):
    torch.manual_seed(1)
    network = CharacterNetwork(SMALL)
    network.heads.bias.data[0] = 0.0  # everything may be a centre
    export_reader(network, tmp_path / "reader.onnx", pages[0].image)
    session = onnxruntime.InferenceSession(tmp_path / "reader.onnx", providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_outputs()] == list(OUTPUTS)
    for page in pages[1:4]:
        with torch.inference_mode():
            expected = Finder(network.eval())(torch.from_numpy(page.image))
        values = session.run(None, {"page": page.image})
        assert len(values[0]) == pytest.approx(len(expected[0]), abs=3)
        assert len(values[0]) > 0


def test_a_file_that_differs_is_not_written(pages, tmp_path, monkeypatch):
    monkeypatch.setattr("digit_recognizer.networks.onnx_export.TOLERANCE", -1.0)
    network = CharacterNetwork(SMALL)
    refused = refusal(lambda: export_reader(network, tmp_path / "r.onnx", pages[0].image))
    assert says(refused, "r.onnx", "differ")
    assert not list(tmp_path.iterdir())
