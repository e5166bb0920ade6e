"""Unusual options are noted by the build and by the check, and never fail them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mkdocs_sentifyd.cli import main
from mkdocs_sentifyd.options.schema import SentifydConfig
from mkdocs_sentifyd.site.notes import notes
from tests.support.sites import OPTIONS, BuildSite

PAGES = {"index.md": "# Home\n", "a.md": "# A\n"}
HOST = "https://tokens.example.com"


def noted(options: dict[str, Any], site: Path) -> list[str]:
    config = SentifydConfig()
    config.load_dict({**OPTIONS, **options})
    assert config.validate() == ([], [])
    return [str(note) for note in notes(config, site)]


@pytest.mark.parametrize("path", ["", "/", "?site=docs"])
def test_endpoint_without_a_path_is_noted(path: str, tmp_path: Path) -> None:
    assert noted({"token_endpoint": HOST + path}, tmp_path) == [
        "token_endpoint: has no path: the token service of this project answers on "
        f"{HOST}/request_tokens"
    ]


@pytest.mark.parametrize(
    "path",
    [
        "/request_token",
        "/request-tokens",
        "/requests_tokens",
        "/Request_Tokens",
        "/x/requesttokens",
    ],
)
def test_path_like_that_of_the_service_is_noted(path: str, tmp_path: Path) -> None:
    assert noted({"token_endpoint": HOST + path}, tmp_path) == [
        f"token_endpoint: has the path {path}: the token service of this project answers on "
        "/request_tokens"
    ]


@pytest.mark.parametrize(
    "path",
    [
        *("/request_tokens", "/request_tokens/avtr_1", "/docs/request_tokens?a=/request_token"),
        *("/tokens", "/token", "/api/sentifyd", "/wp-json/sentifyd/v1/token", "/avatar-tokens/"),
        *("/api/request", "/r"),
    ],
)
def test_other_paths_are_not_noted(path: str, tmp_path: Path) -> None:
    assert noted({"token_endpoint": HOST + path}, tmp_path) == []
    assert noted({"token_endpoint": path}, tmp_path) == []


def test_avatars_with_one_endpoint_are_noted(tmp_path: Path) -> None:
    other = f"{HOST}/request_tokens/two"
    overrides = [
        {"match": "a.md", "avatar_id": "two"},
        {"match": "b.md", "avatar_id": "three", "token_endpoint": other},
        {"match": "c.md", "avatar_id": "four", "token_endpoint": other},
        {"match": "d.md", "captions": True},
        {"match": "e.md", "avatar_id": OPTIONS["avatar_id"]},
    ]

    assert noted({"overrides": overrides}, tmp_path) == [
        f"overrides, entry {number}: has another avatar_id, but the token_endpoint of {same}, and "
        "an API key belongs to one avatar: set the token_endpoint of this avatar too, such as "
        f"{url}/{name}"
        for number, same, url, name in (
            (1, "the site", f"{HOST}/request_tokens", "two"),
            (3, "overrides, entry 2", other, "four"),
        )
    ]


@pytest.mark.parametrize("index", ["search/search_index.json", "search.json"])
def test_actions_without_a_search_index_are_noted(tmp_path: Path, index: str) -> None:
    (line,) = noted({"actions": True}, tmp_path)
    assert line == (
        "actions: the site has no search index, so the avatar finds no pages: enable the search "
        "plugin"
    )

    (tmp_path / "search").mkdir()
    (tmp_path / index).write_text("{}")
    assert noted({"actions": True}, tmp_path) == []


def test_build_logs_notes_and_check_warns(
    build: BuildSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    override = {"match": "a.md", "avatar_id": "avtr_2"}
    options = {**OPTIONS, "token_endpoint": HOST, "actions": True, "overrides": [override]}
    built = build(PAGES, plugins=[{"sentifyd": options}])

    assert built.status == 0, built.output
    lines = [line for line in built.output.splitlines() if "sentifyd:" in line]
    assert [line.partition("sentifyd: ")[2].partition(":")[0] for line in lines[:3]] == [
        "token_endpoint",
        "overrides, entry 1",
        "actions",
    ]
    assert all(line.startswith("INFO") for line in lines)
    capsys.readouterr()
    config = str(tmp_path / "mkdocs.yml")
    assert main(["check", str(built.site), "--config-file", config, "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert [(found["code"], found["where"], found["severity"]) for found in findings] == [
        ("endpoint-without-path", "token_endpoint", "warning"),
        ("avatars-share-endpoint", "overrides, entry 1", "warning"),
        ("actions-without-search", "actions", "warning"),
    ]


def test_usual_site_has_no_notes(build: BuildSite) -> None:
    built = build(PAGES, {"actions": True})

    (line,) = [line for line in built.output.splitlines() if "sentifyd:" in line]
    assert "have an avatar" in line
