"""Each kind of operation computes in the precision chosen for it; `auto` chooses the faster one."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from digit_recognizer.networks.build import build_network
from digit_recognizer.networks.predictor import channels_last
from digit_recognizer.recipes import load_recipe
from digit_recognizer.recipes.schema import Muon, Precision
from digit_recognizer.training import device as arithmetic
from digit_recognizer.training.device import (
    Timing,
    autocast,
    describe_arithmetic,
    measure_arithmetic,
    with_precision,
)
from digit_recognizer.training.optimizers import build_optimizer
from helpers import tiny
from runs import resume_to_the_end, run_to_the_end

CPU = torch.device("cpu")
FASTER_IN = {"bfloat16": Timing(2.0, 1.0), "float32": Timing(1.0, 2.0)}
LINES = ("conv 4 3x3 relu", "dense 10")

pytestmark = pytest.mark.usefixtures("one_thread")


def measured_as(monkeypatch: pytest.MonkeyPatch, **faster: str) -> None:
    """Have each kind of operation measured as faster in a precision."""
    timings = {kind: FASTER_IN[name] for kind, name in faster.items()}
    monkeypatch.setattr(arithmetic, "measure_arithmetic", lambda _device: timings)


class Products(TorchDispatchMode):
    """Records the dtype of each product that torch computes meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, set[torch.dtype]] = {"convolution": set(), "matrix": set()}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.__name__.partition(".")[0]
        if "convolution" in name:
            self.found["convolution"].add(args[0].dtype)
        elif name in ("mm", "addmm"):
            self.found["matrix"].add(args[1].dtype)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("convolution", ["float32", "bfloat16"])
@pytest.mark.parametrize("dense", ["float32", "bfloat16"])
def test_each_kind_of_layer_computes_in_its_own_precision(convolution, dense):
    recipe = tiny(network=LINES, precision=Precision(convolution, dense, "float32"))
    network = build_network(recipe)
    with Products() as products:
        with autocast(recipe, CPU):
            logits = network(torch.rand(4, 1, 28, 28))
        logits.float().sum().backward()
    assert products.found["convolution"] == {getattr(torch, convolution)}
    assert products.found["matrix"] == {getattr(torch, dense)}
    assert all(parameter.grad.dtype == torch.float32 for parameter in network.parameters())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_iteration_of_muon_computes_in_its_own_precision(precision):
    recipe = tiny(
        network=LINES, optimizer=Muon("muon", 0.1), precision=Precision("float32", "float32", precision)
    )
    network = build_network(recipe)
    network(torch.rand(4, 1, 28, 28)).sum().backward()
    with Products() as products:
        build_optimizer(recipe, network).step()
    assert products.found["matrix"] == {getattr(torch, precision)}
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters())


@pytest.mark.parametrize("convolution", ["float32", "bfloat16"])
@pytest.mark.parametrize("dense", ["float32", "bfloat16"])
@pytest.mark.parametrize("muon", ["float32", "bfloat16"])
def test_auto_becomes_what_measures_as_faster(convolution, dense, muon, monkeypatch):
    measured_as(monkeypatch, convolution=convolution, dense=dense, muon=muon)
    recipe = tiny(precision="auto")
    assert with_precision(recipe, CPU).precision == Precision(convolution, dense, muon)
    described = describe_arithmetic(recipe, CPU)
    assert {kind: each["precision"] for kind, each in described.items()} == {
        "convolution": convolution,
        "dense": dense,
        "muon": muon,
    }
    assert {each["reason"] for each in described.values()} == {"measured"}
    assert {each["float32_ms"] for each in described.values()} <= {1.0, 2.0}


def test_only_what_the_recipe_leaves_open_is_measured(monkeypatch):
    measured_as(monkeypatch, convolution="bfloat16", dense="bfloat16", muon="bfloat16")
    recipe = tiny(precision={"muon": "float32"})
    assert with_precision(recipe, CPU).precision == Precision("bfloat16", "bfloat16", "float32")
    monkeypatch.setattr(arithmetic, "measure_arithmetic", None)
    recipe = tiny(precision="bfloat16")
    assert with_precision(recipe, CPU) == recipe
    assert {each["reason"] for each in describe_arithmetic(recipe, CPU).values()} == {"set in the recipe"}


@pytest.mark.parametrize(
    ("timing", "faster"),
    [
        (Timing(1.0, 0.5), "bfloat16"),
        (Timing(1.0, 0.95), "float32"),  # within the noise: the exact one
        (Timing(1.0, 40.0), "float32"),
        (Timing(1.0, float("inf")), "float32"),
    ],
)
def test_bfloat16_has_to_be_clearly_faster(timing, faster):
    assert timing.faster == faster


def test_an_operation_that_torch_lacks_in_bfloat16_is_not_chosen(monkeypatch):
    def fails_in_bfloat16(_size, dtype):
        def work():
            if dtype == torch.bfloat16:
                raise RuntimeError("could not create a primitive")

        return work

    monkeypatch.setattr(arithmetic, "_WORK", {"convolution": fails_in_bfloat16})
    assert measure_arithmetic.__wrapped__(CPU)["convolution"].faster == "float32"


def test_the_measurement_leaves_threads_and_draws_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    timings = measure_arithmetic.__wrapped__(CPU)
    assert set(timings) == {"convolution", "dense", "muon"}
    assert all(0 < timing.float32_ms < float("inf") for timing in timings.values())
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.usefixtures("without_export")
def test_a_run_resumes_in_the_precision_that_it_was_begun_in(monkeypatch, tmp_path):
    measured_as(monkeypatch, convolution="float32", dense="bfloat16", muon="float32")
    run = run_to_the_end(tmp_path / "run", tiny(precision="auto", epochs=1))
    measured_as(monkeypatch, convolution="bfloat16", dense="float32", muon="bfloat16")
    resume_to_the_end(run, epochs=2)
    assert load_recipe(run / "recipe.toml").precision == Precision("float32", "bfloat16", "float32")


def test_one_channel_is_laid_out_as_channels_last():
    images = torch.rand(3, 1, 6, 5)
    laid_out = channels_last(images)
    assert laid_out.stride() == (30, 1, 5, 1)
    assert torch.equal(laid_out, images)
    assert nn.functional.conv2d(laid_out, torch.rand(8, 1, 3, 3)).is_contiguous(
        memory_format=torch.channels_last
    )
