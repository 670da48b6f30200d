"""Composed pages: every character has its box, class, size and number; nothing else has."""

from __future__ import annotations

import numpy as np
import pytest

from digit_recognizer import load_digits
from digit_recognizer.synthetic.alphabet import PEN_CHARACTERS, write_character
from digit_recognizer.synthetic.camera import CAMERA_EFFECTS, take_picture
from digit_recognizer.synthetic.draft import Draft
from digit_recognizer.synthetic.glyphs import HAND_KINDS, sample_hand
from digit_recognizer.synthetic.ink import Patch, draw_curves
from digit_recognizer.synthetic.layouts import LAYOUTS, draw_layout
from digit_recognizer.synthetic.pages import CHARACTERS, PAGES, compose_page, make_glyphs
from digit_recognizer.synthetic.papers import PAPER_EFFECTS
from digit_recognizer.synthetic.rules import RULINGS, draw_rule, sample_rule_pen
from digit_recognizer.synthetic.scribbles import SCRIBBLES, draw_scribble
from digit_recognizer.synthetic.sheet import IGNORED, Box, Run, Sheet, put_run, visible_marks
from digit_recognizer.synthetic.writing import NUMBERS, write_run

GLYPHS = make_glyphs(load_digits("bundled"))
HEIGHT, WIDTH = 96, 128


def rng(seed=0):
    return np.random.default_rng(seed)


def blank_sheet(height=HEIGHT, width=WIDTH):
    return Sheet(*(np.zeros((height, width), np.uint8) for _ in range(3)))


def drafts(count, em=20.0):
    """Yield empty drafts of different seeds."""
    for seed in range(count):
        sheet, random = blank_sheet(), rng(seed)
        yield Draft(sheet, Box(0, 0, WIDTH, HEIGHT), em, sample_hand(GLYPHS, random), GLYPHS, random)


@pytest.mark.parametrize("kind", PAGES)
def test_a_page_has_boxes_inside_the_picture_and_classes_in_range(kind):
    for seed in range(12):
        page = compose_page(GLYPHS, rng(seed), height=HEIGHT, width=WIDTH, kind=kind)
        assert (page.image.shape, page.image.dtype) == ((HEIGHT, WIDTH), np.uint8)
        count = len(page.boxes)
        assert page.boxes.shape == (count, 4)
        assert (page.boxes.dtype, page.classes.dtype) == (np.float32, np.int64)
        assert (page.em.dtype, page.starts.dtype) == (np.float32, np.bool_)
        assert len(page.classes) == len(page.em) == len(page.starts) == count
        assert (page.boxes[:, :2] < page.boxes[:, 2:]).all()
        assert (page.boxes >= 0).all()
        assert (page.boxes <= (WIDTH, HEIGHT, WIDTH, HEIGHT)).all()
        assert ((page.classes >= IGNORED) & (page.classes < len(CHARACTERS))).all()
        assert (page.em > 0).all()


@pytest.mark.parametrize("kind", ["scribbles", "photo", "empty"])
def test_pages_of_non_digits_have_no_characters(kind):
    pages = [compose_page(GLYPHS, rng(seed), height=HEIGHT, width=WIDTH, kind=kind) for seed in range(10)]
    assert not sum(len(page.boxes) for page in pages)


def test_a_seed_gives_the_same_page_and_another_one_another():
    first, again, other = (
        compose_page(GLYPHS, rng(seed), height=HEIGHT, width=WIDTH, kind="numbers") for seed in (4, 4, 5)
    )
    assert (first.image == again.image).all()
    assert (first.boxes == again.boxes).all()
    assert (first.image != other.image).any()


def test_the_main_writing_has_all_sizes():
    ems = [
        float(np.median(page.em))
        for seed in range(150)
        if len((page := compose_page(GLYPHS, rng(seed), height=192, width=256)).em)
    ]
    small, usual = np.mean(np.array(ems) < 13), np.mean((np.array(ems) >= 13) & (np.array(ems) < 44))
    assert 0.03 < small < 0.25
    assert 0.55 < usual < 0.85


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_puts_ink_into_each_box(name):
    characters = 0
    for draft in drafts(12):
        draw_layout(draft, name)
        sheet = draft.sheet
        boxes, classes, _, _ = visible_marks(sheet, np.eye(3), HEIGHT, WIDTH)
        for left, top, right, bottom in boxes[classes >= 0].astype(int):
            ink = np.maximum(sheet.writing, sheet.printing)[top:bottom, left:right]
            assert ink.max() > 70
            if left == 0 or top == 0 or right == WIDTH or bottom == HEIGHT:
                continue  # the edge may cut it anywhere
            assert all(edge.max() > 30 for edge in (ink[0], ink[-1], ink[:, 0], ink[:, -1]))
        characters += len(boxes)
    assert characters > 10


def test_every_digit_is_about_as_frequent():
    pages = [compose_page(GLYPHS, rng(seed), height=HEIGHT, width=WIDTH) for seed in range(400)]
    classes = np.concatenate([page.classes for page in pages])
    counts = np.bincount(classes[classes >= 0], minlength=len(CHARACTERS))
    assert counts[:10].min() > 0.6 * counts[:10].mean()
    assert (counts[10:] > 0).all()


@pytest.mark.parametrize("kind", HAND_KINDS)
def test_a_hand_writes_every_character_at_the_wanted_height(kind):
    for seed in range(3):
        hand = sample_hand(GLYPHS, rng(seed), kind)
        for name in CHARACTERS:
            patch = hand.write(name, 40.0, hand, rng(seed))
            assert patch.ink.max() > 70
            if name.isdecimal():
                assert 24 <= len(patch.ink) <= 64


