"""Numbers on the page: how they are shown, corrected and kept."""

import io
import re
import sqlite3

import numpy as np
import pytest
from handwriting import draw_at_once
from PIL import Image
from playwright.sync_api import expect
from steps import (
    ANSWER,
    number_of,
    open_corrections,
    read,
    read_as,
    rejected,
    until,
    write,
)

from serving import serving

# Corrections


@pytest.fixture
def database(tmp_path):
    return tmp_path / "corrections.sqlite"


@pytest.fixture
def keeping(database):
    with serving("--corrections", "--corrections-file", str(database)) as service:
        yield f"http://127.0.0.1:{service.port}"


def stored(database):
    with sqlite3.connect(database) as connection:
        return connection.execute("SELECT image, label, read_as FROM corrections").fetchall()


def test_a_correction_is_stored_if_switched_on_and_can_be_undone(open_service, keeping, database):
    page = open_service(keeping)
    write(page, "47")
    page.locator(".card").first.click()
    page.keyboard.press("9")
    expect(page.locator("#text")).to_have_text("97")
    expect(page.locator("#corrected")).to_contain_text("the switch is off")
    assert stored(database) == [], "kept though the switch is off"
    page.get_by_role("button", name="Undo correction").click()
    expect(page.locator("#text")).to_have_text("47")

    open_corrections(page)
    page.get_by_role("switch").check()
    page.locator("#answers").get_by_role("button", name="9", exact=True).click()
    expect(page.locator("#corrected")).to_contain_text("and kept")
    [(image, label, read_as)] = stored(database)
    assert (label, read_as) == (9, 4)
    assert np.frombuffer(image, np.uint8).max() > 200
    assert len(image) == 28 * 28
    page.get_by_role("button", name="Undo correction").click()
    expect(page.locator("#corrected")).to_be_empty()
    expect(page.locator("#text")).to_have_text("47")
    until(page, "async () => (await (await fetch('/v1/corrections')).json()).count === 0")
    assert stored(database) == []

    page.get_by_role("button", name="not a digit").click()
    expect(page.locator("#corrected")).to_contain_text("and kept")
    expect(page.locator("#text")).to_have_text("7")
    assert [row[1:] for row in stored(database)] == [(None, 4)]
    page.reload()
    assert page.locator("#keep").is_checked(), "the browser forgets the choice"


def test_a_correction_survives_further_writing(page):
    write(page, "4")
    page.locator(".card").click()
    page.keyboard.press("9")
    draw_at_once(page, "7", 330, 100, 200)
    assert read(page) == "97"


def test_a_service_without_corrections_offers_no_switch(page):
    write(page, "4")
    open_corrections(page)
    expect(page.get_by_role("switch")).to_be_hidden()
    expect(page.locator("#not-keeping")).to_be_visible()


def test_visitors_see_no_options_of_the_command_line(page):
    texts = page.locator("body").evaluate("one => one.textContent")
    assert re.findall(r"(?<!\S)--[a-z]+", texts) == []


# Numbers


def test_separators_and_uncertain_numbers_are_shown_as_text(page):
    read_as(page, ANSWER)
    assert page.locator("#text").inner_text() == "13.50 1,234\n-5"
    marked = "one => getComputedStyle(one, '::after').content"
    assert page.locator("#text .line span").evaluate_all(f"all => all.map({marked})") == [
        '"?"',
        "none",
        "none",
    ]
    assert page.locator("#numbers b").all_inner_texts() == ["13.50?", "1,234", "-5"]
    assert page.locator("#numbers span").all_inner_texts() == ["60%", "97%", "97%"]
    assert page.locator("#notes").inner_text() == "1,234 may be 1234 or 1.234."
    expect(page.locator("#said")).to_contain_text("13.50, 60%, not sure; 1,234, 97%")


def test_marks_that_were_not_read_are_listed_with_their_reasons(page):
    read_as(page, ANSWER)
    page.get_by_text("2 marks not read").click()
    assert page.locator("#unread li").all_inner_texts() == ["part of a word, most like 7 (30%)", "too small"]
    page.get_by_role("button", name="part of a word").click()
    expect(page.locator("#correction-title")).to_contain_text("Not read: part of a word.")
    page.keyboard.press("7")
    expect(page.locator("#unread summary")).to_have_text("1 mark not read")


