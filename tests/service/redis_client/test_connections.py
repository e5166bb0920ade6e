"""Every way to reach Redis: limits and shared grants work over each of them."""

from __future__ import annotations

import asyncio
import gc
import re
import secrets
import ssl
import time
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from redis.exceptions import RedisError
from structlog.testing import capture_logs

from edge_service.admission.rate_limits import RateLimiter
from edge_service.errors import RateLimited
from edge_service.issuing.redis_store import RedisGrants
from edge_service.issuing.shared import Shared
from edge_service.redis_client import AnyRedis, SharedRedis, connections, probe, shared
from edge_service.settings.parsers import parse_rate_limits
from edge_service.settings.redis_url import redis_address
from tests.support.certificates import self_signed
from tests.support.clocks import in_a_loop
from tests.support.grants import FIRST, FakeUpstream
from tests.support.redis import RedisServer
from tests.support.redis_groups import RedisCluster, WatchedRedis
from tests.support.settings import avatar_settings
from tests.support.waiting import until_async

PASSWORD = "canary-password-51c2"


@pytest.fixture
def _long_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not mistake a busy machine for an unavailable Redis."""
    monkeypatch.setattr(connections, "STEP_SECONDS", 10)
    monkeypatch.setattr(shared, "EXCHANGE_SECONDS", 20)


@asynccontextmanager
async def process(
    url: str, upstream: FakeUpstream, ca_file: Path | None = None
) -> AsyncIterator[tuple[RateLimiter, Shared, list[bool]]]:
    """What one process does with Redis, and whether it reported that it works without."""
    reported: list[bool] = []
    redis = SharedRedis(url, ca_file=ca_file, on_fallback=reported.append)
    limits = RateLimiter(parse_rate_limits("5/day;20/hour"), redis)
    policy = Shared(upstream, RedisGrants(redis, avatar_settings(), None, lock_seconds=5))
    try:
        yield limits, policy, reported
    finally:
        await policy.close()
        await limits.close()
        await redis.close()


async def allowed(limits: RateLimiter, subject: str = "203.0.113.7", avatar: str = "") -> bool:
    try:
        await limits.count(subject, avatar)
    except RateLimited:
        return False
    return True


def works(url: str, ca_file: Path | None = None) -> None:
    """Two processes share limits and a grant over this URL."""

    visitor = secrets.token_hex(4)

    async def visit() -> None:
        upstream = FakeUpstream()
        async with (
            process(url, upstream, ca_file) as (here, one, reported),
            process(url, upstream, ca_file) as (there, other, also),
        ):
            # Many avatars at once, which a cluster keeps on different nodes, on first use.
            avatars = [f"avatar-{number}" for number in range(20)]
            for _ in range(5):
                assert all(await asyncio.gather(*(allowed(here, visitor, a) for a in avatars)))
            assert not any(await asyncio.gather(*(allowed(there, visitor, a) for a in avatars)))
            answers = [await allowed(limits, visitor) for _ in range(3) for limits in (here, there)]
            assert answers == [True] * 5 + [False]
            tokens = {(await policy.issue(FIRST)).access_token for policy in (one, other)}
            assert tokens == {"access-1"}
            assert reported == also == []

    with capture_logs() as lines:
        in_a_loop(visit())
    assert lines == []


def fails(url: str) -> None:
    """The process counts in memory, with this URL."""

    async def visit() -> None:
        async with process(url, FakeUpstream()) as (limits, _, reported):
            assert [await allowed(limits) for _ in range(6)] == [True] * 5 + [False]
            assert reported == [True]

    with capture_logs() as lines:
        in_a_loop(visit())
    assert PASSWORD not in str(lines)


@pytest.mark.usefixtures("_long_timeouts")
@pytest.mark.parametrize("scheme", ["unix", "redis+unix"])
def test_unix_socket_works(tmp_path: Path, scheme: str) -> None:
    path = tmp_path / "redis of docs.sock"
    with RedisServer(password=PASSWORD, unixsocket=path.with_name("redis.sock")) as server:
        path.with_name("redis.sock").rename(path)
        quoted = str(path).replace(" ", "%20")
        works(f"{scheme}://:{PASSWORD}@{quoted}?db=3")
        with server.client() as client:
            client.select(3)
            assert client.dbsize() > 0
            assert set(client.info("keyspace")) == {"db3"}


@pytest.mark.usefixtures("_long_timeouts")
def test_user_who_is_allowed_the_documented_commands_suffices() -> None:
    page = (Path(__file__).parents[3] / "example_docs/docs/guide/redis.md").read_text("utf-8")
    (row,) = [line for line in page.splitlines() if "must a user be allowed" in line]
    commands = [f"+{name.lower()}" for name in re.findall(r"`([A-Z]+)`", row.split(";")[0])]
    with RedisServer() as server:
        with server.client() as client:
            client.acl_setuser(
                "edge", enabled=True, passwords="+p", keys="sentifyd:*", commands=commands
            )
        works(server.url.replace("redis://", "redis://edge:p@"))


@pytest.mark.usefixtures("_long_timeouts")
def test_client_certificate_is_presented(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    with RedisServer(certificate=(certificate, key)) as server:
        url = f"rediss://localhost:{server.port}"
        own = f"ssl_certfile={certificate}&ssl_keyfile={key}"
        works(f"{url}?{own}&ssl_ca_certs={certificate}")
        # SSL_CERT_FILE is the default.
        works(f"{url}?{own}", certificate)
        fails(f"{url}?ssl_ca_certs={certificate}")
        fails(f"{url}?{own}")


def tls_url(server: RedisServer, certificate: Path, key: Path) -> str:
    own = f"ssl_certfile={certificate}&ssl_keyfile={key}"
    return f"rediss://127.0.0.1:{server.port}?{own}&ssl_ca_certs={certificate}"


def sockets_left(work: Callable[[], Coroutine[None, None, None]]) -> list[str]:
    """What is still open after the end of an event loop."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        in_a_loop(work())
        gc.collect()
    return [str(one.message) for one in caught]


