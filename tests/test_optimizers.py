"""Muon and AdamW: numpy and torch are the oracles of a step, and a run shows that they learn."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from digit_recognizer.networks.build import build_network
from digit_recognizer.recipes.schema import Adam, AdamW, RMSprop
from digit_recognizer.recipes.schema import Muon as MuonSettings
from digit_recognizer.training import train
from digit_recognizer.training.optimizers import Muon, build_optimizer, orthogonalise
from helpers import make_digits, tiny

pytestmark = pytest.mark.usefixtures("one_thread")


def random_matrix(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=60, deadline=None)
@given(
    small=st.integers(1, 40),
    ratio=st.floats(2, 9),
    tall=st.booleans(),
    size=st.floats(-6, 6).map(lambda power: 10**power),
    seed=st.integers(0, 1_000),
)
def test_a_random_matrix_of_any_size_becomes_almost_orthogonal(small, ratio, tall, size, seed):
    large = int(small * ratio)
    matrix = size * random_matrix(*((large, small) if tall else (small, large)), seed=seed)
    found = orthogonalise(matrix)
    assert (found.shape, found.dtype) == (matrix.shape, torch.float32)
    values = torch.linalg.svdvals(found)
    if size > 1e-4:  # a smaller one drowns in the epsilon
        assert values.min() > 0.3
    assert values.max() < 1.6


@pytest.mark.parametrize("shape", [(32, 8), (8, 32), (20, 20)], ids=str)
def test_orthogonalising_changes_no_direction(shape):
    """Only the singular values: what goes in along one pair of directions comes out along it."""
    matrix = random_matrix(*shape)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    found = left.T @ orthogonalise(matrix) @ right.T
    off = found - found.diag().diag()
    assert off.abs().max() < 0.03  # bfloat16
    assert found.diag().min() > 0


def test_a_matrix_of_zeros_stays_one_and_a_row_is_scaled_to_about_length_one():
    assert not orthogonalise(torch.zeros(4, 6)).any()
    row = torch.tensor([[3.0, 4.0]])
    found = orthogonalise(row)
    assert 0.5 < found.norm() < 1.5
    torch.testing.assert_close(found / found.norm(), row / 5, atol=0.01, rtol=0)


def moved(start: torch.Tensor, gradients: list[torch.Tensor], **changes: float) -> torch.Tensor:
    """Return a parameter after steps of Muon with these gradients."""
    parameter = nn.Parameter(start.clone())
    options = {"learning_rate": 0.1, "momentum": 0.5, "weight_decay": 0.0, "vectors": 0.2}
    optimizer = Muon([parameter], **(options | changes))
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
    return parameter.detach()


def test_a_vector_moves_along_its_momentum_by_a_root_mean_square_that_is_set():
    """Two steps by hand: the momentum is the gradient, then half of it and the next; Nesterov looks ahead."""
    first, second = torch.tensor([3.0, 0.0, 4.0, 0.0]), torch.tensor([0.0, 2.0, -1.0, 0.0])
    found = moved(torch.zeros(4), [first, second])
    ahead = [1.5 * first, second + 0.5 * (0.5 * first + second)]
    length = 0.1 * 0.2 * 2  # rate, share, root of four values
    torch.testing.assert_close(found, -length * sum(each / each.norm() for each in ahead))


@pytest.mark.parametrize(("shape", "stretch"), [((12, 3), 2.0), ((3, 12), 1.0), ((4, 4), 1.0)], ids=str)
def test_a_matrix_moves_by_an_orthogonal_one_and_a_tall_one_further(shape, stretch):
    start, first, second = (random_matrix(*shape, seed=seed) for seed in range(3))
    found = moved(start, [first, second])
    ahead = [1.5 * first, second + 0.5 * (0.5 * first + second)]
    torch.testing.assert_close(found, start - 0.1 * stretch * sum(map(orthogonalise, ahead)))


@pytest.mark.parametrize("shape", [(12, 3), (3, 12), (7,)], ids=str)
def test_relative_updates_are_in_proportion_to_the_weights(shape):
    """Ten times the weights move ten times as far, and by the learning rate times their norm."""
    start, gradient = (torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    one, ten = (moved(each, [gradient], relative=True) - each for each in (start, 10 * start))
    torch.testing.assert_close(ten, 10 * one)
    assert float(one.norm() / start.norm()) == pytest.approx(0.1 * (0.2 if len(shape) == 1 else 1), rel=1e-4)


def test_a_convolution_is_a_matrix_of_one_row_a_filter_however_it_lies_in_memory():
    start, gradient = random_matrix(6, 18, 0), random_matrix(6, 18, 1)
    expected = moved(start, [gradient]).reshape(6, 2, 3, 3)
    start, gradient = start.reshape(6, 2, 3, 3), gradient.reshape(6, 2, 3, 3)
    assert torch.equal(moved(start, [gradient]), expected)
    assert torch.equal(moved(start.to(memory_format=torch.channels_last), [gradient]), expected)


def test_weights_decay_and_vectors_do_not():
    """No gradient, no step: what is left of it is the decay, twice a tenth of a half."""
    nothing = [torch.zeros(2, 3)] * 2
    torch.testing.assert_close(
        moved(torch.ones(2, 3), nothing, weight_decay=0.5), torch.full((2, 3), 0.95**2)
    )
    assert torch.equal(moved(torch.ones(3), [torch.zeros(3)] * 2, weight_decay=0.5), torch.ones(3))


def test_what_has_no_gradient_stays_as_it_is():
    used, unused = nn.Parameter(torch.ones(2, 3)), nn.Parameter(torch.ones(2, 3))
    used.grad = torch.ones(2, 3)
    Muon([used, unused], 0.1, 0.9, 0.1, 0.2).step()
    assert torch.equal(unused, torch.ones(2, 3))
    assert not torch.equal(used, unused)


@pytest.mark.parametrize(
    "choice",
    [AdamW("adamw", 0.003, beta_1=0.8, beta_2=0.95, epsilon=1e-4, weight_decay=0.3), AdamW("adamw")],
    ids=["of its own", "by default"],
)
def test_adamw_is_torchs(choice):
    networks = []
    for _ in range(2):
        torch.manual_seed(1)
        networks.append(build_network(tiny(network=("dense 12 tanh", "dense 10"))))
    mine = build_optimizer(tiny(optimizer=choice), networks[0])
    theirs = torch.optim.AdamW(
        networks[1].parameters(),
        lr=choice.learning_rate,
        betas=(choice.beta_1, choice.beta_2),
        eps=choice.epsilon,
        weight_decay=choice.weight_decay,
        foreach=False,
    )
    before = [value.clone() for value in networks[0].state_dict().values()]
    images = torch.rand(8, 1, 28, 28)
    for _ in range(5):
        for network, optimizer in zip(networks, (mine, theirs), strict=True):
            optimizer.zero_grad()
            network(images).logsumexp(1).sum().backward()
            optimizer.step()
    mine_now, theirs_now = (list(network.state_dict().values()) for network in networks)
    assert all((now != old).any() for now, old in zip(mine_now, before, strict=True))
    for found, expected in zip(mine_now, theirs_now, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)


def test_adamw_has_the_defaults_of_torch():
    theirs, mine = torch.optim.AdamW([nn.Parameter(torch.ones(1))]).defaults, AdamW("adamw")
    assert mine.learning_rate == theirs["lr"]
    assert (mine.beta_1, mine.beta_2) == theirs["betas"]
    assert (mine.epsilon, mine.weight_decay) == (theirs["eps"], theirs["weight_decay"])


def test_muon_takes_its_numbers_from_the_recipe():
    choice = MuonSettings("muon", learning_rate=0.05, momentum=0.7, weight_decay=0.3, vectors=0.4)
    optimizer = build_optimizer(tiny(optimizer=choice), build_network(tiny()))
    assert isinstance(optimizer, Muon)
    (group,) = optimizer.param_groups
    wanted = {"lr": 0.05, "momentum": 0.7, "weight_decay": 0.3, "vectors": 0.4}
    assert group.items() >= wanted.items()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "optimizer",
    [MuonSettings("muon", 0.06), AdamW("adamw", 0.01), Adam("adam", 0.01), RMSprop("rmsprop", 0.01)],
    ids=lambda choice: choice.name,
)
@pytest.mark.usefixtures("without_export")
def test_every_optimizer_learns(optimizer, precision, tmp_path):
    recipe = tiny(f"precision={precision}", "epochs=5", optimizer=optimizer)
    first, *_, last = train(make_digits(), recipe, tmp_path / "run")
    assert last.loss < first.loss / 2
    assert last.validation_accuracy > 0.95


def test_muon_does_not_import_the_compiler_of_torch():
    """The import takes a second of each start; in its own process, because other tests import it."""
    program = (
        "import sys, torch\n"
        "from digit_recognizer.networks.build import build_network\n"
        "from digit_recognizer.training.optimizers import build_optimizer\n"
        "from digit_recognizer.recipes.recipe import load_recipe\n"
        "recipe = load_recipe('standard', ['precision=float32'])\n"
        "network = build_network(recipe)\n"
        "optimizer = build_optimizer(recipe, network)\n"
        "network(torch.rand(2, 1, 28, 28)).sum().backward()\n"
        "optimizer.step()\n"
        "optimizer.zero_grad()\n"
        "optimizer.load_state_dict(optimizer.state_dict())\n"
        "print('torch._dynamo' in sys.modules)\n"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
