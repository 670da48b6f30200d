"""The sources that have a name instead of a path: scikit-learn's digits, and MNIST, downloaded and cached.

Those of scikit-learn are the test part of E. Alpaydin, C. Kaynak, "Optical recognition of handwritten
digits", UCI Machine Learning Repository, 1998, https://doi.org/10.24432/C50P49: bitmaps of 32x32 points; each
pixel counts the ink points in a block of 4x4, 0 to 16.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from digit_recognizer.digits import Digits
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
CACHE_VARIABLE = "DIGITS_CACHE"  # environment variable: the folder for downloads
CONNECT_TIMEOUT_SECONDS = 2.0  # for each mirror; without a network, this is how long a user waits
READ_TIMEOUT_SECONDS = 20.0  # without receiving a byte
CHUNK_BYTES = 1 << 16


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
    folder = cache or Path(os.environ.get(CACHE_VARIABLE) or pooch.os_cache("digit-recognizer"))
    with _silenced(pooch.get_logger()):
        images, labels = (
            _fetch(pooch, name, mirrors, checksums[name], folder, tell)
            for name, tell in zip(FILES[part], (on_progress, None), strict=True)  # labels are small
        )
    return load_pair(file_at(images), file_at(labels))


def _fetch(
    pooch: Any,
    name: str,
    mirrors: Sequence[str],
    checksum: str,
    folder: Path,
    on_progress: OnProgress | None,
) -> Path:
    """Return a file in the cache; download it from the first mirror that has it."""
    failures = []
    timeouts = (CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS)
    for mirror in mirrors:
        bar = False if on_progress is None else _DownloadBar(on_progress)
        downloader = pooch.HTTPDownloader(progressbar=bar, chunk_size=CHUNK_BYTES, timeout=timeouts)
        try:
            found = pooch.retrieve(mirror + name, f"sha256:{checksum}", name, folder, downloader=downloader)
            return Path(found)
        except OSError as error:
            if error.errno is not None or isinstance(error, PermissionError):  # of the disk, not of requests
                raise DigitsError(f"cannot write {folder / name}: {error.strerror or error}") from error
            failures.append(f"{_host(mirror)}: {_reason(error)}")
        except ValueError:  # how pooch reports a wrong checksum
            failures.append(f"{_host(mirror)}: wrong checksum")
    raise DigitsError(
        f"cannot download MNIST ({'; '.join(failures)}): "
        "name the Kaggle archive, a folder of IDX files, or bundled instead"
    )


class _DownloadBar:
    """What pooch takes for a bar of tqdm; it passes the fraction on."""

    def __init__(self, on_progress: OnProgress) -> None:
        self.total = 0  # bytes; pooch sets it, 0 if the server does not say
        self._on_progress = on_progress
        self._done = 0

    def update(self, count: int) -> None:
        """Add downloaded bytes."""
        self._done += count
        if self.total:
            self._on_progress(min(1.0, self._done / self.total))

    def reset(self) -> None:
        """Start again: pooch repeats the whole at the end."""
        self._done = 0

    def close(self) -> None:
        """Do nothing."""


def _host(mirror: str) -> str:
    return urlsplit(mirror).netloc or mirror


def _reason(error: OSError) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return f"HTTP status {status}" if status else "no connection"


@contextmanager
def _silenced(logger: logging.Logger) -> Iterator[None]:
    """Keep pooch from writing to the terminal."""
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
