"""Test the runtime under a strict Content-Security-Policy, and that it adds no global names."""

from __future__ import annotations

import hashlib
import io
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout

import pytest
from bs4 import BeautifulSoup

from edge_service.app import create_app
from edge_service.settings import Settings
from mkdocs_sentifyd.cli import main
from tests.runtime.stage import INSTANT, MATERIAL, MKDOCS, Stage, Theme, Visitor
from tests.support.nginx import Nginx
from tests.support.ports import free_port
from tests.support.servers import serving
from tests.support.settings import avatar_settings
from tests.support.waiting import until

COLOURED = {"appearance": {"primary_color": "#123456", "follow_palette": True}}
MODES: dict[str, Theme] = {
    "eager": {},
    "idle": {"load": "idle", **COLOURED},
    "interaction": {"load": "interaction", "shortcut": "ctrl+alt+a", **COLOURED},
    "consent": {"consent": "sentifyd", **COLOURED},
}
DISPATCH_CONSENT = (
    "document.dispatchEvent(new CustomEvent('sentifyd:consent', {detail: {sentifyd: true}}))"
)
THEMES = pytest.mark.parametrize(
    "theme", [INSTANT, MATERIAL, MKDOCS], ids=["instant", "static", "mkdocs"]
)

Origins = Mapping[str, str]
"""Origins of servers, by name."""


def _strict(stage: Stage, url: str, hashed: str) -> str:
    """Give a site a policy that only allows the inline parts of the same site without an avatar."""
    site = stage.folder / "served"
    hashes = set()
    for file in (site / hashed.split("/")[-2]).rglob("*.html"):
        soup = BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser")
        for script in soup.find_all("script", src=False):
            digest = hashlib.sha256(script.get_text().encode()).digest()
            hashes.add(f"'sha256-{b64encode(digest).decode()}'")
    services = f"{stage.endpoint} {stage.sandbox.replace('http', 'ws')}/ws"
    rules = {
        "default-src": "'none'",
        "script-src": " ".join(["'self'", stage.sandbox, *sorted(hashes)]),
        "style-src": "'self'",
        "img-src": "'self' data:",
        "font-src": "'self'",
        "worker-src": "'self'",
        "connect-src": f"'self' {services}",
    }
    policy = "; ".join(f"{name} {value}" for name, value in rules.items())
    stage.headers[url.split("/")[-2]] = {"Content-Security-Policy": policy}
    return url


def _violations(visitor: Visitor) -> set[str]:
    """Return the policy's violations, independent of the site's URL."""
    # The browser reports violations later but in order, so the last one comes after all others.
    visitor.page.wait_for_load_state()
    visitor.page.evaluate("void (new Image().src = 'http://last.invalid/')")
    # `wait_for_function` may need `unsafe-eval`.
    last = "seen.violations.some(text => text.includes('last.invalid'))"
    until(lambda: visitor.page.evaluate(last))
    found: list[str] = visitor.page.evaluate("seen.violations.splice(0)")
    return {text.partition(" http")[0] for text in found if "last.invalid" not in text}


@THEMES
@pytest.mark.parametrize("mode", MODES)
def test_runtime_works_under_a_strict_policy(
    stage: Stage, visitor: Visitor, theme: Theme, mode: str
) -> None:
    # Themes write the site's URL into inline scripts, so both sites have the same one.
    plain = stage.build(theme=theme, with_avatar=False)
    visitor.open(_strict(stage, plain, plain))
    visitor.follow("Plain")
    theirs = _violations(visitor)

    url = stage.build(MODES[mode], theme=theme)
    visitor.open(_strict(stage, url, plain))
    if mode == "interaction":
        visitor.launcher().click()
    elif mode == "consent":
        visitor.wait_for_event("consent-wanted")
        visitor.page.evaluate(DISPATCH_CONSENT)
    visitor.wait_until_connected()
    assert visitor.element().is_visible()
    assert _violations(visitor) <= theirs
    visitor.follow("Plain")
    if mode == "consent" and theme != INSTANT:
        visitor.wait_for_event("consent-wanted")
        visitor.page.evaluate(DISPATCH_CONSENT)
    visitor.wait_until_connected() if mode != "interaction" else visitor.element().wait_for()
    assert _violations(visitor) <= theirs

    if mode != "eager":
        colour = "element => getComputedStyle(element).getPropertyValue('--primary-color')"
        assert visitor.element().evaluate(colour).strip() == "#123456"


def test_question_works_under_a_strict_policy(stage: Stage, visitor: Visitor) -> None:
    plain = stage.build(theme=INSTANT, with_avatar=False)
    url = stage.build({"consent": "sentifyd", "load": "interaction", **COLOURED}, theme=INSTANT)
    visitor.open(_strict(stage, plain, plain))
    theirs = _violations(visitor)

    visitor.open(_strict(stage, url, plain))
    visitor.launcher().click()
    visitor.question().get_by_role("button", name="Allow").click()
    visitor.wait_until_connected()

    assert _violations(visitor) <= theirs


