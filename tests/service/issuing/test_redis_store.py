"""Grants that replicas share through a real, unreliable Redis."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from redis.asyncio import Redis
from structlog.testing import capture_logs

from edge_service.errors import UpstreamUnreachable
from edge_service.issuing import redis_store
from edge_service.issuing import shared as shared_module
from edge_service.issuing.redis_store import RedisGrants, _key
from edge_service.issuing.shared import Shared
from edge_service.redis_client import SharedRedis
from edge_service.sandbox.app import Sandbox
from edge_service.sealing import Sealer, new_key
from edge_service.upstream.grant import HeldGrant
from tests.support.clocks import in_a_loop
from tests.support.grants import FIRST, FakeUpstream, grant, refresh
from tests.support.ports import free_port
from tests.support.processes import Command
from tests.support.redis import RedisServer
from tests.support.servers import RawUpstream
from tests.support.service import Service, metric
from tests.support.settings import KEY, ORIGIN, avatar_settings
from tests.support.waiting import until, until_async

AVATAR = avatar_settings()
UNAVAILABLE = {"event": "redis_unavailable", "log_level": "warning"}
AVAILABLE = {"event": "redis_available", "log_level": "warning"}


@pytest.fixture
def redis(empty_redis: RedisServer) -> RedisServer:
    return empty_redis


@pytest.fixture(autouse=True)
def _fast_renewals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow renewals as fast as these tests need them."""
    monkeypatch.setattr(shared_module, "PACE_SECONDS", 0.02)


class Replica:
    """The parts of one process: its own client, store and policy; only upstream is shared."""

    def __init__(
        self,
        url: str,
        upstream: FakeUpstream,
        sealer: Sealer | None = None,
        lock_seconds: float = 5.0,
        kind: type[RedisGrants] = RedisGrants,
    ) -> None:
        # For the test itself.
        self.client = Redis.from_url(url)
        self.fallbacks: list[bool] = []
        self.redis = SharedRedis(url, on_fallback=self.fallbacks.append)
        self.store = kind(self.redis, AVATAR, sealer, lock_seconds)
        self.shared = Shared(upstream, self.store)

    async def ask(self, visitors: int = 1) -> str:
        grants = await asyncio.gather(*(self.shared.issue(FIRST) for _ in range(visitors)))
        (token,) = {grant.access_token for grant in grants}
        return token

    async def renewed(self) -> str:
        """The token after a visitor has forced a renewal."""
        current = await self.shared.issue(FIRST)
        after = await self.shared.issue(refresh(current))
        assert after.refresh_token != current.refresh_token
        return after.access_token


@asynccontextmanager
async def working(*replicas: Replica) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await asyncio.gather(*(replica.shared.close() for replica in replicas))
        await asyncio.gather(*(replica.redis.close() for replica in replicas))
        await asyncio.gather(*(replica.client.aclose() for replica in replicas))


async def all_ask(*replicas: Replica, visitors: int = 20) -> list[str]:
    return list(await asyncio.gather(*(replica.ask(visitors) for replica in replicas)))


async def all_renew(*replicas: Replica) -> list[str]:
    return list(await asyncio.gather(*(replica.renewed() for replica in replicas)))


def contents(redis: RedisServer) -> dict[bytes, bytes]:
    with redis.client() as client:
        keys: Any = client.keys("*")
        values: Any = client.mget(keys) if keys else []
    return dict(zip(keys, values, strict=True))


def test_replicas_share_one_login(redis: RedisServer) -> None:
    async def visit() -> None:
        upstream = FakeUpstream(seconds=0.2)
        replicas = [Replica(redis.url, upstream) for _ in range(5)]
        async with working(*replicas):
            assert await all_ask(*replicas) == ["access-1"] * 5
            assert upstream.logins == 1
            # A replica that starts later gets the grant at once.
            late = Replica(redis.url, upstream)
            async with working(late):
                assert await late.ask() == "access-1"
            assert upstream.logins == 1

    in_a_loop(visit())


def test_replicas_share_one_renewal(redis: RedisServer) -> None:
    async def visit() -> None:
        upstream = FakeUpstream(seconds=0.1)
        replicas = [Replica(redis.url, upstream) for _ in range(4)]
        async with working(*replicas):
            await all_ask(*replicas)
            for number in range(2, 6):
                assert await all_renew(*replicas) == [f"access-{number}"] * 4
                assert upstream.logins == number
            # One of them is ahead: the others follow without a login.
            assert await replicas[0].renewed() == "access-6"
            assert await all_renew(*replicas[1:]) == ["access-6"] * 3
            assert upstream.logins == 6

    in_a_loop(visit())


