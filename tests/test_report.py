"""The page of a run: whole, alone, and saying what the numbers say; `test_sections` has its parts."""

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

from digit_recognizer import Digits, DigitsError, Predictions, Recognizer, evaluate, write_report
from digit_recognizer.evaluation import describe
from digit_recognizer.runs.run_folder import read_validation_rows
from helpers import Element, files_in, make_digits, read_page

pytestmark = pytest.mark.usefixtures("one_thread")

DIGITS = make_digits()
SECTIONS = ["result", "data", "network", "training", "mistakes", "inside"]


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """A run, its page, and what was told while it was made."""

    run: Path
    path: Path
    page: Element
    told: list[str]

    @property
    def figures(self) -> Path:
        return self.path.parent / "figures"

    @property
    def predictions(self) -> Predictions:
        return Recognizer(self.run).predict(DIGITS[read_validation_rows(self.run)].images)

    @property
    def labels(self) -> np.ndarray:
        return DIGITS.labels[read_validation_rows(self.run)]


def report_of(run: Path, digits: Digits = DIGITS, **options) -> Report:
    told: list[str] = []
    path = write_report(run, digits, source="made", on_section=told.append, **options)
    return Report(run, path, read_page(path), told)


@pytest.fixture(scope="module")
def report(trained, tmp_path_factory) -> Report:
    """The report of a run of two convolutions, written into it."""
    folder = tmp_path_factory.mktemp("reports") / "first"
    return report_of(shutil.copytree(trained("two convolutions"), folder))


def content(address: str, kind: str) -> bytes:
    """Return what an address within the page holds."""
    head, _, body = address.partition(",")
    assert head == f"data:{kind};base64"
    return base64.b64decode(body, validate=True)


def sections(page: Element) -> dict[str, Element]:
    return {section.attributes["id"]: section for section in page.one("main").all("section")}


def without_drawings(path: Path) -> str:
    """Return a page but for its drawings, which the files beside it are."""
    return re.sub(r"data:image/svg[a-z+;0-9]+,[A-Za-z0-9+/=]+", "", path.read_text("utf-8"))


# The page by itself


def test_the_page_lies_in_the_run_and_is_returned(report):
    assert report.path == report.run / "report.html"


def test_the_sections_stand_in_order_and_are_linked_in_order(report):
    assert list(sections(report.page)) == SECTIONS
    assert [link.attributes["href"] for link in report.page.one("nav").all("a")] == [
        f"#{name}" for name in SECTIONS
    ]
    headings = [section.one("h2").text for section in sections(report.page).values()]
    assert [link.text for link in report.page.one("nav").all("a")] == headings


def test_it_is_told_what_is_being_made(report):
    assert report.told == [
        "the result",
        "the data",
        "the network",
        "the training",
        "the mistakes",
        "inside the network",
        "figures and page",
    ]


def test_the_title_names_run_and_recipe(report):
    assert report.page.one("title").text == report.page.one("h1").text == "first: tiny"


def test_every_link_and_every_label_leads_to_something_that_is_there_once(report):
    names = [element.attributes["id"] for element in report.page.all() if "id" in element.attributes]
    assert len(set(names)) == len(names)
    wanted = [link.attributes["href"].removeprefix("#") for link in report.page.all("a")]
    wanted += [
        element.attributes["aria-labelledby"]
        for element in report.page.all()
        if "aria-labelledby" in element.attributes
    ]
    assert set(wanted) <= set(names)


def test_every_figure_says_what_it_shows_and_lies_within_the_page(report):
    pictures = list(report.page.one("main").all("img"))
    assert len(pictures) > 15
    for picture in pictures:
        assert len(picture.attributes["alt"]) > 20
        drawing = ElementTree.fromstring(content(picture.attributes["src"], "image/svg+xml"))
        sides = [float(drawing.attrib[side].removesuffix("pt")) / 72 * 96 for side in ("width", "height")]
        assert [int(picture.attributes[side]) for side in ("width", "height")] == pytest.approx(sides, abs=1)


def test_every_figure_has_a_title_and_a_caption(report):
    for figure in report.page.all("figure"):
        assert figure.one("h3").text
        assert len(figure.one("figcaption").text) > 40


