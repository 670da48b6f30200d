"""What is seen of a found character, and what the network says that looks at it again."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from digit_recognizer.imaging.region_image import REGION_SIDE_PX, region_image
from digit_recognizer.networks.region_classifier import (
    OUTPUTS,
    IsCharacter,
    RegionClassifier,
    export_regions,
)
from digit_recognizer.reading import CHARACTERS, MIN_READ_CONFIDENCE
from digit_recognizer.recognition.character_finder import CharacterFinder
from digit_recognizer.recognition.second_stage import REGIONS_MODEL, SecondStage, region_images
from digit_recognizer.synthetic.fonts import font_files, print_text
from helpers import refusal, says
from pictures import written

GREEK = "ΓΔΘΛΞΠΣΦΨΩαβγδεζηθικλμνξπρστυφχψω"
SMALL = (4, 4, 8, 8, 8)
SHAPE = (2, REGION_SIDE_PX, REGION_SIDE_PX)


@pytest.fixture(scope="module")
def stage():
    return SecondStage(threads=1)


@pytest.fixture(scope="module")
def found_407():
    """A page with 407 and what is found on it, from left to right."""
    page = written("407")
    found = [each for each in CharacterFinder(threads=1).find(page) if each.confidence > 0.9]
    assert len(found) == 3
    return page, sorted(found, key=lambda each: each.middle)


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    return RegionClassifier(SMALL).eval()


def random_images(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *SHAPE)).astype(np.uint8)


# What is seen


def test_the_box_is_in_the_middle_and_takes_half_of_the_side():
    page = np.full((100, 200), 220, np.uint8)
    page[30:70, 90:110] = 20
    grey, frame = region_image(page, 90, 30, 110, 70, 40)
    assert (grey.dtype, frame.dtype) == (np.uint8, np.uint8)
    rows, columns = np.nonzero(frame)
    assert (rows.min(), rows.max()) == (12, 35)
    assert (columns.min(), columns.max()) == (18, 29)
    assert set(np.unique(frame)) == {0, 255}
    assert np.abs(grey.astype(int) - np.where(frame, 20, 220)).mean() < 5


def test_a_point_is_seen_with_its_surroundings():
    page = np.full((100, 100), 255, np.uint8)
    page[50:54, 50:54] = 0
    frame = region_image(page, 50, 50, 54, 54, 40)[1]
    assert np.ptp(np.nonzero(frame)[0]) + 1 == pytest.approx(REGION_SIDE_PX * 4 / 40, abs=1)


@pytest.mark.parametrize("box", [(0, 0, 5, 9), (55, 31, 60, 40), (0, 0, 60, 40), (59, 39, 60, 40)])
def test_beyond_its_edges_the_page_continues_as_it_is(box):
    page = np.tile(np.arange(60, dtype=np.uint8), (40, 1))
    left, top, right, bottom = box
    grey = region_image(page, left, top, right, bottom, 8)[0].astype(int)
    assert (np.abs(np.diff(grey, axis=0)) <= 1).all()
    assert (np.diff(grey, axis=1) >= -1).all()
    assert grey.max() <= 59


def test_a_page_of_one_pixel_is_seen():
    image = region_image(np.full((1, 1), 7, np.uint8), 0, 0, 1, 1, 1.0)
    assert image.shape == SHAPE
    assert (image[0] == 7).all()


# What the network says


def test_brightness_and_contrast_do_not_matter(classifier):
    images = torch.from_numpy(random_images(5)).float()
    changed = images.clone()
    changed[:, 0] = 90 + 0.4 * changed[:, 0]
    with torch.inference_mode():
        differences = classifier(images).softmax(1) - classifier(changed).softmax(1)
    assert differences.abs().max() < 0.02


def test_the_file_gives_what_the_network_gives(classifier, tmp_path):
    images, path = random_images(5), tmp_path / "regions.onnx"
    export_regions(classifier, path, images[:2])
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        expected = IsCharacter(classifier)(torch.from_numpy(images))
    for count in (5, 1, 0):
        (found,) = session.run(list(OUTPUTS), {"images": images[:count]})
        np.testing.assert_allclose(found, expected[:count], atol=1e-3)


def test_a_network_that_gives_no_numbers_is_not_written(classifier, tmp_path):
    path = tmp_path / "regions.onnx"
    with torch.no_grad():
        classifier.layers[-1].bias.fill_(torch.nan)
    assert says(refusal(lambda: export_regions(classifier, path, random_images(2))), path, "nan")
    assert list(tmp_path.iterdir()) == []


def test_the_bundled_file_is_small_and_names_its_output():
    proto = onnx.load(REGIONS_MODEL)
    assert [each.name for each in proto.graph.output] == list(OUTPUTS)
    assert REGIONS_MODEL.stat().st_size < 1_000_000


# Both networks together


def test_what_is_surely_there_stays_so(stage, found_407):
    page, found = found_407
    judged = stage.judge(page, found)
    assert [each.is_character for each in judged] == sorted((e.is_character for e in judged), reverse=True)
    in_order = sorted(judged, key=lambda each: each.middle)
    assert "".join(CHARACTERS[each.probabilities.argmax()] for each in in_order) == "407"
    assert all(each.confidence > 0.9 for each in judged)
    for each, before in zip(in_order, found, strict=True):
        assert (each.probabilities == before.probabilities).all()
        assert (each.box == before.box).all()
        assert (each.em, each.starts) == (before.em, before.starts)


def test_fewer_letters_are_taken_for_digits(stage):
    finder, rng = CharacterFinder(threads=1), np.random.default_rng(0)
    before, after = [], []
    for letter in GREEK:
        for font in font_files()[:2]:
            ink = print_text(letter, font, 40).ink / 255
            page = np.pad(235 - 195 * ink, 40, constant_values=235) + rng.normal(0, 3, np.add(ink.shape, 80))
            page = page.clip(0, 255).astype(np.uint8)
            found = finder.find(page)
            before.append(max((each.confidence for each in found), default=0))
            after.append(max((each.confidence for each in stage.judge(page, found)), default=0))
    read_before, read_after = (sum(each >= MIN_READ_CONFIDENCE for each in p) for p in (before, after))
    assert read_before >= 4
    assert read_after <= read_before / 2


def test_nothing_found_is_nothing_judged(stage):
    assert stage.judge(written("1"), []) == []


def test_many_characters_are_judged_as_few_are(stage, found_407):
    page, found = found_407
    one = stage.judge(page, found[:1])[0]
    many = SecondStage(threads=2).judge(page, found[:1] * 300)
    assert len(many) == 300
    assert [each.is_character for each in many] == pytest.approx([one.is_character] * 300, abs=1e-4)
    assert region_images(page, found).shape == (3, *SHAPE)
