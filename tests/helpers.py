"""What the tests share: digits that a tiny network learns in a second, its recipe, and checks."""

from __future__ import annotations

import csv
import json
import os
import shlex
import struct
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from digit_recognizer.cli import events, main
from digit_recognizer.digits import Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.recipes.recipe import Recipe, recipe_from_toml
from digit_recognizer.runs.environment import read_environment
from digit_recognizer.runs.run_folder import read_json
from digit_recognizer.runs.split import DataSplit, read_split

# Runs are equal to the bit on the processor only, so the tests use it even if there is a GPU.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

TINY = """
name = "tiny"
summary = "as small as a network of convolutions can be"
network = ["conv 4 3x3 relu", "maxpool 4", "dropout 0.2", "dense 10"]
epochs = 2
batch_size = 32
precision = "float32"

[split]
validation = 0.2

[optimizer]
name = "adam"
learning_rate = 0.01
"""

EVERYTHING = (
    'network=["conv 4 3x3 same relu", "batchnorm", "maxpool 4", "conv 6 3x3 relu", "dropout 0.3", '
    '"dense 16 relu", "dense 10"]',
    "augmentation={rotation=10, zoom=0.1, shift=0.1}",
    "schedule={name='plateau', monitor='validation_loss', factor=0.5, patience=1, min_delta=0.5}",
    "epochs=3",
)  # settings with everything that a run must save

PIXELS = [f"pixel{number}" for number in range(784)]

RUN_FILES = [
    ".lock",
    "checkpoint/state.safetensors",
    "environment.json",
    "history.csv",
    "metrics.json",
    "model.onnx",
    "model.safetensors",
    "recipe.toml",
    "validation.npy",
]  # of a finished run


def run_in_process(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[Any, str, str]:
    """Run a command line in this process; return status, output and errors."""
    monkeypatch.setattr(sys, "argv", shlex.split(f"digits {command}"))
    with pytest.raises(SystemExit) as ending:
        main()
    return ending.value.code, *capsys.readouterr()


def make_digits(count: int = 200, seed: int = 0, noise: int = 60) -> Digits:
    """Return `count` images of ten patterns of large blocks in turn, each with its own noise."""
    patterns = np.random.default_rng(7).integers(0, 2, (10, 7, 7)).repeat(4, axis=1).repeat(4, axis=2) * 180
    labels = np.arange(count) % 10
    grain = np.random.default_rng(seed).integers(0, noise + 1, (count, 28, 28))
    return Digits((patterns[labels] + grain).astype(np.uint8), labels.astype(np.int64))


def on_black(digits: Digits) -> Digits:
    """Return digits whose first and last rows are black, as in MNIST: sources warn of a bright background."""
    images = digits.images.copy()
    images[:, [0, -1]] = 0
    return Digits(images, digits.labels)


def csv_of(digits: Digits) -> str:
    """Return digits as Kaggle's CSV: as train.csv with labels, as test.csv without."""
    names, table = PIXELS, digits.images.reshape(-1, len(PIXELS))
    if digits.labels is not None:
        names, table = ["label", *PIXELS], np.column_stack([digits.labels, table])
    return "\n".join(",".join(map(str, row)) for row in [names, *table.tolist()]) + "\n"


def idx_of(array: np.ndarray, code: int = 0x08) -> bytes:
    """Return the content of an IDX file."""
    return struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape) + array.tobytes()


def tiny(*settings: str, **changes: Any) -> Recipe:
    """Return the tiny recipe, changed by settings as in `--set`, or by fields."""
    return replace(recipe_from_toml(TINY, "tiny.toml", settings), **changes)


def files_in(folder: Path) -> list[str]:
    """Return the names of all files below a folder, relative to it and sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def history_without_times(folder: Path) -> list[dict[str, str]]:
    """Return the rows of a run's history.csv without times and rates."""
    rows = list(csv.DictReader((folder / "history.csv").read_text("utf-8").splitlines()))
    clock = ("seconds", "images_per_second")
    return [{name: cell for name, cell in row.items() if name not in clock} for row in rows]


def follow_until(step: int, begin: Callable[..., Iterable[object]]) -> None:
    """Consume what `begin` yields, and stop its training after a step, counted from 1."""
    stop, done = Event(), []

    def on_step(progress: object) -> None:
        done.append(progress)
        if len(done) == step:
            stop.set()

    for _ in begin(on_step=on_step, stop=stop):
        pass


