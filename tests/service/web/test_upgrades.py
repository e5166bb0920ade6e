"""Requests with an Upgrade header, over raw sockets: none may smuggle a second request."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import httptools
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from edge_service.app import create_app
from edge_service.sandbox.app import Sandbox, create_sandbox
from edge_service.server import http_protocol
from edge_service.server.http_protocol import MAX_DISCARDED_BODY_BYTES, BoundedProtocol
from edge_service.web.upgrades import offers_upgrade
from tests.support.clocks import in_a_loop
from tests.support.processes import Command
from tests.support.servers import serving
from tests.support.settings import KEY, ORIGIN, settings_for
from tests.support.waiting import TIMEOUT
from tests.support.wire import Answer, Wire

OFFER = ("Connection: Upgrade", "Upgrade: h2c")
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"
# Every route of the service, and a path without a route.
PATHS = (
    "/request_tokens",
    "/request_tokens/x",
    "/livez",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/",
)


class Recorder:
    """An application that keeps the paths and bodies of the requests that reach another one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.paths: list[str] = []
        self.bodies: list[bytes] = []
        # Servers read this attribute of the application.
        self.state = getattr(app, "state", None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.paths.append(scope["path"])

        async def receive_and_keep() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                self.bodies.append(message["body"])
            return message

        await self._app(scope, receive_and_keep, send)


class Served:
    """A recorded application and the port of its server."""

    def __init__(self, recorder: Recorder, base: str) -> None:
        self.recorder = recorder
        self.port = int(base.rpartition(":")[2])


Start = Callable[..., Served]


@contextmanager
def starting() -> Iterator[Start]:
    """Serve an application by `BoundedProtocol`, or by plain uvicorn with one of its parsers."""
    with ExitStack() as stack:

        def start(app: ASGIApp, server: str, *, websockets: bool = False) -> Served:
            recorder = Recorder(app)
            http = BoundedProtocol if server == "bounded" else server
            ws = "websockets-sansio" if websockets else "none"
            base = stack.enter_context(serving(recorder, http, ws))  # type: ignore[arg-type]
            return Served(recorder, base)

        yield start


@pytest.fixture
def start() -> Iterator[Start]:
    with starting() as start:
        yield start


@pytest.fixture(scope="module", params=["bounded", "httptools", "h11"])
def server(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with serving(create_sandbox(Sandbox(KEY))) as url:
        yield url


@pytest.fixture(scope="module")
def module_service(upstream: str, server: str) -> Iterator[Served]:
    with starting() as start:
        yield start(create_app(settings_for(upstream, rate_limit="999999/day")), server)


@pytest.fixture
def service(module_service: Served) -> Served:
    module_service.recorder.paths.clear()
    module_service.recorder.bodies.clear()
    return module_service


def head(
    *fields: str, method: str = "POST", path: str = "/request_tokens", http: str = "1.1"
) -> bytes:
    common = ("Host: x", f"Origin: {ORIGIN}", "Content-Type: application/json")
    lines = [f"{method} {path} HTTP/{http}", *common, *fields]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


def content_length(body: bytes) -> str:
    return f"Content-Length: {len(body)}"


def in_one_segment(path: str, *offer: str) -> list[bytes]:
    return [head(*offer, content_length(HIDDEN), path=path) + HIDDEN]


def in_two_segments(path: str, *offer: str) -> list[bytes]:
    return [head(*offer, content_length(HIDDEN), path=path), HIDDEN]


def chunked(path: str, *offer: str) -> list[bytes]:
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)
    return [head(*offer, "Transfer-Encoding: chunked", path=path) + chunk]


def chunked_in_segments(path: str, *offer: str) -> list[bytes]:
    first, rest = chunked(path, *offer)[0].split(b"\r\n\r\n", 1)
    return [first + b"\r\n\r\n", rest[:4], rest[4:]]


def is_refusal(answer: Answer) -> bool:
    """Whether it is the service's error with its fix, and closes the connection."""
    return (
        (answer.status, answer.code) == (400, "bad_request")
        and "remove the Upgrade header" in json.loads(answer.body)["error"]
        and answer.headers["content-type"] == "application/json"
        and answer.headers["cache-control"] == "no-store"
        and answer.headers["vary"] == "Origin"
        and answer.headers["connection"] == "close"
    )


@pytest.mark.parametrize("protocol", ["h2c", "websocket", "foo"])
@pytest.mark.parametrize(
    "pieces",
    [
        in_one_segment,
        in_two_segments,
        chunked,
        chunked_in_segments,
    ],
    ids=lambda pieces: pieces.__name__,
)
def test_upgrade_request_with_a_body_is_refused(
    service: Served, pieces: Callable[..., list[bytes]], protocol: str
) -> None:
    with Wire(service.port) as wire:
        wire.send(*pieces("/request_tokens", "Connection: Upgrade", f"Upgrade: {protocol}"))
        answer = wire.answer()
        assert wire.ends()

    assert is_refusal(answer)
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["x-request-id"]
    assert service.recorder.paths == ["/request_tokens"]


@pytest.mark.parametrize("pieces", [in_one_segment, in_two_segments])
def test_get_request_for_a_websocket_with_a_body_is_refused(
    service: Served, pieces: Callable[..., list[bytes]]
) -> None:
    offer = ("Connection: Upgrade", "Upgrade: websocket")
    with Wire(service.port) as wire:
        wire.send(*(piece.replace(b"POST", b"GET") for piece in pieces("/livez", *offer)))
        assert is_refusal(wire.answer())
        assert wire.ends()

    assert service.recorder.paths == ["/livez"]


@pytest.mark.parametrize("path", PATHS)
def test_upgrade_request_with_a_body_is_refused_on_every_route(service: Served, path: str) -> None:
    with Wire(service.port) as wire:
        wire.send(*in_two_segments(path, *OFFER))
        assert is_refusal(wire.answer())
        assert wire.ends()

    assert service.recorder.paths == [path]


def test_body_sent_after_the_answer_is_no_request(service: Served) -> None:
    first, body = in_two_segments("/livez", *OFFER)
    with Wire(service.port) as wire:
        wire.send(first)
        assert is_refusal(wire.answer())
        wire.send(body)
        assert wire.ends()

    assert service.recorder.paths == ["/livez"]


def test_second_request_in_place_of_a_chunk_is_not_served(service: Served) -> None:
    with Wire(service.port) as wire:
        wire.send(head(*OFFER, "Transfer-Encoding: chunked"))
        assert is_refusal(wire.answer())
        wire.send(HIDDEN)
        assert wire.ends()

    assert service.recorder.paths == ["/request_tokens"]


def refusals(port: int) -> float:
    """The number of refusals in the metrics."""
    with Wire(port) as wire:
        wire.send(head(method="GET", path="/metrics"))
        metrics = wire.answer().body.decode()
    labels = 'code="bad_request",route="/request_tokens",status="400"'
    found = re.search(rf"duration_seconds_count{{{labels}}} (\S+)", metrics)
    return float(found[1]) if found else 0


def test_refused_upgrade_is_counted(service: Served) -> None:
    before = refusals(service.port)
    with Wire(service.port) as wire:
        wire.send(*in_one_segment("/request_tokens", *OFFER))
        assert is_refusal(wire.answer())
        assert wire.ends()

    assert refusals(service.port) == before + 1


def test_foreign_page_cannot_read_the_refusal(service: Served) -> None:
    piece = in_one_segment("/request_tokens", *OFFER)[0]
    with Wire(service.port) as wire:
        wire.send(piece.replace(ORIGIN.encode(), b"https://evil.example.com"))
        answer = wire.answer()

    assert is_refusal(answer)
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(("body", "status"), [(b"", 204), (b"{}", 400)])
def test_preflight_with_an_upgrade_header_is_answered(
    service: Served, body: bytes, status: int
) -> None:
    with Wire(service.port) as wire:
        asked = "Access-Control-Request-Method: GET"
        wire.send(head(*OFFER, asked, content_length(body), method="OPTIONS") + body)
        answer = wire.answer()
        assert wire.ends()

    assert answer.status == status
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    "fields",
    [
        ("connection: upgrade", "UPGRADE: h2c"),
        ("Connection: keep-alive, Upgrade", "Upgrade: h2c"),
        ("Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMA", "Upgrade: h2c"),
        ("Connection: keep-alive,\tuPGRADE ,close", "Upgrade: h2c"),
        ("Connection: Upgrade", "Connection: keep-alive", "Upgrade: h2c"),
        ("Connection: keep-alive", "Upgrade: h2c", "Connection: Upgrade"),
        ("Connection: Upgrade", "Upgrade: h2c", "Upgrade: websocket"),
    ],
    ids=range(7),
)
def test_every_spelling_of_an_upgrade_is_recognized(
    service: Served, fields: tuple[str, ...]
) -> None:
    with Wire(service.port) as wire:
        wire.send(*in_two_segments("/request_tokens", *fields))
        assert is_refusal(wire.answer())
        assert wire.ends()

    assert service.recorder.paths == ["/request_tokens"]


