"""The notebooks run from their first cell to their last, with the bundled digits and few epochs."""

from __future__ import annotations

import ast
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import digit_recognizer

FOLDER = Path(__file__).parent.parent / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
SHORTER = {
    "competition": ('load_recipe("standard")', 'load_recipe("standard", ["epochs=1"])'),
    "inside": ("epochs=8", "epochs=2"),
}  # what makes a training short
LIMIT_SECONDS = 120  # for a cell
WRITTEN = {"2026", "481", "63", "90210", "17"}  # by photos.ipynb, if there are no photos


def read(name: str) -> Any:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code_of(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that runs a notebook in an empty folder, and returns it with its outputs."""
    monkeypatch.delenv("DIGITS_DATA", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # fastest for so few images beside other programs
    monkeypatch.setenv(
        "PYTHONPATH", str(Path(digit_recognizer.__file__).parents[1])
    )  # also if it was relative

    def run(name: str) -> Any:
        notebook = read(name)
        if name in SHORTER:
            (cell,) = [each for each in code_of(notebook) if SHORTER[name][0] in each.source]
            cell.source = cell.source.replace(*SHORTER[name])
        NotebookClient(
            notebook, timeout=LIMIT_SECONDS, resources={"metadata": {"path": str(tmp_path)}}
        ).execute()
        return notebook

    return run


def kinds_shown(notebook: Any) -> list[str]:
    """Return the richest type of each output."""
    outputs = [output for cell in code_of(notebook) for output in cell.outputs]
    shown = [output.data for output in outputs if output.output_type in ("execute_result", "display_data")]
    return [next(kind for kind in ("image/png", "text/html", "text/plain") if kind in data) for data in shown]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Proactor event loop does not implement add_reader")  # on Windows
def test_ten_cells_make_a_submission(run, tmp_path):
    notebook = run("competition")
    assert len(code_of(notebook)) == 10
    head, *lines = (tmp_path / "submission.csv").read_text("utf-8").splitlines()
    assert head == "ImageId,Label"
    assert [line.partition(",")[0] for line in lines] == [str(number) for number in range(1, 301)]
    assert kinds_shown(notebook).count("image/png") == 3  # examples, augmentation, mistakes
    assert kinds_shown(notebook).count("text/html") >= 3  # recipe, run, evaluation
    (run_folder,) = (tmp_path / "runs").iterdir()
    assert (run_folder / "metrics.json").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Proactor event loop does not implement add_reader")
def test_a_network_shows_its_inside(run):
    kinds = kinds_shown(run("inside"))
    assert kinds.count("image/png") == 7
    assert kinds.count("text/html") >= 2  # run, recognizer
    assert "text/plain" not in kinds


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Proactor event loop does not implement add_reader")
def test_pictures_are_made_and_read(run, tmp_path):
    assert kinds_shown(run("photos")) == ["text/html"] * 4
    read = json.loads((tmp_path / "numbers.json").read_text("utf-8"))
    assert list(read) == ["written-1.png", "written-2.png"]
    found = {number for numbers in read.values() for number in numbers}
    assert len(found & WRITTEN) > len(WRITTEN) / 2


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_stored_without_outputs(name):
    """They would go stale, and make every change hard to read."""
    notebook = read(name)
    nbformat.validate(notebook)
    assert not any(cell.outputs or cell.execution_count for cell in code_of(notebook))
    assert notebook.metadata.kernelspec.name == "python3"


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_uses_only_public_names(name):
    source = "\n".join(cell.source for cell in code_of(read(name))[1:])
    imported = [
        (node.module, alias.name)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.module.startswith("digit_recognizer")
        for alias in node.names
    ]
    assert imported
    for module, public in imported:
        names = getattr(import_module(module), "__all__", None)
        assert not public.startswith("_")
        assert names is None or public in names or module == "digit_recognizer.report"  # its `figures`


def test_all_notebooks_begin_alike():
    """They install the package from its wheel, with what they need, and keep the NumPy that is loaded."""
    first = {name: code_of(read(name))[0].source for name in NAMES}
    assert len(NAMES) == 3
    assert {source.partition("%pip")[0] for source in first.values()} == {
        first["photos"].partition("%pip")[0]
    }
    lines = {name: source.splitlines()[-1].strip() for name, source in first.items()}
    numpy = '"numpy=={numpy.__version__}"'
    assert lines == {
        "competition": f'%pip install --quiet "{{wheels[0]}}[train]" {numpy}',
        "inside": f'%pip install --quiet "{{wheels[0]}}[train]" {numpy}',
        "photos": f'%pip install --quiet "{{wheels[0]}}[heic,pdf]" "scikit-learn" {numpy}',
    }
