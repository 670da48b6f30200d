"""How long `digits report` takes, compared with `digits evaluate` of the same run.

``python benchmarks/report.py runs/five-layer --repeats 5`` runs both in turns, as complete processes that
load the run's own source.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _report import Measured, Summary, ratios_in_turn, summarise, table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    rows: list[Summary] = []
    for run in options.runs:
        rows += _measure(run, options.repeats)
    print(table(rows))


def _measure(run: Path, repeats: int) -> list[Summary]:
    figures: list[Measured] = []
    sizes = []
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(repeats):
            figures.append(Measured("evaluate", repeat, _seconds("evaluate", str(run))))
            figures.append(Measured("report", repeat, _seconds("report", str(run), "-o", folder)))
            sizes.append((Path(folder) / "report.html").stat().st_size / 1e6)
    section = run.name
    return [
        summarise(figures, "evaluate", section, "digits evaluate", "s"),
        summarise(figures, "report", section, "digits report", "s"),
        Summary(section, "report / evaluate", "×", ratios_in_turn(figures, "report", "evaluate")),
        Summary(section, "report.html", "MB", tuple(sizes)),
    ]


def _seconds(*words: str) -> float:
    started = time.perf_counter()
    command = [sys.executable, "-m", "digit_recognizer", *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
