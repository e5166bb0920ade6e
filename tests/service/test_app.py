"""The documented exchange over HTTP, against the sandbox."""

from __future__ import annotations

import json

import pytest
import requests

from edge_service.sandbox.app import Sandbox
from edge_service.sandbox.faults import Fault
from tests.support.servers import RawUpstream, http_answer
from tests.support.service import Service, StartService, assert_error
from tests.support.settings import KEY, ORIGIN


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_tokens_have_the_documented_shape(service: Service, sandbox: Sandbox, method: str) -> None:
    response = service.call(method)

    assert response.status_code == 200
    assert set(response.json()) == {"tokens", "avatarParameters"}
    tokens = response.json()["tokens"]
    assert set(tokens) == {"accessToken", "refreshToken"}
    assert sandbox.mint.check_access_token(tokens["accessToken"])["iss"] == "sentifyd-sandbox"
    assert response.json()["avatarParameters"]["name"] == "Sandbox avatar"
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Vary"] == "Origin"


def test_each_request_logs_in_again(service: Service, sandbox: Sandbox) -> None:
    first = service.get().json()["tokens"]
    again = service.get(f"?refreshToken={first['refreshToken']}").json()["tokens"]

    assert again["accessToken"] != first["accessToken"]
    assert sandbox.logins == 2


def test_v1_login_passes_on_token_type_and_lifetime(
    start_service: StartService, sandbox_url: str
) -> None:
    service = start_service(
        sandbox_url, SENTIFYD_LOGIN_PATH="/api/v1/chatbot/login", AVATAR_ID="avtr_1"
    )

    tokens = service.get().json()["tokens"]

    assert tokens["tokenType"] == "Bearer"
    assert tokens["expiresIn"] == 30


def test_v1_login_without_avatar_id_is_rejected_upstream(
    start_service: StartService, sandbox_url: str
) -> None:
    service = start_service(sandbox_url, SENTIFYD_LOGIN_PATH="/api/v1/chatbot/login")

    assert_error(service.get(), 400, "upstream_rejected", "Authentication failed")


def test_wrong_key_gives_the_documented_error(
    start_service: StartService, sandbox_url: str
) -> None:
    response = start_service(sandbox_url, AVATAR_API_KEY="another-key-1").get()

    assert_error(response, 401, "upstream_rejected", "Authentication failed")
    assert response.json()["details"] == {"error": "invalid_api_key"}
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN


def test_upstream_errors_keep_status_and_retry_after(service: Service, sandbox: Sandbox) -> None:
    sandbox.fault = Fault("status", status=429, retry_after=7)

    response = service.get()

    assert_error(response, 429, "upstream_rejected")
    assert response.headers["Retry-After"] == "7"
    assert response.json()["details"] == {"error": "sandbox_fault"}
    exposed = response.headers["Access-Control-Expose-Headers"]
    assert {name.strip() for name in exposed.split(",")} == {
        *("Retry-After", "X-Request-ID", "RateLimit", "RateLimit-Policy", "WWW-Authenticate")
    }


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (json.dumps({"refreshToken": "abc"}), "application/json"),
        (json.dumps({}), "Application/JSON; charset=utf-8"),
        ("refreshToken=abc", "application/x-www-form-urlencoded"),
        ("", "text/plain"),
    ],
)
def test_valid_post_bodies_are_accepted(service: Service, body: str, content_type: str) -> None:
    response = service.call("POST", data=body, headers={"Content-Type": content_type})

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("query", "body", "content_type", "status", "code"),
    [
        ("", "{", "application/json", 400, "bad_request"),
        ("", "[1]", "application/json", 400, "bad_request"),
        ("", "[" * 4000, "application/json", 400, "bad_request"),
        ("", '{"refreshToken": 1}', "application/json", 400, "bad_request"),
        ("", '{"refreshToken": ""}', "application/json", 400, "bad_request"),
        ("", "refreshToken=a&refreshToken=b", "application/x-www-form-urlencoded", 400,
         "bad_request"),
        ("?refreshToken=a", '{"refreshToken": "b"}', "application/json", 400, "bad_request"),
        ("", "&".join(["a=1"] * 50), "application/x-www-form-urlencoded", 400, "bad_request"),
        ("", "refreshToken=abc", "text/plain", 415, "unsupported_media_type"),
        ("", "a" * 5000, "application/json", 413, "content_too_large"),
        ("", "a" * 5000, "text/plain", 413, "content_too_large"),
    ],
)  # fmt: skip
def test_invalid_post_bodies_are_rejected(
    service: Service,
    sandbox: Sandbox,
    query: str,
    body: str,
    content_type: str,
    status: int,
    code: str,
) -> None:
    response = service.call("POST", query, data=body, headers={"Content-Type": content_type})

    assert_error(response, status, code)
    assert sandbox.logins == 0


