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
    caching.launcher().wait_for(state="hidden")

    page.evaluate("depth => void setTimeout(() => history.go(depth - history.length))", depth)
    page.get_by_role("heading", name="Home", level=1).wait_for()

    assert page.evaluate("window.kept") is True
    assert not caching.launcher().is_visible()


@FORMS
def test_consent_shows_the_launcher_without_third_party_requests(
    stage: Stage, visitor: Visitor, theme: Theme
) -> None:
    visitor.open(_with_form(stage, theme, load="interaction"))
    visitor.page.get_by_role("button", name="Accept").wait_for()
    assert not visitor.launcher().is_visible()

    _choose(visitor)
    visitor.launcher().wait_for()
    assert visitor.origins() == {stage.origin}

    visitor.launcher().click()
    visitor.wait_until_connected()


def test_open_before_consent_is_remembered(stage: Stage, visitor: Visitor) -> None:
    visitor.open(stage.build({**CONSENT, "load": "interaction"}, theme=MKDOCS))
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


def test_build_without_a_consent_form_logs_what_to_do(stage: Stage) -> None:
    url = stage.build(CONSENT, theme=MKDOCS)

    output = stage.outputs[url]
    assert "a script dispatches the event sentifyd:consent with {sentifyd: true}" in output


def test_build_warns_if_the_consent_list_is_collapsed(stage: Stage) -> None:
    output = stage.outputs[stage.build(CONSENT, theme=MATERIAL, extra=FORM)]
    assert "set extra.consent.actions to [accept, reject]" in output

    extra = {"consent": {**FORM["consent"], "actions": ["accept", "reject"]}}
    assert "consent:" not in stage.outputs[stage.build(CONSENT, theme=MATERIAL, extra=extra)]


def test_withdrawal_while_the_loader_is_pending_hides_the_launcher(
    stage: Stage, visitor: Visitor
) -> None:
    page = visitor.page
    held: list[Route] = []
    page.route(stage.loader, lambda route: held.append(route))
    visitor.open(stage.build({**CONSENT, "load": "interaction"}, theme=MKDOCS))
    visitor.wait_for_event("consent-wanted")
    page.evaluate(DISPATCH_CONSENT, {"sentifyd": True})
    visitor.launcher().click()
    visitor.launcher_status().get_by_text("Loading").wait_for()

    page.evaluate(DISPATCH_CONSENT, {"sentifyd": False})
    assert not visitor.launcher().is_visible()
    assert not visitor.launcher_status().is_visible()
    held[0].continue_()
    visitor.wait_for_event("loaded")
    assert visitor.element().count() == 0

    page.evaluate(DISPATCH_CONSENT, {"sentifyd": True})
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
