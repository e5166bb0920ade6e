"""CORS (Fetch, section 3.2) and caching headers, according to the origins of each avatar."""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_service.admission.headers import header_values
from edge_service.errors import OriginNotAllowed
from edge_service.issuing.avatars import Avatar, Avatars
from edge_service.web.upgrades import REFUSED

__all__ = ["METHODS", "ROUTE", "CrossOrigin"]

ROUTE = "/request_tokens"
METHODS = "GET, POST, OPTIONS"
PREFLIGHT_SECONDS = 600
_EXPOSED = b"Retry-After, X-Request-ID, RateLimit, RateLimit-Policy, WWW-Authenticate"


class CrossOrigin:
    """Adds CORS and caching headers to every response, and answers preflights.

    Error responses need the headers too: without them, a page cannot distinguish a rate limit from
    a network error. Each avatar has its own origins, so this middleware looks the avatar up. It
    stores the avatar in `state["avatar"]` for the endpoint and the error log; the value is `None`
    if the path names no avatar.

    Args:
        app: the wrapped application.
        avatars: decide which origins are allowed; other routes allow the origins of all avatars.
        credentials: whether browsers may send cookies.
    """

    def __init__(self, app: ASGIApp, avatars: Avatars, *, credentials: bool) -> None:
        self._app = app
        self._avatars = avatars
        self._always = [(b"cache-control", b"no-store"), (b"vary", b"Origin")]
        self._readable = list(self._always)
        if credentials:
            self._readable.append((b"access-control-allow-credentials", b"true"))
        # Only for errors: a grant has no header to expose, and each header costs time.
        self._exposed = [(b"access-control-expose-headers", _EXPOSED)]
        self._preflight = Response(
            status_code=204,
            headers={
                "Access-Control-Allow-Methods": METHODS,
                "Access-Control-Allow-Headers": "Authorization, Content-Type, X-Request-ID",
                "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
            },
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a preflight; otherwise add headers to the response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        avatar = scope["state"]["avatar"] = self._find(scope)
        policy = self._avatars.everywhere if avatar is None else avatar.origins
        origins = header_values(scope, b"origin")
        allowed = len(origins) == 1 and policy.allows(origins[0])
        headers = self._always
        if allowed:
            headers = [*self._readable, (b"access-control-allow-origin", origins[0])]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                exposed = self._exposed if allowed and message["status"] >= 400 else []
                message["headers"] = [*message["headers"], *headers, *exposed]
            await send(message)

        is_preflight = (
            scope["method"] == "OPTIONS"
            and header_values(scope, b"access-control-request-method")
            and not scope["state"].get(REFUSED)
        )
        if is_preflight:
            answer = self._preflight if allowed else OriginNotAllowed().answer()
            await answer(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)

    def _find(self, scope: Scope) -> Avatar | None:
        path: str = scope["path"]
        # Must agree with the router below any mount point (ASGI, `root_path`).
        root: str = scope.get("root_path", "")
        if root and path.startswith(f"{root}/"):
            path = path[len(root) :]
        if path == ROUTE:
            return self._avatars.find("")
        prefix, _, name = path.rpartition("/")
        return self._avatars.find(name) if prefix == ROUTE else None
