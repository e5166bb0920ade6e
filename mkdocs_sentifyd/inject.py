"""Tags into an HTML string: pure, idempotent, and nothing else of the page changes.

Parsing and serialising every page would make a large build several times slower, so this looks
only for the places where the tags go.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from typing import NamedTuple

from mkdocs_sentifyd.components import COMPONENTS
from mkdocs_sentifyd.embed import Embed
from mkdocs_sentifyd.keys import find_api_key
from mkdocs_sentifyd.scan import UNCLOSED, Tag, tags
from mkdocs_sentifyd.shortcuts import end_of_body, end_of_head, may_have_avatar

__all__ = ["Injected", "inject"]

_HEAD_AND_BODY = frozenset({"head", "body"})
_ELEMENTS = frozenset(component.element for component in COMPONENTS.values())
_OUTLINE = _HEAD_AND_BODY | _ELEMENTS | {"html", "script"}


class Injected(NamedTuple):
    """A page with its avatar.

    Attributes:
        html: the page.
        advice: what its author should mend, a line each.
    """

    html: str
    advice: tuple[str, ...]


def inject(html: str, embed: Embed) -> Injected:
    """Put loader and element into a page, or complete the element that its author placed.

    Args:
        html: a whole page.
        embed: the tags.

    Returns:
        The page with one loader in the head and the element at the end of the body. A loader that
        the author placed stays the only one; of an author's elements the first is completed. A
        page with the element of another component stays as it is.
    """
    if places := _quick_places(html, embed):
        head, body = places
        parts = (html[:head], embed.loader, html[head:body], embed.tag, html[body:])
        return Injected("".join(parts), ())
    outline = _outline(html, embed)
    advice = tuple(_advice(outline, embed))
    if outline.others and not outline.elements:
        return Injected(html, advice)
    edits: list[tuple[int, str]] = []
    if outline.elements:
        edits += _completion(html, outline.elements[0], embed)
    loader = "" if outline.has_loader else embed.loader
    element = "" if outline.elements else embed.tag
    if outline.head_end == outline.body_end:
        edits.append((outline.body_end, loader + element))
    else:
        edits += [(outline.head_end, loader), (outline.body_end, element)]
    pieces, position = [], 0
    for offset, text in sorted(edits, key=itemgetter(0)):
        # Where something was never closed, our own tags of the last time are not seen as tags.
        if not html.endswith((text, text + embed.tag), 0, offset):
            pieces += [html[position:offset], text]
            position = offset
    return Injected("".join([*pieces, html[position:]]), advice)


def _completion(html: str, element: Tag, embed: Embed) -> Iterator[tuple[int, str]]:
    yield element.name_end, embed.missing(element.attributes())
    # HTML knows no self-closing element: the rest of the page would become its content.
    end_tag = f"</{embed.element}>"
    if element.is_self_closing and not html.startswith(end_tag, element.end):
        yield element.end, end_tag


def _advice(outline: _Outline, embed: Embed) -> Iterator[str]:
    count = len(outline.elements)
    if count > 1:
        yield (
            f"has {count} <{embed.element}>, and only the first gets the avatar: keep one; where "
            "they are excerpts of other pages, move them below `<!-- more -->` there"
        )
    for element in outline.others:
        yield (
            f"has a <{element.name}>, but its component is {embed.component}: write "
            f"<{embed.element}>, or set the option component for the page"
        )
    for element in (*outline.elements, *outline.others):
        values = element.attributes()
        if find_api_key({k: v for k, v in values.items() if v != embed.public_key}):
            yield (
                f"its <{element.name}> carries what looks like the API key, and every reader gets "
                "it: take it out, and give it to the token service as AVATAR_API_KEY"
            )


@dataclass(slots=True)
class _Outline:
    """Where things are in a page."""

    head_end: int
    body_end: int
    has_loader: bool = False
    elements: list[Tag] = field(default_factory=list)
    others: list[Tag] = field(default_factory=list)


def _quick_places(html: str, embed: Embed) -> tuple[int, int] | None:
    """Where head and body end, for a page that has no avatar and ends as pages do."""
    body_end = end_of_body(html)
    if body_end is None or may_have_avatar(html, embed.hosts):
        return None
    head_end = end_of_head(html)
    if head_end is not None:
        return head_end, body_end
    for tag in tags(html, _HEAD_AND_BODY):
        if tag.name == ("head" if tag.is_end else "body"):
            return tag.start, body_end
    return None


def _outline(html: str, embed: Embed) -> _Outline:
    outline = _Outline(head_end=-1, body_end=-1)
    ends = {"body": -1, "html": -1, UNCLOSED: -1}
    for tag in tags(html, _OUTLINE):
        if outline.head_end < 0 and tag.name == ("head" if tag.is_end else "body"):
            outline.head_end = tag.start
        if tag.name == UNCLOSED or (tag.is_end and tag.name in ends):
            ends[tag.name] = tag.start
        elif tag.is_end:
            continue
        elif tag.name in _ELEMENTS:
            (outline.elements if tag.name == embed.element else outline.others).append(tag)
        elif tag.name == "script" and not outline.has_loader:
            outline.has_loader = embed.is_loader(tag.attributes())
    if ends[UNCLOSED] >= 0 and (last := end_of_body(html)) is not None:
        ends["body"] = last
    outline.body_end = next((end for end in ends.values() if end >= 0), len(html))
    if outline.head_end < 0:
        outline.head_end = outline.body_end
    return outline
