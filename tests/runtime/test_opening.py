"""Test opening and closing, with the sandbox's realtime component and unknown versions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, WebSocket

from tests.runtime.stage import INSTANT, MKDOCS, Stage, Theme, Visitor

ELEMENT = "sentifyd-realtime"
STATE = "chatbotState_avtr_1"
IS_OPEN = f"JSON.parse(sessionStorage.{STATE}).isVisible"
ASKED = {"load": "interaction"}
SHORTCUT = {"shortcut": "ctrl+alt+a"}
ROUND = ["Plain", "Off", "Deep", "Branded", "Home", "German", "Off", "Branded", "Plain", "Home"]
EMBEDDED = "---\nsentifyd: {display: embedded}\n---\n# Plain\n\n[To Home](index.md)\n"
LINKS = "[To Plain](plain.md) [To Off](off.md)"
OWN = f"# Own\n\n{LINKS}\n\nBefore.\n\n<{ELEMENT}></{ELEMENT}>\n\nAfter.\n"
CONSENT = "agreed => document.dispatchEvent(new CustomEvent('sentifyd:consent', {detail: agreed}))"
# Records moments in which neither the launcher nor the open avatar is visible.
GAPS = """
window.gaps = 0;
new MutationObserver(() => {
  const launcher = document.querySelector("[data-sentifyd-launcher]");
  const panel = document.querySelector("sentifyd-realtime")?.shadowRoot?.querySelector(".panel");
  if (launcher?.hidden && (panel?.hidden ?? true)) gaps += 1;
}).observe(document, { subtree: true, childList: true, attributes: true });
"""
BLOCKED = """
Object.defineProperty(window, "sessionStorage", {
  get() { throw new DOMException("blocked", "SecurityError"); },
});
"""
FULL = """
for (let size = 4_000_000; size; size = Math.floor(size / 2)) {
  try { for (;;) sessionStorage[`filler${sessionStorage.length}`] = "x".repeat(size); } catch {}
}
"""
# A floating element has no size of its own.
IS_SHOWN = "element => getComputedStyle(element).display !== 'none'"


class Realtime(Visitor):
    """A visitor of a site with the realtime component."""

    def __init__(self, page: Page, stage: Stage) -> None:
        super().__init__(page, stage.loaders)
        self.stage = stage
        self.sockets: list[WebSocket] = []
        page.on("websocket", lambda socket: self.sockets.append(socket))

    def build(
        self,
        options: Mapping[str, Any] | None = None,
        theme: Theme = INSTANT,
        files: Mapping[str, str] | None = None,
    ) -> str:
        loader = {"url": self.stage.realtime_loader}
        mine = {"component": "realtime", "loader": loader, **(options or {})}
        return self.stage.build(mine, theme=theme, files={"own.md": OWN, **(files or {})})

    def wait_until_connected(self) -> None:
        connected = f'{ELEMENT}[data-state="connected"]'
        self.page.locator(connected).first.wait_for(state="attached", timeout=15_000)

    def panel(self) -> Locator:
        return self.page.get_by_role("region", name="Sandbox avatar")

    def ask(self, name: str) -> None:
        self.page.evaluate("name => sentifydDocs[name]()", name)

    def token_requests(self) -> int:
        return sum(request.url == self.stage.endpoint for request in self.requests)

    def keep(self) -> None:
        """Remember this element."""
        self.page.evaluate(f"window.kept = document.querySelector('{ELEMENT}')")

    def assert_undisturbed(self) -> None:
        """Check that the element is still the same, and was connected only once."""
        assert self.page.evaluate(f"kept === document.querySelector('{ELEMENT}')")
        assert self.page.get_attribute(ELEMENT, "data-state") == "connected"
        assert (self.connects(), self.token_requests()) == (1, 1)
        assert [socket.is_closed() for socket in self.sockets] == [False]
        assert self.errors() == []


@pytest.fixture
def realtime(browser: Browser, stage: Stage) -> Iterator[Realtime]:
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        yield Realtime(context.new_page(), stage)


@pytest.mark.parametrize("load", ["eager", "idle"])
def test_script_calls_open_and_close_the_avatar(realtime: Realtime, load: str) -> None:
    realtime.start(realtime.build({"load": load}))
    realtime.keep()
    assert not realtime.panel().is_visible()
    assert realtime.stored(STATE) is None

    # The requested state is reached when the call returns.
    calls = [("close", False), ("open", True), ("open", True), ("toggle", False), ("toggle", True)]
    for name, is_open in [*calls, ("close", False)]:
        realtime.ask(name)
        assert realtime.panel().is_visible() is is_open

    assert realtime.page.evaluate(IS_OPEN) is False
    realtime.assert_undisturbed()


def test_script_call_reopens_an_avatar_that_the_visitor_closed(realtime: Realtime) -> None:
    realtime.start(realtime.build())
    realtime.keep()
    realtime.ask("open")
    realtime.page.get_by_role("button", name="Close the avatar").click()

    realtime.ask("open")

    assert realtime.panel().is_visible()
    realtime.assert_undisturbed()


def test_shortcut_opens_and_closes_the_avatar(realtime: Realtime) -> None:
    realtime.start(realtime.build(SHORTCUT, MKDOCS))
    realtime.keep()

    for is_open in (True, False, True):
        realtime.page.keyboard.press("Control+Alt+a")
        assert realtime.panel().is_visible() is is_open

    realtime.assert_undisturbed()


@pytest.mark.parametrize("theme", [INSTANT, MKDOCS], ids=["instant", "mkdocs"])
def test_one_click_on_the_launcher_opens_the_avatar(realtime: Realtime, theme: Theme) -> None:
    realtime.page.add_init_script(GAPS)
    realtime.open(realtime.build(ASKED, theme))

    realtime.launcher().click()
    realtime.panel().wait_for()
    realtime.wait_until_connected()
    realtime.keep()

    realtime.launcher().wait_for(state="hidden")
    assert realtime.page.evaluate("gaps") == 0
    assert realtime.page.evaluate("document.activeElement.localName") == ELEMENT
    realtime.ask("close")
    assert not realtime.panel().is_visible()
    realtime.assert_undisturbed()


@pytest.mark.parametrize("way", ["shortcut", "call"])
def test_launcher_stays_until_the_avatar_is_open(realtime: Realtime, way: str) -> None:
    page = realtime.page
    held: list[Route] = []
    page.add_init_script(GAPS)
    page.route(realtime.stage.realtime_loader, lambda route: held.append(route))
    realtime.open(realtime.build({**ASKED, **SHORTCUT}))
    realtime.launcher().wait_for()

    with page.expect_request(realtime.stage.realtime_loader):
        if way == "shortcut":
            page.keyboard.press("Control+Alt+a")
        else:
            realtime.ask("open")
    realtime.launcher_status().get_by_text("Loading").wait_for()
    assert realtime.launcher().is_visible()
    held[0].continue_()

    realtime.panel().wait_for()
    realtime.launcher().wait_for(state="hidden")
    assert page.evaluate("gaps") == 0


def test_close_while_loading_hides_the_launcher(realtime: Realtime) -> None:
    page = realtime.page
    held: list[Route] = []
    page.route(realtime.stage.realtime_loader, lambda route: held.append(route))
    realtime.open(realtime.build(ASKED))
    with page.expect_request(realtime.stage.realtime_loader):
        realtime.launcher().click()

    realtime.ask("close")
    realtime.launcher().wait_for(state="hidden")
    held[0].continue_()
    realtime.wait_until_connected()

    assert not realtime.panel().is_visible()
    assert realtime.reported_errors() == []


def test_invisible_avatar_is_reported_and_the_launcher_stays(realtime: Realtime) -> None:
    page = realtime.page
    page.clock.install()
    realtime.open(realtime.build(ASKED))
    page.add_style_tag(content=f"{ELEMENT} {{ display: none !important; }}")
    realtime.launcher().click()
    realtime.wait_for_event("shown")
    assert realtime.launcher().is_visible()

    page.clock.run_for(6_000)
    realtime.launcher_status().get_by_text("cannot be reached. Please try again.").wait_for()

    assert realtime.reported_errors() == ["open"]
    assert realtime.element(ELEMENT).count() == 0


@pytest.mark.parametrize("load", ["eager", "idle", "interaction"])
def test_early_open_call_opens_the_avatar_from_the_start(realtime: Realtime, load: str) -> None:
    realtime.page.add_init_script("(window.sentifydDocs ??= []).push('open')")
    realtime.start(realtime.build({"load": load}))

    assert realtime.panel().is_visible()
    assert realtime.connects() == 1


def test_avatar_stays_open_on_the_next_page_with_its_settings(realtime: Realtime) -> None:
    others = {"mode": "TEXT", "enableCaptions": False}
    realtime.open(realtime.build(ASKED, MKDOCS))
    realtime.page.evaluate(
        f"others => sessionStorage.setItem('{STATE}', JSON.stringify(others))",
        {"isVisible": False, **others},
    )
    realtime.page.reload()
    realtime.launcher().click()
    realtime.panel().wait_for()
    assert realtime.stored(STATE) == {"isVisible": True, **others}

    realtime.follow("Plain")
    realtime.wait_until_connected()
    assert realtime.panel().is_visible()
    assert realtime.stored(STATE) == {"isVisible": True, **others}

    realtime.ask("close")
    realtime.follow("Home")
    realtime.launcher().wait_for()
    assert realtime.element(ELEMENT).count() == 0


@pytest.mark.thorough
def test_fifty_navigations_keep_the_connection(realtime: Realtime) -> None:
    realtime.start(realtime.build())
    realtime.keep()
    realtime.ask("open")

    for title in ROUND * 5:
        realtime.follow(title)
        # The attribute `hidden` alone does not hide the element.
        assert realtime.element(ELEMENT).evaluate(IS_SHOWN) is (title != "Off")

    assert realtime.panel().is_visible()
    assert realtime.loader_requests() == 1
    realtime.assert_undisturbed()


def test_page_with_another_display_keeps_the_connection(realtime: Realtime) -> None:
    floating = realtime.page.locator(f"{ELEMENT}[data-floating]")
    realtime.start(realtime.build(files={"plain.md": EMBEDDED}))
    realtime.keep()

    realtime.follow("Plain")
    assert floating.count() == 0
    assert realtime.panel().is_visible()
    realtime.follow("Home")
    assert floating.count() == 1
    assert not realtime.panel().is_visible()

    realtime.assert_undisturbed()


def test_each_place_gets_an_element_with_its_own_connection(realtime: Realtime) -> None:
    realtime.start(realtime.build())
    realtime.ask("open")
    page = realtime.page
    box = page.get_by_role("textbox", name="Message to the avatar")
    box.fill("Hello")
    box.press("Enter")
    output = page.get_by_role("log", name="Conversation").get_by_text("You wrote: “Hello”")
    output.wait_for()

    for title, is_in_text in (("Own", 1), ("Plain", 0), ("Own", 1)):
        realtime.follow(title)
        realtime.wait_until_connected()
        output.wait_for()
        assert page.get_by_role("button", name="Connect").count() == 0
        assert page.locator(ELEMENT).count() == 1
        assert page.locator(f".md-content {ELEMENT}").count() == is_in_text
    realtime.follow("Off")
    realtime.follow("Home")
    realtime.wait_until_connected()

    assert realtime.token_requests() == 5
    assert [socket.is_closed() for socket in realtime.sockets] == [True] * 4 + [False]
    assert realtime.errors() == []


def test_opening_works_with_a_full_storage(realtime: Realtime) -> None:
    realtime.page.add_init_script(FULL)
    realtime.open(realtime.build({**ASKED, **SHORTCUT, "consent": "sentifyd"}, MKDOCS))
    realtime.wait_for_event("consent-wanted")
    realtime.page.evaluate(CONSENT, {"sentifyd": True})

    realtime.launcher().click()
    realtime.panel().wait_for()
    realtime.launcher().wait_for(state="hidden")
    realtime.wait_until_connected()
    realtime.keep()
    for name, is_open in [("open", True), ("close", False), ("toggle", True), ("toggle", False)]:
        realtime.ask(name)
        assert realtime.panel().is_visible() is is_open

    realtime.assert_undisturbed()
    realtime.ask("destroy")
    realtime.page.evaluate(CONSENT, {"sentifyd": False})
    assert realtime.errors() == []


def test_component_that_does_not_start_without_storage_is_reported(realtime: Realtime) -> None:
    realtime.page.add_init_script(BLOCKED)
    realtime.open(realtime.build(ASKED, MKDOCS))

    realtime.launcher().click()

    realtime.launcher_status().get_by_text("cannot be reached").wait_for()
    assert realtime.launcher().is_visible()


@pytest.mark.parametrize("broken", [BLOCKED, FULL], ids=["blocked", "full"])
def test_avatar_is_visible_without_method_and_storage(
    stage: Stage, visitor: Visitor, broken: str
) -> None:
    visitor.page.add_init_script(broken)
    visitor.open(stage.build(ASKED, theme=MKDOCS))

    visitor.launcher().click()
    visitor.wait_until_connected()
    visitor.launcher().wait_for(state="hidden")
    visitor.page.evaluate("sentifydDocs.close(), sentifydDocs.open()")

    assert visitor.element().is_visible()
    assert visitor.moves() == 0
    assert visitor.errors() == []


@pytest.mark.parametrize("found", [None, '{"isVisible": false}', "no JSON"])
def test_opening_works_after_another_script_changed_the_storage(
    realtime: Realtime, found: str | None
) -> None:
    realtime.start(realtime.build())
    realtime.keep()
    realtime.ask("open")
    realtime.page.evaluate(
        f"found => found ? sessionStorage.setItem('{STATE}', found) : sessionStorage.clear()", found
    )

    realtime.ask("open")

    assert realtime.panel().is_visible()
    assert realtime.page.evaluate(IS_OPEN) is True
    realtime.assert_undisturbed()


# Elements that a future loader might define.
UNKNOWN = """
customElements.define("sentifyd-realtime", class extends HTMLElement {
  connectedCallback() {
    const { isVisible } = JSON.parse(sessionStorage.chatbotState_avtr_1 ?? "{}");
    this.textContent = isVisible ? "open" : "closed";
    fetch(this.getAttribute("token-endpoint")).then((answer) => answer.text());
  }
});
"""
METHOD = """
customElements.define("sentifyd-bot", class extends HTMLElement {
  connectedCallback() { this.show(sessionStorage.showChatbot_avtr_1 === "true"); }
  show(isOpen) { this.textContent = isOpen ? "open" : "closed"; }
  _handleToggleChatbot() {
    sessionStorage.showChatbot_avtr_1 = this.textContent !== "open";
    this.show(sessionStorage.showChatbot_avtr_1 === "true");
  }
});
"""


@pytest.mark.parametrize("load", ["eager", "interaction"])
def test_element_without_the_toggle_method_is_replaced(realtime: Realtime, load: str) -> None:
    page = realtime.page
    page.route(
        realtime.stage.realtime_loader,
        lambda route: route.fulfill(content_type="text/javascript", body=UNKNOWN),
    )
    realtime.open(realtime.build({"load": load}))
    if load == "eager":
        page.locator(ELEMENT, has_text="closed").wait_for(state="attached")
    realtime.ask("open")
    page.locator(ELEMENT, has_text="open").wait_for(state="attached")
    realtime.ask("close")
    page.locator(ELEMENT, has_text="closed").wait_for(state="attached")

    assert page.locator(ELEMENT).count() == 1
    assert realtime.moves() == 0
    assert realtime.connects() == (3 if load == "eager" else 2)


def test_toggle_method_is_used_if_the_element_has_it(stage: Stage, visitor: Visitor) -> None:
    page = visitor.page
    page.route(
        stage.loader, lambda route: route.fulfill(content_type="text/javascript", body=METHOD)
    )
    visitor.open(stage.build())
    visitor.wait_for_event("shown")

    for name, text in [("open", "open"), ("close", "closed"), ("toggle", "open")]:
        page.evaluate("name => sentifydDocs[name]()", name)
        assert visitor.element().text_content() == text

    assert visitor.connects() == 1


def test_withdrawal_and_destroy_remove_the_stored_data(realtime: Realtime) -> None:
    kept = "Object.keys(sessionStorage).filter((key) => key.includes('_avtr_1')).sort()"
    page = realtime.page
    realtime.open(realtime.build({"consent": "sentifyd"}, MKDOCS))
    realtime.wait_for_event("consent-wanted")
    page.evaluate(CONSENT, {"sentifyd": True})

    for leave in (
        lambda: page.evaluate(CONSENT, {"sentifyd": False}),
        lambda: realtime.ask("destroy"),
    ):
        realtime.wait_until_connected()
        realtime.ask("open")
        page.evaluate("sessionStorage.setItem('their_avtr_1', '1')")
        assert {STATE, "authData_avtr_1"} <= set(page.evaluate(kept))

        leave()

        # It may not be removed before it has connected, but is not visible.
        assert not realtime.element(ELEMENT).is_visible()
        realtime.element(ELEMENT).wait_for(state="detached")
        assert page.evaluate(kept) == ["their_avtr_1"]
        page.evaluate(CONSENT, {"sentifyd": True})
    realtime.ask("open")
    realtime.wait_until_connected()
    assert realtime.panel().is_visible()


def test_opening_after_a_failure_creates_a_new_element(realtime: Realtime) -> None:
    page = realtime.page
    page.clock.install()
    page.route(f"{realtime.stage.endpoint}*", lambda route: route.abort())
    realtime.open(realtime.build())
    realtime.wait_for_event("error")
    realtime.keep()
    # The component makes no more requests.
    page.clock.run_for(11_000)
    realtime.wait_for_event("hidden")

    page.unroute_all()
    realtime.ask("open")
    realtime.wait_until_connected()

    assert realtime.panel().is_visible()
    assert not page.evaluate(f"kept === document.querySelector('{ELEMENT}')")
    assert realtime.moves() == 0
