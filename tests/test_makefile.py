"""The Makefile installs what a target needs and no more; pip and the programs are replaced by scripts."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DEVELOPERS = "-e .[train,tune,serve,dev]"


@pytest.fixture
def make(tmp_path) -> Callable[..., list[str]]:
    """Return a function that runs targets in turn and returns what pip was asked to install."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    programs = tmp_path / ".venv/bin"
    programs.mkdir(parents=True)
    for name in ("digits", "pip", "pytest"):
        (programs / name).write_text(f'#!/bin/sh\necho {name} "$@" >> started\n')
        (programs / name).chmod(0o755)

    def run(*targets: str) -> list[str]:
        for target in targets:
            subprocess.run(["make", target], cwd=tmp_path, check=True, capture_output=True)
        started = (tmp_path / "started").read_text().splitlines()
        assert len([line for line in started if not line.startswith("pip ")]) >= len(targets)
        return [line.partition("-c constraints.txt ")[2] for line in started if line.startswith("pip ")]

    return run


@pytest.mark.parametrize(
    ("target", "asked"), [("run", "-e .[train]"), ("serve", "-e .[serve]"), ("test", DEVELOPERS)]
)
def test_a_target_installs_what_it_needs_once(target, asked, make):
    assert make(target, target) == [asked]


def test_the_tests_install_more_than_a_run(make):
    assert make("run", "test", "run") == ["-e .[train]", DEVELOPERS]


def test_after_the_tests_everything_is_installed(make):
    assert make("test", "run", "serve", "test") == [DEVELOPERS]


def test_changed_pins_are_installed(make, tmp_path):
    make("run")
    constraints = tmp_path / "constraints.txt"
    constraints.write_text(constraints.read_text() + "another==1\n")
    later = (tmp_path / ".venv/.ready-train").stat().st_mtime_ns + 1_000_000_000
    os.utime(constraints, ns=(later, later))
    assert make("run") == ["-e .[train]", "-e .[train]"]
