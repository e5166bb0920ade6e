"""The guards together, over HTTP: their order, and which visitor a refusal is counted for."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
import requests
from joserfc import jwt
from joserfc.jwk import ECKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from structlog.testing import capture_logs

from edge_service.sandbox.app import Sandbox
from tests.support.avatars import avatar, write_avatars
from tests.support.servers import serving
from tests.support.service import StartService, is_ready
from tests.support.settings import KEY, ORIGIN
from tests.support.waiting import TIMEOUT, until

FOREIGN = "https://evil.example"
PROXY = {"TRUSTED_PROXIES": "127.0.0.0/8"}
FORWARDED = {**PROXY, "VISITOR_AUTH": "forwarded"}
PREFLIGHT = {"Access-Control-Request-Method": "POST"}


def statuses(*answers: requests.Response) -> list[int]:
    return [answer.status_code for answer in answers]


def test_requests_refused_before_the_limit_do_not_count(
    start_service: StartService, sandbox_url: str, sandbox: Sandbox
) -> None:
    service = start_service(sandbox_url, RATE_LIMIT="2/day")
    for _ in range(3):
        assert statuses(
            service.get(origin=FOREIGN),
            service.call("POST", origin="null"),
            service.get(origin=None, Sec_Fetch_Site="cross-site"),
            service.call("OPTIONS", headers=PREFLIGHT),
            service.call("OPTIONS", origin=FOREIGN, headers=PREFLIGHT),
            service.call("OPTIONS"),
            service.call("OPTIONS", origin=None),
            service.call("OPTIONS", origin=FOREIGN),
            service.call("DELETE"),
            service.call("HEAD"),
            service.get("/nobody"),
        ) == [403, 403, 403, 204, 403, 204, 204, 403, 405, 405, 404]
    assert sandbox.logins == 0

    assert statuses(*(service.get() for _ in range(3))) == [200, 200, 429]
    # These are still decided before the limit once it is exhausted.
    assert statuses(
        service.get(origin=FOREIGN),
        service.call("OPTIONS", headers=PREFLIGHT),
        service.call("DELETE"),
        service.get("?refreshToken="),
    ) == [403, 204, 405, 429]
    assert sandbox.logins == 2


def test_requests_with_an_invalid_body_count(start_service: StartService, sandbox_url: str) -> None:
    """The body is read after the rate limit, so a client cannot make the service read endlessly."""
    service = start_service(sandbox_url, RATE_LIMIT="2/day")

    assert statuses(
        service.get("?refreshToken="), service.call("POST", data="{"), service.get()
    ) == [400, 415, 429]


def test_page_can_read_the_rate_limit_headers(
    start_service: StartService, sandbox_url: str
) -> None:
    service = start_service(sandbox_url, RATE_LIMIT="1/day;9/hour")
    service.get()
    refused = service.get()

    assert refused.status_code == 429
    assert refused.json() == {"error": "Too many requests", "code": "rate_limited"}
    seconds = int(refused.headers["Retry-After"])
    assert 1 <= seconds <= 86400
    assert refused.headers["RateLimit"] == f'"day";r=0;t={seconds}'
    assert refused.headers["RateLimit-Policy"] == '"hour";q=9;w=3600, "day";q=1;w=86400'
    assert refused.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert refused.headers["Vary"] == "Origin"
    assert refused.headers["Cache-Control"] == "no-store"
    exposed = {n.strip() for n in refused.headers["Access-Control-Expose-Headers"].split(",")}
    assert {"Retry-After", "RateLimit", "RateLimit-Policy"} <= exposed
    assert "Access-Control-Allow-Origin" not in service.get(origin=None).headers


def test_forwarded_addresses_count_only_from_trusted_proxies(
    start_service: StartService, sandbox_url: str
) -> None:
    direct = start_service(sandbox_url, RATE_LIMIT="1/day")
    forged = (direct.get(X_Forwarded_For=f"203.0.113.{number}") for number in range(3))
    assert statuses(*forged) == [200, 429, 429]

    behind = start_service(sandbox_url, RATE_LIMIT="1/day", **PROXY)
    chains = ["203.0.113.1", "203.0.113.2", "203.0.113.2, 203.0.113.1", "203.0.113.3,127.0.0.9"]
    assert statuses(*(behind.get(X_Forwarded_For=chain) for chain in chains)) == [
        *(200, 200, 429, 200)
    ]
    networks = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"]
    assert statuses(*(behind.get(X_Forwarded_For=one) for one in networks)) == [200, 429, 200]


@pytest.mark.parametrize(
    ("variables", "address", "reported"),
    [
        ({}, "203.0.113.7", 1),
        ({"TRUSTED_PROXIES": "10.0.0.0/8"}, "203.0.113.7", 1),
        (PROXY, "203.0.113.7", 0),
        ({}, None, 0),
    ],
    ids=["untrusted", "another is trusted", "trusted", "none"],
)
def test_ignored_forwarded_addresses_are_logged_once(
    start_service: StartService,
    sandbox_url: str,
    variables: dict[str, str],
    address: str | None,
    reported: int,
) -> None:
    headers = {} if address is None else {"X-Forwarded-For": address}
    with capture_logs() as logs:
        service = start_service(sandbox_url, RATE_LIMIT="1/day", **variables)

        def hints() -> list[MutableMapping[str, Any]]:
            return [line for line in logs if line["event"] == "forwarded_for_ignored"]

        assert service.call("GET", headers=headers).status_code == 200
        # Nothing is logged while all requests succeed.
        assert hints() == []
        answers = [service.call("GET", headers=headers) for _ in range(3)]
        assert statuses(*answers) == [429] * 3
        assert len(hints()) == reported
    for line in hints():
        assert line["log_level"] == "warning"
        assert "TRUSTED_PROXIES" in line["fix"]
        assert "203.0.113.7" not in str(line)


def test_each_avatar_has_its_own_limit(
    start_service: StartService, sandbox_url: str, tmp_path: Path
) -> None:
    path = write_avatars(tmp_path, avatar("docs", KEY) + avatar("shop", KEY))
    service = start_service(sandbox_url, AVATARS_FILE=str(path), RATE_LIMIT="1/day")
    order = ["", "/docs", "/shop", "/docs", "", "/shop"]

    assert statuses(*map(service.get, order)) == [200, 200, 200, 429, 429, 429]


def test_health_and_metrics_need_no_limit_and_no_identity(
    start_service: StartService, sandbox_url: str
) -> None:
    service = start_service(sandbox_url, RATE_LIMIT="1/day", REQUIRE_ORIGIN="true", **FORWARDED)
    assert statuses(*(service.get() for _ in range(2))) == [401, 429]

    for _ in range(3):
        for path in ("livez", "readyz", "metrics"):
            assert requests.get(f"{service.base}/{path}", timeout=TIMEOUT).status_code == 200


def test_unauthenticated_requests_do_not_use_up_limits_of_users(
    start_service: StartService, sandbox_url: str, sandbox: Sandbox
) -> None:
    service = start_service(sandbox_url, RATE_LIMIT="2/day", **FORWARDED)
    guesses = [service.get() for _ in range(3)]

    assert statuses(*guesses) == [401, 401, 429]
    assert guesses[0].headers["WWW-Authenticate"] == 'Bearer realm="request_tokens"'
    for answer in guesses:
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert sandbox.logins == 0
    # The same address, but users are counted by name.
    assert statuses(*(service.get(X_Forwarded_User="anna") for _ in range(3))) == [200, 200, 429]
    assert statuses(*(service.get(X_Forwarded_User="bert") for _ in range(3))) == [200, 200, 429]
    # The address makes no difference for a user.
    elsewhere = {"X-Forwarded-User": "anna", "X-Forwarded-For": "203.0.113.7"}
    assert service.call("GET", headers=elsewhere).status_code == 429
    del elsewhere["X-Forwarded-User"]
    assert service.call("GET", headers=elsewhere).status_code == 401
    # A user name that looks like an address is still a user name.
    assert service.get(X_Forwarded_User="127.0.0.1").status_code == 200


def test_preflights_and_foreign_pages_need_no_identity(
    start_service: StartService, sandbox_url: str
) -> None:
    service = start_service(sandbox_url, RATE_LIMIT="1/day", **FORWARDED)
    for _ in range(3):
        preflight = service.call("OPTIONS", headers=PREFLIGHT)
        plain = service.call("OPTIONS")
        foreign = service.get(origin=FOREIGN, X_Forwarded_User="anna")
        assert statuses(preflight, plain, foreign, service.call("PUT")) == [204, 204, 403, 405]
        assert preflight.headers["Access-Control-Allow-Credentials"] == "true"
        assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
        assert foreign.headers.get("Access-Control-Allow-Credentials") is None
    assert service.get(X_Forwarded_User="anna").status_code == 200
    assert service.get().status_code == 401


def test_user_header_is_accepted_only_from_a_trusted_proxy(
    start_service: StartService, sandbox_url: str
) -> None:
    service = start_service(sandbox_url, VISITOR_AUTH="forwarded", TRUSTED_PROXIES="10.0.0.0/8")

    assert service.get(X_Forwarded_User="anna").status_code == 401
    assert service.get(X_Forwarded_User="anna", X_Forwarded_For="10.0.0.1").status_code == 401


class Issuer:
    """Serves its public key as a JWKS, and signs tokens with its private key."""

    NAME, AUDIENCE = "https://login.example.com", "docs"

    def __init__(self) -> None:
        self.key = ECKey.generate_key("P-256", {"kid": "one"})
        self.fetches = 0
        self.works = True
        self.failure = 503
        self.open = threading.Event()
        self.open.set()

    def app(self) -> Starlette:
        # Not async, so that it runs in a thread and may block.
        def keys(_: Request) -> Response:
            self.fetches += 1
            self.open.wait(TIMEOUT)
            keys = {"keys": [self.key.as_dict(private=False)]}
            return Response(json.dumps(keys), 200 if self.works else self.failure)

        return Starlette(routes=[Route("/keys", keys)])

    def token(self, user: str, key: ECKey | None = None, **changes: object) -> str:
        claims: dict[str, Any] = {
            "iss": self.NAME,
            "aud": self.AUDIENCE,
            "sub": user,
            "exp": int(time.time()) + 300,
            **changes,
        }
        return jwt.encode({"alg": "ES256", "kid": "one"}, claims, key or self.key)


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def jwt_rules(issuer: Issuer) -> Iterator[dict[str, str]]:
    with serving(issuer.app()) as url:
        yield {
            "VISITOR_AUTH": "jwt",
            "JWT_JWKS_URL": f"{url}/keys",
            "JWT_ISSUER": Issuer.NAME,
            "JWT_AUDIENCE": Issuer.AUDIENCE,
        }
        issuer.open.set()


def test_tokens_of_the_issuer_identify_visitors(
    start_service: StartService,
    sandbox_url: str,
    sandbox: Sandbox,
    issuer: Issuer,
    jwt_rules: dict[str, str],
) -> None:
    service = start_service(sandbox_url, RATE_LIMIT="50/day", **jwt_rules)
    until(lambda: is_ready(service))
    good = service.get(Authorization=f"Bearer {issuer.token('anna')}")

    assert good.status_code == 200
    # Only the header can contain a token, so the browser need not send cookies.
    assert "Access-Control-Allow-Credentials" not in good.headers
    head, payload, signature = issuer.token("anna").split(".")
    admin = base64.urlsafe_b64encode(b'{"sub":"admin"}').decode().rstrip("=")
    refused = {
        "nobody": None,
        "no token": "Bearer ",
        "basic": "Basic YW5uYTphbm5h",
        "expired": f"Bearer {issuer.token('anna', exp=int(time.time()) - 300)}",
        "issuer": f"Bearer {issuer.token('anna', iss='https://evil.example')}",
        "audience": f"Bearer {issuer.token('anna', aud='shop')}",
        "unknown key": f"Bearer {issuer.token('anna', ECKey.generate_key('P-256'))}",
        "payload": f"Bearer {head}.{admin}.{signature}",
        "unsigned": f"Bearer {head}.{payload}.",
        "cookie": None,
    }
    for reason, value in refused.items():
        headers = {} if value is None else {"Authorization": value}
        if reason == "cookie":
            headers = {"Cookie": f"session={issuer.token('anna')}"}
        answer = service.call("GET", headers=headers)
        assert answer.status_code == 401, reason
        assert answer.json()["code"] == "unauthenticated"
        challenge = answer.headers["WWW-Authenticate"]
        assert challenge.startswith('Bearer realm="request_tokens"')
        assert ("invalid_token" in challenge) == (value is not None)
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "WWW-Authenticate" in answer.headers["Access-Control-Expose-Headers"]
    assert sandbox.logins == 1
    # The key set was fetched once, although some tokens are signed with other keys.
    assert issuer.fetches == 1


def test_token_may_be_in_a_cookie(
    start_service: StartService, sandbox_url: str, issuer: Issuer, jwt_rules: dict[str, str]
) -> None:
    service = start_service(sandbox_url, JWT_COOKIE="session", RATE_LIMIT="1/day", **jwt_rules)
    until(lambda: is_ready(service))

    def ask(user: str, origin: str = ORIGIN) -> requests.Response:
        cookie = {"Cookie": f"theme=dark; session={issuer.token(user)}"}
        return service.call("GET", origin=origin, headers=cookie)

    answer = ask("anna")
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    # Browsers send a cookie from every page, so the origin check protects the visitor.
    foreign = ask("bert", FOREIGN)
    assert foreign.status_code == 403
    assert "Access-Control-Allow-Credentials" not in foreign.headers
    # Two tokens of one user share a limit.
    assert statuses(ask("bert"), ask("bert"), ask("anna")) == [200, 429, 429]
    assert service.get(Authorization=f"Bearer {issuer.token('carl')}").status_code == 200


def test_no_visitor_is_accepted_before_keys_are_loaded(
    start_service: StartService,
    sandbox_url: str,
    sandbox: Sandbox,
    issuer: Issuer,
    jwt_rules: dict[str, str],
) -> None:
    issuer.works = False
    service = start_service(sandbox_url, **jwt_rules)
    authorization = f"Bearer {issuer.token('anna')}"
    unknown = service.get(Authorization=authorization)

    assert unknown.status_code == 503
    assert unknown.json()["code"] == "identity_unavailable"
    assert int(unknown.headers["Retry-After"]) >= 1
    assert unknown.headers["Access-Control-Allow-Origin"] == ORIGIN
    ready = requests.get(f"{service.base}/readyz", timeout=TIMEOUT)
    assert (ready.status_code, ready.json()) == (503, {"status": "starting"})
    assert ready.headers["Retry-After"] == "1"
    assert requests.get(f"{service.base}/livez", timeout=TIMEOUT).status_code == 200
    assert service.get().status_code == 401
    assert service.call("OPTIONS", headers=PREFLIGHT).status_code == 204
    assert sandbox.logins == 0

    issuer.works = True
    until(lambda: is_ready(service))
    assert service.get(Authorization=authorization).status_code == 200
    # A later outage of the issuer locks no visitor out.
    issuer.works = False
    assert service.get(Authorization=authorization).status_code == 200
    assert requests.get(f"{service.base}/readyz", timeout=TIMEOUT).status_code == 200


def test_readiness_waits_for_the_key_set_without_fetching_it(
    start_service: StartService, sandbox_url: str, issuer: Issuer, jwt_rules: dict[str, str]
) -> None:
    issuer.open.clear()
    service = start_service(sandbox_url, UPSTREAM_TIMEOUT=str(TIMEOUT), **jwt_rules)
    for _ in range(10):
        assert requests.get(f"{service.base}/readyz", timeout=TIMEOUT).status_code == 503
    assert issuer.fetches <= 1

    issuer.open.set()
    until(lambda: is_ready(service))
    assert issuer.fetches == 1


@pytest.mark.parametrize("status", [201, 206, 302, 404])
def test_keys_with_another_status_than_200_are_ignored(
    start_service: StartService,
    sandbox_url: str,
    issuer: Issuer,
    jwt_rules: dict[str, str],
    status: int,
) -> None:
    """The response may come from a login page or a captive portal."""
    issuer.works, issuer.failure = False, status
    service = start_service(sandbox_url, **jwt_rules)
    authorization = f"Bearer {issuer.token('anna')}"
    answer = service.get(Authorization=authorization)

    assert issuer.fetches >= 1
    assert (answer.status_code, answer.json()["code"]) == (503, "identity_unavailable")
    assert requests.get(f"{service.base}/readyz", timeout=TIMEOUT).status_code == 503

    issuer.works = True
    until(lambda: is_ready(service))
    assert service.get(Authorization=authorization).status_code == 200
