"""What the documentation promises of the runtime, in each engine: Chromium, Firefox, WebKitGTK.

Each engine is started once. A test's docstring is the promise, as a row of the table in
`example_docs/docs/reference/browsers.md`. What only Chromium can observe is in the other files of
this folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.stage import INSTANT, MKDOCS, Stage, Theme
from tests.support.engines import NAMES, Tab, chromium, firefox, webkit
from tests.support.ports import free_port

SHORTCUT = {"shortcut": "ctrl+alt+a"}
ASKED = {"load": "interaction"}
COMPONENTS = {"bot": "", "realtime": "realtime/"}
BROKEN = "---\nsentifyd: {token_endpoint: BROKEN}\n---\n# Broken\n"
FORM = {"consent": {"title": "Cookies", "description": "We ask first.", "actions": ["accept"]}}
OBSERVER = (Path(__file__).parent / "promises.js").read_text()


class Guest:
    """A visitor in one of the engines, with nothing stored."""

    def __init__(self, tab: Tab, stage: Stage) -> None:
        self.tab = tab
        self.stage = stage
        tab.open(f"{stage.origin}/blank.html")
        tab.evaluate("(localStorage.clear(), sessionStorage.clear())")

    def build(self, options: Mapping[str, Any], theme: Theme = INSTANT, **config: object) -> str:
        files = {"seen.js": OBSERVER, "broken.md": BROKEN.replace("BROKEN", self.stage.broken)}
        observed: dict[str, Any] = {"extra_javascript": ["seen.js"], **config}
        return self.stage.build(options, theme=theme, files=files, **observed)

    def open(self, url: str) -> None:
        self.tab.open(url)
        self.tab.wait_for("!!window.sentifydDocs?.open")

    def start(self, url: str) -> None:
        """Open a page whose avatar loads without an action, and remember its element."""
        self.open(url)
        self.wait_until_connected()
        self.tab.evaluate("void (window.marked = seen.avatar())")

    def is_same(self) -> bool:
        """Whether document and element are still those of `start`."""
        same: bool = self.tab.evaluate("!!window.marked && marked === seen.avatar()")
        return same

    def follow(self, title: str) -> None:
        """Click the link to a page of the site, and wait for the page."""
        self.tab.click(f"seen.link({json.dumps(f'To {title}')})")
        self.tab.wait_for("seen.title() === args[0]", title)

    def go(self, steps: int, title: str) -> None:
        """Go back or forward, and wait for the page."""
        self.tab.evaluate("void start(() => history.go(args[0]))", steps)
        self.tab.wait_for("seen.title() === args[0] && !!window.sentifydDocs?.open", title)

    def wait_until_connected(self) -> None:
        self.tab.wait_for("seen.state() === 'connected'")

    def pass_time(self) -> None:
        """Let the runtime's long timers end."""
        self.tab.evaluate("void seen.late.splice(0).forEach((task) => task())")

    def requests(self) -> tuple[int, int]:
        """Return how often this document requested the loader and tokens."""
        urls = (self.stage.loader, self.stage.endpoint)
        loads, tokens = (self.tab.evaluate("seen.requests(args[0])", url) for url in urls)
        return loads, tokens

    def give_consent(self, given: bool) -> None:
        event = "new CustomEvent('sentifyd:consent', { detail: { sentifyd: args[0] } })"
        self.tab.evaluate(f"document.dispatchEvent({event})", given)

    def open_panel(self) -> None:
        self.tab.evaluate("void sentifydDocs.open()")
        self.tab.wait_for("seen.isOpen() && seen.state() === 'connected'")
        self.tab.click("seen.panel().querySelector('input')")


@pytest.fixture(scope="session", params=NAMES)
def tab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """The only tab of an engine that runs until all its tests have run."""
    folder = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        if request.param == "chromium":
            started = chromium(request.getfixturevalue("browser"))
        else:
            started = {"firefox": firefox, "webkit": webkit}[request.param](folder)
        yield stack.enter_context(started)


@pytest.fixture
def guest(tab: Tab, stage: Stage) -> Guest:
    (stage.folder / "served" / "blank.html").touch()
    return Guest(tab, stage)


