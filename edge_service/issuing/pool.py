"""The policy `pool`: logs in ahead of time; each grant goes to one visitor only."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import structlog

from edge_service.errors import UpstreamError
from edge_service.issuing.policy import GrantRequest, Upstream
from edge_service.telemetry.logs import describe
from edge_service.upstream.grant import INCOMPLETE_SECONDS, Grant, HeldGrant

__all__ = ["Pool"]

FRESH_SHARE = 0.8
REFILL_SECONDS = 0.1
QUIET_SECONDS = 0.1
MAX_DEFERRAL_SECONDS = 0.5
IDLE_SECONDS = 1.0
MAX_BACKOFF_SECONDS = 60.0
MAX_LOADING_SECONDS = 30.0


class Pool:
    """Keeps `size` grants ready. When it is empty, each request logs in.

    Each grant is issued at most once, because all code runs in the event loop's thread. A grant is
    dropped when less than four fifths of its lifetime are left; one without avatar parameters also
    after a minute, and only issued if there is no other.

    When less than a fifth of the login budget is left, nothing is filled: each further login is for
    a visitor who waits for it.

    Filling waits until no visitor has come for a moment, so that its logins do not delay the
    answers of a burst. Visitors who keep coming delay it by half a second at most, and not again
    before a second without any.

    Args:
        upstream: where grants come from.
        size: target number of ready grants.
        parallel: maximum number of concurrent logins that fill the pool; the other login slots stay
            free for visitors.
        on_issue: called for each request with whether the pool had a grant.
        name: name of the avatar, for the log.
        clock: monotonic clock, in seconds.
    """

    def __init__(
        self,
        upstream: Upstream,
        size: int,
        parallel: int = 4,
        on_issue: Callable[[bool], None] = lambda _: None,
        name: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.size = size
        self._loaded = False
        self._began = math.inf
        self._upstream = upstream
        self._parallel = parallel
        self._name = name
        self._on_issue = on_issue
        self._clock = clock
        self._grants: deque[HeldGrant] = deque()
        self._wanted = asyncio.Event()
        self._may_fill = True
        self._filler: asyncio.Task[None] | None = None
        self._logins: set[asyncio.Task[None]] = set()
        self._backoff = 0.0
        self._rest_until = -math.inf
        self._visitors = 0
        self._busy_since = self._last_visit = -math.inf
        self._log = structlog.get_logger("service")

    @property
    def ready(self) -> bool:
        """Whether it has been full once, or has tried for 30 seconds.

        While Sentifyd is unavailable, avatars of other login URLs must still be served.
        """
        return self._loaded or self._clock() - self._began > MAX_LOADING_SECONDS

    @property
    def level(self) -> int:
        """Number of ready grants."""
        now = self._clock()
        return sum(_is_fresh(held, now) for held in self._grants)

    @property
    def age(self) -> float:
        """Age of the oldest grant in seconds; 0 when there is none."""
        return self._clock() - self._grants[0].born if self._grants else 0.0

    def start(self) -> None:
        """Start to fill the pool."""
        if self._filler is None and self._may_fill:
            self._began = self._clock()
            self._filler = asyncio.create_task(self._fill())

    def stop_filling(self) -> None:
        """Begin no further login ahead of time; visitors still get the grants that are ready."""
        self._may_fill = False
        if self._filler is not None:
            self._filler.cancel()

    def check(self) -> None:
        """Refuse a request while the pool is empty and no login may be made."""
        now = self._clock()
        if not any(_is_fresh(held, now) for held in self._grants):
            self._upstream.check()

    async def issue(self, request: GrantRequest) -> Grant:  # noqa: ARG002 - a refresh is a request
        """A grant for this visitor only.

        Raises:
            UpstreamError: the pool is empty, and the login failed.
        """
        # A mounted application gets no lifespan events, so the pool may not be started yet.
        self.start()
        self._wanted.set()
        with self._visit() as now:
            if (held := self._take(now)) is not None:
                self._on_issue(True)
                return held.at(now)
            self._on_issue(False)
            return await self._upstream.login()

    @contextmanager
    def _visit(self) -> Iterator[float]:
        """Note when visitors are served; yields the time."""
        now = self._clock()
        if not self._visitors and now >= self._last_visit + IDLE_SECONDS:
            self._busy_since = now
        self._visitors += 1
        try:
            yield now
        finally:
            self._visitors -= 1
            self._last_visit = self._clock()

    def _deferral(self) -> float:
        """Seconds until the next login may begin without delaying visitors."""
        now = self._clock()
        quiet_at = QUIET_SECONDS + (now if self._visitors else self._last_visit)
        return min(quiet_at, self._busy_since + MAX_DEFERRAL_SECONDS) - now

    def _take(self, now: float) -> HeldGrant | None:
        while self._grants and not _is_fresh(self._grants[0], now):
            self._grants.popleft()
        fresh = (held for held in self._grants if _is_fresh(held, now))
        held = next((held for held in fresh if held.grant.is_complete), None)
        if held is None:
            return self._grants.popleft() if self._grants else None
        self._grants.remove(held)
        return held

    def take_over(self, before: Pool) -> None:
        """Continue with the grants of another pool, which fills no more."""
        if before._filler is not None:
            before._filler.cancel()
        self._grants, before._grants = before._grants, deque()
        self._loaded = before._loaded
        self._backoff, self._rest_until = before._backoff, before._rest_until

    async def close(self) -> None:
        """Stop filling, and drop the grants."""
        tasks = [task for task in (self._filler, *self._logins) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._grants.clear()

    async def _fill(self) -> None:
        while True:
            self._drop_stale()
            self._wanted.clear()
            missing = self.size - len(self._grants) - len(self._logins)
            most = self._parallel if not self._backoff else 1
            if missing <= 0 or len(self._logins) >= most:
                await self._wait_until_wanted()
                continue
            # Before the login, so that requests during the pause cannot shorten it.
            await asyncio.sleep(self._pause())
            if self._clock() < self._rest_until or self._deferral() > 0:
                # In the meantime, another login has failed, or visitors have come.
                continue
            if not await self._upstream.may_log_in_ahead():
                # Until the budget is renewed, the pool will not get fuller.
                self._loaded = True
                await self._wait_until_wanted()
                continue
            login = asyncio.create_task(self._log_in())
            self._logins.add(login)
            login.add_done_callback(self._ended)

    def _ended(self, login: asyncio.Task[None]) -> None:
        # Discard before waking the filler, which counts the logins.
        self._logins.discard(login)
        self._wanted.set()

    def _pause(self) -> float:
        # Jitter, so that replicas that started together do not log in together.
        pause = REFILL_SECONDS * random.uniform(0.5, 1.5)  # noqa: S311
        return max(pause, self._rest_until - self._clock())

    def _rest(self, least: float) -> None:
        now = self._clock()
        # Concurrent logins usually fail together, which counts as one failure.
        if now >= self._rest_until:
            self._backoff = min(MAX_BACKOFF_SECONDS, max(2 * self._backoff, 1.0))
        seconds = max(self._backoff, least) * random.uniform(1.0, 1.5)  # noqa: S311
        self._rest_until = max(self._rest_until, now + seconds)

    async def _log_in(self) -> None:
        try:
            grant = await self._upstream.login()
        except UpstreamError as error:
            # If Sentifyd has asked to wait, the next attempts cost nothing: no login is sent.
            self._rest(0)
            # Waiting does not fix a refused key, and the other avatars can be served.
            self._loaded = self._loaded or 400 <= error.status < 500
            if error.log_level is not None:
                self._log.warning(
                    "pool_not_filled",
                    avatar=self._name,
                    reason=error.code,
                    grants=self.level,
                    **error.log_fields(),
                )
        except Exception as error:  # noqa: BLE001 - no error may stop the pool
            self._rest(MAX_BACKOFF_SECONDS)
            self._log.error("pool_not_filled", avatar=self._name, **describe(error))
        else:
            self._backoff = 0.0
            self._grants.append(HeldGrant.fresh(grant, self._clock()))
            self._loaded = self._loaded or len(self._grants) >= self.size

    async def _wait_until_wanted(self) -> None:
        now = self._clock()
        stale_in = [_stale_at(held) - now for held in self._grants]
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, min(stale_in)) + 0.001 if stale_in else None):
                await self._wanted.wait()

    def _drop_stale(self) -> None:
        now = self._clock()
        if all(_is_fresh(held, now) for held in self._grants):
            return
        self._grants = deque(held for held in self._grants if _is_fresh(held, now))
        # Grants expire as fast as they arrive, so the pool will not get fuller.
        self._loaded = True


def _is_fresh(held: HeldGrant, now: float) -> bool:
    return now <= _stale_at(held)


def _stale_at(held: HeldGrant) -> float:
    kept = (1 - FRESH_SHARE) * held.life
    return held.born + (kept if held.grant.is_complete else min(kept, INCOMPLETE_SECONDS))
