"""The token service as an ASGI application: `create_app` for code, `app` for servers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from edge_service.answers import MethodNotAllowed, NotFound, json_response
from edge_service.guards import CrossOrigin, OriginGuard, OriginPolicy
from edge_service.intake import read_grant_request
from edge_service.issuing import Direct, Issuer
from edge_service.sentifyd import SentifydClient
from edge_service.settings import Settings, SettingsError
from edge_service.telemetry import AccessLog, Faults, configure_logging

__all__ = ["create_app"]


def create_app(settings: Settings) -> Starlette:
    """The token service.

    Args:
        settings: from `Settings.from_env`, or made by hand.

    Returns:
        An ASGI application that can be served or mounted. It configures no logging.
    """
    client = SentifydClient(settings)
    origins = OriginPolicy.from_settings(settings)
    tokens = TokenEndpoint(Direct(client))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            client.close()

    app = Starlette(
        routes=[
            Route("/request_tokens", tokens, middleware=[Middleware(OriginGuard, policy=origins)]),
            Route("/livez", _alive),
            Route("/readyz", _ready),
        ],
        middleware=[
            # The log sees every request with its final status, those refused by CORS included.
            Middleware(AccessLog),
            # Outside everything that can fail, so that a page may read the error.
            Middleware(CrossOrigin, policy=origins),
            Middleware(Faults),
        ],
        exception_handlers={HTTPException: _http_error},
        lifespan=lifespan,
    )
    # A redirect would be a second way to write one address, and lose a POST's body on the way.
    app.router.redirect_slashes = False
    return app


class TokenEndpoint:
    """`GET`, `POST` and `OPTIONS` on a token route.

    Written as an ASGI application because Starlette answers HEAD by running GET, and a HEAD
    must not cost an upstream login.
    """

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer
        self._allow = {"Allow": "GET, POST, OPTIONS"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with a grant, or raise `ServiceError`."""
        request = Request(scope, receive)
        if request.method == "OPTIONS":
            response = Response(status_code=204, headers=self._allow)
        elif request.method in ("GET", "POST"):
            grant = await self._issuer.issue(await read_grant_request(request))
            response = json_response(grant.payload())
        else:
            raise MethodNotAllowed(headers=self._allow)
        await response(scope, receive, send)


async def _alive(_: Request) -> Response:
    return json_response({"status": "alive"})


async def _ready(_: Request) -> Response:
    return json_response({"status": "ready"})


async def _http_error(_: Request, error: Exception) -> Response:
    # The router itself raises these two, and no other.
    kind = MethodNotAllowed if getattr(error, "status_code", 404) == 405 else NotFound
    return kind(headers=getattr(error, "headers", None)).answer()


def __getattr__(name: str) -> Starlette:
    # Made on first use: importing `create_app` must not need a configured environment.
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        settings = Settings.from_env()
    except SettingsError as error:
        raise SystemExit("\n".join(f"sentifyd-edge: {line}" for line in error.problems)) from None
    configure_logging(settings.log_level, settings.log_format)
    globals()["app"] = create_app(settings)
    app: Starlette = globals()["app"]
    return app
