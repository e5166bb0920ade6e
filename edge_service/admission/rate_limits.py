"""Rate limits over fixed windows, counted in memory or in a Redis that replicas share."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import structlog
from limits import RateLimitItem
from limits.aio.strategies import FixedWindowRateLimiter

from edge_service.errors import RateLimited
from edge_service.redis_client import connection_pool

__all__ = ["RateLimiter"]

T = TypeVar("T")

MAX_COUNTERS = 100_000
SHARED_COUNTERS = 65_536
MAX_CONNECTIONS = 16
EXCHANGE_SECONDS = 1.0
REDIS_RETRY_SECONDS = 1.0


class RateLimiter:
    """Counts requests, and refuses those over a limit.

    Windows are aligned to the clock, so memory, Redis and all replicas use the same ones, and the
    end of a window is known without a query. While Redis is unavailable, each process counts in
    its own memory.

    Args:
        limits: from `parse_rate_limits`. A request counts against each limit until one refuses it.
        redis_url: the Redis that replicas share; `None` counts in this process only.
        prefix: prefix of every key in Redis.
        on_fallback: called with `True` when Redis becomes unavailable, and with `False` when it is
            available again.
        clock: seconds since the epoch.

    Raises:
        ValueError: the URL cannot be used. The message says how to fix it, without the URL.
    """

    def __init__(
        self,
        limits: Sequence[RateLimitItem],
        redis_url: str | None = None,
        *,
        prefix: str = "sentifyd",
        on_fallback: Callable[[bool], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._limits = tuple(_Limit.of(item) for item in limits)
        self._policy = ", ".join(limit.policy() for limit in self._limits)
        self._clock = clock
        self._memory = [WindowCounters() for _ in self._limits]
        self._redis = _Redis(redis_url, prefix, on_fallback) if redis_url is not None else None

    async def count(self, subject: str, avatar: str) -> None:
        """Count one request.

        Args:
            subject: identifies the visitor, such as an address.
            avatar: name of the requested avatar; empty for the default one.

        Raises:
            RateLimited: a limit is exhausted.
        """
        # Both strings may contain slashes; the length makes the combination unambiguous.
        key = f"{len(avatar)}/{avatar}/{subject}"
        if self._redis is not None:
            with suppress(_RedisUnavailable):
                refusal = await self._redis.run(
                    lambda redis: self._refusal([redis] * len(self._limits), key)
                )
                return _raise(refusal)
        return _raise(await self._refusal(self._memory, key))

    async def close(self) -> None:
        """Close the connections. Do not count afterwards."""
        if self._redis is not None:
            await self._redis.close()

    async def _refusal(
        self, counters: Sequence[FixedWindowRateLimiter | WindowCounters], key: str
    ) -> RateLimited | None:
        now = self._clock()
        for limit, counter in zip(self._limits, counters, strict=True):
            if not await counter.hit(limit.item, key, limit.window(now)):
                break
        else:
            return None
        # Retry-After must cover every exhausted window, so the one that ends last decides.
        for other, counter in zip(self._limits, counters, strict=True):
            if other.end(now) > limit.end(now) and not await counter.test(
                other.item, key, other.window(now)
            ):
                limit = other
        wait = max(1, math.ceil(limit.end(now) - self._clock()))
        return RateLimited(
            headers={
                "Retry-After": str(wait),
                "RateLimit-Policy": self._policy,
                "RateLimit": f'"{limit.name}";r=0;t={wait}',
            }
        )


class WindowCounters:
    """Counters of one limit in memory, for the current window.

    It implements the two methods of the library's strategy that are used here. The library's own
    memory storage walks all keys after each hit and keeps a lock for each key: with 100,000
    addresses, a request takes milliseconds. This class drops a window as a whole, and limits the
    number of counters. Above the limit, keys share counters by their hash, which has a secret seed.
    A flood can therefore neither fill the memory nor reset a visitor's counter.
    """

    def __init__(self) -> None:
        self._window = ""
        self._counters: dict[int, int] = {}

    async def hit(self, item: RateLimitItem, key: str, window: str) -> bool:
        """Count a request in a window, and return whether it is within the limit."""
        # Any other window, not only a later one: the clock may have been set back.
        if window != self._window:
            self._window, self._counters = window, {}
        slot = self._slot(key)
        count = self._counters[slot] = self._counters.get(slot, 0) + 1
        return count <= item.amount

    async def test(self, item: RateLimitItem, key: str, window: str) -> bool:
        """Whether one more request in a window would be within the limit."""
        return window != self._window or self._counters.get(self._slot(key), 0) < item.amount

    def _slot(self, key: str) -> int:
        # A hash needs a third of the string's memory, and 64 bits make collisions negligible.
        slot = hash(key)
        if slot in self._counters or len(self._counters) < MAX_COUNTERS:
            return slot
        return slot % SHARED_COUNTERS


@dataclass(frozen=True, slots=True)
class _Limit:
    """A limit with values that would otherwise be computed for each request."""

    item: RateLimitItem
    seconds: int
    name: str

    @classmethod
    def of(cls, item: RateLimitItem) -> _Limit:
        unit = item.GRANULARITY.name
        name = unit if item.multiples == 1 else f"{item.multiples}-{unit}s"
        return cls(item, item.get_expiry(), name)

    def policy(self) -> str:
        """The limit as an item of `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers)."""
        return f'"{self.name}";q={self.item.amount};w={self.seconds}'

    def window(self, now: float) -> str:
        return str(int(now // self.seconds))

    def end(self, now: float) -> int:
        return (int(now // self.seconds) + 1) * self.seconds


class _RedisUnavailable(Exception):
    """Redis gave no answer, or is known to be unavailable."""


class _Redis:
    """Counters in Redis, and whether Redis is available."""

    def __init__(self, url: str, prefix: str, on_fallback: Callable[[bool], None]) -> None:
        # Imported here, so that a service without Redis does not load its client.
        from limits.aio.storage import RedisStorage

        self._pool = connection_pool(url, MAX_CONNECTIONS)
        self._counters = FixedWindowRateLimiter(
            RedisStorage(
                "async+redis://",  # not the real URL, because the library's errors quote it
                implementation="redispy",
                key_prefix=prefix,
                connection_pool=self._pool,  # type: ignore[arg-type]
            )
        )
        self._on_fallback = on_fallback
        self._log = structlog.get_logger("service")
        # A blocking pool would not notice when Redis becomes unavailable while a request waits.
        self._slots = asyncio.Semaphore(self._pool.max_connections)
        self._retry_at: float | None = None

    async def run(self, query: Callable[[FixedWindowRateLimiter], Awaitable[T]]) -> T:
        """Query Redis, unless it is known to be unavailable.

        Raises:
            _RedisUnavailable: there is no answer.
        """
        probing = self._retry_at is not None
        if self._retry_at is not None:
            if time.monotonic() < self._retry_at:
                raise _RedisUnavailable
            # Only this request probes: others must not wait for a Redis that may still hang.
            self._retry_at = time.monotonic() + REDIS_RETRY_SECONDS
        await self._take_slot()
        try:
            if self._retry_at is not None and not probing:
                raise _RedisUnavailable
            async with asyncio.timeout(EXCHANGE_SECONDS):
                answer = await query(self._counters)
        except _RedisUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - the visitor gets an answer after any error
            await self._became_unavailable(error)
            raise _RedisUnavailable from None
        finally:
            self._slots.release()
        # Only a probe counts: other answers may have been sent before Redis failed.
        if probing:
            self._became_available()
        return answer

    async def _take_slot(self) -> None:
        if not self._slots.locked():
            await self._slots.acquire()
            return
        # A slow Redis must not make an endless queue of requests.
        try:
            async with asyncio.timeout(EXCHANGE_SECONDS):
                await self._slots.acquire()
        except TimeoutError:
            raise _RedisUnavailable from None

    async def close(self) -> None:
        with suppress(Exception):
            await self._pool.aclose()

    async def _became_unavailable(self, error: Exception) -> None:
        first, self._retry_at = self._retry_at is None, time.monotonic() + REDIS_RETRY_SECONDS
        if first:
            self._log.warning(
                "redis_unavailable", part="rate limits", exception=type(error).__name__
            )
            self._on_fallback(True)
        # Other idle connections may be broken too, and each would make a later probe fail.
        with suppress(Exception):
            await self._pool.disconnect(inuse_connections=False)

    def _became_available(self) -> None:
        # A slow probe may end after the next one has begun.
        if self._retry_at is None:
            return
        self._retry_at = None
        self._log.warning("redis_available", part="rate limits")
        self._on_fallback(False)


def _raise(refusal: RateLimited | None) -> None:
    if refusal is not None:
        raise refusal
