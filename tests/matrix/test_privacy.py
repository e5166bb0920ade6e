"""Test with Material's privacy plugin, which fails if it cannot download an external file.

It runs before this project's plugin, so it finds only the tags that authors write.
"""

from __future__ import annotations

import pytest

from tests.matrix.sites import Site
from tests.support.sites import ENDPOINT, LOADER, OPTIONS

# Material's own script contains this URL.
MATERIAL_SCRIPT = "unpkg.com/*"
COPY = "assets/external/frontend.sentifyd.io/sentifyd-bot/main.js"

SOURCES = {
    "markdown": (f'# Home\n\n<script src="{LOADER}" defer></script>\n', []),
    "extra_javascript": ("# Home\n", [LOADER]),
}


@pytest.fixture(params=SOURCES)
def own_loader(request: pytest.FixtureRequest) -> tuple[str, list[str]]:
    """Text of the home page, and `extra_javascript`; one of them has the author's own loader."""
    return SOURCES[request.param]


def _configure(site: Site, own_loader: tuple[str, list[str]], *exclude: str) -> None:
    text, scripts = own_loader
    site.write({"docs/index.md": text})
    privacy = {"privacy": {"assets_exclude": [MATERIAL_SCRIPT, *exclude]}}
    site.configure([privacy], extra_javascript=scripts)


def test_plugin_tags_need_no_privacy_setting(site: Site) -> None:
    logo = "https://example.com/logo.png"
    terms = "https://example.com/terms"
    element = f'<sentifyd-bot brand-logo="{logo}" terms-href="{terms}"></sentifyd-bot>'
    site.write({"docs/index.md": "# Home\n", "docs/inline.md": f"# Inline\n\n{element}\n"})
    site.configure([{"privacy": {"assets_exclude": [MATERIAL_SCRIPT]}}])

    output = site.build()

    assert "Downloading" not in output
    inline = {**OPTIONS, "brand-logo": logo, "terms-href": terms}
    assert site.pages_with_avatar({"inline/index.html": inline}) == {
        *("index.html", "inline/index.html", "404.html")
    }


def test_privacy_downloads_an_authors_loader(site: Site, own_loader: tuple[str, list[str]]) -> None:
    _configure(site, own_loader)

    status, output = site.try_build("--strict")

    assert status == 1
    assert output.count("WARNING") == 1
    assert f"Couldn't retrieve {LOADER}" in output


def test_assets_exclude_keeps_an_authors_loader(
    site: Site, own_loader: tuple[str, list[str]]
) -> None:
    _configure(site, own_loader, "frontend.sentifyd.io/*")

    output = site.build()

    assert "Downloading" not in output
    page = site.page("index.html")
    assert len(page.loaders()) == len(page.elements()) == 1


def test_downloaded_loader_is_the_only_loader(
    site: Site, own_loader: tuple[str, list[str]]
) -> None:
    _configure(site, own_loader)
    site.write({f".cache/plugin/privacy/{COPY}": "// the loader\n"})

    site.build()

    assert (site.output / COPY).is_file()
    page = site.page("index.html")
    sources = [tag.get("src") for tag in page.soup.find_all("script")]
    assert sources.count(COPY) == 1
    assert page.loaders() == []
    (element,) = page.elements()
    assert element["token_endpoint"] == ENDPOINT
