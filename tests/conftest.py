"""What the tests share: small digits, and one thread for networks that are small."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from digit_recognizer.digits import Digits
from helpers import csv_of


@pytest.fixture
def digits() -> Digits:
    """Twenty images, two of each class in order, with ink of every strength inside a dark border."""
    images = np.zeros((20, 28, 28), np.uint8)
    images[:, 4:24, 4:24] = np.random.default_rng(1).integers(0, 256, (20, 20, 20))
    return Digits(images, np.repeat(np.arange(10), 2))


@pytest.fixture
def csv_text() -> Callable[[Digits], str]:
    """Write digits as the competition does."""
    return csv_of


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Networks this small are fastest on one thread, above all where other programs want the cores."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
