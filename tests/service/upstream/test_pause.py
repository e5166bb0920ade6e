"""The pause after a refusal: its rules alone, over HTTP, and for visitors who share an address."""

from __future__ import annotations

import asyncio
import itertools
import math
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from email.utils import formatdate
from pathlib import Path
from typing import Any, cast

import pytest
import requests
from starlette.applications import Starlette
from structlog.testing import capture_logs

from edge_service.admission.addresses import ClientAddresses
from edge_service.admission.origins import OriginPolicy
from edge_service.admission.rate_limits import RateLimiter
from edge_service.admission.visitors import VisitorLimit
from edge_service.errors import (
    RateLimited,
    ServiceError,
    UpstreamBusy,
    UpstreamError,
    UpstreamPaused,
    UpstreamRejected,
    UpstreamUnreachable,
)
from edge_service.issuing.avatars import Avatar
from edge_service.issuing.context import IssuingContext
from edge_service.issuing.direct import Direct
from edge_service.sandbox.app import Sandbox
from edge_service.sandbox.faults import Fault
from edge_service.settings.parsers import parse_rate_limits
from edge_service.telemetry.metrics import Metrics
from edge_service.upstream.budget import LoginBudget
from edge_service.upstream.circuit_breaker import CircuitBreaker
from edge_service.upstream.grant import Grant
from edge_service.upstream.ledgers import MemoryLedger
from edge_service.upstream.logins import LoginServer, MeteredLogin
from edge_service.upstream.pause import LoginPause
from edge_service.web.cors import ROUTE
from edge_service.web.endpoint import TokenEndpoint
from tests.support.clocks import in_virtual_time, now
from tests.support.grants import grant, rejected
from tests.support.servers import RawUpstream, http_answer
from tests.support.service import StartService, assert_error, metric
from tests.support.settings import KEY, ORIGIN, avatar_settings
from tests.support.waiting import TIMEOUT, until


class Client:
    """A client whose logins may be paused."""

    def __init__(self) -> None:
        self.started: list[tuple[int, int]] = []
        self.pause = LoginPause(self._note, now)
        self.calls = 0

    def _note(self, error: UpstreamRejected, seconds: float) -> None:
        self.started.append((error.status, round(seconds)))

    async def call(self, outcome: Exception | None = None, seconds: float = 0) -> str:
        async def work() -> str:
            self.calls += 1
            await asyncio.sleep(seconds)
            if outcome is not None:
                raise outcome
            return "answer"

        return await self.pause.run(work)

    async def fail(self, error: Exception) -> None:
        with pytest.raises(type(error)) as caught:
            await self.call(error)
        assert caught.value is error

    async def refused(self) -> int:
        """The Retry-After of a refusal, after a check that nothing was called."""
        before = self.calls
        with pytest.raises(UpstreamPaused) as caught:
            await self.call()
        with pytest.raises(UpstreamPaused):
            self.pause.check()
        assert self.calls == before
        return int((caught.value.headers or {})["Retry-After"])


def in_seconds(seconds: float) -> str:
    return formatdate(time.time() + seconds, usegmt=True)


@pytest.mark.parametrize(
    ("status", "retry_after", "seconds"),
    [
        (429, "7", 7),
        (429, "1", 1),
        (429, "3600", 3600),
        (429, "3601", 3600),
        (429, "99999999", 3600),
        (429, "Fri, 31 Dec 9999 23:59:59 GMT", 3600),
        (429, "Fri, 31 Dec 1999 23:59:59 GMT", 5),
        (429, "Abc, 99 Xyz 9999 99:99:99 GMT", 5),
        (429, "0", 5),
        (429, None, 5),
        (503, "7", 7),
        (503, "61", 60),
        (503, "Fri, 31 Dec 9999 23:59:59 GMT", 60),
    ],
)
def test_no_login_is_made_before_retry_after_has_passed(
    status: int, retry_after: str | None, seconds: int
) -> None:
    async def visit() -> None:
        client = Client()
        client.pause.check()
        await client.fail(rejected(status, retry_after))
        assert client.started == [(status, seconds)]
        assert await client.refused() == seconds
        await asyncio.sleep(seconds / 2)
        assert await client.refused() == math.ceil(seconds / 2)
        await asyncio.sleep(seconds / 2 - 0.01)
        assert await client.refused() == 1
        await asyncio.sleep(0.02)
        assert await client.call() == "answer"
        assert client.started == [(status, seconds)]

    in_virtual_time(visit())


