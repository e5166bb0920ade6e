"""Aborting an exchange from outside its thread."""

from __future__ import annotations

import socket
import threading
from typing import cast

from edge_service.upstream.wire import Exchange, _SocketCopy


class Sock:
    """A socket that records events, and can close another one while it is shut down."""

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


def test_garbage_collector_may_close_connections_during_an_abort() -> None:
    """It runs finalizers in any code that allocates memory, so also in an abort."""
    sock, forgotten = Sock(), Sock()
    sock.meanwhile = socket_copy(forgotten)
    exchange = Exchange()
    exchange.take(socket_copy(sock))

    thread = threading.Thread(target=exchange.abort, daemon=True)
    thread.start()
    thread.join(5)

    assert not thread.is_alive()
    assert (sock.events, forgotten.events) == (["shutdown"], ["close"])


def test_abort_does_not_close_a_connection_of_another_exchange() -> None:
    sock = Sock()
    connection = socket_copy(sock)
    first, second = Exchange(), Exchange()
    first.take(connection)
    second.take(connection)

    first.abort()
    assert sock.events == []
    second.abort()
    assert sock.events == ["shutdown"]


def test_early_abort_closes_the_connection_when_it_is_taken() -> None:
    sock = Sock()
    exchange = Exchange()
    exchange.abort()
    exchange.take(socket_copy(sock))

    assert sock.events == ["shutdown"]


def test_abort_of_a_finished_exchange_does_nothing() -> None:
    sock = Sock()
    exchange = Exchange()
    with exchange.in_this_thread():
        exchange.take(socket_copy(sock))
    exchange.abort()

    assert sock.events == []
