"""Test that third-party code loads only after consent, and that withdrawal removes everything."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Browser, Route

from tests.runtime.stage import INSTANT, MATERIAL, MKDOCS, READTHEDOCS, Stage, Theme, Visitor
from tests.support.browsing import DESKTOP, launch

CONSENT = {"consent": "sentifyd"}
FORM = {
    "consent": {
        "title": "Cookies",
        "description": "We ask first.",
        "actions": ["accept", "reject", "manage"],
    }
}
FORMS = pytest.mark.parametrize("theme", [INSTANT, MATERIAL], ids=["instant", "material"])
DISPATCH_CONSENT = (
    "agreed => document.dispatchEvent(new CustomEvent('sentifyd:consent', {detail: agreed}))"
)
STORED = "() => Object.keys(sessionStorage).filter((key) => /^[a-z]+[A-Z]\\w*_/.test(key)).sort()"


def _with_form(stage: Stage, theme: Theme, **options: object) -> str:
    return stage.build({**CONSENT, **options}, theme=theme, extra=FORM)


def _choose(visitor: Visitor) -> None:
    """Tick or untick the avatar's cookie in the form, and accept."""
    page = visitor.page
    page.locator("label", has_text="Manage settings").click()
    page.locator("form[name=consent] label", has_text="Sentifyd").click()
    # Material then reloads the page.
    with page.expect_event("domcontentloaded"):
        page.get_by_role("button", name="Accept").click()


def _change(visitor: Visitor, url: str) -> None:
    """Open the form with the link that Material documents for changing consent."""
    visitor.page.goto(f"{url}#__consent")
    _choose(visitor)


def _assert_gone(visitor: Visitor) -> None:
    visitor.page.wait_for_function("!document.querySelector('sentifyd-bot')")
    assert visitor.page.evaluate(STORED) == []


@FORMS
def test_consent_loads_the_avatar_at_once(stage: Stage, visitor: Visitor, theme: Theme) -> None:
    visitor.open(_with_form(stage, theme))
    visitor.page.get_by_role("button", name="Accept").wait_for()
    visitor.page.evaluate("() => new Promise((resolve) => requestIdleCallback(resolve))")
    assert visitor.origins() == {stage.origin}

    _choose(visitor)
    visitor.wait_until_connected()

    assert visitor.loader_requests() == 1
    visitor.follow("Home")
    visitor.wait_until_connected()


@FORMS
@pytest.mark.parametrize(
    ("answer", "actions"),
    [
        ("Reject", ["accept", "reject", "manage"]),
        ("Accept", ["accept", "reject", "manage"]),
        ("Accept", ["accept", "reject"]),
    ],
    ids=["rejected", "unticked in a collapsed list", "unticked in a visible list"],
)
def test_nothing_loads_without_consent(
    stage: Stage, visitor: Visitor, theme: Theme, answer: str, actions: list[str]
) -> None:
    extra = {"consent": {**FORM["consent"], "actions": actions}}
    visitor.open(stage.build(CONSENT, theme=theme, extra=extra))

    with visitor.page.expect_event("domcontentloaded"):
        visitor.page.get_by_role("button", name=answer).click()
    visitor.follow("Plain")

    assert visitor.origins() == {stage.origin}
    assert visitor.element().count() == 0


@FORMS
def test_withdrawal_removes_the_avatar_and_its_storage(
    stage: Stage, visitor: Visitor, theme: Theme
) -> None:
    url = _with_form(stage, theme)
    visitor.open(url)
    _choose(visitor)
    visitor.wait_until_connected()
    visitor.element().get_by_role("button", name="Avatar (sandbox)").click()
    visitor.say("Hello")
    visitor.page.evaluate("sessionStorage.setItem('theirOwn_key', '1')")
    kept = ["authData_avtr_1", "conversationData_avtr_1", "showChatbot_avtr_1", "theirOwn_key"]
    assert visitor.page.evaluate(STORED) == kept

    _change(visitor, url)

    visitor.page.wait_for_function("!document.querySelector('sentifyd-bot')")
    assert visitor.page.evaluate(STORED) == ["theirOwn_key"]
    count = len(visitor.requests)
    visitor.follow("Plain")
    assert {r.url for r in visitor.requests[count:] if not r.url.startswith(stage.origin)} == set()


