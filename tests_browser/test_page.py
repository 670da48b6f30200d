"""The page of the service: writing, pictures, inside the network, corrections, errors, accessibility."""

import io
import re
import sqlite3
from base64 import b64encode
from itertools import product

import numpy as np
import pytest
from checks import accessibility, html_errors, tab_stops
from handwriting import ADVANCE, DIGITS, SCRIBBLE, curve, draw, draw_at_once, draw_strokes, strokes_of
from PIL import Image, ImageDraw
from playwright.sync_api import expect

from serving import proxy, serving

PENS = ("Fine pen", "Medium pen", "Broad pen")
PLACES = [(120, 60, 300, "Broad pen"), (40, 330, 110, "Fine pen"), (560, 130, 170, "Medium pen")]
MIN_ACCURACY = 0.98  # over places, sizes and pens
MAX_LATENCY_MS = 1000  # from pen-up to the answer; other tests may run at the same time
PHONE = {"width": 360, "height": 740, "is_mobile": True, "has_touch": True}


@pytest.fixture(scope="session")
def service():
    with serving() as service:
        yield f"http://127.0.0.1:{service.port}"


@pytest.fixture
def open_service(browser):
    """Return a function that opens a service's page in a new window; no page may log errors of its own."""
    contexts, errors = [], []

    def listen(message):
        # Chromium logs every refused request; the page shows those to the user.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            errors.append(message.text)

    def open_service(address, width=1280, height=800, **options):
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, **options))
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", listen)
        page.goto(address)
        page.wait_for_selector(".layer")
        return page

    expect.set_options(timeout=30_000)
    yield open_service
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def page(open_service, service):
    return open_service(service)


def read(page):
    """Return the reading of everything that is drawn."""
    page.wait_for_selector("#text[aria-busy=false]")
    return page.locator("#text").inner_text()


def write(page, text, left=100, top=100, height=200):
    """Draw a number and see that it is read."""
    draw_at_once(page, text, left, top, height)
    assert read(page) == text


def tap(page, x, y):
    paper = page.locator("#paper").bounding_box()
    page.mouse.click(paper["x"] + x, paper["y"] + y)


def until(page, condition, arg=None):
    """Wait for a condition in JavaScript; Playwright's own function needs `eval`, which the page forbids."""
    for _ in range(600):
        if page.evaluate(condition, arg):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"still false: {condition}")


def boxes(page):
    """Return the labels of the boxes, in reading order."""
    return page.locator("#overlay b").all_inner_texts()


def clear(page):
    page.locator("#clear").click()
    expect(page.locator("#text")).to_have_text("Blank")


def picture_of(text, height=120):
    """Return a PNG of a number, dark on light."""
    strokes = list(strokes_of(text, 50, 40, height))
    width = round(100 + len(text) * ADVANCE * height)
    image = Image.new("L", (width, height + 80), 240)
    for stroke in strokes:
        ImageDraw.Draw(image).line([tuple(point) for point in stroke], fill=40, width=9, joint="curve")
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


FILE = """([base64, type]) => {
    const bytes = Uint8Array.from(atob(base64), letter => letter.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], "picture", {type}));
    return transfer;
}"""


def drop(page, content, kind="image/png"):
    transfer = page.evaluate_handle(FILE, [b64encode(content).decode(), kind])
    page.dispatch_event("#stage", "dragover", {"dataTransfer": transfer})
    page.dispatch_event("#stage", "drop", {"dataTransfer": transfer})


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


# Inside

HAS_ORANGE = """() => {
    const canvas = document.querySelector("#saliency");
    const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < data.length; i += 4) if (data[i] > data[i + 2] + 60) return true;
    return false;
}"""


def colours(page, selector):
    """Return the number of colours of a canvas."""
    return page.locator(selector).evaluate(
        """canvas => {
            const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            return new Set(new Uint32Array(data.buffer)).size;
        }"""
    )


