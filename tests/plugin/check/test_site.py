"""Test that `mkdocs-sentifyd check` finds every planted fault, and nothing else."""

from __future__ import annotations

import gzip
import html
import json
import os
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edge_service.app import create_app
from edge_service.sandbox.app import Sandbox, create_sandbox
from edge_service.settings import Settings
from mkdocs_sentifyd.check import endpoint as check_endpoint
from mkdocs_sentifyd.cli import main
from tests.support.servers import serving
from tests.support.settings import ORIGIN, avatar_settings
from tests.support.sites import BuildSite

KEY = "canary-77aa-key"
QUOTED = """
<!-- <sentifyd-bot></sentifyd-bot> -->

<textarea><sentifyd-bot></sentifyd-bot></textarea>

<template><sentifyd-bot></sentifyd-bot></template>

<noscript><sentifyd-bot></sentifyd-bot></noscript>

`AVATAR_API_KEY=your-avatar-api-key` and `avatar_api_key: "YOUR-API-KEY-HERE-2"`
"""
PAGES = {
    "index.md": f"# Home\n{QUOTED}",
    "a.md": "# A\n",
    "own.md": "# Own\n\n<div><sentifyd-bot></sentifyd-bot></div>\n",
    "off.md": f"---\nsentifyd: false\n---\n# Off\n{QUOTED}",
    "private/b.md": "# B\n",
    "logo.svg": "<svg/>",
}
OPTIONS = {"exclude": ["private/"], "brand": {"logo": "logo.svg", "terms_url": "a/"}}


class Found(NamedTuple):
    """The output of a check."""

    status: int
    codes: set[tuple[str, str]]
    output: str


Check = Callable[..., Found]


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """Check the built site, and read the findings from JSON."""

    def run(*arguments: str) -> Found:
        capsys.readouterr()
        config = str(tmp_path / "mkdocs.yml")
        command = ["check", str(tmp_path / "site"), "--config-file", config, "--json", *arguments]
        status = main(command)
        output = "".join(capsys.readouterr())
        # A service in the same test may have written log lines before the JSON.
        report = json.loads(output[output.index("{\n") :])
        assert report["ok"] is (status == 0)
        for finding in report["findings"]:
            assert finding["what"]
            assert finding["fix"]
        codes = {(finding["code"], finding["where"]) for finding in report["findings"]}
        return Found(status, codes, output)

    return run


