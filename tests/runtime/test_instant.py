"""Test that instant navigation keeps one avatar for a whole visit."""

from __future__ import annotations

import pytest
from playwright.sync_api import Route

from tests.runtime.stage import INSTANT, MATERIAL, MKDOCS, READTHEDOCS, Stage, Theme, Visitor

BASE = {"avatar_id": "avtr_1"}
LANGUAGES = {"Branded": "fr", "German": "de"}
ROUND = ["Plain", "Off", "Deep", "Branded", "Home", "German", "Off", "Branded", "Plain", "Home"]
PARENT = "() => document.querySelector('sentifyd-bot').parentElement.localName"


def _heap(visitor: Visitor) -> dict[str, float]:
    """Return the numbers of listeners and nodes after a garbage collection."""
    session = visitor.page.context.new_cdp_session(visitor.page)
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    metrics = session.send("Performance.getMetrics")["metrics"]
    session.detach()
    found = {metric["name"]: metric["value"] for metric in metrics}
    return {name: found[name] for name in ("JSEventListeners", "Nodes", "Documents")}


def _elements_alive(visitor: Visitor) -> int:
    """Return the number of avatars in memory, attached to the page or not."""
    session = visitor.page.context.new_cdp_session(visitor.page)
    session.send("HeapProfiler.collectGarbage")
    kind = "customElements.get('sentifyd-bot').prototype"
    prototype = session.send("Runtime.evaluate", {"expression": kind})["result"]["objectId"]
    objects = session.send("Runtime.queryObjects", {"prototypeObjectId": prototype})["objects"]
    length = {
        "objectId": objects["objectId"],
        "functionDeclaration": "function () { return this.length; }",
        "returnByValue": True,
    }
    count: int = session.send("Runtime.callFunctionOn", length)["result"]["value"]
    session.detach()
    return count


def _growth(visitor: Visitor) -> dict[str, float]:
    """Return the growth of memory in twenty navigations, after ten that fill caches."""
    for title in ROUND:
        visitor.follow(title)
    before = _heap(visitor)
    for title in ROUND * 2:
        visitor.follow(title)
    after = _heap(visitor)
    return {name: after[name] - before[name] for name in after}


def test_fifty_navigations_need_one_loader_and_one_connection(
    stage: Stage, visitor: Visitor
) -> None:
    visitor.start(stage.build())
    visitor.mark()

    for title in ROUND * 5:
        visitor.follow(title)
        is_off = title == "Off"
        assert visitor.element().evaluate("element => element.hidden") is is_off
        if not is_off:
            attributes = visitor.attributes()
            assert attributes.get("ui-language") == LANGUAGES.get(title)
            assert attributes.get("brand-name") == ("Acme" if title == "Branded" else None)
            assert attributes["avatar_id"] == "avtr_1"

    assert visitor.is_same()
    assert visitor.connects() == 1
    assert visitor.loader_requests() == 1
    assert sum(request.url == stage.endpoint for request in visitor.requests) == 1
    assert visitor.events() == ["loaded", "shown", *["hidden", "shown"] * 10]
    assert _elements_alive(visitor) == 1
    assert visitor.errors() == []


@pytest.mark.thorough
def test_navigations_leak_no_memory(stage: Stage, visitor: Visitor) -> None:
    visitor.open(stage.build(with_avatar=False))
    without = _growth(visitor)
    visitor.start(stage.build())
    grown = _growth(visitor)

    for name, count in grown.items():
        # The theme itself varies by about ten nodes in twenty navigations, which is not a leak.
        assert count <= max(without[name], 0) + 10, (name, grown, without)


def test_visit_that_begins_on_a_page_without_an_avatar(stage: Stage, visitor: Visitor) -> None:
    url = stage.build()
    visitor.open(f"{url}off/")
    assert visitor.page.locator("sentifyd-bot").count() == 0
    assert visitor.origins() == {stage.origin}

    visitor.follow("Branded")
    visitor.wait_until_connected()

    assert visitor.attributes()["ui-language"] == "fr"
    assert (visitor.connects(), visitor.loader_requests()) == (1, 1)


def test_back_forward_and_anchors_keep_the_avatar(stage: Stage, visitor: Visitor) -> None:
    url = stage.build()
    page = visitor.page
    visitor.start(url)
    visitor.mark()
    visitor.follow("Branded")
    visitor.follow("Off")

    page.go_back()
    visitor.wait_for_page("Branded")
    assert visitor.element().is_visible()
    assert visitor.attributes()["brand-name"] == "Acme"
    page.go_back()
    visitor.wait_for_page("Home")
    assert "brand-name" not in visitor.attributes()
    page.go_forward()
    page.go_forward()
    visitor.wait_for_page("Off")
    assert not visitor.element().is_visible()
    page.go_back()
    page.go_back()
    visitor.wait_for_page("Home")
    page.get_by_role("link", name="To the part").click()
    page.wait_for_url(f"{url}#part")

    assert visitor.element().is_visible()
    assert visitor.is_same()
    assert visitor.connects() == 1


