"""Train the network that finds characters, on composed pages.

Composing a page takes about as long as a training step spends on it, so pages are composed once, kept in
files, and seen in different ways each time (`training/numbers/page_views.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from averaged_training import AveragedTraining
from digit_recognizer import Digits
from digit_recognizer.files import replacing
from digit_recognizer.machine import usable_processors
from digit_recognizer.networks.character_network import CharacterNetwork
from digit_recognizer.synthetic.pages import ComposedPage, Glyphs, compose_page, make_glyphs
from digit_recognizer.training.numbers.detection import detection_loss, make_targets
from digit_recognizer.training.numbers.page_views import sample_view

PAGE_HEIGHT_PX, PAGE_WIDTH_PX = 192, 256
PAGES_PER_FILE = 128
BATCH_PAGES = 32
MARKS = ("boxes", "classes", "em", "starts")  # of a composed page


_of_process: dict[str, Glyphs] = {}  # what a process that composes pages needs for all of them


@dataclass(frozen=True, slots=True)
class Step:
    """A training step, counted from 1, and the parts of its loss."""

    number: int
    parts: dict[str, float]


def compose_pages(digits: Digits, hands: Path | None, folder: Path, files: int) -> list[Path]:
    """Compose pages of digits and, if given, of other hands into files; those that exist are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"pages-{number:05}.npz" for number in range(files)]
    missing = [number for number, path in enumerate(paths) if not path.exists()]
    write = partial(_write_pages, paths=paths)
    with ProcessPoolExecutor(usable_processors(), initializer=_prepare, initargs=(digits, hands)) as pool:
        for done, _ in enumerate(pool.map(write, missing), start=1):
            print(f"{done} of {len(missing)} files of pages", flush=True)
    return paths


def train_characters(
    network: CharacterNetwork, files: list[Path], *, steps: int, seed: int
) -> Iterator[Step]:
    """Train a network in place and yield each step; at the end, its weights are averages of the last ones."""
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, PAGE_WIDTH_PX])
    training = AveragedTraining(network, steps)
    pages = Pages(files, rng)
    for number in range(1, steps + 1):
        batch = [sample_view(pages.draw, rng) for _ in range(BATCH_PAGES)]
        images = torch.from_numpy(np.stack([each.image for each in batch]))
        loss, parts = detection_loss(training.run(images), make_targets(batch))
        training.step(loss)
        yield Step(number, parts)
    training.finish()


class Pages:
    """Draws pages from files, which stay in memory (6 MB each)."""

    def __init__(self, files: list[Path], rng: np.random.Generator) -> None:
        self._files, self._rng = files, rng
        self._loaded: dict[Path, tuple[dict[str, NDArray[np.generic]], NDArray[np.int64]]] = {}

    def draw(self) -> ComposedPage:
        """Return a page at random."""
        arrays, stops = self._load(self._files[self._rng.integers(len(self._files))])
        page = int(self._rng.integers(len(stops)))
        part = slice(stops[page] - arrays["counts"][page], stops[page])
        return ComposedPage(arrays["images"][page], *(arrays[name][part] for name in MARKS))

    def _load(self, path: Path) -> tuple[dict[str, NDArray[np.generic]], NDArray[np.int64]]:
        if path not in self._loaded:
            with np.load(path) as archive:
                arrays = {name: archive[name] for name in archive.files}
            self._loaded[path] = arrays, np.cumsum(arrays["counts"])
        return self._loaded[path]


def _prepare(digits: Digits, hands: Path | None) -> None:
    """Prepare a process that composes pages."""
    cv2.setNumThreads(1)
    _of_process["glyphs"] = make_glyphs(digits, hands)


def _write_pages(number: int, paths: list[Path]) -> None:
    rng = np.random.default_rng([number, PAGE_HEIGHT_PX])
    pages = [
        compose_page(_of_process["glyphs"], rng, height=PAGE_HEIGHT_PX, width=PAGE_WIDTH_PX)
        for _ in range(PAGES_PER_FILE)
    ]
    marks = {name: np.concatenate([getattr(page, name) for page in pages]) for name in MARKS}
    with replacing(paths[number]) as partial, partial.open("wb") as file:
        counts = np.array([len(page.classes) for page in pages])
        np.savez(file, images=np.stack([page.image for page in pages]), counts=counts, **marks)