def test_site_built_by_the_plugin_has_no_problems(
    build: BuildSite, check: Check, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for theme in ("mkdocs", "readthedocs", "material"):
        site = build(PAGES, OPTIONS, theme=theme, site_url=f"{ORIGIN}/x/").site
        assert check().codes == set()

    capsys.readouterr()
    assert main(["check", str(site), "--config-file", str(tmp_path / "mkdocs.yml")]) == 0
    output = capsys.readouterr().out
    assert output == "6 pages, 4 with an avatar: no problems\n"


def edit(path: str, old: str, new: str) -> Callable[[Path], None]:
    def plant(site: Path) -> None:
        text = (site / path).read_text()
        assert old in text
        (site / path).write_text(text.replace(old, new))

    return plant


def write(path: str, content: str) -> Callable[[Path], None]:
    def plant(site: Path) -> None:
        (site / path).write_text(content)

    return plant


LOADER = '<script src="https://frontend.sentifyd.io/sentifyd-bot/main.js" defer></script>'
REALTIME = "https://frontend.sentifyd.io/sentifyd-realtime/v1/main.js"
A = "a/index.html"
OFF = "off/index.html"
FAULTS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "the loader was lost": (edit(A, LOADER, ""), "loader-missing", A),
    "the loader is there twice": (edit(A, LOADER, LOADER * 2), "loader-repeated", A),
    "the element was lost": (
        edit(A, "<sentifyd-bot", "<p hidden"),
        "element-missing",
        A,
    ),
    "the element is there twice": (
        edit(A, "</body>", "<sentifyd-bot></sentifyd-bot></body>"),
        "element-repeated",
        A,
    ),
    "a page that was switched off has an element": (
        edit(OFF, "</body>", '<sentifyd-bot token-endpoint="https://a"></sentifyd-bot></body>'),
        "unexpected-avatar",
        OFF,
    ),
    "a page that was switched off loads the script": (
        edit(OFF, "</head>", f"{LOADER}</head>"),
        "unexpected-avatar",
        OFF,
    ),
    "an attribute is there twice": (
        edit(A, "<sentifyd-bot ", '<sentifyd-bot avatar_id="x" AVATAR_ID="y" '),
        "attribute-repeated",
        A,
    ),
    "a credential is there in both spellings": (
        edit(A, "<sentifyd-bot ", '<sentifyd-bot avatar-id="avtr_1234abcd" '),
        "attribute-repeated",
        A,
    ),
    "an attribute was lost": (edit(A, 'avatar_id="avtr_1234abcd"', ""), "attribute-missing", A),
    "the other component is there too": (
        edit(A, "</body>", "<sentifyd-realtime></sentifyd-realtime></body>"),
        "other-component",
        A,
    ),
    "the loader of the other component is there too": (
        edit(A, "</head>", f"<script type=module src={REALTIME}></script></head>"),
        "other-component",
        A,
    ),
    "the element carries a key": (
        edit(A, "<sentifyd-bot ", '<sentifyd-bot api-key="anything" '),
        "key-on-element",
        A,
    ),
    "the loader has a type that browsers do not run": (
        edit(A, LOADER, LOADER.replace(" defer", ' type="text/plain" defer')),
        "loader-missing",
        A,
    ),
    "the loader is fetched over http": (
        edit(A, LOADER, LOADER.replace("https:", "http:")),
        "loader-insecure",
        A,
    ),
    "the picture was lost": (
        edit(A, 'brand-logo="../logo.svg"', 'brand-logo="../lost.svg"'),
        "address-broken",
        A,
    ),
    "the key is on a page": (edit(A, "<h1", f"<!-- {KEY} --><h1"), "key-in-site", A),
    "the key is in a script": (write("x.js", f"k='{KEY}'"), "key-in-site", "x.js"),
    "the key is the name of a file": (write(f"{KEY}.txt", ""), "key-in-site", "***.txt"),
    "a key is named in a script": (
        write("x.js", "const AVATAR_API_KEY = 'qWe9rTy7uIo5pAs3'"),
        "key-like",
        "x.js",
    ),
    "a key is named in a code sample": (
        edit(A, "<h1", '<code><span class="n">"avatar_api_key"</span>: "9f8e7d6c5b4a"</code><h1'),
        "key-like",
        A,
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_check_finds_only_the_planted_fault(
    build: BuildSite, check: Check, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    plant, code, where = FAULTS[fault]
    site = build(PAGES, OPTIONS).site
    monkeypatch.setenv("AVATAR_API_KEY", KEY)
    assert check().status == 0
    plant(site)

    found = check()

    assert found.status == 1
    assert found.codes - {("attribute-differs", A)} == {(code, where)}
    assert "canary" not in found.output


CORE = re.compile(r'<script src="[^"]*core.js" type="module"></script>')
CONSENT = {**OPTIONS, "consent": "sentifyd"}


def without(pattern: str | re.Pattern[str]) -> Callable[[Path], None]:
    def plant(site: Path) -> None:
        text, count = re.subn(pattern, "", (site / A).read_text())
        assert count == 1
        (site / A).write_text(text)

    return plant


def lose_files(site: Path) -> None:
    for file in site.glob("assets/sentifyd/*/core.js"):
        file.rename(file.with_name("other.js"))


RUNTIME_FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "the settings were lost": (without(r'<meta name="sentifyd"[^>]*>'), "settings-missing"),
    "the settings are there twice": (
        edit(A, "</head>", '<meta name="sentifyd" content="{}"></head>'),
        "settings-repeated",
    ),
    "the settings are not those of the configuration": (
        edit(A, "&#34;consent&#34;:&#34;sentifyd&#34;", "&#34;consent&#34;:&#34;other&#34;"),
        "settings-differ",
    ),
    "an attribute was lost": (
        edit(A, "&#34;avatar_id&#34;:&#34;avtr_1234abcd&#34;,", ""),
        "attribute-missing",
    ),
    "the settings carry a key": (
        edit(A, "&#34;attributes&#34;:{", "&#34;attributes&#34;:{&#34;api-key&#34;:&#34;x&#34;,"),
        "key-on-element",
    ),
    "the script was lost": (without(CORE), "runtime-missing"),
    "an element is there already": (
        edit(A, "</body>", "<sentifyd-bot></sentifyd-bot></body>"),
        "element-repeated",
    ),
    "the loader is not delayed": (edit(A, "</head>", f"{LOADER}</head>"), "loader-early"),
}


@pytest.mark.parametrize("fault", RUNTIME_FAULTS)
def test_check_finds_the_planted_fault_on_a_page_with_runtime(
    build: BuildSite, check: Check, fault: str
) -> None:
    plant, code = RUNTIME_FAULTS[fault]
    site = build(PAGES, CONSENT).site
    assert check().codes == set()
    plant(site)

    found = check()

    assert found.status == 1
    assert found.codes == {(code, A)}


def test_check_reports_missing_runtime_files(build: BuildSite, check: Check) -> None:
    lose_files(build(PAGES, CONSENT).site)

    assert ("runtime-missing", A) in check().codes


def test_check_reports_settings_that_are_nested_too_deeply(build: BuildSite, check: Check) -> None:
    start = '<meta name="sentifyd" content="'
    edit(A, start, start + "[" * 100_000)(build(PAGES, CONSENT).site)

    assert ("settings-differ", A) in check().codes


def test_site_with_instant_navigation_has_no_problems(build: BuildSite, check: Check) -> None:
    theme = {"name": "material", "features": ["navigation.instant"]}
    site = build(PAGES, OPTIONS, theme=theme, site_url=f"{ORIGIN}/x/").site
    assert check().codes == set()

    edit(OFF, "</head>", '<meta name="sentifyd" content="{}"></head>')(site)
    assert check().codes == {("unexpected-avatar", OFF)}


def test_check_finds_ten_faults_at_once(build: BuildSite, check: Check, tmp_path: Path) -> None:
    on_a_page = [fault for fault in FAULTS.values() if fault[2] == A][:8]
    pages = {f"p{number}.md": "# Page\n" for number in range(len(on_a_page))}
    site = build({**PAGES, **pages}, OPTIONS).site
    (tmp_path / "key").write_text(KEY)
    planted = set()
    whole = (site / A).read_bytes()
    for number, (plant, code, _) in enumerate(on_a_page):
        plant(site)
        (site / A).rename(site / f"p{number}" / "index.html")
        (site / A).write_bytes(whole)
        planted.add((code, f"p{number}/index.html"))
    for name in ("the key is in a script", "the key is the name of a file"):
        plant, code, where = FAULTS[name]
        plant(site)
        planted.add((code, where))

    found = check("--key-file", str(tmp_path / "key"))

    assert len(planted) == 10
    assert {(code, where) for code, where in found.codes if code != "attribute-differs"} == planted
    assert KEY not in found.output
    assert found.status == 1


def test_what_an_author_may_intend_is_no_error(build: BuildSite, check: Check) -> None:
    own = '# Own\n\n<div><sentifyd-bot avatar_id="x"></sentifyd-bot></div>\n'
    off = "---\nsentifyd: false\n---\n# Off\n\n<sentifyd-bot></sentifyd-bot>\n"
    options = {**OPTIONS, "exclude": ["private/", "prviate/"]}
    build({**PAGES, "own.md": own, "off.md": off}, options, strict=False)

    found = check()

    assert found.codes == {("unexpected-avatar", OFF)}
    assert found.status == 0


def test_check_reports_tags_of_an_older_configuration(
    build: BuildSite, check: Check, tmp_path: Path
) -> None:
    build(PAGES, OPTIONS)
    config = tmp_path / "mkdocs.yml"
    config.write_text(config.read_text().replace("avtr_1234abcd", "avtr_new"))

    found = check()

    assert found.codes == {("other-configuration", "assets/sentifyd/pages.json")}
    assert found.status == 1


@pytest.mark.parametrize("options", [OPTIONS, CONSENT])
@pytest.mark.parametrize("value", ["avtr_1234abcd", "https://tokens.example.com/request_tokens"])
def test_changed_credential_in_a_page_is_an_error(
    build: BuildSite, check: Check, options: Mapping[str, object], value: str
) -> None:
    site = build(PAGES, options).site
    edit(A, value, f"{value}x")(site)

    found = check()

    assert {("attribute-differs", A)} <= found.codes
    assert found.status == 1


def test_changed_colour_is_an_error(build: BuildSite, check: Check) -> None:
    site = build(PAGES, {**OPTIONS, "appearance": {"primary_color": "#123456"}}).site
    edit(A, "#123456", "#654321")(site)

    assert check().codes == {("attribute-differs", A)}


def test_check_reports_loader_without_its_configured_hash(build: BuildSite, check: Check) -> None:
    loader = {"integrity": "sha256-" + "A" * 43 + "="}
    site = build({"index.md": "# Home\n"}, {"loader": loader}).site
    edit("index.html", f' integrity="{loader["integrity"]}"', "")(site)

    assert check().codes == {("loader-differs", "index.html")}


def test_check_reports_site_without_any_avatar(build: BuildSite, check: Check) -> None:
    site = build({"index.md": "# Home\n"}, {"include": [], "not_found_page": False}).site

    assert check().codes == {("no-avatar", str(site))}


def test_disabled_plugin_expects_no_avatars(build: BuildSite, check: Check, tmp_path: Path) -> None:
    build(PAGES, OPTIONS)
    config = tmp_path / "mkdocs.yml"
    config.write_text("plugins: [{sentifyd: {enabled: false}}]")

    assert {code for code, _ in check().codes} == {"unexpected-avatar"}


def test_one_loader_may_define_both_components(build: BuildSite, check: Check) -> None:
    loader = {"url": "https://frontend.sentifyd.io/sentifyd-bot/main.js"}
    build({"index.md": "# Home\n"}, {"component": "realtime", "loader": loader})

    assert check().codes == set()


def test_configured_public_key_is_only_a_warning(build: BuildSite, check: Check) -> None:
    options = {"avatar_id": "avtr_1", "public_api_key": "pk_canary_1234567890"}
    built = build(PAGES, plugins=[{"sentifyd": options}], strict=False)
    assert built.status == 0

    found = check()

    assert found.codes == {("public-key", "mkdocs.yml")}
    assert found.status == 0


def test_text_output_groups_pages_by_finding(
    build: BuildSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = build({f"p{number}.md": "# Page\n" for number in range(9)}).site
    for file in site.rglob("*.html"):
        file.write_text(file.read_text().replace(LOADER, ""))

    assert main(["check", str(site), "--config-file", str(tmp_path / "mkdocs.yml")]) == 1
    title, what, fix, _, summary = capsys.readouterr().out.splitlines()
    assert title == "error  loader-missing"
    assert what.startswith("  404.html, p0/index.html, p1/index.html, p2/index.html, p3/")
    assert what.endswith(" and 5 more: has no loader script")
    assert fix.startswith("  -> build the site again")
    assert summary == "10 pages, 10 with an avatar: 10 errors, no warnings"


def test_page_whose_url_a_plugin_chose_is_compared_too(build: BuildSite, check: Check) -> None:
    pages = {
        "index.md": "# Home\n",
        "blog/index.md": "# Blog\n",
        "blog/posts/q.md": "---\ndate: 2026-01-01\nsentifyd: false\n---\n# Q\n",
        "blog/posts/r.md": "---\ndate: 2026-01-01\n---\n# R\n",
    }
    options = {"avatar_id": "avtr_1", "token_endpoint": "https://t.example/r"}
    site = build(pages, theme="material", plugins=["blog", {"sentifyd": options}]).site
    post = {name: f"blog/2026/01/01/{name}/index.html" for name in ("q", "r")}
    assert check().codes == set()

    edit(post["q"], "</head>", f"{LOADER}</head>")(site)
    edit(post["r"], LOADER, "")(site)

    assert check().codes == {("unexpected-avatar", post["q"]), ("loader-missing", post["r"])}


def test_site_that_the_plugin_did_not_build_is_an_error(check: Check, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "docs").mkdir()
    page = "<!doctype html><html><head></head><body><p>Text</p></body></html>"
    (tmp_path / "site" / "a.html").write_text(page)
    options = {"avatar_id": "avtr_1", "token_endpoint": "https://t.example/r"}
    (tmp_path / "mkdocs.yml").write_text(json.dumps({"plugins": [{"sentifyd": options}]}))

    found = check()

    assert found.codes == {("record-missing", str(tmp_path / "site"))}
    assert found.status == 1


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"version":1,"configuration":"","builder":"","settings":[],"pages":{"":0}}'],
)
def test_malformed_record_is_refused(
    build: BuildSite, content: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    site = build({"index.md": "# Home\n"}).site
    (site / "assets/sentifyd/pages.json").write_text(content)

    assert main(["check", str(site), "--config-file", str(tmp_path / "mkdocs.yml")]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "mkdocs-sentifyd: assets/sentifyd/pages.json is malformed: build the site again"
    ]


def test_html_that_mkdocs_only_copies_is_not_compared(
    build: BuildSite, check: Check, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    report = "<!doctype html><html><head><title>R</title></head><body><p>coverage</p></body></html>"
    site = build({"index.md": "# Home\n", "report.html": report}, {"include": ["*.md"]}).site
    assert check().codes == set()

    capsys.readouterr()
    assert main(["check", str(site), "--config-file", str(tmp_path / "mkdocs.yml")]) == 0
    assert capsys.readouterr().out == (
        "1 other HTML page is not of the build, and not compared\n"
        "2 pages, 2 with an avatar: no problems\n"
    )


def test_unusual_pages_do_not_stop_the_check(build: BuildSite, check: Check) -> None:
    site = build(
        {
            **PAGES,
            "long.md": f'# L\n\n<sentifyd-bot brand-logo="{"x" * 300}"></sentifyd-bot>\n',
            "odd.md": '# O\n\n<sentifyd-bot terms-href="http://[::1"></sentifyd-bot>\n',
        },
        OPTIONS,
    ).site
    edit(A, "<h1", "<![foo bar]><h1")(site)
    (site / os.fsdecode(b"\xff.txt")).write_text(KEY)

    found = check("--key-file", str(write_key(site.parent)))

    assert ("key-in-site", "\ufffd.txt") in found.codes
    assert A not in {where for _, where in found.codes}
    assert {
        ("address-broken", "long/index.html"),
        ("address-broken", "odd/index.html"),
    } <= found.codes


def write_key(folder: Path) -> Path:
    (folder / "key").write_text(KEY)
    return folder / "key"


def test_check_finds_the_key_in_every_encoding(build: BuildSite, check: Check) -> None:
    key = 'ab/Cd+ef"12<gh34=='
    site = build({"index.md": "# Home\n"}).site
    forms = {
        "plain": key,
        "quote": quote(key),
        "component": quote(key, safe=""),
        "lower": quote(key, safe="").replace("%2F", "%2f").replace("%3D", "%3d"),
        "html": html.escape(key),
        "decimal": key.replace('"', "&#34;").replace("<", "&#060;"),
        "hex": key.replace('"', "&#x22;").replace("<", "&#X3C;"),
        "json": json.dumps(key),
        "php": json.dumps(key).replace("/", "\\/"),
        "unicode": key.replace("/", "\\u002F").replace("+", "\\u002b"),
    }
    for name, form in forms.items():
        (site / f"{name}.txt").write_text(form)
    (site / "packed.SVGZ").write_bytes(gzip.compress(key.encode()))
    (site.parent / "shared").mkdir()
    (site.parent / "shared" / "linked.txt").write_text(key)
    (site / "link").symlink_to(site.parent / "shared")
    (site / "loop").symlink_to(site)
    (site / "other.txt").write_text(key.replace("ab", "xy"))
    os.mkfifo(site / "fifo")
    (site.parent / "key").write_text(key)

    found = check("--key-file", str(site.parent / "key"))

    names = {*(f"{name}.txt" for name in forms), "packed.SVGZ", "link/linked.txt"}
    assert found.codes == {("key-in-site", name) for name in names}


@contextmanager
def endpoint(
    answer: Callable[[Request], Response], preflight: Callable[[Request], Response] | None = None
) -> Iterator[str]:
    """A token endpoint that is not this project's service."""

    def route(request: Request) -> Response:
        if request.method == "OPTIONS":
            return (preflight or answer)(request)
        return answer(request)

    app = Starlette(routes=[Route("/tokens", route, methods=["GET", "OPTIONS"])])
    with serving(app) as url:
        yield f"{url}/tokens"


GRANT: dict[str, Any] = {
    "tokens": {"accessToken": "canary-a", "refreshToken": "canary-r"},
    "avatarParameters": {},
}
HEADERS = {
    "Access-Control-Allow-Origin": ORIGIN,
    "Cache-Control": "no-store",
    "Vary": "Origin",
}


def answer(
    content: object = GRANT,
    status: int = 200,
    *,
    refresh: object = None,
    headers: Mapping[str, str | None] = MappingProxyType({}),
) -> Callable[[Request], Response]:
    """Return a handler that sends this answer to the site's origin and refuses all others."""
    sent = {name: value for name, value in {**HEADERS, **headers}.items() if value is not None}

    def respond(request: Request) -> Response:
        if request.headers.get("Origin") != ORIGIN:
            return JSONResponse({}, 403)
        is_refresh = request.query_params.get("refreshToken") == "canary-r"
        wanted = refresh if is_refresh and refresh is not None else content
        if isinstance(wanted, bytes):
            return Response(wanted, status, sent)
        return JSONResponse(wanted, status, sent)

    return respond


def any_origin(request: Request) -> Response:
    """Answer like an insecure sample: allow every origin."""
    origin = request.headers.get("Origin", "*")
    return JSONResponse(GRANT, headers={**HEADERS, "Access-Control-Allow-Origin": origin})


def opaque_origin(request: Request) -> Response:
    """Allow the opaque origin `null`, which a sandboxed frame of any site sends."""
    if request.headers.get("Origin") == "null":
        return JSONResponse(GRANT, headers={**HEADERS, "Access-Control-Allow-Origin": "null"})
    return answer()(request)


def no_origin_check(_: Request) -> Response:
    return JSONResponse(GRANT, headers=HEADERS)


def tokens(**changed: object) -> dict[str, Any]:
    return {**GRANT, "tokens": {**GRANT["tokens"], **changed}}


CORS = "Access-Control-Allow-Origin"
ENDPOINTS: dict[str, tuple[Callable[[Request], Response], set[str]]] = {
    "a valid answer": (answer(), set()),
    "a valid answer with a lifetime": (answer(tokens(expiresIn=60, tokenType="Bearer")), set()),
    "the origin is not allowed": (answer(headers={CORS: None}), {"endpoint-cors"}),
    "another origin is allowed": (
        answer(headers={CORS: "https://docs.example.org"}),
        {"endpoint-cors"},
    ),
    "it fails": (
        answer({"error": "x"}, 502),
        {"endpoint-status"},
    ),
    "it fails without CORS headers": (
        answer({"error": "x"}, 502, headers={CORS: None}),
        {"endpoint-status"},
    ),
    "it is a web page": (
        lambda _: Response("<html>", headers={"Content-Type": "text/html"}),
        {"endpoint-payload"},
    ),
    "it redirects": (
        answer(status=307, headers={"Location": "/elsewhere"}),
        {"endpoint-status"},
    ),
    "tokens are cached": (
        answer(headers={"Cache-Control": "max-age=60"}),
        {"endpoint-cacheable"},
    ),
    "Vary lacks Origin": (
        answer(headers={"Vary": "Accept"}),
        {"endpoint-vary"},
    ),
    "a deep list": (answer(b"[" * 900_000), {"endpoint-payload"}),
    "no JSON": (answer(b"<html>"), {"endpoint-payload"}),
    "a list": (answer([1]), {"endpoint-payload"}),
    "the documented upstream answer": (
        answer({"data": {"access_token": "canary-a"}}),
        {"endpoint-payload"},
    ),
    "no refresh token": (answer(tokens(refreshToken=None)), {"endpoint-payload"}),
    "no parameters": (
        answer({"tokens": GRANT["tokens"]}),
        {"endpoint-payload"},
    ),
    "a lone surrogate in a token": (
        answer(json.dumps(tokens(refreshToken="\ud800")).encode()),
        {"endpoint-payload"},
    ),
    "an odd lifetime": (
        answer(tokens(expiresIn="60")),
        {"endpoint-payload"},
    ),
    "refreshing fails": (answer(refresh={"error": "x"}), {"endpoint-refresh-payload"}),
    "the answer contains the key": (
        answer({**GRANT, "avatarParameters": {"k": KEY}}),
        {"endpoint-key"},
    ),
    "any origin": (any_origin, {"endpoint-foreign-origin"}),
    "an opaque origin": (opaque_origin, {"endpoint-foreign-origin"}),
    "any origin by a wildcard": (
        lambda _: JSONResponse(GRANT, headers={**HEADERS, CORS: "*"}),
        {"endpoint-foreign-origin"},
    ),
    "the origin is not checked": (no_origin_check, {"endpoint-foreign-login"}),
}


@pytest.mark.parametrize("name", ENDPOINTS)
def test_check_calls_the_endpoint_like_a_browser(
    build: BuildSite, check: Check, tmp_path: Path, name: str
) -> None:
    respond, codes = ENDPOINTS[name]
    build({"index.md": "# Home\n"})
    (tmp_path / "key").write_text(KEY)
    with endpoint(respond) as url:
        found = check("--endpoint", url, "--origin", ORIGIN, "--key-file", str(tmp_path / "key"))

    assert found.codes == {(code, url) for code in codes}
    # Nothing is reported twice: one cause, one finding.
    assert found.output.count('"code"') == len(codes)
    only_warnings = codes <= {"endpoint-foreign-login", "endpoint-vary"}
    assert found.status == (0 if only_warnings else 1)
    assert "canary" not in found.output


def test_check_reports_a_failing_preflight(build: BuildSite, check: Check) -> None:
    build({"index.md": "# Home\n"})
    for preflight, code in (
        (lambda _: Response(status_code=401), "endpoint-preflight"),
        (lambda _: Response(status_code=204), "endpoint-cors"),
    ):
        with endpoint(answer(), preflight) as url:
            assert check("--endpoint", url, "--origin", ORIGIN).codes == {(code, url)}


def test_same_origin_endpoint_needs_no_cors(build: BuildSite, check: Check) -> None:
    build({"index.md": "# Home\n"})

    def same_origin(request: Request) -> Response:
        if "Origin" in request.headers or request.headers["Sec-Fetch-Site"] != "same-origin":
            return JSONResponse({}, 403)
        return JSONResponse(GRANT, headers={"Cache-Control": "no-store"})

    with endpoint(same_origin) as url:
        for origin in (f"{url}/guide/", url.upper()):
            assert check("--endpoint", url, "--origin", origin).codes == set()


def test_this_projects_service_passes_the_check(
    build: BuildSite, check: Check, tmp_path: Path
) -> None:
    with serving(create_sandbox(Sandbox(KEY))) as upstream:
        avatar = avatar_settings(upstream, api_key=KEY, allowed_origins=frozenset({ORIGIN}))
        settings = Settings(avatars={"": avatar})
        with serving(create_app(settings)) as service:
            url = f"{service}/request_tokens"
            build({"index.md": "# Home\n"}, {"token_endpoint": url}, site_url=f"{ORIGIN}/x/")
            (tmp_path / "key").write_text(KEY)
            assert check("--endpoint", "--key-file", str(tmp_path / "key")).codes == set()
            other = check("--endpoint", "--origin", "https://www.example.com")
            slash = check("--endpoint", f"{url}/")

    assert other.codes == {("endpoint-cors", url)}
    assert "does not let https://www.example.com read its answer" in other.output
    assert slash.codes == {("endpoint-status", f"{url}/")}
    assert "answers on /request_tokens, without a trailing slash" in slash.output


def test_check_calls_every_configured_endpoint(build: BuildSite, check: Check) -> None:
    with endpoint(answer()) as first, endpoint(answer({})) as second:
        overrides = [{"match": "a.md", "avatar_id": "other", "token_endpoint": second}]
        options = {"token_endpoint": first, "overrides": overrides}
        build({"index.md": "# Home\n", "a.md": "# A\n"}, options, site_url=ORIGIN)
        assert check("--endpoint").codes == {("endpoint-payload", second)}


def test_check_of_a_path_needs_the_sites_url(
    build: BuildSite, check: Check, capsys: pytest.CaptureFixture[str]
) -> None:
    with endpoint(lambda _: JSONResponse({}, 502)) as url:
        build({"index.md": "# Home\n"}, {"token_endpoint": "/tokens"}, site_url=url)
        assert check("--endpoint").codes == {("endpoint-status", url)}

    site = build({"index.md": "# Home\n"}, {"token_endpoint": "/tokens"}).site
    capsys.readouterr()
    config = str(site.parent / "mkdocs.yml")
    assert main(["check", str(site), "--config-file", config, "--endpoint"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "or set site_url in mkdocs.yml" in line


def test_check_normalizes_the_origin_like_a_browser(build: BuildSite, check: Check) -> None:
    build({"index.md": "# Home\n"})
    seen = set()

    def respond(request: Request) -> Response:
        seen.add(request.headers.get("Origin"))
        return JSONResponse(GRANT, headers=HEADERS)

    with endpoint(respond) as url:
        for origin in ("HTTPS://u:p@Docs.Example.com:443/x/", "https://例え.jp", "http://[::1]:80"):
            check("--endpoint", url, "--origin", origin)
    own = seen - {"https://foreign.example", "null"}
    assert own == {"https://docs.example.com", "https://xn--r8jz45g.jp", "http://[::1]"}


def test_check_does_not_read_netrc(
    build: BuildSite, check: Check, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    build({"index.md": "# Home\n"})
    (tmp_path / "netrc").write_text("default login canary password canary\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    seen = []

    def respond(request: Request) -> Response:
        seen.append(request.headers.get("Authorization"))
        return answer()(request)

    with endpoint(respond) as url:
        assert check("--endpoint", url, "--origin", ORIGIN).status == 0
    assert set(seen) == {None}


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"])
def test_slow_endpoint_reaches_the_deadline(
    build: BuildSite, check: Check, monkeypatch: pytest.MonkeyPatch, beginning: bytes
) -> None:
    monkeypatch.setattr(check_endpoint, "DEADLINE", 0.5)
    build({"index.md": "# Home\n"})
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.sendall(beginning)
                while not over.wait(0.05):
                    connection.sendall(b"x")

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        found = check("--endpoint", url, "--origin", ORIGIN)
        over.set()
        thread.join(5)

    assert found.codes == {("endpoint-unreachable", url)}


def test_check_finds_the_key_in_escaped_json(
    build: BuildSite, check: Check, tmp_path: Path
) -> None:
    build({"index.md": "# Home\n"})
    (tmp_path / "key").write_text("ab/Cd+ef12")
    content = json.dumps({**GRANT, "avatarParameters": {"ab/Cd+ef12": 1}}).replace("/", "\\/")
    with endpoint(answer(content.encode())) as url:
        found = check("--endpoint", url, "--origin", ORIGIN, "--key-file", str(tmp_path / "key"))

    assert found.codes == {("endpoint-key", url)}


def test_check_reports_an_unreachable_endpoint(build: BuildSite, check: Check) -> None:
    build({"index.md": "# Home\n"})
    with endpoint(answer()) as url:
        pass

    assert check("--endpoint", url, "--origin", ORIGIN).codes == {("endpoint-unreachable", url)}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--endpoint", "tokens"], "--endpoint must be an absolute URL"),
        (["--endpoint"], "give it with --origin"),
        (["--endpoint", "--origin", "docs.example.com"], "give it with --origin"),
        (["--endpoint", "--origin", "https://["], "give it with --origin"),
        (["--key-file", "nowhere"], "nowhere cannot be read"),
        (["--config-file", "nowhere.yml"], "nowhere.yml does not exist"),
    ],
)
def test_invalid_arguments_are_reported_in_one_line(
    build: BuildSite, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    site = build({"index.md": "# Home\n"}).site
    config = ["--config-file", str(site.parent / "mkdocs.yml")]
    capsys.readouterr()

    assert main(["check", str(site), *config, *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line


@pytest.mark.parametrize("package", ["bs4", "requests", "rich.console"])
def test_missing_extra_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], package: str
) -> None:
    for name in [name for name in sys.modules if name.startswith("mkdocs_sentifyd.check")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)

    assert main(["check", "site"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("pip install 'mkdocs-sentifyd[check]'")
