"""How fast the page answers, in Chromium on the same machine as the service.

``make test-browser`` installs what this needs; then run ``python benchmarks/page.py``. It reports the time
from lifting the pen to the painted answer (median and 90th percentile), the feature maps painted per second
while the pen moves, and the readings of 81 drawings of each digit: at 9 positions, in 3 sizes, with 3 pens.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import Counter
from itertools import pairwise, product
from pathlib import Path
from typing import Any

from _bench import at_least, facts_of_machine, measure_and_write, own_versions

ROOT = Path(__file__).resolve().parents[1]
sys.path += [str(ROOT / "tests"), str(ROOT / "tests_browser")]

from chromium import launch  # noqa: E402
from handwriting import DIGITS, draw_at_once  # noqa: E402
from playwright.sync_api import Page, sync_playwright  # noqa: E402

from serving import serving  # noqa: E402

WINDOW = {"width": 1280, "height": 800}
PENS, HEIGHTS, POSITIONS = ("Fine pen", "Medium pen", "Broad pen"), (70, 140, 240), (0.0, 0.5, 1.0)
PACE_MS = 1000 / 60  # between two movements of the mouse
ANSWERS = "performance.getEntriesByName('pen-up to answer').map(one => one.duration)"
COUNT_MAPS = """() => {
    window.maps = [];
    const add = list => window.maps.push(...list.getEntriesByName("maps").map(one => one.startTime));
    new PerformanceObserver(add).observe({type: "mark"});
}"""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--repeats",
        type=at_least(1),
        default=5,
        metavar="N",
        help="drawings of each digit; default: %(default)s",
    )
    parser.add_argument(
        "--digits", default="0123456789", help="the digits to draw, 81 times each; default: %(default)s"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="PATH", help="write the figures as JSON, too")
    return measure_and_write(parser.parse_args(), _run)


def _run(arguments: argparse.Namespace, _folder: Path) -> dict[str, Any]:
    with serving() as service, sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_page(viewport=WINDOW)
        page.set_default_timeout(120_000)
        page.goto(f"http://127.0.0.1:{service.port}")
        page.wait_for_selector(".layer")
        figures = _timed(page, arguments.repeats) | {"alike": _alike(page, arguments.digits)}
        browser.close()
    print(json.dumps(figures, indent=2))
    return {"machine": facts_of_machine(), "versions": own_versions(), **figures}


def _timed(page: Page, repeats: int) -> dict[str, Any]:
    """Draw each digit at the pace of a mouse, and measure; the first drawings do not count."""
    page.evaluate(COUNT_MAPS)
    gaps: list[float] = []
    for digit in [*"18", *list(DIGITS) * repeats]:
        page.evaluate("window.maps.length = 0")
        draw_at_once(page, digit, 250, 100, 300, steps=6, pace=PACE_MS)
        times = page.evaluate("window.maps")
        gaps += [later - sooner for sooner, later in pairwise(times)]
        page.wait_for_selector("#text[aria-busy=false]")
        page.locator("#clear").click()
    durations = sorted(page.evaluate(ANSWERS)[3:])
    return {
        "pen-up to answer, ms": {
            "median": round(statistics.median(durations), 1),
            "90 %": round(durations[int(0.9 * len(durations))], 1),
            "drawings": len(durations),
        },
        "feature maps a second": round(1000 / statistics.mean(gaps), 1),
    }


def _alike(page: Page, digits: str) -> dict[str, Any]:
    """Draw each digit at 9 positions, in 3 sizes, with 3 pens, and count the readings."""
    paper = page.locator("#paper").bounding_box()
    assert paper is not None
    found = {}
    for digit in digits:
        answers: Counter[str] = Counter()
        for pen, height, across, down in product(PENS, HEIGHTS, POSITIONS, POSITIONS):
            page.get_by_label(pen).check()
            left = 20 + across * (paper["width"] - 40 - 0.75 * height)
            draw_at_once(page, digit, left, 20 + down * (paper["height"] - 40 - height), height)
            page.wait_for_selector("#text[aria-busy=false]")
            answers[page.locator("#text").inner_text()] += 1
            page.locator("#clear").click()
        found[digit] = dict(answers.most_common())
        print(digit, found[digit], flush=True)
    return found


if __name__ == "__main__":
    raise SystemExit(main())
