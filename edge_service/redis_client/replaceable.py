"""Connections to Redis that can be replaced while queries use them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from edge_service.redis_client.connections import AnyRedis, Connections

__all__ = ["ReplaceableConnections"]

T = TypeVar("T")


class ReplaceableConnections:
    """Connections that are all replaced after an error, and closed after their last query.

    redis-py can hand out an idle connection while it closes it. The next query on it fails, or its
    new socket is lost and stays open. So nothing is closed here that a query may use.

    Args:
        connect: makes connections, which are opened on first use.
    """

    def __init__(self, connect: Callable[[], Connections]) -> None:
        self._connect = connect
        self._current = _Counted(connect())
        self._is_closed = False

    async def query(self, query: Callable[[AnyRedis], Awaitable[T]], seconds: float) -> T:
        """Query Redis.

        Args:
            query: gets the library's client. After any error, the next query uses new connections:
                the others may be broken too, or lead to a server that is read-only now.
            seconds: the time that it may take, a new connection included.

        Raises:
            TimeoutError: it took longer.
        """
        used = self._current
        used.queries += 1
        try:
            async with asyncio.timeout(seconds):
                return await query(await used.connections.open())
        except Exception:
            self._replace(used)
            raise
        finally:
            used.queries -= 1
            await self._close_unused(used)

    async def close(self) -> None:
        """Close the connections as soon as no query uses them; that holds for later queries too."""
        self._is_closed = True
        await self._close_unused(self._current)

    def _replace(self, used: _Counted) -> None:
        if used is self._current:
            self._current = _Counted(self._connect())

    async def _close_unused(self, one: _Counted) -> None:
        if (self._is_closed or one is not self._current) and not one.queries:
            await one.connections.close()


class _Counted:
    """Connections, and how many queries use them."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections
        self.queries = 0
