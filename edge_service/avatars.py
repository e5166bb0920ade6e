"""The avatars at work: each with its rules and its way to a grant, replaceable while serving."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from edge_service.answers import ServiceError
from edge_service.circuit import Circuit, CircuitState
from edge_service.grants import Grant
from edge_service.issuing import Direct, Issuer
from edge_service.metrics import Metrics
from edge_service.origins import OriginPolicy
from edge_service.pool import Pool
from edge_service.sealing import Sealer
from edge_service.settings import AvatarSettings, Policy, Settings
from edge_service.shared import GrantStore, Shared

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from edge_service.outbound import Outbound
    from edge_service.sentifyd import AvatarLogin
    from edge_service.tracing import Tracing

__all__ = ["Avatar", "Avatars"]

MAX_FILLING = 4


class Avatars:
    """Every avatar of the service, by its part of the address.

    Args:
        settings: which avatars there are, and what they have in common.
        metrics: where logins, grants and circuits are counted.
        sealer: encrypts grants in Redis; `None` does not.
        tracing: makes a span of each login.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        sealer: Sealer | None,
        tracing: Tracing | None = None,
    ) -> None:
        self._span = tracing.login if tracing is not None else nullcontext
        self._settings = settings
        self._metrics = metrics
        self._sealer = sealer
        self._redis: Redis | None = None
        self._upstreams: dict[str, _Upstream] = {}
        self._desks: dict[AvatarSettings, _Desk] = {}
        self._avatars: dict[str, Avatar] = {}
        self._leaving: set[_Desk] = set()
        self._farewells: set[asyncio.Task[None]] = set()
        self._was_ready = False
        self.everywhere = OriginPolicy(frozenset())
        self._take(settings.avatars)

    @property
    def ready(self) -> bool:
        """Whether every pool has been filled once; those of later avatars do not change it."""
        if not self._was_ready:
            self._was_ready = all(desk.issuer.ready for desk in self._desks.values())
        return self._was_ready

    def find(self, name: str) -> Avatar | None:
        """The avatar of this part of the address; empty for the default one."""
        return self._avatars.get(name)

    def start(self) -> None:
        """Begin what goes on in the background; needs a running event loop."""
        asyncio.get_running_loop().run_in_executor(None, _import_client)
        for desk in self._desks.values():
            desk.issuer.start()

    def replace(self, avatars: Mapping[str, AvatarSettings]) -> None:
        """Serve these from now on; what requests under way still use is closed after them."""
        # Asked now, so that a pool that is new takes nobody out of a load balancer.
        _ = self.ready
        left = self._take(avatars)
        self.start()
        self._leaving.update(left)
        for desk in left:
            farewell = asyncio.create_task(self._retire(desk))
            self._farewells.add(farewell)
            farewell.add_done_callback(self._farewells.discard)

    async def close(self) -> None:
        """End everything that is under way."""
        desks, self._desks = [*self._desks.values(), *self._leaving], {}
        for farewell in self._farewells:
            farewell.cancel()
        await asyncio.gather(*self._farewells, return_exceptions=True)
        for desk in desks:
            await desk.issuer.close()
        for upstream in self._upstreams.values():
            upstream.close()
        if self._redis is not None:
            await self._redis.aclose()

    def _take(self, avatars: Mapping[str, AvatarSettings]) -> list[_Desk]:
        """Make what is new, keep what stays, and return what is not used any more."""
        before, self._desks = self._desks, {}
        for settings in avatars.values():
            # Origins may change without a login, and without a pool being filled again.
            plain = replace(settings, allowed_origins=frozenset(), allow_any_origin=False)
            if plain not in self._desks:
                self._desks[plain] = before.pop(plain) if plain in before else self._desk(settings)
        required = self._settings.require_origin
        self._avatars = {
            name: Avatar(
                settings.name,
                settings.policy,
                OriginPolicy.of(settings, required=required),
                self._desks[replace(settings, allowed_origins=frozenset(), allow_any_origin=False)],
            )
            for name, settings in avatars.items()
        }
        self.everywhere = OriginPolicy(
            frozenset().union(*(avatar.origins.allowed for avatar in self._avatars.values())),
            any(avatar.origins.any_origin for avatar in self._avatars.values()),
        )
        self._metrics.pools(
            {
                plain.name: desk.issuer
                for plain, desk in self._desks.items()
                if isinstance(desk.issuer, Pool)
            }
        )
        return list(before.values())

    def _desk(self, settings: AvatarSettings) -> _Desk:
        upstream = self._upstreams.get(settings.login_url)
        if upstream is None:
            upstream = self._upstreams[settings.login_url] = self._upstream(settings.login_url)
        login = _CountedLogin(settings, upstream, self._metrics, self._span)
        hit, miss = self._metrics.issued(settings.name, settings.policy)

        def on_issue(found: bool) -> None:
            (hit if found else miss).inc()

        issuer: Issuer
        if settings.policy == "pool":
            parallel = min(MAX_FILLING, max(1, self._settings.upstream_concurrency // 2))
            issuer = Pool(login, self._settings.pool_size, parallel, on_issue)
        elif settings.policy == "shared":
            issuer = Shared(login, self._store(settings), on_issue)
        else:
            issuer = Direct(login)
        return _Desk(issuer, upstream)

    def _upstream(self, login_url: str) -> _Upstream:
        log = structlog.get_logger("service")

        def on_change(state: CircuitState) -> None:
            self._metrics.circuit(login_url, state)
            log.warning("circuit", state=state, upstream=login_url)

        self._metrics.circuit(login_url, "closed")
        return _Upstream(self._settings, Circuit(on_change))

    def _store(self, settings: AvatarSettings) -> GrantStore | None:
        if self._settings.redis_url is None:
            return None
        from edge_service.replicas import RedisGrants, connect

        if self._redis is None:
            self._redis = connect(self._settings.redis_url)
        return RedisGrants(
            self._redis,
            settings,
            self._sealer,
            # The longest login, and what it may wait for a slot.
            self._settings.upstream_timeout + 2,
            lambda away: self._metrics.redis_fallback("shared grants", away=away),
        )

    async def _retire(self, desk: _Desk) -> None:
        await desk.idle.wait()
        await desk.issuer.close()
        self._leaving.discard(desk)
        # Those that leave as well may still have requests under way.
        others = (*self._desks.values(), *self._leaving)
        if all(other.upstream is not desk.upstream for other in others):
            for url in [url for url, used in self._upstreams.items() if used is desk.upstream]:
                del self._upstreams[url]
                self._metrics.circuit_gone(url)
            desk.upstream.close()


class _Upstream:
    """A login URL: the connections to it, and its circuit."""

    def __init__(self, settings: Settings, circuit: Circuit) -> None:
        self.circuit = circuit
        self._settings = settings
        self._outbound: Outbound | None = None

    async def login(self, avatar: AvatarSettings) -> AvatarLogin:
        await asyncio.to_thread(_import_client)
        from edge_service.outbound import Outbound
        from edge_service.sentifyd import AvatarLogin

        if self._outbound is None:
            self._outbound = Outbound(
                self._settings.upstream_timeout, self._settings.upstream_concurrency
            )
        return AvatarLogin(avatar, self._outbound)

    def close(self) -> None:
        if self._outbound is not None:
            self._outbound.close()


def _import_client() -> None:
    """In a thread: it takes as long as all the rest, and a start need not wait for it."""
    importlib.import_module("edge_service.sentifyd")


class _Desk:
    """Where the grants of an avatar are handed out; a context manager for each who waits there."""

    def __init__(self, issuer: Issuer, upstream: _Upstream) -> None:
        self.issuer = issuer
        self.upstream = upstream
        self.idle = asyncio.Event()
        self.idle.set()
        self._waiting = 0

    def __enter__(self) -> None:
        if not self._waiting:
            self.idle.clear()
        self._waiting += 1

    def __exit__(self, *_: object) -> None:
        self._waiting -= 1
        if not self._waiting:
            self.idle.set()


class _CountedLogin:
    """A login behind the circuit of its upstream."""

    def __init__(
        self,
        settings: AvatarSettings,
        upstream: _Upstream,
        metrics: Metrics,
        span: Callable[[], AbstractContextManager[object]],
    ) -> None:
        self._settings = settings
        self._upstream = upstream
        self._span = span
        self._metrics = metrics
        self._login: AvatarLogin | None = None

    async def login(self) -> Grant:
        began = time.perf_counter()
        outcome = ServiceError.code
        try:
            with self._span():
                grant = await self._upstream.circuit.run(self._attempt)
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        except ServiceError as error:
            outcome = error.code
            raise
        else:
            outcome = "ok"
            return grant
        finally:
            self._metrics.login(self._settings.name, outcome, time.perf_counter() - began)

    async def _attempt(self) -> Grant:
        if self._login is None:
            self._login = await self._upstream.login(self._settings)
        return await self._login.login()


@dataclass(frozen=True, slots=True)
class Avatar:
    """One avatar, as a request meets it.

    Attributes:
        name: its part of the address, in limits and handles too.
        policy: how its grants are issued.
        origins: whose pages may ask.
        desk: hands out its grants.
    """

    name: str
    policy: Policy
    origins: OriginPolicy
    desk: _Desk
