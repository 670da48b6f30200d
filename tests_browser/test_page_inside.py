"""The section "Inside the network": from the image to the answer, step by step."""

import re

import numpy as np
import pytest
from handwriting import draw_at_once
from playwright.sync_api import expect
from steps import HAS_ORANGE, until, until_true, write

from serving import serving


def pixels(page, selector):
    """Return a canvas as it is shown: uint8, (H, W, 3)."""
    width, height, data = page.locator(selector).first.evaluate(
        """canvas => {
            const {width, height} = canvas;
            return [width, height, [...canvas.getContext("2d").getImageData(0, 0, width, height).data]];
        }"""
    )
    return np.array(data, np.uint8).reshape(height, width, 4)[..., :3]


def explained(page, act):
    """Return what the service says about the inside after an action, once the page shows it."""
    until(page, HAS_ORANGE)  # of the example
    with page.expect_response(lambda answer: "saliency=true" in answer.url) as found:
        act()
    answer = found.value.json()
    expect(page.locator("#inside-lead")).to_contain_text("How the network reads")
    until(page, HAS_ORANGE)
    return answer


def step(page, number):
    """Return the step of a convolution, from 1."""
    return page.locator(".layer").nth(number - 1)


def chosen(page, number):
    """Return the number of the chosen map of a convolution."""
    return int(step(page, number).locator(".maps").get_attribute("aria-valuenow"))