def test_instant_navigation_keeps_one_element_and_one_connection(guest: Guest) -> None:
    """Instant navigation keeps one element, which follows the page or is hidden."""
    tab = guest.tab
    guest.start(guest.build(SHORTCUT))
    languages = {"Branded": "fr", "German": "de"}

    for title in ("Plain", "Branded", "Off", "Deep", "German", "Home"):
        guest.follow(title)
        assert tab.evaluate("seen.isVisible(seen.avatar())") is (title != "Off")
        if title != "Off":
            attributes = tab.evaluate("seen.attributes()")
            assert attributes.get("ui-language") == languages.get(title)
            assert attributes.get("brand-name") == ("Acme" if title == "Branded" else None)
    guest.go(-1, "German")
    assert tab.evaluate("seen.attributes()['ui-language']") == "de"
    guest.go(+1, "Home")

    assert guest.is_same()
    assert tab.evaluate("[seen.connects, seen.state()]") == [1, "connected"]
    assert guest.requests() == (1, 1)


def test_page_with_another_avatar_gets_a_new_element(guest: Guest) -> None:
    """A page with another avatar gets a new element."""
    tab = guest.tab
    guest.open(f"{guest.build(SHORTCUT)}off/")
    assert tab.evaluate("seen.avatar()") is None

    seen = []
    for title in ("Other", "Realtime", "Home"):
        guest.follow(title)
        guest.wait_until_connected()
        attributes = tab.evaluate("seen.attributes()")
        name = tab.evaluate("seen.avatar().localName")
        seen.append((name, attributes.get("avatar_id") or attributes["avatar-id"]))

    bot = "sentifyd-bot"
    assert seen == [(bot, "avtr_other"), ("sentifyd-realtime", "avtr_1"), (bot, "avtr_1")]
    assert tab.evaluate("seen.connects") == 3


@pytest.mark.parametrize("component", COMPONENTS)
def test_calls_and_shortcut_open_and_close_the_avatar(guest: Guest, component: str) -> None:
    """Calls of `sentifydDocs` and the shortcut open and close the avatar."""
    tab = guest.tab
    guest.start(guest.build(SHORTCUT) + COMPONENTS[component])
    assert tab.evaluate("seen.isOpen()") is False

    for call, is_open in (("open", True), ("close", False), ("toggle", True), ("toggle", False)):
        tab.evaluate("void sentifydDocs[args[0]]()", call)
        tab.wait_for("seen.isOpen() === args[0] && seen.state() === 'connected'", is_open)
    for is_open in (True, False):
        tab.press("Control+Alt+a")
        tab.wait_for("seen.isOpen() === args[0]", is_open)
    tab.evaluate("void sentifydDocs.destroy()")

    assert tab.evaluate("seen.avatar()") is None
    assert tab.evaluate("Object.keys(sessionStorage).filter((key) => key.endsWith('_1'))") == []


def test_open_avatar_continues_on_other_pages_and_after_going_back(guest: Guest) -> None:
    """An open avatar continues on the next page, and after Back and Forward."""
    guest.start(guest.build(SHORTCUT, MKDOCS))
    guest.open_panel()

    guest.follow("Plain")
    guest.tab.wait_for("seen.isOpen() && seen.state() === 'connected'")
    guest.go(-1, "Home")
    guest.tab.wait_for("seen.isOpen() && seen.state() === 'connected'")
    guest.go(+1, "Plain")
    guest.tab.wait_for("seen.isOpen() && seen.state() === 'connected'")

    assert guest.tab.evaluate("document.querySelectorAll('sentifyd-bot').length") == 1


def test_idle_loading_waits_for_the_page(guest: Guest) -> None:
    """An avatar with `load: idle` waits until the page has loaded."""
    guest.start(guest.build({"load": "idle"}, MKDOCS))

    loaded, requested = guest.tab.evaluate(
        """[
          performance.getEntriesByType("navigation")[0].loadEventStart,
          performance.getEntriesByName(args[0])[0].startTime,
        ]""",
        guest.stage.loader,
    )
    assert requested >= loaded > 0


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("way", ["click", "keyboard"])
def test_launcher_opens_the_avatar_and_passes_the_focus_on(
    guest: Guest, component: str, way: str
) -> None:
    """A click or a key opens a waiting avatar, which gets the focus; Tab enters it."""
    tab = guest.tab
    guest.open(guest.build(ASKED, MKDOCS) + COMPONENTS[component])
    tab.wait_for("seen.isVisible(seen.button())")
    assert guest.requests() == (0, 0)
    assert tab.evaluate("seen.button().getAttribute('aria-expanded')") == "false"

    if way == "click":
        tab.click("seen.button()")
    else:
        tab.evaluate("seen.button().focus()")
        tab.press("Enter")
    tab.wait_for("seen.isOpen() && seen.state() === 'connected'")
    tab.wait_for("!seen.isVisible(seen.button())")

    tab.wait_for("document.activeElement === seen.avatar()")
    tab.press("Tab")
    tab.wait_for("document.activeElement === seen.avatar()")
    assert tab.evaluate("seen.avatar().shadowRoot.activeElement?.localName") == "button"
    assert tab.evaluate("seen.connects") == 1
    tab.evaluate("seen.link('To Plain').focus()")
    assert tab.evaluate("seen.avatar().hasAttribute('tabindex')") is False


