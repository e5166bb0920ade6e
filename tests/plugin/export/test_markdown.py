"""Test that the content of a page becomes Markdown that says the same."""

from __future__ import annotations

import pytest

from mkdocs_sentifyd.export.content import content_of
from mkdocs_sentifyd.export.markdown import blocks

PAGE = "https://docs.example.com/guide/page/"


def markdown(html: str) -> str:
    content = content_of(f"<html><body><main>{html}</main></body></html>")
    return "\n\n".join(blocks(content.main, PAGE))


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p>One <b> two </b><em>three</em>.</p>", "One **two** *three*."),
        ("<h2 id=a>Two<a class=headerlink href=#a>¶</a></h2>", "## Two"),
        ("text<p>p</p>more <i>text</i>", "text\n\np\n\nmore *text*"),
        ("<p>a<br>b</p>", "a  \nb"),
        (
            "<ul><li>a<ul><li>b<ol><li>c</li></ol></li></ul></li><li>d</li></ul>",
            "- a\n  - b\n    1. c\n- d",
        ),
        ("<ol start=3><li><p>a</p><p>b</p></li><li>c</li></ol>", "3. a\n\n   b\n\n4. c"),
        ("<ul><li><input type=checkbox checked> done</li></ul>", "- [x] done"),
        (
            "<table><thead><tr><th>A</th><th>B</th></tr></thead>"
            "<tbody><tr><td>1|2</td><td><code>x</code></td></tr>"
            "<tr><td colspan=2><p>p</p><p>q</p></td></tr></tbody></table>",
            "| A | B |\n| --- | --- |\n| 1\\|2 | `x` |\n| p q |  |",
        ),
        ("<table><tr><td>1</td></tr></table>", "|  |\n| --- |\n| 1 |"),
        (
            '<div class="language-python highlight"><pre><span></span><code>'
            "<span class=k>if</span> a &lt; b:\n    <span>x</span>\n</code></pre></div>",
            "```python\nif a < b:\n    x\n```",
        ),
        ('<pre><code class="language-sh">a\n```\nb</code></pre>', "````sh\na\n```\nb\n````"),
        (
            '<table class="highlighttable"><tr><td class="linenos"><pre>1\n2</pre></td>'
            '<td class="code"><div><pre><code>a\nb</code></pre></div></td></tr></table>',
            "```\na\nb\n```",
        ),
        (
            '<div class="admonition note"><p class="admonition-title">Note</p><p>a</p>'
            "<pre>b\n\nc</pre></div>",
            "> **Note**\n>\n> a\n>\n> ```\n> b\n>\n> c\n> ```",
        ),
        ("<details><summary>More</summary><p>a</p></details>", "> **More**\n>\n> a"),
        (
            "<dl><dt>T</dt><dt>U</dt><dd>one</dd><dd><p>two</p><p>three</p></dd><dt>V</dt>"
            "<dd>w</dd></dl>",
            "T\nU\n:   one\n:   two\n\n    three\n\nV\n:   w",
        ),
        (
            '<div class="tabbed-set"><input type=radio><div class="tabbed-labels"><label>A</label>'
            '<label>B</label></div><div class="tabbed-content"><div class="tabbed-block"><p>a</p>'
            '</div><div class="tabbed-block"><p>b</p></div></div></div>',
            "**A**\n\na\n\n**B**\n\nb",
        ),
        (
            '<p><a href="../other/#x">o</a> <a href="#y">y</a> <a href="javascript:x()">j</a></p>',
            "[o](https://docs.example.com/guide/other/#x) "
            "[y](https://docs.example.com/guide/page/#y) j",
        ),
        (
            '<p><img src="../a (1).png" alt="A plan"><img src="data:," alt="B"><img src="c"></p>',
            "![A plan](https://docs.example.com/guide/a%20%281%29.png)B",
        ),
        ('<p>:<img class="twemoji" alt="🚀" src="https://cdn.example/r.svg"></p>', ":🚀"),
        (
            "<p>10<sup>6</sup><sup><a class=footnote-ref href=#f>1</a></sup></p>",
            "10<sup>6</sup>[1]",
        ),
        ('<p><span class="arithmatex">\\(a_1 * b\\)</span></p>', "\\(a_1 * b\\)"),
        ("<p><code>a`b</code></p>", "``a`b``"),
        # What is markup by accident.
        (
            "<p>snake_case *a* _b_ &lt;i&gt; 2 * 3 &amp;lt;</p>",
            "snake_case \\*a\\* \\_b\\_ \\<i> 2 * 3 \\&lt;",
        ),
        ("<p># a</p><p>1. b</p><p>- c</p><p>&gt; d</p>", "\\# a\n\n1\\. b\n\n\\- c\n\n\\> d"),
        # What is not the page's text.
        (
            "<nav>n</nav><script>s</script><style>s</style><!-- c --><button>b</button>"
            "<sentifyd-bot>bot</sentifyd-bot><template>t</template><p hidden>h</p><p>a</p>"
            "<a class='md-content__button' href='/edit'>Edit</a><footer>f</footer>",
            "a",
        ),
    ],
)
def test_html_becomes_markdown(html: str, expected: str) -> None:
    assert markdown(html) == expected


@pytest.mark.parametrize(
    "page",
    [
        "<div role=main><p>text</p></div>",
        "<main><div>{side}<article><p>text</p><article><p>in</p></article></article></div></main>",
        "<main><nav>x</nav><article><p>text</p></article><article><p>two</p></article></main>",
        "<header>x</header><aside>x</aside><p>text</p>",
        # Tags in code are no tags, and what is never closed ends with the page.
        "<!-- <main> --><main><p>text</p><pre>&lt;/main&gt;</pre>",
    ],
)
def test_content_is_found_without_what_surrounds_it(page: str) -> None:
    side = "<div><p>side</p></div>"
    html = f"<html><body><nav>menu</nav>{page.format(side=side)}<footer>foot</footer></body></html>"
    text = content_of(html).main.get_text(" ")
    assert text.split()[0] == "text"
    assert not {"menu", "foot", "side", "x"} & set(text.split())
    assert ("two" in text) == ("two" in page)


@pytest.mark.parametrize(
    ("head", "title", "description"),
    [
        ("<title>A &amp; B</title><meta name=description content=' C  D '>", "A & B", "C D"),
        ("<meta content=None name=description>", "", ""),
        ("", "", ""),
    ],
)
def test_title_and_description_come_from_the_head(head: str, title: str, description: str) -> None:
    content = content_of(f"<html><head>{head}</head><body><p>text</p></body></html>")
    assert (content.title, content.description) == (title, description)
