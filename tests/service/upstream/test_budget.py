"""Login budgets, counted in memory or in a real Redis that replicas share."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from edge_service.errors import BudgetSpent, BudgetUnavailable
from edge_service.redis_client import RedisUnavailable, SharedRedis, shared
from edge_service.settings import AvatarSettings
from edge_service.settings.parsers import parse_login_budget, window_name
from edge_service.upstream.budget import STATEMENT_SECONDS, LoginBudget, LoginBudgets
from edge_service.upstream.ledgers import (
    NOTHING,
    Lease,
    MemoryLedger,
    RedisLedger,
    Statement,
    Window,
)
from tests.support.clocks import Clock, in_a_loop
from tests.support.redis import RedisServer
from tests.support.redis_groups import RedisCluster
from tests.support.settings import KEY, avatar_settings
from tests.support.waiting import until_async

pytestmark = pytest.mark.usefixtures("long_timeouts")

MIDNIGHT = 1_800_057_600.0  # 2027-01-16, 00:00 UTC
HOUR, DAY = 3600, 86_400


@pytest.fixture
def redis(empty_redis: RedisServer) -> RedisServer:
    return empty_redis


def avatar(budget: str | None, name: str = "") -> AvatarSettings:
    return avatar_settings(login_budget=budget, name=name)


def limited(budgets: LoginBudgets, text: str | None, name: str = "") -> LoginBudget:
    return budgets.limit([avatar(text, name)])[name]


class Replica:
    """The budgets of one process, with its own client."""

    def __init__(self, url: str) -> None:
        self.redis = SharedRedis(url)
        self.budgets = LoginBudgets(self.redis)
        self._kept: list[LoginBudget] = []

    def budget(self, text: str, name: str = "") -> LoginBudget:
        # As the login of an avatar keeps it.
        self._kept.append(limited(self.budgets, text, name))
        return self._kept[-1]


@asynccontextmanager
async def replicas(url: str, number: int) -> AsyncIterator[list[Replica]]:
    found = [Replica(url) for _ in range(number)]
    try:
        yield found
    finally:
        for one in found:
            await one.redis.close()


class InMemory:
    """A budget in memory, with clocks that a test sets."""

    def __init__(self, text: str, now: float = MIDNIGHT) -> None:
        self.clock = Clock(now)
        self.budget = LoginBudget(MemoryLedger(self.clock), clock=self.clock)
        self.budget.limit_to(windows(text))

    async def taken(self, attempts: int = 1000) -> int:
        return await taken(self.budget, attempts)

    async def wait(self) -> float:
        return await refusal(self.budget)


def windows(text: str) -> tuple[Window, ...]:
    limits = parse_login_budget(text)
    return tuple(Window(one.amount, one.get_expiry(), window_name(one)) for one in limits)


async def taken(budget: LoginBudget, attempts: int) -> int:
    """How many of these attempts, made one after the other, the budget allows."""
    allowed = 0
    for _ in range(attempts):
        try:
            await budget.take()
        except BudgetSpent:
            break
        allowed += 1
    return allowed


async def refusal(budget: LoginBudget) -> float:
    """`Retry-After` of an attempt."""
    with pytest.raises(BudgetSpent) as caught:
        await budget.take()
    with pytest.raises(BudgetSpent):
        budget.check()
    return caught.value.retry_after


def left(budget: LoginBudget) -> dict[str, int]:
    return {window.name: units for window, units in budget.left()}


def counts(redis: RedisServer) -> dict[int, int]:
    """Units that are counted in Redis, by the seconds of the window."""
    with redis.client() as client:
        found: Any = {
            key: client.get(key) for key in client.scan_iter("sentifyd:budget:1:*}:[0-9]*")
        }
    return {int(key.split(b":")[-1]): int(value.split()[1]) for key, value in found.items()}


def test_replicas_race_for_the_last_units(redis: RedisServer) -> None:
    async def visit() -> None:
        async with replicas(redis.url, 4) as processes:
            budgets = [one.budget("41/hour;50/day") for one in processes]

            async def attempt(number: int) -> bool:
                return await taken(budgets[number % 4], 1) == 1

            results = await asyncio.gather(*(attempt(number) for number in range(200)))
            assert sum(results) == 41
            assert 0 < await refusal(budgets[0]) <= HOUR
        assert counts(redis) == {HOUR: 41, DAY: 41}

    in_a_loop(visit())


def test_lease_is_one_percent_of_what_is_left_and_at_least_one(redis: RedisServer) -> None:
    async def visit() -> None:
        async with replicas(redis.url, 2) as (one, two):
            await one.budget("5000/hour;20000/day", "large").take()
            assert counts(redis) == {HOUR: 50, DAY: 50}
            await two.budget("5000/hour;20000/day", "large").take()
            assert counts(redis) == {HOUR: 99, DAY: 99}
            with redis.client() as client:
                client.flushall()
            # A statement that is too old costs a question, but no second lease.
            budget = one.budget("20000/day", "other")
            await budget.take()
            budget._stated -= STATEMENT_SECONDS
            assert await taken(budget, 199) == 199
            assert counts(redis) == {DAY: 200}
            small = two.budget("99/minute", "small")
            await small.take()
            assert counts(redis)[60] == 1

    in_a_loop(visit())


def test_stop_gives_the_lease_back_and_a_crash_loses_it(redis: RedisServer) -> None:
    async def visit() -> None:
        async with replicas(redis.url, 3) as (crashed, stopped, late):
            await crashed.budget("1000/day").take()
            await stopped.budget("1000/day").take()
            await stopped.budget("1000/day").give_back()
            # Ten that the crashed process has leased, and one login.
            assert counts(redis) == {DAY: 11}
            assert await taken(late.budget("1000/day"), 2000) == 989

    in_a_loop(visit())


def test_units_that_are_sent_back_twice_count_once(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client sends a call again when a connection fails after Redis has run it."""

    async def visit() -> None:
        async with replicas(redis.url, 1) as (one,):
            ledger = RedisLedger(one.redis, "digest")
            (window,) = windows("1000/day")
            statement = await ledger.exchange([window], 1)
            monkeypatch.setattr(secrets, "token_hex", lambda _: "same")
            unused = Lease(5, statement.numbers)
            first = await ledger.exchange([window], 0, unused)
            again = await ledger.exchange([window], 0, unused)
            assert [first.counts[0].left, again.counts[0].left] == [995, 995]

    in_a_loop(visit())


