"""The server itself, over raw sockets: what clients may send, and how it shuts down."""

from __future__ import annotations

import itertools
import json
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import requests
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from edge_service.app import create_app
from edge_service.sandbox.app import Sandbox, create_sandbox
from edge_service.sandbox.faults import Fault
from edge_service.server import http_protocol, serving
from edge_service.server.http_protocol import (
    MAX_DISCARDED_BODY_BYTES,
    MAX_HEAD_BYTES,
    MAX_PIPELINED,
)
from tests.support.load import Tally, Visitor, crowd, is_refused, resident_mebibytes
from tests.support.ports import free_port
from tests.support.processes import SCRIPTS, Command
from tests.support.servers import RawUpstream, Serving
from tests.support.servers import serving as upstream_serving
from tests.support.settings import KEY, ORIGIN, settings_for
from tests.support.waiting import TIMEOUT, until
from tests.support.wire import Answer, Wire

VARIABLES = {"AVATAR_API_KEY": KEY, "ALLOWED_ORIGINS": ORIGIN, "RATE_LIMIT": "999999/day"}
SERVE = ("sentifyd-edge", "serve", "--port", "0")
HEAD_SECONDS = 0.4
MANY = 10_000
MUCH = 16 * 1024 * 1024
REQUEST = b"GET /request_tokens HTTP/1.1\r\nHost: x\r\n\r\n"
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def shared_sandbox() -> Sandbox:
    return Sandbox(KEY)


@pytest.fixture(scope="module")
def upstream_url(shared_sandbox: Sandbox) -> Iterator[str]:
    with upstream_serving(create_sandbox(shared_sandbox)) as url:
        yield url


@pytest.fixture(scope="module")
def module_service(upstream_url: str) -> Iterator[Command]:
    """One process for all tests that leave it unchanged; no test may cause an error in it."""
    with Command(*SERVE, **VARIABLES, SENTIFYD_BACKEND=upstream_url) as command:
        yield command
        assert command.stop(signal.SIGTERM) == 0
    assert "Traceback" not in command.output
    assert '"level": "error"' not in command.output


@pytest.fixture(scope="module")
def port(module_service: Command) -> int:
    return module_service.port()


@pytest.fixture
def wire(port: int) -> Iterator[Wire]:
    with Wire(port) as wire:
        yield wire


def named(request_id: str) -> bytes:
    return REQUEST[:-2] + f"X-Request-ID: {request_id}\r\n\r\n".encode()


def in_process(app: ASGIApp) -> Serving:
    """The command's server, but in a thread, so that constants can be patched."""
    config = serving._config(app, websockets=False)
    config.timeout_graceful_shutdown = 5
    return Serving(serving._Server(config, MANY))


@pytest.fixture
def impatient_port(monkeypatch: pytest.MonkeyPatch, upstream_url: str) -> Iterator[int]:
    """A server that waits only a fraction of a second for a request's head."""
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", HEAD_SECONDS)
    with in_process(create_app(settings_for(upstream_url))) as server:
        yield server.port


def endless_header() -> Iterator[bytes]:
    yield b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: "
    while True:
        yield b"a" * 1000


def endless_url() -> Iterator[bytes]:
    yield b"GET /request_tokens?refreshToken="
    while True:
        yield b"a" * 1000


def many_headers() -> Iterator[bytes]:
    yield b"GET /livez HTTP/1.1\r\nHost: x\r\n"
    while True:
        yield b"X-Small: 1\r\n" * 80


def a_second_head() -> Iterator[bytes]:
    yield LIVEZ + b"GET /livez HTTP/1.1\r\nHost: x\r\n"
    while True:
        yield b"X-Small: 1\r\n" * 80


@pytest.mark.parametrize(
    "head",
    [endless_header, endless_url, many_headers, a_second_head],
    ids=lambda head: head.__name__,
)
def test_too_large_head_is_rejected_while_it_is_read(
    wire: Wire, head: Callable[[], Iterator[bytes]]
) -> None:
    pieces = head()
    sent = 0
    if head is a_second_head:
        wire.send(next(pieces))
        assert wire.answer().status == 200
    while sent <= MAX_HEAD_BYTES:
        piece = next(pieces)
        wire.send(piece)
        sent += len(piece)

    assert wire.answer().refuses(431, "headers_too_large")
    assert wire.ends()


