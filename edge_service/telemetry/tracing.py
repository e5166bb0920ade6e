"""OpenTelemetry traces: a span for each request, and a child span for the login it causes.

Optional: the extra `otel` installs the SDK, which the standard variables `OTEL_*` configure. A span
contains the same data as the access log: no query, no headers and no messages of exceptions.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Receive, Scope, Send

from edge_service.telemetry.logs import CLIENT_CLOSED_REQUEST

__all__ = ["RequestSpans", "Tracing"]

SERVICE_NAME = "sentifyd-edge"
# Shorter than the SDK's ten seconds, because the export delays a graceful shutdown.
EXPORT_SECONDS = 3


class Tracing:
    """Creates spans, and sends them to the collector that the environment configures."""

    def __init__(self) -> None:
        named = {"OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"} & os.environ.keys()
        resource = Resource.create({} if named else {"service.name": SERVICE_NAME})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        timeout = None if "OTEL_EXPORTER_OTLP_TIMEOUT" in os.environ else EXPORT_SECONDS
        exporter = OTLPSpanExporter(timeout=timeout)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self.tracer = self._provider.get_tracer("edge_service")

    def login_span(self) -> AbstractContextManager[Span]:
        """The span of a login at Sentifyd."""
        return self.tracer.start_as_current_span(
            "login", kind=SpanKind.CLIENT, record_exception=False, set_status_on_exception=False
        )

    def close(self) -> None:
        """Send the remaining spans; blocks up to the exporter's timeout."""
        self._provider.shutdown()


class RequestSpans:
    """A server span for each request, continued from the caller's `traceparent` (W3C).

    Args:
        app: the wrapped application. `AccessLog` must wrap this middleware, because it fills the
            request state.
        tracing: creates the spans.
    """

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self._app = app
        self._tracer = tracing.tracer
        self._parents = TraceContextTextMapPropagator()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Trace the request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope["state"]
        carrier = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
            # Not `tracestate`, because clients can write anything into it.
            if name == b"traceparent"
        }
        with self._tracer.start_as_current_span(
            scope["method"],
            self._parents.extract(carrier),
            SpanKind.SERVER,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                await self._app(scope, receive, send)
            finally:
                _describe(span, scope["method"], state)


def _describe(span: Span, method: str, state: dict[str, Any]) -> None:
    status = state["status"] or CLIENT_CLOSED_REQUEST
    if "route" in state:
        span.update_name(f"{method} {state['route']}")
        span.set_attribute("http.route", state["route"])
    span.set_attribute("http.request.method", method)
    span.set_attribute("http.response.status_code", status)
    span.set_attribute("request_id", state["request_id"])
    if status >= 500:
        span.set_status(StatusCode.ERROR)
