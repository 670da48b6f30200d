"""Where the characters of a text are in its picture, as far as the network itself can say.

The loss of a text is the same for a character that is surely in one place and one that may be in any of
several. Reading needs the former. So the network also learns to be sure of each character at the most
probable place.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import logsigmoid

from digit_recognizer.networks.character_network import BOX, CLASSES, EM, STRIDE_PX
from digit_recognizer.reading import CHARACTERS
from digit_recognizer.synthetic.pages import ComposedPage
from digit_recognizer.training.numbers.detection import EM_RANGE_PX, detection_loss, make_targets
from digit_recognizer.training.numbers.text_loss import most_probable_places


def alignment_loss(pages: Tensor, maps: Tensor, columns: Tensor, texts: Sequence[str]) -> Tensor:
    """Return the detection loss of maps (N, 24, H / 4, W / 4) at the most probable places of the texts.

    Sizes are as the network finds them, so they learn nothing. `columns` are the maps' column probabilities.
    """
    found = maps.detach()
    aligned = [
        (row, _align(page, found[row], places, text))
        for row, (page, places, text) in enumerate(
            zip(pages.numpy(), most_probable_places(columns, texts), texts, strict=True)
        )
        if places is not None
    ]
    if not aligned:
        return maps.new_zeros(())
    rows, targets = zip(*aligned, strict=True)
    return detection_loss(maps[list(rows)], make_targets(targets), with_boxes=False)[0]


def _align(page: NDArray[np.uint8], maps: Tensor, columns: NDArray[np.int64], text: str) -> ComposedPage:
    """Return a page with the characters of a text in these columns, each in its most probable row."""
    across = torch.from_numpy(columns)
    classes = torch.tensor([CHARACTERS.index(character) for character in text])
    log_p = logsigmoid(maps[0]) + maps[1 : 1 + CLASSES].log_softmax(dim=0)[classes]  # (L, H, W)
    down = log_p[torch.arange(len(text)), :, across].argmax(dim=1)
    at = maps[:, down, across].T
    moved, logarithms = at[:, BOX].chunk(2, dim=1)
    middles, halves = (torch.stack([across, down], dim=1) + moved + 0.5) * STRIDE_PX, logarithms.exp() / 2
    boxes = torch.cat([middles - halves, middles + halves], dim=1)
    ems = at[:, EM].exp().clamp(*EM_RANGE_PX)  # in other sizes they would not be looked for
    starts = np.arange(len(text)) == 0
    return ComposedPage(page, boxes.numpy(), classes.numpy(), ems.numpy(), starts)
