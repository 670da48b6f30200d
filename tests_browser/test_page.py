"""The page of the service: writing, layout, errors, touch, keyboard, accessibility."""

import re
from itertools import product

import numpy as np
import pytest
from checks import accessibility, html_errors, tab_stops
from handwriting import ADVANCE, DIGITS, SCRIBBLE, curve, draw, draw_at_once, draw_strokes, strokes_of
from playwright.sync_api import expect
from steps import (
    ANSWER,
    HAS_ORANGE,
    PHONE,
    boxes,
    clear,
    drop,
    number_of,
    open_corrections,
    picture_of,
    read,
    read_as,
    rejected,
    tap,
    until,
    until_true,
    words,
    write,
)

from serving import proxy, serving

PENS = ("Fine pen", "Medium pen", "Broad pen")
PLACES = [(120, 60, 300, "Broad pen"), (40, 330, 110, "Fine pen"), (560, 130, 170, "Medium pen")]
MIN_ACCURACY = 0.98  # over places, sizes and pens
MAX_LATENCY_MS = 1000  # from pen-up to the answer; other tests may run at the same time


# Writing


@pytest.mark.parametrize("digit", DIGITS)
def test_a_digit_is_read_at_any_place_size_and_pen_width(page, digit):
    for left, top, height, pen in PLACES:
        page.get_by_label(pen).check()
        draw_at_once(page, digit, left, top, height)
        assert read(page) == digit, (left, top, height, pen)
        assert boxes(page) == [digit]
        clear(page)


def test_place_size_and_pen_do_not_change_the_reading(page):
    paper = page.locator("#paper").bounding_box()
    answers = []
    for pen, height, across, down in product(PENS, (70, 140, 240), (0, 0.5, 1), (0, 0.5, 1)):
        page.get_by_label(pen).check()
        left = 20 + across * (paper["width"] - 40 - 0.7 * height)
        draw_at_once(page, "3", left, 20 + down * (paper["height"] - 40 - height), height)
        answers.append(read(page))
        clear(page)
    assert len(answers) == 81
    assert answers.count("3") >= MIN_ACCURACY * len(answers), answers


def test_a_number_is_read_while_the_pen_moves(page):
    draw(page, "4", 100, 100, 200)
    assert read(page) == "4"
    seven = curve(DIGITS["7"][0]) * 200 + np.array([300, 100])
    paper = page.locator("#paper").bounding_box()
    page.mouse.move(paper["x"] + seven[0, 0], paper["y"] + seven[0, 1])
    page.mouse.down()
    for x, y in seven[1:]:
        page.mouse.move(paper["x"] + x, paper["y"] + y)
    expect(page.locator("#text")).to_have_text("47")
    page.mouse.up()
    assert read(page) == "47"
    assert boxes(page) == ["4", "7"]
    assert page.locator(".card").count() == 2
    first = page.locator(".card").first.locator(".bar").all_inner_texts()
    assert [len(first), first[0][0]] == [3, "4"]


def test_boxes_surround_the_digits(page):
    write(page, "47")
    page.wait_for_timeout(200)  # while boxes move
    paper = page.locator("#paper").bounding_box()
    for number, digit in enumerate("47"):
        strokes = np.concatenate(list(strokes_of(digit, 100 + number * ADVANCE * 200, 100, 200)))
        box = page.locator("#overlay .box").nth(number).bounding_box()
        corners = np.array([box["x"] - paper["x"], box["y"] - paper["y"]])
        size = np.array([box["width"], box["height"]])
        assert np.abs(corners - strokes.min(axis=0)).max() < 20
        assert np.abs(corners + size - strokes.max(axis=0)).max() < 20


def test_a_blank_paper_sends_no_request(page):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    assert page.locator("#text").inner_text() == "Blank"
    expect(page.locator("#invitation")).to_be_visible()
    assert page.locator("#clear").is_disabled()
    page.locator("#paper").focus()
    page.keyboard.press("Escape")
    assert page.locator("#text").inner_text() == "Blank"
    assert asked == []


