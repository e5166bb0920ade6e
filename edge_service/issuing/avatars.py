"""The avatars at work: each with its rules and its way to a grant, replaceable while serving."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

import structlog

from edge_service.admission.origins import OriginPolicy
from edge_service.issuing.policy import Direct, Issuer
from edge_service.issuing.pool import Pool
from edge_service.issuing.shared import GrantStore, Shared
from edge_service.sealing import Sealer
from edge_service.settings import AvatarSettings, Policy, Settings
from edge_service.telemetry.metrics import Metrics
from edge_service.upstream.circuit_breaker import Circuit, CircuitState
from edge_service.upstream.logins import CountedLogin, Upstream, import_client

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from edge_service.telemetry.tracing import Tracing

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
        self._upstreams: dict[str, Upstream] = {}
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
        asyncio.get_running_loop().run_in_executor(None, import_client)
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
            await desk.close()
        for upstream in self._upstreams.values():
            upstream.close()
        if self._redis is not None:
            await self._redis.aclose()

    def _take(self, avatars: Mapping[str, AvatarSettings]) -> list[_Desk]:
        """Make what is new, keep what stays, and return what is not used any more."""
        before, self._desks = self._desks, {}
        self._avatars = {}
        for name, settings in avatars.items():
            # Origins may change without a login, and without a pool being filled again.
            plain = replace(settings, allowed_origins=frozenset(), allow_any_origin=False)
            if plain not in self._desks:
                self._desks[plain] = before.pop(plain) if plain in before else self._desk(settings)
            origins = OriginPolicy.of(settings, required=self._settings.require_origin)
            self._avatars[name] = Avatar(
                settings.name, settings.policy, origins, self._desks[plain]
            )
        self.everywhere = OriginPolicy(
            frozenset().union(*(avatar.origins.allowed for avatar in self._avatars.values())),
            any(avatar.origins.any_origin for avatar in self._avatars.values()),
        )
        self._show()
        return list(before.values())

    def _show(self) -> None:
        states = self._metrics.states
        states.circuits = {url: upstream.circuit for url, upstream in self._upstreams.items()}
        states.pools = {
            plain.name: desk.issuer
            for plain, desk in self._desks.items()
            if isinstance(desk.issuer, Pool)
        }

    def _desk(self, settings: AvatarSettings) -> _Desk:
        upstream = self._upstreams.get(settings.login_url)
        if upstream is None:
            upstream = self._upstreams[settings.login_url] = self._upstream(settings.login_url)
        login = CountedLogin(settings, upstream, self._metrics, self._span)
        hit, miss = self._metrics.avatar(settings.name, settings.policy)

        def on_issue(found: bool) -> None:
            (hit if found else miss).inc()

        issuer: Issuer
        name = settings.name
        if settings.policy == "pool":
            parallel = min(MAX_FILLING, max(1, self._settings.upstream_concurrency // 2))
            issuer = Pool(login, self._settings.pool_size, parallel, on_issue, name)
        elif settings.policy == "shared":
            issuer = Shared(login, self._store(settings), on_issue, name)
        elif settings.policy == "direct":
            issuer = Direct(login)
        else:
            assert_never(settings.policy)
        return _Desk(issuer, login, upstream)

    def _upstream(self, login_url: str) -> Upstream:
        log = structlog.get_logger("service")

        def on_change(state: CircuitState) -> None:
            log.warning("circuit", state=state, upstream=login_url)

        return Upstream(self._settings, Circuit(on_change))

    def _store(self, settings: AvatarSettings) -> GrantStore | None:
        if self._settings.redis_url is None:
            return None
        from edge_service.issuing.redis_store import RedisGrants, connect

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
        await desk.close()
        self._leaving.discard(desk)
        # Those that leave as well may still have requests under way.
        others = (*self._desks.values(), *self._leaving)
        if all(other.upstream is not desk.upstream for other in others):
            for url in [url for url, used in self._upstreams.items() if used is desk.upstream]:
                del self._upstreams[url]
            self._show()
            desk.upstream.close()


class _Desk:
    """Where the grants of an avatar are handed out, and how many wait there."""

    def __init__(self, issuer: Issuer, login: CountedLogin, upstream: Upstream) -> None:
        self.issuer = issuer
        self._login = login
        self.upstream = upstream
        self.idle = asyncio.Event()
        self.idle.set()
        self._waiting = 0

    async def close(self) -> None:
        await self.issuer.close()
        self._login.close()

    def enter(self) -> Callable[[], None]:
        """Wait there from now on; call what is returned, once or more often, to leave."""
        self.idle.clear()
        self._waiting += 1
        is_here = True

        def leave() -> None:
            nonlocal is_here
            self._waiting -= is_here
            is_here = False
            if not self._waiting:
                self.idle.set()

        return leave


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
