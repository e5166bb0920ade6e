"""Requests that offer a protocol upgrade (RFC 9110, section 7.8), which can hide a second request.

httptools ends such a request after its head. The application gets no body, and a body that arrives
later is parsed as the next request on the connection. A proxy in front does not see that request,
so it cannot apply its rules.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["REFUSED", "LastRequest", "has_body", "offers_upgrade"]

# A key in the request state, which a host application may use too.
REFUSED = "sentifyd_upgrade_with_body"

Headers = Iterable[tuple[bytes, bytes]]

_CLOSE = (b"connection", b"close")
# httptools treats both the same.
_CONNECTION = (b"connection", b"proxy-connection")
# HTTP/1.0 ignores the field (RFC 9110, section 7.8), and HTTP/2 has none (RFC 9113, section 8.6).
# "2.0" is missing on purpose: httptools reads a request line with HTTP/2.0 as HTTP/1.
_WITHOUT_UPGRADES = ("1.0", "2", "3")


def offers_upgrade(scope: Scope) -> bool:
    """Whether a request offers a protocol upgrade.

    Args:
        scope: ASGI scope of the request, type `http`.

    Returns:
        True if `Upgrade` is not empty and `Connection` has the token `upgrade`, unless the HTTP
        version has no upgrades. It is true for every HTTP/1.1 request that httptools treats as an
        upgrade.
    """
    if scope["http_version"] in _WITHOUT_UPGRADES:
        return False
    has_field = has_token = False
    for name, value in scope["headers"]:
        if name == b"upgrade":
            has_field = has_field or value.strip() != b""
        elif name in _CONNECTION:
            has_token = has_token or _names_upgrade(value)
    return has_field and has_token


def has_body(headers: Headers) -> bool:
    """Whether a request has a body (RFC 9112, section 6.3); a body of length 0 does not count.

    Args:
        headers: pairs of name, in lower case, and value.
    """
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip(b" \t0"))
        for name, value in headers
    )


class LastRequest:
    """Closes the connection after a request that offers an upgrade.

    It must be the outermost middleware. `Connection: close` makes the server stop reading, so that
    a hidden request is never parsed. `TokenEndpoint` refuses a request that has a body too, and is
    within the other middleware, so that the error gets its headers, log line and metrics.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and add `Connection: close` to the response."""
        if scope["type"] != "http" or not offers_upgrade(scope):
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})[REFUSED] = has_body(scope["headers"])

        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], _CLOSE]
            await send(message)

        await self._app(scope, receive, send_and_close)


def _names_upgrade(value: bytes) -> bool:
    return any(token.strip().lower() == b"upgrade" for token in value.split(b","))
