"""The service as a process: signals, slow and lying clients, workers."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from contextlib import ExitStack
from http.client import BadStatusLine, IncompleteRead
from pathlib import Path

import pytest

from serving import PATIENCE, Service, received, serving

IMAGE = bytes(784)
PREDICT = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n"


@pytest.fixture(scope="module")
def service():
    with serving("--header-seconds", "1", "--body-seconds", "1", "--in-flight", "8") as service:
        yield service


def status_of(answer: bytes) -> int:
    return int(answer.split()[1])


# Beginning and ending


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_ends_without_error(sent):
    with serving("--drain-seconds", "0") as service:
        assert service.line == f"Serving on http://127.0.0.1:{service.port} (Ctrl+C ends it)\n"
        assert service.ask("/v2/health/ready")[0] == 200
        assert service.end(sent) == 0


def test_when_told_to_end_it_says_so_before_it_does():
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


def test_whatever_was_accepted_before_it_ends_is_answered():
    """Four clients ask without a pause, each time over a new connection, while it is told to end.

    Between its last look at who waits and the closing of the door the kernel may let one of them in.
    """
    for _ in range(2):
        with serving("--drain-seconds", "0.2") as service:
            unanswered: list[str] = []
            answered: list[int] = []
            clients = [
                threading.Thread(target=ask_until_refused, args=(service, answered, unanswered))
                for _ in range(4)
            ]
            for client in clients:
                client.start()
            while len(answered) < 20:
                time.sleep(0.01)
            assert service.end() == 0
            for client in clients:
                client.join(PATIENCE)
            assert len(unanswered) <= 1
            assert all("ConnectionResetError" in each for each in unanswered)
            assert set(answered) == {200}


def ask_until_refused(service: Service, answered: list[int], unanswered: list[str]) -> None:
    while True:
        try:
            answered.append(service.ask("/v1/predict", IMAGE)[0])
        except ConnectionRefusedError:
            return
        except (ConnectionError, BadStatusLine, IncompleteRead, TimeoutError) as error:
            unanswered.append(repr(error))
            return


def test_a_request_that_is_half_sent_when_it_ends_is_waited_for():
    with serving("--drain-seconds", "0.1") as service, service.connect() as connection:
        connection.sendall(PREDICT + b"Content-Length: 784\r\n\r\n" + IMAGE[:400])
        time.sleep(0.3)
        service.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        connection.sendall(IMAGE[400:])
        assert status_of(received(connection)) == 200
        assert service.process.wait(PATIENCE) == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--host 0.0.0.0", "digits: 0.0.0.0 can be reached from other machines: give --token, or --no-token"),
        ("--model nowhere.onnx", "digits: there is no model nowhere.onnx"),
        ("--images 0", "digits: --images or DIGITS_IMAGES: input should be greater than or equal to 1"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(options, sentence, run_command):
    status, _, errors = run_command(f"serve {options}")
    assert (status, errors.count("\n")) == (2, 1)
    assert errors.startswith(sentence)


def test_without_the_extra_it_says_what_to_install(run_command, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydantic_settings", None)
    sentence = 'this needs the package pydantic_settings: run pip install "digit-recognizer[serve]"'
    assert run_command("serve") == (2, "", f"digits: {sentence}\n")


def test_an_address_that_is_taken_is_one_sentence(run_command):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, _, errors = run_command(f"serve --port {port}")
    assert (status, errors) == (
        2,
        f"digits: cannot listen on 127.0.0.1, port {port}: Address already in use\n",
    )


# Slow and lying clients


def test_clients_that_send_no_more_are_given_up_and_keep_nobody_waiting(service):
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
def test_a_client_that_lies_is_told_so(sent, status, service):
    with service.connect() as connection:
        connection.sendall(sent)
        answer = received(connection)
    assert status_of(answer) == status
    assert b"content-security-policy" in answer
    assert "error" in json.loads(answer.rpartition(b"\r\n\r\n")[2])


def test_chunks_beyond_the_limit_are_refused_while_they_come(service):
    with service.connect() as connection:
        connection.sendall(PREDICT + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(60):
            connection.sendall(b"186a0\r\n" + bytes(100_000) + b"\r\n")
        assert status_of(received(connection)) == 413


def test_a_client_that_goes_away_in_the_middle_leaves_nothing_behind(service):
    for _ in range(20):
        with service.connect() as connection:
            connection.sendall(PREDICT + b"Content-Length: 784\r\n\r\n" + IMAGE[:300])
    status, text, _ = service.ask("/metrics")
    assert status == 200
    assert b"digits_http_requests_in_flight 1.0" in text


def test_more_connections_than_allowed_push_the_idle_ones_out():
    with serving("--connections", "20") as service, ExitStack() as open_ones:
        for _ in range(60):
            open_ones.enter_context(service.connect())
        assert service.ask("/v1/predict", IMAGE)[0] == 200


# Workers


def children(process: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def workers(process: int) -> list[int]:
    """Return the workers among a process's children: those that are no helper of multiprocessing."""
    commands = {each: Path(f"/proc/{each}/cmdline").read_bytes() for each in children(process)}
    return [each for each, command in commands.items() if b"spawn_main" in command]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
def test_a_worker_that_is_killed_is_replaced_and_the_service_goes_on():
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
