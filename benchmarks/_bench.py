"""What the benchmarks share: measurements in child processes, and a description of the machine."""

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

HERE = Path(__file__).parent
PEERS = ("tensorflow", "keras", "numpy")
X86_KINDS = {"amx_bf16": "amx", "avx512_bf16": "avx512-bf16", "avx512f": "avx512", "avx2": "avx2"}  # by flag
KINDS = (*X86_KINDS.values(), "arm", "apple", "other")
LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS")
NO_LIMIT = ("", "all", "default")  # values of these


class BenchmarkError(Exception):
    """An error that ends the benchmark; the message is for the user."""


def measure_and_write(
    arguments: argparse.Namespace, run: Callable[[argparse.Namespace, Path], dict[str, Any]]
) -> int:
    """Call `run` with a temporary folder, write its report, and return the exit status."""
    try:
        if arguments.output is not None and not arguments.output.absolute().parent.is_dir():
            raise BenchmarkError(f"cannot write {arguments.output}: the folder does not exist")
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
    """Return the kind of this machine's processor: one of `KINDS`, and limits set in the environment."""
    cpuinfo = Path("/proc/cpuinfo")
    flags = re.search(r"^flags\s*:(.*)", cpuinfo.read_text("utf-8") if cpuinfo.exists() else "", re.MULTILINE)
    found = set(flags[1].split()) if flags else set()
    return kind_of(platform.system(), platform.machine(), found, os.environ)


def kind_of(system: str, machine: str, flags: set[str], environment: Mapping[str, str]) -> str:
    """Return the kind of a processor.

    A processor that is limited to older instructions does not represent an older processor, so it has a
    separate name, such as ``amx-limited-to-avx2``.

    Parameters
    ----------
    system, machine
        As `platform` names them, such as ``Linux`` and ``x86_64``.
    flags
        From ``/proc/cpuinfo``, for an x86 processor on Linux.
    environment
        Environment variables; some limit the instructions that torch, oneDNN and MKL use.
    """
    if machine in ("arm64", "aarch64"):
        kind = "apple" if system == "Darwin" else "arm"
    else:
        kind = next((kind for flag, kind in X86_KINDS.items() if flag in flags), "other")
    values = {environment.get(name, "").lower() for name in LIMITS}.difference(NO_LIMIT)
    limits = sorted(re.sub(r"[^a-z0-9]+", "-", value).strip("-") for value in values)
    return "-".join([kind, "limited-to", *limits]) if limits else kind


def own_versions() -> dict[str, str]:
    """Return the versions of Python and of this package."""
    return {"python": platform.python_version(), "digit_recognizer": __version__}


def run_child(folder: Path, peers_python: Path | None, action: str, job: dict[str, Any]) -> dict[str, Any]:
    """Run one measurement in a new process and return its result; `BenchmarkError` if it fails.

    Parameters
    ----------
    folder
        A folder for the job file.
    peers_python
        The Python of the environment with Keras, to measure there; None for our own.
    action, job
        A function in the child's script, and its arguments.
    """
    script = HERE / ("_own_child.py" if peers_python is None else "_keras_child.py")
    python = sys.executable if peers_python is None else str(peers_python)
    job_file = folder / "job.json"
    job_file.write_text(json.dumps(job), "utf-8")
    command = [python, str(script), action, str(job_file)]
    done = subprocess.run(command, capture_output=True, text=True, env=quiet_environment(), check=False)
    if done.returncode:
        raise BenchmarkError(f"{script.name} {action} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def at_least(least: int) -> Any:
    """Return a type for argparse: integers from `least`."""

    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"expected at least {least}, got {value}")
        return value

    return number


def quiet_environment() -> dict[str, str]:
    """Return environment variables that silence TensorFlow and hide GPUs."""
    return {
        **os.environ,
        "CUDA_VISIBLE_DEVICES": "-1",
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def cached_environment(bytecode: Path) -> dict[str, str]:
    """Return environment variables that make Python keep compiled modules, like an installed package."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(bytecode)}


def peers_versions(python: Path) -> dict[str, str]:
    """Return the versions in the peers' environment; `BenchmarkError` if one is missing."""
    code = f"from importlib.metadata import version; print(*map(version, {PEERS!r}))"
    try:
        done = subprocess.run([python.absolute(), "-c", code], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        raise BenchmarkError(
            f"{python} is not a Python with Keras and TensorFlow: run 'make bench' to create one"
        ) from None
    return dict(zip(PEERS, done.stdout.split(), strict=True))


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
