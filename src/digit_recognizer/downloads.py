"""Files that are downloaded once, from one of several addresses, verified, and kept in a folder."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from digit_recognizer.errors import DigitsError

CACHE_VARIABLE = "DIGITS_CACHE"  # environment variable: the folder for downloads
CONNECT_TIMEOUT_SECONDS = 2.0  # for each address; without a network, this is how long a user waits
READ_TIMEOUT_SECONDS = 20.0  # without receiving a byte
CHUNK_BYTES = 1 << 16

OnProgress = Callable[[float], None]  # takes the fraction that is downloaded


def download_folder() -> Path:
    """Return the folder for downloads: ``$DIGITS_CACHE``, or one in the system's folder for caches.

    `ImportError` is raised if that needs pooch, which is not installed.
    """
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named)
    import pooch

    return Path(pooch.os_cache("digit-recognizer"))


def fetch(
    pooch: Any,
    addresses: Sequence[str],
    checksum: str,
    folder: Path,
    *,
    what: str,
    instead: str,
    on_progress: OnProgress | None = None,
) -> Path:
    """Return a file in a folder; download it from the first address that has it.

    `checksum` is its SHA-256. If no address has it, the error says that `what` cannot be downloaded, and to
    do something `instead`.
    """
    failures = []
    timeouts = (CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS)
    for address in addresses:
        name = address.rpartition("/")[2]
        bar = False if on_progress is None else _DownloadBar(on_progress)
        downloader = pooch.HTTPDownloader(progressbar=bar, chunk_size=CHUNK_BYTES, timeout=timeouts)
        try:
            with _silenced(pooch.get_logger()):
                found = pooch.retrieve(address, f"sha256:{checksum}", name, folder, downloader=downloader)
            return Path(found)
        except OSError as error:
            if error.errno is not None or isinstance(error, PermissionError):  # of the disk, not of requests
                raise DigitsError(f"cannot write {folder / name}: {error.strerror or error}") from error
            failures.append(f"{_host(address)}: {_reason(error)}")
        except ValueError:  # how pooch reports a wrong checksum
            failures.append(f"{_host(address)}: wrong checksum")
    raise DigitsError(f"cannot download {what} ({'; '.join(failures)}): {instead}")


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


def _host(address: str) -> str:
    return urlsplit(address).netloc or address


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
