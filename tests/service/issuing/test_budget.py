"""What visitors and operators see of a login budget."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from structlog.testing import capture_logs

from edge_service.app import create_app
from edge_service.issuing import shared as shared_module
from edge_service.redis_client import connections
from edge_service.redis_client import shared as redis_state
from edge_service.sandbox.app import Sandbox
from edge_service.sandbox.faults import Fault
from edge_service.sealing import new_key
from tests.support.avatars import Upstream, avatar, write_avatars
from tests.support.processes import Command
from tests.support.redis import RedisServer
from tests.support.servers import KeptConnections, serving
from tests.support.service import (
    Running,
    Service,
    StartService,
    access_token,
    assert_error,
    is_ready,
    metric,
)
from tests.support.settings import KEY, ORIGIN, avatar_settings, settings_for
from tests.support.waiting import until

DAY = 86_400
LEFT = 'sentifyd_edge_login_budget_left{avatar="(default)",window="day"}'
MANY = "999999/second"
# `sentifyd-edge` on a machine whose clock is wrong by this many seconds.
SKEWED = """
import sys, time
real, skew = time.time, float(sys.argv.pop(1))
time.time = lambda: real() + skew
from edge_service.cli import main
sys.exit(main())
"""


def used(service: Service, budget: int) -> int:
    """How many logins were reserved, by the metrics."""
    return budget - int(metric(service, LEFT))


def assert_spent(service: Service, seconds: int = DAY) -> None:
    refused = service.get()
    assert_error(refused, 503, "budget_spent")
    assert 0 < int(refused.headers["Retry-After"]) <= seconds
    assert refused.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Retry-After" in refused.headers["Access-Control-Expose-Headers"]
    assert is_ready(service)


def test_two_processes_with_different_clocks_race_for_the_last_login() -> None:
    upstream = Upstream()
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer())
        url = stack.enter_context(serving(upstream.app()))
        commands = [
            stack.enter_context(
                Command(
                    *("python", "-c", SKEWED, str(skew), "serve", "--port", "0"),
                    AVATAR_API_KEY=KEY,
                    ALLOWED_ORIGINS=ORIGIN,
                    SENTIFYD_BACKEND=url,
                    REDIS_URL=redis.url,
                    RATE_LIMIT=MANY,
                    LOGIN_BUDGET="5/day",
                )
            )
            for skew in (0, 3 * DAY / 2)
        ]
        services = [Running(command) for command in commands]

        def visit(service: Service) -> requests.Response:
            # A busy machine may be too slow for Redis' timeouts.
            while (answer := service.get()).headers.get("Retry-After") and (
                answer.json()["code"] == "budget_unavailable"
            ):
                time.sleep(0.1)
            return answer

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(visit, 8 * services))
        codes = [answer.json().get("code") for answer in answers]
        assert codes.count(None) == len(upstream.bodies)
        # A unit is lost if Redis was too slow.
        assert 4 <= len(upstream.bodies) <= 5
        assert set(codes) == {None, "budget_spent"}
        for service in services:
            assert_spent(service)
            assert "login_budget_per_process" not in service.command.output
        lines = "".join(service.command.output for service in services)
        assert lines.count("login_budget_spent") == 1
        for service in services:
            assert service.command.stop() == 0
        assert KEY not in lines


def test_spent_budget_is_refused_without_a_login_and_renewed(
    start_service: StartService, sandbox: Sandbox, sandbox_url: str
) -> None:
    service = start_service(sandbox_url, LOGIN_BUDGET="2/2seconds", RATE_LIMIT="15/hour")
    statuses: list[int] = []

    def visit() -> bool:
        answer = service.get()
        statuses.append(answer.status_code)
        if answer.status_code != 200:
            assert_error(answer, 503, "budget_spent")
            assert 1 <= int(answer.headers["Retry-After"]) <= 2
        assert sandbox.logins == statuses.count(200)
        # Refused visitors do not use up the rate limit.
        return statuses.count(503) > 15 and statuses[-1] == 200

    until(visit)


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("policy", ["direct", "pool", "shared"])
def test_every_login_is_counted(
    start_service: StartService,
    sandbox: Sandbox,
    sandbox_url: str,
    monkeypatch: pytest.MonkeyPatch,
    policy: str,
    sealed: bool,
) -> None:
    monkeypatch.setattr(shared_module, "PACE_SECONDS", 0.02)
    service = start_service(
        sandbox_url,
        LOGIN_BUDGET="100/day",
        TOKEN_POLICY=policy,
        TOKEN_POOL_SIZE="4",
        **({"SEAL_KEYS": new_key()} if sealed else {}),
    )
    until(lambda: is_ready(service))
    handle = service.get().json()["tokens"]["refreshToken"]
    for _ in range(3):
        answer = service.call("POST", json={"refreshToken": handle})
        handle = answer.json()["tokens"]["refreshToken"]
    # First answer and three refreshes, and the refilled pool.
    expected = 8 if policy == "pool" else 4
    until(lambda: sandbox.logins == expected)
    assert used(service, 100) == expected
    # Refused logins too.
    sandbox.fault = Fault("status", status=401)
    if policy == "direct":
        assert service.get().status_code == 401
        assert used(service, 100) == sandbox.logins == 5


def test_retry_of_a_failed_connection_is_counted_and_needs_budget(
    start_service: StartService,
) -> None:
    with KeptConnections() as upstream:
        service = start_service(upstream.url, LOGIN_BUDGET="4/day")
        assert service.get().status_code == 200
        assert used(service, 4) == 1
        upstream.close_connections()
        assert service.get().status_code == 200
        answered = len(upstream.received)
        before = used(service, 4)
        # The closed connection was noticed before, or by an attempt that was counted.
        assert before in (2, 3)
        assert answered == 2
        while service.get().status_code == 200:
            pass
        assert_spent(service)
        assert len(upstream.received) == answered + 4 - before


def test_attempts_that_reach_nobody_are_counted(start_service: StartService) -> None:
    service = start_service("http://127.0.0.1:1", LOGIN_BUDGET="3/day")
    assert_error(service.get(), 502, "upstream_unreachable")
    # The attempt and its retry.
    assert used(service, 3) == 2
    # There is no budget for its retry.
    assert_spent(service)
    assert_spent(service)
    assert used(service, 3) == 3
    assert metric(service, "sentifyd_edge_circuit_state{" + (
        'state="closed",upstream="http://127.0.0.1:1/api/login"}'
    )) == 1  # fmt: skip


def test_policies_hand_out_what_they_have(
    start_service: StartService, sandbox: Sandbox, sandbox_url: str
) -> None:
    shared = start_service(sandbox_url, LOGIN_BUDGET="1/day", TOKEN_POLICY="shared")
    tokens = {access_token(shared) for _ in range(5)}
    assert len(tokens) == sandbox.logins == 1
    refused = shared.get("?refreshToken=" + shared.get().json()["tokens"]["refreshToken"])
    assert_error(refused, 503, "budget_spent")
    assert access_token(shared) in tokens

    sandbox.logins = 0
    pool = start_service(
        sandbox_url, LOGIN_BUDGET="10/day", TOKEN_POLICY="pool", TOKEN_POOL_SIZE="5"
    )
    until(lambda: is_ready(pool))
    # It is refilled until less than two are left.
    for _ in range(4):
        access_token(pool)
        until(lambda: metric(pool, "sentifyd_edge_pool_level{") == 5)
    assert sandbox.logins == 9
    for _ in range(5):
        access_token(pool)
    assert used(pool, 10) == 9
    access_token(pool)
    assert used(pool, 10) == 10
    assert_spent(pool)
    assert sandbox.logins == 10


@pytest.fixture
def redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    monkeypatch.setattr(connections, "STEP_SECONDS", 10)
    monkeypatch.setattr(redis_state, "EXCHANGE_SECONDS", 20)
    with RedisServer() as server:
        yield server


def test_without_redis_visitors_get_the_rest_of_the_lease(
    start_service: StartService, sandbox: Sandbox, sandbox_url: str, redis: RedisServer
) -> None:
    service = start_service(
        sandbox_url, LOGIN_BUDGET="300/day", REDIS_URL=redis.url, RATE_LIMIT=MANY
    )
    assert service.get().status_code == 200
    redis.stop()
    assert [service.get().status_code for _ in range(2)] == [200, 200]
    refused = service.get()
    assert_error(refused, 503, "budget_unavailable")
    assert 1 <= int(refused.headers["Retry-After"]) <= 5
    assert refused.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert is_ready(service)
    assert sandbox.logins == 3
    redis.start()
    until(lambda: service.get().status_code == 200)


def test_stopped_service_gives_its_lease_back(sandbox_url: str, redis: RedisServer) -> None:
    settings = settings_for(
        avatars={"": avatar_settings(sandbox_url, login_budget="1000/day")}, redis_url=redis.url
    )
    with serving(create_app(settings)) as url:
        assert Service(url).get().status_code == 200
    with redis.client() as client:
        (key,) = client.scan_iter("sentifyd:budget:1:*}:86400")
        stored = client.get(key)
    assert isinstance(stored, bytes)
    assert stored.split()[1] == b"1"


def test_budget_of_one_process_is_reported_at_the_start() -> None:
    warning = {"event": "login_budget_per_process", "log_level": "warning"}
    limited = settings_for(
        avatars={
            name: avatar_settings(name=name, login_budget="9/day") for name in ("docs", "shop")
        }
    )
    for settings, expected in (
        (limited, [warning]),
        (replace(limited, redis_url="redis://127.0.0.1:1"), []),
        (settings_for(), []),
    ):
        with capture_logs() as logs:
            create_app(settings)
        assert logs == expected


def test_reload_changes_a_budget_and_keeps_what_was_counted_and_the_pool(
    tmp_path: Path,
) -> None:
    upstream = Upstream()
    with serving(upstream.app()) as url:
        content = avatar("docs", KEY, login_budget="2/day", policy="pool", backend=url)
        with Command(
            *("sentifyd-edge", "serve", "--port", "0"),
            AVATARS_FILE=str(write_avatars(tmp_path, content)),
            ALLOWED_ORIGINS=ORIGIN,
            LOGIN_BUDGET="1/day",
            TOKEN_POOL_SIZE="1",
        ) as command:
            service = Running(command)
            left = 'sentifyd_edge_login_budget_left{avatar="docs",window="day"}'
            until(lambda: is_ready(service))
            assert (metric(service, left), len(upstream.bodies)) == (1, 1)
            write_avatars(tmp_path, content.replace("2/day", "3/day"))
            command.send(signal.SIGHUP)
            command.wait_for("settings_reloaded")
            tokens = [access_token(service) for _ in range(3)]
            assert len(set(tokens)) == 3
            assert tokens[0].endswith("-1")
            assert_spent(service)
            assert len(upstream.bodies) == 3
