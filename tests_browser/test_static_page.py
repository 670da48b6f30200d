"""The page without a service, in Chromium: it answers as the service does and needs only its files."""

import io
import json
from base64 import b64decode, b64encode

import numpy as np
import pytest
from checks import accessibility, html_errors
from exported import READ, ask, drawing, picture, serving_files
from handwriting import draw_at_once
from PIL import Image
from playwright.sync_api import expect
from steps import open_corrections, opening, read

from digit_recognizer import load_digits
from digit_recognizer.imaging import normalise
from digit_recognizer.imaging.character_image import character_image
from digit_recognizer.imaging.region_image import region_image
from digit_recognizer.imaging.resize import resize
from digit_recognizer.reading.decimals import usual_mark, value_of
from digit_recognizer.recognition.character_finder import pad, pyramid_scales
from digit_recognizer.recognition.unread import UnreadParts
from digit_recognizer.service.export.page import export_page
from pictures import written
from serving import serving

DRAWINGS, PICTURES = 20, 5
MAX_CONFIDENCE_DIFFERENCE = 0.02  # the last bits of the networks' values differ, and greys by 1
CROSS_ORIGIN_ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
NUMBERS = [
    "7",
    "007",
    "1,234",
    "1.234,50",
    "1,234.50",
    "-3.5",
    "+12",
    "0,50",
    ".5",
    "50%",
    "1/2",
    "12:30",
    "0.123,4",
    "1.23.4",
    "-0",
]


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """The folder of the page."""
    folder = tmp_path_factory.mktemp("static-page")
    export_page(folder / "page")
    return folder / "page"


@pytest.fixture(scope="session")
def address(exported):
    with serving_files(exported) as address:
        yield address


@pytest.fixture(scope="session")
def service():
    with serving() as service:
        yield service


@pytest.fixture(scope="session")
def asked(browser, address):
    """A page that is only asked: the tests share it, since each page starts the networks anew."""
    page = browser.new_page()
    page.set_default_timeout(120_000)
    page.goto(address)
    page.wait_for_selector(".layer")
    yield page
    page.close()


@pytest.fixture
def open_static(browser):
    """Return a function that opens the page in a new window; it may log no errors of its own."""
    with opening(browser, 120_000) as open_static:
        yield open_static


@pytest.fixture
def page(open_static, address):
    return open_static(address)


def characters_of(answer):
    return [each for line in answer["lines"] for number in line["numbers"] for each in number["characters"]]


# The same answers


def test_drawings_and_pictures_are_read_as_the_service_reads_them(asked, service):
    generator = np.random.default_rng(1)
    drawings = [(drawing(asked, generator), "&upright=true") for _ in range(DRAWINGS)]
    pictures = [(picture(generator, kind), "") for kind in ["PNG", "JPEG", "WEBP", "BMP", "GIF"]]
    assert len(pictures) == PICTURES
    read = 0
    for content, options in [*drawings, *pictures]:
        expected = json.loads(service.ask(READ + options, content)[1])
        found = ask(asked, READ + options, content)
        for key in ("format", "text", "rotation", "blank", "width", "height", "pages", "notes"):
            assert found[key] == expected[key], key
        assert found.keys() == expected.keys()
        assert [each["reason"] for each in found["rejected"]] == [
            each["reason"] for each in expected["rejected"]
        ]
        for line, other in zip(found["lines"], expected["lines"], strict=True):
            for number, same in zip(line["numbers"], other["numbers"], strict=True):
                assert number.keys() == same.keys()
                assert (number["value"], number["sure"]) == (same["value"], same["sure"])
        for each, same in zip(characters_of(found), characters_of(expected), strict=True):
            assert each.keys() == same.keys()
            assert abs(each["confidence"] - same["confidence"]) < MAX_CONFIDENCE_DIFFERENCE
            read += 1
    assert read > 2 * (DRAWINGS + PICTURES)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_picture_that_lies_on_its_side_is_turned(degrees, asked, service):
    image = Image.fromarray(written("2473"))
    stream = io.BytesIO()
    image.rotate(degrees, expand=True).save(stream, "PNG")
    expected = json.loads(service.ask(READ, stream.getvalue())[1])
    found = ask(asked, READ, stream.getvalue())
    assert found["rotation"] == expected["rotation"] == degrees
    assert found["text"] == expected["text"]
    boxes = [[each["box"][key] for key in ("x", "y", "width", "height")] for each in characters_of(found)]
    others = [[each["box"][key] for key in ("x", "y", "width", "height")] for each in characters_of(expected)]
    assert np.abs(np.array(boxes) - np.array(others)).max() <= 1


