"""Page actions of the sandbox's component: what a page registers, and what the visitor sees.

The pages run under a Content-Security-Policy without `unsafe-inline`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Error, Locator, Page

from tests.sandbox.stage import Stage
from tests.support.browsing import Visit

READY = """
window.calls = [];
window.announced = [];
for (const name of ["Sentifyd", "SentifydRealtime"]) {
  window.addEventListener("sentifyd:action-sdk-ready", () => {
    if (window[name] && !announced.includes(name)) announced.push(name);
    document.documentElement.dataset.announced = announced.join("-");
  });
}
function whenReady(register) {
  if (window.Sentifyd) register(window.Sentifyd);
  else addEventListener("sentifyd:action-sdk-ready", () => register(window.Sentifyd), {once: true});
}
const action = (name, execute, more) => ({
  name, provider: "test", description: `Does ${name}.`, inputSchema: {type: "object"},
  async execute(input, {context}) {
    document.documentElement.dataset.calls = calls.push([name, input, context]);
    return execute(input);
  },
  ...more,
});
"""
SEARCH = """
const hits = [
  {title: "Install", section: "With pip", url: `${location.origin}/install/#pip`,
   excerpt: "<img src=x> Run pip."},
  {title: "Elsewhere", url: "https://docs.example/", excerpt: "Another site."},
  {title: "Bad", url: "javascript:document.title='bad'", excerpt: ""},
];
const search = ({query}) => ({results: query.includes("nothing") ? [] : hits});
whenReady((sdk) => sdk.registerAction(action("docs.search", search)));
"""
OPEN_PAGE = """
whenReady((sdk) => sdk.registerAction(action("docs.open_page", ({url}) => {
  if (new URL(url).origin !== location.origin) throw new Error("not a page of this site");
  return {url};
})));
"""
ASK_TO_OPEN = """
whenReady((sdk) => sdk.registerAction(action(
  "docs.open_page", ({url}) => ({url}), {classification: "write", confirmation: "required"},
)));
"""
REGISTER = """changes => {
    const action = {
        name: "docs.search", provider: "test", description: "Search.",
        inputSchema: {type: "object"}, execute: async () => 1, ...changes,
    };
    window.Sentifyd.registerAction(action);
}"""


class Talk:
    """A visitor with an open avatar."""

    def __init__(self, set_up: Stage, visit: Visit) -> None:
        self.visit = visit
        self.page: Page = visit.page
        self.avatar: Locator = visit.page.locator(visit.avatar)
        self.field = self.avatar.get_by_role("textbox")
        self.log = self.avatar.get_by_role("log")
        self.site = set_up.site

    def open(self) -> None:
        self.page.goto(self.site)
        self.visit.wait_until_connected()
        self.avatar.get_by_role("button", name="Avatar (sandbox)").click()

    def say(self, text: str) -> None:
        self.field.fill(text)
        self.field.press("Enter")

    def wait_for_text(self, text: str) -> Locator:
        line = self.log.get_by_text(text).last
        line.wait_for()
        return line

    def wait_for_call(self, number: int) -> None:
        # A function that is waited for would be evaluated, which the policy forbids.
        self.page.wait_for_selector(f'html[data-calls="{number}"]')

    def calls(self, name: str) -> list[object]:
        calls: list[list[object]] = self.page.evaluate("window.calls")
        return [call[1] for call in calls if call[0] == name]


@pytest.fixture
def talk(visit: Visit) -> Iterator[Callable[..., Talk]]:
    with ExitStack() as stack:

        def start(*scripts: str) -> Talk:
            set_up = Stage(stack, token_life=60)
            set_up.embed()
            set_up.script = READY + "".join(scripts)
            set_up.body = f'<script src="/page.js"></script>{set_up.body}'
            socket = set_up.sandbox_url.replace("http", "ws")
            set_up.headers["Content-Security-Policy"] = (
                f"default-src 'none'; script-src 'self' {set_up.sandbox_url}; style-src 'self'; "
                f"img-src 'self' data:; connect-src {set_up.edge} {socket}"
            )
            talk = Talk(set_up, visit)
            talk.open()
            return talk

        yield start


def test_answer_contains_safe_links(talk: Callable[..., Talk]) -> None:
    visitor = talk(SEARCH)
    visitor.wait_for_text("ask me something, and I search this site")
    visitor.say("How do I install it?")

    assert visitor.wait_for_text("found these pages").is_visible()
    links = visitor.log.get_by_role("link").all()
    assert [(link.inner_text(), link.get_attribute("href")) for link in links] == [
        ("Install: With pip", f"{visitor.site}/install/#pip"),
        ("Elsewhere", "https://docs.example/"),
    ]
    assert visitor.log.get_by_text("<img src=x> Run pip.").is_visible()
    assert visitor.log.locator("img").count() == 0
    assert visitor.calls("docs.search") == [{"query": "How do I install it?", "limit": 3}]
    context = visitor.page.evaluate("window.calls[0][2]")
    assert context == {"avatarId": "a1"}
    assert visitor.visit.errors() == []


def test_search_without_results_is_reported(talk: Callable[..., Talk]) -> None:
    visitor = talk(SEARCH)
    visitor.say("nothing")

    assert (
        "only searches"
        in visitor.wait_for_text("I searched this site and found nothing").inner_text()
    )
    assert visitor.log.get_by_role("link").count() == 0


def test_links_are_kept_on_the_next_page(talk: Callable[..., Talk]) -> None:
    visitor = talk(SEARCH)
    visitor.say("How?")
    visitor.log.get_by_role("link", name="Install").wait_for()
    before = visitor.log.inner_text()

    visitor.page.goto(f"{visitor.site}/second")
    visitor.visit.wait_until_connected()
    assert visitor.log.inner_text() == before
    assert visitor.log.get_by_role("link").count() == 2
    visitor.say("nothing")
    visitor.wait_for_text("found nothing")
    assert visitor.log.get_by_text("ask me something").count() == 1


def test_stored_link_with_an_unsafe_url_is_removed(talk: Callable[..., Talk]) -> None:
    visitor = talk()
    visitor.page.evaluate(
        """() => sessionStorage.setItem("conversationData_a1", JSON.stringify([
            ["avatar", "Hello", [{text: "bad", url: "javascript:alert(1)"}]],
            ["visitor", "Hi"],
        ]))"""
    )
    visitor.page.reload()
    visitor.visit.wait_until_connected()

    assert visitor.log.inner_text().split() == ["Hello", "Hi"]
    assert visitor.log.get_by_role("link").count() == 0


def test_greeting_changes_when_the_page_registers_a_search(talk: Callable[..., Talk]) -> None:
    visitor = talk("window.register = () => {", SEARCH, "};")
    visitor.wait_for_text("I repeat what you write")
    visitor.page.evaluate("register()")
    visitor.wait_for_text("ask me something")
    assert visitor.log.locator("p").count() == 1

    visitor.say("How?")
    visitor.wait_for_text("found these pages")


def test_conversation_is_kept_when_actions_are_registered(talk: Callable[..., Talk]) -> None:
    visitor = talk("window.register = () => {", SEARCH, "};")
    visitor.say("Hi")
    visitor.wait_for_text("You wrote: “Hi”")
    visitor.page.evaluate("register()")
    visitor.say("How?")
    visitor.wait_for_text("found these pages")

    assert visitor.log.locator("p").count() == 5
    assert visitor.log.get_by_text("I repeat what you write").is_visible()


def test_avatar_without_actions_echoes(talk: Callable[..., Talk]) -> None:
    visitor = talk()
    visitor.say("open sesame")

    visitor.wait_for_text("You wrote: “open sesame”")


def test_open_opens_the_best_page(talk: Callable[..., Talk]) -> None:
    visitor = talk(SEARCH, OPEN_PAGE)
    visitor.wait_for_text("Write “open”")
    visitor.say("open the installation")
    visitor.wait_for_text("I open the page that fits best")
    visitor.log.get_by_role("link", name="Install: With pip").wait_for()
    visitor.wait_for_call(2)

    assert visitor.calls("docs.search") == [{"query": "the installation", "limit": 3}]
    assert visitor.calls("docs.open_page") == [{"url": f"{visitor.site}/install/#pip"}]


def test_click_on_a_link_calls_the_pages_action(talk: Callable[..., Talk]) -> None:
    visitor = talk(SEARCH, OPEN_PAGE)
    visitor.say("How?")
    visitor.log.get_by_role("link", name="Install").click()
    visitor.wait_for_call(2)

    assert visitor.calls("docs.open_page") == [{"url": f"{visitor.site}/install/#pip"}]
    assert visitor.page.url == f"{visitor.site}/"


@pytest.mark.parametrize(
    ("actions", "click"),
    [
        (SEARCH, {}),
        (SEARCH + OPEN_PAGE, {"button": "middle"}),
        *((SEARCH + OPEN_PAGE, {"modifiers": [key]}) for key in ("Control", "Meta", "Shift")),
    ],
)
def test_other_clicks_are_left_to_the_browser(
    talk: Callable[..., Talk], actions: str, click: dict[str, Any]
) -> None:
    visitor = talk(actions)
    visitor.say("How?")
    link = visitor.log.get_by_role("link", name="Install")
    link.wait_for()
    visitor.page.evaluate(
        """() => ["click", "auxclick"].forEach((type) => addEventListener(type, (event) => {
            window.prevented = event.defaultPrevented;
            event.preventDefault();
        }))"""
    )
    link.click(**click)

    assert visitor.page.evaluate("window.prevented") is False
    assert visitor.calls("docs.open_page") == []


@pytest.mark.parametrize(
    ("name", "actions"), [("Install", SEARCH), ("Elsewhere", SEARCH + OPEN_PAGE)]
)
def test_link_without_a_working_action_is_followed_by_the_browser(
    talk: Callable[..., Talk], name: str, actions: str
) -> None:
    visitor = talk(actions)
    visitor.page.route("https://docs.example/", lambda route: route.fulfill(body="There"))
    visitor.say("How?")
    link = visitor.log.get_by_role("link", name=name)
    address = link.get_attribute("href")
    assert address
    link.click()

    visitor.page.wait_for_url(address)


def test_write_action_needs_the_visitors_confirmation(talk: Callable[..., Talk]) -> None:
    visitor = talk(SEARCH, ASK_TO_OPEN)
    keyboard = visitor.page.keyboard
    visitor.say("open it")
    question = visitor.avatar.get_by_role("group", name="May the avatar use “docs.open_page”")
    question.wait_for()
    assert "Does docs.open_page." in question.inner_text()
    assert f'{{"url":"{visitor.site}/install/#pip"}}' in question.inner_text()
    assert visitor.avatar.get_by_role("alert").first.inner_text().startswith("May the avatar")
    refuse = question.get_by_role("button", name="Refuse")
    is_focused = "element => element.getRootNode().activeElement === element"
    assert refuse.evaluate(is_focused)

    keyboard.press("Enter")
    visitor.wait_for_text("You did not allow it")
    assert not question.is_visible()
    assert visitor.field.evaluate(is_focused)
    assert visitor.calls("docs.open_page") == []

    visitor.say("open it")
    question.wait_for()
    keyboard.press("Tab")
    keyboard.press("Enter")
    visitor.wait_for_call(3)
    assert visitor.calls("docs.open_page") == [{"url": f"{visitor.site}/install/#pip"}]
    assert visitor.visit.errors() == []


def test_closing_the_avatar_refuses_the_action(talk: Callable[..., Talk]) -> None:
    visitor = talk(SEARCH, ASK_TO_OPEN)
    visitor.say("open it")
    question = visitor.avatar.get_by_role("group", name="May the avatar")
    question.wait_for()
    visitor.page.keyboard.press("Escape")
    launcher = visitor.avatar.get_by_role("button", name="Avatar (sandbox)")
    assert launcher.evaluate("element => element.getRootNode().activeElement === element")

    launcher.click()
    visitor.wait_for_text("You did not allow it")
    assert not question.is_visible()
    assert visitor.calls("docs.open_page") == []


def test_confirmation_does_not_take_the_pages_focus(talk: Callable[..., Talk]) -> None:
    slow = SEARCH.replace("({query}) => ({", "async ({query}) => await window.pause ?? ({")
    visitor = talk(
        slow,
        ASK_TO_OPEN,
        "window.pause = new Promise((resolve) => { window.goOn = () => resolve(undefined); });",
    )
    visitor.say("open it")
    visitor.wait_for_call(1)
    visitor.page.evaluate(
        """() => {
            const field = document.createElement("textarea");
            document.body.append(field);
            field.focus();
            goOn();
        }"""
    )
    visitor.avatar.get_by_role("group", name="May the avatar").wait_for()

    assert visitor.page.evaluate("document.activeElement.tagName") == "TEXTAREA"


@pytest.mark.parametrize(
    ("execute", "reason"),
    [
        ("() => { throw new Error('no index'); }", "no index"),
        ("() => 'x'.repeat(70000)", "its result is too long"),
        ("() => ({results: 1})", "docs.search returned no list of results"),
    ],
)
def test_failed_search_is_reported(talk: Callable[..., Talk], execute: str, reason: str) -> None:
    visitor = talk(f"whenReady((sdk) => sdk.registerAction(action('docs.search', {execute})));")
    visitor.say("How?")

    visitor.wait_for_text(f"That did not work: {reason}.")
    assert visitor.visit.errors() == []


def test_search_without_a_result_times_out(talk: Callable[..., Talk]) -> None:
    visitor = talk(
        "const never = () => new Promise(() => {});", SEARCH.replace("search)", "never)")
    )
    visitor.page.clock.install()
    visitor.say("How?")
    visitor.wait_for_call(1)
    visitor.page.clock.fast_forward(10_000)

    visitor.wait_for_text("That did not work: it took too long.")


def test_both_sdks_are_announced(talk: Callable[..., Talk]) -> None:
    visitor = talk()
    assert visitor.page.evaluate("announced") == ["Sentifyd"]
    loader = visitor.page.locator("script[src*=sentifyd]").get_attribute("src")
    assert loader
    visitor.page.add_script_tag(url=loader.replace("sentifyd-bot/", "sentifyd-realtime/v1/"))

    visitor.page.wait_for_selector("html[data-announced=Sentifyd-SentifydRealtime]")
    visitor.page.evaluate(f"() => ({REGISTER})({{}})")
    visitor.page.evaluate(f"() => ({REGISTER.replace('Sentifyd', 'SentifydRealtime')})({{}})")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ('{name: "a b"}', "name must be 1 to 64 letters"),
        ("{name: undefined}", "name must be"),
        ('{provider: ""}', "provider must be text"),
        ("{description: 1}", "description must be text"),
        ('{inputSchema: "{}"}', "inputSchema must be a JSON Schema"),
        ("{inputSchema: []}", "inputSchema must be a JSON Schema"),
        ("{inputSchema: {x: 1n}}", "inputSchema must be JSON"),
        ('{execute: "go"}', "execute must be a function"),
        ('{classification: "change"}', "classification must be read or write"),
        ("{confirmation: true}", "confirmation must be required, or left out"),
        ('{description: "x".repeat(60000)}', "all actions together must fit in 60000 characters"),
    ],
)
def test_malformed_action_is_rejected(
    talk: Callable[..., Talk], changes: str, message: str
) -> None:
    visitor = talk()

    with pytest.raises(Error, match=f"registerAction: .*{message}"):
        visitor.page.evaluate(f"() => ({REGISTER})({changes})")
    visitor.page.evaluate(f"() => ({REGISTER})({{}})")
    with pytest.raises(Error, match=r"registerAction: docs\.search is registered already"):
        visitor.page.evaluate(f"() => ({REGISTER})({{}})")
    with pytest.raises(Error, match="registerAction: name must be"):
        visitor.page.evaluate("window.Sentifyd.registerAction()")


def test_links_have_contrast_and_a_focus_outline(talk: Callable[..., Talk]) -> None:
    visitor = talk(SEARCH)
    visitor.page.set_viewport_size({"width": 360, "height": 640})
    visitor.say("How?")
    link = visitor.log.get_by_role("link", name="Elsewhere")
    link.wait_for()
    visitor.field.focus()
    visitor.page.keyboard.press("Shift+Tab")

    outline, contrast = link.evaluate(
        """link => {
            const luminance = (colour) => {
                const [r, g, b] = colour.match(/\\d+/g).map(Number).map((value) => {
                    const part = value / 255;
                    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
                });
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            const ground = luminance(getComputedStyle(link.closest("ul")).backgroundColor);
            const ratio = (colour) => (ground + 0.05) / (luminance(colour) + 0.05);
            const style = getComputedStyle(link);
            const small = getComputedStyle(link.parentElement.querySelector("small"));
            return [
                [style.outlineStyle, style.outlineWidth, ratio(style.outlineColor)],
                Math.min(ratio(style.color), ratio(small.color)),
            ];
        }"""
    )
    assert outline[:2] == ["solid", "3px"]
    assert outline[2] >= 3
    assert contrast >= 4.5
    box = link.bounding_box()
    assert box
    assert box["x"] + box["width"] <= 360
    assert visitor.page.evaluate("document.documentElement.scrollWidth") == 360
    for part in (visitor.field, visitor.avatar.get_by_role("button", name="Close the avatar")):
        assert part.is_visible()


def test_long_answer_is_shown_from_its_beginning(talk: Callable[..., Talk]) -> None:
    long = SEARCH.replace("Run pip.", "Run pip. " + "Words. " * 40)
    visitor = talk(long)
    visitor.say("How?")
    answer = visitor.wait_for_text("found these pages")

    beginning, log = answer.bounding_box(), visitor.log.bounding_box()
    assert beginning
    assert log
    assert log["y"] - 1 <= beginning["y"] < log["y"] + 20
