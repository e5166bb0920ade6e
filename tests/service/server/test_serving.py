"""The server itself, over raw sockets: what strangers may send, and how it ends."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass

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
from tests.support.processes import Command
from tests.support.servers import RawUpstream, Serving
from tests.support.servers import serving as upstream_serving
from tests.support.settings import KEY, ORIGIN, settings_for
from tests.support.waiting import PATIENCE, until

VARIABLES = {"AVATAR_API_KEY": KEY, "ALLOWED_ORIGINS": ORIGIN, "RATE_LIMIT": "999999/day"}
SERVE = ("sentifyd-edge", "serve", "--port", "0")
HEAD_SECONDS = 0.4
MUCH = 16 * 1024 * 1024
REQUEST = b"GET /request_tokens HTTP/1.1\r\nHost: x\r\n\r\n"
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"


@dataclass(frozen=True)
class Answer:
    """One HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes

    def refuses(self, status: int, code: str) -> bool:
        """Whether it is one of the server's own errors, and closes the connection."""
        return (
            self.status == status
            and json.loads(self.body)["code"] == code
            and self.headers["content-type"] == "application/json"
            and self.headers["cache-control"] == "no-store"
            and self.headers["vary"] == "Origin"
            and self.headers["connection"] == "close"
        )


class Wire:
    """A connection, byte by byte."""

    def __init__(self, port: int) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._kept = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self._sock.sendall(piece)

    def flood(self, piece: bytes, most: int) -> int:
        """Send a piece over and over until the server will have no more; returns the bytes sent."""
        sent = 0
        with suppress(OSError):
            while sent < most:
                sent += self._sock.send(piece)
        return sent

    def drip(self, data: bytes, seconds: float) -> int:
        """Send a byte at a time while nothing comes back; returns how many were sent."""
        self._sock.settimeout(seconds)
        for number, byte in enumerate(data):
            with suppress(TimeoutError, OSError):
                self._sock.sendall(bytes([byte]))
            if self.is_answered():
                self._sock.settimeout(PATIENCE)
                return number + 1
        self._sock.settimeout(PATIENCE)
        return len(data)

    def is_answered(self) -> bool:
        """Whether an answer or the end comes before the socket's timeout."""
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return False
        except OSError:
            return True
        return True

    def stays_open(self, seconds: float) -> bool:
        """Whether the server neither says anything nor closes within this time."""
        self._sock.settimeout(seconds)
        open_ = not self.is_answered()
        self._sock.settimeout(PATIENCE)
        return open_

    def answer(self, pause: float = 0) -> Answer:
        """The next response, read with a pause before each piece of it."""
        head = self._until(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        status = int(first.split(" ")[1])
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines if line)
        }
        length = int(headers.get("content-length", "0"))
        while len(self._kept) < length:
            time.sleep(pause)
            self._read()
        body, self._kept = self._kept[:length], self._kept[length:]
        return Answer(status, headers, body)

    def ends(self) -> bool:
        """Whether nothing else comes but the end."""
        try:
            return self._kept == b"" and self._sock.recv(1) == b""
        except ConnectionResetError:
            # There was something of ours that nobody read.
            return True

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._kept:
            self._read()
        found, _, self._kept = self._kept.partition(mark)
        return found

    def _read(self) -> None:
        data = self._sock.recv(65536)
        assert data, self._kept
        self._kept += data


@pytest.fixture(scope="module")
def shared_sandbox() -> Sandbox:
    return Sandbox(KEY)


@pytest.fixture(scope="module")
def upstream_url(shared_sandbox: Sandbox) -> Iterator[str]:
    with upstream_serving(create_sandbox(shared_sandbox)) as url:
        yield url


@pytest.fixture(scope="module")
def lasting(upstream_url: str) -> Iterator[Command]:
    """One process for all tests that leave it as it was; nothing may upset it."""
    with Command(*SERVE, **VARIABLES, SENTIFYD_BACKEND=upstream_url) as command:
        yield command
        assert command.stop(signal.SIGTERM) == 0
    assert "Traceback" not in command.output
    assert '"level": "error"' not in command.output


