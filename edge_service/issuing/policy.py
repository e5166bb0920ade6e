"""Issuing policies: how a visitor's request becomes a grant."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from edge_service.upstream.grant import Grant

__all__ = ["Direct", "GrantRequest", "Issuer", "Upstream"]


@dataclass(frozen=True, slots=True)
class GrantRequest:
    """What a visitor's browser asks for.

    Attributes:
        refresh_token: what it was given before; `None` on a first request. Never in the repr.
    """

    refresh_token: str | None = field(default=None, repr=False)


class Upstream(Protocol):
    """The seam between a policy and the network."""

    async def login(self) -> Grant:
        """One upstream login; raises `UpstreamError`."""


class Issuer(Protocol):
    """An issuing policy."""

    @property
    def ready(self) -> bool:
        """Whether it has loaded what it wants to have before visitors come."""

    def start(self) -> None:
        """Begin what goes on in the background; needs a running event loop."""

    async def issue(self, request: GrantRequest) -> Grant:
        """The grant for one request; raises `ServiceError`."""

    async def close(self) -> None:
        """End what goes on in the background."""


class Direct:
    """One upstream login for each request, a refresh included, as the vendor documents it.

    Upstream has no documented call that takes a refresh token, so a refresh logs in again.
    """

    ready = True

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def start(self) -> None:
        """Do nothing: nothing goes on in the background."""

    async def issue(self, request: GrantRequest) -> Grant:  # noqa: ARG002 - see the class
        """Log in."""
        return await self._upstream.login()

    async def close(self) -> None:
        """Do nothing."""
