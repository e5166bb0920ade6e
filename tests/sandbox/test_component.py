"""The sandbox's web component in Chromium: the vendor's contract with a page, in plain HTML."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator

from edge_service.sandbox.faults import Fault
from tests.sandbox.stage import Stage
from tests.support.browsing import Visit


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
    launcher = avatar.get_by_role("button", name="Avatar (sandbox)")
    close = avatar.get_by_role("button", name="Close the avatar")
    launcher.click()

    assert _is_inside(close, size)
    assert _is_inside(avatar.get_by_role("textbox"), size)
    close.click()
    assert _is_inside(launcher, size)


def _is_inside(part: Locator, size: tuple[int, int]) -> bool:
    box = part.bounding_box()
    assert box
    right, bottom = box["x"] + box["width"], box["y"] + box["height"]
    return 0 <= box["x"] < right <= size[0] and 0 <= box["y"] < bottom <= size[1]


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
