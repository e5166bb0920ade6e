"""Every link of the built documentation, and of the files beside the README, has a target.

Pages of other hosts cannot be fetched here. Links to them must be well-formed, use https, and lead
to a reviewed host.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Browser
from starlette.staticfiles import StaticFiles

from tests.support.effort import some
from tests.support.servers import serving

SITE = "http://127.0.0.1:8000/"
# The loader, and the sandbox that stands in for Sentifyd in the demo.
LOADER = "http://127.0.0.1:8090/"
# Hosts that pages may link to; each was reviewed when it came in.
REVIEWED = {
    "community.netlify.com",
    "developers.cloudflare.com",
    "docs.gitlab.com",
    "docs.netlify.com",
    "docs.readthedocs.io",
    "keepachangelog.com",
    "llmstxt.org",
    "publicsuffix.org",
    "semver.org",
    "sentifyd.io",
    "squidfunk.github.io",
    "vercel.com",
    "sre.google",
    "www.rfc-editor.org",
    "doc.traefik.io",
    "docs.nginx.com",
    "gateway-api.sigs.k8s.io",
    "gateway.envoyproxy.io",
    "github.com",
    "kubernetes.io",
}
FETCHED = ("script[src]", "link[href]", "img[src]", "source", "iframe", "object", "embed", "video")


class Site:
    """The built pages, by their paths, with the names of their anchors."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        files = [file for file in folder.rglob("*.html") if file.name != "404.html"]
        self.pages = {
            file.relative_to(folder).as_posix(): BeautifulSoup(file.read_text(), "html.parser")
            for file in files
        }
        self.anchors = {
            path: {str(tag["id"]) for tag in page.select("[id]")}
            for path, page in self.pages.items()
        }

    def url(self, path: str) -> str:
        return SITE + path.removesuffix("index.html")

    def is_broken(self, page: str, link: str) -> bool:
        """Whether a link of a page has no target in the site."""
        url = urlsplit(urljoin(self.url(page), link))
        path = unquote(url.path.lstrip("/"))
        path += "index.html" if path.endswith("/") or not path else ""
        if not (self.folder / path).is_file():
            return True
        # A fragment of a picture's URL is Material's, and selects the colour scheme.
        known = self.anchors.get(path)
        return bool(url.fragment) and known is not None and unquote(url.fragment) not in known


@pytest.fixture(scope="module")
def site(documentation: Path) -> Site:
    return Site(documentation)


def is_inside(link: str) -> bool:
    return not urlsplit(link).scheme and not link.startswith("//")


def links(page: BeautifulSoup) -> Iterator[str]:
    """What a page links to and what it loads."""
    for tag in page.find_all(True):
        yield from (str(tag[name]) for name in ("href", "src", "data") if tag.has_attr(name))
        for candidate in str(tag.get("srcset") or "").split(","):
            yield from candidate.split()[:1]


def test_internal_links_have_targets(site: Site) -> None:
    assert len(site.pages) > 25
    found = [(page, link) for page, html in site.pages.items() for link in links(html)]
    inside = [(page, link) for page, link in found if is_inside(link)]
    assert len(inside) > 1000
    assert sorted({(p, link) for p, link in inside if site.is_broken(p, link)}) == []


def test_external_links_lead_to_reviewed_hosts(site: Site) -> None:
    found = {link for page in site.pages.values() for link in links(page) if not is_inside(link)}
    found -= {link for link in found if link.startswith((SITE, LOADER, "data:", "javascript:"))}
    assert found
    assert sorted(link for link in found if urlsplit(link).scheme != "https") == []
    assert sorted({urlsplit(link).hostname or link for link in found} - REVIEWED) == []


def test_pages_load_only_the_loader_from_other_sites(site: Site) -> None:
    for path, page in site.pages.items():
        loaded = [
            str(tag.get("src") or tag.get("href") or tag.get("data") or tag.get("srcset") or "")
            for tag in page.select(", ".join(FETCHED))
            if "canonical" not in (tag.get("rel") or [])
        ]
        assert loaded
        assert [
            link for link in loaded if not is_inside(link) and not link.startswith((SITE, LOADER))
        ] == [], path
    for file in [*site.folder.rglob("*.css"), *site.folder.rglob("*.svg")]:
        text = file.read_text()
        asked = re.findall(r"url\(\s*[\"']?(?:https?:)?//|@import\s+[\"']https?:", text)
        assert asked == [], file.name


@pytest.mark.parametrize(
    "name", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"]
)
def test_links_of_root_markdown_files_have_targets(root: Path, name: str) -> None:
    text = re.sub(r"^```.*?^```", "", (root / name).read_text(), flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        url = urlsplit(link)
        if url.scheme:
            assert (url.scheme, url.hostname in REVIEWED) == ("https", True), link
        elif url.path:
            assert (root / name).parent.joinpath(url.path).exists(), link
        else:
            assert url.fragment in headings(text), link


def headings(text: str) -> set[str]:
    """Anchors that repository hosts give to headings."""
    titles = re.findall(r"^#+ +(.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}


def test_no_page_scrolls_sideways_on_a_phone(site: Site, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 740})
    wide = {}
    with serving(StaticFiles(directory=site.folder, html=True)) as base:
        # Building the search takes longer than the rest of a page.
        needless = lambda url: not url.startswith(base) or "search" in url  # noqa: E731
        page.route(needless, lambda route: route.abort())
        for path in some([*site.pages]):
            page.goto(f"{base}/{path}", wait_until="domcontentloaded")
            width = page.evaluate("document.documentElement.scrollWidth")
            if width > 360:
                wide[path] = width
        page.close()
    assert wide == {}
