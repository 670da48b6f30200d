"""The sources that have a name instead of a path: scikit-learn's digits, and MNIST, downloaded and cached.

Those of scikit-learn are the test part of E. Alpaydin, C. Kaynak, "Optical recognition of handwritten
digits", UCI Machine Learning Repository, 1998, https://doi.org/10.24432/C50P49: bitmaps of 32x32 points; each
pixel counts the ink points in a block of 4x4, 0 to 16.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from digit_recognizer.digits import Digits
from digit_recognizer.downloads import download_folder, fetch
from digit_recognizer.errors import DigitsError
from digit_recognizer.sources.common import Part, import_optional, make_digits
from digit_recognizer.sources.folders import file_at
from digit_recognizer.sources.idx import load_pair
from digit_recognizer.sources.streams import OnProgress

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
# SHA-256; TensorFlow Datasets and torchvision's prototype datasets list the same
CHECKSUMS = MappingProxyType(
    {
        "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    }
)
FILES: dict[Part, tuple[str, str]] = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
INSTEAD = "name the Kaggle archive, a folder of IDX files, or bundled instead"  # if MNIST cannot be had


def load_bundled(part: Part) -> Digits:
    """Return scikit-learn's digits, each normalised from 8x8 pixels to MNIST's form."""
    if part == "test":
        raise DigitsError("bundled has no test part: name the competition's archive, its test.csv, or mnist")
    from digit_recognizer.imaging import normalise

    bunch = import_optional("sklearn.datasets").load_digits()
    images = np.stack([normalise(counts) for counts in bunch.images])  # (1797, 8, 8) -> (1797, 28, 28)
    return make_digits("bundled", images, bunch.target.astype(np.int64))


def load_mnist(
    part: Part,
    mirrors: Sequence[str] = MIRRORS,
    checksums: Mapping[str, str] = CHECKSUMS,
    cache: Path | None = None,
    on_progress: OnProgress | None = None,
) -> Digits:
    """Return MNIST's 60,000 training or 10,000 test digits, downloaded on first use.

    The cache is by default the folder ``$DIGITS_CACHE``, or the system's folder for caches.
    `on_progress` is called with the fraction of the images that is downloaded.
    """
    pooch = import_optional("pooch")
    folder = cache or download_folder()
    images, labels = (
        fetch(
            pooch,
            [mirror + name for mirror in mirrors],
            checksums[name],
            folder,
            what="MNIST",
            instead=INSTEAD,
            on_progress=tell,
        )
        for name, tell in zip(FILES[part], (on_progress, None), strict=True)  # labels are small
    )
    return load_pair(file_at(images), file_at(labels))
