"""Guards in front of the token routes, each a plain ASGI class that decides and nothing more."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_service.answers import OriginNotAllowed
from edge_service.settings import Settings

__all__ = ["CrossOrigin", "OriginGuard", "OriginPolicy"]

PREFLIGHT_SECONDS = 600
_FOREIGN_SITES = frozenset({b"cross-site", b"same-site"})


@dataclass(frozen=True, slots=True)
class OriginPolicy:
    """Which pages may ask for tokens.

    Attributes:
        allowed: origins, compared byte for byte (RFC 6454, section 6.2).
        any_origin: every origin but `null` may ask.
        required: refuse callers that send neither `Origin` nor `Sec-Fetch-Site`.
    """

    allowed: frozenset[bytes]
    any_origin: bool = False
    required: bool = False

    @classmethod
    def from_settings(cls, settings: Settings) -> OriginPolicy:
        """The policy that the settings ask for."""
        return cls(
            frozenset(origin.encode("ascii") for origin in settings.allowed_origins),
            settings.allow_any_origin,
            settings.require_origin,
        )

    def allows(self, origin: bytes) -> bool:
        """Whether a page of this origin may ask."""
        return origin in self.allowed or (self.any_origin and origin != b"null")

    def admits(self, scope: Scope) -> bool:
        """Whether this request may go on: by its origin, or because no browser sent it."""
        origins = _headers(scope, b"origin")
        if origins:
            return len(origins) == 1 and self.allows(origins[0])
        # A browser leaves Origin out of some requests but not Sec-Fetch-Site (Fetch Metadata).
        sites = _headers(scope, b"sec-fetch-site")
        if sites:
            return not _FOREIGN_SITES.intersection(sites)
        return not self.required


class CrossOrigin:
    """CORS and caching headers on every answer, and the answers to preflights (Fetch, section 3.2).

    It stands outside everything that answers, so that errors carry the headers too: without them a
    page could not tell a rate limit from a broken network.
    """

    def __init__(self, app: ASGIApp, policy: OriginPolicy) -> None:
        self._app = app
        self._policy = policy
        self._always = [(b"cache-control", b"no-store"), (b"vary", b"Origin")]
        self._exposed = (b"access-control-expose-headers", b"Retry-After, X-Request-ID")
        self._preflight = Response(
            status_code=204,
            headers={
                "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
                "Access-Control-Allow-Headers": "Authorization, Content-Type, X-Request-ID",
                "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
            },
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a preflight; otherwise add headers to whatever is answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        origins = _headers(scope, b"origin")
        allowed = len(origins) == 1 and self._policy.allows(origins[0])
        headers = self._always
        if allowed:
            headers = [*headers, (b"access-control-allow-origin", origins[0]), self._exposed]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        if scope["method"] == "OPTIONS" and _headers(scope, b"access-control-request-method"):
            answer = self._preflight if allowed else OriginNotAllowed().answer()
            await answer(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)


class OriginGuard:
    """Refuses pages of other sites before anything is sent upstream."""

    def __init__(self, app: ASGIApp, policy: OriginPolicy) -> None:
        self._app = app
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or raise `OriginNotAllowed`."""
        if not self._policy.admits(scope):
            raise OriginNotAllowed
        await self._app(scope, receive, send)


def _headers(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]
