"""Write ``report.html`` and ``figures/``."""

from __future__ import annotations

import base64
import io
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Self

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from digit_recognizer import __version__
from digit_recognizer.digits import INK, Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.evaluation import detailed_metrics
from digit_recognizer.files import replacing, write_json, write_text
from digit_recognizer.progress import following
from digit_recognizer.report import sections
from digit_recognizer.report.blocks import ConfusionTable, Picture, Section
from digit_recognizer.report.figures import mosaic
from digit_recognizer.report.rendering import Rendered, Renderer, render
from digit_recognizer.report.sections import Choice
from digit_recognizer.report.subject import Subject, evaluate_run
from digit_recognizer.runs import run_folder
from digit_recognizer.runs.run import read_run

PAGE, FIGURES = "report.html", "figures"
FIGURE_NAMES = re.compile('<main data-figures="([^"]*)">')  # in a page: the names of its figures
MAX_RUNS = len(ascii_uppercase)  # in a comparison, where a letter stands for each run
IMAGES_PER_ROW = 8  # in the strip of images of a cell of the confusion matrix
GREY_LEVELS = 16  # of these images
PIXELS_PER_INCH = 96  # of CSS

SECTION_STARTS = {
    "result": 0.05,
    "network": 0.06,
    "training": 0.08,
    "mistakes": 0.09,
    "inside the network": 0.15,
    "figures and page": 0.4,
}  # fractions of the time of a report, roughly; the rest goes into figures

OnSection = Callable[[str], None]


def write_report(
    run: str | Path,
    digits: Digits,
    *,
    source: str = "the digits given",
    out: str | Path | None = None,
    choice: Choice | None = None,
    on_section: OnSection | None = None,
) -> Path:
    """Write a page about a run: its result, data, network, training, mistakes, and inside the network.

    The page is a single file and loads nothing from elsewhere. Its figures are also written, as PNG and SVG,
    into ``figures/`` beside the page. Unless `out` is given, the evaluation is added to the run's
    ``metrics.json``.

    Parameters
    ----------
    run
        A finished run folder.
    digits
        All training digits of a source. If the run was trained on them, it is evaluated on those that it held
        out, otherwise on all.
    source
        The name of that source.
    out
        The folder for page and figures; the run folder if None.
    choice
        Which filters and which image to show.
    on_section
        Called with the name of each section before it is made.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    DigitsError
        The run is unfinished or damaged; the filter, digit or row that was chosen does not exist; `out` is
        another run or has a page that is not a report; a file cannot be written.
    """
    folder = Path(run) if out is None else check_out(Path(out))
    with _Followed("Report", on_section) as followed, Renderer() as renderer, ThreadPoolExecutor(1) as pool:
        subject = evaluate_run(read_run(run), digits, source)
        inside = sections.open_inside(subject, choice or Choice())
        layout = pool.submit(sections.map_hidden_layer, inside)
        steps: dict[str, Callable[[], Section]] = {
            "result": lambda: sections.show_result(subject),
            "corrections": lambda: sections.show_corrections(subject.run),
            "data": lambda: sections.show_data(subject),
            "network": lambda: sections.show_network(subject.run),
            "training": lambda: sections.show_training(subject.run),
            "mistakes": lambda: sections.show_mistakes(subject),
            "inside the network": lambda: sections.show_inside(inside, layout),
        }
        if subject.run.metrics.corrections is None:
            del steps["corrections"]
        chapters = []
        for name, show in steps.items():
            followed.begin(name)
            chapters.append(show())
            for picture in pictures_in(chapters[-1:]):
                renderer.add(picture.draw)
        followed.begin("figures and page")
        page = write_page(folder, _title(subject), chapters, renderer.finish(followed.add_figure))
    if subject.evaluation is not None and out is None:
        _add_to_metrics(subject)
    return page


def write_comparison(
    runs: Sequence[str | Path],
    digits: Digits,
    *,
    source: str = "the digits given",
    out: str | Path,
    on_section: OnSection | None = None,
) -> Path:
    """Write a page that compares runs; parameters, result and errors are those of `write_report`."""
    if not 2 <= len(runs) <= MAX_RUNS:
        raise DigitsError(f"expected 2 to {MAX_RUNS} runs to compare, got {len(runs)}")
    folder = check_out(Path(out))
    with _Followed("Comparison", on_section) as followed:
        followed.begin("predictions")
        chapters = sections.compare([read_run(run) for run in runs], digits, source)
        followed.begin("figures and page")
        pictures, rendered = pictures_in(chapters), []
        for picture in pictures:
            rendered.append(render(picture.draw))
            followed.add_figure(len(rendered), len(pictures))
    return write_page(folder, f"{len(runs)} runs compared", chapters, rendered)


class _Followed:
    """Tells the caller which section begins, and shows the progress of a page."""

    def __init__(self, what: str, on_section: OnSection | None) -> None:
        self._on_section = on_section
        self._following = following(what)

    def __enter__(self) -> Self:
        self._show = self._following.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._following.__exit__(*error)

    def begin(self, section: str) -> None:
        """Begin a section."""
        if self._on_section is not None:
            self._on_section(section)
        if self._show is not None:
            self._show(SECTION_STARTS.get(section, 0.0))

    def add_figure(self, number: int, total: int) -> None:
        """Add a figure, which is the last section."""
        start = SECTION_STARTS["figures and page"]
        if self._show is not None:
            self._show(start + (1 - start) * number / total)


