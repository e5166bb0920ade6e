"""Requests to other servers, in bounded time, memory and threads, and never to a third one."""

from __future__ import annotations

import asyncio
import http.client
import ssl
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import requests
import urllib3

from edge_service.errors import (
    UpstreamBusy,
    UpstreamError,
    UpstreamMalformed,
    UpstreamTooSlow,
    UpstreamUnreachable,
)
from edge_service.strict_json import JSON
from edge_service.upstream.wire import AbortableAdapter, Exchange

__all__ = ["Client", "get", "read_body", "root_cause"]

T = TypeVar("T")

SLOT_WAIT_SECONDS = 1.0
_HEADERS = {
    "Accept": "application/json",
    # A compressed answer could expand without limit; one that comes all the same is not JSON.
    "Accept-Encoding": "identity",
    "User-Agent": "mkdocs-sentifyd",
}


class Client:
    """Sends requests on threads of its own, so that a slow server slows nothing else.

    Args:
        timeout: seconds for one whole exchange, a second attempt included.
        concurrency: exchanges that may be under way at once.
        ca_file: certificates to trust in place of the usual ones.
    """

    def __init__(self, timeout: float, concurrency: int, ca_file: Path | None = None) -> None:
        self._timeout = timeout
        self._concurrency = concurrency
        self._verify = str(ca_file) if ca_file is not None else True
        self._pools: set[AbortableAdapter] = set()
        self._slots = asyncio.Semaphore(concurrency)
        self._threads = ThreadPoolExecutor(concurrency, "sentifyd-login")
        self._under_way: set[Exchange] = set()

    @staticmethod
    def post(url: str, content: JSON) -> requests.PreparedRequest:
        """A request that posts JSON."""
        return requests.Request("POST", url, json=content, headers=_HEADERS).prepare()

    def connections(self) -> AbortableAdapter:
        """A connection pool that nothing else uses."""
        # Without a session, which would follow redirects, keep cookies and obey the environment.
        pool = AbortableAdapter(pool_connections=1, pool_maxsize=self._concurrency, max_retries=0)
        self._pools.add(pool)
        return pool

    def drop(self, connections: AbortableAdapter) -> None:
        """Close connections that are not used any more."""
        self._pools.discard(connections)
        connections.close()

    async def send(
        self,
        connections: AbortableAdapter,
        request: requests.PreparedRequest,
        read: Callable[[requests.Response], T],
    ) -> T:
        """One exchange.

        Args:
            connections: the pool that it uses.
            request: sent as it is. It is sent once more when the connection fails before any
                answer, which happens when a server closes a kept connection just as it is used.
            read: makes a result of the answer, in the thread; may raise `UpstreamError`.

        Raises:
            UpstreamError: no result within the time allowed; its subclass says why.
        """
        await self._take_slot()
        exchange = Exchange()
        self._under_way.add(exchange)
        loop = asyncio.get_running_loop()

        def ended(_: Future[T]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._free_slot, exchange)

        try:
            future = self._threads.submit(self._exchange, exchange, connections, request, read)
        except RuntimeError:
            # No thread could be started; without this the slot would never be freed.
            self._free_slot(exchange)
            raise
        # The slot belongs to the thread: a caller that gives up must not free it early.
        future.add_done_callback(ended)
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise UpstreamTooSlow from None
        finally:
            exchange.abort()

    def close(self) -> None:
        """Abort all current exchanges and let the threads end."""
        for exchange in self._under_way:
            exchange.abort()
        self._threads.shutdown(wait=False, cancel_futures=True)
        for pool in self._pools:
            pool.close()

    async def _take_slot(self) -> None:
        if not self._slots.locked():
            await self._slots.acquire()
            return
        try:
            async with asyncio.timeout(SLOT_WAIT_SECONDS):
                await self._slots.acquire()
        except TimeoutError:
            raise UpstreamBusy from None

    def _free_slot(self, exchange: Exchange) -> None:
        self._under_way.discard(exchange)
        self._slots.release()

    def _exchange(
        self,
        exchange: Exchange,
        connections: AbortableAdapter,
        request: requests.PreparedRequest,
        read: Callable[[requests.Response], T],
    ) -> T:
        """Runs in a thread."""
        failure: UpstreamError = UpstreamUnreachable()
        for last in (False, True):
            answered = False
            try:
                with (
                    exchange.in_this_thread(),
                    connections.send(
                        request, stream=True, timeout=self._timeout, verify=self._verify
                    ) as response,
                ):
                    answered = True
                    return read(response)
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                failure = _failure(error)
                again = not answered and _is_connection_failure(error)
            if last or not again or exchange.aborted:
                break
        # Outside the handlers, so that no exception of `requests` hangs on: they carry the key.
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
    request = requests.Request("GET", url, headers=_HEADERS).prepare()

    def read(response: requests.Response) -> bytes:
        if response.status_code != 200:
            raise UpstreamMalformed(f"its status is {response.status_code}")
        return read_body(response, most)

    with closing(Client(timeout, 1, ca_file)) as client:
        return await client.send(client.connections(), request, read)


def read_body(response: requests.Response, most: int) -> bytes:
    """The whole body as it was sent.

    Args:
        response: of a request that was sent with `stream=True`.
        most: bytes that are read at most.

    Raises:
        UpstreamMalformed: the body is larger.
    """
    body = bytearray()
    while chunk := response.raw.read(most + 1 - len(body), decode_content=False):
        body += chunk
        if len(body) > most:
            raise UpstreamMalformed("the answer is too large")
    return bytes(body)


def _failure(error: Exception) -> UpstreamError:
    failure: UpstreamError
    if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)):
        failure = UpstreamTooSlow()
    elif _is_garbage(error):
        failure = UpstreamMalformed("the answer is not HTTP")
    else:
        failure = UpstreamUnreachable()
    failure.cause, failure.detail = root_cause(error, failure.detail)
    return failure


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


def _is_connection_failure(error: Exception) -> bool:
    return (
        isinstance(error, requests.ConnectionError)
        and not isinstance(error, (requests.Timeout, requests.exceptions.SSLError))
        and not _is_garbage(error)
    )


def _is_garbage(error: BaseException) -> bool:
    """Whether the causes of an exception show that the server does not speak HTTP."""
    for cause in _causes(error):
        if isinstance(cause, http.client.HTTPException):
            return not isinstance(cause, (ConnectionError, http.client.IncompleteRead))
    return False


def _causes(error: BaseException | None) -> list[BaseException]:
    """The exception and its causes, the original one last."""
    causes: list[BaseException] = []
    while error is not None and error not in causes:
        causes.append(error)
        error = error.__cause__ or error.__context__
    return causes
