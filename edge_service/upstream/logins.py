"""Logins at Sentifyd: connections and circuit breaker of each URL, and each avatar's login."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from edge_service.errors import ServiceError, UpstreamMalformed, UpstreamRejected
from edge_service.settings import AvatarSettings, Settings
from edge_service.telemetry.metrics import Metrics
from edge_service.upstream import sentifyd
from edge_service.upstream.budget import LoginBudget
from edge_service.upstream.circuit_breaker import CircuitBreaker
from edge_service.upstream.grant import Grant
from edge_service.upstream.pause import LoginPause

if TYPE_CHECKING:
    from aiohttp import ClientResponse

    from edge_service.upstream.client import Client

__all__ = ["AvatarLogin", "LoginServer", "MeteredLogin", "prepare"]


class AvatarLogin:
    """Logs one avatar in to Sentifyd.

    Args:
        avatar: has the key and the login URL.
        client: sends the requests.
        permit: awaited before each attempt to send the request; may raise `UpstreamError` to stop
            it. `None` permits all.
    """

    def __init__(
        self,
        avatar: AvatarSettings,
        client: Client,
        permit: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        from edge_service.upstream.client import post

        self._key = avatar.api_key
        self._client = client
        self._permit = permit
        self._request = post(avatar.login_url, sentifyd.login_body(avatar))
        # Own connections, so that a misplaced response never reaches another avatar.
        self._connections = client.connections()

    async def login(self, observe: Callable[[ClientResponse], None] = lambda _: None) -> Grant:
        """Log in once.

        Args:
            observe: called with the response, before its body is read.

        Raises:
            UpstreamError: no grant within `upstream_timeout`; the subclass says why.
        """

        async def read(response: ClientResponse) -> Grant:
            observe(response)
            return await self._read(response)

        return await self._client.send(self._connections, self._request, read, self._permit)

    async def close(self) -> None:
        """Close its connections."""
        await self._client.drop(self._connections)

    async def _read(self, response: ClientResponse) -> Grant:
        from edge_service.upstream.client import read_body

        status = response.status
        if status == 200:
            body = await read_body(response, sentifyd.MAX_GRANT_BYTES)
            return sentifyd.parse_login(body, self._key)
        try:
            details = await read_body(response, sentifyd.MAX_DETAILS_BYTES)
        except UpstreamMalformed:
            details = None
        retry_after = response.headers.get("Retry-After", "")
        raise sentifyd.rejection(status, retry_after, details, self._key)


class LoginServer:
    """One login URL, with its HTTP client and circuit breaker.

    Args:
        settings: timeout, concurrency and certificates.
        breaker: opens when logins keep failing.
    """

    def __init__(self, settings: Settings, breaker: CircuitBreaker) -> None:
        self.breaker = breaker
        self._settings = settings
        self._client: Client | None = None

    async def login_of(
        self, avatar: AvatarSettings, permit: Callable[[], Awaitable[None]]
    ) -> AvatarLogin:
        """The login of an avatar at this URL; `permit` as for `AvatarLogin`."""
        await asyncio.to_thread(prepare, self._settings.ca_file)
        from edge_service.upstream.client import Client
        from edge_service.upstream.connections import trusted

        if self._client is None:
            self._client = Client(
                self._settings.upstream_timeout,
                self._settings.upstream_concurrency,
                trusted(self._settings.ca_file),
            )
        return AvatarLogin(avatar, self._client, permit)

    async def close(self) -> None:
        """Abort all current logins."""
        if self._client is not None:
            await self._client.aclose()


def prepare(ca_file: Path | None) -> None:
    """Import the HTTP client and load the certificates. Call it in a thread: both are slow."""
    from edge_service.upstream.connections import trusted

    trusted(ca_file)


class MeteredLogin:
    """An avatar's login, with budget, pauses, its server's circuit breaker, metrics and a span.

    Args:
        settings: the avatar.
        server: the login URL.
        budget: how many logins may be made.
        metrics: counts logins by outcome.
        span: creates the tracing span of a login.
        clock: monotonic clock of the pauses, in seconds.
    """

    def __init__(
        self,
        settings: AvatarSettings,
        server: LoginServer,
        budget: LoginBudget,
        metrics: Metrics,
        span: Callable[[], AbstractContextManager[object]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._server = server
        self._budget = budget
        self._span = span
        self._metrics = metrics
        self._login: AvatarLogin | None = None
        self._pause = LoginPause(self._paused, clock)
        self._has_warned = False

    def check(self) -> None:
        """Check whether a login may begin.

        Raises:
            UpstreamError: not now: Sentifyd has asked to wait, the circuit is open, or the budget
                is spent or unavailable.
        """
        try:
            self._pause.check()
            self._server.breaker.check()
            self._budget.check()
        except ServiceError as error:
            self._metrics.observe_login(self._settings.name, error.code, 0)
            raise

    async def may_log_in_ahead(self) -> bool:
        """Whether the budget has enough left for logins that no visitor waits for."""
        return await self._budget.is_ample()

    async def login(self) -> Grant:
        """Log in once.

        Raises:
            UpstreamError: the login failed; the subclass says why.
        """
        began = time.perf_counter()
        outcome = ServiceError.code
        try:
            with self._span():
                grant = await self._pause.run(lambda: self._server.breaker.run(self._attempt))
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        except UpstreamRejected as error:
            outcome = f"{error.code}_{error.status}"
            raise
        except ServiceError as error:
            outcome = error.code
            raise
        else:
            outcome = "ok"
            if not grant.is_complete:
                self._note_incomplete()
            return grant
        finally:
            self._metrics.observe_login(self._settings.name, outcome, time.perf_counter() - began)

    def take_over(self, before: MeteredLogin) -> None:
        """Continue the pauses of another login of the same avatar; call it before the first one."""
        self._pause = before._pause
        self._has_warned = before._has_warned

    async def close(self) -> None:
        """Close its connections, and give the unused part of the budget back."""
        if self._login is not None:
            await self._login.close()
        await self._budget.give_back()

    async def _attempt(self) -> Grant:
        if self._login is None:
            self._login = await self._server.login_of(self._settings, self._permit)
        return await self._login.login()

    async def _permit(self) -> None:
        self._pause.check_again()
        await self._budget.take()
        # The budget may have asked Redis, and meanwhile another login may have been refused.
        self._pause.check_again()

    def _note_incomplete(self) -> None:
        self._metrics.incomplete_login(self._settings.name)
        if not self._has_warned:
            self._has_warned = True
            structlog.get_logger("service").warning(
                "avatar_parameters_missing", avatar=self._settings.name
            )

    def _paused(self, error: UpstreamRejected, seconds: float) -> None:
        structlog.get_logger("service").warning(
            "logins_paused",
            avatar=self._settings.name,
            status=error.status,
            seconds=math.ceil(seconds),
        )
