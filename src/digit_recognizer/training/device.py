"""The device to compute on, its threads and memory, and the precision that is fastest on it.

A processor's flags do not tell whether float32 or bfloat16 is faster: without instructions for it, bfloat16
is emulated, up to forty times as slowly, and libraries use such instructions only for some operations. So the
time of each kind of operation is measured.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache
from math import inf
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn.functional import conv2d, linear

from digit_recognizer.errors import DigitsError, first_line
from digit_recognizer.machine import usable_processors
from digit_recognizer.recipes import NumbersRecipe, Recipe
from digit_recognizer.recipes.schema import Precision
from digit_recognizer.training.optimizers import orthogonalise

REPEATS = 5  # of each measurement, alternating; the shortest time counts
SMALL_PROBLEM_REPEATS = 2
EMULATED_RATIO = 4.0  # bfloat16 this many times slower on a small problem: emulated, so skip the large one
LARGE_PROBLEM = 8  # times the images of a small problem
MAX_BFLOAT16_RATIO = 0.8  # of float32's time; above that, the gain is not worth the rounding
MIN_PARALLEL = 1 << 16  # values for each thread, for which torch uses all of them
DENORMAL = 1e-40  # float32


R = TypeVar("R", bound=Recipe | NumbersRecipe)


def choose_device(name: str) -> torch.device:
    """Return the device ``cpu``, ``cuda``, ``cuda:1`` …; ``auto`` is a GPU if torch finds one.

    Raises
    ------
    DigitsError
        The name is another, or the device is not available.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.partition(":")[0] not in ("cpu", "cuda"):
        raise DigitsError(f"expected a device auto, cpu, cuda or cuda:1, got {name!r}")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise DigitsError(f"cannot compute on device {name!r}: {first_line(error)}") from error
    return device


def configure_torch() -> None:
    """Let torch use no more threads than there are processors available, unless OMP_NUM_THREADS is set.

    The threads are started here, if they were not before, and take denormal numbers as zero.
    """
    # torch itself respects the process's affinity, but not the quota of its control group
    usable = usable_processors()
    if "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > usable:
        torch.set_num_threads(usable)
    with denormals_as_zero():
        torch.zeros(MIN_PARALLEL * torch.get_num_threads()).add_(1)


@contextmanager
def denormals_as_zero() -> Iterator[None]:
    """Take denormal numbers as zero in this thread, and in those that torch starts meanwhile."""
    # The momentum of a weight that gets no gradient any more decays to denormal numbers, with which
    # processors are very slow: steps of Adam take three times as long.
    before = not (torch.tensor(DENORMAL) * 1).item()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


@dataclass(frozen=True, slots=True)
class Timing:
    """The time of the same operation in both precisions.

    Attributes
    ----------
    float32_ms, bfloat16_ms
        Milliseconds; infinite if the operation is not available.
    """

    float32_ms: float
    bfloat16_ms: float

    @property
    def faster(self) -> str:
        """The precision to use: ``bfloat16`` only if it is clearly faster."""
        return "bfloat16" if self.bfloat16_ms < MAX_BFLOAT16_RATIO * self.float32_ms else "float32"


def with_precision(recipe: R, device: torch.device) -> R:
    """Return the recipe with each ``auto`` of its precision replaced by the faster one on a device."""
    wanted = asdict(recipe.precision)
    if "auto" not in wanted.values():
        return recipe
    faster = _faster_on(device)
    chosen = {kind: faster[kind] if value == "auto" else value for kind, value in wanted.items()}
    return replace(recipe, precision=Precision(**chosen))  # type: ignore[arg-type]


def describe_arithmetic(recipe: R, device: torch.device) -> dict[str, Any]:
    """Return what `with_precision` chooses and why: the entry ``arithmetic`` of ``environment.json``."""
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
    """Return the faster precision for each kind of operation."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return dict.fromkeys(_WORK, "bfloat16" if native else "float32")
    return {kind: timing.faster for kind, timing in measure_arithmetic(device).items()}


def autocast(recipe: R, device: torch.device) -> torch.autocast:
    """Return the context for a recipe's forward pass; its precision is decided, not ``auto``."""
    # layers that stay in float32 leave autocast themselves; see `build_network`
    lowered = "bfloat16" in (recipe.precision.convolution, recipe.precision.dense)
    return torch.autocast(device.type, torch.bfloat16, enabled=lowered)


@cache
def measure_arithmetic(device: torch.device) -> dict[str, Timing]:
    """Measure a convolution, a dense layer and Muon's iteration: less than 0.1 s, once a process."""
    # with one thread: on a busy machine several threads wait for each other, which hides the difference
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return {kind: _measure(work, device) for kind, work in _WORK.items()}
    finally:
        torch.set_num_threads(threads)


def _measure(work: Callable[[int, torch.dtype], Callable[[], object]], device: torch.device) -> Timing:
    """Compare on a small problem and, unless bfloat16 is emulated, on one of the usual size."""
    with torch.device(device):
        small = _time(work(1, torch.float32), work(1, torch.bfloat16), SMALL_PROBLEM_REPEATS)
        if small.bfloat16_ms > EMULATED_RATIO * small.float32_ms:
            return small
        return _time(work(LARGE_PROBLEM, torch.float32), work(LARGE_PROBLEM, torch.bfloat16), REPEATS)


def _time(exact: Callable[[], object], lowered: Callable[[], object], repeats: int) -> Timing:
    """Time both alternately, after a first call of each that fills the library's caches."""
    best = [inf, inf]
    for turn in range(repeats + 1):
        for number, work in enumerate((exact, lowered)):
            started = time.perf_counter()
            try:
                work()
            except RuntimeError:  # not available in this precision
                continue
            if turn:
                best[number] = min(best[number], 1000 * (time.perf_counter() - started))
    return Timing(*best)


def _convolution(size: int, dtype: torch.dtype) -> Callable[[], object]:
    """Return a 3x3 convolution from 32 to 64 channels, as in `standard`, with gradients."""
    images = torch.randn(8 * size, 32, 12, 12, dtype=dtype).to(memory_format=torch.channels_last)
    filters = torch.randn(64, 32, 3, 3, dtype=dtype).to(memory_format=torch.channels_last)
    return _with_gradients(conv2d, images, filters)


def _dense(size: int, dtype: torch.dtype) -> Callable[[], object]:
    """Return a dense layer from 512 to 128 values, with gradients."""
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
    rows = round(64 * size ** (1 / 3))  # the work is proportional to its cube
    matrix = torch.randn(rows, 4 * rows)
    return lambda: orthogonalise(matrix, dtype)


_WORK: dict[str, Callable[[int, torch.dtype], Callable[[], object]]] = {
    "convolution": _convolution,
    "dense": _dense,
    "muon": _iteration,
}
