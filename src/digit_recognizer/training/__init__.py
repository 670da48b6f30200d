"""Training: digits and a recipe become a run folder."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from digit_recognizer.training.augmentation import preview_augmentation
    from digit_recognizer.training.cross_validation import FoldRun, cross_validate, read_plan, resume_folds
    from digit_recognizer.training.finetune import fine_tuning, with_corrections
    from digit_recognizer.training.trainer import resume, train

__all__ = [
    "FoldRun",
    "cross_validate",
    "fine_tuning",
    "preview_augmentation",
    "read_plan",
    "resume",
    "resume_folds",
    "train",
    "with_corrections",
]

_HOMES = {
    "cross_validation": ("FoldRun", "cross_validate", "read_plan", "resume_folds"),
    "finetune": ("fine_tuning", "with_corrections"),
    "augmentation": ("preview_augmentation",),
    "trainer": ("resume", "train"),
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, because torch loads slowly."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