@pytest.fixture(scope="module")
def port(lasting: Command) -> int:
    return lasting.port()


@pytest.fixture
def wire(port: int) -> Iterator[Wire]:
    with Wire(port) as wire:
        yield wire


def named(request_id: str) -> bytes:
    return REQUEST[:-2] + f"X-Request-ID: {request_id}\r\n\r\n".encode()


def in_process(app: ASGIApp) -> Serving:
    """A server as the command has it, but in a thread, where constants can be patched."""
    return Serving(serving._Server(serving._config(app, 5, websockets=False)))


@pytest.fixture
def impatient_port(monkeypatch: pytest.MonkeyPatch, upstream_url: str) -> Iterator[int]:
    """A server that waits for a head for a fraction of a second."""
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
    yield b"GET /livez HTTP/1.1\r\n"
    while True:
        yield b"X-Small: 1\r\n" * 80


def a_second_head() -> Iterator[bytes]:
    yield LIVEZ + b"GET /livez HTTP/1.1\r\n"
    while True:
        yield b"X-Small: 1\r\n" * 80


@pytest.mark.parametrize(
    "head",
    [endless_header, endless_url, many_headers, a_second_head],
    ids=lambda head: head.__name__,
)
def test_a_head_larger_than_any_honest_one(wire: Wire, head: Callable[[], Iterator[bytes]]) -> None:
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
    start = b"GET /livez HTTP/1.1\r\nX-Long: "
    return start + b"a" * (size - len(start) - 4) + b"\r\n\r\n"


def small_headers(size: int) -> bytes:
    line = b"X-Small: 1\r\n"
    return b"GET /livez HTTP/1.1\r\n" + line * (size // len(line)) + b"\r\n"


@pytest.mark.parametrize("head", [one_header, small_headers])
def test_a_large_head_that_is_complete_is_refused_all_the_same(
    wire: Wire, head: Callable[[int], bytes]
) -> None:
    """However the network cuts it into pieces: in one, it is over before it can be too long."""
    wire.send(head(MAX_HEAD_BYTES + 1000))

    assert wire.answer().refuses(431, "headers_too_large")
    assert wire.ends()


@pytest.mark.parametrize("head", [one_header, small_headers])
def test_the_largest_head(wire: Wire, head: Callable[[int], bytes]) -> None:
    for _ in range(3):
        wire.send(head(MAX_HEAD_BYTES - 1000))
        assert wire.answer().status == 200


@pytest.mark.stress
@pytest.mark.parametrize("head", [endless_header, endless_url, many_headers])
def test_a_flood_of_headers_is_cut_off_early(
    lasting: Command, port: int, head: Callable[[], Iterator[bytes]]
) -> None:
    before = resident_mebibytes(lasting.pid)
    most = 64 * 1024 * 1024
    pieces = head()
    for _ in range(4):
        with Wire(port) as wire:
            wire.send(next(head()))
            assert wire.flood(next(pieces) * 64, most) < most / 2
    assert resident_mebibytes(lasting.pid, "VmHWM") - before < 40


@pytest.mark.stress
def test_pipelined_requests_are_not_read_without_bound(
    lasting: Command, port: int, shared_sandbox: Sandbox
) -> None:
    """A kilobyte of them takes a hundred kilobytes of memory, and the first one takes its time."""
    before = resident_mebibytes(lasting.pid)
    small = b"GET /livez HTTP/1.1\r\nX-Fill: %s\r\n\r\n" % (b"1" * 31)
    assert len(small) == 64  # so that what is read at once ends with a request
    shared_sandbox.fault = Fault("delay", seconds=1)
    try:
        with Wire(port) as wire:
            wire.send(REQUEST)
            wire.flood(small * 1024, 20 * 1024 * 1024)
    finally:
        shared_sandbox.fault = None
    assert resident_mebibytes(lasting.pid, "VmHWM") - before < 60


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\x01\x02\x03\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET /livez HTTP/9.9\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nNo colon\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nA\x00: b\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET http://[bad HTTP/1.1\r\n\r\n",
        b"GET ?no-path HTTP/1.1\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /request_tokens HTTP/1.1\r\nContent-Length: some\r\n\r\n",
        b"POST /request_tokens HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /request_tokens HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
    ids=range(15),
)
def test_what_is_not_http(wire: Wire, garbage: bytes) -> None:
    wire.send(garbage)

    assert wire.answer().refuses(400, "bad_request")
    assert wire.ends()


