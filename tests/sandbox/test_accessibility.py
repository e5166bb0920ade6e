"""The sandbox's panel in Chromium is accessible: keyboard, names, zoom, colours, languages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Locator, Page, Route

from tests.sandbox.stage import Stage

ELEMENTS = ["sentifyd-bot", "sentifyd-realtime"]
LOADERS = {
    "sentifyd-bot": "sentifyd-bot/main.js",
    "sentifyd-realtime": "sentifyd-realtime/v1/main.js",
}
LAUNCHERS = {
    "en": "Avatar (sandbox)",
    "fr": "Avatar (bac à sable)",
    "de": "Avatar (Sandbox)",
    "es": "Avatar (entorno de pruebas)",
    "ar": "المساعد (بيئة تجريبية)",
    "zh": "虚拟助手（沙盒）",  # noqa: RUF001 - Chinese brackets
}
# Words that are the same in English and in another of the languages.
SHARED = {"Avatar", "Conversation", "Token", "Parameters", "Parameter", "Terms", "Sandbox avatar"}
# A window of 1280 by 1024 pixels at 400 %.
ZOOMED = {"width": 320, "height": 256}
FOCUSED = """
() => {
  let element = document.activeElement;
  while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
  return element;
}
"""
# An element is reachable if its middle is in the window and nothing covers it.
REACHABLE = """
(element) => {
  const { x, y, width, height } = element.getBoundingClientRect();
  const middle = [x + width / 2, y + height / 2];
  const found = element.getRootNode().elementFromPoint(...middle);
  return x >= 0 && x + width <= innerWidth && middle[1] <= innerHeight && element.contains(found);
}
"""
# Everything that the panel shows, or that a screen reader reads for it.
TEXTS = """
(host) => {
  const root = host.shadowRoot.querySelector(".frame");
  const texts = [host.ariaLabel, root.querySelector("input").placeholder];
  for (const element of root.querySelectorAll("*")) {
    texts.push(element.ariaLabel, element.childElementCount ? null : element.textContent);
  }
  return texts.filter((text) => /\\p{L}/u.test(text ?? ""));
}
"""
ASK = """
() => {
  const common = { provider: "test", description: "A test.", inputSchema: { type: "object" } };
  const hit = { title: "Install", url: "https://docs.example/", excerpt: "Run pip." };
  window.Sentifyd.registerAction({
    ...common, name: "docs.search", execute: async () => ({ results: [hit] }),
  });
  window.Sentifyd.registerAction({
    ...common, name: "docs.open_page", execute: async () => 1,
    classification: "write", confirmation: "required",
  });
}
"""


class Reader:
    """A visitor with a keyboard, on a page with a button and an avatar."""

    def __init__(self, page: Page, stage: Stage, element: str) -> None:
        self.page = page
        self.stage = stage
        self.name = element
        self.element = page.locator(element)
        self.launcher = self.element.locator(".launcher")
        self.panel = self.element.locator(".panel")
        self.field = self.element.get_by_role("textbox")

    def load(self, attributes: str = "") -> None:
        stage = self.stage
        stage.body = (
            f'<script src="{stage.sandbox_url}/{LOADERS[self.name]}" type="module"></script>'
            f'<meta name="viewport" content="width=device-width"><button id="mine">Mine</button>'
            f'<{self.name} token-endpoint="{stage.endpoint}" avatar-id="a1" {attributes}'
            f' terms-href="/terms" privacy-href="/privacy"></{self.name}>'
        )
        self.page.goto(stage.site)

    def start(self, attributes: str = "") -> None:
        self.load(attributes)
        self.wait_for("connected")

    def wait_for(self, state: str) -> None:
        self.page.wait_for_selector(f'{self.name}[data-state="{state}"]', state="attached")

    def fail(self) -> None:
        """Let the endpoint answer 503 from now on."""
        self.page.route(
            f"{self.stage.endpoint}*",
            lambda route: route.fulfill(
                status=503, headers={"Access-Control-Allow-Origin": self.stage.site}
            ),
        )

    def be_asked(self) -> Locator:
        """Let the avatar ask for a permission."""
        self.element.evaluate(ASK)
        self.field.fill("open install")
        self.page.keyboard.press("Enter")
        question = self.element.get_by_role("group", name="docs.open_page")
        question.wait_for()
        return question

    def focused(self) -> dict[str, str]:
        """Role, name and description of what has the focus, from the accessibility tree."""
        session = self.page.context.new_cdp_session(self.page)
        nodes: list[dict[str, Any]] = session.send("Accessibility.getFullAXTree")["nodes"]
        session.detach()
        found = [
            node
            for node in nodes
            if any(
                p["name"] == "focused" and p["value"]["value"] for p in node.get("properties", [])
            )
            and node["role"]["value"] != "RootWebArea"
        ]
        return {
            part: found[-1].get(part, {}).get("value", "")
            for part in ("role", "name", "description")
        }

    def has_focus(self, element: Locator) -> bool:
        same: bool = element.evaluate(f"element => element === ({FOCUSED})()")
        return same

    def stops(self) -> Iterator[dict[str, str]]:
        """Press Tab from the page's button until the focus has left the avatar."""
        self.page.focus("#mine")
        for _ in range(20):
            self.page.keyboard.press("Tab")
            if self.page.evaluate("document.activeElement.localName") != self.name:
                return
            yield self.focused()
        raise AssertionError("the focus does not leave the avatar")

    def violations(self) -> list[str]:
        results = Axe().run(self.page, self.name)
        return [
            f"{violation['id']}: {node['html']} {node['failureSummary']}"
            for violation in results.response["violations"]
            for node in violation["nodes"]
        ]