def one_header(size: int) -> bytes:
    start = b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: "
    return start + b"a" * (size - len(start) - 4) + b"\r\n\r\n"


def small_headers(size: int) -> bytes:
    line = b"X-Small: 1\r\n"
    return b"GET /livez HTTP/1.1\r\nHost: x\r\n" + line * (size // len(line)) + b"\r\n"


@pytest.mark.parametrize("head", [one_header, small_headers])
def test_too_large_complete_head_is_rejected(wire: Wire, head: Callable[[int], bytes]) -> None:
    """In one piece it is complete before its size can be checked while reading."""
    wire.send(head(MAX_HEAD_BYTES + 1000))

    assert wire.answer().refuses(431, "headers_too_large")
    assert wire.ends()


@pytest.mark.parametrize("head", [one_header, small_headers])
def test_largest_head_is_accepted(wire: Wire, head: Callable[[int], bytes]) -> None:
    for _ in range(3):
        wire.send(head(MAX_HEAD_BYTES - 1000))
        assert wire.answer().status == 200


@pytest.mark.stress
@pytest.mark.parametrize("head", [endless_header, endless_url, many_headers])
def test_flood_of_headers_is_cut_off_early(
    module_service: Command, port: int, head: Callable[[], Iterator[bytes]]
) -> None:
    before = resident_mebibytes(module_service.pid)
    most = 64 * 1024 * 1024
    pieces = head()
    for _ in range(4):
        with Wire(port) as wire:
            wire.send(next(head()))
            assert wire.flood(next(pieces) * 64, most) < most / 2
    assert resident_mebibytes(module_service.pid, "VmHWM") - before < 40


@pytest.mark.stress
def test_number_of_pipelined_requests_in_memory_is_limited(
    module_service: Command, port: int, shared_sandbox: Sandbox
) -> None:
    """A kilobyte of them needs a hundred kilobytes of memory, and the first one is slow."""
    before = resident_mebibytes(module_service.pid)
    small = b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Fill: %s\r\n\r\n" % (b"1" * 22)
    assert len(small) == 64  # so that each read ends with a complete request
    shared_sandbox.fault = Fault("delay", seconds=1)
    try:
        with Wire(port) as wire:
            wire.send(REQUEST)
            wire.flood(small * 1024, 20 * 1024 * 1024)
    finally:
        shared_sandbox.fault = None
    assert resident_mebibytes(module_service.pid, "VmHWM") - before < 60


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\x01\x02\x03\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET /livez HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nNo colon\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nA\x00: b\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://[bad HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET ?no-path HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /request_tokens HTTP/1.1\r\nHost: x\r\nContent-Length: some\r\n\r\n",
    ],
    ids=range(13),
)
def test_data_that_is_not_http_is_rejected(wire: Wire, garbage: bytes) -> None:
    wire.send(garbage)

    assert wire.answer().refuses(400, "bad_request")
    assert wire.ends()


def posted(*fields: bytes, http: bytes = b"1.1") -> bytes:
    """A request with a body in one chunk of two bytes."""
    lines = b"\r\n".join((b"POST /request_tokens HTTP/" + http, *fields))
    return lines + b"\r\nContent-Type: application/json\r\n\r\n2\r\n{}\r\n0\r\n\r\n"


