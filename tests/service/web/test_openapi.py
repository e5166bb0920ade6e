"""The service matches `/openapi.json`: checked by schemathesis, and answer by answer."""

from __future__ import annotations

import importlib
import os
import pkgutil
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import reduce
from ipaddress import ip_network
from pathlib import Path

import jsonschema_rs
import pytest
import requests
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

import edge_service
from edge_service.app import create_app
from edge_service.errors import ServiceError
from edge_service.sandbox.app import Sandbox
from edge_service.sandbox.faults import Fault
from edge_service.sealing import new_key
from edge_service.settings import ForwardedRules, JwtRules, Settings
from edge_service.strict_json import JSON
from edge_service.web import request_body
from edge_service.web.cors import AVATAR_ROUTE, ROUTE
from edge_service.web.openapi import openapi_document
from tests.support.servers import RawUpstream, http_answer
from tests.support.service import Service, StartService, is_ready
from tests.support.settings import KEY, ORIGIN, avatar_settings, settings_for
from tests.support.waiting import until

pytestmark = [
    pytest.mark.filterwarnings("ignore:Generating overly large repr"),
    # The service, which uses it, runs in a thread of this process.
    pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies"),
]

# More by hand: OPENAPI_EXAMPLES=400 pytest tests/service/web/test_openapi.py
EXAMPLES = int(os.environ.get("OPENAPI_EXAMPLES", "25"))
FREE = {"RATE_LIMIT": "999999/second"}
NOWHERE = "http://127.0.0.1:1"
NAMED = ROUTE + "/{avatar}"
JWT = {
    "VISITOR_AUTH": "jwt",
    "JWT_JWKS_URL": f"{NOWHERE}/keys",
    "JWT_ISSUER": "https://issuer.example.com",
    "JWT_AUDIENCE": "docs",
}
RULES = JwtRules(
    jwks_url=f"{NOWHERE}/keys", issuer="https://issuer.example.com", audience="docs", cookie="site"
)
PROXIES = (ip_network("10.0.0.0/8"),)
# Headers of HTTP itself and of the server.
UNDOCUMENTED = {
    "connection",
    "content-length",
    "content-type",
    "date",
    "server",
    "transfer-encoding",
}
EVERYTHING = replace(
    settings_for(seal_keys=(new_key(),), visitor_auth=RULES, redis_url="redis://127.0.0.1:1"),
    avatars={"": avatar_settings(login_budget="9/day"), "docs": avatar_settings(name="docs")},
)


class Description:
    """A service's own description, as a client would use it."""

    def __init__(self, document: JSON) -> None:
        self.document = document

    @classmethod
    def of(cls, service: Service) -> Description:
        return cls(requests.get(f"{service.base}/openapi.json", timeout=20).json())

    def answers(self, path: str, method: str) -> dict[str, JSON]:
        found = self.document["paths"][path][method]["responses"]
        return {status: self._resolved(answer) for status, answer in found.items()}

    def every_answer(self) -> Iterator[tuple[str, JSON]]:
        for path, item in self.document["paths"].items():
            for method in item.keys() - {"parameters"}:
                yield from self.answers(path, method).items()

    def codes(self) -> set[tuple[str, str]]:
        """Every documented status and code."""
        return {
            (status, code) for status, answer in self.every_answer() for code in self._codes(answer)
        }

    def check(self, answer: requests.Response, path: str) -> None:
        """Check that an answer matches its description."""
        method = (answer.request.method or "").lower()
        described = self._described(path, method, answer.status_code)
        sent = {name.lower(): value for name, value in answer.headers.items()}
        headers = {
            name.lower(): self._resolved(header) for name, header in described["headers"].items()
        }
        assert sent.keys() - UNDOCUMENTED <= headers.keys()
        for name, header in headers.items():
            assert name in sent or not header["required"], name
            if name in sent:
                self._validate(sent[name], header["schema"])
        if method == "head" or not described["content"]:
            assert not answer.content
            return
        ((media_type, content),) = described["content"].items()
        assert sent["content-type"].partition(";")[0] == media_type
        json_type = media_type == "application/json"
        self._validate(answer.json() if json_type else answer.text, content["schema"])

    def header_names(self, path: str, method: str, status: int) -> set[str]:
        described = self._described(path, method.lower(), status)
        return {name.lower() for name in described["headers"]}

    def _described(self, path: str, method: str, status: int) -> JSON:
        answers = self.answers(path, method)
        name = str(status)
        assert name in answers or f"{status // 100}XX" in answers, status
        return answers.get(name) or answers[f"{status // 100}XX"]

    def _codes(self, answer: JSON) -> Iterator[str]:
        for content in answer["content"].values():
            for schema in content["schema"].get("oneOf", [content["schema"]]):
                code = self._resolved(schema).get("properties", {}).get("code", {})
                yield from code.get("enum", [])
                if "const" in code:
                    yield code["const"]

    def _validate(self, value: object, schema: JSON) -> None:
        components = self.document["components"]
        jsonschema_rs.Draft202012Validator({**schema, "components": components}).validate(value)

    def _resolved(self, item: JSON) -> JSON:
        if "$ref" not in item:
            return item
        found: JSON = reduce(
            lambda part, key: part[key], item["$ref"][2:].split("/"), self.document
        )
        return found


