"""Test page actions on a site built by Zensical, whose search index has another format."""

from __future__ import annotations

from pathlib import Path

from tests.matrix.environments import Environment
from tests.matrix.sites import MATERIAL, Site
from tests.runtime.test_actions import (
    PAGES,
    READ,
    SITE,
    STARTER,
    Docs,
    call,
    lines,
    paths,
    search,
)
from tests.support.browsing import Visit


def test_page_actions_work_on_a_zensical_site(
    zensical: Environment, tmp_path: Path, visit: Visit
) -> None:
    site = Site(zensical, tmp_path)
    site.write({f"docs/{name}": text for name, text in {**PAGES, "starter.js": STARTER}.items()})
    site.configure(
        ["search"],
        site_url=f"{SITE}/docs/",
        theme={**MATERIAL, "features": ["navigation.instant"]},
        extra_javascript=[{"path": "starter.js", "type": "module"}],
        markdown_extensions=["attr_list", "tables", "fenced_code", {"toc": {"permalink": True}}],
    )
    site.run("zensical", "build", "--config-file=mkdocs.yml")
    docs = Docs(site.output)
    page = visit.page
    with docs.serve():
        docs.open(page)
        page.evaluate("window.stays = true")

        first = search(page, "undo")[0]
        assert (first["title"], first["section"]) == ("Deployment", "Undo")
        assert first["url"] == f"{docs.url}guide/deploy/#undo"
        assert "as <x> & more." in search(page, "release server")[1]["excerpt"]
        assert "guide/deploy/" in paths(docs, search(page, "deploying"))[0]
        answer = call(page, "docs.get_page", {"url": "guide/text/"})
        assert lines(answer["text"]) == lines(READ)

        call(page, "docs.open_page", {"url": first["url"]})
        page.get_by_role("heading", name="Undo").wait_for()
        page.wait_for_url(first["url"])
        assert call(page, "docs.get_page")["text"].startswith("# Deployment")
        assert call(page, "docs.current_page")["headings"][1]["url"] == first["url"]
        assert page.evaluate("window.stays") is True
