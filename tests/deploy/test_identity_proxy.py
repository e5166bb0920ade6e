"""Visitors who are signed in: by a proxy that asks a sign-in service, or by Cloudflare Access.

A stand-in for the sign-in service responds as oauth2-proxy's documentation describes. A key of the
test replaces Cloudflare's.
"""

from __future__ import annotations

import http.client
import ssl
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.deploy.conftest import Host, Hosted, Serve, free_ports, installed, recommended
from tests.support.nginx import Nginx, visitor_from
from tests.support.ports import closed_port, free_port
from tests.support.servers import serving
from tests.support.service import Running

CANARY = "canary-refresh-5f02"
LIMIT = 4
EXHAUSTED = [200] * LIMIT + [429]
SITES = ("identity-proxy/docs.example.com.conf", "identity-proxy/Caddyfile")
TEAM = "https://TEAM.cloudflareaccess.com"


class SignIn:
    """A stand-in for oauth2-proxy: users by session cookie, and every request that it received."""

    def __init__(self) -> None:
        self.sessions: dict[str, str] = {}
        self.received: list[str] = []

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/oauth2/auth", self._auth),
                Route("/oauth2/sign_in", self._sign_in),
                Route("/oauth2/sign_out", self._sign_out),
            ]
        )

    async def _auth(self, request: Request) -> Response:
        self.received.append(f"{request.url} {request.headers} {await request.body()!r}")
        user = self.sessions.get(request.cookies.get("_oauth2_proxy", ""))
        if user is None:
            # The real service sends no user here; nginx must not trust one if it did.
            return PlainTextResponse("Unauthorized", 401, {"X-Auth-Request-User": "victim"})
        return Response(status_code=202, headers={"X-Auth-Request-User": user} if user else {})

    async def _sign_in(self, request: Request) -> Response:
        # The real service puts the address into a form that leads back to it.
        back = request.headers.get("X-Auth-Request-Redirect", "/")
        return PlainTextResponse(
            f"Sign in, then {back} {request.url.query} {await request.body()!r}"
        )

    async def _sign_out(self, request: Request) -> Response:
        self.sessions.pop(request.cookies.get("_oauth2_proxy", ""), None)
        answer = RedirectResponse("/")
        answer.delete_cookie("_oauth2_proxy")
        return answer


@pytest.fixture(scope="module")
def sign_in() -> SignIn:
    return SignIn()


@pytest.fixture(scope="module")
def sign_in_url(sign_in: SignIn) -> Iterator[str]:
    with serving(sign_in.app()) as url:
        yield url


