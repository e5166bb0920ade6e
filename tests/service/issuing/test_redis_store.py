"""Grants that replicas share through a real Redis, which comes and goes."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from structlog.testing import capture_logs

from edge_service.errors import UpstreamUnreachable
from edge_service.issuing import redis_store
from edge_service.issuing import shared as shared_module
from edge_service.issuing.redis_store import RedisGrants, _key, connect
from edge_service.issuing.shared import Shared
from edge_service.sandbox.app import Sandbox
from edge_service.sealing import Sealer, new_key
from edge_service.upstream.grant import HeldGrant
from tests.support.clocks import in_a_loop
from tests.support.grants import FIRST, FakeUpstream, refresh
from tests.support.ports import free_port
from tests.support.processes import Command
from tests.support.redis import RedisServer
from tests.support.servers import RawUpstream
from tests.support.service import Service, metric
from tests.support.settings import KEY, ORIGIN, avatar_settings
from tests.support.waiting import until

AVATAR = avatar_settings()
GONE = {"part": "shared grants", "event": "redis_unavailable", "log_level": "warning"}
BACK = {"part": "shared grants", "event": "redis_available", "log_level": "warning"}


@pytest.fixture(scope="module")
def lasting_redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis(lasting_redis: RedisServer) -> RedisServer:
    """An empty one, for tests that leave it alive."""
    with lasting_redis.client() as client:
        client.flushall()
    return lasting_redis


@pytest.fixture(autouse=True)
def _brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Renewals may follow each other as fast as these tests ask for them."""
    monkeypatch.setattr(shared_module, "PACE_SECONDS", 0.02)


class Replica:
    """What one process has: its own client, store and policy, and only upstream in common."""

    def __init__(
        self,
        url: str,
        upstream: FakeUpstream,
        sealer: Sealer | None = None,
        lock_seconds: float = 5.0,
        kind: type[RedisGrants] = RedisGrants,
    ) -> None:
        self.client = connect(url)
        self.fallbacks: list[bool] = []
        self.store = kind(self.client, AVATAR, sealer, lock_seconds, self.fallbacks.append)
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


def test_replicas_log_in_once_for_all_of_them(redis: RedisServer) -> None:
    async def visit() -> None:
        upstream = FakeUpstream(seconds=0.2)
        replicas = [Replica(redis.url, upstream) for _ in range(5)]
        async with working(*replicas):
            assert await all_ask(*replicas) == ["access-1"] * 5
            assert upstream.logins == 1
            # One that starts later has it at once.
            late = Replica(redis.url, upstream)
            async with working(late):
                assert await late.ask() == "access-1"
            assert upstream.logins == 1

    in_a_loop(visit())


def test_replicas_renew_once_among_them(redis: RedisServer) -> None:
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


def test_early_renewals_are_shared_too(redis: RedisServer) -> None:
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
            # Each alone would need three or four.
            assert 3 <= upstream.logins <= 5

    in_a_loop(visit())


def test_a_refresh_elsewhere_never_gets_back_what_it_came_with(redis: RedisServer) -> None:
    async def visit() -> None:
        upstream = FakeUpstream()
        here, there = (Replica(redis.url, upstream) for _ in range(2))
        async with working(here, there):
            first = await here.shared.issue(FIRST)
            # All that a cold replica finds in Redis is what the visitor has already.
            after = await there.shared.issue(refresh(first))
            assert after.access_token == "access-2"
            assert upstream.logins == 2

    in_a_loop(visit())


def test_redis_knows_how_much_of_its_life_a_grant_has_left(redis: RedisServer) -> None:
    async def visit() -> None:
        upstream = FakeUpstream()
        here, there, late = (Replica(redis.url, upstream) for _ in range(3))
        async with working(here, there, late):
            await here.ask()
            await here.client.pexpire(here.store._key, 40_000)
            issued = await there.shared.issue(FIRST)
            assert issued.expires_in in (38, 39, 40)
            assert issued.avatar_parameters == {"voice": "x"}
            # Too little to begin with.
            await here.client.pexpire(here.store._key, 15_000)
            assert await late.ask() == "access-2"
            # What a replica stores, Redis forgets when it expires.
            assert 95_000 < await here.client.pttl(here.store._key) <= 100_000

    in_a_loop(visit())


