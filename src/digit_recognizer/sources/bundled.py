"""The 1,797 handwritten digits that come with scikit-learn: real data without a download.

They are the test part of E. Alpaydin, C. Kaynak, "Optical recognition of handwritten digits", UCI Machine
Learning Repository, 1998, https://doi.org/10.24432/C50P49: bitmaps of 32x32 points; each pixel counts the
ink points in a block of 4x4, 0 to 16.
"""

from __future__ import annotations

import numpy as np

from digit_recognizer.digits import Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.imaging import normalise
from digit_recognizer.sources.common import Part, import_optional, make_digits


def load_bundled(part: Part) -> Digits:
    """Return scikit-learn's digits, each normalised from 8x8 pixels to MNIST's form."""
    if part == "test":
        raise DigitsError("bundled has no test part: name the competition's archive, its test.csv, or mnist")
    bunch = import_optional("sklearn.datasets").load_digits()
    images = np.stack([normalise(counts) for counts in bunch.images])  # (1797, 8, 8) -> (1797, 28, 28)
    return make_digits("bundled", images, bunch.target.astype(np.int64))