def test_a_scribble_is_no_digit(page):
    draw_strokes(page, [SCRIBBLE * 220 + np.array([300, 150])])
    assert read(page) == "Not a digit"
    assert not {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"} & set(boxes(page))
    refused = re.compile("recognises no digit|is not a digit|are not digits")
    expect(page.locator("#remark")).to_contain_text(refused)


def test_undo_removes_one_stroke_and_restores_a_cleared_paper(page):
    write(page, "47")
    page.locator("#undo").click()
    assert read(page) == "4"
    page.locator("#clear").click()
    assert read(page) == "Blank"
    page.keyboard.press("Control+z")
    assert read(page) == "4"
    for _ in range(2):  # the strokes of a 4
        page.keyboard.press("Control+z")
    assert read(page) == "Blank"
    assert page.locator("#undo").is_disabled()


def test_strokes_look_the_same_after_a_redraw(page):
    draw_strokes(page, [SCRIBBLE * 220 + np.array([100, 100])])
    look = "document.querySelector('#paper').toDataURL()"
    before = page.evaluate(look)
    draw_at_once(page, "1", 500, 100, 200)
    assert page.evaluate(look) != before
    page.locator("#undo").click()
    assert page.evaluate(look) == before


@pytest.mark.parametrize(("x", "y"), [(-20, 0.5), (0.5, -20), (1.05, 0.5), (0.5, 1.05)])
def test_a_stroke_that_begins_beside_the_paper_draws_and_selects_nothing(x, y, page):
    paper = page.locator("#paper").bounding_box()
    place = lambda value, length: value if value < 0 else value * length  # noqa: E731
    begin = (
        paper["x"] + min(place(x, paper["width"]), paper["width"] + 20),
        paper["y"] + min(place(y, paper["height"]), paper["height"] + 6),
    )
    middle = (paper["x"] + paper["width"] / 2, paper["y"] + paper["height"] / 2)
    page.mouse.move(*begin)
    page.mouse.down()
    page.mouse.move(*middle, steps=20)
    page.mouse.up()
    assert page.evaluate("getSelection().toString()") == ""
    expect(page.locator("#undo")).to_be_enabled()
    page.locator("#undo").click()
    expect(page.locator("#text")).to_have_text("Blank")
    page.mouse.click(*begin)
    assert page.locator("#undo").is_disabled(), "a click beside the paper drew a dot"


def test_text_far_from_the_paper_can_be_selected_without_drawing(page):
    heading = page.locator("#reading-title")
    heading.scroll_into_view_if_needed()
    box = heading.bounding_box()
    paper = page.locator("#paper").bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(paper["x"] + 100, paper["y"] + 100, steps=20)
    page.mouse.up()
    assert page.locator("#undo").is_disabled()
    assert page.evaluate("getSelection().toString()") != ""


def test_a_tap_on_a_digit_selects_it_and_draws_no_dot(page):
    write(page, "47")
    assert page.locator(".card[aria-pressed=true] b").all_inner_texts() == ["7"]
    tap(page, 130, 240)
    assert page.locator(".card[aria-pressed=true] b").all_inner_texts() == ["4"]
    page.locator("#undo").click()
    assert read(page) == "4", "the tap drew a dot"


def test_one_request_at_a_time_and_the_last_drawing_is_read(page):
    under_way, most, count = set(), [0], [0]

    def slowly(route):
        under_way.add(route)
        most[0], count[0] = max(most[0], len(under_way)), count[0] + 1
        page.wait_for_timeout(150)
        under_way.discard(route)
        route.continue_()

    page.route("**/v1/read*", slowly)
    for number in range(4):
        draw_at_once(page, "1", 60 + 160 * number, 100, 200)
    assert read(page).replace(" ", "") == "1111"
    assert most[0] == 1
    assert count[0] <= 4


def test_the_answer_comes_soon_after_pen_up(page):
    for number in range(5):
        draw_at_once(page, "1", 60 + 130 * number, 100, 150)
        until(page, "count => performance.getEntriesByName('pen-up to answer').length === count", number + 1)
    durations = page.evaluate("performance.getEntriesByName('pen-up to answer').map(one => one.duration)")
    assert 0 < np.median(durations) < MAX_LATENCY_MS


def test_nothing_is_explained_between_pen_up_and_its_answer(page):
    explanations, readings, asked = [], [], []
    one, seven = strokes_of("17", 100, 100, 200)
    page.route("**/v1/explain*", lambda route: explanations.insert(0, route))
    draw_strokes(page, [one])
    until_true(page, lambda: explanations, "the 1 is being explained")
    paper = page.locator("#paper").bounding_box()
    for x, y in seven:
        page.mouse.move(paper["x"] + x, paper["y"] + y)
        page.mouse.down()
    expect(page.locator("#text")).to_have_text("17")  # the 7 waits to be explained
    page.route("**/v1/read*", lambda route: readings.insert(0, route))
    page.mouse.up()
    until_true(page, lambda: readings, "the finished 7 is being read")
    page.unroute("**/v1/explain*")
    page.on("request", lambda request: asked.append(request.url))
    with page.expect_response("**/v1/explain*"):
        explanations.pop().continue_()
    page.wait_for_timeout(300)
    assert not asked
    with page.expect_request("**/v1/explain*"):
        readings.pop().continue_()
    assert read(page) == "17"


# Layout


def places(page):
    """Return where the parts of the page are."""
    parts = ("#stage", ".tools", ".reading", "#remark", "#numbers", "#cards", "#inside")
    return {part: page.locator(part).bounding_box() for part in parts}


@pytest.mark.parametrize("width", [1280, 768, 360])
def test_nothing_moves_while_one_writes(width, open_service, service):
    page = open_service(service, width)
    before = places(page)
    for text, top in (("4", 20), ("7", 90), ("26", 160)):
        draw_at_once(page, text, 30 if top != 90 else 100, top, 60)
        page.wait_for_selector("#text[aria-busy=false]")
        now = places(page)
        for part in ("#stage", ".tools", ".reading", "#remark"):
            assert now[part] == before[part], part
        for part in ("#numbers", "#cards", "#inside"):
            assert now[part]["y"] == before[part]["y"], part


HIDES = """() => [...document.querySelectorAll(".reading *")].filter(one => one.checkVisibility()
    && !one.matches(".unseen, h2, .track, .track *, svg, svg *, input")
    && (one.scrollHeight > one.clientHeight + 2 || one.scrollWidth > one.clientWidth + 2)
    && getComputedStyle(one).overflow !== "visible").map(one => one.outerHTML.slice(0, 80))"""
SPILLS = """() => {
    const panel = document.querySelector(".reading").getBoundingClientRect();
    const parts = document.querySelectorAll(".reading .line span, .reading .card, .reading .number");
    return [...parts].filter(one => {
        const {left, right, bottom} = one.getBoundingClientRect();
        return left < panel.left || right > panel.right || bottom > panel.bottom;
    }).map(one => one.textContent);
}"""
LONG = {
    "one number of 40 digits": [["1234567890" * 4]],
    "many rows": [[str(100 + row)] for row in range(40)],
    "many numbers in a row": [[str(number) for number in range(70, 90)]],
}


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("case", LONG)
def test_the_whole_answer_is_visible(case, width, open_service, service):
    page = open_service(service, width)
    rows = [
        [number_of(text, 10 + 60 * place, y=9 * row) for place, text in enumerate(texts)]
        for row, texts in enumerate(LONG[case])
    ]
    read_as(page, {**ANSWER, "lines": [{"numbers": each} for each in rows], "notes": [], "rejected": []})
    text = page.locator("#text").inner_text()
    assert text == "\n".join(" ".join(texts) for texts in LONG[case])
    assert page.evaluate(HIDES) == []
    assert page.evaluate(SPILLS) == []
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    more = page.locator("#more-numbers")
    if sum(map(len, LONG[case])) > 12:
        shown = page.locator("#numbers li").count()
        assert shown >= 12
        if more.is_visible():
            more.click()
        assert page.locator("#numbers li").count() == sum(map(len, LONG[case]))


def test_a_new_line_looks_unlike_a_space(page):
    lines = [
        {"numbers": [number_of("12", 20), number_of("34", 120)]},
        {"numbers": [number_of("56", 20, y=200)]},
    ]
    read_as(page, {**ANSWER, "lines": lines, "notes": [], "rejected": []})
    tops = page.locator(".line").evaluate_all("all => all.map(one => one.getBoundingClientRect().top)")
    assert tops[0] < tops[1]
    marked = "one => getComputedStyle(one, '::before').content"
    assert page.locator(".line").evaluate_all(f"all => all.map({marked})") == ["counter(line)"] * 2
    read_as(page, {**ANSWER, "lines": lines[:1], "notes": [], "rejected": []})
    expect(page.locator(".line")).to_have_count(1)
    assert page.locator(".line").evaluate(marked) == "none", "a single line is numbered"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_labels_stay_on_the_paper_and_do_not_overlap(scheme, open_service, service):
    page = open_service(service, 1280, color_scheme=scheme)
    marks = [rejected("3", x, y) for x, y in ((570, 40), (520, 40), (575, 200), (10, 200))]
    read_as(page, {**ANSWER, "lines": [{"numbers": [number_of("123", 480, y=120)]}], "rejected": marks})
    stage = page.locator("#stage").bounding_box()
    labels = [one.bounding_box() for one in page.locator("#overlay .box:not(.mute) b:not(:empty)").all()]
    assert len(labels) >= 4
    for place, one in enumerate(labels):
        assert stage["x"] <= one["x"]
        assert one["x"] + one["width"] <= stage["x"] + stage["width"]
        for other in labels[:place]:
            apart = one["x"] >= other["x"] + other["width"] or other["x"] >= one["x"] + one["width"]
            assert apart or one["y"] >= other["y"] + other["height"] or other["y"] >= one["y"] + one["height"]


# Errors


def test_a_busy_service_is_retried(page):
    refusals = iter(range(2))

    def answer(route):
        if next(refusals, None) is None:
            route.continue_()
        else:
            route.fulfill(status=503, json={"error": "too many requests at once"})

    page.route("**/v1/read*", answer)
    draw_at_once(page, "8", 200, 100, 200)
    expect(page.locator("#notice")).to_have_text("Too many requests at once.")
    assert read(page) == "8"
    expect(page.locator("#notice")).to_be_hidden()


SPEAKS = "() => !document.querySelector('#notice').hidden"
ACTIONS = {
    "a stroke": lambda page: draw_at_once(page, "1", 500, 100, 200),
    "undo": lambda page: page.locator("#undo").click(),
    "clear": lambda page: page.locator("#clear").click(),
    "Escape": lambda page: page.keyboard.press("Escape"),
    "a picture": lambda page: drop(page, picture_of("47")),
}


@pytest.mark.parametrize("action", ACTIONS)
def test_a_notice_goes_away_when_the_user_does_something_else(action, page):
    write(page, "8", 200, 100, 200)
    drop(page, b"this is no picture", "text/plain")
    until(page, SPEAKS)
    ACTIONS[action](page)
    expect(page.locator("#notice")).to_be_hidden()


def test_the_notice_of_a_missing_service_goes_away_with_the_drawing(page):
    page.route("**/v1/read*", lambda route: route.abort())
    draw_at_once(page, "8", 200, 100, 200)
    until(page, SPEAKS)
    page.locator("#clear").click()
    page.wait_for_timeout(1500)  # until it would have been tried again
    expect(page.locator("#notice")).to_be_hidden()


def test_a_missing_service_is_reported_and_retried(page):
    page.route("**/v1/read*", lambda route: route.abort())
    draw_at_once(page, "8", 200, 100, 200)
    expect(page.locator("#notice")).to_contain_text("does not answer")
    page.unroute("**/v1/read*")
    expect(page.locator("#text")).to_have_text("8")
    expect(page.locator("#notice")).to_be_hidden()


@pytest.mark.parametrize("removes_path", [True, False])
def test_the_page_and_the_documentation_work_below_a_path(removes_path, open_service):
    options = () if removes_path else ("--root-path", "/tools/digits")
    with (
        serving(*options) as service,
        proxy(service.port, "/tools/digits", removes_path=removes_path) as below,
    ):
        page = open_service(below)
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        write(page, "47")
        until(page, HAS_ORANGE)  # in the section "Inside the network"
        page.get_by_role("link", name="API").click()
        expect(page.locator("#state")).to_contain_text("operations")
        assert f"'{below}v1/read'" in page.locator("details pre").first.text_content()
        page.get_by_role("link", name="Back to the page").click()
        page.wait_for_selector(".layer")
        assert [address for address in asked if not address.startswith((below, "data:", "blob:"))] == []


def test_a_token_is_asked_for_once(browser):
    with serving("--token", "open-sesame") as closed:
        context = browser.new_context()
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto(f"http://127.0.0.1:{closed.port}")
        dialog = page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        page.keyboard.type("open-barley")
        page.keyboard.press("Enter")
        expect(page.locator("#token-words")).to_contain_text("did not accept")
        page.keyboard.type("open-sesame")
        page.keyboard.press("Enter")
        expect(dialog).to_be_hidden()
        page.wait_for_selector(".layer")
        draw_at_once(page, "8", 200, 100, 200)
        expect(page.locator("#text")).to_have_text("8")
        page.reload()
        page.wait_for_selector(".layer")
        expect(dialog).to_be_hidden()
        context.close()


# Touch, keyboard, accessibility


def test_a_finger_draws_on_a_phone_and_does_not_scroll(open_service, service):
    page = open_service(service, **PHONE)
    paper = page.locator("#paper").bounding_box()
    touch = page.context.new_cdp_session(page)
    for stroke in strokes_of("7", 80, 60, 220):
        for number, (x, y) in enumerate(stroke):
            kind = "touchMove" if number else "touchStart"
            points = [{"x": paper["x"] + x, "y": paper["y"] + y}]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert read(page) == "7"
    assert page.evaluate("scrollY") == 0
    widest, window = page.evaluate("[document.scrollingElement.scrollWidth, innerWidth]")
    assert widest <= window == 360
    text = page.locator("#text").bounding_box()
    assert text["y"] + text["height"] < 740, "the reading is not in view"


def test_the_keyboard_alone_draws_reads_and_clears(page):
    while page.evaluate("document.activeElement.id") != "paper":
        page.keyboard.press("Tab")
    page.keyboard.press(" ")
    for key, steps in (("ArrowRight", 14), ("ArrowDown", 24)):
        for _ in range(steps):
            page.keyboard.press(key)
    page.keyboard.press(" ")
    assert read(page) == "7"
    expect(page.locator("#said")).to_contain_text("Read: 7. 7,")
    page.keyboard.press("Control+z")
    assert read(page) == "Blank"
    page.keyboard.press("Control+z")
    assert page.locator("#undo").is_disabled()


@pytest.mark.parametrize("width", [1280, 360])
def test_the_keyboard_reaches_every_control_and_shows_the_focus(open_service, service, width):
    page = open_service(service, width)
    write(page, "47", 60, 60, 120)
    page.locator("#correction").evaluate("one => (one.open = true)")  # a click would move the focus
    reached = set()
    for element in tab_stops(page):
        reached.add(element.evaluate("element => element.id || element.name || element.textContent.trim()"))
        assert element.evaluate(
            """element => [element, element.closest("label, .stage")].some(
                one => one && getComputedStyle(one).outlineStyle !== "none")"""
        ), f"no outline: {element.evaluate('element => element.outerHTML')}"
    assert reached >= {"paper", "undo", "clear", "pen", "copy-text", "copy-csv", "not a digit", "See inside"}
    assert page.locator(".card").count() == 2
    assert page.locator("#numbers button, .card").evaluate_all("all => all.every(one => one.tabIndex === 0)")
    assert {"image", "whole-image"} & reached == {"image"}, "a button that does nothing is reached"
    assert "number-field" in reached


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_the_page_is_accessible(open_service, service, width, scheme):
    page = open_service(service, width, color_scheme=scheme, reduced_motion="reduce")
    blank, _ = accessibility(page)
    write(page, "47", 60, 60, 120)
    page.wait_for_selector("#probabilities .best")
    open_corrections(page)
    written, _ = accessibility(page)
    drop(page, words())
    expect(page.locator("#help")).to_be_visible()
    unread, _ = accessibility(page)
    page.locator("#crop-open").click()
    cropping, _ = accessibility(page)
    assert (blank, written, unread, cropping) == ([], [], [], [])


def test_the_html_is_valid_before_and_after_its_script(page, service, tmp_path):
    write(page, "47")
    (tmp_path / "after.html").write_text(page.content(), "utf-8")
    sent = page.context.request.get(service).text()
    (tmp_path / "before.html").write_text(sent, "utf-8")
    assert html_errors(*tmp_path.iterdir()) == []


def test_nothing_is_loaded_from_other_hosts(open_service, service):
    page = open_service(service)
    hosts = page.evaluate("performance.getEntriesByType('resource').map(one => new URL(one.name).origin)")
    assert set(hosts) == {service}
