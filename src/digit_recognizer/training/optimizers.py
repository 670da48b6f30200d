"""A recipe's optimizer ► torch's."""

from __future__ import annotations

import torch
from torch import nn

from digit_recognizer.training.hardware import skip_compiler
from digit_recognizer.training.muon import Muon
from digit_recognizer.training.recipe import Recipe
from digit_recognizer.training.settings import Adam, AdamW
from digit_recognizer.training.settings import Muon as MuonSettings

__all__ = ["build_optimizer"]


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