@pytest.fixture
def avatars_file(tmp_path: Path) -> str:
    """An avatar with an ID, which is also the default."""
    path = tmp_path / "avatars.toml"
    path.write_text(f'[[avatars]]\nid = "docs"\nkey = "{KEY}"\nallowed_origins = ["{ORIGIN}"]\n')
    return str(path)


def run_schemathesis(
    service: Service,
    headers: Mapping[str, str],
    *,
    refused: bool = False,
    foreign: bool = False,
    failing: bool = False,
) -> Counter[int]:
    """Let schemathesis send requests; returns the number of answers by status.

    Args:
        service: the service under test.
        headers: are sent with every request.
        refused: whether the service refuses every refresh token that schemathesis can make up.
        foreign: whether the headers are those of a page that is not allowed.
        failing: whether upstream fails.
    """
    fine = ["2xx", "401", "403", "404", *(["5xx"] if failing else [])]
    config = SchemathesisConfig.from_dict(
        {
            "seed": 1,
            "headers": dict(headers),
            "generation": {"max-examples": EXAMPLES, "deterministic": True, "database": "none"},
            "parameters": {"path.avatar": "docs"},
            "checks": {
                "positive_data_acceptance": {
                    "expected-statuses": [*fine, "400"] if refused else fine
                },
                "unsupported_method": {"enabled": not foreign},
                "not_a_server_error": {
                    "expected-statuses": ["2xx", "4xx", *(["502", "503"] if failing else [])]
                },
            },
            "operations": [
                # A schema cannot express that a token may be in query or body, but not in both.
                {
                    "include-method": "POST",
                    "checks": {"positive_data_acceptance": {"expected-statuses": [*fine, "400"]}},
                },
                # Without the headers of a preflight it is an ordinary method.
                {
                    "include-method": "OPTIONS",
                    "checks": {"positive_data_acceptance": {"expected-statuses": [*fine, "405"]}},
                },
            ],
        }
    )
    schema = schemathesis.openapi.from_url(f"{service.base}/openapi.json", config=config)
    schema.validate()
    description = Description.of(service)
    problems: dict[str, str] = {}
    seen: Counter[int] = Counter()
    for event in from_schema(schema).execute():
        if isinstance(event, events.FatalError):
            raise event.exception
        if isinstance(event, events.NonFatalError):
            problems[f"{event.label}, {event.phase}"] = str(event.value)
        if not isinstance(event, events.ScenarioFinished):
            continue
        recorder = event.recorder
        for check in (check for checks in recorder.checks.values() for check in checks):
            if (found := check.failure_info) is not None:
                problems[f"{check.name}: {found.code_sample}"] = str(found.failure)
        for name, exchange in recorder.interactions.items():
            if (response := exchange.response) is None:
                continue
            seen[response.status_code] += 1
            case = recorder.cases[name].value
            path, method = case.operation.path, exchange.request.method
            if method.lower() in description.document["paths"][path]:
                described = description.header_names(path, method, response.status_code)
                if odd := response.headers.keys() - UNDOCUMENTED - described:
                    problems[f"{method} {path} {response.status_code}"] = f"headers {odd}"
    assert not problems, "\n".join(f"{where}: {what}" for where, what in problems.items())
    assert 500 not in seen
    return seen


