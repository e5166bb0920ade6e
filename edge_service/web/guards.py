"""Guards in front of the token routes, each a plain ASGI class that decides and nothing more."""

from __future__ import annotations

from hashlib import blake2b

import structlog
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_service.admission.addresses import ClientAddresses
from edge_service.admission.headers import header_values
from edge_service.admission.identity import Authenticator, Unauthenticated
from edge_service.admission.origins import OriginPolicy
from edge_service.admission.rate_limits import RateLimited, RateLimiter
from edge_service.errors import MethodNotAllowed, NotFound, OriginNotAllowed
from edge_service.issuing.avatars import Avatar, Avatars
from edge_service.telemetry.metrics import Metrics
from edge_service.web.upgrades import REFUSED

__all__ = ["ROUTE", "CrossOrigin", "VisitorLimit", "guards"]

ROUTE = "/request_tokens"
METHODS = "GET, POST, OPTIONS"
PREFLIGHT_SECONDS = 600
_EXPOSED = b"Retry-After, X-Request-ID, RateLimit, RateLimit-Policy, WWW-Authenticate"


def guards(
    avatars: Avatars, limit: VisitorLimit, authenticator: Authenticator | None
) -> list[Middleware]:
    """The guards of a token route, the outermost first.

    The order is that of cost and of what a refusal gives away. Which avatar it is comes first,
    because each has origins of its own. Origin and method are decided from the request alone, so
    they spare everything behind them, and a preflight or another page's request uses up nobody's
    limit. Who the visitor is comes before the limit, which counts users where there are any; a
    refused credential counts against its address, so that a flood of them is told to slow down.
    Only then is a body read and upstream asked.
    """
    identity = []
    if authenticator is not None:
        identity = [Middleware(IdentityGuard, authenticator=authenticator, limit=limit)]
    return [
        Middleware(AvatarGuard, avatars=avatars),
        Middleware(OriginGuard),
        Middleware(MethodGuard),
        *identity,
        Middleware(RateLimitGuard, limit=limit),
    ]


class CrossOrigin:
    """CORS and caching headers on every answer, and the answers to preflights (Fetch, section 3.2).

    It stands outside everything that answers, so that errors carry the headers too: without them a
    page could not tell a rate limit from a broken network.

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
        # A grant has nothing to expose, and each header costs as much as a guard.
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
        origins = header_values(scope, b"origin")
        allowed = len(origins) == 1 and self._policy(scope["path"]).allows(origins[0])
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

    def _policy(self, path: str) -> OriginPolicy:
        # By the end of the path: the application may be mounted below any prefix.
        before, _, name = path.rpartition("/")
        avatar = None
        if before.endswith(ROUTE):
            avatar = self._avatars.find(name)
        elif path.endswith(ROUTE):
            avatar = self._avatars.find("")
        return self._avatars.everywhere if avatar is None else avatar.origins


class AvatarGuard:
    """Finds the avatar that the address names; one that is not there is a route that is not there.

    A request holds on to its avatar until it has its grant, though the avatars be replaced
    meanwhile; not until its visitor has read the answer, which may take for ever.
    """

    def __init__(self, app: ASGIApp, avatars: Avatars) -> None:
        self._app = app
        self._avatars = avatars

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Put the avatar into the state of the request, or raise `NotFound`."""
        avatar = self._avatars.find(scope["path_params"].get("avatar", ""))
        if avatar is None:
            raise NotFound
        leave = avatar.desk.enter()
        scope["state"].update(avatar=avatar, leave_desk=leave)
        try:
            await self._app(scope, receive, send)
        finally:
            leave()


class OriginGuard:
    """Refuses pages of other sites before anything is sent upstream."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or raise `OriginNotAllowed`."""
        avatar: Avatar = scope["state"]["avatar"]
        if not avatar.origins.admits(scope):
            raise OriginNotAllowed
        await self._app(scope, receive, send)


class MethodGuard:
    """Lets GET and POST through, and answers OPTIONS.

    Written by hand because Starlette answers HEAD by running GET, and a HEAD must not cost a login.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._allow = {"Allow": METHODS}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, answer it, or raise `MethodNotAllowed`."""
        if scope["method"] in ("GET", "POST"):
            await self._app(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            await Response(status_code=204, headers=self._allow)(scope, receive, send)
        else:
            raise MethodNotAllowed(headers=self._allow)


class VisitorLimit:
    """Counts requests by visitor: the user where one is known, else the address.

    Args:
        limiter: keeps the counts.
        addresses: tells addresses apart.
        metrics: counts those who are over the limit.
    """

    def __init__(self, limiter: RateLimiter, addresses: ClientAddresses, metrics: Metrics) -> None:
        self._limiter = limiter
        self._addresses = addresses
        self._metrics = metrics
        self._has_hinted = False

    async def count(self, scope: Scope) -> None:
        """Count one request; raises `RateLimited`."""
        avatar: Avatar = scope["state"]["avatar"]
        user: str | None = scope["state"].get("user")
        if user is None:
            subject = self._addresses.key(scope)
        else:
            # Redis need not know who the site's users are.
            subject = "user:" + blake2b(user.encode("utf-8"), digest_size=16).hexdigest()
        try:
            await self._limiter.count(subject, avatar.name)
        except RateLimited:
            self._metrics.limited(avatar.name)
            self._hint(scope)
            raise

    def _hint(self, scope: Scope) -> None:
        """Say once what is most often the matter when everybody is over the limit at once."""
        if self._has_hinted or not header_values(scope, b"x-forwarded-for"):
            return
        if not self._addresses.comes_from_proxy(scope):
            self._has_hinted = True
            structlog.get_logger("service").warning(
                "forwarded_for_ignored",
                cure="if that peer is your proxy, put its network into TRUSTED_PROXIES",
            )


class IdentityGuard:
    """Asks who the visitor is."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator, limit: VisitorLimit) -> None:
        self._app = app
        self._authenticator = authenticator
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Put the user into the state of the request, or raise what the authenticator raises."""
        try:
            scope["state"]["user"] = await self._authenticator.identify(scope)
        except Unauthenticated:
            await self._limit.count(scope)
            raise
        await self._app(scope, receive, send)


class RateLimitGuard:
    """Refuses visitors who ask too often."""

    def __init__(self, app: ASGIApp, limit: VisitorLimit) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or raise `RateLimited`."""
        await self._limit.count(scope)
        await self._app(scope, receive, send)
