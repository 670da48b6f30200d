"""Build a recipe's optimizer; Muon for weights of any number of dimensions.

torch.optim.Muon takes matrices only and leaves biases to a second optimizer. Here the weights of a
convolution are a matrix with a row for each filter. The method and the coefficients of its iteration are
Keller Jordan's: https://kellerjordan.github.io/posts/muon/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn

from digit_recognizer.recipes.numbers import NumbersRecipe
from digit_recognizer.recipes.recipe import Recipe
from digit_recognizer.recipes.schema import Adam, AdamW
from digit_recognizer.recipes.schema import Muon as MuonSettings

ITERATIONS = 3  # need not converge: five cost more and gain nothing here
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
EPSILON = 1e-7

LOWERED = 0.1  # of a learning rate that is too high although it is no higher than the default


class Muon(torch.optim.Optimizer):
    """Update each weight matrix by an orthogonal matrix, and each vector in the direction of its momentum.

    Parameters
    ----------
    parameters
        What to optimise.
    learning_rate, momentum, weight_decay, vectors, relative
        As in the recipe's `Muon`.
    dtype
        The precision of the iteration.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        learning_rate: float,
        momentum: float,
        weight_decay: float,
        vectors: float,
        dtype: torch.dtype = torch.float32,
        *,
        relative: bool = False,
    ) -> None:
        self.dtype, self.relative = dtype, relative
        defaults = {
            "lr": learning_rate,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "vectors": vectors,
        }
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update the parameters once; a `closure` is not supported."""
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)

    def _update(self, parameter: Tensor, gradient: Tensor, settings: dict[str, Any]) -> None:
        state, decay = self.state[parameter], settings["momentum"]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum = state["momentum"].mul_(decay).add_(gradient)
        lookahead = gradient.add(momentum, alpha=decay)  # Nesterov's momentum
        rate = settings["lr"]
        if parameter.ndim < 2:
            direction = lookahead / (lookahead.norm() + EPSILON)
            rate, size = rate * settings["vectors"], parameter.numel() ** 0.5
        else:
            parameter.mul_(1 - rate * settings["weight_decay"])
            matrix = lookahead.reshape(len(lookahead), -1)
            rows, columns = matrix.shape
            direction = orthogonalise(matrix, self.dtype).view_as(parameter)
            size = max(1.0, rows / columns) ** 0.5
        if self.relative:
            size = float(parameter.norm() / (direction.norm() + EPSILON))
        parameter.add_(direction, alpha=-rate * size)


def orthogonalise(matrix: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return approximately the nearest matrix with all singular values 1: float32 (M, N)."""
    # Newton-Schulz iteration: most singular values end between 0.5 and 1.3, which is close enough; the
    # smallest ones of square matrices stay smaller. bfloat16 is exact enough, but slow without instructions
    # for it.
    first, second, third = COEFFICIENTS
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    result: Tensor = wide.to(dtype) / (wide.norm() + EPSILON)
    for _ in range(ITERATIONS):
        square = result @ result.T
        factor = torch.addmm(square, square, square, beta=second, alpha=third)
        result = torch.addmm(result, factor, result, beta=first)
    return (result.T if wide is not matrix else result).float()


def skip_compiler() -> None:
    """Keep `Muon` from importing torch's compiler, which takes a second and is not used here."""
    # Some methods of torch's optimizers import the compiler in order to be excluded from compilation, and
    # cache the result in an attribute. Setting the attribute first avoids the import. If another version of
    # torch names it differently, only the second is lost. torch's own optimizers import the compiler in
    # `step` anyway.
    for method in vars(torch.optim.Optimizer).values():
        original = getattr(method, "__wrapped__", None)
        if original is not None:
            original.__dict__.setdefault("__dynamo_disable", original)


def build_optimizer(recipe: Recipe | NumbersRecipe, network: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer of a network's trainable parameters; the recipe's precision is decided."""
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
            parameters,
            choice.learning_rate,
            choice.momentum,
            choice.weight_decay,
            choice.vectors,
            dtype,
            relative=choice.relative,
        )
    return torch.optim.RMSprop(parameters, choice.learning_rate, choice.rho, choice.epsilon)


def default_learning_rate(recipe: Recipe | NumbersRecipe) -> float:
    """Return the default learning rate of a recipe's optimizer."""
    defaults = {each.name: each.default for each in fields(recipe.optimizer)}
    return float(defaults["learning_rate"])  # type: ignore[arg-type]


def lower_learning_rate(recipe: Recipe | NumbersRecipe) -> float:
    """Return a learning rate to try where the recipe's is too high: the default, if that is lower."""
    rate, default = recipe.optimizer.learning_rate, default_learning_rate(recipe)
    return default if default < rate else LOWERED * rate
