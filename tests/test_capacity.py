"""What the page on capacity says: figures, arithmetic, and the policies that it speaks of."""

from __future__ import annotations

import asyncio
import math
import random
from bisect import bisect_left
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from benchmarks.capacity import COUNTER_BYTES, POLICIES, Measured, Policy, Site, most_visits, need
from benchmarks.capacity_page import FIELDS, filled_in, shown, told
from benchmarks.published import measured, read_tables
from edge_service.grants import Grant, HeldGrant
from edge_service.issuing import Direct, GrantRequest
from edge_service.limiting import RateLimiter, parse_rate_limits
from edge_service.pool import Pool
from edge_service.replicas import RedisGrants, connect
from edge_service.shared import Shared
from edge_service.variables import Variables
from tests.support.redis import RedisServer
from tests.support.settings import avatar_settings

T = TypeVar("T")
PAGE = "example_docs/docs/deploy/capacity.md"
# Round figures, so that what comes of them can be worked out by hand.
FIGURES = Measured(direct=1000, shared=10_000, shared_redis=5000)
MILLION = Site(
    visits_a_day=1_000_000, busiest_hour=18, busiest_minute=2, visit_minutes=6, redis=False
)


def test_the_page_is_computed_from_the_tables(root: Path) -> None:
    text = (root / PAGE).read_text()
    mend = "python -m benchmarks.capacity_page writes the page anew"
    assert filled_in(text, measured(read_tables())) == text, mend


def test_figures_come_from_the_tables(root: Path) -> None:
    found = measured(read_tables())
    assert found.direct == round(0.69 * 64 / 0.030)
    assert found.shared == round(10.7 * 0.69 * 64 / 0.030)
    assert found.shared_redis == round(10.7 * 0.69 * 64 / 0.030 * 0.20 / 0.52)
    text = " ".join((root / PAGE).read_text().split())
    assert "`direct` 0.69 of 64 logins each 30 ms, `shared` 10.7 times that" in text
    assert "with Redis 0.20 ÷ 0.52 of it" in text


def test_what_the_page_says_in_words() -> None:
    figures = measured(read_tables())
    for policy in POLICIES:
        assert most_visits(Site(), policy, figures) > 1e6
        assert need(Site(visits_a_day=1e6), policy, figures).processes == 2
    for policy in ("direct", "pool"):
        assert need(Site(), policy, figures).bound == "login slots"


def test_direct() -> None:
    # 50 visits a second in the busiest hour, 100 in its busiest minute; a tenth comes twice.
    found = need(MILLION, "direct", FIGURES)
    assert found.requests == found.logins == pytest.approx(110)
    assert found.logins_a_day == pytest.approx(1_100_000)
    assert found.in_flight == pytest.approx(22)
    assert found.cores == pytest.approx(0.11)
    # Half of 32 slots are to be in use.
    assert found.load == pytest.approx(22 / 16)
    assert found.bound == "login slots"
    assert (found.processes, found.herd, found.pool_size) == (2, None, None)


def test_a_pool() -> None:
    found = need(MILLION, "pool", FIGURES)
    # A token that comes from it lives four fifths of an hour.
    assert found.requests == found.logins == pytest.approx(112.5)
    # Each of two processes holds ten seconds of it, and three deviations more.
    assert found.pool_size == math.ceil(562.5 + 3 * math.sqrt(562.5))
    # It is refilled ten times a second.
    assert found.from_pool == pytest.approx(100 * 20 / 112.5)


def test_a_pool_that_nobody_asks() -> None:
    found = need(Site(visits_a_day=1, token_minutes=1), "pool", FIGURES)
    assert found.pool_size == 1
    # Two processes, each with a token that is stale after twelve seconds.
    assert found.logins == pytest.approx(2 / 12)
    assert found.logins_a_day == pytest.approx(2 * 86_400 / 12)


# A token is stale after twelve seconds: each avatar costs a process a login in that time, at
# least, and its 16 slots are enough for 80 logins a second.
MANY_AVATARS = Site(visits_a_day=1, token_minutes=1)


def test_pools_that_only_more_processes_carry() -> None:
    # Per avatar and second 0.25 requests: a pool of one process holds so many that it takes more
    # than 80 logins a second to keep them fresh, and pools of several processes hold fewer.
    site = replace(MANY_AVATARS, visits_a_day=2_000_000, avatars=500, visit_minutes=1)
    found = need(site, "pool", FIGURES)
    assert found.processes is not None
    assert found.pool_size is not None
    assert found.logins == pytest.approx(found.processes * 500 * found.pool_size / 12)
    assert found.bound == "login slots"
    assert found.in_flight is not None
    assert found.in_flight / 16 <= found.processes

    def logins_of(processes: int) -> float:
        expected = found.requests / processes / 500 * 10
        size = math.ceil(expected + 3 * math.sqrt(expected))
        return processes * 500 * size / 12

    assert logins_of(found.processes) == pytest.approx(found.logins)
    assert found.processes > 2
    assert all(logins_of(fewer) / 80 > fewer for fewer in range(2, found.processes))


