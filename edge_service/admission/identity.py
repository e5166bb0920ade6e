"""Visitor identity: the `Authenticator` interface, and one that trusts a proxy in front.

An application that mounts the service can provide its own `Authenticator`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from starlette.types import Scope

from edge_service.admission.addresses import ClientAddresses
from edge_service.admission.headers import header_values
from edge_service.errors import Unauthenticated
from edge_service.settings import ForwardedRules

__all__ = ["Authenticator", "ForwardedAuthenticator", "user_name"]

MAX_USER_LENGTH = 256


class Authenticator(ABC):
    """Identifies the visitor who sent a request.

    Attributes:
        by_cookie: the browser sends the credentials by itself, usually as a cookie. CORS responses
            then allow credentials, and `ALLOW_ANY_ORIGIN` is refused.
    """

    by_cookie: bool = True

    @property
    def ready(self) -> bool:
        """Whether visitors can be identified; until then `/readyz` answers 503."""
        return True

    def start(self) -> None:  # noqa: B027 - most have nothing to load
        """Start background work; needs a running event loop. May be called more than once."""

    async def close(self) -> None:  # noqa: B027
        """Stop the background work."""

    @abstractmethod
    async def identify(self, scope: Scope) -> str:
        """The name of the user who sent a request; rate limits and refresh handles depend on it.

        Args:
            scope: ASGI scope of the request, type `http`.

        Returns:
            At most 256 printable characters; `user_name` validates that.

        Raises:
            Unauthenticated: the request has no valid credentials.
            IdentityUnavailable: visitors cannot be identified at the moment.
        """


class ForwardedAuthenticator(Authenticator):
    """Trusts a header that names the user, if a trusted proxy sends it.

    Args:
        rules: name of the header.
        addresses: decides which proxies are trusted.
    """

    def __init__(self, rules: ForwardedRules, addresses: ClientAddresses) -> None:
        self._header = rules.header.lower().encode("latin-1")
        self._addresses = addresses

    async def identify(self, scope: Scope) -> str:
        """The user that the proxy names.

        Raises:
            Unauthenticated: no trusted proxy sent the request, or it does not name exactly one
                user.
        """
        values = (
            header_values(scope, self._header) if self._addresses.comes_from_proxy(scope) else []
        )
        if not values:
            raise Unauthenticated
        user = user_name(_text(values[0]).strip()) if len(values) == 1 else None
        if user is None:
            raise Unauthenticated(rejected=True)
        return user


def user_name(value: object) -> str | None:
    """The value if it is a valid user name, else `None`.

    A valid name has 1 to 256 printable characters. A lone surrogate is invalid, because no store
    accepts it.
    """
    if isinstance(value, str) and value.strip() and len(value) <= MAX_USER_LENGTH:
        return value if value.isprintable() else None
    return None


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
