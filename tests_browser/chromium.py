"""Chromium, for tests and benchmarks: the installed one, driven by Playwright."""

from __future__ import annotations

import shutil

from playwright.sync_api import Browser, Playwright

PROGRAMS = ("chromium", "google-chrome", "chromium-browser")
FLAGS = (
    "--no-sandbox",  # with it, Chromium does not start as root
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def launch(playwright: Playwright) -> Browser:
    """Start the installed Chromium."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        raise SystemExit("Chromium is not installed: run 'make test-browser'")
    return playwright.chromium.launch(executable_path=program, args=list(FLAGS))
