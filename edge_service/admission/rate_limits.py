"""Rate limits over fixed windows, counted in memory or in a Redis that replicas share."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from limits import RateLimitItem

from edge_service.admission.redis_counters import RedisCounters
from edge_service.admission.window_counters import WindowCounters
from edge_service.errors import RateLimited
from edge_service.redis_client import RedisUnavailable, SharedRedis
from edge_service.settings.parsers import window_name

__all__ = ["RateLimiter"]


class RateLimiter:
    """Counts requests, and refuses those over a limit.

    Windows are aligned to the clock, so memory, Redis and all replicas use the same ones, and the
    end of a window is known without a query. While Redis is unavailable, each process counts in
    its own memory.

    Args:
        limits: from `parse_rate_limits`. A request counts against each limit until one refuses it.
        redis: the Redis that replicas share; `None` counts in this process only.
        prefix: prefix of every key in Redis.
        clock: seconds since the epoch.
        before: another limiter, whose counters in memory continue for the limits that both have.
    """

    def __init__(
        self,
        limits: Sequence[RateLimitItem],
        redis: SharedRedis | None = None,
        *,
        prefix: str = "sentifyd",
        clock: Callable[[], float] = time.time,
        before: RateLimiter | None = None,
    ) -> None:
        self._limits = tuple(_Limit.of(item) for item in limits)
        self._policy = ", ".join(limit.policy() for limit in self._limits)
        self._clock = clock
        pairs = [(limit.amount, limit.seconds) for limit in self._limits]
        self._memory = tuple(WindowCounters(*pair) for pair in pairs)
        if before is not None:
            self._continue(before)
        self._redis = RedisCounters(redis, pairs, prefix) if redis is not None else None

    async def count(self, subject: str, avatar: str) -> None:
        """Count one request.

        Args:
            subject: identifies the visitor, such as an address.
            avatar: name of the requested avatar; empty for the default one.

        Raises:
            RateLimited: a limit is exhausted.
        """
        now = self._clock()
        if self._redis is not None:
            with suppress(RedisUnavailable):
                code = await self._redis.count(avatar, subject, now)
                if code:
                    refusing, bits = divmod(code, 16)
                    exhausted = [bool(bits >> index & 1) for index in range(len(self._limits))]
                    raise self._refusal(self._limits[refusing], exhausted, now)
                return
        self._count_in_memory(hash((avatar, subject)), now)

    def _continue(self, before: RateLimiter) -> None:
        known = dict(zip(before._limits, before._memory, strict=True))
        pairs = zip(self._limits, self._memory, strict=True)
        self._memory = tuple(known.get(limit, counters) for limit, counters in pairs)

    async def close(self) -> None:
        """Stop counting in Redis."""
        if self._redis is not None:
            await self._redis.close()

    def _count_in_memory(self, key: int, now: float) -> None:
        for limit, counters in zip(self._limits, self._memory, strict=True):
            if not counters.hit(key, now):
                exhausted = [each.is_exhausted(key, now) for each in self._memory]
                raise self._refusal(limit, exhausted, now)

    def _refusal(self, limit: _Limit, exhausted: Sequence[bool], now: float) -> RateLimited:
        # Retry-After must cover every exhausted window, so the one that ends last decides.
        for other, is_exhausted in zip(self._limits, exhausted, strict=True):
            if is_exhausted and other.end(now) > limit.end(now):
                limit = other
        wait = max(1, math.ceil(limit.end(now) - self._clock()))
        return RateLimited(
            headers={
                "Retry-After": str(wait),
                "RateLimit-Policy": self._policy,
                "RateLimit": f'"{limit.name}";r=0;t={wait}',
            }
        )


@dataclass(frozen=True, slots=True)
class _Limit:
    """A limit with values that would otherwise be computed for each request."""

    amount: int
    seconds: int
    name: str

    @classmethod
    def of(cls, item: RateLimitItem) -> _Limit:
        return cls(item.amount, item.get_expiry(), window_name(item))

    def policy(self) -> str:
        """The limit as an item of `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers)."""
        return f'"{self.name}";q={self.amount};w={self.seconds}'

    def end(self, now: float) -> int:
        return (int(now // self.seconds) + 1) * self.seconds
