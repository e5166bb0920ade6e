"""Which pages may request tokens: decided before anything is sent upstream."""

from __future__ import annotations

import http.client

import pytest
import requests

from edge_service.sandbox.app import Sandbox
from tests.support.service import Service, StartService
from tests.support.settings import ORIGIN


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "http://docs.example.com",
        "https://docs.example.com:8443",
        "https://docs.example.com.evil.example",
        "https://DOCS.example.com",
        "https://docs.example.com/",
        "",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_foreign_origins_are_rejected(
    service: Service, sandbox: Sandbox, origin: str, method: str
) -> None:
    response = service.call(method, origin=origin)

    assert response.status_code == 403
    assert response.json()["code"] == "origin_not_allowed"
    assert "Access-Control-Allow-Origin" not in response.headers
    assert response.headers["Vary"] == "Origin"
    assert sandbox.logins == 0


@pytest.mark.parametrize(
    ("site", "status"),
    [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200), (None, 200)],
)
def test_request_without_origin_is_judged_by_sec_fetch_site(
    service: Service, sandbox: Sandbox, site: str | None, status: int
) -> None:
    headers = {} if site is None else {"Sec-Fetch-Site": site}

    assert service.call("GET", origin=None, headers=headers).status_code == status
    assert sandbox.logins == (status == 200)


def test_allowed_origin_wins_over_sec_fetch_site(service: Service) -> None:
    assert service.get(Sec_Fetch_Site="cross-site").status_code == 200


def test_require_origin_rejects_requests_without_browser_headers(
    start_service: StartService, sandbox_url: str
) -> None:
    service = start_service(sandbox_url, REQUIRE_ORIGIN="true")

    assert service.get(origin=None).status_code == 403
    assert service.get(origin=None, Sec_Fetch_Site="same-origin").status_code == 200
    assert service.get().status_code == 200


def test_two_origin_headers_are_rejected(service: Service) -> None:
    connection = http.client.HTTPConnection(service.base.removeprefix("http://"), timeout=5)
    connection.putrequest("GET", "/request_tokens")
    connection.putheader("Origin", ORIGIN)
    connection.putheader("Origin", "https://evil.example")
    connection.endheaders()
    response = connection.getresponse()

    assert response.status == 403
    assert response.getheader("Access-Control-Allow-Origin") is None
    connection.close()


def test_any_origin_except_null_is_allowed(start_service: StartService, sandbox_url: str) -> None:
    service = start_service(sandbox_url, ALLOWED_ORIGINS="*", ALLOW_ANY_ORIGIN="true")

    response = service.get(origin="https://elsewhere.example")
    assert response.status_code == 200
    assert response.headers["Access-Control-Allow-Origin"] == "https://elsewhere.example"
    assert service.get(origin="null").status_code == 403


def test_previews_that_a_pattern_stands_for_get_tokens(
    start_service: StartService, sandbox: Sandbox, sandbox_url: str
) -> None:
    service = start_service(
        sandbox_url, ALLOWED_ORIGINS=f"{ORIGIN},https://*--docs.netlify.app,https://*.p.pages.dev"
    )
    allowed = [ORIGIN, "https://deploy-preview-42--docs.netlify.app", "https://1a2b.p.pages.dev"]
    for origin in allowed:
        for answer in (service.get(origin=origin), preflight(service, origin)):
            assert answer.ok
            assert answer.headers["Access-Control-Allow-Origin"] == origin
            assert answer.headers["Vary"] == "Origin"
        # Routes without an avatar allow the origins of all.
        unknown = service.call("GET", "/nobody", origin=origin)
        assert (unknown.status_code, unknown.headers["Access-Control-Allow-Origin"]) == (
            404,
            origin,
        )
    logins = sandbox.logins
    for origin in (
        "https://*--docs.netlify.app",
        "https://docs.netlify.app",
        "https://p.pages.dev",
    ):
        for answer in (service.get(origin=origin), preflight(service, origin)):
            assert answer.status_code == 403
            assert "Access-Control-Allow-Origin" not in answer.headers
    assert (logins, sandbox.logins) == (3, 3)


def preflight(service: Service, origin: str) -> requests.Response:
    return service.call(
        "OPTIONS",
        origin=origin,
        headers={
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        },
    )


def test_preflight_is_answered_without_a_login(service: Service, sandbox: Sandbox) -> None:
    response = preflight(service, ORIGIN)

    assert response.status_code == 204
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "POST" in response.headers["Access-Control-Allow-Methods"]
    headers = {name.strip() for name in response.headers["Access-Control-Allow-Headers"].split(",")}
    assert {"Authorization", "Content-Type"} <= headers
    assert int(response.headers["Access-Control-Max-Age"]) > 0
    assert response.headers["Vary"] == "Origin"
    assert response.headers["Cache-Control"] == "no-store"
    assert sandbox.logins == 0


def test_preflight_from_a_foreign_origin_is_rejected(service: Service) -> None:
    response = preflight(service, "https://evil.example")

    assert response.status_code == 403
    assert response.json()["code"] == "origin_not_allowed"
    assert "Access-Control-Allow-Origin" not in response.headers


def test_options_without_a_preflight_lists_the_methods(service: Service) -> None:
    response = service.call("OPTIONS")

    assert response.status_code == 204
    assert response.headers["Allow"] == "GET, POST, OPTIONS"
