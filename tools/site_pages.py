"""The pages of the documentation's site: those from outside docs/, and the links between all.

A page in docs/reference/ has a comment, ``<!-- generated: commands -->``, which is replaced with the result
of the function of this name in `site_reference.GENERATED`.
"""

from __future__ import annotations

import posixpath
import re

import site_reference

DOCS = "docs"
MARKER = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)
FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)  # blocks of code, which have no links
LINK = re.compile(r"\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^()\s]+)\)")
OUTSIDE = {
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "benchmarks/README.md": "project/benchmarks.md",
    "src/digit_recognizer/recognition/models/README.md": "project/models.md",
}  # files of the repository, and their places in the site


def page_text(markdown: str, place: str) -> str:
    """Return the text of the page at a place of the site: generated parts inserted, links adapted."""
    own = next((path for path, other in OUTSIDE.items() if other == place), f"{DOCS}/{place}")
    text = MARKER.sub(lambda found: site_reference.GENERATED[found[1]](), markdown)
    parts = FENCED.split(text)
    parts[::2] = [
        LINK.sub(lambda found: adapted(found[1], found[2], own, place), part) for part in parts[::2]
    ]
    return "".join(parts)


def adapted(text: str, target: str, own: str, place: str) -> str:
    """Return a link of the repository's file `own` for its page; only the text if its target is no page."""
    path, mark, anchor = target.partition("#")
    if "://" in target or target.startswith("mailto:") or not path:
        return f"[{text}]({target})"
    path = posixpath.normpath(posixpath.join(posixpath.dirname(own), path))
    if path in OUTSIDE:
        other = OUTSIDE[path]
    elif path.startswith(f"{DOCS}/"):
        other = path.removeprefix(f"{DOCS}/")
    else:
        return text
    return f"[{text}]({posixpath.relpath(other, posixpath.dirname(place) or '.')}{mark}{anchor})"


def fetched_from_elsewhere(html: str) -> list[str]:
    """Return the addresses on other hosts from which a page would load scripts, styles, fonts or pictures."""
    loaded = re.findall(r'<(?:script|img|iframe|source)\b[^>]*?\ssrc="((?:https?:)?//[^"]+)"', html)
    linked = re.findall(r'<link\b[^>]*?\srel="(?:stylesheet|preconnect|preload|icon)"[^>]*>', html)
    return loaded + [each for tag in linked for each in re.findall(r'href="((?:https?:)?//[^"]+)"', tag)]
