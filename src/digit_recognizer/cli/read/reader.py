"""Read the pages of a picture: the function that `digits read` runs, here or on other machines."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from digit_recognizer.cli.read.output import Entry, write_drawing
from digit_recognizer.cli.read.pages import INPUT_NAME, Page, choose_pages, pages_of
from digit_recognizer.cli.read.tables import summarise
from digit_recognizer.engines import check_shared
from digit_recognizer.errors import DigitsError

if TYPE_CHECKING:
    from digit_recognizer.reading import ReadingOptions
    from digit_recognizer.recognition import Recognizer

ReadFile = Callable[[Page | str], list[Entry]]


@dataclass(frozen=True, slots=True)
class ReaderSettings:
    """How pictures are read.

    Attributes
    ----------
    model
        A run folder or a model; None for the model that comes with the package.
    single_threshold
        If each picture shows one digit, the confidence from which it is given.
    page
        The only page to read of each file.
    show
        The file to draw the page on.
    summarises
        Whether only rows for a table are needed.
    folders
        Those that the pictures are in, which every machine needs.
    """

    model: Path | None
    single_threshold: float | None
    options: ReadingOptions
    page: int | None = None
    show: Path | None = None
    summarises: bool = False
    folders: tuple[str, ...] = ()


def start_worker(settings: ReaderSettings) -> ReadFile:
    """Return the function that reads all pages of a file, on a machine of a cluster, with one thread."""
    from digit_recognizer.recognition import Recognizer

    for folder in settings.folders:
        check_shared(folder)
    return reading_with(Recognizer(settings.model, threads=1), settings)


def reading_with(recognizer: Recognizer, settings: ReaderSettings) -> ReadFile:
    """Return the function that reads all pages of a file."""

    def read(file: Page | str) -> list[Entry]:
        pages = choose_pages(pages_of(file), settings.page)
        entries = [_read_page(page, recognizer, settings) for page in pages]
        return list(map(summarise, entries)) if settings.summarises else entries

    return read


def _read_page(page: Page, recognizer: Recognizer, settings: ReaderSettings) -> Entry:
    """Read a page: a single digit if there is a threshold, otherwise all numbers, drawn if asked for."""
    from digit_recognizer.imaging import decode
    from digit_recognizer.reading import interpret

    if page.problem is not None:
        return Entry(page, None, page.problem)
    number, options = page.number or 1, settings.options
    try:
        with warnings.catch_warnings(action="ignore"):  # Pillow's, about small damage
            if settings.single_threshold is not None:
                found = recognizer.read_single(page.picture, settings.single_threshold, page=number)
                return Entry(page.without_content(), found)
            if settings.show is None:
                reading = interpret(recognizer.read(page.picture, page=number), options)
                return Entry(page.without_content(), reading)
            picture = decode(page.picture, page=number)
            reading = interpret(recognizer.read_page(picture), options)
    except DigitsError as error:
        return Entry(page.without_content(), None, _problem(page, error))
    write_drawing(reading.draw(picture), settings.show)
    return Entry(page.without_content(), reading)


def _problem(page: Page, error: DigitsError) -> str:
    """Return why a page cannot be read; of what has no path, with a name that users know."""
    from digit_recognizer.imaging import decode

    if page.content is not None:
        try:
            decode(page.content, page.address or INPUT_NAME, page=page.number or 1)
        except DigitsError as named:
            return str(named)
    return str(error)
