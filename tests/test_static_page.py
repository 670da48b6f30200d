"""`digits export-page`: what is in its folder, and what it refuses; tests_browser looks at the page."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from importlib import import_module
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from digit_recognizer.recognition import Recognizer
from digit_recognizer.recognition.character_finder import READER_MODEL
from digit_recognizer.recognition.recognizer import BUNDLED_MODEL
from digit_recognizer.recognition.second_stage import REGIONS_MODEL
from digit_recognizer.service.export import page, runtime
from helpers import assert_refused, files_in, make_digits, says, tiny
from runs import DIGITS, LINEAR, run_to_the_end

LOCAL = page.STATIC / "local"
IN_PYTHON = {
    "agreement": "recognition.agreement",
    "answers": "service.model",
    "character_finder": "recognition.character_finder",
    "character_image": "imaging.character_image",
    "characters": "reading.characters",
    "compose": "reading.compose",
    "decode": "imaging.grey",
    "grouping": "recognition.grouping",
    "normalise": "imaging.normalise",
    "occlusion": "explain.occlusion",
    "page_reader": "recognition.page_reader",
    "region_image": "imaging.region_image",
    "rotation": "recognition.rotation",
    "second_stage": "recognition.second_stage",
    "unread": "recognition.unread",
}  # the modules in JavaScript, and those that they follow
CONSTANT = re.compile(r"^(?:export )?const ([A-Z_]+) = (.+?); *(?://.*)?$", re.MULTILINE)
PAIR = re.compile(r"^const \[([A-Z_]+), ([A-Z_]+)\] = \[(.+), (.+)\];", re.MULTILINE)
MARKS = ("a service", "<!-- end", "token", "docs", "sent to", "does not keep", "pdf")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of ONNX Runtime Web as npm has it, with other contents, which is the expected one."""
    path = tmp_path / runtime.PACKAGE
    with tarfile.open(path, "w:gz") as archive:
        for name in [*runtime.FILES, "ort.all.js"]:
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(name)
            archive.addfile(member, io.BytesIO(name.encode()))
    monkeypatch.setattr(runtime, "CHECKSUM", hashlib.sha256(path.read_bytes()).hexdigest())
    return path


@pytest.fixture
def facts(tmp_path, package):
    """Return the facts of a page that is exported with a model."""

    def export(model: Path | None = None) -> dict:
        page.export_page(tmp_path / "facts", model, package)
        return json.loads((tmp_path / "facts/static/local/models/facts.json").read_text("utf-8"))

    return export


@pytest.mark.parametrize("out", ["new", "new/below/another", "empty"])
def test_the_folder_has_all_that_the_page_loads_and_nothing_else(out, package, tmp_path, run_command):
    (tmp_path / "empty").mkdir()
    folder = tmp_path / out
    status, output, errors = run_command(f"export-page {folder} --runtime {package}")
    assert (status, errors) == (0, "")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert says(output, folder, f"{size / 1e6:.1f} MB", "http.server")
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    own = {path.relative_to(page.STATIC).as_posix() for path in page.STATIC.rglob("*") if path.is_file()}
    copied = {f"static/{name}" for name in own if name.split(".")[0] not in ("docs", "index")}
    models = {
        f"static/local/models/{name}" for name in ("facts.json", "digits.onnx", "reader.onnx", "regions.onnx")
    }
    libraries = {f"static/local/onnxruntime/{name}" for name in runtime.FILES.values()}
    assert names == {"index.html", *copied, *models, *libraries}
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []
    for original, name in runtime.FILES.items():
        assert (folder / "static/local/onnxruntime" / name).read_text() == original


def test_the_backend_of_the_page_is_the_one_in_the_browser(package, tmp_path):
    page.export_page(tmp_path / "out", runtime=package)
    with_service = (page.STATIC / "backend.js").read_text("utf-8")
    without = (tmp_path / "out/static/backend.js").read_text("utf-8")
    exported = [
        re.findall(r"^export (\{.*\}) from (.*);$", text, re.MULTILINE) for text in (with_service, without)
    ]
    names = "{ asBody, ask, onTokenWanted }"
    assert exported == [[(names, '"./service.js"')], [(names, '"./local/backend.js"')]]


def test_the_page_shows_nothing_that_needs_a_service(package, tmp_path):
    page.export_page(tmp_path / "out", runtime=package)
    before = (page.STATIC / "index.html").read_text("utf-8")
    after = (tmp_path / "out/index.html").read_text("utf-8")
    assert [mark for mark in MARKS if mark not in before.lower()] == []
    assert [mark for mark in MARKS if mark in after.lower()] == []
    assert says(after, "stay in this browser", 'id="loading"', 'accept="image/*"')
    for ending in ("main", "header", "footer", "section", "label", "p", "script", "dialog"):
        assert len(re.findall(rf"<{ending}\b", after)) == after.count(f"</{ending}>"), ending


@pytest.mark.parametrize("path", sorted(page.STATIC.rglob("*.js")), ids=lambda path: path.name)
def test_every_import_of_the_page_has_a_file(path):
    for name in re.findall(r'from "(\..*?)";', path.read_text("utf-8")):
        target = (path.parent / name).resolve()
        assert target.exists() or target.name in runtime.FILES.values(), name


