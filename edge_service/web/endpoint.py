"""The token endpoint itself: what is asked, the grant for it, and the documented answer."""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from edge_service.admission.headers import header_values
from edge_service.errors import ServiceError, json_response
from edge_service.issuing.avatars import Avatar
from edge_service.issuing.policy import GrantRequest
from edge_service.sealing import Sealer
from edge_service.telemetry.metrics import Metrics
from edge_service.upstream.grant import Grant
from edge_service.web.request_body import read_grant_request

__all__ = ["TokenEndpoint"]

MAX_KEPT_ANSWERS = 256


class TokenEndpoint:
    """Answers GET and POST on a token route, behind its guards.

    Args:
        sealer: puts a handle in the place of the refresh token; `None` passes the token on.
        metrics: counts handles that do not open.
    """

    def __init__(self, sealer: Sealer | None, metrics: Metrics) -> None:
        self._sealer = sealer
        self._metrics = metrics
        self._kept: dict[tuple[str, ...], tuple[Grant, Response]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with a grant, or raise `ServiceError`."""
        avatar: Avatar = scope["state"]["avatar"]
        asked = await read_grant_request(scope, receive)
        bound_to = () if self._sealer is None else _bound_to(scope)
        grant = await avatar.desk.issuer.issue(self._opened(avatar, asked, bound_to))
        scope["state"]["leave_desk"]()
        response = self._answer(avatar, grant, bound_to)
        await response(scope, receive, send)

    def _opened(
        self, avatar: Avatar, asked: GrantRequest, bound_to: tuple[str, ...]
    ) -> GrantRequest:
        if self._sealer is None or asked.refresh_token is None:
            return asked
        try:
            return GrantRequest(self._sealer.open(asked.refresh_token, avatar.name, *bound_to))
        except ServiceError as error:
            self._metrics.handle_refused(avatar.name, error.code)
            raise

    def _answer(self, avatar: Avatar, grant: Grant, bound_to: tuple[str, ...]) -> Response:
        if avatar.policy != "shared":
            return self._made(avatar, grant, bound_to)
        # The same for everybody on the same page, so it is made once for each grant.
        key = (avatar.name, *bound_to[:1])
        kept = self._kept.get(key)
        if kept is None or kept[0] is not grant:
            if len(self._kept) >= MAX_KEPT_ANSWERS:
                self._kept.clear()
            kept = self._kept[key] = (grant, self._made(avatar, grant, bound_to))
        return kept[1]

    def _made(self, avatar: Avatar, grant: Grant, bound_to: tuple[str, ...]) -> Response:
        refresh_token = grant.refresh_token
        if self._sealer is not None:
            refresh_token = self._sealer.seal(refresh_token, avatar.name, *bound_to)
        return json_response(grant.payload(refresh_token))


def _bound_to(scope: Scope) -> tuple[str, str]:
    """Page and visitor that a refresh handle is for: both are empty where they are not known."""
    origins = header_values(scope, b"origin")
    user: str = scope["state"].get("user", "")
    # On the service's own origin browsers leave it out of a GET, and send it with a POST.
    if not origins or [origins[0].partition(b"://")[2]] == header_values(scope, b"host"):
        return ("", user)
    return (origins[0].decode("latin-1"), user)