HOST, CHUNKED = b"Host: x", b"Transfer-Encoding: chunked"
HOSTS = (
    b"a b",
    b"a/b",
    b"ann@a",
    b"a?b",
    b"a#b",
    b"a\\b",
    b"[::1",
    b"a:b",
    b"http://a",
    b"\xe9",
    b"%",
)
CODINGS = (
    *(b"gzip", b"identity", b"gzip, chunked", b"identity, chunked", b"chunked, chunked"),
    *(b"chunked, gzip", b"chunked,", b",chunked", b"xchunked", b"chunked;a=b", b'"chunked"'),
    *(b"", b"\x0bchunked"),
)
LENGTHS = (b"2, 2", b"+2", b"-2", b"0x2", b"2 2", b"2;", b"", b"9" * 30)
FORBIDDEN = [
    posted(CHUNKED),
    *(posted(HOST, other, CHUNKED) for other in (HOST, b"Host: y", b"host:")),
    *(posted(b"Host: " + host, CHUNKED) for host in HOSTS),
    posted(HOST, HOST, b"Content-Length: 0", http=b"1.0"),
    *(
        posted(HOST, CHUNKED, http=http)
        for http in (b"2.0", b"0.9", b"1.2", b"3.0", b"1.10", b"11")
    ),
    b"GET /livez HTTP/2.0\r\nHost: x\r\n\r\n",
    b"GET /livez http/1.1\r\nHost: x\r\n\r\n",
    b"GET /livez\r\n\r\n",
    posted(HOST, CHUNKED, http=b"1.0"),
    *(posted(HOST, b"Transfer-Encoding: " + coding) for coding in CODINGS),
    *(posted(HOST, b"Transfer-Encoding: " + first, CHUNKED) for first in (b"gzip", b"chunked")),
    *(posted(HOST, *pair) for pair in itertools.permutations((CHUNKED, b"Content-Length: 12"))),
    *(posted(HOST, b"Content-Length: " + length) for length in LENGTHS),
    *(posted(HOST, b"Content-Length: 12", b"Content-Length: " + other) for other in (b"12", b"9")),
    posted(HOST, b"Content-Length : 12"),
    posted(HOST, CHUNKED, b" folded"),
    b"GET /livez#fragment HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /li vez HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /livez HTTP/1.1\nHost: x\n\n",
    b"G@T /livez HTTP/1.1\r\nHost: x\r\n\r\n",
    b"M" * 33 + b" /livez HTTP/1.1\r\nHost: x\r\n\r\n",
]


@pytest.mark.parametrize("before", [b"", LIVEZ], ids=["first", "second"])
@pytest.mark.parametrize("sent", FORBIDDEN, ids=range(len(FORBIDDEN)))
def test_request_that_breaks_the_rules_of_http_is_rejected(
    wire: Wire, sent: bytes, before: bytes
) -> None:
    """A proxy in front may understand such a request differently (RFC 9112)."""
    if before:
        wire.send(before)
        assert wire.answer().status == 200
    wire.send(sent + LIVEZ)

    assert wire.answer().refuses(400, "bad_request")
    assert wire.ends()


