"""Put pages in the order of the site's navigation, and into groups by their top folder.

A built site has its navigation as links around the content of its home page.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote, urljoin, urlsplit

from mkdocs_sentifyd.export.content import links_outside, one_line

__all__ = ["grouped"]

# For pages at the root of the site.
ROOT_GROUP = "Pages"


def grouped(urls: Iterable[str], home: str) -> dict[str, str]:
    """Return the name of each page's group, in the order of the pages.

    Pages of a group are next to each other. A page that the navigation does not name follows those
    that it does.

    Args:
        urls: URLs of the pages, relative to the root of the site.
        home: HTML of the home page; may be empty.
    """
    pages = list(urls)
    ranks = _ranks(home)
    last = len(ranks)
    folders = {page.partition("/")[0] for page in pages if page.partition("/")[2]}
    # A page at the root may have a folder of its own, in which no other page is.
    groups = {page: top if (top := page.partition("/")[0]) in folders else "" for page in pages}
    own = {page: ranks.get(unquote(page), last) for page in pages}
    first: dict[str, int] = {}
    for page, group in groups.items():
        first[group] = min(first.get(group, last), own[page])
    pages.sort(key=lambda page: (first[groups[page]], groups[page], own[page], page))
    return {page: _name(groups[page]) for page in pages}


def _ranks(home: str) -> dict[str, int]:
    """The position of each relative link in the navigation."""
    root = "http://site.invalid/"
    ranks: dict[str, int] = {}
    for link in links_outside(home):
        try:
            parts = urlsplit(urljoin(root, link.strip()))
        except ValueError:
            continue
        if f"{parts.scheme}://{parts.netloc}/" == root:
            ranks.setdefault(unquote(parts.path.removeprefix("/")), len(ranks))
    return ranks


def _name(folder: str) -> str:
    """A folder's name for readers, as MkDocs shows it."""
    name = one_line(unquote(folder).replace("-", " ").replace("_", " "))
    return (name.capitalize() if name.islower() else name) or ROOT_GROUP