def test_date_in_retry_after_is_respected() -> None:
    async def visit() -> None:
        client = Client()
        await client.fail(rejected(429, in_seconds(120)))
        await asyncio.sleep(110)
        assert 1 <= await client.refused() <= 10
        await asyncio.sleep(11)
        assert await client.call() == "answer"

    in_virtual_time(visit())


@pytest.mark.parametrize(
    "error",
    [
        rejected(503),
        rejected(503, "0"),
        rejected(401, "7"),
        rejected(500, "7"),
        UpstreamUnreachable(),
        UpstreamBusy(),
        RuntimeError(),
    ],
    ids=repr,
)
def test_other_failures_start_no_pause(error: Exception) -> None:
    async def visit() -> None:
        client = Client()
        for _ in range(5):
            await client.fail(error)
        client.pause.check()
        assert client.started == []

    in_virtual_time(visit())


def test_one_login_tests_whether_the_refusals_are_over() -> None:
    async def visit() -> None:
        client = Client()
        await client.fail(rejected(429, "7"))
        await asyncio.sleep(7)
        probe = asyncio.create_task(client.call(seconds=2))
        await asyncio.sleep(1)
        assert [await client.refused() for _ in range(50)] == [1] * 50
        assert await probe == "answer"
        calls = client.calls
        await asyncio.gather(*(client.call(seconds=1) for _ in range(20)))
        assert client.calls == calls + 20

    in_virtual_time(visit())


def test_pause_after_a_refused_test_lasts_at_least_five_seconds() -> None:
    async def visit() -> None:
        client = Client()
        await client.fail(rejected(429, "1"))
        for retry_after, seconds in (("1", 5), ("2", 5), (None, 5), ("30", 30), ("1", 5)):
            await asyncio.sleep(await client.refused())
            await client.fail(rejected(429, retry_after))
            assert await client.refused() == seconds
        await asyncio.sleep(5)
        await client.call()
        await client.fail(rejected(429, "1"))
        assert await client.refused() == 1

    in_virtual_time(visit())


@pytest.mark.parametrize("error", [UpstreamUnreachable(), RuntimeError()], ids=repr)
def test_test_without_a_result_is_followed_by_another(error: Exception) -> None:
    async def visit() -> None:
        client = Client()
        await client.fail(rejected(429, "7"))
        await asyncio.sleep(7)
        for _ in range(3):
            await client.fail(error)
        for _ in range(3):
            probe = asyncio.create_task(client.call(seconds=60))
            await asyncio.sleep(0.1)
            assert await client.refused() == 1
            probe.cancel()
            await asyncio.gather(probe, return_exceptions=True)
        assert await client.call() == "answer"

    in_virtual_time(visit())


def test_refused_key_ends_the_tests() -> None:
    async def visit() -> None:
        client = Client()
        await client.fail(rejected(429, "7"))
        await asyncio.sleep(7)
        await client.fail(rejected(401))
        late = asyncio.create_task(client.call(seconds=5))
        await asyncio.sleep(1)
        assert await client.call() == "answer"
        await late

    in_virtual_time(visit())


def test_simultaneous_refusals_are_one_pause_that_ends_last() -> None:
    async def visit() -> None:
        client = Client()
        answers = [
            asyncio.create_task(client.call(rejected(429, str(20 - number)), seconds=number))
            for number in range(5)
        ]
        slow = asyncio.create_task(client.call(seconds=6))
        await asyncio.gather(*answers, return_exceptions=True)
        # A login that began before the refusals does not end the pause.
        assert await slow == "answer"
        assert client.started == [(429, 20)]
        assert await client.refused() == 14

    in_virtual_time(visit())


@pytest.fixture
def empty_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_service.issuing.pool.Pool.start", lambda _: None)


