"""Find the characters of a page with ``reader.onnx`` in ONNX Runtime.

The network finds characters whose digits are some 20 to 56 pixels high. So it looks at a pyramid of the page,
from coarse to fine, each level twice as large as the one before, and then at sizes between them, each time
only at what is not surely read yet (`unread.py`). `agreement.py` says what these looks find together.
`docs/reader.md` describes the file for other programs.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession

from digit_recognizer.imaging.edges import edge_tone
from digit_recognizer.imaging.resize import resize
from digit_recognizer.machine import usable_processors
from digit_recognizer.progress import OnProgress, counted, following, within
from digit_recognizer.recognition.agreement import FoundCharacter, Look, agree, keep_best
from digit_recognizer.recognition.session import start_session
from digit_recognizer.recognition.unread import Area, UnreadParts

READER_MODEL = Path(__file__).with_name("models") / "reader.onnx"
OUTPUTS = ["boxes", "probabilities", "is_character", "em", "starts"]
SIDE_MULTIPLE_PX = 16  # the sides of the network's input are multiples of it
MARGIN_PX = 16  # around a page
LARGEST_EM_PX = 56  # that the network finds: the coarsest level is no higher than that
MIN_LEVEL_SIDE_PX = 8  # lower levels hold no character that the network finds
ENLARGED_SIDE_PX, MAX_SCALE = 512, 4.0  # small pages are enlarged up to these
MAX_PIXELS = 4_000_000  # larger pages are made smaller
TILE_PX, HALO_PX = 1024, 64  # large levels are looked at in tiles, each with some of its surroundings
BETWEEN = 2**-0.5  # of two levels: the size in the middle of an octave
SMALL_PIXELS = 400_000  # larger levels between two, and noise on larger pages, take longer than it is worth
READ_CONFIDENCE, READ_EM_PX = 0.9, 28  # what is as confident and as large needs no finer level

Page = NDArray[np.uint8]


class CharacterFinder:
    """The network that finds characters, from a file or loaded; on all usable processors by default."""

    def __init__(self, model: Path | InferenceSession = READER_MODEL, threads: int | None = None) -> None:
        self._session = start_session(model) if isinstance(model, Path) else model
        self._threads = threads or usable_processors()

    def find(self, page: Page) -> list[FoundCharacter]:
        """Find the characters of a page, (H, W), improbable ones too; the most probable come first."""
        reduced = resize(page, min(1.0, (MAX_PIXELS / page.size) ** 0.5))
        found = self._find(reduced)
        if reduced is page:
            return found
        back = np.array([page.shape[1] / reduced.shape[1], page.shape[0] / reduced.shape[0]] * 2, np.float32)
        return [replace(each, box=each.box * back, em=each.em * float(back[1])) for each in found]

    def _find(self, page: Page) -> list[FoundCharacter]:
        """Find the characters of a page that is not too large."""
        looks: list[Look] = []
        unread = UnreadParts(page, skips_noise=page.size > SMALL_PIXELS)
        octaves = pyramid_scales(*page.shape)
        between = (scale * BETWEEN for scale in octaves)
        scales = [*octaves, *(scale for scale in between if scale**2 * page.size <= SMALL_PIXELS)]
        works = np.array([scale**2 for scale in scales])  # as the pixels of the levels
        ends = works.cumsum()
        with following("Reading") as tell:
            for scale, start, end in zip(scales, ends - works, ends, strict=True):
                area = unread.area()
                if area is None:
                    break
                level = resize(page, scale)
                zoom = np.array([level.shape[1] / page.shape[1], level.shape[0] / page.shape[0]] * 2)
                found = self._find_at(
                    level, zoom.astype(np.float32), area, within(tell, start / ends[-1], end / ends[-1])
                )
                unread.remove(each.box for each in found if _is_read(each, scale))
                looks.append(Look(scale, area, found))
        return keep_best(agree(looks))

    def _find_at(
        self, level: Page, zoom: NDArray[np.float32], area: Area, on_progress: OnProgress | None = None
    ) -> list[FoundCharacter]:
        """Find the characters in an area of a page, in a level that is `zoom`, (4,), times as large."""
        tiles = list(_tiles(area.scaled(zoom[0], zoom[1])))
        if len(tiles) == 1 or self._threads == 1:
            parts: Iterator[list[FoundCharacter]] = map(self._find_in, repeat(level), tiles, repeat(zoom))
            found = list(chain.from_iterable(counted(parts, len(tiles), on_progress)))
        else:
            with ThreadPoolExecutor(min(self._threads, len(tiles)), "tiles") as pool:
                parts = pool.map(self._find_in, repeat(level), tiles, repeat(zoom))
                found = list(chain.from_iterable(counted(parts, len(tiles), on_progress)))
        return found

    def _find_in(self, level: Page, tile: Area, zoom: NDArray[np.float32]) -> list[FoundCharacter]:
        """Find the characters whose middles are in a tile of a level."""
        seen = tile.grown(HALO_PX, *level.shape)
        padded = pad(level[seen.top : seen.bottom, seen.left : seen.right])
        boxes, *values = self._session.run(OUTPUTS, {"page": padded})
        boxes += np.array([seen.left - MARGIN_PX, seen.top - MARGIN_PX] * 2, np.float32)
        is_inside = tile.contains(*((boxes[:, :2] + boxes[:, 2:]) / 2).T)
        boxes, probabilities, is_character, ems, starts = (each[is_inside] for each in (boxes, *values))
        numbers = (each.tolist() for each in (is_character, ems / zoom[1], starts))
        return list(map(FoundCharacter, boxes / zoom, probabilities, *numbers))


def pyramid_scales(height: int, width: int) -> list[float]:
    """Return the scales at which a page is looked at, from coarse to fine."""
    side = max(height, width)
    scale = 1.0
    while scale < MAX_SCALE and 2 * scale * side <= ENLARGED_SIDE_PX:
        scale *= 2
    scales = [scale]
    while side * scale > LARGEST_EM_PX:
        scale /= 2
        scales.append(scale)
    return [each for each in scales[::-1] if min(height, width) * each >= MIN_LEVEL_SIDE_PX]


def pad(level: Page) -> Page:
    """Return a level with a margin, the median of its edges, so that its sides suit the network."""
    bottom, right = (MARGIN_PX + -side % SIDE_MULTIPLE_PX for side in level.shape)
    margins = ((MARGIN_PX, bottom), (MARGIN_PX, right))
    return np.pad(level, margins, constant_values=np.uint8(edge_tone(level)))


def _is_read(character: FoundCharacter, scale: float) -> bool:
    return character.confidence >= READ_CONFIDENCE and character.em * scale >= READ_EM_PX


def _tiles(area: Area) -> Iterator[Area]:
    for top in range(area.top, area.bottom, TILE_PX):
        for left in range(area.left, area.right, TILE_PX):
            yield Area(left, top, min(left + TILE_PX, area.right), min(top + TILE_PX, area.bottom))
