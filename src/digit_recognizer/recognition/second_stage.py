"""Ask ``regions.onnx`` whether what was found is a character."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession

from digit_recognizer.imaging.region_image import REGION_SIDE_PX, region_image
from digit_recognizer.recognition.agreement import FoundCharacter, log_odds
from digit_recognizer.recognition.session import run_in_batches, start_session

REGIONS_MODEL = Path(__file__).with_name("models") / "regions.onnx"
OUTPUTS = ["is_character"]
WEIGHT = 0.3  # of the log-odds of what it says; the rest is that of the network that found the characters


class SecondStage:
    """The network that looks at found characters again; on all usable processors by default."""

    def __init__(self, model: Path = REGIONS_MODEL, threads: int | None = None) -> None:
        self._session: InferenceSession = start_session(model)
        self._threads = threads

    def judge(self, page: NDArray[np.uint8], found: Sequence[FoundCharacter]) -> list[FoundCharacter]:
        """Return the characters of a page, (H, W), each as probable as both networks say together.

        The most probable come first.
        """
        if not found:
            return []
        batches = run_in_batches(self._session, OUTPUTS, region_images(page, found), self._threads)
        second = np.concatenate([each for (each,) in batches]).astype(np.float64)
        first = np.array([each.is_character for each in found])
        mean = 1 / (1 + np.exp(-(1 - WEIGHT) * log_odds(first) - WEIGHT * log_odds(second)))
        judged = [replace(each, is_character=p) for each, p in zip(found, mean.tolist(), strict=True)]
        return sorted(judged, key=lambda character: -character.is_character)


def region_images(page: NDArray[np.uint8], found: Sequence[FoundCharacter]) -> NDArray[np.uint8]:
    """Return the images of found characters of a page, (N, 2, 48, 48)."""
    images = np.empty((len(found), 2, REGION_SIDE_PX, REGION_SIDE_PX), np.uint8)
    for image, each in zip(images, found, strict=True):
        box = each.box_on(page)
        image[:] = region_image(page, box.x, box.y, box.right, box.bottom, each.em)
    return images