def check_out(folder: Path) -> Path:
    """Return a folder; raise `DigitsError` if it is a run folder or cannot be written."""
    if (folder / run_folder.ENVIRONMENT).exists():
        raise DigitsError(f"{folder} is a run folder: choose another folder for this page")
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise DigitsError(f"cannot write into {folder}: {existing} is not a folder that can be written to")
    return folder


def _title(subject: Subject) -> str:
    recipe, name = subject.run.recipe.name, subject.run.name
    return name if recipe in name else f"{name}: {recipe}"


def pictures_in(chapters: Sequence[Section]) -> list[Picture]:
    """Return the pictures of all sections, in order."""
    return [block for section in chapters for block in section.blocks if isinstance(block, Picture)]


def write_page(folder: Path, title: str, chapters: Sequence[Section], rendered: Sequence[Rendered]) -> Path:
    """Write the page and its figures; `rendered` are those of all pictures, in order."""
    old_names = _figures_of(folder / PAGE)
    pictures = pictures_in(chapters)
    names = [f"{number:02d}-{picture.name}" for number, picture in enumerate(pictures, start=1)]
    page = _render(title, chapters, dict(zip(pictures, rendered, strict=True)), names)
    try:
        (folder / FIGURES).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DigitsError(f"cannot write into {folder}: {error.strerror or error}") from error
    for name, files in zip(names, rendered, strict=True):
        write_text(folder / FIGURES / f"{name}.svg", files.svg)
        with replacing(folder / FIGURES / f"{name}.png") as path:
            path.write_bytes(files.png)
    write_text(folder / PAGE, page)
    for name in old_names.difference(names):
        for suffix in ("svg", "png"):
            (folder / FIGURES / f"{name}.{suffix}").unlink(missing_ok=True)
    return folder / PAGE


def _figures_of(page: Path) -> set[str]:
    """Return the names of the figures of an earlier report; raise `DigitsError` if it is not a report."""
    if not page.exists():
        return set()
    match = FIGURE_NAMES.search(page.read_text("utf-8", errors="replace")) if page.is_file() else None
    if match is None:
        raise DigitsError(f"{page} already exists and is not a report: choose another folder, or move it")
    return set(match[1].split())


def _render(
    title: str, chapters: Sequence[Section], rendered: Mapping[Picture, Rendered], names: Sequence[str]
) -> str:
    loader = PackageLoader("digit_recognizer.report")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )

    def include(name: str) -> Markup:
        text, *_ = loader.get_source(environment, name)
        return Markup(text)  # noqa: S704 - a file of this package

    filters: dict[str, Callable[[Any], object]] = {
        "kind": lambda block: type(block).__name__,
        "source": lambda picture: _data_url(rendered[picture].svg.encode(), "image/svg+xml"),
        "size": lambda picture: _size(rendered[picture]),
        "cells": lambda table: list(_cells(table)),
        "strips": _strips,
    }
    environment.filters |= filters
    return environment.get_template("report.html").render(
        title=title, sections=chapters, figures=names, version=__version__, include=include
    )


def _size(figure: Rendered) -> tuple[int, int]:
    """Return the width and height of a figure in CSS pixels."""
    return round(figure.width * PIXELS_PER_INCH), round(figure.height * PIXELS_PER_INCH)


def _data_url(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _cells(table: ConfusionTable) -> Iterator[list[dict[str, object]]]:
    """Yield what the template needs for the cells of each row of a confusion matrix."""
    for label, counts in enumerate(table.confusion.tolist()):
        yield [
            {
                "count": count,
                "key": f"{label}-{answer}" if (label, answer) in table.images else "",
                "kind": "none" if not count else "right" if label == answer else "wrong",
            }
            for answer, count in enumerate(counts)
        ]


def _strips(table: ConfusionTable) -> Markup:
    """Return, as JSON for the page's script, the images of each cell and what to say about them."""
    strips = {}
    for (label, answer), images in table.images.items():
        columns = min(len(images), IMAGES_PER_ROW)
        strip = INK - mosaic(images, columns, gap=2, fill=0).astype("uint8")
        file = io.BytesIO()
        Image.fromarray(strip).quantize(GREY_LEVELS).save(file, "PNG", optimize=True)
        strips[f"{label}-{answer}"] = {
            "source": _data_url(file.getvalue(), "image/png"),
            "width": strip.shape[1],
            "height": strip.shape[0],
            "title": f"{label} read as {answer}" if label != answer else f"{label} read correctly",
            "count": int(table.confusion[label, answer]),
            "rows": table.rows[label, answer].tolist(),
        }
    return Markup(json.dumps(strips).replace("<", "\\u003c"))  # noqa: S704 - numbers and fixed texts


def _add_to_metrics(subject: Subject) -> None:
    """Add the evaluation to the run's ``metrics.json``."""
    path = subject.run.folder / run_folder.METRICS
    data = {"source": subject.source, "sha256": subject.digits.sha256(), "held_out": subject.is_own}
    evaluation = {"data": data, **detailed_metrics(subject.predictions, subject.labels)}
    write_json(path, {**run_folder.read_json(path), "evaluation": evaluation})