def test_nothing_is_loaded_from_anywhere(report):
    text = re.sub(r"data:[a-z/+]+;base64,[A-Za-z0-9+/=]+", "data:", report.path.read_text("utf-8"))
    assert not re.search(r"https?://|url\(|@import|<link|<iframe", text)
    assert {
        value for element in report.page.all() for key, value in element.attributes.items() if key == "src"
    }
    for element in report.page.all():
        for key in ("src", "srcset", "href", "data", "action"):
            assert (element.attributes.get(key) or "#").startswith(("#", "data:"))
    for path in report.figures.glob("*.svg"):
        loaded = re.sub(r'xmlns(:\w+)?="http[^"]+"', "", path.read_text("utf-8"))
        assert "http" not in loaded


def test_what_the_run_says_of_itself_is_text_and_no_markup(trained, tmp_path):
    run = shutil.copytree(trained("pixels"), tmp_path / "a & <b>")
    recipe = (run / "recipe.toml").read_text()
    (run / "recipe.toml").write_text(recipe.replace("as small as", 'as <i>small</i> & \\"small\\" as'))
    page = report_of(run).page
    assert page.one("h1").text == "a & <b>: tiny"
    assert 'As <i>small</i> & "small" as' in sections(page)["result"].text
    assert not list(page.all("i"))


# The figures


def test_every_figure_is_a_file_as_png_and_as_svg_numbered_in_order(report):
    stems = sorted({path.stem for path in report.figures.iterdir()})
    assert sorted(path.name for path in report.figures.iterdir()) == sorted(
        f"{stem}.{kind}" for stem in stems for kind in ("png", "svg")
    )
    assert [stem[:3] for stem in stems] == [f"{number:02d}-" for number in range(1, len(stems) + 1)]
    assert "-".join(stems[0].split("-")[1:]) == "images-per-digit"
    assert stems[-1].endswith("-map")


def test_the_files_are_the_figures_of_the_page(report):
    files = [path.read_bytes() for path in sorted(report.figures.glob("*.svg"))]
    shown = [content(img.attributes["src"], "image/svg+xml") for img in report.page.one("main").all("img")]
    assert [file for file in files if file in shown] == shown
    assert len(files) == len(shown) + 1  # the confusion matrix of counts is a table on the page


def test_every_png_is_whole_and_of_the_size_of_its_svg(report):
    for path in report.figures.glob("*.png"):
        drawing = ElementTree.parse(path.with_suffix(".svg")).getroot()
        inches = [float(drawing.attrib[side].removesuffix("pt")) / 72 for side in ("width", "height")]
        with Image.open(path) as picture:
            picture.load()
            assert picture.size == pytest.approx([200 * side for side in inches], abs=1)


def test_a_second_report_is_the_same_and_takes_the_place_of_an_earlier_one(report, tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "report.html").write_text('<main data-figures="31-feature-maps-conv9 99-map">')
    old = ["31-feature-maps-conv9.png", "31-feature-maps-conv9.svg", "99-map.png"]
    foreign = ["notes.txt", "map.png", "98-thesis.png", "05-thesis.pdf", "05-My-Figure.png"]
    for name in old + foreign:
        (tmp_path / "figures" / name).write_text(name)

    again = report_of(report.run, out=tmp_path)
    assert again.path == tmp_path / "report.html"
    assert without_drawings(again.path) == without_drawings(report.path)
    assert sorted(path.name for path in again.figures.iterdir()) == sorted(
        [path.name for path in report.figures.iterdir()] + foreign
    )
    for path in report.figures.iterdir():
        assert (again.figures / path.name).read_bytes() == path.read_bytes()
    assert not list(tmp_path.rglob("*.part"))


def test_a_report_elsewhere_leaves_the_run_as_it_is(trained, tmp_path):
    run = trained("two convolutions")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    write_report(run, DIGITS, out=tmp_path)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures", "report.html"]


def test_a_page_of_somebody_else_is_not_overwritten(trained, tmp_path):
    (tmp_path / "report.html").write_text("<main>mine</main>")
    with pytest.raises(DigitsError, match="is there already and no report: choose another folder"):
        write_report(trained("pixels"), DIGITS, out=tmp_path)
    assert files_in(tmp_path) == ["report.html"]


