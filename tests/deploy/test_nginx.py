"""The site and the token service under one origin, behind the documented nginx."""

from __future__ import annotations

import queue
import re
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser

from tests.deploy.conftest import Host, Hosted, Serve, free_ports, recommended
from tests.support.browsing import Visit
from tests.support.nginx import Nginx, visitor_from
from tests.support.ports import closed_port, free_port
from tests.support.servers import RawUpstream
from tests.support.service import Running
from tests.support.sites import build_site
from tests.support.waiting import until

SITE = "nginx/docs.example.com.conf"
CANARY = "canary-refresh-81c4"
MKDOCS = """
site_name: Hosted
theme: {{name: material, font: false}}
plugins:
  - sentifyd:
      avatar_id: avtr_sandbox
      token_endpoint: {origin}/request_tokens
      loader: {{url: "{sandbox}/sentifyd-bot/main.js"}}
      load: idle
"""


def build(folder: Path, origin: str, sandbox: str) -> None:
    """Build a site whose avatar uses the site's own origin, with the sandbox as Sentifyd."""
    config = MKDOCS.format(origin=origin, sandbox=sandbox)
    built = build_site(folder, config, {"index.md": "# Welcome\n"})
    assert built.status == 0, built.output


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    return free_ports()


@pytest.fixture(scope="module")
def service(root: Path, serve: Serve, ports: dict[str, int]) -> Running:
    variables = {
        **recommended(root / "deploy/nginx/sentifyd-edge.env"),
        "ALLOWED_ORIGINS": f"https://localhost:{ports['https']}",
    }
    return serve(**variables, RATE_LIMIT="12/day")


@pytest.fixture(scope="module")
def hosted(host: Host, service: Running, ports: dict[str, int], sandbox_url: str) -> Hosted:
    hosted = host(SITE, service.port, ports)
    build(hosted.proxy.folder, hosted.origin, sandbox_url)
    return hosted


def test_visitor_gets_tokens_and_request_is_logged(hosted: Hosted) -> None:
    answer = hosted.ask()

    assert answer.status_code == 200
    assert set(answer.json()["tokens"]) >= {"accessToken", "refreshToken"}
    assert answer.headers["Cache-Control"] == "no-store"
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-ID"])
    # nginx logs a request after its response.
    until(lambda: answer.headers["X-Request-ID"] in hosted.proxy.log("docs.example.com.log"))
    assert hosted.ask("/request_tokens/nobody").json()["code"] == "not_found"


def test_avatar_connects_on_the_sites_own_origin(hosted: Hosted, browser: Browser) -> None:
    """There the browser sends the site's cookies, which VISITOR_AUTH needs."""
    context = browser.new_context(ignore_https_errors=True)
    context.add_cookies([{"name": "session", "value": "ada", "url": hosted.origin}])
    visit = Visit(context.new_page())
    visit.page.goto(hosted.origin)
    visit.wait_until_connected()
    asked = [request for request in visit.requests if "/request_tokens" in request.url]
    cookies = [request.all_headers().get("cookie") for request in asked]
    errors = visit.errors()
    context.close()

    assert [request.url for request in asked] == [f"{hosted.origin}/request_tokens"]
    assert cookies == ["session=ada"]
    assert errors == []
    line = '"GET /request_tokens HTTP/2.0" 200 '
    until(lambda: line in hosted.proxy.log("docs.example.com.log"))


def test_site_is_served_with_cache_headers(hosted: Hosted) -> None:
    page = hosted.ask("/")
    assert "<sentifyd-bot" in page.text or 'name="sentifyd"' in page.text
    assert page.headers["Cache-Control"] == "no-cache"
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    theme = re.search(r"assets/javascripts/bundle\.\w+\.min\.js", page.text)
    own = re.search(r"assets/sentifyd/\w+/[a-z]+\.js", page.text)
    assert theme
    assert own
    for path in (theme[0], own[0]):
        asset = hosted.ask(f"/{path}")
        assert asset.status_code == 200
        assert asset.headers["Cache-Control"] == "max-age=31536000, immutable"

    lost = hosted.ask("/nowhere/?a=b")
    assert lost.status_code == 404
    assert lost.headers["Cache-Control"] == "no-cache"
    assert "Hosted" in lost.text
    until(lambda: '"GET /nowhere/ HTTP/1.1" 404 ' in hosted.proxy.log("docs.example.com.log"))
    kept = f"/{own[0].rpartition('/')[0]}"
    for path, status in ((kept, 301), (f"{kept}/", 403), (f"{kept}/lost.js", 404)):
        nothing = hosted.ask(path, allow_redirects=False)
        assert (nothing.status_code, nothing.headers["Cache-Control"]) == (status, "no-cache")
    redirect = requests.get(
        f"{hosted.plain}/a%0D%0ASet-Cookie:x?b=c", allow_redirects=False, timeout=5
    )
    assert redirect.headers["Location"] == "https://docs.example.com/a%0D%0ASet-Cookie:x?b=c"
    assert redirect.headers["Server"] == page.headers["Server"] == "nginx"


