"""Requests to other servers, in bounded time, memory and connections, and never to a third one.

Import it in a thread, because the import is slow.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from aiohttp import (
    ClientConnectionError,
    ClientError,
    ClientPayloadError,
    ClientResponse,
    ClientResponseError,
    ClientSSLError,
)

from edge_service.errors import (
    UpstreamBusy,
    UpstreamError,
    UpstreamMalformed,
    UpstreamTooSlow,
    UpstreamUnreachable,
)
from edge_service.strict_json import JSON
from edge_service.upstream.connections import Connections, trusted

__all__ = ["Client", "Request", "get", "post", "read_body", "root_cause"]

T = TypeVar("T")

SLOT_WAIT_SECONDS = 1.0
_HEADERS = {
    "Accept": "application/json",
    # A compressed answer could expand without limit; one that comes all the same is not JSON.
    "Accept-Encoding": "identity",
    "User-Agent": "mkdocs-sentifyd",
}


@dataclass(frozen=True, slots=True)
class Request:
    """A request that can be sent many times. The repr does not show the body, which has the key."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None = field(default=None, repr=False)


def post(url: str, content: JSON) -> Request:
    """A request that posts JSON."""
    headers = {**_HEADERS, "Content-Type": "application/json"}
    return Request("POST", url, headers, json.dumps(content).encode("ascii"))


class Client:
    """Sends requests to one server, with limits for their number and duration.

    Args:
        timeout: seconds for one whole exchange, a second attempt included.
        concurrency: exchanges that may be under way at once.
        tls: checks the server's certificate.
    """

    def __init__(self, timeout: float, concurrency: int, tls: ssl.SSLContext) -> None:
        self._timeout = timeout
        self._tls = tls
        self._slots = asyncio.Semaphore(concurrency)
        self._all: set[Connections] = set()
        self._deadlines: set[asyncio.Timeout] = set()
        self._closed = False

    def connections(self) -> Connections:
        """Connections that nothing else uses."""
        connections = Connections(self._tls)
        self._all.add(connections)
        return connections

    async def drop(self, connections: Connections) -> None:
        """Close connections that are not used any more."""
        self._all.discard(connections)
        await connections.close()

    async def send(
        self,
        connections: Connections,
        request: Request,
        read: Callable[[ClientResponse], Awaitable[T]],
        permit: Callable[[], Awaitable[None]] | None = None,
    ) -> T:
        """One exchange.

        Args:
            connections: what it uses.
            request: sent once more, on a new connection, when the connection fails before any
                answer. This happens when a server closes an idle connection just as it is used.
            read: makes a result of the response; may raise `UpstreamError`.
            permit: awaited before each attempt, after the wait for a slot; may raise
                `UpstreamError`, so that nothing is sent.

        Raises:
            UpstreamError: no result within the time allowed; its subclass says why.
        """
        await self._take_slot()
        deadline = asyncio.timeout(self._timeout)
        try:
            if permit is not None:
                # Not within the deadline, which is for Sentifyd alone.
                await permit()
            async with deadline:
                self._deadlines.add(deadline)
                return await _exchange(connections, request, read, permit)
        except TimeoutError:
            raise UpstreamUnreachable if self._closed else UpstreamTooSlow from None
        finally:
            self._deadlines.discard(deadline)
            self._slots.release()

    async def aclose(self) -> None:
        """Abort all current exchanges, and close all connections."""
        self._closed = True
        for deadline in self._deadlines:
            if not deadline.expired():
                deadline.reschedule(0)
        for connections in list(self._all):
            await connections.close()

    async def _take_slot(self) -> None:
        if not self._slots.locked():
            await self._slots.acquire()
            return
        try:
            async with asyncio.timeout(SLOT_WAIT_SECONDS):
                await self._slots.acquire()
        except TimeoutError:
            raise UpstreamBusy from None


async def _exchange(
    connections: Connections,
    request: Request,
    read: Callable[[ClientResponse], Awaitable[T]],
    permit: Callable[[], Awaitable[None]] | None,
) -> T:
    failure: UpstreamError = UpstreamUnreachable()
    for reuse in (True, False):
        if not reuse and permit is not None:
            await permit()
        is_answered = False
        session = await connections.session(reuse=reuse)
        try:
            async with session.request(
                request.method,
                request.url,
                data=request.body,
                headers=request.headers,
                allow_redirects=False,
            ) as response:
                is_answered = True
                return await read(response)
        except (ClientError, OSError) as error:
            failure = _failure(error)
            if is_answered or not _may_retry(error):
                break
    # Outside the handler, so that no exception of aiohttp is chained: they have the headers.
    raise failure


async def get(url: str, timeout: float, most: int, ca_file: Path | None = None) -> bytes:
    """One GET over a connection of its own, which is closed afterwards.

    Args:
        url: what to fetch.
        timeout: seconds for the whole exchange.
        most: bytes that are read at most.
        ca_file: certificates to trust in place of the usual ones.

    Raises:
        UpstreamError: there is no answer of status 200 within the time and size allowed.
    """

    async def read(response: ClientResponse) -> bytes:
        if response.status != 200:
            raise UpstreamMalformed(f"its status is {response.status}")
        return await read_body(response, most)

    request = Request("GET", url, _HEADERS)
    async with aclosing(Client(timeout, 1, trusted(ca_file))) as client:
        return await client.send(client.connections(), request, read)


async def read_body(response: ClientResponse, most: int) -> bytes:
    """The whole body as it was sent.

    Args:
        response: its body has not been read.
        most: bytes that are read at most.

    Raises:
        UpstreamMalformed: the body is larger.
    """
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > most:
            raise UpstreamMalformed("the answer is too large")
    return bytes(body)


def _failure(error: Exception) -> UpstreamError:
    failure: UpstreamError
    if isinstance(_causes(error)[-1], TimeoutError):
        failure = UpstreamTooSlow()
    elif isinstance(error, ClientResponseError):
        failure = UpstreamMalformed("the answer is not HTTP")
    else:
        failure = UpstreamUnreachable()
    failure.cause, failure.detail = root_cause(error, failure.detail)
    return failure


def _may_retry(error: Exception) -> bool:
    is_timeout = isinstance(_causes(error)[-1], TimeoutError)
    return isinstance(error, ClientConnectionError | OSError) and not (
        is_timeout or isinstance(error, ClientSSLError | ClientPayloadError)
    )


def root_cause(error: BaseException, detail: str | None = None) -> tuple[str, str | None]:
    """The class name of the original exception, and for TLS OpenSSL's error as the detail.

    Args:
        error: the exception; its message is not used, because it may contain a secret.
        detail: the detail to return for other errors than TLS.
    """
    root = _causes(error)[-1]
    if isinstance(root, ssl.SSLError):
        # For certificate errors, OpenSSL has a number instead of a name.
        detail = f"{getattr(root, 'verify_code', None) or root.reason}"
    return type(root).__name__, detail


def _causes(error: BaseException | None) -> list[BaseException]:
    """The exception and its causes, the original one last."""
    causes: list[BaseException] = []
    while error is not None and error not in causes:
        causes.append(error)
        error = error.__cause__ or error.__context__
    return causes
