"""LIBSVM's sparse text: a label, then index:value for each pixel that is not 0, from index 1 or 0.

https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/ has MNIST and USPS in this format.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import PIXELS, SIDE, Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.sources.common import (
    Options,
    is_transposed,
    make_digits,
    note,
    size_in_words,
    to_images,
    to_labels,
)
from digit_recognizer.sources.folders import File

MIN_FEATURES = (SIDE - 4) ** 2 + 1  # fewer are another size; the last pixels of all images are often 0
MAX_CHARACTERS_SHOWN = 40


def load_sparse(file: File, options: Options) -> Digits:
    """Load images of 28×28 pixels from LIBSVM's sparse text."""
    labels, indices, values = _read_rows(file, options)
    found = np.concatenate(indices)
    low, high = int(found.min(initial=1)), int(found.max(initial=0))
    base, features = min(low, 1), high + 1 - min(low, 1)
    if low < 0 or not MIN_FEATURES <= features <= PIXELS:
        raise DigitsError(
            f"{file}: expected {PIXELS} features ({SIDE}×{SIDE}), found indices {low} to {high}"
            f"{size_in_words(features)}: resize the images, or save them as pictures in folders 0 to 9"
        )
    note(f"{file}: LIBSVM's format; the first pixel has the index {base}")
    images = np.zeros((len(labels), PIXELS), np.float32)
    rows = np.repeat(np.arange(len(labels)), [len(each) for each in indices])
    images[rows, found - base] = np.concatenate(values)
    pixels = to_images(str(file), images)
    return make_digits(
        str(file),
        pixels.transpose(0, 2, 1) if is_transposed(file.name) else pixels,
        to_labels(str(file), np.array(labels)),
    )


def _read_rows(
    file: File, options: Options
) -> tuple[list[float], list[NDArray[np.int64]], list[NDArray[np.float64]]]:
    """Return the label, the indices and the values of each row that is not blank."""
    labels, indices, values = list[float](), list[NDArray[np.int64]](), list[NDArray[np.float64]]()
    with file.open_unpacked(options.on_progress) as stream:
        for number, line in enumerate(stream, start=1):
            label, *cells = line.partition(b"#")[0].split() or [b""]
            if not label:
                continue
            try:
                pairs = np.array(b" ".join(cells).replace(b":", b" ").split(), np.float64).reshape(-1, 2)
                labels.append(float(label))
            except ValueError as error:
                start = line[:MAX_CHARACTERS_SHOWN].decode("utf-8", "replace").strip()
                raise DigitsError(
                    f"{file}, line {number}: expected a label and pairs index:value, found {start!r}…"
                ) from error
            with np.errstate(invalid="ignore"):  # infinite ones become negative
                indices.append(pairs[:, 0].astype(np.int64))
            values.append(pairs[:, 1])
    return labels, indices, values
