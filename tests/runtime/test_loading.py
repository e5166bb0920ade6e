"""Test when third-party requests are sent, and what a visitor sees before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest
from playwright.sync_api import Route

from tests.runtime.stage import INSTANT, MATERIAL, MKDOCS, READTHEDOCS, Stage, Theme, Visitor
from tests.support.ports import free_port

THEMES = pytest.mark.parametrize(
    "theme",
    [INSTANT, MATERIAL, MKDOCS, READTHEDOCS],
    ids=["instant", "material", "mkdocs", "readthedocs"],
)
IDLE = {"load": "idle"}
ASKED = {"load": "interaction"}
# The sandbox's own name for its panel.
OPEN = "Sandbox avatar"
# Shifts inside of the avatar are excluded, because the component causes them.
SHIFTS = """
window.shift = 0;
const isPage = ({ node }) => node?.getRootNode() === document && node.localName !== "sentifyd-bot";
new PerformanceObserver((list) => {
  for (const { value, sources } of list.getEntries()) if (sources.some(isPage)) shift += value;
}).observe({ type: "layout-shift", buffered: true });
"""


def _use(visitor: Visitor) -> None:
    visitor.launcher().click()
    visitor.wait_until_connected()


@THEMES
def test_idle_loading_waits_for_the_page(stage: Stage, visitor: Visitor, theme: Theme) -> None:
    page = visitor.page
    late: list[Route] = []
    # The page has not finished loading while an image is pending.
    page.route("**/late.svg", lambda route: late.append(route))
    image = {"index.md": "# Home\n\n![late](late.svg)\n", "late.svg": "<svg/>"}
    page.goto(stage.build(IDLE, theme=theme, files=image), wait_until="domcontentloaded")
    page.wait_for_function("!!window.sentifydDocs")
    # By then, the browser has been idle twice.
    page.evaluate("() => new Promise((r) => requestIdleCallback(() => requestIdleCallback(r)))")
    assert visitor.origins() == {stage.origin}

    late[0].fulfill(content_type="image/svg+xml", body="<svg xmlns='http://www.w3.org/2000/svg'/>")
    visitor.wait_until_connected()

    assert visitor.loader_requests() == 1
    loaded, asked = page.evaluate(
        """(loader) => [
          performance.getEntriesByType("navigation")[0].loadEventStart,
          performance.getEntriesByName(loader)[0].startTime,
        ]""",
        stage.loader,
    )
    assert asked >= loaded > 0


@THEMES
@pytest.mark.parametrize("use", ["click", "Enter", "Space"])
def test_interaction_sends_no_request_until_the_launcher_is_used(
    stage: Stage, visitor: Visitor, theme: Theme, use: str
) -> None:
    page = visitor.page
    visitor.open(stage.build(ASKED, theme=theme))
    launcher = visitor.launcher()
    launcher.wait_for()
    page.evaluate("() => new Promise((resolve) => requestIdleCallback(resolve))")
    assert visitor.origins() == {stage.origin}
    assert launcher.get_attribute("aria-expanded") == "false"
    assert launcher.get_attribute("aria-label") == "Talk to the avatar"

    if use == "click":
        launcher.click()
    else:
        launcher.focus()
        page.keyboard.press(use)
    visitor.wait_until_connected()

    # The avatar is already open, and it has the focus that the launcher had.
    page.get_by_role("region", name=OPEN).wait_for()
    page.wait_for_function("document.activeElement.localName === 'sentifyd-bot'")
    assert not launcher.is_visible()
    assert (visitor.connects(), visitor.loader_requests()) == (1, 1)
    assert visitor.errors() == []


def test_launcher_shows_that_the_avatar_is_loading(stage: Stage, visitor: Visitor) -> None:
    held: list[Route] = []
    visitor.page.route(stage.loader, lambda route: held.append(route))
    visitor.open(stage.build(ASKED))

    visitor.launcher().click()
    visitor.launcher_status().get_by_text("Loading …").wait_for()
    assert visitor.launcher().get_attribute("aria-expanded") == "true"
    visitor.launcher().click()
    held[0].continue_()
    visitor.wait_until_connected()

    assert len(held) == 1
    assert visitor.launcher_status().text_content() == ""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_launcher_has_button_size_and_focus_outline(
    stage: Stage,
    visitor: Visitor,
    scheme: Literal["light", "dark"],
) -> None:
    page = visitor.page
    page.emulate_media(color_scheme=scheme)
    visitor.open(stage.build(ASKED, theme=MKDOCS))
    launcher = visitor.launcher()

    box = launcher.bounding_box()
    assert box
    assert min(box["width"], box["height"]) >= 24
    assert box["x"] + box["width"] <= 1280
    assert box["y"] + box["height"] <= 800
    style = "element => getComputedStyle(element).outlineStyle"
    assert launcher.evaluate(style) == "none"
    launcher.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    assert launcher.evaluate(style) == "solid"


def test_forced_colours_keep_the_launchers_border(stage: Stage, visitor: Visitor) -> None:
    visitor.page.emulate_media(forced_colors="active")
    visitor.open(stage.build(ASKED))

    border, fill = visitor.launcher().evaluate(
        """(button) => {
          const style = getComputedStyle(button);
          return [style.borderTopColor, style.backgroundColor];
        }"""
    )
    assert border != fill


def test_launcher_has_no_animation(stage: Stage, visitor: Visitor) -> None:
    """This holds with and without the preference for reduced motion."""
    visitor.open(stage.build(ASKED))
    visitor.launcher().hover()

    button = visitor.launcher()
    assert button.evaluate("button => button.getAnimations({ subtree: true }).length") == 0
    assert button.evaluate("button => getComputedStyle(button).transitionDuration") == "0s"


@THEMES
def test_launcher_and_avatar_do_not_shift_the_page(
    stage: Stage, visitor: Visitor, theme: Theme
) -> None:
    visitor.page.add_init_script(SHIFTS)
    # The fonts of Read the Docs shift its text when they load.
    visitor.page.route("**/*.woff*", lambda route: route.abort())
    visitor.open(stage.build(theme=theme, with_avatar=False))
    without = visitor.page.evaluate("shift")
    visitor.open(stage.build(ASKED, theme=theme))
    visitor.launcher().wait_for()
    visitor.page.evaluate("sentifydDocs.open()")
    visitor.wait_until_connected()

    # Even two loads of the same page can differ by that much.
    assert visitor.page.evaluate("shift") <= without + 0.001


# Counts frames that show the launcher inside the text.
FRAMES = """
window.misplaced = 0;
requestAnimationFrame(function look() {
  const launcher = document.querySelector("[data-sentifyd-launcher]");
  if (launcher && getComputedStyle(launcher).position !== "fixed") misplaced += 1;
  requestAnimationFrame(look);
});
"""


def test_launcher_keeps_its_style_while_pages_change(stage: Stage, visitor: Visitor) -> None:
    """Pages in other folders have other relative URLs for the runtime's files."""
    visitor.page.add_init_script(FRAMES)
    visitor.open(stage.build(ASKED))
    visitor.launcher().wait_for()

    for title in ("Deep", "Plain", "Deep", "Off", "Home"):
        visitor.follow(title)
        visitor.page.evaluate("() => new Promise((resolve) => requestIdleCallback(resolve))")

    assert visitor.launcher().is_visible()
    assert visitor.page.evaluate("misplaced") == 0