def test_the_inside_of_the_network_is_shown_for_the_selected_digit(page):
    assert colours(page, "#image") == 1
    draw_at_once(page, "5", 200, 100, 250)
    page.wait_for_selector("#probabilities .best")
    expect(page.locator("#probabilities .best i")).to_have_text("5")
    assert page.locator("#probabilities li").count() == 10
    assert colours(page, "#image") > 10
    assert page.locator(".layer").count() >= 2
    for layer in page.locator(".layer").all():
        assert re.search(r"\b(1\d|[2-9]\d*) maps of \d+×\d+", layer.inner_text())
    assert page.locator(".maps").first.evaluate("maps => maps.width > 50")
    until(page, HAS_ORANGE)  # over the strokes, when the pen rests


def test_the_map_under_the_pointer_is_enlarged_and_explained(page):
    draw_at_once(page, "5", 200, 100, 250)
    expect(page.locator(".layer").nth(1)).to_contain_text("maps of")
    expect(page.locator("#loupe")).to_be_hidden()
    maps = page.locator(".maps").nth(1)
    maps.scroll_into_view_if_needed()
    maps.hover(position={"x": 3, "y": 3})
    expect(page.locator("#loupe")).to_contain_text("Convolution 2, map 1 of")
    expect(page.locator("#loupe-words")).to_contain_text("10×10 values")
    page.mouse.move(5, 5)
    expect(page.locator("#loupe")).to_be_hidden()
    page.locator(".maps").first.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#loupe")).to_contain_text("Convolution 2, map 2 of")
    assert maps.get_attribute("aria-valuenow") == "2"
    page.keyboard.press("Escape")
    expect(page.locator("#loupe")).to_be_hidden()
    assert read(page) == "5", "Escape closed the loupe alone"


# Pictures


def test_a_dropped_picture_is_read_and_gets_boxes(page):
    drop(page, picture_of("4721"))
    expect(page.locator("#text")).to_have_text("4721")
    expect(page.locator("#picture")).to_be_visible()
    assert boxes(page) == list("4721")
    shown = page.locator("#picture").bounding_box()
    for box in page.locator("#overlay .box").all():
        place = box.bounding_box()
        assert shown["x"] <= place["x"] < place["x"] + place["width"] <= shown["x"] + shown["width"]
    page.get_by_role("button", name="Back to drawing").click()
    expect(page.locator("#picture")).to_be_hidden()
    assert page.locator("#text").inner_text() == "Blank"


def test_a_pasted_picture_is_read_and_the_drawing_comes_back(page):
    write(page, "8", 200, 100, 200)
    page.evaluate(
        f"""content => document.dispatchEvent(
            new ClipboardEvent("paste", {{clipboardData: ({FILE})(content), bubbles: true}}))""",
        [b64encode(picture_of("305")).decode(), "image/png"],
    )
    expect(page.locator("#text")).to_have_text("305")
    page.keyboard.press("Escape")
    expect(page.locator("#text")).to_have_text("8")


