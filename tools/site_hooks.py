"""Hooks of MkDocs: pages from outside docs/, generated pages, and no page that loads from elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # MkDocs loads a hook by its path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from site_pages import OUTSIDE, fetched_from_elsewhere, page_text

ROOT = Path(__file__).parent.parent


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside docs/."""
    for path, place in OUTSIDE.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Return the text that the site shows."""
    return page_text(markdown, page.file.src_uri)


def on_post_page(output: str, page: Page, **_: Any) -> str:
    """Refuse a page that does not work offline."""
    if found := fetched_from_elsewhere(output):
        raise PluginError(f"{page.file.src_uri} would load {', '.join(found)}: the site has to work offline")
    return output
