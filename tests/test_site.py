"""The site of the documentation: navigation, generated reference, links; `make docs` builds it."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
import typer
import yaml

import site_reference
from digit_recognizer import Recipe
from digit_recognizer.cli.app import app
from digit_recognizer.recipes.numbers import NumbersRecipe
from digit_recognizer.recipes.toml_tables import packaged_names
from digit_recognizer.service.app import create_app
from digit_recognizer.service.reading_schemas import reading_schema
from digit_recognizer.service.settings import Settings
from site_pages import MARKER, OUTSIDE, adapted, fetched_from_elsewhere, page_text

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PARTS = ["Tutorial", "How-to guides", "Reference", "Explanation"]
EVERY_COMMAND = 12  # at least so many commands, those of `digits corrections` included


def navigation() -> dict[str, list[str]]:
    """Return the pages of each part of the site."""
    parts = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]
    return {
        name: [entry] if isinstance(entry, str) else [page for each in entry for page in each.values()]
        for part in parts
        for name, entry in part.items()
    }


def test_the_site_has_the_four_parts():
    assert [name for name in navigation() if name in PARTS] == PARTS
    assert all(navigation().values())


def test_every_page_is_in_the_navigation_once():
    shown = sorted(page for pages in navigation().values() for page in pages)
    written = [str(page.relative_to(DOCS).as_posix()) for page in DOCS.rglob("*.md")]
    assert shown == sorted([*written, *OUTSIDE.values()])


def test_every_page_from_outside_exists():
    assert [path for path in OUTSIDE if not (ROOT / path).is_file()] == []


def test_each_generated_text_is_on_one_page():
    markers = [name for page in DOCS.rglob("*.md") for name in MARKER.findall(page.read_text("utf-8"))]
    assert sorted(markers) == sorted(site_reference.GENERATED)


def sections(text: str, level: int) -> dict[str, str]:
    """Return the text below each heading of a level."""
    parts = re.split(rf"^{'#' * level} (.*)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def commands_of(group, path: str) -> dict:
    found = {}
    for name, command in group.commands.items():
        nested = getattr(command, "commands", None)
        found |= commands_of(command, f"{path} {name}") if nested else {f"{path} {name}": command}
    return found


def test_the_reference_has_every_command_and_option():
    shown = sections(site_reference.commands(), 2)
    commands = commands_of(typer.main.get_command(app), "digits")
    assert len(commands) >= EVERY_COMMAND
    missing = [
        f"{path} {name}"
        for path, command in commands.items()
        for parameter in command.params
        if not parameter.hidden
        for name in parameter.opts
        if name.startswith("-") and name != "--help" and f"`{name}`" not in shown[f"`{path}`"]
    ]
    assert missing == []


@pytest.mark.parametrize(
    ("kind", "heading"), [(Recipe, "Keys"), (NumbersRecipe, "Keys of recipes for numbers")]
)
def test_the_reference_has_every_key_of_a_recipe(kind, heading):
    shown = sections(site_reference.recipes(), 2)[heading]
    assert [each.name for each in fields(kind) if f"| `{each.name}` |" not in shown] == []


def test_the_tables_of_recipes_are_linked_and_explained():
    text = sections(site_reference.recipes(), 2)["Keys"]
    places = {each.replace("`", "").replace(": ", "-") for each in sections(text, 3)}
    links = set(re.findall(r"\]\(#([^)]+)\)", text))
    assert {"optimizer-muon", "split", "shifts"} <= links
    assert links <= places
    rates = [line for line in text.splitlines() if line.startswith("| `factor` |")]
    assert rates == ["| `factor` | number above 0 below 1 | required | multiplies the learning rate |"]


def test_the_reference_has_every_packaged_recipe():
    shown = sections(sections(site_reference.recipes(), 2)["Packaged recipes"], 3)
    assert [each.strip("`") for each in shown] == packaged_names()
    assert "learning_rate" in shown["`standard`"]


def test_the_reference_has_every_key_of_the_json():
    shown = sections(site_reference.json_keys(), 3)
    objects = reading_schema()["$defs"]
    assert list(shown)[:3] == ["PictureReading", "PictureDigit", "PictureError"]
    missing = [
        f"{name}.{key}"
        for name, each in objects.items()
        for key in each["properties"]
        if f"| `{key}` |" not in shown[name]
    ]
    assert missing == []


def test_the_reference_has_every_route():
    shown = sections(site_reference.http(), 2)
    routes = create_app(Settings(corrections=True)).openapi()["paths"]
    named = [f"`{method.upper()} {path}`" for path, methods in routes.items() for method in methods]
    assert "`POST /v1/read`" in named
    assert [route for route in named if route not in shown] == []
    assert "| `threshold` | query | number from 0 to 1 |" in shown["`POST /v1/read`"]


def test_the_reference_has_every_public_name_once():
    directives = re.findall(r"^::: (\S+)$", site_reference.python(), re.MULTILINE)
    assert len(directives) == len(set(directives))
    names = {each.rpartition(".")[2] for each in directives}
    assert {"Recognizer", "train", "ReadingOptions", "DigitClassifier", "cross_validate"} <= names


@pytest.mark.parametrize(
    ("target", "own", "place", "link"),
    [
        ("recipes.md", "docs/training.md", "training.md", "[x](recipes.md)"),
        ("../recipes.md#a", "docs/tutorial/photo.md", "tutorial/photo.md", "[x](../recipes.md#a)"),
        ("docs/recipes.md", "CONTRIBUTING.md", "project/contributing.md", "[x](../recipes.md)"),
        ("../CONTRIBUTING.md", "docs/index.md", "index.md", "[x](project/contributing.md)"),
        ("../docs/RESULTS.md#b", "benchmarks/README.md", "project/benchmarks.md", "[x](../RESULTS.md#b)"),
        ("LICENSE", "CONTRIBUTING.md", "project/contributing.md", "x"),
        ("../benchmarks/numbers.json", "docs/LOG.md", "LOG.md", "x"),
        ("https://example.org/a.md", "docs/LOG.md", "LOG.md", "[x](https://example.org/a.md)"),
        ("#below", "docs/LOG.md", "LOG.md", "[x](#below)"),
    ],
)
def test_links_lead_to_pages_of_the_site(target, own, place, link):
    assert adapted("x", target, own, place) == link


def test_code_is_not_taken_for_links():
    code = "```python\nfirst[0](image)\n```"
    assert page_text(f"[a](../LICENSE)\n\n{code}\n", "index.md") == f"a\n\n{code}\n"


@pytest.mark.parametrize(
    ("html", "found"),
    [
        ('<script src="https://a.org/x.js"></script>', ["https://a.org/x.js"]),
        ('<link rel="stylesheet" href="//a.org/x.css">', ["//a.org/x.css"]),
        ('<a href="https://a.org">a</a><img src="a.png"><script src="assets/b.js"></script>', []),
    ],
)
def test_what_a_page_would_load_from_elsewhere_is_found(html, found):
    assert fetched_from_elsewhere(html) == found
