"""Settings for tests that run an application, or a part of it, in their own process."""

from __future__ import annotations

from typing import Any

from edge_service.settings import AvatarSettings, Settings
from edge_service.upstream.client import Client
from edge_service.upstream.connections import trusted
from edge_service.upstream.logins import AvatarLogin

KEY = "canary-key-7f3a91"
ORIGIN = "https://docs.example.com"


def avatar_settings(upstream: str = "http://127.0.0.1:1", **changes: object) -> AvatarSettings:
    """The default avatar."""
    fields: dict[str, Any] = {
        "api_key": KEY,
        "allowed_origins": frozenset({ORIGIN}),
        "login_url": f"{upstream}/api/login",
    }
    return AvatarSettings(**{**fields, **changes})


def settings_for(upstream: str = "http://127.0.0.1:1", **changes: Any) -> Settings:  # noqa: ANN401
    """Settings of a service with only the default avatar, unless `changes` has others."""
    return Settings(**{"avatars": {"": avatar_settings(upstream)}, **changes})


def login_to(
    upstream: str, *, timeout: float = 5, concurrency: int = 4
) -> tuple[AvatarLogin, Client]:
    """A login of the default avatar, and its client, which must be closed."""
    outbound = Client(timeout, concurrency, trusted(None))
    return AvatarLogin(avatar_settings(upstream), outbound), outbound
