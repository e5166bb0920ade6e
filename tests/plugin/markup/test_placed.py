"""Elements that an author placed where they cannot work are reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from mkdocs_sentifyd.markup.placed import misplaced_elements, without_elements
from tests.support.browsing import Visit
from tests.support.sites import LOADER, BuildSite

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


DECRYPT = """() => {
  const content = document.getElementById("mkdocs-encrypted-content");
  const bytes = content.textContent.match(/../g).map((code) => parseInt(code, 16));
  content.innerHTML = new TextDecoder().decode(new Uint8Array(bytes));
}"""
COMPONENT = """
window.connected = 0;
customElements.define("sentifyd-bot", class extends HTMLElement {
  connectedCallback() { window.connected++; }
});
"""


def test_decryption_adds_no_second_avatar(build: BuildSite, tmp_path: Path, visit: Visit) -> None:
    (tmp_path / "hook.py").write_text(ENCRYPTION)
    text = f"---\npassword: pw\n---\n# Secret\n\nText.\n\n{BOT}\n"
    built = build({"index.md": text}, strict=False, hooks=["hook.py"])
    page = visit.page
    page.route("**", lambda route: route.fulfill(body="", content_type="text/plain"))
    page.route(LOADER, lambda route: route.fulfill(body=COMPONENT, content_type="text/javascript"))
    html = built.page("index.html").html
    address = "https://docs.example.com/"
    page.route(address, lambda route: route.fulfill(body=html, content_type="text/html"))

    page.goto(address)
    page.evaluate(DECRYPT)

    page.get_by_text("Text.").wait_for()
    assert page.evaluate("[document.querySelectorAll('sentifyd-bot').length, connected]") == [1, 1]
