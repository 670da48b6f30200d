"""Load tests of the service: request rates, endurance, overload and shutdown.

Run ``make bench-service``, or ``python benchmarks/service.py --short`` for a quick test.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np

from _bench import at_least, facts_of_machine, measure_and_write, own_versions
from _load import load, request_of
from _result_rows import Row, as_json, proportion, spread, table
from _result_rows import at_least as bar_at_least
from _result_rows import at_most as bar_at_most

RAW, JSON = "application/octet-stream", "application/json"
CONNECTIONS = 32
OVERLOAD_FACTOR = 4  # connections for each request that the service processes at a time
PAUSE_SECONDS = 0.02  # between two health checks of an overloaded service
EXPECTED_STATUSES = {"200", "429", "503"}
IMAGE = bytes(255 if 13 <= place % 28 <= 15 and 5 <= place // 28 <= 22 else 0 for place in range(784))
ROWS = [list(IMAGE[start : start + 28]) for start in range(0, 784, 28)]
EMPTY = request_of("/v2/health/live")
PREDICT = request_of("/v1/predict", RAW, IMAGE)
PREDICT_JSON = request_of("/v1/predict", JSON, json.dumps({"images": [ROWS]}).encode())
EXPLAIN = request_of("/v1/explain?saliency=false", RAW, IMAGE)
EXPLAIN_ALL = request_of("/v1/explain", RAW, IMAGE)
IN_FLIGHT = 64  # requests that the service processes at a time


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=at_least(1), default=5, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--requests", type=at_least(100), default=5000, help="for each repeat; default: %(default)s"
    )
    parser.add_argument("--endurance", type=at_least(2000), default=100_000, help="default: %(default)s")
    parser.add_argument(
        "--endings", type=at_least(1), default=50, help="shutdowns by SIGTERM; default: %(default)s"
    )
    parser.add_argument(
        "--overload", type=at_least(1), default=600, metavar="S", help="seconds of it; default: %(default)s"
    )
    parser.add_argument("--workers", type=at_least(1), default=1, help="default: %(default)s")
    parser.add_argument("--short", action="store_true", help="a quick test: little of everything")
    parser.add_argument("-o", "--output", type=Path, metavar="PATH", help="write the figures as JSON, too")
    return measure_and_write(parser.parse_args(), _run)


def _run(arguments: argparse.Namespace, _folder: Path) -> dict[str, Any]:
    if arguments.short:
        arguments.repeats, arguments.requests = 2, 400
        arguments.endurance, arguments.endings, arguments.overload = 2000, 2, 5
    facts = facts_of_machine()
    print(json.dumps(facts))
    rows: list[Row] = []
    for part in (_startup, _rates, _endurance, _overload, _shutdown):
        rows += part(arguments)
        print(table(rows[-8:]) if part is _rates else "", end="", flush=True)
    print("\n" + table(rows))
    settings = {name: value for name, value in vars(arguments).items() if name != "output"}
    return {"machine": facts, "versions": own_versions(), "settings": settings, "rows": as_json(rows)}


# A service in a separate process


class Service:
    """A running service."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port

    def ask(self, path: str) -> int:
        """Return the status of the answer to a GET request."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            return response.status
        finally:
            connection.close()

    def megabytes(self) -> float:
        """Return the memory of the process, on Linux with pages of 4 KiB."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * 4096 / 1e6


