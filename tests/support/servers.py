"""Real servers on loopback ports, for the length of a `with` block."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Literal

import uvicorn
from starlette.types import ASGIApp

from edge_service.server.serving import bind


@contextmanager
def serving(
    app: ASGIApp,
    http: type[asyncio.Protocol] | Literal["auto", "h11", "httptools"] = "auto",
    ws: Literal["none", "websockets-sansio"] = "websockets-sansio",
) -> Iterator[str]:
    """Serve an application; yields its base URL."""
    sock = bind("127.0.0.1", 0, "the port")
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            proxy_headers=False,
            http=http,
            ws=ws,
            timeout_graceful_shutdown=1,
        )
    )
    thread = threading.Thread(target=server.run, args=([sock],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        sock.close()
    assert not thread.is_alive()


class RawUpstream:
    """A TCP peer that does what no HTTP library would: `behave` gets each accepted connection.

    `received` collects what clients sent up to the end of their request's body.
    """

    def __init__(self, behave: Callable[[socket.socket], None]) -> None:
        self.received: list[bytes] = []
        self.arrived = threading.Event()
        self.over = threading.Event()
        self._behave = behave
        self._listener = bind("127.0.0.1", 0, "the port")
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> RawUpstream:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()
        for sock in (self._listener, *self._connections):
            sock.close()

    def drip(self, connection: socket.socket, data: bytes, seconds: float) -> None:
        """Send a byte at a time until all is sent or nobody listens."""
        for byte in data:
            if self.over.wait(seconds):
                return
            connection.sendall(bytes([byte]))

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                thread = threading.Thread(target=self._serve, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            while True:
                data = b""
                while b"\r\n\r\n" not in data or not data.endswith(b"}"):
                    if not (chunk := connection.recv(65536)):
                        return
                    data += chunk
                self.received.append(data)
                self.arrived.set()
                self._behave(connection)


def http_answer(status: str, body: bytes, *headers: str) -> bytes:
    """A complete HTTP/1.1 response."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body