def test_withdrawal_applies_to_other_tabs(stage: Stage, visitor: Visitor) -> None:
    url = _with_form(stage, INSTANT)
    visitor.open(url)
    _choose(visitor)
    visitor.wait_until_connected()
    other = Visitor(visitor.page.context.new_page(), stage.loaders)
    other.start(f"{url}plain/")

    _change(other, f"{url}plain/")

    _assert_gone(other)
    _assert_gone(visitor)


@pytest.fixture
def caching(browser: Browser, stage: Stage) -> Iterator[Visitor]:
    """A visitor with a back/forward cache, which only a desktop browser has.

    Playwright disables it by default.
    """
    without = ["--disable-back-forward-cache"]
    kind = browser.browser_type
    with launch(kind, names=DESKTOP, ignore_default_args=without) as other:
        yield Visitor(other.new_page(), stage.loaders)


def test_withdrawal_applies_to_pages_in_the_back_forward_cache(
    stage: Stage, caching: Visitor
) -> None:
    page = caching.page
    url = _with_form(stage, MATERIAL, load="interaction")
    caching.open(url)
    _choose(caching)
    caching.launcher().wait_for()
    page.evaluate("window.kept = true")
    depth = page.evaluate("history.length")
    page.goto(f"{url}plain/")
    _change(caching, f"{url}plain/")
    caching.launcher().wait_for()

    page.evaluate("depth => void setTimeout(() => history.go(depth - history.length))", depth)
    page.get_by_role("heading", name="Home", level=1).wait_for()

    assert page.evaluate("window.kept") is True
    _assert_asks(caching)


# With consent, the launcher asks for it.
ASKING = {**CONSENT, "load": "interaction", "brand": {"privacy_url": "plain/"}}
OWN_KEY = "Object.keys(localStorage).filter((key) => key.endsWith('.__consent.sentifyd'))"
ANSWERS = "window.__md_get('__consent')"


def _asking(stage: Stage, theme: Theme) -> str:
    """A site whose launcher asks, with a consent form where the theme has one."""
    button = "<button type=button data-sentifyd-withdraw disabled>Withdraw</button>"
    links = "[To Branded](branded.md) [To Off](off.md) [To Plain](plain.md)"
    extra = FORM if theme["name"] == "material" else {}
    files = {"index.md": f"# Home\n\n{button}\n\n{links}\n"}
    return stage.build(ASKING, theme=theme, files=files, extra=extra)


def _answer_form(visitor: Visitor, answer: str) -> None:
    with visitor.page.expect_event("domcontentloaded"):
        visitor.page.get_by_role("button", name=answer).click()


def _allow(visitor: Visitor) -> None:
    visitor.launcher().click()
    visitor.question().get_by_role("button", name="Allow").click()
    visitor.wait_until_connected()


def _assert_asks(visitor: Visitor) -> None:
    """Using the launcher asks, and loads nothing."""
    count = visitor.loader_requests()
    visitor.launcher().click()
    visitor.question().wait_for()
    assert visitor.loader_requests() == count
    assert visitor.element().count() == 0


@pytest.mark.parametrize("theme", [INSTANT, MKDOCS], ids=["instant", "mkdocs"])
def test_launcher_asks_before_anything_loads(stage: Stage, visitor: Visitor, theme: Theme) -> None:
    page = visitor.page
    url = _asking(stage, theme)
    visitor.open(url)
    visitor.launcher().click()
    question = visitor.question()
    question.get_by_text("Talking to the avatar loads it from Sentifyd.").wait_for()
    link = question.get_by_role("link", name="Privacy policy")
    assert link.evaluate("link => link.href") == f"{url}plain/"
    assert visitor.launcher().get_attribute("aria-expanded") == "true"
    assert visitor.origins() == {stage.origin}

    question.get_by_role("button", name="Allow").click()
    visitor.wait_until_connected()

    page.get_by_role("region", name="Sandbox avatar").wait_for()
    page.wait_for_function("document.activeElement.localName === 'sentifyd-bot'")
    assert not question.is_visible()
    assert visitor.loader_requests() == 1
    assert page.evaluate(OWN_KEY) == [f"{url.removeprefix(stage.origin)}.__consent.sentifyd"]
    assert visitor.errors() == []
    visitor.element().get_by_role("button", name="Close the avatar").click()
    page.reload()
    if theme == INSTANT:
        # The form still asks about everything else.
        page.get_by_role("button", name="Accept").wait_for()
        assert page.evaluate(ANSWERS) is None
    visitor.launcher().click()
    visitor.wait_until_connected()
    assert not question.is_visible()