@pytest.mark.parametrize("fails", [False, True])
def test_socket_is_closed_though_redis_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """With TLS, an orderly end of the connection would need an answer."""
    certificate, key = self_signed(tmp_path)
    monkeypatch.setattr(connections, "STEP_SECONDS", 0.5)

    async def answers(client: AnyRedis) -> bool:
        with suppress(RedisError):
            return bool(await client.echo("x"))
        return False

    async def hang() -> None:
        one = connections.connect(redis_address(tls_url(server, certificate, key)), 1)
        client = await one.open()
        # A busy machine may need longer than usual.
        while not await answers(client):
            pass
        await asyncio.to_thread(server.pause)
        if fails:
            assert not await answers(client)
        await one.close()

    with RedisServer(certificate=(certificate, key)) as server:
        assert sockets_left(hang) == []
        server.resume()


def test_socket_is_closed_if_time_is_up_at_the_end_of_the_handshake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = self_signed(tmp_path)
    monkeypatch.setattr(connections, "STEP_SECONDS", 10)
    connecting: list[asyncio.Task[None]] = []

    class Late(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            server.pause()
            connecting[0].cancel()

    async def hurry() -> None:
        one = connections.connect(redis_address(tls_url(server, certificate, key)), 1)
        client = await one.open()
        connecting.append(asyncio.create_task(probe(client)))
        await asyncio.gather(*connecting, return_exceptions=True)
        # Its exception would keep the socket.
        assert connecting.pop().cancelled()
        await one.close()

    monkeypatch.setattr(ssl.SSLContext, "sslobject_class", Late)
    with RedisServer(certificate=(certificate, key)) as server:
        assert sockets_left(hurry) == []
        server.resume()


@pytest.mark.usefixtures("_long_timeouts")
def test_name_in_the_certificate_is_checked(tmp_path: Path) -> None:
    pair = self_signed(tmp_path, host="redis.example.com", address="192.0.2.1")
    with RedisServer(certificate=pair, tls_auth_clients="no") as server:
        url = f"rediss://127.0.0.1:{server.port}?ssl_ca_certs={pair[0]}"
        fails(url)
        works(f"{url}&ssl_check_hostname=false")


@pytest.mark.usefixtures("_long_timeouts")
@pytest.mark.parametrize("is_tls", [False, True])
def test_cluster_works(tmp_path: Path, is_tls: bool) -> None:
    certificate = self_signed(tmp_path) if is_tls else None
    with RedisCluster(password=PASSWORD, certificate=certificate) as cluster:
        works(cluster.url)
        keys = cluster.keys()
        # Every node has keys of some avatars, and all keys of an avatar are on one node.
        assert all(keys)
        tags = [
            {key[key.index(b"{") : key.index(b"}")] for key in on if b"{" in key} for on in keys
        ]
        assert sum(len(on) for on in tags) == len(set().union(*tags)) == 21
        fails(cluster.url.replace(PASSWORD, "canary-password-of-another"))


def test_cluster_without_one_node_is_unavailable_until_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The probe asks the node that failed, so that the state does not change all the time."""
    monkeypatch.setattr(shared, "RETRY_SECONDS", 0.1)

    async def visit(cluster: RedisCluster) -> None:
        async with process(cluster.url, FakeUpstream()) as (limits, _, reported):
            avatars = [f"avatar-{number}" for number in range(20)]
            await until_async(lambda: reported[-1:] != [True])
            for _ in range(2):
                await asyncio.gather(*(allowed(limits, avatar=a) for a in avatars))
            await until_async(lambda: reported[-1:] != [True])
            reported.clear()
            await asyncio.to_thread(cluster.servers[2].pause)
            answers = await asyncio.gather(*(allowed(limits, avatar=a) for a in avatars))
            assert all(answers)
            for _ in range(5):
                await asyncio.sleep(0.1)
                await asyncio.gather(*(limits.count("x", a) for a in avatars[:1]))
            assert reported == [True]
            await asyncio.to_thread(cluster.servers[2].resume)
            await until_async(lambda: reported == [True, False])

    with RedisCluster() as cluster, capture_logs():
        in_a_loop(visit(cluster))


@pytest.mark.stress
def test_sentinel_failover_continues_in_memory_and_with_the_new_master() -> None:
    async def visit(watched: WatchedRedis) -> None:
        upstream = FakeUpstream()
        async with process(watched.url, upstream) as (limits, policy, reported):
            assert [await allowed(limits) for _ in range(2)] == [True, True]
            assert (await policy.issue(FIRST)).access_token == "access-1"
            assert reported == []
            old = await asyncio.to_thread(watched.master)
            (new,) = [server for server in watched.servers if server is not old]
            await asyncio.to_thread(wait_for_replication, old)
            await asyncio.to_thread(old.stop)
            # Once more the whole limit, in memory.
            assert [await allowed(limits) for _ in range(6)] == [True] * 5 + [False]
            assert reported == [True]
            began = time.monotonic()
            await until_async(lambda: reported == [True, False])
            # Found within two seconds after the sentinels have changed the master.
            assert await asyncio.to_thread(watched.master) is new
            assert time.monotonic() - began < 30
            # The replica knew both requests.
            assert [await allowed(limits) for _ in range(4)] == [True] * 3 + [False]
        # The new master has the grant.
        async with process(watched.url, upstream) as (_, policy, reported):
            assert (await policy.issue(FIRST)).access_token == "access-1"
            assert reported == []

    only_redis = WatchedRedis(password=PASSWORD, guards_sentinels=False)
    with only_redis as watched, capture_logs() as lines:
        in_a_loop(visit(watched))
    assert [line["event"] for line in lines] == ["redis_unavailable", "redis_available"]
    assert PASSWORD not in str(lines)


def wait_for_replication(master: RedisServer) -> None:
    with master.client() as client:
        assert client.wait(1, 10_000) == 1
