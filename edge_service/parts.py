"""The parts of the service that have a state: created, started, replaced and closed together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from edge_service.admission.addresses import ClientAddresses
from edge_service.admission.identity import Authenticator, ForwardedAuthenticator
from edge_service.admission.rate_limits import RateLimiter
from edge_service.issuing.avatars import Avatars
from edge_service.issuing.context import Closable
from edge_service.redis_client import SharedRedis
from edge_service.sealing import Sealer
from edge_service.settings import ForwardedRules, JwtRules, Settings
from edge_service.settings.parsers import parse_rate_limits
from edge_service.settings.redis_url import redis_address
from edge_service.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from edge_service.telemetry.tracing import Tracing

__all__ = ["Parts", "fetch_key_set"]

MAX_KEY_SET_BYTES = 256 * 1024
# For a new Redis, and for a new issuer.
MIN_CONNECT_SECONDS = 3.0
POLL_SECONDS = 0.05


@dataclass(slots=True, kw_only=True, repr=False, eq=False)
class Parts:
    """Everything that outlives a request, for one state of the settings.

    A part whose settings did not change is shared with the parts before.

    Attributes:
        settings: what they were made from.
        before: the parts that these will replace; `None` once they serve.
    """

    settings: Settings
    before: Parts | None
    metrics: Metrics
    sealer: Sealer | None
    tracing: Tracing | None
    redis: SharedRedis | None
    avatars: Avatars
    addresses: ClientAddresses
    limiter: RateLimiter
    authenticator: Authenticator | None

    @classmethod
    def of(
        cls,
        settings: Settings,
        authenticator: Authenticator | None = None,
        before: Parts | None = None,
        *,
        reconnect: bool = False,
    ) -> Parts:
        """Create the parts.

        Args:
            settings: of the service.
            authenticator: of the application, instead of `settings.visitor_auth`.
            before: the parts that these will replace.
            reconnect: make connections to Sentifyd and to the issuer anew in any case.

        Raises:
            SettingsError: the authenticator conflicts with the settings.
            ValueError: `rate_limit` or `redis_url` is invalid.
        """
        if authenticator is not None:
            settings.check_authenticator(by_cookie=authenticator.by_cookie)
        metrics = Metrics() if before is None else before.metrics
        addresses = ClientAddresses(settings.trusted_proxies)
        tracing = _tracing(settings) if before is None else before.tracing
        if before is not None and before.fits(settings, "seal_keys"):
            sealer = before.sealer
        else:
            sealer = Sealer(settings.seal_keys) if settings.seal_keys else None
        if before is not None and before.fits(settings, "redis_url", "ca_file"):
            redis = before.redis
        else:
            redis = _redis(settings, metrics)
        return cls(
            settings=settings,
            before=before,
            metrics=metrics,
            sealer=sealer,
            tracing=tracing,
            redis=redis,
            avatars=Avatars(
                *(settings, metrics, sealer, tracing, redis),
                before.avatars if before is not None else None,
                reconnect=reconnect,
            ),
            addresses=addresses,
            limiter=_limiter(settings, redis, before),
            authenticator=authenticator
            or _authenticator(settings, addresses, None if reconnect else before),
        )

    @property
    def ready(self) -> bool:
        """Whether visitors can be served."""
        return self.avatars.ready and (self.authenticator is None or self.authenticator.ready)

    @property
    def restarts_limits(self) -> bool:
        """Whether rate limits are counted in another place than before, and so start at zero."""
        urls = [parts.settings.redis_url for parts in (self.before, self) if parts is not None]
        return len({None if url is None else _place(url) for url in urls}) > 1

    def fits(self, settings: Settings, *names: str) -> bool:
        """Whether these settings are the same as those that the parts were made from."""
        return all(getattr(self.settings, name) == getattr(settings, name) for name in names)

    def start(self) -> None:
        """Start the background work; needs a running event loop."""
        self.avatars.start()
        if self.authenticator is not None:
            self.authenticator.start()

    async def connect(self) -> list[str]:
        """Prepare everything that the parts before do not have.

        Returns:
            A line for each setting that leads to nothing usable. Pools cause none: as at a start,
            they are ready once they were full, or have tried for 30 seconds.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + max(MIN_CONNECT_SECONDS, 2 * self.settings.upstream_timeout)
        before = self.before
        problems = []
        self.avatars.prepare()
        if self.redis is not None and (before is None or self.redis is not before.redis):
            error = await self.redis.check()
            while error and clock() < deadline:
                await asyncio.sleep(POLL_SECONDS)
                error = await self.redis.check()
            if error:
                problems.append(_unusable("REDIS_URL", f"Redis cannot be used ({error})"))
        if self.authenticator is not None and (
            before is None or self.authenticator is not before.authenticator
        ):
            self.authenticator.start()
            while not self.authenticator.ready and clock() < deadline:
                await asyncio.sleep(POLL_SECONDS)
            if not self.authenticator.ready:
                problems.append(_unusable("JWT_JWKS_URL", "the key set cannot be fetched"))
        while not problems and not self.avatars.prepared:
            await asyncio.sleep(POLL_SECONDS)
        return problems

    def go_live(self) -> None:
        """Serve from now on, in place of the parts before."""
        before, self.before = self.before, None
        if before is not None and before.redis is not None and before.redis is not self.redis:
            before.redis.replaced()
            _show_fallback(self.metrics, active=False)
        if self.redis is not None:
            # The series exist from the start, because Prometheus cannot see a new one change.
            _show_fallback(self.metrics, active=not self.redis.is_available)
        self.avatars.go_live()
        if before is None or self.authenticator is not before.authenticator:
            self.metrics.key_set(_freshness(self.settings, self.authenticator))

    async def close(self) -> None:
        """Stop all background work, and close all connections."""
        if self.authenticator is not None:
            await self.authenticator.close()
        await self.avatars.close()
        await self.limiter.close()
        if self.redis is not None:
            await self.redis.close()
        if self.tracing is not None:
            await asyncio.to_thread(self.tracing.close)

    async def close_except(self, others: Parts) -> None:
        """Close what other parts do not share."""
        kept = {id(one) for one in others._closable()}
        for one in self._closable():
            if id(one) not in kept:
                await one.close()

    def _closable(self) -> list[Closable]:
        """Everything that can be replaced, in the order in which it is closed."""
        every = (self.authenticator, *self.avatars.resources(), self.limiter, self.redis)
        return [one for one in every if one is not None]


