"""The circuit breaker: its rules alone, and a failing upstream over HTTP."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import requests
from structlog.testing import capture_logs

from edge_service.errors import (
    BudgetSpent,
    BudgetUnavailable,
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


class Client:
    """A client that calls through a circuit breaker."""

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
        """The Retry-After of a refusal, after a check that nothing was called."""
        before = self.calls
        with pytest.raises(CircuitOpen) as caught:
            await self.call()
        assert self.calls == before
        return int((caught.value.headers or {})["Retry-After"])


FAILURES: list[UpstreamError] = [
    UpstreamUnreachable(),
    UpstreamTooSlow(),
    rejected(500),
    rejected(503),
    rejected(599),
]


@pytest.mark.parametrize("error", FAILURES, ids=repr)
def test_five_consecutive_failures_open_the_circuit(error: UpstreamError) -> None:
    async def visit() -> None:
        client = Client()
        await client.fail(4, error)
        assert await client.call() == "answer"
        await client.fail(4, error)
        assert client.states == []
        await client.fail(1, error)
        assert client.states == ["open"]
        assert await client.refused() == 5
        await asyncio.sleep(2.5)
        assert await client.refused() == 3
        await asyncio.sleep(2.4)
        assert await client.refused() == 1
        assert client.states == ["open"]

    in_virtual_time(visit())


@pytest.mark.parametrize(
    "error", [rejected(400), rejected(401), rejected(429), UpstreamMalformed()], ids=repr
)
def test_error_response_of_upstream_is_no_failure(error: UpstreamError) -> None:
    async def visit() -> None:
        client = Client()
        await client.fail(20, error)
        assert client.states == []
        # It also resets the number of consecutive failures.
        await client.fail(4)
        await client.fail(1, error)
        await client.fail(4)
        assert client.states == []

    in_virtual_time(visit())


@pytest.mark.parametrize(
    "error", [UpstreamBusy(), BudgetSpent(5), BudgetUnavailable(), RuntimeError()], ids=repr
)
def test_other_errors_neither_open_nor_close_the_circuit(error: Exception) -> None:
    async def visit() -> None:
        client = Client()
        await client.fail(20, error)
        await client.fail(4)
        await client.fail(3, error)
        assert client.states == []
        await client.fail(1)
        assert client.states == ["open"]

        await asyncio.sleep(5)
        await client.fail(1, error)
        assert client.states == ["open", "half-open"]
        # That probe had no result, so the next call probes again.
        assert await client.call() == "answer"
        assert client.states == ["open", "half-open", "closed"]

    in_virtual_time(visit())


def test_successful_probe_closes_the_circuit() -> None:
    async def visit() -> None:
        client = Client()
        await client.fail(5)
        await asyncio.sleep(5)
        probe = asyncio.create_task(client.call(seconds=2))
        await asyncio.sleep(1)
        for _ in range(50):
            assert await client.refused() == 1
        assert client.calls == 6
        assert await probe == "answer"
        assert client.states == ["open", "half-open", "closed"]
        await asyncio.gather(*(client.call() for _ in range(20)))
        # The count starts again.
        await client.fail(4)
        assert client.circuit.state == "closed"

    in_virtual_time(visit())


def test_failed_probe_opens_the_circuit_again() -> None:
    async def visit() -> None:
        client = Client()
        await client.fail(5)
        for _ in range(3):
            await asyncio.sleep(5)
            await client.fail(1)
            assert client.circuit.state == "open"
            assert await client.refused() == 5
            await asyncio.sleep(4.5)
            assert await client.refused() == 1
            await asyncio.sleep(0.5)
        assert client.calls == 8

    in_virtual_time(visit())


def test_probe_answered_with_4xx_closes_the_circuit() -> None:
    async def visit() -> None:
        client = Client()
        await client.fail(5)
        await asyncio.sleep(5)
        await client.fail(1, rejected(401))
        assert client.circuit.state == "closed"

    in_virtual_time(visit())


def test_cancelled_probe_does_not_block_the_circuit() -> None:
    async def visit() -> None:
        client = Client()
        await client.fail(5)
        await asyncio.sleep(5)
        for _ in range(3):
            probe = asyncio.create_task(client.call(seconds=60))
            await asyncio.sleep(0.1)
            probe.cancel()
            await asyncio.gather(probe, return_exceptions=True)
        assert await client.call() == "answer"
        assert client.circuit.state == "closed"

    in_virtual_time(visit())


@pytest.mark.parametrize("outcome", [None, UpstreamTooSlow()], ids=repr)
def test_call_that_began_before_a_state_change_is_ignored(outcome: Exception | None) -> None:
    async def visit() -> None:
        client = Client()
        while_open = asyncio.create_task(client.call(outcome, seconds=1))
        while_probing = asyncio.create_task(client.call(outcome, seconds=6))
        once_closed = [asyncio.create_task(client.call(outcome, seconds=20)) for _ in range(5)]
        await asyncio.sleep(0)
        await client.fail(5)
        await asyncio.gather(while_open, return_exceptions=True)
        assert client.states == ["open"]
        await asyncio.sleep(4)
        probe = asyncio.create_task(client.call(seconds=3))
        await asyncio.gather(while_probing, return_exceptions=True)
        assert client.states == ["open", "half-open"]
        assert await client.refused() == 1
        await probe
        await client.fail(4)
        await asyncio.gather(*once_closed, return_exceptions=True)
        assert client.circuit.state == "closed"
        await client.fail(1)
        assert client.states == ["open", "half-open", "closed", "open"]

    in_virtual_time(visit())


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A circuit that closes again within the time of a test."""
    monkeypatch.setattr(circuit_module, "OPEN_SECONDS", 0.5)


def state(service: Service) -> list[str]:
    page = requests.get(f"{service.base}/metrics", timeout=5).text
    lines = [line for line in page.splitlines() if line.startswith("sentifyd_edge_circuit_state{")]
    return [line.split('state="')[1].split('"')[0] for line in lines if line.endswith(" 1.0")]


def assert_open(response: requests.Response) -> None:
    assert_error(response, 503, "circuit_open")
    assert 1 <= int(response.headers["Retry-After"]) <= 5
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN


def test_failing_upstream_gets_no_calls_while_the_circuit_is_open(
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
def test_visitors_are_served_again_after_upstream_recovers(
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


def test_refused_connections_open_the_circuit(start_service: StartService) -> None:
    port = free_port()
    service = start_service(f"http://127.0.0.1:{port}")
    for _ in range(5):
        assert_error(service.get(), 502, "upstream_unreachable")
    assert_open(service.get())


def test_rejected_keys_never_open_the_circuit(
    start_service: StartService, sandbox: Sandbox, sandbox_url: str
) -> None:
    service = start_service(sandbox_url, AVATAR_API_KEY="another-key-1234567")
    for _ in range(8):
        assert_error(service.get(), 401, "upstream_rejected")
    assert sandbox.logins == 8


@pytest.mark.parametrize("policy", ["pool", "shared"])
def test_every_policy_uses_the_circuit_breaker(
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


def test_each_upstream_has_its_own_circuit(
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
