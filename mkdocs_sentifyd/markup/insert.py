"""Insert the avatar's tags into an HTML string. Doing it again changes nothing.

Parsing and serialising every page would make a large build several times slower, so this only
looks for the offsets where the tags go, and leaves the rest of the page unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, NamedTuple

from mkdocs_sentifyd.api_keys import find_api_key
from mkdocs_sentifyd.components import COMPONENTS
from mkdocs_sentifyd.markup.fast_path import end_of_body, end_of_head, may_have_avatar
from mkdocs_sentifyd.markup.placed import inert_parts, misplaced_elements
from mkdocs_sentifyd.markup.theme import traits
from mkdocs_sentifyd.markup.tokenizer import UNCLOSED, Tag, tags
from mkdocs_sentifyd.tags.embed import Embed
from mkdocs_sentifyd.tags.runtime import core, script

__all__ = ["Injected", "has_asset", "inject", "inject_runtime"]

_HEAD_AND_BODY = frozenset({"head", "body"})
_ELEMENTS = frozenset(component.element for component in COMPONENTS.values())
_OUTLINE = _HEAD_AND_BODY | _ELEMENTS | {"html", "script"}
_SETTINGS = re.compile(r"name=[\"']?sentifyd[\"'\s/>]")
_ASSET = re.compile(r"assets/sentifyd/[0-9a-f]{12}/")
# Browsers ignore an element in a template, so the runtime can create its own element there.
_PLACEHOLDER = "<span data-sentifyd-place><template>", "</template></span>"


class Injected(NamedTuple):
    """A page with its avatar.

    Attributes:
        html: the page.
        warnings: problems that its author should fix, one line each.
        has_scripts: whether it loads scripts of the browser runtime.
        settings: what it should have, for the record of the build; `None` if the page has settings
            of an earlier run.
        inserted: start and length of what was inserted, as offsets in `html`.
    """

    html: str
    warnings: tuple[str, ...] = ()
    has_scripts: bool = False
    settings: Mapping[str, Any] | None = None
    inserted: tuple[tuple[int, int], ...] = ()


def inject(html: str, embed: Embed) -> Injected:
    """Put loader and element into a page, or complete the element that its author placed.

    Args:
        html: a whole page.
        embed: the tags.

    Returns:
        The page with one loader in the head and one element at the end of the body. If the author
        placed a loader, no second one is added. If the author placed elements, the first one gets
        its missing attributes. A page with the element of another component does not change. If
        static tags are not enough, the page gets the browser runtime and its settings instead.
    """
    page = traits(html)
    needs_runtime = embed.behaviour.needs_runtime or page.is_instant
    if needs_runtime and _SETTINGS.search(html) and _has_settings(html):
        return Injected(html, has_scripts=True)
    keyboard = script(embed.root, "keyboard") if page.has_shortcuts else ""
    if offsets := _fast_offsets(html, embed):
        head, body = offsets
        settings = embed.recorded_settings(
            None, handles_typing=page.handles_typing, has_loader=False
        )
        if needs_runtime:
            head_tags = embed.runtime_tags(
                None, handles_typing=page.handles_typing, has_loader=False
            )
            edits = [(head, head_tags)]
        else:
            head_tags = embed.loader_tag + embed.style_tags + keyboard
            edits = [(head, head_tags), (body, embed.element_tag)]
        after, inserted = _inserted(html, edits)
        return Injected(after, (), needs_runtime or bool(keyboard), settings, inserted)
    outline = _outline(html, embed)
    warnings = tuple(_warnings(html, outline, embed))
    own = outline.elements[0].attributes() if outline.elements else None
    settings = embed.recorded_settings(
        own, handles_typing=page.handles_typing, has_loader=outline.has_loader
    )
    if outline.other_elements and not outline.elements:
        return Injected(html, warnings, settings=settings)
    edits = []
    if needs_runtime:
        head_tags = embed.runtime_tags(
            own, handles_typing=page.handles_typing, has_loader=outline.has_loader
        )
        element = ""
        if outline.elements:
            edits += _placeholder(outline.elements[0], outline.element_end)
    else:
        head_tags = "" if outline.has_loader else embed.loader_tag
        head_tags += "" if has_asset(html) else embed.style_tags + keyboard
        element = "" if outline.elements else embed.element_tag
        if outline.elements:
            edits += _missing_parts(html, outline.elements[0], embed)
    if outline.head_end == outline.body_end:
        edits.append((outline.body_end, head_tags + element))
    else:
        edits += [(outline.head_end, head_tags), (outline.body_end, element)]
    # After something that was never closed, the tokenizer does not find tags of an earlier run.
    missing = [
        (offset, text)
        for offset, text in sorted(edits, key=itemgetter(0))
        if not html.endswith((text, text + embed.element_tag), 0, offset)
    ]
    after, inserted = _inserted(html, missing)
    return Injected(after, warnings, needs_runtime or bool(keyboard), settings, inserted)


def inject_runtime(html: str, root: str) -> Injected:
    """Put the runtime into a page without an avatar if the theme has instant navigation.

    A visitor may go from there to a page with an avatar without loading a new document, and come
    from one: then the component is loaded, so an element that an author placed must not be found.

    Args:
        html: a whole page.
        root: relative path from the page to the root of the site: empty, or ending in `/`.
    """
    if not traits(html).is_instant:
        return Injected(html)
    if has_asset(html):
        return Injected(html, has_scripts=True)
    end = end_of_head(html)
    if end is None:
        ends = (tag.start for tag in tags(html, {"head"}) if tag.is_end)
        end = next(ends, None)
    if end is None:
        return Injected(html)
    edits = sorted([(end, core(root)), *inert_parts(html)], key=itemgetter(0))
    after, inserted = _inserted(html, edits)
    return Injected(after, has_scripts=True, inserted=inserted)


def _inserted(
    html: str, edits: Iterable[tuple[int, str]]
) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Insert texts at ascending offsets; return the page, and where they are in it."""
    pieces, inserted, position, added = [], [], 0, 0
    for offset, text in edits:
        pieces += [html[position:offset], text]
        inserted.append((offset + added, len(text)))
        position, added = offset, added + len(text)
    return "".join([*pieces, html[position:]]), tuple(inserted)


