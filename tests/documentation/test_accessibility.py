"""The documentation's accessibility: axe-core checks pages of each kind, in both palettes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page
from starlette.staticfiles import StaticFiles

from tests.support.effort import some
from tests.support.servers import serving

PAGES = [
    "",
    "how-it-works/",
    "reference/options/",
    "deploy/capacity/",
    "security/",
    "accessibility/",
    "guide/site/",
]
SERIOUS_IMPACTS = {"serious", "critical"}
# axe calls it minor, but it matters to users of screen readers.
SERIOUS_RULES = {"empty-table-header"}
# Material causes these, by rule and element; style sheets and Markdown cannot fix them.
THEME_VIOLATIONS = {
    ("aria-dialog-name", ".md-search"),
    ("aria-progressbar-name", ".md-progress"),
}
# The theme wraps tables in areas that scroll, which browsers let the keyboard reach by themselves;
# axe does not know that. Whether one is too wide depends on the machine's fonts.
EVERYTHING = {"rules": {"scrollable-region-focusable": {"enabled": False}}}
# Nothing else differs between the palettes.
COLOURS = {"runOnly": ["color-contrast", "link-in-text-block"]}


@pytest.fixture(scope="module")
def site(documentation: Path) -> Iterator[str]:
    with serving(StaticFiles(directory=documentation, html=True)) as base:
        yield base


def violations(page: Page, options: dict[str, Any]) -> list[str]:
    """Problems that the site itself can fix, each with its element."""
    found = Axe().run(page, options={"resultTypes": ["violations"], **options})
    return [
        f"{violation['id']}: {node['html'][:200]} {node['failureSummary']}"
        for violation in found.response["violations"]
        if violation["impact"] in SERIOUS_IMPACTS or violation["id"] in SERIOUS_RULES
        for node in violation["nodes"]
        if (violation["id"], node["target"][-1]) not in THEME_VIOLATIONS
    ]


@pytest.mark.parametrize(
    ("palette", "scheme", "options"),
    [
        pytest.param("light", "default", EVERYTHING, id="light"),
        pytest.param("dark", "slate", COLOURS, id="dark", marks=pytest.mark.thorough),
    ],
)
def test_pages_have_no_serious_violation(
    site: str,
    browser: Browser,
    palette: Literal["light", "dark"],
    scheme: str,
    options: dict[str, Any],
) -> None:
    context = browser.new_context(
        color_scheme=palette,
        reduced_motion="reduce",
        viewport={"width": 1280, "height": 800},
    )
    page = context.new_page()
    # The avatar and the search are not tested here; the theme fails without a search index.
    page.route(lambda url: not url.startswith(site), lambda route: route.abort())
    page.route(
        "**/search_index.json",
        lambda route: route.fulfill(json={"config": {"lang": ["en"]}, "docs": []}),
    )
    found = {}
    # Both palettes have the same structure.
    for path in some(PAGES, 4 if palette == "light" else 6):
        page.goto(f"{site}/{path}")
        page.locator(f"body[data-md-color-scheme={scheme}]").wait_for()
        found[path] = violations(page, options)
    context.close()
    assert {path: reported for path, reported in found.items() if reported} == {}
