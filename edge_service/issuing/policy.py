"""The interface of an issuing policy: how a visitor's request becomes a grant."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, Self

from edge_service.upstream.grant import Grant

__all__ = ["GrantRequest", "Policy", "Upstream"]


@dataclass(frozen=True, slots=True)
class GrantRequest:
    """A visitor's request for a grant.

    Attributes:
        refresh_token: from the previous grant; `None` on a first request. Never in the repr.
    """

    refresh_token: str | None = field(default=None, repr=False)


class Upstream(Protocol):
    """Where a policy gets grants from."""

    def check(self) -> None:
        """Check whether a login may begin.

        Raises:
            UpstreamError: not now; the subclass says why.
        """

    async def may_log_in_ahead(self) -> bool:
        """Whether a login may be made that no visitor waits for."""

    async def login(self) -> Grant:
        """Log in once.

        Raises:
            UpstreamError: the login failed; the subclass says why.
        """


class Policy(Protocol):
    """An issuing policy."""

    @property
    def ready(self) -> bool:
        """Whether it can serve the first visitor."""

    def start(self) -> None:
        """Start its background work; needs a running event loop."""

    def check(self) -> None:
        """Refuse a request that needs a login while none may be made.

        Such a request costs nothing, so it need not count against the visitor's rate limit.

        Raises:
            UpstreamError: as `Upstream.check`.
        """

    async def issue(self, request: GrantRequest) -> Grant:
        """The grant for one request.

        Raises:
            ServiceError: there is no grant; the subclass says why.
        """

    def take_over(self, before: Self) -> None:
        """Continue with the grants of another policy for the same avatar, which ends."""

    async def close(self) -> None:
        """Stop its background work."""
