"""Assembles ``report.html`` and ``figures/``; computes nothing."""

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
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from digit_recognizer import __version__
from digit_recognizer.digits import INK, Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.evaluation import describe
from digit_recognizer.files import replacing, write_json, write_text
from digit_recognizer.report.blocks import ConfusionTable, Picture, Section
from digit_recognizer.report.figures import mosaic
from digit_recognizer.report.rendering import Rendered, Renderer, render
from digit_recognizer.report.sections import (
    Choice,
    compare,
    lay_out,
    open_inside,
    show_corrections,
    show_data,
    show_inside,
    show_mistakes,
    show_network,
    show_result,
    show_training,
)
from digit_recognizer.report.subject import Study, read_run, study_run
from digit_recognizer.runs import run_folder

PAGE, FIGURES = "report.html", "figures"
MARK = re.compile('<main data-figures="([^"]*)">')  # in a page: the names of its figures
MOST_RUNS = len(ascii_uppercase)  # each has a letter
STRIP = 8  # images side by side where a cell of the confusion matrix shows its own
PIXELS_AN_INCH = 96  # of a page

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
    """Write a page that shows a run: its result, data, network, training, mistakes and inside.

    The page is one file that needs no network. Its figures also go, as PNG and SVG, into ``figures/`` beside
    it, and its numbers into the run's ``metrics.json``, under ``evaluation``, unless `out` is elsewhere.

    Parameters
    ----------
    run
        A finished run folder.
    digits
        All the training digits of a source. Where the run was trained on them, it is judged by those it held
        out, else by all.
    source
        What that source is called.
    out
        The folder for page and figures, and the run stays as it is; the run's folder if None.
    choice
        Which filters and which image to show.
    on_section
        Called with the title of each section before it is made.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    DigitsError
        The run is not finished or damaged; there is no such filter, digit or row; `out` is another run's or
        has another page of that name; a file cannot be written.
    """
    tell = on_section or (lambda _title: None)
    folder = Path(run) if out is None else _free(Path(out))
    with Renderer() as renderer, ThreadPoolExecutor(1) as pool:
        study = study_run(read_run(run), digits, source)
        inside = open_inside(study, choice or Choice())
        layout = pool.submit(lay_out, inside)
        steps: list[tuple[str, Callable[[], Section]]] = [
            ("the result", lambda: show_result(study)),
            ("the data", lambda: show_data(study)),
            ("the network", lambda: show_network(study.run)),
            ("the training", lambda: show_training(study.run)),
            ("the mistakes", lambda: show_mistakes(study)),
            ("inside the network", lambda: show_inside(inside, layout)),
        ]
        if "corrections" in study.run.metrics:
            steps.insert(1, ("the corrections", lambda: show_corrections(study.run)))
        sections = []
        for title, make in steps:
            tell(title)
            sections.append(make())
            for picture in _pictures(sections[-1:]):
                renderer.add(picture.draw)
        tell("figures and page")
        page = _write_page(folder, _title(study), sections, renderer.finish())
    if study.evaluation is not None and out is None:
        _add_to_metrics(study)
    return page


def _free(folder: Path) -> Path:
    """Return a folder if a page may be written there: it is no run's, and can be written."""
    if (folder / run_folder.ENVIRONMENT).exists():
        raise DigitsError(f"{folder} is a run folder: choose another for this page")
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise DigitsError(f"cannot write into {folder}: {there} is no folder that can be written")
    return folder


def _title(study: Study) -> str:
    recipe, name = study.run.recipe.name, study.run.name
    return name if recipe in name else f"{name}: {recipe}"


def write_comparison(
    runs: Sequence[str | Path],
    digits: Digits,
    *,
    source: str = "the digits given",
    out: str | Path,
) -> Path:
    """Write a page that compares runs; parameters, result and errors as `write_report`'s."""
    if not 2 <= len(runs) <= MOST_RUNS:
        raise DigitsError(f"expected 2 to {MOST_RUNS} runs to compare, got {len(runs)}")
    folder = _free(Path(out))
    sections = compare([read_run(run) for run in runs], digits, source)
    rendered = [render(picture.draw) for picture in _pictures(sections)]
    return _write_page(folder, f"{len(runs)} runs compared", sections, rendered)


def _pictures(sections: Sequence[Section]) -> list[Picture]:
    return [block for section in sections for block in section.blocks if isinstance(block, Picture)]


