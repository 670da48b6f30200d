"""A command without an address starts a cluster of its own; here, no other one runs beside it."""

from __future__ import annotations

import ray
import work

from digit_recognizer.engines.ray_engine import RayEngine


def test_without_an_address_a_cluster_is_started_and_ended(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with RayEngine(processors=1) as engine:
        assert engine.slots == 1
        assert engine.submit(work.read_threads).result() == "1"
    assert not ray.is_initialized()
