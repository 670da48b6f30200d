"""`digits doctor`: what one pastes into a bug report. It works without any extra."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from digit_recognizer import __version__
from digit_recognizer.cli.options import Json
from digit_recognizer.cli.terminal import print_json, say
from digit_recognizer.machine import count_gpus, processor_flags, processor_name, usable_processors

EXTRAS_SHOWN = ("train", "serve", "pdf", "heic", "parquet", "tune", "ray")
INSTRUCTIONS = {
    "amx_bf16": "AMX for bfloat16: trains several times faster than float32",
    "avx512_bf16": "AVX-512 for bfloat16: trains faster than float32",
    "avx512f": "AVX-512, no bfloat16: trains in float32",
    "avx2": "AVX2, no bfloat16: trains in float32",
    "asimd": "NEON",
}  # the best first; the first that a processor has is shown
VARIABLES = (
    "DIGITS_DATA",
    "DIGITS_CACHE",
    "DIGITS_CORRECTIONS_FILE",
    "OMP_NUM_THREADS",
    "RAY_ADDRESS",
    "CUDA_VISIBLE_DEVICES",
)

PACKAGE_NAME = re.compile(r"[A-Za-z0-9._-]+")

Facts = dict[str, Any]


def doctor(json: Json = False) -> None:
    """Show versions, processor, GPU, installed extras and folders: paste it into a bug report."""
    facts = {
        "versions": _versions(),
        "machine": _machine(),
        "extras": {extra: _extra(extra) for extra in EXTRAS_SHOWN},
        "places": _places(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }
    if json:
        print_json(facts)
        return
    for title, values in facts.items():
        for name, value in values.items():
            say(f"{title:<12}{name:<26}{value}")
            title = ""  # noqa: PLW2901  # only in front of the first of its lines


def _versions() -> Facts:
    """Return the versions of this package, of Python, and of the packages that compute."""
    names = ("torch", "numpy", "onnxruntime", "onnx", "opencv-python-headless", "pydantic", "typer")
    return {
        "digit-recognizer": __version__,
        "python": f"{platform.python_version()}, {sys.executable}",
        "system": platform.platform(),
        **{name: _version(name) or "not installed" for name in names},
    }


def _machine() -> Facts:
    flags = processor_flags()
    best = next((text for flag, text in INSTRUCTIONS.items() if flag in flags), "unknown")
    return {
        "processor": processor_name(),
        "instructions": best,
        "threads": f"{usable_processors()} of {os.cpu_count()} processors",
        "memory": _memory(),
        "GPU": _gpu(),
    }


def _memory() -> str:
    """Return the size of the memory, where the system says it."""
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return "unknown"
    return f"{size / 1e9:.1f} GB"


def _gpu() -> str:
    """Return how many GPUs there are, and whether the installed torch can use them."""
    gpus = count_gpus()
    if not gpus:
        return "none" if gpus == 0 else "unknown: the driver gives an error"
    build = (_version("torch") or "").partition("+")[2]
    usable = ", but the installed torch is for the processor only" if build == "cpu" else ""
    return f"{gpus} from NVIDIA{usable}"


def _extra(extra: str) -> str:
    """Return whether all packages of an extra are installed, or which are missing."""
    needed = list(_packages_of(extra))
    missing = [name for name in needed if _version(name) is None]
    if not needed:
        return "unknown"
    return f"incomplete, without {', '.join(missing)}" if missing else "installed"


def _packages_of(extra: str) -> Iterator[str]:
    """Yield the packages that an extra installs on this system."""
    try:
        lines = metadata.requires("digit-recognizer") or []
    except metadata.PackageNotFoundError:  # run from its source folder
        return
    for line in lines:
        requirement, _, condition = line.partition(";")
        name = PACKAGE_NAME.match(requirement.strip())
        not_here = "sys_platform" in condition and sys.platform == "win32"
        if name is not None and f"extra == '{extra}'" in condition.replace('"', "'") and not not_here:
            yield name[0]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _places() -> Facts:
    from digit_recognizer.corrections import corrections_path
    from digit_recognizer.recognition.recognizer import BUNDLED_MODEL

    return {
        "package": str(Path(__file__).parent.parent),
        "model": str(BUNDLED_MODEL),
        "downloads of MNIST": _downloads(),
        "runs": _state(Path("runs").absolute()),
        "corrections": _state(corrections_path(None).absolute()),
    }


def _state(path: Path) -> str:
    return str(path) if path.exists() else f"{path} (does not exist)"


def _downloads() -> str:
    """Return the folder for downloads."""
    from digit_recognizer.downloads import download_folder

    try:
        return _state(download_folder())
    except ImportError:
        return "none: downloading needs the extra train or serve"
