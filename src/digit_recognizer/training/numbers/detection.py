"""What the network that finds characters should give for composed pages, and its loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    logsigmoid,
    smooth_l1_loss,
)

from digit_recognizer.networks.character_network import BOX, CLASSES, EM, START, STRIDE_PX
from digit_recognizer.synthetic.pages import ComposedPage

EM_RANGE_PX = (20.0, 56.0)  # heights of digits that are to be found in one resolution
TOLERATED_EM_RANGE_PX = (16.0, 68.0)  # beyond the range, but not wrong if found
SIGMA_EM = 0.1  # spread of a centre, as a fraction of the digits' height
MIN_SIGMA = 0.5  # of the spread, in places
MIN_CLASS_WEIGHT = 0.3  # value of the spread from which a place also learns the class and the box
FOCUS, NEARNESS = 2, 4  # exponents of the centre loss: of the error, and of the distance from a centre
BOX_BETA = 0.1  # errors of a box beyond it count linearly
START_WEIGHT = 0.5
COLUMNS = 11  # of the table of places, see `Targets`

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """What a batch of N pages should give; places are those of the maps.

    Attributes
    ----------
    centre
        float32, shape (N, H / 4, W / 4): 1 at a centre, falling off around it.
    counted
        float32, of the same shape: 0 where a character may be found or not.
    places
        int64, shape (K, 3): page, row and column of the places that learn a character.
    weights
        float32, shape (K,).
    classes
        int64, shape (K,).
    boxes
        float32, shape (K, 5): columns and rows from the place to the centre, in places; logarithms of width,
        height and the height of digits, in pixels.
    starts
        float32, shape (K,): 1 if a number starts with the character.
    """

    centre: Tensor
    counted: Tensor
    places: Tensor
    weights: Tensor
    classes: Tensor
    boxes: Tensor
    starts: Tensor


def make_targets(pages: Sequence[ComposedPage]) -> Targets:
    """Return the targets of composed pages, all of one size."""
    height, width = (side // STRIDE_PX for side in pages[0].image.shape)
    centre = np.zeros((len(pages), height, width), np.float32)
    counted = np.ones_like(centre)
    tables = [_place(page, number, centre[number], counted[number]) for number, page in enumerate(pages)]
    table = torch.from_numpy(np.concatenate([np.zeros((0, COLUMNS), np.float32), *tables]))
    return Targets(
        torch.from_numpy(centre),
        torch.from_numpy(counted),
        places=table[:, :3].long(),
        weights=table[:, 3],
        classes=table[:, 4].long(),
        boxes=table[:, 5:10],
        starts=table[:, 10],
    )


def detection_loss(
    maps: Tensor, targets: Targets, *, with_boxes: bool = True
) -> tuple[Tensor, dict[str, float]]:
    """Return the loss of maps, (N, 24, H / 4, W / 4), and its parts by name."""
    maps = maps.float()
    page, row, column = targets.places.T
    at = maps[page, :, row, column]  # (K, 24)
    classes = cross_entropy(at[:, 1 : 1 + CLASSES], targets.classes, reduction="none")
    sizes = at[:, BOX.start : EM + 1]
    boxes = smooth_l1_loss(sizes, targets.boxes, beta=BOX_BETA, reduction="none").sum(dim=1)
    starts = binary_cross_entropy_with_logits(at[:, START], targets.starts, reduction="none")
    total = targets.weights.sum().clamp(min=1)
    parts = {name: (each * targets.weights).sum() / total for name, each in
             (("class", classes), ("box", boxes), ("start", starts))}  # fmt: skip
    parts["centre"] = _centre_loss(maps[:, 0], targets)
    box = parts["box"] if with_boxes else 0.0
    loss = parts["centre"] + parts["class"] + box + START_WEIGHT * parts["start"]
    return loss, {name: float(part.detach()) for name, part in parts.items()}


def _centre_loss(logits: Tensor, targets: Targets) -> Tensor:
    """Return the focal loss of centres, per centre; what is near one counts little."""
    is_centre = targets.centre >= 1
    p = logits.sigmoid()
    found = -logsigmoid(logits) * (1 - p) ** FOCUS * is_centre
    wrong = -logsigmoid(-logits) * p**FOCUS * (1 - targets.centre) ** NEARNESS * ~is_centre
    total: Tensor = ((found + wrong) * targets.counted).sum() / is_centre.sum().clamp(min=1)
    return total


def _place(page: ComposedPage, number: int, centre: Floats, counted: Floats) -> Floats:
    """Fill in the maps of one page, in place; return the table of the places that learn, (K, 11)."""
    owner = np.full(centre.shape, -1)
    for index, (box, label, em) in enumerate(zip(page.boxes, page.classes, page.em, strict=True)):
        if label >= 0 and _is_in(em, EM_RANGE_PX):
            _spread(index, box, float(em), owner, centre)
        elif _is_in(em, TOLERATED_EM_RANGE_PX):
            left, top = np.maximum(0, np.floor(box[:2] / STRIDE_PX)).astype(int)
            right, bottom = np.ceil(box[2:] / STRIDE_PX).astype(int)
            counted[top : bottom + 1, left : right + 1] = 0
    rows, columns = np.nonzero((owner >= 0) & (centre >= MIN_CLASS_WEIGHT))
    chosen = owner[rows, columns]
    boxes = page.boxes[chosen]
    middle, size = _middle(boxes), np.maximum(boxes[:, 2:] - boxes[:, :2], 1.0)
    table = [
        np.full(len(rows), number), rows, columns, centre[rows, columns], page.classes[chosen],
        middle[:, 0] - columns, middle[:, 1] - rows, *np.log(size).T, np.log(page.em[chosen]),
        page.starts[chosen],
    ]  # fmt: skip
    return np.column_stack(table).astype(np.float32)


def _is_in(em: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= em <= limits[1]


def _middle(boxes: Floats) -> Floats:
    """Return the middles of boxes, (..., 4), as columns and rows of places."""
    return np.asarray((boxes[..., :2] + boxes[..., 2:]) / (2 * STRIDE_PX) - 0.5, np.float32)


def _spread(index: int, box: Floats, em: float, owner: NDArray[np.int64], centre: Floats) -> None:
    """Spread a character around its centre, a normal distribution whose largest value is 1, in place."""
    middle = _middle(box)
    sigma = max(MIN_SIGMA, SIGMA_EM * em / STRIDE_PX)
    reach = int(3 * sigma) + 1
    column, row = np.rint(middle).astype(int)
    part = slice(max(0, row - reach), row + reach + 1), slice(max(0, column - reach), column + reach + 1)
    rows, columns = np.indices(centre.shape)[:, *part]
    if not rows.size:
        return
    spread = np.exp(-((rows - middle[1]) ** 2 + (columns - middle[0]) ** 2) / (2 * sigma**2))
    spread /= spread.max()
    owner[part] = np.where(spread > centre[part], index, owner[part])
    centre[part] = np.maximum(centre[part], spread)
