"""The sandbox's realtime element in Chromium behaves like version 1.4.0 of the vendor's package.

Each test repeats an observation of that package, as `reference/sandbox-realtime.md` lists them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, WebSocket

from tests.sandbox.stage import Stage
from tests.support.browsing import Visit

ELEMENT = "sentifyd-realtime"
STATE = "chatbotState_a1"
OPEN = '{"isVisible":true,"mode":"AVATAR","enableCaptions":false}'
# Creates an element; the tests insert it.
MAKE = f"""
window.make = (attributes = {{ toggler: "true" }}) => {{
  const element = document.createElement("{ELEMENT}");
  for (const [name, value] of Object.entries({{ ...window.credentials, ...attributes }})) {{
    element.setAttribute(name, value);
  }}
  return element;
}};
"""
BLOCKED = """
Object.defineProperty(window, "sessionStorage", {
  get() { throw new DOMException("blocked", "SecurityError"); },
});
"""
FULL = "Storage.prototype.setItem = () => { throw new DOMException('', 'QuotaExceededError'); };"
# Answers token requests at once, and counts them and the sockets, which never open.
FAKE = """
window.asked = 0;
window.answer = { status: 401, body: {} };
window.sockets = 0;
window.fetch = async () => {
  asked += 1;
  const { status, body } = answer;
  return { ok: status === 200, status, json: async () => body };
};
window.WebSocket = class {
  constructor() { sockets += 1; }
};
"""
TOKENS = {"tokens": {"accessToken": "a.e30.c", "refreshToken": "r"}}


class Realtime(Visit):
    """A visitor of a page that has loaded the realtime component."""

    def __init__(self, page: Page, stage: Stage) -> None:
        super().__init__(page)
        self.stage = stage
        self.sockets: list[WebSocket] = []
        page.on("websocket", lambda socket: self.sockets.append(socket))
        credentials = json.dumps({"token-endpoint": stage.endpoint, "avatar-id": "a1"})
        page.add_init_script(f"window.credentials = {credentials};{MAKE}")

    def load(self) -> None:
        """Open the page, which has no element yet."""
        self.page.goto(self.stage.site)
        self.page.wait_for_function(f"!!customElements.get('{ELEMENT}')")

    def start(self, **attributes: str) -> None:
        """Open the page with an element, and wait for its connection."""
        self.load()
        self.insert(**attributes)
        self.wait_for("connected")

    def insert(self, **attributes: str) -> None:
        named = {name.replace("_", "-"): value for name, value in attributes.items()}
        self.page.evaluate(
            "named => { window.avatar = make(named); document.body.append(avatar); }", named
        )

    def wait_for(self, state: str) -> None:
        self.element.and_(self.page.locator(f'[data-state="{state}"]')).wait_for(state="attached")

    @property
    def element(self) -> Locator:
        return self.page.locator(ELEMENT)

    @property
    def panel(self) -> Locator:
        return self.element.get_by_role("region", name="Sandbox avatar")

    def toggle(self) -> None:
        self.page.evaluate("avatar._handleToggleChatbot()")

    def token_requests(self) -> list[str]:
        return [r.url for r in self.requests if r.url.startswith(self.stage.endpoint)]

    def pass_time(self, seconds: int) -> None:
        # In steps, because a timer that starts during a step waits for the next one.
        for _ in range(seconds):
            self.page.clock.run_for(1000)


@pytest.fixture(scope="module")
def site() -> Iterator[Stage]:
    with ExitStack() as stack:
        stage = Stage(stack, 3600)
        stage.body = (
            f'<script src="{stage.sandbox_url}/{ELEMENT}/v1/main.js" type="module"></script>'
        )
        yield stage


@pytest.fixture
def realtime(browser: Browser, site: Stage) -> Iterator[Realtime]:
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        yield Realtime(context.new_page(), site)


@pytest.fixture
def refused(realtime: Realtime) -> Realtime:
    """A visitor whose token requests are refused, with a clock that the test moves."""
    realtime.page.clock.install(time=0)
    realtime.page.add_init_script(FAKE)
    realtime.load()
    realtime.insert(toggler="true")
    return realtime


def test_element_is_opened_by_its_method(realtime: Realtime) -> None:
    realtime.page.add_init_script("sessionStorage.showChatbot_a1 ??= 'true'")
    realtime.start(toggler="true")
    assert not realtime.panel.is_visible()
    assert realtime.stored(STATE) is None

    for is_open in (True, False):
        now = realtime.page.evaluate(
            f"() => {{ avatar._handleToggleChatbot(); return sessionStorage.{STATE}; }}"
        )
        assert json.loads(now) == {"isVisible": is_open, "mode": "AVATAR", "enableCaptions": False}
        assert realtime.panel.is_visible() is is_open
    realtime.page.evaluate(f"sessionStorage.{STATE} = JSON.stringify({{ isVisible: true }})")
    assert not realtime.panel.is_visible()
    assert realtime.stored("showChatbot_a1") is True
    assert realtime.errors() == []


@pytest.mark.parametrize(
    ("order", "is_open"),
    [
        ("store(); document.body.append(avatar)", True),
        ("document.body.append(avatar); store()", True),
        # The method turns the element that has not read the state yet, which then is open anyway.
        ("store(); document.body.append(avatar); avatar._handleToggleChatbot()", True),
        ("document.body.append(avatar); avatar._handleToggleChatbot()", True),
        ("document.body.append(avatar); setTimeout(store, 100)", False),
    ],
    ids=["before", "same-task", "toggled-at-once", "toggled-without-state", "too-late"],
)
def test_element_reads_the_stored_state_once(realtime: Realtime, order: str, is_open: bool) -> None:
    realtime.load()
    realtime.page.evaluate(
        f"""() => {{
          const store = () => {{ sessionStorage.{STATE} = '{OPEN}'; }};
          window.avatar = make();
          {order};
        }}"""
    )
    realtime.wait_for("connected")
    realtime.page.wait_for_function(f"!!sessionStorage.{STATE}")

    assert realtime.panel.is_visible() is is_open


@pytest.mark.parametrize("is_removed", [True, False], ids=["put-back", "moved"])
def test_moved_element_loses_its_connection(realtime: Realtime, is_removed: bool) -> None:
    realtime.start(toggler="true")
    realtime.page.evaluate(
        "isRemoved => { if (isRemoved) avatar.remove(); document.body.append(avatar); }", is_removed
    )
    assert realtime.element.get_attribute("data-state") == "idle"
    assert len(realtime.token_requests()) == 1

    realtime.toggle()
    realtime.element.get_by_role("button", name="Connect").click()
    realtime.wait_for("connected")
    assert len(realtime.token_requests()) == 2
    assert realtime.errors() == []


def test_element_requests_tokens_on_every_page(realtime: Realtime) -> None:
    for _ in range(2):
        realtime.start(toggler="true")

    assert realtime.token_requests() == [realtime.stage.endpoint] * 2
    stored = realtime.stored("authData_a1")
    assert isinstance(stored, dict)
    assert stored.keys() == {"accessToken", "refreshToken", "avatarParameters"}


def test_removal_closes_the_connection(realtime: Realtime) -> None:
    realtime.start(toggler="true")
    with realtime.sockets[0].expect_event("close"):
        realtime.page.evaluate("avatar.remove()")


def test_element_removed_while_its_tokens_are_pending_connects(realtime: Realtime) -> None:
    held: list[Route] = []
    realtime.page.route(realtime.stage.endpoint, lambda route: held.append(route))
    realtime.load()
    with realtime.page.expect_request(realtime.stage.endpoint):
        realtime.insert(toggler="true")
    realtime.page.evaluate("avatar.remove()")

    with realtime.page.expect_websocket() as opened:
        held[0].continue_()
    realtime.page.wait_for_function("avatar.dataset.state === 'connected'")
    assert realtime.stored("authData_a1") is not None
    assert not opened.value.is_closed()

    # Only another removal ends it.
    with opened.value.expect_event("close"):
        realtime.page.evaluate("() => { document.body.append(avatar); avatar.remove(); }")
    assert len(realtime.token_requests()) == 1


def test_refused_element_goes_on_asking(refused: Realtime) -> None:
    refused.pass_time(8)
    assert refused.element.get_attribute("data-state") == "connecting"
    refused.pass_time(62)
    assert 16 <= refused.page.evaluate("asked") <= 18
    refused.toggle()
    assert refused.element.get_by_role("alert").last.inner_text() == "Connection failed."
    connect = refused.element.get_by_role("button", name="Connect")
    assert connect.is_visible()

    # After the recovery it asks once, and does not connect by itself.
    answer = {"status": 200, "body": {**TOKENS, "avatarParameters": {}}}
    refused.page.evaluate("answer => { window.answer = answer; window.asked = 0; }", answer)
    refused.pass_time(30)
    assert refused.page.evaluate("[asked, sockets]") == [1, 0]
    assert refused.stored("authData_a1") is not None
    assert refused.element.get_attribute("data-state") == "error"

    connect.click()
    refused.page.wait_for_function("sockets === 1")
    assert refused.page.evaluate("asked") == 2


def test_element_connects_if_the_endpoint_recovers_soon(refused: Realtime) -> None:
    refused.pass_time(4)
    answer = {"status": 200, "body": {**TOKENS, "avatarParameters": {}}}
    refused.page.evaluate("answer => { window.answer = answer; }", answer)
    refused.pass_time(5)

    assert refused.page.evaluate("sockets") == 1


def test_refused_element_goes_on_asking_when_it_is_removed(refused: Realtime) -> None:
    refused.pass_time(12)
    before = refused.page.evaluate("() => { avatar.remove(); return asked; }")
    refused.pass_time(20)

    assert refused.page.evaluate("asked") - before >= 4


def test_answer_without_avatar_parameters_is_a_refusal(refused: Realtime) -> None:
    answer = {"status": 200, "body": {**TOKENS, "avatarParameters": None}}
    refused.page.evaluate("answer => { window.answer = answer; }", answer)
    refused.pass_time(30)

    assert refused.page.evaluate("asked") > 5
    assert refused.page.evaluate("sockets") == 0
    assert refused.element.get_attribute("data-state") == "error"


def test_expired_token_is_replaced_without_the_refresh_token(
    realtime: Realtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(realtime.stage.sandbox.mint, "life", 1)
    realtime.start(toggler="true")

    realtime.page.wait_for_function("performance.getEntriesByName(avatar.endpoint).length > 1")
    assert set(realtime.token_requests()) == {realtime.stage.endpoint}


def test_element_needs_no_avatar_parameters(realtime: Realtime) -> None:
    def empty(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "avatarParameters": {}})

    realtime.page.route(realtime.stage.endpoint, empty)
    realtime.start(toggler="true")

    assert realtime.errors() == []


def test_element_rewrites_its_attributes(realtime: Realtime) -> None:
    realtime.start(toggler="true", compact="false", overlay="false", corner_radius="9")
    attributes = "() => Object.fromEntries([...avatar.attributes].map((a) => [a.name, a.value]))"
    found = realtime.page.evaluate(attributes)
    assert found["toggler"] == ""
    assert not {"compact", "overlay"} & found.keys()
    assert (found["role"], found["dir"]) == ("region", "ltr")
    assert found["style"] == "--corner-radius: 9px;"

    realtime.page.evaluate("avatar.setAttribute('toggler', 'false')")
    assert realtime.panel.is_visible()
    assert realtime.page.evaluate(attributes)["toggler"] == "false"
    # A removed attribute does not mean false.
    realtime.page.evaluate("avatar.removeAttribute('toggler')")
    assert not realtime.panel.is_visible()
    realtime.page.evaluate("avatar.setAttribute('compact', 'false')")
    realtime.toggle()
    assert realtime.panel.locator("header").is_visible()
    realtime.page.evaluate("avatar.removeAttribute('compact')")
    assert not realtime.panel.locator("header").is_visible()


def test_embedded_element_loses_the_attribute_that_says_false(realtime: Realtime) -> None:
    realtime.start(toggler="false")
    assert realtime.element.get_attribute("toggler") is None

    realtime.page.evaluate("avatar.removeAttribute('toggler')")
    assert realtime.panel.is_visible()


def test_floating_element_has_no_size_and_is_not_hidden_by_its_attribute(
    realtime: Realtime,
) -> None:
    box = (
        "() => { const { height, width } = avatar.getBoundingClientRect(); return [height, width] }"
    )
    realtime.start(toggler="true")
    closed = realtime.page.evaluate(box)
    realtime.toggle()

    assert realtime.page.evaluate(box) == closed
    assert closed[0] == 0
    assert realtime.page.evaluate("getComputedStyle(avatar).position") == "static"
    realtime.page.evaluate("avatar.hidden = true")
    assert realtime.panel.is_visible()
    realtime.page.evaluate("avatar.style.display = 'none'")
    assert not realtime.panel.is_visible()
    assert realtime.element.get_attribute("data-state") == "connected"


def test_component_does_not_start_without_session_storage(realtime: Realtime) -> None:
    realtime.page.add_init_script(BLOCKED)
    with realtime.page.expect_response(f"**/{ELEMENT}/v1/main.js"):
        realtime.page.goto(realtime.stage.site)
    realtime.page.wait_for_load_state("load")

    assert realtime.page.evaluate(f"!customElements.get('{ELEMENT}')")
    assert realtime.page.evaluate("!window.SentifydRealtime")


def test_component_works_with_full_session_storage(realtime: Realtime) -> None:
    realtime.page.add_init_script(FULL)
    realtime.start(toggler="true")

    realtime.toggle()
    assert realtime.panel.is_visible()
    assert realtime.errors() == []


def test_two_elements_share_the_stored_state(realtime: Realtime) -> None:
    realtime.start(toggler="true")
    realtime.page.evaluate("window.other = make(); document.body.append(other)")
    realtime.page.wait_for_function("other.dataset.state === 'connected'")
    for name in ("avatar", "other"):
        realtime.page.evaluate(f"{name}._handleToggleChatbot()")
        assert realtime.page.evaluate(f"sessionStorage.{STATE}") == OPEN

    with realtime.page.expect_websocket():
        realtime.page.evaluate("avatar.remove()")
    assert len(realtime.token_requests()) == 3


def test_new_avatar_id_changes_only_the_storage_key(realtime: Realtime) -> None:
    realtime.start(toggler="true")
    realtime.page.evaluate("avatar.setAttribute('avatar-id', 'a2')")
    realtime.toggle()

    assert realtime.stored("chatbotState_a2") is not None
    assert realtime.stored(STATE) is None
    assert len(realtime.token_requests()) == 1
    assert realtime.element.get_attribute("data-state") == "connected"