def test_replicas_share_early_renewals(redis: RedisServer) -> None:
    async def visit() -> None:
        upstream = FakeUpstream(seconds=0.05, expires_in=2.0)
        replicas = [Replica(redis.url, upstream) for _ in range(3)]
        async with working(*replicas):
            loop = asyncio.get_running_loop()
            until = loop.time() + 4
            while loop.time() < until:
                replica = random.choice(replicas)
                issued = await replica.shared.issue(FIRST)
                assert upstream.age(issued) < 2.0
                await asyncio.sleep(0.01)
            # Each replica alone would need three or four.
            assert 3 <= upstream.logins <= 5

    in_a_loop(visit())


def test_refresh_at_another_replica_gets_a_new_grant(redis: RedisServer) -> None:
    async def visit() -> None:
        upstream = FakeUpstream()
        here, there = (Replica(redis.url, upstream) for _ in range(2))
        async with working(here, there):
            first = await here.shared.issue(FIRST)
            # A cold replica finds only the visitor's own grant in Redis.
            after = await there.shared.issue(refresh(first))
            assert after.access_token == "access-2"
            assert upstream.logins == 2

    in_a_loop(visit())


def test_redis_keeps_the_remaining_lifetime_of_a_grant(redis: RedisServer) -> None:
    async def visit() -> None:
        upstream = FakeUpstream()
        here, there, late = (Replica(redis.url, upstream) for _ in range(3))
        async with working(here, there, late):
            await here.ask()
            await here.client.pexpire(here.store._key, 40_000)
            issued = await there.shared.issue(FIRST)
            assert issued.expires_in in (38, 39, 40)
            assert issued.avatar_parameters == {"voice": "x"}
            # Too short for a new visitor.
            await here.client.pexpire(here.store._key, 15_000)
            assert await late.ask() == "access-2"
            # Redis deletes a stored grant when it expires.
            assert 95_000 < await here.client.pttl(here.store._key) <= 100_000

    in_a_loop(visit())


@pytest.mark.parametrize("sealed", [True, False])
def test_tokens_in_redis_are_sealed_if_a_key_is_set(redis: RedisServer, sealed: bool) -> None:
    async def visit() -> None:
        upstream = FakeUpstream()
        old, new = new_key(), new_key()
        here = Replica(redis.url, upstream, Sealer([old]) if sealed else None)
        # Its first key is new, and it still opens what the old key sealed.
        there = Replica(redis.url, upstream, Sealer([new, old]) if sealed else None)
        async with working(here, there):
            assert await here.ask() == await there.ask() == "access-1"
            assert upstream.logins == 1
        kept = contents(redis)
        assert len(kept) == 1
        for text in (b"access-1", b"refresh-1", b"voice"):
            assert (text in str(kept).encode()) is not sealed
        assert KEY not in str(kept)

    in_a_loop(visit())


def test_grant_sealed_with_an_unknown_key_is_ignored(redis: RedisServer) -> None:
    async def visit() -> None:
        upstream = FakeUpstream()
        sealers = [Sealer([new_key()]), Sealer([new_key()]), None]
        replicas = [Replica(redis.url, upstream, sealer) for sealer in sealers]
        async with working(*replicas):
            for number, replica in enumerate(replicas, 1):
                assert await replica.ask() == f"access-{number}"
                assert replica.fallbacks == []

    in_a_loop(visit())


@pytest.mark.parametrize("is_complete", [True, False])
def test_stored_grant_is_the_same_as_before(is_complete: bool) -> None:
    held = HeldGrant.fresh(replace(grant(1), is_complete=is_complete), time.monotonic())

    assert redis_store._unpack(redis_store._pack(held), held.life).grant == held.grant


GOOD: dict[str, Any] = {
    "format": redis_store.FORMAT,
    "access_token": "stored",
    "refresh_token": "r",
    "parameters": {},
    "token_type": None,
    "expires_in": 100,
    "is_complete": True,
    "life": 100,
    "expires": time.time() + 10_000,
}


def _like(**changes: object) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


