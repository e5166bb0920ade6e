"""The token endpoint, from the request to the documented response.

Cheap checks come first:

1. The avatar, because each has its own origins. (`CrossOrigin` has already found it.)
2. Origin and method. Requests from other sites therefore never use up a visitor's rate limit.
   (`CrossOrigin` has already answered preflights.)
3. Identity, before the rate limit, which counts by user. Invalid credentials count against the
   address, so that a flood of them is limited too.
4. Whether the request needs a login that cannot be made at the moment. It costs nothing then, so
   it is not counted: components of refused visitors ask again and again, and must not use up the
   limit of others behind the same address.
5. The rate limit.
6. The body and the refresh handle.
7. The avatar's policy issues a grant, which may cost a login at Sentifyd.
"""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from edge_service.admission.headers import header_values
from edge_service.admission.identity import Authenticator
from edge_service.admission.visitors import VisitorLimit
from edge_service.errors import (
    MethodNotAllowed,
    NotFound,
    OriginNotAllowed,
    ServiceError,
    Unauthenticated,
    UpgradeWithBody,
    json_response,
)
from edge_service.issuing.avatars import Avatar
from edge_service.issuing.policy import GrantRequest
from edge_service.sealing import Sealer
from edge_service.telemetry.metrics import Metrics
from edge_service.upstream.grant import Grant
from edge_service.upstream.sentifyd import tokens_body
from edge_service.web.cors import METHODS
from edge_service.web.request_body import read_grant_request
from edge_service.web.upgrades import REFUSED

__all__ = ["TokenEndpoint"]

MAX_KEPT_ANSWERS = 256
_ALLOW = {"Allow": METHODS}


class TokenEndpoint:
    """Answers the token routes, and passes other requests on.

    It is a middleware, because Starlette's routing would take as long as all of its own work.

    Args:
        app: answers the other routes.
        limit: counts requests by visitor.
        authenticator: identifies the visitor; `None` serves anonymous visitors.
        sealer: replaces the refresh token by an encrypted handle; `None` passes the token on.
        metrics: counts refused handles.
    """

    def __init__(
        self,
        app: ASGIApp,
        limit: VisitorLimit,
        authenticator: Authenticator | None,
        sealer: Sealer | None,
        metrics: Metrics,
    ) -> None:
        self._app = app
        self._limit = limit
        self._authenticator = authenticator
        self._sealer = sealer
        self._metrics = metrics
        self._kept: dict[tuple[str, ...], tuple[Grant, Response]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with a grant, if the path is that of a token route.

        Raises:
            UpgradeWithBody: the request, on any route, is an upgrade with a body.
            ServiceError: the request is refused or fails; the subclass says why.
        """
        if scope["type"] == "http" and scope["state"].get(REFUSED):
            raise UpgradeWithBody
        if scope["type"] != "http" or "route" not in scope["state"]:
            await self._app(scope, receive, send)
            return
        avatar: Avatar | None = scope["state"]["avatar"]
        if avatar is None:
            raise NotFound
        if not avatar.origins.admits(scope):
            raise OriginNotAllowed
        if scope["method"] == "OPTIONS":
            await Response(status_code=204, headers=_ALLOW)(scope, receive, send)
            return
        # HEAD is refused too: Starlette would run GET for it, which could cost a login.
        if scope["method"] not in ("GET", "POST"):
            raise MethodNotAllowed(headers=_ALLOW)
        # A reload may replace the avatar while the request waits. The context is released before
        # the response is sent, because a client may read it slowly.
        avatar.context.enter()
        try:
            user = await self._identify(scope, avatar)
            avatar.context.policy.check()
            await self._limit.count(scope, avatar.name, user)
            request = await read_grant_request(scope, receive)
            bound_to = () if self._sealer is None else _bound_to(scope, user)
            grant = await avatar.context.policy.issue(self._opened(avatar, request, bound_to))
        finally:
            avatar.context.leave()
        await self._answer(avatar, grant, bound_to)(scope, receive, send)

    async def _identify(self, scope: Scope, avatar: Avatar) -> str | None:
        if self._authenticator is None:
            return None
        try:
            return await self._authenticator.identify(scope)
        except Unauthenticated:
            await self._limit.count(scope, avatar.name, None)
            raise

    def _opened(
        self, avatar: Avatar, request: GrantRequest, bound_to: tuple[str, ...]
    ) -> GrantRequest:
        if self._sealer is None or request.refresh_token is None:
            return request
        try:
            return GrantRequest(self._sealer.open(request.refresh_token, avatar.name, *bound_to))
        except ServiceError as error:
            self._metrics.handle_refused(avatar.name, error.code)
            raise

    def _answer(self, avatar: Avatar, grant: Grant, bound_to: tuple[str, ...]) -> Response:
        if not avatar.is_shared:
            return self._rendered(avatar, grant, bound_to)
        # The response is the same for all visitors of an origin, so it is rendered once per grant.
        key = (avatar.name, *bound_to[:1])
        kept = self._kept.get(key)
        if kept is None or kept[0] is not grant:
            if len(self._kept) >= MAX_KEPT_ANSWERS:
                self._kept.clear()
            kept = self._kept[key] = (grant, self._rendered(avatar, grant, bound_to))
        return kept[1]

    def _rendered(self, avatar: Avatar, grant: Grant, bound_to: tuple[str, ...]) -> Response:
        refresh_token = grant.refresh_token
        if self._sealer is not None:
            refresh_token = self._sealer.seal(refresh_token, avatar.name, *bound_to)
        return json_response(tokens_body(grant, refresh_token))


def _bound_to(scope: Scope, user: str | None) -> tuple[str, str]:
    """Origin and user that a refresh handle is bound to; empty if unknown."""
    origins = header_values(scope, b"origin")
    # On the service's own origin, browsers send `Origin` with a POST, but not with a GET.
    if not origins or [origins[0].partition(b"://")[2]] == header_values(scope, b"host"):
        return ("", user or "")
    return (origins[0].decode("latin-1"), user or "")
