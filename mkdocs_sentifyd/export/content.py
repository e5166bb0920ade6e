"""Find what a page says: its title, its description and its main content.

BeautifulSoup parses only the main content, which the tokenizer finds: the navigation around it
takes longer to parse, and is not exported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape

from bs4 import BeautifulSoup, Tag

from mkdocs_sentifyd.components import COMPONENTS
from mkdocs_sentifyd.markup.tokenizer import Tag as SourceTag
from mkdocs_sentifyd.markup.tokenizer import tags

__all__ = ["HEADINGS", "Content", "content_of", "links_outside", "one_line"]

HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_CONTAINERS = frozenset({"article", "body", "div", "main", "section"})
_NO_TEXT = frozenset(
    {
        *("audio", "button", "canvas", "dialog", "embed", "footer", "form", "iframe", "link"),
        *("meta", "nav", "noscript", "object", "script", "select", "style", "svg", "template"),
        *("textarea", "video"),
        *(component.element for component in COMPONENTS.values()),
    }
)
# Around the content, if a theme does not mark it.
_FRAME = frozenset({"aside", "header"})
# Anchors of headings, numbers of lines, buttons and prompts, as themes and generators write them.
_NO_TEXT_CLASSES = frozenset(
    {
        *("headerlink", "heading-link", "hash-link", "anchor-link", "footnote-backref"),
        *("linenos", "lineno", "zeroclipboard-container", "clipboard-copy-txt"),
        *("jp-InputPrompt", "jp-OutputPrompt", "md-content__button", "md-source-file", "edit-page"),
        *("rst-footer-buttons", "rst-breadcrumbs-aside", "wy-breadcrumbs-aside"),
    }
)
# The colours of code samples, as Pygments writes them: most tags of many pages.
_HIGHLIGHTED = re.compile('<span(?: class="?[a-z0-9]{1,3}"?)?>([^<]*)</span>')


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a page.

    Attributes:
        title: its first heading of level 1, or its `<title>`; may be empty.
        description: its own `<meta name="description">`, or an empty string.
        main: the element with its text, without buttons, scripts and navigation.
        heading: the heading that is the title, if there is one.
    """

    title: str
    description: str
    main: Tag
    heading: Tag | None


def content_of(html: str) -> Content:
    """Return the content of a page.

    Args:
        html: text of the page.
    """
    start, end, is_marked = _main(html)
    source = _HIGHLIGHTED.sub(r"\1", html[start:end])
    soup = BeautifulSoup(
        source, "html.parser", multi_valued_attributes=None, store_line_numbers=False
    )
    _strip(soup, frozenset() if is_marked else _FRAME)
    heading = soup.find("h1")
    title = one_line(heading.get_text()) if heading else ""
    return Content(title or _title(html), _description(html), soup, heading)


def links_outside(html: str) -> Iterator[str]:
    """Yield the links of a page outside of its main content: those of its navigation first."""
    start, end, _ = _main(html)
    for tag in tags(html, {"a"}):
        if not tag.is_end and not start <= tag.start < end:
            yield tag.attributes().get("href", "")


def one_line(text: str) -> str:
    """Return a text with single spaces, and without control characters."""
    return re.sub(r"[\x00-\x1f\x7f\s]+", " ", text).strip(" ¶")


def _main(html: str) -> tuple[int, int, bool]:
    """Return where the main content begins and ends, and whether the theme marks it.

    Themes mark it by `role="main"`, by the only `<article>`, or by `<main>`.
    """
    found: dict[str, list[tuple[int, int]]] = {}
    # The elements that are open: name, kind, and where the content begins.
    opened: list[tuple[str, str, int]] = []
    for tag in tags(html, _CONTAINERS):
        if not tag.is_end:
            opened.append((tag.name, _kind(tag), tag.end))
            continue
        while opened:
            name, kind, start = opened.pop()
            if kind:
                found.setdefault(kind, []).append((start, tag.start))
            if name == tag.name:
                break
    for _, kind, start in opened:
        if kind:
            found.setdefault(kind, []).append((start, len(html)))
    # An article in an article is a comment, or an example.
    articles = [
        (start, end)
        for start, end in found.get("article", [])
        if not any(first < start and end < last for first, last in found["article"])
    ]
    for places in (found.get("role"), articles if len(articles) == 1 else None, found.get("main")):
        if places:
            return (*min(places), True)
    return (*min(found.get("body", [(0, len(html))])), False)


def _kind(tag: SourceTag) -> str:
    """How a tag marks the content: by its role, by its name, or not at all."""
    if "main" in tag.source and tag.attributes().get("role") == "main":
        return "role"
    return tag.name if tag.name in ("article", "body", "main") else ""


def _strip(parent: Tag, names: frozenset[str]) -> None:
    """Remove elements without text of the page, and those with one of the names."""
    for child in [node for node in parent.contents if isinstance(node, Tag)]:
        if child.name in names or _is_furniture(child):
            child.extract()
        else:
            _strip(child, names)


def _is_furniture(tag: Tag) -> bool:
    """Whether an element has no text of the page."""
    if tag.name in _NO_TEXT or "hidden" in tag.attrs or tag.get("aria-hidden") == "true":
        return True
    return not _NO_TEXT_CLASSES.isdisjoint(str(tag.get("class") or "").split())


def _title(html: str) -> str:
    for tag in tags(html, {"title"}):
        return one_line(unescape(html[tag.end : html.find("</", tag.end)]))
    return ""


def _description(html: str) -> str:
    for tag in tags(html, {"meta", "body"}):
        if tag.name == "body":
            break
        attributes = tag.attributes()
        if attributes.get("name", "").lower() == "description":
            text = one_line(attributes.get("content", ""))
            # MkDocs' Read the Docs theme writes this for a page without a description.
            return "" if text == "None" else text
    return ""
