"""Counters of requests in a Redis that replicas share."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge_service.redis_client import AnyRedis, RedisUnavailable, Script, SharedRedis

__all__ = ["RedisCounters"]

MAX_BATCH = 256
MAX_WAITING = 10_000
# Increase it with every change of the keys' form, so that different releases can share a Redis.
FORMAT = 2
# KEYS are the counters of one request after the other, in the order of the limits. ARGV are the
# number of limits, then the amount and the seconds of each. The answer has two hexadecimal digits
# for each request: the limit that refuses it, and a bit for each exhausted limit; 00 if none does.
_COUNT = Script(
    """
local limits = tonumber(ARGV[1])
local answer = {}
for first = 1, #KEYS, limits do
    local refusing, exhausted = nil, 0
    for i = 0, limits - 1 do
        local key, amount, count = KEYS[first + i], tonumber(ARGV[2 * i + 2]), nil
        if refusing then
            count = tonumber(redis.call('get', key) or 0)
        else
            count = redis.call('incr', key)
            if count == 1 then redis.call('expire', key, ARGV[2 * i + 3]) end
            if count > amount then refusing = i end
        end
        if count >= amount then exhausted = exhausted + 2 ^ i end
    end
    answer[#answer + 1] = string.format('%02x', refusing and 16 * refusing + exhausted or 0)
end
return table.concat(answer)
"""
)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A request that waits to be counted."""

    tag: str
    keys: tuple[bytes, ...]
    answer: asyncio.Future[int]


class RedisCounters:
    """Counts requests in Redis, many with each round trip.

    At most one round trip is under way. Requests that arrive meanwhile go together in the next one.

    Args:
        redis: where to count.
        limits: amount and seconds of each limit; at most four.
        prefix: prefix of every key.
    """

    def __init__(self, redis: SharedRedis, limits: Sequence[tuple[int, int]], prefix: str) -> None:
        self._redis = redis
        self._limits = tuple(limits)
        self._arguments = (len(limits), *(number for limit in limits for number in limit))
        self._prefix = f"{prefix}:limit:{FORMAT}"
        self._waiting: deque[_Waiting] = deque()
        self._sender: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def count(self, avatar: str, subject: str, now: float) -> int:
        """Count a request against each limit until one refuses it.

        Args:
            avatar: name of the avatar.
            subject: identifies the visitor.
            now: seconds since the epoch.

        Returns:
            0 if no limit refuses it. Otherwise 16 times the index of the limit that does, plus a
            bit for each limit that would refuse the next request.

        Raises:
            RedisUnavailable: Redis did not count it, or it is not known whether it did.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            # Requests of another event loop, which may have ended, cannot be answered from here.
            self._loop, self._sender, self._waiting = loop, None, deque()
        # Only one request finds out whether an unavailable Redis is back, and no other waits.
        if not self._redis.is_available and (self._sender or not self._redis.is_probe_overdue):
            raise RedisUnavailable
        if len(self._waiting) >= MAX_WAITING:
            raise RedisUnavailable
        # The length makes the combination unambiguous, because both may contain any character. All
        # keys of an avatar have one hash tag, so that a cluster keeps them on one node.
        tag = f"{len(avatar)}/{avatar}"
        keys = tuple(
            f"{self._prefix}:{{{tag}}}:{amount}/{seconds}:{int(now // seconds)}:{subject}".encode(
                # Lone surrogates in a user's name must not look like an outage.
                errors="surrogatepass"
            )
            for amount, seconds in self._limits
        )
        answer: asyncio.Future[int] = loop.create_future()
        self._waiting.append(_Waiting(tag, keys, answer))
        # A task of its own, because a visitor who leaves must not disturb the others.
        if self._sender is None:
            self._sender = loop.create_task(self._send_all(loop, self._waiting))
        return await answer

    async def close(self) -> None:
        """Stop counting. Requests that wait are not counted here."""
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
        # A task that is cancelled before its first step does nothing.
        for one in self._waiting:
            _fail(one)
        self._waiting.clear()

    async def _send_all(self, loop: asyncio.AbstractEventLoop, waiting: deque[_Waiting]) -> None:
        batch: list[_Waiting] = []
        try:
            while waiting:
                batch = [waiting.popleft() for _ in range(min(MAX_BATCH, len(waiting)))]
                await asyncio.gather(*(self._send(part) for part in self._parts(batch)))
        finally:
            if self._loop is loop:
                self._sender = None
            for one in (*batch, *waiting):
                _fail(one)
            waiting.clear()

    def _parts(self, batch: Sequence[_Waiting]) -> Iterable[Sequence[_Waiting]]:
        """What can be sent in one call: everything, or the keys of one node of a cluster."""
        parts = defaultdict(list)
        for one in batch:
            # The visitor may have left.
            if not one.answer.done():
                parts[one.tag if self._redis.is_cluster else ""].append(one)
        return parts.values()

    async def _send(self, batch: Sequence[_Waiting]) -> None:
        async def count(client: AnyRedis) -> bytes:
            keys = [key for one in batch for key in one.keys]
            text = await _COUNT(client, keys, self._arguments)
            codes = bytes.fromhex(text.decode("ascii"))
            if len(codes) != len(batch):
                raise ValueError
            return codes

        try:
            codes = await self._redis.run(count, batch[0].tag)
        except RedisUnavailable:
            for one in batch:
                _fail(one)
        else:
            for one, code in zip(batch, codes, strict=True):
                if not one.answer.done():
                    one.answer.set_result(code)


def _fail(waiting: _Waiting) -> None:
    if not waiting.answer.done():
        waiting.answer.set_exception(RedisUnavailable())
