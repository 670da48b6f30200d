"""Whether float32 or bfloat16 is faster on this device, for each kind of operation that training consists of.

The processor's flags do not say: bfloat16 is emulated where there are no instructions for it, up to forty
times as slowly, and libraries use the instructions for some operations only. So each kind is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache
from math import inf
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d, linear

from digit_recognizer.recipes.recipe import Recipe
from digit_recognizer.recipes.schema import Precision
from digit_recognizer.training.optimizers import orthogonalise

REPEATS = 5  # of each measurement, in turns; the fastest counts
FEWER_REPEATS = 2  # of what may be emulated
HOPELESS = 4.0  # times as slow as float32 on a small problem: emulated, so a large one would only take long
LARGE = 8  # times the images of a small problem
WORTHWHILE = 0.8  # of float32's time, below which bfloat16 is chosen; what is nearly alike stays exact


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the same operation took in either arithmetic.

    Attributes
    ----------
    float32_ms, bfloat16_ms
        Milliseconds; infinite where the operation is not available.
    """

    float32_ms: float
    bfloat16_ms: float

    @property
    def faster(self) -> str:
        """The arithmetic to use: ``bfloat16`` only where it is faster by more than the noise."""
        return "bfloat16" if self.bfloat16_ms < WORTHWHILE * self.float32_ms else "float32"


def with_precision(recipe: Recipe, device: torch.device) -> Recipe:
    """Return the recipe with each ``auto`` of its precision replaced by what is faster on a device."""
    wanted = asdict(recipe.precision)
    if "auto" not in wanted.values():
        return recipe
    faster = _faster_on(device)
    chosen = {kind: faster[kind] if value == "auto" else value for kind, value in wanted.items()}
    return replace(recipe, precision=Precision(**chosen))  # type: ignore[arg-type]


def describe_arithmetic(recipe: Recipe, device: torch.device) -> dict[str, Any]:
    """Return what `with_precision` chooses for a recipe and why, for a run's environment."""
    wanted, chosen = asdict(recipe.precision), asdict(with_precision(recipe, device).precision)
    described: dict[str, Any] = {}
    for kind, precision in chosen.items():
        if wanted[kind] != "auto":
            reason: dict[str, Any] = {"reason": "set in the recipe"}
        elif device.type == "cuda":
            reason = {"reason": f"bfloat16 is {'' if precision == 'bfloat16' else 'not '}native to the GPU"}
        else:
            timing = measure_arithmetic(device)[kind]
            reason = {
                "reason": "measured",
                **{name: round(ms, 3) if ms < inf else None for name, ms in asdict(timing).items()},
            }
        described[kind] = {"precision": precision, **reason}
    return described


def _faster_on(device: torch.device) -> dict[str, str]:
    """Return the arithmetic of each kind of operation."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return dict.fromkeys(_WORK, "bfloat16" if native else "float32")
    return {kind: timing.faster for kind, timing in measure_arithmetic(device).items()}


def autocast(recipe: Recipe, device: torch.device) -> torch.autocast:
    """Return the context in which a recipe's layers compute; its precision is decided, not ``auto``.

    Layers of our own that are to stay in float32 leave it by themselves; see `networks.build_network`.
    """
    lowered = "bfloat16" in (recipe.precision.convolution, recipe.precision.dense)
    return torch.autocast(device.type, torch.bfloat16, enabled=lowered)


@cache
def measure_arithmetic(device: torch.device) -> dict[str, Timing]:
    """Measure a convolution, a dense layer, both with their gradients, and Muon's iteration.

    It takes less than 0.1 s, once in a process: all its runs compute alike. torch's random state is kept.
    One thread computes, because several wait for each other on a busy machine, which hides the difference.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return {kind: _measure(work, device) for kind, work in _WORK.items()}
    finally:
        torch.set_num_threads(threads)


def _measure(work: Callable[[int, torch.dtype], Callable[[], object]], device: torch.device) -> Timing:
    """Compare on a small problem, and, unless bfloat16 is out of the question there, on one of usual size."""
    with torch.device(device):
        small = _time(work(1, torch.float32), work(1, torch.bfloat16), FEWER_REPEATS)
        if small.bfloat16_ms > HOPELESS * small.float32_ms:
            return small
        return _time(work(LARGE, torch.float32), work(LARGE, torch.bfloat16), REPEATS)


def _time(exact: Callable[[], object], lowered: Callable[[], object], repeats: int) -> Timing:
    """Time both in turns, after a first call of each that prepares what the library caches."""
    best = [inf, inf]
    for turn in range(repeats + 1):
        for number, work in enumerate((exact, lowered)):
            started = time.perf_counter()
            try:
                work()
            except RuntimeError:  # no such operation in this arithmetic
                continue
            if turn:
                best[number] = min(best[number], 1000 * (time.perf_counter() - started))
    return Timing(*best)


def _convolution(size: int, dtype: torch.dtype) -> Callable[[], object]:
    """Return a convolution of 3x3 from 32 to 64 channels, as in `standard`, with gradients."""
    images = torch.randn(8 * size, 32, 12, 12, dtype=dtype).to(memory_format=torch.channels_last)
    filters = torch.randn(64, 32, 3, 3, dtype=dtype).to(memory_format=torch.channels_last)
    return _with_gradients(conv2d, images, filters)


def _dense(size: int, dtype: torch.dtype) -> Callable[[], object]:
    """Return a dense layer from 512 values to 128, with gradients."""
    values, weights = torch.randn(32 * size, 512, dtype=dtype), torch.randn(128, 512, dtype=dtype)
    return _with_gradients(linear, values, weights)


def _with_gradients(
    operation: Callable[[Tensor, Tensor], Tensor], values: Tensor, weights: Tensor
) -> Callable[[], object]:
    values.requires_grad_()
    weights.requires_grad_()
    return lambda: operation(values, weights).sum().backward()  # type: ignore[no-untyped-call]


def _iteration(size: int, dtype: torch.dtype) -> Callable[[], object]:
    """Return Muon's iteration on a matrix whose sides have the ratio of `standard`'s largest."""
    rows = round(64 * size ** (1 / 3))  # the work grows with their third power
    matrix = torch.randn(rows, 4 * rows)
    return lambda: orthogonalise(matrix, dtype)


_WORK: dict[str, Callable[[int, torch.dtype], Callable[[], object]]] = {
    "convolution": _convolution,
    "dense": _dense,
    "muon": _iteration,
}
