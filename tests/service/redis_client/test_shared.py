"""When Redis counts as unavailable, and how the service finds out that it is back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

import pytest
from structlog.testing import capture_logs

from edge_service.admission.rate_limits import RateLimiter
from edge_service.issuing.redis_store import RedisGrants
from edge_service.redis_client import AnyRedis, RedisUnavailable, SharedRedis, connections, shared
from edge_service.settings.parsers import parse_rate_limits
from edge_service.upstream.grant import HeldGrant
from tests.support.clocks import in_a_loop
from tests.support.grants import FakeUpstream
from tests.support.redis import RedisServer
from tests.support.redis_groups import RedisCluster
from tests.support.settings import avatar_settings
from tests.support.waiting import until_async


@asynccontextmanager
async def shared_redis(url: str) -> AsyncIterator[tuple[SharedRedis, list[bool]]]:
    """The service's Redis, and what it reported."""
    reported: list[bool] = []
    one = SharedRedis(url, on_fallback=reported.append)
    try:
        yield one, reported
    finally:
        await one.close()


async def ping(client: AnyRedis) -> str:
    return str(await client.echo("x"))


async def answers(redis: SharedRedis, query: Callable[[AnyRedis], Awaitable[Any]] = ping) -> bool:
    try:
        await redis.run(query)
    except RedisUnavailable:
        return False
    return True


def test_demoted_redis_is_used_again_after_its_promotion(redis: RedisServer) -> None:
    """READONLY is an answer on a healthy connection, so nothing else would close it."""

    async def serve() -> None:
        upstream = FakeUpstream()
        over = False
        counted = renewed = 0
        async with shared_redis(redis.url) as (one, reported):
            limits = RateLimiter(parse_rate_limits("999999/day"), one)
            grants = RedisGrants(one, avatar_settings(), None, lock_seconds=5)

            async def log_in() -> HeldGrant:
                grant = await upstream.login()
                return HeldGrant.fresh(grant, time.monotonic())

            async def visit(subject: str) -> None:
                nonlocal counted
                while not over:
                    await limits.count(subject, "")
                    counted += 1
                    await asyncio.sleep(0.002)

            async def renew() -> None:
                nonlocal renewed
                while not over:
                    await grants.renew(lambda _: False, log_in)
                    renewed += 1
                    await asyncio.sleep(0.01)

            def enough() -> Callable[[], bool]:
                before = (counted + 100, renewed + 10)
                return lambda: counted > before[0] and renewed > before[1]

            tasks = [asyncio.create_task(visit(f"10.0.0.{number}")) for number in range(10)]
            tasks += [asyncio.create_task(renew()) for _ in range(3)]
            await until_async(enough())
            with redis.client() as client:
                client.replicaof("127.0.0.1", redis.port)
                await until_async(lambda: reported == [True])
                await until_async(enough())
                client.replicaof("NO", "ONE")
                await until_async(lambda: reported == [True, False])
                client.flushall()
            await until_async(enough())
            over = True
            await asyncio.gather(*tasks)
            await limits.close()
        with redis.client() as client:
            keys = client.keys()
        # Both write to it again.
        assert any(key.startswith(b"sentifyd:limit:") for key in keys)
        assert any(key.startswith(b"sentifyd:grant:") for key in keys)

    with capture_logs() as lines:
        in_a_loop(serve())
    assert [line["event"] for line in lines] == ["redis_unavailable", "redis_available"]
    assert lines[0]["exception"] == "ReadOnlyError"


@pytest.mark.parametrize("how", ["demote", "stop", "pause", "refuse"])
def test_recovery_is_noticed_without_a_request(redis: RedisServer, how: str) -> None:
    breaks = {"demote": lambda: set_role(redis, "127.0.0.1", "1"), "stop": redis.stop,
              "pause": redis.pause, "refuse": lambda: set_memory(redis, 1)}  # fmt: skip
    repairs = {"demote": lambda: set_role(redis, "NO", "ONE"), "stop": redis.start,
               "pause": redis.resume, "refuse": lambda: set_memory(redis, 0)}  # fmt: skip

    async def idle() -> None:
        async with shared_redis(redis.url) as (one, reported):
            assert await answers(one, writing)
            await asyncio.to_thread(breaks[how])
            assert not await answers(one, writing)
            assert reported == [True]
            # Several probes fail.
            await asyncio.sleep(3 * shared.RETRY_SECONDS)
            assert reported == [True]
            await asyncio.to_thread(repairs[how])
            await until_async(lambda: reported == [True, False])
            assert await answers(one, writing)

    with pytest.MonkeyPatch.context() as patch, capture_logs():
        patch.setattr(shared, "RETRY_SECONDS", 0.1)
        in_a_loop(idle())


