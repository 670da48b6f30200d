"""Learn from what is written in a picture, without boxes: connectionist temporal classification.

The maps are collapsed over their rows: of each column of places, the probability that nothing is centred in
it, and that a character of a class is, which starts a number or does not. The loss is the negative logarithm
of the probability of all ways to place the characters of the text in the columns, in their order (Graves et
al. 2006, https://www.cs.toronto.edu/~graves/icml_2006.pdf).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import ctc_loss, logsigmoid

from digit_recognizer.networks.character_network import CLASSES, START
from digit_recognizer.reading import CHARACTERS

BLANK = 0  # the class of columns in which nothing is centred; then those that start a number, then the rest
MAX_LOG_BLANK = -1e-6  # so that the logarithm of the probability of the contrary is finite


def column_log_probabilities(maps: Tensor) -> Tensor:
    """Return the logarithms of probabilities of maps (N, 24, H, W): float32 (W, N, 1 + 2 * 17)."""
    maps = maps.float()
    is_centre = logsigmoid(maps[:, 0])
    blank = logsigmoid(-maps[:, 0]).sum(dim=1)  # (N, W)
    some = torch.log(-torch.expm1(blank.clamp(max=MAX_LOG_BLANK)))
    classes = maps[:, 1 : 1 + CLASSES].log_softmax(dim=1)
    starts = maps[:, None, START]
    both = torch.cat([classes + logsigmoid(starts), classes + logsigmoid(-starts)], dim=1)
    which = torch.logsumexp(both + is_centre[:, None], dim=2) - torch.logsumexp(is_centre, dim=1)[:, None]
    return torch.cat([blank[:, None], which + some[:, None]], dim=1).permute(2, 0, 1)


def text_losses(columns: Tensor, texts: Sequence[str]) -> Tensor:
    """Return the negative logarithm of the probability of each text, in nats: (N,); 0 if it has no room."""
    targets = [_targets(text) for text in texts]
    return ctc_loss(
        columns,
        torch.cat(targets).to(columns.device),
        torch.full((len(texts),), len(columns)),
        torch.tensor([len(each) for each in targets]),
        blank=BLANK,
        reduction="none",
        zero_infinity=True,
    )


def most_probable_texts(columns: Tensor) -> list[str]:
    """Return the text of each picture if each column is what it most probably is."""
    best: NDArray[np.int64] = columns.argmax(dim=2).T.cpu().numpy()  # (N, W)
    return ["".join(CHARACTERS[(each - 1) % CLASSES] for each in _collapsed(row)) for row in best]


def most_probable_places(columns: Tensor, texts: Sequence[str]) -> list[NDArray[np.int64] | None]:
    """Return the column of each character in the most probable way to place each text; None without room.

    Viterbi's algorithm on the ways that the loss sums over: a state for each character, and one before, after
    and between them in which nothing is centred.
    """
    log_p: NDArray[np.float32] = columns.detach().cpu().numpy()
    targets = [_targets(text).numpy() for text in texts]
    states = np.full((len(texts), 1 + 2 * max(map(len, targets))), BLANK)
    for row, target in zip(states, targets, strict=True):
        row[1 : 2 * len(target) : 2] = target
    skips = np.full(states.shape, -np.inf, np.float32)  # from a character to the next, if they differ
    skips[:, 3::2] = np.where(states[:, 3::2] != states[:, 1:-2:2], 0, -np.inf)
    log_states = np.take_along_axis(log_p, states[None], axis=2)  # (W, N, S)
    best = np.full(states.shape, -np.inf, np.float32)
    best[:, 0] = 0
    steps = np.zeros(log_states.shape, np.int64)  # how many states each state is after the one before it
    for column, here in enumerate(log_states):
        ways = np.stack([best, _moved(best, 1), _moved(best, 2) + skips])
        steps[column] = ways.argmax(axis=0)
        best = np.take_along_axis(ways, steps[column][None], axis=0)[0] + here
    return [
        _places(best[row], steps[:, row], log_states[:, row], len(target))
        for row, target in enumerate(targets)
    ]


def _moved(values: NDArray[np.float32], by: int) -> NDArray[np.float32]:
    return np.pad(values, ((0, 0), (by, 0)), constant_values=-np.inf)[:, :-by]


def _places(
    best: NDArray[np.float32], steps: NDArray[np.int64], log_p: NDArray[np.float32], length: int
) -> NDArray[np.int64] | None:
    """Follow the best way back through states (W, S); return the most probable column of each character."""
    state = 2 * length - 1 + int(best[2 * length - 1 : 2 * length + 1].argmax())
    if not np.isfinite(best[state]):
        return None
    way = np.zeros(len(steps), np.int64)
    for column in range(len(steps) - 1, -1, -1):
        way[column] = state
        state -= int(steps[column, state])
    along = log_p[np.arange(len(way)), way]
    return np.array([np.where(way == 2 * place + 1, along, -np.inf).argmax() for place in range(length)])


def _collapsed(row: NDArray[np.int64]) -> NDArray[np.int64]:
    changes = np.flatnonzero(np.diff(row, prepend=BLANK))
    kept = row[changes]
    return np.asarray(kept[kept != BLANK], np.int64)


def _targets(text: str) -> Tensor:
    """Return the classes of a number's characters: the first starts it."""
    places = [CHARACTERS.index(character) for character in text]
    return torch.tensor([1 + place + (CLASSES if number else 0) for number, place in enumerate(places)])
