"""Put pages together: `llms.txt`, `llms-full.txt`, and at most five documents.

`llms.txt` has the form of https://llmstxt.org: a heading, a quote, and sections with lists of
links. All sizes are in bytes of UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mkdocs_sentifyd.export.questions import Section

__all__ = [
    "Page",
    "documents",
    "full_text",
    "index_text",
    "page_text",
    "size",
]

# Sentifyd's feature page names five documents.
MAX_DOCUMENTS = 5
# Sentifyd documents no sizes; these bound what a site can produce.
MAX_DOCUMENT = 1_000_000
MAX_FULL = MAX_DOCUMENTS * MAX_DOCUMENT
MAX_INDEX = 500_000
MAX_PAGE = 200_000
# A site whose text is smaller becomes one document.
SMALL_DOCUMENT = 100_000
# In characters.
MAX_DESCRIPTION = 300


@dataclass(frozen=True, slots=True)
class Page:
    """A page that is exported.

    Attributes:
        path: path of its file below the site's folder.
        url: its URL, relative to the root of the site.
        absolute_url: its URL.
        title: on one line.
        description: its own description, on one line; may be empty.
        text: the page in Markdown, with its title and its URL.
        is_cut: whether the text is only a part of the page.
        sections: the sections that can be an answer.
    """

    path: str
    url: str
    absolute_url: str
    title: str
    description: str
    text: str
    is_cut: bool
    sections: Sequence[Section]


def size(text: str) -> int:
    """Return the size of a text."""
    return len(text.encode())


def page_text(title: str, url: str, blocks: Iterable[str]) -> tuple[str, bool]:
    """Return the text of a page, and whether it had to be cut.

    Args:
        title: title of the page.
        url: its absolute URL.
        blocks: its content in Markdown, without the title.
    """
    parts = [f"# {title}", f"Source: {url}"]
    total = size("\n\n".join(parts)) + 1
    for block in blocks:
        # With the empty line between the blocks.
        total += size(block) + 2
        if total > MAX_PAGE:
            return "\n\n".join(parts) + "\n", True
        parts.append(block)
    return "\n\n".join(parts) + "\n", False


def index_text(
    name: str, description: str, pages: Sequence[Page], groups: Mapping[str, str]
) -> tuple[str, list[Page]]:
    """Return `llms.txt`, and the pages that did not fit.

    Args:
        name: name of the site.
        description: description of the site; may be empty.
        pages: the pages, with those of a group next to each other.
        groups: the name of each page's group, by the page's `url`.
    """
    lines = [_head(name, description)]
    total, group = size(lines[0]), ""
    for number, page in enumerate(pages):
        line = f"- [{_label(page.title)}]({page.absolute_url})"
        if page.description:
            line += f": {_shortened(page.description)}"
        if groups[page.url] != group:
            group = groups[page.url]
            line = f"\n## {group}\n\n{line}"
        total += size(line) + 1
        if total > MAX_INDEX:
            return "\n".join(lines) + "\n", list(pages[number:])
        lines.append(line)
    return "\n".join(lines) + "\n", []


def full_text(name: str, description: str, pages: Sequence[Page]) -> tuple[str, list[Page]]:
    """Return `llms-full.txt`, and the pages that did not fit.

    Args:
        name: name of the site.
        description: description of the site; may be empty.
        pages: the pages.
    """
    head = _head(name, description) + "\n"
    fitting = _fitting([size(page.text) + 1 for page in pages], MAX_FULL - size(head))
    return "\n".join([head, *(page.text for page in pages[:fitting])]), list(pages[fitting:])


def documents(pages: Sequence[Page]) -> tuple[list[str], list[Page]]:
    """Return at most `MAX_DOCUMENTS` documents of similar size, and the pages that did not fit.

    Pages are whole and in order.

    Args:
        pages: the pages.
    """
    sizes = [size(page.text) + 1 for page in pages]
    fitting = sum(map(len, _parts(sizes, MAX_DOCUMENT)[:MAX_DOCUMENTS]))
    sizes = sizes[:fitting]
    count = min(MAX_DOCUMENTS, -(-sum(sizes) // SMALL_DOCUMENT))
    # The smallest bound that needs no more documents makes their sizes similar.
    low, high = max(sizes, default=0), MAX_DOCUMENT
    while low < high:
        middle = (low + high) // 2
        if len(_parts(sizes, middle)) <= count:
            high = middle
        else:
            low = middle + 1
    parts = _parts(sizes, low)
    texts = ["\n".join(pages[number].text for number in part) for part in parts]
    return texts, list(pages[fitting:])


def _parts(sizes: Sequence[int], bound: int) -> list[list[int]]:
    """Fill parts in order, none larger than the bound unless a single page is."""
    parts: list[list[int]] = []
    total = 0
    for number, amount in enumerate(sizes):
        if not parts or total + amount > bound:
            parts.append([])
            total = 0
        parts[-1].append(number)
        total += amount
    return parts


def _fitting(sizes: Sequence[int], bound: int) -> int:
    """How many of the first pages fit."""
    total = 0
    for number, amount in enumerate(sizes):
        total += amount
        if total > bound:
            return number
    return len(sizes)


def _head(name: str, description: str) -> str:
    return f"# {name}" + (f"\n\n> {description}" if description else "")


def _label(title: str) -> str:
    return re.sub(r"([\[\]\\])", r"\\\1", title)


def _shortened(text: str) -> str:
    if len(text) <= MAX_DESCRIPTION:
        return text
    return text[: MAX_DESCRIPTION - 1].rpartition(" ")[0] + "…"
