"""The access log: one line for each request, without query, headers and body."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Collection

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_service.telemetry.logs import CLIENT_CLOSED_REQUEST, log_access
from edge_service.telemetry.metrics import Metrics

__all__ = ["AccessLog"]

MAX_LOGGED_PATH = 200
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class AccessLog:
    """Logs one line for each request: method, path without query, status, duration, request ID.

    Routes in `quiet` have a line only if they fail: probes and scrapes come every few seconds, and
    an operator looks for those that failed.

    The request ID is a valid `X-Request-ID` of the request, or a new one. The response repeats it.

    For other middleware, it adds the headers in `state["headers"]` to the response, and those in
    `state["error_headers"]` to errors. One wrapper of `send` for all of them saves time.

    Args:
        app: the wrapped application.
        metrics: gets the duration of each request.
        quiet: patterns of routes whose answers below 400 are not logged.
    """

    def __init__(
        self, app: ASGIApp, metrics: Metrics, quiet: Collection[str] = frozenset()
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._quiet = frozenset(quiet)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Measure the request, and log it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        request_id = _request_id(scope)
        state = scope.setdefault("state", {})
        headers = [(b"x-request-id", request_id.encode("ascii"))]
        state["request_id"], state["status"] = request_id, None
        state["headers"], state["error_headers"] = headers, ()

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                status = state["status"] = message["status"]
                more = state["error_headers"] if status >= 400 else ()
                message["headers"] = [*message["headers"], *headers, *more]
            await send(message)

        self._metrics.in_flight += 1
        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            self._metrics.in_flight -= 1
            seconds = time.perf_counter() - began
            status = state["status"] or CLIENT_CLOSED_REQUEST
            code = state.get("code")
            route = state.get("route", "other")
            self._metrics.observe_request(route, status, code or "", seconds)
            if status >= 400 or route not in self._quiet:
                log_access(
                    method=scope["method"],
                    path=_path(scope),
                    status=status,
                    duration_ms=round(seconds * 1000, 1),
                    request_id=request_id,
                    code=code,
                )


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value, "ascii")
    return f"{random.getrandbits(128):032x}"


def _path(scope: Scope) -> str:
    # The raw path is percent-encoded, so that a line break cannot forge a log line.
    raw: bytes = scope.get("raw_path") or scope["path"].encode("utf-8")
    return raw.split(b"?")[0].decode("latin-1")[:MAX_LOGGED_PATH]
