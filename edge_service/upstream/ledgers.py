"""Where the logins of an avatar are counted: in memory, or in a Redis that replicas share."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from edge_service.redis_client import AnyRedis, Script, SharedRedis

__all__ = [
    "NOTHING",
    "Count",
    "Lease",
    "Ledger",
    "MemoryLedger",
    "RedisLedger",
    "Statement",
    "Window",
]

LEASE_SHARE = 100
LOW, SPENT = 1, 2
# Increase it with every change of the stored format; counts in another format are ignored.
FORMAT = 1
# KEYS are the counter of each window, and one that identifies this call. ARGV are the wanted and
# the returned units, then for each window its amount, its seconds and the number of the window that
# the returned units are from. A counter contains the number of its window, the units, and the
# highest event that was reported. The answer has the granted units, then for each window what is
# left, the milliseconds until it ends, its number and the event to report.
_EXCHANGE = Script(
    """
local time = redis.call('time')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local wanted, returned = tonumber(ARGV[1]), tonumber(ARGV[2])
-- The client may send a call again when a connection fails.
if returned > 0 and not redis.call('set', KEYS[#KEYS], 1, 'NX', 'PX', 60000) then returned = 0 end
local windows, left = {}, math.huge
for i = 1, #KEYS - 1 do
    local one = {amount = tonumber(ARGV[3 * i]), span = ARGV[3 * i + 1] * 1000}
    one.number, one.count, one.event = math.floor(now / one.span), 0, 0
    local stored = redis.call('get', KEYS[i]) or ''
    local number, count, event = string.match(stored, '^(%d+) (%d+) (%d)$')
    if tonumber(number) == one.number then
        one.count, one.event = tonumber(count), tonumber(event)
    end
    if tonumber(ARGV[3 * i + 2]) == one.number then
        one.count = math.max(0, one.count - returned)
    end
    left = math.min(left, one.amount - one.count)
    windows[i] = one
end
local granted = 0
if wanted > 0 and left > 0 then
    granted = math.min(left, math.max(wanted, math.floor(left / 100)))
end
local answer = {granted}
for i, one in ipairs(windows) do
    one.count = one.count + granted
    local event = 0
    if one.count * 5 >= one.amount * 4 then event = 1 end
    if one.count >= one.amount then event = 2 end
    local ends = (one.number + 1) * one.span - now
    if granted > 0 or returned > 0 or event > one.event then
        local text = string.format('%d %d %d', one.number, one.count, math.max(event, one.event))
        redis.call('set', KEYS[i], text, 'PX', ends)
    end
    answer[4 * i - 2] = one.amount - one.count
    answer[4 * i - 1] = ends
    answer[4 * i] = one.number
    answer[4 * i + 1] = event > one.event and event or 0
end
return answer
"""
)


@dataclass(frozen=True, slots=True)
class Window:
    """A limit of a budget.

    Attributes:
        amount: logins that it allows.
        seconds: length of the window; windows begin at multiples of it, since the epoch.
        name: such as `day`, for logs and metrics.
    """

    amount: int
    seconds: int
    name: str


@dataclass(frozen=True, slots=True)
class Lease:
    """Units that a process may spend without asking.

    Attributes:
        units: how many.
        numbers: the number of each window that they are counted in.
    """

    units: int = 0
    numbers: tuple[int, ...] = ()


NOTHING = Lease()


@dataclass(frozen=True, slots=True)
class Count:
    """The state of a window.

    Attributes:
        left: units that nobody has leased.
        seconds: until it ends.
        number: how many windows of this length have been before, since the epoch.
        event: `LOW` or `SPENT` if this is to be reported, which happens once in a window; else 0.
    """

    left: int
    seconds: float
    number: int
    event: int


@dataclass(frozen=True, slots=True)
class Statement:
    """What a ledger answers.

    Attributes:
        granted: units that it has leased.
        counts: the state of each window after that.
    """

    granted: int
    counts: tuple[Count, ...]

    @property
    def numbers(self) -> tuple[int, ...]:
        """The number of each window."""
        return tuple(count.number for count in self.counts)


class Ledger(Protocol):
    """Counts the logins of one avatar."""

    @property
    def is_available(self) -> bool:
        """Whether asking makes sense."""

    async def exchange(
        self, windows: Sequence[Window], wanted: int, returned: Lease = NOTHING
    ) -> Statement:
        """Take units back, and lease others.

        Args:
            windows: the limits.
            wanted: units that are needed at once, at least one if any are left. The lease may be
                larger: 1 % of what is left in the window with the least.
            returned: unused units. Windows that have ended since ignore them.

        Raises:
            RedisUnavailable: nobody knows how many are left.
        """


class MemoryLedger:
    """Counts in this process.

    Args:
        clock: seconds since the epoch.
    """

    is_available = True

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        # Number, units and reported event, by the seconds of a window.
        self._counts: dict[int, tuple[int, int, int]] = {}

    async def exchange(
        self, windows: Sequence[Window], wanted: int, returned: Lease = NOTHING
    ) -> Statement:
        """As in `Ledger`; it never fails."""
        now = self._clock()
        numbers = [int(now // window.seconds) for window in windows]
        back = dict(zip((window.seconds for window in windows), returned.numbers, strict=False))
        counts, events = [], []
        for window, number in zip(windows, numbers, strict=True):
            known, count, event = self._counts.get(window.seconds, (number, 0, 0))
            if known != number:
                count = event = 0
            if back.get(window.seconds) == number:
                count = max(0, count - returned.units)
            counts.append(count)
            events.append(event)
        left = min(w.amount - count for w, count in zip(windows, counts, strict=True))
        granted = min(left, max(wanted, left // LEASE_SHARE)) if wanted > 0 and left > 0 else 0
        states = []
        for window, number, before, reported in zip(windows, numbers, counts, events, strict=True):
            count = before + granted
            event = LOW if count * 5 >= window.amount * 4 else 0
            if count >= window.amount:
                event = SPENT
            self._counts[window.seconds] = (number, count, max(event, reported))
            ends = (number + 1) * window.seconds - now
            due = event if event > reported else 0
            states.append(Count(window.amount - count, ends, number, due))
        return Statement(granted, tuple(states))


class RedisLedger:
    """Counts in Redis, by the clock of Redis.

    Args:
        redis: where to count.
        avatar: the digest of the avatar; all of its counters are on one node of a cluster.
    """

    def __init__(self, redis: SharedRedis, avatar: str) -> None:
        self._redis = redis
        self._tag = avatar
        self._prefix = f"sentifyd:budget:{FORMAT}:{{{avatar}}}"

    @property
    def is_available(self) -> bool:
        """Whether Redis is available, or it is time to try."""
        return self._redis.is_available or self._redis.is_probe_overdue

    async def exchange(
        self, windows: Sequence[Window], wanted: int, returned: Lease = NOTHING
    ) -> Statement:
        """As in `Ledger`, in one atomic step."""
        keys = [f"{self._prefix}:{window.seconds}" for window in windows]
        keys.append(f"{self._prefix}:returned:{secrets.token_hex(8)}")
        numbers = returned.numbers or (-1,) * len(windows)
        arguments = [wanted, returned.units]
        for window, number in zip(windows, numbers, strict=True):
            arguments += [window.amount, window.seconds, number]

        async def exchange(client: AnyRedis) -> Statement:
            answer = await _EXCHANGE(client, keys, arguments)
            # Converted here, because a strange answer means that Redis is not usable.
            granted, *states = (int(number) for number in answer)
            if len(states) != 4 * len(windows):
                raise ValueError
            return Statement(
                granted,
                tuple(
                    Count(left, milliseconds / 1000, number, event)
                    for left, milliseconds, number, event in zip(
                        *(states[part::4] for part in range(4)), strict=True
                    )
                ),
            )

        return await self._redis.run(exchange, self._tag)
