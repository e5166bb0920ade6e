"""Cutting an exchange off from outside its thread."""

from __future__ import annotations

import socket
import threading
from typing import cast

from edge_service.upstream.wire import Exchange, _SocketCopy


class Sock:
    """A socket that records, and does something else while it is shut down."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.meanwhile: _SocketCopy | None = None

    def dup(self) -> Sock:
        return self

    def shutdown(self, _: int) -> None:
        self.events.append("shutdown")
        if self.meanwhile:
            self.meanwhile.close()

    def close(self) -> None:
        self.events.append("close")


def socket_copy(sock: Sock) -> _SocketCopy:
    return _SocketCopy(cast(socket.socket, sock))


def test_the_garbage_collector_may_close_connections_at_any_point() -> None:
    """It runs finalizers within whatever code allocates, so also within an abort."""
    sock, forgotten = Sock(), Sock()
    sock.meanwhile = socket_copy(forgotten)
    exchange = Exchange()
    exchange.take(socket_copy(sock))

    thread = threading.Thread(target=exchange.abort, daemon=True)
    thread.start()
    thread.join(5)

    assert not thread.is_alive()
    assert (sock.events, forgotten.events) == (["shutdown"], ["close"])


def test_an_abort_spares_a_connection_that_another_exchange_has() -> None:
    sock = Sock()
    line = socket_copy(sock)
    first, second = Exchange(), Exchange()
    first.take(line)
    second.take(line)

    first.abort()
    assert sock.events == []
    second.abort()
    assert sock.events == ["shutdown"]


def test_an_abort_that_comes_before_the_connection_cuts_it_at_once() -> None:
    sock = Sock()
    exchange = Exchange()
    exchange.abort()
    exchange.take(socket_copy(sock))

    assert sock.events == ["shutdown"]


def test_an_exchange_that_is_over_cuts_nothing() -> None:
    sock = Sock()
    exchange = Exchange()
    with exchange.in_this_thread():
        exchange.take(socket_copy(sock))
    exchange.abort()

    assert sock.events == []
