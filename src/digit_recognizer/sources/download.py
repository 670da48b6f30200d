"""MNIST from its mirrors, checked and kept in the user's cache."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from digit_recognizer.digits import Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.sources.idx import load_pair
from digit_recognizer.sources.parts import Part, optional

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
# The same in TensorFlow Datasets and torchvision's prototype datasets.
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
CACHE = "DIGITS_CACHE"  # environment variable: the folder to keep downloads in
CONNECT_TIMEOUT = 2.0  # seconds a mirror; offline this is what a user waits
READ_TIMEOUT = 20.0  # seconds without a byte
CHUNK = 1 << 16  # bytes


def load_mnist(
    part: Part,
    mirrors: Sequence[str] = MIRRORS,
    checksums: Mapping[str, str] = CHECKSUMS,
    cache: Path | None = None,
) -> Digits:
    """Return MNIST's 60,000 training or 10,000 test digits, downloaded on first use.

    Parameters
    ----------
    part
        "train" or "test".
    mirrors
        Addresses of folders with the files, tried in turn.
    checksums
        SHA-256 of each file, in hexadecimal.
    cache
        Where to keep the files; by default the folder that the environment variable ``DIGITS_CACHE``
        names, else the system's cache folder.

    Raises
    ------
    DigitsError
        No mirror answers with the right file, the cache cannot be written, or pooch is not installed.
    """
    pooch = optional("pooch")
    folder = cache or Path(os.environ.get(CACHE) or pooch.os_cache("digit-recognizer"))
    with _quiet(pooch.get_logger()):
        images, labels = (_fetch(pooch, name, mirrors, checksums[name], folder) for name in FILES[part])
    return load_pair(images, labels)


def _fetch(pooch: Any, name: str, mirrors: Sequence[str], checksum: str, folder: Path) -> Path:
    """Return a file of the cache, downloaded from the first mirror that has it."""
    failures = []
    for mirror in mirrors:
        timeouts = (CONNECT_TIMEOUT, READ_TIMEOUT)
        downloader = pooch.HTTPDownloader(chunk_size=CHUNK, timeout=timeouts)
        try:
            found = pooch.retrieve(mirror + name, f"sha256:{checksum}", name, folder, downloader=downloader)
            return Path(found)
        except OSError as error:
            if error.errno is not None or isinstance(error, PermissionError):  # the disk's, not requests'
                raise DigitsError(f"cannot write {folder / name}: {error.strerror or error}") from error
            failures.append(f"{_host(mirror)}: {_reason(error)}")
        except ValueError:  # pooch's word for another checksum
            failures.append(f"{_host(mirror)}: wrong checksum")
    raise DigitsError(
        f"MNIST could not be downloaded ({'; '.join(failures)}): "
        "name the Kaggle archive, a folder of IDX files, or bundled instead"
    )


def _host(mirror: str) -> str:
    return urlsplit(mirror).netloc or mirror


def _reason(error: OSError) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return f"HTTP status {status}" if status else "no connection"


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Keep pooch from writing to the terminal."""
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
