"""A sandbox and the token service in front of it, in one process on two loopback ports."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.types import ASGIApp

from edge_service.app import create_app
from edge_service.sandbox.app import Sandbox, create_sandbox
from edge_service.settings import AvatarSettings, Settings

__all__ = ["HOST", "Pair", "address"]

HOST = "127.0.0.1"


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