def test_hands_are_read_from_files(tmp_path):
    square = np.zeros((20, 16, 16), np.uint8)
    square[:, 2:14, 4:9] = 255
    labels = np.repeat(np.arange(10), 2)
    np.savez(tmp_path / "semeion-first-half.npz", images=square, labels=labels)
    points = rng().integers(0, 101, (20, 8, 2)).astype(np.uint8)
    np.savez(tmp_path / "pendigits.npz", points=points, labels=labels)
    glyphs = make_glyphs(load_digits("bundled"), tmp_path)
    assert [bitmaps.is_stretched for bitmaps in glyphs.bitmaps] == [False, True]
    hand = sample_hand(glyphs, rng(), "traces")
    assert hand.write("8", 30.0, hand, rng()).ink.max() > 200


@pytest.mark.parametrize("kind", NUMBERS)
def test_a_number_is_written_from_left_to_right_with_its_text(kind):
    for seed in range(5):
        random = rng(seed)
        text = NUMBERS[kind][1](random)
        run = write_run(text, 24.0, sample_hand(GLYPHS, random), random)
        assert run.names == text.replace(" ", "")
        assert set(run.names) <= set(CHARACTERS)
        assert len(set(run.numbers)) == len(text.split())
        assert all(later.right > run.patches[0].left for later in run.patches)


def test_writing_ends_before_the_width():
    run = write_run("1234567890", 24.0, sample_hand(GLYPHS, rng(1)), rng(1), max_width=70)
    assert 1 <= len(run.names) < 10
    assert run.right <= 70 or len(run.names) == 1


def square_run(size=20):
    return Run([Patch(np.full((size, size), 255, np.uint8), 0, -size)], "5", [0])


@pytest.mark.parametrize(
    ("left", "classes"),
    [(50, [5]), (-5, [5]), (-10, [IGNORED]), (-19.5, []), (-25, []), (WIDTH - 8, [IGNORED])],
)
def test_a_character_that_the_edge_cuts_is_ignored(left, classes):
    sheet = blank_sheet()
    put_run(sheet, square_run(), left, 50)
    boxes, found, ems, _ = visible_marks(sheet, np.eye(3), HEIGHT, WIDTH)
    assert found.tolist() == classes
    assert ems.tolist() == [20.0] * len(classes)
    if classes:
        assert boxes[0].tolist() == [max(0, left), 30, min(WIDTH, left + 20), 50]


def test_boxes_follow_a_rotation_of_the_page():
    sheet = blank_sheet()
    put_run(sheet, square_run(), 40, 50)
    turn = np.array([[0.0, -1, WIDTH / 2 + 30], [1, 0, 0], [0, 0, 1]])  # (40, 30) goes to (64, 40)
    boxes, _, _, _ = visible_marks(sheet, turn, HEIGHT, WIDTH)
    np.testing.assert_allclose(boxes, [[44, 40, 64, 60]], atol=0.01)


@pytest.mark.parametrize("kind", SCRIBBLES)
def test_a_scribble_has_ink_in_many_forms(kind):
    patches = [draw_scribble(30.0, sample_hand(GLYPHS, rng(seed)), rng(seed), kind) for seed in range(8)]
    assert all(patch.ink.max() > 100 for patch in patches)
    assert len({patch.ink.tobytes() for patch in patches}) > 5


@pytest.mark.parametrize("name", PEN_CHARACTERS)
def test_a_letter_stands_on_the_base_line(name):
    points = np.concatenate(write_character(name, rng(), jitter=0))
    assert -1.2 < points[:, 1].min() <= points[:, 1].max() < 0.5


@pytest.mark.parametrize("name", RULINGS)
def test_rules_are_no_characters(name):
    sheet = blank_sheet()
    put_run(sheet, square_run(), 40, 50)
    before = sheet.writing.copy()
    for seed in range(6):
        RULINGS[name][1](sheet, 20.0, rng(seed))
    assert len(sheet.marks) == 1
    assert (sheet.writing == before).all()
    assert sheet.printing.any()


def test_a_rule_outside_the_sheet_leaves_no_trace():
    sheet = blank_sheet()
    draw_rule(sheet, (-50, -20), (-10, -20), sample_rule_pen(20, rng()))
    assert not sheet.printing.any()


@pytest.mark.parametrize("name", PAPER_EFFECTS)
def test_an_effect_of_paper_changes_it_smoothly_around_its_tone(name):
    change = PAPER_EFFECTS[name][1](HEIGHT, WIDTH, 200.0, rng(1))
    assert change.shape == (HEIGHT, WIDTH)
    assert np.isfinite(change).all()
    assert np.ptp(change) > 0
    assert abs(change).max() < 200


@pytest.mark.parametrize("name", CAMERA_EFFECTS)
def test_an_effect_of_a_camera_keeps_dark_ink_darker_than_paper(name):
    page = np.full((HEIGHT, WIDTH), 220, np.float32)
    page[30:60, 40:70] = 40
    changed = CAMERA_EFFECTS[name][1](page, 30.0, 180.0, rng(2))
    assert changed.shape == page.shape
    assert changed[40:50, 50:60].mean() < changed[:20].mean() - 20


def test_some_pictures_are_negatives():
    page = np.full((HEIGHT, WIDTH), 250, np.float32)
    means = [take_picture(page, 20.0, 200.0, rng(seed), is_clean=True).mean() for seed in range(60)]
    assert 3 < sum(mean < 100 for mean in means) < 25


@pytest.mark.parametrize("size", [6, 20, 60, 150])
def test_curves_are_drawn_where_they_lie_at_any_size(size):
    line = np.array([[0.0, -size], [0.0, 0.0]])
    patch = draw_curves([line], 0.1 * size)
    assert abs(len(patch.ink) - 1.1 * size) <= 2
    assert abs(patch.bottom) <= 0.05 * size + 2