def choose(page, number, map_number):
    """Choose a map of a convolution, from 1, with a click."""
    maps = step(page, number).locator(".maps")
    count = int(maps.get_attribute("aria-valuemax"))
    place, columns = map_number - 1, 8
    maps.scroll_into_view_if_needed()
    box = maps.bounding_box()
    across, down = box["width"] / columns, box["height"] / -(-count // columns)
    maps.click(position={"x": (place % columns + 0.5) * across, "y": (place // columns + 0.5) * down})


def figure(text):
    """Return the first number with decimals in a text; the page writes a real minus, U+2212."""
    return float(re.search(r"-? ?\d+\.\d+", text.replace("\u2212", "-"))[0].replace(" ", ""))


def test_an_example_is_explained_before_the_first_stroke_and_after_the_last(page):
    lead = page.locator("#inside-lead")
    expect(lead).to_contain_text("An example")
    expect(page.locator("#probabilities .best i")).to_have_text("3")
    until(page, HAS_ORANGE)
    example = pixels(page, "#image")
    assert example.max() == 255
    write(page, "5", 200, 100, 250)
    expect(lead).to_contain_text("How the network reads the 5")
    expect(page.locator("#probabilities .best i")).to_have_text("5")
    assert not np.array_equal(pixels(page, "#image"), example)
    page.locator("#clear").click()
    expect(lead).to_contain_text("An example")
    assert np.array_equal(pixels(page, "#image"), example)


def test_the_steps_go_from_the_image_to_the_answer(page):
    explained(page, lambda: draw_at_once(page, "5", 200, 100, 250))
    assert page.locator(".step h3").all_inner_texts() == [
        "The image",
        *(f"Convolution {number}" for number in (1, 2, 3)),
        "The answer",
    ]
    for layer in page.locator(".layer").all():
        assert re.search(r"\b(32|64) maps of \d+×\d+", layer.inner_text())
    assert page.locator(".maps").first.evaluate("maps => maps.width > 50")
    expect(step(page, 2)).to_contain_text("has 32 kernels of 3×3, one for each of its inputs")
    assert page.locator("#probabilities li").count() == 10


def test_a_map_is_the_sum_of_what_its_inputs_contribute(page):
    answer = explained(page, lambda: draw_at_once(page, "5", 200, 100, 250))
    for number, layer in enumerate(answer["layers"], start=1):
        maps = step(page, number)
        share = int(re.search(r"strongest response is (\d+)%", maps.inner_text())[1]) / 100
        shown = figure(maps.locator(".total output").inner_text())
        assert shown == pytest.approx(share * layer["maximum"], abs=0.03 * layer["maximum"])
        parts = [figure(text) for text in maps.locator(".term b, .bias b").all_inner_texts()]
        assert len(parts) == (2 if number == 1 else 6)
        assert sum(parts) == pytest.approx(shown, abs=0.04)


@pytest.mark.parametrize("number", [1, 2])
def test_a_contribution_is_the_sum_of_the_products_shown(page, number):
    explained(page, lambda: draw_at_once(page, "5", 200, 100, 250))
    maps = step(page, number)
    maps.locator(".products summary").click()
    values, weights, products = (
        [figure(text) for text in table.locator("td").all_inner_texts()]
        for table in maps.locator(".products table").all()
    )
    assert len(values) == len(weights) == len(products) in (9, 25)
    assert products == pytest.approx(np.multiply(values, weights), abs=0.03)
    contribution = figure(maps.locator(".term b").first.inner_text())
    assert sum(products) == pytest.approx(contribution, abs=0.15)
    assert figure(maps.locator(".products p").inner_text()) == pytest.approx(contribution, abs=0.011)
    maps.locator(".output").focus()
    page.keyboard.press("Home")
    assert figure(maps.locator(".products p").inner_text()) == pytest.approx(
        figure(maps.locator(".term b").first.inner_text()), abs=0.011
    )


def test_a_map_leads_to_the_map_that_it_is_computed_from(page):
    explained(page, lambda: draw_at_once(page, "5", 200, 100, 250))
    choose(page, 3, 19)
    assert chosen(page, 3) == 19
    expect(step(page, 3).locator("h4")).to_have_text("Map 19 and what it is computed from")
    assert step(page, 2).locator(".ring.feeds").count() == 4
    expect(page.locator("#image-part")).to_be_visible()
    term = step(page, 3).locator("button.term").nth(1)
    wanted = int(re.search(r"Map (\d+)", term.inner_text())[1])
    term.click()
    assert chosen(page, 2) == wanted
    expect(step(page, 2).locator(".maps")).to_be_focused()
    assert step(page, 1).locator(".term").evaluate("one => one.tagName") == "SPAN", "the image is no map"


def test_maps_and_places_are_chosen_with_the_keyboard(page):
    explained(page, lambda: draw_at_once(page, "5", 200, 100, 250))
    choose(page, 2, 3)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert chosen(page, 2) == 12
    total = step(page, 2).locator(".output")
    total.focus()
    for key, place in (
        ("Home", "row 1, column 1"),
        ("ArrowDown", "row 2, column 1"),
        ("End", "row 10, column 10"),
    ):
        page.keyboard.press(key)
        assert place in total.get_attribute("aria-valuetext")
    before = chosen(page, 2)
    write(page, "5", 200, 100, 250)
    assert chosen(page, 2) == before, "the choice is lost with the next stroke"


def test_the_maps_that_respond_to_a_part_of_the_image_are_shown(page):
    explained(page, lambda: draw_at_once(page, "1", 200, 100, 250))
    image, words = page.locator("#image"), page.locator("#responding-words")
    anywhere = page.locator("#responding").inner_text()
    image.scroll_into_view_if_needed()
    side = image.bounding_box()["width"]
    image.hover(position={"x": 0.51 * side, "y": 0.51 * side})
    expect(words).to_contain_text("row 15, column 15")
    there = page.locator("#responding").inner_text()
    assert there != anywhere
    assert [step(page, number).locator(".ring.responds").count() for number in (1, 2, 3)] == [3, 3, 3]
    page.mouse.move(5, 5)
    assert page.locator("#responding").inner_text() == anywhere, "a hover is not a choice"
    image.click(position={"x": 0.51 * side, "y": 0.51 * side})
    page.mouse.move(5, 5)
    assert page.locator("#responding").inner_text() == there
    first = page.locator("#responding .thumb").first
    wanted = int(re.search(r"\d+", first.inner_text())[0])
    first.click()
    assert chosen(page, 1) == wanted
    page.get_by_role("button", name="Whole image").click()
    assert page.locator("#responding").inner_text() == anywhere
    image.focus()
    page.keyboard.press("ArrowLeft")
    assert "row 15, column 1" in image.get_attribute("aria-valuetext")
    page.keyboard.press("Escape")
    assert image.get_attribute("aria-valuetext") == "the whole image"
    expect(page.locator("#text")).to_have_text("1")


def test_a_filter_slides_over_its_map(page):
    explained(page, lambda: draw_at_once(page, "5", 200, 100, 250))
    total = step(page, 1).locator(".output")
    slide = step(page, 1).locator(".slide")
    before = total.get_attribute("aria-valuenow")
    slide.click()
    expect(slide).to_have_text("Stop")
    until(page, "before => document.querySelector('.output').ariaValueNow !== before", before)
    slide.click()
    expect(slide).to_have_text("Slide the filter")
    stopped = total.get_attribute("aria-valuenow")
    page.wait_for_timeout(200)
    assert total.get_attribute("aria-valuenow") == stopped


def test_what_speaks_for_a_digit_is_shown_when_it_is_chosen(page):
    answer = explained(page, lambda: draw_at_once(page, "5", 200, 100, 250))
    words = page.locator("#hidden-words")
    expect(words).to_contain_text(f"The {len(answer['hidden'])} values, for the 5")
    scores = {}
    for digit in range(10):
        page.locator("#probabilities button").nth(digit).click()
        expect(words).to_contain_text(f"for the {digit}:")
        scores[digit] = figure(words.inner_text().rpartition("score is")[2])
    assert max(scores, key=scores.get) == 5
    assert page.locator("#probabilities [aria-pressed=true] i").all_inner_texts() == ["9"]


@pytest.mark.parametrize(("scheme", "least", "most"), [("light", 180, 255), ("dark", 0, 80)])
def test_filters_are_as_bright_as_the_page(scheme, least, most, open_service, service):
    page = open_service(service, color_scheme=scheme)

    def suits() -> bool:
        return least <= np.median(pixels(page, ".filters").mean(axis=2)) <= most

    assert suits()
    page.emulate_media(color_scheme={"light": "dark", "dark": "light"}[scheme])
    until_true(page, lambda: not suits(), "the filters follow the colours of the page")


def test_the_network_of_a_run_is_explained_from_its_pooled_maps(reports, open_service):
    run = reports.pages["run"].parent
    with serving("--model", str(run)) as own:
        page = open_service(f"http://127.0.0.1:{own.port}")
        answer = explained(page, lambda: draw_at_once(page, "1", 200, 100, 250))
        assert answer["layers"][1]["inputs"] is not None
        test_of = step(page, 2)
        share = int(re.search(r"strongest response is (\d+)%", test_of.inner_text())[1]) / 100
        shown = figure(test_of.locator(".total output").inner_text())
        assert shown == pytest.approx(share * answer["layers"][1]["maximum"], rel=0.05)
        assert test_of.locator("button.term").count() == 0, "pooled maps are shown nowhere else"
