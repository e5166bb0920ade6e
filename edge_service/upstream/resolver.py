"""Looks up host names on a few threads, which nothing waits for when a lookup hangs."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import deque
from collections.abc import Callable

from aiohttp.abc import AbstractResolver, ResolveResult

__all__ = ["THREADS", "Resolver"]

THREADS = 4
# The result holds an address as text, which needs no further lookup.
_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class Resolver(AbstractResolver):
    """Looks up names as the system does: `/etc/hosts`, search domains, and DNS.

    `getaddrinfo` can neither be cancelled nor be given a deadline. The event loop waits for the
    threads of its own executor when it ends, so this class has daemon threads instead. A caller
    that has given up leaves its thread behind until `getaddrinfo` returns.
    """

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a host.

        Raises:
            OSError: there are none.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[ResolveResult]] = loop.create_future()

        def finish(result: list[ResolveResult] | OSError) -> None:
            if future.done():
                return
            if isinstance(result, OSError):
                future.set_exception(result)
            else:
                future.set_result(result)

        def look_up() -> None:
            if future.cancelled():
                return
            try:
                result: list[ResolveResult] | OSError = _addresses(host, port, family)
            except OSError as error:
                result = error
            except UnicodeError:
                result = OSError("not a host name")
            # The loop may have ended meanwhile.
            if not loop.is_closed():
                loop.call_soon_threadsafe(finish, result)

        _threads.submit(look_up)
        return await future

    async def close(self) -> None:
        """Do nothing: the threads end by themselves."""


class _Threads:
    """At most `THREADS` daemon threads, which end when there is nothing left to do."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: deque[Callable[[], None]] = deque()
        self._running = 0

    def submit(self, job: Callable[[], None]) -> None:
        """Run a job as soon as a thread is free.

        Raises:
            OSError: no thread could be started.
        """
        with self._lock:
            if self._running < THREADS:
                try:
                    threading.Thread(target=self._work, name="sentifyd-dns", daemon=True).start()
                except RuntimeError:
                    raise OSError("no thread for the resolver") from None
                self._running += 1
            self._jobs.append(job)

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._jobs:
                    self._running -= 1
                    return
                job = self._jobs.popleft()
            job()


# One for the whole process, so that many login URLs cannot occupy many threads.
_threads = _Threads()


def _addresses(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [
        ResolveResult(
            hostname=host,
            host=_with_interface(address),
            port=port,
            family=kind,
            proto=protocol,
            flags=_NUMERIC,
        )
        for kind, _, protocol, _, address in found
    ]


def _with_interface(address: tuple[object, ...]) -> str:
    """The address as text; an IPv6 address of the local link is ambiguous without its interface."""
    scope = address[3:]
    return f"{address[0]}%{scope[0]}" if scope and scope[0] else str(address[0])
