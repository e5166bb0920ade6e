"""The sandbox's tokens: JWTs (RFC 7519), signed with a random key of this process."""

from __future__ import annotations

import math
import time
import uuid
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

__all__ = ["InvalidToken", "TokenMint"]

ISSUER = "sentifyd-sandbox"
REFRESH_TOKEN_LIFE_SECONDS = 24 * 3600


class InvalidToken(Exception):
    """The token is forged, expired or of another kind."""


class TokenMint:
    """Creates and verifies tokens.

    Args:
        life: lifetime of access tokens in seconds.
    """

    def __init__(self, life: int) -> None:
        self.life = life
        self._key = OctKey.generate_key(256)
        self._registry = jwt.JWTClaimsRegistry(
            iss={"essential": True, "value": ISSUER},
            exp={"essential": True},
            use={"essential": True, "value": "access"},
        )

    def access_token(self, avatar: str) -> str:
        """A token for the WebSocket."""
        return self._token(avatar, "access", self.life)

    def refresh_token(self, avatar: str) -> str:
        """A token for `?refreshToken=`."""
        return self._token(avatar, "refresh", REFRESH_TOKEN_LIFE_SECONDS)

    def check_access_token(self, token: str) -> dict[str, Any]:
        """The claims of an access token.

        Raises:
            InvalidToken: forged, expired or of another kind.
        """
        try:
            claims = jwt.decode(token, self._key, algorithms=["HS256"]).claims
            self._registry.validate(claims)
        except (JoseError, ValueError):
            raise InvalidToken from None
        return claims

    def _token(self, avatar: str, use: str, life: int) -> str:
        now = time.time()
        claims = {
            "iss": ISSUER,
            "sub": avatar,
            "use": use,
            "iat": int(now),
            "exp": math.ceil(now + life),
            "jti": uuid.uuid4().hex,
        }
        return jwt.encode({"alg": "HS256"}, claims, self._key)