def test_second_site_on_the_machine_gets_tokens(hosted: Hosted) -> None:
    assert hosted.ask(headers={"Host": "wiki.example.com"}).status_code == 200


def test_mistyped_endpoint_gives_404_and_logs_no_token(hosted: Hosted) -> None:
    query = f"?refreshToken={CANARY}"
    for end in ("/", "//", "/a/b", "x", "%2f", f"%3FrefreshToken={CANARY}"):
        for body in (b"", b"x" * 5000):
            lost = hosted.ask(f"/request_tokens{end}{query}", "POST", data=body)
            assert (lost.status_code, lost.json()["code"]) == (404, "not_found")
            assert lost.headers["Cache-Control"] == "no-store"
    line = '"POST /request_tokens/a/b HTTP/1.1" 404 '
    until(lambda: line in hosted.proxy.log("docs.example.com.log"))
    assert CANARY not in hosted.proxy.everything_written()


def exhaust(visitor: requests.Session, url: str, headers: dict[str, str]) -> list[int]:
    return [visitor.get(url, headers=headers, timeout=5).status_code for _ in range(13)]


def test_each_visitor_has_own_rate_limit(hosted: Hosted) -> None:
    url = f"{hosted.origin}/request_tokens"
    with hosted.visitor() as one, hosted.visitor() as other:
        statuses = exhaust(one, url, {})
        assert statuses == [200] * 12 + [429]
        refused = one.get(url, timeout=5)
        assert refused.json()["code"] == "rate_limited"
        assert 0 < int(refused.headers["Retry-After"]) <= 86400
        assert refused.headers["RateLimit-Policy"] == '"day";q=12;w=86400'
        assert refused.headers["Cache-Control"] == "no-store"

        assert other.get(url, timeout=5).status_code == 200


def test_nginx_limits_a_flood_of_requests(hosted: Hosted) -> None:
    with hosted.visitor() as visitor:
        for _ in range(300):
            answer = visitor.get(f"{hosted.origin}/request_tokens", timeout=5)
            # The service's own refusals contain its limit.
            if answer.status_code == 429 and "RateLimit" not in answer.headers:
                break

    assert answer.json() == {"error": "Too many requests", "code": "rate_limited"}
    assert answer.headers["Retry-After"] == "1"
    assert "RateLimit" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"


def test_other_methods_are_not_allowed(hosted: Hosted) -> None:
    for method in ("PUT", "DELETE", "PATCH", "HEAD"):
        answer = hosted.ask(method=method)
        assert answer.status_code == 405
        assert answer.headers["Allow"] == "GET, POST, OPTIONS"
    assert hosted.ask(method="POST").status_code == 200


def test_too_large_heads_are_rejected(hosted: Hosted) -> None:
    assert hosted.ask(headers={"X-Large": "x" * 9000}).status_code == 400
    assert hosted.ask(f"/request_tokens?refreshToken={'x' * 9000}").status_code == 414


def test_unavailable_service_gives_502(host: Host) -> None:
    with closed_port() as closed:
        hosted = host(SITE, closed, free_ports())
        answer = hosted.ask(f"/request_tokens?refreshToken={CANARY}")

    assert answer.status_code == 502
    assert answer.json()["code"] == "service_unreachable"
    assert answer.headers["Retry-After"] == "5"
    assert answer.headers["Cache-Control"] == "no-store"
    line = '"GET /request_tokens HTTP/1.1" 502 '
    until(lambda: line in hosted.proxy.log("docs.example.com.log"))
    assert CANARY not in hosted.proxy.everything_written()


def test_service_receives_only_documented_headers(host: Host, echo: int) -> None:
    hosted = host(SITE, echo, free_ports())
    passed = {
        "authorization": "Bearer x",
        "cookie": "session=ada",
        "origin": hosted.origin,
        "sec-fetch-site": "same-origin",
        "content-type": "application/json",
        "access-control-request-method": "GET",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": "a=b",
    }
    spoofed = {"X-Forwarded-User": "victim", "X-Remote-User": "victim", "X-Real-IP": "192.0.2.1"}
    received = hosted.ask(method="POST", headers={**passed, **spoofed}, data="{}").json()

    for own in ("x-forwarded-for", "x-request-id"):
        assert received.pop(own)
    host_and_port = hosted.origin.removeprefix("https://")
    assert received == {**passed, "host": host_and_port, "content-length": "2"}


def test_one_address_cannot_take_all_connections(host: Host) -> None:
    """Twenty requests wait for a service that never responds; nginx itself refuses one more."""
    statuses: queue.Queue[int] = queue.Queue()
    with RawUpstream(lambda _: None) as silent:
        crowded = host(SITE, int(silent.url.rpartition(":")[2]), free_ports())

        def send() -> None:
            with visitor_from("127.0.1.254", crowded.certificate) as visitor:
                url = f"{crowded.origin}/request_tokens"
                statuses.put(visitor.get(url, timeout=20).status_code)

        crowd = [threading.Thread(target=send) for _ in range(21)]
        for thread in crowd:
            thread.start()
        assert statuses.get(timeout=20) == 429
        assert statuses.empty()
    for thread in crowd:
        thread.join(20)
    assert [statuses.get_nowait() for _ in range(20)] == [502] * 20