def test_plain_service_matches_its_description(
    start_service: StartService, sandbox_url: str, sandbox: Sandbox
) -> None:
    seen = run_schemathesis(start_service(sandbox_url, **FREE), {})

    assert seen.keys() >= {200, 204, 400, 405}
    assert sandbox.logins > EXAMPLES / 2


@pytest.mark.thorough
def test_service_with_pool_and_sealing_matches_its_description(
    start_service: StartService, sandbox_url: str, avatars_file: str
) -> None:
    service = start_service(
        sandbox_url,
        **FREE,
        AVATARS_FILE=avatars_file,
        TOKEN_POLICY="pool",
        SEAL_KEYS=new_key(),
    )
    preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    until(lambda: is_ready(service))

    assert run_schemathesis(service, preflight, refused=True).keys() >= {200, 204, 400, 405}


def test_answers_to_a_foreign_page_match_the_description(
    start_service: StartService, sandbox_url: str, sandbox: Sandbox
) -> None:
    service = start_service(sandbox_url, **FREE, TOKEN_POLICY="shared")
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}

    assert run_schemathesis(service, headers, foreign=True)[403] > 0
    assert sandbox.logins == 0


@pytest.mark.parametrize("headers", [{}, {"X-Forwarded-User": "ann", "Origin": ORIGIN}])
def test_service_with_forwarded_users_matches_its_description(
    start_service: StartService, sandbox_url: str, sandbox: Sandbox, headers: dict[str, str]
) -> None:
    proxy = {"VISITOR_AUTH": "forwarded", "TRUSTED_PROXIES": "127.0.0.0/8"}

    seen = run_schemathesis(start_service(sandbox_url, **FREE, **proxy), headers)

    assert (sandbox.logins > 0) == bool(headers)
    assert (seen[401] > 0) == (not headers)


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault("status", status=503, retry_after=7), 503),
        pytest.param(Fault("garbage"), 502, marks=pytest.mark.thorough),
    ],
)
def test_answers_with_a_failing_upstream_match_the_description(
    start_service: StartService, sandbox_url: str, sandbox: Sandbox, fault: Fault, status: int
) -> None:
    sandbox.fault = fault

    assert run_schemathesis(start_service(sandbox_url, **FREE), {}, failing=True)[status] > 0


def test_answers_of_the_service_match_the_description(
    start_service: StartService, sandbox_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_body, "BODY_SECONDS", 0.1)
    service = start_service(sandbox_url, AVATAR_ID="avtr_1", RATE_LIMIT="8/day")
    description = Description.of(service)

    def asked(method: str = "GET", query: str = "", **kwargs: object) -> int:
        answer = service.call(method, query, **kwargs)  # type: ignore[arg-type]
        description.check(answer, ROUTE)
        return answer.status_code

    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert asked() == 200
    assert asked(origin=None) == 200
    assert asked("POST", data="refreshToken=a", headers=form) == 200
    assert asked("POST", json={"refreshToken": "a"}) == 200
    assert asked(query="?refreshToken=") == 400
    assert asked("POST", data="a" * 5000) == 413
    assert asked("POST", data="a") == 415
    assert asked("POST", data=slow_body(), headers=form) == 408
    assert asked() == 429
    assert asked(origin="null") == 403
    assert asked("OPTIONS") == 204
    assert asked("OPTIONS", headers={"Access-Control-Request-Method": "GET"}) == 204
    for route in ("/livez", "/readyz", "/metrics", "/openapi.json"):
        for method, status in (("GET", 200), ("HEAD", 200), ("OPTIONS", 405)):
            answer = requests.request(method, service.base + route, timeout=20)
            description.check(answer, route)
            assert answer.status_code == status


