"""Counters of requests in the memory of this process."""

from __future__ import annotations

__all__ = ["WindowCounters"]

MAX_COUNTERS = 100_000
SHARED_COUNTERS = 65_536


class WindowCounters:
    """Counters of one limit in memory, for the current window.

    A window is dropped as a whole, and the number of counters is limited. Above that number, keys
    share counters by their hash, which has a secret seed. A flood can therefore neither fill the
    memory nor reset a visitor's counter.

    Args:
        amount: how many requests a window allows.
        seconds: length of a window.
    """

    __slots__ = ("_amount", "_counters", "_end", "_seconds", "_start")

    def __init__(self, amount: int, seconds: int) -> None:
        self._amount = amount
        self._seconds = seconds
        self._start = self._end = 0
        self._counters: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._counters)

    def hit(self, key: int, now: float) -> bool:
        """Count a request, and return whether it is within the limit.

        Args:
            key: hash of what is counted, with a secret seed. A hash needs a third of a string's
                memory, and 64 bits make collisions negligible.
            now: seconds since the epoch.
        """
        # Any other window, not only a later one: the clock may have been set back.
        if not self._start <= now < self._end:
            self._start = int(now // self._seconds) * self._seconds
            self._end = self._start + self._seconds
            self._counters = {}
        slot = self._slot(key)
        count = self._counters[slot] = self._counters.get(slot, 0) + 1
        return count <= self._amount

    def is_exhausted(self, key: int, now: float) -> bool:
        """Whether one more request would be over the limit; the arguments are those of `hit`."""
        if not self._start <= now < self._end:
            return False
        return self._counters.get(self._slot(key), 0) >= self._amount

    def _slot(self, key: int) -> int:
        if key in self._counters or len(self._counters) < MAX_COUNTERS:
            return key
        return key % SHARED_COUNTERS
