"""What can only be shown with the vendor's own component: its requests, its looks, its policy."""

from __future__ import annotations

from functools import partial

import pytest
from playwright.sync_api import Route

from mkdocs_sentifyd.site.config_file import read_config
from mkdocs_sentifyd.site.policy import policy
from tests.realtime.conftest import MakeVendor
from tests.realtime.visitors import ELEMENT, PANEL, Vendor
from tests.runtime.stage import INSTANT, MKDOCS, Stage
from tests.support.vendor import Backend
from tests.support.waiting import until

ROUND = ["Plain", "Off", "Deep", "Branded", "Home", "German", "Off", "Branded", "Plain", "Home"]
# An element that is refused pauses after so many requests, and is ended then.
REFUSALS = 7
PALETTE = {"scheme": "default", "primary": "teal"}
ACCENT = """() => {
  const probe = document.body.appendChild(document.createElement("i"));
  probe.style.color = "var(--md-accent-fg-color)";
  return getComputedStyle(probe).color;
}"""
COLOURED = """---
sentifyd: {appearance: {primary_color: '#123456'}}
---
# Plain

[To Home](index.md)
"""


def test_token_of_our_service_reaches_the_backend(vendor: Vendor, backend: Backend) -> None:
    vendor.start(vendor.build(theme=MKDOCS))

    (token,) = vendor.issued()
    assert f"Bearer {token}" in backend.authorizations
    assert any(f"Bearer {token}" in connect for connect in backend.connects)


def test_fifty_navigations_keep_one_element_and_its_connection(vendor: Vendor) -> None:
    vendor.start(vendor.build())
    page = vendor.page
    page.evaluate(f"window.kept = document.querySelector('{ELEMENT}')")
    vendor.ask("open")

    for title in ROUND * 5:
        vendor.follow(title)
        assert page.evaluate(PANEL) is (title != "Off")

    assert page.evaluate(f"kept === document.querySelector('{ELEMENT}')")
    assert (vendor.loader_requests(), vendor.token_requests()) == (1, 1)
    assert (vendor.connects(), vendor.moves(), vendor.connections()) == (1, 0, 1)


def test_refusals_are_reported_and_do_not_cause_a_flood(make_vendor: MakeVendor) -> None:
    """Three visitors at the same time, because each needs 14 seconds."""
    visitors = {status: make_vendor() for status in (401, 429, 503)}
    fixed: list[int] = []

    def answer(status: int, route: Route) -> None:
        headers = {"Access-Control-Allow-Origin": "*", "Retry-After": "60"}
        if status in fixed:
            route.continue_()
        else:
            route.fulfill(status=status, headers=headers, json={"error": "refused"})

    for status, visitor in visitors.items():
        visitor.page.route(f"{visitor.stage.endpoint}*", partial(answer, status))
        visitor.open(visitor.build({"load": "idle"}, MKDOCS))
    for visitor in visitors.values():
        visitor.wait_for_event("hidden")
        assert visitor.reported_errors() == ["endpoint"]
        assert visitor.element(ELEMENT).count() == 0
    # Longer than the longest pause between its first requests.
    visitor.page.wait_for_timeout(6_000)
    for visitor in visitors.values():
        assert visitor.token_requests() == REFUSALS

    fixed.extend(visitors)
    for visitor in visitors.values():
        visitor.ask("open")
    for visitor in visitors.values():
        visitor.wait_until_connected()
        visitor.wait_until_open()
        assert visitor.token_requests() == REFUSALS + 1
        assert len(visitor.sockets) == 1


def test_launcher_gets_a_new_connection_after_a_refusal(vendor: Vendor) -> None:
    page = vendor.page
    page.route(f"{vendor.stage.endpoint}*", lambda route: route.abort())
    vendor.open(vendor.build({"load": "interaction"}, MKDOCS))
    vendor.launcher().click()
    vendor.launcher_status().get_by_text("cannot be reached. Please try again.").wait_for()
    assert not vendor.toggler().is_visible()

    page.unroute_all()
    vendor.launcher().click()
    vendor.launcher_status().get_by_text("Loading").wait_for()
    vendor.wait_until_open()
    vendor.wait_until_connected()

    assert len(vendor.sockets) - vendor.connections() <= 1
    assert vendor.element(ELEMENT).count() == 1


def test_colours_follow_the_palette_and_the_page(vendor: Vendor) -> None:
    theme = {**INSTANT, "palette": PALETTE}
    options = {"appearance": {"follow_palette": True, "corner_radius": 5}}
    own = f"document.querySelector('{ELEMENT}').style"
    vendor.start(vendor.build(options, theme, {"plain.md": COLOURED}))
    accent = vendor.page.evaluate(ACCENT)
    before = vendor.page.evaluate(f"{own}.cssText")
    assert "--corner-radius" in before
    face = vendor.toggler().evaluate("button => getComputedStyle(button).backgroundColor")
    assert face == accent

    vendor.follow("Plain")
    vendor.page.wait_for_function(f"{own}.getPropertyValue('--primary-color') === '#123456'")
    vendor.follow("Home")
    vendor.page.wait_for_function(f"{own}.getPropertyValue('--primary-color') === ''")

    assert vendor.page.evaluate(f"{own}.cssText") == before


@pytest.mark.parametrize("missing", ["", "style-src-attr 'unsafe-inline'", "{socket}"])
def test_it_works_under_the_printed_policy_and_no_smaller_one(
    vendor: Vendor, stage: Stage, backend_url: str, missing: str
) -> None:
    url = vendor.build({"load": "interaction"}, MKDOCS)
    name = url.split("/")[-2]
    site = stage.folder / "served" / name
    printed = policy(read_config(stage.folder / name / "mkdocs.yml"), site)
    socket = backend_url.replace("http", "ws")
    for host, local in (("https", backend_url), ("wss", socket)):
        assert f"{host}://serve.sentifyd.io" in printed
        printed = printed.replace(f"{host}://serve.sentifyd.io", local)
    without = missing.format(socket=socket)
    assert without in printed
    stage.headers[name] = {"Content-Security-Policy": printed.replace(without, "")}

    vendor.open(url)
    vendor.launcher().click()
    if "socket" in missing:
        until(lambda: any(socket in text for text in vendor.violations()))
        assert vendor.connections() == 0
        return
    vendor.wait_until_connected()
    assert bool(vendor.violations()) is bool(missing)


def test_endpoint_on_the_sites_own_origin_gets_its_cookies(vendor: Vendor, stage: Stage) -> None:
    page = vendor.page
    cookies: list[str] = []
    tokens = {"accessToken": "one", "refreshToken": "two"}

    def answer(route: Route) -> None:
        cookies.append(route.request.all_headers().get("cookie", ""))
        route.fulfill(json={"tokens": tokens, "avatarParameters": {}})

    page.route(f"{stage.origin}/request_tokens", answer)
    page.context.add_cookies([{"name": "session", "value": "abc", "url": stage.origin}])
    vendor.start(vendor.build({"token_endpoint": "/request_tokens"}, MKDOCS))

    until(lambda: cookies == ["session=abc"])
    assert vendor.reported_errors() == []
