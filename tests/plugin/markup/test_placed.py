"""Elements that an author placed where they cannot work are reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from mkdocs_sentifyd.markup.placed import misplaced_elements, without_elements
from tests.support.sites import BuildSite

BOT = "<sentifyd-bot></sentifyd-bot>"


@pytest.mark.parametrize(
    ("html", "parents"),
    [
        (f"<svg><g>{BOT}</g></svg>", ["svg"]),
        (f"<select><option>a</option>{BOT}</select>", ["select"]),
        (f"<svg><foreignObject><p>{BOT}</p></foreignObject>{BOT}</svg>", ["svg"]),
        (f"<svg><path/></svg>{BOT}<svg>{BOT}", ["svg"]),
        (f"<svg/>{BOT}", []),
        (f"<select><option></select>{BOT}", []),
        (f"<svg><foreignObject></svg>{BOT}", []),
        (f"<svg></svg><p>{BOT}</p></svg>", []),
        (f"<!-- <svg> -->{BOT}<textarea><select></textarea>{BOT}", []),
    ],
)
def test_element_that_no_browser_creates_is_found(html: str, parents: list[str]) -> None:
    assert list(misplaced_elements(html)) == [("sentifyd-bot", parent) for parent in parents]


@pytest.mark.parametrize("parent", ["svg", "select"])
def test_misplaced_element_fails_a_strict_build(build: BuildSite, parent: str) -> None:
    built = build({"index.md": f"# A\n\n<div><{parent}>{BOT}</{parent}></div>\n"})

    assert built.status == 1
    assert (
        f"WARNING -  sentifyd: index.md: has a <sentifyd-bot> inside of <{parent}>, where no "
        "browser creates it: move it out\n"
    ) in built.output


def test_text_is_returned_without_elements() -> None:
    html = f"<p>a<SENTIFYD-BOT toggler='>'>b</sentifyd-bot>c<sentifyd-realtime/></p><!-- {BOT} -->"

    assert without_elements(html) == (f"<p>abc</p><!-- {BOT} -->", "sentifyd-bot")
    assert without_elements("<p>a") == ("<p>a", None)


# Marks pages and replaces their text as mkdocs-encryptcontent-plugin does, at the same events.
ENCRYPTION = """\
def on_page_markdown(markdown, page, **_):
    if page.meta.get("password"):
        page.encryptcontent = {}
def on_page_content(html, page, **_):
    if hasattr(page, "encryptcontent"):
        page.encryptcontent["text"] = html
def on_page_context(context, page, **_):
    if hasattr(page, "encryptcontent"):
        text = page.encryptcontent["text"].encode().hex()
        page.content = f'<div id="mkdocs-encrypted-content">{text}</div>'
    return context
"""


def test_element_in_an_encrypted_text_is_reported_and_left_out(
    build: BuildSite, tmp_path: Path
) -> None:
    (tmp_path / "hook.py").write_text(ENCRYPTION)
    front = "---\npassword: pw\n{}---\n# A\n\n"
    built = build(
        {
            "index.md": f"# A\n\n{BOT}\n",
            "placed.md": front.format("") + f'<div>Text <sentifyd-bot toggler="false">{BOT}</div>',
            "plain.md": front.format(""),
            "off.md": front.format("sentifyd: false\n") + BOT,
        },
        hooks=["hook.py"],
    )

    assert built.status == 1
    assert [line for line in built.output.splitlines() if line.startswith("WARNING")] == [
        "WARNING -  sentifyd: placed.md: is encrypted by another plugin, so the <sentifyd-bot> in "
        "its text cannot be prepared: remove it, and the avatar is shown at the bottom of the page"
    ]
    for name, avatars in (("placed", 1), ("plain", 1), ("off", 0)):
        page = built.page(f"{name}/index.html")
        assert len(page.elements()) == avatars
        text = page.soup.select("#mkdocs-encrypted-content")[0].get_text()
        assert "sentifyd" not in bytes.fromhex(text).decode()
    assert len(built.page("index.html").elements()) == 1
