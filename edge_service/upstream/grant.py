"""The grant: tokens and avatar parameters from one login."""

from __future__ import annotations

import math
import time
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from edge_service.strict_json import JSON, parse_json

__all__ = [
    *("INCOMPLETE_SECONDS", "Grant", "HeldGrant"),
    *("claimed_time", "claims_of", "life_of", "stated_life"),
]

# Sentifyd's WordPress plugin assumes this when the lifetime is unknown.
DEFAULT_LIFE_SECONDS = 55.0
ISSUER_CLOCK_SKEW_SECONDS = 60
MAX_LIFE_SECONDS = 24 * 3600.0
# How long a grant without parameters is kept: the next login may return them.
INCOMPLETE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Tokens and avatar parameters from one login. The repr shows no token.

    Attributes:
        access_token: JWT for the WebSocket.
        refresh_token: the component sends it back when the access token has expired.
        avatar_parameters: Sentifyd's settings of the avatar, passed on unchanged; empty if it
            sent none.
        is_complete: whether Sentifyd sent parameters; they may be empty.
        token_type: such as `Bearer`; `None` when Sentifyd did not send it.
        expires_in: lifetime of the access token in seconds; `None` when Sentifyd did not send it.
    """

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    avatar_parameters: JSON = field(repr=False)
    token_type: str | None = None
    expires_in: float | None = None
    is_complete: bool = True


@dataclass(frozen=True, slots=True)
class HeldGrant:
    """A grant that is kept for some time before it is issued.

    Attributes:
        grant: as Sentifyd sent it.
        born: when it was fetched, in seconds of a monotonic clock.
        life: lifetime of its access token at that time, in seconds.
    """

    grant: Grant
    born: float
    life: float

    @classmethod
    def fresh(cls, grant: Grant, now: float) -> HeldGrant:
        """A grant that has just been fetched."""
        return cls(grant, now, life_of(grant))

    def left(self, now: float) -> float:
        """Seconds until the access token expires."""
        return self.born + self.life - now

    def at(self, now: float) -> Grant:
        """The grant with the remaining lifetime in `expires_in`, if Sentifyd sent a lifetime."""
        if self.grant.expires_in is None:
            return self.grant
        return replace(self.grant, expires_in=max(1, math.floor(self.left(now))))


def life_of(grant: Grant) -> float:
    """Lifetime of a new access token in seconds: `stated_life`, or else 55."""
    stated = stated_life(grant)
    return DEFAULT_LIFE_SECONDS if stated is None else stated


def stated_life(grant: Grant) -> float | None:
    """Lifetime of a new access token in seconds, or `None` when Sentifyd does not state it.

    It comes from `expires_in`, or else from the claims of the JWT, which are not verified. The
    maximum is one day.
    """
    if grant.expires_in is not None:
        return min(grant.expires_in, MAX_LIFE_SECONDS)
    claims = claims_of(grant.access_token)
    now = time.time()
    expires = claimed_time(claims, "exp")
    issued = claimed_time(claims, "iat") if "iat" in claims else now
    if expires is not None and issued is not None and expires > issued:
        # JSON integers can be too large for a float.
        with suppress(OverflowError):
            # Clocks differ, so the lifetime is `exp` minus `iat`, unless the token is much older.
            life, rest = expires - issued, expires - int(now)
            is_older = 0 < rest < life - ISSUER_CLOCK_SKEW_SECONDS
            return min(rest if is_older else life, MAX_LIFE_SECONDS)
    return None


def claimed_time(claims: Mapping[str, object], name: str) -> float | None:
    """A claim in seconds since 1970 (RFC 7519, `NumericDate`); `None` if it is not a number."""
    value = claims.get(name)
    return None if isinstance(value, bool) or not isinstance(value, (int, float)) else value


def claims_of(token: str) -> dict[str, object]:
    """The unverified claims of a JWT; empty if it is not a JWT."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = parse_json(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return {}
    return claims if isinstance(claims, dict) else {}
