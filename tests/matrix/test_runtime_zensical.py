"""Test the browser runtime on pages of other generators and plugins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.matrix.environments import Environment
from tests.matrix.sites import OFF, Site
from tests.runtime.stage import Stage, Visitor


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with ExitStack() as stack:
        yield Stage(stack, tmp_path_factory.mktemp("stage"))


@pytest.fixture
def visitor(browser: Browser, stage: Stage) -> Iterator[Visitor]:
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        yield Visitor(context.new_page(), stage.loaders)


def _site(stage: Stage, environment: Environment, name: str) -> tuple[Site, str]:
    """A site in the stage's folder, and its URL."""
    folder = Path("served", name)
    return Site(environment, stage.folder / folder), f"{stage.origin}/{name}/site/"


def _options(stage: Stage, **more: object) -> dict[str, object]:
    loader = {"url": stage.loader}
    return {"avatar_id": "avtr_1", "token_endpoint": stage.endpoint, "loader": loader, **more}


LINKS = "[To Home]({0}index.md) [To Plain]({0}plain.md) [To Off]({0}off.md)\n"
PAGES = {
    "docs/index.md": f"# Home\n\n{LINKS.format('')}",
    "docs/plain.md": (
        "---\nsentifyd:\n  ui_language: de\n  brand:\n    name: Acme\n---\n\n"
        f"# Plain\n\n{LINKS.format('')}"
    ),
    "docs/off.md": f"{OFF}# Off\n\n{LINKS.format('')}",
}
INSTANT = {"features": ["navigation.instant"], "font": False}


@pytest.mark.parametrize("load", ["eager", "interaction"])
def test_zensical_instant_navigation_keeps_the_avatar(
    zensical: Environment, stage: Stage, visitor: Visitor, load: str
) -> None:
    site, url = _site(stage, zensical, f"zensical-{load}")
    site.write(PAGES)
    options = _options(stage, load=load, appearance={"follow_palette": True})
    site.configure(["search"], options, theme=INSTANT, site_url=url)
    site.run("zensical", "build", "--strict", "--config-file=mkdocs.yml")
    site.inject()

    visitor.open(url)
    if load == "interaction":
        visitor.launcher().wait_for()
        assert visitor.origins() == {stage.origin}
        visitor.launcher().click()
    visitor.wait_until_connected()
    visitor.mark()
    for title in ("Plain", "Off", "Plain", "Home"):
        visitor.follow(title)
        assert visitor.element().is_visible() is (title != "Off")
    visitor.follow("Plain")

    assert visitor.is_same()
    assert (visitor.connects(), visitor.loader_requests()) == (1, 1)
    assert visitor.attributes()["ui-language"] == "de"
    assert visitor.attributes()["brand-name"] == "Acme"
    colour = "element => getComputedStyle(element).getPropertyValue('--primary-color')"
    assert visitor.element().evaluate(colour)
    assert [line for line in visitor.errors() if "sentifyd" in line] == []


def test_avatar_language_follows_the_page(
    generator: Environment, stage: Stage, visitor: Visitor
) -> None:
    site, url = _site(stage, generator, f"languages-{generator.name}")
    to_german = '<a href="de/">To Start</a>'
    to_english = '<a href="../">To Home</a>'
    site.write(
        {
            "docs/index.en.md": f"# Home\n\n{to_german}\n",
            "docs/index.de.md": f"# Start\n\n{to_english}\n",
        }
    )
    languages = [
        {"locale": "en", "name": "English", "default": True, "build": True},
        {"locale": "de", "name": "Deutsch", "build": True, "theme": {"language": "de"}},
    ]
    # With the plugin's links in its header, Material reloads the document for another language.
    settings = {"docs_structure": "suffix", "languages": languages, "reconfigure_material": False}
    theme = {"name": "material", **INSTANT}
    options = _options(stage, load="interaction")
    site.configure(["search", {"i18n": settings}], options, theme=theme, site_url=url)
    site.build()

    visitor.open(url)
    assert visitor.launcher().get_attribute("aria-label") == "Talk to the avatar"
    visitor.launcher().click()
    visitor.wait_until_connected()
    visitor.mark()
    assert "ui-language" not in visitor.attributes()

    visitor.follow("Start")
    assert visitor.attributes()["ui-language"] == "de"
    assert visitor.element().get_by_placeholder("Nachricht schreiben").is_visible()
    visitor.follow("Home")

    assert "ui-language" not in visitor.attributes()
    assert visitor.is_same()
    assert visitor.connects() == 1
