"""Whether Redis is available, for everything that uses it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from edge_service.event_loop import at_end_of_loop
from edge_service.redis_client.connections import AnyRedis, connect
from edge_service.redis_client.replaceable import ReplaceableConnections
from edge_service.redis_client.script import Script
from edge_service.settings.redis_url import redis_address

__all__ = ["RedisUnavailable", "SharedRedis", "probe"]

T = TypeVar("T")

MAX_CONNECTIONS = 64
EXCHANGE_SECONDS = 1.0
RETRY_SECONDS = 1.0
OVERDUE_SECONDS = 0.5
_PROBE_KEY = "sentifyd:probe"
# Every command that the service needs, because a user may be allowed only some of them.
_PROBE = Script(
    """
redis.call('time')
redis.call('set', KEYS[1], 0, 'NX', 'PX', 1000)
redis.call('incr', KEYS[1])
redis.call('expire', KEYS[1], 1)
redis.call('get', KEYS[1])
redis.call('pttl', KEYS[1])
redis.call('del', KEYS[1])
return 'usable'
"""
)


class RedisUnavailable(Exception):
    """Redis gave no answer, or is known to be unavailable."""


class SharedRedis:
    """A Redis that may become unavailable: continue without it, and find out when it is back.

    After an error of any kind, Redis counts as unavailable, and nothing waits for it. A probe in
    the background, one each second, finds out when it is available again. Where the event loop
    does not keep running between requests, one request each second probes instead.

    Args:
        url: the URL of Redis; it may contain a password.
        ca_file: certificate authorities to trust in place of the system's.
        on_fallback: called with `True` when Redis becomes unavailable, and with `False` when it is
            available again.

    Raises:
        ValueError: the URL cannot be used. The message says how to fix it, without the URL.

    Attributes:
        is_cluster: whether a script may use only keys of one slot.
    """

    def __init__(
        self,
        url: str,
        *,
        ca_file: Path | None = None,
        on_fallback: Callable[[bool], None] = lambda _: None,
    ) -> None:
        address = redis_address(url)
        # One more, so that a probe never waits for others.
        self._connect = partial(connect, address, MAX_CONNECTIONS + 1, ca_file)
        self.is_cluster = address.kind == "cluster"
        self._on_fallback = on_fallback
        self._log = structlog.get_logger("service")
        self._loops: dict[asyncio.AbstractEventLoop, _InLoop] = {}
        self._retry_at: float | None = None
        # The part of a cluster that failed is the one to probe.
        self._failed_near = ""
        # Counts the changes of state: an error of an exchange from before a change is old news.
        self._changes = 0

    @property
    def is_available(self) -> bool:
        """Whether the last exchange or probe succeeded."""
        return self._retry_at is None

    @property
    def is_probe_overdue(self) -> bool:
        """Whether Redis is unavailable, and nothing probes in the background."""
        return self._retry_at is not None and time.monotonic() >= self._retry_at + OVERDUE_SECONDS

    async def run(self, query: Callable[[AnyRedis], Awaitable[T]], near: str = "") -> T:
        """Query Redis, unless it is known to be unavailable.

        Args:
            query: what to do, within a second. Any error means that Redis is unavailable.
            near: a key, or its hash tag, that identifies the queried part of a cluster.

        Raises:
            RedisUnavailable: there is no answer.
        """
        here = await self._here()
        if self._retry_at is not None and not (self.is_probe_overdue and await self._probe(here)):
            raise RedisUnavailable
        await _take(here.slots)
        changes = self._changes
        try:
            if self._retry_at is not None:
                raise RedisUnavailable
            return await here.connections.query(query, EXCHANGE_SECONDS)
        except RedisUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - the visitor gets an answer after any error
            if changes == self._changes:
                self._became_unavailable(here, near, error)
            raise RedisUnavailable from None
        finally:
            here.slots.release()

    async def check(self) -> str:
        """Try Redis, without a change of state.

        Returns:
            The class of the error, or an empty string if Redis is usable.
        """
        here = await self._here()
        try:
            await here.connections.query(probe, EXCHANGE_SECONDS)
        except Exception as error:  # noqa: BLE001 - any error means that it is not usable
            return type(error).__name__
        return ""

    def replaced(self) -> None:
        """Report no further change of state, because another Redis is used from now on."""
        self._on_fallback = lambda _: None

    async def close(self) -> None:
        """Stop probing, and close the connections. A later use opens new ones."""
        here = self._loops.pop(asyncio.get_running_loop(), None)
        if here is not None:
            await here.close()

    async def _here(self) -> _InLoop:
        """What belongs to the running event loop."""
        loop = asyncio.get_running_loop()
        here = self._loops.get(loop)
        if here is None:
            # Some serverless platforms have a new event loop for each request.
            self._loops = {old: its for old, its in self._loops.items() if not old.is_closed()}
            here = self._loops[loop] = _InLoop(ReplaceableConnections(self._connect), loop)
            await here.begin()
        return here

    async def _probe(self, here: _InLoop) -> bool:
        """Whether Redis is available again."""
        # Others must not wait for a Redis that may still hang.
        self._retry_at = time.monotonic() + RETRY_SECONDS
        try:
            ask = partial(probe, near=self._failed_near)
            await here.connections.query(ask, EXCHANGE_SECONDS)
        except Exception:  # noqa: BLE001 - reported when it began
            self._probe_later(here)
            return False
        if self._retry_at is not None:
            self._retry_at = None
            self._changes += 1
            self._log.warning("redis_available")
            self._on_fallback(False)
        return True

    def _became_unavailable(self, here: _InLoop, near: str, error: Exception) -> None:
        self._retry_at = time.monotonic() + RETRY_SECONDS
        self._failed_near = near
        self._changes += 1
        self._log.warning("redis_unavailable", exception=type(error).__name__)
        self._on_fallback(True)
        self._probe_later(here)

    def _probe_later(self, here: _InLoop) -> None:
        """Probe in the background when it is time.

        Until then this is only a timer: it keeps no platform waiting that waits for tasks.
        """
        if self._loops.get(here.loop) is not here or self._retry_at is None:
            return

        def start() -> None:
            if self._retry_at is not None:
                here.probe = here.loop.create_task(self._probe(here))

        if here.timer is not None:
            here.timer.cancel()
        delay = max(0.0, self._retry_at - time.monotonic())
        here.timer = here.loop.call_later(delay, start)


class _InLoop:
    """What belongs to one event loop.

    Attributes:
        loop: the event loop.
        connections: to Redis.
        slots: bounds the concurrent exchanges. A blocking pool would not notice when Redis becomes
            unavailable while a request waits.
        timer: starts the next probe.
        probe: the last probe in the background.
    """

    def __init__(
        self, connections: ReplaceableConnections, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.connections = connections
        self.loop = loop
        self.slots = asyncio.Semaphore(MAX_CONNECTIONS)
        self.timer: asyncio.TimerHandle | None = None
        self.probe: asyncio.Task[bool] | None = None
        self._stop_early: Callable[[], Awaitable[None]] = self._stop

    async def begin(self) -> None:
        """Stop with the event loop, which must be the running one."""
        self._stop_early = await at_end_of_loop(self._stop)

    async def close(self) -> None:
        """Stop probing, and close the connections."""
        await self._stop_early()

    async def _stop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        if self.probe is not None:
            self.probe.cancel()
            await asyncio.gather(self.probe, return_exceptions=True)
        await self.connections.close()


async def probe(client: AnyRedis, near: str = "") -> None:
    """Try every command that the service needs, on a key of its own.

    Args:
        client: where to try.
        near: the probed part of a cluster, by a key or hash tag.

    Raises:
        RedisError: Redis is not usable.
        OSError: Redis cannot be reached.
    """
    from redis.exceptions import InvalidResponse

    answer = await _PROBE(client, [f"{_PROBE_KEY}:{{{near}}}" if near else _PROBE_KEY])
    if answer != b"usable":
        raise InvalidResponse


async def _take(slots: asyncio.Semaphore) -> None:
    if not slots.locked():
        await slots.acquire()
        return
    # A slow Redis must not make an endless queue of requests.
    with suppress(TimeoutError):
        async with asyncio.timeout(EXCHANGE_SECONDS):
            await slots.acquire()
            return
    raise RedisUnavailable
