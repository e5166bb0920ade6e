"""Connections to other servers that belong to an event loop and to one caller.

Import it in a thread, because the import is slow.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from functools import cache, partial
from pathlib import Path

import certifi
from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

from edge_service.event_loop import at_end_of_loop
from edge_service.upstream.resolver import Resolver

__all__ = ["Connections", "trusted"]

# A connection that is idle for longer is closed. A reused one saves the TLS handshake.
KEEP_ALIVE_SECONDS = 60.0


@cache
def trusted(ca_file: Path | None) -> ssl.SSLContext:
    """The certificate authorities to trust: those of the file, or else Mozilla's (certifi)."""
    return ssl.create_default_context(cafile=ca_file or certifi.where())


class Connections:
    """Connections to one server that only one caller uses.

    Args:
        tls: checks the server's certificate.
    """

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sessions: dict[bool, ClientSession] = {}
        self._close: Callable[[], Awaitable[None]] | None = None

    async def session(self, *, reuse: bool) -> ClientSession:
        """A session of the running event loop.

        Args:
            reuse: whether a request may use a connection that an earlier one left open.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # Some serverless platforms have a new event loop for each request, and a connection
            # belongs to one loop.
            before, self._loop, self._sessions = self._close, loop, {}
            self._close = await at_end_of_loop(partial(_close_all, self._sessions))
            if before is not None:
                await before()
        session = self._sessions.get(reuse)
        if session is None:
            session = self._sessions[reuse] = self._new_session(reuse=reuse)
        return session

    async def close(self) -> None:
        """Close all connections; later requests open new ones."""
        self._loop = None
        if self._close is not None:
            await self._close()

    def _new_session(self, *, reuse: bool) -> ClientSession:
        lifetime = {"keepalive_timeout": KEEP_ALIVE_SECONDS} if reuse else {"force_close": True}
        return ClientSession(
            connector=TCPConnector(limit=0, ssl=self._tls, resolver=Resolver(), **lifetime),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            # `Client` has one deadline for the whole exchange.
            timeout=ClientTimeout(),
        )


async def _close_all(sessions: Mapping[bool, ClientSession]) -> None:
    for session in sessions.values():
        await session.close()
