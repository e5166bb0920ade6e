"""The token service as an ASGI application: `create_app` for code, `app` for servers."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from edge_service.admission.identity import Authenticator
from edge_service.admission.visitors import VisitorLimit
from edge_service.errors import MethodNotAllowed, NotFound, json_response
from edge_service.parts import Parts, fetch_key_set
from edge_service.settings import Settings, SettingsError
from edge_service.settings.environment import advice, near_misses
from edge_service.telemetry.logs import configure_logging, log_near_misses
from edge_service.telemetry.metrics import Metrics
from edge_service.web.access_log import AccessLog
from edge_service.web.cors import CrossOrigin
from edge_service.web.endpoint import TokenEndpoint
from edge_service.web.error_responses import ErrorResponses
from edge_service.web.upgrades import LastRequest

if TYPE_CHECKING:
    from edge_service.telemetry.tracing import Tracing

__all__ = ["application", "create_app", "fetch_key_set", "metrics_app"]

# Read by machines every few seconds.
HEALTH = frozenset({"/livez", "/readyz", "/metrics"})


def create_app(settings: Settings, *, authenticator: Authenticator | None = None) -> Starlette:
    """Create the token service.

    Args:
        settings: from `Settings.from_env`, or created in code.
        authenticator: identifies visitors instead of `settings.visitor_auth`, for an application
            that mounts the service and already knows its visitors.

    Returns:
        An ASGI application to serve or mount. It does not configure logging. Call
        `state.avatars.replace` to change the avatars at run time, and `state.avatars.drain` before
        it stops: `/readyz` is 503 from then on. `state.metrics` is the `Metrics` of this
        application.

    Raises:
        SettingsError: the authenticator conflicts with the settings.
        ValueError: `rate_limit`, `redis_url`, the `login_budget` of an avatar or a pattern in its
            `allowed_origins` is invalid.
    """
    parts = Parts.of(settings, authenticator)
    parts.go_live()
    return application(parts)


def application(parts: Parts) -> Starlette:
    """The application of `create_app`, made from its parts."""
    settings, metrics = parts.settings, parts.metrics

    async def alive(_: Request) -> Response:
        return json_response({"status": "alive"})

    async def ready(_: Request) -> Response:
        if parts.avatars.draining:
            return json_response({"status": "draining"}, status=503)
        if parts.ready:
            return json_response({"status": "ready"})
        return json_response({"status": "starting"}, status=503, headers={"Retry-After": "1"})

    @cache
    def description() -> Response:
        # Imported on first use, because this route is rare and should not delay the start.
        from edge_service.web.openapi import openapi_document

        return json_response(openapi_document(settings))

    async def describe(_: Request) -> Response:
        return description()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        parts.start()
        try:
            yield
        finally:
            await parts.close()

    routes = [
        _Route("/livez", alive),
        _Route("/readyz", ready),
        _Route("/openapi.json", describe),
    ]
    if settings.metrics_port is None:
        routes.append(_Route("/metrics", _metrics_endpoint(metrics)))
    app = Starlette(
        routes=routes,
        middleware=[
            # Outermost, so that every response to an upgrade request closes the connection.
            Middleware(LastRequest),
            # Outside CORS, so that refused preflights are logged too.
            Middleware(AccessLog, metrics=metrics, quiet=() if settings.log_health else HEALTH),
            *_spans(parts.tracing),
            # Outside everything that can fail, so that pages can read error responses.
            Middleware(
                CrossOrigin,
                avatars=parts.avatars,
                credentials=parts.authenticator is not None and parts.authenticator.by_cookie,
            ),
            Middleware(ErrorResponses),
            Middleware(
                TokenEndpoint,
                limit=VisitorLimit(parts.limiter, parts.addresses, metrics),
                authenticator=parts.authenticator,
                sealer=parts.sealer,
                metrics=metrics,
            ),
        ],
        exception_handlers={HTTPException: _http_error},
        lifespan=lifespan,
    )
    # A redirect would lose the body of a POST.
    app.router.redirect_slashes = False
    app.state.parts = parts
    app.state.avatars = parts.avatars
    app.state.metrics = metrics
    # Tells `BoundedProtocol` that `TokenEndpoint` refuses upgrades, with CORS headers and a log
    # line.
    app.state.refuses_upgrades = True
    return app


def metrics_app(app: Starlette) -> Starlette:
    """An application that serves only `/metrics` of another application, for a separate port."""
    return Starlette(routes=[Route("/metrics", _metrics_endpoint(app.state.metrics))])


def _metrics_endpoint(metrics: Metrics) -> Callable[[Request], Awaitable[Response]]:
    async def show(_: Request) -> Response:
        return await metrics.page()

    return show


class _Route(Route):
    """A route that metrics and traces name by its pattern, because clients choose the path."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Store the pattern in the request state."""
        scope["state"]["route"] = self.path
        await super().handle(scope, receive, send)


def _spans(tracing: Tracing | None) -> list[Middleware]:
    if tracing is None:
        return []
    from edge_service.telemetry.tracing import RequestSpans

    return [Middleware(RequestSpans, tracing=tracing)]


async def _http_error(_: Request, error: Exception) -> Response:
    # The router raises only 404 and 405.
    kind = MethodNotAllowed if getattr(error, "status_code", 404) == 405 else NotFound
    return kind(headers=getattr(error, "headers", None)).answer()


def __getattr__(name: str) -> Starlette:
    # Created on first use, because importing `create_app` must not need a configured environment.
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    problems: list[str] = []
    settings = None
    try:
        settings = Settings.from_env()
    except SettingsError as error:
        problems += error.problems
    if os.environ.get("METRICS_PORT"):
        problems.append(
            "METRICS_PORT needs sentifyd-edge serve: unset it, and block /metrics in the proxy in "
            "front"
        )
    if settings is None or problems:
        lines = [*problems, *advice(os.environ)]
        raise SystemExit("\n".join(f"sentifyd-edge: {line}" for line in lines))
    configure_logging(settings.log_level, settings.log_format)
    log_near_misses(near_misses(os.environ))
    globals()["app"] = create_app(settings)
    app: Starlette = globals()["app"]
    return app