def _write_page(folder: Path, title: str, sections: Sequence[Section], rendered: Sequence[Rendered]) -> Path:
    """Write figures and the page that holds them; `rendered` are those of all pictures, in order."""
    before = _figures_of(folder / PAGE)
    pictures = _pictures(sections)
    names = [f"{number:02d}-{picture.name}" for number, picture in enumerate(pictures, start=1)]
    page = _render(title, sections, dict(zip(pictures, rendered, strict=True)), names)
    try:
        (folder / FIGURES).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DigitsError(f"cannot write into {folder}: {error.strerror or error}") from error
    for name, files in zip(names, rendered, strict=True):
        write_text(folder / FIGURES / f"{name}.svg", files.svg)
        with replacing(folder / FIGURES / f"{name}.png") as path:
            path.write_bytes(files.png)
    write_text(folder / PAGE, page)
    for name in before.difference(names):  # of an earlier report only
        for ending in ("svg", "png"):
            (folder / FIGURES / f"{name}.{ending}").unlink(missing_ok=True)
    return folder / PAGE


def _figures_of(page: Path) -> set[str]:
    """Return the names of the figures of an earlier report; none where there is no page.

    Raises
    ------
    DigitsError
        What is there is no report.
    """
    if not page.exists():
        return set()
    mark = MARK.search(page.read_text("utf-8", errors="replace")) if page.is_file() else None
    if mark is None:
        raise DigitsError(f"{page} is there already and no report: choose another folder, or move it away")
    return set(mark[1].split())


def _render(
    title: str, sections: Sequence[Section], rendered: Mapping[Picture, Rendered], names: Sequence[str]
) -> str:
    loader = PackageLoader("digit_recognizer.report")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["kind"] = lambda block: type(block).__name__
    environment.filters["source"] = lambda picture: _as_address(
        rendered[picture].svg.encode(), "image/svg+xml"
    )
    environment.filters["size"] = lambda picture: _size(rendered[picture])
    environment.filters["cells"] = lambda table: list(_cells(table))
    environment.filters["strips"] = _strips

    def include(name: str) -> Markup:
        text, *_ = loader.get_source(environment, name)
        return Markup(text)  # noqa: S704 - the package's own file

    return environment.get_template("report.html").render(
        title=title, sections=sections, figures=names, version=__version__, include=include
    )


def _size(figure: Rendered) -> tuple[int, int]:
    """Return a figure's width and height on a page, in pixels."""
    return round(figure.width * PIXELS_AN_INCH), round(figure.height * PIXELS_AN_INCH)


def _as_address(content: bytes, kind: str) -> str:
    """Return a file's content as an address that a page holds within itself."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _cells(table: ConfusionTable) -> Iterator[list[dict[str, Any]]]:
    """Yield for each row of a confusion matrix what the template says of each cell."""
    for shown, counts in enumerate(table.confusion.tolist()):
        yield [
            {
                "count": count,
                "key": f"{shown}-{answered}" if (shown, answered) in table.images else "",
                "kind": "none" if not count else "right" if shown == answered else "wrong",
            }
            for answered, count in enumerate(counts)
        ]


def _strips(table: ConfusionTable) -> Markup:
    """Return, as JSON for the page's script, what each cell shows when it is pointed at."""
    strips = {}
    for (shown, answered), images in table.images.items():
        columns = min(len(images), STRIP)
        page = INK - mosaic(images, columns, gap=2, fill=0).astype("uint8")
        file = io.BytesIO()
        Image.fromarray(page).quantize(16).save(file, "PNG", optimize=True)
        strips[f"{shown}-{answered}"] = {
            "source": _as_address(file.getvalue(), "image/png"),
            "width": page.shape[1],
            "height": page.shape[0],
            "title": f"{shown} taken for {answered}" if shown != answered else f"{shown} read rightly",
            "count": int(table.confusion[shown, answered]),
            "rows": table.rows[shown, answered].tolist(),
        }
    return Markup(json.dumps(strips).replace("<", "\\u003c"))  # noqa: S704 - numbers and our own words


def _add_to_metrics(study: Study) -> None:
    """Write the evaluation's numbers into the run's metrics, beside what training wrote there."""
    path = study.run.folder / run_folder.METRICS
    data = {"source": study.source, "sha256": study.digits.sha256(), "held_out": study.is_own}
    evaluation = {"data": data, **describe(study.predictions, study.labels)}
    write_json(path, {**run_folder.read_json(path), "evaluation": evaluation})