@pytest.mark.parametrize(
    "fields",
    [
        ("Connection: upgrade",),
        ("Connection: upgrade", "Upgrade:"),
        ("Upgrade: h2c",),
        ("Connection: keep-alive", "Upgrade: h2c"),
        ("Connection: upgraded", "Upgrade: h2c"),
    ],
    ids=range(5),
)
def test_request_without_a_complete_upgrade_keeps_its_body(
    service: Served, fields: tuple[str, ...]
) -> None:
    """nginx sends its line `Connection "upgrade"` with every request."""
    body = b'{"refreshToken": "x"}'
    with Wire(service.port) as wire:
        for _ in range(2):
            wire.send(head(*fields, content_length(body)) + body)
            answer = wire.answer()
            assert answer.status == 200
            assert "connection" not in answer.headers

    assert service.recorder.bodies == [body, body]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
@pytest.mark.parametrize("behind", ["at once", "in a segment", "after the answer"])
def test_upgrade_request_without_a_body_is_answered_and_the_last(
    service: Served, method: str, protocol: str, behind: str
) -> None:
    """curl and others offer h2c with every request."""
    first = head("Connection: Upgrade", f"Upgrade: {protocol}", "Content-Length: 0", method=method)
    with Wire(service.port) as wire:
        if behind == "at once":
            wire.send(first + HIDDEN)
        elif behind == "in a segment":
            wire.send(first, HIDDEN)
        else:
            wire.send(first)
        answer = wire.answer()
        if behind == "after the answer":
            wire.send(HIDDEN)
        assert wire.ends()

    assert answer.status == 200
    assert answer.headers["connection"] == "close"
    assert service.recorder.paths == ["/request_tokens"]


