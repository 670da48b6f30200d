"""Digits and a recipe ► a run folder. Only this room imports torch, and only once a function needs it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from digit_recognizer.training.history import EpochRecord, Progress, history_to_csv, read_history
from digit_recognizer.training.recipe import Recipe, load_recipe, recipe_names, recipe_text

if TYPE_CHECKING:
    from digit_recognizer.training.corrections import fine_tuning, with_corrections
    from digit_recognizer.training.folds import (
        FoldRun,
        cross_validate,
        read_plan,
        resume_folds,
    )
    from digit_recognizer.training.preview import preview_augmentation
    from digit_recognizer.training.summary import LayerSummary, Outline, outline
    from digit_recognizer.training.trainer import resume, train

__all__ = [
    "EpochRecord",
    "FoldRun",
    "LayerSummary",
    "Outline",
    "Progress",
    "Recipe",
    "cross_validate",
    "fine_tuning",
    "history_to_csv",
    "load_recipe",
    "outline",
    "preview_augmentation",
    "read_history",
    "read_plan",
    "recipe_names",
    "recipe_text",
    "resume",
    "resume_folds",
    "train",
    "with_corrections",
]

_NEEDING_TORCH = {
    "corrections": ("fine_tuning", "with_corrections"),
    "folds": ("FoldRun", "cross_validate", "read_plan", "resume_folds"),
    "summary": ("LayerSummary", "Outline", "outline"),
    "preview": ("preview_augmentation",),
    "trainer": ("resume", "train"),
}


def __getattr__(name: str) -> Any:
    for module, names in _NEEDING_TORCH.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
