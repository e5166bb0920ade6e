"""How often a visitor may request tokens, counted in memory or in a real, unreliable Redis."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from edge_service.admission import redis_counters, window_counters
from edge_service.admission.rate_limits import RateLimiter
from edge_service.errors import RateLimited
from edge_service.redis_client import SharedRedis, connections, shared
from edge_service.settings.parsers import parse_rate_limits
from tests.support.clocks import Clock, in_a_loop
from tests.support.redis import RedisServer
from tests.support.waiting import until_async

CANARY = "canary-password-51c2"
UNAVAILABLE = {"event": "redis_unavailable", "log_level": "warning"}
AVAILABLE = {"event": "redis_available", "log_level": "warning"}


class Limiter(RateLimiter):
    """The limiter of one process, with its own Redis client."""

    def __init__(
        self,
        text: str,
        url: str | None,
        clock: Callable[[], float],
        on_fallback: Callable[[bool], None],
    ) -> None:
        self.shared = SharedRedis(url, on_fallback=on_fallback) if url is not None else None
        super().__init__(parse_rate_limits(text), self.shared, clock=clock)

    async def close(self) -> None:
        await super().close()
        if self.shared is not None:
            await self.shared.close()


def limiter(
    text: str,
    url: str | None = None,
    *,
    clock: Callable[[], float] = time.time,
    on_fallback: Callable[[bool], None] = lambda _: None,
) -> Limiter:
    return Limiter(text, url, clock, on_fallback)


@asynccontextmanager
async def closing(*limiters: RateLimiter) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for one in limiters:
            await one.close()


async def allowed(limits: RateLimiter, subject: str = "203.0.113.7", avatar: str = "") -> bool:
    try:
        await limits.count(subject, avatar)
    except RateLimited:
        return False
    return True


async def refusal(limits: RateLimiter, subject: str = "203.0.113.7") -> dict[str, str]:
    with pytest.raises(RateLimited) as caught:
        await limits.count(subject, "")
    return dict(caught.value.headers or {})


Answer = Callable[[int], Coroutine[Any, Any, bytes]]


@asynccontextmanager
async def fake_redis(answer: Answer) -> AsyncIterator[str]:
    """A server whose answer to each message depends on the connection's number; yields its URL.

    An empty answer closes the connection.
    """
    connections: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(connections)
        connections.append(writer)
        while await reader.read(65536) and (reply := await answer(number)):
            writer.write(reply)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in connections:
            writer.close()


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("30/minute", [(30, 60)]),
        ("1 per hour", [(1, 3600)]),
        ("500/HOUR; 10/second", [(10, 1), (500, 3600)]),
        ("7/2minutes,5/30 seconds", [(5, 30), (7, 120)]),
        (" 999999/day ", [(999_999, 86_400)]),
    ],
)
def test_limits_are_parsed(text: str, read: list[tuple[int, int]]) -> None:
    limits = parse_rate_limits(text)

    assert [(limit.amount, limit.get_expiry()) for limit in limits] == read


@pytest.mark.parametrize(
    "text",
    [
        "",
        CANARY,
        f"30/{CANARY}",
        f"30/minute; {CANARY}",
        "30/minute;",
        "30:minute",
        "30",
        "-1/minute",
        "1.5/minute",
        "0/minute",
        "30/0minute",
        "30/month",
        "2/year",
        "1/2days",
        "1/25 hours",
        "1000000/minute",
        "9" * 5000 + "/minute",
        "٣/minute",
        "30/minute;40/60seconds",
        "1/second;2/minute;3/hour;4/day;5/30minutes",
    ],
)
def test_invalid_limit_is_rejected_with_a_fix(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be limits [^\n]+$") as caught:
        parse_rate_limits(text)

    assert CANARY not in str(caught.value)


def test_refusal_contains_the_limit_and_retry_after() -> None:
    async def ask() -> None:
        clock = Clock(1_800_000_000.0 + 47.3)
        limits = limiter("2/minute;100/5 minutes", clock=clock)
        assert [await allowed(limits) for _ in range(3)] == [True, True, False]

        with pytest.raises(RateLimited) as caught:
            await limits.count("203.0.113.7", "")
        assert (caught.value.status, caught.value.code) == (429, "rate_limited")
        assert caught.value.headers == {
            "Retry-After": "13",
            "RateLimit-Policy": '"minute";q=2;w=60, "5-minutes";q=100;w=300',
            "RateLimit": '"minute";r=0;t=13',
        }
        assert await allowed(limits, "203.0.113.8")
        assert await allowed(limits, avatar="other")

        clock.now += 12
        assert (await refusal(limits))["Retry-After"] == "1"
        clock.now += 1
        assert await allowed(limits)

    in_a_loop(ask())


def test_refused_request_is_not_counted_for_the_longer_limit() -> None:
    async def ask() -> None:
        clock = Clock()
        limits = limiter("3/minute;2/second", clock=clock)
        assert [await allowed(limits) for _ in range(5)] == [True, True, False, False, False]
        clock.now += 1
        assert [await allowed(limits) for _ in range(2)] == [True, False]

    in_a_loop(ask())


def test_retry_after_covers_every_exhausted_limit() -> None:
    async def ask() -> None:
        clock = Clock()
        limits = limiter("2/second;2/minute", clock=clock)
        assert [await allowed(limits) for _ in range(2)] == [True, True]

        headers = await refusal(limits)
        assert headers["Retry-After"] == "60"
        assert headers["RateLimit"] == '"minute";r=0;t=60'

    in_a_loop(ask())


@pytest.mark.parametrize("text", ["3/second", "2/2 seconds;5/7 seconds;9/minute"])
def test_visitor_who_waits_for_retry_after_is_allowed(text: str) -> None:
    async def ask() -> None:
        chance = random.Random(text)
        clock = Clock()
        limits = limiter(text, clock=clock)
        refused = 0
        for _ in range(3000):
            clock.now += chance.expovariate(3)
            if not await allowed(limits):
                refused += 1
                clock.now += int((await refusal(limits))["Retry-After"])
                assert await allowed(limits)
        assert refused > 100

    in_a_loop(ask())


def test_clock_that_is_set_back_locks_no_visitor_out() -> None:
    async def ask() -> None:
        clock = Clock()
        limits = limiter("1/minute", clock=clock)
        for step in (0, 86_400 * 3650, -86_400 * 3650, 60, -60, -1e9):
            clock.now += step
            assert [await allowed(limits) for _ in range(2)] == [True, False]
        assert counters(limits) == 1

    in_a_loop(ask())


def counters(limits: RateLimiter) -> int:
    (memory,) = limits._memory
    return len(memory)


def test_flood_of_addresses_neither_fills_memory_nor_resets_counts() -> None:
    async def flood() -> None:
        clock = Clock()
        limits = limiter("2/minute", clock=clock)
        assert [await allowed(limits) for _ in range(2)] == [True, True]
        refused = 0
        for number in range(400_000):
            refused += not await allowed(limits, f"10.{number}")

        assert counters(limits) <= window_counters.MAX_COUNTERS + window_counters.SHARED_COUNTERS
        # All other visitors share 65,536 counters, each for two requests.
        assert 150_000 < refused < 200_000
        assert not await allowed(limits)
        clock.now += 60
        assert await allowed(limits)
        assert counters(limits) == 1

    in_a_loop(flood())


PAIRS = [
    ("a/b", "c"),
    ("a", "b/c"),
    ("a", "c/b"),
    ("b", "c/a"),
    ("b", "1/a"),
    ("1/a/b", ""),
    ("a/30000000/1/1/minute", ""),
    ("2001:db8::/64", ""),
    ("2001:db8::", "64"),
    ("64", "2001:db8::"),
    ("", ""),
    ("\n", ""),
    ("\ud800", ""),
]


@pytest.mark.parametrize("shared", [False, True])
def test_different_subjects_never_share_a_counter(
    shared: bool, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("redis").url if shared else None

    async def ask() -> None:
        limits = limiter("1/minute", url, clock=Clock())
        async with closing(limits):
            for subject, avatar in PAIRS:
                assert await allowed(limits, subject, avatar)
            for subject, avatar in PAIRS:
                assert not await allowed(limits, subject, avatar)

    with capture_logs() as lines:
        in_a_loop(ask())
    assert lines == []


def test_redis_client_is_not_imported_without_a_url() -> None:
    code = (
        "import asyncio, sys\n"
        "from edge_service.admission.rate_limits import RateLimiter\n"
        "from edge_service.settings.parsers import parse_rate_limits\n"
        "asyncio.run(RateLimiter(parse_rate_limits('1/minute')).count('a', ''))\n"
        "sys.exit('redis' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.usefixtures("long_timeouts")
def test_processes_share_one_limit(redis: RedisServer) -> None:
    async def ask() -> None:
        clock = Clock(1_800_000_030.0)
        first, second = (limiter("4/minute", redis.url, clock=clock) for _ in range(2))
        async with closing(first, second):
            answers = [await allowed(one) for _ in range(3) for one in (first, second)]
            assert answers == [True] * 4 + [False] * 2
            assert (await refusal(second))["RateLimit"] == '"minute";r=0;t=30'
            clock.now += 30
            assert await allowed(first)

    in_a_loop(ask())
    with redis.client() as client:
        keys = client.keys("*")
        assert len(keys) == 2
        assert all(key.startswith(b"sentifyd:") and 0 < client.ttl(key) <= 60 for key in keys)


def calls(redis: RedisServer) -> dict[str, int]:
    """How often each command was called since the last call of this function."""
    with redis.client() as client:
        stats = client.info("commandstats")
        client.config_resetstat()
    return {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()}


@pytest.mark.usefixtures("long_timeouts")
def test_waiting_requests_share_one_round_trip(redis: RedisServer) -> None:
    async def ask() -> None:
        limits = limiter("100/hour;300/day", redis.url, clock=Clock())
        async with closing(limits):
            # The first call also loads the script.
            assert await allowed(limits, "203.0.113.8")
            calls(redis)
            for _ in range(50):
                assert await allowed(limits)
            # One call counts against both limits.
            assert calls(redis)["evalsha"] == 50
            answers = await asyncio.gather(*(allowed(limits) for _ in range(200)))
            assert answers == [True] * 50 + [False] * 150
            asked = calls(redis)
            assert asked["evalsha"] <= 2
            # A refused request is not counted against the next limit.
            assert asked["incr"] == 200 + 50

    in_a_loop(ask())


@pytest.mark.usefixtures("long_timeouts")
def test_one_round_trip_is_under_way_at_most(redis: RedisServer) -> None:
    async def ask() -> None:
        limits = limiter("999999/minute", redis.url, clock=Clock())
        async with closing(limits):
            assert await allowed(limits)
            redis.pause()
            first = asyncio.create_task(allowed(limits))
            await asyncio.sleep(0.05)
            rest = [asyncio.create_task(allowed(limits, f"10.0.0.{n}")) for n in range(600)]
            await asyncio.sleep(0.05)
            redis.resume()
            assert await asyncio.gather(first, *rest) == [True] * 601
            # 600 are more than one batch.
            assert calls(redis)["evalsha"] == 2 + math.ceil(600 / redis_counters.MAX_BATCH)
            with redis.client() as client:
                # This client is one more.
                assert len(client.client_list()) == 2

    in_a_loop(ask())


@pytest.mark.usefixtures("long_timeouts")
def test_endless_queue_is_counted_in_memory(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_counters, "MAX_WAITING", 10)

    async def ask() -> None:
        limits = limiter("1/minute", redis.url, clock=Clock())
        async with closing(limits):
            assert await allowed(limits, "203.0.113.8")
            redis.pause()
            waiting = [asyncio.create_task(allowed(limits, f"10.0.0.{n}")) for n in range(30)]
            await until_async(lambda: sum(task.done() for task in waiting) == 20)
            assert counters(limits) == 20
            redis.resume()
            assert await asyncio.gather(*waiting) == [True] * 30

    with capture_logs() as lines:
        in_a_loop(ask())
    assert lines == []


@pytest.mark.usefixtures("long_timeouts")
def test_refusals_in_redis_equal_those_in_memory(redis: RedisServer) -> None:
    async def ask(text: str) -> None:
        chance = random.Random(text)
        clock = Clock()
        here, there = limiter(text, clock=clock), limiter(text, redis.url, clock=clock)
        refused = 0
        async with closing(there):
            for _ in range(400):
                clock.now += chance.expovariate(3)
                subject = chance.choice("ab")
                ends: list[Mapping[str, str] | None] = []
                for limits in (here, there):
                    try:
                        await limits.count(subject, "")
                        ends.append(None)
                    except RateLimited as error:
                        ends.append(error.headers)
                assert ends[0] == ends[1]
                refused += ends[0] is not None
        assert 50 < refused < 400

    for text in ("3/2seconds", "2/2seconds;4/7seconds;9/minute", "1/second;2/minute;3/5minutes"):
        in_a_loop(ask(text))


@pytest.mark.usefixtures("long_timeouts")
def test_close_leaves_no_task_or_connection(redis: RedisServer) -> None:
    limits = limiter("5/minute", redis.url)

    async def ask() -> None:
        await asyncio.gather(*(allowed(limits) for _ in range(20)))
        await limits.close()
        await limits.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    in_a_loop(ask())
    with redis.client() as client:
        assert len(client.client_list()) == 1
    gc.collect()


@pytest.mark.usefixtures("long_timeouts")
def test_close_counts_waiting_requests_in_memory(redis: RedisServer) -> None:
    async def ask() -> None:
        limits = limiter("5/minute", redis.url, clock=Clock())
        waiting = [asyncio.create_task(allowed(limits)) for _ in range(3)]
        # They wait now, and nothing was sent yet.
        await asyncio.sleep(0)
        await limits.close()
        assert await asyncio.gather(*waiting) == [True] * 3
        assert counters(limits) == 1

    in_a_loop(ask())


@pytest.mark.usefixtures("long_timeouts")
def test_connection_closed_by_redis_is_no_outage(redis: RedisServer) -> None:
    async def ask() -> None:
        limits = limiter("50/minute", redis.url, clock=Clock())
        async with closing(limits):
            await asyncio.gather(*(allowed(limits) for _ in range(20)))
            with redis.client() as client:
                client.client_kill_filter(_type="normal", skipme=True)
                client.script_flush()
            answers = [await allowed(limits) for _ in range(31)]
            assert answers == [True] * 30 + [False]

    with capture_logs() as lines:
        in_a_loop(ask())
    assert lines == []


@pytest.mark.usefixtures("short_retry")
def test_limit_survives_a_redis_restart_under_load(redis: RedisServer) -> None:
    reported: list[bool] = []

    async def load() -> None:
        limits = limiter("999999/minute", redis.url, on_fallback=reported.append)
        over = False
        counted = 0

        async def visit(subject: str) -> None:
            nonlocal counted
            while not over:
                await limits.count(subject, "")
                counted += 1
                await asyncio.sleep(0.001)

        async with closing(limits):
            visitors = [asyncio.create_task(visit(f"10.0.0.{number}")) for number in range(40)]
            await until_async(lambda: counted > 200)
            await asyncio.to_thread(redis.stop)
            await until_async(lambda: reported == [True])
            await asyncio.sleep(0.2)
            await asyncio.to_thread(redis.start)
            await until_async(lambda: reported == [True, False])
            seen = counted
            await until_async(lambda: counted > seen + 200)
            over = True
            await asyncio.gather(*visitors)

    with capture_logs() as lines:
        in_a_loop(load())
    assert reported == [True, False]
    assert [line.pop("exception", None) for line in lines] == ["ConnectionError", None]
    assert lines == [UNAVAILABLE, AVAILABLE]


@pytest.mark.stress
def test_hanging_redis_delays_only_the_first_request(redis: RedisServer) -> None:
    async def timed(limits: RateLimiter) -> float:
        began = time.perf_counter()
        await limits.count("203.0.113.7", "")
        return time.perf_counter() - began

    async def load() -> None:
        limits = limiter("999999/minute", redis.url)
        async with closing(limits):
            await limits.count("203.0.113.7", "")
            redis.pause()
            first = await timed(limits)
            assert 0.2 < first < 0.9
            end = time.perf_counter() + 1.6
            waits: list[float] = []
            while time.perf_counter() < end:
                waits += await asyncio.gather(*(timed(limits) for _ in range(10)))
                await asyncio.sleep(0.005)
            # The probe in the background waits for Redis, and no request does.
            assert sorted(waits)[-2] < 0.2
            redis.resume()

    with capture_logs() as lines:
        in_a_loop(load())
    assert lines[0] == {**UNAVAILABLE, "exception": "TimeoutError"}
    assert len(lines) == 1


@pytest.mark.stress
def test_rush_on_a_hanging_redis_waits_for_one_timeout(redis: RedisServer) -> None:
    async def rush() -> None:
        limits = limiter("999999/minute", redis.url)
        async with closing(limits):
            await asyncio.gather(*(allowed(limits) for _ in range(50)))
            redis.pause()
            began = time.perf_counter()
            await asyncio.gather(*(limits.count(f"10.0.0.{n}", "") for n in range(200)))
            # Otherwise each of a dozen rounds would wait for its own timeout.
            assert time.perf_counter() - began < 6 * connections.STEP_SECONDS
            redis.resume()

    with capture_logs() as lines:
        in_a_loop(rush())
    assert [line["event"] for line in lines] == ["redis_unavailable"]


def out_of_memory(server: RedisServer) -> None:
    with server.client() as client:
        client.config_set("maxmemory", 1)


def read_only(server: RedisServer) -> None:
    with server.client() as client:
        client.replicaof("127.0.0.1", server.port)


def new_password(server: RedisServer) -> None:
    with server.client() as client:
        client.config_set("requirepass", "another")
        client.client_kill_filter(_type="normal", skipme=True)


@pytest.mark.parametrize(
    ("break_redis", "exception"),
    [
        (out_of_memory, "OutOfMemoryError"),
        (read_only, "ReadOnlyError"),
        (new_password, "AuthenticationError"),
        (RedisServer.stop, "ConnectionError"),
    ],
)
@pytest.mark.usefixtures("short_retry")
def test_limit_continues_in_memory_if_redis_fails(
    break_redis: Callable[[RedisServer], None],
    exception: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    reported: list[bool] = []

    async def ask(server: RedisServer) -> None:
        limits = limiter("3/minute", server.url, on_fallback=reported.append, clock=Clock())
        async with closing(limits):
            assert await allowed(limits)
            break_redis(server)
            assert [await allowed(limits) for _ in range(4)] == [True, True, True, False]
            await asyncio.sleep(0.1)
            headers = await refusal(limits)
            assert headers["Retry-After"] == "60"
        assert CANARY not in f"{limits!r} {headers}"

    with RedisServer(password=CANARY) as server, capture_logs() as lines:
        in_a_loop(ask(server))
    assert reported == [True]
    assert lines == [{**UNAVAILABLE, "exception": exception}]
    assert CANARY not in caplog.text


@pytest.mark.parametrize(
    "reply",
    [
        b"-LOADING Redis is loading the dataset in memory\r\n",
        b"-MASTERDOWN Link with MASTER is down\r\n",
        b"-ERR whatever\r\n",
        b"+OK\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"",
    ],
)
@pytest.mark.usefixtures("short_retry")
def test_invalid_redis_reply_fails_no_request(reply: bytes) -> None:
    async def misbehave(_: int) -> bytes:
        return reply

    async def ask() -> None:
        async with fake_redis(misbehave) as url:
            limits = limiter("2/minute", url, clock=Clock())
            async with closing(limits):
                for subject in ("a", "b"):
                    answers = [await allowed(limits, subject) for _ in range(3)]
                    assert answers == [True, True, False]
                    await asyncio.sleep(0.1)

    with capture_logs() as lines:
        in_a_loop(ask())
    assert [line["event"] for line in lines] == ["redis_unavailable"]


@pytest.mark.stress
def test_many_slow_replies_exceed_the_deadline() -> None:
    async def answer_slowly(_: int) -> bytes:
        await asyncio.sleep(0.8 * connections.STEP_SECONDS)
        # The client sends the script then, which is a second exchange.
        return b"-NOSCRIPT No matching script.\r\n"

    async def ask() -> None:
        async with fake_redis(answer_slowly) as url:
            limits = limiter("9/second;9/minute;9/hour;9/day", url)
            async with closing(limits):
                began = time.perf_counter()
                await limits.count("203.0.113.7", "")
                assert time.perf_counter() - began < 0.75

    with pytest.MonkeyPatch.context() as patch, capture_logs() as lines:
        patch.setattr(shared, "EXCHANGE_SECONDS", 0.3)
        in_a_loop(ask())
    assert lines == [{**UNAVAILABLE, "exception": "TimeoutError"}]


@pytest.mark.usefixtures("long_timeouts")
def test_visitor_who_disconnects_is_no_outage(redis: RedisServer) -> None:
    async def leave() -> None:
        limits = limiter("100/minute", redis.url, clock=Clock())
        async with closing(limits):
            await asyncio.gather(*(allowed(limits) for _ in range(20)))
            redis.pause()
            leaving = [asyncio.create_task(limits.count("203.0.113.7", "")) for _ in range(30)]
            await asyncio.sleep(0.05)
            for task in leaving:
                task.cancel()
            assert all(
                isinstance(end, asyncio.CancelledError)
                for end in await asyncio.gather(*leaving, return_exceptions=True)
            )
            redis.resume()
            # Each request gets its own reply, not one that a cancelled request left unread.
            for number in range(40):
                one, two = f"10.0.0.{number}", f"10.0.1.{number}"
                await asyncio.gather(*(limits.count(one, "") for _ in range(99)))
                assert await allowed(limits, one)
                assert await allowed(limits, two)
                assert not await allowed(limits, one)

    with capture_logs() as lines:
        in_a_loop(leave())
    assert lines == []
