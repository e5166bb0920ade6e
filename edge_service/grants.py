"""The grant: what one upstream login yields, whichever API generation answered it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import NoReturn

from edge_service.answers import JSON

__all__ = ["Grant", "MalformedGrant", "parse_grant", "parse_json"]


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

    def payload(self) -> JSON:
        """The body that the web component expects (vendor page, "How it works")."""
        tokens: JSON = {"accessToken": self.access_token, "refreshToken": self.refresh_token}
        if self.token_type is not None:
            tokens["tokenType"] = self.token_type
        if self.expires_in is not None:
            tokens["expiresIn"] = self.expires_in
        return {"tokens": tokens, "avatarParameters": self.avatar_parameters}


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
        raise MalformedGrant("the avatar parameters are missing")
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
        raise MalformedGrant("a token is missing")
    return token


def _lifetime(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
        return None
    return value
