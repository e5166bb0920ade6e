"""What the policies have in common, and the tools that their tests share."""

from __future__ import annotations

import asyncio
import base64
import json
import selectors
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from edge_service.errors import UpstreamRejected
from edge_service.issuing.direct import Direct
from edge_service.issuing.policy import GrantRequest, Policy
from edge_service.sandbox.app import Sandbox
from edge_service.sandbox.faults import Fault
from edge_service.upstream.grant import Grant, HeldGrant, life_of
from tests.service.conftest import Service, StartService
from tests.service.test_app import assert_error
from tests.support.servers import RawUpstream

FIRST = GrantRequest()


class _Idle(selectors.DefaultSelector):
    """Turns waiting for the time into a jump, and for nothing at all into an error."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everybody waits, and for nothing that will ever come")
        self.now += timeout
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in which an hour of sleep takes no time; for code that does no real I/O."""

    def __init__(self) -> None:
        self._idle = _Idle()
        super().__init__(self._idle)

    def time(self) -> float:
        return self._idle.now


def now() -> float:
    return asyncio.get_running_loop().time()


def in_virtual_time(coroutine: Coroutine[Any, Any, None]) -> None:
    """In a thread of its own: a browser test may have left a loop running in this one."""

    def run() -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(coroutine)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(run).result()


class FakeUpstream:
    """Each login takes `seconds` and yields a grant of its own, unless there is a `failure`.

    `begun` has the time of each, `born` that of each access token.
    """

    def __init__(self, seconds: float = 0.0, expires_in: float | None = 100.0) -> None:
        self.seconds = seconds
        self.expires_in = expires_in
        self.failure: Exception | None = None
        self.begun: list[float] = []
        self.born: dict[str, float] = {}
        self.under_way = 0
        self.most_under_way = 0

    @property
    def logins(self) -> int:
        return len(self.begun)

    def gaps(self) -> list[float]:
        return [after - before for before, after in pairwise(self.begun)]

    async def login(self) -> Grant:
        self.begun.append(now())
        number = self.logins
        failure = self.failure
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.under_way -= 1
        if failure is not None:
            raise failure
        self.born[f"access-{number}"] = now()
        return grant(number, self.expires_in)

    def age(self, issued: Grant) -> float:
        return now() - self.born[issued.access_token]


def grant(number: int = 1, expires_in: float | None = 100.0) -> Grant:
    return Grant(
        access_token=f"access-{number}",
        refresh_token=f"refresh-{number}",
        avatar_parameters={"voice": "x"},
        expires_in=expires_in,
    )


def refresh(issued: Grant) -> GrantRequest:
    return GrantRequest(issued.refresh_token)


@asynccontextmanager
async def at_work(issuer: Policy, upstream: FakeUpstream) -> AsyncIterator[None]:
    """From start to close, after which nothing may go on."""
    issuer.start()
    try:
        yield
    finally:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        await issuer.close()
    assert upstream.under_way == 0
    assert all(task.done() for task in others)
    assert asyncio.all_tasks() == {asyncio.current_task()}


def rejected(status: int, retry_after: str | None = None) -> UpstreamRejected:
    return UpstreamRejected(status, None, retry_after)