@pytest.mark.parametrize("theme", [INSTANT, MKDOCS], ids=["instant", "mkdocs"])
def test_nothing_loads_before_consent_and_withdrawal_removes_all(
    guest: Guest, theme: Theme
) -> None:
    """Nothing loads before consent, and withdrawal removes the avatar and what it stored."""
    tab = guest.tab
    guest.open(guest.build({"consent": "sentifyd"}, theme))
    tab.wait_for("seen.events.some(([name]) => name === 'consent-wanted')")
    guest.give_consent(False)
    assert guest.requests() == (0, 0)

    guest.give_consent(True)
    guest.wait_until_connected()
    assert tab.evaluate("'authData_avtr_1' in sessionStorage")
    guest.give_consent(False)

    assert tab.evaluate("seen.avatar()") is None
    assert tab.evaluate("Object.keys(sessionStorage).filter((key) => key.endsWith('_1'))") == []


def test_consent_form_of_material_is_respected(guest: Guest) -> None:
    """Material's consent form gives and withdraws consent."""
    tab = guest.tab
    url = guest.build({"consent": "sentifyd"}, INSTANT, extra=FORM)
    guest.open(url)
    box = "document.querySelector('form[name=consent] input[name=sentifyd]')"
    assert guest.requests() == (0, 0)

    for is_given in (True, False):
        tab.wait_for(f"!!{box}")
        tab.evaluate(f"void ({box}.checked = args[0], window.isOld = true)", is_given)
        tab.click("document.querySelector('form[name=consent] .md-button--primary')")
        tab.wait_for("!window.isOld && !!window.sentifydDocs?.open")
        if is_given:
            guest.wait_until_connected()
            tab.open(f"{guest.stage.origin}/blank.html")
            guest.open(f"{url}#__consent")
    tab.wait_for("!seen.avatar()")
    assert tab.evaluate("'authData_avtr_1' in sessionStorage") is False


def failing(stage: Stage, kind: str) -> str:
    """Return the URL of an endpoint that fails in this way."""
    if kind == "refused":
        return f"http://127.0.0.1:{free_port()}/request_tokens"
    stage.failure = {"401": 401, "503": 503, "without-cors": 200}[kind]
    return stage.broken


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("kind", ["401", "503", "refused", "without-cors"])
def test_failing_endpoint_is_reported_and_the_launcher_returns(
    guest: Guest, stage: Stage, kind: str, component: str
) -> None:
    """A failing token service is reported, and the launcher returns."""
    tab = guest.tab
    endpoint = failing(stage, kind)
    guest.open(guest.build({**ASKED, "token_endpoint": endpoint}, MKDOCS) + COMPONENTS[component])

    tab.click("seen.button()")
    tab.wait_for("seen.errors().length || seen.state() === 'error'")
    guest.pass_time()
    tab.wait_for("seen.errors().length")

    [[_, reason, message]] = tab.evaluate("seen.errors()")
    assert reason == "endpoint"
    assert message.startswith(f"{endpoint} ")
    assert tab.evaluate("seen.avatar()") is None
    assert tab.evaluate("seen.isVisible(seen.button())")
    tab.wait_for("/cannot be reached/.test(seen.button().parentNode.textContent)")


@pytest.mark.parametrize("component", COMPONENTS)
def test_working_endpoint_is_not_reported(guest: Guest, component: str) -> None:
    """A working token service is not reported."""
    guest.start(guest.build(SHORTCUT, MKDOCS) + COMPONENTS[component])
    guest.pass_time()

    # The next page finds the tokens that this one stored.
    guest.start(guest.build(SHORTCUT, MKDOCS) + COMPONENTS[component])
    guest.pass_time()

    assert guest.tab.evaluate("seen.errors()") == []
    assert guest.is_same()


def test_stored_tokens_do_not_hide_a_failure_on_the_next_page(guest: Guest) -> None:
    """Tokens that an earlier page stored do not hide a failure."""
    url = guest.build(SHORTCUT)
    guest.start(url)
    guest.pass_time()
    guest.stage.failure = 503

    guest.open(f"{url}broken/")
    guest.tab.wait_for("seen.state() === 'error'")
    guest.pass_time()

    guest.tab.wait_for("seen.errors().length === 1")


