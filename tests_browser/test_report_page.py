"""The report in a browser: valid, accessible, self-contained, with any screen, pointer, keyboard or paper."""

import json
import re
import shutil

import numpy as np
import pytest
from checks import accessibility, html_errors, tab_stops

MAX_IMAGES = 16  # that the page shows of a cell of the confusion matrix
TILE_PX = 28 + 2  # from one of them to the next
PAPER_WIDTH_PX = 703  # CSS pixels between the margins of A4
CELLS = ".confusion [data-cell] button"


def test_the_html_is_valid_before_and_after_its_script(reports, open_page, tmp_path):
    for name, path in reports.pages.items():
        (tmp_path / f"{name}.html").write_text(open_page(path).content(), "utf-8")
    assert html_errors(*reports.pages.values(), *tmp_path.iterdir()) == []


def test_the_html_checker_finds_errors(reports, tmp_path):
    text = reports.pages["run"].read_text("utf-8")
    broken = tmp_path / "broken.html"
    broken.write_text(
        text.replace('<section id="data"', '<section id="result"')
        .replace("<h1>", "<h1><p>")
        .replace("color-scheme: light dark;", "colour-scheme: light dark; margin: 3 px;"),
        "utf-8",
    )
    found = "\n".join(html_errors(broken))
    assert "Duplicate ID “result”" in found
    assert "Element “p” not allowed as child of element “h1”" in found
    assert "Property “colour-scheme” doesn't exist" in found
    assert "CSS: “margin”" in found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_accessible(report, open_page, width, scheme):
    violations, undecided = accessibility(open_page(report, width, color_scheme=scheme))
    assert violations == []
    assert undecided == []


def test_the_accessibility_checker_finds_errors(reports, open_page):
    page = open_page(reports.pages["run"])
    page.evaluate(
        """() => {
            document.querySelector("img").removeAttribute("alt");
            document.querySelector(".lead").style.color = "#aaa";
            document.querySelector("h2").outerHTML = "<h4>Result</h4>";
        }"""
    )
    violations, _ = accessibility(page)
    assert {rule for rule, _ in violations} >= {"image-alt", "color-contrast", "heading-order"}


def test_every_image_is_shown_and_described(report, open_page):
    images = open_page(report).evaluate(
        """() => Promise.all([...document.images].map(async image => {
            await image.decode();
            return [image.naturalWidth, image.naturalHeight, image.alt];
        }))"""
    )
    assert len(images) >= 2
    assert all(width > 0 and height > 0 for width, height, _ in images)
    assert all(re.search(r"\w{3}", alt) for *_, alt in images)


def test_every_link_has_a_target_and_every_section_a_link(report, open_page):
    page = open_page(report)
    links, listed, ids, sections = (
        page.eval_on_selector_all(
            f"{of}[{name}]", f"elements => elements.map(element => element.getAttribute('{name}'))"
        )
        for of, name in (("", "href"), ("nav a", "href"), ("", "id"), ("section", "id"))
    )
    assert len(ids) == len(set(ids))
    assert set(links) <= {f"#{each}" for each in ids}
    assert listed == [f"#{section}" for section in sections]


@pytest.mark.parametrize("width", [1280, 390])
def test_a_link_leads_to_a_heading_in_view(report, open_page, width):
    page = open_page(report, width)
    for link in page.locator("nav a").all():
        link.click()
        heading = page.locator(f"{link.get_attribute('href')} h2")
        assert heading.evaluate(
            """heading => {
                const {left, top, height} = heading.getBoundingClientRect();
                return [1, height - 1].every(y => document.elementFromPoint(left + 1, top + y) === heading);
            }"""
        ), heading.inner_text()
        page.evaluate("scrollTo(0, 0)")


def test_a_page_without_its_folder_requests_nothing_and_logs_nothing(report, open_page, tmp_path):
    copy = shutil.copy(report, tmp_path / "report.html")
    page = open_page(None)
    requests, messages = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.goto(copy.as_uri())
    for link in page.locator("nav a").all():
        link.click()
    for cell in page.locator(CELLS).all():
        cell.hover()
    page.wait_for_load_state("networkidle")
    assert {address.partition("#")[0] for address in requests} == {copy.as_uri()}
    assert messages == []