def transparent(ink):
    """Return strokes on a transparent background, as drawing programs save them."""
    digit = load_digits("bundled").images[7]
    alpha = Image.fromarray(digit).resize((140, 140))
    image = Image.new("RGBA", (300, 200), (0, 0, 0, 0))
    image.paste((ink, ink, ink, 255), (80, 30), alpha)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def turned_by_exif():
    """Return a JPEG of a phone that was held upright: the pixels lie, EXIF says so."""
    image = Image.fromarray(written("2473")).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    image.rotate(90, expand=True).save(stream, "JPEG", exif=exif, quality=95)
    return stream.getvalue()


@pytest.mark.parametrize(
    "content", [transparent(20), transparent(235), turned_by_exif()], ids=["dark", "light", "exif"]
)
def test_transparent_and_turned_pictures_are_read_as_the_service_reads_them(content, asked, service):
    expected = json.loads(service.ask(READ, content)[1])
    found = ask(asked, READ, content)
    assert expected["text"]
    for key in ("text", "width", "height", "rotation"):
        assert found[key] == expected[key]


def test_the_inside_is_that_of_the_service(asked, service):
    image = load_digits("bundled").images[13]
    path = "/v1/explain?saliency=true"
    expected = json.loads(service.ask(path, image.tobytes())[1])
    found = asked.evaluate(
        """async ([path, pixels]) => {
            const {ask} = await import(new URL("static/backend.js", document.baseURI));
            return ask(path, {body: new Uint8Array(pixels)});
        }""",
        [path, image.ravel().tolist()],
    )
    assert found.keys() == expected.keys()
    assert found["label"] == expected["label"]
    assert np.allclose(found["probabilities"], expected["probabilities"], atol=1e-4)
    assert abs(found["is_digit"] - expected["is_digit"]) < 1e-4
    for layer, same in zip(found["layers"], expected["layers"], strict=True):
        assert {**layer, "maps": 0, "maximum": 0} == {**same, "maps": 0, "maximum": 0}
        assert np.isclose(layer["maximum"], same["maximum"], rtol=1e-3)
        assert difference(layer["maps"], same["maps"]) <= 1
    assert difference(found["saliency"], expected["saliency"]) <= 1


def difference(one, other):
    """Return by how many levels bytes in base64 differ at most."""
    first, second = (np.frombuffer(b64decode(each), np.uint8).astype(int) for each in (one, other))
    return np.abs(first - second).max()


@pytest.mark.parametrize("path", ["/v1/filters", "/v1/model"])
def test_facts_of_the_model_are_those_of_the_service(path, asked, service):
    expected = json.loads(service.ask(path)[1])
    found = ask(asked, path, b"")
    assert {**found, "limits": 0} == {**expected, "limits": 0}


# The same steps, each with the same input


def computed(asked, module, expression, pixels):
    """Return what an expression with the functions of a module is for a `page` of bytes, as a list."""
    return asked.evaluate(
        """async ([module, expression, content, height, width]) => {
            const functions = await import(new URL(`static/local/${module}.js`, document.baseURI));
            const values = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
            const page = {height, width, values};
            const work = new Function("page", ...Object.keys(functions), `return ${expression}`);
            const found = work(page, ...Object.values(functions));
            return ArrayBuffer.isView(found?.values) ? [found.height, found.width, ...found.values] : found;
        }""",
        [module, expression, b64encode(pixels.tobytes()).decode(), *pixels.shape],
    )


def as_list(grid):
    return [*grid.shape, *grid.ravel().tolist()]


@pytest.fixture(scope="session")
def pages():
    """Pages of even and odd sizes, large and small, with ink and noise."""
    generator = np.random.default_rng(5)
    photo = np.asarray(Image.open(io.BytesIO(picture(generator))).convert("L"))
    photo = photo[:480, :613]
    return [photo, photo[:257, :390], photo[40:141, 7:130], np.full((30, 50), 200, np.uint8)]


@pytest.mark.parametrize("scale", [0.5, 0.25, 2**-1.5, 0.7, 0.11, 2**0.5, 2.0])
def test_a_page_is_scaled_as_in_python(scale, asked, pages):
    for each in pages if scale < 1 else pages[2:]:
        assert computed(asked, "resample", f"resize(page, {scale})", each) == as_list(resize(each, scale))