def _has_settings(html: str) -> bool:
    """Whether the settings of the runtime are there as a real tag."""
    metas = (tag.attributes() for tag in tags(html, {"meta"}))
    return any(attributes.get("name") == "sentifyd" for attributes in metas)


def has_asset(html: str) -> bool:
    """Whether a page links a file of the runtime, of any version."""
    if not _ASSET.search(html):
        return False
    found = (tag.attributes() for tag in tags(html, {"link", "script"}))
    return any(_ASSET.search(tag.get("href") or tag.get("src") or "") for tag in found)


def _placeholder(element: Tag, end: int | None) -> Iterator[tuple[int, str]]:
    """Wrap an author's element in a template, so that the runtime can create its own there."""
    before, after = _PLACEHOLDER
    yield element.start, before
    yield element.end if end is None else end, after


def _missing_parts(html: str, element: Tag, embed: Embed) -> Iterator[tuple[int, str]]:
    yield element.name_end, embed.missing_text(element.attributes())
    # HTML has no self-closing custom elements: the rest of the page would become its content.
    end_tag = f"</{embed.element}>"
    if element.is_self_closing and not html.startswith(end_tag, element.end):
        yield element.end, end_tag


def _warnings(html: str, outline: _Outline, embed: Embed) -> Iterator[str]:
    count = len(outline.elements)
    for name, parent in misplaced_elements(html) if count or outline.other_elements else ():
        yield f"has a <{name}> inside of <{parent}>, where no browser creates it: move it out"
    if outline.has_loader and embed.behaviour.delays_loader:
        yield (
            "has its own loader, which does not wait for consent or for the option load: remove "
            "the script tag, and the plugin loads the script when it may"
        )
    if count > 1:
        yield (
            f"has {count} <{embed.element}>, and only the first gets the avatar: keep one; if the "
            "others come from excerpts of other pages, move them below `<!-- more -->` there"
        )
    for element in outline.other_elements:
        yield (
            f"has a <{element.name}>, but its component is {embed.component}: write "
            f"<{embed.element}>, or set the option component for the page"
        )
    for element in (*outline.elements, *outline.other_elements):
        values = element.attributes()
        if find_api_key({k: v for k, v in values.items() if v != embed.public_key}):
            yield (
                f"its <{element.name}> has an attribute that looks like the API key, and every "
                "reader gets it: remove it, and give it to the token service as AVATAR_API_KEY"
            )


@dataclass(slots=True)
class _Outline:
    """Offsets and tags of a page that matter for inserting."""

    head_end: int
    body_end: int
    has_loader: bool = False
    elements: list[Tag] = field(default_factory=list)
    element_end: int | None = None
    other_elements: list[Tag] = field(default_factory=list)


def _fast_offsets(html: str, embed: Embed) -> tuple[int, int] | None:
    """Return where head and body end, or `None` if the page is unusual or may have an avatar."""
    body_end = end_of_body(html)
    if body_end is None or may_have_avatar(html, embed.loader.hosts):
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
            if tag.name == embed.element and len(outline.elements) == 1:
                outline.element_end = outline.element_end or tag.end
        elif tag.name in _ELEMENTS:
            is_ours = tag.name == embed.element
            (outline.elements if is_ours else outline.other_elements).append(tag)
        elif tag.name == "script" and not outline.has_loader:
            outline.has_loader = embed.loader.is_in(tag.attributes())
    if ends[UNCLOSED] >= 0 and (last := end_of_body(html)) is not None:
        ends["body"] = last
    outline.body_end = next((end for end in ends.values() if end >= 0), len(html))
    if outline.head_end < 0:
        outline.head_end = outline.body_end
    return outline