def test_a_report_is_not_written_over_another_run(trained):
    with pytest.raises(DigitsError, match="is a run folder: choose another"):
        write_report(trained("pixels"), DIGITS, out=trained("two convolutions"))


# The numbers


def test_the_headline_is_what_evaluate_finds(report):
    evaluation = evaluate(report.predictions, report.labels)
    low, high = evaluation.accuracy_interval
    assert report.page.one(kind="headline").text == (
        f"{evaluation.accuracy:.2%}".replace("%", " %")
        + f" of 60 validation images read rightly: {evaluation.errors} errors. "
        + f"The true rate probably lies between {100 * low:.2f} % and {100 * high:.2f} % (95 % interval)."
    )


def test_the_metrics_gain_the_evaluation_and_keep_what_training_wrote(report, trained):
    before = json.loads((trained("two convolutions") / "metrics.json").read_text())
    after = json.loads((report.run / "metrics.json").read_text(), parse_constant=pytest.fail)
    found = after.pop("evaluation")
    assert after == before
    assert found.pop("data") == {"source": "made", "sha256": DIGITS.sha256(), "held_out": True}
    expected = describe(report.predictions, report.labels)
    assert found == json.loads(json.dumps(expected))
    assert {name: found[name] for name in ("images", "errors", "accuracy")} == {
        name: before["validation"][name] for name in ("images", "errors", "accuracy")
    }


def test_a_report_changes_no_other_file_of_the_run(report, trained):
    run = trained("two convolutions")
    added = {"report.html", *(f"figures/{path.name}" for path in report.figures.iterdir())}
    assert set(files_in(report.run)) == set(files_in(run)) | added
    for name in files_in(run):
        if name != "metrics.json":
            assert (report.run / name).read_bytes() == (run / name).read_bytes()


def test_the_confusion_table_counts_what_evaluate_counts(report):
    table = report.page.one(kind="confusion").one("table")
    counts = [[int(cell.text or 0) for cell in row.all("td")] for row in table.one("tbody").all("tr")]
    assert counts == evaluate(report.predictions, report.labels).confusion.tolist()


def test_each_cell_of_it_has_its_own_images(report):
    """By the row numbers that the page gives: each image there is of the cell's digit and was so answered."""
    card = report.page.one(kind="confusion")
    strips = json.loads(card.one("script", "strips").text)
    cells = {
        cell.attributes["data-cell"]: int(cell.text)
        for cell in card.all("td")
        if "data-cell" in cell.attributes
    }
    assert {key: strip["count"] for key, strip in strips.items()} == cells
    answers = dict(zip(read_validation_rows(report.run).tolist(), report.predictions.labels, strict=True))
    for key, strip in strips.items():
        shown, answered = map(int, key.split("-"))
        assert len(strip["rows"]) == min(strip["count"], 16)
        assert {(DIGITS.labels[row], answers[row]) for row in strip["rows"]} == {(shown, answered)}
        with Image.open(io.BytesIO(content(strip["source"], "image/png"))) as picture:
            assert picture.size == (strip["width"], strip["height"])
            ink = 255 - np.asarray(picture.convert("L"), int)
        first = DIGITS.images[strip["rows"][0]].astype(int)
        assert np.abs(ink[:28, :28] - first).mean() < 16  # sixteen shades of grey stand for 256


# What can go wrong


def test_a_report_may_lie_anywhere(trained, tmp_path):
    run = shutil.copytree(trained("pixels"), tmp_path / "run")
    report = report_of(run, out=tmp_path / "a" / "new" / "folder")
    assert report.path == tmp_path / "a" / "new" / "folder" / "report.html"
    assert files_in(run) == files_in(trained("pixels"))


