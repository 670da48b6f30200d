"""Slow work shows a bar in a notebook, which takes the place of the command line's."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from digit_recognizer import Recognizer, load_digits, resume, train, write_report
from digit_recognizer.progress import Clock, counted, displayed_by, following
from helpers import csv_of, idx_of, make_digits, on_black, tiny

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def pages() -> list[str]:
    """Return what the bars of `shown` are in HTML."""
    return []


@pytest.fixture
def shown(monkeypatch, pages) -> list[str]:
    """Return the texts of all bars, as if this were a notebook."""
    texts: list[str] = []

    def display(content: dict[str, str], **_: object) -> SimpleNamespace:
        texts.append(content["text/plain"])
        pages.append(content["text/html"])
        assert content["text/html"].startswith("<progress value=")
        return SimpleNamespace(update=display)

    ipython, displays = ModuleType("IPython"), ModuleType("IPython.display")
    vars(ipython).update(
        version_info=(9, 0),  # matplotlib asks
        get_ipython=lambda: SimpleNamespace(kernel=object()),
    )
    vars(displays).update(display=display)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", displays)
    monkeypatch.setattr(Clock, "is_slow", lambda *_: True)
    return texts


@pytest.mark.parametrize("name", ["train.csv", "train-images-idx3-ubyte", "digits.npz"])
def test_reading_a_file_shows_a_bar_in_a_notebook(name, shown, tmp_path):
    digits = on_black(make_digits(500))
    assert digits.labels is not None
    (tmp_path / "train.csv").write_text(csv_of(digits))
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx_of(digits.images))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_of(digits.labels.astype(np.uint8)))
    np.savez(tmp_path / "digits.npz", images=digits.images, labels=digits.labels)
    load_digits(tmp_path / name)
    assert shown[0].startswith("Reading: ")
    assert shown[-1].startswith("Reading: done in 0:00:0")


def test_predicting_shows_a_bar_in_a_notebook(shown):
    Recognizer().predict(make_digits(300).images)
    assert {text.partition(":")[0] for text in shown} == {"Predicting"}
    assert shown[-1].startswith("Predicting: done")


@pytest.mark.usefixtures("without_export")
def test_training_and_resuming_show_a_bar_in_a_notebook(shown, tmp_path):
    for _ in train(make_digits(), tiny(), tmp_path / "run"):
        assert shown[0].startswith("Training: ")
    assert any(text.startswith("Evaluating: done") for text in shown)
    shown.clear()
    for _ in resume(tmp_path / "run", make_digits(), epochs=3):
        pass
    assert shown[0].startswith("Training: 7")  # of three epochs, two are done


@pytest.mark.usefixtures("without_export", "shown")
def test_training_in_a_notebook_shows_its_epochs_below_the_bar(pages, tmp_path):
    for _ in train(make_digits(), tiny(), tmp_path / "run"):
        pass
    trained = [page for page in pages if "<svg" in page]
    assert "<svg" not in pages[0]  # before the end of the first epoch, there is only the bar
    assert trained[-1].count("<tr>") == 3  # the head, and two epochs
    assert trained[-1].startswith('<progress value="1.000"></progress> Training: done')


@pytest.mark.usefixtures("drawn")
def test_a_report_shows_a_bar_in_a_notebook(shown, trained, tmp_path):
    write_report(trained("hidden"), make_digits(), out=tmp_path)
    assert shown[-1].startswith("Report: done")


@pytest.mark.usefixtures("without_export")
def test_a_caller_who_follows_the_steps_gets_no_bar(shown, tmp_path):
    steps = []
    for _ in train(make_digits(), tiny(), tmp_path / "run", on_step=steps.append):
        pass
    assert steps
    assert not any(text.startswith("Training") for text in shown)


def test_reading_a_picture_says_how_much_of_it_is_done():
    fractions: dict[str, list[float]] = {}

    @contextmanager
    def display(what: str):
        yield fractions.setdefault(what, []).append

    page = np.full((1500, 1500), 255, np.uint8)
    page[700:728, 700:728] -= make_digits(1).images[0]
    with displayed_by(display):
        Recognizer().read_page(page, is_upright=True)
    assert len(fractions["Reading"]) > 2
    assert fractions["Reading"] == sorted(fractions["Reading"])
    assert fractions["Reading"][-1] == pytest.approx(1)


def test_a_script_shows_nothing(capsys):
    with following("Reading") as tell:
        assert tell is None
    Recognizer().predict(make_digits(300).images)
    assert capsys.readouterr() == ("", "")


def test_who_displays_progress_gets_all_fractions():
    fractions = []

    class Display:
        def __init__(self, what: str) -> None:
            fractions.append(what)

        def __enter__(self):
            return fractions.append

        def __exit__(self, *_: object) -> None:
            pass

    with displayed_by(Display), following("Counting") as tell:
        assert list(counted("abcd", 4, tell)) == list("abcd")
    assert fractions == ["Counting", 0.25, 0.5, 0.75, 1.0]


def test_the_time_left_counts_from_where_a_run_was_resumed(monkeypatch):
    now = [10.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    clock = Clock()
    assert clock.left(0.5) == "…"
    now[0] += 10
    assert clock.left(0.75) == "0:00:10 left"