def test_levels_and_margins_are_those_of_python(asked, pages):
    for each in pages:
        assert computed(asked, "character_finder", "pyramidScales(page)", each) == pyramid_scales(*each.shape)
        assert computed(asked, "character_finder", "pad(page)", each) == as_list(pad(each))


@pytest.mark.parametrize("skips_noise", [False, True])
def test_unread_parts_are_those_of_python(skips_noise, asked, pages):
    boxes = [[120.5, 30.0, 180.2, 160.9], [0.0, 0.0, 90.0, 70.0]]
    noisy = np.clip(pages[0] + np.random.default_rng(0).normal(0, 3, pages[0].shape), 0, 255).astype(np.uint8)
    for each in [*pages, noisy]:
        unread, areas = UnreadParts(each, skips_noise=skips_noise), []
        for box in [[], *boxes]:
            unread.remove([np.array(box, np.float32)] if box else [])
            area = unread.area()
            areas.append(area and [area.left, area.top, area.right, area.bottom])
        found = computed(
            asked,
            "unread",
            f"""(() => {{
                const unread = new UnreadParts(page, {str(skips_noise).lower()}), areas = [];
                for (const box of [null, ...{boxes}]) {{
                    unread.remove(box ? [box] : []);
                    const area = unread.area();
                    areas.push(area && [area.left, area.top, area.right, area.bottom]);
                }}
                return areas;
            }})()""",
            each,
        )
        assert found == areas


def test_images_of_characters_are_those_of_python(asked, pages):
    generator = np.random.default_rng(6)
    for each in pages[:3]:
        for _ in range(10):
            height, width = (int(generator.integers(2, side)) for side in each.shape)
            top, left = (
                int(generator.integers(0, side - most + 1))
                for side, most in zip(each.shape, (height, width), strict=True)
            )
            box = {"x": left, "y": top, "width": width, "height": height}
            found = computed(asked, "character_image", f"Array.from(characterImage(page, {box}))", each)
            expected = character_image(each, left, top, left + width, top + height)
            assert np.abs(np.array(found) - expected.ravel()).max() <= 1


def test_images_of_regions_are_those_of_python(asked):
    rng = np.random.default_rng(0)
    pages = [written("407"), rng.integers(0, 256, (50, 80)).astype(np.uint8)]
    for each in [*pages, rng.integers(0, 256, (1, 1)).astype(np.uint8)]:
        for _ in range(10):
            top, left = (int(rng.integers(limit)) for limit in each.shape)
            height, width = (
                int(rng.integers(1, each.shape[0] - top + 1)),
                int(rng.integers(1, each.shape[1] - left + 1)),
            )
            box, em = {"x": left, "y": top, "width": width, "height": height}, float(rng.uniform(1, 60))
            found = computed(asked, "region_image", f"Array.from(regionImage(page, {box}, {em}))", each)
            expected = region_image(each, left, top, left + width, top + height, em)
            assert (np.array(found) == expected.ravel()).all()


def test_ink_is_normalised_as_in_python(asked):
    digits = load_digits("bundled").images[:20]
    for digit, rows in zip(digits, range(12, 32), strict=True):
        ink = np.asarray(Image.fromarray(digit).resize((2 * rows, rows)))
        found = computed(asked, "normalise", "Array.from(normalise(page))", ink)
        assert np.abs(np.array(found) - normalise(ink).ravel()).max() <= 1


def test_numbers_amount_to_what_they_do_in_python(asked):
    blank = np.zeros((1, 1), np.uint8)
    for mark in ".,":
        found = computed(asked, "decimals", f"{NUMBERS}.map(text => valueOf(text, '{mark}'))", blank)
        values = [value_of(text, mark) for text in NUMBERS]
        assert found == [None if value is None else f"{value:f}" for value in values]
    for texts in (NUMBERS, NUMBERS[:4], ["1,5", "2,25"], ["1.5"], []):
        assert computed(asked, "decimals", f"usualMark({texts})", blank) == usual_mark(texts)


# The page


def test_a_number_is_read_and_explained_and_corrected(page):
    draw_at_once(page, "47", 100, 100, 200)
    assert read(page) == "47"
    page.wait_for_selector("#probabilities .best")
    assert page.locator(".layer").count() >= 2
    open_corrections(page)
    page.locator("#number-field").fill("13.5")
    page.get_by_role("button", name="Correct", exact=True).click()
    expect(page.locator("#text")).to_have_text("13.5")
    expect(page.locator("#corrected")).to_contain_text("Corrected to 13.5 on this page.")
    expect(page.locator("#keeping")).to_be_hidden()
    expect(page.locator("#not-keeping")).to_have_text("Corrections change this page only.")


