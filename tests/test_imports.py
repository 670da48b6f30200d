"""Imports point one way, as the design says; and what is heavy is imported where it is needed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import pytest

import digit_recognizer

ROOT = Path(digit_recognizer.__file__).parent
PACKAGE = "digit_recognizer"
ARCHITECTURE = Path(__file__).parent.parent / "docs/architecture.md"
DIAGRAM = re.search(r"^```text\n(.*?)^```", ARCHITECTURE.read_text("utf-8"), re.MULTILINE | re.DOTALL)[1]
LAYERS = [line.partition("|")[0].split() for line in DIAGRAM.splitlines()]  # from the top down
HEIGHT = {package: height for height, layer in enumerate(reversed(LAYERS), start=1) for package in layer}
HEIGHT |= {"__init__": 0, "__main__": len(LAYERS) + 1}
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))
CORE = {"PIL", "filelock", "numpy", "onnxruntime", "rich", "typer"}  # installed without any extra
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
TORCH = {"networks", "training", "search"}  # packages that may import torch
SINGLE_DIGIT = "imaging/single_digit/"  # needs OpenCV, which the extra `train` installs
# installed with the extra `train`, which these need
TRAINING = {"recipes", "synthetic", "networks", "training", "search", "explain", "report", "sklearn"}


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


def package(module: str) -> str:
    """Return the package below digit_recognizer that a module belongs to, or its own name."""
    return module.partition("/")[0].removesuffix(".py")


def packages_imported(module: str) -> set[str]:
    names = (name.split(".") for name in imports(module))
    return {name[1] for name in names if name[0] == PACKAGE and len(name) > 1} - {"__version__"}


def test_every_package_has_a_layer():
    assert {package(module) for module in MODULES} == set(HEIGHT)


@pytest.mark.parametrize("module", [module for module in MODULES if module != "__init__.py"])
def test_a_module_imports_only_from_lower_layers(module):
    own = package(module)
    assert [each for each in packages_imported(module) - {own} if HEIGHT[each] >= HEIGHT[own]] == []


def test_no_imports_go_in_a_circle():
    """Imports in functions and for type checking count, too."""
    names = {
        module.removesuffix(".py").removesuffix("/__init__").replace("/", "."): module for module in MODULES
    }
    graph = {
        module: {names[found] for name in imports(module) if (found := module_of(name, names))} - {module}
        for module in MODULES
    }
    graph["__init__.py"] = set()  # the public names, imported lazily
    assert list(TopologicalSorter(graph).static_order())


def module_of(name: str, names: dict[str, str]) -> str | None:
    """Return the module, below digit_recognizer, that an imported name is or belongs to."""
    if not name.startswith(f"{PACKAGE}."):
        return None
    path = name.removeprefix(f"{PACKAGE}.")
    while path and path not in names:
        path = path.rpartition(".")[0]
    return path or None


def test_the_service_does_not_import_training_or_reports():
    found = {module: packages_imported(module) for module in MODULES if package(module) == "service"}
    assert not {module for module, packages in found.items() if packages & {"training", "search", "report"}}


@pytest.mark.parametrize("module", MODULES)
def test_only_training_imports_torch(module):
    torches = [name for name in imports(module) if name.partition(".")[0] == "torch"]
    assert package(module) in TORCH or not torches


def test_one_module_imports_ray_and_only_when_it_is_used():
    having = {each for each in MODULES if "ray" in {name.partition(".")[0] for name in imports(each)}}
    assert having == {"engines/ray_engine.py"}
    assert not [name for name in imports("engines/ray_engine.py", at_once=True) if name.startswith("ray")]


@pytest.mark.parametrize(
    "module", [each for each in MODULES if package(each) not in TRAINING and SINGLE_DIGIT not in each]
)
def test_what_the_core_does_not_install_is_imported_where_it_is_used(module):
    outside = {name.partition(".")[0] for name in imports(module, at_once=True)}
    serving = SERVING if package(module) == "service" else set()
    assert outside <= CORE | serving | set(sys.stdlib_module_names) | {PACKAGE}


def test_the_command_line_starts_without_what_draws_or_trains():
    code = "import sys, digit_recognizer.evaluation, digit_recognizer.cli.app; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not (DRAWING - {"markupsafe"} | {"torch"}) & {name.partition(".")[0] for name in loaded.split()}


def test_pictures_are_read_without_opencv():
    code = (
        "import sys; from digit_recognizer import Recognizer; "
        "print(Recognizer().read(sys.argv[1]).text, 'cv2' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(ARCHITECTURE.parent / "reading/table.jpg")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "17 42\n203 86\n5 90 False\n"


def test_the_walk_finds_imports_wherever_they_stand():
    """The tests above say little if the walk is blind."""
    assert "digit_recognizer.recipes.load_recipe" in set(imports("cli/recipes.py"))
    assert "digit_recognizer.recipes.load_recipe" not in set(imports("cli/recipes.py", at_once=True))
    assert "sklearn.metrics.precision_recall_fscore_support" in set(imports("evaluation.py"))
    assert "digit_recognizer.training" in {name.rpartition(".")[0] for name in imports("__init__.py")}
    assert "torch" in set(imports("training/data.py", at_once=True))


@pytest.mark.parametrize("name", digit_recognizer.__all__)
def test_every_public_name_is_there(name):
    assert getattr(digit_recognizer, name) is not None


def test_a_name_that_is_not_public_is_missing_as_ever():
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        digit_recognizer.nonsense  # noqa: B018