def test_launcher_label_has_the_pages_language_and_brand(stage: Stage, visitor: Visitor) -> None:
    options = {**ASKED, "ui_language": "de"}
    visitor.open(stage.build(options))
    assert visitor.launcher().get_attribute("aria-label") == "Mit dem Avatar sprechen"
    host = visitor.page.locator("[data-sentifyd-launcher]")
    assert host.get_attribute("lang") == "de"

    visitor.follow("Branded")

    assert visitor.launcher().get_attribute("aria-label") == "Parler à Acme"
    assert host.get_attribute("lang") == "fr"
    visitor.follow("Off")
    assert not visitor.launcher().is_visible()


def test_open_conversation_continues_on_the_next_page(stage: Stage, visitor: Visitor) -> None:
    visitor.open(stage.build(ASKED, theme=MKDOCS))
    _use(visitor)
    visitor.say("Hello")

    visitor.follow("Plain")
    visitor.wait_until_connected()
    visitor.log().get_by_text("You wrote: “Hello”").wait_for()
    assert not visitor.launcher().is_visible()

    visitor.element().get_by_role("button", name="Close the avatar").click()
    visitor.follow("Home")
    visitor.launcher().wait_for()
    assert visitor.element().count() == 0


def test_used_launcher_stays_hidden_during_instant_navigation(
    stage: Stage, visitor: Visitor
) -> None:
    visitor.open(stage.build(ASKED))
    _use(visitor)
    visitor.mark()

    for title in ("Off", "Plain"):
        visitor.follow(title)
        assert not visitor.launcher().is_visible()

    assert visitor.is_same()
    assert visitor.element().is_visible()
    assert visitor.connects() == 1


def _ours(visitor: Visitor) -> list[str]:
    return [line for line in visitor.console if "sentifyd: " in line]