@pytest.mark.parametrize("body", [b"", b"{}"])
def test_requests_before_an_upgrade_are_answered(service: Served, body: bytes) -> None:
    """They are answered in order, and later requests are not."""
    before = head(method="GET")
    with Wire(service.port) as wire:
        wire.send(before + head(*OFFER, content_length(body), path="/livez") + body + HIDDEN)
        statuses = [wire.answer().status, wire.answer().status]
        assert wire.ends()

    assert statuses == [200, 400 if body else 405]
    assert service.recorder.paths == ["/request_tokens", "/livez"]


@pytest.mark.parametrize("http", ["1.0", "2.0"])
def test_other_http_version_smuggles_no_request(service: Served, http: str) -> None:
    keep = ("Connection: keep-alive, Upgrade", "Upgrade: h2c")
    with Wire(service.port) as wire:
        wire.send(head(*keep, content_length(HIDDEN), http=http))
        # Without upgrades, the service waits for the body before it answers.
        if http == "1.0":
            wire.send(HIDDEN)
        answer = wire.answer()
        if http != "1.0":
            wire.send(HIDDEN)
        assert wire.ends()

    assert answer.headers["connection"] == "close"
    assert service.recorder.paths in ([], ["/request_tokens"])


@pytest.mark.parametrize("server", ["bounded", "h11"], indirect=True)
@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
def test_http_1_0_request_keeps_its_body(service: Served, protocol: str) -> None:
    """HTTP/1.0 has no upgrades, so the field means nothing there (RFC 9110, section 7.8)."""
    body = b'{"refreshToken": "from an old client"}'
    first = head("Connection: Upgrade", f"Upgrade: {protocol}", content_length(body), http="1.0")
    for pieces in ([first + body], [first, body], [first[:50], first[50:] + body[:5], body[5:]]):
        with Wire(service.port) as wire:
            wire.send(*pieces)
            answer = wire.answer()
            assert wire.ends()
        assert (answer.status, answer.headers["connection"]) == (200, "close")

    bodies = b"".join(service.recorder.bodies)
    assert bodies == body * 3


