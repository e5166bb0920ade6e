"""Test the avatar as a part of the page: colours, keyboard, printing, and the script interface."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Route

from tests.runtime.stage import INSTANT, MATERIAL, MKDOCS, READTHEDOCS, Stage, Theme, Visitor

FOLLOW = {"appearance": {"follow_palette": True}}
PALETTE = [
    {"scheme": "default", "primary": "teal", "toggle": {"icon": "material/eye", "name": "Dark"}},
    {"scheme": "slate", "primary": "red", "toggle": {"icon": "material/eye", "name": "Light"}},
]
# The style of the sandbox's button, or of our launcher.
FACE = """() => {
  const host = document.querySelector("sentifyd-bot, [data-sentifyd-launcher]");
  const button = host.shadowRoot?.querySelector(".launcher") ?? host.lastElementChild;
  return getComputedStyle(button).backgroundColor;
}"""
HEADER = "getComputedStyle(document.querySelector('.md-header')).backgroundColor"
TEAL, RED = "rgb(0, 148, 133)", "rgb(239, 85, 82)"
INSTANT_AND_NOT = pytest.mark.parametrize("theme", [INSTANT, MATERIAL], ids=["instant", "static"])


def _custom(visitor: Visitor, selector: str, name: str) -> str:
    value: str = visitor.page.evaluate(
        "([s, n]) => getComputedStyle(document.querySelector(s)).getPropertyValue(n)",
        [selector, name],
    )
    return value


@INSTANT_AND_NOT
@pytest.mark.parametrize("load", ["eager", "interaction"])
def test_colours_follow_materials_palette_switch(
    stage: Stage, visitor: Visitor, theme: Theme, load: str
) -> None:
    page = visitor.page
    visitor.open(stage.build({**FOLLOW, "load": load}, theme={**theme, "palette": PALETTE}))
    page.wait_for_selector("sentifyd-bot, [data-sentifyd-launcher]", state="attached")
    if load == "eager":
        visitor.wait_until_connected()
    assert page.evaluate(FACE) == page.evaluate(HEADER)
    before = page.evaluate(FACE)

    page.get_by_title("Dark").click()

    assert page.evaluate(FACE) == page.evaluate(HEADER) != before
    page.get_by_title("Light").click()
    assert page.evaluate(FACE) == before


def test_colours_follow_the_mkdocs_color_mode(stage: Stage, visitor: Visitor) -> None:
    # Its palette switch fails without the style sheets of highlight.js from a CDN.
    theme = {"name": "mkdocs", "color_mode": "auto", "user_color_mode_toggle": True}
    visitor.page.route("https://**", lambda route: route.abort())
    visitor.page.emulate_media(color_scheme="light")
    visitor.start(stage.build(FOLLOW, theme=theme))
    seen = set()

    for choice in ("light", "dark"):
        visitor.page.evaluate(
            "choice => document.querySelector(`[data-bs-theme-value=${choice}]`).click()", choice
        )
        assert visitor.page.evaluate("document.documentElement.dataset.bsTheme") == choice
        link = _custom(visitor, "body", "--bs-link-color")
        assert _custom(visitor, "sentifyd-bot", "--secondary-color") == link
        seen.add(link)

    assert len(seen) == 2


def test_colours_follow_the_readthedocs_theme(stage: Stage, visitor: Visitor) -> None:
    visitor.start(stage.build(FOLLOW, theme=READTHEDOCS))

    assert visitor.page.evaluate(FACE) == "rgb(41, 128, 185)"


@INSTANT_AND_NOT
def test_configured_colours_win_over_the_palette(
    stage: Stage, visitor: Visitor, theme: Theme
) -> None:
    appearance = {**FOLLOW["appearance"], "primary_color": "#123456"}
    palette = {**theme, "palette": PALETTE}
    visitor.start(stage.build({"appearance": appearance}, theme=palette))

    assert visitor.page.evaluate(FACE) == "rgb(18, 52, 86)"
    accent = _custom(visitor, "body", "--md-accent-fg-color")
    assert _custom(visitor, "sentifyd-bot", "--secondary-color") == accent != ""


def test_component_keeps_its_colours_without_the_option(stage: Stage, visitor: Visitor) -> None:
    visitor.start(stage.build())

    assert visitor.page.evaluate(FACE) == "rgb(0, 191, 219)"


# A closed shadow root; `typed` is only for the test.
CLOSED = """
customElements.define("sentifyd-bot", class extends HTMLElement {
  connectedCallback() {
    if (this.typed) return;
    const root = this.attachShadow({ mode: "closed", delegatesFocus: true });
    root.innerHTML = "<input>";
    this.typed = () => root.firstChild.value;
  }
});
"""
KEYS = "sf/pn,.?"
QUIET = """() => [
  document.querySelector("#__search")?.checked ?? false,
  document.querySelectorAll(".modal.show").length,
  location.href,
]"""


IS_CLOSED = "document.querySelector('sentifyd-bot')?.typed !== undefined"


def _load_closed(stage: Stage, visitor: Visitor) -> None:
    def answer(route: Route) -> None:
        route.fulfill(content_type="text/javascript", body=CLOSED)

    visitor.page.route(stage.loader, answer)


def _open_shadow(stage: Stage, visitor: Visitor, theme: Theme) -> None:
    visitor.start(f"{stage.build(theme=theme)}plain/")
    visitor.element().get_by_role("button", name="Avatar (sandbox)").click()


def _closed_shadow(stage: Stage, visitor: Visitor, theme: Theme) -> None:
    _load_closed(stage, visitor)
    visitor.open(f"{stage.build(theme=theme)}plain/")
    visitor.page.wait_for_function(IS_CLOSED)
    visitor.element().focus()


@pytest.mark.parametrize(
    ("theme", "begin"),
    [
        (INSTANT, _open_shadow),
        (INSTANT, _closed_shadow),
        (MATERIAL, _open_shadow),
        (MKDOCS, _open_shadow),
        (MKDOCS, _closed_shadow),
    ],
    ids=["instant-open", "instant-closed", "material-open", "mkdocs-open", "mkdocs-closed"],
)
def test_typing_into_the_avatar_triggers_no_theme_shortcut(
    stage: Stage,
    visitor: Visitor,
    theme: Theme,
    begin: Callable[[Stage, Visitor, Theme], None],
) -> None:
    page = visitor.page
    begin(stage, visitor, theme)
    before = page.evaluate(QUIET)
    assert before[:2] == [False, 0]

    page.keyboard.type(KEYS)

    if begin is _open_shadow:
        assert visitor.element().get_by_role("textbox").input_value() == KEYS
    else:
        assert page.evaluate("document.querySelector('sentifyd-bot').typed()") == KEYS
    assert page.evaluate(QUIET) == before


@pytest.mark.parametrize(
    ("theme", "is_open"),
    [
        (INSTANT, "document.querySelector('#__search').checked"),
        (MKDOCS, "document.querySelector('#mkdocs_search_modal.show') !== null"),
    ],
    ids=["instant", "mkdocs"],
)
def test_theme_shortcuts_work_outside_the_avatar(
    stage: Stage, visitor: Visitor, theme: Theme, is_open: str
) -> None:
    visitor.start(f"{stage.build(theme=theme)}plain/")

    visitor.page.keyboard.press("s")

    visitor.page.wait_for_function(is_open)


def test_escape_still_closes_the_avatar(stage: Stage, visitor: Visitor) -> None:
    _open_shadow(stage, visitor, INSTANT)
    visitor.page.keyboard.type("s")

    visitor.page.keyboard.press("Escape")

    panel = visitor.page.get_by_role("region", name="Sandbox avatar")
    panel.wait_for(state="hidden")


@pytest.mark.parametrize(
    "theme", [INSTANT, MATERIAL, MKDOCS, READTHEDOCS], ids=["instant", "material", "mkdocs", "rtd"]
)
@pytest.mark.parametrize("load", ["eager", "interaction"])
def test_printing_hides_the_avatar(stage: Stage, visitor: Visitor, theme: Theme, load: str) -> None:
    # The sandbox's component hides itself in print; this element does not.
    _load_closed(stage, visitor)
    visitor.open(stage.build({"load": load}, theme=theme))
    if load == "interaction":
        visitor.launcher().wait_for()
    else:
        visitor.page.wait_for_function(IS_CLOSED)
    ours = visitor.page.locator("sentifyd-bot, [data-sentifyd-launcher]")
    assert ours.is_visible()

    visitor.page.emulate_media(media="print")

    assert ours.evaluate("element => getComputedStyle(element).display") == "none"


PANEL = "Sandbox avatar"


def _ask(visitor: Visitor, name: str) -> None:
    visitor.page.evaluate("name => sentifydDocs[name]()", name)


@pytest.mark.parametrize("theme", [INSTANT, MKDOCS], ids=["instant", "mkdocs"])
def test_open_before_the_runtime_loads_is_honoured(
    stage: Stage, visitor: Visitor, theme: Theme
) -> None:
    visitor.page.add_init_script("(window.sentifydDocs ??= []).push('open')")
    visitor.start(stage.build({"load": "interaction"}, theme=theme))

    visitor.page.get_by_role("region", name=PANEL).wait_for()
    assert not visitor.launcher().is_visible()
    assert visitor.connects() == 1


def test_script_calls_open_close_and_destroy_the_avatar(stage: Stage, visitor: Visitor) -> None:
    panel = visitor.page.get_by_role("region", name=PANEL)
    visitor.start(stage.build())
    assert not panel.is_visible()

    for name, is_open in [("open", True), ("open", True), ("close", False), ("toggle", True)]:
        _ask(visitor, name)
        visitor.wait_until_connected()
        assert panel.is_visible() is is_open
    _ask(visitor, "toggle")
    assert not panel.is_visible()
    assert visitor.element().is_visible()

    _ask(visitor, "destroy")
    assert visitor.element().count() == 0
    visitor.follow("Plain")
    assert visitor.element().count() == 0
    _ask(visitor, "open")
    visitor.wait_until_connected()
    assert panel.is_visible()
    assert visitor.loader_requests() == 1
    assert visitor.moves() == 0


def test_script_calls_hide_and_show_an_avatar_in_the_text(stage: Stage, visitor: Visitor) -> None:
    visitor.start(f"{stage.build()}own/")
    visitor.mark()

    _ask(visitor, "close")
    assert not visitor.element().is_visible()
    _ask(visitor, "toggle")

    assert visitor.element().is_visible()
    assert visitor.is_same()
    assert visitor.connects() == 1


def test_script_calls_on_a_page_without_an_avatar_do_nothing(
    stage: Stage, visitor: Visitor
) -> None:
    visitor.open(f"{stage.build()}off/")

    for name in ("open", "toggle", "close", "destroy"):
        _ask(visitor, name)

    assert visitor.element().count() == 0
    assert visitor.errors() == []


def test_configured_shortcut_opens_and_closes_the_avatar(stage: Stage, visitor: Visitor) -> None:
    page = visitor.page
    options = {"load": "interaction", "shortcut": "ctrl+alt+a"}
    visitor.open(stage.build(options, theme=MKDOCS))
    visitor.launcher().wait_for()
    page.keyboard.press("Alt+a")
    page.keyboard.press("Control+Alt+b")
    assert visitor.origins() == {stage.origin}

    page.keyboard.press("Control+Alt+a")
    visitor.wait_until_connected()
    panel = page.get_by_role("region", name=PANEL)
    panel.wait_for()
    visitor.element().get_by_role("textbox").focus()
    page.keyboard.press("Control+Alt+a")
    panel.wait_for(state="hidden")


def test_events_and_root_attribute_report_the_state(stage: Stage, visitor: Visitor) -> None:
    hook = "document.documentElement.dataset.sentifyd"
    visitor.start(stage.build())
    assert visitor.page.evaluate("seen.events") == [["loaded", None], ["shown", "sentifyd-bot"]]
    assert visitor.page.evaluate(hook) == "shown"

    visitor.follow("Off")
    assert visitor.page.evaluate("seen.events.at(-1)") == ["hidden", "sentifyd-bot"]
    assert visitor.page.evaluate(hook) == "hidden"
    visitor.follow("Home")
    assert visitor.page.evaluate(hook) == "shown"


@pytest.mark.parametrize(
    ("found", "is_open"), [("{}", False), ("['opne', 'open']", True)], ids=["object", "wrong name"]
)
def test_existing_global_value_causes_no_error(
    stage: Stage, visitor: Visitor, found: str, is_open: bool
) -> None:
    visitor.page.add_init_script(f"window.sentifydDocs = {found}")
    visitor.start(stage.build())

    assert visitor.page.get_by_role("region", name=PANEL).is_visible() is is_open
    assert visitor.errors() == []
