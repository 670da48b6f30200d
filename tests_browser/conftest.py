"""What the browser tests share: reports of tiny runs, a service, and Chromium to open their pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import launch
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, sync_playwright
from steps import opening

from digit_recognizer import Recognizer, evaluate, load_digits, train, write_comparison, write_report
from helpers import read_validation_rows, tiny
from serving import serving

TWO_CONVOLUTIONS = (
    'network=["conv 8 5x5 same relu", "maxpool 2", "conv 12 3x3 relu", "maxpool 2", "dropout 0.2", '
    '"dense 32 relu", "dense 10"]',
    "augmentation={rotation=10, zoom=0.1, shift=0.1}",
    "epochs=4",
    "split.validation=0.4",
)  # trained within a second: it still makes errors, and is evaluated on 24 images of each digit
LONG_NAME = "named_at_such_length_that_no_phone_has_room_for_it_and_without_a_single_space"

Open = Callable[..., Page]


@dataclass(frozen=True, slots=True, eq=False)
class Reports:
    """The pages, and what the page of one run must state.

    Attributes
    ----------
    pages
        ``run``, ``nothing held out`` and ``comparison``.
    confusion
        int64, shape (10, 10): a row for each label, a column for each answer.
    pairs
        Label and answer of each evaluated image, by its row in the source.
    """

    pages: dict[str, Path]
    confusion: NDArray[np.int64]
    pairs: dict[int, tuple[int, int]]


@pytest.fixture(scope="session")
def reports(tmp_path_factory) -> Reports:
    folder = tmp_path_factory.mktemp("reports")
    digits = load_digits("bundled")[:600]
    run, other, trained_on_all = (folder / name for name in ("two-convolutions", "another-seed", LONG_NAME))
    for seed, (path, settings) in enumerate(
        [(run, ()), (other, ()), (trained_on_all, ("split.validation=0",))], start=1
    ):
        list(train(digits, tiny(*TWO_CONVOLUTIONS, *settings), path, seed=seed, source="bundled"))
    pages = {
        "run": write_report(run, digits, source="bundled"),
        "nothing held out": write_report(trained_on_all, digits, source="bundled"),
        "comparison": write_comparison([run, other], digits, source="bundled", out=folder / "comparison"),
    }
    rows = read_validation_rows(run)
    evaluated = digits[rows]
    answers = Recognizer(run).predict(evaluated.images)
    confusion = evaluate(answers, evaluated.labels).confusion
    assert confusion.max() > 16, "no cell has more images than the page shows"
    assert (confusion * (1 - np.eye(10, dtype=np.int64))).sum() > 5, "too few errors to look at"
    pairs = zip(evaluated.labels.tolist(), answers.labels.tolist(), strict=True)
    return Reports(pages, confusion, dict(zip(rows.tolist(), pairs, strict=True)))


@pytest.fixture(params=["run", "nothing held out", "comparison"])
def report(request, reports) -> Path:
    """Each of the three pages in turn."""
    return reports.pages[request.param]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser) -> Iterator[Open]:
    """Return a function that opens a page in a new window, `width` pixels wide; options are Playwright's."""
    contexts = []

    def open_page(path: Path | None, width: int = 1280, **options: Any) -> Page:
        contexts.append(browser.new_context(viewport={"width": width, "height": 800}, **options))
        page = contexts[-1].new_page()
        if path is not None:
            page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def service():
    with serving() as service:
        yield f"http://127.0.0.1:{service.port}"


@pytest.fixture
def open_service(browser):
    """Return a function that opens a service's page in a new window; no page may log errors of its own."""
    # Chromium logs every refused request; the page shows those to the user.
    with opening(browser, 60_000, ignored="Failed to load resource") as open_service:
        yield open_service


@pytest.fixture
def page(open_service, service):
    return open_service(service)