@contextmanager
def _serving(*options: str) -> Iterator[Service]:
    command = [sys.executable, "-m", "digit_recognizer", "serve", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Service(process, int(process.stdout.readline().split()[2].rpartition(":")[2]))
        finally:
            process.kill()


# What is measured


def _startup(arguments: argparse.Namespace) -> Iterator[Row]:
    found = []
    for _ in range(arguments.repeats):
        begun = time.perf_counter()
        with _serving() as service:
            assert service.ask("/v2/health/ready") == 200
            found.append(time.perf_counter() - begun)
    yield spread("Beginning", "from the command to the first answer", "s", found, bar_at_most(1.5))


def _rates(arguments: argparse.Namespace) -> Iterator[Row]:
    """Measure in turns, so that other programs slow all requests alike."""
    what = {
        "empty route": EMPTY,
        "predict, bytes": PREDICT,
        "predict, JSON": PREDICT_JSON,
    }
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in what}
    frames: dict[str, list[float]] = {"explain": [], "explain, with saliency": []}
    with _serving("--workers", str(arguments.workers)) as service:
        for request in (*what.values(), EXPLAIN_ALL):
            load(service.port, request, 4, 100)  # the warm-up
        for _ in range(arguments.repeats):
            for name, request in what.items():
                runs[name].append(load(service.port, request, CONNECTIONS, arguments.requests))
            for name, request in zip(frames, (EXPLAIN, EXPLAIN_ALL), strict=True):
                frames[name].append(_rate(load(service.port, request, 1, max(20, arguments.requests // 50))))
    section = f"{CONNECTIONS} connections"
    for name, found in runs.items():
        yield spread(section, name, "requests/s", [_rate(run) for run in found])
    for name in list(what)[1:]:
        ratios = [
            _rate(run) / _rate(empty) for run, empty in zip(runs[name], runs["empty route"], strict=True)
        ]
        yield spread(section, f"{name} / empty route", "×", ratios, bar_at_least(0.6))
        tails = [_percentile(run, 99) / _percentile(run, 50) for run in runs[name]]
        yield spread(section, f"{name}: p99 / p50", "×", tails, bar_at_most(5))
        yield spread(section, f"{name}: p50", "ms", [1e3 * _percentile(run, 50) for run in runs[name]])
    for name, rates in frames.items():
        yield spread("One connection", name, "requests/s", rates, bar_at_least(10))


def _endurance(arguments: argparse.Namespace) -> Iterator[Row]:
    with _serving() as service:
        load(service.port, PREDICT, CONNECTIONS, 1000)
        before = service.megabytes()
        found = load(service.port, PREDICT, CONNECTIONS, arguments.endurance - 1000)
        growth = service.megabytes() - before
    right = [status == "200" for status, count in found["statuses"].items() for _ in range(count)]
    yield proportion("Endurance", "answered with 200", right, bar_at_least(100))
    yield Row("Endurance", "memory at the end, beyond that after 1,000", "MB", growth, bar=bar_at_most(50))


def _overload(arguments: argparse.Namespace) -> Iterator[Row]:
    section = (
        f"{OVERLOAD_FACTOR * IN_FLIGHT} connections, {OVERLOAD_FACTOR} times what is worked on at a time"
    )
    with _serving("--in-flight", str(IN_FLIGHT)) as service:
        load(service.port, PREDICT, CONNECTIONS, 200)
        usual = _percentile(load(service.port, PREDICT, CONNECTIONS, arguments.requests), 50)
        lives: list[float] = []
        over = threading.Event()
        watcher = threading.Thread(target=_watch, args=(service, lives, over))
        watcher.start()
        statuses: Counter[str] = Counter()
        begun = time.perf_counter()
        while time.perf_counter() - begun < arguments.overload:
            requests = 10 * arguments.requests
            statuses += load(service.port, PREDICT, OVERLOAD_FACTOR * IN_FLIGHT, requests)["statuses"]
        ended = time.perf_counter()
        over.set()
        watcher.join()
        while _percentile(load(service.port, PREDICT, CONNECTIONS, 200), 50) > 1.5 * usual:
            if time.perf_counter() - ended > 30:
                break
        recovered = time.perf_counter() - ended
    yield Row(section, "duration", "s", ended - begun)
    right = np.repeat([status in EXPECTED_STATUSES for status in statuses], list(statuses.values()))
    yield proportion(section, "answered with 200, 429 or 503", right, bar_at_least(100))
    yield Row(section, "answered with 200", "%", 100 * statuses["200"] / statuses.total())
    yield Row(
        section, "health/live, the longest", "ms", 1e3 * max(lives), of=len(lives), bar=bar_at_most(100)
    )
    yield Row(section, "back to normal after", "s", recovered, bar=bar_at_most(5))


def _watch(service: Service, lives: list[float], over: threading.Event) -> None:
    """Check the health of a service again and again, over one connection."""
    connection = HTTPConnection("127.0.0.1", service.port, timeout=30)
    while not over.is_set():
        begun = time.perf_counter()
        connection.request("GET", "/v2/health/live")
        response = connection.getresponse()
        response.read()
        lives.append(time.perf_counter() - begun)
        time.sleep(PAUSE_SECONDS)
    connection.close()


def _shutdown(arguments: argparse.Namespace) -> Iterator[Row]:
    """Stop a service under load by SIGTERM; it must answer each request whose connection was accepted."""
    endings, seconds = [], []
    for _ in range(arguments.endings):
        with _serving() as service:
            found: dict[str, Any] = {}

            def ask(port: int, found: dict[str, Any]) -> None:
                found.update(load(port, PREDICT, CONNECTIONS, 10**9))

            client = threading.Thread(target=ask, args=(service.port, found))
            client.start()
            time.sleep(1.0)
            begun = time.perf_counter()
            service.process.send_signal(signal.SIGTERM)
            status = service.process.wait(30)
            seconds.append(time.perf_counter() - begun)
            client.join()
        bad = {name: count for name, count in found["statuses"].items() if name not in ("200", "refused")}
        endings.append(status == 0 and not bad)
        if bad or status:
            print(f"status {status}, answers {found['statuses']}", file=sys.stderr)
    section = "SIGTERM under load"
    yield proportion(section, "all that was accepted is answered, status 0", endings, bar_at_least(100))
    yield spread(section, "until the process has ended", "s", seconds, bar_at_most(10))


def _rate(run: dict[str, Any]) -> float:
    return run["statuses"].get("200", 0) / run["seconds"]


def _percentile(run: dict[str, Any], percent: int) -> float:
    return statistics.quantiles(run["latencies"], n=100, method="inclusive")[percent - 1]


if __name__ == "__main__":
    sys.exit(main())
