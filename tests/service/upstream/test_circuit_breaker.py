"""The circuit breaker: its rules by themselves, and an upstream that is down over HTTP."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import requests
from structlog.testing import capture_logs

from edge_service.errors import (
    CircuitOpen,
    UpstreamBusy,
    UpstreamError,
    UpstreamMalformed,
    UpstreamTooSlow,
    UpstreamUnreachable,
)
from edge_service.sandbox.app import Sandbox, create_sandbox
from edge_service.sandbox.faults import Fault
from edge_service.upstream import circuit_breaker as circuit_module
from edge_service.upstream.circuit_breaker import CircuitBreaker, CircuitState
from tests.support.clocks import in_virtual_time, now
from tests.support.grants import rejected
from tests.support.ports import free_port
from tests.support.servers import serving
from tests.support.service import Service, StartService, assert_error
from tests.support.settings import KEY, ORIGIN
from tests.support.waiting import until


class Line:
    """A circuit and what goes through it."""

    def __init__(self) -> None:
        self.states: list[CircuitState] = []
        self.circuit = CircuitBreaker(self.states.append, now)
        self.calls = 0

    async def call(self, outcome: Exception | None = None, seconds: float = 0) -> str:
        async def work() -> str:
            self.calls += 1
            await asyncio.sleep(seconds)
            if outcome is not None:
                raise outcome
            return "answer"

        return await self.circuit.run(work)

    async def fail(self, times: int = 1, error: Exception | None = None) -> None:
        error = error or UpstreamUnreachable()
        for _ in range(times):
            with pytest.raises(type(error)):
                await self.call(error)

    async def refused(self) -> int:
        """The seconds to wait according to a refusal, when nothing was called."""
        before = self.calls
        with pytest.raises(CircuitOpen) as caught:
            await self.call()
        assert self.calls == before
        return int((caught.value.headers or {})["Retry-After"])


TROUBLE: list[UpstreamError] = [
    UpstreamUnreachable(),
    UpstreamTooSlow(),
    rejected(500),
    rejected(503),
    rejected(599),
]


@pytest.mark.parametrize("error", TROUBLE, ids=repr)
def test_five_failures_in_a_row_open_it(error: UpstreamError) -> None:
    async def visit() -> None:
        line = Line()
        await line.fail(4, error)
        assert await line.call() == "answer"
        await line.fail(4, error)
        assert line.states == []
        await line.fail(1, error)
        assert line.states == ["open"]
        assert await line.refused() == 5
        await asyncio.sleep(2.5)
        assert await line.refused() == 3
        await asyncio.sleep(2.4)
        assert await line.refused() == 1
        assert line.states == ["open"]

    in_virtual_time(visit())


@pytest.mark.parametrize(
    "error", [rejected(400), rejected(401), rejected(429), UpstreamMalformed()], ids=repr
)
def test_an_answer_is_no_failure_whatever_it_says(error: UpstreamError) -> None:
    async def visit() -> None:
        line = Line()
        await line.fail(20, error)
        assert line.states == []
        # It even ends a row of failures.
        await line.fail(4)
        await line.fail(1, error)
        await line.fail(4)
        assert line.states == []

    in_virtual_time(visit())


@pytest.mark.parametrize("error", [UpstreamBusy(), RuntimeError()], ids=repr)
def test_what_says_nothing_about_upstream_neither_opens_nor_closes(error: Exception) -> None:
    async def visit() -> None:
        line = Line()
        await line.fail(20, error)
        await line.fail(4)
        await line.fail(3, error)
        assert line.states == []
        await line.fail(1)
        assert line.states == ["open"]

        await asyncio.sleep(5)
        await line.fail(1, error)
        assert line.states == ["open", "half-open"]
        # That probe had no result, so the next call probes again.
        assert await line.call() == "answer"
        assert line.states == ["open", "half-open", "closed"]

    in_virtual_time(visit())


def test_one_call_probes_and_closes_it() -> None:
    async def visit() -> None:
        line = Line()
        await line.fail(5)
        await asyncio.sleep(5)
        probe = asyncio.create_task(line.call(seconds=2))
        await asyncio.sleep(1)
        for _ in range(50):
            assert await line.refused() == 1
        assert line.calls == 6
        assert await probe == "answer"
        assert line.states == ["open", "half-open", "closed"]
        await asyncio.gather(*(line.call() for _ in range(20)))
        # It counts anew.
        await line.fail(4)
        assert line.circuit.state == "closed"

    in_virtual_time(visit())


def test_a_probe_that_fails_opens_it_for_as_long_again() -> None:
    async def visit() -> None:
        line = Line()
        await line.fail(5)
        for _ in range(3):
            await asyncio.sleep(5)
            await line.fail(1)
            assert line.circuit.state == "open"
            assert await line.refused() == 5
            await asyncio.sleep(4.5)
            assert await line.refused() == 1
            await asyncio.sleep(0.5)
        assert line.calls == 8

    in_virtual_time(visit())


def test_a_probe_that_is_answered_with_a_4xx_closes_it() -> None:
    async def visit() -> None:
        line = Line()
        await line.fail(5)
        await asyncio.sleep(5)
        await line.fail(1, rejected(401))
        assert line.circuit.state == "closed"

    in_virtual_time(visit())


def test_a_probe_whose_caller_leaves_does_not_jam_it() -> None:
    async def visit() -> None:
        line = Line()
        await line.fail(5)
        await asyncio.sleep(5)
        for _ in range(3):
            probe = asyncio.create_task(line.call(seconds=60))
            await asyncio.sleep(0.1)
            probe.cancel()
            await asyncio.gather(probe, return_exceptions=True)
        assert await line.call() == "answer"
        assert line.circuit.state == "closed"

    in_virtual_time(visit())


@pytest.mark.parametrize("outcome", [None, UpstreamTooSlow()], ids=repr)
def test_a_call_that_began_before_a_change_does_not_count(outcome: Exception | None) -> None:
    async def visit() -> None:
        line = Line()
        while_open = asyncio.create_task(line.call(outcome, seconds=1))
        while_probing = asyncio.create_task(line.call(outcome, seconds=6))
        once_closed = [asyncio.create_task(line.call(outcome, seconds=20)) for _ in range(5)]
        await asyncio.sleep(0)
        await line.fail(5)
        await asyncio.gather(while_open, return_exceptions=True)
        assert line.states == ["open"]
        await asyncio.sleep(4)
        probe = asyncio.create_task(line.call(seconds=3))
        await asyncio.gather(while_probing, return_exceptions=True)
        assert line.states == ["open", "half-open"]
        assert await line.refused() == 1
        await probe
        await line.fail(4)
        await asyncio.gather(*once_closed, return_exceptions=True)
        assert line.circuit.state == "closed"
        await line.fail(1)
        assert line.states == ["open", "half-open", "closed", "open"]

    in_virtual_time(visit())


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A circuit that closes again while a test may wait for it."""
    monkeypatch.setattr(circuit_module, "OPEN_SECONDS", 0.5)


