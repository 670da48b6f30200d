"""Training on pictures of whole numbers: the reader of pages goes on learning from them."""

from __future__ import annotations

from digit_recognizer.training.numbers.trainer import resume_numbers, train_numbers

__all__ = ["resume_numbers", "train_numbers"]
