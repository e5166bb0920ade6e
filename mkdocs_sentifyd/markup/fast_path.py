"""Find the ends of head and body in typical pages without tokenizing the whole page.

Each function returns what `tokenizer.tags` would find, or reports that it cannot decide. Tokenizing
is the plugin's largest cost in a build, so these functions should decide for most pages. Patterns
spell out both cases of each letter, because case-insensitive search is slow.
"""

from __future__ import annotations

import re

from mkdocs_sentifyd.components import COMPONENTS
from mkdocs_sentifyd.markup.tokenizer import TAG, is_in_tag

__all__ = ["end_of_body", "end_of_head", "may_have_avatar"]


def _both_cases(name: str) -> str:
    return "".join(f"[{c}{c.upper()}]" if c.isalpha() else re.escape(c) for c in name)


_ELEMENTS = "|".join(_both_cases(component.element[1:]) for component in COMPONENTS.values())
_CANDIDATE = re.compile(f"<[sS](?:{_ELEMENTS}|({_both_cases('cript')}))")
_ATTRIBUTES = r"""(?:[\t\n\f\r ]++[a-z][a-z0-9_:-]*+(?:=(?:"[^"]*+"|[^\t\n\f\r "'=<>`]++))?+)*+"""
_TAG_END = rf"{_ATTRIBUTES}[\t\n\f\r ]*+/?+>"
_PLAIN_HEAD = re.compile(
    rf"""
    \s*+ (?:<!doctype[^>]*+>\s*+)?+ <html{_TAG_END} \s*+ <head{_TAG_END}
    (?:
        \s++
    |   <(?:meta|link|base){_TAG_END}
        # Raw text without anything that could begin a comment or an end tag.
    |   <(?P<raw>title|script|style){_TAG_END} (?:[^<]++|<(?![!/]))*+ </(?P=raw)>
    )*+
    (?=</head>)
    """,
    re.IGNORECASE | re.ASCII | re.VERBOSE,
)
_LAST_TAGS = re.compile(r"</body\s*>\s*(?:</html\s*>\s*)?\Z", re.IGNORECASE)


def may_have_avatar(html: str, hosts: re.Pattern[str]) -> bool:
    """Whether a page may have the element of a component, or a script from one of the hosts.

    Args:
        html: the page.
        hosts: pattern for the host names.
    """
    for candidate in _CANDIDATE.finditer(html):
        if candidate[1] is None:
            return True
        tag = TAG.match(html, candidate.start())
        # A character reference may hide a host name. A `<` inside a tag means malformed HTML, where
        # matching tag by tag would take quadratic time.
        if tag is None or "&" in tag[0] or "<" in tag[0][1:] or hosts.search(tag[0]):
            return True
    return False


def end_of_head(html: str) -> int | None:
    """Return the offset of `</head>`, or `None` if the head has comments or other unusual parts."""
    head = _PLAIN_HEAD.match(html)
    return head.end() if head else None


def end_of_body(html: str) -> int | None:
    """Return the offset of a `</body>` at the end of the page, or `None` if there is none.

    This is the real end tag, unless something before it was never closed. Then the browser does not
    show the rest of the page, so the avatar's position does not matter.
    """
    start = html.rfind("</body")
    if start < 0:
        start = max(0, html.rfind("</BODY"))
    end = _LAST_TAGS.match(html, start)
    return None if end is None or is_in_tag(html, end.start()) else end.start()