@pytest.fixture(scope="module")
def site() -> Iterator[Stage]:
    with ExitStack() as stack:
        yield Stage(stack, 3600)


@pytest.fixture(params=ELEMENTS)
def element(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def reader(browser: Browser, site: Stage) -> Iterator[Reader]:
    """A visitor of `<sentifyd-bot>`, whose panel is that of the other element as well."""
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        yield Reader(context.new_page(), site, "sentifyd-bot")


@pytest.fixture
def either(browser: Browser, site: Stage, element: str) -> Iterator[Reader]:
    """A visitor of each element."""
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        yield Reader(context.new_page(), site, element)


@pytest.mark.parametrize("way", ["Escape", "Enter"])
def test_closing_returns_the_focus_to_where_it_was(either: Reader, way: str) -> None:
    reader = either
    reader.page.add_init_script("sessionStorage.showChatbot_a1 = 'true'")
    reader.page.add_init_script("sessionStorage.chatbotState_a1 = '{\"isVisible\": true}'")
    reader.start()
    reader.panel.wait_for()
    reader.page.focus("#mine")
    reader.page.keyboard.press("Tab")
    close = reader.element.get_by_role("button", name="Close the avatar")
    assert reader.has_focus(close)

    reader.page.keyboard.press(way)
    assert not reader.panel.is_visible()
    assert reader.has_focus(reader.page.locator("#mine"))

    reader.launcher.press("Enter")
    assert reader.has_focus(reader.field)
    reader.page.keyboard.press("Escape")
    assert reader.has_focus(reader.launcher)
    assert not reader.panel.is_visible()


def test_focus_goes_to_the_button_if_it_cannot_return(reader: Reader) -> None:
    reader.page.add_init_script("sessionStorage.showChatbot_a1 = 'true'")
    reader.start()
    reader.page.focus("#mine")
    reader.page.keyboard.press("Tab")
    reader.page.evaluate("document.querySelector('#mine').disabled = true")

    reader.page.keyboard.press("Escape")

    assert reader.has_focus(reader.launcher)


def test_everything_that_gets_the_focus_has_a_role_and_a_name(either: Reader) -> None:
    reader = either
    reader.start()
    closed = list(reader.stops())
    assert closed == [{"role": "button", "name": "Avatar (sandbox)", "description": "Connected."}]

    reader.launcher.press("Enter")
    names = [stop["name"] for stop in reader.stops() if stop["role"] not in ("generic", "none", "")]
    assert names == [
        *("Close the avatar", "Conversation", "Message to the avatar", "Send"),
        *("Terms", "Privacy", "Avatar (sandbox)"),
    ]
    # The runtime gives the focus to the element itself.
    reader.element.evaluate("host => { host.tabIndex = -1; host.focus(); }")
    host = reader.focused()
    assert host["role"] in ("group", "region")
    assert host["name"] == "Avatar (sandbox)"


def test_question_of_the_avatar_is_reachable_and_named(reader: Reader) -> None:
    reader.start()
    reader.launcher.click()
    reader.be_asked()

    stops = [(stop["role"], stop["name"]) for stop in reader.stops()]
    assert stops[3:6] == [
        ("group", "Arguments of the action"),
        ("button", "Refuse"),
        ("button", "Allow"),
    ]
    assert reader.violations() == []


@pytest.mark.parametrize("language", ["de", "ar"])
@pytest.mark.parametrize("scene", ["question", "failure"])
def test_every_control_is_visible_at_a_high_zoom(
    browser: Browser, site: Stage, language: str, scene: str
) -> None:
    with browser.new_context(viewport=ZOOMED, device_scale_factor=4) as context:  # type: ignore[arg-type]
        reader = Reader(context.new_page(), site, "sentifyd-bot")
        if scene == "failure":
            reader.fail()
            reader.load(f'ui-language="{language}"')
            reader.wait_for("error")
        else:
            reader.start(f'ui-language="{language}"')
        assert reader.launcher.evaluate(REACHABLE)
        reader.launcher.press("Enter")
        if scene == "question":
            reader.be_asked()

        names = []
        for stop in reader.stops():
            names.append(stop["name"])
            assert reader.page.evaluate(f"({REACHABLE})(({FOCUSED})())"), stop
        assert len(names) == {"question": 10, "failure": 7}[scene], names
        assert reader.page.evaluate("document.documentElement.scrollWidth") == ZOOMED["width"]
        assert reader.panel.evaluate("panel => panel.scrollWidth <= panel.clientWidth")

        # Text that gets no focus is reachable by scrolling.
        for part in (".badge", ".legal", ".error" if scene == "failure" else ".parameters"):
            text = reader.panel.locator(part).first
            text.scroll_into_view_if_needed()
            assert text.evaluate(REACHABLE), part
        reader.field.press("Escape")
        assert reader.launcher.evaluate(REACHABLE)


@pytest.mark.parametrize("language", LAUNCHERS)
def test_texts_are_in_the_language_of_the_page(reader: Reader, language: str) -> None:
    reader.start()
    reader.launcher.click()
    english = set(reader.element.evaluate(TEXTS))
    reader.element.evaluate("(host, code) => host.setAttribute('ui-language', code)", language)

    frame = reader.element.locator(".frame")
    assert frame.get_attribute("lang") == language
    assert frame.get_attribute("dir") == ("rtl" if language == "ar" else "ltr")
    assert reader.launcher.get_attribute("aria-label") == LAUNCHERS[language]
    texts = set(reader.element.evaluate(TEXTS))
    greeting = {text for text in english if text.startswith("Hello")}
    if language != "en":
        assert texts & english <= SHARED | greeting
    # The avatar of the sandbox speaks English.
    log = reader.element.get_by_role("log")
    assert log.get_attribute("lang") == "en"
    assert reader.violations() == []

    reader.fail()
    reader.page.evaluate("sessionStorage.clear()")
    reader.element.evaluate("host => { host.remove(); document.body.append(host); }")
    reader.wait_for("error")
    problem = reader.element.locator(".error").inner_text()
    assert "503" in problem
    assert ("The avatar cannot connect" in problem) is (language == "en")
    retry = reader.element.locator(".retry").inner_text()
    assert (retry == "Try again") is (language == "en")


def test_unknown_language_is_english(reader: Reader) -> None:
    reader.start('ui-language="nl"')

    assert reader.launcher.get_attribute("aria-label") == LAUNCHERS["en"]
    assert reader.element.locator(".frame").get_attribute("lang") == "en"


def test_closed_button_shows_its_state_as_a_sign_and_as_text(either: Reader) -> None:
    reader = either
    held: list[Route] = []
    reader.page.route(f"{reader.stage.endpoint}*", lambda route: held.append(route))
    with reader.page.expect_request(f"{reader.stage.endpoint}*"):
        reader.load()
    seen = [_sign_and_text(reader)]
    held[0].continue_()
    reader.wait_for("connected")
    seen.append(_sign_and_text(reader))
    reader.page.unroute_all()
    reader.element.evaluate("host => host.setState('error', { text: 'failed', values: {} })")
    seen.append(_sign_and_text(reader))

    signs, texts = zip(*seen, strict=True)
    assert len(set(signs)) == 3
    assert texts == ("Connecting…", "Connected.", "Connection failed.")


def _sign_and_text(reader: Reader) -> tuple[str, str]:
    sign = reader.launcher.evaluate("button => getComputedStyle(button, '::after').content")
    reader.launcher.focus()
    return sign, reader.focused()["description"]


def test_forced_colours_keep_edges_and_states(reader: Reader) -> None:
    reader.page.emulate_media(forced_colors="active")
    reader.fail()
    reader.load()
    reader.wait_for("error")
    reader.launcher.click()

    look = """
    (elements) => elements.filter((element) => element.checkVisibility()).map((element) => {
      const style = getComputedStyle(element);
      return [element.className || element.localName, style.borderTopStyle, style.borderTopWidth,
        style.borderTopColor !== style.backgroundColor];
    })
    """
    edges = reader.element.locator("button, input, .panel, header, .badge").evaluate_all(look)
    assert len(edges) >= 8
    assert [edge for edge in edges if edge[1:] != ["solid", "1px", True]] == []
    colours = "button => [getComputedStyle(button).color, getComputedStyle(button).borderTopColor]"
    send = reader.element.get_by_role("button", name="Send")
    retry = reader.element.get_by_role("button", name="Try again")
    assert send.evaluate(colours) != retry.evaluate(colours)
    focus = "field => [getComputedStyle(field).outlineStyle, getComputedStyle(field).outlineWidth]"
    assert reader.field.evaluate(focus) == ["solid", "3px"]

    reader.page.unroute_all()
    retry.click()
    reader.wait_for("connected")
    assert send.evaluate(colours) == reader.element.locator(".close").evaluate(colours)
    reader.field.fill("Hello")
    reader.page.keyboard.press("Enter")
    log = reader.element.get_by_role("log")
    log.get_by_text("You wrote").wait_for()
    lines = log.locator("p").evaluate_all(
        "lines => lines.map((l) => getComputedStyle(l).borderStyle)"
    )
    assert lines == ["solid", "dashed", "solid"]


def test_compact_avatar_offers_to_try_again(reader: Reader) -> None:
    reader.fail()
    reader.load('toggler="false" compact="true"')
    reader.wait_for("error")
    assert reader.element.get_by_role("alert").last.is_visible()
    assert not reader.element.locator("header").is_visible()

    reader.page.unroute_all()
    reader.element.get_by_role("button", name="Try again").click()
    reader.wait_for("connected")
    assert not reader.element.locator("footer").is_visible()


def test_escape_while_composing_a_character_keeps_the_panel(reader: Reader) -> None:
    reader.start()
    reader.launcher.click()
    press = """(field, isComposing) => field.dispatchEvent(new KeyboardEvent(
      "keydown", { key: "Escape", isComposing, bubbles: true, composed: true },
    ))"""

    reader.field.evaluate(press, True)
    assert reader.panel.is_visible()
    reader.field.evaluate(press, False)
    assert not reader.panel.is_visible()
