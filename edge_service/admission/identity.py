"""Who the visitor is: what a JWT says, or what a proxy in front says."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

from starlette.types import Scope

from edge_service.admission.addresses import ClientAddresses
from edge_service.admission.headers import header_values
from edge_service.errors import JSON, ClientError, ServiceError
from edge_service.settings import ForwardedRules, JwtRules

__all__ = [
    "Authenticator",
    "ForwardedAuthenticator",
    "IdentityUnavailable",
    "JwtAuthenticator",
    "Unauthenticated",
]

LEEWAY_SECONDS = 30
MAX_USER_LENGTH = 256


class Unauthenticated(ClientError):
    """The request does not prove who sent it.

    Args:
        rejected: credentials were sent, but are no good. Which of the many reasons it was would
            help nobody but a forger, so the answer does not say.
    """

    status = 401
    code = "unauthenticated"
    error = "Sign in to talk to the avatar"

    def __init__(self, *, rejected: bool = False) -> None:
        challenge = 'Bearer realm="request_tokens"'
        if rejected:
            challenge += ', error="invalid_token"'
        super().__init__(headers={"WWW-Authenticate": challenge})


class IdentityUnavailable(ServiceError):
    """Nobody can be identified, because no key set could be loaded yet."""

    status = 503
    code = "identity_unavailable"
    error = "Visitors cannot be identified at the moment"
    # The key set has told already.
    log_level = None

    def __init__(self) -> None:
        seconds = random.randint(1, 5)  # noqa: S311 - so that not all come back at once
        super().__init__(headers={"Retry-After": str(seconds)})


class Authenticator(Protocol):
    """A way to tell who the visitor is."""

    @property
    def ready(self) -> bool:
        """Whether visitors can be identified."""

    def start(self) -> None:
        """Begin to load in the background; needs a running loop. A second call changes nothing."""

    async def close(self) -> None:
        """End what `start` began."""

    async def identify(self, scope: Scope) -> str:
        """The user; raises `Unauthenticated` or `IdentityUnavailable`."""


class JwtAuthenticator:
    """Identifies visitors by JWTs that an issuer signed with one of the keys it publishes.

    Args:
        rules: which tokens are accepted.
        fetch: gets the issuer's JWKS document, and raises when it cannot. It must come to an end,
            and bound the size.
        clock: monotonic seconds.
        sleep: waits between refreshes of the key set.
    """

    def __init__(
        self,
        rules: JwtRules,
        fetch: Callable[[], Awaitable[bytes]],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        # Here, because services without this authenticator shall not pay for joserfc.
        from joserfc.jwt import JWTClaimsRegistry

        from edge_service.admission.jwks import KeySet, SignedToken

        self._cookie = rules.cookie.encode("latin-1") if rules.cookie else None
        self._keys = KeySet(fetch, clock=clock, sleep=sleep)
        self._read = SignedToken.read
        self._claims = JWTClaimsRegistry(
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": rules.issuer},
            aud={"essential": True, "value": rules.audience},
            exp={"essential": True},
        )

    @property
    def ready(self) -> bool:
        """Whether a key set was loaded."""
        return self._keys.ready

    @property
    def is_fresh(self) -> bool:
        """Whether the last fetch of the key set succeeded."""
        return self._keys.ready and not self._keys.failing

    def start(self) -> None:
        """Load the key set in the background, and keep it fresh."""
        self._keys.start()

    async def close(self) -> None:
        """End the background loading."""
        await self._keys.close()

    async def identify(self, scope: Scope) -> str:
        """The `sub` of the request's token.

        Raises:
            Unauthenticated: there is no token, or it is no good.
            IdentityUnavailable: no key set could be loaded yet.
        """
        token = self._read(self._credentials(scope))
        if token is None:
            raise Unauthenticated(rejected=True)
        if not await self._keys.load_on_demand():
            raise IdentityUnavailable
        key = await self._keys.key_for(token)
        claims = token.claims(key) if key is not None else None
        user = self._user(claims) if claims is not None else None
        if user is None:
            raise Unauthenticated(rejected=True)
        return user

    def _credentials(self, scope: Scope) -> bytes:
        authorizations = header_values(scope, b"authorization")
        if authorizations:
            # Whoever sends several credentials may have had some of them slipped in.
            scheme, _, token = authorizations[0].partition(b" ")
            if len(authorizations) != 1 or scheme.lower() != b"bearer":
                raise Unauthenticated(rejected=True)
            return token.strip(b" ")
        cookies = _cookies(scope, self._cookie) if self._cookie else []
        if not cookies:
            raise Unauthenticated
        if len(cookies) != 1:
            # A subdomain of the site can plant a second one (RFC 6265, section 8.6).
            raise Unauthenticated(rejected=True)
        return cookies[0]

    def _user(self, claims: JSON) -> str | None:
        # Claims are signed, but may still be anything: whatever goes wrong, nobody is identified.
        with suppress(Exception):
            self._claims.validate(claims)
            return _user(claims.get("sub"))
        return None


class ForwardedAuthenticator:
    """Believes a header, when a trusted proxy sends it.

    Args:
        rules: which header.
        addresses: knows the trusted proxies.
    """

    def __init__(self, rules: ForwardedRules, addresses: ClientAddresses) -> None:
        self._header = rules.header.lower().encode("latin-1")
        self._addresses = addresses

    @property
    def ready(self) -> bool:
        """Always true: there is nothing to load."""
        return True

    def start(self) -> None:
        """There is nothing to start."""

    async def close(self) -> None:
        """There is nothing to end."""

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
        user = _user(_text(values[0]).strip()) if len(values) == 1 else None
        if user is None:
            raise Unauthenticated(rejected=True)
        return user


def _user(value: object) -> str | None:
    """A name to count requests under; without lone surrogates, which no store would take."""
    if isinstance(value, str) and value.strip() and len(value) <= MAX_USER_LENGTH:
        return value if value.isprintable() else None
    return None


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _cookies(scope: Scope, name: bytes) -> list[bytes]:
    """The values of a cookie, which HTTP/2 may spread over several headers."""
    pairs = (
        pair.partition(b"=")
        for line in header_values(scope, b"cookie")
        for pair in line.split(b";")
    )
    return [value.strip() for key, _, value in pairs if key.strip() == name]
