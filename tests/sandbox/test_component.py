"""The sandbox's web component in Chromium: the vendor's contract with a page, in plain HTML."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Locator, Page
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from edge_service.app import create_app
from edge_service.sandbox.app import Sandbox, create_sandbox
from edge_service.sandbox.faults import Fault
from edge_service.settings import Settings
from tests.support.browsing import Visit
from tests.support.servers import serving
from tests.support.settings import KEY, avatar_settings


class Stage:
    """Sandbox, token service and a site whose pages a test writes."""

    def __init__(self, stack: ExitStack, token_life: int) -> None:
        self.body = ""
        self.script = ""
        self.headers: dict[str, str] = {}
        self.sandbox = Sandbox(KEY, token_life)
        self.sandbox_url = stack.enter_context(serving(create_sandbox(self.sandbox)))
        routes = [Route("/page.js", self._script), Route("/{path:path}", self._page)]
        self.site = stack.enter_context(serving(Starlette(routes=routes)))
        origins = frozenset({self.site})
        avatar = avatar_settings(self.sandbox_url, allowed_origins=origins)
        settings = Settings(avatars={"": avatar})
        self.edge = stack.enter_context(serving(create_app(settings)))
        self.endpoint = f"{self.edge}/request_tokens"
        self.loader = f"{self.sandbox_url}/sentifyd-bot/main.js"

    def embed(self, attributes: str = "", loader: str | None = None) -> None:
        self.body = (
            f'<script src="{loader or self.loader}" defer></script>'
            f'<sentifyd-bot token_endpoint="{self.endpoint}" avatar_id="a1" {attributes}>'
            "</sentifyd-bot>"
        )

    async def _page(self, _: object) -> HTMLResponse:
        head = '<title>Page</title><link rel="icon" href="data:,">'
        return HTMLResponse(
            f"<!doctype html><html lang=en>{head}{self.body}</html>", headers=self.headers
        )

    async def _script(self, _: object) -> Response:
        return Response(self.script, media_type="text/javascript")


@pytest.fixture
def stage() -> Iterator[Callable[..., Stage]]:
    with ExitStack() as stack:
        yield lambda token_life=30: Stage(stack, token_life)


@pytest.mark.parametrize(
    "loader",
    ["https://frontend.sentifyd.io/sentifyd-bot/main.js", "https://cdn.sentifyd.io/element/bot.js"],
)
def test_pages_with_either_documented_loader_connect(
    stage: Callable[..., Stage], visit: Visit, loader: str
) -> None:
    """The vendor's hosts cannot be reached, so the test answers with the sandbox's script."""
    set_up = stage()
    set_up.embed(loader=loader)
    visit.page.route(
        loader,
        lambda route: route.fulfill(response=visit.page.request.get(set_up.loader)),
    )
    visit.page.goto(set_up.site)

    visit.wait_until_connected()
    assert visit.errors() == []


REALTIME = "sentifyd-realtime"
STATE = "chatbotState_a1"


@pytest.fixture
def realtime(stage: Callable[..., Stage], visit: Visit) -> Page:
    """A page with the realtime element that is not connected yet."""
    set_up = stage()
    set_up.body = (
        f'<script src="{set_up.sandbox_url}/{REALTIME}/v1/main.js" type="module"></script>'
        f'<{REALTIME} token-endpoint="{set_up.endpoint}" avatar-id="a1"></{REALTIME}>'
    )
    visit.page.add_init_script("sessionStorage.setItem('showChatbot_a1', 'true')")
    visit.page.goto(set_up.site)
    return visit.page


def _wait_for_realtime(page: Page, state: str = "connected") -> Locator:
    page.wait_for_selector(f'{REALTIME}[data-state="{state}"]', state="attached")
    return page.locator(REALTIME)


def test_realtime_element_with_kebab_case_attributes_connects(realtime: Page, visit: Visit) -> None:
    _wait_for_realtime(realtime)

    assert visit.errors() == []


def test_realtime_element_is_opened_by_its_method(realtime: Page, visit: Visit) -> None:
    panel = _wait_for_realtime(realtime).get_by_role("region", name="Sandbox avatar")
    assert not panel.is_visible()
    assert visit.stored(STATE) is None

    for is_open in (True, False):
        now = realtime.evaluate(
            f"""() => {{
              document.querySelector("{REALTIME}")._handleToggleChatbot();
              return sessionStorage.{STATE};
            }}"""
        )
        assert json.loads(now) == {"isVisible": is_open, "mode": "AVATAR", "enableCaptions": True}
        assert panel.is_visible() is is_open
    realtime.evaluate(f"sessionStorage.{STATE} = JSON.stringify({{ isVisible: true }})")
    assert not panel.is_visible()
    assert visit.stored("showChatbot_a1") is True

    realtime.reload()
    assert _wait_for_realtime(realtime).get_by_role("region").is_visible()


@pytest.mark.parametrize("is_removed", [True, False], ids=["put-back", "moved"])
def test_moved_realtime_element_loses_its_connection(
    realtime: Page, visit: Visit, is_removed: bool
) -> None:
    element = _wait_for_realtime(realtime)
    realtime.evaluate(
        f"""(isRemoved) => {{
          const element = document.querySelector("{REALTIME}");
          if (isRemoved) element.remove();
          document.body.append(element);
        }}""",
        is_removed,
    )
    assert element.get_attribute("data-state") == "idle"
    asked = [request.url for request in visit.requests if "request_tokens" in request.url]
    assert len(asked) == 1

    realtime.evaluate(f'document.querySelector("{REALTIME}")._handleToggleChatbot()')
    element.get_by_role("button", name="Connect").click()
    _wait_for_realtime(realtime)
    assert [r.url for r in visit.requests if "request_tokens" in r.url] == asked


def test_realtime_element_requests_tokens_on_every_page(realtime: Page, visit: Visit) -> None:
    _wait_for_realtime(realtime)
    realtime.reload()
    _wait_for_realtime(realtime)

    assert sum("request_tokens" in request.url for request in visit.requests) == 2


def test_realtime_element_applies_changed_attributes(realtime: Page, visit: Visit) -> None:
    element = _wait_for_realtime(realtime)
    panel = element.get_by_role("region", name="Sandbox avatar")
    # The attribute alone does not hide it.
    realtime.evaluate(f'document.querySelector("{REALTIME}").hidden = true')
    assert element.is_visible()

    for toggler, is_open in (("false", True), ("true", False)):
        realtime.evaluate(
            f'value => document.querySelector("{REALTIME}").setAttribute("toggler", value)', toggler
        )
        assert panel.is_visible() is is_open
    assert element.get_attribute("data-state") == "connected"
    assert visit.errors() == []


def test_avatar_works_with_keyboard_and_screen_reader_names(
    stage: Callable[..., Stage], visit: Visit
) -> None:
    set_up = stage()
    set_up.embed()
    page = visit.page
    page.goto(set_up.site)
    visit.wait_until_connected()
    avatar = page.locator(visit.avatar)
    launcher = avatar.get_by_role("button", name="Avatar (sandbox)")
    assert launcher.get_attribute("aria-expanded") == "false"
    assert not avatar.get_by_role("region").is_visible()

    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    region = avatar.get_by_role("region", name="Sandbox avatar")
    region.wait_for()
    assert visit.stored("showChatbot_a1") is True
    assert avatar.get_by_text("Sandbox, not Sentifyd").is_visible()
    assert avatar.get_by_text("language en, voice none").is_visible()
    page.keyboard.type("Hello")  # the message field has the focus
    page.keyboard.press("Enter")
    log = avatar.get_by_role("log", name="Conversation")
    log.get_by_text("You wrote: “Hello”").wait_for()

    page.keyboard.press("Escape")
    region.wait_for(state="hidden")
    assert launcher.get_attribute("aria-expanded") == "false"
    assert launcher.evaluate("button => button.getRootNode().activeElement === button")
    assert visit.stored("showChatbot_a1") is False
    page.keyboard.press("Enter")
    region.wait_for()
    assert visit.errors() == []


def test_tokens_are_stored_in_session_storage_only(
    stage: Callable[..., Stage], visit: Visit
) -> None:
    set_up = stage()
    set_up.embed()
    visit.page.goto(set_up.site)
    visit.wait_until_connected()
    visit.page.wait_for_function("sessionStorage.conversationData_a1")

    auth = visit.stored("authData_a1")
    assert isinstance(auth, dict)
    assert {"token", "refreshToken"} <= auth.keys()
    assert visit.page.evaluate("localStorage.length") == 0
    assert visit.page.evaluate("document.cookie") == ""

    visit.page.reload()
    visit.wait_until_connected()
    assert set_up.sandbox.logins == 1  # the next page uses the stored token


def test_token_of_another_endpoint_is_not_used(stage: Callable[..., Stage], visit: Visit) -> None:
    set_up = stage()
    set_up.embed()
    visit.page.goto(set_up.site)
    visit.wait_until_connected()
    visit.page.wait_for_function("sessionStorage.conversationData_a1")

    set_up.endpoint = set_up.endpoint.replace("127.0.0.1", "localhost")
    set_up.embed()
    visit.page.reload()
    visit.wait_until_connected()
    assert set_up.sandbox.logins == 2


def test_avatar_works_with_blocked_storage(stage: Callable[..., Stage], visit: Visit) -> None:
    set_up = stage(token_life=2)
    set_up.embed()
    visit.page.add_init_script(
        "Object.defineProperty(window, 'sessionStorage', {get() { throw new Error('blocked') }})"
    )
    with visit.page.expect_request(lambda request: "refreshToken=" in request.url):
        visit.page.goto(set_up.site)
    visit.wait_until_connected()

    assert visit.errors() == []


def test_failed_connection_can_be_retried(stage: Callable[..., Stage], visit: Visit) -> None:
    set_up = stage()
    set_up.embed()
    set_up.sandbox.fault = Fault("status", status=503)
    visit.page.goto(set_up.site)
    avatar = visit.page.locator(f'{visit.avatar}[data-state="error"]')
    avatar.get_by_role("button", name="Avatar (sandbox)").click()
    alert = avatar.get_by_role("alert")
    assert alert.inner_text() == "The avatar cannot connect: the token endpoint answered 503."
    assert avatar.get_by_role("button", name="Send").get_attribute("aria-disabled") == "true"

    set_up.sandbox.fault = None
    avatar.get_by_role("button", name="Try again").click()
    visit.wait_until_connected()
    field = visit.page.locator(visit.avatar).get_by_role("textbox")
    assert field.evaluate("field => field.getRootNode().activeElement === field")
    assert visit.page.locator(visit.avatar).get_by_role("alert").inner_text() == ""


def test_refresh_keeps_the_focus(stage: Callable[..., Stage], visit: Visit) -> None:
    set_up = stage(token_life=2)
    set_up.embed('toggler="false"')
    visit.page.goto(set_up.site)
    visit.wait_until_connected()
    avatar = visit.page.locator(visit.avatar)
    send = avatar.get_by_role("button", name="Send")
    avatar.get_by_role("textbox").fill("Half a sen")
    send.focus()

    with visit.page.expect_request(lambda request: "refreshToken=" in request.url):
        pass
    visit.wait_until_connected()

    assert send.evaluate("button => button.getRootNode().activeElement === button")
    assert avatar.get_by_role("textbox").input_value() == "Half a sen"


@pytest.mark.parametrize("size", [(640, 360), (360, 420), (360, 740)])
def test_header_and_message_field_stay_visible(
    stage: Callable[..., Stage], visit: Visit, size: tuple[int, int]
) -> None:
    set_up = stage()
    set_up.embed()
    visit.page.set_viewport_size({"width": size[0], "height": size[1]})
    visit.page.goto(set_up.site)
    visit.wait_until_connected()
    avatar = visit.page.locator(visit.avatar)
    avatar.get_by_role("button", name="Avatar (sandbox)").click()

    for part in (
        avatar.get_by_role("button", name="Close the avatar"),
        avatar.get_by_role("textbox"),
        avatar.get_by_role("button", name="Avatar (sandbox)"),
    ):
        box = part.bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["y"] >= 0
        assert box["x"] + box["width"] <= size[0]
        assert box["y"] + box["height"] <= size[1]


def test_answer_without_tokens_is_reported(stage: Callable[..., Stage], visit: Visit) -> None:
    set_up = stage()
    set_up.embed()
    visit.page.route(set_up.endpoint, lambda route: route.fulfill(body="<html>", status=200))
    visit.page.goto(set_up.site)

    avatar = visit.page.locator(f'{visit.avatar}[data-state="error"]')
    avatar.get_by_role("button", name="Avatar (sandbox)").click()
    alert = avatar.get_by_role("alert").inner_text()
    assert alert == "The avatar cannot connect: the token endpoint's answer contains no tokens."


def test_site_that_is_not_allowed_is_reported(stage: Callable[..., Stage], visit: Visit) -> None:
    set_up = stage()
    set_up.embed()
    visit.page.goto(set_up.site.replace("127.0.0.1", "localhost"))

    avatar = visit.page.locator(f'{visit.avatar}[data-state="error"]')
    avatar.get_by_role("button", name="Avatar (sandbox)").click()
    assert "does not allow this site" in avatar.get_by_role("alert").inner_text()
    assert set_up.sandbox.logins == 0


def test_page_can_read_the_reason_of_an_error(stage: Callable[..., Stage], visit: Visit) -> None:
    """Errors have CORS headers for an allowed origin; otherwise a page could not read them."""
    set_up = stage()
    set_up.sandbox.fault = Fault("status", status=429, retry_after=7)
    visit.page.goto(set_up.site)

    seen = visit.page.evaluate(
        """async url => {
            const response = await fetch(url, {
                method: "POST",
                headers: {"Content-Type": "application/json"},
                body: JSON.stringify({refreshToken: "x"}),
            });
            return [response.status, response.headers.get("Retry-After"), await response.json()];
        }""",
        set_up.endpoint,
    )
    assert seen[:2] == [429, "7"]
    assert seen[2]["code"] == "upstream_rejected"


def test_removing_the_element_closes_the_connection(
    stage: Callable[..., Stage], visit: Visit
) -> None:
    set_up = stage()
    set_up.embed()
    with visit.page.expect_websocket() as opened:
        visit.page.goto(set_up.site)
    visit.wait_until_connected()

    with opened.value.expect_event("close"):
        visit.page.evaluate("document.querySelector('sentifyd-bot').remove()")
    assert visit.errors() == []


def test_refused_token_is_renewed_only_a_few_times(
    stage: Callable[..., Stage], visit: Visit
) -> None:
    """The component stops requesting tokens if every token is refused."""
    set_up = stage()
    set_up.embed()
    issued = set_up.sandbox.mint.refresh_token
    set_up.sandbox.mint.access_token = issued  # type: ignore[method-assign]
    visit.page.goto(set_up.site)

    visit.page.wait_for_selector(f'{visit.avatar}[data-state="error"]', state="attached")
    assert 2 <= set_up.sandbox.logins <= 8


def test_reinserted_element_continues_the_conversation(
    stage: Callable[..., Stage], visit: Visit
) -> None:
    set_up = stage()
    set_up.embed()
    page = visit.page
    page.goto(set_up.site)
    visit.wait_until_connected()
    avatar = page.locator(visit.avatar)
    avatar.get_by_role("button", name="Avatar (sandbox)").click()
    avatar.get_by_role("textbox").fill("Hello")
    page.keyboard.press("Enter")
    avatar.get_by_text("You wrote: “Hello”").wait_for()
    lines = avatar.get_by_role("log").locator("p").all_inner_texts()

    with page.expect_websocket():
        page.evaluate(
            """() => {
                const avatar = document.querySelector("sentifyd-bot");
                avatar.remove();
                document.body.append(avatar);
            }"""
        )
    visit.wait_until_connected()
    assert avatar.get_by_role("log").locator("p").all_inner_texts() == lines
    assert len(lines) == 3

    avatar.get_by_role("textbox").fill("Again")
    page.keyboard.press("Enter")
    avatar.get_by_text("You wrote: “Again”").wait_for()
    assert len(avatar.get_by_role("log").locator("p").all()) == 5
    assert visit.errors() == []


def test_avatar_that_was_left_open_takes_no_focus(
    stage: Callable[..., Stage], visit: Visit
) -> None:
    set_up = stage()
    set_up.embed()
    visit.page.add_init_script("sessionStorage.setItem('showChatbot_a1', 'true')")
    visit.page.goto(set_up.site)
    visit.wait_until_connected()

    assert visit.page.locator(visit.avatar).get_by_role("textbox").is_visible()
    assert visit.page.evaluate("document.activeElement === document.body")
