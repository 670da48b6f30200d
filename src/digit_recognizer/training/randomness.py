"""Every random draw of a run, from its seed, the epoch and the step alone.

So no random state needs to be kept: a run may stop behind any step and go on with the same draws. Members and
epochs are counted from 1 and steps within one from 1; the first weights are epoch 0, the order of the images
step 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

ORDER = 0  # the step that the order of an epoch's images belongs to


def batches_of(count: int, size: int, seed: int, epoch: int, member: int = 1) -> list[Tensor]:
    """Return the rows of each batch of an epoch, in the order of a seed.

    The last batch is smaller where `size` does not divide `count`; a single image left over joins the batch
    before it, because batch normalisation cannot do with one.
    """
    generator = torch.Generator().manual_seed(_seed_of(seed, epoch, ORDER, member))
    batches = list(torch.split(torch.randperm(count, generator=generator), size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


@contextmanager
def draws_from(seed: int, epoch: int, step: int, member: int = 1) -> Iterator[None]:
    """Let torch's global generators draw what belongs to one step; leave them to the caller as they were.

    `torch.manual_seed` would take a millisecond: without a GPU it notes each time who asked for one.
    """
    generators = [torch.default_generator]
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        generators += torch.cuda.default_generators
    states = [generator.get_state() for generator in generators]
    for generator in generators:
        generator.manual_seed(_seed_of(seed, epoch, step, member))
    try:
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


def _seed_of(seed: int, epoch: int, step: int, member: int) -> int:
    return int(np.random.SeedSequence((seed, epoch, step, member - 1)).generate_state(1, np.uint64)[0] >> 1)
