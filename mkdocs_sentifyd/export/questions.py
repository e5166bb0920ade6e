"""Choose pairs of a question and an answer: headings, and the text below them."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bs4 import Tag
from bs4.element import NavigableString, PageElement

from mkdocs_sentifyd.export.content import HEADINGS, Content, one_line

__all__ = ["MAX_PAIRS", "Section", "choose", "sections", "to_csv"]

# Sentifyd's feature page names 25 pairs.
MAX_PAIRS = 25
# In characters.
MAX_ANSWER = 600
MIN_ANSWER = 20
MAX_QUESTION = 200
_TEXTS = ("p", "li", "dt", "dd")
_SEPARATE = {"br", "div", "dl", "ol", "ul", *_TEXTS}
# Not part of the sentences around them.
_OTHERS = {"pre", "table", "figure", "details"}
# Latin, full-width, Arabic, Greek and Armenian.
_QUESTION_MARKS = ("?", "\uff1f", "\u061f", "\u037e", "\u055e")
# The second part is full-width and Arabic.
_SENTENCE_END = re.compile("[.!?](?=\\s)|[\u3002\uff01\uff1f\u061f]")
_COLONS = (":", "\uff1a")
# A spreadsheet takes a cell that begins with one of these for a formula (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@")


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with text below it.

    Attributes:
        question: the heading; with the title of its page, if it is not a question itself.
        answer: the text below it, on one line.
        is_question: whether the heading is a question.
    """

    question: str
    answer: str
    is_question: bool


def sections(content: Content) -> Iterator[Section]:
    """Yield the sections of a page that can be an answer, in order.

    Args:
        content: the content of the page.
    """
    heading, texts = content.title, list[str]()
    for tag in content.main.find_all([*HEADINGS, *_TEXTS, *_OTHERS]):
        if tag.name in HEADINGS:
            yield from _section(content.title, heading, texts)
            heading, texts = one_line(tag.get_text()), []
        elif tag.name in _OTHERS:
            # Without what it announces, such as a code sample, a text is no answer.
            if texts and texts[-1].endswith(_COLONS):
                texts.pop()
        elif not (tag.get("class") == "admonition-title" or _is_inside(tag)):
            texts.append(one_line(_text(tag)))
    yield from _section(content.title, heading, texts)


def _is_inside(tag: Tag) -> bool:
    """Whether an element is in one whose text is already taken, or is not taken."""
    return any(parent.name in (*_TEXTS, *_OTHERS) for parent in tag.parents)


def _text(node: PageElement) -> str:
    """The text of an element without code samples; blocks in it are separate words."""
    if not isinstance(node, Tag):
        return str(node) if type(node) is NavigableString else ""
    if node.name in _OTHERS:
        return ""
    text = "".join(map(_text, node.children))
    return f" {text} " if node.name in _SEPARATE else text


def _section(title: str, heading: str, texts: Sequence[str]) -> Iterator[Section]:
    is_question = heading.endswith(_QUESTION_MARKS)
    question = heading if is_question or heading == title else f"{title}: {heading}"
    answer = _answer(texts)
    # The answer to a question may be one word.
    is_answer = len(answer) >= (1 if is_question else MIN_ANSWER)
    if heading and len(question) <= MAX_QUESTION and is_answer:
        yield Section(question, answer, is_question)


def _answer(texts: Sequence[str]) -> str:
    """Join whole texts up to the bound; a first text that is too long ends after a sentence."""
    chosen: list[str] = []
    for text in filter(None, texts):
        if len(" ".join([*chosen, text])) > MAX_ANSWER:
            break
        chosen.append(text)
    else:
        return " ".join(chosen)
    return " ".join(chosen) if chosen else _shortened(text)


def _shortened(text: str) -> str:
    ends = [end.end() for end in _SENTENCE_END.finditer(text, 0, MAX_ANSWER)]
    if ends:
        return text[: ends[-1]]
    return text[: MAX_ANSWER - 1].rpartition(" ")[0] + "…"


def choose(pages: Sequence[Sequence[Section]]) -> list[Section]:
    """Choose at most `MAX_PAIRS` sections, spread over the pages.

    Headings that are questions come first, then the first section of each page, then the second.
    No question is chosen twice.

    Args:
        pages: the sections of each page.

    Returns:
        The sections, in the order of the pages.
    """
    places: dict[str, tuple[int, int]] = {}
    for wanted in (True, False):
        rows = [
            [place for place, section in enumerate(page) if section.is_question is wanted]
            for page in pages
        ]
        for depth in range(max(map(len, rows), default=0)):
            found: dict[str, tuple[int, int]] = {}
            for number, row in enumerate(rows):
                if depth < len(row):
                    key = pages[number][row[depth]].question.casefold()
                    if key not in places:
                        found.setdefault(key, (number, row[depth]))
            places |= _spread(found, MAX_PAIRS - len(places))
    return [pages[number][place] for number, place in sorted(places.values())]


def _spread(found: dict[str, tuple[int, int]], count: int) -> Iterable[tuple[str, tuple[int, int]]]:
    """At most `count` entries, at equal distances."""
    entries = list(found.items())
    if len(entries) <= count:
        return entries
    return [entries[number * len(entries) // count] for number in range(count)]


def to_csv(chosen: Iterable[Section]) -> str:
    """Return the pairs as CSV (RFC 4180), with every cell in quotes and no formula.

    Args:
        chosen: the pairs.
    """
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(("question", "answer"))
    for section in chosen:
        writer.writerow((_cell(section.question), _cell(section.answer)))
    return text.getvalue()


def _cell(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would run as a formula."""
    # Some programs ignore spaces and invisible characters at the beginning.
    first = next((c for c in text if unicodedata.category(c)[0] not in "CZ"), "")
    # This turns full-width characters into those that they stand for.
    first = unicodedata.normalize("NFKC", first)
    return f"'{text}" if first.startswith(_FORMULA) else text
