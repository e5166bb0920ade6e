"""Test the pairs of a question and an answer."""

from __future__ import annotations

import csv
import io
from itertools import pairwise

import pytest

from mkdocs_sentifyd.export.content import content_of
from mkdocs_sentifyd.export.questions import Section, choose, sections, to_csv

ANSWER = "An answer that is long enough."


def found(html: str) -> list[tuple[str, str]]:
    content = content_of(f"<html><body><main>{html}</main></body></html>")
    return [(section.question, section.answer) for section in sections(content)]


def test_headings_with_text_are_pairs() -> None:
    pairs = found(
        f"<h1>Guide<a class=headerlink>¶</a></h1><p>{ANSWER}</p>"
        "<h2>Is it safe?</h2><p>Yes,  <b>it</b>\nis, and here is why:</p>"
        "<ul><li>first</li><li>second<ul><li>inner</li></ul></li></ul>"
        f"<h2>Limits</h2><div><p>{ANSWER}</p></div><h3>Empty</h3><h3>Short</h3><p>No.</p>"
        "<h3>Is it free?</h3><p>No.</p><h3>Why?</h3>"
        f"<h2>Code</h2><p>{ANSWER}</p><p>Run this:</p><pre>x</pre>"
        "<table><tr><td>t</td></tr></table>"
        f"<div class='admonition'><p class='admonition-title'>Note</p><p>{ANSWER}</p></div>"
    )
    assert pairs == [
        ("Guide", ANSWER),
        ("Is it safe?", "Yes, it is, and here is why: first second inner"),
        ("Guide: Limits", ANSWER),
        ("Is it free?", "No."),
        ("Guide: Code", f"{ANSWER} {ANSWER}"),
    ]


def test_answers_are_bounded_and_end_after_a_sentence() -> None:
    long = "It has words. " * 100
    [(_, many), (_, one), (_, endless)] = found(
        f"<h1>A?</h1><p>{ANSWER}</p><p>{long}</p><h2>B?</h2><p>{long}</p>"
        f"<h2>C?</h2><p>{'words ' * 300}</p>"
    )
    assert many == ANSWER
    assert 500 < len(one) <= 600
    assert one.endswith("words.")
    assert 500 < len(endless) <= 600
    assert endless.endswith("words…")


def test_pairs_are_spread_over_pages_and_never_repeated() -> None:
    pages = [
        [
            Section(f"Page {number}", ANSWER, False),
            Section("The same?", ANSWER, True),
            *(Section(f"Page {number}: {part}", ANSWER, False) for part in range(5)),
        ]
        for number in range(40)
    ]
    pages[30] += [Section(name, ANSWER, True) for name in ("Only here?", "THE SAME?")]
    chosen = [section.question for section in choose(pages)]
    assert len(chosen) == len(set(chosen)) == 25
    assert {"The same?", "Only here?"} < set(chosen)
    numbers = [int(name.split()[1]) for name in chosen if name.startswith("Page")]
    assert numbers == sorted(numbers)
    assert max(b - a for a, b in pairwise(numbers)) == 2
    few = [section.question for section in choose(pages[:2])]
    assert [few[0], *few[2:7]] == ["Page 0", *(f"Page 0: {part}" for part in range(5))]
    assert few[7:] == ["Page 1", *(f"Page 1: {part}" for part in range(5))]


@pytest.mark.parametrize(
    "text",
    [
        *("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\r=1", "\n=1", "\u200b=1", "\ufeff@a"),
        *("\uff1d1", "\uff0b1", "\uff0d1", "\uff20a", "\u00a0=1", "=cmd|'/C calc'!A0", '=","'),
    ],
)
def test_no_cell_is_a_formula(text: str) -> None:
    printed = to_csv([Section(text, text, True)])
    assert list(csv.reader(io.StringIO(printed, newline="")))[1] == [f"'{text}"] * 2


def test_csv_is_read_as_it_was_written() -> None:
    texts = ['He said "no", twice; ok?', "مرحبا بالعالم، كيف؟", "日本語", "a\nb", "1 = 1", ""]
    printed = to_csv(Section(text, text, True) for text in texts)
    assert list(csv.reader(io.StringIO(printed, newline=""), strict=True)) == [
        ["question", "answer"],
        *([text, text] for text in texts),
    ]
    assert printed.count("\r\n") == len(texts) + 1
