"""The policy `pool`: an hour in virtual time, and visitors over HTTP."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from email.utils import formatdate
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests
from structlog.testing import capture_logs

from edge_service.errors import UpstreamPaused, UpstreamRejected, UpstreamUnreachable
from edge_service.issuing import pool as pool_module
from edge_service.issuing.pool import Pool
from edge_service.sandbox.app import Sandbox
from edge_service.sandbox.faults import Fault
from edge_service.upstream.grant import Grant
from tests.support.clocks import Clock, in_virtual_time, now
from tests.support.grants import FIRST, FakeUpstream, refresh, rejected, started
from tests.support.service import StartService, claims_of, crowd_of, is_ready, metric
from tests.support.settings import KEY, ORIGIN
from tests.support.waiting import until


def pool_of(upstream: FakeUpstream, size: int, hits: list[bool] | None = None) -> Pool:
    note = [] if hits is None else hits
    return Pool(upstream, size, 4, note.append, clock=now)


def test_pool_with_little_budget_left_logs_in_only_for_visitors_who_wait() -> None:
    async def visit() -> None:
        upstream = FakeUpstream()
        pool = pool_of(upstream, 3)
        async with started(pool, upstream):
            await asyncio.sleep(10)
            upstream.is_ample = False
            for _ in range(3):
                await pool.issue(FIRST)
            await asyncio.sleep(1000)
            assert (upstream.logins, pool.level) == (3, 0)
            await pool.issue(FIRST)
            await asyncio.sleep(1000)
            assert (upstream.logins, pool.level) == (4, 0)
            # The budget is renewed.
            upstream.is_ample = True
            await pool.issue(FIRST)
            await asyncio.sleep(10)
            assert (upstream.logins, pool.level) == (8, 3)

    in_virtual_time(visit())


def test_pool_without_budget_is_ready() -> None:
    """A balancer that takes every replica out would hide the answer."""

    async def visit() -> None:
        upstream = FakeUpstream()
        upstream.is_ample = False
        pool = pool_of(upstream, 3)
        async with started(pool, upstream):
            await asyncio.sleep(1)
            assert pool.ready
            assert upstream.logins == 0

    in_virtual_time(visit())


def test_visitors_get_grants_that_were_made_in_advance() -> None:
    async def visit() -> None:
        upstream, hits = FakeUpstream(seconds=0.5), list[bool]()
        pool = pool_of(upstream, 5, hits)
        assert (pool.level, pool.age) == (0, 0)
        async with started(pool, upstream):
            await asyncio.sleep(10)
            assert (upstream.logins, pool.level) == (5, 5)
            assert 5 < pool.age < 10

            came = now()
            grants = [await pool.issue(FIRST) for _ in range(4)]
            grants.append(await pool.issue(refresh(grants[0])))
            assert now() == came
            assert len({grant.access_token for grant in grants}) == 5
            assert len({grant.refresh_token for grant in grants}) == 5
            assert hits == [True] * 5

            await pool.issue(FIRST)
            assert hits[5:] == [False]
            assert now() == came + upstream.seconds
            await asyncio.sleep(10)
            assert (upstream.logins, pool.level) == (11, 5)

    in_virtual_time(visit())


@pytest.mark.parametrize("size", [1, 30, 300])
def test_each_grant_is_handed_out_only_once(size: int) -> None:
    async def visit() -> None:
        upstream, hits = FakeUpstream(seconds=0.3), list[bool]()
        pool = pool_of(upstream, size, hits)
        grants: list[Grant] = []

        async def visitor() -> None:
            await asyncio.sleep(random.uniform(0, 2))
            grants.append(await pool.issue(FIRST))

        async with started(pool, upstream):
            await asyncio.sleep(12)
            at_once = [asyncio.create_task(pool.issue(FIRST)) for _ in range(200)]
            for task in at_once[::5]:
                task.cancel()
            over_time = [asyncio.create_task(visitor()) for _ in range(200)]
            await asyncio.sleep(1)
            for lost_visitor in over_time[::5]:
                lost_visitor.cancel()
            done = await asyncio.gather(*at_once, *over_time, return_exceptions=True)
            grants += [grant for grant in done if isinstance(grant, Grant)]
            lost = sum(isinstance(grant, asyncio.CancelledError) for grant in done)

            assert 40 <= lost <= 80
            assert len(grants) == 400 - lost
            assert len({grant.access_token for grant in grants}) == len(grants)
            assert hits.count(True) >= min(size, 90)

    in_virtual_time(visit())


def test_every_grant_has_four_fifths_of_its_lifetime_left() -> None:
    async def visit() -> None:
        upstream, hits = FakeUpstream(seconds=0.2), list[bool]()
        pool = pool_of(upstream, 10, hits)
        async with started(pool, upstream):
            await asyncio.sleep(5)
            ages = []
            for _ in range(300):
                await asyncio.sleep(random.expovariate(1.0))
                issued = await pool.issue(FIRST)
                ages.append(upstream.age(issued))
                assert issued.expires_in is not None
                assert 80 <= issued.expires_in <= 100 - ages[-1]
            assert max(ages) <= 20
            assert hits.count(True) > 250
            # Ten grants last twenty seconds each, so refilling need not be as fast as possible.
            assert upstream.logins < 2 * 300

    in_virtual_time(visit())


def test_grant_that_became_too_old_is_not_handed_out() -> None:
    async def visit() -> None:
        upstream, clock = FakeUpstream(), Clock(0.0)
        pool = Pool(upstream, 3, clock=clock)
        async with started(pool, upstream):
            await asyncio.sleep(1)
            clock.now = 19.5
            assert (await pool.issue(FIRST)).access_token == "access-1"
            clock.now = 20.5
            assert pool.level == 0
            assert (await pool.issue(FIRST)).access_token == "access-4"

    in_virtual_time(visit())


def test_pool_stays_full_without_visitors() -> None:
    async def visit() -> None:
        upstream = FakeUpstream()
        pool = pool_of(upstream, 4)
        async with started(pool, upstream):
            await asyncio.sleep(10)
            for _ in range(100):
                await asyncio.sleep(random.uniform(5, 15))
                assert pool.level >= 1
                assert pool.age <= 20.1
            # Four grants last for twenty seconds each.
            assert upstream.logins <= 4 * (now() - 1000) / 20 + 8

    in_virtual_time(visit())


def test_refill_rate_is_limited_and_jittered() -> None:
    async def visit() -> None:
        upstream = FakeUpstream()
        pool = pool_of(upstream, 1000)
        async with started(pool, upstream):
            for _ in range(100):
                # A crowd that drains it does not make it any faster.
                await asyncio.sleep(0.1)
                while pool.level:
                    await pool.issue(FIRST)
        gaps = upstream.gaps()
        assert min(gaps) >= 0.05 - 1e-6
        # The first visitors delay it by half a second at most.
        assert sum(gaps[:12]) <= 12 * 0.15 + 0.5
        gaps = gaps[12:]
        assert max(gaps) <= 0.15 + 1e-6
        assert max(gaps) - min(gaps) > 0.05
        assert 80 <= upstream.logins <= 125

    in_virtual_time(visit())


def test_refill_begins_after_the_last_visitor_of_a_burst_is_served() -> None:
    async def visit() -> None:
        upstream = FakeUpstream(seconds=0.05, expires_in=3600)
        pool = pool_of(upstream, 20)

        async def visitor(number: int) -> None:
            await asyncio.sleep(0.01 * number)
            await pool.issue(FIRST)

        async with started(pool, upstream):
            await asyncio.sleep(10)
            refills = watch(pool)
            for _ in range(3):
                # The last four find the pool empty, and log in for themselves.
                await asyncio.gather(*(visitor(number) for number in range(24)))
                assert refills == []
                await asyncio.sleep(4)
                assert (len(refills), pool.level) == (20, 20)
                refills.clear()

    in_virtual_time(visit())


def test_visitor_who_waits_for_a_login_delays_the_refill() -> None:
    async def visit() -> None:
        upstream = FakeUpstream(seconds=0.3, expires_in=3600)
        pool = pool_of(upstream, 2)
        async with started(pool, upstream):
            await asyncio.sleep(10)
            await asyncio.gather(*(pool.issue(FIRST) for _ in range(3)))
            assert upstream.logins == 2 + 1
            await asyncio.sleep(10)
            assert upstream.logins == 2 + 1 + 2

    in_virtual_time(visit())


@pytest.mark.parametrize("seconds", [0.0, 30.0])
def test_visitors_who_keep_coming_cannot_starve_the_refill(seconds: float) -> None:
    async def visit() -> None:
        upstream = FakeUpstream(expires_in=3600)
        pool = pool_of(upstream, 10)

        async def visitors() -> None:
            while True:
                await pool.issue(FIRST)
                await asyncio.sleep(0.01)

        async with started(pool, upstream):
            await asyncio.sleep(10)
            began = now()
            # With thirty seconds, there is always one who waits for a login.
            upstream.seconds = seconds
            crowd = [asyncio.create_task(visitors()) for _ in range(11)]
            refills = watch(pool)
            await asyncio.sleep(20)
            # Deferred once, and then as fast as without visitors, four logins at a time.
            assert 0.5 <= refills[0] - began <= 0.7
            assert len(refills) >= (4 if seconds else 150)
            for one in crowd:
                one.cancel()
            await asyncio.gather(*crowd, return_exceptions=True)

    in_virtual_time(visit())


def watch(pool: Pool) -> list[float]:
    """The times of the logins that fill the pool, from now on."""
    begun: list[float] = []
    log_in = pool._log_in

    def noted() -> Coroutine[Any, Any, None]:
        begun.append(now())
        return log_in()

    pool._log_in = noted  # type: ignore[method-assign]
    return begun


def test_number_of_parallel_logins_is_limited() -> None:
    async def visit() -> None:
        upstream = FakeUpstream(seconds=10, expires_in=1000)
        pool = pool_of(upstream, 100)
        async with started(pool, upstream):
            await asyncio.sleep(60)
            assert upstream.most_in_progress == 4
            assert pool.level >= 16

    in_virtual_time(visit())


def test_pool_does_not_log_in_more_often_than_it_has_room() -> None:
    async def visit() -> None:
        upstream = FakeUpstream(seconds=10)
        pool = pool_of(upstream, 2)
        async with started(pool, upstream):
            await asyncio.sleep(9)
            assert upstream.logins == 2
            await asyncio.sleep(5)
            assert (upstream.logins, pool.level) == (2, 2)

    in_virtual_time(visit())


def test_outage_causes_backoff_and_then_recovery() -> None:
    async def visit() -> None:
        upstream, hits = FakeUpstream(seconds=0.1), list[bool]()
        pool = pool_of(upstream, 10, hits)
        async with started(pool, upstream):
            await asyncio.sleep(5)
            upstream.failure = UpstreamUnreachable()
            before = upstream.logins
            for _ in range(10):
                # Grants in the pool are still handed out.
                await pool.issue(FIRST)
            assert hits == [True] * 10
            with pytest.raises(UpstreamUnreachable):
                await pool.issue(FIRST)
            await asyncio.sleep(3600)
            tried = upstream.begun[before + 1 :]
            waits = [after - first for first, after in pairwise(tried[4:])]
            # Doubled from a second to a minute, with half of that as jitter.
            assert 40 <= len(waits) <= 70
            assert waits[0] > 1
            assert all(after > 1.2 * first for first, after in pairwise(waits) if first < 30)
            assert min(waits[8:]) >= 60
            assert max(waits) <= 91
            assert max(waits) - min(waits[8:]) > 5

            upstream.failure = None
            assert (await pool.issue(FIRST)).access_token in upstream.born
            recovered = now()
            while pool.level < 10:
                await asyncio.sleep(0.1)
            assert now() - recovered <= 93

            # The next outage is a new one.
            upstream.failure = UpstreamUnreachable()
            await pool.issue(FIRST)
            before = upstream.logins
            await asyncio.sleep(3)
            assert upstream.logins >= before + 2

    in_virtual_time(visit())


def test_parallel_failed_logins_count_as_one_failure() -> None:
    async def visit() -> None:
        upstream = FakeUpstream(seconds=1)
        pool = pool_of(upstream, 10)
        upstream.failure = UpstreamUnreachable()
        async with started(pool, upstream):
            await asyncio.sleep(3.2)
            assert upstream.most_in_progress == 4
            assert upstream.logins >= 5

    in_virtual_time(visit())


@pytest.mark.parametrize("form", ["120", "date"])
def test_refill_respects_retry_after(form: str) -> None:
    async def visit() -> None:
        upstream = FakeUpstream(seconds=0.3)
        pool = pool_of(upstream, 20)
        async with started(pool, upstream):
            while upstream.in_progress < 2:
                await asyncio.sleep(0.01)
            # The logins in progress still succeed, which does not end the wait.
            header = form if form == "120" else _in_seconds(125)
            upstream.failure = rejected(429, header)
            while pool.level < 2:
                await asyncio.sleep(0.01)
            refused = now() + 0.3
            await asyncio.sleep(1)
            upstream.failure = None
            tried = upstream.logins
            while upstream.logins == tried:
                await asyncio.sleep(1)
            assert upstream.begun[-1] >= refused + 115
            await asyncio.sleep(30)
            assert pool.level == 20

    in_virtual_time(visit())


def _in_seconds(seconds: float) -> str:
    import time

    return formatdate(time.time() + seconds, usegmt=True)


@pytest.mark.parametrize("header", ["99999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_excessive_retry_after_is_limited(header: str) -> None:
    async def visit() -> None:
        upstream = FakeUpstream(expires_in=86_400)
        pool = pool_of(upstream, 1)
        upstream.failure = rejected(429, header)
        async with started(pool, upstream):
            await asyncio.sleep(3600)
            assert upstream.logins == 1
            upstream.failure = None
            await asyncio.sleep(1810)
            assert pool.level == 1

    in_virtual_time(visit())


@pytest.mark.parametrize("header", ["Fri, 31 Dec 1999 23:59:59 GMT", "Abc, 99 Xyz 9999", ""])
def test_invalid_or_past_retry_after_is_ignored(header: str) -> None:
    async def visit() -> None:
        upstream = FakeUpstream()
        pool = pool_of(upstream, 1)
        upstream.failure = rejected(503, header)
        async with started(pool, upstream):
            await asyncio.sleep(3)
            assert upstream.logins >= 2

    in_virtual_time(visit())


def test_pause_that_a_visitor_caused_stops_the_filler_without_log_lines() -> None:
    async def visit() -> None:
        upstream = FakeUpstream(expires_in=86_400)
        pool = pool_of(upstream, 1)
        async with started(pool, upstream):
            await asyncio.sleep(1)
            await pool.issue(FIRST)
            upstream.failure = rejected(429, "300")
            with pytest.raises(UpstreamRejected):
                await pool.issue(FIRST)
            upstream.failure = None
            with pytest.raises(UpstreamPaused):
                pool.check()
            await asyncio.sleep(299)
            assert upstream.logins == 2
            await asyncio.sleep(160)
            assert pool.level == 1
            pool.check()

    with capture_logs() as logs:
        in_virtual_time(visit())
    assert logs == []


def test_pool_with_a_grant_serves_visitors_during_a_pause() -> None:
    async def visit() -> None:
        upstream = FakeUpstream()
        pool = pool_of(upstream, 2)
        async with started(pool, upstream):
            await asyncio.sleep(1)
            upstream.failure = rejected(429, "300")
            with pytest.raises(UpstreamRejected):
                await upstream.login()
            for _ in range(2):
                pool.check()
                await pool.issue(FIRST)
            with pytest.raises(UpstreamPaused):
                pool.check()

    in_virtual_time(visit())


def test_complete_grants_are_handed_out_first() -> None:
    async def visit() -> None:
        upstream, hits = FakeUpstream(expires_in=3600), list[bool]()
        pool = pool_of(upstream, 4, hits)
        upstream.is_complete = False
        async with started(pool, upstream):
            while pool.level < 2:
                await asyncio.sleep(0.01)
            upstream.is_complete = True
            while pool.level < 4:
                await asyncio.sleep(0.01)
            issued = [await pool.issue(FIRST) for _ in range(4)]
            assert [one.is_complete for one in issued] == [True, True, False, False]
            assert len({one.access_token for one in issued}) == 4
            assert hits == [True] * 4

    in_virtual_time(visit())


@pytest.mark.parametrize(("expires_in", "seconds"), [(3600.0, 60), (100.0, 20)])
def test_grants_without_parameters_are_kept_at_most_a_minute(
    expires_in: float, seconds: float
) -> None:
    async def visit() -> None:
        upstream = FakeUpstream(expires_in=expires_in)
        pool = pool_of(upstream, 2)
        upstream.is_complete = False
        async with started(pool, upstream):
            ages = []
            for _ in range(2000):
                await asyncio.sleep(0.1)
                ages.append(pool.age)
            assert seconds - 1 < max(ages) <= seconds + 0.2
            # Once Sentifyd sends parameters again, all are replaced.
            upstream.is_complete = True
            await asyncio.sleep(seconds + 1)
            assert (await pool.issue(FIRST)).is_complete

    in_virtual_time(visit())


def test_filler_survives_unexpected_errors() -> None:
    async def visit() -> None:
        upstream = FakeUpstream()
        pool = pool_of(upstream, 3)
        upstream.failure = RuntimeError("canary")
        async with started(pool, upstream):
            await asyncio.sleep(1)
            assert upstream.logins == 1
            upstream.failure = None
            await asyncio.sleep(95)
            levels = [pool.level]
            while max(levels) < 3 and len(levels) < 20:
                await asyncio.sleep(0.1)
                levels.append(pool.level)
            assert max(levels) == 3

    with capture_logs() as logs:
        in_virtual_time(visit())
    assert [line["event"] for line in logs] == ["pool_not_filled"]
    assert logs[0]["exception"] == "RuntimeError"
    assert "canary" not in str(logs)


def test_no_lifetime_is_sent_if_upstream_sent_none() -> None:
    async def visit() -> None:
        upstream = FakeUpstream(expires_in=None)
        pool = pool_of(upstream, 2)
        async with started(pool, upstream):
            # The assumed lifetime is 55 seconds.
            await asyncio.sleep(10)
            issued = await pool.issue(FIRST)
            assert issued.expires_in is None
            assert upstream.logins == 2
            await asyncio.sleep(100)
            assert upstream.age(await pool.issue(FIRST)) <= 11

    in_virtual_time(visit())


def test_pool_is_ready_once_it_was_full() -> None:
    async def visit() -> None:
        upstream = FakeUpstream(seconds=1)
        pool = pool_of(upstream, 8)
        async with started(pool, upstream):
            while pool.level < 8:
                assert not pool.ready
                await asyncio.sleep(0.01)
            assert pool.ready
            while pool.level:
                await pool.issue(FIRST)
            assert pool.ready

    in_virtual_time(visit())


def test_pool_is_ready_if_short_grants_cannot_fill_it() -> None:
    async def visit() -> None:
        upstream = FakeUpstream(expires_in=20)
        pool = pool_of(upstream, 1000)
        async with started(pool, upstream):
            await asyncio.sleep(3.5)
            assert not pool.ready
            await asyncio.sleep(1.5)
            assert pool.ready
            assert 20 <= pool.level <= 80

    in_virtual_time(visit())


def test_draining_pool_hands_out_what_is_ready_and_logs_in_only_for_visitors() -> None:
    async def visit() -> None:
        upstream, hits = FakeUpstream(expires_in=1000.0), list[bool]()
        pool = pool_of(upstream, 3, hits)
        async with started(pool, upstream):
            await asyncio.sleep(10)
            assert (upstream.logins, pool.level) == (3, 3)
            pool.stop_filling()
            for _ in range(5):
                await pool.issue(FIRST)
                await asyncio.sleep(10)
            assert hits == [True] * 3 + [False] * 2
            assert (upstream.logins, pool.level) == (5, 0)

    in_virtual_time(visit())


def test_pool_that_drains_before_it_starts_is_never_filled() -> None:
    async def visit() -> None:
        upstream = FakeUpstream()
        pool = pool_of(upstream, 3)
        pool.stop_filling()
        async with started(pool, upstream):
            await pool.issue(FIRST)
            await asyncio.sleep(100)
            assert (upstream.logins, pool.level) == (1, 0)

    in_virtual_time(visit())


def test_close_cancels_logins_and_drops_grants() -> None:
    async def visit() -> None:
        upstream = FakeUpstream(seconds=5)
        pool = pool_of(upstream, 10)
        async with started(pool, upstream):
            await asyncio.sleep(6)
            assert pool.level >= 1
            assert upstream.in_progress >= 1
        assert pool.level == 0
        logins = upstream.logins
        await asyncio.sleep(60)
        assert upstream.logins == logins

    in_virtual_time(visit())


def test_close_without_start_does_nothing() -> None:
    async def visit() -> None:
        await pool_of(FakeUpstream(), 3).close()

    in_virtual_time(visit())


def test_second_start_does_nothing() -> None:
    async def visit() -> None:
        upstream = FakeUpstream()
        pool = pool_of(upstream, 3)
        pool.start()
        async with started(pool, upstream):
            await asyncio.sleep(5)
            assert upstream.logins == 3

    in_virtual_time(visit())


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a pool fill as fast as a busy machine can."""
    monkeypatch.setattr(pool_module, "REFILL_SECONDS", 0.01)


