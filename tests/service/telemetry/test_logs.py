"""The log lines of the service."""

from __future__ import annotations

import importlib.metadata
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.support.processes import BARE_PLATFORM, SCRIPTS, Command
from tests.support.service import Running
from tests.support.waiting import TIMEOUT

GOOD = {
    "AVATAR_API_KEY": "canary-key-7f3a91",
    "ALLOWED_ORIGINS": "https://docs.example.com",
    "SENTIFYD_BACKEND": "http://127.0.0.1:1",
}
ALIVE = b'{"status":"alive"}'


class Logging(Running):
    def lines(self) -> list[dict[str, Any]]:
        """Every line but the first, once the service has stopped."""
        assert self.command.stop() == 0
        return [json.loads(line) for line in self.command.output.splitlines()[1:]]


@pytest.fixture
def running() -> Iterator[Logging]:
    with Command("sentifyd-edge", "serve", "--port", "0", **GOOD) as command:
        yield Logging(command)


def test_first_log_line_contains_the_settings(running: Logging) -> None:
    first = json.loads(running.command.output.splitlines()[0])

    assert (
        first.items()
        >= {
            "event": "listening",
            "version": importlib.metadata.version("mkdocs-sentifyd"),
            "host": "127.0.0.1",
            "port": running.port,
            "policy": "direct",
            "allowed_origins": ["https://docs.example.com"],
            "upstream": "http://127.0.0.1:1/api/login",
        }.items()
    )


def test_each_request_has_one_log_line(running: Logging) -> None:
    url = f"{running.base}/openapi.json?a=b"
    sent = requests.get(url, headers={"X-Request-ID": "r-1"}, timeout=5)
    requests.get(f"{running.base}/x%0A%22{'y' * 500}", timeout=5)

    assert sent.headers["X-Request-ID"] == "r-1"
    assert "Server" not in sent.headers
    first, second = running.lines()
    assert set(first) == {
        *("event", "level", "timestamp", "method", "path", "status", "duration_ms", "request_id")
    }
    assert first["event"] == "request"
    assert (first["method"], first["path"], first["status"]) == ("GET", "/openapi.json", 200)
    assert first["request_id"] == "r-1"
    assert 0 < first["duration_ms"] < 5000
    assert second["path"].startswith("/x%0A%22y")
    assert len(second["path"]) == 200
    assert second["status"] == 404


HEALTH = ("livez", "readyz", "metrics")


def asked_for_health(**variables: str) -> list[tuple[str, int]]:
    """Path and status of the lines after a request for each route of health and metrics."""
    command = Command("sentifyd-edge", "serve", "--port", "0", **GOOD, **variables)
    with command:
        running = Logging(command)
        for path in (*HEALTH, "openapi.json"):
            assert requests.get(f"{running.base}/{path}", timeout=TIMEOUT).status_code == 200
        for path in HEALTH:
            assert requests.post(f"{running.base}/{path}", timeout=TIMEOUT).status_code == 405
        return [(line["path"], line["status"]) for line in running.lines()]


def test_probes_and_scrapes_are_logged_only_if_they_fail() -> None:
    assert asked_for_health() == [
        ("/openapi.json", 200),
        *((f"/{path}", 405) for path in HEALTH),
    ]


def test_log_health_logs_every_probe_and_scrape() -> None:
    assert asked_for_health(LOG_HEALTH="true") == [
        *((f"/{path}", 200) for path in (*HEALTH, "openapi.json")),
        *((f"/{path}", 405) for path in HEALTH),
    ]


def test_probe_of_a_service_that_is_not_ready_is_logged() -> None:
    """No login succeeds, so the pool cannot be filled."""
    command = Command("sentifyd-edge", "serve", "--port", "0", **GOOD, TOKEN_POLICY="pool")
    with command:
        running = Logging(command)
        assert requests.get(f"{running.base}/readyz", timeout=TIMEOUT).status_code == 503
        lines = [line for line in running.lines() if line["event"] == "request"]
    assert [(line["path"], line["status"]) for line in lines] == [("/readyz", 503)]


