"""What an author reads when mkdocs.yml is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from tests.plugin.conftest import OPTIONS, BuildSite

PAGES = {"index.md": "# Home\n"}
HASH = "sha256-" + "A" * 43 + "="


def errors(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith("ERROR")]


@pytest.mark.parametrize(
    ("options", "option", "cure"),
    [
        ({"avatar_id": None}, "avatar_id", "copy the avatar's ID from the Sentifyd dashboard"),
        ({"avatar_id": ""}, "avatar_id", "copy the avatar's ID"),
        ({"avatar_id": "YOUR-AVATAR-ID"}, "avatar_id", "placeholder"),
        ({"avatar_id": True}, "avatar_id", "avtr_1234abcd"),
        ({"avatar_id": ["a"]}, "avatar_id", "avtr_1234abcd"),
        ({"avatar_id": "two words"}, "avatar_id", "without spaces"),
        ({"token_endpoint": None}, "token_endpoint", "https://tokens.example.com/request_tokens"),
        ({"token_endpoint": "/request_tokens"}, "token_endpoint", "absolute URL"),
        ({"token_endpoint": "tokens.example.com/r"}, "token_endpoint", "absolute URL"),
        ({"token_endpoint": "//tokens.example.com/r"}, "token_endpoint", "absolute URL"),
        ({"token_endpoint": "javascript:alert(1)"}, "token_endpoint", "absolute URL"),
        ({"token_endpoint": "https://a.example/ b"}, "token_endpoint", "absolute URL"),
        ({"token_endpoint": "https://a.example:x/"}, "token_endpoint", "host and port"),
        ({"token_endpoint": "http://tokens.example.com/r"}, "token_endpoint", "must be https"),
        ({"token_endpoint": "http://localhost.example/r"}, "token_endpoint", "must be https"),
        ({"token_endpoint": "https://u:p@t.example/r"}, "token_endpoint", "credentials"),
        ({"token_endpoint": "https://t.example/r#x"}, "token_endpoint", "fragment"),
        ({"token_endpoint": 7}, "token_endpoint", "absolute URL"),
        ({"loader": {"url": "main.js"}}, "loader", "'url': must be an absolute URL"),
        ({"loader": {"type": "defer"}}, "loader", "'type'"),
        ({"loader": {"integrity": "md5-x"}}, "loader", "sha384-"),
        ({"include": 3}, "include", "list of patterns"),
        ({"exclude": [1]}, "exclude", "list of patterns"),
        ({"exclude": ["!"]}, "exclude", "Invalid git pattern"),
        ({"loader": "https://l.example/main.js"}, "loader", "line of its own below it"),
        ({"not_found_page": "yes"}, "not_found_page", "must be true or false"),
        ({"token_endpoint": "https://t.example/r#"}, "token_endpoint", "fragment"),
    ],
)  # fmt: skip
def test_one_line_names_the_option_and_the_cure(
    build: BuildSite, options: dict[str, Any], option: str, cure: str
) -> None:
    built = build(PAGES, options, strict=False)

    assert built.status == 1
    (line,) = errors(built.output)
    assert f"Plugin 'sentifyd' option '{option}':" in line
    assert cure in line
    assert "Traceback" not in built.output
    assert not built.site.exists()


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"api_key": "anything"}, "api_key"),
        ({"avatar_api_key": "anything"}, "avatar_api_key"),
        ({"AVATAR_API_KEY": "anything"}, "AVATAR_API_KEY"),
        ({"secret": "anything"}, "secret"),
        ({"avatar_id": "sk_live_1234567890"}, "avatar_id"),
        ({"avatar_id": "key-1234567890"}, "avatar_id"),
        ({"avatar_id": "aB3" * 14}, "avatar_id"),
        ({"avatar_id": "0f" * 20}, "avatar_id"),
        ({"avatar_id": "kD3-vR_8" * 4}, "avatar_id"),
        ({"avatarApiKey": "anything"}, "avatarApiKey"),
        ({"avatar_key": "anything"}, "avatar_key"),
        ({"sk_live_1234567890": True}, "(a name that looks like a key)"),
        ({"avatar_id": "eyJhbGciOiJI.eyJzdWIiOiIx.sig"}, "avatar_id"),
        ({"token_endpoint": "https://t.example/r?key=sk-1234567890"}, "token_endpoint"),
        ({"loader": {"url": "https://l.example/main.js?k=" + "aB3" * 14}}, "loader.url"),
        ({"extra": [{"deep": "sk_live_1234567890"}]}, "extra.deep"),
    ],
)
def test_a_key_in_the_options_stops_the_build(
    build: BuildSite, options: dict[str, Any], option: str
) -> None:
    built = build(PAGES, options, strict=False)

    assert built.status == 1
    (line,) = errors(built.output)
    assert f"option '{option}': this looks like the API key" in line
    assert "AVATAR_API_KEY" in line
    for value in ("anything", "1234567890", "aB3aB3", "0f0f"):
        assert value not in built.output
    assert not built.site.exists()


def test_the_real_key_is_found_anywhere(build: BuildSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVATAR_API_KEY", "canary-77aa")
    for options in ({"avatar_id": "canary-77aa"}, {"include": ["docs/canary-77aa.md"]}):
        built = build(PAGES, options, strict=False)
        assert built.status == 1
        assert "this looks like the API key" in built.output
        assert "canary" not in built.output


@pytest.mark.parametrize(
    "options",
    [
        {"avatar_id": "4f0c2a9e-6f0b-4b0e-9a55-0d6c1f6a7b21"},
        {"avatar_id": "507f1f77bcf86cd799439011"},
        {"avatar_id": 123456},
        {"token_endpoint": "http://localhost:8080/request_tokens"},
        {"token_endpoint": "http://127.0.0.2:8080/request_tokens"},
        {"token_endpoint": "http://[::1]:8080/request_tokens"},
        {"token_endpoint": "https://tokens.example.com/avatars/request_tokens?site=docs"},
        {"loader": {"integrity": HASH}},
        {"loader": None},
        {"loader": {"url": f"https://cdn.example/gh/org/repo@{'0f' * 20}/main.js"}},
        {"token_endpoint": "https://key-management.example.com/api-key-exchange-1/request_tokens"},
        {"avatar_id": "key-account-manager"},
        {"avatar_id": "secret-santa-bot"},
        {"exclude": ["key-concepts/", "reference/api-key-rotation-and-other-long-names-2.md"]},
    ],
)
def test_honest_options_are_accepted(build: BuildSite, options: dict[str, Any]) -> None:
    built = build(PAGES, options)

    assert built.status == 0, built.output


def test_an_unknown_option_fails_a_strict_build(build: BuildSite) -> None:
    built = build(PAGES, {"colour": "blue"})

    assert built.status == 1
    assert "Unrecognised configuration name: colour" in built.output


def test_the_plugin_without_options(build: BuildSite) -> None:
    built = build(PAGES, raw_config="site_name: Test\nplugins: [sentifyd]\n")

    (line,) = errors(built.output)
    assert "option 'avatar_id': missing" in line


def test_disabled_by_mkdocs_own_option(build: BuildSite) -> None:
    built = build(PAGES, raw_config="site_name: T\nplugins: [{sentifyd: {enabled: false}}]\n")

    assert built.status == 0
    built.page("index.html").assert_nothing_of_ours()


def test_the_names_of_the_options() -> None:
    """Sites depend on them."""
    from mkdocs_sentifyd.config import LoaderConfig, SentifydConfig

    assert dict(SentifydConfig._schema).keys() == {
        *OPTIONS,
        *("loader", "include", "exclude", "not_found_page"),
    }
    assert dict(LoaderConfig._schema).keys() == {"url", "type", "integrity", "crossorigin"}
