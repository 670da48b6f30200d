"""The optimizer Muon, for weights of any number of dimensions.

torch.optim.Muon takes matrices only, and leaves biases to a second optimizer; here a convolution's weights
are a matrix of one row a filter. The method and the three numbers of its iteration are Keller Jordan's:
https://kellerjordan.github.io/posts/muon/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from digit_recognizer.recipes.recipe import Recipe
from digit_recognizer.recipes.schema import Adam, AdamW
from digit_recognizer.recipes.schema import Muon as MuonSettings

STEPS = 3  # of the iteration: it need not converge; five cost more and gain nothing here
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
EPSILON = 1e-7


class Muon(torch.optim.Optimizer):
    """Moves each weight matrix by an orthogonal one, each vector by its momentum's direction.

    Parameters
    ----------
    parameters
        What to optimise.
    learning_rate, momentum, weight_decay, vectors
        As in the recipe's `Muon`.
    dtype
        What the iteration computes in.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        learning_rate: float,
        momentum: float,
        weight_decay: float,
        vectors: float,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.dtype = dtype
        defaults = {
            "lr": learning_rate,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "vectors": vectors,
        }
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Change the parameters once by their gradients; a `closure` is not supported."""
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, group)

    def _move(self, parameter: Tensor, gradient: Tensor, settings: dict[str, Any]) -> None:
        state, share = self.state[parameter], settings["momentum"]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum = state["momentum"].mul_(share).add_(gradient)
        ahead = gradient.add(momentum, alpha=share)
        if parameter.ndim < 2:
            direction = ahead / (ahead.norm() + EPSILON)
            parameter.add_(direction, alpha=-settings["lr"] * settings["vectors"] * parameter.numel() ** 0.5)
            return
        parameter.mul_(1 - settings["lr"] * settings["weight_decay"])
        matrix = ahead.reshape(len(ahead), -1)
        rows, columns = matrix.shape
        direction = orthogonalise(matrix, self.dtype).view_as(parameter)
        parameter.add_(direction, alpha=-settings["lr"] * max(1.0, rows / columns) ** 0.5)


def orthogonalise(matrix: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return about the nearest matrix whose singular values are all 1: float32, shape (M, N).

    Newton's and Schulz's iteration brings most of them to 0.5 to 1.3, which is near enough; the smallest
    ones of square matrices stay smaller. It computes in `dtype`: bfloat16 is exact enough, and slow where
    the processor has no instructions for it.
    """
    first, second, third = COEFFICIENTS
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    result: Tensor = wide.to(dtype) / (wide.norm() + EPSILON)
    for _ in range(STEPS):
        square = result @ result.T
        factor = torch.addmm(square, square, square, beta=second, alpha=third)
        result = torch.addmm(result, factor, result, beta=first)
    return (result.T if wide is not matrix else result).float()


def skip_compiler() -> None:
    """Keep `Muon` from importing torch's compiler, which takes a second and is not used here.

    Some methods of torch's optimizers import it to tell it to leave them alone, and keep the answer in an
    attribute. Filled beforehand, it saves the import; under another name in another torch, nothing is saved.
    The steps of torch's own optimizers import it all the same.
    """
    for method in vars(torch.optim.Optimizer).values():
        original = getattr(method, "__wrapped__", None)
        if original is not None:
            original.__dict__.setdefault("__dynamo_disable", original)


def build_optimizer(recipe: Recipe, network: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer of those of a network's parameters that are trained.

    The recipe's precision is decided, not ``auto``.
    """
    skip_compiler()
    choice = recipe.optimizer
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if isinstance(choice, Adam | AdamW):
        betas = (choice.beta_1, choice.beta_2)
        if isinstance(choice, Adam):
            return torch.optim.Adam(parameters, choice.learning_rate, betas, choice.epsilon, fused=True)
        return torch.optim.AdamW(
            parameters, choice.learning_rate, betas, choice.epsilon, choice.weight_decay, fused=True
        )
    if isinstance(choice, MuonSettings):
        dtype = getattr(torch, recipe.precision.muon)
        return Muon(
            parameters, choice.learning_rate, choice.momentum, choice.weight_decay, choice.vectors, dtype
        )
    return torch.optim.RMSprop(parameters, choice.learning_rate, choice.rho, choice.epsilon)