@pytest.mark.usefixtures("quick")
def test_burst_of_visitors_is_served_from_the_pool(
    start_service: StartService, sandbox: Sandbox, sandbox_url: str
) -> None:
    sandbox.fault = Fault("delay", seconds=0.05)
    variables = {"TOKEN_POLICY": "pool", "TOKEN_POOL_SIZE": "40", "RATE_LIMIT": "1000/minute"}
    service = start_service(sandbox_url, **variables)
    assert not is_ready(service)
    until(lambda: is_ready(service))
    assert metric(service, "sentifyd_edge_pool_level{") >= 38
    # From here on a login would take too long, so each quick answer comes from the pool.
    sandbox.fault = Fault("delay", seconds=20)
    issued = crowd_of(service, 35)
    sandbox.fault = Fault("delay", seconds=0.05)

    assert len(set(issued)) == 35
    assert all(sandbox.mint.check_access_token(token) for token in issued)
    hits = 'sentifyd_edge_grants_total{avatar="(default)",policy="pool",result='
    assert metric(service, hits + '"hit"') == 35
    assert metric(service, hits + '"miss"') == 0


@pytest.mark.usefixtures("quick")
def test_visitors_beyond_the_pool_get_their_own_login(
    start_service: StartService, sandbox: Sandbox, sandbox_url: str
) -> None:
    service = start_service(
        sandbox_url, TOKEN_POLICY="pool", TOKEN_POOL_SIZE="5", RATE_LIMIT="1000/minute"
    )
    until(lambda: is_ready(service))

    issued = crowd_of(service, 50)

    assert len(set(issued)) == 50
    assert sandbox.logins >= 50


