"""Pictures on the page: opened, turned, cropped, read page by page, and not read."""

import io
import re
from base64 import b64encode
from functools import partial

import numpy as np
import pytest
from checks import accessibility
from PIL import Image
from playwright.sync_api import expect
from steps import (
    ANSWER,
    FILE,
    boxes,
    drop,
    number_of,
    picture_of,
    read_as,
    rejected,
    until,
    words,
    write,
)

from serving import serving


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


@pytest.mark.parametrize(("rotation", "turned"), [(0, False), (90, True), (180, False), (270, True)])
def test_a_picture_that_the_service_turned_is_shown_turned(page, rotation, turned):
    lines = [{"numbers": [number_of("12", 20)]}]
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


# Not read


def even(grey):
    stream = io.BytesIO()
    Image.new("L", (200, 100), grey).save(stream, "PNG")
    return stream.getvalue()


UNREAD = {
    "words": (words, r"No character was found in this picture of 500×300 pixels|mark.* found"),
    "too dark": (partial(even, 20), "shows nothing: it is equally bright"),
    "white": (partial(even, 255), "shows nothing: it is equally bright"),
}


@pytest.mark.parametrize("case", UNREAD)
def test_a_picture_that_is_not_read_says_why_and_what_may_help(case, page):
    made, reason = UNREAD[case]
    drop(page, made())
    expect(page.locator("#text")).to_have_text("No number")
    expect(page.locator("#remark")).to_contain_text(re.compile(reason))
    expect(page.locator("#tips")).to_contain_text("more light")
    expect(page.get_by_role("button", name="Crop the picture")).to_be_visible()
    expect(page.get_by_role("button", name="Turn it")).to_be_visible()
    drop(page, picture_of("47"))
    expect(page.locator("#text")).to_have_text("47")
    expect(page.locator("#help")).to_be_hidden()


def test_the_reasons_of_the_reader_are_counted(page):
    marks = [{**rejected("3", 26 * place), "reason": reason} for place, reason in enumerate("aab")]
    read_as(page, {**ANSWER, "lines": [], "rejected": marks, "notes": []})
    drop(page, picture_of("47"))
    expect(page.locator("#remark")).to_contain_text("3 marks were found")
    expect(page.locator("#remark")).to_contain_text("a (2), b (1)")


READINGS = """count => performance.getEntriesByType("resource")
    .filter(({name}) => name.includes("/v1/read")).length > count"""


def test_a_picture_is_turned_until_it_is_read_as_the_user_wants(page):
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "/v1/read" in request.url else None)
    drop(page, picture_of("47"))
    expect(page.locator("#text")).to_have_text("47")
    size = "one => [one.naturalWidth, one.naturalHeight]"
    before = page.locator("#picture").evaluate(size)
    for number in range(1, 5):
        page.get_by_role("button", name="Turn", exact=True).click()
        until(page, READINGS, number)
        page.wait_for_selector("#text[aria-busy=false]")
        now = page.locator("#picture").evaluate(size)
        assert now == (before[::-1] if number % 2 else before)
        assert "upright=true" in asked[-1], "the service turns it back"
    expect(page.locator("#text")).to_have_text("47")
    page.get_by_role("button", name="Whole picture").click()
    until(page, READINGS, 5)
    expect(page.locator("#text")).to_have_text("47")
    assert "upright=true" not in asked[-1]
    expect(page.get_by_role("button", name="Whole picture")).to_be_hidden()


@pytest.mark.parametrize("how", ["pointer", "keyboard"])
def test_a_picture_is_cropped(how, page):
    drop(page, picture_of("4721"))
    expect(page.locator("#text")).to_have_text("4721")
    page.get_by_role("button", name="Crop", exact=True).click()
    expect(page.locator("#crop-box")).to_be_focused()
    expect(page.locator("#overlay")).to_be_hidden()
    shown, stage = (page.locator(one).bounding_box() for one in ("#crop-box", "#stage"))
    middle = shown["x"] + 0.5 * shown["width"]
    if how == "pointer":
        page.mouse.move(shown["x"] + 2, shown["y"] + 2)
        page.mouse.down()
        page.mouse.move(middle, stage["y"] + stage["height"] - 5, steps=4)
        page.mouse.up()
        page.get_by_role("button", name="Read this part").click()
    else:
        for _ in range(round(0.5 * shown["width"] / 8)):
            page.keyboard.press("Shift+ArrowLeft")
        page.keyboard.press("Enter")
    expect(page.locator("#text")).to_have_text("47")
    page.get_by_role("button", name="Whole picture").click()
    expect(page.locator("#text")).to_have_text("4721")


def test_cropping_is_given_up_with_escape_and_the_picture_stays(page):
    drop(page, picture_of("47"))
    expect(page.locator("#text")).to_have_text("47")
    page.get_by_role("button", name="Crop", exact=True).click()
    page.keyboard.press("Escape")
    expect(page.locator("#crop")).to_be_hidden()
    expect(page.locator("#picture")).to_be_visible()
    assert boxes(page) == ["4", "7"]
    page.keyboard.press("Escape")
    expect(page.locator("#picture")).to_be_hidden()


def test_file_choosers_offer_documents_and_phone_photos(page):
    kinds = page.locator("#choose input").get_attribute("accept").split(",")
    assert {"image/*", "application/pdf", ".heic", ".tif"} <= set(kinds)
