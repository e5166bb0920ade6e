"""Accepts connections as long as there are file descriptors for them.

asyncio logs thousands of lines when descriptors run out, and uvloop closes new connections without
a log line. This leaves new connections in the kernel's queue until others have closed.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Collection

import structlog

__all__ = ["MAX_FILES", "Acceptor", "Shortage", "most_connections", "raise_file_limit"]

MAX_FILES = 65_536
# For logins, Redis, files and the metrics port, so that accepted visitors get their answers.
RESERVED_FILES = 256
PAUSE_SECONDS = 0.1
CALM_SECONDS = 5.0
# Other callbacks run between two batches.
BATCH = 64


def raise_file_limit() -> int:
    """Raise the limit of open files to at most `MAX_FILES`, because each connection needs one.

    Returns:
        The limit that applies now; `MAX_FILES` where the platform has none, as on Windows.
    """
    try:
        from resource import (  # type: ignore[attr-defined, unused-ignore] # not on Windows
            RLIM_INFINITY,
            RLIMIT_NOFILE,
            getrlimit,
            setrlimit,
        )
    except ImportError:
        return MAX_FILES
    soft, hard = getrlimit(RLIMIT_NOFILE)
    most: int = MAX_FILES if hard == RLIM_INFINITY else min(hard, MAX_FILES)
    try:
        setrlimit(RLIMIT_NOFILE, (most, hard))
    except (OSError, ValueError):
        return MAX_FILES if soft == RLIM_INFINITY else int(soft)
    return most


def most_connections(files: int) -> int:
    """How many connections may be open, given the limit of open files."""
    return files - min(RESERVED_FILES, files // 2)


class Shortage:
    """Logs one line when new connections have to wait, and one when they no longer do."""

    def __init__(self) -> None:
        self._end: asyncio.TimerHandle | None = None
        self._log = structlog.get_logger("service")

    def report(self, reason: str, connections: int) -> None:
        """Report that a connection has to wait.

        Args:
            reason: of the operating system or ours.
            connections: number of open connections.
        """
        if self._end is None:
            self._log.error("connections_exhausted", reason=reason, connections=connections)
        else:
            self._end.cancel()
        self._end = asyncio.get_running_loop().call_later(CALM_SECONDS, self._over)

    def close(self) -> None:
        """Stop the timer."""
        if self._end is not None:
            self._end.cancel()

    def _over(self) -> None:
        self._end = None
        self._log.warning("connections_available")


class Acceptor:
    """Accepts the connections of a socket.

    Args:
        sock: a listening socket; `close` closes it.
        protocol: creates the protocol of a connection.
        connections: the open connections.
        most: how many of them there may be.
        shortage: reports that connections have to wait.

    Raises:
        NotImplementedError: the event loop cannot watch a socket, as on Windows.
    """

    def __init__(
        self,
        sock: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        connections: Collection[object],
        most: int,
        shortage: Shortage,
    ) -> None:
        self._sock = sock
        self._protocol = protocol
        self._connections = connections
        self._most = most
        self._shortage = shortage
        self._starting: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        sock.setblocking(False)
        self._loop.add_reader(sock, self._accept)

    async def close(self) -> None:
        """Close the socket, and wait until the last accepted connection has its protocol."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._sock)
        self._sock.close()
        await asyncio.gather(*self._starting)

    def _accept(self) -> None:
        for _ in range(BATCH):
            if self._count() >= self._most:
                self._wait("Too many connections")
                return
            try:
                connection, _ = self._sock.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                self._wait(os.strerror(error.errno or 0))
                return
            task = self._loop.create_task(self._start(connection))
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    async def _start(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except OSError:
            # The client has already left.
            connection.close()

    def _wait(self, reason: str) -> None:
        self._shortage.report(reason, self._count())
        self._loop.remove_reader(self._sock)
        self._pause = self._loop.call_later(
            PAUSE_SECONDS, self._loop.add_reader, self._sock, self._accept
        )

    def _count(self) -> int:
        return len(self._connections) + len(self._starting)
