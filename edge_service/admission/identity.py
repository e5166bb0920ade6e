"""Who the visitor is: the interface, and the way that trusts a proxy in front.

An application that mounts the service can bring its own `Authenticator`.
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
    """A way to identify the visitor.

    Attributes:
        by_cookie: a browser identifies its visitor without the page's doing, as a rule by a
            cookie: answers then allow credentials (CORS), and no other site may ask.
    """

    by_cookie: bool = True

    @property
    def ready(self) -> bool:
        """Whether visitors can be identified; until then `/readyz` is 503."""
        return True

    def start(self) -> None:  # noqa: B027 - most have nothing to load
        """Begin to load in the background; needs a running loop. A second call changes nothing."""

    async def close(self) -> None:  # noqa: B027
        """End what `start` began."""

    @abstractmethod
    async def identify(self, scope: Scope) -> str:
        """The name of the user who sent a request; limits and sealed handles are bound to it.

        Args:
            scope: of the request (ASGI, `http`).

        Returns:
            At most 256 printable characters; `user_name` checks that.

        Raises:
            Unauthenticated: the request does not prove who sent it.
            IdentityUnavailable: nobody can be identified now.
        """


class ForwardedAuthenticator(Authenticator):
    """Trusts a header that names the user, when a trusted proxy sends it.

    Args:
        rules: which header.
        addresses: knows which proxies are trusted.
    """

    def __init__(self, rules: ForwardedRules, addresses: ClientAddresses) -> None:
        self._header = rules.header.lower().encode("latin-1")
        self._addresses = addresses

    async def identify(self, scope: Scope) -> str:
        """The user that the proxy names.

        Raises:
            Unauthenticated: no trusted proxy sent the request, or it does not name one user.
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
    """A name to count requests under, or `None` of what cannot be one.

    Args:
        value: at most 256 printable characters; a lone surrogate is refused, because no store
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
