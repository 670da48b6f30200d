"""The page about a run: complete, independent of other files, and consistent with the run's numbers."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from digit_recognizer import Digits, Predictions, Recognizer, evaluate, write_report
from digit_recognizer.evaluation import detailed_metrics
from digit_recognizer.runs.run import read_run
from digit_recognizer.runs.split import held_out_rows
from helpers import Element, files_in, make_digits, read_page, refusal, says

pytestmark = pytest.mark.usefixtures("one_thread")

DIGITS = make_digits()
SECTIONS = ["result", "data", "network", "training", "mistakes", "inside"]
SVG, PNG = "image/svg+xml", "image/png"


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """A run, its page, and the names of sections that were reported while it was made."""

    run: Path
    path: Path
    page: Element
    told: list[str]

    @property
    def figures(self) -> Path:
        return self.path.parent / "figures"

    @property
    def sections(self) -> dict[str, Element]:
        return {section.attributes["id"]: section for section in self.page.one("main").all("section")}

    @property
    def rows(self) -> np.ndarray:
        """The rows that the run is evaluated on."""
        rows = held_out_rows(self.run, read_run(self.run).environment, DIGITS)
        assert rows is not None
        return rows

    @property
    def predictions(self) -> Predictions:
        return Recognizer(self.run).predict(DIGITS.images[self.rows])

    @property
    def labels(self) -> np.ndarray:
        return DIGITS.labels[self.rows]


def report_of(run: Path, digits: Digits = DIGITS, **options) -> Report:
    told: list[str] = []
    path = write_report(run, digits, source="made", on_section=told.append, **options)
    return Report(run, path, read_page(path), told)


@pytest.fixture(scope="module")
def report(trained, tmp_path_factory) -> Report:
    """The report of a run of two convolutions, in its run folder."""
    folder = tmp_path_factory.mktemp("reports") / "first"
    return report_of(shutil.copytree(trained("two convolutions"), folder))


@pytest.fixture
def copy_of(trained, tmp_path):
    """Return a function that copies a run."""
    return lambda name, folder="run": shutil.copytree(trained(name), tmp_path / folder)


def content(url: str, kind: str) -> bytes:
    """Return the content of a data URL."""
    head, _, body = url.partition(",")
    assert head == f"data:{kind};base64"
    return base64.b64decode(body, validate=True)


def inches(drawing: ElementTree.Element) -> list[float]:
    """Return width and height of an SVG."""
    return [float(drawing.attrib[side].removesuffix("pt")) / 72 for side in ("width", "height")]


# The page


def test_the_page_is_in_the_run_folder_with_its_sections_in_order(report):
    assert report.path == report.run / "report.html"
    assert list(report.sections) == SECTIONS
    links = list(report.page.one("nav").all("a"))
    assert [link.attributes["href"] for link in links] == [f"#{name}" for name in SECTIONS]
    assert [link.text for link in links] == [each.one("h2").text for each in report.sections.values()]
    assert report.page.one("title").text == report.page.one("h1").text == "first: tiny"
    assert len(report.told) == len(SECTIONS) + 1  # the last one is the page itself


def test_every_link_and_every_label_has_exactly_one_target(report):
    ids = [element.attributes["id"] for element in report.page.all() if "id" in element.attributes]
    assert len(set(ids)) == len(ids)
    wanted = [link.attributes["href"].removeprefix("#") for link in report.page.all("a")]
    wanted += [
        element.attributes["aria-labelledby"]
        for element in report.page.all()
        if "aria-labelledby" in element.attributes
    ]
    assert set(wanted) <= set(ids)


def test_every_figure_is_described_and_contained_in_the_page(report):
    images = list(report.page.one("main").all("img"))
    assert len(images) > 15
    for image in images:
        assert len(image.attributes["alt"]) > 20
        drawing = ElementTree.fromstring(content(image.attributes["src"], SVG))
        pixels = [96 * side for side in inches(drawing)]
        assert [int(image.attributes[side]) for side in ("width", "height")] == pytest.approx(pixels, abs=1)
    for figure in report.page.all("figure"):
        assert figure.one("h3").text
        assert len(figure.one("figcaption").text) > 30


def test_nothing_is_loaded_from_elsewhere(report):
    text = re.sub(r"data:[a-z/+]+;base64,[A-Za-z0-9+/=]+", "data:", report.path.read_text("utf-8"))
    assert not re.search(r"https?://|url\(|@import|<link|<iframe", text)
    for element in report.page.all():
        for key in ("src", "srcset", "href", "data", "action"):
            assert (element.attributes.get(key) or "#").startswith(("#", "data:"))
    for path in report.figures.glob("*.svg"):
        loaded = re.sub(r'xmlns(:\w+)?="http[^"]+"', "", path.read_text("utf-8"))
        assert "http" not in loaded


def test_what_a_run_says_about_itself_is_text_and_not_markup(copy_of):
    run = copy_of("pixels", "a & <b>")
    recipe = (run / "recipe.toml").read_text()
    (run / "recipe.toml").write_text(recipe.replace("as small as", 'as <i>small</i> & \\"small\\" as'))
    report = report_of(run)
    assert report.page.one("h1").text == "a & <b>: tiny"
    assert 'As <i>small</i> & "small" as' in report.sections["result"].text
    assert not list(report.page.all("i"))


# The figures


def test_the_figures_are_numbered_files_as_png_and_svg(report):
    stems = sorted({path.stem for path in report.figures.iterdir()})
    assert files_in(report.figures) == sorted(f"{stem}.{kind}" for stem in stems for kind in ("png", "svg"))
    assert [stem[:3] for stem in stems] == [f"{number:02d}-" for number in range(1, len(stems) + 1)]
    assert (stems[0][3:], stems[-1][3:]) == ("images-per-digit", "map")
    files = [path.read_bytes() for path in sorted(report.figures.glob("*.svg"))]
    shown = [content(image.attributes["src"], SVG) for image in report.page.one("main").all("img")]
    assert [file for file in files if file in shown] == shown
    assert len(files) == len(shown) + 1  # the confusion matrix of counts is a table on the page
    for path in report.figures.glob("*.png"):
        with Image.open(path) as picture:
            picture.load()
            expected = [200 * side for side in inches(ElementTree.parse(path.with_suffix(".svg")).getroot())]
            assert picture.size == pytest.approx(expected, abs=1)


def test_a_second_report_is_the_same_and_replaces_an_earlier_one(report, tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "report.html").write_text('<main data-figures="31-feature-maps-conv9 99-map">')
    old = ["31-feature-maps-conv9.png", "31-feature-maps-conv9.svg", "99-map.png"]
    foreign = ["notes.txt", "map.png", "98-thesis.png", "05-thesis.pdf", "05-My-Figure.png"]
    for name in old + foreign:
        (tmp_path / "figures" / name).write_text(name)
    before = {name: (report.run / name).read_bytes() for name in files_in(report.run)}

    again = report_of(report.run, out=tmp_path)
    drawings = re.compile(r"data:image/svg[a-z+;0-9]+,[A-Za-z0-9+/=]+")  # compared as files below
    pages = [drawings.sub("", path.read_text("utf-8")) for path in (again.path, report.path)]
    assert pages[0] == pages[1]
    assert files_in(tmp_path / "figures") == sorted([*files_in(report.figures), *foreign])
    for name in files_in(report.figures):
        assert (again.figures / name).read_bytes() == (report.figures / name).read_bytes()
    assert {name: (report.run / name).read_bytes() for name in files_in(report.run)} == before


# The numbers


def test_the_headline_is_the_evaluation(report):
    evaluation = evaluate(report.predictions, report.labels)
    accuracy, low, high = (
        f"{100 * each:.2f}" for each in (evaluation.accuracy, *evaluation.accuracy_interval)
    )
    headline = report.page.one(kind="headline").text
    assert headline.startswith(f"{accuracy} %")
    assert says(headline, "60 validation images", f"{evaluation.errors} errors", f"{low} to {high} %")


def test_the_run_gains_a_page_and_the_evaluation_in_its_metrics_and_nothing_else(report, trained):
    run = trained("two convolutions")
    added = {"report.html", *(f"figures/{name}" for name in files_in(report.figures))}
    assert set(files_in(report.run)) == set(files_in(run)) | added
    for name in set(files_in(run)) - {"metrics.json"}:
        assert (report.run / name).read_bytes() == (run / name).read_bytes()
    before = json.loads((run / "metrics.json").read_text())
    after = json.loads((report.run / "metrics.json").read_text(), parse_constant=pytest.fail)
    found = after.pop("evaluation")
    assert after == before
    assert found.pop("data") == {"source": "made", "sha256": DIGITS.sha256(), "held_out": True}
    assert found == json.loads(json.dumps(detailed_metrics(report.predictions, report.labels)))
    for name in ("images", "errors", "accuracy"):
        assert found[name] == before["validation"][name]


def test_the_cells_of_the_confusion_matrix_have_their_counts_and_images(report):
    """Each image belongs into its cell according to the row that the page states."""
    card = report.page.one(kind="confusion")
    counts = [[int(cell.text or 0) for cell in row.all("td")] for row in card.one("tbody").all("tr")]
    assert counts == evaluate(report.predictions, report.labels).confusion.tolist()
    strips = json.loads(card.one("script", "strips").text)
    cells = [cell for cell in card.all("td") if "data-cell" in cell.attributes]
    assert {key: strip["count"] for key, strip in strips.items()} == {
        cell.attributes["data-cell"]: int(cell.text) for cell in cells
    }
    answers = dict(zip(report.rows.tolist(), report.predictions.labels, strict=True))
    for key, strip in strips.items():
        label, answer = map(int, key.split("-"))
        assert len(strip["rows"]) == min(strip["count"], 16)
        assert {(DIGITS.labels[row], answers[row]) for row in strip["rows"]} == {(label, answer)}
        with Image.open(io.BytesIO(content(strip["source"], PNG))) as picture:
            assert picture.size == (strip["width"], strip["height"])
            ink = 255 - np.asarray(picture.convert("L"), int)
        first = DIGITS.images[strip["rows"][0]].astype(int)
        assert np.abs(ink[:28, :28] - first).mean() < 16  # with 16 grey levels instead of 256


# What is refused


def test_a_report_can_be_written_into_a_new_folder(trained, tmp_path):
    run, out = trained("pixels"), tmp_path / "a" / "new" / "folder"
    before = files_in(run)
    assert report_of(run, out=out).path == out / "report.html"
    assert files_in(run) == before


@pytest.mark.parametrize("taken", ["figures", "figures/01-images-per-digit.svg/x"])
def test_a_run_folder_that_cannot_be_written_is_named(taken, copy_of):
    run = copy_of("pixels")
    (run / taken).parent.mkdir(parents=True, exist_ok=True)
    (run / taken).write_text("mine")
    assert says(refusal(lambda: write_report(run, DIGITS)), "cannot write", run)
    assert (run / taken).read_text() == "mine"


def test_a_folder_below_a_file_another_run_and_a_foreign_page_are_refused(trained, tmp_path):
    run, other = trained("pixels"), trained("two convolutions")
    (tmp_path / "report.html").write_text("<main>mine</main>")
    below = tmp_path / "report.html" / "new"
    assert says(refusal(lambda: write_report(run, DIGITS, out=below)), "cannot write", below)
    assert says(refusal(lambda: write_report(run, DIGITS, out=other)), other, "run folder")
    assert says(refusal(lambda: write_report(run, DIGITS, out=tmp_path)), tmp_path / "report.html", "report")
    assert files_in(tmp_path) == ["report.html"]


# Other digits


@pytest.mark.parametrize(
    ("name", "digits"), [("pixels", DIGITS), ("two convolutions", Digits(make_digits(15, seed=5).images))]
)
def test_a_run_that_cannot_be_evaluated_has_all_sections(name, digits, copy_of):
    """Because it was trained on all images, or because they have no labels."""
    report = report_of(copy_of(name), digits)
    assert list(report.sections) == SECTIONS
    assert not list(report.page.all(kind="headline"))
    assert not list(report.page.all(kind="confusion"))
    assert "evaluation" not in json.loads((report.run / "metrics.json").read_text())


@pytest.mark.parametrize(("name", "count"), [("pooled", 5), ("hidden", 1)])
def test_a_few_other_digits_are_enough_to_evaluate_a_run(name, count, copy_of):
    digits = make_digits(count, seed=5)
    report = report_of(copy_of(name), digits)
    errors = evaluate(Recognizer(report.run).predict(digits.images), digits.labels).errors
    headline = report.page.one(kind="headline").text
    assert says(headline, f"{count} image", "of made", f"{errors} error")
    metrics = json.loads((report.run / "metrics.json").read_text())["evaluation"]
    assert metrics["data"] == {"source": "made", "sha256": digits.sha256(), "held_out": False}
    assert (metrics["images"], metrics["errors"]) == (count, errors)
