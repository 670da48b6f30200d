"""Versions that stand in several files are the same in all."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from digit_recognizer import __version__

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PINS = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE))
PINNED = {re.sub(r"[-_.]+", "-", name).lower() for name in PINS}


@pytest.mark.parametrize("extra", [None, *PROJECT["optional-dependencies"]])
def test_every_requirement_is_pinned(extra):
    requirements = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    names = {re.match(r"[\w-]+", each)[0].lower() for each in requirements}
    assert names <= PINNED


def test_pre_commit_has_the_pinned_ruff():
    versions = re.findall(r"ruff==([\d.]+)", (ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    assert set(versions) == {PINS["ruff"]}


def test_the_citation_is_of_this_version():
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