def slow_body() -> Iterator[bytes]:
    yield b"refresh"
    time.sleep(0.3)
    yield b"Token=a"


def test_answers_about_upstream_failures_match_the_description(
    start_service: StartService, sandbox_url: str, sandbox: Sandbox
) -> None:
    def asked(upstream: str, fault: Fault | None, **variables: str) -> list[tuple[int, str]]:
        sandbox.fault = fault
        service = start_service(upstream, **variables)
        answers = [service.get() for _ in range(6)]
        for answer in answers:
            Description.of(service).check(answer, ROUTE)
        found = [(answer.status_code, answer.json()["code"]) for answer in answers]
        return [one for number, one in enumerate(found) if one not in found[:number]]

    rejected, circuit = "upstream_rejected", (503, "circuit_open")
    assert asked(sandbox_url, None, AVATAR_API_KEY="another-key-1") == [(401, rejected)]
    assert asked(sandbox_url, Fault("status", status=418)) == [(418, rejected)]
    assert asked(sandbox_url, Fault("status", status=400)) == [(400, rejected)]
    assert asked(sandbox_url, Fault("status", status=500, retry_after=3)) == [
        (500, rejected),
        circuit,
    ]
    assert asked(sandbox_url, Fault("garbage")) == [(502, "upstream_malformed")]
    assert asked(NOWHERE, None) == [(502, "upstream_unreachable"), circuit]
    slow = Fault("delay", seconds=2)
    assert asked(sandbox_url, slow, UPSTREAM_TIMEOUT="0.1") == [(504, "upstream_timeout"), circuit]
    html = http_answer("429 Too Many", b"<html>", "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT")
    with RawUpstream(lambda connection: connection.sendall(html)) as upstream:
        assert asked(upstream.url, None) == [(429, rejected), (503, "upstream_paused")]


def test_answers_about_handles_and_identity_match_the_description(
    start_service: StartService, sandbox_url: str, avatars_file: str
) -> None:
    sealed = start_service(sandbox_url, AVATARS_FILE=avatars_file, SEAL_KEYS=new_key())
    description = Description.of(sealed)
    handle = sealed.get().json()["tokens"]["refreshToken"]
    for query, status in ((handle, 200), (handle[:-9] + "AAAAAAAA=", 401), ("forged", 400)):
        answer = sealed.get(f"?refreshToken={query}")
        description.check(answer, ROUTE)
        assert answer.status_code == status
    for name, status in (("docs", 200), ("nobody", 404)):
        answer = sealed.get(f"/{name}")
        description.check(answer, NAMED)
        assert answer.status_code == status
    guarded = start_service(NOWHERE, **JWT, JWT_COOKIE="site")
    description = Description.of(guarded)
    bearer = ".".join(("eyJhbGciOiJFUzI1NiIsImtpZCI6ImEifQ", "e30", "AAAA"))
    for answer, status in (
        (guarded.get(), 401),
        (guarded.get(Cookie="site=a"), 401),
        (guarded.get(Authorization=f"Bearer {bearer}"), 503),
    ):
        description.check(answer, ROUTE)
        assert answer.status_code == status
    starting = requests.get(f"{guarded.base}/readyz", timeout=20)
    description.check(starting, "/readyz")
    assert starting.status_code == 503


def test_every_route_is_described() -> None:
    for settings in (EVERYTHING, replace(EVERYTHING, metrics_port=0)):
        routes = {str(getattr(route, "path", "")) for route in create_app(settings).routes}
        assert len(routes) >= 3
        # A middleware answers the token routes, for speed.
        assert openapi_document(settings)["paths"].keys() == {*routes, ROUTE, AVATAR_ROUTE}