def test_all_upgrades_that_httptools_recognizes_are_recognized() -> None:
    """A missed upgrade would lose its body, and the body would become a request."""
    tokens = ("upgrade", "UpGrade", "upgraded", "close", "a b", '"upgrade"', "upgrade;q=1", "")
    values = [
        *tokens,
        *(
            f"{one}{between}{other}"
            for one, other in itertools.permutations(tokens, 2)
            for between in (",", ", ", "\t,", " ", ",,")
        ),
    ]
    offers = (("h2c",), ("",), (" \t",), ("", "x"), ())
    taken = 0
    for name, value, fields, http in itertools.product(
        ("connection", "proxy-connection"), values, offers, ("0.9", "1.1", "2.0")
    ):
        headers = [(name, value), *(("upgrade", field) for field in fields)]
        if _is_upgrade(headers, http):
            taken += 1
            scope = {
                "http_version": http,
                "headers": [(key.encode(), text.encode()) for key, text in headers],
            }
            assert offers_upgrade(scope), headers
    assert taken > 100


class _Parsed:
    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.is_upgrade = False

    def on_headers_complete(self) -> None:
        self.is_upgrade = self.parser.should_upgrade()


def _is_upgrade(headers: list[tuple[str, str]], http: str) -> bool:
    parsed = _Parsed()
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers)
    with suppress(httptools.HttpParserUpgrade):
        parsed.parser.feed_data(f"GET / HTTP/{http}\r\n{fields}\r\n".encode())
    return parsed.is_upgrade


