"""Endpoints that cannot work are reported before visitors meet them."""

from __future__ import annotations

import pytest

from mkdocs_sentifyd.options.endpoints import impossible_endpoints
from tests.support.sites import BuildSite

LOGIN = (
    "is Sentifyd's own login, which needs the API key: run a token service, and write its URL, "
    "such as https://tokens.example.com/request_tokens"
)
SLASH = "ends with a slash, so the token service answers 404: remove the slash"


@pytest.mark.parametrize(
    "url",
    [
        "https://backend.sentifyd.io/api/login",
        "https://BACKEND.sentifyd.io:443/api/login/",
        "https://serve.sentifyd.io/api/v1/chatbot/login",
        "https://serve.sentifyd.io./api/v1/chatbot/login?x=1",
        "https://backend.sentifyd.io",
        "https://serve.sentifyd.io/",
    ],
)
def test_sentifyds_login_is_reported(url: str) -> None:
    assert list(impossible_endpoints([url])) == [LOGIN]


@pytest.mark.parametrize(
    "url",
    [
        "https://tokens.example.com/request_tokens",
        "https://tokens.example.com/api/login",
        "https://serve.sentifyd.io/request_tokens",
        "https://tokens.sentifyd.io/api/login",
        "https://backend.sentifyd.io.example.com/api/login",
        "https://example.com/backend.sentifyd.io/api/login",
        "http://localhost:8080/request_tokens",
        "/request_tokens",
        "/api/login",
        "https://x.lambda-url.eu-west-1.on.aws/",
    ],
)
def test_other_endpoints_are_not_reported(url: str) -> None:
    assert list(impossible_endpoints([url])) == []


def test_each_endpoint_is_reported_once_with_the_entry_of_overrides() -> None:
    site, login = "https://t.example/request_tokens/", "https://backend.sentifyd.io/api/login"

    assert list(impossible_endpoints([site, site, None, login, login])) == [
        SLASH,
        f"{LOGIN} (overrides, entry 3)",
    ]


def test_sentifyds_login_fails_a_strict_build(build: BuildSite) -> None:
    login = "https://backend.sentifyd.io/api/login"
    pages = {"index.md": "# Home\n", "a.md": f"---\nsentifyd: {{token_endpoint: {login}}}\n---\n"}
    overrides = [{"match": "a.md", "avatar_id": "avtr_2", "token_endpoint": login}]
    for options, line in (
        ({"token_endpoint": login}, f"option 'token_endpoint': {LOGIN}"),
        ({"overrides": overrides}, f"option 'token_endpoint': {LOGIN} (overrides, entry 1)"),
        ({}, f"a.md: `sentifyd` in the front matter: option 'token_endpoint': {LOGIN}"),
    ):
        built = build(pages, options)
        assert built.status == 1
        assert line in built.output
