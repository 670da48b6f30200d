"""The service as a process: signals, slow and malformed requests, workers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPException
from pathlib import Path

import pytest

from helpers import says
from serving import PATIENCE, Service, received, serving

IMAGE = bytes(784)
PREDICT = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n"


@pytest.fixture(scope="module")
def service():
    limits = ("--header-seconds", "1", "--body-seconds", "1", "--in-flight", "8", "--body-bytes", "5000000")
    with serving(*limits) as service:
        yield service


def status_of(answer: bytes) -> int:
    return int(answer.split()[1])


# Start and shutdown


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_it_announces_its_address_and_exits_with_status_0(sent):
    with serving("--drain-seconds", "0") as service:
        assert f"http://127.0.0.1:{service.port} " in service.line
        assert service.ask("/v2/health/ready")[0] == 200
        assert service.end(sent) == 0


def test_after_sigterm_it_is_not_ready_but_still_answers():
    with serving("--drain-seconds", "3") as service:
        service.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 2
        while service.ask("/v2/health/ready")[0] == 200 and time.monotonic() < deadline:
            pass
        assert service.ask("/v2/health/ready")[0] == 503
        status, _, headers = service.ask("/v1/predict", IMAGE)
        assert (status, headers["connection"]) == (200, "close")
        assert service.process.wait(PATIENCE) == 0
        with pytest.raises(ConnectionRefusedError):
            service.ask("/v2/health/live")


def test_every_accepted_request_is_answered_during_shutdown():
    """Four clients send requests without a pause, each over a new connection.

    Between the last accept and the closing of the listener the kernel may accept one connection more.
    """
    for _ in range(2):
        with ThreadPoolExecutor(4) as clients, serving("--drain-seconds", "0.2") as service:
            answered: list[int] = []
            ends = [clients.submit(ask_until_refused, service, answered) for _ in range(4)]
            while len(answered) < 20:
                time.sleep(0.01)
            assert service.end() == 0
            unanswered = [type(error) for each in ends if (error := each.result(PATIENCE)) is not None]
            assert unanswered in ([], [ConnectionResetError])
            assert set(answered) == {200}


def ask_until_refused(service: Service, answered: list[int]) -> Exception | None:
    """Return None when no connection is accepted any more, or the error of a request without an answer."""
    while True:
        try:
            answered.append(service.ask("/v1/predict", IMAGE)[0])
        except ConnectionRefusedError:
            return None
        except (ConnectionError, HTTPException, TimeoutError) as error:
            return error


def test_a_request_that_is_half_sent_at_shutdown_is_answered():
    with serving("--drain-seconds", "0.1") as service, service.connect() as connection:
        connection.sendall(PREDICT + b"Content-Length: 784\r\n\r\n" + IMAGE[:400])
        time.sleep(0.3)
        service.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        connection.sendall(IMAGE[400:])
        assert status_of(received(connection)) == 200
        assert service.process.wait(PATIENCE) == 0


def test_a_limit_of_none_is_refused(run_command):
    status, _, errors = run_command("serve --images 0")
    assert status == 2
    assert says(errors, "--images", "a whole number from 1", "'0'")


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        ("--host 0.0.0.0", ["0.0.0.0", "--token", "--no-token"]),
        ("--model nowhere.onnx", ["nowhere.onnx"]),
        ("--port TAKEN", ["127.0.0.1", "TAKEN", "in use"]),
    ],
)
def test_what_cannot_be_served_is_one_line(options, facts, run_command):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, _, errors = run_command(f"serve {options.replace('TAKEN', port)}")
    assert (status, errors.count("\n")) == (2, 1)
    assert says(errors, "digits: ", *(fact.replace("TAKEN", port) for fact in facts))


def test_without_the_extra_it_names_the_command_that_installs_it(run_command, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydantic_settings", None)
    status, output, errors = run_command("serve")
    assert (status, output, errors.count("\n")) == (2, "", 1)
    assert says(errors, "pydantic_settings", 'pip install "digit-recognizer[serve]"')


def test_explanations_do_not_need_safetensors():
    """The extra `serve` does not install it."""
    code = "import sys; sys.modules['safetensors'] = None; import digit_recognizer.explain.activations"
    subprocess.run([sys.executable, "-c", code], check=True)


# Slow and malformed requests


def test_slow_clients_time_out_and_delay_nobody(service):
    with ExitStack() as open_ones:
        slow = [open_ones.enter_context(service.connect()) for _ in range(60)]
        for number, connection in enumerate(slow):
            begun = [b"", b"POST /v1/predict HTT", PREDICT, PREDICT + b"Content-Length: 784\r\n\r\nabc"]
            connection.sendall(begun[number % 4])
        assert service.ask("/v1/predict", IMAGE)[0] == 200
        answers = [received(connection) for connection in slow]
    assert {status_of(answer) for answer in answers} == {408}


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # TLS
        (PREDICT + b"Content-Length: -1\r\n\r\n", 400),
        (PREDICT + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (PREDICT + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (PREDICT + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (PREDICT + b"Content-Length: 99999999999999999999\r\n\r\nab", 400),
        (PREDICT + b"Content-Length: 6000000\r\n\r\n" + bytes(70_000), 413),
        (PREDICT + b"Content-Length: 6000000\r\nExpect: 100-continue\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 200_000, 431),
        (PREDICT + b"Connection: close\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", 415),
    ],
    ids=lambda value: value[-30:] if isinstance(value, bytes) else value,
)
def test_a_malformed_request_is_refused(sent, status, service):
    with service.connect() as connection:
        connection.sendall(sent)
        answer = received(connection)
    assert status_of(answer) == status
    assert b"content-security-policy" in answer
    assert "error" in json.loads(answer.rpartition(b"\r\n\r\n")[2])


def test_too_many_chunks_are_refused_before_they_end(service):
    with service.connect() as connection:
        connection.sendall(PREDICT + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(60):
            connection.sendall(b"186a0\r\n" + bytes(100_000) + b"\r\n")
        assert status_of(received(connection)) == 413


def test_a_client_that_disconnects_leaves_no_request_in_progress(service):
    for _ in range(20):
        with service.connect() as connection:
            connection.sendall(PREDICT + b"Content-Length: 784\r\n\r\n" + IMAGE[:300])
    status, text, _ = service.ask("/metrics")
    assert status == 200
    assert b"digits_http_requests_in_flight 1.0" in text


def test_beyond_the_limit_of_connections_idle_ones_are_closed():
    with serving("--connections", "20") as service, ExitStack() as open_ones:
        for _ in range(60):
            open_ones.enter_context(service.connect())
        assert service.ask("/v1/predict", IMAGE)[0] == 200


# Workers


def children(process: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def workers(process: int) -> list[int]:
    """Return the workers among a process's children, without the helpers of multiprocessing."""
    commands = {each: Path(f"/proc/{each}/cmdline").read_bytes() for each in children(process)}
    return [each for each, command in commands.items() if b"spawn_main" in command]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
def test_a_killed_worker_is_replaced():
    with serving("--workers", "2", "--drain-seconds", "0") as service:
        before = workers(service.process.pid)
        assert len(before) == 2
        os.kill(before[0], signal.SIGKILL)
        for _ in range(20):
            assert service.ask("/v1/predict", IMAGE)[0] == 200
        deadline = time.monotonic() + PATIENCE
        while len(set(workers(service.process.pid)) - set(before)) < 1 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert len(workers(service.process.pid)) == 2
        assert b'digits_http_requests_total{method="POST",route="/v1/predict"' in service.ask("/metrics")[1]
        assert service.end() == 0
        assert not any(Path(f"/proc/{each}").exists() for each in before)