def test_no_log_contains_a_refresh_token(hosted: Hosted, service: Running) -> None:
    query = f"/request_tokens?refreshToken={CANARY}"
    assert hosted.ask(query).status_code == 200
    assert hosted.ask(query, "PUT").status_code == 405
    assert hosted.ask(query, headers={"X-Large": "x" * 9000}).status_code == 400
    assert hosted.ask(query + "x" * 9000).status_code == 414
    assert hosted.ask(query, "POST", data=b"x" * 5000).status_code == 413
    assert hosted.ask("/request_tokens", "POST", json={"refreshToken": CANARY}).status_code == 200
    assert hosted.ask(query, headers={"Origin": "null"}).status_code == 403
    with hosted.visitor() as visitor:
        statuses = {visitor.get(hosted.origin + query, timeout=5).status_code for _ in range(40)}
    assert statuses == {200, 429}

    assert '"GET /request_tokens HTTP/1.1" 200 ' in hosted.proxy.log("docs.example.com.log")
    assert CANARY not in hosted.proxy.everything_written()
    assert CANARY not in service.command.output


LINES_FOR_WEBSOCKETS = """
server {{
    listen 127.0.0.1:{port};
    location / {{
        proxy_pass http://127.0.0.1:{service};
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
        proxy_set_header X-Forwarded-User "";
    }}
}}
"""
HIDDEN = b"GET /request_tokens HTTP/1.1\r\nHost: x\r\nX-Request-ID: hidden\r\n\r\n"


@pytest.fixture
def with_websockets(tmp_path: Path, serve: Serve) -> Iterator[tuple[str, Running]]:
    """A service behind an nginx that forwards every Upgrade header."""
    service, port = serve(ALLOWED_ORIGINS="https://docs.example.com"), free_port()
    site = tmp_path / "site.conf"
    site.write_text(LINES_FOR_WEBSOCKETS.format(port=port, service=service.port))
    folder = tmp_path / "nginx"
    folder.mkdir()
    with Nginx(folder, {"conf.d/site.conf": site}, {}):
        yield f"http://127.0.0.1:{port}", service


def test_upgrade_request_cannot_smuggle_another(with_websockets: tuple[str, Running]) -> None:
    """Otherwise a request inside what nginx takes for a body would bypass its rules."""
    base, service = with_websockets
    offer = {"Connection": "Upgrade", "Upgrade": "h2c", "Content-Type": "application/json"}
    # More than nginx sends at once, so that the end arrives in its own segment.
    body = b"\r\n" * 20_000 + HIDDEN
    with requests.Session() as visitor:
        for _ in range(3):
            url = f"{base}/request_tokens"
            assert visitor.post(url, json={"refreshToken": "x"}, timeout=20).status_code == 200
            refused = visitor.post(url, body, headers=offer, timeout=20)
            assert refused.status_code == 400
            assert "remove the Upgrade header" in refused.json()["error"]
            # curl and others offer h2c with every request.
            assert visitor.get(url, headers=offer, timeout=20).status_code == 200
            assert visitor.post(url, headers=offer, timeout=20).status_code == 200

    service.command.stop(signal.SIGTERM)
    assert '"request_id": "hidden"' not in service.command.output
    assert service.command.output.count('"status": 400') == 3


def raw(base: str, request: bytes) -> tuple[int, str]:
    """The status and everything that follows it, after a request that ends its connection."""
    with socket.create_connection(("127.0.0.1", int(base.rpartition(":")[2])), 20) as sock:
        sock.sendall(request)
        with sock.makefile("rb") as file:
            status = int(file.readline().split()[1])
            return status, file.read().decode("latin-1")


def test_unusual_requests_are_answered_through_nginx(
    with_websockets: tuple[str, Running],
) -> None:
    base, _ = with_websockets
    end = b"Connection: close\r\n\r\n"
    origin = b"Origin: https://docs.example.com\r\n"

    # nginx adds the host that HTTP/1.0 does not need.
    assert raw(base, b"GET /request_tokens HTTP/1.0\r\n\r\n")[0] == 200
    body = b"Transfer-Encoding: Chunked\r\n" + end + b"0\r\n\r\n"
    assert raw(base, b"POST /request_tokens HTTP/1.1\r\nHost: x\r\n" + body)[0] == 200
    status, rest = raw(base, b"FOO /request_tokens HTTP/1.1\r\nHost: x\r\n" + origin + end)
    assert status == 405
    assert "method_not_allowed" in rest
    assert "access-control-allow-origin: https://docs.example.com" in rest.lower()