def test_printed_page_has_neither_avatar_nor_launcher(guest: Guest) -> None:
    """Avatar and launcher are not printed."""
    tab = guest.tab
    # Without a print dialog, rules for paper are applied to the screen.
    to_screen = """void [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules])
      .filter(({ media }) => media?.mediaText === "print")
      .forEach(({ media }) => { media.mediaText = "screen"; })"""
    for options, element in ((ASKED, "seen.button()"), (SHORTCUT, "seen.avatar()")):
        guest.open(guest.build(options, MKDOCS))
        tab.wait_for(f"seen.isVisible({element})")

        tab.evaluate(to_screen)

        tab.wait_for(f"!seen.isVisible({element})")


def test_avatar_searches_the_site_in_the_browser(guest: Guest) -> None:
    """The avatar searches the site in the browser."""
    tab = guest.tab
    guest.start(guest.build({"actions": True}, MKDOCS))
    guest.open_panel()

    tab.type("xylophone")
    tab.press("Enter")

    tab.wait_for("!!seen.panel().querySelector('.log a[href$=\"/plain/\"]')")


@pytest.mark.parametrize("theme", [INSTANT, MKDOCS], ids=["instant", "mkdocs"])
def test_keys_typed_into_the_avatar_do_not_reach_the_theme(guest: Guest, theme: Theme) -> None:
    """Text typed into the avatar does not trigger the theme's shortcuts."""
    tab = guest.tab
    guest.start(guest.build(SHORTCUT, theme) + "plain/")
    guest.open_panel()

    tab.type("sf/pn,.?")

    assert tab.evaluate("seen.panel().querySelector('input').value") == "sf/pn,.?"
    assert tab.evaluate("document.querySelector('#__search')?.checked ?? false") is False
    assert tab.evaluate("document.querySelectorAll('.modal.show').length") == 0
    assert tab.evaluate("seen.title()") == "Plain"
    tab.press("Escape")
    tab.wait_for("!seen.isOpen()")


def test_strict_content_security_policy_is_not_violated(guest: Guest) -> None:
    """A strict Content-Security-Policy is not violated."""
    tab, stage = guest.tab, guest.stage
    appearance = {"primary_color": "#123456", "follow_palette": True}
    url = guest.build({**ASKED, "appearance": appearance}, MKDOCS)
    rules = {
        "default-src": "'none'",
        "script-src": f"'self' {stage.sandbox}",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "font-src": "'self'",
        "connect-src": f"'self' {stage.endpoint} {stage.sandbox.replace('http', 'ws')}/ws",
    }
    policy = "; ".join(f"{name} {value}" for name, value in rules.items())
    stage.headers[url.split("/")[-2]] = {"Content-Security-Policy": policy}
    violations = []

    # The theme has inline scripts and styles, which are violations on both pages.
    for path in ("off/", ""):
        tab.open(url + path)
        if not path:
            tab.click("seen.button()")
            tab.wait_for("seen.isOpen() && seen.state() === 'connected'")
        # Violations are reported in order.
        tab.evaluate("void (new Image().src = 'http://last.invalid/')")
        tab.wait_for("seen.violations.some((text) => text.includes('last.invalid'))")
        violations.append({*tab.evaluate("seen.violations")})

    # A script's may come before the listener.
    assert violations[1] <= violations[0] | {"script-src-elem inline"}
    colour = "getComputedStyle(seen.avatar()).getPropertyValue('--primary-color').trim()"
    assert tab.evaluate(colour) == "#123456"


@pytest.mark.parametrize("component", COMPONENTS)
def test_blocked_storage_does_not_break_the_avatar(guest: Guest, component: str) -> None:
    """Blocked session storage does not break `<sentifyd-bot>`, and is reported for the other."""
    tab = guest.tab
    url = f"{guest.build(SHORTCUT, MKDOCS)}{COMPONENTS[component]}?blocked"
    if component == "realtime":
        guest.open(url)
        tab.wait_for("seen.errors().length")
        [[_, reason, _message]] = tab.evaluate("seen.errors()")
        assert reason == "loader"
        return
    guest.start(url)
    assert tab.evaluate("(() => { try { sessionStorage } catch { return true } })()")
    guest.pass_time()

    assert tab.evaluate("seen.errors()") == []
    assert tab.evaluate("seen.isVisible(seen.avatar())")
