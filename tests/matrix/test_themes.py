"""Test every page of a site with each theme."""

from __future__ import annotations

import pytest

from tests.matrix.sites import INLINE, OFF, Site
from tests.support.effort import THOROUGH, some

SEARCH_PAGE = {"search.html"}
# Pages that a theme renders in addition to the sources and 404.html.
THEMES: dict[str, set[str]] = {
    "mkdocs": set(),
    "readthedocs": SEARCH_PAGE,
    "material": set(),
    "cerulean": set(),
    "cinder": set(),
    "dracula": SEARCH_PAGE,
    "ivory": SEARCH_PAGE,
    "shadcn": set(),
    # Its theme_version.html is a fragment of a page.
    "terminal": set(),
}


# ProperDocs renders themes with MkDocs' code.
BUILDS = [
    *(("mkdocs", theme) for theme in some([*THEMES], 2)),
    *(("properdocs", theme) for theme in (THEMES if THOROUGH else ("mkdocs", "material"))),
]


@pytest.mark.parametrize(("generator", "theme"), BUILDS, indirect=["generator"])
def test_every_page_of_a_theme_has_an_avatar(site: Site, theme: str) -> None:
    site.write(
        {
            "docs/index.md": "# Home\n\n## First\n\nText.\n",
            "docs/guide/page.md": "# Page\n\nText.\n",
            "docs/guide/inline.md": f"# Inline\n\n{INLINE}",
            "docs/guide/off.md": f"{OFF}# Off\n",
            "docs/private/page.md": "# Private\n",
        }
    )
    site.configure(["search"], {"exclude": ["private/"]}, theme={"name": theme})
    # One of the themes reads the git history.
    site.commit()

    site.build()

    assert site.pages_with_avatar() == {
        "index.html",
        "guide/page/index.html",
        "guide/inline/index.html",
        "404.html",
        *THEMES[theme],
    }