def test_every_error_is_described() -> None:
    for module in pkgutil.walk_packages(edge_service.__path__, "edge_service."):
        importlib.import_module(module.name)
    kinds, found = [ServiceError], set()
    while kinds:
        kind = kinds.pop()
        kinds += [one for one in kind.__subclasses__() if one.__module__.startswith("edge_service")]
        found.add((str(kind.status), kind.code))
    assert len(found) > 15

    described = Description(openapi_document(EVERYTHING)).codes()
    assert {("4XX", "upstream_rejected"), ("5XX", "upstream_rejected")} <= described
    assert {one for one in described if one[1] != "upstream_rejected"} == {
        one for one in found if one[1] != "upstream_rejected"
    }


def test_description_contains_only_what_the_settings_allow() -> None:
    def described(settings: Settings) -> tuple[set[str], set[str]]:
        description = Description(openapi_document(settings))
        return set(description.document["paths"]), {code for _, code in description.codes()}

    plain = settings_for()
    paths, codes = described(plain)
    auth = {"unauthenticated", "identity_unavailable"}
    handles = {"malformed_handle", "handle_refused"}
    assert paths == {ROUTE, "/livez", "/readyz", "/metrics", "/openapi.json"}
    assert not codes & {*auth, *handles, "not_found"}
    assert "401" not in Description(openapi_document(plain)).answers(ROUTE, "get")
    assert described(replace(plain, seal_keys=(new_key(),)))[1] - codes == handles
    assert described(replace(plain, visitor_auth=RULES))[1] - codes == auth
    limited = settings_for(avatars={"": avatar_settings(login_budget="9/day")})
    assert described(limited)[1] - codes == {"budget_spent"}
    counted = replace(limited, redis_url="redis://127.0.0.1:1")
    assert described(counted)[1] - codes == {"budget_spent", "budget_unavailable"}
    assert described(replace(plain, visitor_auth=ForwardedRules(), trusted_proxies=PROXIES))[
        1
    ] - codes == {"unauthenticated"}
    assert described(replace(plain, metrics_port=0))[0] == paths - {"/metrics"}
    named = replace(plain, avatars={"docs": avatar_settings(name="docs")})
    assert described(named)[0] == paths - {ROUTE} | {NAMED}
    assert described(named)[1] - codes == {"not_found"}
    reloaded = replace(plain, avatars_file=Path("avatars.toml"))
    assert described(reloaded)[0] == paths | {NAMED}
    assert "404" in Description(openapi_document(reloaded)).answers(ROUTE, "get")


def test_description_contains_the_security_schemes() -> None:
    document = openapi_document(replace(settings_for(), visitor_auth=RULES))
    schemes = document["components"]["securitySchemes"]
    assert {name: scheme["type"] for name, scheme in schemes.items()} == {
        "bearer": "http",
        "cookie": "apiKey",
    }
    assert schemes["cookie"]["name"] == "site"
    for method in ("get", "post"):
        assert document["paths"][ROUTE][method]["security"] == [{"bearer": []}, {"cookie": []}]
    assert "security" not in document["paths"][ROUTE]["options"]
    assert "security" not in document["paths"]["/livez"]["get"]
    for rules in (None, ForwardedRules()):
        document = openapi_document(
            replace(settings_for(), visitor_auth=rules, trusted_proxies=PROXIES)
        )
        assert "securitySchemes" not in document["components"]
        assert "security" not in document["paths"][ROUTE]["get"]


def test_description_contains_no_secret(
    start_service: StartService, avatars_file: str, root: Path
) -> None:
    seal_key = new_key()
    service = start_service(NOWHERE, AVATARS_FILE=avatars_file, SEAL_KEYS=seal_key, **JWT)
    answer = requests.get(f"{service.base}/openapi.json", timeout=20)

    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert len(answer.content) < 40_000
    for secret in (KEY, seal_key, ORIGIN, NOWHERE, "issuer.example.com", '"docs"'):
        assert secret not in answer.text
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    info = answer.json()["info"]
    assert info["version"] == project["version"]
    assert info["license"]["identifier"] == project["license"]
    assert requests.get(f"{service.base}/openapi.json", timeout=20).content == answer.content