async def writing(client: AnyRedis) -> None:
    await client.set("x", "y")


def set_role(server: RedisServer, host: str, port: str) -> None:
    with server.client() as client:
        client.replicaof(host, port)


def set_memory(server: RedisServer, most: int) -> None:
    with server.client() as client:
        client.config_set("maxmemory", most)


def test_probe_comes_each_second() -> None:
    """So that the metric is right within two seconds."""
    assert shared.RETRY_SECONDS == 1.0
    assert shared.OVERDUE_SECONDS + shared.RETRY_SECONDS < 2


@pytest.mark.usefixtures("short_retry")
def test_user_who_may_only_read_is_no_recovery(redis: RedisServer) -> None:
    async def ask() -> None:
        with redis.client() as client:
            client.acl_setuser(
                "reader", enabled=True, passwords="+p", keys="*", categories=["+@read"]
            )
        async with shared_redis(redis.url.replace("//", "//reader:p@")) as (one, reported):
            assert not await answers(one, writing)
            await asyncio.sleep(0.3)
            assert reported == [True]

    with capture_logs():
        in_a_loop(ask())


@pytest.mark.usefixtures("short_retry")
def test_close_ends_probing(redis: RedisServer) -> None:
    async def ask() -> None:
        async with shared_redis(redis.url) as (one, reported):
            redis.stop()
            assert not await answers(one)
        redis.start()
        # Also an error of an exchange that was under way.
        assert not await answers(one)
        await asyncio.sleep(0.3)
        assert reported == [True]
        assert asyncio.all_tasks() == {asyncio.current_task()}
        with redis.client() as client:
            assert len(client.client_list()) == 1

    with capture_logs():
        in_a_loop(ask())


def test_error_from_before_a_recovery_is_ignored(redis: RedisServer) -> None:
    async def ask() -> None:
        async with shared_redis(redis.url) as (one, reported):
            waiting, failing = asyncio.Event(), asyncio.Event()

            async def fail_late(_: AnyRedis) -> None:
                waiting.set()
                await failing.wait()
                raise OSError

            late = asyncio.create_task(answers(one, fail_late))
            await waiting.wait()
            redis.stop()
            assert not await answers(one)
            redis.start()
            await until_async(lambda: reported == [True, False])
            failing.set()
            assert not await late
            assert reported == [True, False]

    with pytest.MonkeyPatch.context() as patch, capture_logs():
        patch.setattr(shared, "RETRY_SECONDS", 0.05)
        patch.setattr(shared, "EXCHANGE_SECONDS", 20)
        in_a_loop(ask())


def test_answer_from_before_an_outage_is_no_recovery(redis: RedisServer) -> None:
    async def ask() -> None:
        async with shared_redis(redis.url) as (one, reported):
            succeeding = asyncio.Event()

            async def succeed_late(client: AnyRedis) -> None:
                await ping(client)
                await succeeding.wait()

            late = asyncio.create_task(answers(one, succeed_late))
            await until_async(lambda: late.get_coro().cr_await is not None)  # type: ignore[union-attr]
            redis.stop()
            assert not await answers(one)
            succeeding.set()
            await late
            assert reported == [True]

    with pytest.MonkeyPatch.context() as patch, capture_logs():
        patch.setattr(shared, "EXCHANGE_SECONDS", 20)
        in_a_loop(ask())


@pytest.mark.usefixtures("long_timeouts")
def test_exchanges_use_few_connections_and_all_succeed(redis: RedisServer) -> None:
    async def ask() -> None:
        async with shared_redis(redis.url) as (one, reported):
            assert all(await asyncio.gather(*(answers(one) for _ in range(500))))
            with redis.client() as client:
                # This client is one more.
                assert len(client.client_list()) <= shared.MAX_CONNECTIONS + 1
            assert reported == []

    in_a_loop(ask())


