"""Startup of `sentifyd-edge serve`: reads the settings, opens the sockets, reports all problems."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from starlette.types import ASGIApp

from edge_service.app import metrics_app
from edge_service.server import serving
from edge_service.server.reloading import Loaded, Reloadable, is_of_traces
from edge_service.settings import SettingsError
from edge_service.settings.env_file import Source
from edge_service.settings.environment import Environment
from edge_service.settings.variables import Variable, Variables
from edge_service.telemetry import configure_logging
from edge_service.telemetry.logs import log_listening

__all__ = ["Loaded", "prepare", "run"]

T = TypeVar("T")


def prepare(loaded: Loaded) -> list[socket.socket]:
    """Read the settings and open the sockets.

    Args:
        loaded: the settings to read.

    Returns:
        The socket of the service; with `METRICS_PORT`, a second socket for it.

    Raises:
        SettingsError: lists all problems at once, ports in use included.
    """
    problems: Sequence[str] = ()
    try:
        loaded.read()
    except SettingsError as error:
        problems = error.problems
    # Without a readable file, it is not known where to listen.
    sockets, unavailable = _bind(loaded.environ) if loaded.environ else ([], [])
    if problems or unavailable:
        for sock in sockets:
            sock.close()
        raise SettingsError([*problems, *unavailable])
    return sockets


def run(
    loaded: Loaded,
    sockets: Sequence[socket.socket],
    source: Source,
    greet: Callable[[int], None] | None = None,
    *,
    watch: bool = False,
) -> None:
    """Serve until a stop signal.

    Args:
        loaded: the settings that `prepare` has read.
        sockets: from `prepare`.
        source: where SIGHUP reads the variables again.
        greet: called with the port once the service listens; `None` writes log lines instead.
        watch: whether to read them again when a file changes, too.
    """
    settings = loaded.settings
    for name, value in loaded.environ.items():
        if is_of_traces(name):
            # The SDK reads only the environment of the process.
            os.environ.setdefault(name, value)
    configure_logging(settings.log_level, settings.log_format)
    app = Reloadable(loaded, source, watch=watch)
    apps: list[tuple[ASGIApp, socket.socket]] = [(app, sockets[0])]
    apps += [(metrics_app(app.current), sock) for sock in sockets[1:]]

    def report_listening() -> None:
        port = sockets[0].getsockname()[1]
        if greet is not None:
            greet(port)
        else:
            loaded.log_notes()
            log_listening(settings, port)

    serving.serve(
        apps,
        report_listening,
        # Without a file there is nothing to reload, and SIGHUP keeps its default: end the process.
        on_hangup=app.reload if loaded.files else None,
        # A request may wait for its body, the key set, a login slot and a login.
        grace=lambda: 8 + 2 * app.settings.upstream_timeout,
        drain_seconds=lambda: app.settings.drain_seconds,
        on_drain=lambda: app.state.avatars.drain(),
    )


def _bind(environ: Mapping[str, str]) -> tuple[list[socket.socket], list[str]]:
    """The sockets that could be opened, and an error line for each other one."""
    host, port, metrics_port = (
        _valid(environ, Variables.HOST),
        _valid(environ, Variables.PORT),
        _valid(environ, Variables.METRICS_PORT),
    )
    wanted = [(port, "--port or PORT")]
    if metrics_port != port:
        wanted.append((metrics_port, "METRICS_PORT"))
    sockets: list[socket.socket] = []
    unavailable: list[str] = []
    for number, variable in wanted:
        if host is not None and number is not None:
            try:
                sockets.append(serving.bind(host, number, variable))
            except serving.AddressUnavailable as error:
                unavailable.append(str(error))
    return sockets, unavailable


def _valid(environ: Mapping[str, str], variable: Variable[T]) -> T | None:
    """The value, or `None` if it is invalid, which `Settings.from_env` has already reported."""
    env = Environment(environ)
    value = env.read(variable)
    return None if env.problems else value
