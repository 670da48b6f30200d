"""Assembles ``report.html`` and ``figures/``; computes nothing."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from digit_recognizer import __version__, run_folder
from digit_recognizer.digits import INK, Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.files import replacing, write_json, write_text
from digit_recognizer.reporting.blocks import ConfusionTable, Picture, Section
from digit_recognizer.reporting.evaluation import describe
from digit_recognizer.reporting.figures import as_png, as_svg, mosaic
from digit_recognizer.reporting.sections import (
    Choice,
    compare,
    show_data,
    show_inside,
    show_mistakes,
    show_network,
    show_result,
    show_training,
)
from digit_recognizer.reporting.study import Study, read_run, study_run

__all__ = ["write_comparison", "write_report"]

PAGE, FIGURES = "report.html", "figures"
OURS = re.compile(r"\d{2,}-[a-z0-9-]+\.(png|svg)")  # the names of figures of earlier reports
MOST_RUNS = len(ascii_uppercase)  # each has a letter
STRIP = 8  # images side by side where a cell of the confusion matrix shows its own
PIXELS_AN_INCH = 96  # of a page

OnSection = Callable[[str], None]


def write_report(
    run: str | Path,
    digits: Digits,
    *,
    source: str = "",
    out: str | Path | None = None,
    choice: Choice | None = None,
    on_section: OnSection | None = None,
) -> Path:
    """Write a page that shows a run: its result, data, network, training, mistakes and inside.

    The page is one file that needs no network. Its figures also go, as PNG and SVG, into ``figures/`` beside
    it, and its numbers into ``metrics.json`` there, under ``evaluation``.

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
        The folder for page, figures and metrics, then the run stays as it is; the run's if None.
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
        The run is not finished or damaged; there is no such filter, digit or row; `out` is another run's; a
        file cannot be written.
    """
    tell = on_section or (lambda _title: None)
    folder = _free_for_report(Path(run), out)
    study = study_run(read_run(run), digits, source)
    chosen = choice or Choice()
    steps: list[tuple[str, Callable[[], Section]]] = [
        ("inside the network", lambda: show_inside(study, chosen)),  # first, for a choice may be refused
        ("the result", lambda: show_result(study)),
        ("the data", lambda: show_data(study)),
        ("the network", lambda: show_network(study.run)),
        ("the training", lambda: show_training(study.run)),
        ("the mistakes", lambda: show_mistakes(study)),
    ]
    sections = []
    for title, make in steps:
        tell(title)
        sections.append(make())
    tell("figures and page")
    page = _write_page(folder, _title(study), [*sections[1:], sections[0]])
    if study.evaluation is not None:
        _write_metrics(study, folder)
    return page


def _free_for_report(run: Path, out: str | Path | None) -> Path:
    """Return the folder for a run's page, which must not be another run's."""
    folder = run if out is None else Path(out)
    if (folder / run_folder.ENVIRONMENT).exists() and not folder.samefile(run):
        raise DigitsError(f"{folder} is another run's folder: choose another for the report of {run}")
    return folder


def _title(study: Study) -> str:
    recipe, name = study.run.recipe.name, study.run.name
    return name if recipe in name else f"{name}: {recipe}"


def write_comparison(
    runs: Sequence[str | Path],
    digits: Digits,
    *,
    source: str = "",
    out: str | Path,
) -> Path:
    """Write a page that compares runs; parameters, result and errors as `write_report`'s."""
    if not 2 <= len(runs) <= MOST_RUNS:
        raise DigitsError(f"expected 2 to {MOST_RUNS} runs to compare, got {len(runs)}")
    sections = compare([read_run(run) for run in runs], digits, source)
    return _write_page(Path(out), f"{len(runs)} runs compared", sections)


def _write_page(folder: Path, title: str, sections: Sequence[Section]) -> Path:
    """Write all figures, then the page that holds them."""
    try:
        (folder / FIGURES).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DigitsError(f"cannot write into {folder}: {error.strerror or error}") from error
    drawings: dict[Picture, str] = {}
    pictures = [block for section in sections for block in section.blocks if isinstance(block, Picture)]
    files = {f"{number:02d}-{picture.name}": picture for number, picture in enumerate(pictures, start=1)}
    for name, picture in files.items():
        drawings[picture] = as_svg(picture.figure)
        write_text(folder / FIGURES / f"{name}.svg", drawings[picture])
        with replacing(folder / FIGURES / f"{name}.png") as path:
            path.write_bytes(as_png(picture.figure))
    _remove_stale(folder / FIGURES, set(files))
    write_text(folder / PAGE, _render(title, sections, drawings))
    return folder / PAGE


def _remove_stale(folder: Path, names: set[str]) -> None:
    """Remove the figures of an earlier report that this one does not have."""
    for path in folder.iterdir():
        if OURS.fullmatch(path.name) and path.stem not in names and path.is_file():
            path.unlink(missing_ok=True)


def _render(title: str, sections: Sequence[Section], drawings: dict[Picture, str]) -> str:
    loader = PackageLoader("digit_recognizer.reporting")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["kind"] = lambda block: type(block).__name__
    environment.filters["source"] = lambda picture: _as_address(drawings[picture].encode(), "image/svg+xml")
    environment.filters["size"] = _size
    environment.filters["cells"] = lambda table: list(_cells(table))
    environment.filters["strips"] = _strips

    def include(name: str) -> Markup:
        text, *_ = loader.get_source(environment, name)
        return Markup(text)  # noqa: S704 - the package's own file

    return environment.get_template("report.html").render(
        title=title, sections=sections, version=__version__, include=include
    )


def _size(picture: Picture) -> tuple[int, int]:
    """Return a figure's width and height on a page, in pixels."""
    width, height = picture.figure.get_size_inches() * PIXELS_AN_INCH
    return round(width), round(height)


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


def _write_metrics(study: Study, folder: Path) -> None:
    """Write the run's metrics, and beside what training found there the evaluation's numbers."""
    data = {"source": study.source, "sha256": study.digits.sha256(), "held_out": study.is_own}
    evaluation = {"data": data, **describe(study.predictions, study.labels)}
    trained = run_folder.read_json(study.run.folder / run_folder.METRICS)
    write_json(folder / run_folder.METRICS, {**trained, "evaluation": evaluation})