def test_consent_to_one_site_is_none_to_another_of_the_same_origin(
    stage: Stage, visitor: Visitor
) -> None:
    visitor.open(_asking(stage, MKDOCS))
    _allow(visitor)

    visitor.open(stage.build({**ASKING, "captions": True}, theme=MKDOCS))

    _assert_asks(visitor)


@pytest.mark.parametrize("way", ["Not now", "Escape"])
def test_not_now_stores_nothing_and_asks_again(stage: Stage, visitor: Visitor, way: str) -> None:
    page = visitor.page
    visitor.open(_asking(stage, MKDOCS))
    visitor.launcher().press("Enter")
    question = visitor.question()
    question.wait_for()
    assert question.evaluate("question => question === document.activeElement")
    # A key that is held down does not agree.
    page.keyboard.press("Enter")
    if way == "Escape":
        page.keyboard.press("Escape")
    else:
        for part in ("link", "button", "button"):
            page.keyboard.press("Tab")
            assert question.get_by_role(part).and_(page.locator(":focus")).count() == 1
        page.keyboard.press("Enter")

    question.wait_for(state="hidden")
    assert visitor.launcher().evaluate("button => button === document.activeElement")
    assert visitor.launcher().get_attribute("aria-expanded") == "false"
    assert page.evaluate("localStorage.length") == 0
    assert page.evaluate(STORED) == []
    _assert_asks(visitor)
    assert visitor.origins() == {stage.origin}


def test_allow_sets_only_its_own_answer_in_the_form(stage: Stage, visitor: Visitor) -> None:
    visitor.open(_asking(stage, INSTANT))
    # The avatar's box is unticked, so Accept does not include it.
    _answer_form(visitor, "Accept")
    visitor.page.evaluate("window.__md_set('__consent', { maps: true })")

    _allow(visitor)

    assert visitor.page.evaluate(ANSWERS) == {"maps": True, "sentifyd": True}
    assert visitor.page.evaluate(OWN_KEY) == []


@pytest.mark.parametrize("is_kept", [True, False], ids=["accepted", "unticked"])
def test_answer_in_the_form_wins_over_the_launchers(
    stage: Stage, visitor: Visitor, is_kept: bool
) -> None:
    page = visitor.page
    visitor.open(_asking(stage, MATERIAL))
    _allow(visitor)
    visitor.element().get_by_role("button", name="Close the avatar").click()
    page.reload()
    visitor.launcher().wait_for()
    if is_kept:
        # The form shows what the visitor has agreed to.
        _answer_form(visitor, "Accept")
        visitor.launcher().click()
        visitor.wait_until_connected()
    else:
        _choose(visitor)
        assert page.evaluate(ANSWERS) == {}
        _assert_asks(visitor)


def test_form_in_another_tab_ends_what_the_launcher_allowed(stage: Stage, visitor: Visitor) -> None:
    url = _asking(stage, INSTANT)
    visitor.open(url)
    _allow(visitor)
    other = Visitor(visitor.page.context.new_page(), stage.loaders)
    other.open(f"{url}plain/")

    _answer_form(other, "Reject")

    _assert_gone(visitor)
    _assert_asks(visitor)


@pytest.mark.parametrize("theme", [INSTANT, MKDOCS], ids=["instant", "mkdocs"])
def test_withdraw_button_ends_the_avatar_and_the_launcher_asks_again(
    stage: Stage, visitor: Visitor, theme: Theme
) -> None:
    page = visitor.page
    visitor.open(_asking(stage, theme))
    if theme == INSTANT:
        _answer_form(visitor, "Accept")
    withdraw = page.get_by_role("button", name="Withdraw")
    visitor.launcher().wait_for()
    assert withdraw.is_disabled()
    _allow(visitor)
    visitor.say("Hello")

    withdraw.click()

    _assert_gone(visitor)
    assert withdraw.is_disabled()
    assert page.evaluate(OWN_KEY) == []
    _assert_asks(visitor)
    page.reload()
    _assert_asks(visitor)
    visitor.question().get_by_role("button", name="Allow").click()
    visitor.wait_until_connected()