def test_preflights_and_refused_pages_are_logged(running: Logging) -> None:
    for headers in ({"Access-Control-Request-Method": "GET"}, {}):
        requests.options(
            f"{running.base}/request_tokens",
            headers={"Origin": "https://evil.example", **headers},
            timeout=5,
        )

    assert [line["status"] for line in running.lines()] == [403, 403]


def test_upstream_failure_has_its_own_log_line(running: Logging) -> None:
    answer = requests.get(f"{running.base}/request_tokens", timeout=5)

    failure, request = running.lines()
    assert failure["event"] == "upstream_unreachable"
    assert failure["level"] == "error"
    assert failure["request_id"] == request["request_id"] == answer.headers["X-Request-ID"]


def test_visitor_who_disconnects_during_the_body_is_no_error(running: Logging) -> None:
    with socket.create_connection(("127.0.0.1", running.port)) as visitor:
        visitor.sendall(b"POST /request_tokens HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{")
    running.command.wait_for('"status"')

    (line,) = running.lines()
    assert (line["level"], line["status"]) == ("info", 499)


def test_body_that_never_arrives_times_out(running: Logging) -> None:
    with socket.create_connection(("127.0.0.1", running.port), timeout=15) as visitor:
        visitor.sendall(b"POST /request_tokens HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{")
        answer = visitor.recv(4096)

    assert answer.startswith(b"HTTP/1.1 408 ")


def test_body_with_a_too_large_content_length_is_rejected_at_once(running: Logging) -> None:
    with socket.create_connection(("127.0.0.1", running.port), timeout=3) as visitor:
        visitor.sendall(b"POST /request_tokens HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n")
        answer = visitor.recv(4096)

    assert answer.startswith(b"HTTP/1.1 413 ")


def test_log_level_is_respected() -> None:
    command = Command("sentifyd-edge", "serve", "--port", "0", **GOOD, LOG_LEVEL="debug")
    with command:
        running = Logging(command)
        requests.get(f"{running.base}/request_tokens", timeout=5)
        assert len(running.lines()) == 2  # nothing from the libraries


@pytest.mark.stress
@pytest.mark.parametrize("platform", [{}, BARE_PLATFORM], ids=["poll", "thread"])
def test_stalled_log_reader_fails_no_request(platform: dict[str, str]) -> None:
    count, at_once = 6000, 30
    request = b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Request-ID: %s\r\n\r\n" % (b"r" * 64)
    with subprocess.Popen(
        [SCRIPTS / "sentifyd-edge", "serve", "--port", "0"],
        env={**os.environ, **GOOD, **platform, "LOG_HEALTH": "true"},
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        # A missing line must fail the test, not block it forever.
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        try:
            assert process.stdout
            port = json.loads(process.stdout.readline())["port"]
            # From here on nothing reads, and these requests log more than all buffers can hold.
            with (
                socket.create_connection(("127.0.0.1", port), timeout=20) as visitor,
                visitor.makefile("rb") as answers,
            ):
                for _ in range(count // at_once):
                    visitor.sendall(request * at_once)
                    for _ in range(at_once):
                        assert answers.readline() == b"HTTP/1.1 200 OK\r\n"
                        while answers.readline() != b"\r\n":
                            pass
                        assert answers.read(len(ALIVE)) == ALIVE

            reported: list[dict[str, Any]] = []
            while not reported or reported[-1]["event"] != "log_lines_lost":
                reported.append(json.loads(process.stdout.readline()))
            requests.get(f"http://127.0.0.1:{port}/nowhere", timeout=20)
            reported.append(json.loads(process.stdout.readline()))
        finally:
            watchdog.cancel()
            os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(20) == 0
        assert process.stdout.read() == b""

    *kept, lost, last = reported
    assert {(line["event"], line["path"], line["status"]) for line in kept} == {
        ("request", "/livez", 200)
    }
    assert 0 < lost["lines"] < count
    assert len(kept) + lost["lines"] == count
    assert (last["path"], last["status"]) == ("/nowhere", 404)
