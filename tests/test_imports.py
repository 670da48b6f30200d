"""Imports point one way, as the design says; and what is heavy is imported where it is needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path

import pytest

import digit_recognizer

ROOT = Path(digit_recognizer.__file__).parent
PACKAGE = "digit_recognizer"
LEAVES = {"digits", "errors", "files", "intervals", "machine", "reading", "run_folder"}
ROOMS = {
    "imaging": set(),
    "sources": {"imaging"},
    "training": {"imaging", "sources"},
    "recognition": {"imaging"},
    "reporting": {"recognition", "sources", "training"},
    "serving": {"imaging", "sources", "recognition", "reporting"},
    "cli": {"imaging", "sources", "training", "recognition", "reporting", "serving"},
}  # which rooms each may import, besides the leaves and itself
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))
CORE = {"PIL", "cv2", "numpy", "onnxruntime", "rich", "typer"}  # installed without any extra
DRAWING = {"jinja2", "markupsafe", "matplotlib", "onnx", "safetensors"}  # what a report needs besides
SERVING = {
    "fastapi",
    "httptools",
    "prometheus_client",
    "pydantic",
    "pydantic_core",
    "pydantic_settings",
    "starlette",
    "uvicorn",
}
AT_HAND = ("reporting/__init__.py", "reporting/evaluation.py")  # of that room: imported to evaluate as well


def imports(module: str, *, at_once: bool = False) -> Iterator[str]:
    """Yield the full name of all that a module imports; `at_once` leaves out what waits in functions.

    What stands below ``if TYPE_CHECKING:`` counts as imported, for it is known; but not `at_once`.
    """
    package = ".".join([PACKAGE, *Path(module).parent.parts])
    for node in walk(ast.parse((ROOT / module).read_text("utf-8")), at_once=at_once):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = (
                resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module
            )
            yield from (f"{base}.{alias.name}" for alias in node.names)


def walk(tree: ast.AST, *, at_once: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if at_once and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if at_once and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from walk(node, at_once=at_once)


def room(module: str) -> str:
    return module.partition("/")[0].removesuffix(".py")


def rooms_imported(module: str) -> set[str]:
    names = (name.split(".") for name in imports(module))
    return {name[1] for name in names if name[0] == PACKAGE and len(name) > 1} - {"__version__"}


def test_every_module_has_a_place_in_the_design():
    top = {room(module) for module in MODULES}
    assert top == LEAVES | set(ROOMS) | {"__init__", "__main__"}


@pytest.mark.parametrize("module", [module for module in MODULES if room(module) in LEAVES])
def test_a_leaf_imports_no_room(module):
    assert rooms_imported(module) <= LEAVES


@pytest.mark.parametrize("module", [module for module in MODULES if room(module) in ROOMS])
def test_a_room_imports_only_what_lies_before_it(module):
    own = room(module)
    assert rooms_imported(module) <= LEAVES | ROOMS[own] | {own}


def test_training_and_recognition_do_not_know_each_other():
    assert "recognition" not in ROOMS["training"]
    assert "training" not in ROOMS["recognition"]


@pytest.mark.parametrize("module", MODULES)
def test_only_training_imports_torch(module):
    torches = [name for name in imports(module) if name.partition(".")[0] == "torch"]
    assert room(module) == "training" or not torches


@pytest.mark.parametrize("module", [module for module in MODULES if room(module) != "training"])
def test_outside_the_training_room_only_the_core_is_imported_at_once(module):
    outside = {name.partition(".")[0] for name in imports(module, at_once=True)}
    drawing = DRAWING if room(module) == "reporting" and module not in AT_HAND else set()
    serving = SERVING if room(module) == "serving" else set()
    assert outside <= CORE | drawing | serving | set(sys.stdlib_module_names) | {PACKAGE}


def test_whoever_evaluates_does_not_wait_for_what_draws():
    code = "import sys, digit_recognizer.reporting, digit_recognizer.cli.commands; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not DRAWING - {"markupsafe"} & {name.partition(".")[0] for name in loaded.split()}


def test_the_walk_finds_imports_wherever_they_stand():
    """The tests above say little if the walk is blind."""
    assert "digit_recognizer.training.load_recipe" in set(imports("cli/commands.py"))
    assert "digit_recognizer.training.load_recipe" not in set(imports("cli/commands.py", at_once=True))
    assert "sklearn.metrics.precision_recall_fscore_support" in set(imports("reporting/evaluation.py"))
    assert "digit_recognizer.training" in {name.rpartition(".")[0] for name in imports("__init__.py")}
    assert "torch" in set(imports("training/batches.py", at_once=True))


@pytest.mark.parametrize("name", digit_recognizer.__all__)
def test_every_public_name_is_there(name):
    assert getattr(digit_recognizer, name) is not None


def test_a_name_that_is_not_public_is_missing_as_ever():
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        digit_recognizer.nonsense  # noqa: B018