def test_pools_that_no_number_of_processes_carries() -> None:
    carried = need(replace(MANY_AVATARS, avatars=950), "pool", FIGURES)
    assert carried.processes == 2
    assert carried.load == pytest.approx(2 * 950 / 12 / 80)

    site = replace(MANY_AVATARS, avatars=970)
    found = need(site, "pool", FIGURES)
    assert (found.processes, found.load) == (None, math.inf)
    assert shown(found, "pool", "processes") == "no number"
    for name in ("logins", "logins_a_day", "in_flight", "cores", "pool_size", "from_pool"):
        assert shown(found, "pool", name) == "-"
    # Nobody keeps anything fresh without a pool.
    assert need(site, "direct", FIGURES).processes == 2


def test_cores_of_a_pool_that_nobody_asks() -> None:
    site = replace(MANY_AVATARS, avatars=100, login_ms=1, redis=False)
    found = need(site, "pool", FIGURES)
    # 200 pools, and a login costs a thousandth of a core's second.
    assert found.cores == pytest.approx(200 / 12 / 1000, rel=1e-3)
    assert found.bound == "cores"


def test_shared() -> None:
    found = need(MILLION, "shared", FIGURES)
    held = 3600 - 45
    assert found.requests == pytest.approx(100 * (1 + 360 / held))
    # Without Redis each of two processes has a grant of its own.
    assert found.logins == pytest.approx(2 / held)
    assert found.herd == pytest.approx(100 * 360)
    # 36,000 requests in ten seconds beside the others; a process may answer 5,000 in one.
    assert found.load == pytest.approx((3600 + found.requests) / 5000)
    assert found.bound == "end of a token"


def test_redis() -> None:
    site = Site(visits_a_day=1e6, busiest_hour=18, visit_minutes=6, limits=2)
    found = need(site, "shared", FIGURES)
    assert found.logins == pytest.approx(1 / (3600 - 45))
    assert found.redis_calls == pytest.approx(2 * found.requests)
    # 0.1 ms alone, and 0.1 ms more for each round trip.
    assert found.cores == pytest.approx(found.requests * 0.0003)
    counters = 2 * (60 * found.requests + 36_000)
    assert found.redis_megabytes == pytest.approx(counters * COUNTER_BYTES / 1e6)
    assert need(MILLION, "direct", FIGURES).redis_calls is None


@pytest.mark.parametrize("policy", POLICIES)
def test_the_most_that_a_process_carries(policy: Policy) -> None:
    site = Site(visits_a_day=most_visits(Site(), policy, FIGURES))
    assert need(site, policy, FIGURES).load == pytest.approx(1)


def test_defaults_are_those_of_the_service() -> None:
    assert Site().concurrency == Variables.UPSTREAM_CONCURRENCY.default
    assert Site().limits == len(parse_rate_limits(Variables.RATE_LIMIT.default))
    assert {field.name for field in FIELDS} | {"redis"} == set(Site.__dataclass_fields__)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "none"),
        (0.0004, "< 0.001"),
        (0.0123, "0.012"),
        (2.0, "2"),
        (2.25, "2.3"),
        (12.5, "13"),
        (4905, "4,910"),
        (9.96, "10"),
        (999.4, "999"),
        (1234, "1,230"),
        (10_833_333, "10,800,000"),
    ],
)
def test_numbers_are_told(number: float, text: str) -> None:
    assert told(number) == text


class Hurry(asyncio.SelectorEventLoop):
    """A loop on which waiting takes no time: the clock goes to whatever comes next."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        selector: Any = self._selector  # type: ignore[attr-defined]
        select = selector.select

        def jump(timeout: float | None = None) -> object:
            self.now += timeout or 0
            return select(0)

        selector.select = jump

    def time(self) -> float:
        return self.now


def hurried(task: Callable[[Hurry], Coroutine[Any, Any, T]]) -> T:
    """In a thread of its own, because the main one may have a browser's loop."""

    def run() -> T:
        loop = Hurry()
        try:
            return loop.run_until_complete(task(loop))
        finally:
            loop.close()

    with ThreadPoolExecutor(1) as threads:
        return threads.submit(run).result()


class Upstream:
    """Logs in after a while, and remembers when it was asked."""

    def __init__(self, loop: Hurry, site: Site) -> None:
        self.asked: list[float] = []
        self._loop = loop
        self._site = site

    async def login(self) -> Grant:
        self.asked.append(self._loop.now)
        await asyncio.sleep(self._site.login_ms / 1000)
        return Grant(
            access_token="a",
            refresh_token=f"r{len(self.asked)}",
            avatar_parameters={},
            expires_in=self._site.life,
        )


