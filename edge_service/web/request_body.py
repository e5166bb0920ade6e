"""Reads the refresh token from the query or from a body of limited size."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.types import Receive, Scope

from edge_service.errors import (
    BadRequest,
    ContentTooLarge,
    RequestTimeout,
    UnsupportedMediaType,
)
from edge_service.issuing.policy import GrantRequest
from edge_service.strict_json import JSON
from edge_service.upstream.sentifyd import REFRESH_PARAMETER

__all__ = ["read_grant_request"]

MAX_QUERY_BYTES = 8 * 1024
MAX_BODY_BYTES = 4 * 1024
MAX_DIGITS = 19
MAX_FIELDS = 16
BODY_SECONDS = 5.0
_FIRST = GrantRequest()


async def read_grant_request(scope: Scope, receive: Receive) -> GrantRequest:
    """Find `refreshToken` in the query or, for a POST, in a JSON or URL-encoded body.

    Raises:
        BadRequest: the query or the body cannot be parsed, or gives the token twice.
        RequestTimeout: the body did not arrive within five seconds.
        ContentTooLarge: the body is larger than 4 KiB.
        UnsupportedMediaType: the body is neither JSON nor a URL-encoded form.
    """
    query: bytes = scope["query_string"]
    if not query and scope["method"] == "GET":
        return _FIRST
    if len(query) > MAX_QUERY_BYTES:
        raise BadRequest("The query is too long")
    found = _from_form(query)
    request = Request(scope, receive)
    if request.method == "POST" and (body := await _body(request)):
        found += _from_body(body, request.headers.get("content-type", ""))
    if len(found) > 1:
        raise BadRequest(f"{REFRESH_PARAMETER} is given more than once")
    return GrantRequest(refresh_token=found[0] if found else None)


async def _body(request: Request) -> bytes:
    declared = request.headers.get("content-length", "0")
    # The server may not have validated the header, and `int` is slow for very long numbers.
    if declared.isdecimal() and (len(declared) > MAX_DIGITS or int(declared) > MAX_BODY_BYTES):
        raise ContentTooLarge
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise ContentTooLarge
    except TimeoutError:
        raise RequestTimeout from None
    return bytes(body)


def _from_body(body: bytes, content_type: str) -> list[str]:
    media_type = content_type.split(";")[0].strip().lower()
    if media_type == "application/json":
        return _from_json(body)
    if media_type == "application/x-www-form-urlencoded":
        return _from_form(body)
    raise UnsupportedMediaType


def _from_json(body: bytes) -> list[str]:
    try:
        content = json.loads(body, object_pairs_hook=_members)
    except (ValueError, RecursionError):
        raise BadRequest("The body is not JSON") from None
    if not isinstance(content, dict):
        raise BadRequest("The body must be a JSON object")
    token = content.get(REFRESH_PARAMETER)
    if token is None:
        return []
    if not isinstance(token, str) or not token:
        raise BadRequest(f"{REFRESH_PARAMETER} must be a string that is not empty")
    return [token]


def _members(pairs: list[tuple[str, object]]) -> JSON:
    # The parser would use the last value, while a proxy in front may have checked the first.
    if [name for name, _ in pairs].count(REFRESH_PARAMETER) > 1:
        raise BadRequest(f"{REFRESH_PARAMETER} is given more than once")
    return dict(pairs)


def _from_form(form: bytes) -> list[str]:
    try:
        fields = parse_qsl(form.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise BadRequest("The query or the form cannot be read") from None
    tokens = [value for name, value in fields if name == REFRESH_PARAMETER]
    if "" in tokens:
        raise BadRequest(f"{REFRESH_PARAMETER} must not be empty")
    return tokens
