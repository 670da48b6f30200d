"""Logs on standard error and Prometheus metrics at ``/metrics``."""

from __future__ import annotations

import json
import logging
import os
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from starlette.types import Scope

MAX_LOGGED_PATH = 200  # characters
METRICS_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client adds up several workers' files there
LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)  # seconds
REQUEST = "request"  # the attribute of a log record that holds the fields of an access log entry

access = logging.getLogger(f"{__name__}.access")


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Return one JSON object on one line."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        entry = {"time": time, "level": record.levelname.lower(), **getattr(record, REQUEST, {})}
        if not hasattr(record, REQUEST):
            entry["message"] = record.getMessage()
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def configure_logging(*, as_json: bool) -> None:
    """Write warnings and errors to standard error; `as_json` adds an entry for each request."""
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonFormatter() if as_json else logging.Formatter("digits: %(message)s"))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # its warnings are about clients' errors
    access.setLevel(logging.INFO if as_json else logging.WARNING)


def log_request(scope: Scope, status: int, seconds: float, received: int, sent: int) -> None:
    """Log a request without its query, its body or its response, which may be private."""
    if not access.isEnabledFor(logging.INFO):
        return
    client = scope.get("client")
    fields = {
        "client": client[0] if client else None,
        "method": scope["method"],
        "path": scope["path"][:MAX_LOGGED_PATH],
        "status": status,
        "seconds": round(seconds, 6),
        "bytes_received": received,
        "bytes_sent": sent,
    }
    access.info("request", extra={REQUEST: fields})


class Metrics:
    """The Prometheus metrics of one process; `in_flight` is the gauge of requests in progress."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "digits_http_requests",
            "Requests answered",
            ["route", "method", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "digits_http_request_seconds",
            "Seconds from the request headers to the end of the response",
            ["route"],
            buckets=LATENCY_BUCKETS,
            registry=self._registry,
        )
        self.in_flight = Gauge(
            "digits_http_requests_in_flight",
            "Requests in progress",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request and its latency."""
        key = (route, method, status)
        if key not in self._children:  # `labels` takes longer than counting, so keep what it returns
            requests = self._requests.labels(route, method, str(status))
            self._children[key] = (requests, self._seconds.labels(route))
        requests, times = self._children[key]
        requests.inc()
        times.observe(seconds)

    def text(self) -> bytes:
        """Return the metrics in Prometheus' text format, summed over all workers."""
        if METRICS_FOLDER_VARIABLE not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


def forget_process(pid: int | None) -> None:
    """Remove a dead worker's requests from the gauge of requests in progress."""
    mark_process_dead(pid)  # type: ignore[no-untyped-call]
