"""The policy `shared`: one grant for all visitors, renewed shortly before it expires."""

from __future__ import annotations

import asyncio
import hmac
import math
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

import structlog

from edge_service.errors import ServiceError
from edge_service.issuing.policy import GrantRequest, Upstream
from edge_service.telemetry.logs import describe
from edge_service.upstream.grant import INCOMPLETE_SECONDS, Grant, HeldGrant

__all__ = ["GrantStore", "Shared"]

EARLY_SECONDS = 30.0
EARLY_SHARE = 0.2
LAST_SECONDS = 5.0
LAST_SHARE = 0.05
PACE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 60.0
INCOMPLETE_RETRY_SECONDS = 10.0


class GrantStore(Protocol):
    """A store in which several processes share a grant."""

    async def renew(
        self, wanted: Callable[[HeldGrant], bool], log_in: Callable[[], Awaitable[HeldGrant]]
    ) -> HeldGrant:
        """The stored grant if it is wanted; otherwise exactly one process logs in for all."""


class Shared:
    """Issues the same grant to all visitors, with one login for each renewal.

    A refresh never returns the grant that it replaces: it waits for a renewal. Renewals are at
    least one second apart, so that refreshes cannot cause a flood of logins.

    A grant without avatar parameters is kept for at most a minute. While an earlier grant with
    parameters is valid, visitors get that one, and only its refreshes get the incomplete one.

    Args:
        upstream: where grants come from.
        store: shares the grant with other processes; `None` keeps it in this process.
        on_issue: called for each request with whether a grant was ready.
        name: name of the avatar, for the log.
        clock: monotonic clock, in seconds.
    """

    ready = True

    def __init__(
        self,
        upstream: Upstream,
        store: GrantStore | None = None,
        on_issue: Callable[[bool], None] = lambda _: None,
        name: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._upstream = upstream
        self._store = store
        self._on_issue = on_issue
        self._name = name
        self._clock = clock
        self._held: HeldGrant | None = None
        self._incomplete: HeldGrant | None = None
        self._renew_at = self._ends_at = 0.0
        self._shown: tuple[int, Grant] | None = None
        self._renewal: asyncio.Task[HeldGrant] | None = None
        self._failure: tuple[float, Exception] = (-math.inf, ServiceError())
        self._log = structlog.get_logger("service")

    def start(self) -> None:
        """Do nothing: the first visitor causes the first login."""

    def check(self) -> None:
        """Refuse a request while there is no grant and the next login has to wait."""
        if self._held is None or self._clock() >= self._ends_at:
            self._check_failure()

    async def issue(self, request: GrantRequest) -> Grant:
        """The current grant; for a refresh of that grant, the next one.

        Raises:
            ServiceError: there is no grant; the subclass says why.
        """
        now = self._clock()
        held = self._held
        brought = request.refresh_token
        if held is None or now >= self._ends_at or _belongs_to(brought, held):
            self._on_issue(False)
            return await self._next(brought)
        if now >= self._renew_at and now >= self._failure[0]:
            self._renew()
        self._on_issue(True)
        return self._show(held, now)

    def take_over(self, before: Shared) -> None:
        """Continue with the grant of another one."""
        self._held, self._incomplete = before._held, before._incomplete
        self._renew_at, self._ends_at = before._renew_at, before._ends_at
        self._failure = before._failure

    async def close(self) -> None:
        """Cancel a running renewal, and drop the grant."""
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)
        self._held = self._incomplete = self._shown = None

    async def _next(self, brought: str | None) -> Grant:
        # Twice at most: another process may have stored the very grant that is to be replaced.
        for _ in range(2):
            if self._check_failure():
                raise self._failure[1].with_traceback(None)
            # Shielded, because other visitors wait for the same renewal.
            held = await asyncio.shield(self._renewal or self._renew())
            if self._incomplete is not None and _belongs_to(brought, held):
                held = self._incomplete
            if not _belongs_to(brought, held):
                break
        return self._show(held, self._clock())

    def _check_failure(self) -> bool:
        """Whether a renewal has failed and the next one has to wait.

        Raises:
            UpstreamError: the next login has to wait too; better than an old error, because it
                says how long.
        """
        if self._renewal is not None or self._clock() >= self._failure[0]:
            return False
        self._upstream.check()
        return True

    def _renew(self) -> asyncio.Task[HeldGrant]:
        if self._renewal is None:
            self._renewal = asyncio.create_task(self._renewed())
            self._renewal.add_done_callback(self._keep)
        return self._renewal

    async def _renewed(self) -> HeldGrant:
        old, last = self._held, self._incomplete or self._held
        if last is not None and (pause := last.born + PACE_SECONDS - self._clock()) > 0:
            await asyncio.sleep(min(pause, PACE_SECONDS))
        self._incomplete = None
        if self._store is None:
            return await self._log_in()
        return await self._store.renew(lambda found: self._is_newer(found, old), self._log_in)

    async def _log_in(self) -> HeldGrant:
        held = HeldGrant.fresh(await self._upstream.login(), self._clock())
        if held.grant.is_complete:
            return held
        held = replace(held, life=min(held.life, INCOMPLETE_SECONDS))
        old = self._held
        if old is None or not old.grant.is_complete or self._clock() >= self._ends_at:
            return held
        # Returned here, so that the store keeps the complete one too.
        self._incomplete = held
        return old

    def _is_newer(self, found: HeldGrant, old: HeldGrant | None) -> bool:
        return found.left(self._clock()) > _early(found) and (
            old is None or not _belongs_to(found.grant.refresh_token, old)
        )

    def _keep(self, renewal: asyncio.Task[HeldGrant]) -> None:
        self._renewal = None
        if renewal.cancelled():
            return
        if (error := renewal.exception()) is not None:
            failure = error if isinstance(error, ServiceError) else ServiceError()
            pause = max(PACE_SECONDS, min(failure.retry_after, MAX_PAUSE_SECONDS))
            self._failure = (self._clock() + pause, failure)
            if failure.log_level is not None:
                details = failure.log_fields() if failure is error else describe(error)
                self._log.warning(
                    "grant_not_renewed", avatar=self._name, reason=failure.code, **details
                )
            return
        held = renewal.result()
        if held is self._held:
            self._renew_at = self._clock() + INCOMPLETE_RETRY_SECONDS
            return
        self._held = held
        ends = held.born + held.life
        # Jitter, so that processes do not renew all at once.
        self._renew_at = ends - _early(held) * random.uniform(1.0, 2.0)  # noqa: S311
        # At least a second, because times in a JWT are whole seconds.
        last = max(min(LAST_SECONDS, LAST_SHARE * held.life), min(1.0, held.life / 2))
        self._ends_at = ends - last
        self._shown = None

    def _show(self, held: HeldGrant, now: float) -> Grant:
        """The grant with its remaining lifetime; the same object within each second."""
        if held.grant.expires_in is None or held is not self._held:
            return held.at(now)
        second = math.floor(held.left(now))
        if self._shown is None or self._shown[0] != second:
            self._shown = (second, held.at(now))
        return self._shown[1]


def _early(held: HeldGrant) -> float:
    return min(EARLY_SECONDS, EARLY_SHARE * held.life)


def _belongs_to(refresh_token: str | None, held: HeldGrant) -> bool:
    return refresh_token is not None and hmac.compare_digest(
        refresh_token.encode("utf-8", "replace"),
        held.grant.refresh_token.encode("utf-8", "replace"),
    )