@THEMES
def test_failed_loader_is_reported_and_retried_on_click(
    stage: Stage, visitor: Visitor, theme: Theme
) -> None:
    stage.has_loader = False
    visitor.open(stage.build({**ASKED, "loader": {"url": stage.late_loader}}, theme=theme))
    visitor.launcher().click()
    visitor.launcher_status().get_by_text("cannot be reached. Please try again.").wait_for()

    message = f"{stage.late_loader} does not define <sentifyd-bot>"
    assert _ours(visitor) == [f"error: sentifyd: {message}"]
    assert visitor.reported_errors() == ["loader"]
    assert visitor.page.evaluate("document.documentElement.dataset.sentifyd") == "error"
    assert visitor.page.get_by_role("heading", name="Home", level=1).is_visible()
    assert visitor.launcher().get_attribute("aria-expanded") == "false"
    assert visitor.loader_requests() == 1

    stage.has_loader = True
    visitor.launcher().click()
    visitor.wait_until_connected()

    assert visitor.launcher_status().text_content() == ""
    visitor.page.get_by_role("region", name=OPEN).wait_for()


def test_next_page_after_a_failure_does_not_retry_by_itself(stage: Stage, visitor: Visitor) -> None:
    stage.has_loader = False
    visitor.open(stage.build({**ASKED, "loader": {"url": stage.late_loader}}, theme=MKDOCS))
    visitor.launcher().click()
    visitor.launcher_status().get_by_text("cannot be reached").wait_for()

    visitor.follow("Plain")
    visitor.launcher().wait_for()

    assert visitor.loader_requests() == 1


def _refused(_: Stage) -> str:
    return f"http://127.0.0.1:{free_port()}/request_tokens"


def _answering(status: int) -> Callable[[Stage], str]:
    def endpoint(stage: Stage) -> str:
        stage.failure = status
        return stage.broken

    return endpoint


ENDPOINTS = {
    "forbidden": (_answering(403), "403"),
    "broken": (_answering(500), "500"),
    "without-cors": (_answering(200), "nothing"),
    "refused": (_refused, "nothing"),
}


@pytest.mark.parametrize("kind", ENDPOINTS)
@pytest.mark.parametrize("theme", [INSTANT, MKDOCS], ids=["instant", "mkdocs"])
def test_failing_endpoint_is_reported_and_the_launcher_stays(
    stage: Stage, visitor: Visitor, theme: Theme, kind: str
) -> None:
    choose, answer = ENDPOINTS[kind]
    endpoint = choose(stage)
    visitor.open(stage.build({**ASKED, "token_endpoint": endpoint}, theme=theme))
    visitor.launcher().click()

    visitor.launcher_status().get_by_text("cannot be reached. Please try again.").wait_for()

    assert _ours(visitor) == [f"error: sentifyd: {endpoint} answers {answer}"]
    assert visitor.reported_errors() == ["endpoint"]
    assert visitor.element().count() == 0
    assert visitor.launcher().is_visible()
    assert visitor.page.get_by_role("heading", name="Home", level=1).is_visible()


def test_failed_endpoint_is_retried_on_click(stage: Stage, visitor: Visitor) -> None:
    visitor.open(stage.build(ASKED))
    visitor.page.route(f"{stage.endpoint}*", lambda route: route.abort())
    visitor.launcher().click()
    visitor.launcher_status().get_by_text("cannot be reached").wait_for()

    visitor.page.unroute_all()
    visitor.launcher().click()
    visitor.wait_until_connected()

    visitor.page.get_by_role("region", name=OPEN).wait_for()
    assert not visitor.launcher().is_visible()


@pytest.mark.parametrize("options", [{}, IDLE], ids=["eager", "idle"])
def test_loader_failure_without_a_launcher_does_not_break_the_page(
    stage: Stage, visitor: Visitor, options: dict[str, Any]
) -> None:
    stage.has_loader = False
    visitor.open(stage.build({**options, "loader": {"url": stage.late_loader}}))
    visitor.wait_for_event("error")

    visitor.follow("Plain")

    assert visitor.page.get_by_role("heading", name="Plain", level=1).is_visible()
    assert visitor.launcher().count() == 0
    assert not [line for line in visitor.console if "Uncaught" in line]


WITH_FOCUS = "document.activeElement.localName"
# The runtime's observer is called in the same task, before this one, which was created later.
RECORDED = """(start) => new Promise((resolve) => {
  new PerformanceObserver((list) => {
    if (list.getEntries().some(({ name }) => name.startsWith(start))) resolve(true);
  }).observe({ type: "resource", buffered: true });
})"""


