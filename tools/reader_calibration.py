"""Calibrate the network that finds characters: Platt scaling on composed pages that it has not seen.

The confidence of whole numbers is not calibrated: composed pages are harder than real ones, so that it would
become too low.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log

import numpy as np
import torch
from numpy.typing import NDArray

from digit_recognizer.networks.character_network import CharacterNetwork, Finder
from digit_recognizer.reading import CHARACTERS
from digit_recognizer.reading.calibration import fit_calibration
from digit_recognizer.synthetic.pages import ComposedPage
from digit_recognizer.training.numbers.detection import EM_RANGE_PX, TOLERATED_EM_RANGE_PX

SLASH_ODDS = 0.1  # of a leaning stroke to be a slash, relative to composed pages: there, slashes are frequent
CLOSE_PX = 0.25  # of the height of a digit, between two centres that are the same


def calibrate_centres(network: CharacterNetwork, pages: Sequence[ComposedPage]) -> None:
    """Scale and shift the centre map, in place, so that its probabilities are frequencies."""
    calibration = fit_calibration(*zip(*_centres(network, pages), strict=True))
    assert network.heads.bias is not None
    with torch.no_grad():
        network.heads.weight[0] *= calibration.scale
        network.heads.bias[0] = calibration.scale * network.heads.bias[0] + calibration.shift


def lower_slashes(network: CharacterNetwork) -> None:
    """Make slashes as improbable as they are in numbers that people write, in place: most are a leaning 1."""
    assert network.heads.bias is not None
    with torch.no_grad():
        network.heads.bias[1 + CHARACTERS.index("/")] += log(SLASH_ODDS)


def _centres(network: CharacterNetwork, pages: Sequence[ComposedPage]) -> Iterator[tuple[float, bool]]:
    """Yield the probability of each peak, and whether a character is there, where that is decided."""
    finder = Finder(network.eval())
    for page in pages:
        with torch.inference_mode():
            boxes, _, is_character, _, _ = (each.numpy() for each in finder(torch.from_numpy(page.image)))
        middles = (boxes[:, :2] + boxes[:, 2:]) / 2
        for middle, probability in zip(middles, is_character.tolist(), strict=True):
            outcome = _is_there(middle, page)
            if outcome is not None:
                yield probability, outcome


def _is_there(middle: NDArray[np.float32], page: ComposedPage) -> bool | None:
    """Return whether a character is to be found at a place; None if it may be found or not."""
    distances = np.abs((page.boxes[:, :2] + page.boxes[:, 2:]) / 2 - middle).max(axis=1)
    near = distances < CLOSE_PX * page.em
    sought = (page.classes >= 0) & (EM_RANGE_PX[0] <= page.em) & (page.em <= EM_RANGE_PX[1])
    if (near & sought).any():
        return True
    inside = ((page.boxes[:, :2] <= middle) & (middle <= page.boxes[:, 2:])).all(axis=1)
    tolerated = (TOLERATED_EM_RANGE_PX[0] <= page.em) & (page.em <= TOLERATED_EM_RANGE_PX[1])
    return None if ((near | inside) & tolerated & ~sought).any() else False