@pytest.mark.parametrize("sealed", [True, False])
def test_tokens_are_sealed_in_redis_when_there_is_a_key(redis: RedisServer, sealed: bool) -> None:
    async def visit() -> None:
        upstream = FakeUpstream()
        old, new = new_key(), new_key()
        here = Replica(redis.url, upstream, Sealer([old]) if sealed else None)
        # Its first key is a new one, and it still opens what the old one sealed.
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


def test_what_another_key_sealed_is_as_good_as_none(redis: RedisServer) -> None:
    async def visit() -> None:
        upstream = FakeUpstream()
        sealers = [Sealer([new_key()]), Sealer([new_key()]), None]
        replicas = [Replica(redis.url, upstream, sealer) for sealer in sealers]
        async with working(*replicas):
            for number, replica in enumerate(replicas, 1):
                assert await replica.ask() == f"access-{number}"
                assert replica.fallbacks == []

    in_a_loop(visit())


GOOD: dict[str, Any] = {
    "format": redis_store.FORMAT,
    "access_token": "stored",
    "refresh_token": "r",
    "parameters": {},
    "token_type": None,
    "expires_in": 100,
    "life": 100,
    "expires": time.time() + 10_000,
}


def _like(**changes: object) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


@pytest.mark.parametrize(
    ("stored", "token"),
    [
        # The form itself, so that the rest proves something.
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
        # Another release's.
        (_like(format=redis_store.FORMAT + 1), "access-1"),
        (json.dumps({k: v for k, v in GOOD.items() if k != "format"}).encode(), "access-1"),
        (_like(expires=None), "access-1"),
        (_like(expires="never"), "access-1"),
        (_like(expires=10**400), "access-1"),
        # It has ended, whatever Redis says.
        (_like(expires=time.time() - 60), "access-1"),
        (_like(expires=0), "access-1"),
        (_like(expires=-(10**300)), "access-1"),
    ],
    ids=range(28),
)
def test_garbage_in_redis_is_as_good_as_none(redis: RedisServer, stored: bytes, token: str) -> None:
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


def test_a_rolling_update_from_a_release_with_another_format(redis: RedisServer) -> None:
    """Old and new processes run side by side, each with a grant of its own, and none waits."""

    async def visit() -> None:
        upstream = FakeUpstream()
        new = Replica(redis.url, upstream, lock_seconds=30)
        # As the first format was: under a key without a number, in the vendor's spelling.
        old_key = new.store._key.replace(f":{redis_store.FORMAT}:", ":")
        old = {"access_token": "old", "refresh_token": "r", "avatar_params": {}, "expires_in": 100,
               "token_type": None, "life": 100, "expires": time.time() + 100}  # fmt: skip
        stored = json.dumps(old).encode()
        async with working(new), asyncio.timeout(10):
            await new.client.set(old_key, stored, px=100_000)
            # An old process is just logging in.
            await new.client.set(f"{old_key}:lock", "theirs", px=100_000)
            assert await new.ask() == "access-1"
            assert await new.renewed() == "access-2"
            assert await new.client.get(old_key) == stored
            assert await new.client.get(f"{old_key}:lock") == b"theirs"
        assert upstream.logins == 2

    in_a_loop(visit())


