"""The grant: what one upstream login yields, whichever API generation answered it."""

from __future__ import annotations

import json
import math
import time
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import NoReturn

from edge_service.errors import JSON

__all__ = [
    *("Grant", "HeldGrant", "MalformedGrant"),
    *("claimed_time", "claims_of", "life_of", "parse_grant", "parse_json", "told_life"),
]

# What the vendor's WordPress plugin supposes when nothing tells the lifetime.
DEFAULT_LIFE_SECONDS = 55.0
CLOCK_SECONDS = 60
MAX_LIFE_SECONDS = 24 * 3600.0


class MalformedGrant(ValueError):
    """An upstream answer that holds no grant. The text never quotes the answer."""


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

    def payload(self, refresh_token: str) -> JSON:
        """The body that the web component expects (vendor page, "How it works").

        Args:
            refresh_token: the grant's own, or a handle in its place.
        """
        tokens: JSON = {"accessToken": self.access_token, "refreshToken": refresh_token}
        if self.token_type is not None:
            tokens["tokenType"] = self.token_type
        if self.expires_in is not None:
            tokens["expiresIn"] = self.expires_in
        return {"tokens": tokens, "avatarParameters": self.avatar_parameters}


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
        """A grant that has just come."""
        return cls(grant, now, life_of(grant))

    def left(self, now: float) -> float:
        """Seconds until the access token expires."""
        return self.born + self.life - now

    def at(self, now: float) -> Grant:
        """The grant with the lifetime that remains of it, where upstream told one."""
        if self.grant.expires_in is None:
            return self.grant
        return replace(self.grant, expires_in=max(1, math.floor(self.left(now))))


def life_of(grant: Grant) -> float:
    """Seconds that a new access token lives: as it tells, else 55 s."""
    told = told_life(grant)
    return DEFAULT_LIFE_SECONDS if told is None else told


def told_life(grant: Grant) -> float | None:
    """Seconds that a new access token lives, or `None` where nothing tells.

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
            return min(rest if 0 < rest < life - CLOCK_SECONDS else life, MAX_LIFE_SECONDS)
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


def parse_grant(answer: object) -> Grant:
    """Read the JSON answer to a login: wrapped in `data` or flat, snake_case or camelCase.

    Raises:
        MalformedGrant: it is not an object, or a token or the parameters are missing.
    """
    if not isinstance(answer, dict):
        raise MalformedGrant("the answer is not a JSON object")
    data = answer["data"] if isinstance(answer.get("data"), dict) else answer
    parameters = _either(data, "avatar_params", "avatarParameters")
    if not isinstance(parameters, dict):
        raise MalformedGrant("avatar_params is missing")
    token_type = _either(data, "token_type", "tokenType")
    return Grant(
        access_token=_token(data, "access_token", "accessToken"),
        refresh_token=_token(data, "refresh_token", "refreshToken"),
        avatar_parameters=parameters,
        token_type=token_type if isinstance(token_type, str) and token_type else None,
        expires_in=_lifetime(_either(data, "expires_in", "expiresIn")),
    )


def parse_json(body: bytes) -> object:
    """Parse strict JSON (RFC 8259): no NaN, no infinity, no bottomless nesting.

    Raises:
        MalformedGrant: the body is not JSON.
    """
    try:
        parsed: object = json.loads(body, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        # Raised below, outside the handler: a chained ValueError would carry the body along.
        pass
    else:
        return parsed
    raise MalformedGrant("the answer is not JSON")


def _no_constant(_: str) -> NoReturn:
    raise ValueError


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError
    return number


def _either(data: JSON, snake: str, camel: str) -> object:
    return data[snake] if snake in data else data.get(camel)


def _token(data: JSON, snake: str, camel: str) -> str:
    token = _either(data, snake, camel)
    if not isinstance(token, str) or not token:
        raise MalformedGrant(f"{snake} is missing")
    return token


def _lifetime(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
        return None
    return value