def test_opening_a_search_result_keeps_the_avatar(stage: Stage, visitor: Visitor) -> None:
    page = visitor.page
    visitor.start(stage.build())
    visitor.mark()

    page.get_by_role("textbox", name="Search").first.click()
    page.keyboard.type("xylophone")
    page.locator(".md-search-result__link").first.click()
    page.locator(".md-content h1", has_text="Plain").wait_for()

    assert visitor.is_same()
    assert visitor.connects() == 1


def test_prefetched_pages_keep_the_avatar(stage: Stage, visitor: Visitor) -> None:
    features = ["navigation.instant", "navigation.instant.prefetch", "navigation.instant.progress"]
    visitor.start(stage.build(theme={**MATERIAL, "features": features}))
    visitor.mark()

    for title in ("Plain", "Branded"):
        link = visitor.page.get_by_role("link", name=f"To {title}", exact=True)
        with visitor.page.expect_response(lambda answer: answer.ok):
            link.hover()
        visitor.follow(title)

    assert visitor.attributes()["brand-name"] == "Acme"
    assert visitor.is_same()
    assert visitor.connects() == 1


def test_avatar_appears_where_the_author_placed_it(stage: Stage, visitor: Visitor) -> None:
    """Each place gets a new element, because a moved one may never connect again."""
    visitor.start(stage.build())
    visitor.element().get_by_role("button", name="Avatar (sandbox)").click()
    visitor.say("Hello")

    visitor.follow("Own")
    visitor.wait_until_connected()

    text = visitor.page.locator(".md-content")
    order = [text.get_by_text("Before."), visitor.element(), text.get_by_text("After.")]
    tops = [place.evaluate("element => element.getBoundingClientRect().top") for place in order]
    assert tops == sorted(tops)
    attributes = visitor.attributes()
    assert (attributes["id"], attributes["toggler"]) == ("mine", "false")
    assert attributes["token_endpoint"] == stage.endpoint
    visitor.log().get_by_text("You wrote: “Hello”").wait_for()

    visitor.follow("Plain")
    visitor.wait_until_connected()

    assert visitor.attributes().keys() == {"avatar_id", "token_endpoint"}
    assert visitor.page.evaluate(PARENT) == "body"
    visitor.log().get_by_text("You wrote: “Hello”").wait_for()
    assert (visitor.connects(), visitor.loader_requests()) == (3, 1)
    assert visitor.moves() == 0
    assert _elements_alive(visitor) <= 2


def test_visit_that_begins_on_a_page_with_a_placed_avatar(stage: Stage, visitor: Visitor) -> None:
    visitor.start(f"{stage.build()}own/")
    assert visitor.attributes()["id"] == "mine"
    assert visitor.connects() == 1

    visitor.follow("Off")
    assert not visitor.element().is_visible()
    visitor.follow("Own")
    visitor.wait_until_connected()

    assert visitor.element().is_visible()
    assert visitor.page.evaluate(PARENT) != "body"


def test_page_with_another_avatar_replaces_the_element_once(stage: Stage, visitor: Visitor) -> None:
    visitor.start(stage.build())
    visitor.mark()

    visitor.follow("Other")
    visitor.wait_until_connected()

    assert visitor.attributes()["avatar_id"] == "avtr_other"
    assert not visitor.is_same()
    visitor.mark()
    visitor.follow("Off")
    visitor.follow("Other")
    assert visitor.is_same()
    assert (visitor.connects(), visitor.loader_requests()) == (2, 1)
    assert _elements_alive(visitor) <= 2


def test_both_components_work_on_one_site(stage: Stage, visitor: Visitor) -> None:
    visitor.start(stage.build())

    visitor.follow("Realtime")
    visitor.page.wait_for_selector('sentifyd-realtime[data-state="connected"]', state="attached")
    assert visitor.attributes()["avatar-id"] == "avtr_1"
    visitor.follow("Home")
    visitor.wait_until_connected()
    visitor.follow("Realtime")
    visitor.page.wait_for_selector('sentifyd-realtime[data-state="connected"]', state="attached")

    assert visitor.attributes()["avatar-id"] == "avtr_1"
    assert visitor.loader_requests() == 2
    assert visitor.errors() == []


@pytest.mark.parametrize("theme", [MATERIAL, READTHEDOCS, MKDOCS], ids=lambda theme: theme["name"])
def test_static_tags_suffice_without_instant_navigation(
    stage: Stage, visitor: Visitor, theme: Theme
) -> None:
    visitor.start(stage.build(theme=theme))

    visitor.follow("Branded")
    visitor.wait_until_connected()
    assert visitor.attributes()["brand-name"] == "Acme"
    visitor.follow("Off")
    assert visitor.element().count() == 0
    assert visitor.page.evaluate("window.sentifydDocs") is None
    scripts = {r.url.rpartition("/")[2] for r in visitor.requests if "/assets/sentifyd/" in r.url}
    # MkDocs' own theme has single-key shortcuts, which must not see these keys.
    assert {name for name in scripts if name.endswith(".js")} == (
        {"keyboard.js"} if theme == MKDOCS else set()
    )
    assert visitor.errors() == []


