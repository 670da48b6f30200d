"""A real cluster of several nodes on this machine, for the tests that need Ray."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
# a node that was killed is missed after seconds, not half a minute
os.environ |= {
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_worker_niceness": "0",
    "CUDA_VISIBLE_DEVICES": "",
    "OMP_NUM_THREADS": "1",  # before torch is imported: tests compare bits
    "PYTHONPATH": os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")])),
}

from ray.cluster_utils import Cluster

from helpers import run_in_process


def pytest_configure(config: pytest.Config) -> None:
    """Let Ray warn of itself."""
    config.addinivalue_line("filterwarnings", "default")


NODE = {"num_cpus": 1, "object_store_memory": 80 << 20}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head node and another one, of one processor each."""
    started = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    started.add_node(**NODE)
    yield started
    started.shutdown()


@pytest.fixture
def address(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of the cluster, which commands of the test use."""
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    return str(cluster.address)


@pytest.fixture
def digits(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Return a function that runs a command in this process: status, output, errors."""
    return partial(run_in_process, monkeypatch=monkeypatch, capsys=capsys)


def workers_of(cluster: Cluster, name: str) -> list[int]:
    """Return the processes of the cluster's nodes that run something of a name."""
    parents = {info.process.pid for node in cluster.list_all_nodes() for info in node.all_processes["raylet"]}
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            title = (folder / "cmdline").read_text().rstrip("\0")
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if name in title and title.startswith("ray::") and parent in parents:
            found.append(int(folder.name))
    return found
