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
    """Both applications, and where they will answer.

    Attributes:
        apps: with the sockets that they listen on; the sandbox first.
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
        """Put the two together.

        Args:
            sandbox_socket: a bound socket for the sandbox.
            edge_socket: a bound socket for the token service.
            origins: whose pages may ask for tokens.
            token_life: seconds that an access token lives.
            api_key: what the one logs in to the other with; a random key when not given.
        """
        sandbox, edge = (address(sock) for sock in (sandbox_socket, edge_socket))
        key = api_key or secrets.token_urlsafe(24)
        avatar = AvatarSettings(
            api_key=key,
            login_url=f"{sandbox}/api/login",
            allowed_origins=frozenset(origins),
        )
        # Tokens may live for a second here, so that a single page asks once a second.
        settings = Settings(avatars={"": avatar}, rate_limit="600/minute")
        apps = (
            (create_sandbox(Sandbox(key, token_life)), sandbox_socket),
            (create_app(settings), edge_socket),
        )
        return cls(apps, sandbox, edge)

    @property
    def token_endpoint(self) -> str:
        """Where pages ask for tokens."""
        return f"{self.edge}/request_tokens"

    @property
    def loaders(self) -> dict[str, str]:
        """The loader's address of each component."""
        return {
            "bot": f"{self.sandbox}/sentifyd-bot/main.js",
            "realtime": f"{self.sandbox}/sentifyd-realtime/v1/main.js",
        }


def address(sock: socket.socket) -> str:
    """The base URL of what listens there."""
    return f"http://{HOST}:{sock.getsockname()[1]}"


def run_preview(
    origins: Iterable[str], say: Callable[[str], None], *, with_parent: bool = False
) -> None:
    """Serve both on free loopback ports.

    Args:
        origins: whose pages may ask for tokens.
        say: is given the addresses, as one line of JSON, once both answer.
        with_parent: stop when standard input is closed, so that this ends with whoever holds its
            other end, however that ends.

    Raises:
        AddressUnavailable: there is no free port.
    """
    pair = Pair.on(bind(HOST, 0, "HOST"), bind(HOST, 0, "HOST"), origins, TOKEN_LIFE)
    configure_logging("warning", "console")

    def announce() -> None:
        if with_parent:
            threading.Thread(target=_follow_parent, daemon=True).start()
        say(json.dumps({"token_endpoint": pair.token_endpoint, "loaders": pair.loaders}))

    serve(pair.apps, announce, grace=1, websockets=True)


def _follow_parent() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    # os.kill would end the process at once on Windows, whatever handles the signal.
    signal.raise_signal(signal.SIGTERM)