@pytest.fixture(scope="module", params=SITES, ids=["nginx", "caddy"])
def site(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def ports(site: str) -> dict[str, int]:  # noqa: ARG001 - one for each
    return free_ports()


@pytest.fixture(scope="module")
def service(root: Path, serve: Serve, ports: dict[str, int]) -> Running:
    variables = recommended(root / "deploy/identity-proxy/sentifyd-edge.env")
    variables["ALLOWED_ORIGINS"] = f"https://localhost:{ports['https']}"
    return serve(**variables, RATE_LIMIT=f"{LIMIT}/day")


@pytest.fixture(scope="module")
def hosted(
    host: Host, site: str, service: Running, ports: dict[str, int], sign_in_url: str
) -> Hosted:
    more = {"127.0.0.1:4180": sign_in_url.removeprefix("http://")}
    hosted = host(site, service.port, ports, more)
    (hosted.proxy.folder / "site").mkdir()
    (hosted.proxy.folder / "site" / "index.html").write_text("for members")
    (hosted.proxy.folder / "site" / "404.html").write_text("nothing here")
    return hosted


class Member:
    """A visitor with a session."""

    def __init__(self, hosted: Hosted, sign_in: SignIn, name: str) -> None:
        self._hosted = hosted
        sign_in.sessions[f"session-{name}"] = name
        self._cookies = {"_oauth2_proxy": f"session-{name}"}

    def ask(self, path: str = "/request_tokens", **headers: str) -> requests.Response:
        return self._hosted.ask(path, cookies=self._cookies, headers=headers, allow_redirects=False)

    def statuses(self) -> list[int]:
        return [self.ask().status_code for _ in range(LIMIT + 1)]


def test_each_member_has_own_rate_limit(hosted: Hosted, sign_in: SignIn) -> None:
    """Each request comes from a new address, so the limit must count members."""
    ada, grace = Member(hosted, sign_in, "ada"), Member(hosted, sign_in, "grace")

    assert ada.ask("/").text == "for members"
    assert (ada.ask("/nowhere").status_code, ada.ask("/nowhere").text) == (404, "nothing here")
    assert ada.statuses() == EXHAUSTED
    answer = grace.ask()
    assert answer.status_code == 200
    assert answer.json()["tokens"]["accessToken"]
    assert answer.headers["Cache-Control"] == "no-store"


def test_anonymous_visitor_gets_no_page_or_token(hosted: Hosted) -> None:
    for method, body in (("GET", ""), ("POST", "posted")):
        page = hosted.ask("/guide/?a=b&c=%26", method, data=body)
        assert page.status_code == 403
        assert page.text == "Sign in, then /guide/?a=b&c=%26  b''"
    assert hosted.ask("/oauth2/sign_in").text == "Sign in, then /  b''"
    # Otherwise a browser would cache it in place of the file for a year.
    kept = hosted.ask("/assets/sentifyd/0123456789ab/core.js")
    assert (kept.status_code, kept.headers["Cache-Control"]) == (403, "no-cache")

    for method in ("GET", "POST"):
        refused = hosted.ask(method=method, allow_redirects=False)
        assert refused.status_code == 401
        assert refused.json() == {
            "error": "Sign in to talk to the avatar",
            "code": "unauthenticated",
        }
        assert refused.headers["Cache-Control"] == "no-store"
    assert hosted.ask("/oauth2/auth").status_code == 401


SPOOFS = [
    [("X-Forwarded-User", "victim")],
    [("x-forwarded-user", "victim")],
    [("X_Forwarded_User", "victim")],
    [("X-Forwarded-User", "victim"), ("X-Forwarded-User", "victim")],
    [("X-Forwarded-User", "victim"), ("X-FORWARDED-USER", "mallory")],
    [("X-Forwarded-User ", "victim")],
    [("X-Auth-Request-User", "victim")],
    [("Sentifyd_User", "victim"), ("sentifyd-user", "victim")],
    [("Connection", "X-Forwarded-User")],
]


def raw(hosted: Hosted, headers: list[tuple[str, str]]) -> int:
    """Send a request with exactly these headers, and return the status."""
    context = ssl.create_default_context(cafile=str(hosted.certificate))
    port = int(hosted.origin.rpartition(":")[2])
    connection = http.client.HTTPSConnection("localhost", port, timeout=20, context=context)
    try:
        connection.putrequest("GET", "/request_tokens")
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("spoof", SPOOFS)
def test_forged_user_headers_are_rejected(
    hosted: Hosted, sign_in: SignIn, spoof: list[tuple[str, str]]
) -> None:
    assert raw(hosted, spoof) in (400, 401)

    mallory = f"mallory-{SPOOFS.index(spoof)}"
    assert Member(hosted, sign_in, mallory).statuses() == EXHAUSTED
    cookie = ("Cookie", f"_oauth2_proxy=session-{mallory}")
    # As another user they would still be below the limit.
    assert raw(hosted, [cookie, *spoof]) in (400, 401, 429)


def test_service_receives_user_but_no_session(
    host: Host, site: str, sign_in: SignIn, sign_in_url: str, echo: int
) -> None:
    """It gets the user's name, but neither a session nor another header that it might trust."""
    more = {"127.0.0.1:4180": sign_in_url.removeprefix("http://")}
    hosted = host(site, echo, free_ports(), more)
    sent = {"Authorization": "Bearer x", "X-Remote-User": "victim", "Origin": hosted.origin}
    received = Member(hosted, sign_in, "edsger").ask(**sent).json()
    assert received["x-forwarded-user"] == "edsger"
    assert received["origin"] == hosted.origin
    assert not {"cookie", "authorization", "x-remote-user"} & received.keys()


def test_session_without_name_is_rejected(hosted: Hosted, sign_in: SignIn) -> None:
    sign_in.sessions["session-nameless"] = ""

    answer = hosted.ask(
        cookies={"_oauth2_proxy": "session-nameless"}, headers={"X-Forwarded-User": "victim"}
    )
    assert answer.status_code == 401
    assert answer.json()["code"] == "unauthenticated"


def test_direct_request_with_user_header_is_rejected(service: Running) -> None:
    with visitor_from("127.0.2.1") as direct:
        named = {"X-Forwarded-User": "victim", "X-Forwarded-For": "127.0.0.1"}
        answer = direct.get(service.url, headers=named, timeout=5)

    assert answer.status_code == 401


def test_signing_out_ends_access(hosted: Hosted, sign_in: SignIn) -> None:
    member = Member(hosted, sign_in, "hedy")
    assert member.ask().status_code == 200
    assert member.ask("/oauth2/sign_out").status_code == 307

    assert member.ask().status_code == 401
    assert member.ask("/").status_code == 403


def test_refresh_tokens_reach_neither_sign_in_service_nor_logs(
    hosted: Hosted, sign_in: SignIn
) -> None:
    member = Member(hosted, sign_in, "radia")
    assert member.ask(f"/request_tokens?refreshToken={CANARY}").status_code == 200
    assert hosted.ask(f"/request_tokens?refreshToken={CANARY}").status_code == 401
    assert hosted.ask(f"/request_tokens/?refreshToken={CANARY}").status_code == 404

    assert CANARY not in "\n".join(sign_in.received)
    assert CANARY not in hosted.proxy.everything_written()


def test_unavailable_sign_in_service_gives_502(host: Host, site: str, service: Running) -> None:
    with closed_port() as closed:
        more = {"127.0.0.1:4180": f"127.0.0.1:{closed}"}
        hosted = host(site, service.port, free_ports(), more)
        answer = hosted.ask(f"/request_tokens?refreshToken={CANARY}")

    assert answer.status_code == 502
    # Caddy cannot say which of the two services failed.
    assert answer.json()["code"] in ("sign_in_unreachable", "service_unreachable")
    assert answer.headers["Retry-After"] == "5"
    assert answer.headers["Cache-Control"] == "no-store"
    assert CANARY not in hosted.proxy.everything_written()


def test_oauth2_proxy_config_matches_nginx_config(root: Path) -> None:
    folder = root / "deploy" / "identity-proxy"
    options = tomllib.loads((folder / "oauth2-proxy.cfg").read_text())
    site = (folder / "docs.example.com.conf").read_text()

    assert f"proxy_pass http://{options['http_address']}/oauth2/auth;" in site
    assert options["reverse_proxy"] is True
    assert options["set_xauthrequest"] is True
    assert options["redirect_url"] == "https://docs.example.com/oauth2/callback"
    assert not [name for name in options if "secret" in name]
    # nginx does not forward renewed cookies, which come with the response to /oauth2/auth.
    assert "cookie_refresh" not in options


class Access:
    """A stand-in for Cloudflare: a key set, and assertions that are signed with its key."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "access"})

    def app(self) -> Starlette:
        keys = {"keys": [self.key.as_dict(private=False)], "public_cert": {"kid": "access"}}
        return Starlette(routes=[Route("/cdn-cgi/access/certs", lambda _: JSONResponse(keys))])

    def assertion(self, user: str, key: RSAKey | None = None, **changes: object) -> str:
        """With the claims that Cloudflare's documentation shows."""
        now = int(time.time())
        claims = {
            "aud": ["AUDIENCE_TAG"],
            "email": f"{user}@example.com",
            "exp": now + 300,
            "iat": now,
            "iss": TEAM,
            "type": "app",
            "sub": user,
            **changes,
        }
        return jwt.encode({"alg": "RS256", "kid": "access"}, claims, key or self.key)


@pytest.fixture(scope="module")
def access() -> Access:
    return Access()


@pytest.fixture(scope="module")
def behind_access(root: Path, serve: Serve, access: Access) -> Iterator[Running]:
    variables = recommended(root / "deploy/identity-proxy/cloudflare-access.env")
    certificates = variables.pop("JWT_JWKS_URL")
    assert certificates.startswith(TEAM)
    with serving(access.app()) as url:
        variables["JWT_JWKS_URL"] = certificates.replace(TEAM, url)
        yield serve(**variables, RATE_LIMIT=f"{LIMIT}/day")


@pytest.fixture(scope="module")
def access_site(
    root: Path, behind_access: Running, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of the nginx that cloudflared would connect to."""
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    files = installed(root / "deploy/identity-proxy/cloudflare-access.conf")
    changes = {
        "listen 127.0.0.1:8000;": f"listen 127.0.0.1:{port};",
        "127.0.0.1:8080": f"127.0.0.1:{behind_access.port}",
        "127.0.0.1:8081": f"127.0.0.1:{behind_access.port}",
        "/etc/nginx/snippets": str(folder),
        "/var/log/nginx": str(folder / "log"),
        "/var/www/docs.example.com": str(folder),
    }
    with Nginx(folder, files, changes):
        yield f"http://127.0.0.1:{port}/request_tokens"


def test_access_assertion_in_header_identifies_user(access: Access, access_site: str) -> None:
    def ask(user: str, **changes: object) -> int:
        headers = {"Cf-Access-Jwt-Assertion": access.assertion(user, access.key, **changes)}
        return requests.get(access_site, headers=headers, timeout=5).status_code

    assert [ask("ada") for _ in range(LIMIT + 1)] == EXHAUSTED
    assert ask("grace") == 200
    assert ask("grace", aud=["ANOTHER_APPLICATION"]) == 401
    assert ask("grace", iss="https://ANOTHER.cloudflareaccess.com") == 401
    assert ask("grace", exp=int(time.time()) - 3600) == 401


def test_access_assertion_in_cookie_identifies_user(access: Access, behind_access: Running) -> None:
    """It arrives like this if cloudflared connects to the service directly."""

    def ask(assertion: str) -> int:
        cookies = {"CF_Authorization": assertion}
        return requests.get(behind_access.url, cookies=cookies, timeout=5).status_code

    assert [ask(access.assertion("hedy")) for _ in range(LIMIT + 1)] == EXHAUSTED
    assert ask(access.assertion("radia")) == 200
    unknown_key = RSAKey.generate_key(2048, {"kid": "access"})
    assert ask(access.assertion("radia", unknown_key)) == 401


def test_requests_without_valid_assertion_are_rejected(access_site: str, access: Access) -> None:
    unknown_key = RSAKey.generate_key(2048, {"kid": "access"})
    spoofs: list[dict[str, str]] = [
        {},
        {"Cf-Access-Authenticated-User-Email": "victim@example.com"},
        {"X-Forwarded-User": "victim"},
        {"Cf-Access-Jwt-Assertion": access.assertion("victim", unknown_key)},
        {"Authorization": f"Bearer {access.assertion('victim', unknown_key)}"},
        {"Cookie": f"CF_Authorization={access.assertion('victim', unknown_key)}"},
        {"Cf-Access-Jwt-Assertion": ""},
    ]
    for number, headers in enumerate(spoofs):
        # Refused requests are counted by the address that Cloudflare sends.
        came_from = {"CF-Connecting-IP": f"192.0.2.{number}"}
        answer = requests.get(access_site, headers={**came_from, **headers}, timeout=5)
        assert answer.status_code == 401, headers
        assert answer.json()["code"] == "unauthenticated"
