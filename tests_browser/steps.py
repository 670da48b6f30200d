"""What tests of the page do on it: write, drop pictures, let it show an answer; what they look at."""

from __future__ import annotations

import io
from base64 import b64encode
from contextlib import contextmanager

from handwriting import ADVANCE, draw_at_once, strokes_of
from PIL import Image, ImageDraw
from playwright.sync_api import expect

PHONE = {"width": 360, "height": 740, "is_mobile": True, "has_touch": True}


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
    until_true(page, lambda: page.evaluate(condition, arg), condition)


def until_true(page, check, condition):
    """Wait until a function returns true; `condition` says what it waits for."""
    for _ in range(600):
        if check():
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"still false: {condition}")


# Whether the orange of the saliency is shown, in the section "Inside the network".
HAS_ORANGE = """() => {
    const canvas = document.querySelector("#saliency");
    const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < data.length; i += 4) if (data[i] > data[i + 2] + 60) return true;
    return false;
}"""


@contextmanager
def opening(browser, patience_ms, ignored=None):
    """Give a function that opens the page at an address in a new window; check that no page logs errors.

    Errors of the console that start with `ignored` do not count. `expect` waits for half of the patience.
    """
    contexts, errors = [], []

    def listen(message):
        if message.type == "error" and not (ignored and message.text.startswith(ignored)):
            errors.append(message.text)

    def open_page(address, width=1280, height=800, **options):
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, **options))
        page = contexts[-1].new_page()
        page.set_default_timeout(patience_ms)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", listen)
        page.goto(address)
        page.wait_for_selector(".layer")
        return page

    expect.set_options(timeout=patience_ms // 2)
    yield open_page
    for context in contexts:
        context.close()
    assert errors == []


def open_corrections(page):
    """Open the part of the panel in which readings are corrected."""
    page.locator("#correction summary").click()


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


def words():
    """Return a PNG without digits: strokes that resemble none."""
    image = Image.new("L", (500, 300), 240)
    ImageDraw.Draw(image).line([(40, 40), (460, 60), (60, 200), (440, 260), (250, 30)], fill=40, width=6)
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


# Answers of a reader that finds separators

CHARACTERS = "0123456789.,-/:+%"


def character(text, x, y=60, certainty=0.98):
    """Return a character as the service describes it."""
    width, top, height = (6, y + 34, 6) if text in ".," else (20, y, 40)
    box = {"x": x, "y": top, "width": width, "height": height}
    probabilities = [certainty if each == text else (1 - certainty) / 16 for each in CHARACTERS]
    image = b64encode(bytes(784)).decode()
    answer = {"text": text, "box": box, "probabilities": probabilities, "is_character": 1.0}
    return {**answer, "confidence": certainty, "image": image}


def number_of(text, x, confidence=0.97, alternatives=(), y=60):
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
        {
            "numbers": [
                number_of("13.50", 20, 0.6, [("18.50", 0.3), ("1350", 0.001)]),
                number_of("1,234", 200),
            ]
        },
        {"numbers": [number_of("-5", 20, y=200)]},
    ],
    "rejected": [WORD, speck(450, "too small")],
}  # of a reader that finds separators


def read_as(page, answer):
    """Let the page read any drawing as an answer."""
    page.route("**/v1/read*", lambda route: route.fulfill(status=200, json=answer))
    draw_at_once(page, "1", 600, 300, 60)
    page.wait_for_selector("#text[aria-busy=false]")


def rejected(text, x, y=60):
    """Return a rejected mark that resembles a digit, as the service describes it."""
    box, image = (character(text, x, y)[key] for key in ("box", "image"))
    probabilities = [float(each == text) for each in "0123456789"]
    guess = {"digit": int(text), "probabilities": probabilities, "is_digit": 0.3, "confidence": 0.3}
    reason = {"reason": "probably not a digit", "text": text, "confidence": 0.3}
    return {**box, **reason, "guess": {**guess, "box": box, "image": image}}