@pytest.mark.parametrize(
    ("stored", "token"),
    [
        # The valid form, to show that the other cases fail because of their changes.
        (_like(), "stored"),
        (b"", "access-1"),
        (b"\xff\xfe", "access-1"),
        (b"{", "access-1"),
        (b"[]", "access-1"),
        (b"null", "access-1"),
        (b"7", "access-1"),
        (b"[" * 100_000, "access-1"),
        (b"{}", "access-1"),
        (_like(life=None), "access-1"),
        (_like(life="soon"), "access-1"),
        (_like(life=float("nan")), "access-1"),
        (_like(life=float("inf")), "access-1"),
        (_like(life=10**400), "access-1"),
        (_like(access_token=7), "access-1"),
        (_like(access_token=None), "access-1"),
        (_like(refresh_token=[]), "access-1"),
        (_like(parameters="x"), "access-1"),
        (_like(token_type=7), "access-1"),
        (_like(expires_in="100"), "access-1"),
        (_like(is_complete=None), "access-1"),
        # The format of another release.
        (_like(format=redis_store.FORMAT + 1), "access-1"),
        (json.dumps({k: v for k, v in GOOD.items() if k != "format"}).encode(), "access-1"),
        (_like(expires=None), "access-1"),
        (_like(expires="never"), "access-1"),
        (_like(expires=10**400), "access-1"),
        # It has expired, although Redis still stores it.
        (_like(expires=time.time() - 60), "access-1"),
        (_like(expires=0), "access-1"),
        (_like(expires=-(10**300)), "access-1"),
    ],
    ids=range(29),
)
def test_invalid_value_in_redis_is_ignored(redis: RedisServer, stored: bytes, token: str) -> None:
    async def visit() -> None:
        upstream = FakeUpstream()
        here, there = (Replica(redis.url, upstream) for _ in range(2))
        async with working(here, there):
            await here.client.set(here.store._key, stored, px=100_000)
            assert await here.ask() == token
            assert await there.ask() == token
            assert upstream.logins == (token != "stored")
            assert here.fallbacks == []

    in_a_loop(visit())


def test_rolling_update_with_another_format_works(redis: RedisServer) -> None:
    """Old and new processes run side by side, each with its own grant, and none waits."""

    async def visit() -> None:
        upstream = FakeUpstream()
        new = Replica(redis.url, upstream, lock_seconds=30)
        # The first format: a key without a number, and the vendor's field names.
        old_key = new.store._key.replace(f":{redis_store.FORMAT}:", ":")
        old = {"access_token": "old", "refresh_token": "r", "avatar_params": {}, "expires_in": 100,
               "token_type": None, "life": 100, "expires": time.time() + 100}  # fmt: skip
        stored = json.dumps(old).encode()
        async with working(new), asyncio.timeout(10):
            await new.client.set(old_key, stored, px=100_000)
            # An old process is logging in now.
            await new.client.set(f"{old_key}:lock", "theirs", px=100_000)
            assert await new.ask() == "access-1"
            assert await new.renewed() == "access-2"
            assert await new.client.get(old_key) == stored
            assert await new.client.get(f"{old_key}:lock") == b"theirs"
        assert upstream.logins == 2

    in_a_loop(visit())