def test_strict_policy_is_enforced(stage: Stage, visitor: Visitor) -> None:
    """The test above only makes sense if the policy forbids something."""
    plain = stage.build(theme=MKDOCS, with_avatar=False)
    visitor.open(_strict(stage, plain, plain))

    visitor.page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {text: 'true'}))"
    )

    assert any(text.startswith("script-src") for text in _violations(visitor))


# What is missing in a policy, and the directive that then blocks something.
INCOMPLETE = {
    "loader": "script-src",
    "hash": "script-src",
    "endpoint": "connect-src",
    "socket": "connect-src",
}
SERVER = """
server {{
    listen 127.0.0.1:{port};
    root {site};
    include {folder}/{name}.conf;
}}
"""


@pytest.fixture(scope="module")
def behind_nginx(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origins]:
    """A site whose nginx sends the printed policy, and servers with incomplete ones, by name."""
    ports = {name: free_port() for name in ("complete", *INCOMPLETE)}
    origins = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    avatar = avatar_settings(stage.sandbox, allowed_origins=frozenset(origins.values()))
    service = create_app(Settings(avatars={"": avatar}, rate_limit="100000/minute"))
    with serving(service) as endpoint:
        options = {"token_endpoint": f"{endpoint}/request_tokens"}
        name = stage.build(options, site_url=origins["complete"]).split("/")[-2]
        site, file = stage.folder / "served" / name, stage.folder / name / "mkdocs.yml"
        printed = io.StringIO()
        with redirect_stdout(printed):
            assert main(["csp", str(site), f"--config-file={file}", "--format=nginx"]) == 0
        # The sandbox takes the place of Sentifyd's servers.
        socket = stage.sandbox.replace("http", "ws")
        policy = printed.getvalue().replace("wss://serve.sentifyd.io", socket)
        missing = {"loader": stage.sandbox, "endpoint": endpoint, "socket": socket}
        folder = tmp_path_factory.mktemp("nginx")
        for name, port in ports.items():
            source = re.escape(missing[name]) if name in missing else "'sha256-[^']+'"
            text = re.sub(rf" {source}(?=[ ;])", "", policy) if name in INCOMPLETE else policy
            assert (text == policy) == (name == "complete")
            (folder / f"{name}.conf").write_text(text)
            server = SERVER.format(port=port, site=site, folder=folder, name=name)
            (folder / f"{name}-server.conf").write_text(server)
        files = {f"conf.d/{name}.conf": folder / f"{name}-server.conf" for name in ports}
        with Nginx(folder, files, {}):
            yield origins


def test_printed_policy_lets_the_site_and_both_components_work(
    behind_nginx: Origins, visitor: Visitor
) -> None:
    visitor.open(behind_nginx["complete"])
    visitor.wait_until_connected()
    visitor.follow("Plain")
    visitor.page.get_by_role("textbox", name="Search").first.click()
    visitor.page.keyboard.type("xylophone")
    visitor.page.locator(".md-search-result__link").first.wait_for()
    visitor.page.keyboard.press("Escape")
    visitor.page.goto(f"{behind_nginx['complete']}/realtime/")
    realtime = visitor.page.locator('sentifyd-realtime[data-state="connected"]')
    realtime.wait_for(state="attached")
    visitor.follow("Home")
    visitor.wait_until_connected()
    assert _violations(visitor) == set()


@pytest.mark.parametrize("missing", INCOMPLETE)
def test_incomplete_policy_blocks_what_it_lacks(
    behind_nginx: Origins, visitor: Visitor, missing: str
) -> None:
    visitor.open(behind_nginx[missing])
    until(lambda: visitor.page.evaluate("seen.violations.length > 0"))
    assert all(text.startswith(INCOMPLETE[missing]) for text in _violations(visitor))


@pytest.mark.parametrize("mode", MODES)
@THEMES
def test_runtime_adds_only_one_global_name(
    stage: Stage, visitor: Visitor, theme: Theme, mode: str
) -> None:
    names = "Object.getOwnPropertyNames(window)"
    visitor.open(stage.build(theme=theme, with_avatar=False))
    before = set(visitor.page.evaluate(names))
    visitor.open(stage.build(MODES[mode], theme=theme))
    if mode in ("eager", "idle"):
        visitor.wait_until_connected()
    else:
        visitor.page.wait_for_function("!!window.sentifydDocs")
    now = set(visitor.page.evaluate(names))

    # Names of the loader, and those that MkDocs' own theme sets when its search is ready.
    assert now - before - {"Sentifyd", "min_search_length"} == (
        set() if mode == "eager" and theme != INSTANT else {"sentifydDocs"}
    )
