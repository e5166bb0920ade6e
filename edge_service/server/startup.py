"""What `sentifyd-edge serve` does before it serves: settings and sockets, or all that is wrong."""

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
    """The settings, and the socket of the service, with a second one where metrics have a port.

    Args:
        environ: environment variables.
        shown: what a variable is called in a problem, where an argument has set it.

    Raises:
        SettingsError: with all that is wrong at once, ports that are taken included.
    """
    problems: Sequence[str] = ()
    settings = None
    try:
        settings = Settings.from_env(environ, shown)
    except SettingsError as error:
        problems = error.problems
    sockets, taken = _bind(environ)
    if settings is None or taken:
        for sock in sockets:
            sock.close()
        raise SettingsError([*problems, *taken])
    return settings, sockets


def run(
    settings: Settings,
    sockets: Sequence[socket.socket],
    environ: Mapping[str, str],
    greet: Callable[[int], None] | None = None,
) -> None:
    """Serve until a signal ends it.

    Args:
        settings: what `prepare` returned, together with the sockets.
        sockets: those.
        environ: environment variables, read again for the avatars at SIGHUP.
        greet: tells in place of the log that it listens; gets the port.
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

    def tell() -> None:
        port = sockets[0].getsockname()[1]
        if greet is not None:
            greet(port)
        else:
            log_near_misses(near_misses(environ))
            log_listening(settings, port)

    serving.serve(
        apps,
        tell,
        # Without a file there is nothing to read again, and the signal ends the process as ever.
        on_hangup=reload if settings.avatars_file is not None else None,
        # A body, a key set, a slot and a login may each have to be waited for.
        grace=8 + 2 * settings.upstream_timeout,
    )


def _bind(environ: Mapping[str, str]) -> tuple[list[socket.socket], list[str]]:
    """The sockets that can be had, and a line for each that cannot."""
    host, port, metrics_port = (
        _valid(environ, Variables.HOST),
        _valid(environ, Variables.PORT),
        _valid(environ, Variables.METRICS_PORT),
    )
    wanted = [(port, "--port or PORT")]
    if metrics_port != port:
        wanted.append((metrics_port, "METRICS_PORT"))
    sockets: list[socket.socket] = []
    taken: list[str] = []
    for number, cure in wanted:
        if host is not None and number is not None:
            try:
                sockets.append(serving.bind(host, number, cure))
            except serving.AddressUnavailable as error:
                taken.append(str(error))
    return sockets, taken


def _valid(environ: Mapping[str, str], variable: Variable[T]) -> T | None:
    """The value, unless it is a problem that the settings have told already."""
    env = Environment(environ)
    value = env.read(variable)
    return None if env.problems else value
