"""The service keeps working when upstream, Redis or one of its own processes fails."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest
import requests
from starlette.types import ASGIApp, Message

from edge_service.app import create_app
from edge_service.sandbox.app import Sandbox, create_sandbox
from edge_service.sandbox.faults import Fault
from edge_service.settings import Settings
from tests.support.clocks import in_a_loop
from tests.support.load import (
    Tally,
    Visitor,
    children_of,
    crowd,
    is_refused,
    open_files,
    resident_mebibytes,
    rush,
    threads_of,
)
from tests.support.processes import Command, group_is_empty
from tests.support.redis import RedisServer
from tests.support.redis_groups import WatchedRedis
from tests.support.servers import RawUpstream, serving
from tests.support.service import Running
from tests.support.settings import KEY, ORIGIN, avatar_settings
from tests.support.waiting import TIMEOUT, until

pytestmark = pytest.mark.stress

VARIABLES = {"AVATAR_API_KEY": KEY, "ALLOWED_ORIGINS": ORIGIN, "RATE_LIMIT": "999999/day"}
Arguments = tuple[str, ...]
SERVE = ("sentifyd-edge", "serve", "--port", "0")
WORKERS = (
    *("python", "-m", "uvicorn", "edge_service.app:app", "--port", "0", "--workers", "2"),
    # A busy machine takes longer than the default of five seconds to start one more.
    *("--timeout-worker-healthcheck", "100"),
)
BOUNDED = ("--http", "edge_service.http_protocol:BoundedProtocol")
OK = (200, "")
BUSY = (503, "upstream_busy")
OPEN = (503, "circuit_open")
PAUSED = (503, "upstream_paused")
TOO_SLOW = (504, "upstream_timeout")
MALFORMED = (502, "upstream_malformed")
UNREACHABLE = (502, "upstream_unreachable")
REJECTED = "upstream_rejected"


def patched(*statements: str) -> Arguments:
    """The command with other constants, if the real ones make a test slow or unreliable."""
    code = "; ".join(["import sys", "import edge_service.cli", *statements])
    return ("python", "-c", f"{code}; sys.exit(edge_service.cli.main(['serve', '--port', '0']))")


SHORT_OPEN = patched(
    "import edge_service.upstream.circuit_breaker",
    "edge_service.upstream.circuit_breaker.OPEN_SECONDS = 1",
)
# Do not mistake a busy machine for an unavailable Redis.
LONG_TIMEOUTS = patched(
    "from edge_service.redis_client import connections, shared",
    "connections.STEP_SECONDS = 10",
    "shared.EXCHANGE_SECONDS = 20",
)


class Loaded(Running):
    """A service under load."""

    def fallbacks(self) -> dict[str, float]:
        """Which parts work without Redis at the moment."""
        page = requests.get(f"{self.base}/metrics", timeout=TIMEOUT).text
        found = re.findall(r'^sentifyd_edge_redis_fallback\{part="([^"]+)"\} (\S+)$', page, re.M)
        return {part: float(value) for part, value in found}

    def recovers(self) -> requests.Response:
        """The first successful answer; each retry waits for Retry-After."""
        for _ in range(10):
            answer = self.get()
            if answer.status_code == 200:
                return answer
            assert answer.status_code == 503, answer.text
            time.sleep(int(answer.headers["Retry-After"]))
        raise AssertionError(answer.text)


@contextmanager
def running(upstream: str, command: Arguments = SERVE, **variables: str) -> Iterator[Loaded]:
    """Run the service, and check that it stops cleanly."""
    variables = {**VARIABLES, "SENTIFYD_BACKEND": upstream, **variables}
    with Command(*command, **variables) as process:
        yield Loaded(process)
        assert process.stop(signal.SIGTERM) == 0
    assert "Traceback" not in process.output
    assert "internal_error" not in process.output


@pytest.mark.parametrize(
    ("fault", "expected", "also"),
    [
        (Fault("delay", seconds=0.02), OK, set()),
        (Fault("delay", seconds=3), TOO_SLOW, {BUSY, OPEN}),
        (Fault("drip", seconds=0.1), TOO_SLOW, {BUSY, OPEN}),
        (Fault("reset"), UNREACHABLE, {OPEN}),
        (Fault("status", status=429, retry_after=3), (429, REJECTED), {PAUSED}),
        (Fault("status", status=500), (500, REJECTED), {OPEN}),
        (Fault("flap", count=3), (503, REJECTED), {OK, OPEN}),
        (Fault("flap", count=50), (503, REJECTED), {OK, OPEN}),
        (Fault("redirect"), MALFORMED, set()),
        (Fault("garbage"), MALFORMED, set()),
        (Fault("bomb"), MALFORMED, set()),
        (Fault("oversized"), MALFORMED, set()),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
def test_fault_under_load_gives_only_expected_answers(
    sandbox: Sandbox,
    sandbox_url: str,
    fault: Fault,
    expected: tuple[int, str],
    also: set[tuple[int, str]],
) -> None:
    hangs = BUSY in also
    # If the upstream answers, only a busy machine can be slow, which is no fault.
    limits = {"UPSTREAM_TIMEOUT": "1" if hangs else "20", "UPSTREAM_CONCURRENCY": "16"}
    command = SERVE if fault.kind == "reset" else SHORT_OPEN
    with running(sandbox_url, command, **limits) as service:
        assert rush(service.port, 16, 2).statuses == {200: 32}
        before = resident_mebibytes(service.pid)

        sandbox.fault = fault
        tally = rush(service.port, 16, 8 if hangs else 16)
        if fault.status == 429:
            assert service.get().headers["Retry-After"] in ("1", "2", "3")
        sandbox.fault = None

        assert tally.lost == []
        assert tally.refused == 0
        assert tally.answers[expected] > 0
        assert set(tally.answers) <= {expected, *also}
        # One second for a slot and one for the login; the rest is for a busy machine.
        assert tally.slowest < (10 if hangs else TIMEOUT)
        # Sixteen unpacked bombs would need 512.
        assert resident_mebibytes(service.pid, "VmHWM") - before < 80
        assert service.recovers().json()["tokens"]["accessToken"]
        assert rush(service.port, 16, 2).statuses == {200: 32}


def test_livez_answers_while_every_login_hangs() -> None:
    def hang(connection: socket.socket) -> None:
        upstream.over.wait(60)
        connection.shutdown(socket.SHUT_RDWR)

    tally = Tally()
    limits = {"UPSTREAM_TIMEOUT": "60", "UPSTREAM_CONCURRENCY": "4"}
    with RawUpstream(hang) as upstream, running(upstream.url, SERVE, **limits) as service:
        visitors = (Visitor(service.port, tally, keep=True) for _ in range(24))
        with crowd(*visitors) as over, requests.Session() as session:
            until(lambda: len(upstream.received) == 4)
            until(lambda: tally.answers[BUSY] > 0)
            times = []
            for _ in range(40):
                began = time.perf_counter()
                answer = session.get(f"{service.base}/livez", timeout=TIMEOUT)
                times.append(time.perf_counter() - began)
                assert answer.status_code == 200
            over.set()
            upstream.over.set()

    assert statistics.median(times) < 0.05
    assert tally.lost == []
    assert set(tally.answers) <= {BUSY, UNREACHABLE}


def test_faults_leak_no_thread_or_socket(sandbox: Sandbox, sandbox_url: str) -> None:
    most = 8
    limits = {"UPSTREAM_TIMEOUT": "0.3", "UPSTREAM_CONCURRENCY": str(most)}
    with running(sandbox_url, SHORT_OPEN, **limits) as service:
        service.get()
        rush(service.port, 2, 2)
        before = threads_of(service.pid), open_files(service.pid)
        for fault in (
            None,
            Fault("delay", seconds=1),
            Fault("drip", seconds=0.2),
            Fault("reset"),
            Fault("bomb"),
            Fault("redirect"),
            None,
        ):
            sandbox.fault = fault
            rush(service.port, 24, 3, keep=fault is None)
            if fault is None:
                service.recovers()
        # Only login threads and their connections are kept. A connection has a second
        # descriptor, which can cut it off.
        until(lambda: open_files(service.pid) <= before[1] + 2 * most)
        assert threads_of(service.pid) <= before[0] + most
        # Each slot is free again, so the full number of parallel logins is possible.
        sandbox.fault = Fault("delay", seconds=0.1)
        assert rush(service.port, most, 2).statuses == {200: 2 * most}


async def ask(app: ASGIApp) -> int:
    """Send a request to the application without a server; return the status."""
    status = 0
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": "/request_tokens",
        "raw_path": b"/request_tokens",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"origin", ORIGIN.encode())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "scheme": "http",
        "state": {},
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)

    await app(scope, receive, send)
    return status


@pytest.mark.parametrize("policy", ["direct", "pool", "shared"])
@pytest.mark.parametrize("hanging", [False, True])
def test_application_leaves_no_task_or_thread(
    sandbox: Sandbox, sandbox_url: str, policy: str, hanging: bool
) -> None:
    async def live() -> None:
        app = create_app(settings)
        async with app.router.lifespan_context(app):
            assert await ask(app) == 200
            if hanging:
                sandbox.fault = Fault("delay", seconds=30)
            visitors = [asyncio.create_task(ask(app)) for _ in range(8)]
            if hanging and policy != "shared":
                logins = sandbox.logins
                while sandbox.logins == logins:
                    await asyncio.sleep(0.01)
            else:
                assert await asyncio.gather(*visitors) == [200] * 8
            if hanging:
                for visitor in visitors:
                    visitor.cancel()
        await asyncio.gather(*visitors, return_exceptions=True)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    before = set(threading.enumerate())
    avatars = {"": avatar_settings(sandbox_url, policy=policy)}
    settings = Settings(avatars=avatars, pool_size=4)
    in_a_loop(live())
    until(lambda: set(threading.enumerate()) <= before, 5)


def test_processes_share_one_limit_and_one_grant(sandbox: Sandbox, sandbox_url: str) -> None:
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer())
        variables = {"REDIS_URL": redis.url, "TOKEN_POLICY": "shared", "RATE_LIMIT": "10/day"}
        services = [
            stack.enter_context(running(sandbox_url, LONG_TIMEOUTS, **variables)) for _ in range(2)
        ]
        first = [service.get().json() for service in services]
        pool = stack.enter_context(ThreadPoolExecutor(2))
        tallies = list(pool.map(lambda service: rush(service.port, 4, 5), services))

    assert first[0]["tokens"]["accessToken"] == first[1]["tokens"]["accessToken"]
    together = tallies[0].answers + tallies[1].answers
    assert together == {OK: 8, (429, "rate_limited"): 32}
    assert sandbox.logins == 1


def test_redis_restart_under_load_fails_no_request() -> None:
    unavailable = {"rate limits": 1, "shared grants": 1}
    available = {"rate limits": 0, "shared grants": 0}
    tally = Tally()
    with ExitStack() as stack:
        # Renewed about every two seconds, so that grants use Redis as often as the limits do.
        sandbox = create_sandbox(Sandbox(KEY, token_life=3))
        upstream = stack.enter_context(serving(sandbox))
        redis = stack.enter_context(RedisServer())
        variables = {"REDIS_URL": redis.url, "TOKEN_POLICY": "shared"}
        services = [
            stack.enter_context(running(upstream, LONG_TIMEOUTS, **variables)) for _ in range(2)
        ]

        def all_report(state: dict[str, int]) -> bool:
            return all(service.fallbacks() == state for service in services)

        visitors = [
            Visitor(service.port, tally, keep=keep)
            for service in services
            for keep in (False, True) * 2
        ]
        with crowd(*visitors):
            until(lambda: tally.answers[OK] > 100)
            redis.stop()
            until(lambda: all_report(unavailable))
            redis.start()
            until(lambda: all_report(available))
            enough = tally.answers[OK] + 100
            until(lambda: tally.answers[OK] > enough)

    assert tally.lost == []
    assert set(tally.answers) == {OK}
    for service in services:
        reported = re.findall(r"redis_(?:un)?available", service.command.output)
        assert reported == ["redis_unavailable", "redis_available"]


@pytest.mark.thorough
def test_sentinel_failover_under_load_fails_no_request() -> None:
    tally = Tally()
    with ExitStack() as stack:
        sandbox = create_sandbox(Sandbox(KEY, token_life=3))
        upstream = stack.enter_context(serving(sandbox))
        watched = stack.enter_context(WatchedRedis())
        variables = {"REDIS_URL": watched.url, "TOKEN_POLICY": "shared"}
        services = [stack.enter_context(running(upstream, SERVE, **variables)) for _ in range(2)]
        visitors = [
            Visitor(service.port, tally, keep=keep)
            for service in services
            for keep in (False, True) * 2
        ]
        with crowd(*visitors):
            until(lambda: tally.answers[OK] > 100)
            old = watched.master()
            old.stop()
            until(lambda: watched.master() is not old)
            until(lambda: not any(any(service.fallbacks().values()) for service in services))
            enough = tally.answers[OK] + 100
            until(lambda: tally.answers[OK] > enough)
            new = watched.master()
            with new.client() as client:
                assert any(b":grant:" in key for key in client.scan_iter())
                assert any(b":limit:" in key for key in client.scan_iter())

    assert tally.lost == []
    assert set(tally.answers) == {OK}
    for service in services:
        reported = re.findall(r"redis_(?:un)?available", service.command.output)
        # On a busy machine it may happen more than once.
        assert reported == ["redis_unavailable", "redis_available"] * (len(reported) // 2) != []


@contextmanager
def workers(upstream: str, *options: str) -> Iterator[tuple[Command, int]]:
    with Command(*WORKERS, *options, **VARIABLES, SENTIFYD_BACKEND=upstream) as command:
        port = int(command.wait_for(r"running on http://127.0.0.1:(\d+)")[1])
        until(lambda: not is_refused(port))
        yield command, port
    assert "Traceback" not in command.output


@pytest.mark.parametrize("receiver", ["group", pytest.param("parent", marks=pytest.mark.thorough)])
def test_workers_stop_together(sandbox_url: str, receiver: str) -> None:
    with workers(sandbox_url) as (command, port):
        assert rush(port, 8, 5, keep=False).statuses == {200: 40}
        assert len(children_of(command.pid)) >= 2
        if receiver == "group":
            command.send(signal.SIGTERM)
        else:
            os.kill(command.pid, signal.SIGTERM)
        assert command.wait() == 0
        until(lambda: group_is_empty(command.pid))


def test_rolling_restart_under_load_fails_no_request(sandbox_url: str) -> None:
    tally = Tally()
    with workers(sandbox_url, *BOUNDED) as (command, port):
        # Two workers, and the process that Python starts with them.
        until(lambda: len(children_of(command.pid)) >= 3)
        before = set(children_of(command.pid))
        with crowd(*(Visitor(port, tally, keep=keep) for keep in (False, True) * 8)):
            until(lambda: tally.statuses[200] > 100)
            os.kill(command.pid, signal.SIGHUP)
            until(lambda: len(before - set(children_of(command.pid))) >= 2, 150)
            enough = tally.statuses[200] + 100
            until(lambda: tally.statuses[200] > enough)
        os.kill(command.pid, signal.SIGTERM)
        assert command.wait() == 0

    assert tally.lost == []
    assert tally.refused == 0
    assert set(tally.statuses) == {200}
