"""Connections to Redis whose sockets are closed in time, whatever the server does."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from redis.asyncio import SSLConnection
    from redis.asyncio.connection import AbstractConnection

__all__ = ["closed_in_time", "tls_closed_in_time"]

K = TypeVar("K", bound="AbstractConnection")
T = TypeVar("T", bound="SSLConnection")


def closed_in_time(kind: type[K], seconds: float) -> type[K]:
    """A class of the library's connections that leave no socket open when they are closed.

    With TLS, the end of a connection waits for an answer of the server, up to 30 seconds. The
    library forgets the connection before that, and the socket may outlive the event loop. So it is
    cut off; after an error, at once.

    The connections are also free for a new socket before they wait for the old one: the library may
    hand one out while it closes it, and would forget the new socket.

    Args:
        kind: the library's class.
        seconds: how long to wait for the server when a connection is closed without an error.
    """

    class ClosedInTime(kind):  # type: ignore[misc, valid-type]
        async def disconnect(self, nowait: bool = False, **details: Any) -> None:  # noqa: ANN401
            writer = self._writer
            try:
                await super().disconnect(nowait=True, **details)
                if writer is not None and not nowait:
                    with suppress(Exception):
                        async with asyncio.timeout(seconds):
                            await writer.wait_closed()
            finally:
                if writer is not None:
                    writer.transport.abort()

    return ClosedInTime


def tls_closed_in_time(kind: type[T], seconds: float) -> type[T]:
    """The same for a class of connections that use TLS.

    If time is up just when the handshake ends, asyncio also waits for an answer of the server, and
    nobody has the connection. So TLS begins on a connection that can be cut off.
    """

    class Secured(closed_in_time(kind, seconds)):  # type: ignore[misc]
        def _connection_arguments(self) -> Mapping[str, Any]:
            return {**super()._connection_arguments(), "ssl": None}

        async def _connect(self) -> None:
            context: ssl.SSLContext = self.ssl_context.get()
            async with asyncio.timeout(self.socket_connect_timeout):
                await super()._connect()
                writer: asyncio.StreamWriter = self._writer
                try:
                    await writer.start_tls(context, server_hostname=self.host)
                except BaseException:
                    self._close()
                    writer.transport.abort()
                    raise

    return Secured