@pytest.mark.parametrize(
    "sent",
    [
        *(
            posted(b"Host: " + host, CHUNKED)
            for host in (b"a.example:80", b"[::1]:8080", b"_a-b", b"")
        ),
        posted(b"hOST:\tx \t", b"transfer-encoding:\tCHUNKED "),
        b"POST /request_tokens HTTP/1.0\r\nContent-Length: 0\r\n\r\n",
        b"GET http://x/livez?a=b HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=range(7),
)
def test_request_that_follows_the_rules_of_http_is_answered(wire: Wire, sent: bytes) -> None:
    wire.send(sent)

    assert wire.answer().status == 200


@pytest.mark.parametrize("method", ["get", "Post", "FOO", "M-SEARCH", "SOURCE", "TRACE", "M" * 32])
@pytest.mark.parametrize("path", ["/request_tokens", "/livez"])
def test_unknown_method_gets_an_answer_that_pages_can_read(
    wire: Wire, module_service: Command, method: str, path: str
) -> None:
    name = f"{method}-{path[1]}"
    for _ in range(2):
        wire.send(
            f"{method} {path} HTTP/1.1\r\nHost: x\r\nOrigin: {ORIGIN}\r\nX-Request-ID: {name}\r\n"
            "Content-Length: 4\r\n\r\nGET ".encode()
        )
        answer = wire.answer()
        assert answer.status == 405
        assert json.loads(answer.body)["code"] == "method_not_allowed"
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "GET" in answer.headers["allow"]
    line = json.loads(module_service.wait_for(f'.*"request_id": "{name}".*')[0])
    assert (line["method"], line["status"]) == (method, 405)
    wire.send(LIVEZ)
    assert wire.answer().status == 200


@pytest.mark.parametrize("path", ["/request_tokens", "/livez", "/nowhere"])
@pytest.mark.parametrize("protocol", ["websocket", "h2c"])
def test_upgrade_header_is_ignored(wire: Wire, path: str, protocol: str) -> None:
    """The request is answered as if it had no Upgrade header."""
    wire.send(
        f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n"
        f"Origin: {ORIGIN}\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )

    assert wire.answer().status == (404 if path == "/nowhere" else 200)


@pytest.mark.parametrize("headers", ["", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n"])
def test_broken_websocket_handshake_is_answered_without_an_error(
    wire: Wire, module_service: Command, headers: str
) -> None:
    name = f"handshake-{len(headers)}"
    before = len(module_service.output.splitlines())
    wire.send(
        f"GET /request_tokens HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"X-Request-ID: {name}\r\n{headers}\r\n".encode()
    )

    assert wire.answer().status == 200
    module_service.wait_for(f'"request_id": "{name}"')
    # Only request lines: this request's, and those before it.
    for line in module_service.output.splitlines()[before:]:
        assert json.loads(line)["event"] == "request"


def test_pipelined_requests_are_answered_in_order(wire: Wire) -> None:
    paths = [b"/request_tokens", b"/livez", b"/nowhere", b"/request_tokens", b"/livez"]
    wire.send(
        b"".join(
            b"GET %s HTTP/1.1\r\nHost: x\r\nX-Request-ID: %d\r\n\r\n" % (path, number)
            for number, path in enumerate(paths)
        )
    )

    answers = [wire.answer() for _ in paths]
    assert [answer.headers["x-request-id"] for answer in answers] == list("01234")
    assert [answer.status for answer in answers] == [200, 200, 404, 200, 200]


def test_too_many_pipelined_requests_are_rejected(wire: Wire, module_service: Command) -> None:
    wire.send(REQUEST + LIVEZ * MAX_PIPELINED)
    assert {wire.answer().status for _ in range(1 + MAX_PIPELINED)} == {200}

    wire.send(named("many") + LIVEZ * (MAX_PIPELINED + 1))
    assert wire.answer().refuses(400, "bad_request")
    assert wire.ends()
    module_service.wait_for('"request_id": "many"')
    assert '"level": "error"' not in module_service.output


@pytest.mark.parametrize(
    ("before", "after"), [(b"", b""), (b"", LIVEZ), (LIVEZ, b""), (b"", b"garbage\r\n\r\n")]
)
def test_visitor_who_disconnects_during_requests_causes_no_error(
    port: int, module_service: Command, shared_sandbox: Sandbox, before: bytes, after: bytes
) -> None:
    shared_sandbox.fault = Fault("delay", seconds=0.2)
    logins = shared_sandbox.logins
    try:
        with Wire(port) as wire:
            wire.send(before + named("left") + after)
            until(lambda: shared_sandbox.logins > logins)
        module_service.wait_for('"request_id": "left"')
    finally:
        shared_sandbox.fault = None
    assert '"level": "error"' not in module_service.output


def test_request_may_arrive_byte_by_byte(wire: Wire) -> None:
    body = b'{"refreshToken": "sent in pieces"}'
    for _ in range(2):
        request = (
            b"POST /request_tokens HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        ) + body
        wire.send(*(bytes([byte]) for byte in request))
        assert wire.answer().status == 200


def test_chunked_body_is_read_and_limited(wire: Wire) -> None:
    head = (
        b"POST /request_tokens HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    wire.send(head, b"11\r\n", b'{"refreshToken": ', b"\r\n4\r\n", b'"x"}', b"\r\n0\r\n\r\n")
    assert wire.answer().status == 200

    wire.send(head, b"1000\r\n" + b"a" * 4096 + b"\r\n", b"1\r\na\r\n")
    assert wire.answer().status == 413


def with_trailer(trailer: bytes, *lines: str) -> bytes:
    """A request in one piece, with a trailer after its body."""
    head = "".join(f"{line}\r\n" for line in lines)
    return (
        b"POST /request_tokens HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n%s\r\n2\r\n{}\r\n0\r\n%s\r\n\r\n" % (head.encode(), trailer)
    )


@pytest.fixture
def start(upstream_url: str) -> Iterator[Callable[..., int]]:
    """Starts a service with these variables, and returns its port."""
    with ExitStack() as stack:

        def start(**variables: str) -> int:
            every = {**VARIABLES, "SENTIFYD_BACKEND": upstream_url, **variables}
            return stack.enter_context(Command(*SERVE, **every)).port()

        yield start


def test_trailer_field_cannot_set_the_user(start: Callable[..., int]) -> None:
    port = start(VISITOR_AUTH="forwarded", TRUSTED_PROXIES="127.0.0.0/8")
    user = "X-Forwarded-User: anna"
    with Wire(port) as wire:
        # In the head it does, to show that the position makes the difference.
        wire.send(with_trailer(b"X-Other: x", user))
        assert wire.answer().status == 200
        wire.send(with_trailer(user.encode()))
        assert wire.answer().status == 401
        # The same when it arrives in pieces.
        request = with_trailer(user.encode())
        wire.send(*(request[at : at + 7] for at in range(0, len(request), 7)))
        assert wire.answer().status == 401


def test_trailer_field_cannot_set_the_address(start: Callable[..., int]) -> None:
    port = start(RATE_LIMIT="2/day", TRUSTED_PROXIES="127.0.0.0/8")
    statuses = []
    with Wire(port) as wire:
        for number in range(3):
            wire.send(with_trailer(f"X-Forwarded-For: 203.0.113.{number}".encode()))
            statuses.append(wire.answer().status)
        wire.send(with_trailer(b"X-Other: x", "X-Forwarded-For: 203.0.113.9"))
        statuses.append(wire.answer().status)
    assert statuses == [200, 200, 429, 200]


def test_trailer_field_cannot_set_the_origin(start: Callable[..., int]) -> None:
    port = start(REQUIRE_ORIGIN="true")
    with Wire(port) as wire:
        for field in ("Sec-Fetch-Site: same-origin", f"Origin: {ORIGIN}"):
            wire.send(with_trailer(b"X-Other: x", field))
            assert wire.answer().status == 200
            wire.send(with_trailer(field.encode()))
            assert wire.answer().status == 403


def many_trailers() -> Iterator[bytes]:
    yield with_trailer(b"X-First: 1")[:-2]
    while True:
        yield b"X-Small: 1\r\n" * 64


def endless_trailer() -> Iterator[bytes]:
    yield with_trailer(b"X-Long: a")[:-4]
    while True:
        yield b"a" * 1024


@pytest.mark.parametrize("trailer", [many_trailers, endless_trailer])
def test_large_trailer_is_cut_off(wire: Wire, trailer: Callable[[], Iterator[bytes]]) -> None:
    pieces = trailer()
    sent = 0
    with suppress(OSError):
        while sent <= 2 * MAX_DISCARDED_BODY_BYTES:
            piece = next(pieces)
            wire.send(piece)
            sent += len(piece)
            if not wire.stays_open(0.005):
                break

    assert MAX_DISCARDED_BODY_BYTES / 2 < sent <= 2 * MAX_DISCARDED_BODY_BYTES
    assert wire.ends()


@pytest.mark.stress
@pytest.mark.parametrize("trailer", [many_trailers, endless_trailer])
def test_flood_of_trailer_fields_is_cut_off_early(
    module_service: Command, port: int, trailer: Callable[[], Iterator[bytes]]
) -> None:
    before = resident_mebibytes(module_service.pid)
    most = 20 * 1024 * 1024
    for _ in range(4):
        pieces = trailer()
        with Wire(port) as wire, Wire(port) as other:
            wire.send(next(pieces))
            assert wire.flood(next(pieces) * 64, most) < most
            other.send(LIVEZ)
            assert other.answer().status == 200
    assert resident_mebibytes(module_service.pid, "VmHWM") - before < 40


def test_expect_100_continue_is_answered(wire: Wire) -> None:
    head = (
        b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    )
    wire.send(head % b"/request_tokens")
    assert wire.answer() == Answer(100, {}, b"")
    wire.send(b"{}")
    assert wire.answer().status == 200

    wire.send(head % b"/nowhere")
    assert wire.answer().status == 404


def test_http_1_0_request_is_answered_and_closed(wire: Wire) -> None:
    wire.send(b"GET /request_tokens HTTP/1.0\r\n\r\n")

    answer = wire.answer()
    assert answer.status == 200
    assert answer.headers["connection"] == "close"
    assert wire.ends()


@pytest.mark.parametrize(
    "sent", [b"", b"GET /livez HTTP/1.1\r\nHost: x\r\n"], ids=["nothing", "half a head"]
)
def test_silent_connection_is_closed(impatient_port: int, sent: bytes) -> None:
    with Wire(impatient_port) as wire:
        wire.send(sent)
        began = time.monotonic()
        assert wire.ends()
        assert time.monotonic() - began < 10 * HEAD_SECONDS


@pytest.mark.parametrize("first", [b"", LIVEZ], ids=["first", "second"])
def test_slow_head_is_cut_off(impatient_port: int, first: bytes) -> None:
    with Wire(impatient_port) as wire:
        if first:
            wire.send(first)
            assert wire.answer().status == 200
        assert wire.drip(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 200, 0.05) < 100
        assert wire.ends()


def test_line_breaks_alone_do_not_keep_a_connection_open(impatient_port: int) -> None:
    """They do not start a request, but they end the idle time."""
    with Wire(impatient_port) as wire, Wire(impatient_port) as slow:
        for one in (wire, slow):
            one.send(LIVEZ)
            assert one.answer().status == 200
        wire.send(b"\r\n")
        assert slow.drip(b"\r\n" * 100, 0.05) < 100
        for one in (wire, slow):
            assert one.ends()


def test_line_breaks_before_a_request_are_ignored(impatient_port: int) -> None:
    with Wire(impatient_port) as wire:
        wire.send(b"\r\n" + LIVEZ)
        assert wire.answer().status == 200
        wire.send(b"\r\n")
        assert wire.stays_open(HEAD_SECONDS / 4)
        wire.send(LIVEZ)
        assert wire.answer().status == 200
        # Their time limit does not apply to later requests.
        assert wire.stays_open(2 * HEAD_SECONDS)
        wire.send(LIVEZ)
        assert wire.answer().status == 200


def test_slow_body_after_its_answer_is_cut_off(impatient_port: int) -> None:
    with Wire(impatient_port) as wire:
        wire.send(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        assert wire.answer().status == 404
        assert wire.drip(b"a" * 200, 0.05) < 100
        assert wire.ends()


def test_well_behaved_visitor_is_not_cut_off(impatient_port: int, shared_sandbox: Sandbox) -> None:
    """Not while idle between requests, while waiting for an answer, or with a slow body."""
    with Wire(impatient_port) as wire:
        for _ in range(3):
            wire.send(LIVEZ)
            assert wire.answer().status == 200
            assert wire.stays_open(HEAD_SECONDS / 2)
        assert wire.stays_open(2 * HEAD_SECONDS)

        shared_sandbox.fault = Fault("delay", seconds=2 * HEAD_SECONDS)
        try:
            wire.send(REQUEST)
            assert wire.answer().status == 200
        finally:
            shared_sandbox.fault = None

        wire.send(
            b"POST /request_tokens HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 16\r\n\r\n"
        )
        assert wire.drip(b'{"refreshToken":', HEAD_SECONDS / 8) == 16
        assert wire.answer().status == 400
        wire.send(LIVEZ)
        assert wire.answer().status == 200


def large_response_app() -> Starlette:
    async def much(_: Request) -> Response:
        return Response(b"a" * MUCH)

    return Starlette(routes=[Route("/much", much)])


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /much HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /much HTTP/1.1\r\nHost: x\r\n\r\n" * 2,
        b"GET /much HTTP/1.1\r\nHost: x\r\n\r\n\r\n",
        b"GET /much HTTP/1.1\r\nHost: x\r\n\r\nGET /much HT",
        b"GET /much HTTP/1.0\r\n\r\n",
    ],
    ids=["one", "two", "line break", "half", "last"],
)
def test_visitor_who_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(http_protocol, "STALL_SECONDS", HEAD_SECONDS)
    with in_process(large_response_app()) as server, Wire(server.port) as wire:
        wire.send(sent)
        until(lambda: len(server.server.server_state.connections) == 1)
        until(lambda: len(server.server.server_state.connections) == 0)
        with pytest.raises((AssertionError, ConnectionResetError)):
            wire.answer()


def test_visitor_who_reads_slowly_is_not_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "STALL_SECONDS", 1)
    with in_process(large_response_app()) as server, Wire(server.port) as wire:
        wire.send(b"GET /much HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = wire.answer(pause=2.5 * 65536 / MUCH)
        assert len(answer.body) == MUCH


FILES = 64
UNDER_A_LIMIT = ("/bin/sh", "-c", f'ulimit -n {FILES} && exec "$@"', "sh")


def test_visitors_wait_while_there_are_too_many_connections(upstream_url: str) -> None:
    """Logins still get a file descriptor."""
    serve = (*UNDER_A_LIMIT, str(SCRIPTS / SERVE[0]), *SERVE[1:])
    with Command(*serve, **VARIABLES, SENTIFYD_BACKEND=upstream_url) as command:
        port = command.port()
        with ExitStack() as stack:
            first = stack.enter_context(Wire(port))
            first.send(LIVEZ)
            assert first.answer().status == 200
            for _ in range(FILES):
                stack.enter_context(Wire(port)).send(LIVEZ)
            assert_reported(command, "exhausted", "Too many connections")
            first.send(REQUEST)
            assert first.answer().status == 200
            late = stack.enter_context(Wire(port))
            late.send(REQUEST)
            assert late.stays_open(0.3)
        with Wire(port) as wire:
            wire.send(REQUEST)
            assert wire.answer().status == 200
        assert_reported(command, "available")
        assert command.stop(signal.SIGTERM) == 0

    assert command.output.count("connections_") == 2
    assert "Traceback" not in command.output


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="Linux only")
@pytest.mark.parametrize("loop", ["uvloop", pytest.param("asyncio", marks=pytest.mark.thorough)])
def test_service_recovers_when_file_descriptors_run_out(
    upstream_url: str, tmp_path: Path, loop: str
) -> None:
    if loop == "asyncio":
        (tmp_path / "uvloop.py").write_text("raise ImportError")
    variables = {"SENTIFYD_BACKEND": upstream_url, "PYTHONPATH": str(tmp_path)}
    with Command(*SERVE, **VARIABLES, **variables) as command:
        port = command.port()
        with Wire(port) as first, ExitStack() as stack:
            first.send(REQUEST)
            assert first.answer().status == 200
            limit = len(list(Path(f"/proc/{command.pid}/fd").iterdir())) + 8
            resource.prlimit(command.pid, resource.RLIMIT_NOFILE, (limit, limit))
            for _ in range(FILES):
                stack.enter_context(Wire(port)).send(LIVEZ)
            assert_reported(command, "exhausted", "Too many open files")
            first.send(LIVEZ)
            assert first.answer().status == 200
            late = Wire(port)
            late.send(LIVEZ)
            assert late.stays_open(0.3)
            stack.close()
            with late:
                assert late.answer().status == 200
            assert_reported(command, "available")
            assert command.stop(signal.SIGTERM) == 0

    assert command.output.count("connections_") == 2
    assert "Traceback" not in command.output


def assert_reported(command: Command, what: str, reason: str | None = None) -> None:
    """Wait for the log line about connections."""
    line = json.loads(command.wait_for(f'.*"connections_{what}".*')[0])
    assert line.get("reason") == reason
    assert line["level"] == ("error" if what == "exhausted" else "warning")


@pytest.mark.stress
@pytest.mark.parametrize("keep", [False, True], ids=["a connection each", "keep-alive"])
@pytest.mark.parametrize("policy", ["direct", "shared"])
def test_sigterm_under_load_loses_no_request(upstream_url: str, keep: bool, policy: str) -> None:
    tally = Tally()
    variables = {**VARIABLES, "SENTIFYD_BACKEND": upstream_url, "TOKEN_POLICY": policy}
    with Command(*SERVE, **variables) as command:
        port = command.port()
        with crowd(*(Visitor(port, tally, keep=keep) for _ in range(32))):
            until(lambda: tally.statuses[200] > 200)
            command.send(signal.SIGTERM)
            assert command.wait() == 0

    assert tally.lost == []
    assert set(tally.statuses) == {200}
    assert tally.refused == 32
    assert is_refused(port)
    assert "Traceback" not in command.output
    assert command.output.count('"request"') == tally.statuses[200]


def test_sigterm_waits_for_a_slow_login(upstream_url: str, shared_sandbox: Sandbox) -> None:
    with Command(*SERVE, **VARIABLES, SENTIFYD_BACKEND=upstream_url) as command:
        port = command.port()
        before = shared_sandbox.logins
        shared_sandbox.fault = Fault("delay", seconds=1)
        try:
            with Wire(port) as wire, Wire(port) as idle:
                wire.send(REQUEST)
                until(lambda: shared_sandbox.logins > before)
                command.send(signal.SIGTERM)
                assert idle.ends()
                answer = wire.answer()
                assert wire.ends()
        finally:
            shared_sandbox.fault = None
        assert command.wait() == 0

    assert answer.status == 200
    assert answer.headers["connection"] == "close"
    assert is_refused(port)
    assert "Traceback" not in command.output


def test_request_that_arrives_during_shutdown_is_answered(
    upstream_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a connection that was idle, on one without a request yet, and after half a head."""
    monkeypatch.setattr(http_protocol, "LINGER_SECONDS", 5)
    with ExitStack() as stack:
        server = stack.enter_context(in_process(create_app(settings_for(upstream_url))))
        port = server.port
        used, new, half = (stack.enter_context(Wire(port)) for _ in range(3))
        used.send(REQUEST)
        assert used.answer().status == 200
        half.send(REQUEST[:20])
        server.stop()
        until(lambda: is_refused(port))
        for wire in (used, new):
            wire.send(REQUEST)
        half.send(REQUEST[20:])
        for wire in (used, new, half):
            answer = wire.answer()
            assert answer.status == 200
            assert answer.headers["connection"] == "close"
            assert wire.ends()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_second_signal_stops_at_once(number: signal.Signals) -> None:
    def hang(_: socket.socket) -> None:
        upstream.over.wait(60)

    with RawUpstream(hang) as upstream:
        variables = {**VARIABLES, "SENTIFYD_BACKEND": upstream.url, "UPSTREAM_TIMEOUT": "60"}
        with ExitStack() as stack:
            command = stack.enter_context(Command(*SERVE, **variables))
            port = command.port()
            for _ in range(8):
                stack.enter_context(Wire(port)).send(REQUEST)
            until(lambda: len(upstream.received) == 8)
            command.send(number)
            until(lambda: is_refused(port))
            began = time.monotonic()
            command.send(number)
            assert command.wait() == 0
            assert time.monotonic() - began < 10
    assert "Traceback" not in command.output


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_both_ports_close_together(upstream_url: str, end: signal.Signals) -> None:
    metrics_port = free_port()
    variables = {"SENTIFYD_BACKEND": upstream_url, "METRICS_PORT": str(metrics_port)}
    with Command(*SERVE, **VARIABLES, **variables) as command:
        port = command.port()
        pages = [
            requests.get(f"http://127.0.0.1:{number}/metrics", timeout=TIMEOUT)
            for number in (port, metrics_port)
        ]
        with Wire(port) as visitor, Wire(metrics_port) as prometheus:
            command.send(end)
            assert visitor.ends()
            assert prometheus.ends()
        assert command.wait() == 0

    assert [page.status_code for page in pages] == [404, 200]
    assert is_refused(port)
    assert is_refused(metrics_port)
    assert "Traceback" not in command.output


def test_metrics_port_in_use_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = str(listener.getsockname()[1])
        with Command(*SERVE, **VARIABLES, METRICS_PORT=taken) as command:
            assert command.wait() == 2

    assert command.output.splitlines() == [
        f"sentifyd-edge: port {taken} on 127.0.0.1 is in use: choose another with METRICS_PORT"
    ]


def test_port_is_exclusive_where_so_reuseaddr_would_share_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Only Windows has this option, so another one replaces it here.
    monkeypatch.setattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_KEEPALIVE, raising=False)

    with serving.bind("127.0.0.1", 0, "PORT") as sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)


def test_address_of_another_machine_is_reported() -> None:
    with Command(*SERVE, **VARIABLES, HOST="192.0.2.1") as command:
        assert command.wait() == 2

    (line,) = command.output.splitlines()
    assert line.startswith("sentifyd-edge: port 0 on 192.0.2.1 cannot be used (")
    assert line.endswith(
        "): choose another with HOST, such as 0.0.0.0 for all addresses of this machine"
    )
