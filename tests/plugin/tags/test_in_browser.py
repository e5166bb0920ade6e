"""Test the visible effects of options in Chromium, on a site built by MkDocs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from edge_service.app import create_app
from edge_service.sandbox.app import Sandbox, create_sandbox
from edge_service.settings import Settings
from tests.support.browsing import Visit
from tests.support.servers import serving
from tests.support.settings import KEY, avatar_settings
from tests.support.sites import BuildSite

INLINE = "# Page\n\nBefore.\n\n<div><sentifyd-{}></sentifyd-{}></div>\n\nAfter.\n"
PAGES = {
    "index.md": "# Home\n",
    "guide/compact.md": INLINE.replace("{}", "bot"),
    "guide/overlay.md": INLINE.replace("{}", "realtime"),
    "terms.md": "# Terms\n",
    "logo.svg": '<svg xmlns="http://www.w3.org/2000/svg" width="60" height="30"/>',
}


@pytest.fixture
def site(build: BuildSite, tmp_path: Path) -> Iterator[Callable[[dict[str, Any]], str]]:
    """Build a site for the sandbox and serve it; returns its address."""
    with ExitStack() as stack:
        (tmp_path / "site").mkdir()
        icon = Route("/favicon.ico", lambda _: Response(status_code=204))
        files = Mount("/", StaticFiles(directory=tmp_path / "site", html=True))
        url = stack.enter_context(serving(Starlette(routes=[icon, files])))
        sandbox = stack.enter_context(serving(create_sandbox(Sandbox(KEY))))
        avatar = avatar_settings(sandbox, allowed_origins=frozenset({url}))
        settings = Settings(avatars={"": avatar})
        edge = stack.enter_context(serving(create_app(settings)))

        def make(options: dict[str, Any]) -> str:
            realtime = {
                "match": "guide/overlay.md",
                "component": "realtime",
                "display": "overlay",
                "loader": {"url": f"{sandbox}/sentifyd-realtime/v1/main.js"},
            }
            built = build(
                PAGES,
                {
                    "token_endpoint": f"{edge}/request_tokens",
                    "loader": {"url": f"{sandbox}/sentifyd-bot/main.js"},
                    **options,
                    "overrides": [{"match": "guide/compact.md", "display": "compact"}, realtime],
                },
                theme={"name": "material", "language": "de", "font": False},
            )
            assert built.status == 0, built.output
            return url

        yield make


def test_options_have_visible_effects(site: Callable[[dict[str, Any]], str], visit: Visit) -> None:
    url = site(
        {
            "brand": {"name": "Acme Hilfe", "logo": "logo.svg", "terms_url": "terms/"},
            "appearance": {
                "primary_color": "var(--md-primary-fg-color)",
                "secondary_color": "rgb(170 51 0)",
                "corner_radius": 4,
                "widget_height": 500,
            },
        }
    )
    page = visit.page

    page.goto(url)
    visit.wait_until_connected()
    page.get_by_role("button", name="Avatar (sandbox)").click()
    panel = page.get_by_role("region", name="Acme Hilfe")
    assert panel.get_by_placeholder("Nachricht schreiben").is_visible()
    assert not panel.get_by_text("Nicht Sentifyd, sondern").is_visible()
    look = "element => [element.clientHeight, getComputedStyle(element).borderRadius]"
    assert panel.evaluate(look) == [498, "4px"]
    colour = "element => getComputedStyle(element).backgroundColor"
    header = page.locator(".md-header").evaluate(colour)
    assert panel.locator("header").evaluate(colour) == header
    assert panel.get_by_role("button", name="Senden").evaluate(colour) == "rgb(170, 51, 0)"
    assert panel.locator("img").evaluate("image => image.naturalWidth") == 60
    panel.get_by_role("link", name="Nutzungsbedingungen").click()
    page.wait_for_url(f"{url}/terms/")

    page.goto(f"{url}/guide/compact/")
    visit.wait_until_connected()
    panel = page.locator("sentifyd-bot .panel")
    assert panel.is_visible()
    assert not panel.locator("header").is_visible()
    assert panel.get_by_text("Nicht Sentifyd, sondern").is_visible()
    assert panel.locator("img").evaluate("image => image.naturalWidth") == 60

    page.goto(f"{url}/guide/overlay/")
    overlay = page.locator('sentifyd-realtime[data-state="connected"]')
    overlay.wait_for()
    box = overlay.bounding_box()
    assert box
    assert (box["width"], box["height"]) == (360, 480)
    assert page.get_by_text("After.").bounding_box()["y"] >= box["y"] + 480  # type: ignore[index]
    assert visit.errors() == []
