"""Convert the content of a page to Markdown (CommonMark, with tables of GitHub's flavour).

Definition lists are written as in Markdown Extra. Admonitions and collapsible blocks become quotes
with a bold title, and content tabs become sections with a bold title.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, urljoin, urlsplit

from bs4 import Tag
from bs4.element import NavigableString, PageElement

from mkdocs_sentifyd.export.content import HEADINGS, one_line
from mkdocs_sentifyd.export.tables import table_rows

__all__ = ["blocks"]

_BLOCKS = frozenset(
    {
        *("address", "article", "aside", "blockquote", "body", "center", "details", "div", "dl"),
        *("fieldset", "figcaption", "figure", "header", "hgroup", "hr", "li", "main", "ol", "p"),
        *("pre", "section", "summary", "table", "ul", *HEADINGS),
    }
)
_MARKS = {"b": "**", "strong": "**", "em": "*", "i": "*", "del": "~~", "s": "~~"}
_ADMONITIONS = {"admonition", "admonition-title", "details"}
_EMOJI = {"emojione", "gemoji", "twemoji"}
_SPACES = re.compile(r"[ \t\n\r\f]+")
_SPACES_AROUND_BREAK = re.compile(" *\n *")
# Characters that would be markup. An underscore inside of a word is none.
_SPECIAL = re.compile(
    r"([\\`]|\*(?=\S)|(?<=\S)\*|(?<!\w)_|_(?!\w)|<(?=[a-zA-Z/!?])|\](?=[(\[:])"
    r"|&(?=#?\w+;))"
)
# A beginning of a line that would be a heading, a quote, a list, a rule or a fence.
_LINE_START = re.compile(r"^(#{1,6}(?= |$)|>|[-+*](?= |$)|-{3,}$|=+$|~~~|:(?= ))", re.MULTILINE)
_NUMBER_START = re.compile(r"^(\d{1,9})([.)])(?= |$)", re.MULTILINE)
_LANGUAGE = re.compile(r"(?:^|\s)(?:language|lang|highlight|hl)-(?!source\b)([\w+#.-]+)")
_NO_LANGUAGES = {"text", "default", "plaintext", "none", "table", "ipynb"}


def blocks(root: Tag, url: str) -> list[str]:
    """Return the blocks of an element in Markdown, without empty lines around them.

    Args:
        root: the element, as `content_of` returns it.
        url: absolute URL of the page, which links become absolute with.
    """
    return _Converter(url).blocks(root)


class _Converter:
    def __init__(self, url: str) -> None:
        self._url = url

    def blocks(self, parent: Iterable[PageElement]) -> list[str]:
        """Convert the children of an element; text between blocks is a paragraph."""
        found: list[str] = []
        line: list[PageElement] = []
        for child in parent:
            if isinstance(child, Tag) and _has_block(child):
                found += self._paragraph(line)
                line = []
                found += self._block(child)
            else:
                line.append(child)
        return [*found, *self._paragraph(line)]

    def _block(self, tag: Tag) -> list[str]:
        classes = _classes(tag)
        if tag.name in HEADINGS:
            text = one_line(self._inline(tag))
            return [f"{'#' * int(tag.name[1])} {text}"] if text else []
        if tag.name == "pre":
            return _code(tag)
        if tag.name in ("ul", "ol"):
            return self._list(tag)
        if tag.name == "dl":
            return self._definitions(tag)
        if tag.name == "table":
            return self._table(tag, classes)
        if tag.name == "hr":
            return ["---"]
        if tag.name == "blockquote" or not _ADMONITIONS.isdisjoint(classes | {tag.name}):
            return _quoted(self._with_title(tag))
        if "tabbed-set" in classes:
            return self._tabs(tag)
        return self.blocks(tag)

    def _paragraph(self, nodes: Iterable[PageElement]) -> list[str]:
        text = self._inline(nodes).strip()
        if not text:
            return []
        text = re.sub(" {2,}", " ", text)
        text = _NUMBER_START.sub(r"\1\\\2", _LINE_START.sub(r"\\\1", text))
        return [text.replace("\n", "  \n")]

    def _with_title(self, tag: Tag) -> list[str]:
        """The blocks of a quote; the title of an admonition is bold."""
        title = tag.find(["p", "summary"], recursive=False)
        if not title or (title.name == "p" and "admonition-title" not in _classes(title)):
            return self.blocks(tag)
        text = one_line(self._inline(title))
        rest = self.blocks(child for child in tag.children if child is not title)
        return [*([f"**{text}**"] if text else []), *rest]

    def _tabs(self, tag: Tag) -> list[str]:
        """Content tabs of pymdownx: all labels, then all contents."""
        parts = [part for group in _children(tag) for part in _children(group)]
        labels = [one_line(self._inline(part)) for part in parts if part.name == "label"]
        contents = [self.blocks(part) for part in parts if "tabbed-block" in _classes(part)]
        if len(labels) != len(contents):
            return self.blocks(tag)
        pairs = zip(labels, contents, strict=True)
        return [block for label, content in pairs for block in (f"**{label}**", *content)]

    def _list(self, tag: Tag) -> list[str]:
        start = str(tag.get("start") or 1)
        number = int(start) if start.isdecimal() else 1
        items, is_loose = [], False
        for item in tag.find_all("li", recursive=False):
            mark = "- " if tag.name == "ul" else f"{number}. "
            number += 1
            inner = self.blocks(item)
            nested = all(re.match(r"- |\d+\. ", block) for block in inner[1:])
            is_loose |= not nested
            text = ("\n" if nested else "\n\n").join(inner)
            items.append(mark + _indented(text, len(mark)))
        return [("\n\n" if is_loose else "\n").join(items)] if items else []

    def _definitions(self, tag: Tag) -> list[str]:
        found: list[str] = []
        lines: list[str] = []
        for part in tag.find_all(["dt", "dd"]):
            if part.find_parent("dl") is not tag:
                continue
            if part.name == "dd":
                lines.append(":   " + _indented("\n\n".join(self.blocks(part)), 4))
                continue
            if lines and lines[-1].startswith(":   "):
                found.append("\n".join(lines))
                lines = []
            lines += filter(None, [one_line(self._inline(part))])
        return [*found, "\n".join(lines)] if lines else found

    def _table(self, tag: Tag, classes: set[str]) -> list[str]:
        if "highlighttable" in classes:
            # Line numbers and code. The numbers are already removed.
            return [block for cell in tag.find_all(["th", "td"]) for block in self.blocks(cell)]
        rows = table_rows(tag, self._cell)
        lines = [f"| {' | '.join(row)} |" for row in rows]
        if lines:
            lines.insert(1, "|" + " --- |" * len(rows[0]))
        caption = tag.find("caption", recursive=False)
        return [*(self._paragraph(caption) if caption else []), *filter(None, ["\n".join(lines)])]

    def _cell(self, tag: Tag) -> str:
        return one_line(self._inline(tag)).replace("|", "\\|")

    def _inline(self, nodes: Iterable[PageElement]) -> str:
        return _SPACES_AROUND_BREAK.sub("\n", "".join(map(self._span, nodes)))

    def _span(self, node: PageElement) -> str:
        if not isinstance(node, Tag):
            # Subclasses are comments, and texts of scripts.
            text = str(node) if type(node) is NavigableString else ""
            return _escaped(_SPACES.sub(" ", text))
        if node.name == "br":
            return "\n"
        if node.name == "img":
            return self._image(node)
        if node.name == "input":
            is_task = node.get("type") == "checkbox" and node.find_parent("li")
            return f"[{'x' if 'checked' in node.attrs else ' '}] " if is_task else ""
        if node.name in ("code", "tt", "samp", "pre"):
            return _code_span(node.get_text())
        if "arithmatex" in _classes(node):
            return node.get_text()
        text = self._inline(node)
        if _is_a_block(node):
            # A block in a cell of a table, or in a heading.
            return f" {text} "
        if node.name == "a":
            return self._link(node, text)
        if node.name in ("sub", "sup") and text.strip() and not node.find("a"):
            return f"<{node.name}>{text.strip()}</{node.name}>"
        if node.name == "q":
            return f'"{text}"'
        mark = _MARKS.get(node.name, "")
        return _around(text, mark, mark) if mark else text

    def _link(self, tag: Tag, text: str) -> str:
        href = str(tag.get("href") or "")
        if "footnote-ref" in _classes(tag):
            return f"[{text.strip()}]"
        target = self._absolute(href) if href else None
        return _around(text, "[", f"]({target})") if target else text

    def _image(self, tag: Tag) -> str:
        alt = one_line(str(tag.get("alt") or ""))
        if not _EMOJI.isdisjoint(_classes(tag)):
            return alt
        target = self._absolute(str(tag.get("src") or ""))
        text = _escaped(alt)
        if not alt or target is None:
            return text
        return f"![{text}]({target})"

    def _absolute(self, target: str) -> str | None:
        """The absolute URL of a target; `None` for one that leads to no other place."""
        try:
            url = urljoin(self._url, target.strip())
            scheme = urlsplit(url).scheme
        except ValueError:
            return None
        if scheme not in ("http", "https", "mailto", "tel"):
            return None
        return quote(url, safe="!#$%&'*+,/:;=?@[]~", encoding="utf-8")


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)


def _classes(tag: Tag) -> set[str]:
    return set(str(tag.get("class") or "").split())


def _children(tag: Tag) -> list[Tag]:
    return [child for child in tag.contents if isinstance(child, Tag)]


def _is_a_block(tag: Tag) -> bool:
    return tag.name in _BLOCKS or tag.name in ("dt", "dd", "td", "th", "tr")


def _has_block(tag: Tag) -> bool:
    """Whether an element is a block, or has one in it."""
    if tag.name in _BLOCKS:
        return True
    return any(map(_has_block, _children(tag)))


def _code(tag: Tag) -> list[str]:
    """A fenced block, with its language if the page has it."""
    text = tag.get_text().strip("\n")
    if not text.strip():
        return []
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return [f"{fence}{_language(tag)}\n{text}\n{fence}"]


def _language(tag: Tag) -> str:
    """The language of a code sample, from the classes of its elements."""
    code = tag.find("code")
    # With line numbers, the class is outside of a table.
    nodes = [*([code] if code else []), tag, *list(tag.parents)[:5]]
    for node in nodes:
        found = _LANGUAGE.search(str(node.get("class") or ""))
        if found and found[1] not in _NO_LANGUAGES:
            return found[1]
    return "mermaid" if "mermaid" in _classes(tag) else ""


def _code_span(text: str) -> str:
    text = _SPACES.sub(" ", text)
    if not text.strip():
        return ""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1 if longest else 1)
    space = " " if text[0] == "`" or text[-1] == "`" else ""
    return f"{fence}{space}{text}{space}{fence}"


def _around(text: str, before: str, after: str) -> str:
    """Put marks around a text; spaces and line breaks stay outside."""
    inner = text.strip()
    if not inner:
        return text
    first = text.index(inner)
    inner = inner.replace("\n", " ") if before == "[" else inner
    return f"{text[:first]}{before}{inner}{after}{text[first + len(text.strip()) :]}"


def _indented(text: str, width: int) -> str:
    """Indent all lines but the first."""
    return re.sub(r"\n(?=[^\n])", "\n" + " " * width, text)


def _quoted(parts: Iterable[str]) -> list[str]:
    lines = "\n\n".join(parts).splitlines()
    return ["\n".join(f"> {line}" if line else ">" for line in lines)] if lines else []
