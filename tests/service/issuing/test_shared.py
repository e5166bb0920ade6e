"""The policy `shared`: hours in virtual time, and simultaneous visitors over HTTP."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from structlog.testing import capture_logs

from edge_service.errors import ServiceError, UpstreamPaused, UpstreamRejected, UpstreamUnreachable
from edge_service.issuing.policy import GrantRequest
from edge_service.issuing.shared import Shared
from edge_service.sandbox.app import Sandbox
from edge_service.sandbox.faults import Fault
from edge_service.sealing import new_key
from edge_service.upstream.grant import Grant, HeldGrant
from tests.support.clocks import in_virtual_time, now
from tests.support.grants import FIRST, FakeUpstream, grant, refresh, rejected, started
from tests.support.service import StartService, access_token, assert_error, claims_of, crowd_of, jwt
from tests.support.settings import KEY, ORIGIN
from tests.support.waiting import until


def shared_by(upstream: FakeUpstream, hits: list[bool] | None = None) -> Shared:
    note = [] if hits is None else hits
    return Shared(upstream, None, note.append, clock=now)


async def crowd(shared: Shared, visitors: int, request: GrantRequest = FIRST) -> list[Any]:
    asked = (shared.issue(request) for _ in range(visitors))
    return await asyncio.gather(*asked, return_exceptions=True)


def test_thousand_callers_on_a_cold_cache_cause_one_login() -> None:
    async def visit() -> None:
        upstream, hits = FakeUpstream(seconds=0.5), list[bool]()
        shared = shared_by(upstream, hits)
        assert shared.ready
        async with started(shared, upstream):
            await asyncio.sleep(3600)
            assert upstream.logins == 0

            grants = await crowd(shared, 1000)
            assert upstream.logins == 1
            assert {grant.access_token for grant in grants} == {"access-1"}
            assert hits == [False] * 1000

            came = now()
            assert (await shared.issue(FIRST)).access_token == "access-1"
            assert now() == came
            assert hits[1000:] == [True]
            assert upstream.logins == 1

    in_virtual_time(visit())


@pytest.mark.parametrize("leaving", [1, 500, 1000])
def test_cancelled_callers_do_not_cancel_the_login(leaving: int) -> None:
    async def visit() -> None:
        upstream = FakeUpstream(seconds=0.5)
        shared = shared_by(upstream)
        async with started(shared, upstream):
            callers = [asyncio.create_task(shared.issue(FIRST)) for _ in range(1000)]
            await asyncio.sleep(0.2)
            for caller in callers[:leaving]:
                caller.cancel()
            done = await asyncio.gather(*callers, return_exceptions=True)
            assert sum(isinstance(one, asyncio.CancelledError) for one in done) == leaving
            assert {one.access_token for one in done if isinstance(one, Grant)} <= {"access-1"}
            await asyncio.sleep(0.5)
            assert (await shared.issue(FIRST)).access_token == "access-1"
            assert upstream.logins == 1

    in_virtual_time(visit())


def test_expires_in_is_the_remaining_lifetime() -> None:
    async def visit() -> None:
        upstream = FakeUpstream()
        shared = shared_by(upstream)
        async with started(shared, upstream):
            reported = []
            for _ in range(4):
                issued = await shared.issue(FIRST)
                # The same object within a second, so that its response can be cached.
                assert await shared.issue(FIRST) is issued
                reported.append(issued.expires_in)
                await asyncio.sleep(10.4)
            assert reported == [100, 89, 79, 68]

    in_virtual_time(visit())


def test_no_lifetime_is_sent_if_upstream_sent_none() -> None:
    async def visit() -> None:
        upstream = FakeUpstream(expires_in=None)
        shared = shared_by(upstream)
        async with started(shared, upstream):
            first = await shared.issue(FIRST)
            await asyncio.sleep(20)
            assert await shared.issue(FIRST) is first
            assert first.expires_in is None

    in_virtual_time(visit())


async def walk(
    shared: Shared, upstream: FakeUpstream, seconds: float, step: Callable[[], float]
) -> list[float]:
    """The ages of the grants that visitors got in this time."""
    ages, until = [], now() + seconds
    while now() < until:
        issued = await shared.issue(FIRST)
        ages.append(upstream.age(issued))
        await asyncio.sleep(step())
    return ages


@pytest.mark.parametrize(
    ("life", "early"), [(100.0, (20, 40)), (600.0, (30, 60)), (10.0, (2, 4)), (None, (11, 22))]
)
def test_grant_is_renewed_early_while_visitors_get_the_old_one(
    life: float | None, early: tuple[float, float]
) -> None:
    async def visit() -> None:
        upstream = FakeUpstream(seconds=1.0, expires_in=life)
        shared, whole = shared_by(upstream), life or 55
        async with started(shared, upstream):
            await shared.issue(FIRST)
            for number in range(1, 20):
                while upstream.logins == number:
                    came = now()
                    issued = await shared.issue(FIRST)
                    assert now() == came
                    assert issued.access_token == f"access-{number}"
                    await asyncio.sleep(whole / 2000)
                while upstream.in_progress:
                    issued = await shared.issue(FIRST)
                    assert issued.access_token == f"access-{number}"
                    await asyncio.sleep(0.05)
                await asyncio.sleep(0.001)
                assert (await shared.issue(FIRST)).access_token == f"access-{number + 1}"
        ages = [gap - 1 for gap in upstream.gaps()]
        before = [whole - age for age in ages]
        assert early[0] - 0.4 <= min(before)
        assert max(before) <= early[1] + 0.1
        assert max(before) - min(before) > (early[1] - early[0]) / 4

    in_virtual_time(visit())


@pytest.mark.parametrize("life", [2.0, 30.0, 100.0, 600.0])
def test_no_visitor_gets_a_grant_that_is_about_to_expire(life: float) -> None:
    async def visit() -> None:
        upstream = FakeUpstream(seconds=0.3, expires_in=life)
        shared = shared_by(upstream)
        async with started(shared, upstream):
            ages = await walk(
                shared, upstream, 50 * life, lambda: random.choice([0.01, 0.1, 1]) * life
            )
            assert max(ages) <= life - max(min(5, 0.05 * life), 1)
            assert upstream.logins < 2 * 50

    in_virtual_time(visit())


def test_visitors_wait_for_a_new_grant_after_expiry() -> None:
    async def visit() -> None:
        upstream, hits = FakeUpstream(seconds=0.5), list[bool]()
        shared = shared_by(upstream, hits)
        async with started(shared, upstream):
            await shared.issue(FIRST)
            await asyncio.sleep(95.5)
            assert {one.access_token for one in await crowd(shared, 100)} == {"access-2"}
            assert upstream.logins == 2
            assert not any(hits)

    in_virtual_time(visit())


def test_lifetime_may_come_from_the_token() -> None:
    class WithClaims(FakeUpstream):
        async def login(self) -> Grant:
            issued = await super().login()
            token = jwt({"iat": 1000, "exp": 1030, "number": self.logins})
            self.born[token] = now()
            return Grant(
                access_token=token,
                refresh_token=issued.refresh_token,
                avatar_parameters={},
            )

    async def visit() -> None:
        upstream = WithClaims()
        shared = shared_by(upstream)
        async with started(shared, upstream):
            ages = await walk(shared, upstream, 300, lambda: 0.1)
            assert 18 <= max(ages) <= 28.5
            assert 10 <= upstream.logins <= 17

    in_virtual_time(visit())


def test_refresh_always_gets_a_new_grant() -> None:
    async def visit() -> None:
        upstream = FakeUpstream(seconds=0.2)
        shared = shared_by(upstream)
        async with started(shared, upstream):
            first = await shared.issue(FIRST)
            await asyncio.sleep(5)
            second = await shared.issue(refresh(first))
            assert second.access_token == "access-2"
            # Visitors with the first grant, or any other, get the second at once.
            came = now()
            for request in (refresh(first), GrantRequest("x"), GrantRequest("\ud800"), FIRST):
                assert (await shared.issue(request)).access_token == "access-2"
            assert now() == came
            assert upstream.logins == 2

    in_virtual_time(visit())


def test_early_refresh_waits_until_a_second_has_passed() -> None:
    async def visit() -> None:
        upstream = FakeUpstream()
        shared = shared_by(upstream)
        async with started(shared, upstream):
            first = await shared.issue(FIRST)
            came = now()
            waiting = asyncio.create_task(shared.issue(refresh(first)))
            await asyncio.sleep(0.9)
            assert upstream.logins == 1
            # Meanwhile all other visitors get the old grant.
            assert (await shared.issue(FIRST)).access_token == "access-1"
            assert (await waiting).access_token == "access-2"
            assert now() - came == pytest.approx(1, abs=0.01)

    in_virtual_time(visit())


@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_refreshes_cannot_cause_a_flood_of_logins(seconds: float) -> None:
    async def visit() -> None:
        upstream = FakeUpstream(seconds=seconds)
        shared = shared_by(upstream)
        answers = 0

        async def refresher() -> None:
            nonlocal answers
            issued = await shared.issue(FIRST)
            while True:
                after = await shared.issue(refresh(issued))
                assert after.refresh_token != issued.refresh_token
                issued = after
                answers += 1
                await asyncio.sleep(random.choice([0, 0, 0.7]))

        async with started(shared, upstream):
            crowd = [asyncio.create_task(refresher()) for _ in range(300)]
            await asyncio.sleep(20)
            assert not any(one.done() for one in crowd)
            for one in crowd:
                one.cancel()
            await asyncio.gather(*crowd, return_exceptions=True)
        assert min(upstream.gaps()) >= 1 - 1e-6
        assert 14 <= upstream.logins <= 21
        assert answers > 300 * 6

    in_virtual_time(visit())


@pytest.mark.parametrize(("retry_after", "seconds"), [(None, 1), ("0", 1), ("7", 7), ("900", 60)])
def test_failed_renewal_answers_all_waiting_callers_for_a_while(
    retry_after: str | None, seconds: float
) -> None:
    async def visit() -> None:
        upstream = FakeUpstream(seconds=0.2)
        shared = shared_by(upstream)
        upstream.failure = failure = rejected(500, retry_after)
        async with started(shared, upstream):
            answers = await crowd(shared, 100)
            assert all(one is failure for one in answers)
            failed = now()
            upstream.failure = None
            while now() < failed + 0.99 * seconds:
                assert (await crowd(shared, 10)) == [failure] * 10
                await asyncio.sleep(0.07 * seconds)
            assert upstream.logins == 1
            await asyncio.sleep(0.1 * seconds)
            assert {one.access_token for one in await crowd(shared, 100)} == {"access-2"}
            assert upstream.logins == 2

    with capture_logs() as logs:
        in_virtual_time(visit())
    assert [line["reason"] for line in logs] == ["upstream_rejected"]


@pytest.mark.parametrize(("retry_after", "seconds"), [(None, 5), ("0", 5), ("7", 7), ("900", 900)])
def test_callers_during_a_pause_get_the_remaining_time(
    retry_after: str | None, seconds: float
) -> None:
    async def visit() -> None:
        upstream = FakeUpstream(seconds=0.2)
        shared = shared_by(upstream)
        upstream.failure = failure = rejected(429, retry_after)
        async with started(shared, upstream):
            assert await crowd(shared, 100) == [failure] * 100
            refused = now()
            upstream.failure = None
            while (left := refused + seconds - now()) > 0.1:
                for error in await crowd(shared, 10):
                    assert isinstance(error, UpstreamPaused)
                    assert error.retry_after == math.ceil(left)
                await asyncio.sleep(0.07 * seconds)
            assert upstream.logins == 1
            await asyncio.sleep(1)
            assert {one.access_token for one in await crowd(shared, 100)} == {"access-2"}

    with capture_logs() as logs:
        in_virtual_time(visit())
    assert [line["reason"] for line in logs] == ["upstream_rejected"]


def test_check_refuses_only_when_a_login_would_be_refused() -> None:
    async def visit() -> None:
        upstream = FakeUpstream(seconds=0.2)
        shared = shared_by(upstream)
        async with started(shared, upstream):
            shared.check()
            upstream.failure = rejected(429, "300")
            await crowd(shared, 1)
            with pytest.raises(UpstreamPaused):
                shared.check()
            await asyncio.sleep(301)
            upstream.failure = None
            shared.check()
            await shared.issue(FIRST)
            upstream.failure = rejected(429, "300")
            with pytest.raises(UpstreamRejected):
                await upstream.login()
            # Visitors still get the grant.
            shared.check()
            await shared.issue(FIRST)

    in_virtual_time(visit())


def test_grant_without_parameters_is_kept_at_most_a_minute() -> None:
    async def visit() -> None:
        upstream = FakeUpstream(expires_in=3600)
        upstream.is_complete = False
        shared = shared_by(upstream)
        async with started(shared, upstream):
            ages = await walk(shared, upstream, 300, lambda: 0.1)
            assert 30 < max(ages) < 60
            assert upstream.logins <= 12
            upstream.is_complete = True
            await asyncio.sleep(61)
            assert (await shared.issue(FIRST)).is_complete
            complete = upstream.logins
            await walk(shared, upstream, 3000, lambda: 10)
            assert upstream.logins == complete

    in_virtual_time(visit())


def test_earlier_complete_grant_is_preferred_while_it_is_valid() -> None:
    async def visit() -> None:
        upstream = FakeUpstream(seconds=0.1)
        shared = shared_by(upstream)
        async with started(shared, upstream):
            first = await shared.issue(FIRST)
            upstream.is_complete = False
            ages = await walk(shared, upstream, 94, lambda: 0.5)
            assert max(ages) > 93
            # Tried every ten seconds from sixty seconds on.
            assert 3 <= upstream.logins <= 6
            await asyncio.sleep(2)
            later = await shared.issue(FIRST)
            assert (later is not first, later.is_complete) == (True, False)

    in_virtual_time(visit())


def test_refresh_gets_an_incomplete_grant_rather_than_the_one_it_replaces() -> None:
    async def visit() -> None:
        upstream = FakeUpstream(expires_in=3600)
        shared = shared_by(upstream)
        async with started(shared, upstream):
            first = await shared.issue(FIRST)
            await asyncio.sleep(5)
            upstream.is_complete = False
            answers = await crowd(shared, 100, refresh(first))
            assert {(one.access_token, one.is_complete) for one in answers} == {("access-2", False)}
            assert answers[0].expires_in == 60
            # The others, and who refreshes the incomplete one, get the complete one.
            assert (await shared.issue(FIRST)).access_token == "access-1"
            assert (await shared.issue(refresh(answers[0]))).access_token == "access-1"
            for _ in range(20):
                assert (await shared.issue(refresh(first))).access_token != "access-1"
            assert min(upstream.gaps()) >= 1 - 1e-6
            upstream.is_complete = True
            renewed = await shared.issue(refresh(first))
            assert renewed.is_complete
            assert (await shared.issue(FIRST)).access_token == renewed.access_token

    in_virtual_time(visit())


class Store:
    """A store that other processes have filled."""

    stored: HeldGrant | None = None

    async def renew(
        self, wanted: Callable[[HeldGrant], bool], log_in: Callable[[], Awaitable[HeldGrant]]
    ) -> HeldGrant:
        if self.stored is not None and wanted(self.stored):
            return self.stored
        self.stored = await log_in()
        return self.stored


def test_old_incomplete_grant_is_not_handed_out_again() -> None:
    async def visit() -> None:
        upstream, store = FakeUpstream(), Store()
        shared = Shared(upstream, store, clock=now)
        async with started(shared, upstream):
            first = await shared.issue(FIRST)
            await asyncio.sleep(5)
            upstream.is_complete = False
            assert (await shared.issue(refresh(first))).access_token == "access-2"
            # Other processes get the complete one from the store.
            assert store.stored is not None
            assert store.stored.grant.access_token == "access-1"

            await asyncio.sleep(200)
            upstream.is_complete = True
            store.stored = HeldGrant.fresh(grant(99), now())
            renewed = await shared.issue(refresh(store.stored.grant))
            assert renewed.access_token == "access-3"

    in_virtual_time(visit())


def test_valid_grant_is_served_during_an_outage() -> None:
    async def visit() -> None:
        upstream = FakeUpstream(seconds=0.1)
        shared = shared_by(upstream)
        async with started(shared, upstream):
            first = await shared.issue(FIRST)
            upstream.failure = UpstreamUnreachable()
            with pytest.raises(UpstreamUnreachable):
                await shared.issue(refresh(first))
            ages = await walk(shared, upstream, 93, lambda: 0.1)
            assert max(ages) > 93
            # Retried from sixty seconds on, but at most once a second.
            assert 12 <= upstream.logins <= 45
            assert min(upstream.gaps()) >= 1
            await asyncio.sleep(2)
            with pytest.raises(UpstreamUnreachable):
                await shared.issue(FIRST)

            upstream.failure = None
            await asyncio.sleep(1)
            assert (await shared.issue(FIRST)).access_token in upstream.born

    in_virtual_time(visit())


def test_refresh_during_an_outage_gets_an_error() -> None:
    async def visit() -> None:
        upstream = FakeUpstream()
        shared = shared_by(upstream)
        async with started(shared, upstream):
            first = await shared.issue(FIRST)
            await asyncio.sleep(2)
            upstream.failure = rejected(500)
            for _ in range(2):
                with pytest.raises(UpstreamRejected):
                    await shared.issue(refresh(first))
            assert upstream.logins == 2

    in_virtual_time(visit())


def test_unexpected_error_is_internal_error_and_recovers() -> None:
    async def visit() -> None:
        upstream = FakeUpstream()
        shared = shared_by(upstream)
        upstream.failure = RuntimeError("canary")
        async with started(shared, upstream):
            with pytest.raises(RuntimeError):
                await shared.issue(FIRST)
            with pytest.raises(ServiceError) as caught:
                await shared.issue(FIRST)
            assert caught.value.body() == {
                "error": "Internal server error",
                "code": "internal_error",
            }
            upstream.failure = None
            await asyncio.sleep(1)
            assert (await shared.issue(FIRST)).access_token == "access-2"

    with capture_logs() as logs:
        in_virtual_time(visit())
    assert [line["event"] for line in logs] == ["grant_not_renewed"]
    assert logs[0]["exception"] == "RuntimeError"
    assert "canary" not in str(logs)


def test_close_cancels_a_renewal() -> None:
    async def visit() -> None:
        upstream = FakeUpstream(seconds=30)
        shared = shared_by(upstream)
        async with started(shared, upstream):
            visitor = asyncio.create_task(shared.issue(FIRST))
            await asyncio.sleep(1)
            assert upstream.in_progress == 1
            visitor.cancel()
            closing = now()
        assert now() == closing

    in_virtual_time(visit())


def test_close_drops_the_grant() -> None:
    async def visit() -> None:
        upstream = FakeUpstream()
        shared = shared_by(upstream)
        async with started(shared, upstream):
            await shared.issue(FIRST)
        assert (shared._held, shared._shown) == (None, None)

    in_virtual_time(visit())


def test_simultaneous_visitors_over_http_share_one_login(
    start_service: StartService, sandbox: Sandbox, sandbox_url: str
) -> None:
    sandbox.fault = Fault("delay", seconds=0.5)
    service = start_service(sandbox_url, TOKEN_POLICY="shared", RATE_LIMIT="1000/minute")

    assert len(set(crowd_of(service, 60))) == 1
    assert sandbox.logins == 1


@pytest.mark.parametrize("sealed", [False, True])
def test_refresh_over_http_gets_a_new_shared_grant(
    start_service: StartService, sandbox: Sandbox, sandbox_url: str, sealed: bool
) -> None:
    seal = {"SEAL_KEYS": new_key()} if sealed else {}
    service = start_service(sandbox_url, TOKEN_POLICY="shared", **seal)
    first = service.get().json()["tokens"]

    second = service.call("POST", json={"refreshToken": first["refreshToken"]}).json()["tokens"]
    third = service.call("POST", json={"refreshToken": first["refreshToken"]}).json()["tokens"]

    assert second["accessToken"] != first["accessToken"]
    assert third["accessToken"] == second["accessToken"]
    assert sandbox.logins == 2


def test_remaining_lifetime_is_sent_over_http(
    start_service: StartService, sandbox: Sandbox, sandbox_url: str
) -> None:
    sandbox.fault = Fault("delay", seconds=0)
    service = start_service(
        sandbox_url,
        TOKEN_POLICY="shared",
        SENTIFYD_LOGIN_PATH="/api/v1/chatbot/login",
        AVATAR_ID="a",
        RATE_LIMIT="1000/minute",
    )

    def reported() -> int:
        seconds: int = service.get().json()["tokens"]["expiresIn"]
        return seconds

    first = reported()
    assert first in (29, 30)
    until(lambda: reported() < first)
    assert sandbox.logins == 1


def test_simultaneous_visitors_get_the_same_error(
    start_service: StartService, sandbox: Sandbox, sandbox_url: str
) -> None:
    sandbox.fault = Fault("status", status=429, retry_after=300)
    service = start_service(sandbox_url, TOKEN_POLICY="shared")

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: service.get(), range(20)))

    refused = [answer for answer in answers if answer.json()["code"] == "upstream_rejected"]
    for answer in answers:
        # A slow machine may let the twentieth come after the answer to the first.
        if answer in refused:
            assert_error(answer, 429, "upstream_rejected")
        else:
            assert_error(answer, 503, "upstream_paused")
        assert 1 <= int(answer.headers["Retry-After"]) <= 300
    assert len(refused) >= 1
    assert sandbox.logins == 1


def test_each_avatar_has_its_own_shared_grant(
    start_service: StartService, sandbox: Sandbox, sandbox_url: str, tmp_path: Path
) -> None:
    tables = [f'[[avatars]]\nid = "{name}"\nkey = "{KEY}"\navatar_id = "{name}"' for name in "ab"]
    path = tmp_path / "avatars.toml"
    path.write_text("\n".join(tables))
    service = start_service(sandbox_url, AVATARS_FILE=str(path), TOKEN_POLICY="shared")
    default = access_token(service)

    for name in "abab":
        answer = requests.get(f"{service.url}/{name}", headers={"Origin": ORIGIN}, timeout=5)
        token = answer.json()["tokens"]["accessToken"]
        assert claims_of(token)["sub"] == name
    assert access_token(service) == default
    assert sandbox.logins == 3
