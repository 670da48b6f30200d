"""Training: digits and a recipe become a run folder."""

from digit_recognizer.training.augmentation import preview_augmentation
from digit_recognizer.training.cluster.members import check_has_members
from digit_recognizer.training.cluster.place import task_resources
from digit_recognizer.training.cross_validation import FoldRun, cross_validate, read_plan, resume_folds
from digit_recognizer.training.finetune import fine_tuning, with_corrections
from digit_recognizer.training.trainer import finish, resume, train

__all__ = [
    "FoldRun",
    "check_has_members",
    "cross_validate",
    "fine_tuning",
    "finish",
    "preview_augmentation",
    "read_plan",
    "resume",
    "resume_folds",
    "task_resources",
    "train",
    "with_corrections",
]
