"""What every proxy in front of the token service must do, with the committed files."""

from __future__ import annotations

import http.client
import json
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tests.deploy.conftest import Host, Hosted, Serve, free_ports, recommended
from tests.support.load import Tally, Visitor, crowd
from tests.support.nginx import visitor_from
from tests.support.ports import closed_port
from tests.support.servers import serving
from tests.support.service import Running
from tests.support.settings import ORIGIN
from tests.support.waiting import TIMEOUT, until

NGINX, CADDY, HAPROXY = SITES = (
    "nginx/docs.example.com.conf",
    "caddy/Caddyfile",
    "haproxy/haproxy.cfg",
)
CANARY = "canary-refresh-2d7e"
LIMIT = 12
EXHAUSTED = [200] * LIMIT + [429]


@pytest.fixture(scope="module", params=SITES, ids=lambda site: site.partition("/")[0])
def site(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def ports(site: str) -> dict[str, int]:  # noqa: ARG001 - one for each
    return free_ports()


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """The origin of a site with another host name than the token service."""
    with serving(PlainTextResponse("Hello")) as url:
        yield url


@pytest.fixture(scope="module")
def service(root: Path, serve: Serve, ports: dict[str, int], elsewhere: str) -> Running:
    variables = recommended(root / "deploy/nginx/sentifyd-edge.env")
    variables["ALLOWED_ORIGINS"] += f",https://localhost:{ports['https']},{elsewhere}"
    return serve(**variables, RATE_LIMIT=f"{LIMIT}/day")


@pytest.fixture(scope="module")
def hosted(host: Host, site: str, service: Running, ports: dict[str, int]) -> Hosted:
    return host(site, service.port, ports)


def test_browser_on_another_origin_gets_tokens(
    hosted: Hosted, browser: Browser, elsewhere: str
) -> None:
    """The POST needs a preflight, because its body is JSON."""
    context = browser.new_context(ignore_https_errors=True)
    page = context.new_page()
    page.goto(elsewhere)
    ask = """async (url) => {
        const headers = {"Content-Type": "application/json"};
        const answer = await fetch(url, {method: "POST", headers, body: "{}"});
        return [answer.status, Object.keys((await answer.json()).tokens)];
    }"""
    status, tokens = page.evaluate(ask, f"{hosted.origin}/request_tokens")
    context.close()

    assert status == 200
    assert set(tokens) >= {"accessToken", "refreshToken"}


def test_other_origin_is_refused(hosted: Hosted) -> None:
    ask = {"Access-Control-Request-Method": "GET"}
    preflight = hosted.ask(method="OPTIONS", headers={"Origin": hosted.origin, **ask})
    assert preflight.status_code == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == hosted.origin

    assert hosted.ask(headers={"Origin": "https://evil.example.com"}).status_code == 403


@pytest.mark.parametrize(
    "path", ["/metrics", "/readyz", "/livez", "/openapi.json", "/request_tokens/../metrics"]
)
def test_other_routes_of_the_service_are_not_public(
    hosted: Hosted, service: Running, path: str
) -> None:
    inside = f"{service.base}{path.removeprefix('/request_tokens/..')}"
    assert requests.get(inside, timeout=TIMEOUT).status_code == 200

    assert statuses(hosted, f"GET {path} HTTP/1.1\r\n{HOST}\r\n".encode()) == [404, 200]


def test_forged_address_does_not_evade_rate_limit(hosted: Hosted) -> None:
    with hosted.visitor() as visitor:
        statuses = []
        for number in range(LIMIT + 1):
            forged = {
                "X-Forwarded-For": f"203.0.113.{number}",
                "Forwarded": f"for=203.0.113.{number}",
                "X-Real-IP": f"203.0.113.{number}",
            }
            url = f"{hosted.origin}/request_tokens"
            statuses.append(visitor.get(url, headers=forged, timeout=TIMEOUT).status_code)

    assert statuses == EXHAUSTED
    assert hosted.ask().status_code == 200


def test_direct_request_cannot_forge_its_address(service: Running) -> None:
    """Another address of the loopback network stands for another machine."""
    with visitor_from("127.0.2.1") as direct:
        statuses = []
        for number in range(LIMIT + 1):
            forged = {"X-Forwarded-For": f"203.0.113.{number}"}
            statuses.append(direct.get(service.url, headers=forged, timeout=TIMEOUT).status_code)

    assert statuses == EXHAUSTED


def test_service_receives_no_header_that_it_trusts(host: Host, site: str, echo: int) -> None:
    hosted = host(site, echo, free_ports())
    names = ("X-Forwarded-User", "x-forwarded-user", "X_Forwarded_User", "X-Real-IP", "Forwarded")
    spoofed = "".join(f"{name}: victim\r\n" for name in names)
    drop = "Connection: keep-alive, X-Forwarded-User, X-Forwarded-For\r\n"
    request = f"GET /request_tokens HTTP/1.1\r\n{HOST}Origin: {ORIGIN}\r\nCookie: a=b\r\n"
    with hosted.connect() as sock:
        sock.sendall(f"{request}X-Forwarded-For: 203.0.113.9\r\n{spoofed}{drop}\r\n".encode())
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        received = json.loads(answer.read())
        address = sock.getsockname()[0]

    assert "victim" not in received.values()
    assert received["x-forwarded-for"] == address
    assert received["origin"] == ORIGIN


HOST = "Host: localhost\r\n"
HIDDEN = b"GET /request_tokens/hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = f"GET /request_tokens HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n".encode()


def statuses(hosted: Hosted, *pieces: bytes) -> list[int]:
    """The statuses of all answers on a connection that sends each piece in its own segment."""
    with hosted.connect() as sock:
        for piece in pieces:
            sock.sendall(piece)
        first = http.client.HTTPResponse(sock)
        first.begin()
        first.read()
        found = [first.status]
        with suppress(OSError):  # The proxy may have closed it.
            sock.sendall(LAST)
            with sock.makefile("rb") as file:
                rest = file.read()
            found += [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", rest)]
    return found


def post(offer: str, framing: str) -> bytes:
    lines = f"POST /request_tokens HTTP/1.1\r\n{HOST}Content-Type: application/json\r\n"
    return f"{lines}Connection: Upgrade\r\nUpgrade: {offer}\r\n{framing}\r\n\r\n".encode()


def in_one_segment(offer: str) -> list[bytes]:
    return [b"".join(in_two_segments(offer))]


def in_two_segments(offer: str) -> list[bytes]:
    return [post(offer, f"Content-Length: {len(HIDDEN)}"), HIDDEN]


def chunked(offer: str) -> list[bytes]:
    size = f"{len(HIDDEN):x}\r\n".encode()
    return [post(offer, "Transfer-Encoding: chunked"), size + HIDDEN, b"\r\n0\r\n\r\n"]


@pytest.mark.parametrize("offer", ["h2c", "websocket"])
@pytest.mark.parametrize(
    "pieces", [in_one_segment, in_two_segments, chunked], ids=lambda pieces: pieces.__name__
)
def test_upgrade_request_smuggles_no_request(
    hosted: Hosted, service: Running, pieces: Callable[[str], list[bytes]], offer: str
) -> None:
    """Its body is either a body, which is not JSON here, or nothing."""
    found = statuses(hosted, *pieces(offer))
    assert found in ([400], [400, 200])
    assert hosted.ask().status_code == 200

    marker = hosted.ask().headers["X-Request-ID"]
    until(lambda: marker in service.command.output)
    assert "/request_tokens/hidden" not in service.command.output


def test_clients_that_offer_an_upgrade_are_served(hosted: Hosted) -> None:
    """As curl does with --http2 over plain HTTP."""
    body = b'{"refreshToken": "x"}'
    offer = "Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMA\r\nUpgrade: h2c\r\n"
    get = f"GET /request_tokens HTTP/1.1\r\n{HOST}{offer}\r\n".encode()
    assert statuses(hosted, get) == [200, 200]
    assert statuses(hosted, post("h2c", f"Content-Length: {len(body)}") + body) == [200, 200]


def test_large_body_is_refused(hosted: Hosted) -> None:
    body = hosted.ask(method="POST", json={"refreshToken": "x" * 5000})
    assert (body.status_code, body.json()["code"]) == (413, "content_too_large")
    assert body.headers["Cache-Control"] == "no-store"
    assert hosted.ask(method="POST", json={"refreshToken": "x" * 4000}).status_code == 200


def test_unavailable_service_is_reported(host: Host, site: str) -> None:
    with closed_port() as closed:
        hosted = host(site, closed, free_ports())
        answer = hosted.ask(f"/request_tokens?refreshToken={CANARY}")

    assert answer.status_code in (502, 503)
    assert answer.json()["code"] == "service_unreachable"
    assert answer.headers["Retry-After"] == "5"
    assert answer.headers["Cache-Control"] == "no-store"
    line = "/request_tokens"
    until(lambda: line in hosted.proxy.everything_written())
    assert CANARY not in hosted.proxy.everything_written()


def test_no_log_contains_a_refresh_token(hosted: Hosted, service: Running) -> None:
    query = f"/request_tokens?refreshToken={CANARY}"
    assert hosted.ask(query).status_code == 200
    assert hosted.ask(query, "PUT").status_code == 405
    assert hosted.ask(query, "POST", data=b"x" * 5000).status_code == 413
    assert hosted.ask("/request_tokens", "POST", json={"refreshToken": CANARY}).status_code == 200
    assert hosted.ask(query, headers={"Origin": "null"}).status_code == 403
    for end in ("/", "//", "/a/b", "x", "%2f", f"%3FrefreshToken={CANARY}"):
        lost = hosted.ask(f"/request_tokens{end}?refreshToken={CANARY}")
        assert (lost.status_code, lost.json()["code"]) == (404, "not_found")
        assert lost.headers["Cache-Control"] == "no-store"

    until(lambda: "/request_tokens/a/b" in hosted.proxy.everything_written())
    assert CANARY not in hosted.proxy.everything_written()
    assert CANARY not in service.command.output


def in_front_of(host: Host, site: str, first: int, second: int) -> int:
    """Start a proxy without TLS, and without limits for one address; return its port."""
    ports = free_ports()
    listen = f"127.0.0.1:{ports['https']}"
    more = {
        NGINX: {"listen 443 ssl http2;": f"listen {listen};", "rate=5r/s": "rate=99999r/s"},
        CADDY: {
            "servers {": "admin off\n\tdefault_bind 127.0.0.1\n\tservers {",
            "docs.example.com {": f"http://:{ports['https']} {{",
        },
        HAPROXY: {
            "bind :443 ": f"bind {listen} #",
            "unless { ssl_fc }": "if FALSE",
            "gt 70": "gt 999999",
        },
    }
    host(site, first, ports, more[site], second)
    return ports["https"]


# nginx does not probe: tests/deploy/test_two_processes.py stops its processes.
PROBING = pytest.mark.parametrize("site", [CADDY, HAPROXY], ids=["caddy", "haproxy"])


class Replica:
    """A stand-in for a process of the service, and whether it is ready."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_ready = True

    def app(self) -> Starlette:
        return Starlette(
            routes=[Route("/readyz", self._readyz), Route("/request_tokens", self._tokens)]
        )

    async def _readyz(self, _: Request) -> Response:
        return Response(status_code=200 if self.is_ready else 503)

    async def _tokens(self, _: Request) -> Response:
        return PlainTextResponse(self.name)


@PROBING
def test_draining_process_gets_no_requests(host: Host, site: str) -> None:
    one, two = Replica("one"), Replica("two")
    with serving(one.app()) as first, serving(two.app()) as second, requests.Session() as visitor:
        port = in_front_of(host, site, *(int(url.rpartition(":")[2]) for url in (first, second)))

        def names() -> set[str]:
            url = f"http://127.0.0.1:{port}/request_tokens"
            return {visitor.get(url, timeout=TIMEOUT).text for _ in range(10)}

        until(lambda: names() == {"one", "two"})
        one.is_ready = False
        until(lambda: names() == {"two"})
        one.is_ready = True
        until(lambda: names() == {"one", "two"})


@PROBING
@pytest.mark.stress
def test_stopped_process_fails_no_request(host: Host, serve: Serve, site: str) -> None:
    shared = {
        "TOKEN_POLICY": "shared",
        "RATE_LIMIT": "999999/second",
        "ALLOWED_ORIGINS": ORIGIN,
        "TRUSTED_PROXIES": "127.0.0.1",
    }
    services = [serve(**shared) for _ in range(2)]
    port = in_front_of(host, site, *(service.port for service in services))
    tally = Tally()
    with crowd(*(Visitor(port, tally, keep=number > 2) for number in range(6))):
        for step in (lambda: None, lambda: services[0].command.stop(signal.SIGTERM)):
            step()
            enough = tally.statuses.total() + 50
            until(lambda enough=enough: tally.statuses.total() > enough)  # type: ignore[misc]
    assert set(tally.statuses) == {200}
    assert (tally.lost, tally.refused) == ([], 0)
