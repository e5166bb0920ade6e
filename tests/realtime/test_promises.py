"""Promises of the runtime, with the sandbox's realtime component and with the vendor's own."""

from __future__ import annotations

import pytest
from playwright.sync_api import Route

from tests.realtime.visitors import CONSENT, ELEMENT, STATE, STORED, Realtime
from tests.runtime.stage import INSTANT, MKDOCS
from tests.support.waiting import until

PHONE = {"width": 360, "height": 640}
COMPACT = "---\nsentifyd: {display: compact}\n---\n# Plain\n\n[To Home](index.md)\n"


def test_each_page_load_requests_one_token_and_connects_with_it(realtime: Realtime) -> None:
    url = realtime.build(theme=MKDOCS)
    for loads in (1, 2):
        realtime.start(url)

        assert (realtime.token_requests(), realtime.loader_requests()) == (loads, loads)
        assert realtime.issued()[-1] in realtime.sent[-1]


def test_script_calls_and_the_visitor_open_and_close_the_avatar(realtime: Realtime) -> None:
    realtime.start(realtime.build())
    assert not realtime.is_open()
    assert realtime.stored(STATE) is None

    for name, is_open in [("open", True), ("open", True), ("close", False), ("toggle", True)]:
        realtime.ask(name)
        realtime.wait_until_open(is_open)
    realtime.wait_for_openings("open", "close", "open")
    realtime.toggler().press("Enter")
    realtime.wait_until_open(False)
    realtime.wait_for_openings("close")
    realtime.toggler().press("Enter")
    realtime.wait_until_open()
    realtime.wait_for_openings("open")

    assert (realtime.connects(), realtime.token_requests()) == (1, 1)


def test_closing_without_the_runtime_is_reported(realtime: Realtime) -> None:
    realtime.page.clock.install()
    realtime.start(realtime.build())
    # Five seconds after the tokens, the runtime looks at everything once.
    realtime.page.clock.run_for(6_000)
    realtime.ask("open")
    realtime.wait_for_openings("open")

    # As the component does after a silence: no click, no key.
    realtime.page.evaluate(f"document.querySelector('{ELEMENT}')._handleToggleChatbot()")

    realtime.wait_for_openings("close")


def test_shortcut_opens_and_closes_the_avatar(realtime: Realtime) -> None:
    realtime.start(realtime.build({"shortcut": "ctrl+alt+a"}, MKDOCS))

    for is_open in (True, False):
        realtime.page.keyboard.press("Control+Alt+a")
        realtime.wait_until_open(is_open)


@pytest.mark.parametrize("size", [{"width": 1280, "height": 800}, PHONE], ids=["desktop", "phone"])
def test_one_click_on_the_launcher_opens_the_avatar(
    realtime: Realtime, size: dict[str, int]
) -> None:
    realtime.page.set_viewport_size(size)  # type: ignore[arg-type]
    realtime.open(realtime.build({"load": "interaction"}))

    realtime.launcher().click()
    realtime.wait_until_open()
    realtime.launcher().wait_for(state="hidden")
    realtime.wait_until_connected()

    assert realtime.page.evaluate("gaps") == 0
    realtime.wait_for_openings("open")
    assert (realtime.connects(), realtime.token_requests()) == (1, 1)


def test_avatar_follows_the_pages_of_instant_navigation(realtime: Realtime) -> None:
    element = realtime.element(ELEMENT)
    realtime.start(realtime.build({"load": "idle"}, INSTANT, {"plain.md": COMPACT}))
    realtime.ask("open")
    realtime.wait_until_open()

    realtime.follow("Off")
    realtime.wait_until_open(False)
    assert not realtime.toggler().is_visible()
    realtime.follow("Home")
    realtime.wait_until_open()
    realtime.wait_for_openings("open", "close", "open")
    # In the text it has no button.
    realtime.follow("Plain")
    realtime.toggler().wait_for(state="hidden")
    realtime.follow("Home")
    realtime.toggler().wait_for()
    realtime.wait_until_open()
    assert (realtime.connects(), realtime.token_requests(), realtime.connections()) == (1, 1, 1)

    realtime.follow("Other")
    until(lambda: realtime.token_requests() == 2)
    realtime.wait_until_connected()
    assert element.count() == 1
    assert realtime.issued()[-1] in realtime.sent[-1]


def _hold(realtime: Realtime) -> list[Route]:
    """Keep the tokens back until a test continues their routes."""
    held: list[Route] = []
    realtime.page.route(f"{realtime.stage.endpoint}*", lambda route: held.append(route))
    return held


@pytest.mark.parametrize("way", ["withdraw", "destroy"])
def test_avatar_whose_token_is_pending_never_stays_connected(realtime: Realtime, way: str) -> None:
    held = _hold(realtime)
    page = realtime.page
    realtime.open(realtime.build({"consent": "sentifyd"}, MKDOCS))
    realtime.wait_for_event("consent-wanted")
    with page.expect_request(realtime.stage.endpoint):
        page.evaluate(CONSENT, {"sentifyd": True})
    realtime.ask("open")
    realtime.wait_until_open()

    if way == "withdraw":
        page.evaluate(CONSENT, {"sentifyd": False})
    else:
        realtime.ask("destroy")
    realtime.wait_until_open(False)
    assert not realtime.toggler().is_visible()
    held[0].continue_()
    realtime.element(ELEMENT).wait_for(state="detached")

    assert realtime.connections() == 0
    assert page.evaluate(STORED) == []
    page.evaluate(CONSENT, {"sentifyd": True})
    realtime.ask("open")
    # Routes are only called while a call of Playwright waits.
    until(lambda: realtime.token_requests() == len(held) == 2)
    held[1].continue_()
    realtime.wait_until_connected()
    assert (realtime.token_requests(), len(realtime.issued())) == (2, 2)


def test_withdrawal_ends_a_connected_avatar_at_once(realtime: Realtime) -> None:
    page = realtime.page
    page.clock.install()
    realtime.open(realtime.build({"consent": "sentifyd"}, MKDOCS))
    realtime.wait_for_event("consent-wanted")
    page.evaluate(CONSENT, {"sentifyd": True})
    realtime.wait_until_connected()
    page.clock.run_for(6_000)
    realtime.ask("open")

    page.evaluate(CONSENT, {"sentifyd": False})

    assert realtime.element(ELEMENT).count() == 0
    assert page.evaluate(STORED) == []
    until(lambda: realtime.connections() == 0)
