"""``/metrics``: counts and times for Prometheus."""

from __future__ import annotations

import os

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

SHARED = "PROMETHEUS_MULTIPROC_DIR"  # environment variable: where several workers add theirs up
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)  # seconds


class Metrics:
    """What one service counts; `in_flight` are the requests that are worked on."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "digits_http_requests", "Requests", ["route", "method", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "digits_http_request_seconds",
            "Time from a request's headers to the end of its answer",
            ["route"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self.in_flight = Gauge(
            "digits_http_requests_in_flight",
            "Requests that are worked on",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        key = (route, method, status)
        if key not in self._children:  # looking them up takes longer than counting
            requests = self._requests.labels(route, method, str(status))
            self._children[key] = (requests, self._seconds.labels(route))
        requests, times = self._children[key]
        requests.inc()
        times.observe(seconds)

    def text(self) -> bytes:
        """Return all of it as Prometheus reads it; of all workers, where there are several."""
        if SHARED not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


def forget_process(number: int | None) -> None:
    """Count no requests as in flight in a worker that has ended."""
    mark_process_dead(number)  # type: ignore[no-untyped-call]
