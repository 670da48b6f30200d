"""Draw ``docs/overview.svg``: a recording of the terminal while three commands ran.

``script -c bash typescript`` records what a terminal shows, colours included, until ``exit``;
``python docs/overview.py typescript > docs/overview.svg`` draws what was recorded.
"""

from __future__ import annotations

import re
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

COLUMNS = 100
FRAME = """<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font: {char_height}px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
<rect width="{width}" height="{height}" rx="10" fill="#0c0c0c"/>
<g transform="translate(20, 18)">{backgrounds}<g class="{unique_id}-matrix">{matrix}</g></g>
</svg>
"""


def main() -> None:
    """Read a recording from the file named and print it as SVG."""
    recorded = Path(sys.argv[1]).read_bytes().decode("utf-8")  # its carriage returns too
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True)
    for line in final_lines(recorded):
        console.print(Text.from_ansi(line), soft_wrap=False, highlight=False)
    print(console.export_svg(theme=MONOKAI, code_format=FRAME, unique_id="overview"))


def final_lines(recorded: str) -> list[str]:
    """Return the lines as they stood at the end: of a line drawn again and again, only the last."""
    text = re.sub(r"\x1b\[\?25[lh]", "", recorded)  # the cursor hidden and shown
    lines = []
    for line in text.replace("\r\n", "\n").split("\n"):
        if "\x1b[1A" in line:  # goes back to the line before and clears it
            lines.pop()
        kept = re.split(r"\r|\x1b\[2K|\x1b\[1A", line)
        lines.append(next((part for part in reversed(kept) if part), ""))
    return lines


if __name__ == "__main__":
    main()