def test_windows_follow_the_clock_of_redis_and_utc(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replicas with wrong clocks share the windows of the others."""

    async def visit() -> None:
        async with replicas(redis.url, 3) as processes:
            with redis.client() as client:
                before: Any = client.time()
                for process, skew in zip(processes, (0, 40 * HOUR, -9 * DAY), strict=True):
                    wrong = time.time() + skew
                    monkeypatch.setattr(time, "time", lambda wrong=wrong: wrong)
                    await process.budget("3/day").take()
                    monkeypatch.undo()
                after: Any = client.time()
                (key,) = client.scan_iter("sentifyd:budget:*")
                stored: Any = client.get(key)
                expires: Any = client.pexpiretime(key)
            number, count, _ = map(int, stored.split())
            assert number in {int(before[0]) // DAY, int(after[0]) // DAY}
            assert count == 3
            assert abs(expires / 1000 - (number + 1) * DAY) < 1

    in_a_loop(visit())


def test_next_window_of_redis_has_the_whole_budget(redis: RedisServer) -> None:
    async def visit() -> None:
        async with replicas(redis.url, 2) as (one, two):
            budgets = [one.budget("2/2seconds"), two.budget("2/2seconds")]
            allowed = 0

            async def attempt() -> bool:
                nonlocal allowed
                for budget in budgets:
                    if await taken(budget, 1):
                        allowed += 1
                return allowed >= 4

            loop = asyncio.get_running_loop()
            began = loop.time()
            while not await attempt():
                await asyncio.sleep(0.01)
            spent = loop.time() - began
            # Four units are those of at least two windows.
            assert allowed <= 2 * (spent // 2 + 2)

    in_a_loop(visit())


def test_windows_in_memory_are_aligned_to_utc() -> None:
    async def visit() -> None:
        one = InMemory("3/hour;5/day", now=MIDNIGHT + 23.5 * HOUR)
        assert await one.taken() == 3
        assert await one.wait() == HOUR / 2
        one.clock.now += HOUR / 2
        # Another day too.
        assert await one.taken() == 3
        assert await one.wait() == HOUR
        one.clock.now += HOUR
        assert await one.taken() == 2
        # The day is spent, and ends later than the hour.
        assert await one.wait() == 23 * HOUR
        one.clock.now += HOUR
        assert await one.wait() == 22 * HOUR

    in_a_loop(visit())


def test_lease_of_a_window_is_not_spent_in_the_next_one() -> None:
    async def visit() -> None:
        one = InMemory("1000/hour;5000/day", now=MIDNIGHT + HOUR / 2)
        assert await one.taken(1) == 1
        assert left(one.budget) == {"hour": 999, "day": 4999}
        one.clock.now += HOUR / 2
        # The nine unused units of the lease are in the day again.
        assert await one.taken(1) == 1
        assert left(one.budget) == {"hour": 999, "day": 4998}
        assert await one.taken(2000) == 999

    in_a_loop(visit())


def test_one_warning_a_window_at_80_percent_and_one_error_when_it_is_spent(
    redis: RedisServer,
) -> None:
    async def visit() -> None:
        async with replicas(redis.url, 3) as processes:
            budgets = [one.budget("40/day", "docs") for one in processes]
            with capture_logs() as logs:
                for number in range(31):
                    await budgets[number % 3].take()
                assert logs == []
                for number in range(9):
                    await budgets[number % 3].take()
                for number in range(6):
                    await refusal(budgets[number % 3])
        for line in logs:
            assert 0 < line.pop("renewed_in") <= DAY
        common = {"avatar": "docs", "window": "day", "of": 40}
        assert logs == [
            {"event": "login_budget_low", "log_level": "warning", "left": 8, **common},
            {"event": "login_budget_spent", "log_level": "error", "left": 0, **common},
        ]

    in_a_loop(visit())


def test_next_window_warns_again() -> None:
    async def visit() -> None:
        one = InMemory("5/day")
        with capture_logs() as logs:
            for _ in range(2):
                await one.taken()
                one.clock.now += DAY
        events = [line["event"] for line in logs]
        assert events == 2 * ["login_budget_low", "login_budget_spent"]

    in_a_loop(visit())


def test_without_redis_the_lease_is_spent_and_logins_go_on_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared, "RETRY_SECONDS", 0.05)

    async def visit(redis: RedisServer) -> None:
        async with replicas(redis.url, 2) as (busy, idle):
            budget = busy.budget("500/day")
            await budget.take()
            redis.stop()
            assert await taken(budget, 4) == 4
            with capture_logs():
                for one in (budget, idle.budget("500/day")):
                    with pytest.raises(BudgetUnavailable) as caught:
                        await one.take()
                    assert 1 <= caught.value.retry_after <= 5
                assert not await budget.is_ample()
                # Without a question to Redis.
                with pytest.raises(BudgetUnavailable):
                    budget.check()
                redis.start()
                await until_async(lambda: busy.redis.is_available)
            budget.check()
            assert await taken(budget, 1) == 1
            # Redis has kept its data.
            assert counts(redis) == {DAY: 9}

    with RedisServer(appendonly="yes", appendfsync="always") as redis:
        in_a_loop(visit(redis))


def test_lease_ends_with_its_window_even_without_redis() -> None:
    class Gone(MemoryLedger):
        is_available = True

        async def exchange(
            self, windows: Sequence[Window], wanted: int, returned: Lease = NOTHING
        ) -> Statement:
            if not self.is_available:
                raise RedisUnavailable
            return await super().exchange(windows, wanted, returned)

    async def visit() -> None:
        clock = Clock(MIDNIGHT)
        ledger = Gone(clock)
        budget = LoginBudget(ledger, clock=clock)
        budget.limit_to(windows("500/day"))
        await budget.take()
        ledger.is_available = False
        clock.now += DAY - 1
        await budget.take()
        clock.now += 1
        with pytest.raises(BudgetUnavailable):
            await budget.take()

    in_a_loop(visit())


def test_visitor_who_leaves_does_not_disturb_the_others() -> None:
    async def visit() -> None:
        gate, asked = asyncio.Event(), asyncio.Event()

        class Slow(MemoryLedger):
            async def exchange(
                self, windows: Sequence[Window], wanted: int, returned: Lease = NOTHING
            ) -> Statement:
                asked.set()
                await gate.wait()
                return await super().exchange(windows, wanted, returned)

        budget = LoginBudget(Slow())
        budget.limit_to(windows("2/day"))
        first, *others = [asyncio.create_task(budget.take()) for _ in range(4)]
        await asked.wait()
        first.cancel()
        gate.set()
        results = await asyncio.gather(*others, return_exceptions=True)
        assert [type(result) for result in results].count(BudgetSpent) == 1
        assert results.count(None) == 2
        assert asyncio.all_tasks() == {asyncio.current_task()}

    in_a_loop(visit())


def test_budget_lives_longer_than_an_event_loop(redis: RedisServer) -> None:
    """Some serverless platforms have a new event loop for each request."""
    one = Replica(redis.url)
    budget = one.budget("3/day")

    async def visit() -> None:
        await budget.take()
        await one.redis.close()

    for _ in range(3):
        in_a_loop(visit())
    assert counts(redis) == {DAY: 3}


def test_event_loop_that_stops_early_blocks_no_later_one() -> None:
    class Slow(MemoryLedger):
        hangs = True

        async def exchange(
            self, windows: Sequence[Window], wanted: int, returned: Lease = NOTHING
        ) -> Statement:
            if self.hangs:
                await asyncio.Event().wait()
            return await super().exchange(windows, wanted, returned)

    ledger = Slow()
    budget = LoginBudget(ledger)
    budget.limit_to(windows("3/day"))

    def stop_early() -> None:
        loop = asyncio.new_event_loop()
        abandoned = loop.create_task(budget.take())
        loop.call_later(0.05, loop.stop)
        loop.run_forever()
        assert not abandoned.done()
        loop.close()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(stop_early).result()
    ledger.hangs = False
    in_a_loop(budget.take(), seconds=5)


def test_change_of_the_budget_keeps_what_was_counted(redis: RedisServer) -> None:
    async def visit(budgets: LoginBudgets) -> None:
        for text, allowed in (("2/day", 2), ("5/day", 3), ("1/day", 0), ("9/hour;6/day", 1)):
            assert await taken(limited(budgets, text), 9) == allowed
        assert await taken(limited(budgets, None), 9) == 9

    async def everywhere() -> None:
        with capture_logs():
            for redis_client in (None, SharedRedis(redis.url)):
                budgets = LoginBudgets(redis_client)
                kept = limited(budgets, "1/day")
                await visit(budgets)
                assert budgets.of(avatar("1/day")) is kept
                if redis_client is not None:
                    await redis_client.close()

    in_a_loop(everywhere())


def test_each_avatar_has_its_own_budget(redis: RedisServer) -> None:
    async def visit() -> None:
        async with replicas(redis.url, 1) as (one,):
            for name in ("", "docs", "shop"):
                assert await taken(one.budget("2/day", name), 9) == 2
            other_key = avatar_settings(login_budget="2/day", api_key="canary-key-other")
            assert await taken(one.budgets.limit([other_key])[""], 9) == 2

    in_a_loop(visit())


def test_redis_holds_neither_key_nor_name_of_an_avatar(redis: RedisServer) -> None:
    async def visit() -> None:
        async with replicas(redis.url, 1) as (one,):
            budget = one.budget("2000/hour;20000/day", "canary-name")
            await budget.take()
            await budget.give_back()
        with redis.client() as client:
            keys: Any = client.keys("*")
            values: Any = client.mget(keys)
            assert all(0 < client.pttl(key) <= DAY * 1000 for key in keys)
        assert len(keys) == 3
        assert all(key.startswith(b"sentifyd:budget:") for key in keys)
        assert b"canary" not in b"".join([*keys, *values])
        assert KEY.encode() not in b"".join([*keys, *values])

    in_a_loop(visit())


def test_counters_of_an_avatar_are_on_one_node_of_a_cluster() -> None:
    async def visit(url: str) -> None:
        async with replicas(url, 2) as (one, two):
            for name in ("a", "b", "c", "d", "e", "f"):
                budgets = [each.budget("3/minute;3/hour;4/day", name) for each in (one, two)]
                results = [await taken(budget, 2) for budget in budgets]
                # A minute may end in between.
                assert results[0] == 2
                assert results[1] in (1, 2)
                await budgets[0].give_back()
            assert one.redis.is_available
            assert two.redis.is_available

    with RedisCluster() as cluster:
        in_a_loop(visit(cluster.url))
        by_node = cluster.keys()
        assert sum(bool(keys) for keys in by_node) > 1
