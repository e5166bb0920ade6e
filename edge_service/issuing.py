"""Issuing policies: how a visitor's request becomes a grant."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from edge_service.grants import Grant

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

    async def issue(self, request: GrantRequest) -> Grant:
        """The grant for one request; raises `ServiceError`."""


class Direct:
    """One upstream login for each request, a refresh included, as the vendor documents it.

    Upstream has no documented call that takes a refresh token, so a refresh logs in again.
    """

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def issue(self, request: GrantRequest) -> Grant:  # noqa: ARG002 - see the class
        """Log in."""
        return await self._upstream.login()