def test_answer_lasts_for_the_page_view_if_the_storage_is_blocked(
    stage: Stage, visitor: Visitor
) -> None:
    visitor.page.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException(); } })"
    )
    visitor.open(_asking(stage, MKDOCS))
    _allow(visitor)

    visitor.follow("Plain")

    _assert_asks(visitor)
    assert visitor.errors() == []


def test_script_that_reports_consent_learns_the_launchers_answer(
    stage: Stage, visitor: Visitor
) -> None:
    page = visitor.page
    visitor.open(_asking(stage, MKDOCS))
    visitor.wait_for_event("consent-wanted")
    page.evaluate(DISPATCH_CONSENT, {"sentifyd": False})
    page.evaluate(
        "document.addEventListener('sentifyd:consent', ({ detail }) => { window.heard = detail; })"
    )

    _allow(visitor)
    assert page.evaluate("heard") == {"sentifyd": True}

    page.evaluate(DISPATCH_CONSENT, {"sentifyd": False})
    _assert_gone(visitor)
    page.reload()
    _assert_asks(visitor)


def test_question_follows_the_page_and_ends_where_there_is_no_avatar(
    stage: Stage, visitor: Visitor
) -> None:
    visitor.open(_asking(stage, INSTANT))
    _answer_form(visitor, "Reject")
    _assert_asks(visitor)

    visitor.follow("Branded")
    visitor.question().get_by_role("button", name="Autoriser").wait_for()
    assert visitor.question().get_attribute("lang") == "fr"
    visitor.follow("Off")
    assert not visitor.question().is_visible()
    visitor.follow("Home")
    visitor.launcher().wait_for()
    assert not visitor.question().is_visible()

    _assert_asks(visitor)
    assert visitor.origins() == {stage.origin}


def test_shortcut_asks_too(stage: Stage, visitor: Visitor) -> None:
    visitor.open(stage.build({**ASKING, "shortcut": "ctrl+alt+a"}, theme=MKDOCS))
    visitor.launcher().wait_for()

    visitor.page.keyboard.press("Control+Alt+a")
    visitor.question().get_by_role("button", name="Allow").click()

    visitor.wait_until_connected()
    visitor.page.get_by_role("region", name="Sandbox avatar").wait_for()


def test_open_before_consent_is_remembered(stage: Stage, visitor: Visitor) -> None:
    visitor.open(_asking(stage, MKDOCS))
    visitor.wait_for_event("consent-wanted")
    visitor.page.evaluate("sentifydDocs.open()")
    assert visitor.origins() == {stage.origin}

    visitor.page.evaluate(DISPATCH_CONSENT, {"sentifyd": True})
    visitor.wait_until_connected()

    visitor.page.get_by_role("region", name="Sandbox avatar").wait_for()


@pytest.mark.parametrize("theme", [MKDOCS, READTHEDOCS], ids=lambda theme: theme["name"])
def test_consent_event_works_in_other_themes(stage: Stage, visitor: Visitor, theme: Theme) -> None:
    visitor.open(stage.build(CONSENT, theme=theme))
    visitor.wait_for_event("consent-wanted")
    visitor.page.evaluate(DISPATCH_CONSENT, {"sentifyd": False})
    visitor.page.evaluate(DISPATCH_CONSENT, {"analytics": True})
    assert visitor.origins() == {stage.origin}

    visitor.page.evaluate(DISPATCH_CONSENT, {"sentifyd": True})
    visitor.wait_until_connected()
    assert "authData_avtr_1" in visitor.page.evaluate(STORED)

    visitor.page.evaluate(DISPATCH_CONSENT, {"sentifyd": False})
    _assert_gone(visitor)
    visitor.page.evaluate(DISPATCH_CONSENT, {"sentifyd": True})
    visitor.wait_until_connected()
    assert visitor.loader_requests() == 1


