"""A `requests` adapter whose exchange can be cut off from outside the thread that blocks in it.

A timeout in `requests` bounds the wait for the next bytes only, so a peer that drips one byte at a
time holds a thread for as long as it likes. Shutting its socket down is the one way to end that.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import ConnectionPool

__all__ = ["AbortableAdapter", "Exchange"]

_thread = threading.local()
# Reentrant: the garbage collector closes forgotten connections wherever it happens to run, within
# a method that holds the lock as well.
_ownership = threading.RLock()


class Exchange:
    """One request and its response, as far as stopping it is concerned."""

    def __init__(self) -> None:
        self.aborted = False
        self._socket_copy: _SocketCopy | None = None

    @contextmanager
    def in_this_thread(self) -> Iterator[None]:
        """Make every connection that this thread uses meanwhile belong to this exchange."""
        _thread.exchange = self
        try:
            yield
        finally:
            _thread.exchange = None
            with _ownership:
                self._let_go()

    def abort(self) -> None:
        """End the exchange at once, or do nothing when it is over or another has its connection."""
        with _ownership:
            self.aborted = True
            if self._socket_copy is not None and self._socket_copy.owner is self:
                self._socket_copy.cut()

    def take(self, socket_copy: _SocketCopy) -> None:
        """Own a connection until another exchange takes it."""
        with _ownership:
            if socket_copy is not self._socket_copy:
                self._let_go()
            socket_copy.owner = self
            self._socket_copy = socket_copy
            if self.aborted:
                socket_copy.cut()

    def holds(self, socket_copy: _SocketCopy) -> bool:
        """Whether the exchange still goes over this connection."""
        return self._socket_copy is socket_copy

    def _let_go(self) -> None:
        socket_copy, self._socket_copy = self._socket_copy, None
        if socket_copy is not None and socket_copy.is_orphan:
            socket_copy.close()


class _SocketCopy:
    """A duplicate of a connection's socket: it stays valid while TLS wraps the original."""

    def __init__(self, sock: socket.socket) -> None:
        self.owner: Exchange | None = None
        self.is_orphan = False
        self._sock = sock.dup()

    def cut(self) -> None:
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it now, or when its exchange is over.

        http.client closes a connection that the peer will not keep as soon as the headers are in,
        and the body is read from it all the same.
        """
        with _ownership:
            if self.owner is not None and self.owner.holds(self):
                self.is_orphan = True
            else:
                self._sock.close()


class _Abortable(HTTPConnection):
    socket_copy: _SocketCopy | None = None
    _outbox: bytearray | None = None

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        self.socket_copy = _SocketCopy(sock)
        self._hand_over()
        return sock

    def request(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - urllib3's own signature
        self._hand_over()
        # Head and body in one piece: each further one costs a packet, and a fight for the GIL.
        self._outbox = bytearray()
        try:
            super().request(*args, **kwargs)
            whole = bytes(self._outbox)
        finally:
            self._outbox = None
        self.send(whole)

    def send(self, data: Any) -> None:  # noqa: ANN401
        if self._outbox is None:
            super().send(data)
        else:
            self._outbox += data

    def close(self) -> None:
        super().close()
        if self.socket_copy is not None:
            self.socket_copy.close()
            self.socket_copy = None

    def _hand_over(self) -> None:
        exchange: Exchange | None = getattr(_thread, "exchange", None)
        if exchange is not None and self.socket_copy is not None:
            exchange.take(self.socket_copy)


class _AbortableHTTPS(_Abortable, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Abortable


class _PoolHTTPS(HTTPSConnectionPool):
    ConnectionCls = _AbortableHTTPS


class _Quiet(logging.Filter):
    """urllib3 logs malformed header lines word for word, and a peer may have put the key there."""

    def filter(self, _: logging.LogRecord) -> bool:
        return getattr(_thread, "exchange", None) is None


for _name in ("urllib3.connection", "urllib3.connectionpool"):
    logging.getLogger(_name).addFilter(_Quiet())


class AbortableAdapter(HTTPAdapter):
    """An adapter whose connections obey `Exchange.abort`, for requests to a single server.

    Pool and certificates are found once, and a response has nothing that nobody reads: looking for
    proxies, cookies and encodings would be paid with every login.
    """

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - the adapter's own
        super().__init__(**options)
        self._pool: ConnectionPool | None = None
        self._knows_certificates = False

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> ConnectionPool:  # noqa: ANN401
        """The pool of the server."""
        if self._pool is None:
            self._pool = super().get_connection_with_tls_context(*args, **kwargs)
        return self._pool

    def cert_verify(self, *args: Any) -> None:  # noqa: ANN401
        """Set which certificates the pool trusts."""
        if not self._knows_certificates:
            super().cert_verify(*args)  # type: ignore[no-untyped-call]
            self._knows_certificates = True

    def request_url(self, request: PreparedRequest, *_: object) -> str:
        """The target of the request line: there is never a proxy."""
        return request.path_url

    def build_response(self, req: PreparedRequest, resp: Any) -> Response:  # noqa: ANN401
        """Status, headers and the stream of the body; no cookies."""
        response = Response()
        response.status_code = resp.status
        response.headers = CaseInsensitiveDict(resp.headers)
        response.raw = resp
        response.url = req.url or ""
        return response

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Make the pool manager build abortable connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _PoolHTTPS}
