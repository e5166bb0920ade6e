"""The token endpoint: one function from the request to the documented answer.

The order of its steps is that of their cost, and of what a refusal reveals:

1. The avatar comes first, because each has origins of its own. (`CrossOrigin` has found it.)
2. Origin and method are decided from the request alone, so they protect everything behind them, and
   a request of another page uses up nobody's limit. Preflights never come this far.
3. The visitor's identity comes before the limit, which counts users where there are any. A refused
   credential counts against its address, so that a flood of them is limited too.
4. Only then is a body read, and a refresh handle opened.
5. Last, the avatar's policy issues a grant, which may cost a login at Sentifyd.
"""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from edge_service.admission.headers import header_values
from edge_service.admission.identity import Authenticator
from edge_service.admission.visitors import VisitorLimit
from edge_service.errors import (
    MethodNotAllowed,
    NotFound,
    OriginNotAllowed,
    ServiceError,
    Unauthenticated,
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

__all__ = ["TokenEndpoint"]

MAX_KEPT_ANSWERS = 256
_ALLOW = {"Allow": METHODS}


class TokenEndpoint:
    """Answers the token routes.

    Args:
        limit: counts requests by visitor.
        authenticator: identifies the visitor; `None` lets everybody ask.
        sealer: puts a handle in the place of the refresh token; `None` passes the token on.
        metrics: counts handles that do not open.
    """

    def __init__(
        self,
        limit: VisitorLimit,
        authenticator: Authenticator | None,
        sealer: Sealer | None,
        metrics: Metrics,
    ) -> None:
        self._limit = limit
        self._authenticator = authenticator
        self._sealer = sealer
        self._metrics = metrics
        self._kept: dict[tuple[str, ...], tuple[Grant, Response]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with a grant, or raise `ServiceError`."""
        avatar: Avatar | None = scope["state"]["avatar"]
        if avatar is None:
            raise NotFound
        if not avatar.origins.admits(scope):
            raise OriginNotAllowed
        if scope["method"] == "OPTIONS":
            await Response(status_code=204, headers=_ALLOW)(scope, receive, send)
            return
        # HEAD is refused as well: Starlette would run GET for it, which could cost a login.
        if scope["method"] not in ("GET", "POST"):
            raise MethodNotAllowed(headers=_ALLOW)
        # The avatar may be replaced while the request waits for its grant. Its visitor, who may
        # never read the answer, must not keep it.
        with avatar.context.in_use():
            user = await self._identify(scope, avatar)
            await self._limit.count(scope, avatar.name, user)
            request = await read_grant_request(scope, receive)
            bound_to = () if self._sealer is None else _bound_to(scope, user)
            grant = await avatar.context.policy.issue(self._opened(avatar, request, bound_to))
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
        # The same for everybody on the same page, so it is rendered once for each grant.
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
    """Page and visitor that a refresh handle is for; each is empty where it is not known."""
    origins = header_values(scope, b"origin")
    # On the service's own origin browsers leave it out of a GET, and send it with a POST.
    if not origins or [origins[0].partition(b"://")[2]] == header_values(scope, b"host"):
        return ("", user or "")
    return (origins[0].decode("latin-1"), user or "")