def state(service: Service) -> list[str]:
    page = requests.get(f"{service.base}/metrics", timeout=5).text
    lines = [line for line in page.splitlines() if line.startswith("sentifyd_edge_circuit_state{")]
    return [line.split('state="')[1].split('"')[0] for line in lines if line.endswith(" 1.0")]


def assert_open(response: requests.Response) -> None:
    assert_error(response, 503, "circuit_open")
    assert 1 <= int(response.headers["Retry-After"]) <= 5
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN


def test_upstream_is_left_alone_while_it_fails(
    start_service: StartService, sandbox: Sandbox, sandbox_url: str
) -> None:
    sandbox.fault = Fault("status", status=500)
    with capture_logs() as logs:
        service = start_service(sandbox_url)
        assert state(service) == ["closed"]
        for _ in range(5):
            assert_error(service.get(), 500, "upstream_rejected")
        answers = [service.get() for _ in range(10)]
    for answer in answers:
        assert_open(answer)
    assert sandbox.logins == 5
    assert state(service) == ["open"]
    changes = [line for line in logs if line["event"] == "circuit"]
    assert [line["state"] for line in changes] == ["open"]
    assert changes[0]["upstream"] == f"{sandbox_url}/api/login"


@pytest.mark.usefixtures("short")
def test_visitors_are_served_again_once_upstream_recovers(
    start_service: StartService, sandbox: Sandbox, sandbox_url: str
) -> None:
    sandbox.fault = Fault("status", status=503)
    service = start_service(sandbox_url, RATE_LIMIT="10000/minute")
    for _ in range(5):
        assert service.get().status_code == 503
    # Probes fail for now.
    until(lambda: service.get().json()["code"] == "upstream_rejected")
    assert sandbox.logins == 6
    sandbox.fault = None
    until(lambda: service.get().status_code == 200)
    assert sandbox.logins == 7
    assert state(service) == ["closed"]


def test_nobody_listens_and_nobody_is_asked_for_long(start_service: StartService) -> None:
    port = free_port()
    service = start_service(f"http://127.0.0.1:{port}")
    for _ in range(5):
        assert_error(service.get(), 502, "upstream_unreachable")
    assert_open(service.get())


def test_errors_of_the_caller_never_open_it(
    start_service: StartService, sandbox: Sandbox, sandbox_url: str
) -> None:
    service = start_service(sandbox_url, AVATAR_API_KEY="another-key-1234567")
    for _ in range(8):
        assert_error(service.get(), 401, "upstream_rejected")
    assert sandbox.logins == 8


@pytest.mark.parametrize("policy", ["pool", "shared"])
def test_every_policy_is_behind_it(
    start_service: StartService,
    sandbox: Sandbox,
    sandbox_url: str,
    monkeypatch: pytest.MonkeyPatch,
    policy: str,
) -> None:
    monkeypatch.setattr("edge_service.issuing.pool.Pool.start", lambda _: None)
    monkeypatch.setattr("edge_service.issuing.shared.PACE_SECONDS", 0.0)
    sandbox.fault = Fault("status", status=500)
    service = start_service(sandbox_url, TOKEN_POLICY=policy)
    for _ in range(5):
        assert_error(service.get(), 500, "upstream_rejected")
    assert_open(service.get())
    assert sandbox.logins == 5


def test_it_is_one_for_each_upstream(
    start_service: StartService, sandbox: Sandbox, sandbox_url: str, tmp_path: Path
) -> None:
    other = Sandbox(KEY)
    with serving(create_sandbox(other)) as other_url:
        tables = [
            f'[[avatars]]\nid = "{name}"\nkey = "{KEY}"\nbackend = "{backend}"'
            for name, backend in (("a", sandbox_url), ("b", sandbox_url), ("c", other_url))
        ]
        path = tmp_path / "avatars.toml"
        path.write_text("\n".join(tables))
        service = start_service(sandbox_url, AVATARS_FILE=str(path))

        def ask(name: str) -> requests.Response:
            return requests.get(f"{service.url}/{name}", headers={"Origin": ORIGIN}, timeout=5)

        sandbox.fault = Fault("status", status=500)
        for name in "aabba":
            assert_error(ask(name), 500, "upstream_rejected")
        for name in ("a", "b"):
            assert_open(ask(name))
        assert_open(service.get())
        assert ask("c").status_code == 200
        assert (sandbox.logins, other.logins) == (5, 1)
        assert sorted(state(service)) == ["closed", "open"]