@pytest.mark.parametrize(
    ("taken", "place"),
    [("figures", "run"), ("figures/01-images-per-digit.svg/x", "")],
)
def test_a_place_that_is_taken_is_one_sentence(taken, place, trained, tmp_path):
    run = shutil.copytree(trained("pixels"), tmp_path / "run")
    target = run / taken
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("mine")
    with pytest.raises(DigitsError, match="cannot write") as error:
        write_report(run, DIGITS)
    assert str(tmp_path / place) in str(error.value)
    assert "\n" not in str(error.value)
    assert target.read_text() == "mine"


def test_a_folder_below_a_file_is_one_sentence(trained, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DigitsError, match=re.escape(f"cannot write into {tmp_path / 'file' / 'report'}: ")):
        write_report(trained("pixels"), DIGITS, out=tmp_path / "file" / "report")


def damage(run: Path, name: str, text: str) -> str:
    """Write something else into a file of a run, and return what a report says then."""
    (run / name).write_text(text)
    with pytest.raises(DigitsError) as error:
        write_report(run, DIGITS)
    assert "\n" not in str(error.value)
    assert not (run / "report.html").exists()
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("metrics.json", "{", "is damaged or cannot be read"),
        ("metrics.json", "[]", "is damaged: expected a JSON object"),
        ("metrics.json", "{}", "is damaged: expected numbers for epochs, seconds"),
        ("metrics.json", '{"epochs": "many"}', "is damaged: expected numbers for epochs, seconds"),
        ("history.csv", "", "is damaged: it has no epochs"),
        ("history.csv", "epoch,loss\n1,0.5\n", ", line 2 is damaged"),
        ("environment.json", "{", "is damaged or cannot be read"),
        ("validation.npy", "?", "is damaged or cannot be read"),
        ("model.onnx", "?", "is damaged or no ONNX model"),
        ("recipe.toml", "?", "not valid TOML"),
    ],
)
def test_a_damaged_run_is_one_sentence(name, text, problem, trained, tmp_path):
    run = shutil.copytree(trained("pixels"), tmp_path / "run")
    message = damage(run, name, text)
    assert message.startswith(str(run / name))
    assert problem in message


def test_damaged_weights_are_one_sentence(trained, tmp_path):
    run = shutil.copytree(trained("pooled"), tmp_path / "run")
    assert damage(run, "model.safetensors", "?").startswith(f"{run / 'model.safetensors'} is damaged")


# Reports of odd runs, whole


def test_a_run_that_held_nothing_out_is_shown_but_not_judged(trained, tmp_path):
    run = shutil.copytree(trained("pixels"), tmp_path / "run")
    report = report_of(run)
    assert list(sections(report.page)) == SECTIONS
    assert (
        report.page.text.count(
            "The run was trained on all of these images, so there are none to judge it by."
        )
        == 4
    )
    assert not list(report.page.all(kind="headline"))
    assert not list(report.page.all(kind="confusion"))
    assert "evaluation" not in json.loads((run / "metrics.json").read_text())


def test_other_digits_without_labels_are_shown_but_not_judged(trained, tmp_path):
    run = shutil.copytree(trained("two convolutions"), tmp_path / "run")
    report = report_of(run, Digits(make_digits(15, seed=5).images))
    assert list(sections(report.page)) == SECTIONS
    assert (
        report.page.text.count("These images have no labels, so right and wrong cannot be told apart.") == 4
    )
    assert "evaluation" not in json.loads((run / "metrics.json").read_text())


def test_a_handful_of_other_digits_is_judged(trained, tmp_path):
    run = shutil.copytree(trained("pooled"), tmp_path / "run")
    digits = make_digits(5, seed=5)
    report = report_of(run, digits)
    errors = evaluate(Recognizer(run).predict(digits.images), digits.labels).errors
    assert f"of 5 images of made read rightly: {errors} error" in report.page.one(kind="headline").text
    metrics = json.loads((run / "metrics.json").read_text())["evaluation"]
    assert metrics["data"] == {"source": "made", "sha256": digits.sha256(), "held_out": False}
    assert metrics["errors"] == errors


def test_a_single_image_is_judged(trained, tmp_path):
    run = shutil.copytree(trained("hidden"), tmp_path / "run")
    report = report_of(run, make_digits(1, seed=5))
    assert re.match(r"(100|0)\.00 % of 1 images? of made read rightly", report.page.one(kind="headline").text)
