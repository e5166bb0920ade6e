"""The grant: the tokens and parameters that one upstream login yields."""

from __future__ import annotations

import math
import time
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from edge_service.strict_json import JSON, parse_json

__all__ = ["Grant", "HeldGrant", "claimed_time", "claims_of", "life_of", "stated_life"]

# The vendor's WordPress plugin assumes this when the lifetime is unknown.
DEFAULT_LIFE_SECONDS = 55.0
CLOCK_SKEW_SECONDS = 60
MAX_LIFE_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Tokens and avatar parameters from one upstream login; only the lifetime shows in its repr.

    Attributes:
        access_token: JWT for the WebSocket.
        refresh_token: what the component sends back when the access token has expired.
        avatar_parameters: the vendor's settings for the avatar, passed on untouched.
        token_type: such as `Bearer`; `None` when upstream did not say.
        expires_in: seconds that the access token lives; `None` when upstream did not say.
    """

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    avatar_parameters: JSON = field(repr=False)
    token_type: str | None = None
    expires_in: float | None = None


@dataclass(frozen=True, slots=True)
class HeldGrant:
    """A grant that is kept for a while before it is handed out.

    Attributes:
        grant: as upstream gave it.
        born: when that was, on a monotonic clock, in seconds.
        life: seconds that its access token lived from then on.
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
        """The grant with the lifetime that remains of it, when upstream stated one."""
        if self.grant.expires_in is None:
            return self.grant
        return replace(self.grant, expires_in=max(1, math.floor(self.left(now))))


def life_of(grant: Grant) -> float:
    """Seconds that a new access token lives: as upstream states, else 55 s."""
    stated = stated_life(grant)
    return DEFAULT_LIFE_SECONDS if stated is None else stated


def stated_life(grant: Grant) -> float | None:
    """Seconds that a new access token lives, or `None` when upstream does not state it.

    Taken from `expires_in`, else from the claims of the JWT, which are read and not verified. At
    most a day.
    """
    if grant.expires_in is not None:
        return min(grant.expires_in, MAX_LIFE_SECONDS)
    claims = claims_of(grant.access_token)
    now = time.time()
    expires = claimed_time(claims, "exp")
    issued = claimed_time(claims, "iat") if "iat" in claims else now
    if expires is not None and issued is not None and expires > issued:
        # JSON knows integers that are too large for a float.
        with suppress(OverflowError):
            # Counted from the token's own beginning, because clocks differ; but one that upstream
            # has kept for a while has only the rest of its life.
            life, rest = expires - issued, expires - int(now)
            return min(rest if 0 < rest < life - CLOCK_SKEW_SECONDS else life, MAX_LIFE_SECONDS)
    return None


def claimed_time(claims: Mapping[str, object], name: str) -> float | None:
    """A claim in seconds since 1970; `None` of what is no number."""
    value = claims.get(name)
    return None if isinstance(value, bool) or not isinstance(value, (int, float)) else value


def claims_of(token: str) -> dict[str, object]:
    """The claims of a JWT, read and not verified; none of what is no JWT."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = parse_json(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return {}
    return claims if isinstance(claims, dict) else {}
