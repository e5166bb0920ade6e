"""OpenTelemetry: what a collector receives from a running service, over the real protocol."""

from __future__ import annotations

import queue
from collections.abc import Iterator

import pytest
import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_service.sandbox.app import Sandbox
from edge_service.sandbox.faults import Fault
from tests.support.processes import Command
from tests.support.servers import serving
from tests.support.service import Service
from tests.support.settings import KEY, ORIGIN

SENT_BACK = "canary-sent-back-3c"
STATE = "canary-state-8e"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector:
    """A collector that keeps the traces that it receives."""

    def __init__(self) -> None:
        self.raw = b""
        self._requests: queue.Queue[bytes] = queue.Queue()
        self.app = Starlette(routes=[Route("/v1/traces", self._take, methods=["POST"])])

    def spans(self) -> list[tuple[str, Span]]:
        """Every span, with the name of the service that sent it."""
        found = []
        while not self._requests.empty():
            message = ExportTraceServiceRequest.FromString(self._requests.get())
            for resource in message.resource_spans:
                names = [a.value.string_value for a in resource.resource.attributes
                         if a.key == "service.name"]  # fmt: skip
                for scope in resource.scope_spans:
                    found += [(names[0], span) for span in scope.spans]
        return found

    async def _take(self, request: Request) -> Response:
        body = await request.body()
        self.raw += body
        self._requests.put(body)
        return Response(media_type="application/x-protobuf")


@pytest.fixture
def collector() -> Collector:
    return Collector()


@pytest.fixture
def collector_url(collector: Collector) -> Iterator[str]:
    with serving(collector.app) as url:
        yield url


def test_request_and_its_login_are_one_trace(
    collector: Collector, collector_url: str, sandbox: Sandbox, sandbox_url: str
) -> None:
    with Command(
        *("sentifyd-edge", "serve", "--port", "0"),
        AVATAR_API_KEY=KEY,
        ALLOWED_ORIGINS=ORIGIN,
        SENTIFYD_BACKEND=sandbox_url,
        OTEL_EXPORTER_OTLP_ENDPOINT=collector_url,
        OTEL_EXPORTER_OTLP_COMPRESSION="none",
    ) as command:
        port = command.port()
        service = Service(f"http://127.0.0.1:{port}")
        headers = {
            "traceparent": f"00-{TRACE}-{PARENT}-01",
            "tracestate": f"vendor={STATE}",
            "X-Request-ID": "r-1",
        }
        answer = service.call("GET", f"?refreshToken={SENT_BACK}", headers=headers)
        sandbox.fault = Fault("status", status=503)
        failed = service.get()
        requests.get(f"{service.base}/no/such/path", timeout=5)
        assert command.stop() == 0

    assert (answer.status_code, failed.status_code) == (200, 503)
    spans = collector.spans()
    assert {name for name, _ in spans} == {"sentifyd-edge"}
    by_name: dict[str, list[Span]] = {}
    for _, span in sorted(spans, key=lambda pair: pair[1].start_time_unix_nano):
        by_name.setdefault(span.name, []).append(span)
    assert {name: len(named) for name, named in by_name.items()} == {
        "GET /request_tokens": 2,
        "login": 2,
        "GET": 1,
    }
    first, second = by_name["GET /request_tokens"]
    assert (first.trace_id.hex(), first.parent_span_id.hex()) == (TRACE, PARENT)
    assert {span.trace_state for _, span in spans} == {""}
    assert by_name["login"][0].parent_span_id == first.span_id
    attributes = {a.key: a.value.string_value or a.value.int_value for a in first.attributes}
    assert attributes == {
        "http.route": "/request_tokens",
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "request_id": "r-1",
    }
    assert second.trace_id.hex() != TRACE
    assert second.status.code == Status.STATUS_CODE_ERROR
    tokens = answer.json()["tokens"].values()
    for secret in (KEY, SENT_BACK, STATE, "no/such/path", *tokens):
        assert secret.encode() not in collector.raw


def test_unavailable_collector_fails_no_request() -> None:
    with Command(
        *("sentifyd-edge", "serve", "--port", "0"),
        AVATAR_API_KEY=KEY,
        ALLOWED_ORIGINS=ORIGIN,
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1",
    ) as command:
        port = command.port()
        assert requests.get(f"http://127.0.0.1:{port}/livez", timeout=5).status_code == 200
        assert command.stop() == 0


def test_opentelemetry_is_not_imported_without_its_variable() -> None:
    script = (
        "import sys\n"
        "from edge_service.app import app\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'redis'))])"
    )
    with Command("python", "-c", script, AVATAR_API_KEY=KEY, ALLOWED_ORIGINS=ORIGIN) as command:
        assert command.wait() == 0
    assert command.output == "[]\n"