@pytest.mark.usefixtures("empty_pools")
@pytest.mark.parametrize("policy", ["direct", "pool", "shared"])
@pytest.mark.parametrize("status", [429, 503])
def test_visitors_get_503_while_logins_are_paused(
    start_service: StartService, sandbox: Sandbox, sandbox_url: str, policy: str, status: int
) -> None:
    sandbox.fault = Fault("status", status=status, retry_after=50)
    with capture_logs() as logs:
        service = start_service(sandbox_url, TOKEN_POLICY=policy, RATE_LIMIT="3/day")
        first = service.get()
        later = [service.get() for _ in range(20)]

    # The visitor whose login was refused gets Sentifyd's own answer.
    assert_error(first, status, "upstream_rejected")
    assert first.headers["Retry-After"] == "50"
    for answer in later:
        assert_error(answer, 503, "upstream_paused", "Sentifyd accepts no logins at the moment")
        assert 1 <= int(answer.headers["Retry-After"]) <= 50
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert sandbox.logins == 1
    [line] = [line for line in logs if line["log_level"] == "warning" and "seconds" in line]
    assert line["event"] == "logins_paused"
    assert (line["avatar"], line["status"], line["seconds"]) == ("", status, 50)
    # None of them has been counted for the rate limit, and no line but that of the request logged.
    assert len([line for line in logs if line.get("code") == "upstream_paused"]) == 20
    outcome = 'sentifyd_edge_login_duration_seconds_count{avatar="(default)",outcome='
    assert metric(service, f'{outcome}"upstream_paused"') == 20
    assert metric(service, f'{outcome}"upstream_rejected_{status}"') == 1


@pytest.mark.parametrize("policy", ["direct", "shared"])
def test_visitors_are_served_after_the_pause(
    start_service: StartService, sandbox: Sandbox, sandbox_url: str, policy: str
) -> None:
    sandbox.fault = Fault("status", status=429, retry_after=1)
    service = start_service(sandbox_url, TOKEN_POLICY=policy)
    assert service.get().status_code == 429
    sandbox.fault = None

    until(lambda: service.get().status_code == 200)

    assert sandbox.logins == 2


def test_each_avatar_has_its_own_pause(
    start_service: StartService, sandbox: Sandbox, sandbox_url: str, tmp_path: Path
) -> None:
    tables = [f'[[avatars]]\nid = "{name}"\nkey = "{KEY}"' for name in "ab"]
    path = tmp_path / "avatars.toml"
    path.write_text("\n".join(tables))
    service = start_service(sandbox_url, AVATARS_FILE=str(path))

    def ask(name: str) -> requests.Response:
        return requests.get(f"{service.url}/{name}", headers={"Origin": ORIGIN}, timeout=TIMEOUT)

    sandbox.fault = Fault("status", status=429, retry_after=100)
    assert_error(ask("a"), 429, "upstream_rejected")
    sandbox.fault = None
    assert_error(ask("a"), 503, "upstream_paused")
    assert ask("b").status_code == 200


def test_login_that_waits_for_a_slot_is_not_sent_once_logins_are_paused(
    start_service: StartService,
) -> None:
    arrived, answer = threading.Event(), threading.Event()

    def behave(connection: socket.socket) -> None:
        arrived.set()
        answer.wait(TIMEOUT)
        connection.sendall(http_answer("429 Too Many", b"{}", "Retry-After: 100"))

    with RawUpstream(behave) as upstream, ThreadPoolExecutor(1) as visitors:
        service = start_service(upstream.url, UPSTREAM_CONCURRENCY="1", UPSTREAM_TIMEOUT="20")
        first = visitors.submit(service.get)
        assert arrived.wait(TIMEOUT)
        with ThreadPoolExecutor(1) as others:
            second = others.submit(service.get)
            # It has no other effect that can be waited for; too early, the test still passes.
            time.sleep(0.3)
            answer.set()
            assert_error(second.result(), 503, "upstream_paused")
        assert_error(first.result(), 429, "upstream_rejected")
        assert len(upstream.received) == 1


