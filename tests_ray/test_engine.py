"""The engine on a real cluster: order, workers that are killed, nodes that leave and join, and refusals."""

from __future__ import annotations

import os
import signal
import socket
import time
from functools import partial
from pathlib import Path

import pytest
import ray
import work
from ray.cluster_utils import Cluster

from conftest import NODE
from digit_recognizer.engines import completed, ray_engine
from digit_recognizer.engines.ray_engine import RayEngine
from helpers import refusal, says

ITEMS = 60
SQUARES = [number**2 for number in range(ITEMS)]


def noted(folder: Path) -> list[list[str]]:
    return [path.read_text().split() for path in sorted(folder.iterdir(), key=lambda each: each.name[-20:])]


@pytest.mark.usefixtures("address")
def test_results_come_in_the_order_of_the_items(tmp_path):
    with RayEngine() as engine:
        assert list(engine.map(partial(work.start_squaring, tmp_path, 0), range(ITEMS))) == SQUARES
        assert list(engine.map(partial(work.start_squaring, tmp_path, 0), [])) == []
        assert engine.slots == 2
    assert len({node for _, node in noted(tmp_path)}) == 2


@pytest.mark.usefixtures("address")
def test_a_worker_killed_in_the_middle_loses_nothing(tmp_path):
    killed = None
    with RayEngine() as engine:
        results = []
        for result in engine.map(partial(work.start_squaring, tmp_path), range(ITEMS)):
            results.append(result)
            if len(results) == ITEMS // 3:
                killed = noted(tmp_path)[-1][0]
                os.kill(int(killed), signal.SIGKILL)
    assert results == SQUARES
    assert {killed} < {process for process, _ in noted(tmp_path)}


def test_nodes_that_leave_and_join_are_followed(tmp_path, monkeypatch):
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    leaving = cluster.add_node(**NODE)
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    results, joined = [], None
    try:
        with RayEngine() as engine:
            for result in engine.map(partial(work.start_squaring, tmp_path, 0.3), range(4 * ITEMS)):
                results.append(result)
                if len(results) == 10:
                    cluster.remove_node(leaving, allow_graceful=False)
                    joined = cluster.add_node(**NODE).node_id
    finally:
        cluster.shutdown()
    assert results == [number**2 for number in range(4 * ITEMS)]
    nodes = {node for _, node in noted(tmp_path)}
    assert joined in nodes
    assert len(nodes) == 3


@pytest.mark.usefixtures("address")
def test_what_a_worker_says_at_its_start_is_the_error():
    with RayEngine() as engine:
        assert refusal(lambda: list(engine.map(work.start_refused, range(4)))) == "no model here"


@pytest.mark.usefixtures("address")
def test_a_worker_with_another_version_is_refused(monkeypatch):
    monkeypatch.setattr(ray_engine, "_expected", lambda: {"digit-recognizer": "9.9", "folder": "/"})
    with RayEngine() as engine:
        message = refusal(lambda: list(engine.map(work.start_echo, range(4))))
        assert says(message, "9.9", "install the same")
        assert refusal(engine.submit(work.read_threads).result) == message


@pytest.mark.usefixtures("address")
def test_tasks_have_their_threads_and_raise_what_they_raised():
    with RayEngine() as engine:
        assert engine.submit(work.read_threads).result() == "1"
        assert refusal(engine.submit(work.refuse, 7).result) == "7 is too large"
        with pytest.raises(KeyError, match="8"):
            engine.submit(work.fail, 8).result()
        shared = engine.share(9)
        future = engine.submit(work.refuse, shared)
        assert list(completed([future])) == [future]
        assert refusal(future.result) == "9 is too large"


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


@pytest.mark.parametrize(
    ("place", "facts"),
    [
        (f"127.0.0.1:{free_port()}", ["127.0.0.1:", "refused", "ray start --head", "RAY_ADDRESS"]),
        ("nowhere.invalid:6379", ["nowhere.invalid:6379", "RAY_ADDRESS"]),
        ("cluster", ["'cluster'", "10.0.0.1:6379", "auto"]),
        ("ray://10.0.0.1:10001", ["ray://10.0.0.1:10001", "10.0.0.1:6379"]),
    ],
)
def test_an_address_that_is_none_is_refused_in_seconds(place, facts, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", place)
    started = time.monotonic()
    assert says(refusal(RayEngine), *facts)
    assert time.monotonic() - started < 10


def test_a_cluster_of_another_ray_is_refused(address, monkeypatch):
    monkeypatch.setattr(ray, "__version__", "1.0.0")
    assert says(refusal(RayEngine), address, "1.0.0")


def test_a_task_that_no_node_has_room_for_is_refused(address):
    assert says(refusal(lambda: RayEngine(threads=3)), address, "3 processors", "OMP_NUM_THREADS=1")
    assert says(refusal(lambda: RayEngine(gpus=1)), "a GPU")
