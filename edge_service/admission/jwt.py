"""Identifies visitors by JSON Web Tokens (RFC 7519), from `Authorization` or from a cookie.

Import it only for `VISITOR_AUTH=jwt`, because importing joserfc is slow.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from joserfc.jwt import JWTClaimsRegistry
from starlette.types import Scope

from edge_service.admission.headers import header_values
from edge_service.admission.identity import Authenticator, user_name
from edge_service.admission.jwks import KeySet, SignedToken
from edge_service.errors import IdentityUnavailable, Unauthenticated
from edge_service.settings import JwtRules
from edge_service.strict_json import JSON

__all__ = ["JwtAuthenticator"]

LEEWAY_SECONDS = 30


class JwtAuthenticator(Authenticator):
    """Identifies visitors by JWTs that an issuer signed with one of its published keys.

    Args:
        rules: which tokens are accepted.
        fetch: fetches the issuer's JWKS document; raises when it cannot. It must limit the time and
            the size.
        clock: monotonic clock, in seconds.
        sleep: waits between refreshes of the key set; takes seconds.
    """

    def __init__(
        self,
        rules: JwtRules,
        fetch: Callable[[], Awaitable[bytes]],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.by_cookie = rules.by_cookie
        self._source = rules.jwks_url
        self._cookie = rules.cookie.encode("latin-1") if rules.cookie else None
        self._keys = KeySet(fetch, clock=clock, sleep=sleep)
        self._claims = JWTClaimsRegistry(
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": rules.issuer},
            aud={"essential": True, "value": rules.audience},
            exp={"essential": True},
        )

    @property
    def ready(self) -> bool:
        """Whether a key set is loaded."""
        return self._keys.ready

    @property
    def is_fresh(self) -> bool:
        """Whether the last fetch of the key set succeeded."""
        return self._keys.ready and not self._keys.failing

    def start(self) -> None:
        """Load the key set in the background, and refresh it."""
        self._keys.start()

    def take_over(self, before: JwtAuthenticator) -> None:
        """Continue with the keys of another one, if they come from the same URL."""
        if before._source == self._source:
            self._keys.take_over(before._keys)

    async def close(self) -> None:
        """Stop the background work."""
        await self._keys.close()

    async def identify(self, scope: Scope) -> str:
        """The claim `sub` of the request's token.

        Raises:
            Unauthenticated: there is no token, or it is invalid.
            IdentityUnavailable: no key set is loaded yet.
        """
        token = SignedToken.read(self._credentials(scope))
        if token is None:
            raise Unauthenticated(rejected=True)
        if not await self._keys.load_on_demand():
            raise IdentityUnavailable
        verified = map(token.claims, await self._keys.keys_for(token))
        claims = next((claims for claims in verified if claims is not None), None)
        user = self._user(claims) if claims is not None else None
        if user is None:
            raise Unauthenticated(rejected=True)
        return user

    def _credentials(self, scope: Scope) -> bytes:
        authorizations = header_values(scope, b"authorization")
        if authorizations:
            # With several credentials, an attacker may have added one.
            scheme, _, token = authorizations[0].partition(b" ")
            if len(authorizations) != 1 or scheme.lower() != b"bearer":
                raise Unauthenticated(rejected=True)
            return token.strip(b" ")
        cookies = _cookies(scope, self._cookie) if self._cookie else []
        if not cookies:
            raise Unauthenticated
        if len(cookies) != 1:
            # A subdomain of the site can set a second cookie (RFC 6265, section 8.6).
            raise Unauthenticated(rejected=True)
        return cookies[0]

    def _user(self, claims: JSON) -> str | None:
        # Signed claims can still be malformed in any way; every error means "not identified".
        with suppress(Exception):
            self._claims.validate(claims)
            return user_name(claims.get("sub"))
        return None


def _cookies(scope: Scope, name: bytes) -> list[bytes]:
    """All values of a cookie; HTTP/2 may split cookies over several headers."""
    pairs = (
        pair.partition(b"=")
        for line in header_values(scope, b"cookie")
        for pair in line.split(b";")
    )
    return [value.strip() for key, _, value in pairs if key.strip() == name]