@pytest.mark.parametrize("width", [390, 360, 320])
def test_a_phone_does_not_scroll_sideways(report, open_page, width):
    page = open_page(report, width, is_mobile=True, has_touch=True)
    widest, window = page.evaluate("[document.scrollingElement.scrollWidth, innerWidth]")
    assert window == width
    assert widest <= window


@pytest.mark.parametrize("width", [1280, 390])
def test_the_keyboard_reaches_what_a_pointer_does_and_the_focus_is_visible(report, open_page, width):
    page = open_page(report, width)
    reached = page.evaluate_handle("new Set()")
    for element in tab_stops(page):
        reached.evaluate("(reached, element) => reached.add(element)", element)
        assert element.evaluate("element => getComputedStyle(element).outlineStyle") != "none"
        assert element.evaluate(
            """element => {
                const {left, right, top, bottom} = element.getBoundingClientRect();
                const x = (Math.max(left, 0) + Math.min(right, innerWidth)) / 2;
                const y = (Math.max(top, 0) + Math.min(bottom, innerHeight)) / 2;
                return element.contains(document.elementFromPoint(x, y));
            }"""
        ), f"hidden: {element.evaluate('element => element.outerHTML')}"
    missed = reached.evaluate(
        """reached => [...document.querySelectorAll("body *")].filter(element => {
            const scrolls = element.scrollWidth > element.clientWidth + 1
                && ["auto", "scroll"].includes(getComputedStyle(element).overflowX);
            const isInteractive = element.matches("a[href], button, .scroll") || scrolls;
            return isInteractive && ![...reached].some(each => element.contains(each));
        }).map(element => element.outerHTML)"""
    )
    assert missed == []


def test_arrow_keys_scroll_tables_that_are_wider_than_a_phone(report, open_page):
    page = open_page(report, 320)
    is_wide = "region => region.scrollWidth > region.clientWidth"
    wide = [region for region in page.locator(".scroll").all() if region.evaluate(is_wide)]
    assert wide
    for region in wide:
        region.focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_function("region => region.scrollLeft > 0", arg=region.element_handle())


def hover(page):
    for cell in page.locator(CELLS).all():
        cell.hover()
        yield cell


def tap(page):
    for cell in page.locator(CELLS).all():
        cell.tap()
        yield cell


def tab(page):
    for element in tab_stops(page):
        if element.evaluate(f"element => element.matches('{CELLS}')"):
            yield element


def count_digits(image) -> int:
    """Count the handwritten digits in an image of several rows of them, by their ink."""
    return image.evaluate(
        """async (image, tile) => {
            await image.decode();
            const canvas = document.createElement("canvas");
            [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
            const context = canvas.getContext("2d", {willReadFrequently: true});
            context.drawImage(image, 0, 0);
            const {data, width} = context.getImageData(0, 0, canvas.width, canvas.height);
            const inked = new Set();
            for (let pixel = 0; pixel < data.length / 4; pixel++)
                if (data[4 * pixel] < 128)
                    inked.add(`${Math.floor(pixel % width / tile)} ${Math.floor(pixel / width / tile)}`);
            return inked.size;
        }""",
        TILE_PX,
    )


