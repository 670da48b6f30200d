"""Values show themselves in notebooks: as plain tables and pictures, in the colours of the theme."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from digit_recognizer import Evaluation, Recognizer, evaluate, load_recipe, read_run
from digit_recognizer.digits import Predictions
from digit_recognizer.notebook import curves, facts, table
from digit_recognizer.reading import Reading
from digit_recognizer.recipes import load_any_recipe
from digit_recognizer.report import figures
from digit_recognizer.report.figures.style import ShownFigure
from digit_recognizer.runs import EpochRecord
from digit_recognizer.runs.display import history_to_html
from helpers import make_digits
from pictures import written

HOSTILE = "<b>&\"'</td>"
ESCAPED = "&lt;b&gt;&amp;&quot;&#x27;&lt;/td&gt;"
EMPTY_TAGS = {"img", "path", "circle", "polyline"}  # without an end tag, or ended where they begin
COLOURS = re.compile(
    r"(?<![-\w])color: (?!rgb\((?:0, 114, 178|213, 94, 0)\))|background: (?!rgba\()|#[0-9a-f]{3}\b"
)


class Page(HTMLParser):
    """Reads HTML: the texts of its cells, and whether every tag is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert all(value is not None for _, value in attributes)
        if tag not in EMPTY_TAGS:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag: str) -> None:
        if tag not in EMPTY_TAGS:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1].append(data)

    def facts(self) -> dict[str, str]:
        return {row[0]: row[1] for row in self.rows if len(row) == 2}


def record(epoch: int, **values: object) -> EpochRecord:
    plain = EpochRecord(epoch, 0.1, 1 / epoch, 1 - 0.5 / epoch, 0.5, 0.75, 5, 61.0, 100.0)
    return replace(plain, **values)


@pytest.fixture(scope="module")
def values(trained) -> dict[str, object]:
    digits = make_digits(40)
    recognizer = Recognizer(trained("hidden"))
    return {
        "Run": read_run(trained("hidden")),
        "Recognizer": recognizer,
        "bundled Recognizer": Recognizer(),
        "Evaluation": evaluate(recognizer.predict(digits.images), digits.labels),
        "empty Evaluation": Evaluation(np.zeros((10, 10), np.int64)),
        "Recipe": load_recipe("best"),
        "NumbersRecipe": load_any_recipe("numbers"),
        "Reading": Recognizer().read(written("17 42")),
        "empty Reading": Reading(()),
    }


