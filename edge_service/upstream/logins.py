"""Upstreams at work: the connections to a login URL, its circuit, and the logins that go there."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from edge_service.errors import ServiceError, UpstreamRejected
from edge_service.settings import AvatarSettings, Settings
from edge_service.telemetry.metrics import Metrics
from edge_service.upstream.circuit_breaker import Circuit
from edge_service.upstream.grant import Grant

if TYPE_CHECKING:
    from edge_service.upstream.client import Outbound
    from edge_service.upstream.sentifyd import AvatarLogin

__all__ = ["CountedLogin", "Upstream", "import_client"]


class Upstream:
    """A login URL: the connections to it, and its circuit.

    Args:
        settings: timeout, concurrency and certificates.
        circuit: opens when logins keep failing.
    """

    def __init__(self, settings: Settings, circuit: Circuit) -> None:
        self.circuit = circuit
        self._settings = settings
        self._outbound: Outbound | None = None

    async def login(self, avatar: AvatarSettings) -> AvatarLogin:
        """The login of an avatar there."""
        await asyncio.to_thread(import_client)
        from edge_service.upstream.client import Outbound
        from edge_service.upstream.sentifyd import AvatarLogin

        if self._outbound is None:
            self._outbound = Outbound(
                self._settings.upstream_timeout,
                self._settings.upstream_concurrency,
                self._settings.ca_file,
            )
        return AvatarLogin(avatar, self._outbound)

    def close(self) -> None:
        """Cut off the logins that are under way."""
        if self._outbound is not None:
            self._outbound.close()


def import_client() -> None:
    """In a thread: it takes as long as all the rest, and a start need not wait for it."""
    importlib.import_module("edge_service.upstream.sentifyd")


class CountedLogin:
    """A login behind the circuit of its upstream.

    Args:
        settings: the avatar.
        upstream: where it logs in.
        metrics: counts logins by outcome.
        span: makes the span of a login.
    """

    def __init__(
        self,
        settings: AvatarSettings,
        upstream: Upstream,
        metrics: Metrics,
        span: Callable[[], AbstractContextManager[object]],
    ) -> None:
        self._settings = settings
        self._upstream = upstream
        self._span = span
        self._metrics = metrics
        self._login: AvatarLogin | None = None

    async def login(self) -> Grant:
        """One login; raises `UpstreamError`."""
        began = time.perf_counter()
        outcome = ServiceError.code
        try:
            with self._span():
                grant = await self._upstream.circuit.run(self._attempt)
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
            self._metrics.login(self._settings.name, outcome, time.perf_counter() - began)

    def close(self) -> None:
        """Close its connections."""
        if self._login is not None:
            self._login.close()

    async def _attempt(self) -> Grant:
        if self._login is None:
            self._login = await self._upstream.login(self._settings)
        return await self._login.login()
