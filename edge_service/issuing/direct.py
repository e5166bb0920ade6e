"""The policy `direct`: one upstream login for each request."""

from __future__ import annotations

from edge_service.issuing.policy import GrantRequest, Upstream
from edge_service.upstream.grant import Grant

__all__ = ["Direct"]


class Direct:
    """One login for each request and each refresh, as in Sentifyd's documentation.

    Sentifyd documents no call that accepts a refresh token, so a refresh logs in again.
    """

    ready = True

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def start(self) -> None:
        """Do nothing: this policy has no background work."""

    def check(self) -> None:
        """Refuse every request while no login may be made."""
        self._upstream.check()

    async def issue(self, request: GrantRequest) -> Grant:  # noqa: ARG002 - see the class
        """Log in."""
        return await self._upstream.login()

    def take_over(self, before: Direct) -> None:
        """Do nothing: this policy keeps no grants."""

    async def close(self) -> None:
        """Do nothing."""