NAMES = (
    "Run",
    "Recognizer",
    "bundled Recognizer",
    "Evaluation",
    "empty Evaluation",
    "Recipe",
    "NumbersRecipe",
    "Reading",
    "empty Reading",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_value_is_whole_html_without_colours_of_a_theme(name, values):
    html = values[name]._repr_html_()
    Page(html)
    assert not COLOURS.search(re.sub(r'"data:[^"]*"', '""', html))
    assert len(html) < 100_000


@pytest.mark.parametrize("name", NAMES)
def test_as_text_a_value_is_one_short_line(name, values, trained):
    text = repr(values[name])
    assert text.startswith(f"{name.split()[-1]}(")
    assert "\n" not in text
    assert len(text) < 100 + len(str(trained("hidden")))


def test_a_run_says_what_it_reached(values):
    run = values["Run"]
    page = Page(run._repr_html_())
    found = page.facts()
    assert found["validation"] == run.metrics.validation.in_words()
    assert found["digits"].startswith("made: 140 to train on, 60 held out")
    assert page.rows[-1][:2] == ["2", f"{run.history[-1].loss:.4f}"]
    assert "<svg" in run._repr_html_()


def test_a_run_without_its_model_or_with_a_warning_still_shows_itself(trained, tmp_path):
    folder = shutil.copytree(trained("hidden"), tmp_path / "<b>run</b>")
    (folder / "model.onnx").unlink()
    run = read_run(folder)
    run = replace(run, metrics=replace(run.metrics, warning=HOSTILE))
    found = Page(run._repr_html_()).facts()
    assert "model" not in found
    assert found["warning"] == HOSTILE
    assert found["run"] == str(folder)


def test_a_recognizer_says_which_model_it_is(values, trained):
    found = Page(values["Recognizer"]._repr_html_()).facts()
    assert found["model"] == str(trained("hidden") / "model.onnx")
    assert found["digits"] == "200, of which 60 were held out of training"
    assert Page(values["bundled Recognizer"]._repr_html_()).facts()["model"] == "comes with the package"
    assert repr(Recognizer()) == "Recognizer()"


def test_an_evaluation_shows_its_confusion_matrix():
    labels = np.arange(10)
    answers = np.where(labels == 3, 5, labels)
    evaluation = evaluate(Predictions(np.eye(10, dtype=np.float32)[answers]), labels)
    html = evaluation._repr_html_()
    head, *rows = Page(html).rows
    assert head == list("0123456789")
    assert rows[3] == ["3", *["·"] * 5, "1", *["·"] * 4]
    assert "Accuracy 90.00 %" in html
    assert "errors: 1 of 10 images" in html
    assert html.count("rgba(213, 94, 0, 0.45)") == 1
    assert html.count("rgba(0, 114, 178, 0.45)") == 9


def test_a_recipe_is_a_table_of_settings_as_one_types_them():
    recipe = load_recipe("standard", ["summary=" + HOSTILE])
    found = Page(recipe._repr_html_()).facts()
    assert found["summary"] == HOSTILE
    assert ESCAPED in recipe._repr_html_()
    assert found["network"].splitlines() == list(recipe.network)
    assert float(found["optimizer.learning_rate"]) == recipe.optimizer.learning_rate
    settings = [f"{key}={value}" for key, value in found.items() if key not in ("network", "summary")]
    assert replace(recipe.with_settings(settings), network=recipe.network) == recipe
    networks = Page(load_recipe("best")._repr_html_()).facts()["networks"]
    assert networks.splitlines()[0] == ", ".join(load_recipe("best").networks[0])


def test_long_histories_are_curves_and_their_last_epochs():
    html = history_to_html([record(epoch) for epoch in range(1, 26)])
    assert [row[0] for row in Page(html).rows[1:]] == [str(epoch) for epoch in range(16, 26)]
    assert html.count("<circle") == 50
    assert "The last 10 epochs" in html


@pytest.mark.parametrize(
    ("history", "head", "curves_drawn"),
    [
        ([record(1)], ["epoch", "loss", "accuracy", "validation loss", "validation accuracy", "time"], 2),
        (
            [record(1, validation_loss=None, validation_accuracy=None, validation_errors=None)],
            ["epoch", "loss", "accuracy", "time"],
            1,
        ),
        (
            [record(1), record(1, member=2)],
            ["member", "epoch", "loss", "accuracy", "validation loss", "validation accuracy", "time"],
            2,
        ),
    ],
)
def test_a_history_shows_the_columns_that_it_has(history, head, curves_drawn):
    html = history_to_html(history)
    assert Page(html).rows[0] == head
    assert len(re.findall(r'points="[^"]', html)) == curves_drawn


def test_without_epochs_there_is_nothing_to_show():
    assert history_to_html([]) == ""
    assert curves("nothing", {"a": [None], "b": []}) == ""


@pytest.mark.parametrize("values", [[5.0], [5.0, 5.0], [1.0, None, 3.0], [0.0, 1e9]])
def test_curves_stay_inside_their_drawing(values):
    html = curves(HOSTILE, {HOSTILE: values}, HOSTILE)
    Page(html)
    assert HOSTILE not in html
    width, height = (float(each) for each in re.search(r'width="(\d+)" height="(\d+)"', html).groups())
    points = re.findall(r'cx="([\d.-]+)" cy="([\d.-]+)"', html)
    assert len(points) == len([value for value in values if value is not None])
    assert all(0 <= float(x) <= width and 0 <= float(y) <= height for x, y in points)


def test_tables_escape_everything():
    for html in (facts([(HOSTILE, HOSTILE)]), table([HOSTILE], [[HOSTILE]])):
        assert html.count(ESCAPED) == 2
        assert HOSTILE not in html


def test_a_figure_shows_itself_on_white():
    figure = figures.draw_counts(np.arange(10), np.arange(10))
    assert isinstance(figure, ShownFigure)
    content, size = figure._repr_png_()
    assert content == figures.as_png(figure)
    width, height = figure.get_size_inches()
    assert (size["width"], size["height"]) == (round(120 * width), round(120 * height))
