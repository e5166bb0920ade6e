"""How often a visitor may ask: limits over windows, in memory or in a Redis for all replicas."""

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

MAX_KEYS = 100_000
SHARED_COUNTERS = 65_536
MAX_CONNECTIONS = 16
EXCHANGE_SECONDS = 1.0
RETRY_SECONDS = 1.0


class RateLimiter:
    """Counts requests, and refuses those over a limit.

    Windows are aligned to the clock, so memory, Redis and all replicas mean the same ones, and
    when a window ends is known without asking. While Redis is away the limits go on in this
    process' memory.

    Args:
        limits: from `parse_rate_limits`; a request is counted on each until one refuses it.
        redis_url: the Redis that replicas share; without it each process counts for itself.
        prefix: begins the name of each key in Redis.
        on_fallback: called with `True` when Redis goes away, and with `False` when it is back.
        clock: seconds since the epoch.

    Raises:
        ValueError: the URL cannot be used; says the cure, without the URL.
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
            subject: who asks, such as an address.
            avatar: ID of the avatar that is asked for; empty for the default one.

        Raises:
            RateLimited: a limit is exhausted.
        """
        # Only the length keeps one pair's texts from reading as another's: both may hold slashes.
        key = f"{len(avatar)}/{avatar}/{subject}"
        if self._redis is not None:
            with suppress(_RedisAway):
                refusal = await self._redis.ask(
                    lambda redis: self._refusal([redis] * len(self._limits), key)
                )
                return _raise(refusal)
        return _raise(await self._refusal(self._memory, key))

    async def close(self) -> None:
        """Close the connections; nothing may be counted afterwards."""
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
        # A retry succeeds only when the last of the exhausted windows is over.
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
    """Counters of one limit in memory, for the window that runs now.

    It has the two methods of the library's strategy that are used here. The library's own memory
    storage starts a task at each hit that walks all keys, and keeps a lock for each key: with
    100,000 addresses a request costs milliseconds. This one drops a window whole, and has a bound.
    When that is reached further keys share counters by their hash, whose seed nobody outside knows,
    so that a flood can neither fill memory nor reset a visitor's count.
    """

    def __init__(self) -> None:
        self._window = ""
        self._counters: dict[int, int] = {}

    async def hit(self, item: RateLimitItem, key: str, window: str) -> bool:
        """Count a request in a window, and tell whether it is within the limit."""
        # Not only a later one: after the clock was set back nobody may wait for the old time.
        if window != self._window:
            self._window, self._counters = window, {}
        slot = self._slot(key)
        count = self._counters[slot] = self._counters.get(slot, 0) + 1
        return count <= item.amount

    async def test(self, item: RateLimitItem, key: str, window: str) -> bool:
        """Whether one more request in a window would be within the limit."""
        return window != self._window or self._counters.get(self._slot(key), 0) < item.amount

    def _slot(self, key: str) -> int:
        # A third of the memory of the text, and 64 bits of it do not meet by chance.
        slot = hash(key)
        if slot in self._counters or len(self._counters) < MAX_KEYS:
            return slot
        return slot % SHARED_COUNTERS


@dataclass(frozen=True, slots=True)
class _Limit:
    """A limit, with what would else be computed at each request."""

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


class _RedisAway(Exception):
    """Nothing is known from Redis now."""


class _Redis:
    """Counters in Redis, and whether it can be reached."""

    def __init__(self, url: str, prefix: str, on_fallback: Callable[[bool], None]) -> None:
        # Here, so that a service without Redis never loads its client.
        from limits.aio.storage import RedisStorage

        self._pool = connection_pool(url, MAX_CONNECTIONS)
        self._counters = FixedWindowRateLimiter(
            RedisStorage(
                "async+redis://",  # the pool has the real one: the library's errors quote theirs
                implementation="redispy",
                key_prefix=prefix,
                connection_pool=self._pool,  # type: ignore[arg-type]
            )
        )
        self._on_fallback = on_fallback
        self._log = structlog.get_logger("service")
        # In place of a pool that blocks: whoever waits must see when Redis goes away meanwhile.
        self._slots = asyncio.Semaphore(self._pool.max_connections)
        self._retry_at: float | None = None

    async def ask(self, question: Callable[[FixedWindowRateLimiter], Awaitable[T]]) -> T:
        """Ask Redis, unless it is known to be away.

        Raises:
            _RedisAway: there is no answer.
        """
        probing = self._retry_at is not None
        if self._retry_at is not None:
            if time.monotonic() < self._retry_at:
                raise _RedisAway
            # Claims this turn: no other request waits for a Redis that may still hang.
            self._retry_at = time.monotonic() + RETRY_SECONDS
        await self._take_slot()
        try:
            if self._retry_at is not None and not probing:
                raise _RedisAway
            async with asyncio.timeout(EXCHANGE_SECONDS):
                answer = await question(self._counters)
        except _RedisAway:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the visitor gets an answer
            await self._gone(error)
            raise _RedisAway from None
        finally:
            self._slots.release()
        # Answers that were under way when Redis went do not tell that it is back.
        if probing:
            self._back()
        return answer

    async def _take_slot(self) -> None:
        if not self._slots.locked():
            await self._slots.acquire()
            return
        # A Redis that is merely slow must not make a queue without end.
        try:
            async with asyncio.timeout(EXCHANGE_SECONDS):
                await self._slots.acquire()
        except TimeoutError:
            raise _RedisAway from None

    async def close(self) -> None:
        with suppress(Exception):
            await self._pool.aclose()

    async def _gone(self, error: Exception) -> None:
        first, self._retry_at = self._retry_at is None, time.monotonic() + RETRY_SECONDS
        if first:
            self._log.warning(
                "redis_unavailable", part="rate limits", exception=type(error).__name__
            )
            self._on_fallback(True)
        # Others may be half-open as well, and each would cost a probe once Redis is back.
        with suppress(Exception):
            await self._pool.disconnect(inuse_connections=False)

    def _back(self) -> None:
        self._retry_at = None
        self._log.warning("redis_available", part="rate limits")
        self._on_fallback(False)


def _raise(refusal: RateLimited | None) -> None:
    if refusal is not None:
        raise refusal
