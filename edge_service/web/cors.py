"""CORS (Fetch, section 3.2) and caching headers, according to the origins of each avatar."""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from edge_service.admission.headers import header_values
from edge_service.errors import OriginNotAllowed
from edge_service.issuing.avatars import Avatar, Avatars
from edge_service.web.upgrades import REFUSED

__all__ = ["AVATAR_ROUTE", "METHODS", "ROUTE", "CrossOrigin"]

ROUTE = "/request_tokens"
AVATAR_ROUTE = ROUTE + "/{avatar}"
METHODS = "GET, POST, OPTIONS"
PREFLIGHT_SECONDS = 600
_EXPOSED = b"Retry-After, X-Request-ID, RateLimit, RateLimit-Policy, WWW-Authenticate"


class CrossOrigin:
    """Adds CORS and caching headers to every response, and answers preflights.

    Error responses need the headers too: without them, a page cannot distinguish a rate limit from
    a network error. Each avatar has its own origins, so this middleware looks the avatar up. For
    the endpoint and the logs, it stores the avatar in `state["avatar"]`, `None` if there is none,
    and the pattern of a token route in `state["route"]`.

    Args:
        app: the wrapped application. `AccessLog` must wrap this middleware, because it adds the
            headers.
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
        state = scope["state"]
        avatar = state["avatar"] = self._find(scope)
        policy = self._avatars.everywhere if avatar is None else avatar.origins
        origins = header_values(scope, b"origin")
        allowed = len(origins) == 1 and policy.allows(origins[0])
        if allowed:
            state["headers"] += self._readable
            state["headers"].append((b"access-control-allow-origin", origins[0]))
            state["error_headers"] = self._exposed
        else:
            state["headers"] += self._always
        is_preflight = (
            scope["method"] == "OPTIONS"
            and header_values(scope, b"access-control-request-method")
            and not state.get(REFUSED)
        )
        if is_preflight:
            # Metrics count preflights apart from requests for tokens.
            state.pop("route", None)
            answer = self._preflight if allowed else OriginNotAllowed().answer()
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _find(self, scope: Scope) -> Avatar | None:
        path: str = scope["path"]
        # Relative to any mount point, as Starlette's router sees it (ASGI, `root_path`).
        root: str = scope.get("root_path", "")
        if root and path.startswith(f"{root}/"):
            path = path[len(root) :]
        if path == ROUTE:
            scope["state"]["route"] = ROUTE
            return self._avatars.find("")
        prefix, _, name = path.rpartition("/")
        if prefix != ROUTE or not name:
            return None
        scope["state"]["route"] = AVATAR_ROUTE
        return self._avatars.find(name)