def says(text: str, *facts: object) -> bool:
    """Check that a text contains all facts: a file, a row, found and expected values, a command to type."""
    missing = [str(fact) for fact in facts if str(fact) not in text]
    assert not missing, f"{text!r} does not say {missing}"
    return True


def refusal(call: Callable[[], object]) -> str:
    """Return the message of the `DigitsError` that a call raises; it must be one line."""
    with pytest.raises(DigitsError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


def assert_refused(ended: tuple[Any, str, str], *facts: object) -> None:
    """Check that a command ended with status 2 and one line on standard error that contains all facts."""
    status, output, errors = ended
    assert (status, output) == (2, "")
    assert errors.startswith("digits: ")
    assert errors.count("\n") == 1
    assert says(errors, *facts)


def tensors_of(path: Path) -> dict[str, bytes]:
    """Return the tensors of a safetensors file, to compare them to the bit."""
    return {name: tensor.tobytes() for name, tensor in load_file(path).items()}


def assert_same_weights(folder: Path, expected: Path) -> None:
    """Check that two runs have the same weights, optimizer state and history, except times, to the bit."""
    for name in ("model.safetensors", "checkpoint/state.safetensors"):
        assert tensors_of(folder / name) == tensors_of(expected / name)
    assert history_without_times(folder) == history_without_times(expected)
    assert not list(folder.parent.rglob("*.part"))


def assert_same_run(folder: Path, expected: Path) -> None:
    """Check that two runs have the same files with the same content, except times, to the bit."""
    assert files_in(folder) == files_in(expected) == RUN_FILES
    assert (folder / "model.onnx").read_bytes() == (expected / "model.onnx").read_bytes()
    assert_same_weights(folder, expected)
    found, wanted = (json.loads((run / "metrics.json").read_text()) for run in (folder, expected))
    assert found | {"seconds": 0} == wanted | {"seconds": 0}


class Element:
    """An element of a page: its tag, its attributes, and the texts and elements inside it."""

    def __init__(self, tag: str, attributes: dict[str, str | None]) -> None:
        self.tag, self.attributes = tag, attributes
        self.inside: list[str | Element] = []

    @property
    def text(self) -> str:
        """All text inside, as one line."""
        parts = [part if isinstance(part, str) else part.text for part in self.inside]
        return " ".join("".join(parts).split())

    def all(self, tag: str = "", kind: str = "") -> Iterator[Element]:
        """Yield the elements inside, at any depth, with a tag, a class, or both."""
        for part in self.inside:
            if isinstance(part, Element):
                if tag in ("", part.tag) and (
                    not kind or kind in (part.attributes.get("class") or "").split()
                ):
                    yield part
                yield from part.all(tag, kind)

    def one(self, tag: str = "", kind: str = "") -> Element:
        """Return the only such element."""
        (found,) = self.all(tag, kind)
        return found


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        self.open[-1].inside.append(element)
        if tag not in ("br", "hr", "img", "input", "link", "meta"):  # these have no end tag
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self.open[-1].inside.append(data)


def read_page(path: Path) -> Element:
    """Return the elements of an HTML page; fail if one is not closed."""
    parser = _Parser()
    parser.feed(path.read_text("utf-8"))
    parser.close()
    (root,) = parser.open
    return root


def environment_of(folder: Path) -> dict[str, Any]:
    """Return a run's ``environment.json``."""
    return read_json(folder / "environment.json")


def read_validation_rows(folder: Path) -> np.ndarray:
    """Return the rows that a run held out for validation."""
    return split_of(folder).validation


def read_fold_rows(folder: Path) -> np.ndarray | None:
    """Return the rows of a run's fold; None if it belongs to no cross-validation."""
    return split_of(folder).fold


def split_of(folder: Path) -> DataSplit:
    environment = read_environment(folder)
    return read_split(folder, environment, environment.data.images)


@contextmanager
def closed_output(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the command line find its output closed when it shows an epoch."""

    def gone(*_: object) -> str:
        raise BrokenPipeError

    with monkeypatch.context() as patched:
        patched.setattr(events, "epoch_line", gone)
        yield
