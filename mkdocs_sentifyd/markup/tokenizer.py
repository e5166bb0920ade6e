"""Find real tags in HTML as a browser does (HTML Standard, section 13.2.5, "Tokenization").

Comments, scripts, text areas, templates and attribute values may contain text that looks like a
tag. The functions here skip such text.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from html import unescape
from typing import NamedTuple

__all__ = ["TAG", "UNCLOSED", "Tag", "is_in_tag", "is_whole_page", "tags"]

_ATTRIBUTE = r"""
    (?P<name>[^\t\n\f\r />][^\t\n\f\r />=]*+)
    (?:
        [\t\n\f\r ]*+=[\t\n\f\r ]*+
        (?P<value>"[^"]*+"|'[^']*+'|(?!["'])[^\t\n\f\r >]*+)
    |
        (?![\t\n\f\r ]*+=)
    )
"""
_ANY_ATTRIBUTE = _ATTRIBUTE.replace("?P<name>", "?:").replace("?P<value>", "?:")
_CONSTRUCT = re.compile(r"<(?=[a-zA-Z/!?])")
# A comment, or what a browser treats as one: `<!x>`, `<?x>`, `</ x>`.
_COMMENT = re.compile(r"<!--(?:-?>|.*?--!?>)|<(?:!(?!--)|\?|/(?![a-zA-Z]))[^>]*+>", re.DOTALL)
TAG = re.compile(
    rf"""<(/?)(?P<name>[a-zA-Z][^\t\n\f\r />]*+)
    ((?:[\t\n\f\r /]++|{_ANY_ATTRIBUTE})*+)>""",
    re.VERBOSE,
)
_EACH_ATTRIBUTE = re.compile(_ATTRIBUTE, re.VERBOSE)
_SCRIPT_PART = re.compile(r"<!--|-->|<(/?)script(?=[\t\n\f\r />])", re.IGNORECASE)
_RAW_NAMES = (
    *("script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes", "noscript"),
    "plaintext",
)
_RAW = {name: re.compile(rf"</{name}(?=[\t\n\f\r />])", re.IGNORECASE) for name in _RAW_NAMES}
# This element has no end tag (HTML Standard, section 13.2.5.5).
_RAW["plaintext"] = re.compile(r"(?!)")
UNCLOSED = "#unclosed"
# A file without any of these is a fragment, or a verification file for a search engine.
_WHOLE_PAGE = re.compile(r"<(?:!doctype|html|head|body)[\s>]", re.IGNORECASE)


class Tag(NamedTuple):
    """A real tag.

    Attributes:
        name: in lower case.
        is_end: whether it is an end tag.
        start: offset of its `<`.
        name_end: offset after its name.
        source: source text of its attributes.
    """

    name: str
    is_end: bool
    start: int
    name_end: int
    source: str

    @property
    def end(self) -> int:
        """Offset after its `>`."""
        return self.name_end + len(self.source) + 1

    @property
    def is_self_closing(self) -> bool:
        """Whether it ends in a slash that is not part of an attribute's value."""
        return _is_self_closing(self.source)

    def attributes(self) -> dict[str, str]:
        """Return lower-case names and unescaped values; the first one wins, as in browsers."""
        found: dict[str, str] = {}
        for match in _EACH_ATTRIBUTE.finditer(self.source):
            value = match["value"] or ""
            if value[:1] in ('"', "'"):
                value = value[1:-1]
            found.setdefault(match["name"].lower(), unescape(value))
        return found


def tags(html: str, names: Container[str]) -> Iterator[Tag]:
    """Yield every real tag outside of `<template>` that has one of the names, in order.

    A comment, tag, template or raw text that is never closed hides the rest of the page. Then the
    last tag has the name `UNCLOSED` and the offset of that construct, even if it is not in `names`.
    """
    position = templates = template_start = foreign = 0
    while construct := _CONSTRUCT.search(html, position):
        start = construct.start()
        match = TAG.match(html, start)
        if match is None:
            comment = _COMMENT.match(html, start)
            if comment is None:
                break
            position = comment.end()
            continue
        position = match.end()
        slash, name, source = match.groups()
        name = name.lower()
        if name == "template":
            if not templates:
                template_start = start
            templates = max(0, templates + (-1 if slash else 1))
        elif not templates and name in names:
            yield Tag(name, bool(slash), start, match.end("name"), source)
        if name in ("svg", "math") and not _is_self_closing(source):
            foreign = max(0, foreign + (-1 if slash else 1))
        # Raw text elements can only be self-closing inside of SVG and MathML.
        if name in _RAW and not slash and not (foreign and _is_self_closing(source)):
            end = _end_of_raw_text(html, name, position)
            if end is None:
                break
            position = end
    else:
        start = template_start if templates else len(html)
    if start < len(html):
        yield Tag(UNCLOSED, False, template_start if templates else start, start, "")


def is_whole_page(html: str) -> bool:
    """Whether a text is a whole page, and not a fragment."""
    return _WHOLE_PAGE.search(html) is not None


def is_in_tag(html: str, offset: int) -> bool:
    """Whether an offset is inside of a tag or comment that has no `>` before it."""
    return _CONSTRUCT.search(html, html.rfind(">", 0, offset) + 1, offset) is not None


def _is_self_closing(source: str) -> bool:
    if not source.endswith("/"):
        return False
    attributes = list(_EACH_ATTRIBUTE.finditer(source))
    return not attributes or attributes[-1].end() < len(source)


def _end_of_raw_text(html: str, name: str, position: int) -> int | None:
    """Return the offset of the end tag of a raw text element, or `None` if it has none."""
    if name == "script":
        return _end_of_script(html, position)
    end = _RAW[name].search(html, position)
    return end.start() if end else None


def _end_of_script(html: str, position: int) -> int | None:
    """Return the offset of a script's end tag, or `None` if it has none.

    After `<!-- <script>` inside of a script, the next `</script>` does not end it.
    """
    in_comment = in_script = False
    while part := _SCRIPT_PART.search(html, position):
        text = part[0]
        if text == "<!--":
            # The dashes of `<!--` also count for `-->`, so `<!-->` is a complete comment.
            position, in_comment = part.start() + 2, True
        elif text == "-->":
            position, in_comment, in_script = part.end(), False, False
        elif not part[1]:
            position, in_script = part.end(), in_comment
        elif in_script:
            position, in_script = part.end(), False
        else:
            return part.start()
    return None
