"""A sandbox with a token service in front of it, in one process on two loopback ports."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from starlette.types import ASGIApp

from edge_service.app import create_app
from edge_service.sandbox.app import Sandbox, create_sandbox
from edge_service.server.serving import bind, serve
from edge_service.settings import AvatarSettings, Settings
from edge_service.telemetry import configure_logging

__all__ = ["HOST", "Pair", "address", "run_preview"]

HOST = "127.0.0.1"
TOKEN_LIFE = 3600


@dataclass(frozen=True, slots=True)
class Pair:
    """A sandbox and a token service, and their URLs.

    Attributes:
        apps: both applications with the sockets that they listen on; the sandbox first.
        sandbox: the sandbox's base URL.
        edge: the token service's base URL.
    """

    apps: tuple[tuple[ASGIApp, socket.socket], tuple[ASGIApp, socket.socket]]
    sandbox: str
    edge: str

    @classmethod
    def on(
        cls,
        sandbox_socket: socket.socket,
        edge_socket: socket.socket,
        origins: Iterable[str],
        token_life: int,
        api_key: str | None = None,
    ) -> Pair:
        """Create both applications.

        Args:
            sandbox_socket: a bound socket for the sandbox.
            edge_socket: a bound socket for the token service.
            origins: origins whose pages may request tokens.
            token_life: lifetime of access tokens in seconds.
            api_key: the key for logins at the sandbox; `None` creates a random key.
        """
        sandbox, edge = (address(sock) for sock in (sandbox_socket, edge_socket))
        key = api_key or secrets.token_urlsafe(24)
        avatar = AvatarSettings(
            api_key=key,
            login_url=f"{sandbox}/api/login",
            allowed_origins=frozenset(origins),
        )
        # With the shortest lifetime, a page requests a token every second.
        settings = Settings(avatars={"": avatar}, rate_limit="600/minute")
        apps = (
            (create_sandbox(Sandbox(key, token_life)), sandbox_socket),
            (create_app(settings), edge_socket),
        )
        return cls(apps, sandbox, edge)

    @property
    def token_endpoint(self) -> str:
        """The URL of the token endpoint."""
        return f"{self.edge}/request_tokens"

    @property
    def loaders(self) -> dict[str, str]:
        """The URL of each component's loader."""
        return {
            "bot": f"{self.sandbox}/sentifyd-bot/main.js",
            "realtime": f"{self.sandbox}/sentifyd-realtime/v1/main.js",
        }


def address(sock: socket.socket) -> str:
    """The base URL of a socket."""
    return f"http://{HOST}:{sock.getsockname()[1]}"


def run_preview(
    origins: Iterable[str], output: Callable[[str], None], *, with_parent: bool = False
) -> None:
    """Serve both on free loopback ports.

    Args:
        origins: origins whose pages may request tokens.
        output: called with the URLs, as one line of JSON, once both accept requests.
        with_parent: stop when standard input is closed, and therefore when the parent process ends.

    Raises:
        AddressUnavailable: there is no free port.
    """
    pair = Pair.on(bind(HOST, 0, "HOST"), bind(HOST, 0, "HOST"), origins, TOKEN_LIFE)
    configure_logging("warning", "console")

    def announce() -> None:
        if with_parent:
            threading.Thread(target=_follow_parent, daemon=True).start()
        output(json.dumps({"token_endpoint": pair.token_endpoint, "loaders": pair.loaders}))

    serve(pair.apps, announce, grace=lambda: 1.0, websockets=True)


def _follow_parent() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    # On Windows, os.kill would end the process without running the signal handler.
    signal.raise_signal(signal.SIGTERM)