def test_a_reading_is_copied_as_text_and_as_csv(open_service, service):
    page = open_service(service, permissions=["clipboard-read", "clipboard-write"])
    file = {"name": "number.png", "mimeType": "image/png", "buffer": picture_of("62")}
    page.locator("#choose input").set_input_files(file)
    expect(page.locator("#text")).to_have_text("62")
    page.get_by_role("button", name="Copy as text").click()
    expect(page.locator("#copied")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == "62"
    page.get_by_role("button", name="Copy as CSV").click()
    until(page, "async () => (await navigator.clipboard.readText()).includes(',')")
    head, row = page.evaluate("navigator.clipboard.readText()").splitlines()
    assert head == "line,text,confidence,x,y,width,height"
    assert re.fullmatch(r"1,62,[01]\.\d{4},\d+,\d+,\d+,\d+", row)


def test_a_file_that_is_no_picture_is_refused_and_the_drawing_stays(page):
    write(page, "8", 200, 100, 200)
    drop(page, b"this is no picture", "text/plain")
    expect(page.locator("#notice")).to_contain_text("expected PNG")
    expect(page.locator("#text")).to_have_text("8")
    expect(page.locator("#notice")).to_be_visible()  # though the drawing has been read again
    expect(page.locator("#paper")).to_be_visible()


def test_a_picture_beyond_the_limits_is_reduced(open_service):
    with serving("--body-bytes", "100000") as small:
        page = open_service(f"http://127.0.0.1:{small.port}")
        noise = np.random.default_rng(0).integers(0, 12, (560, 1200), dtype=np.uint8)
        number = Image.open(io.BytesIO(picture_of("4721", 240))).resize((1200, 560))
        stream = io.BytesIO()
        Image.fromarray(np.asarray(number) - noise).save(stream, "PNG")
        assert len(stream.getvalue()) > 200_000
        drop(page, stream.getvalue())
        expect(page.locator("#text")).to_have_text("4721")


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
    expect(page.get_by_role("switch")).to_be_hidden()
    expect(page.locator("#not-keeping")).to_be_visible()


def test_visitors_see_no_options_of_the_command_line(page):
    texts = page.locator("body").evaluate("one => one.textContent")
    assert re.findall(r"(?<!\S)--[a-z]+", texts) == []


# Numbers


CHARACTERS = "0123456789.,-/:+%"


def character(text, x, y=60, certainty=0.98):
    """Return a character as the service describes it."""
    width, top, height = (6, y + 34, 6) if text in ".," else (20, y, 40)
    box = {"x": x, "y": top, "width": width, "height": height}
    probabilities = [certainty if each == text else (1 - certainty) / 16 for each in CHARACTERS]
    image = b64encode(bytes(784)).decode()
    answer = {"text": text, "box": box, "probabilities": probabilities, "is_character": 1.0}
    return {**answer, "confidence": certainty, "image": image}


def number(text, x, confidence=0.97, alternatives=(), y=60):
    characters = [character(each, x + 26 * place, y) for place, each in enumerate(text)]
    box = {"x": x, "y": y, "width": 26 * len(text) - 6, "height": 40}
    return {
        "digits": [],
        "text": text,
        "value": None,
        "confidence": confidence,
        "sure": confidence >= 0.9,
        "box": box,
        "row": 1,
        "column": 1,
        "alternatives": [{"text": each, "probability": p} for each, p in alternatives],
        "characters": characters,
    }


def speck(x, reason):
    return {"x": x, "y": 60, "width": 20, "height": 40, "reason": reason, "text": None, "confidence": None}


GUESS = {"digit": 7, "probabilities": [0.0] * 7 + [1.0, 0.0, 0.0], "is_digit": 0.3, "confidence": 0.3}
WORD = {
    **speck(400, "part of a word"),
    "guess": {
        **GUESS,
        "box": {"x": 400, "y": 60, "width": 20, "height": 40},
        "image": b64encode(bytes(784)).decode(),
    },
}
ANSWER = {
    "format": 1,
    "text": "13.50 1,234\n-5",
    "width": 600,
    "height": 400,
    "pages": 1,
    "blank": False,
    "seconds": 0.1,
    "rotation": 0,
    "notes": ["1,234 may be 1234 or 1.234"],
    "lines": [
        {"numbers": [number("13.50", 20, 0.6, [("18.50", 0.3), ("1350", 0.001)]), number("1,234", 200)]},
        {"numbers": [number("-5", 20, y=200)]},
    ],
    "rejected": [WORD, speck(450, "too small")],
}  # of a reader that finds separators


def read_as(page, answer):
    """Let the page read any drawing as an answer."""
    page.route("**/v1/read*", lambda route: route.fulfill(status=200, json=answer))
    draw_at_once(page, "1", 600, 300, 60)
    page.wait_for_selector("#text[aria-busy=false]")


def test_separators_and_uncertain_numbers_are_shown_as_text(page):
    read_as(page, ANSWER)
    assert page.locator("#text").inner_text() == "13.50 1,234\n-5"
    marked = "one => getComputedStyle(one, '::after').content"
    assert page.locator("#text span").evaluate_all(f"all => all.map({marked})") == ['"?"', "none", "none"]
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


def rejected(text, x, y=60):
    """Return a rejected mark that resembles a digit, as the service describes it."""
    box, image = (character(text, x, y)[key] for key in ("box", "image"))
    probabilities = [float(each == text) for each in "0123456789"]
    guess = {"digit": int(text), "probabilities": probabilities, "is_digit": 0.3, "confidence": 0.3}
    reason = {"reason": "probably not a digit", "text": text, "confidence": 0.3}
    return {**box, **reason, "guess": {**guess, "box": box, "image": image}}


def test_a_rejected_mark_can_be_corrected_into_a_digit(open_service, keeping, database):
    page = open_service(keeping)
    lines = [{"numbers": [number("4", 20), number("7", 72)]}]
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
    lines = [{"numbers": [number("7", 20, y=200)]}]
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
    page.get_by_label("Is the number 47 wrong?").press("9")
    assert page.locator("#text").inner_text() == "47"


@pytest.mark.parametrize(("rotation", "turned"), [(0, False), (90, True), (180, False), (270, True)])
def test_a_picture_that_the_service_turned_is_shown_turned(page, rotation, turned):
    lines = [{"numbers": [number("12", 20)]}]
    answer = {**ANSWER, "lines": lines, "rotation": rotation, "width": 302, "height": 200}
    page.route("**/v1/read*", lambda route: route.fulfill(status=200, json=answer))
    stream = io.BytesIO()
    Image.new("L", (302, 200), 255).save(stream, "PNG")
    drop(page, stream.getvalue())
    expect(page.locator("#text")).to_have_text("12")
    size = page.locator("#picture").evaluate("one => [one.naturalWidth, one.naturalHeight]")
    assert size == ([200, 302] if turned else [302, 200])
    shown = page.locator("#picture").bounding_box()
    scale = min(shown["width"] / size[0], shown["height"] / size[1])
    assert float(page.locator("#overlay").get_attribute("data-scale")) == pytest.approx(scale)


def test_pages_of_a_file_are_turned(page):
    pages = [Image.open(io.BytesIO(picture_of(text))) for text in ("47", "21", "3")]
    stream = io.BytesIO()
    pages[0].save(stream, "TIFF", save_all=True, append_images=pages[1:])
    drop(page, stream.getvalue(), "image/tiff")
    text, where = page.locator("#text"), page.locator("#page-number")
    previous, following = (page.get_by_role("button", name=name) for name in ("Previous page", "Next page"))
    expect(text).to_have_text("47")
    expect(where).to_have_text("Page 1 of 3")
    expect(previous).to_be_disabled()
    for expected in ("21", "3"):
        following.click()
        expect(text).to_have_text(expected)
    expect(where).to_have_text("Page 3 of 3")
    expect(following).to_be_disabled()
    expect(previous).to_be_focused()
    assert boxes(page) == ["3"]
    previous.click()
    expect(text).to_have_text("21")
    assert accessibility(page)[0] == []
    drop(page, picture_of("47"))
    expect(text).to_have_text("47")
    expect(where).to_be_hidden()


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
    reached = set()
    for element in tab_stops(page):
        reached.add(element.evaluate("element => element.id || element.name || element.textContent.trim()"))
        assert element.evaluate(
            """element => [element, element.closest("label, .stage")].some(
                one => one && getComputedStyle(one).outlineStyle !== "none")"""
        ), f"no outline: {element.evaluate('element => element.outerHTML')}"
    assert reached >= {"paper", "undo", "clear", "pen", "copy-text", "copy-csv", "not a digit", "See inside"}
    assert page.locator(".card").count() == 2
    assert sum("%" in name for name in reached) == 3, "not the number and every card are reached"
    assert "number-field" in reached


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_the_page_is_accessible(open_service, service, width, scheme):
    page = open_service(service, width, color_scheme=scheme, reduced_motion="reduce")
    blank, _ = accessibility(page)
    write(page, "47", 60, 60, 120)
    page.wait_for_selector("#probabilities .best")
    written, _ = accessibility(page)
    assert blank == []
    assert written == []


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