def test_a_grant_that_is_put_back_does_not_live_again(
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
            # While it lives it is good, however long Redis would keep it.
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

    # As it is outside these tests: nobody may be made to wait for more than a moment.
    monkeypatch.setattr(shared_module, "PACE_SECONDS", 0.2)
    in_a_loop(visit())


def redis_url(server: RawUpstream) -> str:
    return f"{server.url.replace('http:', 'redis:')}/0"


class Babbler(RawUpstream):
    """Something that says the same to whatever a client of Redis may ask."""

    def __init__(self, text: bytes) -> None:
        super().__init__(lambda _: None)
        self._text = text

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            while data := connection.recv(65536):
                self.received.append(data)
                connection.sendall(self._text)


BABBLE = [
    b":abc\r\n",
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"$9x\r\n",
    b"*1\r\n:x\r\n",
    b"+OK\r\n" * 9,
]


@pytest.mark.parametrize("text", BABBLE, ids=range(len(BABBLE)))
def test_a_redis_that_talks_nonsense_costs_no_grant(text: bytes) -> None:
    async def visit() -> None:
        upstream = FakeUpstream()
        here = Replica(redis_url(babbler), upstream)
        async with working(here), asyncio.timeout(5):
            assert await here.ask() == "access-1"
            assert await here.renewed() == "access-2"
            # One that agrees to everything looks like a Redis that keeps nothing.
            assert here.fallbacks == ([] if text.startswith(b"+OK") else [True])

    with Babbler(text) as babbler:
        in_a_loop(visit())
        assert babbler.received


def test_a_redis_that_talks_nonsense_costs_no_request(
    start_service: Callable[..., Service], sandbox: Sandbox, sandbox_url: str
) -> None:
    with Babbler(b":abc\r\n") as babbler:
        variables = {"TOKEN_POLICY": "shared", "REDIS_URL": redis_url(babbler)}
        service = start_service(sandbox_url, RATE_LIMIT="6/day", **variables)
        answers = [service.get() for _ in range(3)]
        brought = answers[0].json()["tokens"]["refreshToken"]
        answers += [service.call("POST", json={"refreshToken": brought}) for _ in range(3)]

        assert [answer.status_code for answer in answers] == [200] * 6
        assert service.get().status_code == 429
        for part in ("shared grants", "rate limits"):
            assert metric(service, f'sentifyd_edge_redis_fallback{{part="{part}"}}') == 1
    assert sandbox.logins == 2


def test_a_key_of_another_kind_keeps_nobody_waiting(redis: RedisServer) -> None:
    async def visit() -> None:
        upstream = FakeUpstream()
        here = Replica(redis.url, upstream)
        async with working(here):
            await here.client.lpush(here.store._key, "x")
            assert await here.ask() == "access-1"

    in_a_loop(visit())


def test_without_redis_each_goes_on_by_itself_and_says_so_once() -> None:
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
    assert [{**line, "exception": ""} for line in logs] == [{**GONE, "exception": ""}] * 2


def test_redis_dies_and_comes_back() -> None:
    async def visit() -> None:
        upstream = FakeUpstream(seconds=0.1)
        replicas = [Replica(server.url, upstream) for _ in range(2)]
        async with working(*replicas):
            assert len(set(await all_ask(*replicas))) == 1
            server.stop()
            # What they have is still good.
            assert await all_ask(*replicas) == ["access-1"] * 2
            for _ in range(2):
                assert len(set(await all_renew(*replicas))) == 2
            assert upstream.logins == 5
            server.start()
            for number in (6, 7):
                assert await all_renew(*replicas) == [f"access-{number}"] * 2
            assert [replica.fallbacks for replica in replicas] == [[True, False]] * 2

    with RedisServer() as server, capture_logs() as logs:
        in_a_loop(visit())
    for line in logs:
        line.pop("exception", None)
    assert sorted(map(str, logs)) == sorted(map(str, [GONE, GONE, BACK, BACK]))


def test_redis_hangs_and_wakes_up() -> None:
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
            # What was sent meanwhile, a lock it may be, does not keep them long.
            async with asyncio.timeout(8):
                await all_renew(*replicas)
                assert len(set(await all_renew(*replicas))) == 1
            assert [replica.fallbacks for replica in replicas] == [[True, False]] * 2

    with RedisServer() as server:
        in_a_loop(visit())


@pytest.mark.parametrize("how", ["stop", "pause"])
def test_redis_goes_away_while_one_logs_in(how: str) -> None:
    async def visit() -> None:
        upstream = FakeUpstream(seconds=0.3)
        here, there = (Replica(server.url, upstream) for _ in range(2))
        async with working(here, there):
            asking = asyncio.create_task(all_ask(here, there))
            while not upstream.under_way:
                await asyncio.sleep(0.01)
            getattr(server, how)()
            async with asyncio.timeout(5):
                # One has its login, and the other gives up waiting for it.
                assert sorted(await asking) == ["access-1", "access-2"]

    with RedisServer() as server:
        in_a_loop(visit())


def test_a_holder_of_the_lock_that_crashed_delays_others_for_a_while_only(
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

            # Not even a grant that never expires is kept forever.
            await replicas[0].client.set(lock, "crashed")
            async with asyncio.timeout(5):
                await all_renew(*replicas)
            assert await replicas[0].client.get(lock) == b"crashed"

    in_a_loop(visit())


def test_a_lock_expires_by_itself_and_is_given_back(redis: RedisServer) -> None:
    async def visit() -> None:
        upstream = FakeUpstream(seconds=0.2)
        here = Replica(redis.url, upstream, lock_seconds=3)
        lock = here.store._lock_key
        async with working(here):
            asking = asyncio.create_task(here.ask())
            while not upstream.under_way:
                await asyncio.sleep(0.01)
            assert 0 < await here.client.pttl(lock) <= 3000
            await asking
            assert not await here.client.exists(lock)

            # One that has passed into other hands is left there.
            asking = asyncio.create_task(here.renewed())
            while not upstream.under_way:
                await asyncio.sleep(0.01)
            await here.client.set(lock, "other")
            await asking
            assert await here.client.get(lock) == b"other"

    in_a_loop(visit())


@pytest.mark.parametrize("end", ["failure", "close"])
def test_a_login_that_comes_to_nothing_gives_the_lock_back(redis: RedisServer, end: str) -> None:
    async def visit() -> None:
        upstream = FakeUpstream(seconds=0.1 if end == "failure" else 30)
        here, there = (Replica(redis.url, upstream, lock_seconds=30) for _ in range(2))
        async with working(here, there):
            upstream.failure = UpstreamUnreachable() if end == "failure" else None
            asking = asyncio.create_task(here.ask())
            while not upstream.under_way:
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
    """Comes back from its first look only when somebody else has stored a grant and is done."""

    looks = 0
    other: Callable[[], Awaitable[object]]

    async def _load(self) -> HeldGrant | None:
        found = await super()._load()
        self.looks += 1
        if self.looks == 1:
            await self.other()
        return found


def test_a_grant_stored_between_looking_and_locking_is_found(redis: RedisServer) -> None:
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


def test_grants_of_different_logins_are_kept_apart() -> None:
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


@pytest.mark.parametrize("sealed", [False, True])
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
        # A refresh token, or the handle in its place, is understood by both.
        second = from_all({"refreshToken": first[0]["refreshToken"]})
        assert len({tokens["accessToken"] for tokens in second}) == 1
        assert second[0]["accessToken"] != first[0]["accessToken"]
        assert sandbox.logins == 2

        kept = contents(server)
        assert (second[0]["accessToken"] in str(kept)) is not sealed

        server.stop()
        third = from_all({"refreshToken": second[0]["refreshToken"]})
        assert second[0]["accessToken"] not in {tokens["accessToken"] for tokens in third}
        away = 'sentifyd_edge_redis_fallback{part="shared grants"}'
        assert [metric(service, away) for service in services] == [1, 1]
        server.start()

        def shared_again() -> bool:
            before = from_all()
            for tokens in before[:2]:
                after = from_all({"refreshToken": tokens["refreshToken"]})
            return len({tokens["accessToken"] for tokens in after}) == 1

        until(shared_again)
        assert [metric(service, away) for service in services] == [0, 0]
        for process in processes:
            assert process.stop() == 0
            assert process.output.count('"part": "shared grants", "exception"') == 1
            assert "Traceback" not in process.output
            assert "canary" not in process.output


def test_no_redis_is_asked_for_when_there_is_none(
    start_service: Callable[..., Service], sandbox: Sandbox, sandbox_url: str
) -> None:
    services = [start_service(sandbox_url, TOKEN_POLICY="shared") for _ in range(2)]

    answers = [service.get().json()["tokens"]["accessToken"] for service in services * 2]

    assert answers[:2] == answers[2:]
    assert sandbox.logins == 2
    page = requests.get(f"{services[0].base}/metrics", timeout=5).text
    assert 'part="shared grants"' not in page
