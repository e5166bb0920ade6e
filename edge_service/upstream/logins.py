"""Logins at Sentifyd: connections and circuit breaker of each URL, and each avatar's login."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from edge_service.errors import ServiceError, UpstreamMalformed, UpstreamRejected
from edge_service.settings import AvatarSettings, Settings
from edge_service.telemetry.metrics import Metrics
from edge_service.upstream import sentifyd
from edge_service.upstream.circuit_breaker import CircuitBreaker
from edge_service.upstream.grant import Grant

if TYPE_CHECKING:
    import requests

    from edge_service.upstream.client import Client

__all__ = ["AvatarLogin", "LoginServer", "MeteredLogin", "import_client"]


class AvatarLogin:
    """Logs one avatar in to Sentifyd.

    Args:
        avatar: has the key and the login URL.
        client: sends the requests.
    """

    def __init__(self, avatar: AvatarSettings, client: Client) -> None:
        self._key = avatar.api_key
        self._client = client
        self._request = client.post(avatar.login_url, sentifyd.login_body(avatar))
        # Own connections, so that a misplaced response never reaches another avatar.
        self._connections = client.connections()

    async def login(self, observe: Callable[[requests.Response], None] = lambda _: None) -> Grant:
        """Log in once.

        Args:
            observe: called in a thread with the response, before its body is read. It must not read
                the body.

        Raises:
            UpstreamError: no grant within `upstream_timeout`; the subclass says why.
        """

        def read(response: requests.Response) -> Grant:
            observe(response)
            return self._read(response)

        return await self._client.send(self._connections, self._request, read)

    def close(self) -> None:
        """Close its connections."""
        self._client.drop(self._connections)

    def _read(self, response: requests.Response) -> Grant:
        from edge_service.upstream.client import read_body

        status = response.status_code
        if status == 200:
            body = read_body(response, sentifyd.MAX_GRANT_BYTES)
            return sentifyd.parse_login(body, self._key)
        try:
            details = read_body(response, sentifyd.MAX_DETAILS_BYTES)
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

    async def login_of(self, avatar: AvatarSettings) -> AvatarLogin:
        """The login of an avatar at this URL."""
        await asyncio.to_thread(import_client)
        from edge_service.upstream.client import Client

        if self._client is None:
            self._client = Client(
                self._settings.upstream_timeout,
                self._settings.upstream_concurrency,
                self._settings.ca_file,
            )
        return AvatarLogin(avatar, self._client)

    def close(self) -> None:
        """Abort all current logins."""
        if self._client is not None:
            self._client.close()


def import_client() -> None:
    """Import the HTTP client. Call it in a thread, because the import is slow."""
    importlib.import_module("edge_service.upstream.client")


class MeteredLogin:
    """A login behind the circuit breaker of its server, with metrics and a span.

    Args:
        settings: the avatar.
        server: the login URL.
        metrics: counts logins by outcome.
        span: creates the tracing span of a login.
    """

    def __init__(
        self,
        settings: AvatarSettings,
        server: LoginServer,
        metrics: Metrics,
        span: Callable[[], AbstractContextManager[object]],
    ) -> None:
        self._settings = settings
        self._server = server
        self._span = span
        self._metrics = metrics
        self._login: AvatarLogin | None = None

    async def login(self) -> Grant:
        """Log in once.

        Raises:
            UpstreamError: the login failed; the subclass says why.
        """
        began = time.perf_counter()
        outcome = ServiceError.code
        try:
            with self._span():
                grant = await self._server.breaker.run(self._attempt)
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
            return grant
        finally:
            self._metrics.observe_login(self._settings.name, outcome, time.perf_counter() - began)

    def close(self) -> None:
        """Close its connections."""
        if self._login is not None:
            self._login.close()

    async def _attempt(self) -> Grant:
        if self._login is None:
            self._login = await self._server.login_of(self._settings)
        return await self._login.login()
