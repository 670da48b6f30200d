"""The page without a service, in Chromium: its answers beside the service's, and how fast they are.

``make test-browser`` installs what this needs; then run ``python benchmarks/static_page.py``. It reports how
many of 100 drawings and 20 pictures have the same text as from the service, by how much confidences differ,
the time from opening the page until its first answer, and from lifting the pen to the painted answer.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from _bench import at_least, facts_of_machine, measure_and_write, own_versions

ROOT = Path(__file__).resolve().parents[1]
sys.path += [str(ROOT / "tests"), str(ROOT / "tests_browser")]

from chromium import launch  # noqa: E402
from exported import READ, ask, drawing, picture, serving_files  # noqa: E402
from handwriting import draw_at_once  # noqa: E402
from playwright.sync_api import Browser, Page, sync_playwright  # noqa: E402

from digit_recognizer.service.export.page import export_page  # noqa: E402
from serving import Service, serving  # noqa: E402

WINDOW = {"width": 1280, "height": 800}
KINDS = ("PNG", "JPEG", "WEBP")
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}
PACE_MS = 1000 / 60  # between two movements of the mouse
PATIENCE_SECONDS = 600  # for a picture, beside busy programs
ANSWERS = "performance.getEntriesByName('pen-up to answer').map(one => one.duration)"
NUMBERS = ("47", "8", "2026", "135")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (("drawings", 100), ("pictures", 20), ("openings", 5), ("repeats", 10)):
        parser.add_argument(
            f"--{name}", type=at_least(1), default=default, metavar="N", help="default: %(default)s"
        )
    parser.add_argument(
        "--photos", type=Path, metavar="FOLDER", help="take the pictures from a folder instead"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="PATH", help="write the figures as JSON, too")
    return measure_and_write(parser.parse_args(), _run)


def _run(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    size = export_page(folder / "page")
    with ExitStack() as stack:
        service = stack.enter_context(serving())
        address = stack.enter_context(serving_files(folder / "page"))
        playwright = stack.enter_context(sync_playwright())
        browser = launch(playwright)
        first = [_time_to_first_answer(browser, address) for _ in range(arguments.openings)]
        page = _open(browser, address)
        figures = {
            "megabytes": round(size / 1e6, 1),
            "opened to first answer, s": round(statistics.median(first), 2),
            "pen-up to answer, ms": _time_from_pen_up(page, arguments.repeats),
            "beside the service": _compared(page, service, arguments),
        }
        browser.close()
    print(json.dumps(figures, indent=2, ensure_ascii=False))
    return {"machine": facts_of_machine(), "versions": own_versions(), **figures}


def _open(browser: Browser, address: str) -> Page:
    page = browser.new_page(viewport=WINDOW)
    page.set_default_timeout(1000 * PATIENCE_SECONDS)
    page.goto(address)
    page.wait_for_selector(".layer")
    return page


def _time_to_first_answer(browser: Browser, address: str) -> float:
    """Return the seconds from opening the page until a digit, written as soon as there is paper, is read."""
    page = browser.new_page(viewport=WINDOW)
    page.set_default_timeout(1000 * PATIENCE_SECONDS)
    start = time.perf_counter()
    page.goto(address)
    draw_at_once(page, "8", 250, 100, 300)
    page.wait_for_selector("#text[data-state=digits]")
    seconds = time.perf_counter() - start
    page.close()
    return seconds


def _time_from_pen_up(page: Page, repeats: int) -> dict[str, Any]:
    """Draw numbers at the pace of a mouse, and measure."""
    for number in NUMBERS * repeats:
        draw_at_once(page, number, 60, 100, 150, steps=6, pace=PACE_MS)
        page.wait_for_selector("#text[aria-busy=false]")
        page.locator("#clear").click()
    durations = sorted(page.evaluate(ANSWERS))
    return {
        "median": round(statistics.median(durations), 1),
        "90 %": round(durations[int(0.9 * len(durations))], 1),
        "pen-ups": len(durations),
    }


def _compared(page: Page, service: Service, arguments: argparse.Namespace) -> dict[str, Any]:
    same, differences, seconds = {"drawings": 0, "pictures": 0}, [0.0], []
    for kind, content in _examples(page, arguments):
        path = READ + ("&upright=true" if kind == "drawings" else "")
        expected = json.loads(service.ask(path, content, PATIENCE_SECONDS)[1])
        found = ask(page, path, content)
        if found.get("text") != expected.get("text"):
            print(f"{kind}: {found.get('text')!r} instead of {expected.get('text')!r}", flush=True)
            continue
        same[kind] += 1
        seconds.append((found["seconds"], expected["seconds"]))
        pairs = zip(_confidences(found), _confidences(expected), strict=True)
        differences += [abs(one - other) for one, other in pairs]
    return {
        "same text": same,
        "largest difference of a confidence": round(max(differences), 4),
        "seconds for a picture, page and service": np.median(seconds, axis=0).round(3).tolist(),
    }


def _examples(page: Page, arguments: argparse.Namespace) -> Iterator[tuple[str, bytes]]:
    """Yield drawings and pictures, with their kind."""
    generator = np.random.default_rng(1)
    for _ in range(arguments.drawings):
        yield "drawings", drawing(page, generator)
    if arguments.photos is None:
        for number in range(arguments.pictures):
            yield "pictures", picture(generator, KINDS[number % len(KINDS)])
        return
    files = sorted(path for path in arguments.photos.rglob("*") if path.suffix.lower() in SUFFIXES)
    for place in np.linspace(0, len(files) - 1, min(arguments.pictures, len(files))).astype(int):
        yield "pictures", files[place].read_bytes()


def _confidences(answer: dict[str, Any]) -> list[float]:
    return [number["confidence"] for line in answer["lines"] for number in line["numbers"]]


if __name__ == "__main__":
    raise SystemExit(main())