def run_policy(policy: Policy, site: Site, seconds: float, size: int) -> tuple[float, float, int]:
    """Visitors at the policy itself.

    Returns:
        Requests and logins a second, and the most requests within a second.
    """

    async def crowd(loop: Hurry) -> tuple[float, float, int]:
        upstream = Upstream(loop, site)
        issuer: Direct | Pool | Shared = Direct(upstream)
        if policy == "pool":
            issuer = Pool(upstream, size, clock=loop.time)
        elif policy == "shared":
            issuer = Shared(upstream, clock=loop.time)
        requests: list[float] = []

        async def visit(begin: float, end: float) -> None:
            await asyncio.sleep(begin)
            brought = None
            while loop.now < end:
                requests.append(loop.now)
                grant = await issuer.issue(GrantRequest(brought))
                brought = grant.refresh_token
                await asyncio.sleep(min(grant.expires_in or 0, max(0, end - loop.now)))

        dice = random.Random(5)
        begins = [dice.uniform(0, seconds) for _ in range(round(site.visits * seconds))]
        lengths = [dice.expovariate(1 / site.visit_minutes / 60) for _ in begins]
        ends = [min(seconds, sum(times)) for times in zip(begins, lengths, strict=True)]
        await asyncio.gather(*map(visit, begins, ends))
        await issuer.close()
        # The first visits find nobody else.
        first = seconds / 2
        rates = [sum(at > first for at in times) for times in (requests, upstream.asked)]
        peak = max(bisect_left(requests, at + 1) - number for number, at in enumerate(requests))
        return rates[0] / (seconds - first), rates[1] / (seconds - first), peak

    return hurried(crowd)


# A visit in three seconds, of twenty minutes, with tokens of five.
BUSY = Site(
    visits_a_day=120_000,
    busiest_hour=1,
    busiest_minute=1,
    visit_minutes=20,
    token_minutes=5,
    least_processes=1,
    redis=False,
)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_policies_do_what_is_computed(policy: Policy) -> None:
    computed = need(BUSY, policy, FIGURES)
    # Some fifty renewals of a shared grant, and few of the timers that make a pool slow.
    seconds = 14_400 if policy == "shared" else 4800
    requests, logins, peak = run_policy(policy, BUSY, seconds, computed.pool_size or 0)
    if policy == "shared":
        assert requests == pytest.approx(computed.requests, rel=0.1)
        assert logins == pytest.approx(computed.logins, rel=0.1)
        assert computed.herd is not None
        assert computed.herd / 2 < peak < computed.herd * 1.2
    else:
        # The page says that it is the most: not every visit ends just after a request.
        assert 0.75 * computed.requests < requests < 1.05 * computed.requests
        assert logins == pytest.approx(requests, rel=0.1)
        assert peak < 15


def test_a_pool_without_visitors_does_what_is_computed() -> None:
    site = Site(visits_a_day=1, token_minutes=2, least_processes=1)
    computed = need(site, "pool", FIGURES)

    async def wait(loop: Hurry) -> int:
        upstream = Upstream(loop, site)
        assert computed.pool_size is not None
        pool = Pool(upstream, computed.pool_size, clock=loop.time)
        pool.start()
        await asyncio.sleep(86_400)
        await pool.close()
        return len(upstream.asked)

    assert hurried(wait) == pytest.approx(computed.logins_a_day, rel=0.05)


def test_round_trips_to_redis_and_memory() -> None:
    with RedisServer() as redis, redis.client() as client:

        def calls() -> dict[str, int]:
            stats: Any = client.info("commandstats")
            found = {name.removeprefix("cmdstat_"): one["calls"] for name, one in stats.items()}
            client.config_resetstat()
            return found

        def memory() -> int:
            told: Any = client.info("memory")
            used: int = told["used_memory"]
            return used

        async def count(limits: str, visitors: int) -> None:
            limiter = RateLimiter(parse_rate_limits(limits), redis.url)
            for number in range(visitors):
                await limiter.count(f"203.0.{number // 250}.{number % 250}", "")
            await limiter.close()

        def run(task: Coroutine[Any, Any, None]) -> None:
            with ThreadPoolExecutor(1) as threads:
                threads.submit(asyncio.run, task).result()

        run(count("30/minute", 1))
        calls()
        before = memory()
        run(count("1000/day", 1000))
        assert calls()["evalsha"] == 1000
        assert 0.5 < (memory() - before) / 1000 / COUNTER_BYTES < 1.5
        run(count("1000/hour;1000/day", 100))
        assert calls()["evalsha"] == 200

        async def renew() -> None:
            connected = connect(redis.url)
            grants = RedisGrants(connected, avatar_settings(), None, 5)

            async def log_in() -> HeldGrant:
                grant = Grant(access_token="a", refresh_token="r", avatar_parameters={})
                return HeldGrant(grant, asyncio.get_running_loop().time(), 60)

            await grants.renew(lambda _: False, log_in)
            await connected.aclose()

        # The first time the script must be sent.
        run(renew())
        calls()
        run(renew())
        found = calls()
        # Look, lock, look again, store, unlock: the unlocking script reads and deletes.
        trips = found["exec"] + found["set"] + found["evalsha"]
        assert (trips, found["exec"], found["set"]) == (5, 2, 2)