def test_all_is_loaded_at_once_from_below_the_path_and_then_works_offline(open_static, address):
    page = open_static(address)
    loaded = page.evaluate("performance.getEntriesByType('resource').map(one => one.name)")
    assert all(name.startswith(address) for name in loaded)
    asked = []
    page.context.on("request", lambda request: asked.append(request.url))
    page.context.set_offline(True)
    draw_at_once(page, "8", 200, 100, 200)
    assert read(page) == "8"
    page.wait_for_selector("#probabilities .best")
    content = picture(np.random.default_rng(3))
    page.locator("#choose input").set_input_files(
        {"name": "a.png", "mimeType": "image/png", "buffer": content}
    )
    expect(page.locator("#text")).to_have_attribute("data-state", "digits")
    assert [url for url in asked if not url.startswith("blob:")] == []
    expect(page.locator("#notice")).to_be_hidden()


def test_what_the_browser_does_not_open_is_refused_with_what_it_opens(page):
    refused = [
        (b"%PDF-1.7\n", "is a PDF"),
        (b"II*\0\x08\0\0\0", "is a TIFF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "is a HEIC"),
        (b"this is no picture", "is not a picture"),
        (b"", "is not a picture"),
        (picture(np.random.default_rng(3))[:300], "is damaged"),
    ]
    draw_at_once(page, "8", 200, 100, 200)
    for content, words in refused:
        assert read(page) == "8"
        file = {"name": "a.bin", "mimeType": "image/png", "buffer": content}
        page.locator("#choose input").set_input_files(file)
        expect(page.locator("#notice")).to_contain_text(words)
        expect(page.locator("#notice")).to_contain_text("It opens PNG, JPEG, WebP, GIF, BMP and AVIF.")
        if words != "is damaged":  # the browser shows the half that there is
            expect(page.locator("#text")).to_have_text("8")


def test_with_several_threads_the_answer_is_the_same(open_static, exported):
    with serving_files(exported, **CROSS_ORIGIN_ISOLATED) as address:
        page = open_static(address)
        assert page.evaluate("crossOriginIsolated")
        draw_at_once(page, "2026", 60, 100, 120)
        assert read(page) == "2026"


def test_a_page_whose_network_does_not_load_says_so_and_tries_again(browser, address):
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(120_000)
    context.route("**/reader.onnx", lambda route: route.fulfill(status=503))
    page.goto(address)
    expect(page.locator("#notice")).to_contain_text("could not be loaded", timeout=60_000)
    draw_at_once(page, "3", 200, 100, 200)
    context.unroute("**/reader.onnx")
    page.wait_for_selector(".layer")
    expect(page.locator("#text")).to_have_text("3", timeout=60_000)
    expect(page.locator("#notice")).to_be_hidden()
    context.close()


def test_a_page_opened_as_a_file_says_that_it_needs_a_server(browser, exported):
    page = browser.new_page()
    page.goto((exported / "index.html").as_uri())
    expect(page.locator("#notice")).to_contain_text("web server")
    page.close()


def test_the_html_is_valid(exported):
    assert html_errors(exported / "index.html") == []


@pytest.mark.parametrize("width", [1280, 360])
def test_the_page_is_accessible(open_static, address, width):
    page = open_static(address, width, reduced_motion="reduce")
    draw_at_once(page, "47", 60, 60, 120)
    page.wait_for_selector("#probabilities .best")
    violations, _ = accessibility(page)
    assert violations == []


def test_a_reading_that_is_outdated_ends_early_and_the_next_one_is_whole(asked):
    content = b64encode(picture(np.random.default_rng(3))).decode()
    answers = asked.evaluate(
        """async ([path, content]) => {
            const {ask} = await import(new URL("static/backend.js", document.baseURI));
            const body = new Blob([Uint8Array.from(atob(content), letter => letter.charCodeAt(0))]);
            const outdated = new AbortController();
            const [first, second] = [ask(path, {body, outdated: outdated.signal}), ask(path, {body})];
            outdated.abort();
            const found = [await first, (await second).text];
            outdated.abort();
            return [...found, (await ask(path, {body})).text];
        }""",
        [READ, content],
    )
    assert answers[0] is None
    assert answers[1] == answers[2] != ""