def test_a_rejected_mark_can_be_corrected_into_a_digit(open_service, keeping, database):
    page = open_service(keeping)
    lines = [{"numbers": [number_of("4", 20), number_of("7", 72)]}]
    read_as(page, {**ANSWER, "lines": lines, "rejected": [rejected("3", 46)]})
    page.get_by_text("1 mark not read").click()
    page.get_by_role("button", name="probably not a digit").click()
    expect(page.locator("#correction-title")).to_contain_text("Not read: probably not a digit.")
    page.get_by_role("switch").check()
    page.keyboard.press("8")
    expect(page.locator("#corrected")).to_contain_text("and kept")
    assert page.locator("#text").inner_text() == "487"
    assert [row[1:] for row in stored(database)] == [(8, None)]
    page.get_by_role("button", name="Undo correction").click()
    expect(page.locator("#corrected")).to_be_empty()
    assert page.locator("#text").inner_text() == "4 7"


def test_a_mark_above_the_only_line_becomes_a_line_of_its_own(page):
    lines = [{"numbers": [number_of("7", 20, y=200)]}]
    read_as(page, {**ANSWER, "lines": lines, "rejected": [rejected("3", 46, y=60)]})
    page.get_by_text("1 mark not read").click()
    page.get_by_role("button", name="probably not a digit").click()
    page.keyboard.press("8")
    assert page.locator("#text").inner_text() == "8\n7"


def test_alternatives_of_a_number_are_shown_and_can_be_chosen(page):
    read_as(page, ANSWER)
    first = page.locator("#numbers button").first
    assert first.get_attribute("title") == "Or 18.50 (30%)"
    first.click()
    open_corrections(page)
    page.get_by_role("button", name="18.50").click()
    assert page.locator("#text").inner_text() == "18.50 1,234\n-5"
    expect(first).to_have_text("18.50corrected")
    page.get_by_role("button", name="Undo correction").click()
    assert page.locator("#text").inner_text() == "13.50 1,234\n-5"


def numbers_stored(database):
    with sqlite3.connect(database) as connection:
        return connection.execute("SELECT picture, text, read_as, length(images) FROM numbers").fetchall()


def test_a_number_is_corrected_as_a_whole_and_kept_with_its_picture(open_service, keeping, database):
    page = open_service(keeping)
    write(page, "47")
    open_corrections(page)
    page.get_by_role("switch").check()
    field = page.get_by_label("Is the number 47 wrong?")
    field.fill("4x7")
    field.press("Enter")
    assert page.locator("#text").inner_text() == "47", "an impossible text is taken"
    field.fill(" 4.7 5 ")
    page.get_by_role("button", name="Correct", exact=True).click()
    expect(page.locator("#corrected")).to_contain_text("Corrected to 4.75 and kept")
    assert page.locator("#text").inner_text() == "4.75"
    [(picture, text, before, images)] = numbers_stored(database)
    assert (text, before, images) == ("4.75", "47", 2 * 784)
    with Image.open(io.BytesIO(picture)) as crop:
        assert crop.mode == "L"
        assert crop.width > crop.height / 2 > 50
        assert np.asarray(crop).min() < 50 < 200 < np.asarray(crop).max()
    draw_at_once(page, "1", 100, 350, 100)
    assert read(page) == "4.75\n1", "the correction is forgotten"
    page.locator("#numbers button").first.click()
    page.get_by_role("button", name="Undo correction").click()
    expect(page.locator("#text")).to_have_text("47\n1")
    until(page, "async () => (await (await fetch('/v1/corrections')).json()).count === 0")
    assert numbers_stored(database) == []


def test_digits_typed_into_the_field_do_not_correct_the_selected_digit(page):
    write(page, "47")
    page.locator(".card").first.click()
    open_corrections(page)
    page.get_by_label("Is the number 47 wrong?").press("9")
    assert page.locator("#text").inner_text() == "47"