def test_restored_old_grant_is_not_used(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attacker who can write to Redis cannot decrypt a grant, but could restore an old one."""

    async def visit() -> None:
        upstream = FakeUpstream()
        sealer = Sealer([new_key()])
        here, there, late = (Replica(redis.url, upstream, sealer) for _ in range(3))
        key = here.store._key
        async with working(here, there, late):
            first = await here.shared.issue(FIRST)
            kept = contents(redis)[key.encode()]
            assert await there.ask() == "access-1"
            await here.client.set(key, kept, px=10**9)
            # Until it expires it is valid, however long Redis would store it.
            assert (await late.shared.issue(FIRST)).expires_in in (98, 99, 100)

            clock = SimpleNamespace(time=lambda: time.time() + 200, monotonic=time.monotonic)
            monkeypatch.setattr(redis_store, "time", clock)
            new = Replica(redis.url, upstream, sealer)
            async with working(new), asyncio.timeout(3):
                assert await new.ask() == "access-2"
                await here.client.set(key, kept, px=10**9)
                after = await new.shared.issue(refresh(await new.shared.issue(FIRST)))
                assert after.access_token == "access-3"
                await here.client.set(key, kept, px=10**9)
            new = Replica(redis.url, upstream, sealer)
            async with working(new), asyncio.timeout(3):
                after = await new.shared.issue(refresh(first))
                assert after.access_token == "access-4"
            assert new.fallbacks == []

    # The production value: no visitor may have to wait for long.
    monkeypatch.setattr(shared_module, "PACE_SECONDS", 0.2)
    in_a_loop(visit())


def redis_url(server: RawUpstream) -> str:
    return f"{server.url.replace('http:', 'redis:')}/0"


class InvalidRedis(RawUpstream):
    """A server that sends the same reply to every command of a Redis client."""

    def __init__(self, text: bytes) -> None:
        super().__init__(lambda _: None)
        self._text = text

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            while data := connection.recv(65536):
                self.received.append(data)
                connection.sendall(self._text)


INVALID_REPLIES = [
    b":abc\r\n",
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"$9x\r\n",
    b"*1\r\n:x\r\n",
    b"+OK\r\n" * 9,
]


@pytest.mark.parametrize("text", INVALID_REPLIES, ids=range(len(INVALID_REPLIES)))
def test_invalid_redis_reply_loses_no_grant(text: bytes) -> None:
    async def visit() -> None:
        upstream = FakeUpstream()
        here = Replica(redis_url(invalid_redis), upstream)
        async with working(here), asyncio.timeout(5):
            assert await here.ask() == "access-1"
            assert await here.renewed() == "access-2"
            # A server that always replies OK resembles a Redis that stores nothing.
            assert here.fallbacks == ([] if text.startswith(b"+OK") else [True])

    with InvalidRedis(text) as invalid_redis:
        in_a_loop(visit())
        assert invalid_redis.received


def test_invalid_redis_reply_fails_no_request(
    start_service: Callable[..., Service], sandbox: Sandbox, sandbox_url: str
) -> None:
    with InvalidRedis(b":abc\r\n") as invalid_redis:
        variables = {"TOKEN_POLICY": "shared", "REDIS_URL": redis_url(invalid_redis)}
        service = start_service(sandbox_url, RATE_LIMIT="6/day", **variables)
        answers = [service.get() for _ in range(3)]
        brought = answers[0].json()["tokens"]["refreshToken"]
        answers += [service.call("POST", json={"refreshToken": brought}) for _ in range(3)]

        assert [answer.status_code for answer in answers] == [200] * 6
        assert service.get().status_code == 429
        for part in ("shared grants", "rate limits"):
            assert metric(service, f'sentifyd_edge_redis_fallback{{part="{part}"}}') == 1
    assert sandbox.logins == 2


def test_redis_key_of_another_type_is_ignored(redis: RedisServer) -> None:
    async def visit() -> None:
        upstream = FakeUpstream()
        here = Replica(redis.url, upstream)
        async with working(here):
            await here.client.lpush(here.store._key, "x")
            assert await here.ask() == "access-1"

    in_a_loop(visit())


def test_replicas_without_redis_work_alone_and_log_it_once() -> None:
    port = free_port()

    async def visit() -> None:
        upstream = FakeUpstream()
        replicas = [Replica(f"redis://127.0.0.1:{port}/0", upstream) for _ in range(2)]
        async with working(*replicas):
            assert sorted(await all_ask(*replicas)) == ["access-1", "access-2"]
            for _ in range(3):
                await all_renew(*replicas)
            assert upstream.logins == 8
            assert [replica.fallbacks for replica in replicas] == [[True]] * 2

    with capture_logs() as logs:
        in_a_loop(visit())
    assert [{**line, "exception": ""} for line in logs] == [{**UNAVAILABLE, "exception": ""}] * 2


def test_replicas_share_again_after_redis_restarts() -> None:
    async def visit() -> None:
        upstream = FakeUpstream(seconds=0.1)
        replicas = [Replica(server.url, upstream) for _ in range(2)]
        async with working(*replicas):
            assert len(set(await all_ask(*replicas))) == 1
            server.stop()
            # Their grants are still valid.
            assert await all_ask(*replicas) == ["access-1"] * 2
            for _ in range(2):
                assert len(set(await all_renew(*replicas))) == 2
            assert upstream.logins == 5
            server.start()
            await until_async(lambda: not any(replica.fallbacks[-1] for replica in replicas))
            for number in (6, 7):
                assert await all_renew(*replicas) == [f"access-{number}"] * 2
            assert [replica.fallbacks for replica in replicas] == [[True, False]] * 2

    with RedisServer() as server, capture_logs() as logs:
        in_a_loop(visit())
    for line in logs:
        line.pop("exception", None)
    expected = [UNAVAILABLE, UNAVAILABLE, AVAILABLE, AVAILABLE]
    assert sorted(map(str, logs)) == sorted(map(str, expected))


def test_replicas_share_again_after_redis_hung() -> None:
    async def visit() -> None:
        upstream = FakeUpstream()
        replicas = [Replica(server.url, upstream) for _ in range(2)]
        async with working(*replicas):
            await all_ask(*replicas)
            server.pause()
            async with asyncio.timeout(4):
                assert await all_ask(*replicas) == ["access-1"] * 2
                assert len(set(await all_renew(*replicas))) == 2
            server.resume()
            # Commands sent in the meantime, perhaps a lock, do not delay them for long.
            async with asyncio.timeout(8):
                await until_async(lambda: not any(replica.fallbacks[-1] for replica in replicas))
                await all_renew(*replicas)
                assert len(set(await all_renew(*replicas))) == 1
            assert [replica.fallbacks for replica in replicas] == [[True, False]] * 2

    with RedisServer() as server:
        in_a_loop(visit())


@pytest.mark.parametrize("how", ["stop", "pause"])
def test_redis_failure_during_a_login_delays_no_replica(how: str) -> None:
    async def visit() -> None:
        upstream = FakeUpstream(seconds=0.3)
        here, there = (Replica(server.url, upstream) for _ in range(2))
        async with working(here, there):
            asking = asyncio.create_task(all_ask(here, there))
            while not upstream.in_progress:
                await asyncio.sleep(0.01)
            getattr(server, how)()
            async with asyncio.timeout(5):
                # One replica gets its login, and the other stops waiting for it.
                assert sorted(await asking) == ["access-1", "access-2"]

    with RedisServer() as server:
        in_a_loop(visit())


def test_lock_of_a_crashed_replica_delays_others_briefly(
    redis: RedisServer,
) -> None:
    async def visit() -> None:
        upstream = FakeUpstream()
        replicas = [Replica(redis.url, upstream, lock_seconds=1.5) for _ in range(3)]
        lock = replicas[0].store._lock_key
        async with working(*replicas):
            await replicas[0].client.set(lock, "crashed", px=400)
            asked = asyncio.get_running_loop().time()
            assert await all_ask(*replicas) == ["access-1"] * 3
            waited = upstream.begun[0] - asked
            assert 0.3 <= waited <= 1.4
            assert upstream.logins == 1

            # Replicas do not wait forever, even for a lock that never expires.
            await replicas[0].client.set(lock, "crashed")
            async with asyncio.timeout(5):
                await all_renew(*replicas)
            assert await replicas[0].client.get(lock) == b"crashed"

    in_a_loop(visit())


def test_lock_expires_and_is_released(redis: RedisServer) -> None:
    async def visit() -> None:
        upstream = FakeUpstream(seconds=0.2)
        here = Replica(redis.url, upstream, lock_seconds=3)
        lock = here.store._lock_key
        async with working(here):
            asking = asyncio.create_task(here.ask())
            while not upstream.in_progress:
                await asyncio.sleep(0.01)
            assert 0 < await here.client.pttl(lock) <= 3000
            await asking
            assert not await here.client.exists(lock)

            # A lock that another replica holds now is not released.
            asking = asyncio.create_task(here.renewed())
            while not upstream.in_progress:
                await asyncio.sleep(0.01)
            await here.client.set(lock, "other")
            await asking
            assert await here.client.get(lock) == b"other"

    in_a_loop(visit())


@pytest.mark.parametrize("end", ["failure", "close"])
def test_failed_login_releases_the_lock(redis: RedisServer, end: str) -> None:
    async def visit() -> None:
        upstream = FakeUpstream(seconds=0.1 if end == "failure" else 30)
        here, there = (Replica(redis.url, upstream, lock_seconds=30) for _ in range(2))
        async with working(here, there):
            upstream.failure = UpstreamUnreachable() if end == "failure" else None
            asking = asyncio.create_task(here.ask())
            while not upstream.in_progress:
                await asyncio.sleep(0.01)
            if end == "close":
                await here.shared.close()
            with pytest.raises((UpstreamUnreachable, asyncio.CancelledError)):
                await asking
            upstream.failure, upstream.seconds = None, 0
            async with asyncio.timeout(5):
                assert await there.ask() == "access-2"

    in_a_loop(visit())


class Slow(RedisGrants):
    """Returns from its first load only after another replica has stored a grant."""

    loads = 0
    other: Callable[[], Awaitable[object]]

    async def _load(self) -> HeldGrant | None:
        found = await super()._load()
        self.loads += 1
        if self.loads == 1:
            await self.other()
        return found


def test_grant_stored_between_load_and_lock_is_found(redis: RedisServer) -> None:
    async def visit() -> None:
        upstream = FakeUpstream()
        quick = Replica(redis.url, upstream)
        slow = Replica(redis.url, upstream, kind=Slow)
        assert isinstance(slow.store, Slow)
        slow.store.other = quick.ask
        async with working(quick, slow):
            assert await slow.ask() == "access-1"
            assert upstream.logins == 1
            assert not await quick.client.exists(quick.store._lock_key)

    in_a_loop(visit())


def test_grants_of_different_logins_have_different_keys() -> None:
    settings = [
        AVATAR,
        replace(AVATAR, name="a"),
        replace(AVATAR, avatar_id="a"),
        replace(AVATAR, api_key="canary-key-other"),
        replace(AVATAR, login_url="http://127.0.0.1:2/api/login"),
    ]
    keys = {_key(one) for one in settings}

    assert len(keys) == len(settings)
    assert "canary" not in str(keys)
    assert _key(replace(AVATAR, allowed_origins=frozenset())) in keys


@pytest.mark.parametrize("sealed", [True, pytest.param(False, marks=pytest.mark.thorough)])
def test_two_processes_share_one_grant(sandbox: Sandbox, sandbox_url: str, sealed: bool) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(RedisServer(password="canary-password-51c2"))
        variables = {
            "AVATAR_API_KEY": KEY,
            "ALLOWED_ORIGINS": ORIGIN,
            "SENTIFYD_BACKEND": sandbox_url,
            "TOKEN_POLICY": "shared",
            "REDIS_URL": server.url,
            **({"SEAL_KEYS": new_key()} if sealed else {}),
        }
        command = ("sentifyd-edge", "serve", "--port", "0")
        processes = [stack.enter_context(Command(*command, **variables)) for _ in range(2)]
        ports = [process.port() for process in processes]
        services = [Service(f"http://127.0.0.1:{port}") for port in ports]

        def from_all(request: dict[str, str] | None = None) -> list[dict[str, str]]:
            def ask(service: Service) -> dict[str, str]:
                answer = service.call("POST", json=request)
                assert answer.status_code == 200, answer.text
                tokens: dict[str, str] = answer.json()["tokens"]
                return tokens

            with ThreadPoolExecutor(10) as pool:
                return list(pool.map(ask, services * 5))

        first = from_all()
        assert len({tokens["accessToken"] for tokens in first}) == 1
        assert sandbox.logins == 1
        # Both processes accept the refresh token, or its handle.
        second = from_all({"refreshToken": first[0]["refreshToken"]})
        assert len({tokens["accessToken"] for tokens in second}) == 1
        assert second[0]["accessToken"] != first[0]["accessToken"]
        assert sandbox.logins == 2

        kept = contents(server)
        assert (second[0]["accessToken"] in str(kept)) is not sealed

        server.stop()
        third = from_all({"refreshToken": second[0]["refreshToken"]})
        assert second[0]["accessToken"] not in {tokens["accessToken"] for tokens in third}
        fallback = 'sentifyd_edge_redis_fallback{part="shared grants"}'
        assert [metric(service, fallback) for service in services] == [1, 1]
        server.start()

        until(lambda: [metric(service, fallback) for service in services] == [0, 0])
        for tokens in from_all()[:2]:
            after = from_all({"refreshToken": tokens["refreshToken"]})
        assert len({tokens["accessToken"] for tokens in after}) == 1
        for process in processes:
            assert process.stop() == 0
            assert process.output.count("redis_unavailable") == 1
            assert "Traceback" not in process.output
            assert "canary" not in process.output


def test_shared_policy_works_without_redis(
    start_service: Callable[..., Service], sandbox: Sandbox, sandbox_url: str
) -> None:
    services = [start_service(sandbox_url, TOKEN_POLICY="shared") for _ in range(2)]

    answers = [service.get().json()["tokens"]["accessToken"] for service in services * 2]

    assert answers[:2] == answers[2:]
    assert sandbox.logins == 2
    page = requests.get(f"{services[0].base}/metrics", timeout=5).text
    assert 'part="shared grants"' not in page
