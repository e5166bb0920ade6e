"""Rate limit by visitor: by user if visitors are identified, else by address."""

from __future__ import annotations

from hashlib import blake2b

import structlog
from starlette.types import Scope

from edge_service.admission.addresses import ClientAddresses
from edge_service.admission.headers import header_values
from edge_service.admission.rate_limits import RateLimiter
from edge_service.errors import RateLimited
from edge_service.telemetry.metrics import Metrics

__all__ = ["VisitorLimit"]


class VisitorLimit:
    """The rate limit of the token routes.

    Args:
        limiter: counts the requests.
        addresses: finds the client address.
        metrics: counts refused requests.
    """

    def __init__(self, limiter: RateLimiter, addresses: ClientAddresses, metrics: Metrics) -> None:
        self._limiter = limiter
        self._addresses = addresses
        self._metrics = metrics
        self._has_hinted = False

    async def count(self, scope: Scope, avatar: str, user: str | None) -> None:
        """Count one request.

        Args:
            scope: ASGI scope of the request.
            avatar: name of the requested avatar; each avatar has its own counters.
            user: name of the user; `None` counts by address.

        Raises:
            RateLimited: the visitor is over a limit.
        """
        if user is None:
            subject = self._addresses.key(scope)
        else:
            # Hashed, because Redis must not contain names of users.
            subject = "user:" + blake2b(user.encode("utf-8"), digest_size=16).hexdigest()
        try:
            await self._limiter.count(subject, avatar)
        except RateLimited:
            self._metrics.limited(avatar)
            self._hint(scope)
            raise

    def _hint(self, scope: Scope) -> None:
        """Log once the usual reason why all visitors are over the limit at the same time."""
        if self._has_hinted or not header_values(scope, b"x-forwarded-for"):
            return
        if not self._addresses.comes_from_proxy(scope):
            self._has_hinted = True
            structlog.get_logger("service").warning(
                "forwarded_for_ignored",
                fix="if the peer is your proxy, add its network to TRUSTED_PROXIES",
            )