@pytest.mark.usefixtures("quick")
def test_pool_hides_an_outage_until_it_is_empty(
    start_service: StartService, sandbox: Sandbox, sandbox_url: str
) -> None:
    service = start_service(sandbox_url, TOKEN_POLICY="pool", TOKEN_POOL_SIZE="8")
    until(lambda: is_ready(service))
    sandbox.fault = Fault("status", status=500)

    assert [service.get().status_code for _ in range(9)] == [200] * 8 + [500]

    sandbox.fault = None
    assert service.get().status_code == 200
    until(lambda: metric(service, "sentifyd_edge_pool_level{") == 8)


@pytest.mark.usefixtures("quick")
def test_each_avatar_has_its_own_pool(
    start_service: StartService, sandbox_url: str, tmp_path: Path
) -> None:
    tables = [f'[[avatars]]\nid = "{name}"\nkey = "{KEY}"\navatar_id = "{name}"' for name in "ab"]
    path = tmp_path / "avatars.toml"
    path.write_text("\n".join(tables))
    service = start_service(
        sandbox_url,
        AVATARS_FILE=str(path),
        TOKEN_POLICY="pool",
        TOKEN_POOL_SIZE="3",
        AVATAR_ID="c",
    )
    until(lambda: is_ready(service))

    for path_, name in (("", "c"), ("/a", "a"), ("/b", "b")):
        for _ in range(4):
            answer = requests.get(service.url + path_, headers={"Origin": ORIGIN}, timeout=5)
            assert claims_of(answer.json()["tokens"]["accessToken"])["sub"] == name


def test_rejected_login_raises_for_the_visitor() -> None:
    async def visit() -> None:
        upstream = FakeUpstream()
        pool = pool_of(upstream, 2)
        upstream.failure = rejected(401)
        async with started(pool, upstream):
            with pytest.raises(UpstreamRejected) as caught:
                await pool.issue(FIRST)
            assert caught.value.status == 401

    in_virtual_time(visit())


def test_pool_becomes_ready_even_if_upstream_is_unavailable() -> None:
    async def visit() -> None:
        upstream = FakeUpstream()
        pool = pool_of(upstream, 3)
        upstream.failure = UpstreamUnreachable()
        async with started(pool, upstream):
            await asyncio.sleep(29)
            assert not pool.ready
            await asyncio.sleep(2)
            assert pool.ready
            assert pool.level == 0

    in_virtual_time(visit())
