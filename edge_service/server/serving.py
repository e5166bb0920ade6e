"""Runs ASGI applications on sockets until a stop signal."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import math
import signal
import socket
from collections.abc import Callable, Iterator, Sequence

import structlog
import uvicorn
from starlette.types import ASGIApp

from edge_service.server.accepting import (
    Acceptor,
    Shortage,
    most_connections,
    raise_file_limit,
)
from edge_service.server.http_protocol import BoundedProtocol

__all__ = ["AddressUnavailable", "bind", "serve"]

FORCED_SECONDS = 1.0
KEEP_ALIVE_SECONDS = 75
NO_HANGUP = (
    "SIGHUP is not available on this platform: restart the service after a change of its files, or "
    "start it with --watch"
)


class AddressUnavailable(OSError):
    """The service cannot listen there; the message says how to choose another address."""


def bind(host: str, port: int, variable: str) -> socket.socket:
    """Listen on an address.

    Args:
        host: address or name.
        port: TCP port; 0 takes any free one.
        variable: name of the setting for the port, for the error message.

    Raises:
        AddressUnavailable: the port is in use, or the address does not belong to this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    # On Windows, SO_REUSEADDR would let another process take over the port. SO_EXCLUSIVEADDRUSE
    # prevents that, and still allows a quick restart.
    option = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)
    sock.setsockopt(socket.SOL_SOCKET, option, 1)
    try:
        sock.bind((host, port))
        sock.listen(1024)
    except OSError as error:
        sock.close()
        about_port = error.errno in (errno.EADDRINUSE, errno.EACCES)
        reason = (
            "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        )
        fix = variable if about_port else "HOST, such as 0.0.0.0 for all addresses of this machine"
        raise AddressUnavailable(
            f"port {port} on {host} {reason}: choose another with {fix}"
        ) from None
    return sock


def serve(
    apps: Sequence[tuple[ASGIApp, socket.socket]],
    on_start: Callable[[], None],
    stop_signals: Sequence[signal.Signals] = (signal.SIGINT, signal.SIGTERM),
    on_hangup: Callable[[], None] | None = None,
    grace: Callable[[], float] = lambda: 5.0,
    *,
    drain_seconds: Callable[[], float] = lambda: 0.0,
    on_drain: Callable[[], None] = lambda: None,
    websockets: bool = False,
) -> None:
    """Serve every application on its socket in one event loop; return after a stop signal.

    All run in one process, so that no child process can be left behind.

    Args:
        apps: applications and the sockets that they listen on.
        on_start: called once all of them accept requests.
        stop_signals: the first signal starts a graceful shutdown, a second one ends it.
            With `drain_seconds`, there is one more step before, if the first one is SIGTERM.
        on_hangup: called at each SIGHUP; `None` does not handle it. If the platform has no SIGHUP,
            as on Windows, a log line reports that.
        grace: returns the seconds that current requests get to finish.
        drain_seconds: returns the seconds to serve on all sockets after SIGTERM, before the
            shutdown. A second signal ends them.
        on_drain: called when they begin, to make load balancers send no more requests.
        websockets: whether any application uses WebSockets.
    """
    most = most_connections(raise_file_limit())
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        servers = [_Server(_config(app, websockets=websockets), most) for app, _ in apps]
        sockets = [sock for _, sock in apps]
        stop = _Stop(servers, grace, drain_seconds, on_drain)
        runner.run(_serve(servers, sockets, on_start, stop, stop_signals, on_hangup))


async def _serve(
    servers: Sequence[_Server],
    sockets: Sequence[socket.socket],
    on_start: Callable[[], None],
    stop: _Stop,
    stop_signals: Sequence[signal.Signals],
    on_hangup: Callable[[], None] | None,
) -> None:
    stop.loop = asyncio.get_running_loop()
    for number in stop_signals:
        signal.signal(number, stop)
    if on_hangup is not None and not _handle_hangup(on_hangup):
        structlog.get_logger("service").warning("reload_unavailable", reason=NO_HANGUP)
    async with asyncio.TaskGroup() as group:
        for server, sock in zip(servers, sockets, strict=True):
            group.create_task(server.serve([sock]))
        await asyncio.gather(*(server.up.wait() for server in servers))
        on_start()


def _handle_hangup(on_hangup: Callable[[], None]) -> bool:
    """Call `on_hangup` at each SIGHUP; return whether the platform supports that."""
    number = getattr(signal, "SIGHUP", None)
    if number is None:
        return False
    try:
        asyncio.get_running_loop().add_signal_handler(number, on_hangup)
    except NotImplementedError:
        return False
    return True


class _Stop:
    """Handles the stop signals: drain, shut down gracefully, exit at once.

    Args:
        servers: the servers to stop.
        grace: returns the seconds that current requests get to finish.
        drain_seconds: returns how long SIGTERM drains; 0 skips this step, as every other signal
            does.
        on_drain: called when it begins.
    """

    loop: asyncio.AbstractEventLoop

    def __init__(
        self,
        servers: Sequence[_Server],
        grace: Callable[[], float],
        drain_seconds: Callable[[], float],
        on_drain: Callable[[], None],
    ) -> None:
        self._servers = servers
        self._grace = grace
        self._drain_seconds = drain_seconds
        self._on_drain = on_drain
        self._may_drain = True
        self._is_over = False

    def __call__(self, number: int, _: object) -> None:
        """Take the next step; Python calls it between any two operations of the event loop."""
        seconds = self._drain_seconds()
        if self._may_drain and number == signal.SIGTERM and seconds > 0:
            self._may_drain = False
            self.loop.call_soon_threadsafe(self._drain, seconds)
        else:
            self._shut_down()

    def _drain(self, seconds: float) -> None:
        if self._is_over:
            return
        structlog.get_logger("service").info("draining", seconds=seconds)
        self._on_drain()
        self.loop.call_later(seconds, self._end_drain)

    def _end_drain(self) -> None:
        # Unless a signal has ended it before: a second shutdown would not wait for requests.
        if not self._is_over:
            self._shut_down()

    def _shut_down(self) -> None:
        self._may_drain = False
        self._is_over = True
        for server in self._servers:
            server.config.timeout_graceful_shutdown = math.ceil(self._grace())
            server.force_exit = server.should_exit
            server.should_exit = True


class _Server(uvicorn.Server):
    """A uvicorn server without signal handlers: `_serve` handles signals for all servers.

    Args:
        config: uvicorn's configuration.
        most: maximum number of open connections.
    """

    def __init__(self, config: uvicorn.Config, most: int) -> None:
        super().__init__(config)
        self.up = asyncio.Event()
        self._most = most
        self._shortage = Shortage()
        self._acceptors: list[Acceptor] = []

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup([])
        for sock in sockets or []:
            await self._listen(sock)
        self.up.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Closing the socket would reset connections that the kernel has accepted, but we have not.
        # A duplicate keeps their queue, so that they can be served first.
        queues = [sock.dup() for sock in sockets or []]
        for server in self.servers:
            server.close()
        for acceptor in self._acceptors:
            await acceptor.close()
        self._shortage.close()
        for queue in queues:
            with queue:
                await self._accept_all(queue)
        await super().shutdown(sockets)
        if self.force_exit:
            # After a forced exit, uvicorn skips it, and its task would log a traceback.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.lifespan.shutdown(), FORCED_SECONDS)

    async def _listen(self, sock: socket.socket) -> None:
        connections = self.server_state.connections
        try:
            acceptor = Acceptor(sock, self._protocol, connections, self._most, self._shortage)
        except NotImplementedError:
            server = await asyncio.get_running_loop().create_server(self._protocol, sock=sock)
            self.servers.append(server)
        else:
            self._acceptors.append(acceptor)

    async def _accept_all(self, queue: socket.socket) -> None:
        queue.setblocking(False)
        loop = asyncio.get_running_loop()
        waiting = []
        with contextlib.suppress(OSError):
            while True:
                waiting.append(queue.accept()[0])
        queue.close()
        for connection in waiting:
            with contextlib.suppress(OSError):
                await loop.connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> asyncio.Protocol:
        return BoundedProtocol(self.config, self.server_state, self.lifespan.state)


def _config(app: ASGIApp, *, websockets: bool) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        # For uvicorn, an application that is no coroutine function would be one of ASGI 2.
        interface="asgi3",
        http=BoundedProtocol,
        log_config=None,
        # Its access log contains whole URLs, and its proxy headers trust every local sender.
        access_log=False,
        proxy_headers=False,
        server_header=False,
        ws="websockets-sansio" if websockets else "none",
        # Longer than the usual minute of proxies: if the service closed first, it could cut off a
        # request that the proxy has just sent.
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
