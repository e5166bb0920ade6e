"""The interface of an issuing policy: how a visitor's request becomes a grant."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from edge_service.upstream.grant import Grant

__all__ = ["GrantRequest", "Policy", "Upstream"]


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


class Policy(Protocol):
    """An issuing policy."""

    @property
    def ready(self) -> bool:
        """Whether it has loaded what it needs before the first visitor comes."""

    def start(self) -> None:
        """Begin its work in the background; needs a running event loop."""

    async def issue(self, request: GrantRequest) -> Grant:
        """The grant for one request; raises `ServiceError`."""

    async def close(self) -> None:
        """End its work in the background."""
