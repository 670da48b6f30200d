"""Fixtures that the tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from digit_recognizer.digits import Digits
from helpers import make_digits, run_in_process, tiny

RUNS = {
    "two convolutions": (
        'network=["conv 4 3x3 relu", "maxpool 2", "conv 6 3x3 relu", "maxpool 2", "dropout 0.1", '
        '"dense 12 relu", "dense 10"]',
        "split.validation=0.3",
        "augmentation={rotation=10, zoom=0.1, shift=0.1}",
    ),
    "hidden": ('network=["dense 8 relu", "dense 10"]', "split.validation=0.3"),
    "pixels": ('network=["dense 10"]', "split.validation=0", "epochs=1"),
    "pooled": ('network=["conv 10 3x3 relu", "global-avgpool"]', "epochs=1"),
}  # tiny runs, named after what is special about each


@pytest.fixture
def digits() -> Digits:
    """Twenty images, two of each class in order, with random ink inside an empty border."""
    images = np.zeros((20, 28, 28), np.uint8)
    images[:, 4:24, 4:24] = np.random.default_rng(1).integers(0, 256, (20, 20, 20))
    return Digits(images, np.repeat(np.arange(10), 2))


@pytest.fixture
def run_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Return a function that runs a command line in this process and returns status, output and errors."""
    return partial(run_in_process, monkeypatch=monkeypatch, capsys=capsys)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Use one thread, which is fastest for small networks, mainly if other programs need the cores."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def without_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a run finish without model.onnx, which takes most of the time of a small one."""
    from digit_recognizer.training import trainer

    monkeypatch.setattr(trainer, "export_onnx", lambda *_, **__: None)


@pytest.fixture
def with_export(without_export: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    """Write model.onnx in one test of a module that otherwise runs `without_export`."""
    monkeypatch.undo()


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Callable[[str], Path]:
    """Return a function that trains one of `RUNS` once and returns its folder: copy it to change it.

    The digits are ``make_digits(200)``, and the source in the run is ``made``.
    """
    from digit_recognizer.training import train

    folder = tmp_path_factory.mktemp("trained")

    def run(name: str) -> Path:
        target = folder / name.replace(" ", "-")
        if not target.exists():
            for _ in train(make_digits(), tiny(*RUNS[name]), target, source="made"):
                pass
        return target

    return run


@pytest.fixture
def drawn(monkeypatch) -> dict[str, dict[str, Any]]:
    """Replace the drawing functions, and return the arguments that each was called with, by name."""
    from matplotlib.figure import Figure

    from digit_recognizer.report import figures

    given: dict[str, dict[str, Any]] = {}

    def instead_of(name: str) -> Callable[..., Figure]:
        parameters = signature(getattr(figures, name))

        def draw(*arguments: Any, **options: Any) -> Figure:
            given[name] = parameters.bind(*arguments, **options).arguments
            return Figure()

        return draw

    for name in figures.__all__:
        if name.startswith("draw_"):
            monkeypatch.setattr(figures, name, instead_of(name))
    return given
