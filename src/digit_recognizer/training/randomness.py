"""All random draws of a run depend on the seed, the member, the epoch and the step alone.

A run therefore needs no saved random state: it may stop after any step and resume with the same draws.
Members, epochs and steps count from 1. The first weights are drawn in epoch 0, the order of the images in
step 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

ORDER_STEP = 0  # the step in which the order of an epoch's images is drawn


def shuffled_batches(count: int, size: int, seed: int, epoch: int, member: int = 1) -> list[Tensor]:
    """Return the rows of each batch of an epoch.

    The last batch is smaller if `size` does not divide `count`. A single remaining image joins the batch
    before it, because batch normalisation needs at least two.
    """
    generator = torch.Generator().manual_seed(_combine(seed, epoch, ORDER_STEP, member))
    batches = list(torch.split(torch.randperm(count, generator=generator), size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


@contextmanager
def draws_from(seed: int, epoch: int, step: int, member: int = 1) -> Iterator[None]:
    """Seed torch's global generators for one step, and restore their state afterwards."""
    # not torch.manual_seed: without a GPU it formats a traceback for later, which takes a millisecond
    generators = [torch.default_generator]
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        generators += torch.cuda.default_generators
    states = [generator.get_state() for generator in generators]
    for generator in generators:
        generator.manual_seed(_combine(seed, epoch, step, member))
    try:
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


def _combine(seed: int, epoch: int, step: int, member: int) -> int:
    return int(np.random.SeedSequence((seed, epoch, step, member - 1)).generate_state(1, np.uint64)[0]) >> 1