def test_size_of_a_chunked_body_is_limited(service: Service) -> None:
    chunks = (b"a" * 1000 for _ in range(10))

    assert_error(
        service.call("POST", data=chunks, headers={"Content-Type": "application/json"}),
        413,
        "content_too_large",
    )


@pytest.mark.parametrize(
    "query",
    [
        *("?refreshToken=", "?refreshToken=a&refreshToken=b", "?a=" + "b" * 9000),
        "?refreshToken=" + "a" * 8200,
    ],
)
def test_invalid_queries_are_rejected(service: Service, sandbox: Sandbox, query: str) -> None:
    assert_error(service.get(query), 400, "bad_request")
    assert sandbox.logins == 0


def test_long_refresh_token_is_accepted(service: Service) -> None:
    assert service.get("?refreshToken=" + "a" * 8000).status_code == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_other_methods_are_not_allowed(service: Service, method: str) -> None:
    response = service.call(method)

    assert_error(response, 405, "method_not_allowed")
    assert response.headers["Allow"] == "GET, POST, OPTIONS"


def test_head_causes_no_login(service: Service, sandbox: Sandbox) -> None:
    assert service.call("HEAD").status_code == 405
    assert sandbox.logins == 0


def test_unknown_routes_give_a_json_404(service: Service) -> None:
    for path in ("/", "/request_tokens/", "/request_tokens/other"):
        response = requests.get(
            service.base + path, headers={"Origin": ORIGIN}, allow_redirects=False, timeout=5
        )
        assert_error(response, 404, "not_found")
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN


def test_health_routes_cause_no_login(service: Service, sandbox: Sandbox) -> None:
    for route in ("/livez", "/readyz"):
        response = requests.get(service.base + route, timeout=5)
        assert response.status_code == 200
        assert response.headers["Cache-Control"] == "no-store"
    assert_error(requests.post(service.base + "/livez", timeout=5), 405, "method_not_allowed")
    assert sandbox.logins == 0


def test_safe_request_ids_are_returned(service: Service) -> None:
    assert service.get(X_Request_ID="abc-1").headers["X-Request-ID"] == "abc-1"
    assert service.get(X_Request_ID='<script>"').headers["X-Request-ID"].isalnum()


def test_login_body_is_sent_as_documented(start_service: StartService) -> None:
    answer = {"data": {"access_token": "a", "refresh_token": "r", "avatar_params": {}}}
    reply = http_answer("200 OK", json.dumps(answer).encode())
    with RawUpstream(lambda connection: connection.sendall(reply)) as upstream:
        start_service(upstream.url).get()
        start_service(upstream.url, AVATAR_ID="0042").get()

    bodies = [json.loads(request.partition(b"\r\n\r\n")[2]) for request in upstream.received]
    assert bodies == [
        {"avatar_api_key": KEY},
        {"avatar_api_key": KEY, "avatar_id": "0042"},
    ]
    assert upstream.received[0].startswith(b"POST /api/login HTTP/1.1")
    assert b"\r\nAccept-Encoding: identity\r\n" in upstream.received[0]