def _redis(settings: Settings, metrics: Metrics) -> SharedRedis | None:
    if settings.redis_url is None:
        return None
    return SharedRedis(
        settings.redis_url,
        ca_file=settings.ca_file,
        on_fallback=lambda active: _show_fallback(metrics, active=active),
    )


def _show_fallback(metrics: Metrics, *, active: bool) -> None:
    for part in ("rate limits", "shared grants"):
        metrics.redis_fallback(part, active=active)


def _place(redis_url: str) -> tuple[object, ...]:
    """What decides which counters a URL leads to; users and passwords do not."""
    address = redis_address(redis_url)
    return (address.kind, address.hosts, address.path, address.service, address.database)


def _limiter(settings: Settings, redis: SharedRedis | None, before: Parts | None) -> RateLimiter:
    if before is not None and before.redis is redis and before.fits(settings, "rate_limit"):
        return before.limiter
    return RateLimiter(
        parse_rate_limits(settings.rate_limit),
        redis,
        before=before.limiter if before is not None else None,
    )


def _tracing(settings: Settings) -> Tracing | None:
    if not settings.tracing:
        return None
    from edge_service.telemetry.tracing import Tracing

    return Tracing()


def _authenticator(
    settings: Settings, addresses: ClientAddresses, before: Parts | None
) -> Authenticator | None:
    needed = ("visitor_auth", "trusted_proxies", "upstream_timeout", "ca_file")
    if before is not None and before.fits(settings, *needed):
        return before.authenticator
    rules = settings.visitor_auth
    if rules is None:
        return None
    if isinstance(rules, ForwardedRules):
        return ForwardedAuthenticator(rules, addresses)
    # Imported here, so that other configurations do not load joserfc.
    from edge_service.admission.jwt import JwtAuthenticator

    jwt = JwtAuthenticator(rules, partial(fetch_key_set, rules.jwks_url, settings))
    if before is not None and isinstance(before.authenticator, JwtAuthenticator):
        jwt.take_over(before.authenticator)
    return jwt


def _freshness(settings: Settings, jwt: Authenticator | None) -> Callable[[], bool] | None:
    if not isinstance(settings.visitor_auth, JwtRules):
        return None
    from edge_service.admission.jwt import JwtAuthenticator

    return (lambda: jwt.is_fresh) if isinstance(jwt, JwtAuthenticator) else None


def _unusable(variable: str, reason: str) -> str:
    return f"{variable}: {reason}: run sentifyd-edge doctor with the new settings to find out why"


async def fetch_key_set(url: str, settings: Settings) -> bytes:
    """Fetch an issuer's key set (RFC 7517).

    Returns:
        The document as it was sent, at most 256 KiB.

    Raises:
        UpstreamError: it cannot be fetched within `upstream_timeout`, or is too large.
    """
    from edge_service.upstream.client import get

    return await get(url, settings.upstream_timeout, MAX_KEY_SET_BYTES, settings.ca_file)
