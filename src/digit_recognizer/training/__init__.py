"""Digits and a recipe ► a run folder. Only this room imports torch, and only once a function needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from digit_recognizer.training.history import EpochRecord, Progress, history_to_csv
from digit_recognizer.training.recipe import Recipe, load_recipe, recipe_names, recipe_text

if TYPE_CHECKING:
    from digit_recognizer.training.trainer import resume, train

__all__ = [
    "EpochRecord",
    "Progress",
    "Recipe",
    "history_to_csv",
    "load_recipe",
    "recipe_names",
    "recipe_text",
    "resume",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in ("resume", "train"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from digit_recognizer.training import trainer

    return getattr(trainer, name)
