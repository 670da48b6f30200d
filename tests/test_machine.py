"""How many processors and how much address space a process may use, and how its threads compute."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from digit_recognizer.machine import LEAST_MB, THREAD_MB, usable_processors
from digit_recognizer.training import device
from helpers import assert_refused

V1 = "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct"
V2 = "41 31 0:38 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate"
PROCESSORS = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {0}
VARIABLES = ("GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_WAIT_POLICY")


@pytest.fixture(autouse=True)
def sixteen_processors(monkeypatch):
    """Bind the process to 16 of 64 processors."""
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(16)), raising=False)
    monkeypatch.delattr(os, "process_cpu_count", raising=False)


def tree(root: Path, group: str, mount: str, limits: dict[str, str]) -> Path:
    """Write the files of the system that name a control group, its mount, and its limits."""
    write(root / "proc/self/cgroup", f"{group}\n")
    write(root / "proc/self/mountinfo", f"22 1 254:0 / / rw - ext4 /dev/vda rw\n{mount}\n")
    for name, text in limits.items():
        write(root / "sys/fs/cgroup" / name, f"{text}\n")
    return root


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def v1(folder: str, quota: int, period: int = 100_000) -> dict[str, str]:
    return {f"{folder}/cpu.cfs_quota_us": str(quota), f"{folder}/cpu.cfs_period_us": str(period)}


def test_without_control_groups_the_bound_processors_count(tmp_path):
    assert usable_processors(tmp_path) == 16


def test_without_affinity_all_processors_count(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    assert usable_processors(tmp_path) == 64


def test_the_count_given_to_python_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "process_cpu_count", lambda: 3, raising=False)
    assert usable_processors(tmp_path) == 3


@pytest.mark.parametrize(
    ("limit", "processors"),
    [
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("50000 100000", 1),
        ("2500 1000", 3),
        ("max 100000", 16),
        ("9900000 100000", 16),
        ("", 16),
        ("100000", 16),
        ("nonsense", 16),
        ("100000 0", 16),
        ("-1 100000", 16),
    ],
)
def test_the_quota_of_a_group_of_version_2(tmp_path, limit, processors):
    assert usable_processors(tree(tmp_path, "0::/app", V2, {"app/cpu.max": limit})) == processors


@pytest.mark.parametrize(
    ("group", "mount", "limits", "processors"),
    [
        ("4:cpu,cpuacct:/app", V1, v1("cpu/app", 200_000), 2),
        ("4:cpu,cpuacct:/app", V1, v1("cpu/app", 25_000, 50_000), 1),
        ("4:cpu,cpuacct:/app", V1, v1("cpu/app", -1), 16),
        ("4:cpu,cpuacct:/app", V1, v1("cpu/app", 5, 0), 16),
        # the smallest quota of a group and of its parents counts
        ("0::/a/b/c", V2, {"a/cpu.max": "300000 100000", "a/b/c/cpu.max": "max 100000"}, 3),
        ("0::/a/b/c", V2, {"a/cpu.max": "300000 100000", "a/b/c/cpu.max": "200000 100000"}, 2),
        ("0::/a/b/c", V2, {"a/cpu.max": "max 100000", "a/b/c/cpu.max": "max 100000"}, 16),
        # other groups and other controllers do not count
        ("0::/app", V2, {"b/cpu.max": "1 1", "app/b/cpu.max": "1 1", "app/cpu.max": "max 1"}, 16),
        ("4:memory:/app", V1.replace("rw,cpu,cpuacct", "rw,memory"), v1("cpu/app", 100_000), 16),
        # in a container, the group's path is that of the host, which does not exist below the mount
        *((f"0::{path}", V2, {"cpu.max": "400000 100000"}, 4) for path in ("/docker/abc", "/a/b/../..", "/")),
        # a group may be mounted itself
        (
            "4:cpu,cpuacct:/docker/abc/inner",
            V1.replace(" / /sys", " /docker/abc /sys"),
            v1("cpu/inner", 200_000) | v1("cpu", 300_000),
            2,
        ),
    ],
)
def test_the_quota_of_a_group_and_its_parents(tmp_path, group, mount, limits, processors):
    assert usable_processors(tree(tmp_path, group, mount, limits)) == processors


@pytest.mark.parametrize("group", ["", "nonsense", "::", "0:", ":::::", "\x00"])
@pytest.mark.parametrize("mount", ["", "nonsense", " - ", "1 2 3 4 5 - cgroup2", "\x00 - \x00"])
def test_files_of_an_unknown_format_limit_nothing(tmp_path, group, mount):
    assert usable_processors(tree(tmp_path, group, mount, {"cpu.max": "100000 100000"})) == 16


def environment_of(command: str, **chosen: str) -> list[str]:
    """Return the values of `VARIABLES` after a command, and whether torch was loaded before."""
    code = (
        "import os, sys\n"
        "import digit_recognizer.cli as cli\n"
        "early = 'torch' in sys.modules\n"
        f"sys.argv = ['digits', {command!r}]\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        f"print(early, *[os.environ.get(name, '-') for name in {VARIABLES!r}])\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES} | chosen
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    return done.stdout.splitlines()[-1].split()


def test_the_command_line_shortens_spinning_before_torch_is_loaded():
    assert environment_of("--version") == ["False", "100000", "5", "-"]


def test_values_of_the_user_stay():
    assert environment_of("--version", GOMP_SPINCOUNT="7", KMP_BLOCKTIME="8") == ["False", "7", "8", "-"]
    assert environment_of("--version", OMP_WAIT_POLICY="ACTIVE") == ["False", "-", "-", "ACTIVE"]


@pytest.mark.parametrize(
    ("usable", "chosen", "left"), [(3, None, 3), (8, None, 8), (9, None, 8), (3, "8", 8)]
)
def test_training_uses_no_more_threads_than_processors_unless_the_user_says_so(
    usable, chosen, left, monkeypatch
):
    threads = [8]
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads[-1])
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    monkeypatch.setattr(device, "usable_processors", lambda: usable)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if chosen is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", chosen)
    device.configure_torch()
    assert threads[-1] == left


def test_training_takes_denormal_numbers_as_zero_and_nothing_else_does():
    code = (
        "import torch\n"
        "from digit_recognizer.training.device import configure_torch, denormals_as_zero\n"
        "torch.set_num_threads(2)\n"
        "def count(): return (torch.full((2, 500_000), 1e-39) * 1).view(torch.int32).count_nonzero().item()\n"
        "configure_torch()\n"
        "with denormals_as_zero():\n"
        "    print(count())\n"
        "print(count() > 0, torch.tensor(1e-39).item() * 1 > 0)\n"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout == "0\nTrue True\n", "on all threads"


def run_in_space(megabytes: int, *words: str | Path, cwd: Path) -> tuple[int, str, str]:
    """Run a command in so much address space, on one processor; return status, output and errors."""
    import resource  # not on Windows

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
        os.sched_setaffinity(0, {min(PROCESSORS)})

    command = [sys.executable, "-m", "digit_recognizer", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, cwd=cwd, check=False)
    return done.returncode, done.stdout, done.stderr


in_linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit address spaces")


@in_linux
@pytest.mark.parametrize(
    "command", ["train bundled --out run", "tune flash bundled", "report run", "summary flash"]
)
def test_too_little_address_space_for_torch_is_refused_before_it_is_loaded(command, tmp_path):
    assert_refused(run_in_space(1500, *command.split(), cwd=tmp_path), "1,500 MB", "torch", "ulimit -v")
    assert list(tmp_path.iterdir()) == []


@in_linux
@pytest.mark.parametrize("megabytes", [150, 300, 450, 600])
def test_too_little_address_space_to_read_is_refused(megabytes, tmp_path):
    assert_refused(run_in_space(megabytes, "read", "page.png", cwd=tmp_path), f"{megabytes} MB", "ulimit -v")


@in_linux
def test_the_least_address_space_is_enough_for_a_large_picture(tmp_path):
    Image.new("L", (30_000, 4_000), 255).save(tmp_path / "page.png")
    status, output, _ = run_in_space(LEAST_MB + THREAD_MB, "read", "page.png", cwd=tmp_path)
    assert (status, output) == (0, "no digits\n")
