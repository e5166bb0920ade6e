"""What issues an avatar's grants, and which requests use it."""

from __future__ import annotations

import asyncio
from typing import Protocol

from edge_service.issuing.policy import Policy
from edge_service.upstream.logins import LoginServer, MeteredLogin

__all__ = ["Closable", "IssuingContext"]


class Closable(Protocol):
    """Something with connections or background work."""

    async def close(self) -> None:
        """End them."""


class IssuingContext:
    """The policy that issues an avatar's grants, and the login it uses.

    Args:
        policy: issues the grants.
        login: fetches them.
        server: the login URL, which other contexts may use too.
    """

    def __init__(self, policy: Policy, login: MeteredLogin, server: LoginServer) -> None:
        self.policy = policy
        self.login = login
        self.server = server
        self.idle = asyncio.Event()
        self.idle.set()
        self._requests = 0

    def again(self) -> IssuingContext:
        """A context with the same policy and login, and its own requests."""
        return IssuingContext(self.policy, self.login, self.server)

    def take_over(self, before: IssuingContext) -> None:
        """Continue with the grants and pauses of a context of the same avatar."""
        self.policy.take_over(before.policy)
        self.login.take_over(before.login)

    def enter(self) -> None:
        """Keep the context open until `leave`, even if the avatars are replaced."""
        self.idle.clear()
        self._requests += 1

    def leave(self) -> None:
        """End a request that has called `enter`."""
        self._requests -= 1
        if not self._requests:
            self.idle.set()

    async def close(self) -> None:
        """Stop the policy, and close the connections of its login."""
        await self.policy.close()
        await self.login.close()
