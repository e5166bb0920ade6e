"""Test inserting tags: what counts as a tag, and that the rest of a page does not change."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from bs4 import BeautifulSoup, Tag
from hypothesis import given
from hypothesis import strategies as st

from mkdocs_sentifyd.markup.fast_path import end_of_head, may_have_avatar
from mkdocs_sentifyd.markup.insert import _fast_offsets, _outline, inject
from mkdocs_sentifyd.markup.tokenizer import UNCLOSED, tags
from mkdocs_sentifyd.options.behaviour import Behaviour
from mkdocs_sentifyd.tags.embed import Embed
from mkdocs_sentifyd.tags.loader import Loader

LOADER = "https://l.example/main.js"
EMBED = Embed(
    component="bot",
    attributes={"token_endpoint": "T", "avatar_id": "A"},
    loader=Loader("bot", LOADER, "classic"),
    style_sheets=(),
    behaviour=Behaviour(),
    page={},
    root="",
)
ELEMENT = EMBED.element_tag


def page(head: str = "", body: str = "") -> str:
    return f"<!doctype html><html><head><title>T</title>{head}</head><body>{body}</body></html>"


QUOTES = [
    "<!-- {} -->",
    "<!--> <!-- {} --!>",
    '<script>x = "{}"</script>',
    '<SCRIPT>x = "{}"</SCRIPT >',
    "<script><!-- <script> {} </script> {} --></script>",
    "<style>/* {} */</style>",
    "<textarea>{}</textarea>",
    "<title>{}</title>",
    "<noscript>{}</noscript>",
    "<iframe>{}</iframe>",
    "<template>{}<template></template>{}</template>",
    '<p title="{}">',
    "<p title='{}' hidden>",
    "<p a=b/c title = '{}'>",
]


@pytest.mark.parametrize("quote", QUOTES)
@pytest.mark.parametrize(
    "tag", ["</body></html>", "</head><body>", "<sentifyd-bot></sentifyd-bot>", EMBED.loader_tag]
)
@pytest.mark.parametrize("where", ["head", "body"])
def test_quoted_tags_are_not_tags(quote: str, tag: str, where: str) -> None:
    quoted = quote.replace("{}", tag.replace('"', "") if '"' in quote else tag)
    if tag == EMBED.loader_tag and "script" in quote.lower():
        quoted = quoted.replace("</script>", "", 1)
    html = page(**{where: quoted})

    result = inject(html, EMBED)

    at_head = len(html) - len("</head><body></body></html>" + (quoted if where == "body" else ""))
    at_body = len(html) - len("</body></html>")
    wanted = html[:at_head] + EMBED.loader_tag + html[at_head:at_body] + ELEMENT + html[at_body:]
    assert result.html == wanted
    assert result.warnings == ()
    assert inject(wanted, EMBED)[:3] == result[:3]


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<html><head></head><body>x</body></html>",
         "<html><head>{L}</head><body>x{E}</body></html>"),
        ("<HEAD></HEAD><BODY>x</BODY>\n</HTML>\n", "<HEAD>{L}</HEAD><BODY>x{E}</BODY>\n</HTML>\n"),
        ("<head></head ><body>x</body >", "<head>{L}</head ><body>x{E}</body >"),
        ("<html><body class=a>x", "<html>{L}<body class=a>x{E}"),
        ("<head></head><body>x</html>", "<head>{L}</head><body>x{E}</html>"),
        ("<p>x", "<p>x{L}{E}"),
        ("", "{L}{E}"),
        ("<head></head><body></body><!-- </body> -->",
         "<head>{L}</head><body>{E}</body><!-- </body> -->"),
        ("<head></head><body><svg><title/></svg></body>",
         "<head>{L}</head><body><svg><title/></svg>{E}</body>"),
        ("<head></head><body><script src=x /></body></script></body>",
         "<head>{L}</head><body><script src=x /></body></script>{E}</body>"),
        ("<title>x</title><p>Hi<sentifyd-bot/></body></html>",
         '<title>x</title><p>Hi<sentifyd-bot token_endpoint="T" avatar_id="A"/></sentifyd-bot>{L}'
         "</body></html>"),
        ("<head><sentifyd-bot/></head>",
         '<head><sentifyd-bot token_endpoint="T" avatar_id="A"/></sentifyd-bot>{L}</head>'),
        ("<head></head><body>1 < 2 </3 <? </body>",
         "<head>{L}</head><body>1 < 2 </3 <? </body>{E}"),
        ("<head></head><body>x </</body></html>", "<head>{L}</head><body>x </</body>{E}</html>"),
        # Something is never closed, so browsers do not show the rest of the page.
        ("<head></head><body>x<!-- </body></html>",
         "<head>{L}</head><body>x{E}<!-- </body></html>"),
        ("<head></head><body>x<script></body>", "<head>{L}</head><body>x<script>{E}</body>"),
        ("<head></head><body>x<template> ", "<head>{L}</head><body>x{E}<template> "),
        ("<head></head><body>x<p a='></body>", "<head>{L}</head><body>x<p a='>{E}</body>"),
    ],
)  # fmt: skip
def test_tags_are_inserted_into_incomplete_pages(html: str, expected: str) -> None:
    wanted = expected.replace("{E}", ELEMENT).replace("{L}", EMBED.loader_tag)

    assert inject(html, EMBED).html == wanted
    assert inject(wanted, EMBED).html == wanted


@pytest.mark.parametrize(
    ("placed", "completed"),
    [
        ("<sentifyd-bot></sentifyd-bot>",
         '<sentifyd-bot token_endpoint="T" avatar_id="A"></sentifyd-bot>'),
        ("<sentifyd-bot\n  toggler=false>",
         '<sentifyd-bot token_endpoint="T" avatar_id="A"\n  toggler=false>'),
        ("<Sentifyd-Bot avatar-id=mine />",
         '<Sentifyd-Bot token_endpoint="T" avatar-id=mine /></sentifyd-bot>'),
        ("<sentifyd-bot terms-href=https://a.example/>text</sentifyd-bot>",
         '<sentifyd-bot token_endpoint="T" avatar_id="A" terms-href=https://a.example/>'
         "text</sentifyd-bot>"),
        ("<sentifyd-bot/> text",
         '<sentifyd-bot token_endpoint="T" avatar_id="A"/></sentifyd-bot> text'),
        ("<sentifyd-bot AVATAR_ID='x'TOKEN_ENDPOINT=y>",
         "<sentifyd-bot AVATAR_ID='x'TOKEN_ENDPOINT=y>"),
        ('<sentifyd-bot data-avatar_id="x" title="avatar_id=">',
         '<sentifyd-bot token_endpoint="T" avatar_id="A" data-avatar_id="x" title="avatar_id=">'),
    ],
)  # fmt: skip
def test_authors_element_is_completed(placed: str, completed: str) -> None:
    result = inject(page(body=f"<p>{placed}</p>"), EMBED)

    assert result.html == page(EMBED.loader_tag, f"<p>{completed}</p>")
    assert result.warnings == ()
    assert inject(result.html, EMBED)[:3] == result[:3]


def test_element_with_a_similar_name_is_not_an_avatar() -> None:
    html = page(body="<sentifyd-bot-list></sentifyd-bot-list>")

    assert inject(html, EMBED).html.count("<sentifyd-bot ") == 1


@pytest.mark.parametrize(
    "script",
    [
        f'<script src="{LOADER}"></script>',
        f"<script defer src={LOADER}></script>",
        f"<SCRIPT SRC=' {LOADER} ' type=module></SCRIPT>",
        '<script src="//l.example/main.js"></script>',
        '<script src="https&#58;//l.example/main.js"></script>',
        '<script src="https://L.EXAMPLE:443/main.js?v=2#x"></script>',
        '<script src="../assets/external/l.example/main.js"></script>',
    ],
)
def test_authors_loader_stays_the_only_one(script: str) -> None:
    for html in (page(head=script), page(body=script)):
        assert EMBED.loader_tag not in inject(html, EMBED).html.replace(script, "")


@pytest.mark.parametrize("attribute", ["type=text/plain", "type='application/json'", "nomodule"])
def test_script_that_browsers_do_not_run_is_no_loader(attribute: str) -> None:
    script = f'<script {attribute} src="{LOADER}"></script>'
    assert EMBED.loader_tag in inject(page(head=script), EMBED).html


def test_only_credentials_have_two_spellings() -> None:
    embed = replace(EMBED, attributes={**EMBED.attributes, "enable-captions": "X"})
    html = inject(page(body="<sentifyd-bot avatar-id=x enable_captions=no>"), embed).html

    assert 'enable-captions="X"' in html
    assert "avatar_id" not in html


@pytest.mark.parametrize("src", ["https://l.example/other.js", "https://[x/", "main.js", ""])
def test_other_scripts_are_no_loaders(src: str) -> None:
    assert EMBED.loader_tag in inject(page(head=f'<script src="{src}"></script>'), EMBED).html


def test_key_on_an_element_is_reported_without_its_value() -> None:
    for attribute in ('api-key="canary-1"', 'avatar_id="sk-canary-12345"'):
        (warning,) = inject(page(body=f"<sentifyd-bot {attribute}></sentifyd-bot>"), EMBED).warnings
        assert "looks like the API key" in warning
        assert "canary" not in warning


def test_second_element_is_reported_and_only_the_first_completed() -> None:
    result = inject(page(body="<sentifyd-bot></sentifyd-bot>" * 2), EMBED)

    (warning,) = result.warnings
    assert warning.startswith("has 2 <sentifyd-bot>, and only the first")
    assert result.html.count('avatar_id="A"') == 1


FRAGMENTS = st.lists(
    st.sampled_from(
        [
            *("<p>", "</p>", "text é", "<!--", "-->", "<!-->", "<script>", "</script>", "<style>"),
            *("</style>", "<textarea>", "</textarea>", "<template>", "</template>", "</head>"),
            *("<head>", "<body>", "</body>", "</html>", "<svg>", "</svg>", "<title>", "</title>"),
            *("<p a='", '<p a="', "'>", '">', "<", ">", "</", "<!", "\n", "=", EMBED.loader_tag),
            *(
                "<sentifyd-bot>",
                "<sentifyd-bot />",
                "<sentifyd-bot avatar_id=x Avatar_ID=y>",
                "&lt;",
            ),
        ]
    ),
    max_size=25,
).map("".join)


INSERTED = [ELEMENT, EMBED.loader_tag, ' token_endpoint="T"', ' avatar_id="A"', "</sentifyd-bot>"]


@given(FRAGMENTS)
def test_inject_adds_only_its_own_tags(html: str) -> None:
    result = inject(html, EMBED).html

    added = re.sub(
        "|".join(map(re.escape, INSERTED)),
        "",
        result,
    )
    assert added == html.replace(EMBED.loader_tag, "")


@pytest.mark.parametrize("name", ["title", "style", "script", "iframe"])
def test_inject_is_idempotent_if_the_head_never_ends(name: str) -> None:
    once = inject(f"<!doctype html><html><head><{name}>x</head><body>p</body></html>", EMBED)

    assert inject(once.html, EMBED)[:3] == once[:3]
    assert once.html.count(EMBED.loader_tag) == once.html.count(EMBED.element_tag) == 1


@given(FRAGMENTS)
def test_inject_is_idempotent_on_any_page(body: str) -> None:
    once = inject(page(body=body), EMBED)

    assert inject(once.html, EMBED).html == once.html


HEADS = st.lists(
    st.sampled_from(
        [
            *(
                "<meta charset=utf-8>",
                '<link rel="x" href=a/b>',
                "<META NAME='x'>",
                "<base/>",
                "\n",
            ),
            *(
                "<title>",
                "</title>",
                "</title >",
                "a < b",
                "<script>",
                "</script>",
                "<script src=x />",
            ),
            *("<style media>", "</style>", "<!--", "-->", "<noscript>", "</noscript>", "</head>"),
            *(
                "<body>",
                "<template>",
                "</template>",
                '<meta a="<',
                '">',
                "<meta a = b>",
                "<",
                "&lt;",
            ),
            *("<scripts>", "<links>", "text", "<meta =>", '<meta "x">', "<svg><title/></svg>"),
        ]
    ),
    max_size=12,
).map("".join)


@given(HEADS, FRAGMENTS, st.sampled_from(["<html>", "<HTML lang='de'>", "", "<html lang=de >\n"]))
def test_fast_path_finds_the_same_offsets(head: str, body: str, html_tag: str) -> None:
    html = page(head=head, body=body).replace("<html>", html_tag, 1)
    quick = _fast_offsets(html, EMBED)
    outline = _outline(html, EMBED)

    assert quick in (None, (outline.head_end, outline.body_end))
    assert quick is None or not (outline.has_loader or outline.elements or outline.other_elements)


SCRIPTS = [
    '<script data-a="a<b" src="https://l.example/main.js">',
    "<script src=https://l&#46;example/main.js>",
    "<ScRiPt\nSRC='//L.example/main.js'\tdefer>",
    "<script src=https://l.example/main.js",
    # Matching each of many such tags would take quadratic time, so the page is tokenized once.
    "<script <script <script src=other.js>",
]


@pytest.mark.parametrize("tag", [*SCRIPTS, "<SENTIFYD-BOT>", "<sentifyd-Realtime\na=b>"])
def test_fast_path_misses_no_avatar(tag: str) -> None:
    filler = '<script src="other.js"></script><p class="scripted">&amp;<sentifyd>'
    assert may_have_avatar(f"{filler}{tag}{filler}", EMBED.loader.hosts)
    assert not may_have_avatar(filler * 2, EMBED.loader.hosts)


def test_fast_path_handles_pages_of_themes() -> None:
    """The fast path must handle typical pages, because tokenizing is several times slower."""
    head = (
        '\n<meta charset="utf-8"> <link rel=icon href="../a.png"/><title>A > B</title>\n'
        "<style>:root{--a:1}</style><script>__md = (a, b) => a < b && `c`;</script>"
    )
    html = page(head=head, body="<h1>Text</h1>")

    assert end_of_head(html) == html.index("</head>")
    assert _fast_offsets(html, EMBED) == (html.index("</head>"), html.index("</body>"))


@given(FRAGMENTS)
def test_tokenizer_finds_the_same_elements_as_a_browser(body: str) -> None:
    """html5lib implements the standard's parser; SVG has its own rules and is excluded."""
    if "svg" in body:
        return
    html = page(body=body)
    ours = [tag for tag in tags(html, {"sentifyd-bot"}) if not tag.is_end and tag.name != UNCLOSED]
    soup = BeautifulSoup(html, "html5lib")
    theirs = [
        element
        for element in soup.find_all("sentifyd-bot")
        if isinstance(element, Tag) and not element.find_parent("template")
    ]
    assert [tag.attributes() for tag in ours] == [element.attrs for element in theirs]
