"""Small digits, and the competition's way of writing them, for the tests of sources."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from digit_recognizer.digits import Digits

PIXELS = [f"pixel{i}" for i in range(784)]


@pytest.fixture
def digits() -> Digits:
    """Twenty images, two of each class in order, with ink of every strength inside a dark border."""
    images = np.zeros((20, 28, 28), np.uint8)
    images[:, 4:24, 4:24] = np.random.default_rng(1).integers(0, 256, (20, 20, 20))
    return Digits(images, np.repeat(np.arange(10), 2))


@pytest.fixture
def csv_text() -> Callable[[Digits], str]:
    """Write digits as Kaggle's CSV: train.csv where they have labels, else test.csv."""

    def text(digits: Digits) -> str:
        rows = digits.images.reshape(-1, 784).tolist()
        if digits.labels is None:
            return "\n".join(",".join(map(str, row)) for row in [PIXELS, *rows]) + "\n"
        rows = [["label", *PIXELS], *([label, *row] for label, row in zip(digits.labels, rows, strict=True))]
        return "\n".join(",".join(map(str, row)) for row in rows) + "\n"

    return text
