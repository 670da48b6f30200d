"""ONNX Runtime Web: the few files of its npm package that the page needs."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

from digit_recognizer.downloads import download_folder
from digit_recognizer.errors import DigitsError
from digit_recognizer.progress import following
from digit_recognizer.sources.common import import_optional

VERSION = "1.30.0"
PACKAGE = f"onnxruntime-web-{VERSION}.tgz"  # as ``npm pack`` calls it
NAME = f"onnxruntime-web@{VERSION}"
CHECKSUM = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"  # SHA-256
FILES = {
    "ort.wasm.min.mjs": "ort.wasm.min.js",
    "ort-wasm-simd-threaded.mjs": "ort-wasm-simd-threaded.js",
    "ort-wasm-simd-threaded.wasm": "ort-wasm-simd-threaded.wasm",
}  # in the package's folder dist, and as the page calls them: not every server knows .mjs
HOW_TO_GET = f"'npm pack {NAME}'"
INSTEAD = f"download {PACKAGE} elsewhere, as with {HOW_TO_GET}, and name it with --runtime"


def runtime_files(package: Path | None = None) -> dict[str, bytes]:
    """Return the files, by their names on the page.

    Parameters
    ----------
    package
        The npm package, a file. Default: npm downloads it on first use, and it is kept.

    Raises
    ------
    DigitsError
        The package cannot be downloaded, or the file is missing or another one than is expected.
    """
    path = _download() if package is None else package
    _check(path)
    try:
        with tarfile.open(path) as archive:
            return {name: _member(archive, f"package/dist/{each}") for each, name in FILES.items()}
    except OSError as error:
        raise DigitsError(f"cannot read {path}: {error.strerror or error}") from error


def _download() -> Path:
    """Return the package in the folder for downloads, where npm puts it first."""
    import_optional("pooch", "serve")
    folder = download_folder()
    kept = folder / PACKAGE
    if kept.exists():
        return kept
    npm = shutil.which("npm")
    if npm is None:
        raise DigitsError(
            f"npm, which downloads ONNX Runtime Web, is not installed: install Node.js, or {INSTEAD}"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder) as partial, following("Downloading ONNX Runtime Web"):
            command = [npm, "pack", "--silent", NAME, "--pack-destination", partial]
            ended = subprocess.run(  # noqa: S603 - npm, with nothing that a user typed
                command, cwd=partial, capture_output=True, text=True, check=False
            )
            downloaded = Path(partial) / PACKAGE
            if ended.returncode or not downloaded.exists():
                said = (ended.stderr.strip() or "no connection").splitlines()[-1]
                raise DigitsError(f"npm cannot download ONNX Runtime Web ({said}): {INSTEAD}")
            _check(downloaded)
            return downloaded.rename(kept)
    except OSError as error:
        raise DigitsError(f"cannot write {folder}: {error.strerror or error}") from error


def _check(path: Path) -> None:
    """Raise `DigitsError` unless a file is the expected package."""
    try:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DigitsError(f"cannot read {path}: {error.strerror or error}") from error
    if found != CHECKSUM:
        raise DigitsError(
            f"{path} is not {PACKAGE}: expected the SHA-256 {CHECKSUM}, got {found}; get it with {HOW_TO_GET}"
        )


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    stream = archive.extractfile(name)
    assert stream is not None, "the checksum says that it is a file"
    return stream.read()
