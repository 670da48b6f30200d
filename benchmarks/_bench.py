"""What the benchmarks have in common: children in processes of their own, and the machine."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from digit_recognizer import DigitsError, __version__
from digit_recognizer.files import write_json
from digit_recognizer.machine import processor_name

__all__ = [
    "KINDS",
    "BenchmarkError",
    "at_least",
    "cached_environment",
    "cores",
    "facts_of_machine",
    "kind_of",
    "measure_and_write",
    "own_versions",
    "peers_versions",
    "processor_kind",
    "run_child",
    "say",
]

HERE = Path(__file__).parent
PEERS = ("tensorflow", "keras", "numpy")
X86_KINDS = {"amx_bf16": "amx", "avx512_bf16": "avx512-bf16", "avx512f": "avx512", "avx2": "avx2"}  # by flag
KINDS = (*X86_KINDS.values(), "arm", "apple", "other")
LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS")
NO_LIMIT = ("", "all", "default")  # values of these


class BenchmarkError(Exception):
    """Something that ends the benchmark, in a sentence."""


def measure_and_write(
    arguments: argparse.Namespace, run: Callable[[argparse.Namespace, Path], dict[str, Any]]
) -> int:
    """Let `run` measure in a folder of its own, write what it reports, and return the exit status."""
    try:
        if arguments.output is not None and not arguments.output.absolute().parent.is_dir():
            raise BenchmarkError(f"cannot write {arguments.output}: there is no such folder")
        with TemporaryDirectory(prefix="digits-benchmark-") as folder:
            report = run(arguments, Path(folder))
        if arguments.output is not None:
            write_json(arguments.output, report)
    except (BenchmarkError, DigitsError) as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def facts_of_machine() -> dict[str, Any]:
    """Return when and where a benchmark runs."""
    return {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "processor": processor_name(),
        "kind": processor_kind(),
        "platform": platform.platform(),
        "cores": cores(),
        "load_average": os.getloadavg()[0],
    }


def processor_kind() -> str:
    """Return the kind of this machine's processor: one of `KINDS`, with any limits set in the environment."""
    cpuinfo = Path("/proc/cpuinfo")
    flags = re.search(r"^flags\s*:(.*)", cpuinfo.read_text("utf-8") if cpuinfo.exists() else "", re.MULTILINE)
    found = set(flags[1].split()) if flags else set()
    return kind_of(platform.system(), platform.machine(), found, os.environ)


def kind_of(system: str, machine: str, flags: set[str], environment: Mapping[str, str]) -> str:
    """Return the kind of a processor.

    A processor limited to older instructions is no example of an older processor, so it has a name of its
    own, such as ``amx-limited-to-avx2``.

    Parameters
    ----------
    system, machine
        As `platform` names them, such as ``Linux`` and ``x86_64``.
    flags
        Of an x86 processor in Linux, from ``/proc/cpuinfo``.
    environment
        Where variables may limit the instructions that torch, oneDNN and MKL use.
    """
    if machine in ("arm64", "aarch64"):
        kind = "apple" if system == "Darwin" else "arm"
    else:
        kind = next((kind for flag, kind in X86_KINDS.items() if flag in flags), "other")
    values = {environment.get(name, "").lower() for name in LIMITS}.difference(NO_LIMIT)
    limits = sorted(re.sub(r"[^a-z0-9]+", "-", value).strip("-") for value in values)
    return "-".join([kind, "limited-to", *limits]) if limits else kind


def own_versions() -> dict[str, str]:
    """Return those of Python and of this package."""
    return {"python": platform.python_version(), "digit_recognizer": __version__}


def run_child(folder: Path, peers_python: Path | None, action: str, job: dict[str, Any]) -> dict[str, Any]:
    """Run one measurement in a fresh process and return what it found.

    Parameters
    ----------
    folder
        Where the job may be written down.
    peers_python
        The Python of the environment with Keras, which then does it; None for ours.
    action, job
        A function of the child, and its arguments.

    Raises
    ------
    BenchmarkError
        It failed; with the end of what it said.
    """
    script = HERE / ("_own_child.py" if peers_python is None else "_keras_child.py")
    python = sys.executable if peers_python is None else str(peers_python)
    paper = folder / "job.json"
    paper.write_text(json.dumps(job), "utf-8")
    command = [python, str(script), action, str(paper)]
    done = subprocess.run(command, capture_output=True, text=True, env=quiet_environment(), check=False)
    if done.returncode:
        raise BenchmarkError(f"{script.name} {action} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def at_least(least: int) -> Any:
    """Return a reader of whole numbers from `least` on, for argparse."""

    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"expected at least {least}, got {value}")
        return value

    return number


def quiet_environment() -> dict[str, str]:
    """Return an environment in which TensorFlow is quiet and neither engine sees a GPU."""
    return {
        **os.environ,
        "CUDA_VISIBLE_DEVICES": "-1",
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def cached_environment(bytecode: Path) -> dict[str, str]:
    """Return an environment in which Python keeps compiled modules, as an installed package has them."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(bytecode)}


def peers_versions(python: Path) -> dict[str, str]:
    """Return the versions in the peers' environment; `BenchmarkError` if one is missing."""
    code = f"from importlib.metadata import version; print(*map(version, {PEERS!r}))"
    try:
        done = subprocess.run([python.absolute(), "-c", code], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        raise BenchmarkError(
            f"{python} is no Python with Keras and TensorFlow: 'make bench' makes one"
        ) from None
    return dict(zip(PEERS, done.stdout.split(), strict=True))


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