class Office:
    """A service with `direct` and the default limit, for visitors behind one address."""

    def __init__(self, failure: Callable[[], UpstreamError | None]) -> None:
        self.failure = failure
        self.logins: list[float] = []
        self.breaker = CircuitBreaker(clock=now)
        metrics, settings = Metrics(), avatar_settings()
        server = cast("LoginServer", self)
        login = MeteredLogin(
            settings, server, LoginBudget(MemoryLedger()), metrics, nullcontext, now
        )
        origins = OriginPolicy.of(settings, required=False)
        context = IssuingContext(Direct(login), login, server)
        self._avatar = Avatar("", False, origins, context)
        limiter = RateLimiter(parse_rate_limits("30/minute"), clock=now)
        limit = VisitorLimit(limiter, ClientAddresses(()), metrics)
        self._endpoint = TokenEndpoint(Starlette(), limit, None, None, metrics)

    async def login_of(self, *_: object) -> Office:
        return self

    async def login(self) -> Grant:
        self.logins.append(now())
        failure = self.failure()
        await asyncio.sleep(0.3)
        if failure is not None:
            raise failure
        return grant(len(self.logins))

    async def ask(self) -> ServiceError | None:
        """The error of one request, or `None` if it was answered with a grant."""
        sent: list[Any] = []

        async def receive() -> Any:  # noqa: ANN401 - an ASGI message
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:  # noqa: ANN401 - an ASGI message
            sent.append(message)

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/request_tokens",
            "query_string": b"",
            "headers": [(b"origin", ORIGIN.encode())],
            "client": ("203.0.113.7", 50_000),
            "state": {"avatar": self._avatar, "route": ROUTE},
        }
        try:
            await self._endpoint(scope, receive, send)
        except ServiceError as error:
            return error
        assert sent[0]["status"] == 200
        return None

    async def component(self) -> list[ServiceError]:
        """The errors of the vendor's component, which asks 8 times in 17 s, until it is served."""
        errors = []
        while (error := await self.ask()) is not None:
            errors.append(error)
            await asyncio.sleep(17 / 8)
        return errors

    def most_logins_a_minute(self) -> int:
        windows = [begun // 60 for begun in self.logins]
        return max(windows.count(window) for window in windows)


FAILURES: list[UpstreamError] = [
    rejected(429),
    rejected(429, "1"),
    rejected(429, "7"),
    rejected(429, "30"),
    rejected(503, "7"),
    rejected(503),
    UpstreamUnreachable(),
]


@pytest.mark.parametrize("error", FAILURES, ids=repr)
def test_refused_visitors_do_not_lock_out_others_behind_their_address(error: UpstreamError) -> None:
    async def visit() -> None:
        # Ends in the middle of a window, in which the refused visitors have asked 150 times.
        ends = now() + 110
        office = Office(lambda: error if now() < ends else None)
        visitors = []
        for _ in range(10):
            visitors.append(asyncio.create_task(office.component()))
            await asyncio.sleep(0.7)
        await asyncio.sleep(ends - now())
        # Once Sentifyd accepts logins again, everybody is served within one pause.
        await asyncio.sleep(31)
        assert await office.ask() is None
        errors = list(itertools.chain.from_iterable(await asyncio.gather(*visitors)))
        assert len(errors) > 400
        assert not any(isinstance(one, RateLimited) for one in errors)
        assert office.most_logins_a_minute() <= 10 + 15

    in_virtual_time(visit())


def always(error: UpstreamError | None) -> Callable[[], UpstreamError | None]:
    return lambda: error


def alternating() -> Callable[[], UpstreamError | None]:
    turns = itertools.cycle([None, rejected(429, "1"), rejected(503), rejected(429, "0")])
    return lambda: next(turns)


@pytest.mark.parametrize(
    ("failure", "most"),
    [
        (always(None), 30),
        (always(rejected(401)), 30),
        (always(rejected(429, "1")), 15),
        (always(rejected(429)), 15),
        (always(rejected(503, "1")), 15),
        (always(rejected(500)), 20),
        (alternating(), 30),
    ],
    ids=range(7),
)
def test_refusals_cannot_be_provoked_to_make_more_logins(
    failure: Callable[[], UpstreamError | None], most: int
) -> None:
    async def visit() -> None:
        office = Office(failure)

        async def attack() -> None:
            while now() < 1300:
                await office.ask()
                await asyncio.sleep(0.05)

        await asyncio.gather(*(attack() for _ in range(3)))
        assert 10 <= office.most_logins_a_minute() <= most

    in_virtual_time(visit())
