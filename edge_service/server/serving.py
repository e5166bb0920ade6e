"""Run ASGI applications on sockets until the process is told to stop."""

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

from edge_service.server.http_protocol import BoundedProtocol

__all__ = ["AddressUnavailable", "bind", "serve"]

FORCED_SECONDS = 1.0
KEEP_ALIVE_SECONDS = 75
MAX_FILES = 65_536
NO_HANGUP = (
    "SIGHUP is not available on this platform: restart the service to read a changed "
    "AVATARS_FILE or key file"
)


class AddressUnavailable(OSError):
    """Nobody can listen there; the text says how to choose another address."""


def bind(host: str, port: int, variable: str) -> socket.socket:
    """Listen on an address.

    Args:
        host: address or name.
        port: TCP port; 0 takes any free one.
        variable: environment variable that chooses the port, for the message.

    Raises:
        AddressUnavailable: the port is taken, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    # On Windows, SO_REUSEADDR would let another process take the port over, and this option is
    # what keeps it; a port whose last connections just ended is free there anyway.
    option = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)
    sock.setsockopt(socket.SOL_SOCKET, option, 1)
    try:
        sock.bind((host, port))
        sock.listen(1024)
    except OSError as error:
        sock.close()
        about_port = error.errno in (errno.EADDRINUSE, errno.EACCES)
        reason = (
            "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        )
        cure = variable if about_port else "HOST, as in 0.0.0.0 for every address of this machine"
        raise AddressUnavailable(
            f"port {port} on {host} {reason}: choose another with {cure}"
        ) from None
    return sock


def serve(
    apps: Sequence[tuple[ASGIApp, socket.socket]],
    on_start: Callable[[], None],
    stop_signals: Sequence[signal.Signals] = (signal.SIGINT, signal.SIGTERM),
    on_hangup: Callable[[], None] | None = None,
    grace: float = 5.0,
    *,
    websockets: bool = False,
) -> None:
    """Serve every application on its socket in one event loop; return after a stop signal.

    One process, so that nothing can be left behind when it ends, however it ends.

    Args:
        apps: applications and the sockets that they listen on.
        on_start: called once all of them answer.
        stop_signals: the first one lets requests under way finish, a second one does not.
        on_hangup: called at each SIGHUP; `None` leaves that signal alone. Where platform or event
            loop cannot handle it, as on Windows, a log line says so, and all else works.
        grace: seconds that requests under way get to finish.
        websockets: whether any of them speaks WebSocket.
    """
    _allow_many_connections()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(apps, on_start, stop_signals, on_hangup, grace, websockets=websockets))


async def _serve(
    apps: Sequence[tuple[ASGIApp, socket.socket]],
    on_start: Callable[[], None],
    stop_signals: Sequence[signal.Signals],
    on_hangup: Callable[[], None] | None,
    grace: float,
    *,
    websockets: bool,
) -> None:
    servers = [_Server(_config(app, grace, websockets=websockets)) for app, _ in apps]

    def stop(*_: object) -> None:
        for server in servers:
            server.force_exit = server.should_exit
            server.should_exit = True

    for number in stop_signals:
        signal.signal(number, stop)
    if on_hangup is not None and not _handle_hangup(on_hangup):
        structlog.get_logger("service").warning("reload_unavailable", reason=NO_HANGUP)
    async with asyncio.TaskGroup() as group:
        for server, (_, sock) in zip(servers, apps, strict=True):
            group.create_task(server.serve([sock]))
        await asyncio.gather(*(server.up.wait() for server in servers))
        on_start()


def _handle_hangup(on_hangup: Callable[[], None]) -> bool:
    """Call it at each SIGHUP; false where that is not possible."""
    number = getattr(signal, "SIGHUP", None)
    if number is None:
        return False
    try:
        asyncio.get_running_loop().add_signal_handler(number, on_hangup)
    except NotImplementedError:
        return False
    return True


class _Server(uvicorn.Server):
    """A server among others: signals are handled once, for all of them."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # A connection that the kernel has accepted is a visitor who waits: closing the socket
        # would reset it. A duplicate keeps the queue, so that it can be emptied first.
        queues = [sock.dup() for sock in sockets or []]
        for server in self.servers:
            server.close()
        for queue in queues:
            with queue:
                await self._accept_all(queue)
        await super().shutdown(sockets)
        if self.force_exit:
            # uvicorn leaves it out then, and its task would die with a traceback.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.lifespan.shutdown(), FORCED_SECONDS)

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


def _config(app: ASGIApp, grace: float, *, websockets: bool) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        log_config=None,
        # Its access log writes whole URLs, and its proxy headers believe any local sender.
        access_log=False,
        proxy_headers=False,
        server_header=False,
        ws="websockets-sansio" if websockets else "none",
        # Longer than proxies keep theirs, as a rule a minute: whoever closes first must be the
        # proxy, or a request is on its way to a connection that is gone.
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=math.ceil(grace),
    )


def _allow_many_connections() -> None:
    """As many open files as the system lets this process have; the usual 1,024 are few."""
    try:
        from resource import (  # type: ignore[attr-defined, unused-ignore] # not on Windows
            RLIM_INFINITY,
            RLIMIT_NOFILE,
            getrlimit,
            setrlimit,
        )
    except ImportError:
        return
    _, hard = getrlimit(RLIMIT_NOFILE)
    most = MAX_FILES if hard == RLIM_INFINITY else min(hard, MAX_FILES)
    with contextlib.suppress(OSError, ValueError):
        setrlimit(RLIMIT_NOFILE, (most, hard))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
