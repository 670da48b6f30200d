"""Install the wheel in clean environments, use it, and measure its size and the time of its imports.

    python benchmarks/installs.py                               # python3.11 to python3.14, as far as found
    python benchmarks/installs.py python3.13 --install serve    # one Python, one install
    python benchmarks/installs.py --numpy 1.26.4 --numpy 2.4.6  # as in the notebooks of Kaggle and Colab

Each install gets a virtual environment of its own, and runs a command that needs it: if that fails, the
benchmark ends. Packages are those of constraints.txt. With --numpy, that NumPy (and, for training, torch) is
installed first, as on such a service, and kept, as the first cell of the notebooks does it; the other
packages are the newest that go with it. Installs that would bring NVIDIA's libraries are left out. The table
is Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from _bench import BenchmarkError, facts_of_machine, measure_and_write

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs/reading/squared.jpg"
NOTEBOOK = ROOT / "notebooks/competition.ipynb"
PYTHONS = ("python3.11", "python3.12", "python3.13", "python3.14")
IMPORTS = 5  # new processes, whose median counts
LARGEST = 6  # packages that are named
NVIDIA = ("nvidia-", "cuda-")  # how the names of NVIDIA's packages begin
OWNERS = {
    "cv2": "opencv-python-headless",
    "opencv_python_headless": "opencv-python-headless",
    "PIL": "pillow",
}  # packages whose folders have other names
IMPORT = "import time; t = time.perf_counter(); {}; print(time.perf_counter() - t)"
FACTS = (
    "import json, sys, sysconfig; print(json.dumps([sys.version.split()[0], sysconfig.get_path('purelib')]))"
)
HIDDEN = ("PYTHONPATH", "DIGITS_DATA")  # environment variables


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment, and a folder for what its commands write."""

    folder: Path
    work: Path

    @property
    def programs(self) -> Path:
        """Where its programs are."""
        return self.folder / ("Scripts" if os.name == "nt" else "bin")

    def run(self, program: str, *arguments: str | Path) -> str:
        """Run a program and return its output; raise `BenchmarkError` if it fails."""
        command = [str(self.programs / program), *map(str, arguments)]
        done = subprocess.run(
            command, cwd=self.work, env=variables(), capture_output=True, text=True, check=False
        )
        if done.returncode:
            shown = " ".join([program, *command[1:]])
            raise BenchmarkError(f"'{shown}' failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
        return done.stdout

    def python(self, code: str) -> str:
        """Run Python code and return its output."""
        return self.run("python", "-c", code)

    def pip(self, *arguments: str | Path) -> str:
        """Run pip without its notices."""
        return self.run("python", "-m", "pip", "--disable-pip-version-check", *arguments)


def variables() -> dict[str, str]:
    """Return the environment variables of all commands."""
    return {name: value for name, value in os.environ.items() if name not in HIDDEN}


def read_picture(env: Environment, path: Path = PICTURE) -> str:
    """Read a picture of any format."""
    numbers = env.run("digits", "read", path).split()
    if not any(number.isdecimal() for number in numbers):
        raise BenchmarkError(f"expected numbers in {path}, got {numbers}")
    return f"`digits read` of a {path.suffix[1:].upper()}"


def read_pdf(env: Environment) -> str:
    """Read a PDF that Pillow writes."""
    env.python(f"from PIL import Image; Image.open({str(PICTURE)!r}).convert('RGB').save('page.pdf')")
    return read_picture(env, env.work / "page.pdf")


def read_heic(env: Environment) -> str:
    """Read a HEIC that libheif writes."""
    env.python(
        "import pillow_heif; from PIL import Image; "
        f"pillow_heif.from_pillow(Image.open({str(PICTURE)!r}).convert('RGB')).save('page.heic')"
    )
    return read_picture(env, env.work / "page.heic")


def read_parquet(env: Environment) -> str:
    """Evaluate the model that comes with the package on a Parquet file of two images."""
    env.python(
        "import pyarrow as pa, pyarrow.parquet as pq; "
        "columns = {'label': [1, 7]} | {f'pixel{n}': [0, 255 * (n % 28 in (13, 14))] for n in range(784)}; "
        "pq.write_table(pa.table(columns), 'digits.parquet')"
    )
    found = json.loads(env.run("digits", "evaluate", "digits.parquet", "--json"))
    if found["images"] != 2:
        raise BenchmarkError(f"expected two images in digits.parquet, got {found}")
    return "`digits evaluate` on a Parquet file"


def serve(env: Environment) -> str:
    """Start the service, and send it a picture."""
    command = [env.programs / "digits", "serve", "--port", "0"]
    with subprocess.Popen(
        command, cwd=env.work, env=variables(), stdout=subprocess.PIPE, text=True
    ) as service:
        try:
            assert service.stdout is not None
            words = service.stdout.readline().split()
            address = next((word for word in words if word.startswith("http")), "")
            with urllib.request.urlopen(f"{address}/v1/read", PICTURE.read_bytes(), timeout=60) as answer:
                text = json.load(answer)["text"]
        finally:
            service.terminate()
    if service.returncode or not text:
        raise BenchmarkError(f"the service read {text!r} and ended with the status {service.returncode}")
    return "`digits serve`, and a request"


def train(env: Environment) -> str:
    """Train for an epoch, report and evaluate."""
    env.run("digits", "train", "bundled", "--recipe", "flash", "--epochs", "1", "--out", "run", "--report")
    env.run("digits", "evaluate", "run")
    return "`digits train` for an epoch, with a report"


def tune(env: Environment) -> str:
    """Search with one trial."""
    env.run("digits", "tune", "flash", "bundled", "--epochs", "1", "--trials", "1", "--out", "tuned")
    return "`digits tune` with one trial"


def run_notebook(env: Environment) -> str:
    """Run the cells of a notebook after the first, which installs; the last one writes the submission."""
    cells = [each for each in json.loads(NOTEBOOK.read_text("utf-8"))["cells"] if each["cell_type"] == "code"]
    code = "\n".join(["from pathlib import Path", *("".join(cell["source"]) for cell in cells[1:])])
    env.python(code)
    if len((env.work / "submission.csv").read_text("utf-8").splitlines()) < 301:  # 300 images if bundled
        raise BenchmarkError(f"{NOTEBOOK} wrote no whole submission")
    return f"the cells of `{NOTEBOOK.name}`"


@dataclass(frozen=True, slots=True)
class Install:
    """What is installed, what is imported to measure the time, and what is run."""

    extras: str
    imported: str
    check: Callable[[Environment], str]


CORE = "from digit_recognizer import Recognizer"
INSTALLS = {
    "core": Install("", CORE, read_picture),
    "parquet": Install("[parquet]", f"{CORE}, load_digits; import pyarrow.parquet", read_parquet),
    "heic": Install("[heic]", f"{CORE}; import pillow_heif", read_heic),
    "pdf": Install("[pdf]", f"{CORE}; import pypdfium2", read_pdf),
    "serve": Install("[serve]", "from digit_recognizer.service import create_app", serve),
    "train": Install("[train]", "from digit_recognizer import train", train),
    "train,tune": Install("[train,tune]", "from digit_recognizer.search.search import tune", tune),
    "notebook": Install("[train]", "from digit_recognizer import train", run_notebook),
}
IN_NOTEBOOKS = ("core", "notebook")  # installs with --numpy
COMMON = tuple(name for name in INSTALLS if name != "notebook")  # installs without it


def main() -> int:
    """Measure, print the table, and write the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pythons", nargs="*", metavar="PYTHON", help=f"default: {', '.join(PYTHONS)}")
    parser.add_argument("--install", action="append", choices=INSTALLS, help="repeatable")
    parser.add_argument("--numpy", action="append", metavar="VERSION", help="repeatable")
    parser.add_argument("--from-git", action="store_true", help="install the last commit instead of a wheel")
    parser.add_argument("--with-nvidia", action="store_true", help="install NVIDIA's libraries, too: some GB")
    parser.add_argument("-o", "--output", type=Path, help="a JSON file to write")
    return measure_and_write(parser.parse_args(), measure)


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return the report: a row for each Python, NumPy and install."""
    pythons = find_pythons(arguments.pythons)
    installs = arguments.install or (IN_NOTEBOOKS if arguments.numpy else COMMON)
    package = f"git+file://localhost{ROOT.as_posix()}" if arguments.from_git else build_wheel(folder).as_uri()
    rows = []
    print_cells("Python", "NumPy", "install", "size, MB", "import, s", "what was run")
    print_cells(*["---"] * 6)
    for python in pythons:
        for numpy in arguments.numpy or [None]:
            for name in installs:
                row = measure_install(python, name, package, numpy, with_nvidia=arguments.with_nvidia)
                rows.append(row)
                print_row(row)
    print_largest(rows)
    return {"machine": facts_of_machine(), "installs": rows}


def find_pythons(named: list[str]) -> list[str]:
    """Return the paths of the Pythons that are named, or of those that are found."""
    found = [path for each in named or PYTHONS if (path := shutil.which(each))]
    if len(found) < len(named) or not found:
        missing = [each for each in named or PYTHONS if not shutil.which(each)]
        raise BenchmarkError(f"there is no {' or '.join(missing)}; name a Python, such as {sys.executable}")
    return found


def build_wheel(folder: Path) -> Path:
    """Build the wheel of this working tree."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT]
    if subprocess.run(command, check=False).returncode:
        raise BenchmarkError("the wheel cannot be built")
    return next(folder.glob("*.whl"))


def measure_install(
    python: str, name: str, package: str, numpy: str | None, *, with_nvidia: bool
) -> dict[str, Any]:
    """Install in a new environment, run the check, and return the figures."""
    install = INSTALLS[name]
    with TemporaryDirectory(prefix="digits-install-") as place:
        subprocess.run([python, "-m", "venv", f"{place}/env"], check=True)
        env = Environment(Path(place, "env"), Path(place))
        version, packages = json.loads(env.python(FACTS))
        row: dict[str, Any] = {"python": version, "install": name, "numpy_first": numpy}
        empty = sizes_of(Path(packages))
        package = f"digit-recognizer{install.extras} @ {package}"
        steps: list[list[str | Path]] = [[package, "--constraint", ROOT / "constraints.txt"]]
        if numpy is not None:
            first = [f"numpy=={numpy}", *(["torch==" + pinned("torch")] if "train" in install.extras else [])]
            steps = [[*first], [package, f"numpy=={numpy}"]]
        nvidia = [] if with_nvidia else would_bring_nvidia(env, steps)
        if nvidia:
            return {**row, "left_out": f"left out: brings {len(nvidia)} packages of NVIDIA's"}
        for step in steps:
            env.pip("install", "--quiet", *step)
        env.pip("check")
        row["checked"] = install.check(env)
        sizes = sizes_of(Path(packages)) - empty
        row["bytes"] = sizes.total()
        row["largest"] = dict(sizes.most_common(LARGEST))
        row["import_seconds"] = median(
            float(env.python(IMPORT.format(install.imported))) for _ in range(IMPORTS)
        )
        row["versions"] = versions_of(env)
        return row


def pinned(name: str) -> str:
    """Return the version of a package in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return next(line.removeprefix(f"{name}==") for line in lines if line.startswith(f"{name}=="))


def would_bring_nvidia(env: Environment, steps: list[list[str | Path]]) -> list[str]:
    """Return the packages of NVIDIA's that the steps of an install would bring."""
    report = env.work / "report.json"
    env.pip("install", "--quiet", "--dry-run", "--report", report, *chain(*steps))
    names = [each["metadata"]["name"] for each in json.loads(report.read_text("utf-8"))["install"]]
    return [name for name in names if name.startswith(NVIDIA)]


def sizes_of(packages: Path) -> Counter[str]:
    """Return the bytes of each package's files, the libraries in a folder beside it included."""
    sizes: Counter[str] = Counter()
    for path in packages.rglob("*"):
        if path.is_file():
            name = path.relative_to(packages).parts[0].removesuffix(".libs")
            sizes[OWNERS.get(name, name)] += path.stat().st_size
    return sizes


def versions_of(env: Environment) -> dict[str, str]:
    """Return the versions of all packages."""
    return {each["name"]: each["version"] for each in json.loads(env.pip("list", "--format", "json"))}


def print_row(row: dict[str, Any]) -> None:
    """Print a row of the table."""
    numpy = row["numpy_first"] or row.get("versions", {}).get("numpy", "")
    if "left_out" in row:
        figures = ["", "", row["left_out"]]
    else:
        figures = [f"{row['bytes'] / 1e6:.0f}", f"{row['import_seconds']:.2f}", row["checked"]]
    print_cells(row["python"], numpy, row["install"], *figures)


def print_cells(*cells: str) -> None:
    """Print a row of cells at once, because the next one may take minutes."""
    print(f"| {' | '.join(cells)} |", flush=True)


def print_largest(rows: list[dict[str, Any]]) -> None:
    """Print what takes the room of the last core install."""
    core = next((row for row in reversed(rows) if row["install"] == "core"), None)
    if core is not None:
        parts = ", ".join(f"{name} {size / 1e6:.0f}" for name, size in core["largest"].items())
        print(f"\nThe largest packages of core with Python {core['python']}, MB: {parts}")


if __name__ == "__main__":
    sys.exit(main())
