"""The Dockerfile: what it copies, installs and runs exists; the image itself is built by the workflow."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from digit_recognizer.service import Settings
from serving import serving

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
IGNORED = [
    line for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line[:1] not in ("#", "")
]


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions: name and arguments, without comments and continued lines."""
    text = (ROOT / "Dockerfile").read_text("utf-8")
    lines = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    return [
        (name, arguments.strip()) for line in lines if line for name, _, arguments in [line.partition(" ")]
    ]


LAST_STAGE = instructions()[max(i for i, (name, _) in enumerate(instructions()) if name == "FROM") :]


def arguments(name: str) -> list[str]:
    return [each for found, each in LAST_STAGE if found == name]


def is_sent(path: str) -> bool:
    """Return whether .dockerignore, whose last matching line counts, lets a path through."""
    sent = True
    for line in IGNORED:
        if fnmatch(path, line.removeprefix("!")):
            sent = line.startswith("!")
    return sent


def test_what_is_copied_exists_and_is_sent_to_the_builder():
    copies = [each.split()[:-1] for name, each in instructions() if name == "COPY" and "--from" not in each]
    paths = [path for each in copies for path in each]
    assert {"pyproject.toml", "constraints.txt", "src"} <= set(paths)
    for path in paths:
        assert (ROOT / path).exists(), path
        assert is_sent(path), path
    needed = {PROJECT["readme"], *PROJECT["license-files"]}  # hatchling reads these
    assert needed <= set(paths)
    assert not is_sent("data")
    assert not is_sent(".git")


def test_the_extras_that_are_installed_exist():
    (extras,) = re.findall(r"'\.\[([a-z,]+)\]'", dict(instructions())["RUN"] + str(instructions()))
    assert {"serve", "pdf", "heic"} == set(extras.split(",")) <= set(PROJECT["optional-dependencies"])


def test_both_stages_have_a_python_that_is_supported():
    bases = {each.split()[0] for name, each in instructions() if name == "FROM"}
    assert len(bases) == 1
    (version,) = re.findall(r"^python:(3\.\d+)-slim$", bases.pop())
    assert f"Programming Language :: Python :: {version}" in PROJECT["classifiers"]


def test_it_does_not_run_as_root():
    (user,) = arguments("USER")
    assert int(user) > 0
    assert [name for name, _ in LAST_STAGE].index("USER") < [name for name, _ in LAST_STAGE].index(
        "ENTRYPOINT"
    )


def test_its_variables_are_settings_of_the_service():
    variables = re.findall(r"DIGITS_([A-Z_]+)=", " ".join(arguments("ENV")))
    assert {each.lower() for each in variables} == {"host", "port"} <= set(Settings.model_fields)


def test_its_command_serves_and_its_health_check_tells(tmp_path, run_command):
    program, command = json.loads(arguments("ENTRYPOINT")[0])
    assert program in PROJECT["scripts"]
    assert run_command(f"{command} --help")[0] == 0
    (health,) = arguments("HEALTHCHECK")
    python, *words = json.loads(health.partition("CMD ")[2])
    assert python == "python"

    def status(port: int) -> int:
        environment = {**os.environ, "DIGITS_PORT": str(port)}
        command = [sys.executable, *words]
        return subprocess.run(command, env=environment, check=False, stderr=subprocess.DEVNULL).returncode

    with serving("--token", "secret", cwd=tmp_path) as service:
        assert status(service.port) == 0
        assert service.end() == 0
        assert status(service.port) == 1


@pytest.mark.parametrize("host", ["0.0.0.0"])
def test_without_a_token_it_says_what_to_set(host, run_command, monkeypatch):
    monkeypatch.setenv("DIGITS_HOST", host)
    status, _, errors = run_command("serve")
    assert (status, errors.count("\n")) == (2, 1)
    assert "--token" in errors
