"""Test the runtime's tags in pages, the size of its files, and which files a site gets."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from mkdocs_sentifyd.components import COMPONENTS
from mkdocs_sentifyd.markup.theme import traits
from mkdocs_sentifyd.tags.assets import contents
from tests.support.sites import ENDPOINT, LOADER, Build, BuildSite, Page

MATERIAL: dict[str, Any] = {"name": "material", "font": False}
INSTANT: dict[str, Any] = {**MATERIAL, "features": ["navigation.instant"]}
MKDOCS: dict[str, Any] = {"name": "mkdocs"}
RUNTIME = re.compile(r"^(?:\.\./)*assets/sentifyd/[0-9a-f]{12}/(\w+\.(?:js|css))$")
PAGES = {"index.md": "# Home\n", "off.md": "---\nsentifyd: false\n---\n\n# Off\n"}


def _files(page: Page) -> list[str]:
    """The runtime's files that a page requests from the site itself."""
    sources = [tag.get("src") or tag.get("href") for tag in page.soup.select("script, link")]
    matches = (RUNTIME.match(str(source)) for source in sources)
    return [match[1] for match in matches if match]


def _installed(build: Build) -> set[str]:
    return {file.name for file in (build.site / "assets/sentifyd").rglob("*") if file.is_file()}


def _settings(page: Page) -> dict[str, Any]:
    (meta,) = page.soup.select("head > meta[name=sentifyd]")
    found: dict[str, Any] = json.loads(str(meta["content"]))
    return found


def _size(*names: str) -> int:
    return len(gzip.compress(b"".join(contents()[name] for name in names), 9))


# The largest page loads the launcher, and so no `idle.js`, and prints by `launcher.css`.
WITHOUT_ACTIONS = [
    *("core.js", "opening.js", "consent.js", "question.js", "launcher.js", "keyboard.js"),
    *("launcher.css", "palette.css"),
]
WITH_EVERYTHING = [*WITHOUT_ACTIONS, "actions.js", "search.js", "page_text.js"]


@pytest.mark.parametrize(
    ("names", "most"), [(["core.js"], 2560), (WITHOUT_ACTIONS, 7168), (WITH_EVERYTHING, 9216)]
)
def test_runtime_is_small(names: list[str], most: int) -> None:
    assert _size(*names) <= most


def test_sizes_include_all_files() -> None:
    assert contents().keys() == {*WITH_EVERYTHING, "idle.js", "print.css"}


def test_theme_is_detected_by_its_script() -> None:
    config = '<script id="__config" type="application/json">{"features": ["navigation.instant"]}'
    later = "<script>document.getElementById('__config')</script>"
    sample = '<code>"navigation.instant" __config shortcuts = {</code>'

    assert traits(f"<p>{config}</script>{later}") == (True, True, False)
    assert traits(f"<script></script>{sample}{later}") == (False, False, False)
    other = config.replace(".instant", ".instant.prefetch")
    assert traits(f"{other}</script>{sample}") == (False, True, False)
    assert traits('<script>var shortcuts = {"help": 191};</script>').has_shortcuts


@pytest.mark.parametrize("theme", [MATERIAL, MKDOCS, {"name": "readthedocs"}])
def test_page_that_needs_no_script_gets_none(build: BuildSite, theme: dict[str, Any]) -> None:
    built = build(PAGES, theme=theme)
    assert built.status == 0, built.output

    page = built.page("index.html")
    keys = ["keyboard.js"] if theme == MKDOCS else []
    page.assert_avatar()
    assert _files(page) == ["print.css", *keys]
    assert page.soup.select("meta[name=sentifyd]") == []
    built.page("off/index.html").assert_no_avatar()


def test_site_without_instant_navigation_gets_only_style_sheets(build: BuildSite) -> None:
    built = build(PAGES, theme=MATERIAL)

    assert not [name for name in _installed(built) if name.endswith(".js")]


def test_site_without_an_avatar_gets_no_file(build: BuildSite) -> None:
    built = build({"off.md": PAGES["off.md"], "index.md": PAGES["off.md"]}, {"exclude": ["*"]})

    assert _installed(built) == {"pages.json"}


def test_page_with_instant_navigation_contains_settings_and_script(build: BuildSite) -> None:
    page = build(PAGES, theme=INSTANT).page("index.html")

    assert page.loaders() == []
    assert page.elements() == []
    (script,) = (tag for tag in page.soup.find_all("script") if RUNTIME.match(str(tag.get("src"))))
    assert script.attrs.keys() == {"src", "type"}
    assert script["type"] == "module"
    assert script.parent is not None
    assert script.parent.name == "head"
    settings = _settings(page)
    assert settings["attributes"] == {"token_endpoint": ENDPOINT, "avatar_id": "avtr_1234abcd"}
    assert settings["loader"] == {"src": LOADER}
    assert settings["endpoint"] == ENDPOINT
    # The core imports it, so the browser should fetch it as early.
    assert "opening.js" in _files(page)


@pytest.mark.parametrize("component", COMPONENTS)
def test_settings_contain_the_facts_about_the_component(
    build: BuildSite, root: Path, component: str
) -> None:
    page = build(PAGES, {"component": component}, theme=INSTANT).page("index.html")

    settings = _settings(page)
    assert settings["opening"] == asdict(COMPONENTS[component].opening)
    assert {settings["opening"]["storage"], settings["tokens"]} <= {*settings["stored"]}
    scripts = (root / "mkdocs_sentifyd/runtime").glob("*.js")
    sources = "".join(file.read_text() for file in scripts)
    names = [*settings["stored"], settings["opening"]["toggle"]]
    assert [name for name in names if name.rstrip("_") in sources] == []