@pytest.mark.parametrize(("point", "width"), [(hover, 1280), (tap, 390), (tab, 1280)])
def test_pointing_at_a_cell_shows_its_images(reports, open_page, point, width):
    page = open_page(reports.pages["run"], width, has_touch=point is tap)
    panel, seen = page.locator(".confusion .panel"), []
    for cell in point(page):
        label, answer = map(int, cell.evaluate("cell => cell.parentElement.dataset.cell").split("-"))
        count = reports.confusion[label, answer]
        seen.append((label, answer))
        text = panel.inner_text()
        pair = f"{label} read as {answer}" if label != answer else f"{label} read correctly"
        assert text.startswith(f"{pair}: {count} image")
        rows = [int(row) for row in re.findall(r"\d+", re.search(r"rows? (.*)", text)[1])]
        assert len(set(rows)) == min(count, 8)
        assert all(reports.pairs[row] == (label, answer) for row in rows)
        assert panel.locator("img").is_visible()
        assert count_digits(panel.locator("img")) == min(count, MAX_IMAGES)
        assert cell.get_attribute("aria-label").startswith(f"{pair}: {count}")
        assert cell.get_attribute("aria-pressed") == "true"
        assert page.locator('[aria-pressed="true"]').count() == 1
    assert seen == [tuple(cell) for cell in np.argwhere(reports.confusion).tolist()]


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_does_not_move_while_cells_are_pointed_at(reports, open_page, width):
    page = open_page(reports.pages["run"], width)
    layouts = set()
    for cell in page.locator(CELLS).all():
        cell.dispatch_event("pointerenter")
        places = page.eval_on_selector_all(
            ".card", "cards => cards.map(card => card.getBoundingClientRect().toJSON())"
        )
        layouts.add(json.dumps([[place[name] for name in ("x", "width", "height")] for place in places]))
    assert len(layouts) == 1


def table_of_counts(page):
    """Return the numbers in the confusion matrix, a row for each label; an empty cell is 0."""
    cells = page.eval_on_selector_all(".confusion tbody td", "cells => cells.map(cell => cell.textContent)")
    return np.array([int(text or 0) for text in cells]).reshape(10, 10)


def test_without_javascript_all_figures_and_counts_are_shown(reports, open_page):
    page = open_page(reports.pages["run"], java_script_enabled=False)
    figures = page.locator("figure img")
    with_script = open_page(reports.pages["run"]).locator("figure img").count()
    assert figures.count() == with_script > 10
    assert all(image.is_visible() for image in figures.all())
    assert all(image.evaluate("image => image.naturalWidth > 0") for image in figures.all())
    assert (table_of_counts(page) == reports.confusion).all()
    assert "Without JavaScript" in page.locator(".confusion").inner_text()
    assert page.locator(".panel:visible, button").count() == 0


def test_with_javascript_the_counts_are_the_same_without_a_remark(reports, open_page):
    page = open_page(reports.pages["run"])
    assert (table_of_counts(page) == reports.confusion).all()
    assert "Without JavaScript" not in page.locator(".confusion").inner_text()


def test_everything_is_printed_within_the_margins(report, open_page):
    page = open_page(report, PAPER_WIDTH_PX)
    page.emulate_media(media="print")
    hidden, outside = page.evaluate(
        """() => {
            const all = [...document.querySelectorAll("h1, h2, h3, p, dt, dd, th, td, pre, img, figcaption")];
            const printed = all.filter(element => !element.closest(".panel, noscript"));
            const visible = {opacityProperty: true, visibilityProperty: true};
            const hidden = printed.filter(element => !element.checkVisibility(visible));
            const outside = printed.filter(element => {
                const card = element.closest(".card") || document.body;
                return element.getBoundingClientRect().right > card.getBoundingClientRect().right
                    || element.scrollWidth > element.clientWidth + 1;
            });
            return [hidden, outside].map(found => found.map(element => element.outerHTML.slice(0, 200)));
        }"""
    )
    assert hidden == []
    assert outside == []
    document = page.pdf(format="A4")
    assert document.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", document)) > 1


def test_paper_is_light_even_if_the_screen_is_dark(report, open_page):
    page = open_page(report, color_scheme="dark")
    brightness = """selector => {
        const probe = document.querySelector(selector), style = getComputedStyle(probe);
        return [style.color, style.backgroundColor].map(colour => colour.match(/[0-9.]+/g).map(Number));
    }"""
    ink, paper = page.evaluate(brightness, ".card")
    assert sum(ink[:3]) > sum(paper[:3])
    page.emulate_media(media="print", color_scheme="dark")
    ink, paper = page.evaluate(brightness, ".card")
    assert sum(ink[:3]) < sum(paper[:3])
