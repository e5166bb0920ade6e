"""CORS (Fetch, section 3.2) and caching headers, and the avatar whose origins decide on them."""

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
    """CORS and caching headers on every answer, and the answers to preflights.

    It wraps everything that answers, so that errors carry the headers too: without them a page
    could not tell a rate limit from a broken network. Because the avatar decides which origins are
    allowed, its lookup happens here, once, and `state["avatar"]` keeps it for the endpoint and for
    the log of errors; it is `None` where the path names no avatar.

    Args:
        app: what is wrapped.
        avatars: whose origins count; on other routes those of all of them.
        credentials: browsers may send the site's cookies along.
    """

    def __init__(self, app: ASGIApp, avatars: Avatars, *, credentials: bool) -> None:
        self._app = app
        self._avatars = avatars
        self._always = [(b"cache-control", b"no-store"), (b"vary", b"Origin")]
        self._readable = list(self._always)
        if credentials:
            self._readable.append((b"access-control-allow-credentials", b"true"))
        # A grant has no header to expose, and each header costs time in every answer.
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
        """Answer a preflight; otherwise add headers to whatever is answered."""
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
        # As the router reads it, so that both agree below any mount (ASGI, `root_path`).
        root: str = scope.get("root_path", "")
        if root and path.startswith(f"{root}/"):
            path = path[len(root) :]
        if path == ROUTE:
            return self._avatars.find("")
        prefix, _, name = path.rpartition("/")
        return self._avatars.find(name) if name and prefix == ROUTE else None
