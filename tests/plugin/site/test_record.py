"""Test the record of a build, `assets/sentifyd/pages.json`."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from time import time
from typing import Any

from click.testing import CliRunner
from mkdocs.__main__ import cli

from tests.support.sites import OPTIONS, Build, BuildSite, build_site, write_site

PAGES = {
    "index.md": "# Home\n",
    "guide/a.md": "# A\n",
    "guide/b.md": "---\nsentifyd: {display: compact}\n---\n# B\n",
    "off.md": "---\nsentifyd: false\n---\n# Off\n",
    "own.md": '# Own\n\n<sentifyd-bot brand-name="Mine"></sentifyd-bot>\n',
    "ünïcode.md": "# Ü\n",
}


def _record(built: Build) -> dict[str, Any]:
    text = (built.site / "assets/sentifyd/pages.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def _hash(url: str) -> str:
    return "sha256:" + hashlib.sha256(url.encode()).hexdigest()[:16]


def test_record_has_the_avatar_of_each_page(build: BuildSite) -> None:
    record = _record(build(PAGES))

    assert record["version"] == 1
    found: dict[str, Any] = {
        url: None if index is None else record["settings"][index]["attributes"]
        for url, index in record["pages"].items()
    }
    plain = {"token_endpoint": "https://tokens.example.com/request_tokens"}
    plain["avatar_id"] = "avtr_1234abcd"
    assert found.pop("guide/b/").items() >= {("compact", "true"), *plain.items()}
    assert found.pop("own/") == {**plain, "brand-name": "Mine"}
    assert found == {
        "": plain,
        "404.html": plain,
        "guide/a/": plain,
        "off/": None,
        "%C3%BCn%C3%AFcode/": plain,
    }
    assert len(record["settings"]) == 3


def test_record_of_pages_without_directories(build: BuildSite) -> None:
    record = _record(build(PAGES, use_directory_urls=False))

    assert {"", "guide/a.html", "off.html", "404.html"} <= record["pages"].keys()


def test_record_names_no_source_no_script_and_no_css(build: BuildSite) -> None:
    options = {
        "avatar_id": "avtr_1",
        "token_endpoint": "https://t.example/r",
        "loader": {
            "url": "https://scripts.example.com/x.js",
            "integrity": "sha256-" + "A" * 43 + "=",
        },
        "appearance": {"primary_color": "#123456"},
        "load": "interaction",
    }
    built = build(PAGES, plugins=["search", {"sentifyd": options}])

    text = (built.site / "assets/sentifyd/pages.json").read_text(encoding="utf-8")

    assert "avtr_1" in text
    for secret in ("scripts.example.com", "sha256-AAAA", "123456", ".md", "color"):
        assert secret not in text


def test_unlisted_pages_appear_only_as_hashes(build: BuildSite) -> None:
    noindex = (
        "{% extends 'main.html' %}{% block extrahead %}"
        "<META content='noindex, nofollow' name=Robots>{% endblock %}"
    )
    pages = {
        **PAGES,
        "hidden.md": "# Hidden\n",
        "robots.md": "---\ntemplate: noindex.html\n---\n# Robots\n",
        "text.md": "# Text\n\nWrite `noindex` to hide a page.\n",
        "../theme/noindex.html": noindex,
    }
    theme = {"name": "mkdocs", "custom_dir": "theme"}
    nav = [{"Home": "index.md"}, {"Robots": "robots.md"}, {"Text": "text.md"}]

    record = _record(build(pages, theme=theme, nav=nav))

    assert {"", "text/", "404.html"} == {url for url in record["pages"] if "sha256:" not in url}
    assert {_hash("hidden/"), _hash("robots/"), _hash("off/")} <= record["pages"].keys()
    assert record["pages"][_hash("off/")] is None
    assert record["pages"][_hash("hidden/")] == record["pages"][""]


def test_fragments_json_and_redirects_get_nothing(build: BuildSite) -> None:
    templates = {
        "fragment": "<section>{{ page.content }}</section>",
        "json": '{"a": "{{ page.title }}"}',
        "redirect": '<!doctype html><html><head><meta http-equiv="refresh" content="0; url=/x/">'
        "</head><body></body></html>",
        "noscript": '<!doctype html><html><head><noscript><meta http-equiv="refresh" '
        'content="0; url=/x/"></noscript></head><body><script>go("/x/")</script></body></html>',
    }
    pages = {"index.md": "# Home\n"}
    for name, text in templates.items():
        pages[f"{name}.md"] = f"---\ntemplate: {name}.html\n---\n# T\n"
        pages[f"../theme/{name}.html"] = text
    built = build(pages, theme={"name": "mkdocs", "custom_dir": "theme"})

    for name in templates:
        assert "sentifyd" not in (built.site / name / "index.html").read_text()
    assert _record(built)["pages"].keys() == {"", "404.html"}


def test_dirty_build_keeps_the_record_of_pages_that_did_not_change(tmp_path: Path) -> None:
    options = {"site_name": "Test", "plugins": [{"sentifyd": OPTIONS}]}
    built = build_site(tmp_path, options, PAGES)
    before = _record(built)
    # MkDocs compares the times of source and page.
    source = tmp_path / "docs/guide/a.md"
    source.write_text("---\nsentifyd: false\n---\n# A\n")
    os.utime(source, (time() + 60,) * 2)

    config = str(tmp_path / "mkdocs.yml")
    assert CliRunner().invoke(cli, ["build", "--dirty", "--config-file", config]).exit_code == 0

    after = _record(built)
    assert after["pages"] == {**before["pages"], "guide/a/": None}


def test_dirty_build_after_a_change_of_options_is_reported(tmp_path: Path) -> None:
    options = {"site_name": "Test", "plugins": [{"sentifyd": OPTIONS}]}
    built = build_site(tmp_path, options, PAGES)
    before = _record(built)
    changed = {**OPTIONS, "display": "compact"}
    config = write_site(tmp_path, {**options, "plugins": [{"sentifyd": changed}]}, {})

    command = ["build", "--dirty", "--strict", "--config-file", str(config)]
    result = CliRunner().invoke(cli, command)

    assert result.exit_code == 1
    assert "pages have the options of an earlier build" in result.output
    assert _record(built)["configuration"] == before["configuration"]