class Relay:
    """Forwards connections to the current target, as a virtual address does.

    Attributes:
        port: the port of the target for new connections.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.connections: list[asyncio.StreamWriter] = []
        self._forgotten: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def forget(self) -> None:
        """Forward nothing of current connections, and do not close them."""
        self._forgotten.update(self.connections)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, target = await asyncio.open_connection("127.0.0.1", self.port)
        self.connections += [writer, target]
        task = asyncio.create_task(self._copy(reader, target))
        self._tasks.add(task)
        await self._copy(there, writer)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if writer not in self._forgotten:
                writer.write(data)
        writer.close()

    async def close(self) -> None:
        for writer in self.connections:
            writer.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def relayed(port: int) -> AsyncIterator[tuple[Relay, str]]:
    relay = Relay(port)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    try:
        yield relay, f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    finally:
        server.close()
        await relay.close()


async def many(redis: SharedRedis, query: Callable[[AnyRedis], Awaitable[Any]]) -> list[bool]:
    """Answers of as many exchanges at once, each on a connection of its own."""
    together = asyncio.Barrier(8)

    async def wait(client: AnyRedis) -> None:
        # A transaction keeps its connection.
        async with client.pipeline(transaction=True) as pipe:
            await pipe.watch("x")
            await together.wait()
            await query(client)

    return list(await asyncio.gather(*(answers(redis, wait) for _ in range(8))))


@pytest.mark.usefixtures("long_timeouts")
def test_connections_to_a_demoted_redis_are_closed(redis: RedisServer) -> None:
    """New connections lead to the new master, and old ones to the server that is read-only."""

    async def ask(new: RedisServer) -> None:
        async with relayed(redis.port) as (relay, url), shared_redis(url) as (one, reported):
            assert all(await many(one, ping))
            await asyncio.to_thread(set_role, redis, "127.0.0.1", str(new.port))
            relay.port = new.port
            assert not await answers(one, writing)
            await until_async(lambda: reported == [True, False])
            assert all(await asyncio.gather(*(answers(one, writing) for _ in range(20))))
            assert reported == [True, False]

    with RedisServer() as new, capture_logs():
        in_a_loop(ask(new))


@pytest.mark.usefixtures("short_retry")
def test_dead_connections_count_as_one_outage(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "STEP_SECONDS", 1)
    monkeypatch.setattr(shared, "EXCHANGE_SECONDS", 4)

    async def ask() -> None:
        async with relayed(redis.port) as (relay, url), shared_redis(url) as (one, reported):
            assert all(await many(one, ping))
            relay.forget()
            assert not await answers(one)
            await until_async(lambda: reported == [True, False])
            assert all(await asyncio.gather(*(answers(one) for _ in range(20))))
            assert reported == [True, False]

    with capture_logs():
        in_a_loop(ask())


@pytest.mark.usefixtures("long_timeouts")
@pytest.mark.parametrize("kind", [RedisServer, RedisCluster])
def test_no_connection_stays_open_whatever_happens_at_once(
    kind: type[RedisServer | RedisCluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Queries begin, fail, lose their connections and end while others do, and while we close."""
    monkeypatch.setattr(shared, "RETRY_SECONDS", 0.001)

    async def fail(client: AnyRedis) -> None:
        await client.get("{a}")
        raise ValueError

    async def rush(one: SharedRedis, servers: Sequence[RedisServer], choose: Random) -> None:
        async def visit(query: Callable[[AnyRedis], Awaitable[Any]]) -> None:
            for _ in range(choose.randrange(30)):
                await asyncio.sleep(0)
            with suppress(RedisUnavailable):
                await one.run(query, "a")

        queries = [lambda client: client.get("{a}")] * 10 + [fail] * choose.randrange(3)
        visits = [asyncio.create_task(visit(query)) for query in queries]
        if choose.random() < 0.5:
            await asyncio.to_thread(kill_connections, servers)
        elif choose.random() < 0.5:
            for _ in range(choose.randrange(20)):
                await asyncio.sleep(0)
            await one.close()
        await asyncio.gather(*visits)

    def kill_connections(servers: Sequence[RedisServer]) -> None:
        for server in servers:
            with server.client() as client:
                client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def count_connections(servers: Sequence[RedisServer]) -> int:
        count = 0
        for server in servers:
            with server.client() as client:
                count += len(client.client_list(_type="normal")) - 1
        return count

    async def use(one: SharedRedis, servers: Sequence[RedisServer], seed: int) -> None:
        choose = Random(seed)
        for _ in range(15):
            await rush(one, servers, choose)
            # Until the next probe.
            await asyncio.sleep(0.002)
        await one.close()
        await until_async(lambda: count_connections(servers) == 0)

    with kind() as started, capture_logs():
        servers = [started] if isinstance(started, RedisServer) else started.servers
        for seed in range(3):
            in_a_loop(use(SharedRedis(started.url), servers, seed))


