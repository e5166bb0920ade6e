"""The login budget of an avatar: how many logins may be made at Sentifyd."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from weakref import WeakValueDictionary

import structlog

from edge_service.errors import BudgetSpent, BudgetUnavailable
from edge_service.redis_client import RedisUnavailable, SharedRedis
from edge_service.settings import AvatarSettings
from edge_service.settings.parsers import parse_login_budget, window_name
from edge_service.upstream.ledgers import (
    SPENT,
    Count,
    Lease,
    Ledger,
    MemoryLedger,
    RedisLedger,
    Window,
)

__all__ = ["LoginBudget", "LoginBudgets"]

# How long a statement is believed: other replicas spend too, and may give units back.
STATEMENT_SECONDS = 10.0


class LoginBudget:
    """Reserves one unit before each attempt to log in; a unit is never returned after that.

    Units are leased from the ledger, a few at a time, and given back when the process stops.
    While the ledger is unavailable, the lease is spent. It ends with the window that ends first.

    Args:
        ledger: counts the units.
        avatar: name of the avatar, for the log.
        clock: monotonic clock, in seconds.

    Attributes:
        windows: the limits; without any, every login is allowed.
    """

    def __init__(
        self, ledger: Ledger, avatar: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.windows: tuple[Window, ...] = ()
        self._ledger = ledger
        self._avatar = avatar
        self._clock = clock
        self._units = 0
        self._numbers: tuple[int, ...] = ()
        self._counts: tuple[Count, ...] = ()
        # By the monotonic clock; the lease ends a little early, and windows a little late.
        self._lease_ends = self._stated = -math.inf
        self._waiting = 0
        self._asking: asyncio.Task[bool] | None = None

    def limit_to(self, windows: tuple[Window, ...]) -> None:
        """Set the limits. What was counted in windows of the same length still counts."""
        if windows != self.windows:
            self.windows = windows
            self._units, self._numbers, self._counts = 0, (), ()
            self._lease_ends = self._stated = -math.inf

    def check(self) -> None:
        """Check whether a login may begin, without reserving it.

        Raises:
            BudgetSpent: not before the next window.
            BudgetUnavailable: not while Redis is unavailable.
        """
        if self.windows and not self._has_unit():
            self._check_spent()
            if not self._ledger.is_available:
                raise BudgetUnavailable

    async def take(self) -> None:
        """Reserve one login.

        Raises:
            BudgetSpent: none is left in a window.
            BudgetUnavailable: none is left in the lease, and Redis is unavailable.
        """
        self._waiting += 1
        try:
            while self.windows and not (self._has_unit() and self._is_current()):
                self._check_spent()
                answered = await self._ask()
                if self._has_unit():
                    break
                if not answered:
                    raise BudgetUnavailable
        finally:
            self._waiting -= 1
        if self.windows:
            self._units -= 1

    async def is_ample(self) -> bool:
        """Whether at least a fifth of each window is left; `False` if nobody knows."""
        if not self.windows:
            return True
        # While Redis is unavailable, the lease is for visitors.
        if not self._ledger.is_available:
            return False
        if not self._is_current() and not await self._ask():
            return False
        return all(left * 5 >= window.amount for window, left in self.left())

    def left(self) -> Iterator[tuple[Window, int]]:
        """What is left in each window, as far as this process knows; empty if it never asked."""
        since = self._clock() - self._stated
        for window, count in zip(self.windows, self._counts, strict=False):
            is_over = since >= count.seconds
            yield window, window.amount if is_over else max(0, count.left) + self._units

    async def give_back(self) -> None:
        """Give unused units back to other processes."""
        if self._asking is not None and self._asking.get_loop() is asyncio.get_running_loop():
            await asyncio.gather(self._asking, return_exceptions=True)
        unused, self._units = Lease(self._units, self._numbers), 0
        if unused.units:
            with suppress(RedisUnavailable):
                await self._ledger.exchange(self.windows, 0, unused)

    def _has_unit(self) -> bool:
        return self._units > 0 and self._clock() < self._lease_ends

    def _is_current(self) -> bool:
        """Whether the last statement is recent, and no window has ended since."""
        lasts = min((STATEMENT_SECONDS, *(count.seconds for count in self._counts)))
        return self._clock() - self._stated < lasts

    def _check_spent(self) -> None:
        if not self._has_unit() and self._is_current():
            ends = [count.seconds for count in self._counts if count.left <= 0]
            if ends:
                raise BudgetSpent(self._stated + max(ends) - self._clock())

    async def _ask(self) -> bool:
        """Ask the ledger, once for all that wait; returns whether it answered."""
        loop = asyncio.get_running_loop()
        if self._asking is None or self._asking.get_loop() is not loop:
            # A task of its own, because a visitor who leaves must not disturb the others.
            self._asking = loop.create_task(self._exchange())
            self._asking.add_done_callback(self._has_asked)
        return await asyncio.shield(self._asking)

    def _has_asked(self, asking: asyncio.Task[bool]) -> None:
        if self._asking is asking:
            self._asking = None

    async def _exchange(self) -> bool:
        began = self._clock()
        windows = self.windows
        unused = Lease()
        if not self._has_unit():
            unused, self._units = Lease(self._units, self._numbers), 0
        try:
            statement = await self._ledger.exchange(
                windows, max(0, self._waiting - self._units), unused
            )
        except RedisUnavailable:
            return False
        if windows is self.windows:
            self._units = statement.granted + (
                self._units if self._numbers == statement.numbers else 0
            )
            self._numbers, self._counts = statement.numbers, statement.counts
            self._stated = self._clock()
            self._lease_ends = began + min(count.seconds for count in statement.counts)
        self._report(windows, statement.counts)
        return True

    def _report(self, windows: tuple[Window, ...], counts: tuple[Count, ...]) -> None:
        log = structlog.get_logger("service")
        for window, count in zip(windows, counts, strict=True):
            if count.event:
                (log.error if count.event == SPENT else log.warning)(
                    "login_budget_spent" if count.event == SPENT else "login_budget_low",
                    avatar=self._avatar,
                    window=window.name,
                    left=max(0, count.left),
                    of=window.amount,
                    renewed_in=math.ceil(count.seconds),
                )


class LoginBudgets:
    """The budgets of all avatars. An avatar keeps its budget when other settings change.

    Args:
        redis: the Redis that replicas share; `None` counts in this process only.
    """

    def __init__(self, redis: SharedRedis | None = None) -> None:
        self._redis = redis
        # A budget lives as long as its last login.
        self._budgets: WeakValueDictionary[str, LoginBudget] = WeakValueDictionary()
        self._has_warned = False

    def of(self, avatar: AvatarSettings) -> LoginBudget:
        """The budget of an avatar. Its limits are those of the first call, until `limit`.

        Raises:
            ValueError: `login_budget` is invalid.
        """
        budget = self._budgets.get(avatar.digest)
        if budget is None:
            budget = self._budgets[avatar.digest] = LoginBudget(self._ledger(avatar), avatar.name)
            budget.limit_to(_windows(avatar))
        return budget

    def limit(self, avatars: Iterable[AvatarSettings]) -> dict[str, LoginBudget]:
        """Set the limits of these avatars, and return their budgets by name.

        Raises:
            ValueError: a `login_budget` is invalid.
        """
        budgets = {}
        for avatar in avatars:
            budget = budgets[avatar.name] = self.of(avatar)
            budget.limit_to(_windows(avatar))
            if budget.windows and self._redis is None and not self._has_warned:
                self._has_warned = True
                structlog.get_logger("service").warning("login_budget_per_process")
        return budgets

    def _ledger(self, avatar: AvatarSettings) -> Ledger:
        return MemoryLedger() if self._redis is None else RedisLedger(self._redis, avatar.digest)


def _windows(avatar: AvatarSettings) -> tuple[Window, ...]:
    if avatar.login_budget is None:
        return ()
    items = parse_login_budget(avatar.login_budget)
    return tuple(Window(item.amount, item.get_expiry(), window_name(item)) for item in items)
