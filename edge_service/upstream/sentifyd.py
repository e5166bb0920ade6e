"""The upstream client: trades an avatar's API key for a grant."""

from __future__ import annotations

import re
from collections.abc import Callable

import requests

from edge_service.errors import UpstreamMalformed, UpstreamRejected
from edge_service.settings import AvatarSettings
from edge_service.upstream.client import HEADERS, Outbound, read_body
from edge_service.upstream.grant import Grant, MalformedGrant, parse_grant, parse_json

__all__ = ["AvatarLogin"]

MAX_GRANT_BYTES = 256 * 1024
MAX_DETAILS_BYTES = 4 * 1024
MASK = "[masked]"
_RETRY_AFTER = re.compile(
    r"[0-9]{1,8}|[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
)


class AvatarLogin:
    """Logs one avatar in to Sentifyd.

    Args:
        avatar: key and login URL.
        outbound: how it is reached.
    """

    def __init__(self, avatar: AvatarSettings, outbound: Outbound) -> None:
        self._key = avatar.api_key
        self._request = _login_request(avatar)
        self._outbound = outbound
        self._line = outbound.line()

    async def login(self, look: Callable[[requests.Response], None] = lambda _: None) -> Grant:
        """One upstream login.

        Args:
            look: gets the answer before it is read, in a thread; it must leave the body alone.

        Raises:
            UpstreamError: no grant within the time allowed; its subclass says why.
        """

        def read(response: requests.Response) -> Grant:
            look(response)
            return self._grant(response)

        return await self._outbound.send(self._line, self._request, read)

    def close(self) -> None:
        """Close its connections."""
        self._outbound.drop(self._line)

    def _grant(self, response: requests.Response) -> Grant:
        try:
            return self._read(response)
        except MalformedGrant as error:
            detail = str(error)
        # Outside the handler, so that nothing that carries the answer hangs on.
        raise UpstreamMalformed(detail)

    def _read(self, response: requests.Response) -> Grant:
        status = response.status_code
        if status == 200:
            return parse_grant(_parsed(read_body(response, MAX_GRANT_BYTES), self._key))
        if not 400 <= status <= 599:
            raise UpstreamMalformed("its status is no error and not 200")
        retry_after = response.headers.get("Retry-After", "")
        raise UpstreamRejected(
            status,
            _details(response, self._key),
            retry_after if _RETRY_AFTER.fullmatch(retry_after) else None,
        )


def _login_request(avatar: AvatarSettings) -> requests.PreparedRequest:
    body = {"avatar_api_key": avatar.api_key}
    if avatar.avatar_id is not None:
        body["avatar_id"] = avatar.avatar_id
    return requests.Request("POST", avatar.login_url, json=body, headers=HEADERS).prepare()


def _details(response: requests.Response, key: str) -> object:
    """The JSON of an error answer with the key masked, or `None` when there is none to pass on."""
    try:
        return _parsed(read_body(response, MAX_DETAILS_BYTES), key)
    except (MalformedGrant, UpstreamMalformed):
        return None


def _parsed(body: bytes, key: str) -> object:
    """The JSON of an answer, with the key masked wherever it stands."""
    try:
        answer = parse_json(body)
        # An escape can hide a key of letters, and a number one of digits.
        if key.encode("ascii") not in body and b"\\" not in body and not key[0].isdigit():
            return answer
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
