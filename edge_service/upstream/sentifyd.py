"""Sentifyd's JSON formats; no other module knows the names of their fields.

Sources: Sentifyd's documentation (request and response of a login, and what the web component
expects) and its WordPress plugin (the hosted v1 API, with a flat response or camelCase).
"""

from __future__ import annotations

import re
from contextlib import suppress

from edge_service.errors import UpstreamError, UpstreamMalformed, UpstreamRejected
from edge_service.settings import AvatarSettings
from edge_service.strict_json import JSON, InvalidJson, parse_json
from edge_service.upstream.grant import Grant

__all__ = [
    *("MAX_DETAILS_BYTES", "MAX_GRANT_BYTES", "REFRESH_PARAMETER", "TOKENS_SCHEMA"),
    *("MalformedGrant", "login_body", "parse_grant", "parse_login", "rejection", "tokens_body"),
]

MAX_GRANT_BYTES = 256 * 1024
MAX_DETAILS_BYTES = 4 * 1024
MASK = "[masked]"
REFRESH_PARAMETER = "refreshToken"
"""Name of the refresh token in the component's requests and in our responses."""
TOKENS_SCHEMA: JSON = {
    "type": "object",
    "properties": {
        "tokens": {
            "type": "object",
            "properties": {
                "accessToken": {
                    "type": "string",
                    "minLength": 1,
                    "description": "JWT for the avatar's WebSocket.",
                },
                REFRESH_PARAMETER: {
                    "type": "string",
                    "minLength": 1,
                    "description": "Send it back when the access token has expired.",
                },
                "tokenType": {"type": "string", "minLength": 1},
                "expiresIn": {"type": "integer", "minimum": 1, "description": "Seconds."},
            },
            "required": ["accessToken", REFRESH_PARAMETER],
            "additionalProperties": False,
        },
        "avatarParameters": {
            "type": "object",
            "description": "Sentifyd's settings of the avatar; empty if it sent none.",
        },
    },
    "required": ["tokens", "avatarParameters"],
    "additionalProperties": False,
}
"""JSON Schema of `tokens_body`."""
_RETRY_AFTER = re.compile(
    r"[0-9]{1,8}|[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
)
_DIGITS = re.compile(r"[0-9]{1,15}")


class MalformedGrant(ValueError):
    """The response contains no grant. The message never quotes the response."""


def login_body(avatar: AvatarSettings) -> JSON:
    """The JSON body of a login."""
    body = {"avatar_api_key": avatar.api_key}
    if avatar.avatar_id is not None:
        body["avatar_id"] = avatar.avatar_id
    return body


def parse_login(body: bytes, key: str) -> Grant:
    """Parse the body of a successful login.

    Args:
        body: at most `MAX_GRANT_BYTES`.
        key: the avatar's API key, which is masked wherever the body repeats it.

    Raises:
        UpstreamMalformed: the body contains no grant.
    """
    try:
        return parse_grant(_parse_masked(body, key))
    except InvalidJson:
        detail = "the answer is not JSON"
    except MalformedGrant as error:
        detail = str(error)
    # Outside the handler, because a chained exception could contain the response.
    raise UpstreamMalformed(detail)


def rejection(status: int, retry_after: str, body: bytes | None, key: str) -> UpstreamError:
    """The error for a response with another status than 200.

    Args:
        status: HTTP status.
        retry_after: the `Retry-After` header; passed on only if it is valid (RFC 9110).
        body: at most `MAX_DETAILS_BYTES`; `None` when it is larger or unreadable.
        key: the avatar's API key, which is masked.
    """
    if not 400 <= status <= 599:
        return UpstreamMalformed("its status is no error and not 200")
    details = None
    with suppress(MalformedGrant, InvalidJson):
        details = _parse_masked(body, key) if body is not None else None
    return UpstreamRejected(
        status, details, retry_after if _RETRY_AFTER.fullmatch(retry_after) else None
    )


def tokens_body(grant: Grant, refresh_token: str) -> JSON:
    """The body that the web component expects (Sentifyd's documentation, "How it works").

    Args:
        grant: the grant to issue.
        refresh_token: the grant's refresh token, or a handle that replaces it.
    """
    tokens: JSON = {"accessToken": grant.access_token, REFRESH_PARAMETER: refresh_token}
    if grant.token_type is not None:
        tokens["tokenType"] = grant.token_type
    if grant.expires_in is not None:
        tokens["expiresIn"] = grant.expires_in
    return {"tokens": tokens, "avatarParameters": grant.avatar_parameters}


def parse_grant(answer: object) -> Grant:
    """Read the JSON of a login response: wrapped in `data` or flat, snake_case or camelCase.

    `null` in one spelling counts as missing, so the other spelling is used.

    Raises:
        MalformedGrant: it is not an object, a token is missing, or the parameters are neither an
            object nor missing.
    """
    if not isinstance(answer, dict):
        raise MalformedGrant("the answer is not a JSON object")
    data = answer["data"] if isinstance(answer.get("data"), dict) else answer
    parameters = _either(data, "avatar_params", "avatarParameters")
    # PHP writes an empty array as a list.
    has_parameters = parameters is not None and parameters != []
    if has_parameters and not isinstance(parameters, dict):
        raise MalformedGrant("avatar_params is not an object")
    token_type = _either(data, "token_type", "tokenType")
    return Grant(
        access_token=_token(data, "access_token", "accessToken"),
        refresh_token=_token(data, "refresh_token", "refreshToken"),
        avatar_parameters=parameters if isinstance(parameters, dict) else {},
        is_complete=has_parameters,
        token_type=token_type if isinstance(token_type, str) and token_type else None,
        expires_in=_lifetime(_either(data, "expires_in", "expiresIn")),
    )


def _parse_masked(body: bytes, key: str) -> object:
    """The JSON of a response, with the key masked wherever it occurs."""
    answer = parse_json(body)
    # Skips the slow path if the key cannot be in the body: not as is, escaped, or as a number.
    if key.encode("ascii") not in body and b"\\" not in body and not key[0].isdigit():
        return answer
    try:
        return _masked(answer, key)
    except RecursionError:
        raise MalformedGrant("the answer is nested too deeply") from None


def _masked(value: object, key: str) -> object:
    if isinstance(value, str):
        return value.replace(key, MASK)
    if isinstance(value, list):
        return [_masked(item, key) for item in value]
    if isinstance(value, dict):
        return {name.replace(key, MASK): _masked(item, key) for name, item in value.items()}
    if isinstance(value, (int, float)) and str(value) == key:
        return MASK
    return value


def _either(data: JSON, snake: str, camel: str) -> object:
    value = data.get(snake)
    return data.get(camel) if value is None else value


def _token(data: JSON, snake: str, camel: str) -> str:
    token = _either(data, snake, camel)
    if not isinstance(token, str) or not token:
        raise MalformedGrant(f"{snake} is missing")
    return token


def _lifetime(value: object) -> int | None:
    """Whole seconds; `None` if the value is no number, or less than a second."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 1:
        return None
    return int(value)