def test_page_without_an_avatar_has_only_the_core_script(build: BuildSite) -> None:
    page = build(PAGES, theme=INSTANT).page("off/index.html")

    assert [name for name in _files(page) if name.endswith(".js")] == ["core.js"]
    assert page.soup.select("meta[name=sentifyd]") == []


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"load": "idle"}, {"idle.js"}),
        ({"load": "interaction"}, {"launcher.js"}),
        ({"consent": "sentifyd"}, {"consent.js"}),
        ({"shortcut": "ctrl+alt+a"}, {"keyboard.js"}),
        ({"consent": "sentifyd", "load": "idle"}, {"consent.js", "idle.js"}),
        (
            {"consent": "sentifyd", "load": "interaction"},
            {"consent.js", "launcher.js", "question.js"},
        ),
    ],
)
def test_page_loads_the_parts_that_its_settings_need(
    build: BuildSite, options: dict[str, Any], parts: set[str]
) -> None:
    page = build(PAGES, options, theme={"name": "readthedocs"}).page("index.html")

    assert {name for name in _files(page) if name.endswith(".js")} == {
        "core.js",
        "opening.js",
        *parts,
    }
    # A page preloads exactly the parts that the core imports.
    assert {f"{part}.js" for part in _settings(page)["parts"]} == parts


ASKING = {"consent": "sentifyd", "load": "interaction"}


def test_question_has_the_authors_texts_and_the_privacy_policy(build: BuildSite) -> None:
    own = {"question": "Darf der Avatar geladen werden?", "not_now": "Jetzt nicht"}
    options = {**ASKING, "consent_texts": own, "ui_language": "de"}
    pages = {**PAGES, "deep/page.md": "---\nsentifyd: {brand: {privacy_url: legal/}}\n---\n"}
    built = build(pages, options, theme=MKDOCS)

    assert _settings(built.page("index.html"))["question"] == {
        "lang": "de",
        "url": None,
        "texts": [own["question"], "Datenschutzerklärung", "Erlauben", own["not_now"]],
    }
    deep = _settings(built.page("deep/page/index.html"))["question"]
    assert deep["url"] == "../../legal/"


@pytest.mark.parametrize(
    ("texts", "language"), [({}, "en"), ({"question": "Posso caricarlo?"}, "it")]
)
def test_question_has_the_language_of_its_texts(
    build: BuildSite, texts: dict[str, str], language: str
) -> None:
    """The component does not support Italian, so its own texts are English."""
    theme = {**MATERIAL, "language": "it"}
    page = build(PAGES, {**ASKING, "consent_texts": texts}, theme=theme).page("index.html")

    assert _settings(page)["question"]["lang"] == language


@pytest.mark.parametrize("theme", [INSTANT, MATERIAL, MKDOCS])
@pytest.mark.parametrize(
    "options", [{}, {"load": "interaction", "consent": "sentifyd", "shortcut": "alt+a"}]
)
def test_plugin_adds_no_inline_script(
    build: BuildSite, theme: dict[str, Any], options: dict[str, Any]
) -> None:
    def inline(built: Build) -> list[str]:
        scripts = built.page("index.html").soup.find_all("script", src=False)
        return [script.get_text() for script in scripts]

    site_url = "https://docs.example.com/"
    with_avatar = inline(build(PAGES, options, theme=theme, site_url=site_url))
    without = inline(build(PAGES, theme=theme, plugins=["search"], site_url=site_url))

    assert with_avatar == without


def test_settings_escape_special_characters(build: BuildSite) -> None:
    name = "</script> & \"quoted\" 'name' <b>"

    page = build(PAGES, {"brand": {"name": name}}, theme=INSTANT).page("index.html")

    assert _settings(page)["attributes"]["brand-name"] == name


def test_authors_element_waits_in_a_template_for_the_runtime(build: BuildSite) -> None:
    own = '# Home\n\n<sentifyd-bot class="mine"></sentifyd-bot>\n'

    page = build({"index.md": own}, theme=INSTANT).page("index.html")

    (place,) = page.soup.select("[data-sentifyd-place]")
    (template,) = place.select("template")
    assert "<sentifyd-bot" in str(template)
    assert _settings(page)["attributes"]["class"] == "mine"


def test_installed_files_are_the_code_of_their_sources(build: BuildSite, root: Path) -> None:
    built = build(PAGES, theme=INSTANT)
    (folder,) = filter(Path.is_dir, (built.site / "assets/sentifyd").iterdir())

    sources = root / "mkdocs_sentifyd/runtime"
    for file in folder.iterdir():
        lines = (sources / file.name).read_bytes().splitlines(keepends=True)
        code = (line for line in lines if not line.lstrip().startswith((b"//", b"/*")))
        assert file.read_bytes() == b"".join(code)
    assert _installed(built) == {"pages.json", *(file.name for file in sources.iterdir())}


def test_consent_form_has_an_unticked_box_for_the_avatar(build: BuildSite) -> None:
    form = {"title": "Cookies", "description": "We ask.", "actions": ["accept", "reject", "manage"]}
    options = {"consent": "sentifyd"}

    built = build(PAGES, options, theme=MATERIAL, extra={"consent": form})

    soup = built.page("index.html").soup
    (box,) = soup.select("form[name=consent] input[name=sentifyd]")
    assert not box.has_attr("checked")
    assert "waits until a script dispatches" not in built.output