def test_http_2_answers_have_no_connection_header() -> None:
    """Its answers must not have a `Connection` field (RFC 9113, section 8.2.2)."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "2",
        "method": "GET",
        "path": "/livez",
        "query_string": b"",
        "headers": [(b"connection", b"upgrade"), (b"upgrade", b"h2c"), (b"content-length", b"2")],
    }
    app = create_app(settings_for())

    async def ask() -> None:
        await app(scope, receive, send)

    in_a_loop(ask())

    assert sent[0]["status"] == 200
    assert b"connection" not in dict(sent[0]["headers"])


def test_serve_command_refuses_an_upgrade_with_a_body(sandbox_url: str) -> None:
    variables = {"AVATAR_API_KEY": KEY, "ALLOWED_ORIGINS": ORIGIN, "SENTIFYD_BACKEND": sandbox_url}
    with Command("sentifyd-edge", "serve", "--port", "0", **variables) as command:
        port = command.port()
        with Wire(port) as wire:
            wire.send(*in_two_segments("/request_tokens", *OFFER, "X-Request-ID: offered"))
            answer = wire.answer()
            assert wire.ends()
        line = json.loads(command.wait_for('.*"request_id": "offered".*')[0])
        command.stop(signal.SIGTERM)

    assert is_refusal(answer)
    assert (line["status"], line["code"]) == (400, "bad_request")
    assert "/hidden" not in command.output


def host(tokens: ASGIApp) -> Starlette:
    """Another application that mounts the service."""

    async def echo(request: Request) -> PlainTextResponse:
        return PlainTextResponse(await request.body())

    async def hidden(_: Request) -> PlainTextResponse:
        return PlainTextResponse("This was for the proxy's own users")

    routes = [
        Route("/echo", echo, methods=["POST"]),
        Route("/hidden", hidden),
        Mount("/avatar", tokens),
    ]
    return Starlette(routes=routes)


@pytest.fixture
def hosted(start: Start, server: str) -> Served:
    return start(host(create_app(settings_for())), server)


def test_routes_of_a_host_are_protected_by_the_bounded_server(hosted: Served, server: str) -> None:
    """Only the server can protect these routes; with plain httptools the attack works."""
    first, body = in_two_segments("/echo", *OFFER)
    with Wire(hosted.port) as wire:
        wire.send(first)
        if server == "h11":
            wire.send(body)
            assert wire.answer().body == body
            assert hosted.recorder.paths == ["/echo"]
            return
        answer = wire.answer()
        wire.send(body)
        if server == "httptools":
            assert (answer.status, answer.body) == (200, b"")
            assert wire.answer().body == b"This was for the proxy's own users"
            assert hosted.recorder.paths == ["/echo", "/hidden"]
            return
        assert wire.ends()

    assert is_refusal(answer)
    assert hosted.recorder.paths == []


def test_mounted_routes_refuse_an_upgrade_with_a_body(hosted: Served) -> None:
    with Wire(hosted.port) as wire:
        wire.send(*in_two_segments("/avatar/livez", *OFFER))
        assert is_refusal(wire.answer())
        assert wire.ends()

    assert "/hidden" not in hosted.recorder.paths


@pytest.mark.parametrize("behind", [b"", HIDDEN])
def test_host_answers_an_upgrade_without_a_body(start: Start, behind: bytes) -> None:
    served = start(host(Starlette()), "bounded")
    with Wire(served.port) as wire:
        wire.send(head(*OFFER, path="/echo") + behind, behind)
        answer = wire.answer()
        assert wire.ends()

    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert served.recorder.paths == ["/echo"]


def test_data_after_an_upgrade_is_limited(start: Start) -> None:
    """The connection is closed, although its request has no answer yet."""

    async def silent(_: Request) -> PlainTextResponse:
        await asyncio.sleep(TIMEOUT)
        return PlainTextResponse("too late")

    served = start(Starlette(routes=[Route("/", silent)]), "bounded")
    with Wire(served.port) as wire:
        wire.send(head(*OFFER, method="GET", path="/"))
        wire.send(*[b"x" * 4096] * (4 * MAX_DISCARDED_BODY_BYTES // 4096))
        assert wire.ends()


async def _repeat(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


def test_websocket_opens(start: Start) -> None:
    served = start(Starlette(routes=[WebSocketRoute("/ws", _repeat)]), "bounded", websockets=True)
    with connect(f"ws://127.0.0.1:{served.port}/ws") as websocket:
        websocket.send("hello")
        assert websocket.recv(TIMEOUT) == "hello"


def test_websocket_is_not_closed_by_http_timeouts(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This also holds for a connection that was used for a request before."""
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.2)
    served = start(Starlette(routes=[WebSocketRoute("/ws", _repeat)]), "bounded", websockets=True)
    sock = socket.create_connection(("127.0.0.1", served.port), timeout=TIMEOUT)
    sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"Not Found" in sock.recv(65536)
    with connect(f"ws://127.0.0.1:{served.port}/ws", sock=sock) as websocket:
        with pytest.raises(TimeoutError):
            websocket.recv(1)
        try:
            websocket.send("hello")
            assert websocket.recv(TIMEOUT) == "hello"
        except ConnectionClosed as error:
            pytest.fail(f"it was closed: {error}")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_websocket_handshake_with_a_body_is_refused(start: Start, method: str) -> None:
    served = start(create_sandbox(Sandbox(KEY)), "bounded", websockets=True)
    offer = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    with Wire(served.port) as wire:
        wire.send(head(*offer, key, content_length(HIDDEN), method=method, path="/ws"), HIDDEN)
        assert is_refusal(wire.answer())
        assert wire.ends()

    assert served.recorder.paths == []


def test_http_1_0_request_opens_no_websocket(start: Start) -> None:
    """Its handshake is HTTP/1.1 (RFC 6455, section 4.1)."""
    served = start(host(Starlette()), "bounded", websockets=True)
    offer = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    with Wire(served.port) as wire:
        wire.send(head(*offer, key, path="/echo", http="1.0"))
        answer = wire.answer()
        assert wire.ends()

    assert (answer.status, answer.headers["connection"]) == (200, "close")