def test_keyboard_focus_can_return_to_the_avatar(stage: Stage, visitor: Visitor) -> None:
    page = visitor.page
    visitor.open(stage.build(ASKED, theme=MKDOCS))
    visitor.launcher().press("Enter")
    visitor.wait_until_connected()
    page.wait_for_function(f"{WITH_FOCUS} === 'sentifyd-bot'")

    page.get_by_role("link", name="To Realtime", exact=True).focus()
    passed = []
    for _ in range(30):
        page.keyboard.press("Tab")
        passed.append(page.evaluate(WITH_FOCUS))

    assert passed[0] == "a"
    assert "sentifyd-bot" in passed


def test_failed_refresh_is_handled_by_the_component(stage: Stage, visitor: Visitor) -> None:
    page = visitor.page
    visitor.open(stage.build(ASKED, theme=MKDOCS))
    _use(visitor)
    page.evaluate(
        """() => {
          const auth = JSON.parse(sessionStorage.authData_avtr_1);
          sessionStorage.authData_avtr_1 = JSON.stringify({ ...auth, token: "" });
        }"""
    )
    cors = {"Access-Control-Allow-Origin": stage.origin}
    page.route(f"{stage.endpoint}?*", lambda route: route.fulfill(status=500, headers=cors))

    visitor.follow("Plain")
    page.wait_for_selector('sentifyd-bot[data-state="error"]')
    page.wait_for_function(RECORDED, arg=f"{stage.endpoint}?refreshToken=")

    assert visitor.reported_errors() == []
    assert visitor.element().is_visible()
    assert not visitor.launcher().is_visible()


def test_failure_of_another_address_is_ignored(stage: Stage, visitor: Visitor) -> None:
    page = visitor.page
    held: list[Route] = []
    page.route(stage.endpoint, lambda route: held.append(route))
    visitor.open(stage.build(ASKED, theme=MKDOCS))
    visitor.launcher().click()
    page.wait_for_selector('sentifyd-bot[data-state="connecting"]')

    page.evaluate(
        "url => fetch(url).then((answer) => answer.text(), String)", f"{stage.endpoint}/other"
    )
    page.wait_for_function(RECORDED, arg=f"{stage.endpoint}/other")

    assert visitor.reported_errors() == []
    assert visitor.element().is_visible()
    held[0].continue_()
    visitor.wait_until_connected()


def test_loader_that_defines_no_element_is_reported(stage: Stage, visitor: Visitor) -> None:
    page = visitor.page
    page.clock.install()
    empty = "window.isEmpty = true"
    page.route(
        stage.loader, lambda route: route.fulfill(content_type="text/javascript", body=empty)
    )
    visitor.open(stage.build(ASKED))
    visitor.launcher().click()
    page.wait_for_function("window.isEmpty")
    assert visitor.reported_errors() == []

    page.clock.fast_forward(5_000)
    visitor.launcher_status().get_by_text("cannot be reached. Please try again.").wait_for()
    assert visitor.reported_errors() == ["loader"]

    page.unroute_all()
    visitor.launcher().click()
    visitor.wait_until_connected()


@pytest.mark.parametrize(
    ("part", "options", "theme"),
    [("keyboard", {}, INSTANT), ("consent", {"consent": "sentifyd"}, MKDOCS)],
    ids=["keyboard", "consent"],
)
def test_runtime_part_that_cannot_be_fetched_is_reported(
    stage: Stage, visitor: Visitor, part: str, options: dict[str, Any], theme: Theme
) -> None:
    visitor.page.route(f"**/{part}.js", lambda route: route.abort())
    visitor.open(stage.build(options, theme=theme))

    visitor.wait_for_event("error")

    assert visitor.reported_errors() == ["runtime"]
    assert len(_ours(visitor)) == 1
    visitor.follow("Plain")
    assert visitor.page.get_by_role("heading", name="Plain", level=1).is_visible()
    assert visitor.origins() == {stage.origin}
    assert not [line for line in visitor.console if "Uncaught" in line]


def test_failing_endpoint_returns_the_focus_to_the_launcher(stage: Stage, visitor: Visitor) -> None:
    page = visitor.page
    held: list[Route] = []
    page.route(stage.endpoint, lambda route: held.append(route))
    visitor.open(stage.build(ASKED, theme=MKDOCS))
    visitor.launcher().press("Enter")
    page.wait_for_function(f"{WITH_FOCUS} === 'sentifyd-bot'")
    page.wait_for_selector('sentifyd-bot[data-state="connecting"]')

    held[0].fulfill(status=500, headers={"Access-Control-Allow-Origin": stage.origin})
    visitor.launcher_status().get_by_text("cannot be reached").wait_for()

    assert visitor.launcher().evaluate("button => button === document.activeElement")
    assert page.evaluate("document.documentElement.dataset.sentifyd") == "error"
