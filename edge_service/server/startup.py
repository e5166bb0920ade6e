"""Startup of `sentifyd-edge serve`: reads the settings, opens the sockets, reports all problems."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from edge_service.app import create_app, metrics_app
from edge_service.server import serving
from edge_service.settings import Settings, SettingsError
from edge_service.settings.environment import Environment, near_misses
from edge_service.settings.variables import Variable, Variables
from edge_service.telemetry import configure_logging
from edge_service.telemetry.logs import log_listening, log_near_misses, log_reload

__all__ = ["prepare", "run"]

T = TypeVar("T")


def prepare(
    environ: Mapping[str, str], shown: Mapping[str, str]
) -> tuple[Settings, list[socket.socket]]:
    """Read the settings and open the sockets.

    Args:
        environ: environment variables.
        shown: other names for variables in error messages, such as `--port` for `PORT`.

    Returns:
        The settings, and the socket of the service; with `METRICS_PORT`, a second socket for it.

    Raises:
        SettingsError: lists all problems at once, ports in use included.
    """
    problems: Sequence[str] = ()
    settings = None
    try:
        settings = Settings.from_env(environ, shown)
    except SettingsError as error:
        problems = error.problems
    sockets, unavailable = _bind(environ)
    if settings is None or unavailable:
        for sock in sockets:
            sock.close()
        raise SettingsError([*problems, *unavailable])
    return settings, sockets


def run(
    settings: Settings,
    sockets: Sequence[socket.socket],
    environ: Mapping[str, str],
    greet: Callable[[int], None] | None = None,
) -> None:
    """Serve until a stop signal.

    Args:
        settings: from `prepare`.
        sockets: from `prepare`.
        environ: environment variables; SIGHUP reads the avatars from them again.
        greet: called with the port once the service listens; `None` writes log lines instead.
    """
    configure_logging(settings.log_level, settings.log_format)
    app = create_app(settings)
    apps = [(app, sockets[0])]
    apps += [(metrics_app(app), sock) for sock in sockets[1:]]

    def reload() -> None:
        problems: Sequence[str] = ()
        try:
            app.state.avatars.replace(Settings.from_env(environ).avatars)
        except SettingsError as error:
            problems = error.problems
        app.state.metrics.reloaded(ok=not problems)
        log_reload(problems)

    def report_listening() -> None:
        port = sockets[0].getsockname()[1]
        if greet is not None:
            greet(port)
        else:
            log_near_misses(near_misses(environ))
            log_listening(settings, port)

    serving.serve(
        apps,
        report_listening,
        # Without a file there is nothing to reload, and SIGHUP keeps its default: end the process.
        on_hangup=reload if settings.avatars_file is not None else None,
        # A request may wait for its body, the key set, a login slot and a login.
        grace=8 + 2 * settings.upstream_timeout,
        drain_seconds=settings.drain_seconds,
        on_drain=app.state.avatars.drain,
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