@pytest.mark.parametrize("path", ["/request_tokens", "/livez", "/nowhere"])
@pytest.mark.parametrize("protocol", ["websocket", "h2c"])
def test_a_request_for_another_protocol_does_no_harm(wire: Wire, path: str, protocol: str) -> None:
    """It is answered as if it had not asked for one."""
    wire.send(
        f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n"
        f"Origin: {ORIGIN}\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )

    assert wire.answer().status == (404 if path == "/nowhere" else 200)


@pytest.mark.parametrize("headers", ["", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n"])
def test_a_broken_websocket_handshake_does_no_harm(
    wire: Wire, lasting: Command, headers: str
) -> None:
    name = f"handshake-{len(headers)}"
    before = len(lasting.output.splitlines())
    wire.send(
        f"GET /request_tokens HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"X-Request-ID: {name}\r\n{headers}\r\n".encode()
    )

    assert wire.answer().status == 200
    lasting.wait_for(f'"request_id": "{name}"')
    # Nothing but lines of requests: this one's, and what came before it.
    for line in lasting.output.splitlines()[before:]:
        assert json.loads(line)["event"] == "request"


def test_pipelined_requests_are_answered_in_their_order(wire: Wire) -> None:
    paths = [b"/request_tokens", b"/livez", b"/nowhere", b"/request_tokens", b"/livez"]
    wire.send(
        b"".join(
            b"GET %s HTTP/1.1\r\nX-Request-ID: %d\r\n\r\n" % (path, number)
            for number, path in enumerate(paths)
        )
    )

    answers = [wire.answer() for _ in paths]
    assert [answer.headers["x-request-id"] for answer in answers] == list("01234")
    assert [answer.status for answer in answers] == [200, 200, 404, 200, 200]


def test_more_requests_at_once_than_anybody_needs(wire: Wire, lasting: Command) -> None:
    wire.send(REQUEST + LIVEZ * MAX_PIPELINED)
    assert {wire.answer().status for _ in range(1 + MAX_PIPELINED)} == {200}

    wire.send(named("many") + LIVEZ * (MAX_PIPELINED + 1))
    assert wire.answer().refuses(400, "bad_request")
    assert wire.ends()
    lasting.wait_for('"request_id": "many"')
    assert '"level": "error"' not in lasting.output


@pytest.mark.parametrize(
    ("before", "after"), [(b"", b""), (b"", LIVEZ), (LIVEZ, b""), (b"", b"garbage\r\n\r\n")]
)
def test_a_visitor_who_leaves_with_requests_under_way(
    port: int, lasting: Command, shared_sandbox: Sandbox, before: bytes, after: bytes
) -> None:
    shared_sandbox.fault = Fault("delay", seconds=0.2)
    logins = shared_sandbox.logins
    try:
        with Wire(port) as wire:
            wire.send(before + named("left") + after)
            until(lambda: shared_sandbox.logins > logins)
        lasting.wait_for('"request_id": "left"')
    finally:
        shared_sandbox.fault = None
    assert '"level": "error"' not in lasting.output


def test_a_request_in_pieces(wire: Wire) -> None:
    body = b'{"refreshToken": "sent in pieces"}'
    for _ in range(2):
        request = (
            b"POST /request_tokens HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        ) + body
        wire.send(*(bytes([byte]) for byte in request))
        assert wire.answer().status == 200


def test_a_chunked_body(wire: Wire) -> None:
    head = (
        b"POST /request_tokens HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    wire.send(head, b"11\r\n", b'{"refreshToken": ', b"\r\n4\r\n", b'"x"}', b"\r\n0\r\n\r\n")
    assert wire.answer().status == 200

    wire.send(head, b"1000\r\n" + b"a" * 4096 + b"\r\n", b"1\r\na\r\n")
    assert wire.answer().status == 413


def with_trailer(trailer: bytes, *lines: str) -> bytes:
    """A request whose fields come in part behind its body, all in one piece."""
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


def test_a_field_behind_the_body_names_no_user(start: Callable[..., int]) -> None:
    port = start(VISITOR_AUTH="forwarded", TRUSTED_PROXIES="127.0.0.0/8")
    user = "X-Forwarded-User: anna"
    with Wire(port) as wire:
        # At its place it does, so that the rest proves something.
        wire.send(with_trailer(b"X-Other: x", user))
        assert wire.answer().status == 200
        wire.send(with_trailer(user.encode()))
        assert wire.answer().status == 401
        # However the network cuts it into pieces.
        request = with_trailer(user.encode())
        wire.send(*(request[at : at + 7] for at in range(0, len(request), 7)))
        assert wire.answer().status == 401


def test_a_field_behind_the_body_names_no_address(start: Callable[..., int]) -> None:
    port = start(RATE_LIMIT="2/day", TRUSTED_PROXIES="127.0.0.0/8")
    statuses = []
    with Wire(port) as wire:
        for number in range(3):
            wire.send(with_trailer(f"X-Forwarded-For: 203.0.113.{number}".encode()))
            statuses.append(wire.answer().status)
        wire.send(with_trailer(b"X-Other: x", "X-Forwarded-For: 203.0.113.9"))
        statuses.append(wire.answer().status)
    assert statuses == [200, 200, 429, 200]


def test_a_field_behind_the_body_names_no_page(start: Callable[..., int]) -> None:
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
def test_fields_behind_the_body_are_cut_off(
    wire: Wire, trailer: Callable[[], Iterator[bytes]]
) -> None:
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
def test_a_flood_of_fields_behind_the_body_is_cut_off_early(
    lasting: Command, port: int, trailer: Callable[[], Iterator[bytes]]
) -> None:
    before = resident_mebibytes(lasting.pid)
    most = 20 * 1024 * 1024
    for _ in range(4):
        pieces = trailer()
        with Wire(port) as wire, Wire(port) as other:
            wire.send(next(pieces))
            assert wire.flood(next(pieces) * 64, most) < most
            other.send(LIVEZ)
            assert other.answer().status == 200
    assert resident_mebibytes(lasting.pid, "VmHWM") - before < 40


def test_a_visitor_who_asks_before_sending_a_body(wire: Wire) -> None:
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


def test_an_old_visitor(wire: Wire) -> None:
    wire.send(b"GET /request_tokens HTTP/1.0\r\n\r\n")

    answer = wire.answer()
    assert answer.status == 200
    assert answer.headers["connection"] == "close"
    assert wire.ends()


@pytest.mark.parametrize(
    "sent", [b"", b"GET /livez HTTP/1.1\r\nHost: x\r\n"], ids=["nothing", "half a head"]
)
def test_silence_ends(impatient_port: int, sent: bytes) -> None:
    with Wire(impatient_port) as wire:
        wire.send(sent)
        began = time.monotonic()
        assert wire.ends()
        assert time.monotonic() - began < 10 * HEAD_SECONDS


@pytest.mark.parametrize("first", [b"", LIVEZ], ids=["first", "second"])
def test_a_head_that_drips_is_cut_off(impatient_port: int, first: bytes) -> None:
    with Wire(impatient_port) as wire:
        if first:
            wire.send(first)
            assert wire.answer().status == 200
        assert wire.drip(b"GET /livez HTTP/1.1\r\nX-Long: " + b"a" * 200, 0.05) < 100
        assert wire.ends()


def test_line_breaks_alone_keep_no_connection(impatient_port: int) -> None:
    """They begin no request, and end the time that a connection may be idle."""
    with Wire(impatient_port) as wire, Wire(impatient_port) as dripping:
        for one in (wire, dripping):
            one.send(LIVEZ)
            assert one.answer().status == 200
        wire.send(b"\r\n")
        assert dripping.drip(b"\r\n" * 100, 0.05) < 100
        for one in (wire, dripping):
            assert one.ends()


def test_line_breaks_before_a_request_do_no_harm(impatient_port: int) -> None:
    with Wire(impatient_port) as wire:
        wire.send(b"\r\n" + LIVEZ)
        assert wire.answer().status == 200
        wire.send(b"\r\n")
        assert wire.stays_open(HEAD_SECONDS / 4)
        wire.send(LIVEZ)
        assert wire.answer().status == 200
        # The time that they were given is not counted against what comes later.
        assert wire.stays_open(2 * HEAD_SECONDS)
        wire.send(LIVEZ)
        assert wire.answer().status == 200


def test_a_body_that_drips_after_its_answer_is_cut_off(impatient_port: int) -> None:
    with Wire(impatient_port) as wire:
        wire.send(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        assert wire.answer().status == 404
        assert wire.drip(b"a" * 200, 0.05) < 100
        assert wire.ends()


def test_an_honest_visitor_is_not_cut_off(impatient_port: int, shared_sandbox: Sandbox) -> None:
    """Neither idle between requests, nor while we owe the answer, nor with a slow body."""
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


def generous() -> Starlette:
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
def test_a_visitor_who_does_not_read_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(http_protocol, "STALL_SECONDS", HEAD_SECONDS)
    with in_process(generous()) as server, Wire(server.port) as wire:
        wire.send(sent)
        until(lambda: len(server.server.server_state.connections) == 1)
        until(lambda: len(server.server.server_state.connections) == 0)
        with pytest.raises((AssertionError, ConnectionResetError)):
            wire.answer()


def test_a_visitor_who_reads_slowly_is_not_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "STALL_SECONDS", 1)
    with in_process(generous()) as server, Wire(server.port) as wire:
        wire.send(b"GET /much HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = wire.answer(pause=2.5 * 65536 / MUCH)
        assert len(answer.body) == MUCH


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


def test_sigterm_waits_for_a_login_that_is_slow(upstream_url: str, shared_sandbox: Sandbox) -> None:
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


def test_a_request_that_is_on_its_way_at_the_end_is_answered(
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
def test_a_second_signal_ends_at_once(number: signal.Signals) -> None:
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
def test_both_ports_end_together(upstream_url: str, end: signal.Signals) -> None:
    metrics_port = free_port()
    variables = {"SENTIFYD_BACKEND": upstream_url, "METRICS_PORT": str(metrics_port)}
    with Command(*SERVE, **VARIABLES, **variables) as command:
        port = command.port()
        pages = [
            requests.get(f"http://127.0.0.1:{number}/metrics", timeout=PATIENCE)
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


def test_a_taken_metrics_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = str(listener.getsockname()[1])
        with Command(*SERVE, **VARIABLES, METRICS_PORT=taken) as command:
            assert command.wait() == 2

    assert command.output.splitlines() == [
        f"sentifyd-edge: port {taken} on 127.0.0.1 is in use: choose another with METRICS_PORT"
    ]


def test_a_port_is_not_shared_where_the_usual_option_would_share_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Windows alone has this option; any other shows here which one was set.
    monkeypatch.setattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_KEEPALIVE, raising=False)

    with serving.bind("127.0.0.1", 0, "PORT") as sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)


def test_an_address_of_another_machine() -> None:
    with Command(*SERVE, **VARIABLES, HOST="192.0.2.1") as command:
        assert command.wait() == 2

    (line,) = command.output.splitlines()
    assert line.startswith("sentifyd-edge: port 0 on 192.0.2.1 cannot be used (")
    assert line.endswith(
        "): choose another with HOST, such as 0.0.0.0 for all addresses of this machine"
    )
