"""Rebuild docs/gallery.md and docs/gallery/ from a run's report: ``python docs/gallery.py RUN``."""

from __future__ import annotations

import shutil
import sys
from html import escape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from textwrap import fill

HERE = Path(__file__).parent
PICTURES = HERE / "gallery"
INTRODUCTION = """# Gallery

{summary}

These commands created the report and this file:

```console
$ digits train digit-recognizer.zip --recipe five-layer --out runs/five-layer
$ digits report runs/five-layer
$ python docs/gallery.py runs/five-layer
```
"""
SUMMARY = (
    "This page shows the figures of one report from `digits report`. The run used the recipe `five-layer`, "
    "30 epochs and seed 0 on the archive of the Kaggle competition. {headline} The report itself also has "
    "tables, shows the images in each cell of the confusion matrix, and adapts to light and dark mode."
)
LINE_WIDTH = 100


class Report(HTMLParser):
    """Collects sections and figures of a report, as pairs of kind and text, in `blocks`.

    The kinds are the tags h2, h3, figcaption, strong and span, and "alt" for the description of a figure.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.blocks: list[tuple[str, str]] = []
        self._open = ""
        self._in_figure = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the beginning of a figure or a text, and the description of a figure."""
        if tag == "figure":
            self._in_figure = True
        if tag == "img":
            self.blocks.append(("alt", dict(attrs)["alt"] or ""))
        if tag in ("h2", "strong", "span") or (self._in_figure and tag in ("h3", "figcaption")):
            self._open = tag

    def handle_endtag(self, tag: str) -> None:
        """Note the end of a figure or a text."""
        self._in_figure &= tag != "figure"
        self._open = ""

    def handle_data(self, data: str) -> None:
        """Collect a text."""
        if self._open:
            self.blocks.append((self._open, data.strip()))


def main(run: Path) -> None:
    """Write docs/gallery.md and copy its figures."""
    blocks = Report((run / "report.html").read_text("utf-8")).blocks
    names = [path.stem for path in sorted((run / "figures").glob("*.png"))]
    names = [name for name in names if not name.endswith("confusion-counts")]  # a table on the page
    headline = " ".join(text for kind, text in blocks if kind in ("strong", "span"))
    lines = [INTRODUCTION.format(summary=fill(SUMMARY.format(headline=headline), LINE_WIDTH))]
    pictures = iter(names)
    for (kind, text), (following, _) in pairwise([*blocks, ("", "")]):
        if kind == "h3" or (kind == "h2" and following == "h3"):  # sections without figures are left out
            lines.append(f"{'##' if kind == 'h2' else '###'} {text}\n")
        elif kind == "alt":
            lines.append(f'<img src="gallery/{next(pictures)}.png" width="480" alt="{escape(text)}">\n')
        elif kind == "figcaption":
            lines.append(fill(text, LINE_WIDTH) + "\n")
    shutil.rmtree(PICTURES, ignore_errors=True)
    PICTURES.mkdir()
    for name in names:
        shutil.copy(run / "figures" / f"{name}.png", PICTURES)
    (HERE / "gallery.md").write_text("\n".join(lines), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