def test_site_without_any_avatar_gets_no_file(stage: Stage, visitor: Visitor) -> None:
    visitor.open(stage.build({"exclude": ["*"]}, theme=MKDOCS))

    assert not any("sentifyd" in request.url for request in visitor.requests)


def test_instant_navigation_keeps_the_document(stage: Stage, visitor: Visitor) -> None:
    """The tests above only make sense on a site that really has instant navigation."""
    visitor.open(stage.build(theme=INSTANT))
    visitor.page.evaluate("window.kept = true")

    visitor.follow("Plain")

    assert visitor.page.evaluate("window.kept") is True


@pytest.mark.parametrize(
    "placed",
    [
        "<sentifyd-bot></sentifyd-bot>",
        '<div><sentifyd-bot avatar_id="avtr_2" /></div>',
        "<sentifyd-realtime>Text</sentifyd-realtime>\n\n<sentifyd-bot></sentifyd-bot>",
    ],
)
def test_element_on_a_page_without_avatar_does_nothing(
    stage: Stage, visitor: Visitor, placed: str
) -> None:
    off = f"---\nsentifyd: false\n---\n# Off\n\n[Back](index.md)\n\n{placed}\n\nLast words.\n"
    visitor.start(stage.build(files={"off.md": off}))

    visitor.follow("Off")

    visitor.page.get_by_text("Last words.").wait_for()
    article = visitor.page.get_by_role("article")
    assert article.locator("sentifyd-bot, sentifyd-realtime").count() == 0
    assert not visitor.element().is_visible()
    visitor.page.get_by_role("link", name="Back").click()
    visitor.wait_until_connected()
    assert visitor.element().is_visible()
    assert visitor.errors() == []


def test_component_that_fails_to_load_is_not_replaced_by_the_other(
    stage: Stage, visitor: Visitor
) -> None:
    visitor.page.route(stage.realtime_loader, lambda route: route.abort())
    visitor.start(stage.build())

    visitor.follow("Realtime")
    visitor.wait_for_event("error")

    assert visitor.element("sentifyd-realtime").count() == 0
    assert not visitor.element().is_visible()
    visitor.follow("Home")
    visitor.wait_until_connected()
    assert visitor.element().is_visible()


def test_late_loader_failure_does_not_affect_the_other_component(
    stage: Stage, visitor: Visitor
) -> None:
    page = visitor.page
    held: list[Route] = []
    page.route(stage.loader, lambda route: held.append(route))
    visitor.open(stage.build({"load": "interaction"}))
    visitor.launcher().click()
    visitor.launcher_status().get_by_text("Loading").wait_for()
    visitor.follow("Realtime")
    page.wait_for_selector('sentifyd-realtime[data-state="connected"]', state="attached")
    page.evaluate("document.addEventListener('error', () => (window.hasFailed = true), true)")

    held[0].abort()
    page.wait_for_function("window.hasFailed")

    assert visitor.reported_errors() == []
    # The element itself has no size while it floats.
    assert visitor.element("sentifyd-realtime").get_by_role("button").first.is_visible()
    assert not visitor.launcher().is_visible()


def test_page_preview_does_not_get_the_avatar(stage: Stage, visitor: Visitor) -> None:
    page = visitor.page
    link = "[Preview](own.md){ data-preview }"
    visitor.start(
        stage.build(
            theme={**MATERIAL, "features": ["navigation.instant", "navigation.instant.preview"]},
            files={"index.md": f"# Home\n\n{link}\n"},
            markdown_extensions=["attr_list"],
        )
    )
    visitor.mark()

    page.get_by_role("link", name="Preview", exact=True).hover()
    page.locator("[data-sentifyd-place]").wait_for(state="attached")
    assert visitor.is_same()
    page.evaluate("sentifydDocs.open()")
    visitor.wait_until_connected()

    assert page.locator("[data-sentifyd-place]").count() == 1
    assert page.evaluate(PARENT) == "body"


def test_page_with_another_display_replaces_the_element(stage: Stage, visitor: Visitor) -> None:
    front = "---\nsentifyd: {display: embedded}\n---\n"
    visitor.start(stage.build(files={"plain.md": f"{front}# Plain\n\n[To Home](index.md)\n"}))
    floating = visitor.page.locator("sentifyd-bot[data-floating]")
    assert floating.count() == 1

    visitor.follow("Plain")
    visitor.wait_until_connected()
    assert visitor.element().is_visible()
    assert floating.count() == 0

    visitor.follow("Home")
    visitor.wait_until_connected()
    assert floating.count() == 1
    assert visitor.moves() == 0