def test_new_event_loop_for_each_request_uses_redis(redis: RedisServer) -> None:
    """As on some serverless platforms; an application that is mounted gets no lifespan events."""
    reported: list[bool] = []
    one = SharedRedis(redis.url, on_fallback=reported.append)
    limits = RateLimiter(parse_rate_limits("5/day"), one)

    def visit() -> int:
        async def count() -> None:
            await limits.count("203.0.113.7", "")

        in_a_loop(count())
        with redis.client() as client:
            (key,) = [key for key in client.scan_iter() if b"limit" in key]
            return int(client.get(key) or 0)

    assert [visit() for _ in range(4)] == [1, 2, 3, 4]
    assert reported == []


def test_two_event_loops_keep_their_connections(redis: RedisServer) -> None:
    one = SharedRedis(redis.url)

    def count_connections(pool: ThreadPoolExecutor, loops: list[asyncio.Runner]) -> int:
        for _ in range(3):
            for loop in loops:
                assert pool.submit(loop.run, answers(one)).result(20)
        with redis.client() as client:
            return len(client.client_list()) - 1

    with ThreadPoolExecutor(1) as pool:
        loops = [asyncio.Runner(), asyncio.Runner()]
        assert count_connections(pool, loops) == 2
        # In the thread, because a browser of other tests has a loop in this one.
        for loop in loops:
            pool.submit(loop.close).result(20)
        with redis.client() as client:
            assert len(client.client_list()) == 1


@pytest.mark.usefixtures("long_timeouts")
def test_event_loop_that_stops_early_blocks_no_later_one(redis: RedisServer) -> None:
    limits = RateLimiter(parse_rate_limits("5/day"), SharedRedis(redis.url))

    def visit() -> None:
        with asyncio.Runner() as early:
            redis.pause()
            early.run(start())
            redis.resume()
            with asyncio.Runner() as later:
                later.run(asyncio.wait_for(limits.count("203.0.113.7", ""), 20))

    async def start() -> None:
        waiting.append(asyncio.create_task(limits.count("203.0.113.7", "")))
        # It is under way, and never gets further.
        await asyncio.sleep(0.1)

    waiting: list[asyncio.Task[None]] = []
    with ThreadPoolExecutor(1) as pool:
        pool.submit(visit).result(60)


def test_one_request_probes_where_nothing_runs_in_between(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "RETRY_SECONDS", 0.3)
    monkeypatch.setattr(shared, "OVERDUE_SECONDS", 0.1)
    reported: list[bool] = []
    one = SharedRedis(redis.url, on_fallback=reported.append)
    limits = RateLimiter(parse_rate_limits("999999/day"), one)
    waits: list[float] = []

    async def count() -> None:
        began = time.perf_counter()
        await limits.count("203.0.113.7", "")
        waits.append(time.perf_counter() - began)

    async def rush() -> None:
        await asyncio.gather(*(count() for _ in range(20)))

    with capture_logs():
        in_a_loop(rush())
        redis.pause()
        in_a_loop(rush())
        waits.clear()
        time.sleep(0.5)
        in_a_loop(rush())
        assert sorted(waits)[-2] < 0.1 < max(waits)
        redis.resume()
        time.sleep(0.5)
        in_a_loop(rush())
    assert reported == [True, False]


def test_cancelled_probe_does_not_stop_probing(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(shared, "OVERDUE_SECONDS", 0.0)

    async def leave() -> None:
        async with shared_redis(redis.url) as (one, reported):
            assert await answers(one)
            redis.pause()
            assert not await answers(one)
            # As if nothing ran between requests.
            timer = one._loops[asyncio.get_running_loop()].timer
            assert timer is not None
            timer.cancel()
            await asyncio.sleep(0.1)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(answers(one), 0.05)
            redis.resume()
            await asyncio.sleep(0.1)
            assert await answers(one)
            assert reported == [True, False]

    with capture_logs():
        in_a_loop(leave())


def test_application_that_starts_and_stops_for_each_request_uses_redis(redis: RedisServer) -> None:
    """As with Mangum's default."""

    async def visit() -> None:
        async with shared_redis(redis.url) as (one, reported):
            for _ in range(3):
                assert await answers(one)
                await one.close()
                with redis.client() as client:
                    assert len(client.client_list()) == 1
            assert reported == []

    in_a_loop(visit())
