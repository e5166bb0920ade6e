"""The places of a page such as themes write, found without reading all of it.

Each of these finds what `tokenizer.tags` would find, or reports that it does not know. How seldom
that is decides most of what the plugin costs a build. Case-insensitive search is slow, so patterns
begin with each letter in both cases.
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
        # Nothing in there that could begin a comment or an end tag.
    |   <(?P<raw>title|script|style){_TAG_END} (?:[^<]++|<(?![!/]))*+ </(?P=raw)>
    )*+
    (?=</head>)
    """,
    re.IGNORECASE | re.ASCII | re.VERBOSE,
)
_LAST_TAGS = re.compile(r"</body\s*>\s*(?:</html\s*>\s*)?\Z", re.IGNORECASE)


def may_have_avatar(html: str, hosts: re.Pattern[str]) -> bool:
    """Whether a page may have a component's element, or a script from one of some hosts.

    Args:
        html: the page.
        hosts: matches the names of the hosts.
    """
    for candidate in _CANDIDATE.finditer(html):
        if candidate[1] is None:
            return True
        tag = TAG.match(html, candidate.start())
        # A character reference may hide a host's name, and of tags within a tag each would reach
        # over all that follow it.
        if tag is None or "&" in tag[0] or "<" in tag[0][1:] or hosts.search(tag[0]):
            return True
    return False


def end_of_head(html: str) -> int | None:
    """Offset of `</head>`, in a page whose head is without comments and the like."""
    head = _PLAIN_HEAD.match(html)
    return head.end() if head else None


def end_of_body(html: str) -> int | None:
    """Offset of the `</body>` that nothing but `</html>` follows.

    It is the real one, unless something before it was never closed. Such a page shows nothing from
    there on, and the avatar shares the fate of all else.
    """
    start = html.rfind("</body")
    if start < 0:
        start = max(0, html.rfind("</BODY"))
    end = _LAST_TAGS.match(html, start)
    return None if end is None or is_in_tag(html, end.start()) else end.start()
