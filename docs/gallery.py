"""Rebuild docs/gallery.md and its pictures from a run's report: ``python docs/gallery.py RUN``."""

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

The figures of one report, as `digits report` draws them: recipe `five-layer`, 30 epochs on the competition's
archive, seed 0.
{results}

```console
$ digits train digit-recognizer.zip --recipe five-layer --out runs/five-layer
$ digits report runs/five-layer
$ python docs/gallery.py runs/five-layer
```
"""
REMAINDER = (
    "The page itself has more: tables, the images behind each cell of the confusion matrix, light and dark. "
    "These commands made it and this file:"
)
WIDTH = 118


class Report(HTMLParser):
    """Collects the sections and figures of a report: headings, alternative texts, captions."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.blocks: list[tuple[str, str]] = []  # h2, h3, alt, figcaption, strong and span, with their texts
        self._open = ""
        self._in_figure = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note where a figure begins, and what its picture is called."""
        if tag == "figure":
            self._in_figure = True
        if tag == "img":
            self.blocks.append(("alt", dict(attrs)["alt"] or ""))
        if tag in ("h2", "strong", "span") or (self._in_figure and tag in ("h3", "figcaption")):
            self._open = tag

    def handle_endtag(self, tag: str) -> None:
        """Note where a figure ends."""
        self._in_figure &= tag != "figure"
        self._open = ""

    def handle_data(self, data: str) -> None:
        """Take the text of what was opened."""
        if self._open:
            self.blocks.append((self._open, data.strip()))


def main(run: Path) -> None:
    """Write the gallery anew."""
    blocks = Report((run / "report.html").read_text("utf-8")).blocks
    names = [path.stem for path in sorted((run / "figures").glob("*.png"))]
    names = [name for name in names if not name.endswith("confusion-counts")]  # the page has a table for it
    headline = " ".join(text for kind, text in blocks if kind in ("strong", "span"))
    lines = [INTRODUCTION.format(results=fill(f"{headline} {REMAINDER}", WIDTH))]
    pictures = iter(names)
    for (kind, text), (following, _) in pairwise([*blocks, ("", "")]):
        if kind == "h3" or (kind == "h2" and following == "h3"):  # not those of sections without figures
            lines.append(f"{'##' if kind == 'h2' else '###'} {text}\n")
        elif kind == "alt":
            lines.append(f'<img src="gallery/{next(pictures)}.png" width="480" alt="{escape(text)}">\n')
        elif kind == "figcaption":
            lines.append(fill(text, WIDTH) + "\n")
    shutil.rmtree(PICTURES, ignore_errors=True)
    PICTURES.mkdir()
    for name in names:
        shutil.copy(run / "figures" / f"{name}.png", PICTURES)
    (HERE / "gallery.md").write_text("\n".join(lines), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