def _cookies(visitor: Visitor) -> dict[str, bool]:
    """Return the cookies in the form, and whether they are ticked."""
    soup = BeautifulSoup(visitor.page.content(), "html5lib")
    inputs = soup.select("form[name=consent] input[type=checkbox]")
    return {str(box["name"]): box.has_attr("checked") for box in inputs if box.has_attr("name")}


def test_consent_form_lists_the_avatar_with_the_themes_cookies(
    stage: Stage, visitor: Visitor
) -> None:
    more = {"consent": {**FORM["consent"]}, "analytics": {"provider": "google", "property": "G-1"}}
    repo = "https://github.com/example/example"
    visitor.open(stage.build(CONSENT, theme=MATERIAL, extra=more, repo_url=repo))

    assert _cookies(visitor) == {"analytics": True, "github": True, "sentifyd": False}


def test_authors_description_in_the_consent_form_is_kept(stage: Stage, visitor: Visitor) -> None:
    cookies = {"sentifyd": {"name": "Our helper", "checked": False}, "maps": "Maps"}
    visitor.open(stage.build(CONSENT, extra={"consent": {**FORM["consent"], "cookies": cookies}}))

    assert "Our helper" in visitor.page.content()
    assert "Sentifyd avatar" not in visitor.page.content()
    assert _cookies(visitor).keys() == {"sentifyd", "maps"} | (
        _cookies(visitor).keys() & {"github"}
    )


def test_build_warns_if_the_consent_list_is_collapsed(stage: Stage) -> None:
    output = stage.outputs[stage.build(CONSENT, theme=MATERIAL, extra=FORM)]
    assert "set extra.consent.actions to [accept, reject]" in output

    extra = {"consent": {**FORM["consent"], "actions": ["accept", "reject"]}}
    assert "consent:" not in stage.outputs[stage.build(CONSENT, theme=MATERIAL, extra=extra)]


@pytest.mark.parametrize("theme", [MATERIAL, MKDOCS], ids=["material", "mkdocs"])
def test_build_has_no_hint_if_the_launcher_asks(stage: Stage, theme: Theme) -> None:
    assert "consent:" not in stage.outputs[_asking(stage, theme)]


def test_withdrawal_while_the_loader_is_pending_shows_the_launcher(
    stage: Stage, visitor: Visitor
) -> None:
    page = visitor.page
    held: list[Route] = []
    page.route(stage.loader, lambda route: held.append(route))
    visitor.open(_asking(stage, MKDOCS))
    visitor.wait_for_event("consent-wanted")
    page.evaluate(DISPATCH_CONSENT, {"sentifyd": True})
    visitor.launcher().click()
    visitor.launcher_status().get_by_text("Loading").wait_for()

    page.evaluate(DISPATCH_CONSENT, {"sentifyd": False})
    assert visitor.launcher().is_visible()
    assert not visitor.question().is_visible()
    assert visitor.launcher_status().text_content() == ""
    held[0].continue_()
    visitor.wait_for_event("loaded")
    assert visitor.element().count() == 0

    page.evaluate(DISPATCH_CONSENT, {"sentifyd": True})
    assert visitor.element().count() == 0
    visitor.launcher().click()
    visitor.wait_until_connected()
    page.get_by_role("region", name="Sandbox avatar").wait_for()


def test_consent_to_other_cookies_changes_nothing(stage: Stage, visitor: Visitor) -> None:
    visitor.open(stage.build(CONSENT, theme=MKDOCS))
    visitor.wait_for_event("consent-wanted")
    output: list[dict[str, bool] | None] = [{"analytics": True}, None]
    for detail in output:
        visitor.page.evaluate(DISPATCH_CONSENT, detail)
    assert visitor.element().count() == 0
    visitor.page.evaluate(DISPATCH_CONSENT, {"sentifyd": True})
    visitor.wait_until_connected()
    visitor.mark()

    for detail in output:
        visitor.page.evaluate(DISPATCH_CONSENT, detail)

    assert visitor.is_same()
    assert visitor.connects() == 1
    assert "authData_avtr_1" in visitor.page.evaluate(STORED)
    assert visitor.errors() == []
