"""Elements that an author placed where they cannot, or must not, work."""

from __future__ import annotations

from collections.abc import Iterator

from mkdocs_sentifyd.components import COMPONENTS
from mkdocs_sentifyd.markup.tokenizer import Tag, tags

__all__ = ["ENCRYPTED", "inert_parts", "misplaced_elements", "without_elements"]

ENCRYPTED = (
    "is encrypted by another plugin, so the <{}> in its text cannot be prepared: remove it, and "
    "the avatar is shown at the bottom of the page"
)
_ELEMENTS = frozenset(component.element for component in COMPONENTS.values())
# Elements in which a browser creates no custom element: it makes an SVG element of it, or it drops
# the tag (HTML Standard, section 13.2.6).
_PARENTS = ("svg", "select")
# In it, SVG contains HTML again.
_HTML_AGAIN = "foreignobject"


def misplaced_elements(html: str) -> Iterator[tuple[str, str]]:
    """Yield each element of a component that no browser creates, and the element that it is in."""
    inside: list[str] = []
    for tag in tags(html, _ELEMENTS.union(_PARENTS, (_HTML_AGAIN,))):
        if tag.name in _ELEMENTS:
            if not tag.is_end and inside and inside[-1] in _PARENTS:
                yield tag.name, inside[-1]
        elif not tag.is_end:
            if tag.name == "select" or not tag.is_self_closing:
                inside.append(tag.name)
        elif tag.name in inside:
            # What is in it and has no end tag ends too.
            while inside.pop() != tag.name:
                pass


def inert_parts(html: str) -> Iterator[tuple[int, str]]:
    """Yield what puts each element of a component into a template, where it does nothing.

    Each is an offset, and the text to insert there.
    """
    start: Tag | None = None
    for tag in tags(html, _ELEMENTS):
        if tag.name not in _ELEMENTS:
            continue
        if start and not (tag.is_end and tag.name == start.name):
            yield from ((start.start, "<template>"), (start.end, "</template>"))
        elif start:
            yield from ((start.start, "<template>"), (tag.end, "</template>"))
        start = None if tag.is_end else tag
    if start:
        yield from ((start.start, "<template>"), (start.end, "</template>"))


def without_elements(html: str) -> tuple[str, str | None]:
    """Return a page's text without the tags of components, and the name of the first, if any."""
    pieces, position, first = [], 0, None
    for tag in tags(html, _ELEMENTS):
        if tag.name not in _ELEMENTS:
            continue
        first = first or tag.name
        pieces.append(html[position : tag.start])
        position = tag.end
    return "".join([*pieces, html[position:]]), first