def eventually(condition: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def access_token(service: Service, **kwargs: object) -> str:
    response = service.call("POST", **kwargs)  # type: ignore[arg-type]
    assert response.status_code == 200, response.text
    token: str = response.json()["tokens"]["accessToken"]
    return token


def crowd_of(service: Service, visitors: int) -> list[str]:
    """The access tokens of visitors who come at the same time."""
    with ThreadPoolExecutor(visitors) as pool:
        return list(pool.map(lambda _: access_token(service), range(visitors)))


def claims_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


def jwt(claims: object) -> str:
    text = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    return f"e30.{base64.urlsafe_b64encode(text).decode().rstrip('=')}.x"


def test_direct_logs_in_once_a_request_also_for_a_refresh() -> None:
    async def visit() -> None:
        upstream = FakeUpstream()
        issuer = Direct(upstream)
        assert issuer.ready
        async with at_work(issuer, upstream):
            first = await issuer.issue(FIRST)
            second = await issuer.issue(refresh(first))
            upstream.failure = rejected(401)
            with pytest.raises(UpstreamRejected):
                await issuer.issue(FIRST)
        assert [first.access_token, second.access_token] == ["access-1", "access-2"]
        assert upstream.logins == 3

    in_virtual_time(visit())


def test_a_request_does_not_show_its_token() -> None:
    assert "canary" not in repr(GrantRequest("canary"))


@pytest.mark.parametrize("policy", ["direct", "pool", "shared"])
@pytest.mark.parametrize("status", [401, 429, 500, 503])
def test_an_answer_is_an_answer_and_not_asked_for_again(
    start_service: StartService,
    sandbox: Sandbox,
    sandbox_url: str,
    monkeypatch: pytest.MonkeyPatch,
    policy: str,
    status: int,
) -> None:
    monkeypatch.setattr("edge_service.issuing.pool.Pool.start", lambda _: None)
    sandbox.fault = Fault("status", status=status)
    service = start_service(sandbox_url, TOKEN_POLICY=policy)

    assert_error(service.get(), status, "upstream_rejected")
    assert sandbox.logins == 1


def test_a_login_that_takes_too_long_is_not_tried_again(start_service: StartService) -> None:
    def hang(_: socket.socket) -> None:
        upstream.over.wait(20)

    with RawUpstream(hang) as upstream:
        service = start_service(upstream.url, UPSTREAM_TIMEOUT="0.3")
        assert_error(service.get(), 504, "upstream_timeout")
        assert len(upstream.received) == 1


def token_of(access: str, expires_in: float | None = None) -> Grant:
    return Grant(
        access_token=access, refresh_token="r", avatar_parameters={}, expires_in=expires_in
    )


@pytest.mark.parametrize(
    ("issued", "life"),
    [
        (token_of(jwt({"iat": 1000, "exp": 1300}), 60), 60),
        (token_of("opaque", 60.5), 60.5),
        (token_of("opaque", 10**400), 86_400),
        (token_of(jwt({"iat": 1000, "exp": 1300})), 300),
        (token_of(jwt({"iat": 1000.5, "exp": 1300})), 299.5),
        (token_of(jwt({"iat": 0, "exp": 10**12})), 86_400),
        (token_of(jwt({"iat": 1, "exp": 10**400})), 86_400),
        (token_of(jwt({"iat": 1.5, "exp": 10**400})), 55),
        (token_of(jwt({"exp": 10**400})), 55),
        (token_of(jwt({"iat": 1300, "exp": 1000})), 55),
        (token_of(jwt({"iat": "1000", "exp": 1300})), 55),
        (token_of(jwt({"iat": 1000})), 55),
        (token_of(jwt({"exp": 1000})), 55),
        (token_of(jwt({"exp": None})), 55),
        (token_of(jwt([1000])), 55),
        (token_of(jwt(b"\xff")), 55),
        (token_of(jwt(b'{"exp": NaN}')), 55),
        (token_of(jwt(b"[" * 100_000)), 55),
        (token_of("opaque"), 55),
        (token_of("a.b"), 55),
        (token_of("a.b.c.d"), 55),
        (token_of("a.\ud800.c"), 55),
        (token_of("a..c"), 55),
    ],
    ids=range(23),
)
def test_the_life_of_a_token(issued: Grant, life: float) -> None:
    assert life_of(issued) == life


def test_the_life_of_a_token_that_does_not_tell_its_beginning() -> None:
    assert life_of(token_of(jwt({"exp": time.time() + 300}))) == pytest.approx(300, abs=5)


@pytest.mark.parametrize(
    ("begun", "ends", "life"),
    [
        # Upstream has kept it, and the rest of its life is what it has.
        (-3600, 60, 60),
        (-200, 100, 100),
        (-3600, 1.5, 1.5),
        (-30 * 86_400, 3600, 3600),
        (-30 * 86_400, 30 * 86_400, 86_400),
        # New, by clocks that differ by a little, or by a lot.
        (0, 300, 300),
        (-30, 270, 300),
        (30, 330, 300),
        (-(10**6), 300 - 10**6, 300),
        (-400, -100, 300),
        (10**6, 300 + 10**6, 300),
        (0, 30, 30),
        (-20, 20, 40),
    ],
)
def test_the_life_of_a_token_by_this_clock(begun: float, ends: float, life: float) -> None:
    now = time.time()
    issued = token_of(jwt({"iat": now + begun, "exp": now + ends}))

    assert life_of(issued) == pytest.approx(life, abs=5 if life > 10 else 2)


@pytest.mark.parametrize(
    ("expires_in", "later", "told"),
    [(100, 0, 100), (100, 0.5, 99), (100, 60, 40), (100, 99.9, 1), (None, 60, None)],
)
def test_what_remains_of_a_life(expires_in: float | None, later: float, told: int | None) -> None:
    held = HeldGrant.fresh(grant(1, expires_in), 5000.0)

    shown = held.at(5000.0 + later)

    assert shown.expires_in == told
    assert shown.access_token == "access-1"
