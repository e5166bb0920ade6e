"""Real servers on loopback ports, for the length of a `with` block."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal, Self

import uvicorn
from starlette.types import ASGIApp

from edge_service.server.serving import bind
from tests.support.waiting import TIMEOUT


class _Connections(set[Any]):
    """Open connections; `gone` is set while there is none."""

    def __init__(self) -> None:
        super().__init__()
        self.gone = asyncio.Event()
        self.gone.set()

    def add(self, connection: object) -> None:
        super().add(connection)
        self.gone.clear()

    def remove(self, connection: object) -> None:
        super().remove(connection)
        self._look()

    def discard(self, connection: object) -> None:
        super().discard(connection)
        self._look()

    def _look(self) -> None:
        if not self:
            self.gone.set()


class _Server(uvicorn.Server):
    """Uvicorn's server without its pauses of 0.1 seconds: it waits for events instead."""

    def __init__(self, config: uvicorn.Config) -> None:
        self._is_over = False
        self._over = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        super().__init__(config)
        self._connections = _Connections()
        self.server_state.connections = self._connections

    @property
    def should_exit(self) -> bool:
        return self._is_over

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        # Any thread may set it. The flag is set first: `main_loop` checks it after it has stored
        # the loop, so that one of the two notices.
        self._is_over = value
        if value and self._loop is not None:
            with suppress(RuntimeError):  # It has ended by itself.
                self._loop.call_soon_threadsafe(self._over.set)

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        while not self._is_over:
            # Keeps the Date header current.
            await self.on_tick(0)
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._over.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for sock in sockets or []:
            sock.close()
        for connection in list(self._connections):
            connection.shutdown()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                await self._connections.gone.wait()
                await asyncio.gather(*self.server_state.tasks, return_exceptions=True)
        for task in list(self.server_state.tasks):
            task.cancel()
        await self.lifespan.shutdown()


class Serving:
    """A server in a thread, for the length of a `with` block.

    Attributes:
        port: a free one of 127.0.0.1; connections are accepted as soon as the block begins.
        url: its base URL.
    """

    def __init__(self, server: uvicorn.Server) -> None:
        self.server = server
        self._socket = bind("127.0.0.1", 0, "the port")
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=server.run, args=([self._socket],))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._thread.join(TIMEOUT)
        self._socket.close()
        assert not self._thread.is_alive()

    def stop(self) -> None:
        """Stop it like the first signal does."""
        self.server.should_exit = True


@contextmanager
def serving(
    app: ASGIApp,
    http: type[asyncio.Protocol] | Literal["auto", "h11", "httptools"] = "auto",
    ws: Literal["none", "websockets-sansio"] = "websockets-sansio",
) -> Iterator[str]:
    """Serve an application; yields its base URL."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        http=http,
        ws=ws,
        timeout_graceful_shutdown=1,
    )
    with Serving(_Server(config)) as running:
        yield running.url


class RawUpstream:
    """A TCP server that can break HTTP's rules: `behave` gets the connection of each request.

    `received` has the requests of clients, up to the end of their bodies.
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

    def __enter__(self) -> Self:
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
        """Send byte by byte until everything is sent or the block ends."""
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


class KeptConnections(RawUpstream):
    """A login server that keeps its connections open until it is told to close them."""

    def __init__(self) -> None:
        grant = b'{"access_token": "a", "refresh_token": "r", "avatar_params": {}}'
        super().__init__(lambda connection: connection.sendall(http_answer("200 OK", grant)))

    def close_connections(self) -> None:
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def http_answer(status: str, body: bytes, *headers: str) -> bytes:
    """A complete HTTP/1.1 response."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body