def test_the_models_are_those_of_the_package_and_tell_their_inside(facts, tmp_path):
    found = facts()
    models = tmp_path / "facts/static/local/models"
    for model in (READER_MODEL, REGIONS_MODEL):
        assert (models / model.name).read_bytes() == model.read_bytes()
    session, images = onnxruntime.InferenceSession(models / "digits.onnx"), make_digits(5).images
    values = session.run(
        [*found["outputs"], *(each["output"] for each in found["layers"])], {"images": images}
    )
    assert (values[0] == Recognizer(BUNDLED_MODEL).predict(images).probabilities).all()
    kernels = found["filters"]["layers"]
    assert [len(maps[0]) for maps in values[len(found["outputs"]) :]] == [each["outputs"] for each in kernels]
    assert [each["name"] for each in found["layers"]] == [each["name"] for each in kernels]
    card = found["model"]
    assert (card["source"], card["knows_no_digit"], card["corrections"]) == ("shipped", True, False)
    assert 0 < found["imageWeight"] < 1


def test_a_page_can_have_the_model_of_a_run(facts, tmp_path):
    run = run_to_the_end(tmp_path / "run", tiny(*LINEAR), DIGITS)
    found = facts(run)
    assert found["model"]["source"] == "run"
    assert (found["outputs"], found["layers"], found["imageWeight"]) == (["probabilities"], [], 1.0)


def test_what_is_in_the_way_is_refused_and_stays(package, tmp_path, run_command):
    taken = {"a file": tmp_path / "file", "a folder with something": tmp_path / "folder"}
    taken["a file"].write_text("mine")
    taken["a folder with something"].mkdir()
    (taken["a folder with something"] / "index.html").write_text("mine")
    before = files_in(tmp_path)
    for out in taken.values():
        assert_refused(
            run_command(f"export-page {out} --runtime {package}"), out, "already exists", "another folder"
        )
    below_a_file = taken["a file"] / "out"
    assert_refused(run_command(f"export-page {below_a_file} --runtime {package}"), below_a_file)
    assert files_in(tmp_path) == before


def test_what_cannot_be_exported_is_refused_and_leaves_nothing(package, tmp_path, run_command):
    other = tmp_path / "other.tgz"
    other.write_bytes(b"no archive")
    refused = [
        (f"--runtime {tmp_path / 'missing.tgz'}", "missing.tgz", "No such file"),
        (f"--runtime {tmp_path}", tmp_path, "directory"),
        (f"--runtime {other}", "other.tgz", runtime.PACKAGE, runtime.CHECKSUM, "npm pack"),
        (f"--runtime {package} --model {tmp_path / 'no-run'}", "no-run"),
        (f"--runtime {package} --model {READER_MODEL}", "reader.onnx", "whole numbers"),
    ]
    for options, *facts in refused:
        assert_refused(run_command(f"export-page {tmp_path / 'out'} {options}"), *facts)
    assert {path.name for path in tmp_path.iterdir()} == {package.name, other.name}


NPM = """#!/bin/sh
for folder; do :; done
{does}
"""


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """Put a program named npm first, which does one line of shell, and use an empty folder for downloads."""
    monkeypatch.setenv("DIGITS_CACHE", str(tmp_path / "cache"))

    def does(line: str) -> None:
        (tmp_path / "bin").mkdir(exist_ok=True)
        program = tmp_path / "bin/npm"
        program.write_text(NPM.format(does=line), "utf-8")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:/bin:/usr/bin")

    return does


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("echo no such host >&2; exit 1", "no such host"),
        ("exit 1", "no connection"),
        ("true", "no connection"),
        (f"echo half > $folder/{runtime.PACKAGE}", "expected the SHA-256"),
    ],
)
def test_a_download_that_fails_says_what_to_do_and_leaves_nothing(npm, line, reason, tmp_path, run_command):
    npm(line)
    ended = run_command(f"export-page {tmp_path / 'out'}")
    assert_refused(ended, reason, runtime.PACKAGE, "npm pack")
    assert not (tmp_path / "out").exists()
    assert not any((tmp_path / "cache").iterdir())


def test_without_npm_the_error_says_what_to_install(tmp_path, monkeypatch, run_command):
    monkeypatch.setenv("DIGITS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert_refused(run_command(f"export-page {tmp_path / 'out'}"), "Node.js", runtime.PACKAGE, "--runtime")


def test_the_package_is_downloaded_once(npm, package, tmp_path):
    npm(f"mv {package} $folder")
    for _ in range(2):  # there is nothing to move any more
        assert set(runtime.runtime_files()) == set(runtime.FILES.values())
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [runtime.PACKAGE]


@pytest.mark.parametrize("out", ["new", "empty"])
def test_a_page_that_cannot_be_written_leaves_nothing(out, package, tmp_path, monkeypatch, run_command):
    def full(*_):
        raise OSError(28, "No space left on device")

    (tmp_path / "empty").mkdir()
    monkeypatch.setattr(page, "without_service", full)  # the last step
    before = files_in(tmp_path)
    assert_refused(
        run_command(f"export-page {tmp_path / out} --runtime {package}"), out, "No space left on device"
    )
    assert files_in(tmp_path) == before
    assert list((tmp_path / "empty").iterdir()) == []
    assert not (tmp_path / "new").exists()


def constants(path: Path) -> dict[str, object]:
    """Return the numbers, texts and lists in capitals of a module in JavaScript."""
    text = path.read_text("utf-8")
    pairs = [(name, value) for a, b, x, y in PAIR.findall(text) for name, value in ((a, x), (b, y))]
    found = {}
    for name, value in [*CONSTANT.findall(text), *pairs]:
        if re.fullmatch(r'[-\d_.e+*/ ,\[\]]+|".*"', value):
            found[name] = eval(value, {})  # numbers of our own file
    return found


@pytest.mark.parametrize(("name", "module"), IN_PYTHON.items())
def test_constants_in_javascript_are_those_of_python(name, module):
    python = import_module(f"digit_recognizer.{module}")
    found = constants(LOCAL / f"{name}.js")
    assert found
    shared = {each for each in found if hasattr(python, each)}
    assert shared
    for each in shared:
        assert np.array_equal(found[each], getattr(python, each)), each
