"""The avatars of the service, each with its origins and policy. A reload replaces them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

import structlog

from edge_service.admission.origins import OriginPolicy
from edge_service.issuing.context import Closable, IssuingContext
from edge_service.issuing.direct import Direct
from edge_service.issuing.policy import Policy
from edge_service.issuing.pool import Pool
from edge_service.issuing.redis_store import RedisGrants
from edge_service.issuing.shared import GrantStore, Shared
from edge_service.sealing import Sealer
from edge_service.settings import AvatarSettings, Settings
from edge_service.settings.policies import POLICIES
from edge_service.telemetry.metrics import Metrics
from edge_service.upstream.budget import LoginBudget, LoginBudgets
from edge_service.upstream.circuit_breaker import CircuitBreaker, CircuitState
from edge_service.upstream.logins import LoginServer, MeteredLogin, prepare

if TYPE_CHECKING:
    from edge_service.redis_client import SharedRedis
    from edge_service.telemetry.tracing import Tracing

__all__ = ["Avatar", "Avatars"]

MAX_PARALLEL_REFILLS = 4


@dataclass(frozen=True, slots=True)
class Avatar:
    """One avatar, with what a request needs.

    Attributes:
        name: its path segment after `/request_tokens/`; limits and handles depend on it.
        is_shared: every visitor gets the same grant.
        origins: which pages may request tokens.
        context: issues its grants.
    """

    name: str
    is_shared: bool
    origins: OriginPolicy
    context: IssuingContext


class Avatars:
    """Every avatar of the service, by its path segment.

    Args:
        settings: the avatars, and the settings that they share.
        metrics: counts logins and grants, and reports circuit breakers and pools.
        sealer: encrypts grants in Redis; `None` stores them unencrypted.
        tracing: creates a span for each login; `None` creates none.
        redis: where replicas share grants and login budgets; `None` keeps them in this process. The
            caller closes it.
        before: the avatars that these will replace; call `go_live` then. What both have in common
            is not created again.
        reconnect: whether connections to Sentifyd are made anew in any case.

    Raises:
        ValueError: a login budget is invalid.

    Attributes:
        budgets: the login budgets; those of unchanged avatars go on after a reload.
        draining: the process is about to stop, so no pool is filled.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        sealer: Sealer | None,
        tracing: Tracing | None = None,
        redis: SharedRedis | None = None,
        before: Avatars | None = None,
        *,
        reconnect: bool = False,
    ) -> None:
        self._span = tracing.login_span if tracing is not None else nullcontext
        self._settings = settings
        self._metrics = metrics
        self._sealer = sealer
        self._redis = redis
        self.budgets = LoginBudgets(redis)
        self._servers: dict[str, LoginServer] = {}
        self._contexts: dict[AvatarSettings, IssuingContext] = {}
        self._avatars: dict[str, Avatar] = {}
        self._limited: Mapping[str, AvatarSettings] = {}
        self._retiring: dict[asyncio.Task[None], IssuingContext] = {}
        self._was_ready = False
        self.draining = False
        self._before = before
        self._known: dict[AvatarSettings, IssuingContext] = {}
        self._known_servers: dict[str, LoginServer] = {}
        self._same_servers = self._same_policies = False
        self._heirs: list[tuple[IssuingContext, IssuingContext]] = []
        if before is not None:
            self._compare(before, reconnect=reconnect)
        self.everywhere = OriginPolicy(frozenset())
        self._take(settings.avatars)

    @property
    def ready(self) -> bool:
        """Whether every pool has been filled once; avatars that are added later do not count."""
        if not self._was_ready:
            self._was_ready = all(context.policy.ready for context in self._contexts.values())
        return self._was_ready

    def find(self, name: str) -> Avatar | None:
        """The avatar of this path segment, empty for the default one; `None` if there is none."""
        return self._avatars.get(name)

    @property
    def prepared(self) -> bool:
        """Whether the pools of new avatars have been filled once, before these avatars go live."""
        heirs = {id(heir) for heir, _ in self._heirs}
        return all(c.policy.ready for c in self._contexts.values() if id(c) not in heirs)

    def prepare(self) -> None:
        """Start what the avatars before do not have yet; needs a running event loop."""
        heirs = {id(heir) for heir, _ in self._heirs}
        for context in self._contexts.values():
            if id(context) not in heirs:
                context.policy.start()

    def go_live(self) -> None:
        """Continue what the avatars before have begun; they must get no further request."""
        if self._before is not None:
            self._was_ready = self._before.ready
            for heir, context in self._heirs:
                heir.take_over(context)
            is_draining = self._before.draining
            self._before, self._heirs, self._known, self._known_servers = None, [], {}, {}
            self.start()
            if is_draining:
                self.drain()
        self._take_effect()

    async def idle(self) -> None:
        """Wait until no request uses these avatars."""
        for context in self._contexts.values():
            await context.idle.wait()

    def resources(self) -> list[Closable]:
        """Everything that has to be closed, in this order."""
        contexts = self._contexts.values()
        return [
            *(context.policy for context in contexts),
            *(context.login for context in contexts),
            *self._servers.values(),
        ]

    def start(self) -> None:
        """Start the background work; needs a running event loop."""
        preparing = asyncio.get_running_loop().run_in_executor(
            None, prepare, self._settings.ca_file
        )
        # If it fails, the first login tries again and reports the error.
        preparing.add_done_callback(lambda done: done.cancelled() or done.exception())
        for context in self._contexts.values():
            context.policy.start()

    def replace(self, avatars: Mapping[str, AvatarSettings]) -> None:
        """Serve these avatars from now on; unused contexts close after their last request."""
        # Evaluated before the change: an empty new pool must not make this replica unready.
        _ = self.ready
        replaced = self._take(avatars)
        self.start()
        for context in replaced:
            task = asyncio.create_task(self._retire(context))
            self._retiring[task] = context
            task.add_done_callback(self._retiring.pop)

    def drain(self) -> None:
        """Fill no pool from now on, because the process is about to stop; visitors are served."""
        self.draining = True
        for context in (*self._contexts.values(), *self._retiring.values()):
            if isinstance(context.policy, Pool):
                context.policy.stop_filling()

    async def close(self) -> None:
        """Stop all background work, and close all connections."""
        contexts = [*self._contexts.values(), *self._retiring.values()]
        tasks = list(self._retiring)
        self._contexts = {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for context in contexts:
            await context.close()
        for server in self._servers.values():
            await server.close()

    def _compare(self, before: Avatars, *, reconnect: bool) -> None:
        """Find out what continues."""
        self._known, self._known_servers = before._contexts, before._servers
        self.draining = before.draining
        if before._redis is self._redis:
            self.budgets = before.budgets
        old, new = before._settings, self._settings
        self._same_servers = not reconnect and (
            (old.upstream_timeout, old.upstream_concurrency, old.ca_file)
            == (new.upstream_timeout, new.upstream_concurrency, new.ca_file)
        )
        self._same_policies = (
            self._same_servers
            and old.pool_size == new.pool_size
            and before._redis is self._redis
            and before._sealer is self._sealer
        )

    def _take(self, avatars: Mapping[str, AvatarSettings]) -> list[IssuingContext]:
        """Create new contexts, keep unchanged ones, and return those that are no longer used."""
        before, self._contexts = self._contexts, {}
        self._avatars = {}
        for name, settings in avatars.items():
            # A change of origins or budget keeps the context, so that its pool stays filled.
            key = replace(
                settings, allowed_origins=frozenset(), allow_any_origin=False, login_budget=None
            )
            # The pool of a new avatar is filled before these avatars go live, within its budget.
            budget = self.budgets.of(settings)
            if key not in self._contexts:
                kept = before.pop(key, None)
                self._contexts[key] = kept or self._context(key, budget)
            self._avatars[name] = Avatar(
                settings.name,
                POLICIES[settings.policy].is_shared,
                OriginPolicy.of(settings, required=self._settings.require_origin),
                self._contexts[key],
            )
        self.everywhere = OriginPolicy.union(avatar.origins for avatar in self._avatars.values())
        self._limited = avatars
        if self._before is None:
            self._take_effect()
        return list(before.values())

    def _take_effect(self) -> None:
        """Change what the avatars before use too."""
        self._metrics.states.budgets = self.budgets.limit(self._limited.values())
        self._export_states()

    def _export_states(self) -> None:
        states = self._metrics.states
        states.breakers = {url: server.breaker for url, server in self._servers.items()}
        states.pools = {
            key.name: context.policy
            for key, context in self._contexts.items()
            if isinstance(context.policy, Pool)
        }

    def _context(self, settings: AvatarSettings, budget: LoginBudget) -> IssuingContext:
        server = self._servers.get(settings.login_url)
        if server is None:
            server = self._servers[settings.login_url] = self._server(settings.login_url)
        known = self._known.get(settings)
        if known is not None and self._same_policies:
            return known.again()
        login = MeteredLogin(settings, server, budget, self._metrics, self._span)
        context = IssuingContext(self._policy(settings, login), login, server)
        if known is not None:
            self._heirs.append((context, known))
        return context

    def _policy(self, settings: AvatarSettings, login: MeteredLogin) -> Policy:
        name = settings.name
        on_issue = self._counter(settings)
        if settings.policy == "pool":
            parallel = min(MAX_PARALLEL_REFILLS, max(1, self._settings.upstream_concurrency // 2))
            pool = Pool(login, self._settings.pool_size, parallel, on_issue, name)
            if self.draining:
                pool.stop_filling()
            return pool
        if settings.policy == "shared":
            return Shared(login, self._store(settings), on_issue, name)
        if settings.policy == "direct":
            return Direct(login)
        assert_never(settings.policy)

    def _counter(self, settings: AvatarSettings) -> Callable[[bool], None]:
        hits, misses = self._metrics.avatar(settings.name, settings.policy)

        def on_issue(hit: bool) -> None:
            (hits if hit else misses).inc()

        return on_issue

    def _server(self, login_url: str) -> LoginServer:
        known = self._known_servers.get(login_url)
        if known is not None:
            return known if self._same_servers else LoginServer(self._settings, known.breaker)
        log = structlog.get_logger("service")

        def on_change(state: CircuitState) -> None:
            log.warning("circuit", state=state, upstream=login_url)

        return LoginServer(self._settings, CircuitBreaker(on_change))

    def _store(self, settings: AvatarSettings) -> GrantStore | None:
        if self._redis is None:
            return None
        # The longest login, and the wait for a slot.
        lock_seconds = self._settings.upstream_timeout + 2
        return RedisGrants(self._redis, settings, self._sealer, lock_seconds)

    async def _retire(self, context: IssuingContext) -> None:
        await context.idle.wait()
        await context.close()
        # Other retiring contexts of this server may still have current requests.
        others = [*self._contexts.values(), *self._retiring.values()]
        if all(other is context or other.server is not context.server for other in others):
            for url in [url for url, used in self._servers.items() if used is context.server]:
                del self._servers[url]
            self._export_states()
            await context.server.close()
